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
    root: u32,
    /// Whether it has a name in a reference.
    is_reference: bool,
}

impl Candidate {
    /// The file that has these names.
    fn new(catalog: &Catalog, wanted: &Wanted, names: &[FileId]) -> Candidate {
        let file = names[0];
        let root = names.iter().map(|&name| catalog.root_of(name)).min().unwrap_or(0);
        Candidate {
            file,
            class: 0,
            digest: None,
            root: u32::try_from(root).unwrap_or(u32::MAX),
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

/// Files of the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileGroup {
    /// Size of each in bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub digest: Digest,
    /// Bytes that would be free if there were one copy alone.
    pub reclaimable_bytes: u64,
    /// Copies beyond the one that stays, or beyond those that are to stay as they are.
    pub redundant: u64,
    /// Names, copy by copy: those of a reference first, then root by root, and by path.
    pub names: Vec<Name>,
}

/// A name in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The file as the catalog has it.
    pub file: FileId,
    /// Which copy it is a name of, counted from 0.
    pub copy: u32,
    /// Whether it lies in a reference.
    pub is_reference: bool,
}

impl Wanted {
    /// Whether a path lies in a reference.
    fn is_reference(&self, catalog: &Catalog, file: FileId) -> bool {
        let directory = catalog.directory_path(catalog.directory_of(file));
        let path = if directory.is_empty() { catalog.entry(file).name } else { directory };
        self.references.iter().any(|reference| lies_in(path, reference))
    }

    /// Whether candidates that are the same are worth a group.
    fn wants(&self, class: &[Candidate]) -> bool {
        class.len() > 1
            && (!self.is_across || class.iter().any(|candidate| candidate.root != class[0].root))
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
        let size_max = wanted.size_max.unwrap_or(u64::MAX);
        let mut files: Vec<(u64, FileId)> = catalog.files().map(|file| (catalog.size(file), file)).collect();
        files.retain(|(size, _)| (wanted.size_min..=size_max).contains(size));
        files.par_sort_unstable();
        let (mut candidates, mut links) = (Candidates::default(), Links::default());
        let (mut class, mut names) = (Vec::new(), Vec::new());
        for of_size in files.chunk_by_mut(|(a, _), (b, _)| a == b) {
            if of_size.len() < 2 {
                continue;
            }
            // Hard links to one file beside each other.
            of_size.sort_unstable_by_key(|&(_, file)| (catalog.inode(file), file));
            class.clear();
            for linked in of_size.chunk_by(|&(_, a), &(_, b)| are_links(catalog, a, b)) {
                names.clear();
                names.extend(linked.iter().map(|&(_, file)| file));
                class.push(Candidate::new(catalog, wanted, &names));
                if names.len() > 1 {
                    links.0.extend(names.iter().map(|&name| (names[0], name)));
                }
            }
            if wanted.wants(&class) {
                candidates.add_class(&class);
            }
        }
        links.0.par_sort_unstable();
        (candidates, links)
    }
    fn add_class(&mut self, class: &[Candidate]) {
        let number = self.0.last().map_or(0, |last| last.class + 1);
        self.0.extend(class.iter().map(|&candidate| Candidate { class: number, ..candidate }));
    }

    /// All of them, class by class.
    pub fn all(&self) -> &[Candidate] {
        &self.0
    }

    /// The classes.
    pub fn classes(&self) -> impl Iterator<Item = &[Candidate]> {
        self.0.chunk_by(|a, b| a.class == b.class)
    }

    /// Takes out the classes for which this is true.
    pub fn take(&mut self, mut is_taken: impl FnMut(&[Candidate]) -> bool) -> Candidates {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for class in self.classes() {
            if is_taken(class) { &mut taken } else { &mut left }.extend_from_slice(class);
        }
        self.0 = left;
        Candidates(taken)
    }

    /// Puts back what was taken out, or came out of a division of it.
    pub fn put(&mut self, others: Candidates) {
        for class in others.classes() {
            self.add_class(class);
        }
    }

    /// Sets what is known of the content of each.
    pub fn know(&mut self, mut digest: impl FnMut(FileId) -> Option<Digest>) {
        self.0.iter_mut().for_each(|candidate| candidate.digest = digest(candidate.file));
    }

