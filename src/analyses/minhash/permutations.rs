//! Sketches by many permutations: the least of each, in whatever form is fastest here.

use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_loadu_si256, _mm256_max_epu32, _mm256_min_epu32, _mm256_mullo_epi32,
    _mm256_set1_epi32, _mm256_storeu_si256, _mm512_loadu_si512, _mm512_max_epu32, _mm512_min_epu32,
    _mm512_mullo_epi32, _mm512_set1_epi32, _mm512_storeu_si512,
};

use crate::simd::{Level, Simd};

/// Least and greatest products so far: of each permutation [`LANES`] of either, each of every so-manieth hash.
pub(super) struct Permutations {
    k: usize,
    multipliers: Arc<[u32]>,
    simd: Simd,
    extremes: Box<[Extremes]>,
}

/// Of one multiplier.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Extremes {
    least: Lanes,
    greatest: Lanes,
}

/// What is worked on at a time: one vector of AVX-512, two of AVX2.
type Lanes = [u32; LANES];
const LANES: usize = 16;

const NONE: Extremes = Extremes { least: [u32::MAX; LANES], greatest: [0; LANES] };

impl Permutations {
    pub(super) fn new(k: usize, multipliers: Arc<[u32]>) -> Permutations {
        let extremes = vec![NONE; multipliers.len()].into();
        Permutations { k, multipliers, simd: Simd::best(), extremes }
    }

    /// How many there are: one for every two places.
    pub(super) fn multipliers(&self) -> usize {
        self.multipliers.len()
    }

    pub(super) fn clear(&mut self) {
        self.extremes.fill(NONE);
    }

    pub(super) fn add(&mut self, hashes: &[u32]) {
        let (lanes, rest) = hashes.as_chunks::<LANES>();
        add(self.simd, lanes, &self.multipliers, &mut self.extremes);
        if let Some(&first) = rest.first() {
            // A hash that comes twice changes nothing.
            let mut lanes = [first; LANES];
            lanes[..rest.len()].copy_from_slice(rest);
            add(self.simd, &[lanes], &self.multipliers, &mut self.extremes);
        }
    }

    /// Takes in extremes of some multipliers, from the `first` on, that were found elsewhere.
    pub(super) fn add_extremes(&mut self, first: usize, least: &[u32], greatest: &[u32]) {
        for ((of, &least), &greatest) in self.extremes[first..].iter_mut().zip(least).zip(greatest) {
            of.least[0] = of.least[0].min(least);
            of.greatest[0] = of.greatest[0].max(greatest);
        }
    }

    pub(super) fn join(&mut self, next: &Permutations) {
        for (ours, theirs) in self.extremes.iter_mut().zip(&next.extremes) {
            for lane in 0..LANES {
                ours.least[lane] = ours.least[lane].min(theirs.least[lane]);
                ours.greatest[lane] = ours.greatest[lane].max(theirs.greatest[lane]);
            }
        }
    }

    pub(super) fn finish(&self) -> Box<[u32]> {
        let least = self.extremes.iter().map(|of| of.least.iter().fold(u32::MAX, |a, &b| a.min(b)));
        let greatest = self.extremes.iter().map(|of| of.greatest.iter().fold(0, |a, &b| a.max(b)));
        least.chain(greatest.map(|greatest| u32::MAX - greatest)).take(self.k).collect()
    }
}

/// Takes in hashes.
fn add_by_lanes(hashes: &[Lanes], multipliers: &[u32], extremes: &mut [Extremes]) {
    for (&multiplier, of) in multipliers.iter().zip(extremes) {
        for hashes in hashes {
            for (lane, hash) in hashes.iter().enumerate() {
                let product = hash.wrapping_mul(multiplier);
                of.least[lane] = of.least[lane].min(product);
                of.greatest[lane] = of.greatest[lane].max(product);
            }
        }
    }
}

/// `PERMUTATIONS` multipliers at a time: they, their extremes and the hashes at hand fill the registers, so that a product costs
/// three instructions and nothing is stored in between. Left to the compiler, the extremes went through memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[expect(unsafe_code, reason = "vectors are loaded and stored by address")]
fn add_avx512(hashes: &[Lanes], multipliers: &[u32], extremes: &mut [Extremes]) {
    const PERMUTATIONS: usize = 8;
    let (many, rest) = multipliers.as_chunks::<PERMUTATIONS>();
    let (many_extremes, rest_extremes) = extremes.as_chunks_mut::<PERMUTATIONS>();
    for (multipliers, extremes) in many.iter().zip(many_extremes) {
        add_avx512_some(hashes, multipliers, extremes);
    }
    for (multiplier, extremes) in rest.iter().zip(rest_extremes) {
        add_avx512_some(hashes, &[*multiplier], std::array::from_mut(extremes));
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add_avx512_some<const N: usize>(
        hashes: &[Lanes],
        multipliers: &[u32; N],
        extremes: &mut [Extremes; N],
    ) {
        // SAFETY: each load and store is of one `Lanes`, 64 bytes that are there and aligned to their type.
        let load = |lanes: &Lanes| unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
        // SAFETY: as above.
        let store =
            |lanes: &mut Lanes, of: __m512i| unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), of) };
        let multipliers = multipliers.map(|multiplier| _mm512_set1_epi32(multiplier.cast_signed()));
        let mut least: [__m512i; N] = std::array::from_fn(|i| load(&extremes[i].least));
        let mut greatest: [__m512i; N] = std::array::from_fn(|i| load(&extremes[i].greatest));
        for hashes in hashes {
            let hashes = load(hashes);
            for i in 0..N {
                let products = _mm512_mullo_epi32(hashes, multipliers[i]);
                least[i] = _mm512_min_epu32(least[i], products);
                greatest[i] = _mm512_max_epu32(greatest[i], products);
            }
        }
        for i in 0..N {
            store(&mut extremes[i].least, least[i]);
            store(&mut extremes[i].greatest, greatest[i]);
        }
    }
}

