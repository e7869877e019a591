//! Resolves the entries of a path list: each folder is reached once, its entries are classified beside it, and of equal ones
//! the first stays. The entry point is [`Looked::new`].
//!
//! Two entries are equal if their folders have one real path and their names are the same. Links and directories become
//! roots: [`super::roots`] decides which of them lie in others.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::plan::{Met, PathList, Root};
use crate::record::bytes_to_path;

/// A thread classifies folders with at least this many entries at a time; a shorter list is not worth a thread. A folder is
/// not divided.
const PART_ENTRIES: usize = 1024;

/// A list whose entries were looked at.
pub(super) struct Looked<'l> {
    list: &'l PathList,
    current: Option<PathBuf>,
    reals: Vec<Real>,
    /// Folders by a hash of their real paths; the next number if that is taken.
    by_real: HashMap<u64, u32>,
    hasher: RandomState,
    /// Entries by the real path of their folder and by name; equal ones in the order of the list.
    order: Vec<u32>,
    /// What each entry is, by its place in `order`.
    kinds: Vec<Kind>,
    /// The first folder of each real path, and where its entries are in `order`.
    groups: Vec<(u32, Range<usize>)>,
}

/// Where a folder really is.
enum Real {
    /// Where its text says: no link leads there.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(dead_code, reason = "only Linux resolves without links in one call")
    )]
    AsListed,
    Elsewhere(Box<Path>),
    /// It cannot be reached, and stands for itself.
    Unknown,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    /// A directory, a link, or a path that ends as one of a directory: a root.
    Root,
    /// Neither.
    Other,
    /// It is not there, or cannot be reached: no walk comes to it.
    Missing,
    /// An equal one comes first, or another root leads to it.
    LeftOut,
}

