//! A large file that several workers read together, a part each: BLAKE3 by subtrees, counts by sums.
//!
//! Analyses that cannot be divided are the leader's, the worker that opened the file: it goes through all parts in order,
//! and answers the divided ones as well for each part that nobody else has taken. The others keep close ahead of it, so
//! that what they had read for them is still in memory when the leader comes to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cpu::{Passes, join};
use crate::analyses::{PART_BYTES_MIN, Parts};
use crate::error::{FileError, caught};
use crate::plan::Plan;
use crate::record::{Batch, Directory, FileRecord, Identity, Outcome, Results, Row};

/// A few milliseconds of work: small enough that all are done at about the same time, and that who helps is soon back where
/// other work waits. Smaller ones cost more, in passes and in windows of mappings, than they even out.
const PART_BYTES: u64 = 8 << 20;
/// How many parts somebody may be ahead: of the first part that is not done, as passes wait for it in memory; and of a
/// leader that has to see all of them, as their bytes wait for it in the system's cache.
const PARTS_AHEAD_MAX: u64 = 32;

/// Which analyses of a plan can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Divided {
    /// At least one can.
    pub(crate) any: bool,
    /// All can.
    pub(crate) all: bool,
}

impl Divided {
    pub(crate) fn of(plan: &Plan) -> Divided {
        let mut aligned = plan.analyses.iter().map(|analysis| analysis.parts() == Parts::Aligned);
        // To read alone can be divided as well.
        Divided { any: plan.analyses.is_empty() || aligned.clone().any(|is| is), all: aligned.all(|is| is) }
    }
}

/// An open file `F`, divided into parts.
pub(crate) struct Large<F> {
    /// The open file.
    pub(crate) file: F,
    directory: Directory,
    name: Vec<u8>,
    size: u64,
    mtime_ns: i128,
    identity: Identity,
    has_leader: bool,
    state: Mutex<State>,
}

struct State {
    /// A batch with the file as its only entry; until its results are made.
    batch: Batch,
    /// Where the next part begins that nobody has taken.
    next: u64,
    /// Where the next part of the leader begins.
    leader: u64,
    in_work: usize,
    /// The passes of the leader that have seen all.
    whole: Passes,
    /// All parts from the start of the file up to this offset, joined.
    joined: Passes,
    joined_to: u64,
    /// Parts that are done before the one before them is.
    waiting: BTreeMap<u64, Passes>,
    /// The failure that is furthest to the front, which is what one worker alone would have come to.
    failed: Option<(u64, Outcome)>,
}

/// One part of a file, and what is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// How long it is, in bytes.
    pub(crate) bytes: u64,
    /// Whether the analyses that can be divided are to see it.
    pub(crate) is_for_divided: bool,
    /// Whether those that cannot are to see it.
    pub(crate) is_for_whole: bool,
    /// Whether nobody else will look at its bytes.
    pub(crate) is_last_look: bool,
}

/// What came of a part.
#[derive(Default)]
pub(crate) struct Came {
    /// Passes that have seen this part.
    pub(crate) divided: Passes,
    /// Passes that have seen everything up to its end.
    pub(crate) whole: Passes,
}

impl<F> Large<F> {
    /// Divides the only file of `batch`, which is not empty.
    pub(crate) fn new(
        divided: Divided,
        batch: Batch,
        file: F,
        size: u64,
        mtime_ns: i128,
        identity: Identity,
    ) -> Large<F> {
        let entry = batch.entries().next().expect("a batch of one file");
        let (directory, name) = (entry.directory.clone(), entry.name().to_vec());
        const { assert!(PART_BYTES >= PART_BYTES_MIN && PART_BYTES.is_power_of_two()) };
        // No handle: it would stay open for as long as somebody may come to help.
        let directory = Directory::from_path(&directory.path);
        let state = Mutex::new(State {
            batch,
            next: 0,
            leader: 0,
            in_work: 0,
            whole: Vec::new(),
            joined: Vec::new(),
            joined_to: 0,
            waiting: BTreeMap::new(),
            failed: None,
        });
        Large { file, directory, name, size, mtime_ns, identity, has_leader: !divided.all, state }
    }

