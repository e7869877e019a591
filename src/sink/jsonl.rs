//! JSON lines, schema `filemill.scan/1`: records `begin`, `file`, `skipped`, `error`, `group`, `action`, `end`.
//!
//! A path that is not UTF-8 is `{"bytes": "<base64>"}`. A missing `end` means a run that was cut short.

mod devices;
mod group;
mod places;
mod search;

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use self::devices::{Device, Devices};
use self::places::Places;
use super::Sink;
use super::sketch::base64_to;
use crate::error::FileError;
use crate::keep::{Keep, nanoseconds};
use crate::latencies::Latencies;
use crate::plan::Plan;
use crate::record::{ActionRecord, Column, Digest, Group, Outcome, Record, Value};
use crate::report::{Move, Report, Staged};

/// The name of the schema, and its version.
const SCHEMA: &str = "filemill.scan/1";

/// The JSON Schema (draft 2020-12) of a record.
pub const JSONL_SCHEMA: &str = include_str!("../../schemas/filemill.scan.1.schema.json");

/// Writes JSON lines to `W` in large pieces.
#[derive(Debug)]
pub struct Jsonl<W> {
    writer: W,
    buffer: Vec<u8>,
    path: Vec<u8>,
    /// `,"name":` for each column.
    keys: Vec<Vec<u8>>,
    /// What a search for duplicates was asked for.
    duplicates: Option<serde_json::Value>,
    places: Places,
}

/// Written once this much has come together: one system call for about a thousand records.
const BUFFER_BYTES: usize = 256 * 1024;

impl<W: Write> Jsonl<W> {
    /// A sink that writes to `writer`, which needs no buffer of its own.
    pub fn new(writer: W) -> Jsonl<W> {
        Jsonl {
            writer,
            buffer: Vec::with_capacity(BUFFER_BYTES + 4096),
            path: Vec::new(),
            keys: Vec::new(),
            duplicates: None,
            places: Places::default(),
        }
    }

    /// The same with the options of a search for duplicates, which no plan has, for the first record.
    pub fn with_duplicates(self, options: serde_json::Value) -> Jsonl<W> {
        Jsonl { duplicates: Some(options), ..self }
    }

    /// The writer, with all that was reported written to it.
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        self.writer.flush()
    }

    fn text(&mut self, text: &[u8]) {
        self.buffer.extend_from_slice(text);
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        Ok(serde_json::to_writer(&mut self.buffer, value)?)
    }

    fn number(&mut self, number: impl itoa::Integer) {
        self.text(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A time in nanoseconds. Division by ten takes far longer in 128 bits, which few times need.
    fn time(&mut self, time_ns: i128) {
        match i64::try_from(time_ns) {
            Ok(time_ns) => self.number(time_ns),
            Err(_) => self.number(time_ns),
        }
    }

    /// The path that `path_to` appends.
    fn path(&mut self, path_to: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        path_to(&mut path);
        let written = self.json(&Path(&path));
        self.path = path;
        written
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Null => self.text(b"null"),
            Value::U64(number) => self.number(*number),
            Value::F64(number) => self.json(number)?,
            Value::Bool(truth) => self.text(if *truth { b"true" } else { b"false" }),
            Value::Text(text) => self.json(text.as_ref())?,
            Value::Digest(digest) => self.digest(digest),
            Value::Sketch(sketch) => {
                self.buffer.push(b'"');
                base64_to(sketch, &mut self.buffer);
                self.buffer.push(b'"');
            }
        }
        Ok(())
    }

    fn digest(&mut self, digest: &Digest) {
        self.buffer.push(b'"');
        self.text(digest.hex(&mut [0; 64]).as_bytes());
        self.buffer.push(b'"');
    }

    fn error(&mut self, error: &FileError) -> io::Result<()> {
        self.text(b",\"step\":");
        self.json(error.step.name())?;
        self.text(b",\"errno\":");
        self.json(&error.errno_name())?;
        self.text(b",\"cause\":");
        self.json(error.cause.name())
    }
}