impl<'l> Looked<'l> {
    /// Looks at the entries, with this many threads if the list is long.
    pub(super) fn new(list: &'l PathList, threads: usize) -> Looked<'l> {
        Looked::by_parts(list, threads, PART_ENTRIES)
    }

    fn by_parts(list: &'l PathList, threads: usize, part_entries: usize) -> Looked<'l> {
        let mut looked = Looked {
            list,
            current: std::env::current_dir().ok(),
            reals: Vec::new(),
            by_real: HashMap::with_capacity(list.folders() as usize),
            hasher: RandomState::new(),
            order: Vec::new(),
            kinds: Vec::new(),
            groups: Vec::new(),
        };
        let first: Vec<u32> = (0..list.folders()).collect();
        looked.group(&first);
        looked.look(threads, part_entries);
        let first = looked.first_of_each_real_path();
        if (0..).zip(&first).any(|(folder, &first)| folder != first) {
            looked.regroup(&first);
        }
        looked.sort_groups();
        looked
    }

    /// Puts entries in the order of the folders that stand for theirs.
    fn group(&mut self, first: &[u32]) {
        let mut ends = vec![0_usize; first.len()];
        let group_of = |entry: u32| first[self.list.folder_of(entry) as usize] as usize;
        (0..self.list.listed()).for_each(|entry| ends[group_of(entry)] += 1);
        let mut end = 0;
        self.groups.clear();
        for (folder, entries) in (0..).zip(&mut ends) {
            let start = end;
            end += *entries;
            *entries = start;
            if end > start {
                self.groups.push((folder, start..end));
            }
        }
        self.order = vec![0; end];
        for entry in 0..self.list.listed() {
            let next = &mut ends[group_of(entry)];
            self.order[*next] = entry;
            *next += 1;
        }
    }

    /// The same, if the kinds of entries are known.
    fn regroup(&mut self, first: &[u32]) {
        let mut kinds = vec![Kind::Other; self.kinds.len()];
        for (&entry, &kind) in self.order.iter().zip(&self.kinds) {
            kinds[entry as usize] = kind;
        }
        self.group(first);
        self.kinds = self.order.iter().map(|&entry| kinds[entry as usize]).collect();
    }

    /// Reaches each folder, and classifies its entries: a part of the list after the other, by whichever thread is free.
    fn look(&mut self, threads: usize, part_entries: usize) {
        self.kinds = vec![Kind::Other; self.order.len()];
        self.reals.resize_with(self.groups.len(), || Real::Unknown);
        let (mut kinds, mut reals, mut groups) =
            (self.kinds.as_mut_slice(), self.reals.as_mut_slice(), self.groups.as_slice());
        let mut parts = Vec::new();
        while let Some((_, first)) = groups.first() {
            let end = groups.partition_point(|(_, range)| range.start < first.start + part_entries);
            let mut part =
                Part { order: &self.order, groups: &groups[..end], kinds: &mut [], reals: &mut [] };
            let entries = part.groups[end - 1].1.end - first.start;
            (part.kinds, kinds) = kinds.split_at_mut(entries);
            (part.reals, reals) = reals.split_at_mut(end);
            groups = &groups[end..];
            parts.push(part);
        }
        let (list, helpers) = (self.list, threads.min(parts.len()).saturating_sub(1));
        let parts = Mutex::new(parts);
        let look = || {
            loop {
                let part = parts.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(part) = part else { break };
                part.look(list);
            }
        };
        thread::scope(|scope| {
            for helper in 0..helpers {
                let name = format!("filemill-list-{helper}");
                // If the system allows no more threads, the calling thread does all.
                let _ = thread::Builder::new().name(name).spawn_scoped(scope, look);
            }
            look();
        });
    }

    /// For each folder the first that has its real path.
    fn first_of_each_real_path(&mut self) -> Vec<u32> {
        (0..self.list.folders())
            .map(|folder| {
                let real = self.real_path(folder);
                match self.place_of(&real) {
                    Ok(known) => known,
                    Err(place) => {
                        self.by_real.insert(place, folder);
                        folder
                    }
                }
            })
            .collect()
    }

    /// The folder of a real path, or the place for it in the table.
    fn place_of(&self, real: &Path) -> Result<u32, u64> {
        let mut place = self.hasher.hash_one(real);
        while let Some(&folder) = self.by_real.get(&place) {
            if self.real_path(folder) == real {
                return Ok(folder);
            }
            place = place.wrapping_add(1);
        }
        Err(place)
    }

    /// The real path of a folder; the listed one if that is unknown.
    fn real_path(&self, folder: u32) -> PathBuf {
        let text = bytes_to_path(self.list.folder(folder));
        let text = Path::new(&text);
        match (&self.reals[folder as usize], &self.current) {
            (Real::AsListed, Some(current)) => without_dots(&current.join(text)),
            (Real::Elsewhere(real), _) => real.to_path_buf(),
            _ => text.to_path_buf(),
        }
    }

    /// Sorts each group by name, and leaves out all but the first of equal ones.
    fn sort_groups(&mut self) {
        let list = self.list;
        for (_, range) in &self.groups {
            let (order, kinds) = (&mut self.order[range.clone()], &mut self.kinds[range.clone()]);
            let is_sorted = order.windows(2).all(|pair| list.name(pair[0]) < list.name(pair[1]));
            if is_sorted {
                continue;
            }
            let mut sorted: Vec<_> = order.iter().copied().zip(kinds.iter().copied()).collect();
            sorted.sort_unstable_by(|a, b| list.name(a.0).cmp(list.name(b.0)).then(a.0.cmp(&b.0)));
            for (at, (entry, kind)) in sorted.into_iter().enumerate() {
                (order[at], kinds[at]) = (entry, kind);
            }
        }
    }

    /// Calls for each entry that an equal one comes before, with the first of those; it is left out.
    pub(super) fn leave_out_equal(&mut self, mut tell: impl FnMut(u32, u32)) {
        for (_, range) in &self.groups {
            let mut first = range.start;
            for at in range.clone().skip(1) {
                if self.list.name(self.order[at]) == self.list.name(self.order[first]) {
                    self.kinds[at] = Kind::LeftOut;
                    tell(self.order[at], self.order[first]);
                } else {
                    first = at;
                }
            }
        }
    }

    /// The entries that are roots, in the order of the list.
    pub(super) fn roots(&self) -> Vec<Root> {
        let roots = self.order.iter().zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Root);
        let mut roots: Vec<u32> = roots.map(|(&entry, _)| entry).collect();
        roots.sort_unstable();
        roots.into_iter().map(|entry| Root::listed_at(bytes_to_path(self.list.path(entry)), entry)).collect()
    }

    /// The entry of this real path that is met by itself, and its place.
    pub(super) fn find(&self, real: &Path) -> Option<(usize, u32)> {
        let folder = self.place_of(real.parent()?).ok()?;
        let name = real.file_name()?.as_encoded_bytes();
        let group = self.groups.binary_search_by_key(&folder, |(first, _)| *first).ok()?;
        let range = self.groups[group].1.clone();
        let before = self.order[range.clone()].partition_point(|&entry| self.list.name(entry) < name);
        let at = range.start + before;
        let entry = *self.order[range].get(before)?;
        let is_met = matches!(self.kinds[at], Kind::File | Kind::Other) && self.list.name(entry) == name;
        is_met.then_some((at, entry))
    }

    /// Leaves out the entry at a place that was found.
    pub(super) fn leave_out(&mut self, place: usize) {
        self.kinds[place] = Kind::LeftOut;
    }

    /// Calls `ask` with the real path of each folder, then `leads_to` with what that returned and each entry there that is
    /// met by itself, and leaves out those for which that is true.
    pub(super) fn leave_out_where<A>(
        &mut self,
        mut ask: impl FnMut(&Path) -> Option<A>,
        mut leads_to: impl FnMut(&A, u32, &[u8]) -> bool,
    ) {
        for group in 0..self.groups.len() {
            let (folder, range) = self.groups[group].clone();
            let Some(about) = ask(&self.real_path(folder)) else { continue };
            for at in range {
                let entry = self.order[at];
                let is_met = matches!(self.kinds[at], Kind::File | Kind::Other);
                if is_met && leads_to(&about, entry, self.list.name(entry)) {
                    self.kinds[at] = Kind::LeftOut;
                }
            }
        }
    }

    /// The entries that are met by themselves, folder by folder.
    pub(super) fn into_met(self) -> Vec<Met> {
        let met = self.order.iter().zip(&self.kinds);
        met.filter_map(|(&entry, kind)| match kind {
            Kind::File => Some(Met::new(entry, true)),
            Kind::Other | Kind::Missing => Some(Met::new(entry, false)),
            Kind::Root | Kind::LeftOut => None,
        })
        .collect()
    }
}

/// Folders that follow each other, and what becomes known of them and of their entries.
struct Part<'p> {
    order: &'p [u32],
    groups: &'p [(u32, Range<usize>)],
    kinds: &'p mut [Kind],
    reals: &'p mut [Real],
}

