//! The tree that the directories of a catalog make. Every directory has a place in it: a directory comes before those in
//! it, and they in the order of their names. So all that lies in one has the places from its own to its end, the order of
//! places is the order of reports, and going through them backwards meets children before their parents.

use super::{Catalog, DirectoryId, FileId, Other};
use crate::record::join_path;

/// Where there is no parent.
pub(super) const NONE: u32 = u32::MAX;

/// The directories of a catalog; all lists have one item a place unless they say otherwise.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The directory at each place.
    pub(super) order: Vec<DirectoryId>,
    /// The place of each directory, by its number.
    places: Vec<u32>,
    /// The place of the directory it lies in, or [`NONE`].
    pub(super) parents: Vec<u32>,
    /// The place after the last one that lies in it.
    pub(super) ends: Vec<u32>,
    /// How many files lie in it, all the way down.
    pub(super) files: Vec<u64>,
    /// The sum of their sizes.
    pub(super) bytes: Vec<u64>,
}

/// Something in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    File(FileId),
    Directory(DirectoryId),
    /// By its place among the others of the catalog.
    Other(u32),
}

/// What lies in each directory, by name.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Where those of each directory begin, by its number; and the end.
    starts: Vec<usize>,
    list: Vec<Item>,
    /// Whether a directory holds something that nobody knows, by its number; what lies deeper does not count.
    pub(super) has_unknown: Vec<bool>,
}

impl Tree {
    /// The tree, and what lies where in it.
    pub(super) fn new(catalog: &Catalog) -> (Tree, Items) {
        let (parents, mut has_unknown) = parents(catalog);
        mark_unknown(catalog, &mut has_unknown);
        let items = Items::new(catalog, &parents, has_unknown);
        let mut tree = Tree::ordered(catalog, &parents, &items);
        for file in catalog.files() {
            if let Some(place) = tree.place_of_file(catalog, file) {
                tree.files[place] += 1;
                tree.bytes[place] += catalog.size(file);
            }
        }
        for place in (0..tree.len()).rev() {
            if let Some(parent) = tree.parent(place) {
                tree.files[parent] += tree.files[place];
                tree.bytes[parent] += tree.bytes[place];
                tree.ends[parent] = tree.ends[parent].max(tree.ends[place]);
            }
        }
        (tree, items)
    }

    /// Gives each directory its place.
    fn ordered(catalog: &Catalog, parents: &[Option<DirectoryId>], items: &Items) -> Tree {
        let count = catalog.directories();
        let mut tree = Tree {
            order: Vec::with_capacity(count),
            places: vec![NONE; count],
            parents: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            files: vec![0; count],
            bytes: vec![0; count],
        };
        let mut ahead: Vec<_> = ids(catalog).filter(|id| parents[id.index()].is_none()).collect();
        // Those to come first are taken from the end.
        ahead.sort_unstable_by(|&a, &b| top_order(catalog, b).cmp(&top_order(catalog, a)));
        while let Some(id) = ahead.pop() {
            let place = u32::try_from(tree.order.len()).expect("a catalog has fewer directories than 2^32");
            tree.order.push(id);
            tree.places[id.index()] = place;
            tree.parents.push(parents[id.index()].map_or(NONE, |parent| tree.places[parent.index()]));
            tree.ends.push(place + 1);
            ahead.extend(items.of(id).iter().rev().filter_map(|item| match item {
                Item::Directory(inner) => Some(*inner),
                _ => None,
            }));
        }
        tree
    }

    /// Number of directories.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The place of a directory.
    pub(super) fn place(&self, directory: DirectoryId) -> usize {
        self.places[directory.index()] as usize
    }

    /// The place of the directory that a file lies in; `None` for a root that is a file.
    pub(super) fn place_of_file(&self, catalog: &Catalog, file: FileId) -> Option<usize> {
        let directory = catalog.directory_of(file);
        is_inside(catalog, file).then(|| self.place(directory))
    }

    /// The place of the directory that the one at `place` lies in.
    pub(super) fn parent(&self, place: usize) -> Option<usize> {
        Some(self.parents[place]).filter(|&parent| parent != NONE).map(|parent| parent as usize)
    }

    /// Whether the directory at the place `inner` is the one at `outer` or lies in it.
    pub(super) fn is_within(&self, inner: u32, outer: u32) -> bool {
        inner >= outer && inner < self.ends[outer as usize]
    }
}

impl Items {
    /// Sorts what there is into its directories.
    fn new(catalog: &Catalog, parents: &[Option<DirectoryId>], has_unknown: Vec<bool>) -> Items {
        let mut starts = vec![0_usize; catalog.directories() + 1];
        let each = |visit: &mut dyn FnMut(DirectoryId, Item)| {
            for file in catalog.files().filter(|&file| is_inside(catalog, file)) {
                visit(catalog.directory_of(file), Item::File(file));
            }
            for id in ids(catalog) {
                if let Some(parent) = parents[id.index()] {
                    visit(parent, Item::Directory(id));
                }
            }
            for (index, (directory, ..)) in (0..).zip(catalog.others()) {
                visit(directory, Item::Other(index));
            }
        };
        each(&mut |directory, _| starts[directory.index() + 1] += 1);
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut list = vec![Item::Other(0); starts.last().copied().unwrap_or(0)];
        // Each start moves to its end, which is where the next one was.
        each(&mut |directory, item| {
            let next = &mut starts[directory.index()];
            list[*next] = item;
            *next += 1;
        });
        starts.rotate_right(1);
        starts[0] = 0;
        let items = Items { starts, list, has_unknown };
        items.by_name(catalog)
    }

