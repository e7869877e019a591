//! What it takes to have a GPU make sketches: packing, the way there by each way there is, the kernel, the way back, and all of
//! it; beside what the processor does with the same. Nothing where there is no adapter.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use filemill::Phases;
use filemill::analyses::{Analysis, MinHash};
use filemill::record::{Directory, FileRecord, Identity, Row};

fn files(length: usize, bytes: usize) -> Vec<Vec<u8>> {
    let mut state = 1_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[3]
    };
    (0..bytes / length).map(|_| (0..length).map(|_| next()).collect()).collect()
}

fn on_the_processor(analysis: &MinHash, files: &[Vec<u8>]) -> usize {
    let (directory, mut pass, mut row) = (Directory::from_path(b""), analysis.pass(), Row::default());
    for file in files {
        let (size, identity) = (file.len() as u64, Identity::default());
        pass.begin(&FileRecord { directory: &directory, name: b"", size, mtime_ns: 0, identity }, 0);
        pass.block(file);
        pass.finish(&mut row);
        row.truncate(0);
    }
    files.len()
}

/// Each phase by itself, over files of 4 KiB, 64 KiB and 1 MiB.
pub(crate) fn phases(criterion: &mut Criterion) {
    let analysis = MinHash::default();
    let Ok(first) = Phases::open(&analysis, 50_000_000, "write") else { return };
    // What plays a card on the processor is given less to do.
    let bytes = if first.adapter.contains("llvmpipe") { 1 << 20 } else { 8 << 20 };
    drop(first);
    for length in [4 << 10, 64 << 10, 1 << 20] {
        let files = files(length, bytes);
        let mut group = criterion.benchmark_group(format!("gpu/{}_KiB", length >> 10));
        group.sample_size(10);
        group.bench_function("processor", |bencher| {
            bencher.iter(|| on_the_processor(&analysis, black_box(&files)));
        });
        for way in ["staging", "write", "mapped"] {
            let Ok(mut phases) = Phases::open(&analysis, 150_000_000, way) else { continue };
            group.throughput(Throughput::Bytes(phases.pack(&files) as u64));
            if way == "staging" {
                group.bench_function("pack", |bencher| bencher.iter(|| phases.pack(black_box(&files))));
            }
            group.bench_function(format!("upload/{way}"), |bencher| {
                bencher.iter(|| phases.upload().expect("it works"));
            });
            if way == "staging" {
                // Memory that both see cannot be run over while it is open to be written: there, only all of it is told.
                group.bench_function("kernel", |bencher| bencher.iter(|| phases.run().expect("it works")));
                group.bench_function("read_back", |bencher| {
                    bencher.iter(|| phases.read_back().expect("it works"));
                });
            }
            group.bench_function(format!("all/{way}"), |bencher| {
                bencher.iter(|| phases.all().expect("it works"));
            });
        }
        group.finish();
    }
}
