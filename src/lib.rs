//! filemill answers many questions about a tree of files while reading every byte once: what is here, how many
//! lines and words, which digests, how random. It says honestly what it could not read.
//!
//! # How it flows
//!
//! ```text
//! walk ── batches ──▶ workers: stage + analyse ── batches of results ──▶ sinks
//! ```
//!
//! - [`plan`]: every choice and every limit of a run, decided once ([`plan::Plan`]).
//! - walk: threads that list directories, depth first, and say of each entry what it is. A batch of entries carries
//!   directory handles and names; bytes of files never cross a channel.
//! - stage: a worker opens each file beside its directory's handle, and reaches its bytes in blocks that fit the core's
//!   cache: reads it, maps it, or copies its batch to a RAM disk first ([`plan::Staging`]).
//! - workers: a pool that sizes itself while the run goes on ([`plan::Workers`]). A large file is put off until what lies
//!   beside it is done, and then divided among them.
//! - GPUs: what a worker reads of a file that a GPU is to have, it copies into a slot; rows leave when both halves are there
//!   ([`plan::Device`], [`analyses::Kernel`]). Whatever happens to a GPU, the processor answers instead.
//! - [`analyses`]: one file per question. All passes of a plan run over a block before the next is read.
//! - [`sink`]: takes one [`record::Record`] per path met, on the thread that called [`run`]; a file per format. With
//!   [`plan::Sort::Path`] results wait in a window until their turn comes, and the walk waits for the window.
//! - [`rows()`]: the same as an iterator, with the run on a thread of its own.
//! - [`report`]: what a run did, with a ledger that adds up: met = done + skipped + failed, and how long batches took
//!   ([`latencies`]).
//!
//! Every channel is bounded, every buffer has a limit in the plan, and the file handles are divided among the threads
//! before the run begins, so memory and handles do not grow with the tree and nobody waits for a handle.
//!
//! Two kinds of errors: a bad file is data ([`error::FileError`], one record), a bad plan ends the run
//! ([`error::Error`]). The library prints nothing and has no global state, but for the guard of mappings
//! (`guard_mappings`), which is installed only by that call, and the number of threads that talk to GPU drivers, for the end of
//! the process ([`leave`]).
//!
//! # A scan in a few lines
//!
//! ```
//! use filemill::plan::Plan;
//! use filemill::sink::Jsonl;
//!
//! let mut plan = Plan::new(["src"]);
//! plan.analyses = filemill::analyses::parse("lines,blake3")?;
//! let mut sink = Jsonl::new(Vec::new());
//! let report = filemill::run(&plan, &mut sink)?;
//! assert!(report.is_complete());
//! assert!(report.ledger.adds_up());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A question of your own
//!
//! An [`analyses::Analysis`] from outside is an equal of those inside. This one finds the longest line:
//!
//! ```
//! use std::sync::Arc;
//!
//! use filemill::analyses::{Analysis, Pass};
//! use filemill::plan::Plan;
//! use filemill::record::{Column, FileRecord, Row, Value, ValueKind};
//! use filemill::sink::Jsonl;
//!
//! struct LongestLine;
//!
//! impl Analysis for LongestLine {
//!     fn name(&self) -> &'static str {
//!         "longest_line"
//!     }
//!
//!     fn columns(&self) -> &[Column] {
//!         &[Column { name: "longest_line", kind: ValueKind::U64, unit: "bytes" }]
//!     }
//!
//!     fn pass(&self) -> Box<dyn Pass> {
//!         Box::new(Longest { longest: 0, current: 0 })
//!     }
//! }
//!
//! struct Longest {
//!     longest: u64,
//!     current: u64,
//! }
//!
//! impl Pass for Longest {
//!     fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
//!         *self = Longest { longest: 0, current: 0 };
//!     }
//!
//!     // A block may end anywhere, so the line so far is kept.
//!     fn block(&mut self, bytes: &[u8]) {
//!         for &byte in bytes {
//!             self.current = if byte == b'\n' { 0 } else { self.current + 1 };
//!             self.longest = self.longest.max(self.current);
//!         }
//!     }
//!
//!     fn finish(&mut self, row: &mut Row) {
//!         row.push(Value::U64(self.longest));
//!     }
//! }
//!
//! let mut plan = Plan::new(["Cargo.toml"]);
//! plan.analyses = vec![Arc::new(LongestLine)];
//! let mut sink = Jsonl::new(Vec::new());
//! filemill::run(&plan, &mut sink)?;
//! let report = String::from_utf8(sink.into_inner())?;
//! assert!(report.contains(r#""longest_line":"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod analyses;
mod batch;
#[cfg(feature = "bench")]
pub mod bench;
pub mod control;
pub mod duplicates;
pub mod error;
pub mod faults;
pub mod groups;
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, unused_imports, reason = "only on Linux are answers kept")
)]
pub mod keep;
pub mod latencies;
mod pipeline;
pub mod plan;
mod queue;
pub mod record;
mod reorder;
pub mod report;
mod rows;
mod simd;
pub mod sink;
mod stage;
mod walk;
mod workers;

pub use pipeline::{run, run_with};
pub use rows::{Rows, rows};
pub use stage::guard_mappings;
pub use workers::gpu::detached::leave;
#[cfg(all(feature = "gpu", feature = "bench"))]
#[doc(hidden)]
pub use workers::gpu::phases::Phases;
pub use workers::gpu::{expect_device, list_adapters};

/// The README's Rust blocks, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
