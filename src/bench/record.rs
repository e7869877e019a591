//! The record of a sweep: a CSV file with a row a measurement, each written as soon as it is made and complete in itself, so
//! that records can be joined and a sweep that was killed can go on.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BenchError, Machine};
use crate::plan::Device;

/// What a row is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// The tree was copied to a RAM disk.
    #[default]
    Load,
    /// A run that is not counted.
    WarmUp,
    /// A run that is.
    Sample,
    /// A run that answered wrongly, or that failed: `note` says in what.
    Error,
    /// A point that was not measured: `note` says why.
    Skipped,
    /// What the samples of a point have in common: medians, and the interval and variation of the rate.
    Point,
}

/// One row. Times are in seconds, sizes in bytes; what is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordRow {
    /// What it is.
    pub row: RowKind,
    /// When it was written, RFC 3339.
    pub at: String,
    /// The point: `auto` or a number.
    pub workers: String,
    /// The point: files a batch, at most.
    pub batch_files: Option<usize>,
    /// The point: how files are reached.
    pub stage: String,
    /// Which run of the point: 0 warms up. Of a `point`: how many samples.
    pub repetition: Option<usize>,
    /// From the call to its return.
    pub seconds: Option<f64>,
    /// Files read a second.
    pub files_per_second: Option<f64>,
    /// Where the median lies with a confidence of 95 %, of a `point`.
    pub files_per_second_low: Option<f64>,
    /// The other end.
    pub files_per_second_high: Option<f64>,
    /// Standard deviation of the rate over its mean, of a `point`.
    pub variation: Option<f64>,
    /// Millions of bytes a second.
    pub mb_per_second: Option<f64>,
    /// Files read.
    pub files: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Paths that could not be read, over those met.
    pub error_rate: Option<f64>,
    /// Thread seconds in directories.
    pub walk_seconds: Option<f64>,
    /// Thread seconds of opening and reading.
    pub stage_seconds: Option<f64>,
    /// Thread seconds in analyses.
    pub analyse_seconds: Option<f64>,
    /// Seconds in the sink.
    pub sink_seconds: Option<f64>,
    /// Thread seconds that workers waited.
    pub workers_waited_seconds: Option<f64>,
    /// How many batches there were.
    pub batches: Option<u64>,
    /// A batch took so long, or less, half of the time.
    pub batch_p50_seconds: Option<f64>,
    /// 95 times in 100.
    pub batch_p95_seconds: Option<f64>,
    /// 99 times in 100.
    pub batch_p99_seconds: Option<f64>,
    /// 999 times in 1000.
    pub batch_p999_seconds: Option<f64>,
    /// Processor time of all threads.
    pub cpu_seconds: Option<f64>,
    /// The most memory held.
    pub peak_memory_bytes: Option<u64>,
    /// What lies on the RAM disk meanwhile.
    pub ram_disk_bytes: Option<u64>,
    /// What else there is to know.
    pub note: String,
    /// `warm` or `cold`.
    pub cache: String,
    /// The list of analyses.
    pub analyses: String,
    /// A checksum over what was answered.
    pub answers: String,
    /// What was read: the corpus or the path.
    pub tree: String,
    /// Version of filemill.
    pub version: String,
    /// Model of the processor.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Operating system.
    pub kernel: String,
    /// Of the tree.
    pub file_system: String,
    /// The point: which devices answer. It and what follows are the last columns, as records of before have none of them.
    #[serde(default = "processor")]
    pub device: String,
    /// The point: what may be taken of the memory of each GPU; empty where none is used.
    #[serde(default)]
    pub gpu_memory_bytes: Option<u64>,
    /// Files that GPUs answered for; empty where there is none.
    #[serde(default)]
    pub gpu_files: Option<u64>,
    /// Their bytes.
    #[serde(default)]
    pub gpu_bytes: Option<u64>,
    /// How long GPUs were at work, summed over them.
    #[serde(default)]
    pub gpu_busy_seconds: Option<f64>,
}

