//! Groups of a search for duplicates for people: a heading a group, its names below, and what was done about them.
//!
//! What could not be read is told as it comes, as it may have copies; what was skipped is not.

use std::io::{self, BufWriter, Write};

use super::{Sink, percent, printable, similarity};
use crate::record::{Acted, ActionRecord, Alike, Group, Member, Outcome, Record};
use crate::report::Report;

/// Writes groups to `W`.
pub struct GroupTable<W: Write> {
    writer: BufWriter<W>,
    last: Last,
}

/// What was written last: an empty line stands around each group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Group,
    Line,
}

/// Hex digits of a digest that are shown: enough to tell the groups of any tree apart.
const DIGITS_SHOWN: usize = 16;

impl<W: Write> GroupTable<W> {
    /// A table that is written to `writer`, which needs no buffer of its own.
    pub fn new(writer: W) -> GroupTable<W> {
        GroupTable { writer: BufWriter::new(writer), last: Last::Nothing }
    }

    fn begin(&mut self, next: Last) -> io::Result<()> {
        if self.last == Last::Group || (self.last == Last::Line && next == Last::Group) {
            writeln!(self.writer)?;
        }
        self.last = next;
        Ok(())
    }
}

impl<W: Write> Sink for GroupTable<W> {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let Outcome::Failed(error) = &record.outcome else { return Ok(()) };
        self.begin(Last::Line)?;
        let mut path = Vec::new();
        record.path_to(&mut path);
        writeln!(self.writer, "{}  (error: {})", printable(&path), error.cause.name())
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.begin(Last::Group)?;
        writeln!(self.writer, "{}", heading(group))?;
        let mut copy = None;
        for member in group.members {
            let is_link = copy == Some(member.copy);
            writeln!(self.writer, "  {}", line(group.alike, member, is_link))?;
            copy = Some(member.copy);
        }
        Ok(())
    }

    fn action(&mut self, record: &ActionRecord<'_>) -> io::Result<()> {
        self.begin(Last::Line)?;
        let (path, keep) = (printable(record.path), printable(record.keep));
        write!(self.writer, "{}: {path} <- {keep}: {}", record.action.name(), record.acted.name())?;
        match &record.acted {
            Acted::Refused(reason) => writeln!(self.writer, ": {}", printable(reason.as_bytes())),
            Acted::Planned | Acted::Done | Acted::Already => writeln!(self.writer),
        }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn end(&mut self, _report: &Report) -> io::Result<()> {
        self.writer.flush()
    }
}

fn heading(group: &Group<'_>) -> String {
    let (copies, size) = (group.copies(), bytes(group.size));
    let gain = format!("{} to gain", bytes(group.reclaimable_bytes));
    let mut heading = match group.alike {
        Alike::Files => format!("{copies} copies of {size}, {gain}"),
        Alike::Directories { files } => {
            let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
            format!("{copies} directories of {files}, {size}, {gain}")
        }
        Alike::Similar { share } => {
            let percent = percent(share, share >= 1.0);
            format!("{copies} directories with {size} in common ({percent}), {gain}")
        }
        Alike::Near { threshold, .. } => {
            let percent = percent(threshold, threshold >= 1.0);
            format!("{copies} files nearly the same, each at least {percent} like another")
        }
    };
    if let Some(digest) = &group.digest {
        let mut hex = [0; 64];
        let hex = digest.hex(&mut hex);
        heading.push_str(&format!("  ({})", &hex[..hex.len().min(DIGITS_SHOWN)]));
    }
    heading
}

fn line(alike: Alike, member: &Member<'_>, is_link: bool) -> String {
    let mut path = Vec::new();
    member.path_to(&mut path);
    let mut line = printable(&path);
    if let Alike::Similar { .. } | Alike::Near { .. } = alike {
        line.push_str(&format!("  ({})", bytes(member.size)));
    }
    if let Some(similarity) = similarity(alike, member) {
        line.push_str(&format!("  ({similarity})"));
    }
    if is_link {
        line.push_str("  (hard link)");
    }
    if member.is_reference {
        line.push_str("  (reference)");
    }
    line
}

