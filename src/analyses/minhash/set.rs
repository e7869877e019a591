//! Sets of shingles themselves, for whoever wants the Jaccard index instead of an estimate.

use super::shingles::{Number, Seam, Shingle, WordShingles};

/// The shingles of a file by their hashes of 64 bits, each once: with a million of them, two are taken for one with a probability
/// of 1 in 37 million.
#[derive(Debug)]
pub struct ShingleSet {
    cut: Cut,
    /// Of so many shares of all hashes, which one is kept: a set that is too large is compared share by share.
    share: (u64, u64),
    hashes: Vec<u64>,
}

#[derive(Debug)]
enum Cut {
    Bytes { shingle_bytes: usize, seam: Seam, power: u64 },
    Words(WordShingles<u64>),
}

impl ShingleSet {
    /// An empty set of shingles of this kind.
    pub fn new(shingle: Shingle) -> ShingleSet {
        ShingleSet::of_share(shingle, 0, 1)
    }

    /// Of `shares` shares of all shingles the one of this number, from 0: the shares of a file have no shingle in common.
    pub fn of_share(shingle: Shingle, share: u64, shares: u64) -> ShingleSet {
        let cut = match shingle {
            Shingle::Bytes(shingle_bytes) => {
                Cut::Bytes { shingle_bytes, seam: Seam::new(shingle_bytes), power: u64::power(shingle_bytes) }
            }
            Shingle::Words(words) => Cut::Words(WordShingles::new(words)),
        };
        ShingleSet { cut, share: (share, shares), hashes: Vec::new() }
    }

    /// Makes room for so many hashes: a list that grows takes twice what it holds.
    pub fn reserve(&mut self, hashes: usize) {
        self.hashes.reserve_exact(hashes);
    }

    /// Makes room by leaving out what is there twice, where that is much; a file of one shingle over and over takes next to
    /// nothing.
    fn make_room(hashes: &mut Vec<u64>) {
        /// Fewer are not worth sorting.
        const SORTED_MIN: usize = 1 << 16;
        if hashes.len() == hashes.capacity() && hashes.len() >= SORTED_MIN {
            hashes.sort_unstable();
            hashes.dedup();
            // Otherwise it is sorted again before much is there to be left out.
            if hashes.len() > hashes.capacity() / 2 {
                hashes.reserve_exact(hashes.capacity());
            }
        }
    }

    /// The next bytes of the file.
    pub fn block(&mut self, bytes: &[u8]) {
        let ShingleSet { cut, share, hashes } = self;
        let mut take = |hash: u64| {
            if hash % share.1 == share.0 {
                ShingleSet::make_room(hashes);
                hashes.push(hash);
            }
        };
        match cut {
            Cut::Bytes { shingle_bytes, seam, power } => {
                seam.block(bytes, &mut |run| {
                    let (first, rest) = run.split_at(*shingle_bytes);
                    let mut polynomial = first.iter().fold(0_u64, |p, &byte| p.step(u64::from(byte)));
                    take(polynomial.mix());
                    for (&old, &new) in run.iter().zip(rest) {
                        let without = u64::from(old).wrapping_mul(*power);
                        polynomial = polynomial.step(u64::from(new)).wrapping_sub(without);
                        take(polynomial.mix());
                    }
                });
            }
            Cut::Words(cut) => cut.block(bytes, &mut |all| all.iter().copied().for_each(&mut take)),
        }
    }

    /// The file has ended: its hashes in ascending order, each once.
    pub fn finish(mut self) -> Vec<u64> {
        let ShingleSet { cut, share, hashes } = &mut self;
        if let Cut::Words(cut) = cut {
            let kept = |hash: &u64| *hash % share.1 == share.0;
            cut.finish(&mut |all| hashes.extend(all.iter().copied().filter(kept)));
        }
        self.hashes.sort_unstable();
        self.hashes.dedup();
        self.hashes.shrink_to_fit();
        self.hashes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn set(shingle: Shingle, share: (u64, u64), blocks: &[&[u8]]) -> Vec<u64> {
        let mut set = ShingleSet::of_share(shingle, share.0, share.1);
        blocks.iter().for_each(|block| set.block(block));
        set.finish()
    }

    #[test]
    fn what_comes_over_and_over_takes_little() {
        let mut set = ShingleSet::new(Shingle::Bytes(16));
        for i in 0..400_u32 {
            let mut block = vec![0; 10_000];
            block.iter_mut().step_by(1000).for_each(|byte| *byte = [1, 2, 3, 4, 5, 6, 7][i as usize % 7]);
            set.block(&block);
        }
        assert!(set.hashes.capacity() <= 1 << 18, "{}", set.hashes.capacity());
        assert!(set.finish().len() < 1000);
    }

    #[test]
    fn as_many_as_there_are_different_ones_however_they_are_cut_and_shared_out() {
        let text: Vec<u8> = (0..3000_usize).map(|i| b"ab cde\nfg hij  klm"[i * i % 17]).collect();
        for n in [1, 2, 3, 7, 16, 64] {
            let all = set(Shingle::Bytes(n), (0, 1), &[&text]);
            assert_eq!(all.len(), text.windows(n).collect::<HashSet<_>>().len());
            for cut in [1, 5, 64, 2999] {
                let (left, right) = text.split_at(cut);
                assert_eq!(set(Shingle::Bytes(n), (0, 1), &[left, right]), all);
            }
            let mut shares: Vec<u64> =
                (0..3).flat_map(|i| set(Shingle::Bytes(n), (i, 3), &[&text])).collect();
            shares.sort_unstable();
            assert_eq!(shares, all);
        }
        for n in [1, 2, 5, 16] {
            let all = set(Shingle::Words(n), (0, 1), &[&text]);
            let words: Vec<_> = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            assert_eq!(all.len(), words.windows(n).collect::<HashSet<_>>().len());
            let (left, right) = text.split_at(77);
            assert_eq!(set(Shingle::Words(n), (0, 1), &[left, right]), all);
        }
        assert_eq!(set(Shingle::Bytes(4), (0, 1), &[b"abc"]), Vec::<u64>::new());
    }
}
