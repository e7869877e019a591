//! Everything that a walk met, kept: answers about several files need all of them. Some 64 bytes a file and its name.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

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
    listed: PathList,
    /// Entries of the list by a hash of their paths; the next number where that is taken.
    listed_by_path: HashMap<u64, u32>,
    text: Vec<u8>,
    directories: Vec<Folder>,
    by_path: HashMap<u64, DirectoryId>,
    hasher: RandomState,
    /// The directory that something was added to last.
    last: Option<DirectoryId>,
    files: Vec<File>,
    others: Vec<(DirectoryId, Text, Other)>,
    devices: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Text {
    start: u64,
    bytes: u32,
}

#[derive(Debug)]
struct Folder {
    path: Text,
    root: u32,
    /// Another directory whose path has the same hash.
    next: Option<DirectoryId>,
}

/// Times are seconds and nanoseconds, as 128 bits are twice what a time needs.
#[derive(Clone, Copy, Debug)]
struct File {
    size: u64,
    inode: u64,
    mtime_seconds: i64,
    ctime_seconds: i64,
    name_start: u64,
    name_bytes: u32,
    mtime_nanoseconds: u32,
    ctime_nanoseconds: u32,
    directory: DirectoryId,
    device: u32,
    links: u32,
}

impl Catalog {
    /// An empty catalog of what lies below `roots`, as they are shown.
    pub fn new<'r>(roots: impl IntoIterator<Item = &'r [u8]>) -> Catalog {
        let roots: Vec<Box<[u8]>> = roots.into_iter().map(Box::from).collect();
        let mut roots_by_path = HashMap::with_capacity(roots.len());
        for (number, root) in (0..).zip(&roots) {
            roots_by_path.entry(root.clone()).or_insert(number);
        }
        Catalog { roots, roots_by_path, ..Catalog::default() }
    }

    /// The same catalog, also of the entries of a list: each is a root, and follows the others.
    pub(crate) fn with_list(mut self, listed: &PathList) -> Catalog {
        self.listed_by_path.reserve(listed.len());
        self.listed = listed.clone();
        for met in listed.order() {
            let entry = met.entry();
            let mut place = self.hasher.hash_one(listed.path(entry));
            while self.listed_by_path.contains_key(&place) {
                place = place.wrapping_add(1);
            }
            self.listed_by_path.insert(place, entry);
        }
        self
    }

    /// The entry of the list that is shown by this path.
    fn find_listed(&self, path: &[u8]) -> Option<u32> {
        let mut place = self.hasher.hash_one(path);
        while let Some(&entry) = self.listed_by_path.get(&place) {
            if self.listed.path(entry) == path {
                return Some(entry);
            }
            place = place.wrapping_add(1);
        }
        None
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
        let Text { start, bytes } = self.keep(name);
        let device = self.device(identity.device);
        let mtime = split(mtime_ns);
        self.files.push(File {
            size,
            inode: identity.inode,
            mtime_seconds: mtime.0,
            ctime_seconds: identity.ctime_seconds,
            name_start: start,
            name_bytes: bytes,
            mtime_nanoseconds: mtime.1,
            ctime_nanoseconds: identity.ctime_nanoseconds,
            directory,
            device,
            links: identity.links,
        });
        id
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
            let next = self.by_path.insert(self.hasher.hash_one(path), id);
            let (root, path) = (self.root_above(path), self.keep(path));
            self.directories.push(Folder { path, root, next });
            id
        });
        self.last = Some(id);
        id
    }

    /// Adds what lies in the directory of this path and is no file that was looked at.
    pub fn add_other(&mut self, directory: &[u8], name: &[u8], what: Other) {
        let directory = self.add_directory(directory);
        let name = self.keep(name);
        self.others.push((directory, name, what));
    }

    /// The directory of this path, where something was met in it.
    pub fn find_directory(&self, path: &[u8]) -> Option<DirectoryId> {
        let mut found = self.by_path.get(&self.hasher.hash_one(path)).copied();
        while let Some(id) = found {
            if self.directory_path(id) == path {
                break;
            }
            found = self.directories[id.index()].next;
        }
        found
    }

    /// One of [`Catalog::others`], by its place there.
    pub(crate) fn other(&self, index: usize) -> (DirectoryId, &[u8], Other) {
        let (directory, name, what) = self.others[index];
        (directory, self.text(name), what)
    }

    /// What it takes of memory, in bytes: what was reserved included.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let files = self.files.capacity() * size_of::<File>();
        let others = self.others.capacity() * size_of::<(DirectoryId, Text, Other)>();
        // A table of a standard map has an eighth of its places free at least, and a byte beside each.
        let by_path = self.by_path.capacity() * (size_of::<(u64, DirectoryId)>() + 1) * 8 / 7;
        let directories = self.directories.capacity() * size_of::<Folder>() + by_path;
        (self.text.capacity() + files + others + directories) as u64
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
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
        self.others.iter().map(|&(directory, name, what)| (directory, self.text(name), what))
    }

    /// What is known of a file.
    pub fn entry(&self, file: FileId) -> Entry<'_> {
        let file = self.files[file.index()];
        Entry {
            directory: file.directory,
            name: self.text(Text { start: file.name_start, bytes: file.name_bytes }),
            size: file.size,
            mtime_ns: join(file.mtime_seconds, file.mtime_nanoseconds),
            identity: Identity {
                device: self.devices[file.device as usize],
                inode: file.inode,
                links: file.links,
                ctime_seconds: file.ctime_seconds,
                ctime_nanoseconds: file.ctime_nanoseconds,
            },
        }
    }

    /// Its size in bytes.
    pub fn size(&self, file: FileId) -> u64 {
        self.files[file.index()].size
    }

    /// Device (a number of this catalog's) and inode.
    pub(crate) fn inode(&self, file: FileId) -> (u32, u64) {
        let file = &self.files[file.index()];
        (file.device, file.inode)
    }

    /// The directory a file lies in.
    pub fn directory_of(&self, file: FileId) -> DirectoryId {
        self.files[file.index()].directory
    }

    /// Path of a directory, as it is shown; empty for the place from which roots are named.
    pub fn directory_path(&self, directory: DirectoryId) -> &[u8] {
        self.text(self.directories[directory.index()].path)
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

    /// The root that a file was met below, as a place in the list of roots; beyond its end, for an entry of a path list.
    pub fn root_of(&self, file: FileId) -> usize {
        let File { directory, name_start, name_bytes, .. } = self.files[file.index()];
        let folder = &self.directories[directory.index()];
        if folder.path.bytes == 0 {
            // A root that is a file is named from nowhere.
            let name = self.text(Text { start: name_start, bytes: name_bytes });
            if let Some(&root) = self.roots_by_path.get(name) {
                return root as usize;
            }
            if let Some(entry) = self.find_listed(name) {
                return self.roots.len() + entry as usize;
            }
        }
        folder.root as usize
    }

    /// The root that a directory was met below, as a place in the list of roots.
    pub fn root_of_directory(&self, directory: DirectoryId) -> usize {
        self.directories[directory.index()].root as usize
    }

    /// Where a directory's root begins; its path as it is shown.
    pub fn root_path(&self, directory: DirectoryId) -> &[u8] {
        self.roots.get(self.directories[directory.index()].root as usize).map_or(b"", |root| root)
    }

    /// The longest root that is a start of `path`: a root inside another one is a root of its own.
    fn root_above(&self, path: &[u8]) -> u32 {
        let root = |path: &[u8]| self.roots_by_path.get(path).copied();
        let mut end = path.len();
        loop {
            // A root may have been given with slashes at its end.
            let with_slash = path.get(..end + 1).filter(|start| start.ends_with(b"/"));
            if let Some(found) = with_slash.and_then(root).or_else(|| root(&path[..end])) {
                return found;
            }
            match memchr::memrchr(b'/', &path[..end]) {
                Some(slash) => end = slash,
                None => return root(b"").unwrap_or(0),
            }
        }
    }

    fn device(&mut self, device: u64) -> u32 {
        // One or two in most trees, and the last one most likely.
        let known = self.devices.iter().rposition(|&known| known == device).unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        u32::try_from(known).expect("no system has 2^32 devices")
    }

    fn keep(&mut self, text: &[u8]) -> Text {
        let start = self.text.len() as u64;
        self.text.extend_from_slice(text);
        Text { start, bytes: u32::try_from(text.len()).expect("no system has paths of 4 GiB") }
    }

    fn text(&self, Text { start, bytes }: Text) -> &[u8] {
        let start = usize::try_from(start).expect("it lies in memory");
        &self.text[start..start + bytes as usize]
    }
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
