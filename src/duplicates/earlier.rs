//! What an earlier report knows of the content of files, so that what did not change need not be read again.
//!
//! A report is JSON lines of a scan with the analysis `blake3`, or of a search for duplicates. It may have been cut
//! short: what it says until there is used. Nothing here asks the file system what a file is now: the caller says.
//! Whether a file could change unseen after it was read, the report says itself ([`crate::keep`]).

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::error::Error;
use crate::keep::{TICK_NS, nanoseconds};
use crate::record::Digest;
use crate::sink::printable;

/// What an earlier report knows of the content of files.
#[derive(Debug)]
pub struct Earlier {
    roots: Vec<Vec<u8>>,
    has_lists: bool,
    /// Why none of its digests is used.
    distrust: Option<&'static str>,
    /// The identity of the file system of records that name none.
    file_system: Option<String>,
    is_complete: bool,
    /// Files with a digest that may not be kept.
    unsettled: u64,
    now_ns: i128,
    /// By key.
    known: Vec<Known>,
}

/// A file of the report: 72 bytes whatever its path, so that a million files take 72 MB and no allocation each.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: Key,
    state: State,
    digest: [u8; 32],
    mode: u16,
    /// Which record it was: of two of one path the last is right.
    order: u32,
}

/// A path and an inode: the first half of their BLAKE3. A shorter or a faster hash will not do, as whoever may name files in the tree
/// could then name one so that the digest of another is taken for its own. Two names that share this take 2^64 tries to
/// find, and one that shares it with a given name 2^128.
type Key = [u8; 16];

/// Size, times and file system, by the same hash.
type State = [u8; 16];

/// What a file is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'a> {
    pub(super) inode: u64,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
    pub(super) ctime_ns: i128,
    /// The identity of its file system.
    pub(super) file_system: &'a str,
}

/// What the report says of a file that is as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) digest: Digest,
    pub(super) mode: u16,
}

/// The only schema there is to read.
const SCHEMA: &str = "filemill.scan/1";

/// A group of some 2 million paths fits; what never ends a line is no report and must not fill the memory.
const LINE_BYTES_MAX: usize = 256 << 20;

const BUFFER_BYTES: usize = 256 * 1024;

impl Earlier {
    /// Reads a report. `-` is a name like others.
    ///
    /// # Errors
    /// [`Error::Plan`] when it cannot be read, is no report, or says nothing about content.
    pub fn read(path: &Path) -> Result<Earlier, Error> {
        let report = open(path)
            .and_then(|report| Earlier::from_lines(report, LINE_BYTES_MAX, nanoseconds(SystemTime::now())));
        let shown = || printable(path.as_os_str().as_encoded_bytes());
        report.map_err(|why| Error::Plan(format!("{}: {why}", shown())))
    }

    /// The roots of that run, as they were shown.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// Whether that run had roots from lists as well, which the report does not name.
    pub fn has_lists(&self) -> bool {
        self.has_lists
    }

    /// Whether the report ends as it should: it does not where its run was killed or interrupted.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many files it has a digest of.
    pub fn files(&self) -> usize {
        self.known.len()
    }

    /// The BLAKE3 of the file of this path, if the report has one and the file is unchanged: inode, size, mtime, ctime and
    /// file system are the same, and by the report it could not change without a new ctime. An image of a disk has all of
    /// these as well, and each file that differs from the original has a new ctime. The mode is not
    /// compared: to change it changes ctime.
    pub(super) fn digest(&self, path: &[u8], now: &Now<'_>) -> Option<Kept> {
        let key = key(path, now.inode);
        let at = self.known.binary_search_by_key(&key, |known| known.key).ok()?;
        let known = &self.known[at];
        // By a clock that was set since, the file changed in the future: it may come to this time again.
        let is_what_it_was = known.state == state(now) && now.ctime_ns <= self.now_ns;
        is_what_it_was.then(|| Kept { digest: Digest::new(&known.digest), mode: known.mode })
    }