    /// The next part to work on, for the leader or for one of the others. Each is followed by one [`Large::put`]. Where there
    /// is none for now, whoever is at the part that the others wait for goes on with the next.
    pub(crate) fn take(&self, is_leader: bool) -> Option<Part> {
        let mut state = self.lock();
        let is_for_whole = is_leader && self.has_leader;
        let offset = if is_for_whole { state.leader } else { state.next };
        if offset >= self.size || state.failed.is_some() || (!is_for_whole && self.is_too_far(&state)) {
            return None;
        }
        let bytes = PART_BYTES.min(self.size - offset);
        let is_for_divided = offset == state.next;
        if is_for_divided {
            state.next += bytes;
        }
        if is_for_whole {
            state.leader += bytes;
        }
        state.in_work += 1;
        let is_last_look = is_for_whole || !self.has_leader;
        Some(Part { offset, bytes, is_for_divided, is_for_whole, is_last_look })
    }

    /// Whether there is a part for somebody who helps.
    pub(crate) fn wants_help(&self) -> bool {
        let state = self.lock();
        state.next < self.size && state.failed.is_none() && !self.is_too_far(&state)
    }

    /// Whether somebody goes on with the file when one who helps leaves it.
    pub(crate) fn can_be_left(&self) -> bool {
        self.has_leader || self.lock().in_work > 0
    }

    fn is_too_far(&self, state: &State) -> bool {
        let behind = if self.has_leader { state.leader.min(state.joined_to) } else { state.joined_to };
        state.next >= behind + PARTS_AHEAD_MAX * PART_BYTES
    }

    /// Puts back what came of a part. When it was the last, `close` says what became of the file, `answer` what the passes
    /// of the divided analyses and of the others have to say, and the results of its batch are returned.
    pub(crate) fn put(
        &self,
        part: &Part,
        came: Result<Came, Outcome>,
        close: impl FnOnce() -> Outcome,
        answer: impl FnOnce(Passes, Passes) -> Row,
    ) -> Option<Results> {
        let mut state = self.lock();
        state.in_work -= 1;
        let came = came.and_then(|came| state.add(part, came).map_err(Outcome::Failed));
        if let Err(outcome) = came
            && state.failed.is_none_or(|(offset, _)| part.offset < offset)
        {
            state.failed = Some((part.offset, outcome));
        }
        let is_read = state.next >= self.size && (!self.has_leader || state.leader >= self.size);
        let is_over = state.in_work == 0 && (is_read || state.failed.is_some());
        is_over.then(|| state.results(close, answer))
    }

