//! What another thread may do with a run: watch its progress, and cancel it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shared between a run and the thread that watches it. The counters are for display, the report is exact.
#[derive(Debug, Default)]
pub struct Control {
    records: AtomicU64,
    bytes: AtomicU64,
    explored: AtomicU64,
    cancelled: AtomicBool,
    /// The sink failed: what is read from here on nobody will see.
    abandoned: AtomicBool,
    /// Bytes of files that will not be read: they failed, or were skipped.
    bytes_left_out: AtomicU64,
    counts_ahead: AtomicBool,
    /// Files and bytes that the round will read, as far as they are known.
    files_known: AtomicU64,
    bytes_known: AtomicU64,
    /// Time of the workers, in nanoseconds: all of it, and in analyses.
    worked: AtomicU64,
    analysed: AtomicU64,
    round: Mutex<Round>,
}

/// Where the counters stood when a round began.
#[derive(Debug, Default, Clone, Copy)]
struct Round {
    number: u64,
    name: &'static str,
    records: u64,
    bytes_passed: u64,
    worked: u64,
    analysed: u64,
    has_totals: bool,
    knows_bytes: bool,
    is_all_known: bool,
}

/// The progress of a run, or of one round of a search for duplicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// The number of the round; another one means that all other figures begin again.
    pub round: u64,
    /// The round's name in the report; empty for a run that has no rounds.
    pub name: &'static str,
    /// Records written in this round.
    pub files_done: u64,
    /// Bytes read in this round, and bytes of files that turned out not to be read.
    pub bytes_done: u64,
    /// Share of the workers' time in this round that went into analyses, from 0 to 1.
    pub analysed: f64,
    /// Files and bytes of the whole round; `None` while nothing is known of them.
    pub total: Option<Total>,
}

/// Files and bytes that a round reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Paths, as in [`Progress::files_done`].
    pub files: u64,
    /// Bytes; `None`: sizes are not known.
    pub bytes: Option<u64>,
    /// Whether that is all. Otherwise both numbers still grow.
    pub is_all: bool,
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

    /// Bytes that were read, of small files a few later. It never decreases: bytes read twice count once.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How much of the tree the walk has seen, from 0 to 1: each directory shares its part evenly between itself
    /// and the directories in it. A guess that gets better as the run goes on.
    pub fn explored(&self) -> f64 {
        self.explored.load(Ordering::Relaxed) as f64 / WHOLE_TREE as f64
    }

    /// Asks a run that lasts longer than half a second to count the files of its tree and their bytes in a walk of its own, so
    /// that [`Control::progress`] has a total before the run is over. Costs one more listing and one status call a file.
    pub fn count_ahead(&self) {
        self.counts_ahead.store(true, Ordering::Relaxed);
    }

    /// The progress of the current round.
    pub fn progress(&self) -> Progress {
        let round = *self.round();
        let total = round.has_totals.then(|| Total {
            files: self.files_known.load(Ordering::Relaxed),
            bytes: round.knows_bytes.then(|| self.bytes_known.load(Ordering::Relaxed)),
            is_all: round.is_all_known,
        });
        let worked = self.worked.load(Ordering::Relaxed).saturating_sub(round.worked);
        let analysed = self.analysed.load(Ordering::Relaxed).saturating_sub(round.analysed);
        Progress {
            round: round.number,
            name: round.name,
            files_done: self.records().saturating_sub(round.records),
            bytes_done: self.bytes_passed().saturating_sub(round.bytes_passed),
            analysed: analysed.min(worked) as f64 / worked.max(1) as f64,
            total,
        }
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
        let name = self.round().name;
        self.begin_round(name);
    }

    /// Begins a round without a known total.
    pub(crate) fn begin_round(&self, name: &'static str) {
        let mut round = self.round();
        self.files_known.store(0, Ordering::Relaxed);
        self.bytes_known.store(0, Ordering::Relaxed);
        *round = Round {
            number: round.number + 1,
            name,
            records: self.records(),
            bytes_passed: self.bytes_passed(),
            worked: self.worked.load(Ordering::Relaxed),
            analysed: self.analysed.load(Ordering::Relaxed),
            ..Round::default()
        };
    }

    /// Sets the total of the round.
    pub(crate) fn know_total(&self, total: Total) {
        let mut round = self.round();
        self.files_known.store(total.files, Ordering::Relaxed);
        self.bytes_known.store(total.bytes.unwrap_or(0), Ordering::Relaxed);
        round.has_totals = true;
        round.knows_bytes = total.bytes.is_some();
        round.is_all_known = total.is_all;
    }

    /// Adds to the total of a round while it is being counted.
    pub(crate) fn add_known(&self, files: u64, bytes: u64) {
        self.files_known.fetch_add(files, Ordering::Relaxed);
        self.bytes_known.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The total of the round is complete.
    pub(crate) fn know_all(&self) {
        self.round().is_all_known = true;
    }

    /// Whether files are counted ahead of the run.
    pub(crate) fn is_counted_ahead(&self) -> bool {
        self.counts_ahead.load(Ordering::Relaxed)
    }

    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Whether to leave everything as it is.
    pub(crate) fn should_stop(&self) -> bool {
        self.is_cancelled() || self.abandoned.load(Ordering::Relaxed)
    }

    pub(crate) fn add_records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds to the time of the workers, and to that in analyses.
    pub(crate) fn add_time(&self, worked: Duration, analysed: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.worked.fetch_add(nanos(worked), Ordering::Relaxed);
        self.analysed.fetch_add(nanos(analysed), Ordering::Relaxed);
    }

    /// Bytes of a file that will not be read after all.
    pub(crate) fn leave_out_bytes(&self, bytes: u64) {
        self.bytes_left_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_explored(&self, share: u64) {
        self.explored.fetch_add(share, Ordering::Relaxed);
    }

    fn bytes_passed(&self) -> u64 {
        self.bytes() + self.bytes_left_out.load(Ordering::Relaxed)
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_counts_from_its_own_beginning() {
        let control = Control::new();
        control.add_records(3);
        control.add_bytes(10);
        control.begin_round("head");
        let known = Total { files: 7, bytes: Some(100), is_all: true };
        control.know_total(known);
        control.add_records(2);
        control.add_bytes(20);
        control.leave_out_bytes(5);
        control.add_time(Duration::from_secs(4), Duration::from_secs(1));
        let progress = control.progress();
        assert_eq!((progress.name, progress.files_done, progress.bytes_done), ("head", 2, 25));
        assert_eq!((progress.total, progress.analysed), (Some(known), 0.25));
        assert_eq!((control.records(), control.bytes()), (5, 30));
        control.begin_round("tail");
        assert_eq!(control.progress().total, None);
        assert!(control.progress().round > progress.round);
    }
}
