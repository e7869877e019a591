//! Criterion benches. `cargo bench --bench main`, with a filter such as `-- entropy`.

#![allow(missing_docs, reason = "the macros of criterion make public items")]

mod analyses;
mod pairs;

criterion::criterion_group!(benches, analyses::each, analyses::fused, pairs::tiles, pairs::all);
criterion::criterion_main!(benches);
