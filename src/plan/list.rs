//! Paths of a list, perhaps millions: their bytes stay in one run, with 16 bytes an entry beside them and
//! some 60 bytes a directory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

/// Entries of path lists, each a root of its own, in the order in which they were listed. An entry that is not there is an
/// error record.
///
/// ```
/// use filemill::plan::{PathList, Plan};
///
/// let mut list = PathList::default();
/// list.add_text(b"src/lib.rs\nREADME.md\n".to_vec(), b'\n');
/// list.push("Cargo.toml");
/// let plan = Plan { listed: list, ..Plan::new([] as [&str; 0]) };
/// assert_eq!(plan.listed.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct PathList {
    paths: Arc<Paths>,
    /// Which entries are met by themselves, in the order in which the walk meets them; `None`: all of them.
    order: Option<Arc<Vec<Met>>>,
}

/// An entry that is met by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Met(u32);

/// Set where the entry was no regular file, which is looked at again in its turn.
const IS_OTHER: u32 = 1 << 31;

impl Met {
    pub(crate) fn new(entry: u32, is_file: bool) -> Met {
        Met(if is_file { entry } else { entry | IS_OTHER })
    }

    /// Its place in the list.
    pub(crate) fn entry(self) -> u32 {
        self.0 & !IS_OTHER
    }

    /// Whether it was a regular file when the list was resolved.
    pub(crate) fn is_file(self) -> bool {
        self.0 & IS_OTHER == 0
    }
}

#[derive(Clone, Debug, Default)]
struct Paths {
    text: Vec<u8>,
    entries: Vec<Entry>,
    folders: Vec<Folder>,
    /// The folder whose text was added last of those with this hash.
    by_text: HashMap<u64, u32>,
    hasher: RandomState,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    bytes: u32,
    folder: u32,
}

/// The text before the names of entries.
#[derive(Clone, Copy, Debug)]
struct Folder {
    start: u64,
    bytes: u32,
    /// Another folder whose text has the same hash, or [`NONE`].
    next: u32,
}

const NONE: u32 = u32::MAX;

impl PathList {
    /// Adds an entry.
    ///
    /// # Panics
    /// Beyond 2^31 entries, or with a path of 4 GiB.
    pub fn push(&mut self, path: impl AsRef<Path>) {
        let paths = Arc::make_mut(&mut self.paths);
        let start = paths.text.len();
        paths.text.extend_from_slice(path.as_ref().as_os_str().as_encoded_bytes());
        paths.add(start, paths.text.len());
    }

    /// Adds every path of a text, each ended by `separator`, which the last one may lack. Empty ones mean nothing.
    ///
    /// # Panics
    /// As [`PathList::push`].
    pub fn add_text(&mut self, text: Vec<u8>, separator: u8) {
        let paths = Arc::make_mut(&mut self.paths);
        let mut start = paths.text.len();
        if start == 0 {
            paths.text = text;
        } else {
            paths.text.extend_from_slice(&text);
        }
        while start < paths.text.len() {
            let rest = &paths.text[start..];
            let end = start + memchr::memchr(separator, rest).unwrap_or(rest.len());
            if end > start {
                paths.add(start, end);
            }
            start = end + 1;
        }
    }

