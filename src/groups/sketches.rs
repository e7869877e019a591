//! MinHash sketches, row after row: in memory up to a limit, the rest in a file without a name.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;

use crate::analyses::K_MAX;

/// Bytes of memory that are taken at a time. Chunks never move, so memory does not double while it grows.
const CHUNK_BYTES: usize = 4 << 20;

/// Bytes that are written to the file at once.
const TAIL_BYTES: usize = 256 << 10;

/// Bytes that a reader reads ahead where rows are asked for one after the other. A guess: what a disk gives in one go.
const AHEAD_BYTES: usize = 64 << 10;

/// Rows of `k` numbers each, in the order in which they were pushed. Numbers lie in the machine's own byte order: the file
/// does not outlive the process.
///
/// The first rows lie in chunks of memory, those after them in the file, and the last ones, which are yet to be written, in
/// a buffer. Readers look at all three, so nothing has to be flushed before them.
#[derive(Debug)]
pub struct Sketches {
    k: usize,
    /// Rows of a chunk: a power of two, so that aligned runs of fewer rows lie in one piece.
    chunk_rows: usize,
    chunks_max: usize,
    chunks: Vec<Vec<u32>>,
    spill_directory: PathBuf,
    file: Option<File>,
    /// Rows that lie in the file.
    file_rows: usize,
    /// What comes after them.
    tail: Vec<u32>,
}

impl Sketches {
    /// None yet. At most `memory_bytes_max` bytes of them stay in memory, in chunks of 2 to 4 MiB. What is beyond goes to a file
    /// in `spill_directory`, which is made when it is needed, by way of a buffer of 256 KiB.
    ///
    /// # Panics
    /// Where `k` is not in 1 to 1024.
    pub fn new(k: usize, memory_bytes_max: u64, spill_directory: PathBuf) -> Sketches {
        Sketches::with_chunks(k, memory_bytes_max, spill_directory, CHUNK_BYTES)
    }

    fn with_chunks(
        k: usize,
        memory_bytes_max: u64,
        spill_directory: PathBuf,
        chunk_bytes: usize,
    ) -> Sketches {
        assert!((1..=K_MAX).contains(&k), "{k} numbers a sketch");
        let fitting = (chunk_bytes / (k * size_of::<u32>())).max(1);
        let chunk_rows = 1 << fitting.ilog2();
        let chunks_max = memory_bytes_max / (chunk_rows * k * size_of::<u32>()) as u64;
        Sketches {
            k,
            chunk_rows,
            chunks_max: usize::try_from(chunks_max).unwrap_or(usize::MAX),
            chunks: Vec::new(),
            spill_directory,
            file: None,
            file_rows: 0,
            tail: Vec::new(),
        }
    }

    /// Adds a row, and tells its number, counted from 0. After an error the row is not there, and all others are.
    ///
    /// # Panics
    /// Where it has another length than `k`.
    pub fn push(&mut self, row: &[u32]) -> io::Result<u32> {
        assert_eq!(row.len(), self.k, "a sketch of another length");
        // One less than there are numbers, so that their count is one as well.
        let number = u32::try_from(self.len()).ok().filter(|&number| number < u32::MAX);
        let number = number.ok_or_else(|| io::Error::other("more than 4,294,967,295 sketches"))?;
        let is_full = self.chunks.last().is_none_or(|chunk| chunk.len() == self.chunk_rows * self.k);
        if !is_full {
            self.chunks.last_mut().expect("one that is not full").extend_from_slice(row);
        } else if self.file_rows == 0 && self.tail.is_empty() && self.chunks.len() < self.chunks_max {
            let mut chunk = Vec::with_capacity(self.chunk_rows * self.k);
            chunk.extend_from_slice(row);
            self.chunks.push(chunk);
        } else {
            if (self.tail.len() + self.k) * size_of::<u32>() > TAIL_BYTES {
                self.write_tail().map_err(|error| self.cannot_write(&error))?;
            } else if self.tail.is_empty() {
                self.tail.reserve_exact(TAIL_BYTES / size_of::<u32>());
            }
            self.tail.extend_from_slice(row);
        }
        Ok(number)
    }

