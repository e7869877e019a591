//! Where all pairs are compared: by the processor, or on a GPU where there is one that does more.

use std::io;
use std::time::Instant;

use super::super::rounds::Rounds;
use super::{Compares, Near};
use crate::control::Control;
use crate::error::Error;
use crate::groups::{Comparer, Components, Hit, Sketches, Tile, compare_tile, components_of_all, matches};
use crate::plan::GpuVerify;
use crate::workers::gpu::pairs::{Pair, Pairs, Side};

/// With fewer, the processor is done before a GPU is asked: some milliseconds.
const SKETCHES_MIN: usize = 4096;
/// Rows of a tile that the processor is measured with, and all that memory is counted for where it is limited.
const ROWS_FEW: usize = 512;
/// Rows of a tile that are compared once more where a sample is wanted, and about as many of the pairs that were found: some
/// microseconds a tile.
const ROWS_VERIFIED: usize = 64;

/// Looks for a GPU where all pairs are to be compared; in the background, so that it may be there once files are read. No more
/// sketches come of them than there are `files`.
pub(super) fn start(near: &Near, rounds: &mut Rounds<'_>, files: usize) -> Result<Option<Pairs>, Error> {
    let are_few = files < SKETCHES_MIN && !rounds.plan.device.is_required();
    if near.compares != Compares::All || are_few {
        return Ok(None);
    }
    let rows_max = if rounds.memory_bytes_max.is_some() { ROWS_FEW } else { usize::MAX };
    let mut notes = Vec::new();
    let pairs = Pairs::start(rounds.plan, near.sketches.k(), rows_max, &mut notes)?;
    notes.into_iter().for_each(|note| rounds.note(note));
    Ok(pairs)
}

/// What all pairs connect.
pub(super) fn components(
    sketches: &Sketches,
    matches_min: u32,
    device: Option<&Pairs>,
    verify: GpuVerify,
    control: &Control,
) -> io::Result<Components> {
    let ready = device.filter(|pairs| pairs.is_ready());
    let Some(pairs) = ready else { return components_of_all(sketches, matches_min, None, control) };
    let compare = |tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>| {
        compare(pairs, verify, tile, matches_min, hits)
    };
    let comparer = Comparer { rows: pairs.rows(), compare: &compare };
    let is_worth_it = pairs.is_required() || is_faster(pairs, &comparer, sketches, matches_min)?;
    components_of_all(sketches, matches_min, is_worth_it.then_some(comparer), control)
}

/// Adds to the report what the device did.
pub(super) fn tell(device: Pairs, rounds: &mut Rounds<'_>) {
    let (used, note) = device.into_used();
    rounds.report.gpus.extend(used);
    if let Some(note) = note {
        rounds.note(note);
    }
}

fn compare(pairs: &Pairs, verify: GpuVerify, tile: &Tile<'_>, matches_min: u32, hits: &mut Vec<Hit>) -> bool {
    let left = Side { first: tile.first_rows.0, numbers: tile.left };
    let right = Side { first: tile.first_rows.1, numbers: tile.right };
    let mut found = Vec::new();
    let is_done = pairs.compare(left, right, tile.is_diagonal, matches_min, &mut found);
    hits.clear();
    hits.extend(found.into_iter().map(|Pair { left, right, matches }| Hit { left, right, matches }));
    if is_done && !is_right(verify, tile, matches_min, hits) {
        pairs.accuse();
        return false;
    }
    is_done
}

