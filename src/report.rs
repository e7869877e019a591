//! What a run did: the ledger, time per step, sizes, and what a person should know.

use std::time::{Duration, SystemTime};

use crate::error::{Cause, FileError};
use crate::latencies::Latencies;
use crate::record::{Outcome, SkipReason};

/// What became of every path the walk met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Paths met: files and what is no file, and directories that could not be entered.
    pub met: u64,
    /// Files read to their end and analysed.
    pub done: u64,
    /// Bytes of those files.
    pub bytes: u64,
    skipped: [u64; SkipReason::ALL.len()],
    failed: [u64; Cause::ALL.len()],
    /// Paths left without a record by a cancelled run.
    pub unread: u64,
}

impl Ledger {
    /// Counts one record.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done { size, .. } => {
                self.done += 1;
                self.bytes += size;
            }
            Outcome::Skipped(reason) => self.skipped[*reason as usize] += 1,
            Outcome::Failed(error) => self.failed[error.cause as usize] += 1,
            Outcome::Unread | Outcome::Listed => {}
        }
    }

    /// A file that was counted as done has failed later.
    pub(crate) fn fail(&mut self, size: u64, error: &FileError) {
        self.done -= 1;
        self.bytes -= size;
        self.failed[error.cause as usize] += 1;
    }

    /// Paths that were not read, by reason; those that do not occur are left out.
    pub fn skipped(&self) -> impl Iterator<Item = (SkipReason, u64)> {
        SkipReason::ALL.into_iter().zip(self.skipped).filter(|(_, count)| *count > 0)
    }

    /// Paths that could not be read, by cause; those that do not occur are left out.
    pub fn failed(&self) -> impl Iterator<Item = (Cause, u64)> {
        Cause::ALL.into_iter().zip(self.failed).filter(|(_, count)| *count > 0)
    }

    /// Sum of [`Ledger::skipped`].
    pub fn skipped_total(&self) -> u64 {
        self.skipped.iter().sum()
    }

    /// Sum of [`Ledger::failed`].
    pub fn failed_total(&self) -> u64 {
        self.failed.iter().sum()
    }

    /// Paths that have a record.
    pub fn records(&self) -> u64 {
        self.done + self.skipped_total() + self.failed_total()
    }

    /// Whether every path met is accounted for.
    pub fn adds_up(&self) -> bool {
        self.met == self.records() + self.unread
    }
}

/// Time spent per step, summed over its threads. Steps run beside each other, so the sum is more than the time
/// that passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Listing directories.
    pub walk: Duration,
    /// Opening and reading.
    pub stage: Duration,
    /// Analysing.
    pub analyse: Duration,
    /// Writing the report.
    pub sink: Duration,
    /// Workers waiting for a batch or for the sink.
    pub workers_waited: Duration,
}

impl StepTimes {
    /// The times of two runs together.
    pub(crate) fn sum(self, other: StepTimes) -> StepTimes {
        StepTimes {
            walk: self.walk + other.walk,
            stage: self.stage + other.stage,
            analyse: self.analyse + other.analyse,
            sink: self.sink + other.sink,
            workers_waited: self.workers_waited + other.workers_waited,
        }
    }
}

/// How the bytes of files were reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Files that were read as they lie.
    pub read: Volume,
    /// Files that were mapped.
    pub mmap: Volume,
    /// Files that were copied to a RAM disk, and read from there.
    pub ram_disk: Volume,
    /// Time spent copying to a RAM disk, summed over the workers; part of the step `stage`.
    pub load: Duration,
    /// The most that lay on RAM disks at a time, in bytes.
    pub ram_disk_bytes_peak: u64,
}

/// Files, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub files: u64,
    /// How large they are together.
    pub bytes: u64,
}

impl Volume {
    /// Adds a file.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }

