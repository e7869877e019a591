//! A large file that several workers read together, a part each: BLAKE3 by subtrees, counts by sums.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cpu::{Passes, answers, join};
use crate::analyses::PART_BYTES_MIN;
use crate::error::{FileError, caught};
use crate::plan::Plan;
use crate::record::{Batch, Directory, FileRecord, Outcome, Results, Row};

/// At most this many parts: passes that wait for the part before them are few then, however large the file.
const PARTS_MAX: u64 = 256;
/// Smaller parts cost more, in passes and in windows of mappings, than they even out.
const PART_BYTES_LEAST: u64 = 4 << 20;

/// An open file `F`, divided into parts.
pub(crate) struct Large<F> {
    /// The open file.
    pub(crate) file: F,
    directory: Directory,
    name: Vec<u8>,
    size: u64,
    mtime_ns: i128,
    part_bytes: u64,
    columns: usize,
    state: Mutex<State>,
}

struct State {
    /// A batch with the file as its only entry; until its results are made.
    batch: Batch,
    /// Where the next part begins that nobody has taken.
    next: u64,
    in_work: usize,
    /// All parts from the start of the file up to this offset, joined.
    joined: Passes,
    joined_to: u64,
    /// Parts that are done before the one before them is.
    waiting: BTreeMap<u64, Passes>,
    /// The failure that is furthest to the front, which is what one worker alone would have come to.
    failed: Option<(u64, Outcome)>,
}

/// One part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// How long it is, in bytes.
    pub(crate) bytes: u64,
}

impl<F> Large<F> {
    /// Divides the only file of `batch`, which is not empty.
    pub(crate) fn new(plan: &Plan, batch: Batch, file: F, size: u64, mtime_ns: i128) -> Large<F> {
        let entry = batch.entries().next().expect("a batch of one file");
        let (directory, name) = (entry.directory.clone(), entry.name().to_vec());
        const { assert!(PART_BYTES_LEAST >= PART_BYTES_MIN) };
        let part_bytes = size.div_ceil(PARTS_MAX).next_power_of_two().max(PART_BYTES_LEAST);
        let state = State {
            batch,
            next: 0,
            in_work: 0,
            joined: Vec::new(),
            joined_to: 0,
            waiting: BTreeMap::new(),
            failed: None,
        };
        let (columns, state) = (plan.columns().len(), Mutex::new(state));
        Large { file, directory, name, size, mtime_ns, part_bytes, columns, state }
    }

    /// The next part that nobody has taken. Each is followed by one [`Large::put`].
    pub(crate) fn take(&self) -> Option<Part> {
        let mut state = self.lock();
        if state.next >= self.size || state.failed.is_some() {
            return None;
        }
        let offset = state.next;
        let bytes = self.part_bytes.min(self.size - offset);
        state.next += bytes;
        state.in_work += 1;
        Some(Part { offset, bytes })
    }

    /// Whether there are parts that nobody has taken.
    pub(crate) fn has_more(&self) -> bool {
        let state = self.lock();
        state.next < self.size && state.failed.is_none()
    }

    /// Puts back what came of a part. When it was the last, `close` says what became of the file, and the results of its
    /// batch are returned.
    pub(crate) fn put(
        &self,
        part: &Part,
        came: Result<Passes, Outcome>,
        close: impl FnOnce() -> Outcome,
    ) -> Option<Results> {
        let mut state = self.lock();
        state.in_work -= 1;
        let came = came.and_then(|passes| state.add(part, passes).map_err(Outcome::Failed));
        if let Err(outcome) = came
            && state.failed.is_none_or(|(offset, _)| part.offset < offset)
        {
            state.failed = Some((part.offset, outcome));
        }
        let is_over = state.in_work == 0 && (state.next >= self.size || state.failed.is_some());
        is_over.then(|| self.results(&mut state, close))
    }

    fn results(&self, state: &mut State, close: impl FnOnce() -> Outcome) -> Results {
        let closed = match state.failed {
            Some((_, failed)) => Err(failed),
            None => match caught(close) {
                Ok(done @ Outcome::Done { .. }) => Ok(done),
                Ok(other) => Err(other),
                Err(error) => Err(Outcome::Failed(error)),
            },
        };
        let answered = closed.and_then(|done| {
            let row = answers(&mut state.joined, self.columns).map_err(Outcome::Failed)?;
            Ok((done, row))
        });
        let (outcome, row) = answered.unwrap_or_else(|failed| (failed, Row::default()));
        let mut batch = std::mem::take(&mut state.batch);
        batch.release_handles();
        Results::new(batch, vec![outcome], row, self.columns)
    }

    /// What passes are told of the file.
    pub(crate) fn record(&self) -> FileRecord<'_> {
        FileRecord { directory: &self.directory, name: &self.name, size: self.size, mtime_ns: self.mtime_ns }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What can panic under it is caught.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, part: &Part, passes: Passes) -> Result<(), FileError> {
        if part.offset != self.joined_to {
            self.waiting.insert(part.offset, passes);
            return Ok(());
        }
        if part.offset == 0 {
            self.joined = passes;
        } else {
            join(&mut self.joined, passes)?;
        }
        self.joined_to += part.bytes;
        while let Some(passes) = self.waiting.remove(&self.joined_to) {
            join(&mut self.joined, passes)?;
            self.joined_to += part.bytes;
        }
        Ok(())
    }
}
