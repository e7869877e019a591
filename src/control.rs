//! What another thread may do with a run: watch how far it is, and cancel it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between a run and whoever watches it. The counters are for display, the report is exact.
#[derive(Debug, Default)]
pub struct Control {
    records: AtomicU64,
    bytes: AtomicU64,
    explored: AtomicU64,
    cancelled: AtomicBool,
    /// The sink failed: what is read from here on nobody will see.
    abandoned: AtomicBool,
}

/// The whole tree, in the unit in which the walk says how much of it is explored.
pub(crate) const WHOLE_TREE: u64 = 1 << 62;

impl Control {
    /// A control for one run.
    pub fn new() -> Control {
        Control::default()
    }

    /// Records that have been written, one a path.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes of the files that are done, and of large ones as far as they are read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How much of the tree the walk has seen, from 0 to 1: each directory shares its part evenly between itself
    /// and the directories in it. A guess that gets better as the run goes on.
    pub fn explored(&self) -> f64 {
        self.explored.load(Ordering::Relaxed) as f64 / WHOLE_TREE as f64
    }

    /// Asks the run to stop soon. What is read by then is in the report.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the run was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A run begins: what became of the last one's sink, and how far its walk was, is forgotten.
    pub(crate) fn take_up(&self) {
        self.abandoned.store(false, Ordering::Relaxed);
        self.explored.store(0, Ordering::Relaxed);
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether to leave everything as it is.
    pub(crate) fn should_stop(&self) -> bool {
        self.is_cancelled() || self.abandoned.load(Ordering::Relaxed)
    }

    pub(crate) fn add_done(&self, records: u64, bytes: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_under_way(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn forget_under_way(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_explored(&self, share: u64) {
        self.explored.fetch_add(share, Ordering::Relaxed);
    }
}
