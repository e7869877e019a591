//! Everything that a walk met, kept: answers about several files need all of them. 56 bytes a file and its name, and the path of
//! each directory once.

mod roots;

use std::collections::HashMap;

use super::store::{Chunks, Piece, Table, Text};
use crate::plan::PathList;
use crate::record::{Identity, join_path};

/// A file of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A directory of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryId(pub u32);

impl FileId {
    /// Its place in lists that have one item a file.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl DirectoryId {
    /// Its place in lists that have one item a directory.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What lies in a directory and is no file that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Other {
    /// A symbolic link that was not followed.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix-domain socket.
    Socket,
    /// Something of which nobody knows what it holds: a device, a directory that was not entered, what could not be read.
    Unknown,
}

/// A file as the catalog has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'c> {
    /// Where it lies.
    pub directory: DirectoryId,
    /// Its name there; for a root, the root as it was given.
    pub name: &'c [u8],
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification, in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Which file it is.
    pub identity: Identity,
}

/// Files and directories by number, names and paths in one run of bytes.
#[derive(Debug, Default)]
pub struct Catalog {
    /// As they are shown, in the order in which they were given.
    roots: Vec<Box<[u8]>>,
    /// The first of each, by how it is shown.
    roots_by_path: HashMap<Box<[u8]>, u32>,
    /// The place of each root among all that were given: those of the command line, then the entries of the list.
    ranks: Vec<u32>,
    /// How many roots come before the list.
    given: usize,
    listed: PathList,
    /// Entries of the list, by their paths.
    listed_by_path: Table,
    text: Text,
    directories: Chunks<Folder, 12>,
    by_path: Table,
    /// The directory that something was added to last.
    last: Option<DirectoryId>,
    files: Chunks<File, 14>,
    others: Vec<(DirectoryId, Piece, Other)>,
    attributes: Vec<Attributes>,
    /// The places of [`Catalog::attributes`].
    by_attributes: HashMap<(Identity, bool), u32>,
}

#[derive(Debug)]
struct Folder {
    path: Piece,
    root: u32,
}

/// Times are seconds and nanoseconds, as 128 bits are twice what a time needs.
#[derive(Clone, Copy, Debug)]
struct File {
    raw: RawFile,
    name: Piece,
}

/// A file as it is kept, without its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawFile {
    pub(super) size: u64,
    pub(super) inode: u64,
    pub(super) mtime_seconds: i64,
    pub(super) ctime_seconds: i64,
    pub(super) mtime_nanoseconds: u32,
    pub(super) ctime_nanoseconds: u32,
    pub(super) directory: DirectoryId,
    /// The place of what it has in common with others.
    pub(super) attributes: u32,
}

/// What many files have in common.
#[derive(Clone, Copy, Debug)]
struct Attributes {
    /// Without inode and times.
    identity: Identity,
    /// A number of this catalog's.
    device: u32,
    /// Whether they have fewer blocks than their sizes take.
    is_sparse: bool,
}

impl Catalog {
    /// What a file takes beside its name.
    pub(crate) const FILE_BYTES: usize = size_of::<File>();

