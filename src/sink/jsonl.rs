//! JSON lines, schema `filemill.scan/1`: records `begin`, `file`, `skipped`, `error`, `end`.
//!
//! A path that is not UTF-8 is `{"bytes": "<base64>"}`. A missing `end` means a run that was cut short.

use std::io::{self, Write};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value as Json, json};

use super::Sink;
use crate::error::FileError;
use crate::plan::Plan;
use crate::record::{Column, Outcome, Record, Value};
use crate::report::Report;

/// The name of the schema, and its version.
pub const SCHEMA: &str = "filemill.scan/1";

/// Writes JSON lines to `W` in large pieces.
#[derive(Debug)]
pub struct Jsonl<W> {
    writer: W,
    buffer: Vec<u8>,
    path: Vec<u8>,
    columns: Vec<Column>,
}

/// Written once this much has come together: one system call for about a thousand records.
const BUFFER_BYTES: usize = 256 * 1024;

impl<W: Write> Jsonl<W> {
    /// A sink that writes to `writer`, which needs no buffer of its own.
    pub fn new(writer: W) -> Jsonl<W> {
        Jsonl { writer, buffer: Vec::with_capacity(BUFFER_BYTES + 4096), path: Vec::new(), columns: Vec::new() }
    }

    /// The writer, with all that was reported written to it.
    pub fn into_inner(self) -> W {
        self.writer
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.buffer, value)?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        self.writer.flush()
    }
}

impl<W: Write> Sink for Jsonl<W> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.columns = plan.columns();
        let options = options(plan);
        let roots: Vec<_> = plan.roots.iter().map(|root| Path(root.path.as_os_str().as_encoded_bytes())).collect();
        self.line(&json!({
            "type": "begin",
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "started": humantime::format_rfc3339_millis(started).to_string(),
            "roots": roots,
            "columns": self.columns.iter().map(|column| column.name).collect::<Vec<_>>(),
            "options_hash": blake3::hash(options.to_string().as_bytes()).to_hex()[..16],
            "options": options,
        }))
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        record.path_to(&mut path);
        let columns = std::mem::take(&mut self.columns);
        let line = self.line(&Line { path: &path, record, columns: &columns });
        (self.path, self.columns) = (path, columns);
        line
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.line(&end(report))?;
        self.flush()
    }
}

/// What decides the answers and what was asked for, not how it was scheduled.
fn options(plan: &Plan) -> Json {
    let filter = &plan.filter;
    json!({
        "analyses": plan.analyses.iter().map(|analysis| analysis.name()).collect::<Vec<_>>(),
        "globs": filter.globs,
        "skip_hidden": filter.skip_hidden,
        "min_size": filter.size_min,
        "max_size": filter.size_max,
        "max_depth": filter.depth_max,
        "one_file_system": filter.one_file_system,
        "follow": filter.follow,
    })
}

fn end(report: &Report) -> Json {
    let ledger = &report.ledger;
    let seconds = |duration: std::time::Duration| duration.as_secs_f64();
    let skipped: serde_json::Map<_, _> =
        ledger.skipped().map(|(reason, count)| (reason.name().to_owned(), json!(count))).collect();
    let failed: serde_json::Map<_, _> =
        ledger.failed().map(|(cause, count)| (cause.name().to_owned(), json!(count))).collect();
    json!({
        "type": "end",
        "met": ledger.met,
        "done": ledger.done,
        "skipped": skipped,
        "failed": failed,
        "unread": ledger.unread,
        "filtered": report.filtered,
        "directories": report.directories,
        "directories_failed": report.directories_failed,
        "bytes": ledger.bytes,
        "seconds": seconds(report.elapsed),
        "step_seconds": {
            "walk": seconds(report.steps.walk),
            "stage": seconds(report.steps.stage),
            "analyse": seconds(report.steps.analyse),
            "sink": seconds(report.steps.sink),
            "workers_waited": seconds(report.steps.workers_waited),
        },
        "devices": { "cpu": { "files": ledger.done, "bytes": ledger.bytes } },
        "walkers": report.walkers,
        "workers": [report.workers],
        "peak_memory_bytes": report.peak_memory_bytes,
        "cancelled": report.cancelled,
        "notes": report.notes,
    })
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

struct Line<'a> {
    path: &'a [u8],
    record: &'a Record<'a>,
    columns: &'a [Column],
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let path = Path(self.path);
        match &self.record.outcome {
            Outcome::Done { size, mtime_ns } => {
                map.serialize_entry("type", "file")?;
                map.serialize_entry("path", &path)?;
                map.serialize_entry("size", size)?;
                map.serialize_entry("mtime_ns", mtime_ns)?;
                for (column, value) in self.columns.iter().zip(self.record.values) {
                    map.serialize_entry(column.name, &Cell(value))?;
                }
            }
            Outcome::Skipped(reason) => {
                map.serialize_entry("type", "skipped")?;
                map.serialize_entry("path", &path)?;
                map.serialize_entry("reason", reason.name())?;
            }
            Outcome::Failed(error) => {
                map.serialize_entry("type", "error")?;
                map.serialize_entry("path", &path)?;
                serialize_error(&mut map, error)?;
            }
            Outcome::Unread => unreachable!("an unread entry makes no record"),
        }
        map.end()
    }
}

