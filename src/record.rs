//! The nouns that flow: what the walk met, what a batch carries, what a row holds.
//!
//! Bytes of files never appear here: a batch carries directory handles and names, a row carries answers.
//! Paths are bytes as the operating system gave them, joined with `/`.

mod batch;
mod group;

use std::borrow::Cow;
use std::sync::Arc;

pub use self::batch::{Batch, EntryRef};
pub use self::group::{Acted, Action, ActionRecord, Alike, Group, Member};

use crate::error::FileError;
use crate::keep::Keep;

/// A directory of the tree, or the place from which a root's path is resolved.
#[derive(Clone, Debug)]
pub struct Directory {
    /// The path that its entries are shown under. Empty: entries are shown by their name alone.
    pub path: Arc<[u8]>,
    /// The open directory that names are resolved beside; without one, paths are opened as a whole.
    #[cfg(unix)]
    pub handle: Option<Arc<std::os::fd::OwnedFd>>,
    /// How many bytes of its entries' names lead to `handle`: entries of a list are named by their whole paths.
    #[cfg(unix)]
    pub name_start: usize,
}

impl Directory {
    /// A directory that is known by its path alone.
    pub fn from_path(path: &[u8]) -> Directory {
        Directory {
            path: path.into(),
            #[cfg(unix)]
            handle: None,
            #[cfg(unix)]
            name_start: 0,
        }
    }

    /// The same, known by its path alone.
    #[cfg(feature = "gpu")]
    pub(crate) fn without_handle(&self) -> Directory {
        Directory {
            path: Arc::clone(&self.path),
            #[cfg(unix)]
            handle: None,
            #[cfg(unix)]
            name_start: 0,
        }
    }

    /// Appends the path of the entry `name` to `out`.
    pub fn join_to(&self, name: &[u8], out: &mut Vec<u8>) {
        join_path(&self.path, name, out);
    }
}

/// Appends `directory` and `name` to `out` with one `/` between them where one is needed.
pub fn join_path(directory: &[u8], name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(directory);
    if !directory.is_empty() && !directory.ends_with(b"/") && !name.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(name);
}

/// A path of these bytes, as the system gave them.
#[cfg(unix)]
pub(crate) fn bytes_to_path(path: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(path))
}

/// The same where paths are no bytes: what is not Unicode is not found.
#[cfg(not(unix))]
pub(crate) fn bytes_to_path(path: &[u8]) -> std::path::PathBuf {
    String::from_utf8_lossy(path).into_owned().into()
}

/// What the walk says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A regular file, to be opened without following a link.
    File,
    /// A root, or with `-L` the target of a link: to be opened through links.
    FileThroughLinks,
    /// Not read, for the reason given.
    Skipped(SkipReason),
    /// A directory that could not be read, or an entry that could not be told apart.
    Failed(FileError),
    /// A directory that was listed to its end, named by its path; told only where [`crate::plan::Plan::tells_directories`].
    Directory,
}

/// Why an entry that was met is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// A symbolic link, and links are not followed.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
    /// A character or block device.
    Device,
    /// Outside `--min-size` and `--max-size`.
    Size,
    /// One of the files this run writes.
    OwnOutput,
    /// A directory equal to one of its ancestors.
    Loop,
    /// A directory on another file system than its root.
    OtherFileSystem,
}

impl SkipReason {
    /// Every reason, in the order of the reports.
    pub const ALL: [SkipReason; 8] = [
        SkipReason::Symlink,
        SkipReason::Fifo,
        SkipReason::Socket,
        SkipReason::Device,
        SkipReason::Size,
        SkipReason::OwnOutput,
        SkipReason::Loop,
        SkipReason::OtherFileSystem,
    ];

    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            SkipReason::Symlink => "symlink",
            SkipReason::Fifo => "fifo",
            SkipReason::Socket => "socket",
            SkipReason::Device => "device",
            SkipReason::Size => "size",
            SkipReason::OwnOutput => "own-output",
            SkipReason::Loop => "loop",
            SkipReason::OtherFileSystem => "other-file-system",
        }
    }
}

/// What is known of a file once it is open.
#[derive(Clone, Copy, Debug)]
pub struct FileRecord<'a> {
    /// The directory it was opened beside.
    pub directory: &'a Directory,
    /// Its name there; for a root, the root as it was given.
    pub name: &'a [u8],
    /// Size by the first fstat, in bytes. The bytes that follow may be more where this is 0 (files of /proc).
    pub size: u64,
    /// Time of last modification, in nanoseconds since 1970-01-01T00:00:00Z; negative before that.
    pub mtime_ns: i128,
    /// Which file it is.
    pub identity: Identity,
}

