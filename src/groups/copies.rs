//! The names of files that belong together, in order, copy by copy: hard links to one file are names of one copy.

use std::cmp::Ordering;

use super::catalog::{Catalog, FileId};
use super::exact::{Links, Wanted};
use super::files::is_leftover;
use super::order::PathOrder;

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

/// What names are put in order by.
pub(super) struct Naming<'g> {
    catalog: &'g Catalog,
    wanted: &'g Wanted,
    links: &'g Links,
    order: PathOrder<'g>,
}

/// The names of some copies.
pub(super) struct Copies {
    /// One run of names, and where each copy lies in it: a class may hold every file of the tree.
    names: Vec<Name>,
    /// The first name of each, and where its names begin and end.
    copies: Vec<(Name, u32, u32)>,
}

impl Copies {
    /// The names of each copy, in order.
    fn each(&self) -> impl Iterator<Item = &[Name]> {
        self.copies.iter().map(|&(_, start, end)| &self.names[start as usize..end as usize])
    }

    /// All of them in order, with the numbers of their copies.
    pub(super) fn into_names(self) -> Vec<Name> {
        // No larger than it must be: there may be half a million of them.
        let mut ordered = Vec::with_capacity(self.names.len());
        for (copy, names) in (0..).zip(self.each()) {
            ordered.extend(names.iter().map(|&name| Name { copy, ..name }));
        }
        ordered
    }
}

impl<'g> Naming<'g> {
    /// For about so many files in all.
    pub(super) fn new(catalog: &'g Catalog, wanted: &'g Wanted, links: &'g Links, files: usize) -> Self {
        Naming { catalog, wanted, links, order: PathOrder::new(catalog, files) }
    }

    /// The names of these files, each a copy, for which `is_repeat` is false.
    pub(super) fn copies(
        &self,
        files: impl ExactSizeIterator<Item = FileId>,
        is_repeat: &(dyn Fn(FileId) -> bool + Sync),
    ) -> Copies {
        let Naming { catalog, wanted, links, .. } = *self;
        let mut names: Vec<Name> = Vec::with_capacity(files.len());
        let mut copies: Vec<(Name, u32, u32)> = Vec::with_capacity(files.len());
        for file in files {
            let linked = links.names(file);
            let alone = (linked.len() == 0).then_some(file);
            let start = names.len();
            let told = alone.into_iter().chain(linked).filter(|&name| !is_repeat(name));
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
        Copies { names, copies }
    }

    /// How many copies there are beyond those that stay: the first, or all in a reference, or across roots all in that of the
    /// first. `None` where they are worth no group.
    pub(super) fn redundant(&self, copies: &Copies) -> Option<u64> {
        let Naming { catalog, wanted, .. } = *self;
        let root = |name: &Name| catalog.root_of(name.file);
        let mut first_root = None;
        let (mut number, mut references, mut near, mut has_roots) = (0_u64, 0_u64, 0_u64, false);
        for copy in copies.each() {
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
        kind(a).cmp(&kind(b)).then_with(|| self.compare_files(a.file, b.file))
    }

    /// By path alone.
    pub(super) fn compare_files(&self, a: FileId, b: FileId) -> Ordering {
        self.order.compare(a, b)
    }
}