    /// Divides every class by what was learnt of its candidates, one digest each in their order. A candidate without one is
    /// like no other. Classes that are not wanted any more are left out.
    pub fn divide(&mut self, wanted: &Wanted, digests: &[Option<Digest>]) {
        let mut all = std::mem::take(&mut self.0);
        all.iter_mut().zip(digests).for_each(|(candidate, &digest)| candidate.digest = digest);
        all.retain(|candidate| candidate.digest.is_some());
        let digest = |candidate: &Candidate| candidate.digest.map(|digest| *digest.as_array());
        for class in all.chunk_by_mut(|a, b| a.class == b.class) {
            class.sort_unstable_by(|a, b| digest(a).cmp(&digest(b)).then(a.file.cmp(&b.file)));
        }
        for same in all.chunk_by(|a, b| a.class == b.class && a.digest == b.digest) {
            if wanted.wants(same) {
                self.add_class(same);
            }
        }
    }
}

/// Whether two files of the same size are one.
fn are_links(catalog: &Catalog, a: FileId, b: FileId) -> bool {
    // Systems that have no inodes say 0.
    let inode = catalog.inode(a);
    inode.1 != 0 && inode == catalog.inode(b)
}

/// Makes a group of each class, whose digests are those of the content, of the names for which `is_repeat` is false. Largest
/// gain first.
pub fn groups(
    catalog: &Catalog,
    wanted: &Wanted,
    links: &Links,
    same: &Candidates,
    is_repeat: &dyn Fn(FileId) -> bool,
) -> Vec<FileGroup> {
    let group = |class| group(catalog, wanted, links, class, is_repeat);
    let mut groups: Vec<_> = same.classes().filter_map(group).collect();
    let first = |group: &FileGroup| group.names[0].file;
    groups.par_sort_unstable_by(|a, b| {
        b.reclaimable_bytes.cmp(&a.reclaimable_bytes).then_with(|| compare_paths(catalog, first(a), first(b)))
    });
    groups
}

fn group(
    catalog: &Catalog,
    wanted: &Wanted,
    links: &Links,
    class: &[Candidate],
    is_repeat: &dyn Fn(FileId) -> bool,
) -> Option<FileGroup> {
    let size = catalog.size(class[0].file);
    if size < wanted.size_min || wanted.size_max.is_some_and(|max| size > max) {
        return None;
    }
    let mut copies: Vec<(Candidate, Vec<Name>)> = Vec::with_capacity(class.len());
    for candidate in class {
        let linked = links.names(candidate.file);
        let alone = (linked.len() == 0).then_some(candidate.file);
        let names: Vec<FileId> = alone.into_iter().chain(linked).filter(|&name| !is_repeat(name)).collect();
        if names.is_empty() {
            continue;
        }
        let named = Candidate { digest: candidate.digest, ..Candidate::new(catalog, wanted, &names) };
        let name = |file| Name { file, copy: 0, is_reference: wanted.is_reference(catalog, file) };
        let mut names: Vec<Name> = names.into_iter().map(name).collect();
        names.sort_unstable_by(|a, b| compare_names(catalog, a, b));
        copies.push((named, names));
    }
    copies.sort_unstable_by(|(_, a), (_, b)| compare_names(catalog, &a[0], &b[0]));
    let candidates: Vec<Candidate> = copies.iter().map(|(candidate, _)| *candidate).collect();
    if !wanted.wants(&candidates) {
        return None;
    }
    let kept = if wanted.is_across {
        candidates.iter().filter(|candidate| candidate.root == candidates[0].root).count()
    } else {
        candidates.iter().filter(|candidate| candidate.is_reference).count().max(1)
    };
    let redundant = (candidates.len() - kept) as u64;
    let numbered = (0..).zip(copies);
    let names =
        numbered.flat_map(|(copy, (_, names))| names.into_iter().map(move |name| Name { copy, ..name }));
    let digest = class[0].digest.expect("classes of the same content have a digest");
    Some(FileGroup { size, digest, reclaimable_bytes: size * redundant, redundant, names: names.collect() })
}

/// Those of a reference first.
fn compare_names(catalog: &Catalog, a: &Name, b: &Name) -> std::cmp::Ordering {
    b.is_reference.cmp(&a.is_reference).then_with(|| compare_paths(catalog, a.file, b.file))
}

/// Root by root as given, and below a root by the components of the path, compared as bytes.
pub(super) fn compare_paths(catalog: &Catalog, a: FileId, b: FileId) -> std::cmp::Ordering {
    if a == b {
        return std::cmp::Ordering::Equal;
    }
    let order = catalog.root_of(a).cmp(&catalog.root_of(b));
    order.then_with(|| components(catalog, a).cmp(components(catalog, b))).then(a.cmp(&b))
}

fn components(catalog: &Catalog, file: FileId) -> impl Iterator<Item = &[u8]> {
    let entry = catalog.entry(file);
    let directory = Some(catalog.directory_path(entry.directory)).filter(|path| !path.is_empty());
    let directory = directory.map(|path| path.strip_suffix(b"/").unwrap_or(path));
    directory
        .into_iter()
        .flat_map(|path| path.split(|&byte| byte == b'/'))
        .chain(entry.name.split(|&byte| byte == b'/'))
}
