//! Manifests as `b3sum` and `sha256sum` write them, for their `--check`: digest, two spaces, path.
//!
//! A path with a backslash, a line feed or a carriage return is escaped, and its line begins with a backslash.

use std::io::{self, BufWriter, Write};
use std::time::SystemTime;

use super::{Refuse, Sink};
use crate::plan::Plan;
use crate::record::{Outcome, Record, Value};
use crate::report::Report;

/// Writes a manifest to `W` in large pieces.
pub struct Manifest<'r, W: Write> {
    writer: BufWriter<W>,
    tool: Tool,
    /// Where the digest stands among the values.
    column: usize,
    path: Vec<u8>,
    line: Vec<u8>,
    refuse: Refuse<'r>,
}

/// The program that is to check a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `b3sum`, over the column of the analysis `blake3`.
    B3sum,
    /// `sha256sum`, over the column of the analysis `sha256`.
    Sha256sum,
}

impl Tool {
    /// The analysis that a manifest for it needs in the plan.
    pub fn analysis(self) -> &'static str {
        match self {
            Tool::B3sum => "blake3",
            Tool::Sha256sum => "sha256",
        }
    }

    /// Why it could not check a file of this name.
    fn refuses(self, path: &[u8]) -> Option<&'static str> {
        match (self, std::str::from_utf8(path)) {
            // Alone it stands for standard input.
            (_, Ok("-")) => Some("a name that stands for standard input"),
            (Tool::B3sum, Err(_)) => Some("a name that is not UTF-8"),
            (Tool::B3sum, Ok(path)) if path.contains('\u{fffd}') => {
                Some("a replacement character in its name")
            }
            _ => None,
        }
    }
}

const BUFFER_BYTES: usize = 256 * 1024;

impl<'r, W: Write> Manifest<'r, W> {
    /// A manifest for `tool`. `refuse` is given each path that `tool` could not check, and why.
    pub fn new(writer: W, tool: Tool, refuse: Refuse<'r>) -> Manifest<'r, W> {
        let writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        Manifest { writer, tool, column: 0, path: Vec::new(), line: Vec::new(), refuse }
    }
}

impl<W: Write> Sink for Manifest<'_, W> {
    fn begin(&mut self, plan: &Plan, _started: SystemTime) -> io::Result<()> {
        let analysis = self.tool.analysis();
        let column = plan.columns().iter().position(|column| column.name == analysis);
        self.column =
            column.ok_or_else(|| io::Error::other(format!("a manifest needs the analysis {analysis}")))?;
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        if !matches!(record.outcome, Outcome::Done { .. }) {
            return Ok(());
        }
        self.path.clear();
        record.path_to(&mut self.path);
        if let Some(why) = self.tool.refuses(&self.path) {
            (self.refuse)(&self.path, why);
            return Ok(());
        }
        let Some(Value::Digest(digest)) = record.values.get(self.column) else {
            return Err(io::Error::other("the analysis gave no digest"));
        };
        self.line.clear();
        self.line.extend_from_slice(digest.hex(&mut [0; 64]).as_bytes());
        self.line.extend_from_slice(b"  ");
        let plain = self.line.len();
        for &byte in &self.path {
            match byte {
                b'\\' => self.line.extend_from_slice(br"\\"),
                b'\n' => self.line.extend_from_slice(br"\n"),
                b'\r' => self.line.extend_from_slice(br"\r"),
                _ => self.line.push(byte),
            }
        }
        if self.line.len() - plain > self.path.len() {
            self.writer.write_all(b"\\")?;
        }
        self.line.push(b'\n');
        self.writer.write_all(&self.line)
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
    use crate::record::Digest;

    #[track_caller]
    fn check(tool: Tool, name: &[u8], expected: &[u8], refused_expected: bool) {
        let (mut report, mut refused) = (Vec::new(), false);
        let mut sink = Manifest::new(&mut report, tool, Box::new(|_, _| refused = true));
        let values = [Value::Digest(Digest::new(&[0xab]))];
        let outcome = Outcome::done(0, 0);
        sink.record(&Record { number: 0, directory: b"", name, outcome, values: &values })
            .expect("memory takes all");
        sink.idle().expect("memory takes all");
        drop(sink);
        assert_eq!((report.as_slice(), refused), (expected, refused_expected));
    }

    #[test]
    fn lines_are_those_of_the_tools() {
        for tool in [Tool::B3sum, Tool::Sha256sum] {
            check(tool, b"a b", b"ab  a b\n", false);
            check(tool, b"a\\b", b"\\ab  a\\\\b\n", false);
            check(tool, b"a\nb\rc", b"\\ab  a\\nb\\rc\n", false);
            check(tool, b"-", b"", true);
        }
        check(Tool::Sha256sum, b"\xff", b"ab  \xff\n", false);
        check(Tool::B3sum, b"\xff", b"", true);
        check(Tool::B3sum, "\u{fffd}".as_bytes(), b"", true);
    }
}
