//! The names of the files that were read, and nothing else.

use std::io::{self, BufWriter, Write};

use super::{Refuse, Sink};
use crate::record::{Outcome, Record};
use crate::report::Report;

/// Writes a path a line, or each followed by NUL, to `W` in large pieces.
pub struct Paths<'r, W: Write> {
    writer: BufWriter<W>,
    path: Vec<u8>,
    terminator: u8,
    refuse: Refuse<'r>,
}

const BUFFER_BYTES: usize = 256 * 1024;

impl<'r, W: Write> Paths<'r, W> {
    /// A line a path. One that holds a line feed cannot be told from two: `refuse` is given it and why.
    pub fn lines(writer: W, refuse: Refuse<'r>) -> Paths<'r, W> {
        let writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        Paths { writer, path: Vec::new(), terminator: b'\n', refuse }
    }

    /// Each path followed by NUL, which no path can hold.
    pub fn nul_separated(writer: W) -> Paths<'r, W> {
        Paths { terminator: 0, ..Paths::lines(writer, Box::new(|_, _| {})) }
    }
}

impl<W: Write> Sink for Paths<'_, W> {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        if !matches!(record.outcome, Outcome::Done { .. }) {
            return Ok(());
        }
        self.path.clear();
        record.path_to(&mut self.path);
        if memchr::memchr(self.terminator, &self.path).is_some() {
            (self.refuse)(&self.path, "a line feed in its name (use -0)");
            return Ok(());
        }
        self.path.push(self.terminator);
        self.writer.write_all(&self.path)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SkipReason;

    fn write(sink: &mut dyn Sink) {
        for name in [&b"a"[..], b"b\nc", b"\xff"] {
            let done = Outcome::done(0, 0);
            for outcome in [done, Outcome::Skipped(SkipReason::Fifo)] {
                let record = Record { number: 0, directory: b"d", name, outcome, values: &[] };
                sink.record(&record).expect("memory takes all");
            }
        }
        sink.idle().expect("memory takes all");
    }

    #[test]
    fn files_are_named_and_what_a_line_cannot_hold_is_refused() {
        let (mut report, mut refused) = (Vec::new(), Vec::new());
        write(&mut Paths::lines(&mut report, Box::new(|path, _| refused.push(path.to_vec()))));
        assert_eq!((report.as_slice(), refused), (&b"d/a\nd/\xff\n"[..], vec![b"d/b\nc".to_vec()]));
        let mut report = Vec::new();
        write(&mut Paths::nul_separated(&mut report));
        assert_eq!(report, b"d/a\0d/b\nc\0d/\xff\0");
    }
}