fn bytes(count: u64) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, FileError, Step};
    use crate::record::{Action, Digest, SkipReason};

    #[test]
    fn groups_have_headings_and_names_move_no_cursor() {
        let mut report = Vec::new();
        let mut sink = GroupTable::new(&mut report);
        let failed = Outcome::Failed(FileError::new(Step::Stage, Cause::Denied));
        let done = Outcome::done(7, 0);
        for outcome in [failed, Outcome::Skipped(SkipReason::Fifo), Outcome::Listed, done] {
            let record = Record { number: 0, directory: b"d", name: b"\x1b", outcome, values: &[] };
            sink.record(&record).expect("memory takes all");
        }
        let member = |name, copy| Member {
            directory: b"d",
            name,
            copy,
            size: 7,
            mtime_ns: Some(0),
            inode: None,
            is_reference: copy == 0,
            similarity: None,
            is_identical: false,
        };
        let files = [member(b"a", 0), member(b"a\n", 0), member(b"b", 1), member(b"c", 1)];
        let digest = Some(Digest::new(&[0xab; 32]));
        let group = Group { alike: Alike::Files, size: 7, digest, reclaimable_bytes: 1, members: &files };
        sink.group(&group).expect("memory takes all");
        let directories = [member(b"", 1), member(b"x", 2)];
        let near = [true, false].map(|is_identical| (Some(1.0), is_identical));
        let mut near = directories.iter().zip(near).map(|(member, (similarity, is_identical))| Member {
            similarity,
            is_identical,
            ..*member
        });
        let near = [near.next().expect("two"), near.next().expect("two")];
        let group = Group { digest: None, members: &directories, ..group };
        for alike in [
            Alike::Directories { files: 1 },
            Alike::Directories { files: 2 },
            Alike::Similar { share: 0.9999 },
            Alike::Similar { share: 1.0 },
            Alike::Near { threshold: 0.8, is_estimated: true },
        ] {
            let members: &[Member<'_>] =
                if matches!(alike, Alike::Near { .. }) { &near } else { &directories };
            sink.group(&Group { alike, members, ..group }).expect("memory takes all");
        }
        let actions = [
            (Action::Hardlink, Acted::Done),
            (Action::Hardlink, Acted::Planned),
            (Action::Reflink, Acted::Already),
            (Action::Reflink, Acted::Refused("it\nchanged".into())),
        ];
        for (action, acted) in actions {
            let record = ActionRecord {
                action,
                keep: b"d/a",
                path: b"d/\xff",
                size: 7,
                reclaimable_bytes: 7,
                acted,
                names_outside: 0,
            };
            sink.action(&record).expect("memory takes all");
        }
        sink.group(&group).expect("memory takes all");
        sink.idle().expect("memory takes all");
        drop(sink);
        let expected = r"
d/\u{1b}  (error: denied)

2 copies of 7 bytes, 1 byte to gain  (abababababababab)
  d/a  (reference)
  d/a\n  (hard link)  (reference)
  d/b
  d/c  (hard link)

3 directories of 1 file, 7 bytes, 1 byte to gain
  d
  d/x

3 directories of 2 files, 7 bytes, 1 byte to gain
  d
  d/x

3 directories with 7 bytes in common (99 %), 1 byte to gain
  d  (7 bytes)
  d/x  (7 bytes)

3 directories with 7 bytes in common (100 %), 1 byte to gain
  d  (7 bytes)
  d/x  (7 bytes)

3 files nearly the same, each at least 80 % like another
  d  (7 bytes)  (100 %)
  d/x  (7 bytes)  (~>99 %)

hardlink: d/\xff <- d/a: done
hardlink: d/\xff <- d/a: planned
reflink: d/\xff <- d/a: already
reflink: d/\xff <- d/a: refused: it\nchanged

3 copies of 7 bytes, 1 byte to gain
  d
  d/x
";
        assert_eq!(format!("\n{}", String::from_utf8(report).expect("it is escaped")), expected);
    }
}
