//! Each analysis alone, and the fused pass against the sum of its parts.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use filemill::analyses::{self, Pass, REGISTRY};
use filemill::record::{Directory, FileRecord, Row};

/// The median file of a source tree, the block of a large file, and a small file.
const SIZES: [usize; 3] = [2 << 10, 16 << 10, 128 << 10];

/// Text with the letter frequencies of source code, the same every time.
fn text(bytes: usize) -> Vec<u8> {
    const SAMPLE: &[u8] = include_bytes!("../src/pipeline.rs");
    SAMPLE.iter().copied().cycle().take(bytes).collect()
}

fn run(passes: &mut [Box<dyn Pass>], bytes: &[u8], row: &mut Row) {
    let directory = Directory::from_path(b"");
    let (name, size, identity) = (b"bench", bytes.len() as u64, Default::default());
    let file = FileRecord { directory: &directory, name, size, mtime_ns: 0, identity };
    row.truncate(0);
    for pass in passes.iter_mut() {
        pass.begin(&file, 0);
    }
    for pass in passes.iter_mut() {
        pass.block(bytes);
    }
    for pass in passes.iter_mut() {
        pass.finish(row);
    }
    black_box(row);
}

fn bench(criterion: &mut Criterion, group: &str, list: &str) {
    let mut group = criterion.benchmark_group(group);
    for size in SIZES {
        let bytes = text(size);
        let mut passes: Vec<_> = analyses::parse(list)
            .expect("a list of analyses")
            .iter()
            .map(|analysis| analysis.pass())
            .collect();
        let mut row = Row::default();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new(list, size), |bencher| {
            bencher.iter(|| run(&mut passes, black_box(&bytes), &mut row));
        });
    }
    group.finish();
}

/// One bench an analysis.
pub(crate) fn each(criterion: &mut Criterion) {
    for registered in REGISTRY {
        bench(criterion, "each", registered.name);
    }
    for parameters in ["kind=one-permutation", "shingle=words:5", "k=256"] {
        bench(criterion, "each", &format!("minhash:{parameters}"));
    }
}

/// The sets that the figures under ops/ are about: compare with the sum of their parts above.
pub(crate) fn fused(criterion: &mut Criterion) {
    for list in ["light", "lines,words,entropy,blake3,xxh3", "full"] {
        bench(criterion, "fused", list);
    }
}
