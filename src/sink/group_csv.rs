//! Groups of a search for duplicates as CSV: a header, then a row a name. What is done about them is not in it.
//!
//! `group` counts from 1 in the order in which they come; `size`, `blake3` and `copies` are those of the group, and stand
//! in each of its rows. Of files that are nearly the same, `similarity` is that to the first, `below` whether it is less than was
//! asked for, `estimated` whether a sketch says so, `identical` whether the content is that of the first. `share` is what two similar
//! directories have in common. Bytes of a path are as they are.

use std::io::{self, Write};
use std::time::SystemTime;

use super::Sink;
use super::csv::{guard, io_error};
use crate::plan::Plan;
use crate::record::{Alike, Group, Member, Record};
use crate::report::Report;

/// Writes the groups as CSV to `W` in large pieces.
pub struct GroupCsv<W: Write> {
    writer: csv::Writer<W>,
    groups: u64,
    is_guarded: bool,
    path: Vec<u8>,
}

const BUFFER_BYTES: usize = 256 * 1024;

const HEADER: [&str; 14] = [
    "group",
    "kind",
    "size",
    "blake3",
    "copies",
    "copy",
    "reference",
    "mtime_ns",
    "similarity",
    "below",
    "estimated",
    "identical",
    "share",
    "path",
];

impl<W: Write> GroupCsv<W> {
    /// A sink that writes to `writer`, which needs no buffer of its own. Paths are guarded as [`super::Csv`] does it.
    pub fn new(writer: W) -> GroupCsv<W> {
        let writer = csv::WriterBuilder::new()
            .buffer_capacity(BUFFER_BYTES)
            .terminator(csv::Terminator::CRLF)
            .from_writer(writer);
        GroupCsv { writer, groups: 0, is_guarded: true, path: Vec::new() }
    }

    /// The same without the guard: every path as it is.
    pub fn unguarded(writer: W) -> GroupCsv<W> {
        GroupCsv { is_guarded: false, ..GroupCsv::new(writer) }
    }

    fn field(&mut self, field: &str) -> io::Result<()> {
        self.writer.write_field(field).map_err(io_error)
    }

    fn truth(&mut self, is_true: bool) -> io::Result<()> {
        self.field(if is_true { "true" } else { "false" })
    }

    /// How much alike a member is.
    fn alike(&mut self, alike: Alike, member: &Member<'_>) -> io::Result<()> {
        match (alike, member.similarity) {
            (Alike::Near { is_estimated, .. }, Some(similarity)) => {
                self.field(&similarity.to_string())?;
                self.truth(member.is_below(alike))?;
                self.truth(is_estimated && !member.is_identical)?;
                self.truth(member.is_identical)?;
            }
            _ => (0..4).try_for_each(|_| self.field(""))?,
        }
        match alike {
            Alike::Similar { share } => self.field(&share.to_string()),
            _ => self.field(""),
        }
    }

    fn number(&mut self, number: impl itoa::Integer) -> io::Result<()> {
        self.field(itoa::Buffer::new().format(number))
    }
}

impl<W: Write> Sink for GroupCsv<W> {
    fn begin(&mut self, _plan: &Plan, _started: SystemTime) -> io::Result<()> {
        self.writer.write_record(HEADER).map_err(io_error)
    }

    fn record(&mut self, _record: &Record<'_>) -> io::Result<()> {
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.groups += 1;
        let mut hex = [0; 64];
        let digest = group.digest.as_ref().map_or("", |digest| digest.hex(&mut hex));
        for member in group.members {
            self.number(self.groups)?;
            self.field(group.alike.name())?;
            // Files that are nearly the same have sizes of their own.
            self.number(if member.similarity.is_some() { member.size } else { group.size })?;
            self.field(digest)?;
            self.number(group.copies())?;
            self.number(member.copy)?;
            self.truth(member.is_reference)?;
            match member.mtime_ns {
                Some(mtime_ns) => self.number(mtime_ns)?,
                None => self.field("")?,
            }
            self.alike(group.alike, member)?;
            self.path.clear();
            member.path_to(&mut self.path);
            if self.is_guarded {
                guard(&mut self.path);
            }
            self.writer.write_field(&self.path).map_err(io_error)?;
            self.writer.write_record(None::<&[u8]>).map_err(io_error)?;
        }
        Ok(())
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
    use crate::record::{Acted, Action, ActionRecord, Digest};

    #[track_caller]
    fn check(make: fn(Vec<u8>) -> GroupCsv<Vec<u8>>, expected: &[u8]) {
        let mut sink = make(Vec::new());
        let member = |name, copy| Member {
            directory: b"",
            name,
            copy,
            size: 7,
            mtime_ns: Some(-1),
            inode: None,
            is_reference: copy == 0,
            similarity: None,
            is_identical: false,
        };
        let files = [member(b"=a", 0), member(b"b,\xff", 1), member(b"c", 1)];
        let digest = Some(Digest::new(&[0xab]));
        let group = Group { alike: Alike::Files, size: 7, digest, reclaimable_bytes: 7, members: &files };
        let directory = |directory, copy| Member { directory, mtime_ns: None, ..member(b"", copy) };
        let directories = [directory(b"x/y", 0), directory(b"z", 1)];
        let alike = Alike::Directories { files: 2 };
        let action = ActionRecord {
            action: Action::Hardlink,
            keep: b"a",
            path: b"b",
            size: 7,
            reclaimable_bytes: 7,
            acted: Acted::Done,
            names_outside: 0,
        };
        sink.begin(&Plan::new(["."]), SystemTime::UNIX_EPOCH).expect("memory takes all");
        sink.group(&group).expect("memory takes all");
        sink.action(&action).expect("memory takes all");
        sink.group(&Group { alike, digest: None, members: &directories, ..group }).expect("memory takes all");
        let alike = Alike::Similar { share: 0.875 };
        sink.group(&Group { alike, digest: None, members: &directories, ..group }).expect("memory takes all");
        let near = [(member(b"c", 0), true), (member(b"d", 1), false)].map(|(member, is_identical)| Member {
            similarity: Some(1.0),
            is_identical,
            ..member
        });
        let alike = Alike::Near { threshold: 0.8, is_estimated: true };
        sink.group(&Group { alike, digest: None, members: &near, ..group }).expect("memory takes all");
        let report = sink.writer.into_inner().expect("memory takes all");
        assert_eq!(report.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn a_name_has_a_row() {
        let rows = |first: &str| {
            let rows = [
                b"group,kind,size,blake3,copies,copy,reference,mtime_ns,similarity,below,estimated,identical,share,path\r\n1,files,7,ab,2,0,true,-1,,,,,,",
                first.as_bytes(),
                b"\r\n1,files,7,ab,2,1,false,-1,,,,,,\"b,\xff\"\r\n1,files,7,ab,2,1,false,-1,,,,,,c\r\n",
                b"2,directories,7,,2,0,true,,,,,,,x/y\r\n2,directories,7,,2,1,false,,,,,,,z\r\n",
                b"3,similar-directories,7,,2,0,true,,,,,,0.875,x/y\r\n3,similar-directories,7,,2,1,false,,,,,,0.875,z\r\n",
                b"4,near,7,,2,0,true,-1,1,false,false,true,,c\r\n4,near,7,,2,1,false,-1,1,false,true,false,,d\r\n",
            ];
            rows.concat()
        };
        check(GroupCsv::new, &rows("'=a"));
        check(GroupCsv::unguarded, &rows("=a"));
    }
}
