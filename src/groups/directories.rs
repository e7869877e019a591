//! Directories that are the same: equal names, types and contents in them, all the way down.
//!
//! Each directory has a digest over the names in it, their types, the tokens of the files and the digests of the
//! directories, so that equal digests stand for equal trees. What cannot be known is equal to nothing.

use blake3::Hasher;

use super::tree::{Item, Items, NONE, Tree, name_below};
use super::{Catalog, Contents, DirectoryId, FileId, Other};
use crate::record::join_path;

/// Directories that are the same, and what it means for the files in them.
#[derive(Debug, Default)]
pub struct Identical {
    /// The most reclaimable bytes first.
    pub groups: Vec<DirectoryGroup>,
    pub(super) tree: Tree,
    pub(super) classes: Classes,
    /// By place, whether all that lies in the directory is told of another one.
    pub(super) covered: Vec<bool>,
}

/// Directories that are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryGroup {
    /// By root as given, then by path; two at least.
    pub directories: Vec<DirectoryId>,
    /// Number of files in each, all the way down.
    pub files: u64,
    /// The sum of their sizes.
    pub bytes: u64,
    /// What of the bytes of all but the first is no copy, as its files are hard links to others of the group.
    pub shared_bytes: u64,
}

/// Finds the directories that are the same. Of those that are told, what lies in them at the same place is not told once more:
/// of `a/x`, `b/x` and `c/x`, where `a` and `b` are the same, the group is `a/x` and `c/x`. Trees without a byte are not told.
///
/// `link_target` gives what a symbolic link holds, by its path; `None` where it cannot be had. It is asked for links only on
/// which it depends whether directories are the same.
pub fn identical(
    catalog: &Catalog,
    contents: &Contents,
    link_target: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Identical {
    let (tree, items) = Tree::new(catalog);
    let mut digests = Digests::new(catalog, contents, &tree, &items);
    digests.follow_links(link_target);
    let digests = digests.by_place;
    drop(items);
    let classes = Classes::new(&tree, &digests);
    drop(digests);
    let covered = covered(&tree, &classes);
    let mut groups: Vec<_> =
        (0..classes.len()).filter_map(|class| group(catalog, &tree, &classes, class)).collect();
    groups.sort_unstable_by_key(|group| {
        (std::cmp::Reverse(group.reclaimable_bytes()), tree.place(group.directories[0]))
    });
    Identical { groups, tree, classes, covered }
}

impl DirectoryGroup {
    /// Bytes that would be free if there were one copy alone.
    pub fn reclaimable_bytes(&self) -> u64 {
        (self.directories.len() as u64 - 1).saturating_mul(self.bytes).saturating_sub(self.shared_bytes)
    }
}

impl Identical {
    /// Whether a file lies in a directory whose like is told, and is not in the one that stands for all: of each file in
    /// directories that are the same one copy alone does not repeat.
    pub fn repeats(&self, file: FileId, catalog: &Catalog) -> bool {
        self.tree.place_of_file(catalog, file).is_some_and(|place| self.covered[place])
    }
}

type Digest = [u8; 32];

/// The digests of directories, and what they are made of.
struct Digests<'c> {
    catalog: &'c Catalog,
    contents: &'c Contents,
    tree: &'c Tree,
    items: &'c Items,
    /// `None` for those that are equal to nothing.
    by_place: Vec<Option<Digest>>,
    /// By place, whether there is a symbolic link in it, all the way down.
    has_links: Vec<bool>,
    hasher: Hasher,
    encoded: Vec<u8>,
}

