//! The order of files by path: root by root as given, and below a root by the components of the path, compared as bytes.

use std::cmp::Ordering;

use super::catalog::{Catalog, DirectoryId, FileId};

/// Compares files of a catalog without putting their paths together, for most pairs.
pub(super) struct PathOrder<'c> {
    catalog: &'c Catalog,
    /// For each directory its place in the order of all, in which those below a directory follow it.
    places: Vec<u32>,
    /// For each directory the last place below it, or its own.
    ends: Vec<u32>,
}

impl<'c> PathOrder<'c> {
    /// To compare about so many files: for a few it is not worth while to put all directories in order.
    pub(super) fn new(catalog: &'c Catalog, files: usize) -> PathOrder<'c> {
        if files < catalog.directories() {
            return PathOrder { catalog, places: Vec::new(), ends: Vec::new() };
        }
        let number = u32::try_from(catalog.directories()).expect("a catalog holds 2^32 directories at most");
        let mut order: Vec<DirectoryId> = (0..number).map(DirectoryId).collect();
        let root = |directory: DirectoryId| catalog.rank_of_directory(directory);
        let path = |directory: DirectoryId| components(catalog.directory_path(directory));
        order.sort_unstable_by(|&a, &b| {
            root(a).cmp(&root(b)).then_with(|| path(a).cmp(path(b))).then(a.cmp(&b))
        });
        let mut places = vec![0; order.len()];
        let mut ends = vec![0; order.len()];
        let mut above: Vec<DirectoryId> = Vec::new();
        for (place, &directory) in (0..).zip(&order) {
            places[directory.index()] = place;
            while let Some(last) = above.pop_if(|last| !lies_in(catalog, directory, *last)) {
                ends[last.index()] = place - 1;
            }
            above.push(directory);
        }
        above.iter().for_each(|above| ends[above.index()] = number.saturating_sub(1));
        PathOrder { catalog, places, ends }
    }

    pub(super) fn compare(&self, a: FileId, b: FileId) -> Ordering {
        let catalog = self.catalog;
        if self.places.is_empty() {
            return compare_paths(catalog, a, b);
        }
        let (x, y) = (catalog.directory_of(a), catalog.directory_of(b));
        if x == y {
            let root = |file| catalog.rank_of(file);
            let name = |file| catalog.entry(file).name;
            return root(a).cmp(&root(b)).then_with(|| name(a).cmp(name(b))).then(a.cmp(&b));
        }
        let (at, end) = (|of: DirectoryId| self.places[of.index()], |of: DirectoryId| self.ends[of.index()]);
        let is_above = |above, below| at(above) < at(below) && at(below) <= end(above);
        // What is named from nowhere has its root by itself.
        let is_nowhere = |of| catalog.directory_path(of).is_empty();
        if is_above(x, y) || is_above(y, x) || is_nowhere(x) || is_nowhere(y) {
            return compare_paths(catalog, a, b);
        }
        at(x).cmp(&at(y))
    }
}

/// The same for any two files, by their whole paths.
fn compare_paths(catalog: &Catalog, a: FileId, b: FileId) -> Ordering {
    let path = |file| {
        let entry = catalog.entry(file);
        components_of(catalog.directory_path(entry.directory), entry.name)
    };
    let order = catalog.rank_of(a).cmp(&catalog.rank_of(b));
    order.then_with(|| path(a).cmp(path(b))).then(a.cmp(&b))
}

/// The components of the path of a file.
pub(super) fn components_of<'p>(directory: &'p [u8], name: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    components(directory).chain(name.split(|&byte| byte == b'/'))
}

fn components(directory: &[u8]) -> impl Iterator<Item = &[u8]> {
    let directory = Some(directory).filter(|path| !path.is_empty());
    let directory = directory.map(|path| path.strip_suffix(b"/").unwrap_or(path));
    directory.into_iter().flat_map(|path| path.split(|&byte| byte == b'/'))
}

/// Whether a directory lies in another one of the same root, by their paths.
fn lies_in(catalog: &Catalog, directory: DirectoryId, above: DirectoryId) -> bool {
    let path = |of| components(catalog.directory_path(of));
    let mut below = path(directory);
    catalog.root_of_directory(directory) == catalog.root_of_directory(above)
        && path(above).all(|component| below.next() == Some(component))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Identity;

    #[test]
    fn the_quick_way_and_whole_paths_agree() {
        let mut catalog = Catalog::new([&b"r"[..], b"q/", b"", b"f"]);
        for directory in ["r", "r/a", "r/a/b", "r/a-b", "r/c", "q/", "q/a", "", "x", "r/a/b/c"] {
            for name in ["a", "b", "a-", "c", "f"] {
                catalog.add_file(directory.as_bytes(), name.as_bytes(), 0, 0, Identity::default());
            }
        }
        let order = PathOrder::new(&catalog, usize::MAX);
        let mut files: Vec<FileId> = catalog.files().collect();
        for &a in &files {
            for &b in &files {
                assert_eq!(order.compare(a, b), compare_paths(&catalog, a, b));
            }
        }
        files.sort_by(|&a, &b| order.compare(a, b));
        let paths: Vec<_> =
            files[..9].iter().map(|&file| catalog.path(file).escape_ascii().to_string()).collect();
        assert_eq!(
            paths,
            ["r/a", "r/a/a", "r/a/a-", "r/a/b", "r/a/b/a", "r/a/b/a-", "r/a/b/b", "r/a/b/c", "r/a/b/c/a"]
        );
    }
}