impl<W: Write> Sink for Jsonl<W> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        let columns = plan.columns();
        self.keys = columns.iter().map(|column| key(column.name)).collect::<Result<_, _>>()?;
        let duplicates = self.duplicates.take();
        self.places = Places::new(plan);
        let file_systems = self.places.of_roots();
        let begin = Begin::new(plan, started, &columns, file_systems, duplicates.as_ref())?;
        serde_json::to_writer(&mut self.buffer, &begin)?;
        self.end_line()
    }

    /// Written piece by piece, as this is the one thing done per file on a single thread.
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        match &record.outcome {
            Outcome::Done { size, mtime_ns, identity, mode, keep, .. } => {
                self.text(br#"{"type":"file","path":"#);
                self.path(|path| record.path_to(path))?;
                self.text(br#","size":"#);
                self.number(*size);
                self.text(br#","mtime_ns":"#);
                self.time(*mtime_ns);
                self.text(br#","inode":"#);
                self.number(identity.inode);
                self.text(br#","ctime_ns":"#);
                self.time(identity.ctime_ns());
                self.text(br#","mode":"#);
                self.number(*mode);
                self.text(settled(*keep));
                if !self.places.is_home(identity.device) {
                    self.text(br#","file_system":"#);
                    self.buffer.extend_from_slice(self.places.json(record, identity.device));
                }
                let keys = std::mem::take(&mut self.keys);
                for (key, value) in keys.iter().zip(record.values) {
                    self.text(key);
                    self.value(value)?;
                }
                self.keys = keys;
            }
            Outcome::Skipped(reason) => {
                self.text(br#"{"type":"skipped","path":"#);
                self.path(|path| record.path_to(path))?;
                self.text(br#","reason":"#);
                self.json(reason.name())?;
            }
            Outcome::Failed(error) => {
                self.text(br#"{"type":"error","path":"#);
                self.path(|path| record.path_to(path))?;
                self.error(error)?;
            }
            Outcome::Listed => return Ok(()),
            Outcome::Unread => unreachable!("an unread entry makes no record"),
        }
        self.buffer.push(b'}');
        self.end_line()
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.write_group(group)
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        self.write_action(action)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.json(&End::new(report))?;
        self.end_line()?;
        self.flush()
    }
}

/// The first record.
#[derive(Serialize)]
struct Begin<'a> {
    r#type: &'static str,
    schema: &'static str,
    version: &'static str,
    started: String,
    roots: Vec<Path<'a>>,
    roots_listed: usize,
    file_systems: &'a [Option<String>],
    columns: Vec<&'static str>,
    options: Options<'a>,
    options_hash: String,
}

/// What decides the answers and what was asked for, not how it was scheduled; in the words of the flags.
#[derive(Serialize)]
struct Options<'a> {
    analyses: Vec<Cow<'static, str>>,
    globs: &'a [String],
    gitignore: bool,
    skip_hidden: bool,
    min_size: Option<u64>,
    max_size: Option<u64>,
    max_depth: Option<usize>,
    one_file_system: bool,
    follow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<&'a serde_json::Value>,
}

impl<'a> Begin<'a> {
    fn new(
        plan: &'a Plan,
        started: SystemTime,
        columns: &[Column],
        file_systems: &'a [Option<String>],
        duplicates: Option<&'a serde_json::Value>,
    ) -> io::Result<Begin<'a>> {
        let filter = &plan.filter;
        let options = Options {
            analyses: plan.analyses.iter().map(|analysis| analysis.word()).collect(),
            globs: &filter.globs,
            gitignore: filter.gitignore,
            skip_hidden: filter.skip_hidden,
            min_size: filter.size_min,
            max_size: filter.size_max,
            max_depth: filter.depth_max,
            one_file_system: filter.one_file_system,
            follow: filter.follow,
            duplicates,
        };
        // A list may be very long: it is counted.
        let given = plan.roots.iter().filter(|root| !root.is_listed());
        Ok(Begin {
            r#type: "begin",
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            started: rfc3339(started),
            roots: given.map(|root| Path(root.path().as_os_str().as_encoded_bytes())).collect(),
            roots_listed: plan.roots.iter().filter(|root| root.is_listed()).count() + plan.listed.len(),
            file_systems,
            columns: columns.iter().map(|column| column.name).collect(),
            options_hash: blake3::hash(&serde_json::to_vec(&options)?).to_hex()[..16].to_owned(),
            options,
        })
    }
}

/// The last record: the report.
#[derive(Serialize)]
struct End<'a> {
    r#type: &'static str,
    met: u64,
    done: u64,
    skipped: Counts,
    failed: Counts,
    unread: u64,
    filtered: u64,
    directories: u64,
    directories_failed: u64,
    bytes: u64,
    seconds: f64,
    step_seconds: StepSeconds,
    batches: u64,
    batch_seconds: BatchSeconds,
    devices: Devices<'a>,
    staged: StagedFiles,
    walkers: usize,
    workers: Vec<usize>,
    worker_moves: Vec<WorkerMove>,
    peak_memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<search::Search>,
    cancelled: bool,
    notes: &'a [String],
}

/// Thread seconds per step.
#[derive(Serialize)]
struct StepSeconds {
    walk: f64,
    stage: f64,
    analyse: f64,
    sink: f64,
    workers_waited: f64,
}

/// How long batches took; null where there was none.
#[derive(Serialize)]
struct BatchSeconds {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

impl From<&Latencies> for BatchSeconds {
    fn from(batches: &Latencies) -> BatchSeconds {
        let quantile = |quantile: f64| batches.quantile(quantile).map(|time| time.as_secs_f64());
        BatchSeconds {
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: batches.max().map(|time| time.as_secs_f64()),
        }
    }
}

/// How files came to be read.
#[derive(Serialize)]
struct StagedFiles {
    read: Device,
    mmap: Device,
    ram_disk: Device,
    ram_disk_bytes_peak: u64,
    load_seconds: f64,
}

impl From<&Staged> for StagedFiles {
    fn from(staged: &Staged) -> StagedFiles {
        StagedFiles {
            read: Device::from(staged.read),
            mmap: Device::from(staged.mmap),
            ram_disk: Device::from(staged.ram_disk),
            ram_disk_bytes_peak: staged.ram_disk_bytes_peak,
            load_seconds: staged.load.as_secs_f64(),
        }
    }
}

/// A change of the number of workers.
#[derive(Serialize)]
struct WorkerMove {
    seconds: f64,
    workers: usize,
    reason: &'static str,
}

impl From<&Move> for WorkerMove {
    fn from(went: &Move) -> WorkerMove {
        let Move { after, workers, reason } = *went;
        WorkerMove { seconds: after.as_secs_f64(), workers, reason: reason.name() }
    }
}

/// A count for each reason that occurs.
struct Counts(Vec<(&'static str, u64)>);

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

impl<'a> End<'a> {
    fn new(report: &'a Report) -> End<'a> {
        let Report { ledger, steps, .. } = report;
        End {
            r#type: "end",
            met: ledger.met,
            done: ledger.done,
            skipped: Counts(ledger.skipped().map(|(reason, count)| (reason.name(), count)).collect()),
            failed: Counts(ledger.failed().map(|(cause, count)| (cause.name(), count)).collect()),
            unread: ledger.unread,
            filtered: report.filtered,
            directories: report.directories,
            directories_failed: report.directories_failed,
            bytes: ledger.bytes,
            seconds: report.elapsed.as_secs_f64(),
            step_seconds: StepSeconds {
                walk: steps.walk.as_secs_f64(),
                stage: steps.stage.as_secs_f64(),
                analyse: steps.analyse.as_secs_f64(),
                sink: steps.sink.as_secs_f64(),
                workers_waited: steps.workers_waited.as_secs_f64(),
            },
            batches: report.batches.count(),
            batch_seconds: BatchSeconds::from(&report.batches),
            devices: Devices::from(report),
            staged: StagedFiles::from(&report.staged),
            walkers: report.walkers,
            workers: report.worker_sizes().collect(),
            worker_moves: report.moves.iter().map(WorkerMove::from).collect(),
            peak_memory_bytes: report.peak_memory_bytes,
            duplicates: report.duplicates.as_ref().map(search::Search::from),
            cancelled: report.cancelled,
            notes: &report.notes,
        }
    }
}

/// The key that says whether the answers may be used later, if the run has any of that kind.
fn settled(keep: Keep) -> &'static [u8] {
    match keep {
        Keep::Unasked => b"",
        Keep::Yes => br#","settled":true"#,
        Keep::No => br#","settled":false"#,
    }
}

/// A time in UTC, to the millisecond. Beyond the years of four digits, as ISO 8601 has them: with a sign and six or more.
fn rfc3339(time: SystemTime) -> String {
    /// The calendar repeats after 400 years.
    const CYCLE_YEARS: i128 = 400;
    const CYCLE_NS: i128 = 146_097 * 86_400 * 1_000_000_000;
    let time_ns = nanoseconds(time);
    // From 1970 on for 400 years, where every calendar has it.
    let (cycles, rest_ns) = (time_ns.div_euclid(CYCLE_NS), time_ns.rem_euclid(CYCLE_NS));
    let timestamp = jiff::Timestamp::from_nanosecond(rest_ns).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let text = format!("{timestamp:.3}");
    let (year, rest) = text.split_at(4);
    let year = year.parse::<i128>().unwrap_or(1970) + cycles * CYCLE_YEARS;
    match year {
        0..=9999 => format!("{year:04}{rest}"),
        _ => format!("{year:+07}{rest}"),
    }
}

/// `,"name":`
fn key(name: &str) -> io::Result<Vec<u8>> {
    let mut key = b",".to_vec();
    serde_json::to_writer(&mut key, name)?;
    key.push(b':');
    Ok(key)
}

/// Bytes that are text most of the time.
struct Path<'a>(&'a [u8]);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("bytes", &STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, Step};
    use crate::record::{Identity, SkipReason};

    #[track_caller]
    fn check(directory: &[u8], name: &[u8], outcome: Outcome, values: &[Value], expected: &str) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut sink = Jsonl::new(Vec::new());
        sink.keys = NAMES.map(|name| format!(",\"{name}\":").into_bytes()).to_vec();
        sink.places = Places::at(0);
        sink.record(&Record { number: 0, directory, name, outcome, values }).expect("memory takes all");
        sink.flush().expect("memory takes all");
        assert_eq!(String::from_utf8(sink.into_inner()).expect("JSON is UTF-8"), format!("{expected}\n"));
    }

    #[test]
    fn a_file_has_a_key_a_column() {
        let done = Outcome::done(3, -1);
        check(
            b"d",
            b"f",
            done,
            &[],
            r#"{"type":"file","path":"d/f","size":3,"mtime_ns":-1,"inode":0,"ctime_ns":0,"mode":0}"#,
        );
        check(
            b"",
            b"f",
            done,
            &[Value::U64(u64::MAX), Value::F64(4.5), Value::Null],
            r#"{"type":"file","path":"f","size":3,"mtime_ns":-1,"inode":0,"ctime_ns":0,"mode":0,"a":18446744073709551615,"b":4.5,"c":null}"#,
        );
        check(
            b"/",
            b"f",
            done,
            &[Value::Bool(true), Value::Text("x\"y".into()), Value::Digest(Digest::new(&[0xab]))],
            r#"{"type":"file","path":"/f","size":3,"mtime_ns":-1,"inode":0,"ctime_ns":0,"mode":0,"a":true,"b":"x\"y","c":"ab"}"#,
        );
    }

    #[test]
    fn a_file_says_what_it_was_and_whether_its_answers_may_be_kept() {
        let identity = Identity { device: 0, inode: 7, links: 1, ctime_seconds: -2, ctime_nanoseconds: 1 };
        let (mode, keep) = (0o4755, Keep::Yes);
        let mut outcome = Outcome::Done { size: 3, mtime_ns: 4, identity, mode, is_sparse: false, keep };
        let start =
            r#"{"type":"file","path":"f","size":3,"mtime_ns":4,"inode":7,"ctime_ns":-1999999999,"mode":2541"#;
        check(b"", b"f", outcome, &[], &format!(r#"{start},"settled":true}}"#));
        let Outcome::Done { keep, .. } = &mut outcome else { unreachable!() };
        *keep = Keep::No;
        check(b"", b"f", outcome, &[], &format!(r#"{start},"settled":false}}"#));
        let Outcome::Done { keep, identity, .. } = &mut outcome else { unreachable!() };
        (*keep, identity.device) = (Keep::Unasked, u64::MAX);
        check(b"", b"f", outcome, &[Value::Null], &format!(r#"{start},"file_system":null,"a":null}}"#));
    }

    #[test]
    fn times_beyond_the_calendar_have_a_year() {
        #[track_caller]
        fn check(seconds: i64, expected: &str) {
            let after = std::time::Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 {
                SystemTime::UNIX_EPOCH.checked_sub(after)
            } else {
                SystemTime::UNIX_EPOCH.checked_add(after)
            };
            // Not every system has times this far away.
            if let Some(time) = time {
                assert_eq!(rfc3339(time), expected);
            }
        }
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(-1, "1969-12-31T23:59:59.000Z");
        check(-62_167_219_200, "0000-01-01T00:00:00.000Z");
        check(-62_167_219_201, "-000001-12-31T23:59:59.000Z");
        check(253_402_300_799, "9999-12-31T23:59:59.000Z");
        check(253_402_300_800, "+010000-01-01T00:00:00.000Z");
        check(32_503_680_000_000, "+1031970-08-14T00:00:00.000Z");
        check(i64::MAX, "+292277026596-12-04T15:30:07.000Z");
    }

    #[test]
    fn names_are_escaped_or_given_as_bytes() {
        let skipped = Outcome::Skipped(SkipReason::OwnOutput);
        check(
            b"d",
            b"\n\x1b",
            skipped,
            &[],
            r#"{"type":"skipped","path":"d/\n\u001b","reason":"own-output"}"#,
        );
        check(
            b"d",
            b"\xff",
            skipped,
            &[],
            r#"{"type":"skipped","path":{"bytes":"ZC//"},"reason":"own-output"}"#,
        );
    }

    #[test]
    fn an_error_tells_step_number_and_cause() {
        let failed = Outcome::Failed(FileError::new(Step::Stage, Cause::Changed));
        check(
            b"",
            b"f",
            failed,
            &[],
            r#"{"type":"error","path":"f","step":"stage","errno":null,"cause":"changed"}"#,
        );
    }
}
