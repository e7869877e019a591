//! What an earlier report knows of the content of files, so that what did not change need not be read again.
//!
//! A report is JSON lines of a scan with the analysis `blake3`, or of a search for duplicates. It may have been cut
//! short: what it says until there is used. Nothing here asks the file system what a file is now: the caller says.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::error::Error;
use crate::record::Digest;
use crate::sink::printable;

/// What an earlier report knows of the content of files.
#[derive(Debug)]
pub struct Earlier {
    roots: Vec<Vec<u8>>,
    has_lists: bool,
    started_ns: i128,
    is_complete: bool,
    /// By key.
    known: Vec<Known>,
}

/// A file of the report: 72 bytes whatever its path, so that a million files take 72 MB and no allocation each.
#[derive(Clone, Copy, Debug)]
struct Known {
    key: Key,
    digest: [u8; 32],
    size: u64,
    /// Time of last modification.
    seconds: i64,
    nanoseconds: u32,
    /// Which record it was: of two of one path the last is right.
    order: u32,
}

/// A path and an inode: the first half of their BLAKE3. A shorter or a faster hash will not do, as whoever may name files in the tree
/// could then name one so that the digest of another is taken for its own. Two names that share this take 2^64 tries to
/// find, and one that shares it with a given name 2^128.
type Key = [u8; 16];

/// Time in seconds since 1970 and nanoseconds after that: any time that a file can have, in 12 bytes.
type Time = (i64, u32);

/// The only schema there is to read.
const SCHEMA: &str = "filemill.scan/1";

/// A group of some 2 million paths fits; what never ends a line is no report and must not fill the memory.
const LINE_BYTES_MAX: usize = 256 << 20;

/// The clock that stamps files may be this coarse: FAT counts to 2 seconds, and the kernel's own runs some ms behind.
const CLOCK_NS: i128 = 2_000_000_000;

const BUFFER_BYTES: usize = 256 * 1024;

