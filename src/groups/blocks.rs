//! Streams of bytes in one file without a name: each stream is written block by block, wherever the file ends.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::sketches::read_at;

/// Several streams of records in a file that is made when it is needed. No record lies in two blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    directory: PathBuf,
    file: Option<File>,
    file_bytes: u64,
    block_bytes: usize,
    streams: Vec<Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Records that are not written yet.
    buffer: Vec<u8>,
    /// Where each block lies in the file.
    blocks: Vec<(u64, u32)>,
}

impl Blocks {
    /// A number of empty streams, each with a buffer of `block_bytes`.
    pub(super) fn new(directory: PathBuf, streams: usize, block_bytes: usize) -> Blocks {
        let streams = (0..streams).map(|_| Stream::default()).collect();
        Blocks { directory, file: None, file_bytes: 0, block_bytes, streams }
    }

    /// Adds a stream.
    pub(super) fn add_stream(&mut self) -> usize {
        self.streams.push(Stream::default());
        self.streams.len() - 1
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Bytes that lie in the file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Adds a record to a stream.
    pub(super) fn push(&mut self, stream: usize, record: &[u8]) -> io::Result<()> {
        if self.streams[stream].buffer.len() + record.len() > self.block_bytes {
            self.flush(stream)?;
        }
        let buffer = &mut self.streams[stream].buffer;
        if buffer.capacity() == 0 {
            buffer.reserve_exact(self.block_bytes);
        }
        buffer.extend_from_slice(record);
        Ok(())
    }

    /// Writes the rest, and frees the buffers.
    pub(super) fn flush_all(&mut self) -> io::Result<()> {
        for stream in 0..self.streams.len() {
            self.flush(stream)?;
            self.streams[stream].buffer = Vec::new();
        }
        Ok(())
    }

    /// Writes the buffer of a stream as a block.
    pub(super) fn flush(&mut self, stream: usize) -> io::Result<()> {
        if self.streams[stream].buffer.is_empty() {
            return Ok(());
        }
        let length = self.streams[stream].buffer.len();
        self.write(stream).map_err(|error| self.explain("cannot keep files", &error))?;
        let stream = &mut self.streams[stream];
        stream.blocks.push((self.file_bytes, u32::try_from(length).unwrap_or(u32::MAX)));
        stream.buffer.clear();
        // A record larger than a block has made the buffer larger.
        stream.buffer.shrink_to(self.block_bytes);
        self.file_bytes += length as u64;
        Ok(())
    }

    fn write(&mut self, stream: usize) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.directory)?);
        }
        let file = self.file.as_mut().expect("made just now");
        // What an earlier attempt has left there is written over.
        file.seek(SeekFrom::Start(self.file_bytes))?;
        file.write_all(&self.streams[stream].buffer)
    }

    /// Reads a stream that was flushed.
    pub(super) fn reader(&self, stream: usize) -> BlockReader<'_> {
        BlockReader { blocks: self, stream, next: 0, block: Vec::new(), at: 0 }
    }

    fn explain(&self, what: &str, error: &io::Error) -> io::Error {
        let directory = self.directory.display();
        let remedy = "--memory leaves them no other place: free space there, or set TMPDIR";
        io::Error::new(error.kind(), format!("{what} in a file in {directory}: {error}; {remedy}"))
    }
}

/// Reads the records of a stream in the order in which they were added.
#[derive(Debug)]
pub(super) struct BlockReader<'b> {
    blocks: &'b Blocks,
    stream: usize,
    next: usize,
    block: Vec<u8>,
    at: usize,
}

impl BlockReader<'_> {
    /// Whether there is another record.
    pub(super) fn has_more(&mut self) -> io::Result<bool> {
        if self.at < self.block.len() {
            return Ok(true);
        }
        let Some(&(offset, length)) = self.blocks.streams[self.stream].blocks.get(self.next) else {
            return Ok(false);
        };
        self.next += 1;
        self.at = 0;
        self.block.resize(length as usize, 0);
        self.block.shrink_to(self.blocks.block_bytes.max(length as usize));
        let file = self.blocks.file.as_ref().expect("it has a block");
        read_at(file, &mut self.block, offset)
            .map_err(|error| self.blocks.explain("cannot read files again", &error))?;
        Ok(true)
    }

    /// The next number, as [`put`] wrote it.
    pub(super) fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.block[self.at];
            self.at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// The next number, as [`put_signed`] wrote it.
    pub(super) fn signed(&mut self) -> i64 {
        let number = self.number();
        (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
    }

    /// The next number that fits 32 bits.
    pub(super) fn small(&mut self) -> u32 {
        u32::try_from(self.number()).expect("as it was written")
    }

    /// The bytes that [`put_bytes`] wrote.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let length = self.small() as usize;
        self.at += length;
        &self.block[self.at - length..self.at]
    }
}

/// Appends a number, seven bits a byte, least first.
pub(super) fn put(record: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        record.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    record.push(number.to_le_bytes()[0]);
}

/// Appends a number of either sign.
pub(super) fn put_signed(record: &mut Vec<u8>, number: i64) {
    put(record, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends bytes and their number.
pub(super) fn put_bytes(record: &mut Vec<u8>, bytes: &[u8]) {
    put(record, bytes.len() as u64);
    record.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_read_as_they_were_written() {
        let mut blocks = Blocks::new(std::env::temp_dir(), 3, 64);
        let mut record = Vec::new();
        for i in 0..500_u64 {
            record.clear();
            put(&mut record, i * i * i);
            put_signed(&mut record, if i % 2 == 0 { i64::MIN } else { i64::MAX } / (1 << (i % 60)));
            put_bytes(&mut record, &vec![7; usize::try_from(i % 200).expect("small")]);
            blocks.push(usize::try_from(i % 3).expect("small"), &record).expect("room for it");
        }
        blocks.flush_all().expect("room for it");
        for stream in 0..3_u64 {
            let mut reader = blocks.reader(usize::try_from(stream).expect("small"));
            for i in (stream..500).step_by(3) {
                assert!(reader.has_more().expect("readable"));
                assert_eq!(reader.number(), i * i * i);
                assert_eq!(reader.signed(), if i % 2 == 0 { i64::MIN } else { i64::MAX } / (1 << (i % 60)));
                assert_eq!(reader.bytes().len() as u64, i % 200);
            }
            assert!(!reader.has_more().expect("readable"));
        }
    }

    #[test]
    fn a_directory_that_takes_no_file_is_named() {
        let mut blocks = Blocks::new("/nonexistent/place".into(), 1, 64);
        blocks.push(0, &[1; 60]).expect("it lies in the buffer");
        let error = blocks.push(0, &[1; 60]).expect_err("there is no such directory");
        assert!(
            error.to_string().starts_with("cannot keep files in a file in /nonexistent/place: "),
            "{error}"
        );
    }
}