/// Which file it is, whatever its name, and when something about it was changed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device it lies on. 0, like the inode, where the system has none.
    pub device: u64,
    /// Its number there: names with the same device and inode are hard links to one file.
    pub inode: u64,
    /// Names that it has, those outside the tree included.
    pub links: u32,
    /// Time of the last change of content, owner, mode or names, in seconds since 1970; unlike the time of last
    /// modification nobody can set it.
    pub ctime_seconds: i64,
    /// And nanoseconds after that second. Not one number as others: this goes from core to core with every file, and 128 bits
    /// more cost a scan some percent.
    pub ctime_nanoseconds: u32,
}

impl Identity {
    /// The time of the last change, in nanoseconds since 1970.
    pub fn ctime_ns(&self) -> i128 {
        i128::from(self.ctime_seconds) * 1_000_000_000 + i128::from(self.ctime_nanoseconds)
    }
}

impl FileRecord<'_> {
    /// The whole path, as it is reported.
    pub fn path(&self) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.directory.path.len() + 1 + self.name.len());
        self.directory.join_to(self.name, &mut path);
        path
    }
}

/// What a stage tells a worker of one file: first `Open`, then its blocks in order.
#[derive(Debug)]
pub enum Event<'a> {
    /// The file is open.
    Open {
        /// What is known of it.
        file: &'a FileRecord<'a>,
        /// Whether it may be put off and divided, if it is large.
        can_wait: bool,
    },
    /// Its next bytes, never none.
    Block(&'a [u8]),
}

/// What kind of value a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A count.
    U64,
    /// A number with a fraction.
    F64,
    /// Yes or no.
    Bool,
    /// A short text.
    Text,
    /// A digest, shown in lower-case hex.
    Digest,
    /// Numbers of 32 bits, shown as base64 of their bytes, least byte first.
    Sketch,
}

/// One column of an analysis: every sink derives its keys and headers from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Key in JSON, header in tables.
    pub name: &'static str,
    /// What its values are.
    pub kind: ValueKind,
    /// Unit of its values, for people: "lines", "bits per byte"; empty where there is none.
    pub unit: &'static str,
}

/// A digest of at most 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    bytes: [u8; 32],
    length: u8,
}

impl Digest {
    /// Takes a digest of at most 32 bytes.
    ///
    /// # Panics
    /// When `digest` is longer.
    pub fn new(digest: &[u8]) -> Digest {
        let mut bytes = [0; 32];
        bytes[..digest.len()].copy_from_slice(digest);
        Digest { bytes, length: u8::try_from(digest.len()).expect("at most 32 was just copied") }
    }

    /// The digest's bytes, first byte first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The same with zeros up to 32 bytes.
    pub(crate) fn as_array(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Lower-case hex, written into `buffer`.
    pub fn hex<'a>(&self, buffer: &'a mut [u8; 64]) -> &'a str {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for (pair, byte) in buffer.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        std::str::from_utf8(&buffer[..2 * usize::from(self.length)]).expect("hex digits are ASCII")
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No answer.
    Null,
    /// A count.
    U64(u64),
    /// A number with a fraction.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// A short text.
    Text(Cow<'static, str>),
    /// A digest.
    Digest(Digest),
    /// Numbers of 32 bits that stand for the content.
    Sketch(Box<[u32]>),
}

/// The answers for one file, in the order of the columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    values: Vec<Value>,
}

impl Row {
    /// Adds the next column's value.
    pub fn push(&mut self, value: Value) {
        self.values.push(value);
    }

    /// The values so far.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Room for `length` values.
    pub fn with_capacity(length: usize) -> Row {
        Row { values: Vec::with_capacity(length) }
    }

    /// Puts another value in the place of one.
    #[cfg(feature = "gpu")]
    pub(crate) fn set(&mut self, at: usize, value: Value) {
        self.values[at] = value;
    }

    /// Drops the values from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.values.truncate(length);
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Read to its end and analysed.
    Done {
        /// Bytes read, all of which the answers stand for.
        size: u64,
        /// As [`FileRecord::mtime_ns`].
        mtime_ns: i128,
        /// As [`FileRecord::identity`].
        identity: Identity,
        /// Its permission bits; 0 if the system has none.
        mode: u16,
        /// Whether it has fewer blocks than its size takes: it has holes, or its file system stores it in another way.
        is_sparse: bool,
        /// Whether the answers may be used later, without reading the file again.
        keep: Keep,
    },
    /// A directory, listed to its end: no path of the ledger, and told only where the plan wants it.
    Listed,
    /// Not read.
    Skipped(SkipReason),
    /// Could not be read.
    Failed(FileError),
    /// Not read to its end because the run was cancelled: no record is made of it.
    Unread,
}

