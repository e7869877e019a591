//! Groups of files of the same content: their copies and names in order, and what there is to gain.

use std::cmp::Ordering;

use rayon::slice::ParallelSliceMut;

use super::catalog::{Catalog, FileId};
use super::copies::{Name, Naming};
use super::exact::{Candidate, Candidates, Links, Wanted};
#[cfg(target_os = "linux")]
use super::order::PathOrder;
use crate::record::Digest;

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
    /// Redundant copies that would free less than their size: which, in order, and how many bytes.
    pub(super) less: Vec<(u32, u64)>,
}

impl FileGroup {
    /// Bytes that would be free without a redundant copy: at most its size.
    pub fn reclaimable_bytes_of(&self, copy: u32) -> u64 {
        let less = self.less.binary_search_by_key(&copy, |&(of, _)| of);
        less.map_or(self.size, |at| self.less[at].1)
    }

    /// Takes note that a redundant copy frees only so many bytes, fewer than its size. Once for each copy, in order.
    #[cfg(target_os = "linux")]
    pub(crate) fn free_less(&mut self, copy: u32, bytes: u64) {
        self.reclaimable_bytes = self.reclaimable_bytes.saturating_sub(self.size - bytes);
        self.less.push((copy, bytes));
    }
}

/// Makes a group of each class, whose digests are those of the content, of the names for which `is_repeat` is false. Largest
/// gain first.
pub fn groups(
    catalog: &Catalog,
    wanted: &Wanted,
    links: &Links,
    mut same: Candidates,
    is_repeat: &(dyn Fn(FileId) -> bool + Sync),
) -> Vec<FileGroup> {
    let naming = Naming::new(catalog, wanted, links, same.all().len());
    let group = |class: Vec<Candidate>| {
        let size = catalog.size(class[0].file);
        if size < wanted.size_min || wanted.size_max.is_some_and(|max| size > max) {
            return None;
        }
        let copies = naming.copies(class.iter().map(|candidate| candidate.file), is_repeat);
        let redundant = naming.redundant(&copies)?;
        let digest = class[0].digest.expect("classes of the same content have a digest");
        let names = copies.into_names();
        Some(FileGroup {
            size,
            digest,
            reclaimable_bytes: size * redundant,
            redundant,
            names,
            less: Vec::new(),
        })
    };
    let mut groups: Vec<_> = std::iter::from_fn(|| same.pop()).filter_map(group).collect();
    sort(&mut groups, |a, b| naming.compare_files(a, b));
    groups
}

/// Sorts groups whose gain has changed: largest gain first, then by path.
#[cfg(target_os = "linux")]
pub(crate) fn sort_by_gain(catalog: &Catalog, groups: &mut [FileGroup]) {
    let order = PathOrder::new(catalog, groups.len());
    sort(groups, |a, b| order.compare(a, b));
}

fn sort(groups: &mut [FileGroup], compare_files: impl Fn(FileId, FileId) -> Ordering + Sync) {
    groups.par_sort_unstable_by(|a, b| {
        let gain = b.reclaimable_bytes.cmp(&a.reclaimable_bytes);
        gain.then_with(|| compare_files(a.names[0].file, b.names[0].file))
    });
}

/// The name, given 128 random bits, that an action gives for a moment to what lies beside a file.
#[cfg(any(test, target_os = "linux"))]
pub(crate) fn name_beside(random: u128) -> String {
    format!("{BESIDE}{random:032x}")
}

/// Whether this is such a name: an action that was killed has left it.
pub(crate) fn is_leftover(name: &[u8]) -> bool {
    let random = name.strip_prefix(BESIDE.as_bytes());
    random.is_some_and(|random| random.len() == 32 && random.iter().all(u8::is_ascii_hexdigit))
}

const BESIDE: &str = ".filemill-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_is_known_by_its_name() {
        #[track_caller]
        fn check(name: &str, expected: bool) {
            assert_eq!(is_leftover(name.as_bytes()), expected, "{name}");
        }
        check(&name_beside(0), true);
        check(&name_beside(u128::MAX), true);
        check(".filemill-", false);
        check(".filemill-notes", false);
        check(&name_beside(7)[1..], false);
        check(&format!("{}x", name_beside(7)), false);
    }
}