    fn by_name(mut self, catalog: &Catalog) -> Items {
        for id in ids(catalog) {
            let own = self.starts[id.index()]..self.starts[id.index() + 1];
            let path = catalog.directory_path(id);
            self.list[own].sort_unstable_by_key(|item| item.name(catalog, path));
        }
        self
    }

    /// What lies in a directory, sorted by name.
    pub(super) fn of(&self, directory: DirectoryId) -> &[Item] {
        &self.list[self.starts[directory.index()]..self.starts[directory.index() + 1]]
    }
}

impl Item {
    /// Its name in the directory of the path `directory`.
    pub(super) fn name<'c>(&self, catalog: &'c Catalog, directory: &[u8]) -> &'c [u8] {
        match *self {
            Item::File(file) => catalog.entry(file).name,
            Item::Other(index) => catalog.other(index as usize).1,
            Item::Directory(id) => name_below(directory, catalog.directory_path(id)),
        }
    }
}

/// What leads from the directory of the path `outer` to `inner` in it. One name, unless directories between them are not in
/// the catalog.
pub(super) fn name_below<'p>(outer: &[u8], inner: &'p [u8]) -> &'p [u8] {
    let mut name = &inner[outer.len().min(inner.len())..];
    while let Some(rest) = name.strip_prefix(b"/") {
        name = rest;
    }
    while let Some(rest) = name.strip_suffix(b"/") {
        name = rest;
    }
    name
}

/// All directories of a catalog.
pub(super) fn ids(catalog: &Catalog) -> impl Iterator<Item = DirectoryId> + use<> {
    (0..u32::try_from(catalog.directories()).expect("a catalog has fewer directories than 2^32"))
        .map(DirectoryId)
}

/// Whether a file lies in its directory, other than a root that is a file and is named from nowhere.
fn is_inside(catalog: &Catalog, file: FileId) -> bool {
    let directory = catalog.directory_of(file);
    !catalog.directory_path(directory).is_empty()
        || (!is_nowhere(catalog, directory) && catalog.root_of(file) == catalog.root_of_directory(directory))
}

/// Whether it is no directory but the place that roots are named from.
fn is_nowhere(catalog: &Catalog, directory: DirectoryId) -> bool {
    catalog.directory_path(directory).is_empty() && !catalog.root_path(directory).is_empty()
}

/// What the directories that lie in no other one are sorted by.
fn top_order(catalog: &Catalog, directory: DirectoryId) -> (usize, impl Ord) {
    let components: Vec<_> = catalog.directory_path(directory).split(|&byte| byte == b'/').collect();
    (catalog.root_of_directory(directory), components)
}

/// What each directory lies in, by its number, and whether something in it was not told.
fn parents(catalog: &Catalog) -> (Vec<Option<DirectoryId>>, Vec<bool>) {
    let mut has_unknown = vec![false; catalog.directories()];
    let parents = ids(catalog).map(|id| {
        catalog.parent(id).or_else(|| {
            let path = catalog.directory_path(id);
            let outer = nearest_above(catalog, path)?;
            let is_root = path.len() <= catalog.root_path(id).len();
            // A directory that is no root was met in one that should be here. A root in another one is there because the
            // walk from the other one was to leave it out.
            has_unknown[outer.index()] |= !is_root;
            Some(outer)
        })
    });
    (parents.collect(), has_unknown)
}

/// The nearest directory of the catalog that this path leads through.
fn nearest_above(catalog: &Catalog, path: &[u8]) -> Option<DirectoryId> {
    let mut end = path.len();
    loop {
        while end > 1 && path[end - 1] == b'/' {
            end -= 1;
        }
        let slash = path[..end].iter().rposition(|&byte| byte == b'/');
        let name = slash.map_or(0, |slash| slash + 1);
        if name == end || matches!(&path[name..end], b"." | b"..") {
            // At the top, or nobody knows where it leads.
            return None;
        }
        // Of a root the path may end in a slash, and that of the topmost one is nothing else.
        let cut = slash.map_or(0, |slash| slash.max(1));
        let above = [cut, name].map(|end| catalog.find_directory(&path[..end]));
        let found = above.into_iter().flatten().find(|&id| !is_nowhere(catalog, id));
        if found.is_some() || slash.is_none() {
            return found;
        }
        end = name;
    }
}

/// Marks the directories in which something is unknown. What bears the name of a directory is that directory, of which not
/// all could be listed.
fn mark_unknown(catalog: &Catalog, has_unknown: &mut [bool]) {
    let mut path = Vec::new();
    for (directory, name, _) in catalog.others().filter(|(.., what)| *what == Other::Unknown) {
        has_unknown[directory.index()] = true;
        path.clear();
        join_path(catalog.directory_path(directory), name, &mut path);
        if let Some(itself) = catalog.find_directory(&path) {
            has_unknown[itself.index()] = true;
        }
    }
    for id in ids(catalog).filter(|&id| is_nowhere(catalog, id)) {
        has_unknown[id.index()] = true;
    }
}
