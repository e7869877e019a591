//! How many places two sketches have in common, for one pair, for a tile of pairs, and for all pairs there are.
//!
//! Most pairs have little in common, so a tile first compares one byte of each number, for 256 pairs at a time, and only as
//! many places as it takes to know that a pair misses too many. Equal numbers have equal bytes: what is left out can have no
//! more places in common than its bytes have. The few pairs that remain are compared by their numbers.

use std::io;
use std::ops::Range;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::components::Components;
use super::sketches::Sketches;
use crate::analyses::K_MAX;
use crate::control::Control;
use crate::simd::{Level, Simd};

/// Sketches that are to be compared, each on the left with each on the right.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a> {
    /// Rows of `k` numbers, one after the other.
    pub left: &'a [u32],
    /// The same.
    pub right: &'a [u32],
    /// Numbers of a row, from 1 to 1024.
    pub k: usize,
    /// Left and right are the same rows: each pair is wanted once, and no row with itself.
    pub is_diagonal: bool,
    /// Numbers of the first rows, by which rows that were seen before are known again.
    pub first_rows: (u32, u32),
}

/// A pair that has enough in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which row on the left, counted from 0.
    pub left: u32,
    /// Which row on the right.
    pub right: u32,
    /// Equal places.
    pub matches: u32,
}

/// What compares tiles beside the processor.
#[derive(Clone, Copy)]
pub struct Comparer<'f> {
    /// Rows on a side of the tiles that it is given, but for the last ones.
    pub rows: usize,
    /// What compares one.
    pub compare: &'f CompareTile<'f>,
}

/// Compares a tile as [`compare_tile`] does, on another device: leaves in the list every pair with at least so many equal places, by
/// left and then by right, and nothing of what was there. Where it cannot, for whatever reason, it says `false`, and the
/// processor does it.
pub type CompareTile<'f> = dyn Fn(&Tile<'_>, u32, &mut Vec<Hit>) -> bool + Sync + 'f;

/// Rows on a side of a tile. At 128 numbers a row both sides are half a MiB, which a core's second cache holds. Measured at
/// 128 numbers and a threshold of 0.8 (ops/pairs.md): 3.9 thousand million pairs a second with 256 rows, 4.2 with 512, 4.4 with
/// 1024, which are the slowest where sketches have more in common.
pub(super) const TILE_ROWS: usize = 512;

/// The number of places at which two sketches have the same number.
///
/// # Panics
/// Where one is longer than the other.
pub fn matches(a: &[u32], b: &[u32]) -> u32 {
    matches_with(Simd::best(), a, b)
}

/// Finds the pairs of a tile that have at least `matches_min` equal places, by left and then by right.
pub fn compare_tile(tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
    compare_with(Simd::best(), tile, matches_min, hits);
}

/// What all pairs with at least `matches_min` equal places connect. None is missed; the answer depends neither on threads nor on
/// whether there is a `device`.
///
/// Where it is cancelled, what was found by then. Memory grows by 4 bytes a row.
pub fn components_of_all(
    sketches: &Sketches,
    matches_min: u32,
    device: Option<Comparer<'_>>,
    control: &Control,
) -> io::Result<Components> {
    let components = Components::new(sketches.rows());
    let side = device.map_or(TILE_ROWS, |device| device.rows);
    let tiles = sketches.len().div_ceil(side);
    let rows = |tile| tile_rows(sketches, tile, side);
    let compare = |tile: &Tile<'_>, hits: &mut Vec<Hit>| {
        compare_and_join(tile, matches_min, device, &components, control, hits);
    };
    let k = sketches.k();
    let begin = || (sketches.reader(), Vec::new());
    // The tiles on the diagonal come first: where they show that rows are all alike, few others have to be compared.
    (0..tiles).into_par_iter().try_for_each_init(begin, |(reader, hits), tile| -> io::Result<()> {
        if !control.is_cancelled() {
            let rows = rows(tile);
            let numbers = reader.rows(rows.clone())?;
            let first_rows = (rows.start, rows.start);
            compare(&Tile { left: numbers, right: numbers, k, is_diagonal: true, first_rows }, hits);
        }
        Ok(())
    })?;
    let mut left_reader = sketches.reader();
    for tile in 0..tiles {
        if control.is_cancelled() {
            break;
        }
        let left_rows = rows(tile);
        let left = left_reader.rows(left_rows.clone())?;
        (tile + 1..tiles).into_par_iter().try_for_each_init(
            begin,
            |(reader, hits), tile| -> io::Result<()> {
                let rows = rows(tile);
                let mut all = left_rows.clone().chain(rows.clone());
                if control.is_cancelled() || all.all(|row| components.are_joined(left_rows.start, row)) {
                    return Ok(());
                }
                let right = reader.rows(rows.clone())?;
                let first_rows = (left_rows.start, rows.start);
                compare(&Tile { left, right, k, is_diagonal: false, first_rows }, hits);
                Ok(())
            },
        )?;
    }
    Ok(components)
}