impl<'c> Digests<'c> {
    /// Digests that take links for the same wherever they lead to.
    fn new(catalog: &'c Catalog, contents: &'c Contents, tree: &'c Tree, items: &'c Items) -> Digests<'c> {
        let mut has_links = vec![false; tree.len()];
        for (directory, ..) in catalog.others().filter(|(.., what)| *what == Other::Symlink) {
            has_links[tree.place(directory)] = true;
        }
        let (by_place, hasher) = (vec![None; tree.len()], Hasher::new_derive_key("filemill directory 1"));
        let mut digests =
            Digests { catalog, contents, tree, items, by_place, has_links, hasher, encoded: Vec::new() };
        for place in (0..tree.len()).rev() {
            digests.by_place[place] = digests.of(place, &mut |_| Some(Vec::new()));
            if let Some(parent) = tree.parent(place) {
                digests.has_links[parent] |= digests.has_links[place];
            }
        }
        digests
    }

    /// Puts the targets of links into the digests. Only those are asked for that lie in a directory which is like another
    /// one but for its links, where one or the other or what they lie in is to be told.
    fn follow_links(&mut self, link_target: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) {
        let tree = self.tree;
        let mut matters = alike(&self.by_place);
        for place in 0..tree.len() {
            matters[place] = (matters[place] && tree.bytes[place] > 0)
                || tree.parent(place).is_some_and(|parent| matters[parent]);
        }
        for place in (0..tree.len()).rev().filter(|&place| self.has_links[place]).collect::<Vec<_>>() {
            self.by_place[place] = if matters[place] { self.of(place, link_target) } else { None };
        }
    }

    /// The digest of a directory, those in it being known.
    fn of(&mut self, place: usize, link_target: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Option<Digest> {
        let directory = self.tree.order[place];
        if self.items.has_unknown[directory.index()] {
            return None;
        }
        let path = self.catalog.directory_path(directory);
        self.encoded.clear();
        for &item in self.items.of(directory) {
            let name = item.name(self.catalog, path);
            match item {
                Item::File(file) => {
                    let token = self.contents.token(file)?;
                    self.encode(b'f', name, &token.to_le_bytes());
                }
                Item::Directory(inner) => {
                    let digest = self.by_place[self.tree.place(inner)]?;
                    self.encode(b'd', name, &digest);
                }
                Item::Other(index) => match self.catalog.other(index as usize).2 {
                    Other::Symlink => {
                        let mut link = Vec::new();
                        join_path(path, name, &mut link);
                        let target = link_target(&link)?;
                        self.encode(b'l', name, &target);
                    }
                    Other::Fifo => self.encode(b'p', name, b""),
                    Other::Socket => self.encode(b's', name, b""),
                    Other::Unknown => return None,
                },
            }
        }
        let mut hasher = self.hasher.clone();
        hasher.update(&self.encoded);
        Some(*hasher.finalize().as_bytes())
    }

    /// Lengths stand before what they are of: no two directories have one encoding.
    fn encode(&mut self, kind: u8, name: &[u8], what: &[u8]) {
        self.encoded.push(kind);
        for part in [name, what] {
            self.encoded.extend_from_slice(&(part.len() as u64).to_le_bytes());
            self.encoded.extend_from_slice(part);
        }
    }
}

/// By place, whether another one has the same digest.
fn alike(digests: &[Option<Digest>]) -> Vec<bool> {
    let mut alike = vec![false; digests.len()];
    let places = by_digest(digests);
    for pair in places.windows(2).filter(|pair| digests[pair[0] as usize] == digests[pair[1] as usize]) {
        alike[pair[0] as usize] = true;
        alike[pair[1] as usize] = true;
    }
    alike
}

/// The places that have a digest, those with the same one beside each other.
fn by_digest(digests: &[Option<Digest>]) -> Vec<u32> {
    let mut places: Vec<u32> =
        (0..).zip(digests).filter(|(_, digest)| digest.is_some()).map(|(place, _)| place).collect();
    places.sort_unstable_by_key(|&place| (digests[place as usize], place));
    places
}

/// Sets of directories that are the same, two at least and not without a byte, whether they are told or follow from others.
#[derive(Debug, Default)]
pub(super) struct Classes {
    /// By place, the class of the directory or [`NONE`].
    of: Vec<u32>,
    /// Where the places of each class begin; and the end.
    starts: Vec<usize>,
    /// Places, class by class, in their order.
    places: Vec<u32>,
}

