//! Near duplicates without comparing each with each: only sketches that agree in all numbers of some band are compared.
//!
//! Banded locality-sensitive hashing (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4). Band by band, a
//! table of the hash of the band's numbers and the row is sorted, and rows with the same hash are compared by their whole
//! sketches, but for those that are connected already.

use std::io;
use std::ops::Range;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator,
    ParallelIterator,
};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::components::Components;
use super::pairs::{Hit, TILE_ROWS, Tile, compare_with, matches_with};
use super::sketches::{Reader, Sketches};
use crate::control::Control;
use crate::simd::Simd;

/// The least probability with which a pair at the threshold must be found, so that one in two hundred is missed at most. What
/// is more alike is missed far more seldom.
const FOUND_MIN: f64 = 0.995;

/// How sketches are cut into bands. Places beyond `bands * rows` make no candidates, but count when these are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Banding {
    /// How many bands there are.
    pub bands: usize,
    /// Numbers of a band.
    pub rows: usize,
}

impl Banding {
    /// The most rows a band, and so the fewest that are compared for nothing, with which a pair whose similarity is `threshold`
    /// (0 to 1) is found with a probability of at least 0.995; one row where that cannot be reached.
    ///
    /// # Panics
    /// Where `k`, the numbers of a sketch, is 0.
    pub fn choose(threshold: f64, k: usize) -> Banding {
        assert!(k > 0, "a sketch has at least one number");
        let of = |rows: usize| Banding { bands: k / rows, rows };
        let found = (1..=k).rev().map(of).find(|banding| banding.probability(threshold) >= FOUND_MIN);
        found.unwrap_or(of(1))
    }

    /// The probability that a pair of this similarity (0 to 1) agrees in some band, where places agree independently of each
    /// other: `1 - (1 - s^r)^b`.
    pub fn probability(&self, similarity: f64) -> f64 {
        let in_one = similarity.clamp(0.0, 1.0).powf(self.rows as f64);
        // As it is written above, but exact where bands are many and what they find is little.
        -((-in_one).ln_1p() * self.bands as f64).exp_m1()
    }
}

/// What [`components`] found, and how.
#[derive(Debug)]
pub struct Banded {
    /// What is connected.
    pub components: Components,
    /// How often all sketches were read to find candidates, the first time for those that are the same.
    pub passes: u64,
}

/// What the pairs connect that agree in all numbers of some band and have at least `matches_min` equal places.
///
/// The answer does not depend on threads, on memory, or, but for the numbers of rows, on the order of sketches. Where it is
/// cancelled, what was found by then.
///
/// The table of a band takes 9 bytes a row. As many bands as `memory_bytes_max` has room for, up to eight, are made from one
/// reading of the sketches. Where there is no room for one, the band is worked through in several passes, each with the keys
/// of one share of the key space, and each reads the sketches again. Rows of the same key cannot be shared out: if more of
/// them have one key than fit, they take 8 to 16 bytes each all the same. Beside the tables, a little more than 4 bytes a row.
///
/// # Panics
/// Where the bands do not fit in the sketches, or have no rows.
pub fn components(
    sketches: &Sketches,
    banding: Banding,
    matches_min: u32,
    memory_bytes_max: u64,
    control: &Control,
) -> io::Result<Banded> {
    let fits = banding.rows > 0 && banding.bands * banding.rows <= sketches.k();
    assert!(fits, "{banding:?} of {} numbers", sketches.k());
    let components = Components::new(sketches.rows());
    if matches_min as usize > sketches.k() {
        return Ok(Banded { components, passes: 0 });
    }
    let search = Search { sketches, components: &components, matches_min, simd: Simd::best(), control };
    // Sketches that are the same: each band would have to sort all of them again. One of them stands for all from here on.
    let whole = 0..sketches.k();
    let passes_for_copies = search.bands(&[whole], &Copies::none(), memory_bytes_max)?;
    let copies = Copies::of(&components);
    let bands = (0..banding.bands).map(|band| band * banding.rows..(band + 1) * banding.rows);
    let passes = search.bands(&bands.collect::<Vec<_>>(), &copies, memory_bytes_max)?;
    Ok(Banded { components, passes: passes_for_copies + passes })
}

/// Rows whose sketch is that of an earlier row, a bit a row.
struct Copies(Vec<u64>);

