//! Groups of files that are nearly the same: clusters of sketches, put under the names of their files.

use super::catalog::{Catalog, FileId};
use super::copies::{Name, Naming};
use super::exact::{Links, Wanted};

/// Files of which each is nearly the same as some other of them.
#[derive(Clone, Debug, PartialEq)]
pub struct NearGroup {
    /// Names, copy by copy: those of a reference first, then root by root, and by path. The first stands for all of them.
    pub members: Vec<NearName>,
}

/// A name in a group of files that are nearly the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearName {
    /// Which.
    pub name: Name,
    /// The row of its sketch: files of the same content have one.
    pub row: u32,
    /// How similar it is to the first, from 0 to 1.
    pub similarity: f64,
}

impl NearGroup {
    /// Bytes of the copies beyond the first.
    pub fn bytes_beside_first(&self, catalog: &Catalog) -> u64 {
        let copies = self.members.chunk_by(|a, b| a.name.copy == b.name.copy);
        copies.skip(1).map(|names| catalog.size(names[0].name.file)).sum()
    }
}

/// A file, by the name that it is read by, and the row of its sketch.
pub type Row = (FileId, u32);

/// Makes groups of clusters.
pub struct NearNaming<'g> {
    catalog: &'g Catalog,
    naming: Naming<'g>,
}

impl<'g> NearNaming<'g> {
    /// For about so many files in all.
    pub fn new(catalog: &'g Catalog, wanted: &'g Wanted, links: &'g Links, files: usize) -> NearNaming<'g> {
        NearNaming { catalog, naming: Naming::new(catalog, wanted, links, files) }
    }

    /// The group of a cluster, where it is wanted. All similarities are 1 as yet.
    pub fn group(&self, mut cluster: Vec<Row>) -> Option<NearGroup> {
        cluster.sort_unstable();
        let copies = self.naming.copies(cluster.iter().map(|&(file, _)| file), &|_| false);
        self.naming.redundant(&copies)?;
        let names = copies.into_names();
        let row_of = |name: &Name| {
            let at = cluster.binary_search_by_key(&name.file, |&(file, _)| file).ok()?;
            Some(cluster[at].1)
        };
        let copies = names.chunk_by(|a, b| a.copy == b.copy);
        let members = copies.flat_map(|names| {
            let row = names.iter().find_map(row_of).expect("a copy has the name that it is read by");
            names.iter().map(move |&name| NearName { name, row, similarity: 1.0 })
        });
        Some(NearGroup { members: members.collect() })
    }

    /// Puts groups in order: most bytes beside the first come first.
    pub fn sort(&self, groups: &mut [NearGroup]) {
        let first = |group: &NearGroup| group.members[0].name.file;
        groups.sort_by(|a, b| self.naming.compare_files(first(a), first(b)));
        // Stable: those of equal size stay by path.
        groups.sort_by_cached_key(|group| std::cmp::Reverse(group.bytes_beside_first(self.catalog)));
    }
}
