//! Sketches by one permutation: each hash belongs to one place.

use super::mix;

/// The least hash of each place so far.
pub(super) struct OnePermutation {
    least: Box<[u32]>,
}

/// A place without a hash.
const EMPTY: u32 = u32::MAX;

impl OnePermutation {
    pub(super) fn new(k: usize) -> OnePermutation {
        OnePermutation { least: vec![EMPTY; k].into() }
    }

    pub(super) fn clear(&mut self) {
        self.least.fill(EMPTY);
    }

    pub(super) fn add(&mut self, hashes: &[u32]) {
        let k = self.least.len();
        for &hash in hashes {
            let least = &mut self.least[place(hash, k)];
            // Seldom after the first few: a branch is cheaper than a store that the next one waits for.
            if hash < *least {
                *least = hash;
            }
        }
    }

    pub(super) fn join(&mut self, next: &OnePermutation) {
        for (least, &other) in self.least.iter_mut().zip(&next.least) {
            *least = (*least).min(other);
        }
    }

    /// The sketch, with its empty places filled from others.
    pub(super) fn finish(&self) -> Box<[u32]> {
        let k = self.least.len();
        if self.least.iter().all(|&least| least == EMPTY) {
            return self.least.clone();
        }
        let filled = (0_u32..).zip(&self.least).map(|(j, &own)| {
            let mut attempt = 0_u32;
            let mut value = own;
            while value == EMPTY {
                attempt = attempt.wrapping_add(1);
                value = self.least[place(mix(j.wrapping_mul(0x9E37_79B9).wrapping_add(attempt)), k)];
            }
            value
        });
        filled.collect()
    }
}

/// The place of a hash, by its upper half.
fn place(hash: u32, k: usize) -> usize {
    ((hash >> 16) as usize * k) >> 16
}