/// What answered where a record does not tell.
fn processor() -> String {
    Device::Cpu.to_string()
}

/// Columns at the end that records of before do not have.
const COLUMNS_ADDED: usize = 5;

impl RecordRow {
    /// Puts the machine in.
    pub fn on(self, machine: Machine) -> RecordRow {
        let Machine { cpu, cores, memory_bytes, kernel, file_system } = machine;
        RecordRow { cpu, cores, memory_bytes, kernel, file_system, ..self }
    }

    /// What must be alike for two rows to be of one sweep.
    fn conditions(&self) -> [(&'static str, String); 8] {
        [
            ("cache", self.cache.clone()),
            ("analyses", self.analyses.clone()),
            ("tree", self.tree.clone()),
            ("version", self.version.clone()),
            ("processor", self.cpu.clone()),
            ("cores", self.cores.to_string()),
            ("kernel", self.kernel.clone()),
            ("file system", self.file_system.clone()),
        ]
    }
}

/// Makes lines of rows, with a heading before the first.
#[derive(Debug, Default)]
pub struct Lines {
    has_heading: bool,
    /// Whether they are of a record of before, without the last columns.
    is_short: bool,
}

impl Lines {
    /// The line of a row.
    ///
    /// # Errors
    /// When it cannot be expressed.
    pub fn of(&mut self, row: &RecordRow) -> io::Result<Vec<u8>> {
        let whole = lines(row, !std::mem::replace(&mut self.has_heading, true))?;
        if self.is_short { shortened(&whole) } else { Ok(whole) }
    }
}

/// A file of rows that is being written.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
    lines: Lines,
    /// Where what is written next begins: half a row and a summary behind it are cut off then.
    cut_at: Option<u64>,
}

impl Drop for Record {
    /// What was begun and holds nothing leaves nothing behind.
    fn drop(&mut self) {
        if !self.lines.has_heading && self.file.metadata().is_ok_and(|file| file.is_file() && file.len() == 0)
        {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl Record {
    /// A new record.
    ///
    /// # Errors
    /// When there is a file already, or none can be made.
    pub fn create(path: &Path) -> Result<Record, BenchError> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error
            .kind()
        {
            io::ErrorKind::AlreadyExists if path.is_file() => BenchError::Refused(format!(
                "{}: is there already: --resume goes on with it, or name another",
                path.display()
            )),
            _ => BenchError::file(path)(error),
        })?;
        lock(&file, path)?;
        Ok(Record { path: path.to_owned(), file, lines: Lines::default(), cut_at: None })
    }

    /// A record that goes on, and its rows, which must be of the conditions of `like`: what was cut off in mid-row, and the
    /// summary in its end, are taken off. Where there is none it is made. One of before, without columns for devices, goes on
    /// without them.
    ///
    /// # Errors
    /// When it cannot be read or written, is no such record, or was made under other conditions.
    pub fn resume(path: &Path, like: &RecordRow) -> Result<(Record, Vec<RecordRow>), BenchError> {
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Record::create(path)?, Vec::new()));
            }
            opened => opened.map_err(BenchError::file(path))?,
        };
        if !file.metadata().is_ok_and(|file| file.is_file() && file.len() <= BYTES_MAX) {
            return Err(BenchError::Refused(format!("{}: is no record of a sweep", path.display())));
        }
        lock(&file, path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(BenchError::file(path))?;
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |last| last + 1);
        let mut reader = csv::Reader::from_reader(&text[..whole]);
        let no_record = |why: &dyn std::fmt::Display| {
            BenchError::Refused(format!("{}: is no record of a sweep: {why}", path.display()))
        };
        let expected = header().map_err(BenchError::file(path))?;
        let before = shortened(&expected).map_err(BenchError::file(path))?;
        let is_short = text.starts_with(&before);
        let expected = if is_short { before } else { expected };
        // Of a sweep that was killed at once the header itself may be cut off.
        let is_header = if whole > 0 { text.starts_with(&expected) } else { expected.starts_with(&text) };
        if !is_header {
            return Err(no_record(&"it has other columns"));
        }
        let mut rows = Vec::new();
        let mut end = if whole > 0 { expected.len() as u64 } else { 0 };
        let mut records = reader.records();
        let mut is_summary = false;
        while let Some(record) = records.next() {
            let record = record.map_err(|error| no_record(&error))?;
            let row: RecordRow = record.deserialize(None).map_err(|error| no_record(&error))?;
            if matches!(row.row, RowKind::Point | RowKind::Skipped) {
                is_summary = true;
                continue;
            }
            if is_summary {
                return Err(no_record(&"it holds more than one"));
            }
            let differs =
                row.conditions().into_iter().zip(like.conditions()).find(|(there, here)| there != here);
            if let Some(((what, there), (_, here))) = differs {
                return Err(BenchError::Refused(format!(
                    "{}: was made under other conditions: {what} {there}, here {here}; name another --record",
                    path.display()
                )));
            }
            end = records.reader().position().byte();
            rows.push(row);
        }
        let lines = Lines { has_heading: end > 0, is_short };
        Ok((Record { path: path.to_owned(), file, lines, cut_at: Some(end) }, rows))
    }

    /// Adds a row, in one write.
    ///
    /// # Errors
    /// When it cannot be written, or has no columns for what the row tells.
    pub fn write(&mut self, row: &RecordRow) -> Result<(), BenchError> {
        if self.lines.is_short && !row.device.is_empty() && row.device != processor() {
            let (path, device) = (self.path.display(), &row.device);
            return Err(BenchError::Refused(format!(
                "{path}: has no columns for devices, and {device} is one: name another --record"
            )));
        }
        if let Some(end) = self.cut_at.take() {
            self.file.set_len(end).map_err(BenchError::file(&self.path))?;
            self.file.seek(io::SeekFrom::End(0)).map_err(BenchError::file(&self.path))?;
        }
        let line = self.lines.of(row).map_err(BenchError::file(&self.path))?;
        self.file.write_all(&line).map_err(BenchError::file(&self.path))
    }
}

