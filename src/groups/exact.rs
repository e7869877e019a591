//! Which files are the same: classes of files that may be, divided round by round by what is learnt of them.
//!
//! A class begins as the files of one size. Each round reads something of them and divides the classes by its digest; what
//! is alone in its class is like no other, and is not looked at again.

use rayon::slice::ParallelSliceMut;

use super::catalog::{Catalog, FileId};
use crate::record::Digest;

/// Which classes of files are worth looking at.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Smallest size in bytes.
    pub size_min: u64,
    /// Largest size in bytes.
    pub size_max: Option<u64>,
    /// Only what is found below several roots.
    pub is_across: bool,
    /// Only what is also found in one of these directories, by path as shown; the others are what is found.
    pub references: Vec<Vec<u8>>,
}

/// One file that may be the same as others of its class: a name stands for all hard links to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The name it is read by.
    pub file: FileId,
    /// Its class: candidates of equal class may be the same.
    pub class: u32,
    /// What its class was divided by last, or what is known of its content from elsewhere.
    pub digest: Option<Digest>,
    /// The first root that it has a name below.
    pub(super) root: u32,
    /// Whether it has names below several roots.
    pub(super) has_roots: bool,
    /// Whether it has a name in a reference.
    pub(super) is_reference: bool,
}

impl Candidate {
    /// The file that has these names: it is read by the first of them by path, in whatever order they were met.
    pub(super) fn new(catalog: &Catalog, wanted: &Wanted, names: &[FileId]) -> Candidate {
        let path =
            |&&name: &&FileId| (catalog.directory_path(catalog.directory_of(name)), catalog.entry(name).name);
        let file =
            if names.len() == 1 { names[0] } else { *names.iter().min_by_key(path).unwrap_or(&names[0]) };
        let roots = || names.iter().map(|&name| catalog.root_of(name));
        let root = roots().min().unwrap_or(0);
        Candidate {
            file,
            class: 0,
            digest: None,
            root: u32::try_from(root).unwrap_or(u32::MAX),
            has_roots: roots().any(|other| other != root),
            is_reference: names.iter().any(|&name| wanted.is_reference(catalog, name)),
        }
    }
}

/// The candidates, class by class.
#[derive(Debug, Default)]
pub struct Candidates(Vec<Candidate>);

/// The names of files that have several: hard links to one file.
#[derive(Debug, Default)]
pub struct Links(Vec<(FileId, FileId)>);

impl Links {
    /// Every name of a file that has several, with the one it is read by.
    pub(crate) fn all(&self) -> impl Iterator<Item = (FileId, FileId)> {
        self.0.iter().copied()
    }

    /// The names of a candidate that has several, the one it is read by included; otherwise none.
    pub(crate) fn names(&self, file: FileId) -> impl ExactSizeIterator<Item = FileId> {
        let start = self.0.partition_point(|(of, _)| *of < file);
        let end = self.0.partition_point(|(of, _)| *of <= file);
        self.0[start..end].iter().map(|&(_, name)| name)
    }
}

impl Wanted {
    /// Whether a path lies in a reference.
    pub(super) fn is_reference(&self, catalog: &Catalog, file: FileId) -> bool {
        let directory = catalog.directory_path(catalog.directory_of(file));
        let path = if directory.is_empty() { catalog.entry(file).name } else { directory };
        self.references.iter().any(|reference| lies_in(path, reference))
    }

    /// Whether candidates that are the same are worth a group.
    pub(super) fn wants(&self, class: &[Candidate]) -> bool {
        class.len() > 1
            && (!self.is_across
                || class.iter().any(|candidate| candidate.root != class[0].root || candidate.has_roots))
            && (self.references.is_empty()
                || (class.iter().any(|candidate| candidate.is_reference)
                    && class.iter().any(|candidate| !candidate.is_reference)))
    }
}

/// Whether `path` is the directory of this path, or lies in it.
pub(super) fn lies_in(path: &[u8], directory: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(directory) else { return false };
    directory.is_empty() || directory.ends_with(b"/") || rest.is_empty() || rest.starts_with(b"/")
}

impl Candidates {
    /// The files of a catalog that may be the same as others, by their sizes.
    pub fn by_size(catalog: &Catalog, wanted: &Wanted) -> (Candidates, Links) {
        Candidates::gather(catalog, wanted, true)
    }

    /// All files of a catalog: what is nearly the same as others may have a size of its own.
    pub fn of_all(catalog: &Catalog, wanted: &Wanted) -> (Candidates, Links) {
        Candidates::gather(catalog, wanted, false)
    }

    fn gather(catalog: &Catalog, wanted: &Wanted, prunes: bool) -> (Candidates, Links) {
        let order = by_size(catalog, wanted, prunes);
        let (mut candidates, mut links) = (Candidates(Vec::with_capacity(order.len())), Links::default());
        let (mut inodes, mut names) = (Vec::new(), Vec::new());
        for of_size in order.chunk_by(|&a, &b| catalog.size(a) == catalog.size(b)) {
            let (start, class) = (candidates.0.len(), candidates.0.last().map_or(0, |last| last.class + 1));
            // Hard links to one file beside each other.
            inodes.clear();
            inodes.extend(of_size.iter().map(|&file| (catalog.inode(file), file)));
            inodes.par_sort_unstable();
            for linked in inodes.chunk_by(|(a, _), (b, _)| are_links(*a, *b)) {
                names.clear();
                names.extend(linked.iter().map(|&(.., file)| file));
                let candidate = Candidate { class, ..Candidate::new(catalog, wanted, &names) };
                candidates.0.push(candidate);
                if names.len() > 1 {
                    links.0.extend(names.iter().map(|&name| (candidate.file, name)));
                }
            }
            if prunes && !wanted.wants(&candidates.0[start..]) {
                candidates.0.truncate(start);
            }
        }
        if candidates.0.len() < order.len() / 2 {
            candidates.0.shrink_to_fit();
        }
        links.0.par_sort_unstable();
        (candidates, links)
    }