impl Copies {
    fn none() -> Copies {
        Copies(Vec::new())
    }

    /// Rows that are connected with an earlier one by now.
    fn of(components: &Components) -> Copies {
        let mut bits = vec![0; components.len().div_ceil(64)];
        for row in (0..).take(components.len()) {
            if components.root(row) != row {
                bits[row as usize / 64] |= 1 << (row % 64);
            }
        }
        Copies(bits)
    }

    fn contains(&self, row: u32) -> bool {
        self.0.get(row as usize / 64).is_some_and(|bits| bits >> (row % 64) & 1 == 1)
    }
}

/// Bytes of the table for a row: 8, and an eighth for parts that come out larger than others.
const ENTRY_BYTES: u64 = 9;

/// Bands that are made from one reading: what the blocks of all threads make of them lies beside the tables, 32 KiB a band.
const TOGETHER_MAX: usize = 8;

/// Rows that a thread takes at a time while a table is filled: what it makes of them is in memory beside the table.
const BLOCK_ROWS: usize = 4096;

/// Entries of a part of a table, about: it is sorted in a core's second cache, and soon enough for a run that is cancelled.
const PART_ENTRIES: u64 = 1 << 14;

/// More parts would make runs of the entries of a block that are too short.
const PARTS_MAX: u64 = 1024;

/// Rows with the same key that are compared on the spot; more are compared in tiles, by all threads.
const SMALL: usize = 32;

/// What the search for pairs is done with.
#[derive(Clone, Copy)]
struct Search<'s> {
    sketches: &'s Sketches,
    components: &'s Components,
    matches_min: u32,
    simd: Simd,
    control: &'s Control,
}

/// A part of the key space, cut into parts of a table.
#[derive(Clone, Copy)]
struct Share {
    number: u64,
    /// How many there are.
    of: u64,
    parts: u64,
}

impl Share {
    /// The part of the table for a key, if the share has it. In ascending order of keys.
    fn part(&self, key: u32) -> Option<usize> {
        let scaled = u64::from(key) * self.of;
        let part = ((scaled & u64::from(u32::MAX)) * self.parts) >> 32;
        (scaled >> 32 == self.number).then(|| usize::try_from(part).expect("few parts"))
    }
}

/// The entries of a table: the key above, the row below, so that they sort by key and then by row.
type Part = Vec<u64>;

fn key(entry: u64) -> u32 {
    u32::try_from(entry >> 32).expect("the upper half")
}

fn row(entry: u64) -> u32 {
    u32::try_from(entry & u64::from(u32::MAX)).expect("the lower half")
}

/// The hash of a band. A collision costs a comparison, and no more, so 32 bits do: of a thousand million rows, one in four
/// would meet another one by chance.
fn hash(numbers: &[u32]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, &number: &u32| {
        let state = (state ^ u64::from(number)).wrapping_mul(ODD);
        state ^ state >> 29
    };
    let state = numbers.iter().fold(ODD, mix).wrapping_mul(ODD);
    u32::try_from(state >> 32).expect("the upper half")
}

