//! The roots of a catalog, and the entries of its list: which of them a file was met below.

use super::{Catalog, DirectoryId, File, FileId, number};
use crate::plan::{PathList, Root};

impl Catalog {
    /// The same catalog, also of the entries of a list: each is a root, and follows the others.
    pub(crate) fn with_list(mut self, roots: &[Root], listed: &PathList) -> Catalog {
        self.given = roots.iter().filter(|root| root.place().is_none()).count();
        let rank =
            |(at, root): (usize, &Root)| number(root.place().map_or(at, |entry| self.given + entry as usize));
        self.ranks = roots.iter().enumerate().map(rank).collect();
        self.listed = listed.clone();
        for met in listed.order() {
            let entry = met.entry();
            self.listed_by_path.add(listed.path(entry), entry, |entry| listed.path(entry));
        }
        self
    }

    /// The entry of the list that is shown by this path.
    fn find_listed(&self, path: &[u8]) -> Option<u32> {
        self.listed_by_path.find(path, |entry| self.listed.path(entry))
    }

    /// The root that a file was met below, as a place in the list of roots; beyond its end, for an entry of a path list.
    pub fn root_of(&self, file: FileId) -> usize {
        let File { raw, name } = self.files[file.index()];
        let folder = &self.directories[raw.directory.index()];
        if folder.path.bytes() == 0 {
            // A root that is a file is named from nowhere.
            if let Some(&root) = self.roots_by_path.get(self.text.get(name)) {
                return root as usize;
            }
            if let Some(entry) = self.find_listed(self.text.get(name)) {
                return self.roots.len() + entry as usize;
            }
        }
        folder.root as usize
    }

    /// The place of a file's root among all that were given: files come in this order.
    pub(crate) fn rank_of(&self, file: FileId) -> usize {
        let root = self.root_of(file);
        match root.checked_sub(self.roots.len()) {
            Some(entry) => self.given + entry,
            None => self.rank(root),
        }
    }

    /// The same of a directory's root.
    pub(in crate::groups) fn rank_of_directory(&self, directory: DirectoryId) -> usize {
        self.rank(self.root_of_directory(directory))
    }

    fn rank(&self, root: usize) -> usize {
        self.ranks.get(root).map_or(root, |&rank| rank as usize)
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
    pub(super) fn root_above(&self, path: &[u8]) -> u32 {
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
}