impl Classes {
    fn new(tree: &Tree, digests: &[Option<Digest>]) -> Classes {
        let mut classes = Classes { of: vec![NONE; tree.len()], starts: vec![0], places: Vec::new() };
        let places = by_digest(digests);
        let same = places.chunk_by(|&a, &b| digests[a as usize] == digests[b as usize]);
        for same in same.filter(|same| same.len() > 1 && tree.bytes[same[0] as usize] > 0) {
            let class = u32::try_from(classes.len()).expect("there are fewer classes than directories");
            classes.places.extend_from_slice(same);
            classes.starts.push(classes.places.len());
            for &place in same {
                classes.of[place as usize] = class;
            }
        }
        classes
    }

    /// Number of classes.
    fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// The places of a class.
    fn places(&self, class: usize) -> &[u32] {
        &self.places[self.starts[class]..self.starts[class + 1]]
    }

    /// The places of all directories that are the same as the one at `place`; none where there is no other one.
    pub(super) fn of(&self, place: usize) -> &[u32] {
        match self.of[place] {
            NONE => &[],
            class => self.places(class as usize),
        }
    }
}

/// By place, whether it is not the first of its class. Directories without a byte have no class: they go with what they lie
/// in.
fn covered(tree: &Tree, classes: &Classes) -> Vec<bool> {
    let mut covered = vec![false; tree.len()];
    for place in 0..tree.len() {
        covered[place] = match classes.of(place) {
            [] => tree.bytes[place] == 0 && tree.parent(place).is_some_and(|parent| covered[parent]),
            [first, ..] => *first as usize != place,
        };
    }
    covered
}