/// Compares a tile and joins what it finds: on the device, or else in pieces that suit the processor, of which those are left out
/// that are joined already.
fn compare_and_join(
    tile: &Tile<'_>,
    matches_min: u32,
    device: Option<Comparer<'_>>,
    components: &Components,
    control: &Control,
    hits: &mut Vec<Hit>,
) {
    let join = |hits: &[Hit], (left, right): (u32, u32)| {
        for hit in hits {
            components.join(left + hit.left, right + hit.right);
        }
    };
    if device.is_some_and(|device| (device.compare)(tile, matches_min, hits)) {
        return join(hits, tile.first_rows);
    }
    let row = |row: usize| u32::try_from(row).expect("a row of a tile");
    for (i, left) in tile.left.chunks(TILE_ROWS * tile.k).enumerate() {
        for (j, right) in tile.right.chunks(TILE_ROWS * tile.k).enumerate() {
            if control.is_cancelled() || (tile.is_diagonal && j < i) {
                continue;
            }
            let first_rows = (tile.first_rows.0 + row(i * TILE_ROWS), tile.first_rows.1 + row(j * TILE_ROWS));
            let is_diagonal = tile.is_diagonal && i == j;
            let rows = |first: u32, numbers: &[u32]| first..first + row(numbers.len() / tile.k);
            let mut all = rows(first_rows.0, left).chain(rows(first_rows.1, right));
            if all.all(|row| components.are_joined(first_rows.0, row)) {
                continue;
            }
            let piece = Tile { left, right, k: tile.k, is_diagonal, first_rows };
            compare_tile(&piece, matches_min, hits);
            join(hits, first_rows);
        }
    }
}

fn tile_rows(sketches: &Sketches, tile: usize, side: usize) -> Range<u32> {
    let row = |row: usize| u32::try_from(row.min(sketches.len())).expect("as many as rows");
    row(tile * side)..row((tile + 1) * side)
}

/// Equal places by lanes, written for the compiler as in `analyses::words`. A step of 64 numbers at once: with 16 the compiler
/// gathers numbers across steps instead, and is ten times slower.
#[inline(always)]
fn matches_by_lanes(a: &[u32], b: &[u32]) -> u32 {
    const LANES: usize = 64;
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut matches = 0;
    for (a, b) in a.iter().zip(b) {
        let mut equal = 0;
        for lane in 0..LANES {
            equal += u32::from(a[lane] == b[lane]);
        }
        matches += equal;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        matches += u32::from(a == b);
    }
    matches
}

/// Rows on the right that are compared with one on the left at a time: the lanes. With 128 of them it is a third slower.
const STRIP_ROWS: usize = 256;

/// Places that are compared before it is looked again whether a pair may still be near. With 16, 32 and 64, measured as above
/// on sketches that have 0.3 in common: at a threshold of 0.8, 1.5, 2.2 and 1.5 thousand million pairs a second; at 0.5, 0.8,
/// 0.8 and 1.2.
const STEP_PLACES: usize = 32;

/// Pairs of a strip that are compared by their numbers rather than by the bytes that are left. With 4, 16 and 64, measured as
/// above at 0.5: 950, 820 and 680 million pairs a second.
const FEW: u16 = 4;

/// Misses of a lane that is no pair: more than there are places, and far from the end of the numbers of 16 bits.
const NO_PAIR: u16 = 1 << 15;

/// One byte a number, which depends on all of its bits (the multiplier is 2^32 over the golden ratio: Knuth, The Art of
/// Computer Programming, 6.4): whatever the numbers are, few that differ have the same.
#[inline(always)]
fn shorten(number: u32) -> u8 {
    number.wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

/// Rows on the right, place by place.
struct Strip<'a> {
    /// Their numbers.
    rows: &'a [u32],
    /// Their bytes by place, of the places before `filled`.
    places: Vec<[u8; STRIP_ROWS]>,
    filled: usize,
}

