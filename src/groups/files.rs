//! Groups of files of the same content: their copies and names in order, and what there is to gain.

use std::cmp::Ordering;

use rayon::slice::ParallelSliceMut;

use super::catalog::{Catalog, FileId};
use super::exact::{Candidate, Candidates, Links, Wanted};
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

/// Makes a group of each class, whose digests are those of the content, of the names for which `is_repeat` is false. Largest
/// gain first.
pub fn groups(
    catalog: &Catalog,
    wanted: &Wanted,
    links: &Links,
    mut same: Candidates,
    is_repeat: &(dyn Fn(FileId) -> bool + Sync),
) -> Vec<FileGroup> {
    let maker = Maker { catalog, wanted, links, is_repeat, order: PathOrder::new(catalog, same.all().len()) };
    let mut groups: Vec<_> =
        std::iter::from_fn(|| same.pop()).filter_map(|class| maker.group(&class)).collect();
    let first = |group: &FileGroup| group.names[0].file;
    groups.par_sort_unstable_by(|a, b| {
        let gain = b.reclaimable_bytes.cmp(&a.reclaimable_bytes);
        gain.then_with(|| maker.order.compare(first(a), first(b)))
    });
    groups
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

/// What groups are made with.
struct Maker<'g> {
    catalog: &'g Catalog,
    wanted: &'g Wanted,
    links: &'g Links,
    is_repeat: &'g (dyn Fn(FileId) -> bool + Sync),
    order: PathOrder<'g>,
}

impl Maker<'_> {
    fn group(&self, class: &[Candidate]) -> Option<FileGroup> {
        let Maker { catalog, wanted, links, .. } = *self;
        let size = catalog.size(class[0].file);
        if size < wanted.size_min || wanted.size_max.is_some_and(|max| size > max) {
            return None;
        }
        // One run of names, and where each copy lies in it: a class may hold every file of the tree.
        let mut names: Vec<Name> = Vec::with_capacity(class.len());
        let mut copies: Vec<(Name, u32, u32)> = Vec::with_capacity(class.len());
        for candidate in class {
            let linked = links.names(candidate.file);
            let alone = (linked.len() == 0).then_some(candidate.file);
            let start = names.len();
            let told = alone.into_iter().chain(linked).filter(|&name| !(self.is_repeat)(name));
            names.extend(told.map(|file| {
                let is_reference = wanted.is_reference(catalog, file);
                Name { file, copy: 0, is_reference }
            }));
            let copy = &mut names[start..];
            copy.sort_unstable_by(|a, b| self.compare(a, b));
            if let Some(&first) = copy.first() {
                let place = |at: usize| u32::try_from(at).expect("as many as files");
                copies.push((first, place(start), place(names.len())));
            }
        }
        copies.sort_unstable_by(|(a, ..), (b, ..)| self.compare(a, b));
        let names_of = |&(_, start, end): &(Name, u32, u32)| &names[start as usize..end as usize];
        let redundant = self.redundant(copies.iter().map(names_of))?;
        // No larger than it must be: there may be half a million of them.
        let mut ordered = Vec::with_capacity(names.len());
        for (copy, of) in (0..).zip(&copies) {
            ordered.extend(names_of(of).iter().map(|&name| Name { copy, ..name }));
        }
        let digest = class[0].digest.expect("classes of the same content have a digest");
        Some(FileGroup { size, digest, reclaimable_bytes: size * redundant, redundant, names: ordered })
    }

    /// How many copies there are beyond those that stay: the first, or all in a reference, or across roots all in that of the
    /// first. `None` where they are worth no group.
    fn redundant<'n>(&self, copies: impl Iterator<Item = &'n [Name]>) -> Option<u64> {
        let Maker { catalog, wanted, .. } = *self;
        let root = |name: &Name| catalog.root_of(name.file);
        let mut first_root = None;
        let (mut number, mut references, mut near, mut has_roots) = (0_u64, 0_u64, 0_u64, false);
        for copy in copies {
            let first_root = *first_root.get_or_insert_with(|| root(&copy[0]));
            let is_reference = copy.iter().any(|name| name.is_reference);
            number += 1;
            references += u64::from(is_reference);
            near += u64::from(is_reference || copy.iter().any(|name| root(name) == first_root));
            has_roots |= copy.iter().any(|name| root(name) != first_root);
        }
        let is_wanted = number > 1
            && (!wanted.is_across || has_roots)
            && (wanted.references.is_empty() || (0 < references && references < number));
        let kept = if wanted.is_across { near } else { references.max(1) };
        is_wanted.then(|| number - kept)
    }

    /// Those of a reference first, and what an action left behind that was killed last: nothing is to become its like.
    fn compare(&self, a: &Name, b: &Name) -> Ordering {
        let is_leftover = |name: &Name| is_leftover(self.catalog.entry(name.file).name);
        let kind = |name: &Name| (is_leftover(name), !name.is_reference);
        kind(a).cmp(&kind(b)).then_with(|| self.order.compare(a.file, b.file))
    }
}

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