    /// Notes about the report, after a search that took `taken` of its digests.
    pub(super) fn notes(&self, taken: u64) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.is_complete {
            notes.push("the earlier report was cut short: it is used as far as it goes".to_owned());
        }
        let files = self.known.len();
        if let Some(why) = self.distrust {
            notes.push(format!("the earlier report is not used, all files are read: {why}"));
        } else if self.unsettled > 0 {
            notes.push(format!(
                "{} of {} digests of the earlier report are not used: the file could change unseen after it was read",
                self.unsettled,
                self.unsettled + files as u64
            ));
        }
        if self.distrust.is_none() && taken == 0 && files > 0 {
            notes.push(format!(
                "of {files} files that the earlier report knows none is of use: are the paths the same?"
            ));
        }
        notes
    }

    /// Reads lines of at most `line_bytes_max`. The error is why not, without the name of the report.
    fn from_lines(report: impl BufRead, line_bytes_max: usize, now_ns: i128) -> Result<Earlier, String> {
        let mut lines = Lines { report, line: Vec::new(), is_cut: false, number: 0, line_bytes_max };
        let first = if lines.next()? { lines.line.as_slice() } else { &[] };
        let (mut earlier, has_column) = begin(first, now_ns)?;
        let mut met = Met::default();
        while lines.next()? {
            match earlier.take(&lines.line, &mut met) {
                Ok(()) => {}
                // After a power failure a file may end in zeros, or have a block of them. No JSON has any.
                Err(_) if lines.line.contains(&0) => {
                    earlier.is_complete = false;
                    break;
                }
                // It was cut short within this line. What follows an `end` is no part of a report either.
                Err(_) if lines.is_cut => earlier.is_complete = false,
                Err(error) => return Err(format!("line {}: {}", lines.number, without_line(&error))),
            }
        }
        if met.files && !met.groups && !has_column {
            return Err("it has no digests: make it with `filemill scan -a blake3 --format jsonl`".to_owned());
        }
        earlier.sort();
        Ok(earlier)
    }

    /// Takes what a line after the first says.
    fn take(&mut self, line: &[u8], met: &mut Met) -> serde_json::Result<()> {
        // As the program writes it: nearly every line, which then is parsed once and not twice.
        let r#type = if line.starts_with(br#"{"type":"file","#) {
            Cow::Borrowed("file")
        } else {
            serde_json::from_slice::<Typed<'_>>(line)?.r#type
        };
        match r#type.as_ref() {
            "file" => {
                let file: FileLine<'_> = serde_json::from_slice(line)?;
                met.files = true;
                self.know(&file);
            }
            // Every member that was read has a record of its own.
            "group" => met.groups = true,
            "end" => self.is_complete = !serde_json::from_slice::<EndLine>(line)?.cancelled,
            // The second of two reports in one file would be believed for the time of the first.
            "begin" => return Err(serde_json::Error::custom("a second \"begin\" record")),
            _ => {}
        }
        Ok(())
    }

    fn know(&mut self, file: &FileLine<'_>) {
        let &FileLine { size, mtime_ns, inode, ctime_ns, mode, settled, blake3, .. } = file;
        let Some(Hex(digest)) = blake3 else { return };
        let elsewhere = file.file_system.as_ref().map(|named| named.0.as_deref());
        let file_system = elsewhere.unwrap_or(self.file_system.as_deref());
        let facts = (inode, ctime_ns, mode, file_system);
        let (Some(inode), Some(ctime_ns), Some(mode), Some(file_system)) = facts else {
            self.unsettled += u64::from(self.distrust.is_none());
            return;
        };
        if settled != Some(true) || self.distrust.is_some() {
            self.unsettled += u64::from(self.distrust.is_none());
            return;
        }
        // Past four billion records it is left to chance which of two of one path is believed.
        let order = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let state = state(&Now { inode, size, mtime_ns, ctime_ns, file_system });
        self.known.push(Known { key: key(&file.path.0, inode), state, digest, mode, order });
    }

    /// Sorts in place, as a stable sort would take half as much memory again, and leaves the last record of each path.
    fn sort(&mut self) {
        self.known.sort_unstable_by_key(|known| (known.key, known.order));
        self.known.dedup_by(|later, earlier| {
            let is_same = later.key == earlier.key;
            if is_same {
                *earlier = *later;
            }
            is_same
        });
        self.known.shrink_to_fit();
    }
}