/// What pairs are compared by.
#[derive(Clone, Copy)]
struct Bounds {
    k: usize,
    matches_min: u32,
    /// Places at which a pair may differ.
    misses_max: u16,
    /// Places to compare before it is first looked at.
    first_places: usize,
}

impl Bounds {
    /// `None` where no pair can have so many equal places.
    fn new(k: usize, matches_min: u32) -> Option<Bounds> {
        let misses_max = u16::try_from(k.checked_sub(matches_min as usize)?).ok()?;
        let allowed = usize::from(misses_max);
        // A pair that misses everywhere is known one place after those that are allowed; a sixteenth more for what pairs have
        // in common by chance.
        let first_places = (allowed + 2 + allowed / 16).next_multiple_of(8).min(k);
        Some(Bounds { k, matches_min, misses_max, first_places })
    }
}

/// The pairs that may reach the threshold by their bytes, 256 pairs at a time.
#[inline(always)]
fn compare_by_lanes(tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
    let Some(bounds) = Bounds::new(tile.k, matches_min) else { return };
    let strips = tile.right.chunks(STRIP_ROWS * tile.k);
    let mut strips: Vec<_> =
        strips.map(|rows| Strip { rows, places: vec![[0; STRIP_ROWS]; tile.k], filled: 0 }).collect();
    let mut bytes = [0; K_MAX];
    for (i, left) in tile.left.chunks_exact(tile.k).enumerate() {
        for (byte, &number) in bytes.iter_mut().zip(left) {
            *byte = shorten(number);
        }
        for (number, strip) in strips.iter_mut().enumerate() {
            let first_row = number * STRIP_ROWS;
            let left_out = if tile.is_diagonal { (i + 1).saturating_sub(first_row) } else { 0 };
            if left_out < strip.rows.len() / tile.k {
                strip.compare(left, &bytes, left_out, bounds, |right, matches| {
                    let row = |row: usize| u32::try_from(row).expect("a row of a tile");
                    hits.push(Hit { left: row(i), right: row(first_row + right), matches });
                });
            }
        }
    }
}

impl Strip<'_> {
    /// Tells each row from `left_out` on that has enough in common with `left`, whose bytes are `bytes`.
    #[inline(always)]
    fn compare(
        &mut self,
        left: &[u32],
        bytes: &[u8; K_MAX],
        left_out: usize,
        bounds: Bounds,
        mut hit: impl FnMut(usize, u32),
    ) {
        let k = bounds.k;
        let mut misses = [0; STRIP_ROWS];
        misses[..left_out].fill(NO_PAIR);
        misses[self.rows.len() / k..].fill(NO_PAIR);
        let mut places = 0..bounds.first_places;
        loop {
            self.fill(places.end, k);
            for step in places.clone().step_by(STEP_PLACES) {
                let step = step..(step + STEP_PLACES).min(places.end);
                count_misses(&bytes[step.clone()], &self.places[step], &mut misses);
            }
            let mut near = 0;
            for lane in misses {
                near += u16::from(lane <= bounds.misses_max);
            }
            if near == 0 {
                return;
            }
            if near <= FEW || places.end == k {
                break;
            }
            places = places.end..(places.end + STEP_PLACES).min(k);
        }
        for (row, right) in self.rows.chunks_exact(k).enumerate() {
            if misses[row] <= bounds.misses_max {
                let matches = matches_by_lanes(left, right);
                if matches >= bounds.matches_min {
                    hit(row, matches);
                }
            }
        }
    }

    /// Makes the bytes of the places before `end`.
    #[inline(always)]
    fn fill(&mut self, end: usize, k: usize) {
        if self.filled < end {
            for (lane, row) in self.rows.chunks_exact(k).enumerate() {
                for (bytes, &number) in self.places[self.filled..end].iter_mut().zip(&row[self.filled..end]) {
                    bytes[lane] = shorten(number);
                }
            }
            self.filled = end;
        }
    }
}