fn serialize_error<M: SerializeMap>(map: &mut M, error: &FileError) -> Result<(), M::Error> {
    map.serialize_entry("step", error.step.name())?;
    map.serialize_entry("errno", &error.errno_name())?;
    map.serialize_entry("cause", error.cause.name())
}

struct Cell<'a>(&'a Value);

impl Serialize for Cell<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::U64(number) => serializer.serialize_u64(*number),
            Value::F64(number) => serializer.serialize_f64(*number),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Digest(digest) => serializer.serialize_str(digest.hex(&mut [0; 64])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, Step};
    use crate::record::{Digest, SkipReason, ValueKind};

    #[track_caller]
    fn check(directory: &[u8], name: &[u8], outcome: Outcome, values: &[Value], expected: &str) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let mut sink = Jsonl::new(Vec::new());
        sink.columns = NAMES.map(|name| Column { name, kind: ValueKind::Text, unit: "" }).to_vec();
        sink.record(&Record { directory, name, outcome, values }).expect("memory takes all");
        sink.flush().expect("memory takes all");
        assert_eq!(String::from_utf8(sink.into_inner()).expect("JSON is UTF-8"), format!("{expected}\n"));
    }

    #[test]
    fn a_file_has_a_key_a_column() {
        let done = Outcome::Done { size: 3, mtime_ns: -1 };
        check(b"d", b"f", done, &[], r#"{"type":"file","path":"d/f","size":3,"mtime_ns":-1}"#);
        check(
            b"",
            b"f",
            done,
            &[Value::U64(u64::MAX), Value::F64(4.5), Value::Null],
            r#"{"type":"file","path":"f","size":3,"mtime_ns":-1,"a":18446744073709551615,"b":4.5,"c":null}"#,
        );
        check(
            b"/",
            b"f",
            done,
            &[Value::Bool(true), Value::Text("x\"y".into()), Value::Digest(Digest::new(&[0xab]))],
            r#"{"type":"file","path":"/f","size":3,"mtime_ns":-1,"a":true,"b":"x\"y","c":"ab"}"#,
        );
    }

    #[test]
    fn names_are_escaped_or_given_as_bytes() {
        let skipped = Outcome::Skipped(SkipReason::OwnOutput);
        check(b"d", b"\n\x1b", skipped, &[], r#"{"type":"skipped","path":"d/\n\u001b","reason":"own-output"}"#);
        check(b"d", b"\xff", skipped, &[], r#"{"type":"skipped","path":{"bytes":"ZC//"},"reason":"own-output"}"#);
    }

    #[test]
    fn an_error_tells_step_number_and_cause() {
        let failed = Outcome::Failed(FileError::new(Step::Stage, Cause::Changed));
        check(b"", b"f", failed, &[], r#"{"type":"error","path":"f","step":"stage","errno":null,"cause":"changed"}"#);
    }
}
