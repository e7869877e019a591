//! Pairs of sketches a second: one tile, and all pairs there are.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use filemill::control::Control;
use filemill::groups::{Sketches, Tile, compare_tile, components_of_all};

/// Sketches whose places have the numbers of one and the same sketch so many times in 256, and otherwise their own.
fn sketches(rows: usize, k: usize, common: u64) -> Vec<u32> {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    let one: Vec<u64> = (0..k).map(|_| random() >> 32).collect();
    let number =
        |place: usize, random: u64| if random % 256 < common { one[place % k] } else { random >> 32 };
    (0..rows * k).map(|place| u32::try_from(number(place, random())).expect("the upper half")).collect()
}

/// How many of 256 places have the number that they have in common, and the threshold. Those somewhat alike have 0.3 of their
/// places in common, two by two; the last kind is all hits.
const KINDS: [(&str, u64, f64); 5] = [
    ("unlike_0.8", 0, 0.8),
    ("somewhat_alike_0.8", 140, 0.8),
    ("unlike_0.5", 0, 0.5),
    ("somewhat_alike_0.5", 140, 0.5),
    ("alike_0.8", 256, 0.8),
];

fn matches_min(threshold: f64, k: usize) -> u32 {
    (1..=1024).find(|&matches| f64::from(matches) >= threshold * k as f64).expect("at most all")
}

/// A tile on one core.
pub(crate) fn tiles(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pairs");
    for (k, rows) in [(128, 256), (128, 512), (128, 1024), (16, 512), (1024, 256), (1024, 512)] {
        for (name, common, threshold) in KINDS {
            let both = sketches(2 * rows, k, common);
            let (left, right) = both.split_at(rows * k);
            let (matches_min, mut hits) = (matches_min(threshold, k), Vec::new());
            group.throughput(Throughput::Elements((rows * rows) as u64));
            group.bench_function(BenchmarkId::new(format!("tile/{k}_numbers/{name}"), rows), |bencher| {
                let tile = Tile { left, right, k, is_diagonal: false, first_rows: (0, 0) };
                bencher.iter(|| compare_tile(black_box(&tile), matches_min, &mut hits));
            });
        }
    }
    group.finish();
}

/// All pairs of 20,000 sketches, on all cores; in memory, and from the file.
pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pairs");
    let (rows, k) = (20_000, 128);
    group.sample_size(10).throughput(Throughput::Elements(rows * (rows - 1) / 2));
    for (place, memory_bytes_max) in [("memory", 1 << 30), ("file", 0)] {
        let mut kept = Sketches::new(k, memory_bytes_max, std::env::temp_dir());
        for row in sketches(usize::try_from(rows).expect("few"), k, 0).chunks_exact(k) {
            kept.push(row).expect("room for it");
        }
        group.bench_function(BenchmarkId::new("all/unlike_0.8", place), |bencher| {
            bencher.iter(|| components_of_all(&kept, 103, None, &Control::new()).expect("readable"));
        });
    }
    group.finish();
}