    /// What passes are told of the file.
    pub(crate) fn record(&self) -> FileRecord<'_> {
        let Large { directory, name, size, mtime_ns, identity, .. } = self;
        FileRecord { directory, name, size: *size, mtime_ns: *mtime_ns, identity: *identity }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What can panic under it is caught.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, part: &Part, came: Came) -> Result<(), FileError> {
        if part.is_for_whole {
            self.whole = came.whole;
        }
        if !part.is_for_divided {
            return Ok(());
        }
        if part.offset != self.joined_to {
            self.waiting.insert(part.offset, came.divided);
            return Ok(());
        }
        if part.offset == 0 {
            self.joined = came.divided;
        } else {
            join(&mut self.joined, came.divided)?;
        }
        self.joined_to += part.bytes;
        while let Some(passes) = self.waiting.remove(&self.joined_to) {
            join(&mut self.joined, passes)?;
            self.joined_to += part.bytes;
        }
        Ok(())
    }

    fn results(
        &mut self,
        close: impl FnOnce() -> Outcome,
        answer: impl FnOnce(Passes, Passes) -> Row,
    ) -> Results {
        let outcome =
            self.failed.map_or_else(|| caught(close).unwrap_or_else(Outcome::Failed), |(_, failed)| failed);
        let mut batch = std::mem::take(&mut self.batch);
        batch.release_handles();
        if !matches!(outcome, Outcome::Done { .. }) {
            return Results::of_one(batch, outcome);
        }
        let (divided, whole) = (std::mem::take(&mut self.joined), std::mem::take(&mut self.whole));
        match caught(|| answer(divided, whole)) {
            Ok(row) => {
                let columns = row.values().len();
                Results::new(batch, vec![outcome], row, columns)
            }
            Err(error) => Results::of_one(batch, Outcome::Failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Found;

    fn large(has_leader: bool, size: u64) -> Large<()> {
        let mut batch = Batch::default();
        batch.push(&Directory::from_path(b""), b"file", Found::File);
        Large::new(Divided { any: true, all: !has_leader }, batch, (), size, 0, Identity::default())
    }

    fn put(large: &Large<()>, part: &Part, came: Result<Came, Outcome>) -> Option<Outcome> {
        let done = Outcome::done(0, 0);
        let results = large.put(part, came, || done, |_, _| Row::default())?;
        let outcome = results.records().next().map(|record| record.outcome);
        Some(outcome.unwrap_or(Outcome::Unread))
    }

    #[test]
    fn parts_cover_a_file_once_and_the_last_one_put_back_ends_it() {
        let size = 3 * PART_BYTES + 5;
        let large = large(false, size);
        let parts: Vec<_> = std::iter::from_fn(|| large.take(false)).collect();
        assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), size);
        assert!(!large.wants_help() && parts.iter().all(|part| part.is_for_divided && !part.is_for_whole));
        for part in parts[..3].iter().rev() {
            assert_eq!(put(&large, part, Ok(Came::default())), None);
        }
        assert!(matches!(put(&large, &parts[3], Ok(Came::default())), Some(Outcome::Done { .. })));
    }

    #[test]
    fn a_leader_sees_all_and_the_others_keep_close_ahead() {
        let large = large(true, 50 * PART_BYTES);
        let mut parts: Vec<_> = std::iter::from_fn(|| large.take(false)).collect();
        assert_eq!(parts.len() as u64, PARTS_AHEAD_MAX);
        let lead: Vec<_> = std::iter::from_fn(|| large.take(true)).collect();
        assert_eq!(lead.len(), 50);
        assert!(lead.iter().all(|part| part.is_for_whole));
        assert_eq!(lead.iter().filter(|part| part.is_for_divided).count(), 18);
        parts.extend(lead);
        let last = parts.pop().expect("82 parts");
        assert!(parts.iter().all(|part| put(&large, part, Ok(Came::default())).is_none()));
        assert!(put(&large, &last, Ok(Came::default())).is_some());
    }

    #[test]
    fn nobody_gets_far_ahead_of_the_first_part_that_is_not_done() {
        let large = large(false, 100 * PART_BYTES);
        let parts: Vec<_> = std::iter::from_fn(|| large.take(false)).collect();
        assert_eq!(parts.len() as u64, PARTS_AHEAD_MAX);
        assert!(put(&large, &parts[1], Ok(Came::default())).is_none() && large.take(false).is_none());
        assert!(put(&large, &parts[0], Ok(Came::default())).is_none());
        assert_eq!(std::iter::from_fn(|| large.take(false)).count(), 2);
    }

    #[test]
    fn the_first_failure_in_the_file_counts_and_ends_it_once_nobody_works() {
        let large = large(false, 10 * PART_BYTES);
        let parts: Vec<_> = (0..3).filter_map(|_| large.take(false)).collect();
        let failed = |cause| Outcome::Failed(FileError::new(crate::error::Step::Stage, cause));
        use crate::error::Cause::{Changed, Io};
        assert_eq!(put(&large, &parts[2], Err(failed(Changed))), None);
        assert!(large.take(false).is_none() && !large.wants_help());
        assert_eq!(put(&large, &parts[1], Err(failed(Io))), None);
        assert_eq!(put(&large, &parts[0], Ok(Came::default())), Some(failed(Io)));
    }
}
