//! Criterion benches. `cargo bench --bench main`, with a filter such as `-- entropy`.

#![allow(missing_docs, reason = "the macros of criterion make public items")]

mod analyses;
#[cfg(all(feature = "gpu", feature = "bench"))]
mod gpu;
mod pairs;

criterion::criterion_group!(benches, analyses::each, analyses::fused, pairs::tiles, pairs::all);
#[cfg(all(feature = "gpu", feature = "bench"))]
criterion::criterion_group!(gpus, gpu::phases);
#[cfg(all(feature = "gpu", feature = "bench"))]
criterion::criterion_main!(benches, gpus);
#[cfg(not(all(feature = "gpu", feature = "bench")))]
criterion::criterion_main!(benches);