impl Earlier {
    /// Reads a report. `-` is a name like others.
    ///
    /// # Errors
    /// [`Error::Plan`] when it cannot be read, is no report, or says nothing about content.
    pub fn read(path: &Path) -> Result<Earlier, Error> {
        let report = open(path).and_then(|report| Earlier::from_lines(report, LINE_BYTES_MAX));
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

    /// The BLAKE3 of the file of this path and inode, if the report has one and the file is what it was: it has the size and
    /// the time of last modification that it had, and its time of last change, which nobody can set, lies before the report
    /// was begun. A file system whose clock runs behind ours, as over a network, can hide a change whose author also
    /// set back the time of last modification.
    pub fn digest(
        &self,
        path: &[u8],
        inode: u64,
        size: u64,
        mtime_ns: i128,
        ctime_ns: i128,
    ) -> Option<Digest> {
        let key = key(path, inode);
        let at = self.known.binary_search_by_key(&key, |known| known.key).ok()?;
        let known = &self.known[at];
        let is_what_it_was = known.size == size
            && Some((known.seconds, known.nanoseconds)) == time(mtime_ns)
            && ctime_ns < self.started_ns - CLOCK_NS;
        is_what_it_was.then(|| Digest::new(&known.digest))
    }

    /// Reads lines of at most `line_bytes_max`. The error is why not, without the name of the report.
    fn from_lines(report: impl BufRead, line_bytes_max: usize) -> Result<Earlier, String> {
        let mut lines = Lines { report, line: Vec::new(), is_cut: false, number: 0, line_bytes_max };
        let first = if lines.next()? { lines.line.as_slice() } else { &[] };
        let (mut earlier, has_column) = begin(first)?;
        let mut met = Met::default();
        while lines.next()? {
            match earlier.take(&lines.line, &mut met) {
                Ok(()) => {}
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
                let FileLine { path, size, mtime_ns, inode, blake3 } = serde_json::from_slice(line)?;
                met.files = true;
                if let Some(digest) = blake3 {
                    self.know(&path, inode, size, mtime_ns, digest);
                }
            }
            "group" => {
                let GroupLine { kind, size, blake3, members } = serde_json::from_slice(line)?;
                met.groups = true;
                if let ("files", Some(digest)) = (kind.as_ref(), blake3) {
                    for Member { path, mtime_ns, inode } in members {
                        let mtime_ns = mtime_ns.ok_or_else(|| missing("mtime_ns"))?;
                        self.know(&path, inode, size, mtime_ns, digest);
                    }
                }
            }
            "end" => self.is_complete = !serde_json::from_slice::<EndLine>(line)?.cancelled,
            // The second of two reports in one file would be believed for the time of the first.
            "begin" => return Err(serde_json::Error::custom("a second \"begin\" record")),
            _ => {}
        }
        Ok(())
    }

    fn know(
        &mut self,
        path: &PathBytes<'_>,
        inode: Option<u64>,
        size: u64,
        mtime_ns: i128,
        Hex(digest): Hex,
    ) {
        // No file has a time that does not fit, so none could be the one of this record.
        let (Some((seconds, nanoseconds)), Some(inode)) = (time(mtime_ns), inode) else { return };
        // Past four billion records it is left to chance which of two of one path is believed.
        let order = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.push(Known { key: key(&path.0, inode), digest, size, seconds, nanoseconds, order });
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
fn begin(line: &[u8]) -> Result<(Earlier, bool), String> {
    let head = serde_json::from_slice::<BeginHead>(line).ok().filter(|head| head.r#type == "begin");
    let Some(BeginHead { schema, .. }) = head else {
        return Err("no filemill report: its first line is no \"begin\" record".to_owned());
    };
    if schema != SCHEMA {
        return Err(format!("its schema is {schema:?}, not {SCHEMA:?}"));
    }
    let wrong = |why: String| format!("line 1: {why}");
    let begin: BeginLine = serde_json::from_slice(line).map_err(|error| wrong(without_line(&error)))?;
    let started: jiff::Timestamp =
        begin.started.parse().map_err(|error: jiff::Error| wrong(error.to_string()))?;
    let earlier = Earlier {
        roots: begin.roots.into_iter().map(|root| root.0.into_owned()).collect(),
        has_lists: begin.roots_listed > 0,
        started_ns: started.as_nanosecond(),
        is_complete: false,
        known: Vec::new(),
    };
    Ok((earlier, begin.columns.iter().any(|column| column == "blake3")))
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

/// None where it lies further from 1970 than a file system can say.
fn time(ns: i128) -> Option<Time> {
    const SECOND_NS: i128 = 1_000_000_000;
    let seconds = i64::try_from(ns.div_euclid(SECOND_NS)).ok()?;
    Some((seconds, u32::try_from(ns.rem_euclid(SECOND_NS)).expect("less than a second")))
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

fn missing(key: &'static str) -> serde_json::Error {
    serde_json::Error::missing_field(key)
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
        if self.line.len() > self.line_bytes_max {
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
    columns: Vec<String>,
}

#[derive(Deserialize)]
struct FileLine<'a> {
    #[serde(borrow)]
    path: PathBytes<'a>,
    size: u64,
    mtime_ns: i128,
    inode: Option<u64>,
    blake3: Option<Hex>,
}

#[derive(Deserialize)]
struct GroupLine<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    size: u64,
    blake3: Option<Hex>,
    #[serde(borrow)]
    members: Vec<Member<'a>>,
}

/// A name in a group. Directories have no time.
#[derive(Deserialize)]
#[serde(expecting = "a member")]
struct Member<'a> {
    #[serde(borrow)]
    path: PathBytes<'a>,
    mtime_ns: Option<i128>,
    inode: Option<u64>,
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
        r#""roots":["/r",{"bytes":"/w=="}],"roots_listed":0,"columns":["lines","blake3"],"options":{}}"#
    );
    const STARTED_NS: i128 = 1_000_000_000_000_000_000;
    const LONG_AGO: i128 = 0;
    const END: &str = r#"{"type":"end","met":1,"cancelled":false}"#;

    fn hex(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn file(path: &str, size: u64, mtime_ns: i128, digit: char) -> String {
        let digest = hex(digit);
        format!(
            r#"{{"type":"file","path":{path},"size":{size},"mtime_ns":{mtime_ns},"inode":7,"lines":1,"blake3":"{digest}"}}"#
        )
    }

    /// Lines, each with its line feed.
    fn report(lines: &[&str]) -> String {
        lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    #[track_caller]
    fn read(report: &str) -> Earlier {
        Earlier::from_lines(report.as_bytes(), 1000).expect("it is a report")
    }

    /// The first digit of the digest that is known.
    fn known(earlier: &Earlier, path: &[u8], size: u64, mtime_ns: i128, ctime_ns: i128) -> Option<char> {
        let digest = earlier.digest(path, 7, size, mtime_ns, ctime_ns)?;
        let mut buffer = [0; 64];
        let shown = digest.hex(&mut buffer);
        assert_eq!(shown, shown[..1].repeat(64));
        shown.chars().next()
    }

    #[test]
    fn files_and_groups_are_known_by_path() {
        let group = format!(
            concat!(
                r#"{{"type":"group","kind":"files","size":7,"blake3":"{}","copies":2,"new":[1],"members":["#,
                r#"{{"path":"g/1","copy":0,"mtime_ns":1,"inode":7}},{{"path":{{"bytes":"Zy//"}},"copy":1,"mtime_ns":2,"inode":7}}]}}"#
            ),
            hex('c')
        );
        let directories = concat!(
            r#"{"type":"group","kind":"directories","size":7,"files_in_each":2,"copies":2,"#,
            r#""members":[{"path":"x","copy":0},{"path":"y","copy":1}]}"#
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
            directories,
            END,
        ]));
        assert!(earlier.is_complete());
        assert_eq!(earlier.roots(), [b"/r".to_vec(), b"\xff".to_vec()]);
        assert_eq!(earlier.files(), 5);
        assert_eq!(known(&earlier, b"a", 5, 10, LONG_AGO), Some('a'));
        assert_eq!(known(&earlier, b"\xff", 6, -1, LONG_AGO), Some('b'));
        assert_eq!(known(&earlier, b"quo\"te", 6, 20, LONG_AGO), Some('d'));
        assert_eq!(known(&earlier, b"g/1", 7, 1, LONG_AGO), Some('c'));
        assert_eq!(known(&earlier, b"g/\xff", 7, 2, LONG_AGO), Some('c'));
        for unknown in [&b"none"[..], b"s", b"x", b"b", b""] {
            assert_eq!(known(&earlier, unknown, 1, 1, LONG_AGO), None);
        }
    }

    #[test]
    fn a_file_that_may_have_changed_is_not_known() {
        let earlier = read(&report(&[BEGIN, &file(r#""a""#, 5, -1_500_000_001, 'a'), END]));
        let known = |size, mtime_ns, ctime_ns| known(&earlier, b"a", size, mtime_ns, ctime_ns).is_some();
        assert!(known(5, -1_500_000_001, LONG_AGO));
        assert!(known(5, -1_500_000_001, i128::MIN));
        assert!(!known(6, -1_500_000_001, LONG_AGO));
        assert!(!known(5, -1_500_000_000, LONG_AGO));
        assert!(!known(5, 1_500_000_001, LONG_AGO));
        assert!(!known(5, i128::MAX, LONG_AGO));
        assert!(known(5, -1_500_000_001, STARTED_NS - CLOCK_NS - 1));
        assert!(!known(5, -1_500_000_001, STARTED_NS - CLOCK_NS));
        assert!(!known(5, -1_500_000_001, STARTED_NS + 1));
    }

    #[test]
    fn times_are_told_apart_to_the_nanosecond_however_far_away() {
        let last = i128::from(i64::MAX) * 1_000_000_000 + 999_999_999;
        let first = i128::from(i64::MIN) * 1_000_000_000;
        for at in [0, -1, 1, first, last] {
            let earlier = read(&report(&[BEGIN, &file(r#""a""#, 0, at, 'a')]));
            for other in [at - 1, at, at + 1] {
                let expected = (other == at).then_some('a');
                assert_eq!(known(&earlier, b"a", 0, other, LONG_AGO), expected, "{at} {other}");
            }
        }
        // What no file can have is no reason to refuse the rest.
        assert_eq!(read(&report(&[BEGIN, &file(r#""a""#, 0, last + 1, 'a')])).files(), 0);
    }

    #[test]
    fn of_two_records_of_a_path_the_last_is_right() {
        let files: Vec<_> = "abcdef0123456789".chars().map(|digit| file(r#""a""#, 5, 10, digit)).collect();
        let mut lines = vec![BEGIN];
        lines.extend(files.iter().map(String::as_str));
        let earlier = read(&report(&lines));
        assert_eq!((earlier.files(), known(&earlier, b"a", 5, 10, LONG_AGO)), (1, Some('9')));
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
            let result = Earlier::from_lines(report.as_bytes(), 1000);
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
        check(&BEGIN.replace("roots\"", "boots\""), "line 1: missing field `roots` at column 185");
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
            let result = Earlier::from_lines(whole.as_bytes(), 1000);
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
                "invalid value: string \"{}a\", expected 64 hexadecimal digits at column 102",
                "x".repeat(21)
            ),
        );
        let group = format!(
            r#"{{"type":"group","kind":"files","size":1,"blake3":"{}","members":[{{"path":"a"}}]}}"#,
            hex('a')
        );
        check(&group, "missing field `mtime_ns`");
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