    pub(crate) fn sum(self, other: Volume) -> Volume {
        Volume { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

impl Staged {
    /// Bytes that were read, however.
    pub(crate) fn bytes(&self) -> u64 {
        self.read.bytes + self.mmap.bytes + self.ram_disk.bytes
    }

    /// What two workers did together.
    pub(crate) fn sum(self, other: Staged) -> Staged {
        Staged {
            read: self.read.sum(other.read),
            mmap: self.mmap.sum(other.mmap),
            ram_disk: self.ram_disk.sum(other.ram_disk),
            load: self.load + other.load,
            ram_disk_bytes_peak: self.ram_disk_bytes_peak.max(other.ram_disk_bytes_peak),
        }
    }
}

/// What a GPU did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuUse {
    /// The adapter's name, as its driver tells it.
    pub adapter: String,
    /// The driver and its version.
    pub driver: String,
    /// The interface to it: `vulkan`, `metal` or `dx12`.
    pub backend: String,
    /// How bytes get there, whichever was fastest: `staging`, `write` or `mapped`.
    pub upload: &'static str,
    /// Files that it answered for, or that it compared.
    pub files: u64,
    /// Bytes of these files, or of sketches that it compared.
    pub bytes: u64,
    /// Times that work was given to it.
    pub submissions: u64,
    /// How long it was at work, with what it takes to get bytes there and answers back.
    pub busy: Duration,
    /// What rates count.
    pub unit: RateUnit,
    /// What it does a second, where that was measured.
    pub rate: Option<f64>,
    /// What the processor does a second in the same, as the unit says.
    pub worker_rate: Option<f64>,
    /// How often it failed, and what it had at hand was done by the processor.
    pub failures: u64,
    /// Why it was not used, or not for all; empty where there is nothing to say.
    pub left_out: String,
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateUnit {
    /// Bytes of files, against those of one worker.
    #[default]
    Bytes,
    /// Pairs of sketches, against those of all cores.
    Pairs,
}

impl RateUnit {
    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            RateUnit::Bytes => "bytes",
            RateUnit::Pairs => "pairs",
        }
    }
}

impl GpuUse {
    /// Adds what it did later.
    pub(crate) fn add(&mut self, later: &GpuUse) {
        self.files += later.files;
        self.bytes += later.bytes;
        self.submissions += later.submissions;
        self.busy += later.busy;
        self.failures += later.failures;
        (self.rate, self.worker_rate) = (later.rate.or(self.rate), later.worker_rate.or(self.worker_rate));
        self.left_out.clone_from(&later.left_out);
    }
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct Report {
    /// When it began.
    pub started: SystemTime,
    /// How long it took, up to the last record.
    pub elapsed: Duration,
    /// What became of every path.
    pub ledger: Ledger,
    /// Directories listed to their end.
    pub directories: u64,
    /// Directories that could not be listed, in whole or in part.
    pub directories_failed: u64,
    /// Entries left out by name: never met.
    pub filtered: u64,
    /// Time spent per step.
    pub steps: StepTimes,
    /// How long batches took: from when a worker began with one until its results were ready. A piece that was handed over
    /// or put off counts as one, and so does a large file that was divided, from its opening to its answer.
    pub batches: Latencies,
    /// How the files came to be read.
    pub staged: Staged,
    /// What each GPU did that was there and wanted.
    pub gpus: Vec<GpuUse>,
    /// Threads that walked.
    pub walkers: usize,
    /// Threads that read and analysed, in the beginning.
    pub workers: usize,
    /// How a pool that sizes itself changed their number while the run went on.
    pub moves: Vec<Move>,
    /// The most memory the process has held, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// What a search for duplicates came to.
    pub duplicates: Option<Duplicates>,
    /// What was done otherwise than asked for, and why.
    pub notes: Vec<String>,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

impl Report {
    /// Files done a second.
    pub fn files_per_second(&self) -> f64 {
        self.per_second(self.ledger.done)
    }

    /// Bytes of these files a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.per_second(self.ledger.bytes)
    }

    fn per_second(&self, number: u64) -> f64 {
        // A clock may be too coarse to see a short run.
        number as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The numbers of workers that were tried, in order.
    pub fn worker_sizes(&self) -> impl Iterator<Item = usize> {
        std::iter::once(self.workers).chain(self.moves.iter().map(|went| went.workers))
    }

    /// Whether every path met was read or skipped for a reason.
    pub fn is_complete(&self) -> bool {
        self.ledger.failed_total() == 0 && self.ledger.unread == 0 && !self.cancelled
    }
}

/// What a search for duplicates came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Duplicates {
    /// Groups of files of the same content.
    pub groups: u64,
    /// Files in them beyond one a group, or beyond those that are to stay as they are: hard links to one file count as one.
    pub redundant_files: u64,
    /// Groups of directories that are the same all the way down.
    pub directory_groups: u64,
    /// Pairs of directories that have much in common.
    pub similar_pairs: u64,
    /// Bytes that would be free if there were one copy alone, of files and of directories.
    pub reclaimable_bytes: u64,
    /// Bytes of all files that were searched.
    pub searched_bytes: u64,
    /// Bytes that were read of them, in all rounds: so little told them apart.
    pub read_bytes: u64,
    /// Files whose digest was known from an earlier report.
    pub known_files: u64,
    /// What was read, in order.
    pub rounds: Vec<Round>,
    /// What was done about them, or would be.
    pub actions: Actions,
    /// Of a search for files that are nearly the same.
    pub near: Option<Near>,
}

/// What a search for files that are nearly the same did, and how much it may have missed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Near {
    /// The similarity that was asked for, above 0 and at most 1.
    pub threshold: f64,
    /// The analysis that made the sketches, with its parameters.
    pub sketch: String,
    /// Bands, and rows in each, that pairs were found by; `None` where all pairs were compared.
    pub banding: Option<(usize, usize)>,
    /// The probability that a pair was compared whose similarity is the threshold: that of the sketches, or of the sets of shingles
    /// where these decide.
    pub found_at_threshold: f64,
    /// The same for a pair that is 0.1 less similar.
    pub found_below: f64,
    /// Whether similarities are Jaccard indices of the shingles themselves, not estimates by sketches.
    pub is_exact: bool,
    /// Different contents that were compared.
    pub contents: u64,
    /// Files that have no sketch: they are shorter than a shingle, or have more shingles than a sketch can stand for.
    pub unsketched: u64,
    /// Files that are no text, where text alone was wanted.
    pub not_text: u64,
    /// How often all sketches were read to compare them by bands: more often where the tables do not fit the memory.
    pub passes: u64,
    /// Bytes of sketches that did not fit the memory, and were kept on a disk.
    pub spilled_bytes: u64,
    /// Groups of files that are nearly the same.
    pub groups: u64,
    /// Files in them: hard links to one file count as one.
    pub files: u64,
}

/// A round of a search for duplicates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// What it read: nothing (`look`), the starts of files (`head`), their ends (`tail`), or all (`at once`, `content`, `verify`, `sketch`, `exact`); or, without reading, compared sketches (`compare`).
    pub name: &'static str,
    /// Files that it looked at.
    pub files: u64,
    /// Bytes that it read.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Actions by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Actions {
    /// Names that would be acted on.
    pub planned: u64,
    /// Names that were.
    pub done: u64,
    /// Names that were as they should be already.
    pub already: u64,
    /// Names that were left as they are.
    pub refused: u64,
    /// Bytes that the actions freed, or would free.
    pub bytes: u64,
}