    /// An empty catalog of what lies below `roots`, as they are shown.
    pub fn new<'r>(roots: impl IntoIterator<Item = &'r [u8]>) -> Catalog {
        let roots: Vec<Box<[u8]>> = roots.into_iter().map(Box::from).collect();
        let mut roots_by_path = HashMap::with_capacity(roots.len());
        for (number, root) in (0..).zip(&roots) {
            roots_by_path.entry(root.clone()).or_insert(number);
        }
        Catalog { roots, roots_by_path, ..Catalog::default() }
    }

    /// Adds a file that lies in the directory of this path.
    ///
    /// # Panics
    /// Beyond 2^32 files or directories.
    pub fn add_file(
        &mut self,
        directory: &[u8],
        name: &[u8],
        size: u64,
        mtime_ns: i128,
        identity: Identity,
    ) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).expect("a catalog holds 2^32 files at most"));
        let directory = self.add_directory(directory);
        let name = self.text.keep(name);
        let attributes = self.attributes(identity, false);
        let mtime = split(mtime_ns);
        let raw = RawFile {
            size,
            inode: identity.inode,
            mtime_seconds: mtime.0,
            ctime_seconds: identity.ctime_seconds,
            mtime_nanoseconds: mtime.1,
            ctime_nanoseconds: identity.ctime_nanoseconds,
            directory,
            attributes,
        };
        self.files.push(File { raw, name });
        id
    }

    /// Records that a file has fewer blocks than its size takes.
    pub(crate) fn mark_sparse(&mut self, file: FileId) {
        let attributes = self.attributes(self.entry(file).identity, true);
        self.files[file.index()].raw.attributes = attributes;
    }

    /// Adds a directory, or finds it where it is known.
    ///
    /// # Panics
    /// Beyond 2^32 of them.
    pub fn add_directory(&mut self, path: &[u8]) -> DirectoryId {
        if let Some(last) = self.last.filter(|&last| self.directory_path(last) == path) {
            return last;
        }
        let id = self.find_directory(path).unwrap_or_else(|| {
            let id =
                DirectoryId(u32::try_from(self.directories.len()).expect("2^32 directories are too many"));
            let (text, directories) = (&self.text, &self.directories);
            self.by_path.add(path, id.0, |number| text.get(directories[number as usize].path));
            let (root, path) = (self.root_above(path), self.text.keep(path));
            self.directories.push(Folder { path, root });
            id
        });
        self.last = Some(id);
        id
    }

    /// Adds what lies in the directory of this path and is no file that was looked at.
    pub fn add_other(&mut self, directory: &[u8], name: &[u8], what: Other) {
        let directory = self.add_directory(directory);
        let name = self.text.keep(name);
        self.others.push((directory, name, what));
    }

    /// The directory of this path, where something was met in it.
    pub fn find_directory(&self, path: &[u8]) -> Option<DirectoryId> {
        let path_of = |number| self.directory_path(DirectoryId(number));
        self.by_path.find(path, path_of).map(DirectoryId)
    }

    /// One of [`Catalog::others`], by its place there.
    pub(crate) fn other(&self, index: usize) -> (DirectoryId, &[u8], Other) {
        let (directory, name, what) = self.others[index];
        (directory, self.text.get(name), what)
    }

    /// The directories, in the order in which they were added.
    pub(super) fn directory_ids(&self) -> impl Iterator<Item = DirectoryId> + use<> {
        (0..number(self.directories.len())).map(DirectoryId)
    }

    /// A file as it is kept, and its name.
    pub(super) fn raw(&self, file: FileId) -> (RawFile, &[u8]) {
        let File { raw, name } = self.files[file.index()];
        (raw, self.text.get(name))
    }

    /// Adds a file as another catalog with the same attributes has kept it. Its directory may be that of another catalog until
    /// [`Catalog::put_into_directories`].
    pub(super) fn add_raw(&mut self, raw: &RawFile, name: &[u8]) {
        number(self.files.len());
        let name = self.text.keep(name);
        self.files.push(File { raw: *raw, name });
    }

    /// Sets the directory of each file, by the one that it has.
    pub(super) fn put_into_directories(&mut self, mut directory: impl FnMut(DirectoryId) -> DirectoryId) {
        self.files.iter_mut().for_each(|file| file.raw.directory = directory(file.raw.directory));
    }

    /// A catalog with the same roots and attributes.
    pub(super) fn without_files(&self) -> Catalog {
        Catalog {
            roots: self.roots.clone(),
            roots_by_path: self.roots_by_path.clone(),
            ranks: self.ranks.clone(),
            given: self.given,
            listed: self.listed.clone(),
            listed_by_path: self.listed_by_path.clone(),
            attributes: self.attributes.clone(),
            by_attributes: self.by_attributes.clone(),
            ..Catalog::default()
        }
    }

    /// Forgets everything but roots and attributes.
    pub(super) fn clear(&mut self) {
        self.text = Text::default();
        self.directories = Chunks::default();
        self.by_path = Table::default();
        self.last = None;
        self.files = Chunks::default();
        self.others = Vec::new();
    }

    /// What it takes of memory, in bytes: what was reserved included.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let others = self.others.capacity() * size_of::<(DirectoryId, Piece, Other)>();
        let directories = self.directories.memory_bytes() + self.by_path.memory_bytes();
        (self.text.memory_bytes() + self.files.memory_bytes() + others + directories) as u64
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of directories in which something was met, or that were told.
    pub fn directories(&self) -> usize {
        self.directories.len()
    }

    /// Number of roots.
    pub fn roots(&self) -> usize {
        self.roots.len()
    }

    /// The files, in the order in which they were added.
    pub fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..u32::try_from(self.files.len()).expect("checked where files are added")).map(FileId)
    }

    /// What lies in directories and is no file that was looked at.
    pub fn others(&self) -> impl Iterator<Item = (DirectoryId, &[u8], Other)> {
        self.others.iter().map(|&(directory, name, what)| (directory, self.text.get(name), what))
    }

    /// What is known of a file.
    pub fn entry(&self, file: FileId) -> Entry<'_> {
        let File { raw: file, name } = self.files[file.index()];
        Entry {
            directory: file.directory,
            name: self.text.get(name),
            size: file.size,
            mtime_ns: join(file.mtime_seconds, file.mtime_nanoseconds),
            identity: Identity {
                inode: file.inode,
                ctime_seconds: file.ctime_seconds,
                ctime_nanoseconds: file.ctime_nanoseconds,
                ..self.attributes[file.attributes as usize].identity
            },
        }
    }

    /// Its size in bytes.
    pub fn size(&self, file: FileId) -> u64 {
        self.files[file.index()].raw.size
    }

    /// Device (a number of this catalog's) and inode.
    pub(crate) fn inode(&self, file: FileId) -> (u32, u64) {
        let file = &self.files[file.index()].raw;
        (self.attributes[file.attributes as usize].device, file.inode)
    }

    /// Names that a file has, those outside of the search included.
    #[cfg(target_os = "linux")]
    pub(crate) fn links(&self, file: FileId) -> u32 {
        self.attributes_of(file).identity.links
    }

    /// Whether a file has fewer blocks than its size takes.
    pub(crate) fn is_sparse(&self, file: FileId) -> bool {
        self.attributes_of(file).is_sparse
    }

    fn attributes_of(&self, file: FileId) -> &Attributes {
        &self.attributes[self.files[file.index()].raw.attributes as usize]
    }

    /// The directory a file lies in.
    pub fn directory_of(&self, file: FileId) -> DirectoryId {
        self.files[file.index()].raw.directory
    }

    /// Path of a directory, as it is shown; empty for the place from which roots are named.
    pub fn directory_path(&self, directory: DirectoryId) -> &[u8] {
        self.text.get(self.directories[directory.index()].path)
    }

    /// The directory that a directory lies in; `None` for a root.
    pub fn parent(&self, directory: DirectoryId) -> Option<DirectoryId> {
        let (path, root) = (self.directory_path(directory), self.root_path(directory));
        if path.len() <= root.len() {
            return None;
        }
        let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        // The root's own path may end in slashes.
        self.find_directory(if slash <= root.len() { root } else { &path[..slash] })
    }

    /// The last component of a directory's path.
    pub fn directory_name(&self, directory: DirectoryId) -> &[u8] {
        let path = self.directory_path(directory);
        &path[path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)..]
    }

    /// Appends the whole path of a file to `out`.
    pub fn path_to(&self, file: FileId, out: &mut Vec<u8>) {
        let entry = self.entry(file);
        join_path(self.directory_path(entry.directory), entry.name, out);
    }

    /// The whole path of a file.
    pub fn path(&self, file: FileId) -> Vec<u8> {
        let mut path = Vec::new();
        self.path_to(file, &mut path);
        path
    }

    /// The place of what many files have in common.
    fn attributes(&mut self, identity: Identity, is_sparse: bool) -> u32 {
        let common = Identity { inode: 0, ctime_seconds: 0, ctime_nanoseconds: 0, ..identity };
        let last = self.attributes.len().wrapping_sub(1);
        // That of the file before most likely.
        if self
            .attributes
            .get(last)
            .is_some_and(|last| (last.identity, last.is_sparse) == (common, is_sparse))
        {
            return number(last);
        }
        if let Some(&known) = self.by_attributes.get(&(common, is_sparse)) {
            return known;
        }
        let place = number(self.attributes.len());
        let device = self.attributes.iter().find(|known| known.identity.device == common.device);
        let devices = self.attributes.iter().map(|known| known.device + 1).max().unwrap_or(0);
        let device = device.map_or(devices, |known| known.device);
        self.attributes.push(Attributes { identity: common, device, is_sparse });
        self.by_attributes.insert((common, is_sparse), place);
        place
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("no more than files")
}

