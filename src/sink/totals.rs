//! Totals over a run, for the summary: by kind and by extension, the largest files, lines and words.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::time::SystemTime;

use super::Sink;
use crate::plan::Plan;
use crate::record::{Outcome, Record, Value};
use crate::report::Volume;

/// Sums up a run in bounded memory.
#[derive(Debug, Default)]
pub struct Totals {
    columns: Columns,
    by_kind: HashMap<Kind, Volume>,
    by_extension: HashMap<Vec<u8>, Volume>,
    without_extension: Volume,
    other_extensions: Volume,
    largest: BinaryHeap<Reverse<Largest>>,
    name: Vec<u8>,
    /// Sum of `lines` and `words`, over text alone where `kind` tells it apart; zero where not asked for.
    pub text: Text,
}

/// Positions of the columns that are summed up.
#[derive(Debug, Default, Clone, Copy)]
struct Columns {
    kind: Option<usize>,
    encoding: Option<usize>,
    lines: Option<usize>,
    words: Option<usize>,
}

/// What the analysis `kind` says of a file, for one line of the summary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Text in this encoding, with no magic number.
    Text(Cow<'static, str>),
    /// A media type.
    Media(Cow<'static, str>),
    /// Neither text nor a known magic number.
    Binary,
}

/// Sums over text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Text {
    /// Files that are text, or all where nobody looked.
    pub files: u64,
    /// Their line feeds.
    pub lines: u64,
    /// Their words.
    pub words: u64,
}

/// What stands behind the last dot of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extension {
    /// The bytes behind the dot, in lower case where they are ASCII.
    Named(Vec<u8>),
    /// There is no dot behind the first byte, or what follows is too long to be an extension.
    Missing,
    /// One of those that came after the table was full.
    Others,
}

/// One of the largest files; ordered by size, then by path from last to first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Largest {
    /// Size in bytes.
    pub size: u64,
    /// Its path.
    pub path: Reverse<Vec<u8>>,
}

/// How many of the largest files are kept.
const LARGEST_MAX: usize = 10;
/// A tree can have as many extensions as files: beyond this many they are summed up as one.
const EXTENSIONS_MAX: usize = 10_000;
/// Longer than this it is part of a name, not an extension.
const EXTENSION_BYTES_MAX: usize = 16;

impl Totals {
    /// Kinds with their totals, most bytes first; empty where `kind` was not asked for.
    pub fn kinds(&self) -> Vec<(Kind, Volume)> {
        by_bytes(self.by_kind.iter().map(|(kind, group)| (kind.clone(), *group)))
    }

    /// Extensions with their totals, most bytes first.
    pub fn extensions(&self) -> Vec<(Extension, Volume)> {
        let named = self.by_extension.iter().map(|(name, group)| (Extension::Named(name.clone()), *group));
        let rest = [(Extension::Missing, self.without_extension), (Extension::Others, self.other_extensions)];
        by_bytes(named.chain(rest).filter(|(_, group)| group.files > 0))
    }

    /// The largest files, largest first.
    pub fn largest(&self) -> Vec<Largest> {
        let mut largest: Vec<_> = self.largest.iter().map(|Reverse(file)| file.clone()).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        largest
    }

    fn add_extension(&mut self, name: &[u8], size: u64) {
        // A root is named by its whole path.
        let start = name.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        let extension = match memchr::memrchr(b'.', &name[start..]) {
            Some(dot) if dot > 0 && (1..=EXTENSION_BYTES_MAX).contains(&(name.len() - start - dot - 1)) => {
                &name[start + dot + 1..]
            }
            _ => return self.without_extension.add(size),
        };
        self.name.clear();
        self.name.extend(extension.iter().map(u8::to_ascii_lowercase));
        if let Some(group) = self.by_extension.get_mut(&self.name) {
            group.add(size);
        } else if self.by_extension.len() < EXTENSIONS_MAX {
            self.by_extension.insert(self.name.clone(), Volume { files: 1, bytes: size });
        } else {
            self.other_extensions.add(size);
        }
    }

    fn add_largest(&mut self, record: &Record<'_>, size: u64) {
        if self.largest.len() == LARGEST_MAX
            && self.largest.peek().is_some_and(|Reverse(least)| size < least.size)
        {
            return;
        }
        let mut path = Vec::new();
        record.path_to(&mut path);
        self.largest.push(Reverse(Largest { size, path: Reverse(path) }));
        if self.largest.len() > LARGEST_MAX {
            self.largest.pop();
        }
    }