    /// How many numbers a row has.
    pub fn k(&self) -> usize {
        self.k
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.tail_start() + self.tail.len() / self.k
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows there are, as the number that one more would have.
    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.len()).expect("push adds no more")
    }

    /// Bytes that lie in the file.
    pub fn spilled_bytes(&self) -> u64 {
        (self.file_rows * self.row_bytes()) as u64
    }

    /// Bytes of memory that are taken.
    #[cfg(test)]
    fn memory_bytes(&self) -> u64 {
        let numbers: usize = self.chunks.iter().map(Vec::capacity).sum();
        ((numbers + self.tail.capacity()) * size_of::<u32>()) as u64
    }

    /// Reads rows. Every thread takes its own; the rows can be read by many at once.
    pub fn reader(&self) -> Reader<'_> {
        Reader { sketches: self, first: 0, numbers: Vec::new(), bytes: Vec::new(), next: 0 }
    }

    fn row_bytes(&self) -> usize {
        self.k * size_of::<u32>()
    }

    /// The first row that does not lie in memory for good.
    fn file_start(&self) -> usize {
        let whole = self.chunks.len().saturating_sub(1) * self.chunk_rows;
        whole + self.chunks.last().map_or(0, |chunk| chunk.len() / self.k)
    }

    /// The first row of the tail.
    fn tail_start(&self) -> usize {
        self.file_start() + self.file_rows
    }

    /// Writes the tail to the file, at its place: what an earlier attempt has left there is written over.
    fn write_tail(&mut self) -> io::Result<()> {
        let bytes: Vec<u8> = self.tail.iter().flat_map(|number| number.to_ne_bytes()).collect();
        let start = self.spilled_bytes();
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.spill_directory)?);
        }
        let file = self.file.as_mut().expect("made just now");
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&bytes)?;
        self.file_rows += self.tail.len() / self.k;
        self.tail.clear();
        Ok(())
    }

    fn cannot_write(&self, error: &io::Error) -> io::Error {
        let directory = self.spill_directory.display();
        io::Error::new(error.kind(), format!("cannot keep sketches in a file in {directory}: {error}"))
    }

    /// The rows as they lie in memory, where they do so in one piece.
    fn in_memory(&self, rows: &Range<usize>) -> Option<&[u32]> {
        let (piece, start) = if rows.end <= self.file_start() {
            let chunk = rows.start / self.chunk_rows;
            (self.chunks.get(chunk)?, chunk * self.chunk_rows)
        } else {
            (&self.tail, self.tail_start())
        };
        let from = rows.start.checked_sub(start)?;
        piece.get(from * self.k..(rows.end - start) * self.k)
    }

    /// Appends rows to `numbers`, wherever they lie.
    fn copy(&self, rows: Range<usize>, bytes: &mut Vec<u8>, numbers: &mut Vec<u32>) -> io::Result<()> {
        let mut at = rows.start;
        while at < rows.end {
            let next_chunk = (at / self.chunk_rows + 1) * self.chunk_rows;
            let borders = [next_chunk.min(self.file_start()), self.tail_start(), rows.end];
            let end = borders.into_iter().filter(|&border| border > at).min().expect("the end");
            let piece = at..end;
            if let Some(piece) = self.in_memory(&piece) {
                numbers.extend_from_slice(piece);
            } else {
                bytes.resize(piece.len() * self.row_bytes(), 0);
                let offset = ((at - self.file_start()) * self.row_bytes()) as u64;
                let file = self.file.as_ref().expect("it holds what memory does not");
                read_at(file, bytes, offset).map_err(|error| self.cannot_read(&error))?;
                let (four, _) = bytes.as_chunks();
                numbers.extend(four.iter().map(|&four| u32::from_ne_bytes(four)));
            }
            at = end;
        }
        Ok(())
    }

    fn cannot_read(&self, error: &io::Error) -> io::Error {
        let directory = self.spill_directory.display();
        io::Error::new(error.kind(), format!("cannot read sketches from a file in {directory}: {error}"))
    }
}

/// Reads the rows of [`Sketches`], with a buffer of its own for those in the file.
#[derive(Debug)]
pub struct Reader<'s> {
    sketches: &'s Sketches,
    /// The first row in the buffer.
    first: usize,
    numbers: Vec<u32>,
    bytes: Vec<u8>,
    /// The row after the last one that was asked for.
    next: usize,
}

impl Reader<'_> {
    /// One row. Asked for in order, rows are read from the file many at a time, otherwise one by one.
    ///
    /// # Panics
    /// Where there is no such row; so does [`Reader::rows`].
    pub fn row(&mut self, row: u32) -> io::Result<&[u32]> {
        let (k, row) = (self.sketches.k, row as usize);
        let ahead = if row == self.next { AHEAD_BYTES / self.sketches.row_bytes() } else { 1 };
        self.next = row + 1;
        // Not `if let`: the borrow checker would hold on to the first answer to the end of the function.
        if self.sketches.in_memory(&(row..row + 1)).is_none() {
            let has = self.first..self.first + self.numbers.len() / k;
            if !has.contains(&row) {
                self.fill(row..(row + ahead.max(1)).min(self.sketches.len()))?;
            }
            let at = (row - self.first) * k;
            return Ok(&self.numbers[at..at + k]);
        }
        Ok(self.sketches.in_memory(&(row..row + 1)).expect("as found above"))
    }

    /// Rows that follow each other, in one piece.
    pub fn rows(&mut self, rows: Range<u32>) -> io::Result<&[u32]> {
        let rows = rows.start as usize..rows.end as usize;
        self.next = rows.end;
        if self.sketches.in_memory(&rows).is_none() {
            self.fill(rows)?;
            return Ok(&self.numbers);
        }
        Ok(self.sketches.in_memory(&rows).expect("as found above"))
    }

    fn fill(&mut self, rows: Range<usize>) -> io::Result<()> {
        assert!(rows.end <= self.sketches.len(), "no row {}", rows.end);
        self.first = rows.start;
        self.numbers.clear();
        // After an error the buffer must not pass for rows.
        let filled = self.sketches.copy(rows, &mut self.bytes, &mut self.numbers);
        if filled.is_err() {
            self.numbers.clear();
        }
        filled
    }
}