/// Which records a report has.
#[derive(Default)]
struct Met {
    files: bool,
    groups: bool,
}

fn open(path: &Path) -> Result<BufReader<File>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a directory".to_owned());
    }
    Ok(BufReader::with_capacity(BUFFER_BYTES, file))
}

/// What the first line says, without any file; and whether there is a column of digests.
fn begin(line: &[u8], now_ns: i128) -> Result<(Earlier, bool), String> {
    let head = serde_json::from_slice::<BeginHead>(line).ok().filter(|head| head.r#type == "begin");
    let Some(BeginHead { schema, .. }) = head else {
        return Err("no filemill report: its first line is no \"begin\" record".to_owned());
    };
    if schema != SCHEMA {
        return Err(format!("its schema is {schema:?}, not {SCHEMA:?}"));
    }
    let wrong = |why: String| format!("line 1: {why}");
    let begin: BeginLine = serde_json::from_slice(line).map_err(|error| wrong(without_line(&error)))?;
    let has_column = begin.columns.iter().any(|column| column == "blake3");
    let file_systems = begin.file_systems;
    let distrust = distrust(&begin.started, file_systems.is_some(), now_ns).map_err(wrong)?;
    let earlier = Earlier {
        roots: begin.roots.into_iter().map(|root| root.0.into_owned()).collect(),
        has_lists: begin.roots_listed > 0,
        distrust,
        file_system: file_systems.and_then(|all| all.into_iter().next()).flatten(),
        is_complete: false,
        unsettled: 0,
        now_ns,
        known: Vec::new(),
    };
    Ok((earlier, has_column))
}

/// Why a report that was begun then is not to be trusted.
fn distrust(started: &str, has_file_systems: bool, now_ns: i128) -> Result<Option<&'static str>, String> {
    if !has_file_systems {
        return Ok(Some("it was made by an older version, which kept too little to notice every change"));
    }
    // Years beyond 9999 have a sign: no clock is that far ahead by right.
    let started_ns = match started.parse::<jiff::Timestamp>() {
        Ok(started) => started.as_nanosecond(),
        Err(_) if started.starts_with('+') => i128::MAX,
        Err(error) => return Err(error.to_string()),
    };
    let is_ahead = started_ns > now_ns.saturating_add(TICK_NS);
    Ok(is_ahead.then_some("it was begun in the future, so a clock was or is wrong"))
}

/// A leading `./` is how the current directory was typed, not part of a path. The inode stands for the file: a directory that
/// was renamed, or another current directory, leads to others by the same path.
fn key(path: &[u8], inode: u64) -> Key {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let mut key = Key::default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&inode.to_le_bytes()).update(path);
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

fn state(now: &Now<'_>) -> State {
    let mut state = State::default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&now.size.to_le_bytes()).update(&now.mtime_ns.to_le_bytes());
    hasher.update(&now.ctime_ns.to_le_bytes()).update(now.file_system.as_bytes());
    state.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    state
}

/// What is wrong with a line, less its number: for the parser each is the first.
fn without_line(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let error_text = error.to_string();
    match error_text.strip_suffix(&place) {
        Some(what) => format!("{what} at column {}", error.column()),
        None => error_text,
    }
}

