//! CSV as RFC 4180 has it: a header, then a row a path: `path`, `size`, `mtime_ns`, `status`, and a field per column.
//!
//! `status` is `ok`, `skipped:REASON` or `error:CAUSE`. Bytes of a path are as they are.

use std::io::{self, Write};
use std::time::SystemTime;

use super::Sink;
use super::sketch::base64_to;
use crate::plan::Plan;
use crate::record::{Outcome, Record, Value};
use crate::report::Report;

/// Writes CSV to `W` in large pieces.
pub struct Csv<W: Write> {
    writer: csv::Writer<W>,
    columns: usize,
    is_guarded: bool,
    cell: Vec<u8>,
}

const BUFFER_BYTES: usize = 256 * 1024;

impl<W: Write> Csv<W> {
    /// A sink that writes to `writer`, which needs no buffer of its own. A text that a spreadsheet would take for a
    /// formula, because it begins with `=`, `+`, `-`, `@`, a tab or a carriage return, gets a `'` in front; and so does
    /// one that begins with `'`s before such a sign, so that whoever reads it can take one `'` away again.
    pub fn new(writer: W) -> Csv<W> {
        let terminator = csv::Terminator::CRLF;
        let writer = csv::WriterBuilder::new()
            .buffer_capacity(BUFFER_BYTES)
            .terminator(terminator)
            .from_writer(writer);
        Csv { writer, columns: 0, is_guarded: true, cell: Vec::new() }
    }

    /// The same without the guard: every text as it is.
    pub fn unguarded(writer: W) -> Csv<W> {
        Csv { is_guarded: false, ..Csv::new(writer) }
    }

    /// Writes the text that lies in `self.cell`.
    fn text(&mut self) -> io::Result<()> {
        if self.is_guarded {
            guard(&mut self.cell);
        }
        self.writer.write_field(&self.cell).map_err(io_error)
    }

    fn plain(&mut self, field: &str) -> io::Result<()> {
        self.writer.write_field(field).map_err(io_error)
    }

    fn value(&mut self, value: &Value) -> io::Result<()> {
        match value {
            Value::Null => self.plain(""),
            Value::U64(number) => self.plain(itoa::Buffer::new().format(*number)),
            Value::F64(number) => self.plain(&number.to_string()),
            Value::Bool(truth) => self.plain(if *truth { "true" } else { "false" }),
            Value::Digest(digest) => self.plain(digest.hex(&mut [0; 64])),
            Value::Sketch(sketch) => {
                self.cell.clear();
                base64_to(sketch, &mut self.cell);
                // Base64 may begin with a +, but is no formula, and no one is to take it for text.
                self.writer.write_field(&self.cell).map_err(io_error)
            }
            Value::Text(text) => {
                self.cell.clear();
                self.cell.extend_from_slice(text.as_bytes());
                self.text()
            }
        }
    }
}

/// Puts a `'` before a text that a spreadsheet would take for a formula, or that `'`s make look like a guarded one.
pub(super) fn guard(text: &mut Vec<u8>) {
    let first = text.iter().find(|byte| **byte != b'\'');
    if first.is_some_and(|first| b"=+-@\t\r".contains(first)) {
        text.insert(0, b'\'');
    }
}

pub(super) fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

impl<W: Write> Sink for Csv<W> {
    fn begin(&mut self, plan: &Plan, _started: SystemTime) -> io::Result<()> {
        let columns = plan.columns();
        self.columns = columns.len();
        let names = ["path", "size", "mtime_ns", "status"].into_iter();
        self.writer.write_record(names.chain(columns.iter().map(|column| column.name))).map_err(io_error)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        // Before its path is a field of the row.
        if matches!(record.outcome, Outcome::Listed) {
            return Ok(());
        }
        self.cell.clear();
        record.path_to(&mut self.cell);
        self.text()?;
        match &record.outcome {
            Outcome::Done { size, mtime_ns, .. } => {
                self.plain(itoa::Buffer::new().format(*size))?;
                self.plain(itoa::Buffer::new().format(*mtime_ns))?;
                self.plain("ok")?;
                record.values.iter().try_for_each(|value| self.value(value))?;
            }
            Outcome::Skipped(reason) => self.without_values(&["skipped:", reason.name()].concat())?,
            Outcome::Failed(error) => self.without_values(&["error:", error.cause.name()].concat())?,
            Outcome::Listed => unreachable!("it was left out above"),
            Outcome::Unread => unreachable!("an unread entry makes no record"),
        }
        self.writer.write_record(None::<&[u8]>).map_err(io_error)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: Write> Csv<W> {
    fn without_values(&mut self, status: &str) -> io::Result<()> {
        self.plain("")?;
        self.plain("")?;
        self.plain(status)?;
        (0..self.columns).try_for_each(|_| self.plain(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, FileError, Step};
    use crate::record::{Digest, SkipReason};

    #[track_caller]
    fn check(name: &[u8], outcome: Outcome, values: &[Value], expected: &[u8]) {
        let mut report = Vec::new();
        let mut sink = Csv::new(&mut report);
        sink.columns = 2;
        sink.record(&Record { number: 0, directory: b"", name, outcome, values }).expect("memory takes all");
        sink.idle().expect("memory takes all");
        drop(sink);
        assert_eq!(report.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn a_row_has_a_field_a_column() {
        let done = Outcome::done(3, -1);
        check(b"d/f", done, &[Value::U64(7), Value::F64(4.5)], b"d/f,3,-1,ok,7,4.5\r\n");
        check(b"f", done, &[Value::Null, Value::Bool(true)], b"f,3,-1,ok,,true\r\n");
        let digest = Value::Digest(Digest::new(&[0xab]));
        check(b"f", done, &[digest, Value::Text("=x".into())], b"f,3,-1,ok,ab,'=x\r\n");
        check(b"f", Outcome::Skipped(SkipReason::Fifo), &[], b"f,,,skipped:fifo,,\r\n");
        let failed = Outcome::Failed(FileError::new(Step::Stage, Cause::Changed));
        check(b"f", failed, &[], b"f,,,error:changed,,\r\n");
    }

    #[test]
    fn what_was_only_listed_leaves_nothing() {
        check(b"f", Outcome::Listed, &[], b"");
    }

    #[test]
    fn names_are_quoted_and_guarded() {
        #[track_caller]
        fn name(name: &[u8], expected: &[u8]) {
            let row = [expected, b",,,skipped:fifo,,\r\n"].concat();
            check(name, Outcome::Skipped(SkipReason::Fifo), &[], &row);
        }
        name(b"a,b", b"\"a,b\"");
        name(b"a\"b", b"\"a\"\"b\"");
        name(b"a\r\nb", b"\"a\r\nb\"");
        name(b"\xff", b"\xff");
        name(b"=1+1", b"'=1+1");
        name(b"-x", b"'-x");
        name(b"\tx", b"'\tx");
        name(b"'=x", b"''=x");
        name(b"'x", b"'x");
        name(b"./=x", b"./=x");
    }
}
