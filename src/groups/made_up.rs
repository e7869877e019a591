//! Sketches for tests: made up from a seed, some alike to a known degree.

use super::{Components, Sketches};

/// The next number of the generator splitmix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A number below another one.
pub(super) fn below(limit: usize, state: &mut u64) -> usize {
    usize::try_from(random(state) % limit as u64).expect("below a usize")
}

/// A number of 32 bits.
pub(super) fn number(state: &mut u64) -> u32 {
    u32::try_from(random(state) >> 32).expect("the upper half")
}

/// A sketch like no other.
pub(super) fn unlike(k: usize, state: &mut u64) -> Vec<u32> {
    (0..k).map(|_| number(state)).collect()
}

/// The sketch with other numbers in exactly `changed` places.
pub(super) fn changed(sketch: &[u32], changed: usize, state: &mut u64) -> Vec<u32> {
    let mut sketch = sketch.to_vec();
    let mut places: Vec<_> = (0..sketch.len()).collect();
    for i in 0..changed {
        let other = i + below(places.len() - i, state);
        places.swap(i, other);
        sketch[places[i]] ^= 1 + (number(state) >> 1);
    }
    sketch
}

/// So many sketches: families of up to nine whose members differ from the first in up to all places, with some twice.
pub(super) fn families(rows: usize, k: usize, seed: u64) -> Vec<Vec<u32>> {
    let (mut state, mut all) = (seed, Vec::with_capacity(rows));
    while all.len() < rows {
        let first = unlike(k, &mut state);
        for _ in 0..below(9, &mut state) {
            let places = below(k + 1, &mut state);
            let places = if below(2, &mut state) == 0 { places / 4 } else { places };
            let one = changed(&first, places, &mut state);
            if below(4, &mut state) == 0 {
                all.push(one.clone());
            }
            all.push(one);
        }
        all.push(first);
    }
    all.truncate(rows);
    all
}

/// The rows in another order.
pub(super) fn shuffle<T>(all: &mut [T], seed: u64) {
    let mut state = seed;
    for i in (1..all.len()).rev() {
        all.swap(i, below(i + 1, &mut state));
    }
}

/// The sketches as they are kept, with so much memory.
pub(super) fn kept(k: usize, memory_bytes_max: u64, rows: &[Vec<u32>]) -> Sketches {
    let mut sketches = Sketches::new(k, memory_bytes_max, std::env::temp_dir());
    for (number, row) in (0..).zip(rows) {
        assert_eq!(sketches.push(row).expect("room for it"), number);
    }
    sketches
}

/// The components of at least two rows.
pub(super) fn groups(components: &Components) -> Vec<Vec<u32>> {
    components.groups().iter().map(<[u32]>::to_vec).collect()
}

/// What pairs connect, each with each tried.
pub(super) fn by_brute_force(rows: &[Vec<u32>], is_pair: impl Fn(&[u32], &[u32]) -> bool) -> Vec<Vec<u32>> {
    let components = Components::new(u32::try_from(rows.len()).expect("few"));
    for (i, a) in (0..).zip(rows) {
        for (j, b) in (0..i).zip(rows) {
            if is_pair(a, b) {
                components.join(i, j);
            }
        }
    }
    groups(&components)
}

/// Equal places, counted plainly.
pub(super) fn equal_places(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

/// Runs something on a pool of so many threads.
pub(super) fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(run)
}