/// Larger than any sweep makes one.
const BYTES_MAX: u64 = 1 << 30;

/// Two sweeps must not write one record.
fn lock(file: &File, path: &Path) -> Result<(), BenchError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(BenchError::Refused(format!("{}: another sweep writes this record", path.display())))
        }
        // Where a file system has no locks, there is none.
        _ => Ok(()),
    }
}

fn header() -> io::Result<Vec<u8>> {
    let with = lines(&RecordRow::default(), true)?;
    let end = memchr::memchr(b'\n', &with).map_or(0, |first| first + 1);
    Ok(with[..end].to_vec())
}

/// Lines without the columns that were added.
fn shortened(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in csv::ReaderBuilder::new().has_headers(false).from_reader(lines).byte_records() {
        let mut record = record.map_err(io::Error::other)?;
        record.truncate(record.len().saturating_sub(COLUMNS_ADDED));
        writer.write_byte_record(&record).map_err(io::Error::other)?;
    }
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

fn lines(row: &RecordRow, with_header: bool) -> io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(with_header).from_writer(Vec::new());
    writer.serialize(row).map_err(io::Error::other)?;
    writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: RowKind, repetition: usize) -> RecordRow {
        RecordRow {
            row,
            repetition: Some(repetition),
            seconds: Some(0.25),
            note: "a, \"b\"\nc".to_owned(),
            tree: "10k".to_owned(),
            ..RecordRow::default()
        }
    }

    #[test]
    fn what_was_written_is_read_back_without_the_half_row_and_the_summary() {
        let directory = tempfile::tempdir().expect("a place for tests");
        let path = directory.path().join("record.csv");
        let mut record = Record::create(&path).expect("it is new");
        let samples = [row(RowKind::WarmUp, 0), row(RowKind::Sample, 1)];
        samples.iter().for_each(|row| record.write(row).expect("it can be written"));
        let whole = std::fs::read(&path).expect("it is there");
        record.write(&row(RowKind::Point, 1)).expect("it can be written");
        drop(record);
        let (record, rows) = Record::resume(&path, &samples[0]).expect("it can go on");
        assert_eq!(rows, samples);
        assert!(
            std::fs::read(&path).expect("it is there").len() > whole.len(),
            "nothing is cut before something is written"
        );
        let twice = Record::resume(&path, &samples[0]).expect_err("it is locked").to_string();
        assert!(twice.contains("another sweep writes this record"), "{twice}");
        drop(record);

        std::fs::write(&path, &whole[..whole.len() - 40]).expect("it can be written");
        let (mut record, rows) = Record::resume(&path, &samples[0]).expect("it can go on");
        assert_eq!(rows, samples[..1]);
        record.write(&samples[1]).expect("it can be written");
        assert_eq!(std::fs::read(&path).expect("it is there"), whole);
    }

    #[test]
    fn a_record_of_before_goes_on_without_columns_for_devices() {
        let directory = tempfile::tempdir().expect("a place for tests");
        let path = directory.path().join("record.csv");
        let of_cpu = RecordRow { device: processor(), ..row(RowKind::Sample, 1) };
        let whole = lines(&of_cpu, true).expect("it can be written");
        let before = shortened(&whole).expect("it can be written");
        let heading = String::from_utf8_lossy(&before);
        assert!(heading.lines().next().is_some_and(|heading| heading.ends_with(",file_system")));
        std::fs::write(&path, &before).expect("it can be written");

        let (mut record, rows) = Record::resume(&path, &of_cpu).expect("it can go on");
        assert_eq!(rows, std::slice::from_ref(&of_cpu));
        let of_gpu = RecordRow { device: "gpu".to_owned(), ..of_cpu.clone() };
        let refused = record.write(&of_gpu).expect_err("it has no column for that").to_string();
        assert!(refused.ends_with("has no columns for devices, and gpu is one: name another --record"));
        let second = RecordRow { repetition: Some(2), ..of_cpu.clone() };
        record.write(&second).expect("it can be written");
        drop(record);
        assert_eq!(Record::resume(&path, &of_cpu).expect("it can go on").1, [of_cpu.clone(), second]);

        std::fs::write(&path, lines(&of_gpu, true).expect("it can be written")).expect("it can be written");
        assert_eq!(Record::resume(&path, &of_cpu).expect("it can go on").1, [of_gpu]);
    }

    #[test]
    fn what_is_no_such_record_is_left_alone() {
        #[track_caller]
        fn check(content: &str, like: &RecordRow, expected: &str) {
            let directory = tempfile::tempdir().expect("a place for tests");
            let path = directory.path().join("record.csv");
            std::fs::write(&path, content).expect("it can be written");
            let error = Record::resume(&path, like).expect_err("it is refused").to_string();
            assert!(error.ends_with(expected), "{error}");
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), content);
        }
        let like = row(RowKind::Sample, 1);
        check("a,b\n1,2\n", &like, "is no record of a sweep: it has other columns");
        check("something else", &like, "is no record of a sweep: it has other columns");
        let whole = String::from_utf8(lines(&like, true).expect("it can be written")).expect("it is text");
        let other = RecordRow { tree: "20k".to_owned(), ..like.clone() };
        check(&whole, &other, "was made under other conditions: tree 10k, here 20k; name another --record");
        check(&whole.replace("0.25", "x"), &like, "field 6: invalid float literal");
        let summary = lines(&row(RowKind::Point, 1), false).expect("it can be written");
        let joined = format!(
            "{whole}{}{}",
            String::from_utf8_lossy(&summary),
            whole.split_once('\n').expect("a heading").1
        );
        check(&joined, &like, "is no record of a sweep: it holds more than one");
        let directory = tempfile::tempdir().expect("a place for tests");
        let path = directory.path().join("record.csv");
        std::fs::write(&path, &whole).expect("it can be written");
        let error = Record::create(&path).expect_err("it is there").to_string();
        assert!(error.contains("is there already"), "{error}");
    }
}
