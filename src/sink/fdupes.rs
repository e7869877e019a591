//! Groups of files in the layout of fdupes, for the scripts that read it: a path a line, and an empty line after each group.
//!
//! Only groups of files are in it, and of each copy one name: what fdupes lists without `-H`.

use std::io::{self, BufWriter, Write};

use super::{Refuse, Sink};
use crate::record::{Alike, Group, Record};
use crate::report::Report;

/// Writes groups of paths to `W` in large pieces.
pub struct Fdupes<'r, W: Write> {
    writer: BufWriter<W>,
    /// The lines of a group.
    lines: Vec<u8>,
    refuse: Refuse<'r>,
}

const BUFFER_BYTES: usize = 256 * 1024;

impl<'r, W: Write> Fdupes<'r, W> {
    /// A path that holds a line feed cannot be told from two: `refuse` is given it and why. Another name of that copy
    /// then stands for it; and a group that has less than two copies left is left out.
    pub fn new(writer: W, refuse: Refuse<'r>) -> Fdupes<'r, W> {
        Fdupes { writer: BufWriter::with_capacity(BUFFER_BYTES, writer), lines: Vec::new(), refuse }
    }
}

impl<W: Write> Sink for Fdupes<'_, W> {
    fn record(&mut self, _record: &Record<'_>) -> io::Result<()> {
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        if group.alike != Alike::Files {
            return Ok(());
        }
        self.lines.clear();
        let mut copies = 0;
        for names in group.members.chunk_by(|one, other| one.copy == other.copy) {
            for name in names {
                let begin = self.lines.len();
                name.path_to(&mut self.lines);
                let path = &self.lines[begin..];
                if memchr::memchr(b'\n', path).is_none() {
                    self.lines.push(b'\n');
                    copies += 1;
                    break;
                }
                (self.refuse)(path, "a line feed in its name");
                self.lines.truncate(begin);
            }
        }
        if copies < 2 {
            return Ok(());
        }
        self.lines.push(b'\n');
        self.writer.write_all(&self.lines)
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
    use crate::record::Member;

    #[track_caller]
    fn check(alike: Alike, names: &[(&[u8], u32)], expected: &[u8], refused_expected: &[&[u8]]) {
        let (mut report, mut refused) = (Vec::new(), Vec::new());
        let member = |&(name, copy)| Member {
            directory: b"d",
            name,
            copy,
            size: 7,
            mtime_ns: Some(0),
            inode: None,
            is_reference: false,
            similarity: None,
            is_identical: false,
        };
        let members: Vec<_> = names.iter().map(member).collect();
        let group = Group { alike, size: 7, digest: None, reclaimable_bytes: 7, members: &members };
        let mut sink = Fdupes::new(&mut report, Box::new(|path, _| refused.push(path.to_vec())));
        for _ in 0..2 {
            sink.group(&group).expect("memory takes all");
        }
        sink.idle().expect("memory takes all");
        drop(sink);
        assert_eq!(report.escape_ascii().to_string(), expected.repeat(2).escape_ascii().to_string());
        assert_eq!(refused, refused_expected.repeat(2));
    }

    #[test]
    fn groups_end_with_an_empty_line() {
        check(Alike::Files, &[(b"a", 0), (b"b", 1), (b"\xff", 2)], b"d/a\nd/b\nd/\xff\n\n", &[]);
        check(Alike::Directories { files: 2 }, &[(b"a", 0), (b"b", 1)], b"", &[]);
        check(Alike::Similar { share: 0.5 }, &[(b"a", 0), (b"b", 1)], b"", &[]);
    }

    #[test]
    fn a_copy_has_one_name_that_a_line_can_hold() {
        check(Alike::Files, &[(b"a", 0), (b"a2", 0), (b"b", 1), (b"b2", 1)], b"d/a\nd/b\n\n", &[]);
        check(Alike::Files, &[(b"a\n", 0), (b"a2", 0), (b"b", 1)], b"d/a2\nd/b\n\n", &[b"d/a\n"]);
        check(Alike::Files, &[(b"a", 0), (b"b\n", 1), (b"c", 2)], b"d/a\nd/c\n\n", &[b"d/b\n"]);
        check(Alike::Files, &[(b"a", 0), (b"\nb", 1)], b"", &[b"d/\nb"]);
    }
}