impl Search<'_> {
    /// Joins what agrees in some band, and tells how often all sketches were read for that.
    fn bands(&self, bands: &[Range<usize>], copies: &Copies, memory_bytes_max: u64) -> io::Result<u64> {
        let rows = self.sketches.len() as u64;
        let table_bytes = (rows * ENTRY_BYTES).max(1);
        let together = usize::try_from(memory_bytes_max / table_bytes).unwrap_or(usize::MAX);
        let of = table_bytes.div_ceil(memory_bytes_max.max(1)).clamp(1, rows.max(1));
        let parts = rows.div_ceil(of * PART_ENTRIES).clamp(1, PARTS_MAX);
        let mut passes = 0;
        for bands in bands.chunks(together.clamp(1, TOGETHER_MAX)) {
            for number in 0..of {
                if self.control.is_cancelled() {
                    return Ok(passes);
                }
                let tables = self.tables(bands, copies, Share { number, of, parts })?;
                for (table, places) in tables.into_iter().zip(bands) {
                    self.join_table(table, places)?;
                }
                passes += 1;
            }
        }
        Ok(passes)
    }

    /// Of each band the keys of a share and their rows.
    fn tables(&self, bands: &[Range<usize>], copies: &Copies, share: Share) -> io::Result<Vec<Vec<Part>>> {
        let rows = self.sketches.len();
        let expected = rows as f64 / (share.of * share.parts) as f64;
        // Keys are random: six standard deviations are hardly ever passed but by equal ones.
        let capacity = (expected + 6.0 * expected.sqrt()).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most a few thousand more than there are rows"
        )]
        let capacity = (capacity as usize).min(rows);
        let empty = || (0..share.parts).map(|_| Vec::with_capacity(capacity)).collect();
        let mut tables: Vec<Vec<Part>> = bands.iter().map(|_| empty()).collect();
        let blocks: Vec<_> =
            (0..rows).step_by(BLOCK_ROWS).map(|row| row..(row + BLOCK_ROWS).min(rows)).collect();
        let part = |entry: u64| share.part(key(entry)).expect("what is not in the share was left out");
        // Two blocks a thread, then what they hold goes to the tables, in order.
        for blocks in blocks.chunks(2 * rayon::current_num_threads()) {
            let entries = |block: &Range<usize>| self.entries(block, bands, copies, share);
            let sorted: Vec<Vec<Part>> = blocks.par_iter().map(entries).collect::<io::Result<_>>()?;
            tables.par_iter_mut().enumerate().for_each(|(band, table)| {
                let pieces =
                    sorted.iter().flat_map(|block| block[band].chunk_by(|a, b| part(*a) == part(*b)));
                for piece in pieces {
                    table[part(piece[0])].extend_from_slice(piece);
                }
            });
            if self.control.is_cancelled() {
                break;
            }
        }
        Ok(tables)
    }

    /// What a block of rows has in a share, band by band and in order.
    fn entries(
        &self,
        block: &Range<usize>,
        bands: &[Range<usize>],
        copies: &Copies,
        share: Share,
    ) -> io::Result<Vec<Part>> {
        let mut reader = self.sketches.reader();
        let mut entries = vec![Part::new(); bands.len()];
        for row in block.clone() {
            let row = u32::try_from(row).expect("as many as rows");
            if row % 256 == 0 && self.control.is_cancelled() {
                break;
            }
            if copies.contains(row) {
                continue;
            }
            let sketch = reader.row(row)?;
            for (entries, places) in entries.iter_mut().zip(bands) {
                let key = hash(&sketch[places.clone()]);
                if share.part(key).is_some() {
                    entries.push(u64::from(key) << 32 | u64::from(row));
                }
            }
        }
        entries.iter_mut().for_each(|entries| entries.sort_unstable());
        Ok(entries)
    }

    /// Joins what has the same key in a table.
    fn join_table(&self, table: Vec<Part>, places: &Range<usize>) -> io::Result<()> {
        let begin = || (self.sketches.reader(), Vec::new());
        table.into_par_iter().try_for_each_init(begin, |(reader, numbers), mut part| {
            if self.control.is_cancelled() {
                return Ok(());
            }
            part.sort_unstable();
            let buckets = part.chunk_by(|a, b| key(*a) == key(*b));
            for bucket in buckets.filter(|bucket| bucket.len() > 1) {
                if self.control.is_cancelled() {
                    break;
                }
                match bucket.len() <= SMALL {
                    true => self.join_few(bucket, places, reader, numbers)?,
                    false => self.join_many(bucket, places)?,
                }
            }
            Ok(())
        })
    }

    /// Whether a pair is one of those that are looked for: hashes may agree where numbers do not.
    fn is_pair(&self, a: &[u32], b: &[u32], places: &Range<usize>) -> bool {
        a[places.clone()] == b[places.clone()] && matches_with(self.simd, a, b) >= self.matches_min
    }

    /// Joins few rows of one key.
    fn join_few(
        &self,
        bucket: &[u64],
        places: &Range<usize>,
        reader: &mut Reader<'_>,
        numbers: &mut Vec<u32>,
    ) -> io::Result<()> {
        let rows = bucket.iter().map(|&entry| row(entry));
        if self.are_all_joined(row(bucket[0]), rows.clone()) {
            return Ok(());
        }
        read(reader, rows.clone(), numbers)?;
        let k = self.sketches.k();
        let sketches = || rows.clone().zip(numbers.chunks_exact(k));
        for (i, (a, sketch_a)) in sketches().enumerate() {
            for (b, sketch_b) in sketches().take(i) {
                if !self.components.are_joined(a, b) && self.is_pair(sketch_a, sketch_b, places) {
                    self.components.join(a, b);
                }
            }
        }
        Ok(())
    }

    /// Joins many rows of one key.
    fn join_many(&self, bucket: &[u64], places: &Range<usize>) -> io::Result<()> {
        let mut rows: Vec<u32> = bucket.iter().map(|&entry| row(entry)).collect();
        let first = rows[0];
        if self.are_all_joined(first, rows.iter().copied()) {
            return Ok(());
        }
        // All with one of them: where they are all alike, that is all there is to do.
        let mut first_reader = self.sketches.reader();
        let first_sketch = first_reader.row(first)?;
        rows.par_chunks(TILE_ROWS).try_for_each_init(
            || self.sketches.reader(),
            |reader, rows| -> io::Result<()> {
                if self.control.is_cancelled() {
                    return Ok(());
                }
                for &row in rows.iter().filter(|&&row| !self.components.are_joined(first, row)) {
                    if self.is_pair(first_sketch, reader.row(row)?, places) {
                        self.components.join(first, row);
                    }
                }
                Ok(())
            },
        )?;
        // What is connected lies together, so that tiles are left out as a whole.
        let mut keyed: Vec<_> = rows.par_iter().map(|&row| (self.components.root(row), row)).collect();
        keyed.par_sort_unstable();
        rows.iter_mut().zip(keyed).for_each(|(place, (_, row))| *place = row);
        let tiles: Vec<_> = rows.chunks(TILE_ROWS).collect();
        let begin = || (self.sketches.reader(), Vec::new(), Vec::new());
        tiles.par_iter().try_for_each_init(begin, |(reader, numbers, hits), rows| {
            if self.is_done(rows, rows) {
                return Ok(());
            }
            read(reader, rows.iter().copied(), numbers)?;
            self.join_tile([rows, rows], [numbers, numbers], places, hits);
            Ok::<_, io::Error>(())
        })?;
        let mut left = Vec::new();
        for (i, left_rows) in tiles.iter().enumerate() {
            if self.control.is_cancelled() {
                break;
            }
            read(&mut first_reader, left_rows.iter().copied(), &mut left)?;
            tiles[i + 1..].par_iter().try_for_each_init(begin, |(reader, numbers, hits), rows| {
                if self.is_done(left_rows, rows) {
                    return Ok(());
                }
                read(reader, rows.iter().copied(), numbers)?;
                self.join_tile([left_rows, rows], [&left, numbers], places, hits);
                Ok::<_, io::Error>(())
            })?;
        }
        Ok(())
    }

    fn join_tile(&self, rows: [&[u32]; 2], numbers: [&[u32]; 2], places: &Range<usize>, hits: &mut Vec<Hit>) {
        let k = self.sketches.k();
        let [left, right] = numbers;
        let is_diagonal = std::ptr::eq(rows[0], rows[1]);
        let tile = Tile { left, right, k, is_diagonal, first_rows: (0, 0) };
        compare_with(self.simd, &tile, self.matches_min, hits);
        for hit in hits {
            let (a, b) = (hit.left as usize, hit.right as usize);
            let band = |row: usize| row * k + places.start..row * k + places.end;
            if left[band(a)] == right[band(b)] {
                self.components.join(rows[0][a], rows[1][b]);
            }
        }
    }

    /// Whether there is nothing to find any more among these rows.
    fn is_done(&self, left: &[u32], right: &[u32]) -> bool {
        let all = left.iter().chain(right).copied();
        self.control.is_cancelled() || self.are_all_joined(left[0], all)
    }

    fn are_all_joined(&self, first: u32, mut rows: impl Iterator<Item = u32>) -> bool {
        rows.all(|row| self.components.are_joined(first, row))
    }
}