/// What is to be told of a class: those that bear one name in directories that are the same follow from these, and the first
/// stands for them.
fn group(catalog: &Catalog, tree: &Tree, classes: &Classes, class: usize) -> Option<DirectoryGroup> {
    let places = classes.places(class);
    let mut keyed: Vec<(u32, &[u8], u32)> = Vec::with_capacity(places.len());
    for &place in places {
        let (outer, name) = match tree.parent(place as usize) {
            Some(parent) if !classes.of(parent).is_empty() => {
                let paths = [parent, place as usize].map(|place| catalog.directory_path(tree.order[place]));
                (classes.of[parent], name_below(paths[0], paths[1]))
            }
            _ => (NONE, &b""[..]),
        };
        keyed.push((outer, name, place));
    }
    keyed.sort_unstable();
    keyed.dedup_by(|next, kept| kept.0 != NONE && (next.0, next.1) == (kept.0, kept.1));
    keyed.sort_unstable_by_key(|&(.., place)| place);
    let directories: Vec<_> = keyed.iter().map(|&(.., place)| tree.order[place as usize]).collect();
    let first = places[0] as usize;
    (directories.len() > 1).then(|| DirectoryGroup {
        directories,
        shared_bytes: 0,
        files: tree.files[first],
        bytes: tree.bytes[first],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::super::sample::{Sample, lines, sample};
    use super::*;

    fn told(sample: &Sample) -> Vec<Vec<String>> {
        let groups = sample.identical().groups;
        groups.iter().map(|group| group.directories.iter().map(|&id| sample.path(id)).collect()).collect()
    }

    #[track_caller]
    fn check_below(roots: &[&str], lines: &[&str], expected: &[&[&str]]) {
        assert_eq!(told(&sample(roots, lines)), expected, "{lines:?}");
        let reversed: Vec<_> = lines.iter().rev().collect();
        assert_eq!(told(&sample(roots, &reversed)), expected, "reversed {lines:?}");
    }

    #[track_caller]
    fn check(lines: &[&str], expected: &[&[&str]]) {
        check_below(&["r"], lines, expected);
    }

    #[test]
    fn names_types_and_contents_make_the_difference() {
        check(&["r/a/f=x", "r/b/f=x"], &[&["r/a", "r/b"]]);
        check(&["r/a/f=x", "r/b/f=y"], &[]);
        check(&["r/a/f=x", "r/b/g=x"], &[]);
        check(&["r/a/f=x", "r/b/f=x", "r/b/e/"], &[]);
        check(&["r/a/f=x", "r/a/e/", "r/b/f=x", "r/b/e/"], &[&["r/a", "r/b"]]);
        check(&["r/a/f=x", "r/a/e/", "r/b/f=x", "r/b/e|"], &[]);
        check(&["r/a/f=x", "r/a/p|", "r/b/f=x", "r/b/p%"], &[]);
        check(&["r/a/f=x", "r/a/p|", "r/b/f=x", "r/b/p|"], &[&["r/a", "r/b"]]);
        check(&["r/a/f=x", "r/a/g=", "r/b/f=x", "r/b/g/"], &[]);
        check(&["r/a/ab=x", "r/a/c=x", "r/b/a=x", "r/b/bc=x"], &[]);
        // A file and a directory of the same names further in.
        check(&["r/a/d/f=x", "r/b/f=x"], &[&["r/a/d", "r/b"]]);
    }

    #[test]
    fn what_is_unknown_is_equal_to_nothing() {
        check(&["r/a/f=x", "r/a/u?", "r/b/f=x", "r/b/u?"], &[]);
        check(&["r/a/f=?", "r/a/g=x", "r/b/f=?", "r/b/g=x"], &[]);
        check(&["r/a/d/u?", "r/a/e/g=x", "r/b/d/u?", "r/b/e/g=x"], &[&["r/a/e", "r/b/e"]]);
        // A directory that was not listed to its end is told in the one it lies in.
        check(&["r/a/f=x", "r/a?", "r/b/f=x"], &[]);
    }

    #[test]
    fn links_are_told_apart_by_their_targets() {
        check(&["r/a/f=x", "r/a/l>t", "r/b/f=x", "r/b/l>t"], &[&["r/a", "r/b"]]);
        check(&["r/a/f=x", "r/a/l>t", "r/b/f=x", "r/b/l>u"], &[]);
        check(&["r/a/f=x", "r/a/l>?", "r/b/f=x", "r/b/l>?"], &[]);
        check(&["r/a/f=x", "r/a/l>", "r/b/f=x", "r/b/l>"], &[&["r/a", "r/b"]]);
        check(&["r/a/f=x", "r/a/d/l>t", "r/b/f=x", "r/b/d/l>u", "r/c/f=x", "r/c/d/l>t"], &[&["r/a", "r/c"]]);
    }

    #[test]
    fn few_links_are_read() {
        let lines = [
            "r/a/f=x",
            "r/a/d/l>t",
            "r/b/f=x",
            "r/b/d/l>t",
            "r/c/f=y",
            "r/c/d/l>t",
            "r/e/l>t",
            "r/f/l>t",
            "r/l>t",
        ];
        let sample = sample(&["r"], &lines);
        let mut read = Vec::new();
        let found = identical(&sample.catalog, &sample.contents, &mut |link| {
            read.push(String::from_utf8_lossy(link).into_owned());
            Some(b"t".to_vec())
        });
        read.sort();
        assert_eq!(read, ["r/a/d/l", "r/b/d/l"]);
        assert_eq!(found.groups.len(), 1);
    }

    #[test]
    fn what_follows_from_a_group_is_not_told() {
        check(&["r/a1/x/f=x", "r/a2/x/f=x"], &[&["r/a1", "r/a2"]]);
        check(
            &["r/a1/x/f=x", "r/a2/x/f=x", "r/b/x/f=x", "r/b/g=y"],
            &[&["r/a1", "r/a2"], &["r/a1/x", "r/b/x"]],
        );
        check(&["r/a1/x/f=x", "r/a2/x/f=x", "r/b/x/f=x"], &[&["r/a1", "r/a2", "r/b"]]);
        // Two in one directory that has its like.
        check(
            &["r/a1/x/f=x", "r/a1/y/f=x", "r/a2/x/f=x", "r/a2/y/f=x"],
            &[&["r/a1", "r/a2"], &["r/a1/x", "r/a1/y"]],
        );
        // One that comes first and lies in nothing that has its like, and what lies in it.
        check(
            &["r/0/x/f=yy", "r/p1/k/x/f=yy", "r/p1/g=z", "r/p2/k/x/f=yy", "r/p2/g=z"],
            &[&["r/p1", "r/p2"], &["r/0", "r/p1/k"]],
        );
    }

    #[test]
    fn trees_without_a_byte_are_not_told_and_nested_ones_break_nothing() {
        check(&["r/a/", "r/b/", "r/c/f=", "r/d/f="], &[]);
        check(&["r/a/a/a/"], &[]);
        check(&["r/a/a/a/f=x"], &[]);
        check(&["r/a/a/f=x", "r/a/f=x"], &[]);
        check(&["r/a/a/a/f=x", "r/b/a/a/f=x"], &[&["r/a", "r/b"]]);
    }

    #[test]
    fn roots_are_directories_and_come_in_their_order() {
        check_below(&["b", "a"], &["a/f=x", "b/f=x"], &[&["b", "a"]]);
        check_below(&["b/", "a"], &["a/d/f=x", "b/d/f=x"], &[&["b/", "a"]]);
        check_below(&["/"], &["/a/f=x", "/b/f=x"], &[&["/a", "/b"]]);
        check_below(&[""], &["a/f=x", "b/f=x"], &[&["a", "b"]]);
        check_below(&["", "/x"], &["f=x", "/x/f=x"], &[&["", "/x"]]);
        // A name that sorts before the slash.
        check(&["r/a/b/f=x", "r/a-/b/f=x", "r/a/g=y"], &[&["r/a/b", "r/a-/b"]]);
    }

    #[test]
    fn roots_that_are_files_lie_nowhere() {
        let mut catalog = Catalog::new([&b"x"[..], b"d", b"e"]);
        let mut contents = Contents::new(3);
        for (directory, name) in [(&b""[..], &b"x"[..]), (b"d", b"x"), (b"e", b"x")] {
            let file = catalog.add_file(directory, name, 1, 0, crate::record::Identity::default());
            contents.set(file, 5);
        }
        let found = identical(&catalog, &contents, &mut |_| None);
        let paths: Vec<_> =
            found.groups[0].directories.iter().map(|&id| catalog.directory_path(id)).collect();
        assert_eq!((found.groups.len(), paths), (1, vec![&b"d"[..], b"e"]));
        let repeats: Vec<_> = catalog.files().map(|file| found.repeats(file, &catalog)).collect();
        assert_eq!(repeats, [false, false, true]);
    }

    #[test]
    fn a_root_in_another_one_belongs_to_it() {
        let mut catalog = Catalog::new([&b"a"[..], b"a/.h/b", b"c", b"a/../d"]);
        let mut contents = Contents::new(4);
        for directory in [&b"a"[..], b"a/.h/b", b"c", b"a/../d"] {
            let file = catalog.add_file(directory, b"f", 1, 0, crate::record::Identity::default());
            contents.set(file, 5);
        }
        let found = identical(&catalog, &contents, &mut |_| None);
        let paths: Vec<_> =
            found.groups[0].directories.iter().map(|&id| catalog.directory_path(id)).collect();
        assert_eq!(paths, [&b"a/.h/b"[..], b"c", b"a/../d"]);
    }

    #[test]
    fn groups_come_by_what_they_free() {
        let lines = ["r/a/f=x", "r/b/f=x", "r/c/f=x", "r/d/f=yyy", "r/e/f=yyy", "r/d/g=", "r/e/g="];
        let sample = sample(&["r"], &lines);
        let groups = sample.identical().groups;
        let figures: Vec<_> = groups
            .iter()
            .map(|group| (group.directories.len(), group.files, group.bytes, group.reclaimable_bytes()))
            .collect();
        assert_eq!(figures, [(2, 2, 3, 3), (3, 1, 1, 2)]);
    }

    /// What a directory holds, written down; `None` where it is not known.
    fn written(lines: &[String], directory: &str) -> Option<String> {
        let mut entries: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for line in lines {
            let Some(rest) = line.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            match rest.split_once('/') {
                Some((name, _)) => {
                    entries.insert(name, written(lines, &format!("{directory}/{name}")));
                }
                None if rest.is_empty() => {}
                None => {
                    let is_known = !rest.ends_with('?');
                    entries.insert(&rest[..1], is_known.then(|| rest.to_owned()));
                }
            }
        }
        let entries: Option<Vec<_>> =
            entries.into_iter().map(|(name, what)| Some(format!("{name}:{}", what?))).collect();
        Some(format!("({})", entries?.join(",")))
    }

    /// What follows from groups: for each directory the number of a set of directories that are the same.
    fn follows(directories: &[String], groups: &[Vec<String>]) -> Vec<usize> {
        let mut sets: Vec<usize> = (0..directories.len()).collect();
        let number: HashMap<_, _> =
            directories.iter().enumerate().map(|(i, path)| (path.as_str(), i)).collect();
        for (group, member) in groups.iter().flat_map(|group| group[1..].iter().map(move |one| (group, one)))
        {
            for path in directories {
                let Some(rest) = path.strip_prefix(member.as_str()) else { continue };
                let first = format!("{}{rest}", group[0]);
                if (rest.is_empty() || rest.starts_with('/')) && number.contains_key(first.as_str()) {
                    let (one, other) = (sets[number[path.as_str()]], sets[number[first.as_str()]]);
                    sets.iter_mut().filter(|set| **set == one).for_each(|set| *set = other);
                }
            }
        }
        sets
    }

    proptest! {
        #[test]
        fn groups_tell_all_that_is_the_same_and_nothing_twice(lines in lines()) {
            let sample = sample(&["r"], &lines);
            let (found, groups, directories) = (sample.identical(), told(&sample), sample.directories());
            let id = |path: &String| sample.catalog.find_directory(path.as_bytes()).expect("it is there");
            let has_bytes = |path: &String| found.tree.bytes[found.tree.place(id(path))] > 0;
            let sets = follows(&directories, &groups);
            let texts: Vec<_> = directories.iter().map(|path| written(&lines, path)).collect();
            for (i, one) in directories.iter().enumerate().filter(|(_, one)| has_bytes(one)) {
                for (j, other) in directories.iter().enumerate().filter(|&(j, _)| j != i) {
                    let is_same = texts[i].is_some() && texts[i] == texts[j];
                    prop_assert_eq!(sets[i] == sets[j], is_same, "{} {}", one, other);
                }
            }
            // No member can be left out.
            for (i, group) in groups.iter().enumerate() {
                for member in 0..group.len() {
                    let mut fewer = groups.clone();
                    if fewer[i].len() > 2 { fewer[i].remove(member); } else { fewer.remove(i); }
                    let count = |sets: Vec<usize>| sets.iter().collect::<std::collections::BTreeSet<_>>().len();
                    prop_assert!(count(follows(&directories, &fewer)) > count(sets.clone()), "{:?}", group);
                }
            }
            // Of each set one is not covered, the first.
            let mut seen = std::collections::HashSet::new();
            for (path, set) in directories.iter().zip(&sets) {
                prop_assert_eq!(found.covered[found.tree.place(id(path))], !seen.insert(set), "{}", path);
            }
        }

        #[test]
        fn order_does_not_matter(mut lines in lines()) {
            let expected = told(&sample(&["r"], &lines));
            lines.sort();
            prop_assert_eq!(&told(&sample(&["r"], &lines)), &expected);
            lines.reverse();
            prop_assert_eq!(&told(&sample(&["r"], &lines)), &expected);
        }
    }
}