/// The same with half the registers, of half the width.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[expect(unsafe_code, reason = "vectors are loaded and stored by address")]
fn add_avx2(hashes: &[Lanes], multipliers: &[u32], extremes: &mut [Extremes]) {
    const PERMUTATIONS: usize = 4;
    let (many, rest) = multipliers.as_chunks::<PERMUTATIONS>();
    let (many_extremes, rest_extremes) = extremes.as_chunks_mut::<PERMUTATIONS>();
    for half in 0..2 {
        for (multipliers, extremes) in many.iter().zip(&mut *many_extremes) {
            add_avx2_some(hashes, half, multipliers, extremes);
        }
        for (multiplier, extremes) in rest.iter().zip(&mut *rest_extremes) {
            add_avx2_some(hashes, half, &[*multiplier], std::array::from_mut(extremes));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn add_avx2_some<const N: usize>(
        hashes: &[Lanes],
        half: usize,
        multipliers: &[u32; N],
        extremes: &mut [Extremes; N],
    ) {
        let of = |lanes: &Lanes| lanes.as_chunks::<8>().0[half];
        // SAFETY: each load is of an array of 32 bytes, and each store to one.
        let load = |lanes: &Lanes| unsafe { _mm256_loadu_si256(of(lanes).as_ptr().cast()) };
        let store = |lanes: &mut Lanes, vector: __m256i| {
            let half = &mut lanes.as_chunks_mut::<8>().0[half];
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), vector) };
        };
        let multipliers = multipliers.map(|multiplier| _mm256_set1_epi32(multiplier.cast_signed()));
        let mut least: [__m256i; N] = std::array::from_fn(|i| load(&extremes[i].least));
        let mut greatest: [__m256i; N] = std::array::from_fn(|i| load(&extremes[i].greatest));
        for hashes in hashes {
            let hashes = load(hashes);
            for i in 0..N {
                let products = _mm256_mullo_epi32(hashes, multipliers[i]);
                least[i] = _mm256_min_epu32(least[i], products);
                greatest[i] = _mm256_max_epu32(greatest[i], products);
            }
        }
        for i in 0..N {
            store(&mut extremes[i].least, least[i]);
            store(&mut extremes[i].greatest, greatest[i]);
        }
    }
}

/// The same, faster where the processor allows.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
fn add(simd: Simd, hashes: &[Lanes], multipliers: &[u32], extremes: &mut [Extremes]) {
    match simd.level() {
        Level::Lanes => add_by_lanes(hashes, multipliers, extremes),
        // SAFETY: A `Simd` is of a level that this processor was found to have; otherwise the worst case is an illegal
        // instruction.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { add_avx2(hashes, multipliers, extremes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { add_avx512(hashes, multipliers, extremes) },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{mix, multiplier};
    use super::*;

    #[test]
    fn every_form_agrees_with_the_definition() {
        for permutations in [1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 512] {
            let multipliers: Arc<[u32]> = (0..permutations).map(multiplier).collect();
            for count in [1, 2, 15, 16, 17, 31, 32, 33, 1000, 1024] {
                let hashes: Vec<u32> = (0..count).map(mix).collect();
                let plain = |end: usize| -> Vec<u32> {
                    let products = |a: u32| hashes.iter().map(move |h| h.wrapping_mul(a));
                    let least = multipliers.iter().map(|&a| products(a).min().expect("one at least"));
                    let greatest = multipliers.iter().map(|&a| products(a).max().expect("one at least"));
                    least.chain(greatest.map(|product| !product)).take(end).collect()
                };
                for simd in Simd::available() {
                    for k in [2 * permutations, 2 * permutations - 1] {
                        let mut sketch =
                            Permutations { simd, ..Permutations::new(k, Arc::clone(&multipliers)) };
                        sketch.clear();
                        let (left, right) = hashes.split_at(hashes.len() / 3);
                        sketch.add(left);
                        sketch.add(right);
                        assert_eq!(*sketch.finish(), plain(k)[..], "{simd:?} {permutations} {count}");
                    }
                }
            }
        }
    }
}
