//! Which content lies in several directories, and in which.

use std::ops::Range;

use super::tree::{NONE, Tree};
use super::{Catalog, Contents, FileId, Identical};

/// Contents that lie in several directories. Those that lie in the same ones the same number of times are one: of a folder
/// that was copied all files are, so that there are about as many as there are directories.
pub(super) struct Spread {
    /// Places of directories; one that has a content twice is there twice.
    pub(super) places: Vec<u32>,
    /// The most bytes first.
    pub(super) sets: Vec<Set>,
}

/// Contents that lie in the same places.
#[derive(Clone, Copy)]
pub(super) struct Set {
    start: u32,
    length: u32,
    /// Of one copy of each.
    pub(super) bytes: u64,
}

impl Spread {
    pub(super) fn new(catalog: &Catalog, contents: &Contents, identical: &Identical) -> Spread {
        let mut spread = Spread::of_each(catalog, &copies(catalog, contents, identical));
        let places = &spread.places;
        spread.sets.sort_unstable_by(|a, b| places[a.range()].cmp(&places[b.range()]));
        spread.sets.dedup_by(|next, kept| {
            let is_same = places[next.range()] == places[kept.range()];
            kept.bytes += if is_same { next.bytes } else { 0 };
            is_same
        });
        spread
            .sets
            .sort_unstable_by(|a, b| (b.bytes.cmp(&a.bytes)).then(places[a.range()].cmp(&places[b.range()])));
        spread
    }

    /// A set for each content that lies in two directories at least.
    fn of_each(catalog: &Catalog, copies: &[Copy]) -> Spread {
        let mut spread = Spread { places: Vec::new(), sets: Vec::new() };
        for same in copies.chunk_by(|a, b| a.token == b.token) {
            if same[0].place != same[same.len() - 1].place {
                let start = u32::try_from(spread.places.len()).expect("there are fewer than 2^32 files");
                let length = u32::try_from(same.len()).expect("there are fewer than 2^32 files");
                spread.places.extend(same.iter().map(|copy| copy.place));
                spread.sets.push(Set { start, length, bytes: catalog.size(FileId(same[0].file)) });
            }
        }
        spread
    }

    /// The places of a set and how often it lies there.
    pub(super) fn counts(&self, set: &Set) -> impl Iterator<Item = (u32, u32)> {
        self.places[set.range()]
            .chunk_by(|a, b| a == b)
            .map(|same| (same[0], u32::try_from(same.len()).expect("there are fewer than 2^32 files")))
    }
}

impl Set {
    pub(super) fn range(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }
}

/// A file, where it counts.
struct Copy {
    token: u64,
    place: u32,
    file: u32,
}

/// All files by content and place. Directories that are the same as others are left out: what lies in them counts for the
/// next one above that is not.
fn copies(catalog: &Catalog, contents: &Contents, identical: &Identical) -> Vec<Copy> {
    let tree = &identical.tree;
    let mut counts_at: Vec<u32> = Vec::with_capacity(tree.len());
    for place in 0..tree.len() {
        let own = u32::try_from(place).expect("there are fewer than 2^32 directories");
        let above = || tree.parent(place).map_or(NONE, |parent| counts_at[parent]);
        let at = if identical.covered[place] { above() } else { own };
        counts_at.push(at);
    }
    let mut copies: Vec<_> = catalog
        .files()
        .filter(|&file| catalog.size(file) > 0)
        .filter_map(|file| {
            let place = counts_at[tree.place_of_file(catalog, file)?];
            let token = contents.token(file)?;
            (place != NONE).then_some(Copy { token, place, file: file.0 })
        })
        .collect();
    copies.sort_unstable_by_key(|copy| (copy.token, copy.place, copy.file));
    copies
}

/// The lowest directory that all of these lie in; they are sorted.
pub(super) fn holds_all(tree: &Tree, places: &[u32]) -> Option<u32> {
    let (first, last) = (*places.first()?, *places.last()?);
    let mut all = first;
    while all != NONE && !tree.is_within(last, all) {
        all = tree.parents[all as usize];
    }
    Some(all).filter(|&all| all != NONE)
}

/// By place, the bytes of all content in the directory that lies elsewhere as well: of all that lies in several, less what
/// lies in this one alone.
pub(super) fn shared(tree: &Tree, spread: &Spread) -> Vec<u64> {
    let (mut held, mut alone) = (vec![0_u64; tree.len()], vec![0_u64; tree.len()]);
    for set in &spread.sets {
        for &place in &spread.places[set.range()] {
            held[place as usize] += set.bytes;
        }
        if let Some(all) = holds_all(tree, &spread.places[set.range()]) {
            alone[all as usize] += set.bytes * u64::from(set.length);
        }
    }
    for place in (0..tree.len()).rev() {
        if let Some(parent) = tree.parent(place) {
            held[parent] += held[place];
            alone[parent] += alone[place];
        }
    }
    held.iter().zip(&alone).map(|(held, alone)| held - alone).collect()
}