impl Part<'_> {
    fn look(self, list: &PathList) {
        let mut kinds = self.kinds.iter_mut();
        for ((folder, range), real) in self.groups.iter().zip(self.reals) {
            let beside;
            (beside, *real) = Beside::reach(list.folder(*folder));
            for (&entry, kind) in self.order[range.clone()].iter().zip(&mut kinds) {
                *kind = beside.kind(list.path(entry), list.name(entry));
            }
        }
    }
}

/// A folder, for classifying its entries.
struct Beside {
    #[cfg(target_os = "linux")]
    handle: Option<std::os::fd::OwnedFd>,
}

impl Beside {
    /// Reaches a folder by its text, up to and with its last slash.
    fn reach(text: &[u8]) -> (Beside, Real) {
        let path: &[u8] = if text.is_empty() { b"." } else { text };
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
            // Names are resolved there, and nothing is listed: to search it must be allowed, to read it need not.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            if let Ok(handle) = openat2(CWD, path, flags, Mode::empty(), resolve) {
                return (Beside { handle: Some(handle) }, Real::AsListed);
            }
            let handle = openat(CWD, path, flags, Mode::empty()).ok();
            let real = if handle.is_some() { real_path(path) } else { Real::Unknown };
            (Beside { handle }, real)
        }
        #[cfg(not(target_os = "linux"))]
        (Beside {}, real_path(path))
    }

    /// What the entry of this path and this name is.
    fn kind(&self, path: &[u8], name: &[u8]) -> Kind {
        if matches!(name, b"" | b"." | b"..") {
            let path = bytes_to_path(path);
            let path = Path::new(&path);
            return if path.metadata().is_ok() { Kind::Root } else { Kind::Missing };
        }
        #[cfg(target_os = "linux")]
        if let Some(handle) = &self.handle {
            use rustix::fs::{AtFlags, FileType, statat};
            return match statat(handle, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| stat.st_mode) {
                Ok(mode) => match FileType::from_raw_mode(mode) {
                    FileType::RegularFile => Kind::File,
                    FileType::Directory | FileType::Symlink => Kind::Root,
                    _ => Kind::Other,
                },
                Err(_) => Kind::Missing,
            };
        }
        let path = bytes_to_path(path);
        let path = Path::new(&path);
        match path.symlink_metadata().map(|found| found.file_type()) {
            Ok(found) if found.is_file() => Kind::File,
            Ok(found) if found.is_dir() || found.is_symlink() => Kind::Root,
            Ok(_) => Kind::Other,
            Err(_) => Kind::Missing,
        }
    }
}