/// Whether the pairs of a tile are those that the processor finds, as far as they are found once more.
fn is_right(verify: GpuVerify, tile: &Tile<'_>, matches_min: u32, hits: &[Hit]) -> bool {
    let rows = match verify {
        GpuVerify::Off => return true,
        GpuVerify::Sample => ROWS_VERIFIED,
        GpuVerify::All => usize::MAX,
    };
    let k = tile.k;
    let numbers_max = rows.saturating_mul(k);
    let left = &tile.left[..tile.left.len().min(numbers_max)];
    let right = &tile.right[..tile.right.len().min(numbers_max)];
    let mut expected = Vec::new();
    compare_tile(&Tile { left, right, ..*tile }, matches_min, &mut expected);
    let is_among = |hit: &&Hit| (hit.left.max(hit.right) as usize) < rows;
    let numbers = |row: u32| row as usize * k..(row as usize + 1) * k;
    let counted = |hit: &Hit| matches(&tile.left[numbers(hit.left)], &tile.right[numbers(hit.right)]);
    let mut some = hits.iter().step_by((hits.len() / ROWS_VERIFIED).max(1));
    hits.iter().filter(is_among).eq(&expected)
        && some.all(|hit| hit.matches >= matches_min && counted(hit) == hit.matches)
}

/// Whether the device does more pairs a second than all threads together, measured with the first rows.
fn is_faster(
    pairs: &Pairs,
    comparer: &Comparer<'_>,
    sketches: &Sketches,
    matches_min: u32,
) -> io::Result<bool> {
    if sketches.len() < SKETCHES_MIN {
        pairs.tell(None, None, "there are few sketches");
        return Ok(false);
    }
    let k = sketches.k();
    let end = |rows: usize| u32::try_from(rows.min(sketches.len())).expect("rows are counted with 32 bits");
    let rows = end(comparer.rows);
    let mut reader = sketches.reader();
    let numbers = reader.rows(0..rows)?;
    let few = &numbers[..numbers.len().min(ROWS_FEW * k)];
    let number_of_pairs = |numbers: &[u32]| {
        let rows = (numbers.len() / k) as f64;
        rows * (rows - 1.0) / 2.0
    };
    let tile = |rows| Tile { left: rows, right: rows, k, is_diagonal: true, first_rows: (0, 0) };
    let mut hits = Vec::new();
    let since = Instant::now();
    compare_tile(&tile(few), matches_min, &mut hits);
    let threads = rayon::current_num_threads() as f64;
    let worker_rate = threads * number_of_pairs(few) / since.elapsed().as_secs_f64().max(1e-9);
    // The first time the rows have to get there.
    let mut rate = None;
    for _ in 0..2 {
        let since = Instant::now();
        if !(comparer.compare)(&tile(numbers), matches_min, &mut hits) {
            pairs.tell(None, Some(worker_rate), "there are more pairs than it has room for");
            return Ok(false);
        }
        let measured = number_of_pairs(numbers) / since.elapsed().as_secs_f64().max(1e-9);
        rate = Some(measured);
        // Far too slow: that needs no second look.
        if measured * 10.0 < worker_rate {
            break;
        }
    }
    let is_faster = rate.is_some_and(|rate| rate > worker_rate);
    pairs.tell(rate, Some(worker_rate), if is_faster { "" } else { "the processor is faster" });
    Ok(is_faster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_the_processor_finds_it_is_not_right() {
        let k = 4;
        // Rows of three kinds, in turn.
        let rows: Vec<u32> = (0..400 * 4_u32).map(|at| at / 4 % 3).collect();
        let tile = Tile { left: &rows, right: &rows, k, is_diagonal: true, first_rows: (0, 0) };
        let mut hits = Vec::new();
        compare_tile(&tile, 4, &mut hits);
        let check = |verify, hits: &[Hit], expected| {
            assert_eq!(is_right(verify, &tile, 4, hits), expected, "{verify:?}, {} hits", hits.len());
        };
        for verify in [GpuVerify::All, GpuVerify::Sample, GpuVerify::Off] {
            check(verify, &hits, true);
        }
        // One that is wrong, one that is missing among the first rows, one that is missing far behind.
        let (mut wrong, mut first, mut last) = (hits.clone(), hits.clone(), hits);
        wrong[0].matches = 5;
        first.remove(0);
        last.pop();
        for (verify, expected) in [
            (GpuVerify::All, [false; 3]),
            (GpuVerify::Sample, [false, false, true]),
            (GpuVerify::Off, [true; 3]),
        ] {
            for (hits, expected) in [&wrong, &first, &last].into_iter().zip(expected) {
                check(verify, hits, expected);
            }
        }
    }
}