/// The lines of a report, one at a time.
struct Lines<R> {
    report: R,
    /// Without its line feed.
    line: Vec<u8>,
    /// Whether it ends with the report and not with a line feed.
    is_cut: bool,
    /// Of `line`, counted from 1.
    number: u64,
    line_bytes_max: usize,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; false where there is none.
    fn next(&mut self) -> Result<bool, String> {
        self.line.clear();
        self.number += 1;
        let limit = u64::try_from(self.line_bytes_max).map_or(u64::MAX, |limit| limit.saturating_add(1));
        let read = self.report.by_ref().take(limit).read_until(b'\n', &mut self.line);
        read.map_err(|error| error.to_string())?;
        // A line that begins with zeros is a tear, however long it is.
        if self.line.len() > self.line_bytes_max && !self.line.contains(&0) {
            return Err(format!("line {}: longer than {} bytes", self.number, self.line_bytes_max));
        }
        let is_there = !self.line.is_empty();
        self.is_cut = self.line.pop_if(|last| *last == b'\n').is_none();
        Ok(is_there)
    }
}

/// What every record has. Keys that are not known are passed over, in this as in the others: some may be added.
#[derive(Deserialize)]
#[serde(expecting = "a record")]
struct Typed<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
}

/// What is read of the first record before it is known whether the rest can be understood.
#[derive(Deserialize)]
struct BeginHead<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    schema: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BeginLine<'a> {
    #[serde(borrow)]
    started: Cow<'a, str>,
    #[serde(borrow)]
    roots: Vec<PathBytes<'a>>,
    roots_listed: u64,
    file_systems: Option<Vec<Option<String>>>,
    columns: Vec<String>,
}

#[derive(Deserialize)]
struct FileLine<'a> {
    #[serde(borrow)]
    path: PathBytes<'a>,
    size: u64,
    mtime_ns: i128,
    inode: Option<u64>,
    ctime_ns: Option<i128>,
    mode: Option<u16>,
    settled: Option<bool>,
    #[serde(default, borrow, deserialize_with = "named")]
    file_system: Option<Named<'a>>,
    blake3: Option<Hex>,
}

/// The file system that a record names: null is none, where a record without the key lies on that of the first root.
struct Named<'a>(Option<Cow<'a, str>>);

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Named<'de>>, D::Error> {
    Ok(Some(Named(Option::deserialize(deserializer)?)))
}

#[derive(Deserialize)]
struct EndLine {
    cancelled: bool,
}