fn real_path(folder: &[u8]) -> Real {
    std::fs::canonicalize(bytes_to_path(folder))
        .map_or(Real::Unknown, |real| Real::Elsewhere(real.into_boxed_path()))
}

/// The path without `.` and `..`, where no link leads elsewhere.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::with_capacity(path.as_os_str().len());
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            _ => clean.push(component),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_taken_out_of_paths() {
        #[track_caller]
        fn check(path: &str, expected: &str) {
            assert_eq!(without_dots(Path::new(path)), Path::new(expected));
        }
        check("/a/./b//c/", "/a/b/c");
        check("/a/../b/c/..", "/b");
        check("/../a", "/a");
        check("/", "/");
    }

    /// Parts of any size give the same, with folders through links, entries that are missing and entries that are equal.
    #[cfg(unix)]
    #[test]
    fn parts_and_threads_change_nothing() {
        let top = tempfile::tempdir().expect("a place for tests");
        for folder in 0..7 {
            let folder = top.path().join(folder.to_string());
            std::fs::create_dir_all(folder.join("below")).expect("it can be made");
            (0..3).for_each(|file| {
                std::fs::write(folder.join(file.to_string()), "").expect("it can be written")
            });
        }
        std::os::unix::fs::symlink("3", top.path().join("link")).expect("it can be made");
        let mut list = PathList::default();
        for folder in ["0", "link", "1", "2", "missing", "3", "4", "5", "6", "0/../6"] {
            for name in ["0", "below", "2", "missing", "1", "0", "."] {
                list.push(top.path().join(folder).join(name));
            }
        }
        let looked = |threads, part_entries| {
            let looked = Looked::by_parts(&list, threads, part_entries);
            let real: Vec<_> = (0..list.folders()).map(|folder| looked.real_path(folder)).collect();
            (looked.order.clone(), looked.kinds.clone(), looked.groups.clone(), real)
        };
        let expected = looked(1, usize::MAX);
        for kind in [Kind::File, Kind::Root, Kind::Missing] {
            assert!(expected.1.contains(&kind), "{kind:?}");
        }
        for threads in [1, 2, 5] {
            for part_entries in [1, 3, 8, 20] {
                assert_eq!(
                    looked(threads, part_entries),
                    expected,
                    "{threads} threads, {part_entries} entries"
                );
            }
        }
    }
}