/// A change of the number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// When, counted from the start of the run.
    pub after: Duration,
    /// How many there were to be from then on.
    pub workers: usize,
    /// Why.
    pub reason: Reason,
}

/// Why the number of workers was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Cores were idle while workers waited for storage: more might do more.
    CoresIdle,
    /// Cores were busy: one worker a core does as much.
    CoresBusy,
    /// The size that was tried did no more (or, where it was smaller, less): back to the one before.
    NoGain,
    /// The system allowed no further thread.
    NoThread,
}

impl Reason {
    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Reason::CoresIdle => "cores-idle",
            Reason::CoresBusy => "cores-busy",
            Reason::NoGain => "no-gain",
            Reason::NoThread => "no-thread",
        }
    }
}

/// The most memory the process has held so far, in bytes; `None` where the system does not tell.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{FileError, Step};

    #[test]
    fn the_ledger_counts_each_outcome_once() {
        let mut ledger = Ledger { met: 4, unread: 1, ..Ledger::default() };
        ledger.count(&Outcome::done(7, 0));
        ledger.count(&Outcome::Skipped(SkipReason::Fifo));
        assert!(!ledger.adds_up());
        ledger.count(&Outcome::Failed(FileError::new(Step::Stage, Cause::Changed)));
        assert!(ledger.adds_up());
        assert_eq!((ledger.done, ledger.bytes, ledger.records()), (1, 7, 3));
        assert_eq!(ledger.skipped().collect::<Vec<_>>(), [(SkipReason::Fifo, 1)]);
        assert_eq!(ledger.failed().collect::<Vec<_>>(), [(Cause::Changed, 1)]);
    }

    #[test]
    fn counters_are_in_the_order_of_the_lists() {
        assert!(SkipReason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Cause::ALL.iter().enumerate().all(|(i, cause)| *cause as usize == i));
    }
}