/// Text, or where it is not UTF-8 `{"bytes": "<base64>"}`.
struct PathBytes<'a>(Cow<'a, [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for PathBytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PathBytes<'a>, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = PathBytes<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a path")
            }

            fn visit_borrowed_str<E>(self, path: &'de str) -> Result<PathBytes<'de>, E> {
                Ok(PathBytes(Cow::Borrowed(path.as_bytes())))
            }

            /// A path with an escape in it lies in a buffer of the parser.
            fn visit_str<E>(self, path: &str) -> Result<PathBytes<'de>, E> {
                Ok(PathBytes(Cow::Owned(path.as_bytes().to_vec())))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PathBytes<'de>, A::Error> {
                let Some(("bytes", encoded)) = map.next_entry::<&str, &str>()? else {
                    return Err(A::Error::missing_field("bytes"));
                };
                let bytes = STANDARD.decode(encoded);
                let bytes = bytes.map_err(|_| A::Error::custom("the bytes of a path are not base64"))?;
                match map.next_key::<&str>()? {
                    None => Ok(PathBytes(Cow::Owned(bytes))),
                    Some(key) => Err(A::Error::unknown_field(key, &["bytes"])),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A BLAKE3 in hex.
#[derive(Clone, Copy)]
struct Hex([u8; 32]);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hex, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Hex;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, digits: &str) -> Result<Hex, E> {
                let unexpected = serde::de::Unexpected::Str(digits);
                let hash = blake3::Hash::from_hex(digits);
                hash.map(|hash| Hex(*hash.as_bytes())).map_err(|_| E::invalid_value(unexpected, &self))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = concat!(
        r#"{"type":"begin","schema":"filemill.scan/1","version":"9","started":"2001-09-09T01:46:40.000Z","#,
        r#""roots":["/r",{"bytes":"/w=="}],"roots_listed":0,"file_systems":["fsid:1"],"#,
        r#""columns":["lines","blake3"],"options":{}}"#
    );
    const STARTED_NS: i128 = 1_000_000_000_000_000_000;
    const NOW_NS: i128 = STARTED_NS + 1_000_000_000;
    const CTIME_NS: i128 = 77;
    const END: &str = r#"{"type":"end","met":1,"cancelled":false}"#;

    fn hex(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn file(path: &str, size: u64, mtime_ns: i128, digit: char) -> String {
        let digest = hex(digit);
        format!(
            concat!(
                r#"{{"type":"file","path":{path},"size":{size},"mtime_ns":{mtime_ns},"inode":7,"#,
                r#""ctime_ns":77,"mode":420,"settled":true,"lines":1,"blake3":"{digest}"}}"#
            ),
            path = path,
            size = size,
            mtime_ns = mtime_ns,
            digest = digest
        )
    }

    /// Lines, each with its line feed.
    fn report(lines: &[&str]) -> String {
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    #[track_caller]
    fn read(report: &str) -> Earlier {
        Earlier::from_lines(report.as_bytes(), 1000, NOW_NS).expect("it is a report")
    }

    fn now(size: u64, mtime_ns: i128) -> Now<'static> {
        Now { inode: 7, size, mtime_ns, ctime_ns: CTIME_NS, file_system: "fsid:1" }
    }

    /// The first digit of the digest that is known of a file.
    fn known_now(earlier: &Earlier, path: &[u8], now: &Now<'_>) -> Option<char> {
        let kept = earlier.digest(path, now)?;
        let mut buffer = [0; 64];
        let shown = kept.digest.hex(&mut buffer);
        assert_eq!((shown, kept.mode), (shown[..1].repeat(64).as_str(), 0o644));
        shown.chars().next()
    }

    fn known(earlier: &Earlier, path: &[u8], size: u64, mtime_ns: i128) -> Option<char> {
        known_now(earlier, path, &now(size, mtime_ns))
    }

    #[test]
    fn files_are_known_by_path() {
        let group = format!(
            concat!(
                r#"{{"type":"group","kind":"files","size":7,"blake3":"{}","copies":2,"new":[1],"members":["#,
                r#"{{"path":"g/1","copy":0,"mtime_ns":1,"inode":7}},{{"path":"a","copy":1,"mtime_ns":2,"inode":7}}]}}"#
            ),
            hex('c')
        );
        let earlier = read(&report(&[
            BEGIN,
            &file(r#""a""#, 5, 10, 'a'),
            r#"{"type":"skipped","path":"s","reason":"fifo"}"#,
            r#"{"type":"news","path":7,"size":"many"}"#,
            &file(r#"{"bytes":"/w=="}"#, 6, -1, 'b'),
            &file(r#""quo\"te""#, 6, 20, 'd'),
            r#"{"type":"file","path":"none","size":1,"mtime_ns":1,"blake3":null}"#,
            &group,
            END,
        ]));
        assert!(earlier.is_complete());
        assert_eq!(earlier.roots(), [b"/r".to_vec(), b"\xff".to_vec()]);
        assert_eq!((earlier.files(), earlier.notes(3)), (3, vec![]));
        assert_eq!(known(&earlier, b"a", 5, 10), Some('a'));
        assert_eq!(known(&earlier, b"\xff", 6, -1), Some('b'));
        assert_eq!(known(&earlier, b"quo\"te", 6, 20), Some('d'));
        for unknown in [&b"none"[..], b"s", b"x", b"b", b"", b"g/1"] {
            assert_eq!(known(&earlier, unknown, 1, 1), None);
        }
    }

    #[test]
    fn a_file_is_known_only_if_all_is_equal() {
        let earlier = read(&report(&[BEGIN, &file(r#""a""#, 5, -1_500_000_001, 'a'), END]));
        let same = now(5, -1_500_000_001);
        let is_known = |now: Now<'_>| known_now(&earlier, b"a", &now).is_some();
        assert!(is_known(same));
        assert!(!is_known(Now { size: 6, ..same }));
        assert!(!is_known(Now { inode: 8, ..same }));
        for mtime_ns in [-1_500_000_000, 1_500_000_001, i128::MAX] {
            assert!(!is_known(Now { mtime_ns, ..same }));
        }
        for ctime_ns in [CTIME_NS - 1, CTIME_NS + 1, -CTIME_NS, 0, i128::MAX] {
            assert!(!is_known(Now { ctime_ns, ..same }));
        }
        for file_system in ["fsid:2", "fsid:", "fsid:11", ""] {
            assert!(!is_known(Now { file_system, ..same }));
        }
    }

    #[test]
    fn a_record_that_lacks_a_key_or_has_not_settled_is_not_used() {
        let whole = file(r#""a""#, 5, 10, 'a');
        let lacking = |key: &str| whole.replace(key, "");
        let records = [
            lacking(r#","inode":7"#),
            lacking(r#","ctime_ns":77"#),
            lacking(r#","mode":420"#),
            lacking(r#","settled":true"#),
            whole.replace("true", "false"),
            whole.replace(r#""lines""#, r#""file_system":null,"lines""#),
        ];
        for record in &records {
            assert_ne!(*record, whole);
            let earlier = read(&report(&[BEGIN, record, &file(r#""b""#, 5, 10, 'b'), END]));
            assert_eq!((known(&earlier, b"a", 5, 10), known(&earlier, b"b", 5, 10)), (None, Some('b')));
            let note = "1 of 2 digests of the earlier report are not used: the file could change unseen after it was read";
            assert_eq!(earlier.notes(1), [note], "{record}");
        }
    }

    #[test]
    fn a_record_may_lie_on_another_file_system_than_the_first_root() {
        let elsewhere = file(r#""a""#, 5, 10, 'a').replace(r#""lines""#, r#""file_system":"fsid:2","lines""#);
        let earlier = read(&report(&[BEGIN, &elsewhere, END]));
        assert_eq!(known(&earlier, b"a", 5, 10), None);
        assert_eq!(known_now(&earlier, b"a", &Now { file_system: "fsid:2", ..now(5, 10) }), Some('a'));
        // The first root has no identity, or there is no root.
        for none in [r#"[null,"fsid:2"]"#, "[]"] {
            let begin = BEGIN.replace(r#"["fsid:1"]"#, none);
            let earlier = read(&report(&[&begin, &elsewhere, &file(r#""b""#, 5, 10, 'b'), END]));
            assert_eq!(earlier.files(), 1, "{none}");
        }
    }

    #[test]
    fn a_report_of_an_older_version_or_of_the_future_is_not_used() {
        #[track_caller]
        fn check(begin: &str, why: &str) {
            let earlier = read(&report(&[begin, &file(r#""a""#, 5, 10, 'a'), END]));
            assert_eq!((earlier.files(), known(&earlier, b"a", 5, 10)), (0, None));
            let expected = if why.is_empty() {
                vec![]
            } else {
                vec![format!("the earlier report is not used, all files are read: {why}")]
            };
            assert_eq!(earlier.notes(0), expected);
        }
        let old = "it was made by an older version, which kept too little to notice every change";
        check(&BEGIN.replace(r#""file_systems":["fsid:1"],"#, ""), old);
        let future = "it was begun in the future, so a clock was or is wrong";
        for year in ["2002", "2999", "9999", "+010000", "+123456789"] {
            check(&BEGIN.replace("\"2001", &format!("\"{year}")), future);
        }
        // The clock is adjusted by less than this, and files of a file system may be stamped by a coarse one.
        let soon = BEGIN.replace("01:46:40", "01:46:43");
        assert_eq!(read(&report(&[&soon, &file(r#""a""#, 5, 10, 'a'), END])).files(), 1);
        check(&BEGIN.replace("01:46:40", "01:46:44"), future);
    }

    #[test]
    fn a_file_that_changed_in_the_future_is_not_known() {
        let at = |ctime_ns: i128| {
            let record = file(r#""a""#, 5, 10, 'a').replace(":77,", &format!(":{ctime_ns},"));
            known_now(&read(&report(&[BEGIN, &record, END])), b"a", &Now { ctime_ns, ..now(5, 10) })
        };
        assert_eq!((at(NOW_NS), at(NOW_NS + 1)), (Some('a'), None));
    }

    #[test]
    fn times_are_compared_to_the_nanosecond_however_far_away() {
        let last = i128::from(i64::MAX) * 1_000_000_000 + 999_999_999;
        let first = i128::from(i64::MIN) * 1_000_000_000;
        for at in [0, -1, 1, first, last] {
            let earlier = read(&report(&[BEGIN, &file(r#""a""#, 0, at, 'a')]));
            for other in [at - 1, at, at + 1] {
                let expected = (other == at).then_some('a');
                assert_eq!(known(&earlier, b"a", 0, other), expected, "{at} {other}");
            }
        }
    }

    /// A file system that lost power may leave zeros at the end of a file, or a block of them.
    #[test]
    fn a_report_is_used_up_to_the_first_zero_byte() {
        let (a, b) = (file(r#""a""#, 5, 10, 'a'), file(r#""b""#, 5, 10, 'b'));
        for zeros in [1, 10, 999, 1000, 1001, 5000] {
            let zeros = "\0".repeat(zeros);
            let torn = |start: &str, rest: &str| read(&(report(&[BEGIN, &a]) + start + &zeros + rest));
            for earlier in
                [torn("", ""), torn(&b[..20], ""), torn("", "\n"), torn("", &report(&["", &b, END]))]
            {
                assert_eq!((earlier.files(), earlier.is_complete()), (1, false));
                assert_eq!(known(&earlier, b"a", 5, 10), Some('a'));
            }
            // The line is there, its line feed is not.
            assert_eq!(torn(&b, "").files(), 1);
        }
    }

    #[test]
    fn of_two_records_of_a_path_the_last_is_right() {
        let files: Vec<_> = "abcdef0123456789".chars().map(|digit| file(r#""a""#, 5, 10, digit)).collect();
        let mut lines = vec![BEGIN];
        lines.extend(files.iter().map(String::as_str));
        let earlier = read(&report(&lines));
        assert_eq!((earlier.files(), known(&earlier, b"a", 5, 10)), (1, Some('9')));
    }

    #[test]
    fn a_report_that_was_cut_short_is_used_as_far_as_it_goes() {
        let whole = report(&[BEGIN, &file(r#""a""#, 5, 10, 'a'), &file(r#""b""#, 5, 10, 'b'), END]);
        let feeds: Vec<_> = memchr::memchr_iter(b'\n', whole.as_bytes()).collect();
        for length in feeds[0]..=whole.len() {
            let earlier = read(&whole[..length]);
            // A line that has all but its line feed is there.
            let files = feeds[1..3].iter().filter(|feed| length >= **feed).count();
            assert_eq!((earlier.files(), earlier.is_complete()), (files, length >= feeds[3]), "{length}");
        }
        let cancelled = r#"{"type":"end","met":1,"cancelled":true}"#;
        assert!(!read(&report(&[BEGIN, cancelled])).is_complete());
        assert!(!read(&(whole + "{")).is_complete());
    }

    #[test]
    fn what_is_no_report_of_digests_is_refused() {
        #[track_caller]
        fn check(report: &str, expected: &str) {
            let result = Earlier::from_lines(report.as_bytes(), 1000, NOW_NS);
            assert_eq!(result.map(|earlier| earlier.files()), Err(expected.to_owned()));
        }
        const NO_REPORT: &str = "no filemill report: its first line is no \"begin\" record";
        for first in
            ["", "\n", "\0\0", "path,size\n", "[]\n", "7", &BEGIN[..50], "{\"type\":\"begin\"}\n", END]
        {
            check(first, NO_REPORT);
        }
        check(&report(&[&file(r#""a""#, 5, 10, 'a'), BEGIN]), NO_REPORT);
        check(
            &BEGIN.replace("scan/1", "scan/2\\u001b"),
            "its schema is \"filemill.scan/2\\u{1b}\", not \"filemill.scan/1\"",
        );
        check(&BEGIN.replace("roots\"", "boots\""), "line 1: missing field `roots` at column 211");
        let why = "2001-33".parse::<jiff::Timestamp>().expect_err("no month has this number");
        check(&BEGIN.replace("2001-09-09T01:46:40.000Z", "2001-33"), &format!("line 1: {why}"));

        let without = BEGIN.replace("blake3", "sha256");
        let no_digest = r#"{"type":"file","path":"a","size":1,"mtime_ns":1}"#;
        check(
            &report(&[&without, no_digest, END]),
            "it has no digests: make it with `filemill scan -a blake3 --format jsonl`",
        );
        // Nothing was found in these, and that is no mistake.
        for lines in
            [&[&without, END][..], &[&without, r#"{"type":"group","kind":"x","size":1,"members":[]}"#]]
        {
            assert_eq!(read(&report(lines)).files(), 0);
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_told_by_its_number() {
        #[track_caller]
        fn check(line: &str, expected: &str) {
            let whole = report(&[BEGIN, END, line, END]);
            let result = Earlier::from_lines(whole.as_bytes(), 1000, NOW_NS);
            assert_eq!(result.map(|earlier| earlier.files()), Err(format!("line 3: {expected}")));
        }
        check("", "EOF while parsing a value at column 0");
        check("{\"type\":", "EOF while parsing a value at column 8");
        check("{\"type\":\"file\"} x", "trailing characters at column 17");
        check("{\"type\":\"file\",\"path\":\"a\"}", "missing field `size` at column 26");
        check("7", "invalid type: integer `7`, expected a record at column 1");
        check("{}", "missing field `type` at column 2");
        check(&file("7", 5, 10, 'a'), "invalid type: integer `7`, expected a path at column 23");
        check(&file(r#"{"bytes":"-"}"#, 5, 10, 'a'), "the bytes of a path are not base64 at column 35");
        check(&file(r#"{"text":"a"}"#, 5, 10, 'a'), "missing field `bytes` at column 34");
        check(
            &file(r#"{"bytes":"YQ==","x":"y"}"#, 5, 10, 'a'),
            "unknown field `x`, expected `bytes` at column 41",
        );
        check(
            &file("\"a\"", 5, 10, 'a').replace("aaa", "x"),
            &format!(
                "invalid value: string \"{}a\", expected 64 hexadecimal digits at column 142",
                "x".repeat(21)
            ),
        );
        check(BEGIN, "a second \"begin\" record");
        check(&"x".repeat(1000), "longer than 1000 bytes");
        check(&" ".repeat(999), "EOF while parsing a value at column 999");
    }

    #[test]
    fn errors_begin_with_the_path_of_the_report() {
        #[track_caller]
        fn check(path: &Path, expected: &str) {
            let error = Earlier::read(path).expect_err("it is no report");
            let shown = printable(path.as_os_str().as_encoded_bytes());
            assert!(matches!(error, Error::Plan(_)));
            assert_eq!(error.to_string(), format!("{shown}: {expected}"));
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = |name| directory.path().join(name);
        std::fs::write(at("text\n"), "x").expect("it can be written");
        check(&at("text\n"), "no filemill report: its first line is no \"begin\" record");
        check(directory.path(), "is a directory");
        #[cfg(unix)]
        check(&at("gone"), "No such file or directory (os error 2)");
        std::fs::write(at("report"), report(&[BEGIN, &file(r#""a""#, 5, 10, 'a'), END]))
            .expect("it can be written");
        let earlier = Earlier::read(&at("report")).expect("it is a report");
        assert_eq!((earlier.files(), earlier.is_complete()), (1, true));
    }

    #[test]
    fn a_file_takes_72_bytes() {
        assert_eq!(size_of::<Known>(), 72);
    }
}