const SECOND_NS: i128 = 1_000_000_000;

fn split(time_ns: i128) -> (i64, u32) {
    let seconds =
        i64::try_from(time_ns.div_euclid(SECOND_NS)).unwrap_or(if time_ns < 0 { i64::MIN } else { i64::MAX });
    (seconds, u32::try_from(time_ns.rem_euclid(SECOND_NS)).expect("less than a second"))
}

fn join(seconds: i64, nanoseconds: u32) -> i128 {
    i128::from(seconds) * SECOND_NS + i128::from(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Root;

    fn catalog(roots: &[&str], files: &[&str]) -> Catalog {
        let mut catalog = Catalog::new(roots.iter().map(|root| root.as_bytes()));
        for file in files {
            let (directory, name) = file.rsplit_once('|').expect("directory|name");
            catalog.add_file(directory.as_bytes(), name.as_bytes(), 0, 0, Identity::default());
        }
        catalog
    }

    #[test]
    fn what_is_added_can_be_read_again() {
        let identity =
            Identity { device: 7, inode: 9, links: 2, ctime_seconds: -2, ctime_nanoseconds: 499_999_999 };
        let mut catalog = Catalog::new([&b"r"[..]]);
        let file = catalog.add_file(b"r/d", b"\xff\n", 42, i128::from(i64::MAX), identity);
        let entry = catalog.entry(file);
        assert_eq!((entry.name, entry.size, entry.mtime_ns), (&b"\xff\n"[..], 42, i128::from(i64::MAX)));
        assert_eq!(entry.identity, identity);
        assert_eq!(catalog.path(file), b"r/d/\xff\n");
        assert_eq!(catalog.find_directory(b"r/d"), Some(entry.directory));
        assert_eq!(catalog.find_directory(b"r"), None);
    }

    #[test]
    fn files_know_their_root() {
        #[track_caller]
        fn check(roots: &[&str], file: &str, expected: usize) {
            let catalog = catalog(roots, &[file]);
            assert_eq!(catalog.root_of(FileId(0)), expected, "{file} below {roots:?}");
        }
        check(&["a", "b"], "b|f", 1);
        check(&["a", "ab"], "ab/c|f", 1);
        check(&["a", "a/b"], "a/b|f", 1);
        check(&["a", "a/b"], "a/bc|f", 0);
        check(&["a", "a/../c"], "a/../c/d|f", 1);
        check(&["/"], "/|f", 0);
        check(&["x", "/"], "/usr|f", 1);
        check(&["a/", "b"], "a/c|f", 0);
        check(&["", "b"], "b|f", 1);
        check(&["", "b/f"], "|b/f", 1);
        check(&["x/f", "x/g"], "|x/g", 1);
    }

    #[test]
    fn entries_of_a_list_and_listed_directories_are_in_the_order_of_the_list() {
        use crate::plan::Met;
        use std::path::PathBuf;
        let listed: PathList = ["keep/a", "dir", "x"].map(PathBuf::from).iter().collect();
        let roots = [Root::from("typed"), Root::listed_at("dir", 1)];
        let entries = listed.in_order(vec![Met::new(0, true), Met::new(2, true)]);
        let mut catalog = Catalog::new(roots.iter().map(Root::shown)).with_list(&roots, &entries);
        let mut rank = |directory: &str, name: &str| {
            let file = catalog.add_file(directory.as_bytes(), name.as_bytes(), 0, 0, Identity::default());
            catalog.rank_of(file)
        };
        let ranks = [rank("typed", "a"), rank("", "keep/a"), rank("dir", "a"), rank("", "x")];
        assert_eq!(ranks, [0, 1, 2, 3]);
    }

    #[test]
    fn directories_know_what_they_lie_in() {
        #[track_caller]
        fn check(root: &str, directories: &[&str], of: &str, expected: Option<&str>) {
            let mut catalog = catalog(&[root], &[]);
            for path in directories {
                catalog.add_directory(path.as_bytes());
            }
            let of = catalog.find_directory(of.as_bytes()).expect("it was added");
            let parent = catalog.parent(of).map(|parent| catalog.directory_path(parent));
            assert_eq!(parent, expected.map(str::as_bytes));
        }
        check("a", &["a", "a/b", "a/b/c"], "a/b/c", Some("a/b"));
        check("a", &["a", "a/b"], "a/b", Some("a"));
        check("a", &["a"], "a", None);
        check("a/", &["a/", "a/b"], "a/b", Some("a/"));
        check("/", &["/", "/b", "/b/c"], "/b", Some("/"));
        check("/", &["/", "/b", "/b/c"], "/b/c", Some("/b"));
        check("", &["", "b", "b/c"], "b", Some(""));
        check("", &["", "b", "b/c"], "b/c", Some("b"));
        check("", &["", "b"], "", None);
    }
}