#[cfg(test)]
impl Outcome {
    /// The outcome of a file with this size and time, and nothing else.
    pub(crate) const fn done(size: u64, mtime_ns: i128) -> Outcome {
        let identity = Identity { device: 0, inode: 0, links: 0, ctime_seconds: 0, ctime_nanoseconds: 0 };
        Outcome::Done { size, mtime_ns, identity, mode: 0, is_sparse: false, keep: Keep::Unasked }
    }
}

/// A batch with what became of each of its entries.
#[derive(Debug)]
pub struct Results {
    batch: Batch,
    outcomes: Vec<Outcome>,
    /// The rows of the files that are done, one after the other.
    rows: Row,
    columns: usize,
}

impl Results {
    /// Joins a batch with its outcomes (one an entry) and rows (`columns` values for each that is done).
    pub fn new(batch: Batch, outcomes: Vec<Outcome>, rows: Row, columns: usize) -> Results {
        debug_assert_eq!(batch.len(), outcomes.len());
        Results { batch, outcomes, rows, columns }
    }

    /// A batch of one entry that was not read.
    pub fn of_one(batch: Batch, outcome: Outcome) -> Results {
        Results::new(batch, vec![outcome], Row::default(), 0)
    }

    /// Whether it stands for no entry.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// How many entries of the walk come before its first.
    pub fn first(&self) -> u64 {
        self.batch.first
    }

    /// How many entries of the walk come before the one after its last.
    pub fn end(&self) -> u64 {
        self.batch.first + self.batch.len() as u64
    }

    /// One record an entry that was not left unread, in the order of the batch.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rows = 0;
        let outcomes = self.batch.entries().zip(&self.outcomes);
        let outcomes = (self.batch.first..).zip(outcomes);
        outcomes.filter(|(_, (_, outcome))| **outcome != Outcome::Unread).map(
            move |(number, (entry, &outcome))| {
                let start = rows;
                if matches!(outcome, Outcome::Done { .. }) {
                    rows += self.columns;
                }
                Record {
                    number,
                    directory: &entry.directory.path,
                    name: entry.name(),
                    outcome,
                    values: &self.rows.values[start..rows],
                }
            },
        )
    }
}

/// What a sink is given: a path, what became of it, and the answers where there are any.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How many entries were met before it: records come in no particular order unless the plan sorts them.
    pub number: u64,
    /// Path of the directory it lies in, as shown.
    pub directory: &'a [u8],
    /// Its name there.
    pub name: &'a [u8],
    /// What became of it.
    pub outcome: Outcome,
    /// The answers, in the order of the plan's columns; empty unless done.
    pub values: &'a [Value],
}

impl Record<'_> {
    /// Appends the whole path to `out`.
    pub fn path_to(&self, out: &mut Vec<u8>) {
        join_path(self.directory, self.name, out);
    }
}

/// A record that stands by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedRecord {
    /// The whole path, as it is reported.
    pub path: Vec<u8>,
    /// What became of it.
    pub outcome: Outcome,
    /// The answers, in the order of the plan's columns; empty unless done.
    pub values: Vec<Value>,
}

impl From<&Record<'_>> for OwnedRecord {
    fn from(record: &Record<'_>) -> OwnedRecord {
        let mut path = Vec::with_capacity(record.directory.len() + 1 + record.name.len());
        record.path_to(&mut path);
        OwnedRecord { path, outcome: record.outcome, values: record.values.to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_with_one_slash() {
        #[track_caller]
        fn check(directory: &[u8], name: &[u8], expected: &[u8]) {
            let mut path = Vec::new();
            join_path(directory, name, &mut path);
            assert_eq!(path, expected);
        }
        check(b"a", b"b", b"a/b");
        check(b"a/", b"b", b"a/b");
        check(b"/", b"b", b"/b");
        check(b"", b"b", b"b");
        check(b".", b"b", b"./b");
        check(b"a", b"", b"a");
        check(b"a\xff", b"\n", b"a\xff/\n");
    }

    #[test]
    fn hex_is_lower_case_and_as_long_as_the_digest() {
        let mut buffer = [0; 64];
        assert_eq!(Digest::new(&[0x00, 0xab, 0x10]).hex(&mut buffer), "00ab10");
        assert_eq!(Digest::new(&[0xff; 32]).hex(&mut buffer), "f".repeat(64));
    }
}