/// Adds to the misses of each lane those of at most 255 places.
#[inline(always)]
fn count_misses(left: &[u8], right: &[[u8; STRIP_ROWS]], misses: &mut [u16; STRIP_ROWS]) {
    let mut lanes = [0_u8; STRIP_ROWS];
    for (&left, right) in left.iter().zip(right) {
        for lane in 0..STRIP_ROWS {
            lanes[lane] += u8::from(left != right[lane]);
        }
    }
    for lane in 0..STRIP_ROWS {
        misses[lane] += u16::from(lanes[lane]);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn matches_avx2(a: &[u32], b: &[u32]) -> u32 {
    matches_by_lanes(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn matches_avx512(a: &[u32], b: &[u32]) -> u32 {
    matches_by_lanes(a, b)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn compare_avx2(tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
    compare_by_lanes(tile, matches_min, hits);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn compare_avx512(tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
    compare_by_lanes(tile, matches_min, hits);
}

/// As [`matches()`], with these vectors.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
pub(super) fn matches_with(simd: Simd, a: &[u32], b: &[u32]) -> u32 {
    assert_eq!(a.len(), b.len(), "sketches of two lengths");
    match simd.level() {
        Level::Lanes => matches_by_lanes(a, b),
        // SAFETY: A `Simd` is of a level that this processor was found to have; otherwise the worst case is an illegal
        // instruction. The body is safe code.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { matches_avx2(a, b) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { matches_avx512(a, b) },
    }
}

/// As [`compare_tile`], with these vectors.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
pub(super) fn compare_with(simd: Simd, tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
    assert!((1..=K_MAX).contains(&tile.k), "{} numbers a sketch", tile.k);
    hits.clear();
    match simd.level() {
        Level::Lanes => compare_by_lanes(tile, matches_min, hits),
        // SAFETY: as in `matches_with`.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { compare_avx2(tile, matches_min, hits) },
        // SAFETY: as in `matches_with`.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { compare_avx512(tile, matches_min, hits) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use proptest::prelude::*;

    use super::super::made_up::{
        by_brute_force, changed, equal_places, families, groups, kept, shuffle, unlike, with_threads,
    };
    use super::*;

    const LENGTHS: [usize; 14] = [1, 2, 3, 15, 16, 17, 63, 64, 65, 127, 128, 129, 256, 1024];

    /// Every pair by the definition.
    fn compare_plain(tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) {
        for (i, left) in (0..).zip(tile.left.chunks_exact(tile.k)) {
            for (j, right) in (0..).zip(tile.right.chunks_exact(tile.k)) {
                let matches: u32 = (0..tile.k).map(|place| u32::from(left[place] == right[place])).sum();
                if matches >= matches_min && (!tile.is_diagonal || i < j) {
                    hits.push(Hit { left: i, right: j, matches });
                }
            }
        }
    }

    /// Every form against the definition.
    #[track_caller]
    fn check_tile(tile: &Tile<'_>, matches_min: u32) {
        let mut expected = Vec::new();
        compare_plain(tile, matches_min, &mut expected);
        for simd in Simd::available() {
            // What was there is not to stay.
            let mut hits = vec![Hit { left: 7, right: 7, matches: 7 }];
            compare_with(simd, tile, matches_min, &mut hits);
            assert_eq!(hits, expected, "{simd:?}, {} numbers, at least {matches_min}", tile.k);
        }
    }

    #[test]
    fn equal_places_are_counted_at_every_length() {
        let mut state = 1;
        for k in LENGTHS {
            let one = unlike(k, &mut state);
            for differing in [0, 1, k / 2, k - 1, k] {
                let other = changed(&one, differing, &mut state);
                let expected = u32::try_from(k - differing).expect("few");
                for simd in Simd::available() {
                    assert_eq!(matches_with(simd, &one, &other), expected, "{simd:?}, {k} numbers");
                }
                assert_eq!(matches(&one, &other), expected);
            }
        }
        assert_eq!(matches(&[], &[]), 0);
    }

    #[test]
    fn tiles_of_every_length_and_threshold() {
        for k in LENGTHS {
            let rows = families(40, k, k as u64).concat();
            let (left, right) = rows.split_at(15 * k);
            let k_u32 = u32::try_from(k).expect("few");
            for matches_min in [0, 1, k_u32 / 5, k_u32 / 2, k_u32 * 4 / 5, k_u32 - 1, k_u32, k_u32 + 1] {
                check_tile(&Tile { left, right, k, is_diagonal: false, first_rows: (0, 0) }, matches_min);
                check_tile(
                    &Tile { left: &rows, right: &rows, k, is_diagonal: true, first_rows: (0, 0) },
                    matches_min,
                );
            }
        }
    }

    #[test]
    fn tiles_around_the_strips() {
        for rows in [0, 1, 255, 256, 257, 512, 513] {
            let k = 16;
            let rows = families(rows, k, 3).concat();
            check_tile(&Tile { left: &rows, right: &rows, k, is_diagonal: true, first_rows: (0, 0) }, 8);
            check_tile(&Tile { left: &rows, right: &rows, k, is_diagonal: false, first_rows: (0, 0) }, 12);
        }
    }

    /// Numbers whose bytes are equal are not equal for that.
    #[test]
    fn equal_bytes_make_no_match() {
        let k = 128;
        let all: Vec<u32> = (0..1_000_000).filter(|&number| shorten(number) == 9).take(40 * k).collect();
        check_tile(&Tile { left: &all, right: &all, k, is_diagonal: true, first_rows: (0, 0) }, 1);
        check_tile(&Tile { left: &all, right: &all, k, is_diagonal: true, first_rows: (0, 0) }, 103);
    }

    #[test]
    fn all_pairs_are_those_of_comparing_each_with_each() {
        for (rows, k, matches_min) in [
            (0, 16, 8),
            (1, 16, 8),
            (600, 1, 1),
            (1100, 16, 9),
            (600, 128, 103),
            (520, 300, 180),
            (600, 16, 17),
        ] {
            let mut sketches = families(rows, k, k as u64);
            shuffle(&mut sketches, 5);
            let expected = by_brute_force(&sketches, |a, b| equal_places(a, b) >= matches_min as usize);
            for memory in [0, 1 << 30] {
                let sketches = kept(k, memory, &sketches);
                // By the processor, and by devices with larger tiles, of which one does only some.
                let all = |tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>| {
                    compare_tile(tile, matches_min, hits);
                    true
                };
                let some = |tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>| {
                    compare_tile(tile, matches_min, hits);
                    tile.first_rows.1.is_multiple_of(3)
                };
                for (threads, device) in [
                    (1, None),
                    (2, None),
                    (3, None),
                    (2, Some(Comparer { rows: 700, compare: &all })),
                    (2, Some(Comparer { rows: 100, compare: &some })),
                    (2, Some(Comparer { rows: 1025, compare: &some })),
                ] {
                    let found = with_threads(threads, || {
                        components_of_all(&sketches, matches_min, device, &Control::new()).expect("readable")
                    });
                    assert_eq!(groups(&found), expected, "{rows} rows, {threads} threads, {memory} bytes");
                }
            }
        }
    }

    #[test]
    fn tiles_are_not_compared_once_all_is_cancelled() {
        let sketches = kept(16, 1 << 30, &families(5000, 16, 1));
        let (control, tiles) = (Control::new(), AtomicU32::new(0));
        let compare = |_: &Tile<'_>, _: u32, _: &mut Vec<Hit>| {
            tiles.fetch_add(1, Ordering::Relaxed);
            control.cancel();
            true
        };
        let device = Some(Comparer { rows: TILE_ROWS, compare: &compare });
        with_threads(1, || components_of_all(&sketches, 8, device, &control).expect("readable"));
        assert_eq!(tiles.into_inner(), 1);
    }

    /// Rows that are all alike need the tiles on the diagonal and those of the first rows.
    #[test]
    fn tiles_that_are_connected_are_left_out() {
        let sketches = kept(16, 1 << 30, &vec![vec![3; 16]; 8 * TILE_ROWS]);
        let tiles = AtomicU32::new(0);
        let compare = |tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>| {
            tiles.fetch_add(1, Ordering::Relaxed);
            compare_tile(tile, matches_min, hits);
            true
        };
        let device = Some(Comparer { rows: TILE_ROWS, compare: &compare });
        let found = components_of_all(&sketches, 8, device, &Control::new()).expect("readable");
        assert_eq!(found.groups().iter().next().map(<[u32]>::len), Some(8 * TILE_ROWS));
        assert_eq!(tiles.into_inner(), 15);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]

        #[test]
        fn every_form_agrees_with_the_definition(
            k in 1_usize..40, numbers in proptest::collection::vec(0_u32..3, 0..3000), matches_min in 0_u32..40,
        ) {
            let rows = &numbers[..numbers.len() / k * k];
            check_tile(&Tile { left: rows, right: rows, k, is_diagonal: true, first_rows: (0, 0) }, matches_min);
            let (left, right) = rows.split_at(rows.len() / k / 3 * k);
            check_tile(&Tile { left, right, k, is_diagonal: false, first_rows: (0, 0) }, matches_min);
        }
    }
}
