//! What a [`Catalog`](super::Catalog) is made of: lists and text that grow in chunks, and a table of paths. Chunks never move, so
//! that memory does not double while it grows.

use std::hash::{BuildHasher, RandomState};
use std::ops::{Index, IndexMut};

/// Bytes of a chunk of text.
const TEXT_CHUNK_BYTES: usize = 1 << 20;

/// A list in chunks of 2^`SHIFT` items.
#[derive(Debug)]
pub(super) struct Chunks<T, const SHIFT: usize> {
    chunks: Vec<Vec<T>>,
}

impl<T, const SHIFT: usize> Default for Chunks<T, SHIFT> {
    fn default() -> Self {
        Chunks { chunks: Vec::new() }
    }
}

impl<T, const SHIFT: usize> Chunks<T, SHIFT> {
    pub(super) fn push(&mut self, item: T) {
        match self.chunks.last_mut().filter(|last| last.len() < 1 << SHIFT) {
            Some(last) => last.push(item),
            None => {
                // A small list stays small: only those after the first chunk begin at their full size.
                let capacity = if self.chunks.is_empty() { 4 } else { 1 << SHIFT };
                let mut chunk = Vec::with_capacity(capacity);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        let before = self.chunks.len().saturating_sub(1) << SHIFT;
        before + self.chunks.last().map_or(0, Vec::len)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<T>()
    }
}

impl<T, const SHIFT: usize> Index<usize> for Chunks<T, SHIFT> {
    type Output = T;

    fn index(&self, at: usize) -> &T {
        &self.chunks[at >> SHIFT][at & ((1 << SHIFT) - 1)]
    }
}

impl<T, const SHIFT: usize> IndexMut<usize> for Chunks<T, SHIFT> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.chunks[at >> SHIFT][at & ((1 << SHIFT) - 1)]
    }
}

/// Where a piece of [`Text`] lies: start and length in 8 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece(u64);

impl Piece {
    /// Bits of the length: paths below a handle may be longer than the limit of the system.
    const LENGTH_BITS: u32 = 24;

    pub(super) fn bytes(self) -> usize {
        usize::try_from(self.0 & ((1 << Piece::LENGTH_BITS) - 1)).unwrap_or(usize::MAX)
    }
}

/// Names and paths, one after the other. No piece lies in two chunks.
#[derive(Debug, Default)]
pub(super) struct Text {
    chunks: Vec<Vec<u8>>,
}

impl Text {
    /// Keeps a copy of a piece.
    ///
    /// # Panics
    /// From 16 MiB on.
    pub(super) fn keep(&mut self, piece: &[u8]) -> Piece {
        let length = piece.len() as u64;
        assert!(length >> Piece::LENGTH_BITS == 0, "a path has less than 16 MiB");
        let fits = |last: &Vec<u8>| last.len() + piece.len() <= TEXT_CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            let capacity = if self.chunks.is_empty() { 0 } else { TEXT_CHUNK_BYTES };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let chunk = self.chunks.len() - 1;
        let last = &mut self.chunks[chunk];
        let start = (chunk * TEXT_CHUNK_BYTES + last.len()) as u64;
        last.extend_from_slice(piece);
        Piece(start << Piece::LENGTH_BITS | length)
    }

    pub(super) fn get(&self, piece: Piece) -> &[u8] {
        let start = usize::try_from(piece.0 >> Piece::LENGTH_BITS).expect("it lies in memory");
        let at = start % TEXT_CHUNK_BYTES;
        &self.chunks[start / TEXT_CHUNK_BYTES][at..at + piece.bytes()]
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }
}

/// Finds numbers by what they stand for, which is kept elsewhere: 4 bytes a place, with linear probing.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Numbers, or [`FREE`]; as many as a power of two.
    places: Vec<u32>,
    taken: usize,
    hasher: RandomState,
}

const FREE: u32 = u32::MAX;

impl Table {
    /// The number of this key, where `key_of` returns the key of a number.
    pub(super) fn find<'k>(&self, key: &[u8], key_of: impl Fn(u32) -> &'k [u8]) -> Option<u32> {
        if self.places.is_empty() {
            return None;
        }
        let found = self.places[self.place(key, |number| key_of(number) == key)];
        Some(found).filter(|&found| found != FREE)
    }

    /// Adds the number of a key that is not there yet.
    pub(super) fn add<'k>(&mut self, key: &[u8], number: u32, key_of: impl Fn(u32) -> &'k [u8]) {
        if (self.taken + 1) * 4 > self.places.len() * 3 {
            let larger = (self.places.len() * 2).max(16);
            let places = std::mem::replace(&mut self.places, vec![FREE; larger]);
            for number in places.into_iter().filter(|&number| number != FREE) {
                let place = self.place(key_of(number), |_| false);
                self.places[place] = number;
            }
        }
        let place = self.place(key, |_| false);
        self.places[place] = number;
        self.taken += 1;
    }

    /// The place of a key, or the free one that it would take.
    fn place(&self, key: &[u8], is_it: impl Fn(u32) -> bool) -> usize {
        let mask = self.places.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let mut place = self.hasher.hash_one(key) as usize & mask;
        while self.places[place] != FREE && !is_it(self.places[place]) {
            place = (place + 1) & mask;
        }
        place
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_places_from_chunk_to_chunk() {
        let mut list = Chunks::<usize, 3>::default();
        for item in 0..100 {
            assert_eq!(list.len(), item);
            list.push(item);
        }
        assert!((0..100).all(|at| list[at] == at) && list.iter_mut().count() == 100);
    }

    #[test]
    fn pieces_of_text_are_what_was_kept() {
        let mut text = Text::default();
        let piece = |i: usize| vec![u8::try_from(i % 251).expect("a byte"); i * 37 % 5000];
        let kept: Vec<Piece> = (0..2000).map(|i| text.keep(&piece(i))).collect();
        assert!(text.chunks.len() > 2, "one chunk proves nothing");
        assert!(kept.iter().enumerate().all(|(i, &at)| text.get(at) == piece(i)));
        let longest = vec![7; (1 << 24) - 1];
        let at = text.keep(&longest);
        assert_eq!(text.get(at), longest);
    }

    #[test]
    fn a_table_finds_what_was_added() {
        let keys: Vec<Vec<u8>> = (0..3000_u32).map(|i| i.to_string().into_bytes()).collect();
        let key_of = |number: u32| keys[number as usize].as_slice();
        let mut table = Table::default();
        for (number, key) in (0..).zip(&keys) {
            assert_eq!(table.find(key, key_of), None);
            table.add(key, number, key_of);
        }
        assert!((0..3000).all(|number| table.find(key_of(number), key_of) == Some(number)));
        assert_eq!(table.find(b"x", key_of), None);
    }
}