/// Reads the sketches of some rows into one piece.
fn read(reader: &mut Reader<'_>, rows: impl Iterator<Item = u32>, numbers: &mut Vec<u32>) -> io::Result<()> {
    numbers.clear();
    for row in rows {
        numbers.extend_from_slice(reader.row(row)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::super::made_up::{
        below, by_brute_force, changed, equal_places, families, groups, kept, number, shuffle, unlike,
        with_threads,
    };
    use super::*;

    const PLENTY: u64 = 1 << 30;

    fn found(
        rows: &[Vec<u32>],
        k: usize,
        banding: Banding,
        matches_min: u32,
        memory: [u64; 2],
    ) -> Vec<Vec<u32>> {
        let sketches = kept(k, memory[0], rows);
        let banded =
            components(&sketches, banding, matches_min, memory[1], &Control::new()).expect("readable");
        groups(&banded.components)
    }

    /// What the definition says, whatever the memory and the threads.
    #[track_caller]
    fn check(rows: &[Vec<u32>], k: usize, banding: Banding, matches_min: u32) {
        let expected = by_brute_force(rows, |a, b| {
            let mut bands = (0..banding.bands).map(|band| band * banding.rows..(band + 1) * banding.rows);
            bands.any(|band| a[band.clone()] == b[band]) && equal_places(a, b) >= matches_min as usize
        });
        for memory in [[PLENTY, PLENTY], [0, PLENTY], [PLENTY, 3000], [0, 200]] {
            for threads in [1, 2, 3] {
                let found = with_threads(threads, || found(rows, k, banding, matches_min, memory));
                assert_eq!(found, expected, "{threads} threads, {memory:?} bytes, {banding:?}");
            }
        }
    }

    #[test]
    fn a_pair_at_the_threshold_is_found() {
        for k in [1, 16, 64, 128, 256] {
            for hundredths in 5..=100 {
                let threshold = f64::from(hundredths) / 100.0;
                let banding = Banding::choose(threshold, k);
                let Banding { bands, rows } = banding;
                assert_eq!(bands, k / rows, "{banding:?}");
                let is_found = |rows: usize| {
                    1.0 - (1.0 - threshold.powf(rows as f64)).powf((k / rows) as f64) >= FOUND_MIN
                };
                assert!(rows == 1 || is_found(rows), "{threshold} with {k}: {banding:?}");
                assert!(!(rows + 1..=k).any(is_found), "{threshold} with {k}: more than {banding:?}");
            }
        }
        assert_eq!(Banding::choose(1.0, 128), Banding { bands: 1, rows: 128 });
        assert_eq!(Banding::choose(0.8, 128), Banding { bands: 21, rows: 6 });
        assert_eq!(Banding::choose(0.0, 128), Banding { bands: 128, rows: 1 });
    }

    #[test]
    fn pairs_are_found_as_often_as_they_should_be() {
        // 4000 pairs at the threshold: with a probability of 0.998 each, more than 20 missed would be six standard deviations.
        let (k, mut state) = (128, 7);
        let banding = Banding::choose(0.8, k);
        assert!((banding.probability(0.8) - 0.998_31).abs() < 1e-5, "{}", banding.probability(0.8));
        let mut rows = Vec::new();
        for _ in 0..4000 {
            let one = unlike(k, &mut state);
            rows.push(changed(&one, 25, &mut state));
            rows.push(one);
        }
        let pairs = found(&rows, k, banding, 103, [PLENTY; 2]).len();
        assert!((3980..=4000).contains(&pairs), "{pairs}");
    }

    #[test]
    fn pairs_are_those_of_comparing_each_with_each() {
        for (k, rows, matches_min) in
            [(1, 1, 1), (16, 3, 10), (64, 4, 40), (128, 6, 103), (128, 1, 0), (1024, 9, 700)]
        {
            let banding = Banding { bands: k / rows, rows };
            check(&families(100, k, k as u64), k, banding, matches_min);
        }
    }

    #[test]
    fn no_row_and_one_row_are_alone() {
        for rows in [0, 1] {
            check(&families(rows, 16, 1), 16, Banding { bands: 4, rows: 4 }, 8);
        }
    }

    #[test]
    fn more_equal_places_than_there_are_connect_nothing() {
        let rows = vec![vec![1; 16]; 3];
        check(&rows, 16, Banding { bands: 16, rows: 1 }, 17);
        check(&rows, 16, Banding { bands: 16, rows: 1 }, 16);
    }

    /// All agree in the first band, and few in more: that is more than fits a tile.
    #[test]
    fn many_with_the_same_key_are_compared_in_tiles() {
        let (k, mut state) = (16, 3);
        let mut rows = families(1300, k, 9);
        for row in &mut rows {
            row[..4].fill(5);
        }
        for _ in 0..40 {
            let copy = rows[below(1300, &mut state)].clone();
            rows.push(copy);
        }
        shuffle(&mut rows, 4);
        check(&rows, k, Banding { bands: 4, rows: 4 }, 12);
    }

    #[test]
    fn the_order_of_rows_does_not_matter() {
        let (k, banding) = (64, Banding { bands: 16, rows: 4 });
        let mut rows: Vec<_> = families(2000, k, 11).into_iter().enumerate().collect();
        let mut named = |seed| {
            shuffle(&mut rows, seed);
            let sketches: Vec<_> = rows.iter().map(|(_, sketch)| sketch.clone()).collect();
            let mut groups = found(&sketches, k, banding, 45, [PLENTY, 4000]);
            for group in &mut groups {
                group.iter_mut().for_each(|row| *row = u32::try_from(rows[*row as usize].0).expect("few"));
                group.sort_unstable();
            }
            groups.sort();
            groups
        };
        assert_eq!(named(1), named(2));
    }

    /// In great number: each with each would be five thousand million comparisons.
    #[test]
    fn what_is_the_same_is_not_compared_each_with_each() {
        let (rows, k) = (100_000, 128);
        for changes in [0, 1] {
            let (base, mut state) = (unlike(k, &mut 5), 6);
            let mut sketches = kept(k, PLENTY, &[]);
            for _ in 0..rows {
                let mut row = base.clone();
                // In the last place, so that they agree in each band.
                row[k - 1] = if changes == 0 { 0 } else { number(&mut state) };
                sketches.push(&row).expect("room for it");
            }
            let since = Instant::now();
            let found = components(&sketches, Banding::choose(0.8, k), 103, PLENTY, &Control::new())
                .expect("readable");
            let taken = since.elapsed();
            assert_eq!(found.components.groups().iter().next().map(<[u32]>::len), Some(rows));
            // Each with each takes minutes, even where the compiler does what it can.
            assert!(taken < Duration::from_secs(20), "{taken:?}");
        }
    }

    #[test]
    fn passes_are_as_many_as_memory_asks_for() {
        let sketches = kept(16, PLENTY, &families(1000, 16, 2));
        let passes = |memory| {
            let banding = Banding { bands: 4, rows: 4 };
            components(&sketches, banding, 8, memory, &Control::new()).expect("readable").passes
        };
        assert_eq!(passes(PLENTY), 2);
        assert_eq!(passes(27_000), 3);
        assert_eq!(passes(9000), 5);
        assert_eq!(passes(4500), 10);
        assert_eq!(passes(1000), 45);
    }

    /// All in one bucket, and hardly any alike: minutes of work.
    #[test]
    fn a_cancelled_search_ends_soon() {
        let (k, mut state) = (64, 8);
        let mut sketches = kept(k, PLENTY, &[]);
        for _ in 0..150_000 {
            let mut row = unlike(k, &mut state);
            row[0] = 0;
            sketches.push(&row).expect("room for it");
        }
        let control = Control::new();
        let ended = std::thread::scope(|scope| {
            let search = scope.spawn(|| {
                let banding = Banding { bands: k, rows: 1 };
                components(&sketches, banding, 40, PLENTY, &control).map(|_| Instant::now())
            });
            std::thread::sleep(Duration::from_millis(300));
            let since = Instant::now();
            control.cancel();
            search.join().expect("no panic").expect("readable").duration_since(since)
        });
        // 0.2 s are asked for; the tests run many at a time.
        assert!(ended < Duration::from_secs(1), "{ended:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Few numbers, so that all kinds of agreement occur.
        #[test]
        fn pairs_are_those_of_the_definition(
            rows in proptest::collection::vec(proptest::collection::vec(0_u32..3, 8), 0..80),
            width in 1_usize..=8, matches_min in 0_u32..=9, memory in 1_u64..2000,
        ) {
            let banding = Banding { bands: 8 / width, rows: width };
            let expected = by_brute_force(&rows, |a, b| {
                let mut bands = (0..banding.bands).map(|band| band * width..(band + 1) * width);
                bands.any(|band| a[band.clone()] == b[band]) && equal_places(a, b) >= matches_min as usize
            });
            prop_assert_eq!(found(&rows, 8, banding, matches_min, [PLENTY, memory]), expected);
        }
    }
}
