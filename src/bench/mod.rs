//! The benchmark harness: how far the engine is from what the machine can do, which settings are best for given files, and
//! whether a change made it slower.
//!
//! It sees only what a user of the library sees: it makes plans, runs them, and compares what they took. Every measurement
//! carries the answers of its run ([`Answers`]): a fast wrong answer is an error, never a fast one.

mod answers;
pub mod check;
pub mod corpus;
pub mod limit;
mod machine;
mod measure;
mod point;
mod process;
mod ram_disk;
pub mod record;
mod runner;
mod statistics;
pub mod sweep;
pub mod tier;

use std::io;
use std::path::{Path, PathBuf};

pub use self::answers::{Answers, Collect, differences};
pub use self::machine::Machine;
pub use self::measure::{Batches, CacheState, Gpus, Measured, Steps, drop_caches, measure};
pub use self::point::Point;
pub use self::ram_disk::RamDisk;
pub use self::runner::Runner;
pub use self::statistics::{Interval, Shift, Spread, shift_of_pairs, shift_of_samples};

use crate::control::Control;
use crate::error::Error;

/// Why a benchmark has no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// What was asked for makes no sense, or is not to be had here.
    #[error("{0}")]
    Refused(String),
    /// A tree cannot be put where it is to go: it is too large, or something in it cannot be copied.
    #[error("{0}")]
    Unloadable(String),
    /// A file or directory of the harness itself cannot be used.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A run ended early.
    #[error(transparent)]
    Run(#[from] Error),
    /// It was cancelled before there was anything to tell.
    #[error("interrupted")]
    Cancelled,
}

impl BenchError {
    /// An error of the system, of a file.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> BenchError {
        let path = path.to_owned();
        |source| BenchError::File { path, source }
    }
}

/// How a benchmark is watched and cancelled.
#[derive(Clone, Copy)]
pub struct Watch<'w> {
    /// Cancels it. What is measured by then is told.
    pub control: &'w Control,
    /// Is told how far it is: what is being done, how much of it is done, and of how much. Called often.
    pub tell: &'w dyn Fn(&str, u64, u64),
}

impl Watch<'_> {
    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }
}
