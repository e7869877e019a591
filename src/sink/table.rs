//! A table for people: a row a path, and the path at its end, so that no long name moves the columns.
//!
//! It is written as it comes. The first rows decide how wide the columns are, and a wider value moves its own row.

use std::io::{self, BufWriter, Write};
use std::time::SystemTime;

use super::{Sink, printable};
use crate::plan::{Plan, Sort};
use crate::record::{Column, Outcome, Record, Value, ValueKind};
use crate::report::Report;

/// Writes a table to `W`.
pub struct Table<W: Write> {
    writer: BufWriter<W>,
    columns: Vec<Column>,
    /// Which of the plan's columns those are: a sketch says nothing to people.
    shown: Vec<usize>,
    /// The first rows, until there are enough to see how wide the columns are.
    first: Vec<Cells>,
    widths: Vec<usize>,
    is_sorted: bool,
}

/// A row: a cell per column, and the path, which comes last.
struct Cells {
    cells: Vec<String>,
    path: String,
}

const ROWS_SEEN: usize = 500;
const FIXED: [&str; 2] = ["size", "modified"];

impl<W: Write> Table<W> {
    /// A table that is written to `writer`, which needs no buffer of its own.
    pub fn new(writer: W) -> Table<W> {
        Table {
            writer: BufWriter::new(writer),
            columns: Vec::new(),
            shown: Vec::new(),
            first: Vec::new(),
            widths: Vec::new(),
            is_sorted: false,
        }
    }

    fn show(&mut self, columns: Vec<Column>) {
        let shown = columns.into_iter().enumerate().filter(|(_, column)| column.kind != ValueKind::Sketch);
        (self.shown, self.columns) = shown.unzip();
    }

    fn is_right_aligned(&self, column: usize) -> bool {
        match column.checked_sub(FIXED.len()) {
            None => column == 0,
            Some(column) => matches!(self.columns[column].kind, ValueKind::U64 | ValueKind::F64),
        }
    }

    fn write(&mut self, row: &Cells) -> io::Result<()> {
        for (i, (cell, width)) in row.cells.iter().zip(&self.widths).enumerate() {
            if self.is_right_aligned(i) {
                write!(self.writer, "{cell:>width$}  ")?;
            } else {
                write!(self.writer, "{cell:<width$}  ")?;
            }
        }
        writeln!(self.writer, "{}", row.path)
    }

    /// Settles the widths and writes what waited for that.
    fn settle(&mut self) -> io::Result<()> {
        if !self.widths.is_empty() || self.first.is_empty() {
            return Ok(());
        }
        let names = FIXED.into_iter().chain(self.columns.iter().map(|column| column.name));
        let header = Cells { cells: names.map(str::to_owned).collect(), path: "path".to_owned() };
        let rows = std::mem::take(&mut self.first);
        self.widths = (0..header.cells.len())
            .map(|i| {
                let cells = rows.iter().chain([&header]).map(|row| row.cells[i].chars().count());
                cells.max().unwrap_or(0)
            })
            .collect();
        self.write(&header)?;
        rows.iter().try_for_each(|row| self.write(row))
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::U64(number) => number.to_string(),
        Value::F64(number) => format!("{number:.3}"),
        Value::Bool(truth) => if *truth { "yes" } else { "no" }.to_owned(),
        Value::Text(text) => printable(text.as_bytes()),
        Value::Digest(digest) => digest.hex(&mut [0; 64]).to_owned(),
        Value::Sketch(_) => unreachable!("columns of sketches are not shown"),
    }
}

/// A time in UTC to the second; one that no calendar has as seconds since 1970.
fn time(mtime_ns: i128) -> String {
    let seconds = mtime_ns.div_euclid(1_000_000_000);
    let timestamp = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    timestamp.map_or_else(|| seconds.to_string(), |timestamp| timestamp.to_string())
}

impl<W: Write> Sink for Table<W> {
    fn begin(&mut self, plan: &Plan, _started: SystemTime) -> io::Result<()> {
        self.show(plan.columns());
        self.is_sorted = plan.sort == Sort::Path;
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = Vec::new();
        record.path_to(&mut path);
        let path = printable(&path);
        let without = |note: String| Cells {
            cells: vec!["-".to_owned(); FIXED.len() + self.columns.len()],
            path: format!("{path}  ({note})"),
        };
        let row = match &record.outcome {
            Outcome::Done { size, mtime_ns, .. } => {
                let fixed = [size.to_string(), time(*mtime_ns)].into_iter();
                let shown = self.shown.iter().filter_map(|&column| record.values.get(column));
                Cells { cells: fixed.chain(shown.map(cell)).collect(), path }
            }
            Outcome::Skipped(reason) => without(format!("skipped: {}", reason.name())),
            Outcome::Failed(error) => without(format!("error: {}", error.cause.name())),
            Outcome::Listed => return Ok(()),
            Outcome::Unread => unreachable!("an unread entry makes no record"),
        };
        if !self.widths.is_empty() {
            return self.write(&row);
        }
        self.first.push(row);
        if self.first.len() >= ROWS_SEEN { self.settle() } else { Ok(()) }
    }

    fn idle(&mut self) -> io::Result<()> {
        // Where the order is always the same, so are the widths: they do not depend on what came before a pause.
        if !self.is_sorted {
            self.settle()?;
        }
        self.writer.flush()
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.settle()?;
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SkipReason;

    #[test]
    fn columns_stand_below_each_other_and_names_move_no_cursor() {
        let mut report = Vec::new();
        let mut sink = Table::new(&mut report);
        let column = |name, kind| Column { name, kind, unit: "" };
        let sketch = column("minhash", ValueKind::Sketch);
        sink.show(vec![column("kind", ValueKind::Text), sketch, column("lines", ValueKind::U64)]);
        let some = || Value::Sketch([7].into());
        let done = |size, mtime_ns| Outcome::done(size, mtime_ns);
        let rows = [
            (&b"a"[..], done(5, 0), vec![Value::Text("text/html".into()), some(), Value::U64(1)]),
            (b"b\x1b[31m", done(1_234_567, -1), vec![Value::Null, Value::Null, Value::U64(99)]),
            (b"c", done(0, i128::from(i64::MAX) * 1_000_000_000), vec![Value::Null, some(), Value::U64(0)]),
            (b"d", Outcome::Skipped(SkipReason::Fifo), vec![]),
        ];
        for (name, outcome, values) in rows {
            sink.record(&Record { number: 0, directory: b"", name, outcome, values: &values })
                .expect("memory takes all");
        }
        sink.idle().expect("memory takes all");
        drop(sink);
        let expected = r"
   size  modified              kind       lines  path
      5  1970-01-01T00:00:00Z  text/html      1  a
1234567  1969-12-31T23:59:59Z  -             99  b\u{1b}[31m
      0  9223372036854775807   -              0  c
      -  -                     -              -  d  (skipped: fifo)
";
        assert_eq!(format!("\n{}", String::from_utf8(report).expect("it is escaped")), expected);
    }
}
