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

/// Makes a group of each cluster that is wanted, a cluster being files by the name that each is read by, with the row of its
/// sketch. Most bytes beside the first come first. All similarities are 1 as yet.
pub fn near_groups(
    catalog: &Catalog,
    wanted: &Wanted,
    links: &Links,
    clusters: Vec<Vec<(FileId, u32)>>,
) -> Vec<NearGroup> {
    let files = clusters.iter().map(Vec::len).sum();
    let naming = Naming::new(catalog, wanted, links, files);
    let group = |mut cluster: Vec<(FileId, u32)>| {
        cluster.sort_unstable();
        let copies = naming.copies(cluster.iter().map(|&(file, _)| file), &|_| false);
        naming.redundant(&copies)?;
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
    };
    let mut groups: Vec<_> = clusters.into_iter().filter_map(group).collect();
    let first = |group: &NearGroup| group.members[0].name.file;
    groups.sort_by(|a, b| naming.compare_files(first(a), first(b)));
    // Stable: those of equal size stay by path.
    groups.sort_by_cached_key(|group| std::cmp::Reverse(group.bytes_beside_first(catalog)));
    groups
}