#[cfg(unix)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn read_at(file: &File, bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, left, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = &mut left[read..];
        offset += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::super::made_up::{families, kept, shuffle};
    use super::*;

    /// In chunks of 1 KiB.
    fn small(k: usize, memory_bytes_max: u64, rows: &[Vec<u32>]) -> Sketches {
        let mut sketches = Sketches::with_chunks(k, memory_bytes_max, std::env::temp_dir(), 1024);
        for row in rows {
            sketches.push(row).expect("room for it");
        }
        sketches
    }

    #[track_caller]
    fn check(sketches: &Sketches, rows: &[Vec<u32>]) {
        assert_eq!((sketches.len(), sketches.is_empty()), (rows.len(), rows.is_empty()));
        let mut numbers: Vec<_> = (0..u32::try_from(rows.len()).expect("few")).collect();
        let mut reader = sketches.reader();
        for &row in &numbers {
            assert_eq!(reader.row(row).expect("readable"), rows[row as usize], "row {row} in order");
        }
        for length in [1, 3, 64, 100] {
            for start in numbers.iter().copied().step_by(37) {
                let run = start..(start + length).min(sketches.rows());
                let expected = rows[run.start as usize..run.end as usize].concat();
                assert_eq!(reader.rows(run.clone()).expect("readable"), expected, "rows {run:?}");
            }
        }
        shuffle(&mut numbers, 1);
        numbers.par_iter().for_each_init(
            || sketches.reader(),
            |reader, &row| assert_eq!(reader.row(row).expect("readable"), rows[row as usize], "row {row}"),
        );
    }

    #[test]
    fn rows_are_read_wherever_they_lie() {
        for (rows, k) in [(0, 16), (1, 16), (3000, 1), (900, 7), (2000, 64), (700, 128), (100, 1024)] {
            let all = families(rows, k, 1);
            for memory in [0, 1024, 5000, 1 << 30] {
                check(&small(k, memory, &all), &all);
            }
        }
    }

    #[test]
    fn what_is_pushed_after_reading_is_read_as_well() {
        let all = families(1000, 128, 2);
        let mut sketches = small(128, 2048, &[]);
        for (i, row) in all.iter().enumerate() {
            sketches.push(row).expect("room for it");
            if i % 150 == 0 {
                check(&sketches, &all[..=i]);
            }
        }
        check(&sketches, &all);
    }

    #[test]
    fn memory_stays_below_its_limit() {
        let all = families(40_000, 128, 3);
        for memory in [0, 4 << 20, 9 << 20] {
            let sketches = kept(128, memory, &all);
            let used = sketches.memory_bytes();
            assert!(used <= memory + TAIL_BYTES as u64, "{used} of {memory}");
            // Chunks are of 4 MiB, and what is not yet written is less than 256 KiB.
            let expected = 40_000 * 512 - (memory >> 22 << 22);
            let spilled = sketches.spilled_bytes();
            assert!(spilled <= expected && expected - spilled <= 256 << 10, "{spilled} of {expected}");
        }
        assert_eq!(kept(128, 1 << 30, &all).spilled_bytes(), 0);
    }

    #[test]
    fn what_cannot_be_spilled_says_where() {
        let place = tempfile::tempdir().expect("a place for tests");
        let missing = place.path().join("missing");
        let mut sketches = Sketches::new(128, 0, missing.clone());
        let row = [1; 128];
        let error = (0..10_000).find_map(|_| sketches.push(&row).err()).expect("no room for so many");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let told = error.to_string();
        assert!(told.starts_with("cannot keep sketches in a file in ") && told.contains("missing"), "{told}");
        // What was there still is, and once there is a place, there may be more.
        let kept = sketches.len();
        assert_eq!(sketches.reader().row(u32::try_from(kept - 1).expect("few")).expect("readable"), row);
        std::fs::create_dir(&missing).expect("there is none");
        assert_eq!(sketches.push(&row).expect("room for it") as usize, kept);
        check(&sketches, &vec![row.to_vec(); kept + 1]);
        assert_eq!(
            std::fs::read_dir(&missing).expect("readable").count(),
            usize::from(cfg!(windows)),
            "it has a name"
        );
    }

    #[test]
    #[should_panic(expected = "a sketch of another length")]
    fn a_row_has_as_many_numbers_as_were_said() {
        small(16, 0, &[]).push(&[0; 15]).expect("room for it");
    }
}