    /// Number of entries; once a run has resolved them, of those that no other path leads to.
    pub fn len(&self) -> usize {
        self.order.as_ref().map_or(self.paths.entries.len(), |order| order.len())
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same paths; those in `order` are met by themselves.
    pub(crate) fn in_order(&self, order: Vec<Met>) -> PathList {
        PathList { paths: self.paths.clone(), order: Some(Arc::new(order)) }
    }

    /// The entries that are met by themselves, in their order; none before the list is resolved.
    pub(crate) fn order(&self) -> &[Met] {
        self.order.as_ref().map_or(&[], |order| order)
    }

    /// Number of entries that were listed, whatever else leads to them.
    pub(crate) fn listed(&self) -> u32 {
        u32::try_from(self.paths.entries.len()).expect("checked where entries are added")
    }

    /// The path of an entry.
    pub(crate) fn path(&self, entry: u32) -> &[u8] {
        let Entry { start, bytes, .. } = self.paths.entries[entry as usize];
        self.paths.slice(start, bytes)
    }

    /// Number of texts that stand before names.
    pub(crate) fn folders(&self) -> u32 {
        length(self.paths.folders.len())
    }

    /// The text before the name of an entry, by number.
    pub(crate) fn folder_of(&self, entry: u32) -> u32 {
        self.paths.entries[entry as usize].folder
    }

    /// The text of a folder, up to and with its last slash; empty: the current directory.
    pub(crate) fn folder(&self, folder: u32) -> &[u8] {
        let Folder { start, bytes, .. } = self.paths.folders[folder as usize];
        self.paths.slice(start, bytes)
    }

    /// The name of an entry in its folder; empty, `.` or `..` where the path names a directory by its end.
    pub(crate) fn name(&self, entry: u32) -> &[u8] {
        &self.path(entry)[self.folder(self.folder_of(entry)).len()..]
    }
}

impl Paths {
    fn add(&mut self, start: usize, end: usize) {
        let path = &self.text[start..end];
        let folder_bytes = memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1);
        let last = self.entries.last().map(|entry| entry.folder);
        let text = &path[..folder_bytes];
        let known = last.filter(|&last| self.folder_text(last) == text).or_else(|| self.find(text));
        let folder = known.unwrap_or_else(|| {
            let number = u32::try_from(self.folders.len()).expect("there are fewer folders than entries");
            let next = self.by_text.insert(self.hasher.hash_one(text), number).unwrap_or(NONE);
            self.folders.push(Folder { start: start as u64, bytes: length(folder_bytes), next });
            number
        });
        assert!(self.entries.len() < IS_OTHER as usize, "a list has 2^31 entries at most");
        self.entries.push(Entry { start: start as u64, bytes: length(end - start), folder });
    }

    fn find(&self, text: &[u8]) -> Option<u32> {
        let mut found = self.by_text.get(&self.hasher.hash_one(text)).copied().unwrap_or(NONE);
        while found != NONE && self.folder_text(found) != text {
            found = self.folders[found as usize].next;
        }
        Some(found).filter(|&found| found != NONE)
    }

    fn folder_text(&self, folder: u32) -> &[u8] {
        let Folder { start, bytes, .. } = self.folders[folder as usize];
        self.slice(start, bytes)
    }

    fn slice(&self, start: u64, bytes: u32) -> &[u8] {
        let start = usize::try_from(start).expect("it is a place in memory");
        &self.text[start..start + bytes as usize]
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("no system has paths of 4 GiB")
}

impl<P: AsRef<Path>> FromIterator<P> for PathList {
    fn from_iter<I: IntoIterator<Item = P>>(paths: I) -> PathList {
        let mut list = PathList::default();
        paths.into_iter().for_each(|path| list.push(path));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_into_folder_and_name() {
        let mut list = PathList::default();
        list.add_text(b"a/b\n/c\nd\n\na/e\na//f\ng/\na/..\n".to_vec(), b'\n');
        list.push("a/h");
        list.add_text(b"x\0a/\xff".to_vec(), 0);
        let parts: Vec<_> = (0..list.listed())
            .map(|entry| {
                let part = |bytes: &[u8]| bytes.escape_ascii().to_string();
                let (folder, name) = (list.folder(list.folder_of(entry)), list.name(entry));
                assert_eq!([folder, name].concat(), list.path(entry));
                (part(folder), part(name))
            })
            .collect();
        let expected = [
            ("a/", "b"),
            ("/", "c"),
            ("", "d"),
            ("a/", "e"),
            ("a//", "f"),
            ("g/", ""),
            ("a/", ".."),
            ("a/", "h"),
            ("", "x"),
            ("a/", "\\xff"),
        ];
        let parts: Vec<_> = parts.iter().map(|(folder, name)| (folder.as_str(), name.as_str())).collect();
        assert_eq!(parts, expected);
        assert_eq!((list.len(), list.folders()), (10, 5));
    }

    #[test]
    fn what_is_met_keeps_its_place_and_its_type() {
        for (entry, is_file) in [(0, true), (0, false), (7, true), (IS_OTHER - 1, false)] {
            let met = Met::new(entry, is_file);
            assert_eq!((met.entry(), met.is_file()), (entry, is_file));
        }
    }
}