    /// All of them, class by class.
    pub fn all(&self) -> &[Candidate] {
        &self.0
    }

    /// The classes.
    pub fn classes(&self) -> impl Iterator<Item = &[Candidate]> {
        self.0.chunk_by(|a, b| a.class == b.class)
    }

    /// Takes out the last class, and gives its memory back where that is much: what is made of millions of candidates takes
    /// as much again.
    pub(super) fn pop(&mut self) -> Option<Vec<Candidate>> {
        let class = self.0.last()?.class;
        let start =
            self.0.iter().rposition(|candidate| candidate.class != class).map_or(0, |before| before + 1);
        let popped = self.0.split_off(start);
        if self.0.len() < self.0.capacity() / 2 {
            self.0.shrink_to_fit();
        }
        Some(popped)
    }

    /// Leaves out the classes that are not wanted.
    pub fn prune(&mut self, wanted: &Wanted) {
        drop(self.take(|class| !wanted.wants(class)));
    }

    /// Takes out the classes for which this is true.
    pub fn take(&mut self, is_taken: impl FnMut(&[Candidate]) -> bool) -> Candidates {
        let taken: Vec<bool> = self.classes().map(is_taken).collect();
        let (mut at, mut class) = (0, self.0.first().map_or(0, |first| first.class));
        let of_class = |candidate: &mut Candidate| {
            at += usize::from(candidate.class != class);
            class = candidate.class;
            taken[at]
        };
        Candidates(self.0.extract_if(.., of_class).collect())
    }

    /// Puts back what was taken out, or came out of a division of it.
    pub fn put(&mut self, others: Candidates) {
        let mut class = self.0.last().map_or(0, |last| last.class + 1);
        let mut before = None;
        self.0.reserve(others.0.len());
        for candidate in others.0 {
            class += u32::from(before.is_some_and(|before| before != candidate.class));
            before = Some(candidate.class);
            self.0.push(Candidate { class, ..candidate });
        }
    }

    /// Sets what is known of each.
    pub fn know(&mut self, mut digest: impl FnMut(&Candidate) -> Option<Digest>) {
        self.0.iter_mut().for_each(|candidate| candidate.digest = digest(candidate));
    }

    /// Sets what was learnt of the one at this place.
    pub fn learn(&mut self, at: usize, digest: Digest) {
        self.0[at].digest = Some(digest);
    }

    /// Divides every class by the digests of its candidates. A candidate without one is like no other. Classes that are not
    /// wanted any more are left out.
    pub fn divide(&mut self, wanted: &Wanted) {
        /// Classes from this size on are sorted by several threads. A guess.
        const PARALLEL_MIN: usize = 1 << 14;
        let all = &mut self.0;
        all.retain(|candidate| candidate.digest.is_some());
        let digest = |candidate: &Candidate| candidate.digest.map(|digest| *digest.as_array());
        let order =
            |a: &Candidate, b: &Candidate| digest(a).cmp(&digest(b)).then_with(|| a.file.cmp(&b.file));
        for class in all.chunk_by_mut(|a, b| a.class == b.class) {
            if class.len() < PARALLEL_MIN {
                class.sort_unstable_by(order);
            } else {
                class.par_sort_unstable_by(order);
            }
        }
        // In place: there may be millions.
        let (mut kept, mut at, mut number) = (0, 0, 0);
        while at < all.len() {
            let first = all[at];
            let same =
                |candidate: &&Candidate| (candidate.class, candidate.digest) == (first.class, first.digest);
            let end = at + all[at..].iter().take_while(same).count();
            if wanted.wants(&all[at..end]) {
                for from in at..end {
                    all[kept] = Candidate { class: number, ..all[from] };
                    kept += 1;
                }
                number += 1;
            }
            at = end;
        }
        all.truncate(kept);
        all.shrink_to_fit();
    }
}

/// The files of the sizes that are wanted, by size; with `prunes` only those that have the size of another.
fn by_size(catalog: &Catalog, wanted: &Wanted, prunes: bool) -> Vec<FileId> {
    let sizes = wanted.size_min..=wanted.size_max.unwrap_or(u64::MAX);
    let files = catalog.files().map(|file| (catalog.size(file), file));
    let mut files: Vec<(u64, FileId)> = files.filter(|(size, _)| sizes.contains(size)).collect();
    files.par_sort_unstable();
    let same = files.chunk_by(|(a, _), (b, _)| a == b).filter(|same| !prunes || same.len() > 1);
    same.flatten().map(|&(_, file)| file).collect()
}

/// Whether two files of the same size are one, by device and inode.
fn are_links(a: (u32, u64), b: (u32, u64)) -> bool {
    // Systems that have no inodes say 0.
    a.1 != 0 && a == b
}