    /// Adds to the kinds; says whether the file is text, as far as anybody looked.
    fn add_kind(&mut self, values: &[Value], size: u64) -> bool {
        let at = |column: Option<usize>| column.and_then(|column| values.get(column));
        let Some(kind) = at(self.columns.kind) else { return true };
        let encoding = at(self.columns.encoding);
        let kind = match (kind, encoding) {
            (Value::Text(media), _) => Kind::Media(media.clone()),
            (_, Some(Value::Text(encoding))) => Kind::Text(encoding.clone()),
            _ => Kind::Binary,
        };
        self.by_kind.entry(kind).or_default().add(size);
        matches!(encoding, Some(Value::Text(_)))
    }
}

fn by_bytes<K: Ord>(groups: impl Iterator<Item = (K, Volume)>) -> Vec<(K, Volume)> {
    let mut groups: Vec<_> = groups.collect();
    groups
        .sort_unstable_by(|(a, x), (b, y)| y.bytes.cmp(&x.bytes).then(y.files.cmp(&x.files)).then(a.cmp(b)));
    groups
}

impl Sink for Totals {
    fn begin(&mut self, plan: &Plan, _started: SystemTime) -> io::Result<()> {
        let columns = plan.columns();
        let position = |name| columns.iter().position(|column| column.name == name);
        let columns = Columns {
            kind: position("kind"),
            encoding: position("encoding"),
            lines: position("lines"),
            words: position("words"),
        };
        *self = Totals { columns, ..Totals::default() };
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let Outcome::Done { size, .. } = record.outcome else { return Ok(()) };
        self.add_extension(record.name, size);
        self.add_largest(record, size);
        if self.add_kind(record.values, size) {
            let count = |column: Option<usize>| match column.and_then(|column| record.values.get(column)) {
                Some(Value::U64(count)) => *count,
                _ => 0,
            };
            self.text.files += 1;
            self.text.lines += count(self.columns.lines);
            self.text.words += count(self.columns.words);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(files: &[(&str, u64)]) -> Totals {
        let mut totals = Totals::default();
        for &(name, size) in files {
            let outcome = Outcome::done(size, 0);
            let record = Record { number: 0, directory: b"d.d", name: name.as_bytes(), outcome, values: &[] };
            totals.record(&record).expect("it only counts");
        }
        totals
    }

    #[test]
    fn extensions_are_what_follows_the_last_dot_of_a_name() {
        #[track_caller]
        fn check(name: &str, expected: Option<&str>) {
            let expected = expected.map_or(Extension::Missing, |name| Extension::Named(name.into()));
            assert_eq!(totals(&[(name, 1)]).extensions(), [(expected, Volume { files: 1, bytes: 1 })]);
        }
        check("a.rs", Some("rs"));
        check("a.tar.GZ", Some("gz"));
        check("Makefile", None);
        check(".gitignore", None);
        check("a.", None);
        check("a.this_is_no_extension", None);
        check("root.d/file", None);
        check("root.d/.x", None);
        check("root/file.c", Some("c"));
    }

    #[test]
    fn the_largest_files_do_not_depend_on_the_order() {
        let mut files: Vec<(String, u64)> = (0..40).map(|i| (format!("{i:02}"), i / 4)).collect();
        let largest = |files: &[(String, u64)]| {
            let files: Vec<_> = files.iter().map(|(name, size)| (name.as_str(), *size)).collect();
            totals(&files).largest()
        };
        let expected = largest(&files);
        assert_eq!(expected.len(), LARGEST_MAX);
        assert_eq!((expected[0].size, expected[0].path.0.as_slice()), (9, &b"d.d/36"[..]));
        files.reverse();
        assert_eq!(largest(&files), expected);
        files.rotate_left(17);
        assert_eq!(largest(&files), expected);
    }

    #[test]
    fn a_full_table_of_extensions_sums_up_the_rest() {
        let names: Vec<String> = (0..EXTENSIONS_MAX + 5).map(|i| format!("a.{i}")).collect();
        let files: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
        let extensions = totals(&files).extensions();
        assert_eq!(extensions.len(), EXTENSIONS_MAX + 1);
        assert_eq!(extensions[0], (Extension::Others, Volume { files: 5, bytes: 10 }));
    }
}
