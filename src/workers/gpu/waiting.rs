//! A batch of which some rows wait for what a device has to say: rows leave when both halves are there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::packing::Packed;
use crate::analyses::{Analysis, Kernel, Pass};
use crate::error::caught;
use crate::record::{Batch, Directory, FileRecord, Identity, Outcome, Results, Row, Value};

/// A batch, shared by all slots that pieces of its files lie in.
pub(super) struct Waiting {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Pieces without an answer, and the batch itself until it is read.
    open: usize,
    files: Vec<Gone>,
    read: Option<Read>,
}

/// A batch that is read.
struct Read {
    batch: Batch,
    outcomes: Vec<Outcome>,
    rows: Row,
    columns: usize,
}

/// A file that went to a device.
#[derive(Default)]
struct Gone {
    /// Where in the batch and among the rows it is; `None`: its answers are not wanted.
    place: Option<Place>,
    values: Vec<Value>,
    /// What became of it instead, after all.
    instead: Option<Outcome>,
    /// Of a file in several pieces, as far as they are answered.
    pass: Option<Box<dyn Pass>>,
}

/// Where the values of a file belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Entry of the batch.
    pub(super) entry: usize,
    /// Where its row begins.
    pub(super) row: usize,
    /// Where the values of the device belong.
    pub(super) values: usize,
}

/// Of which file a piece is.
pub(super) struct Owner {
    pub(super) waiting: std::sync::Arc<Waiting>,
    pub(super) file: usize,
    pub(super) facts: Facts,
    /// Bytes of the pieces before this one.
    pub(super) bytes_before: u64,
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// What passes are told of a file.
#[derive(Clone)]
pub(super) struct Facts {
    directory: Directory,
    name: Vec<u8>,
    size: u64,
    mtime_ns: i128,
    identity: Identity,
}

impl Facts {
    pub(super) fn of(file: &FileRecord<'_>) -> Facts {
        let FileRecord { directory, name, size, mtime_ns, identity } = *file;
        // No handle: there is nothing to open any more.
        Facts { directory: directory.without_handle(), name: name.to_vec(), size, mtime_ns, identity }
    }

    fn record(&self) -> FileRecord<'_> {
        let Facts { directory, name, size, mtime_ns, identity } = self;
        FileRecord { directory, name, size: *size, mtime_ns: *mtime_ns, identity: *identity }
    }
}

/// A batch whose rows are all there, and how long it took.
pub(crate) type Answered = (Results, Duration);

impl Waiting {
    pub(super) fn new() -> Waiting {
        Waiting { since: Instant::now(), state: Mutex::new(State { open: 1, ..State::default() }) }
    }

    /// One more file. Returns its number.
    pub(super) fn add_file(&self) -> usize {
        let mut state = self.lock();
        state.files.push(Gone::default());
        state.files.len() - 1
    }

    /// A piece is on its way.
    pub(super) fn add_piece(&self) {
        self.lock().open += 1;
    }

    /// The piece that was added last is not on its way after all.
    pub(super) fn drop_piece(&self) {
        self.lock().open -= 1;
    }

    /// All of a file is on its way; its values belong there.
    pub(super) fn place(&self, file: usize, place: Place) {
        self.lock().files[file].place = Some(place);
    }

    /// What becomes of a file instead.
    pub(super) fn instead(&self, file: usize, outcome: Outcome) {
        self.lock().files[file].instead = Some(outcome);
    }

    /// The batch is read.
    pub(super) fn read(
        &self,
        batch: Batch,
        outcomes: Vec<Outcome>,
        rows: Row,
        columns: usize,
    ) -> Option<Answered> {
        let mut state = self.lock();
        state.read = Some(Read { batch, outcomes, rows, columns });
        self.less(state)
    }

    fn less(&self, mut state: MutexGuard<'_, State>) -> Option<Answered> {
        state.open -= 1;
        if state.open > 0 {
            return None;
        }
        let files = std::mem::take(&mut state.files);
        let read = state.read.take()?;
        Some((read.results(files), self.since.elapsed()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read {
    fn results(self, files: Vec<Gone>) -> Results {
        let Read { batch, mut outcomes, mut rows, columns } = self;
        let mut without = Vec::new();
        for Gone { place, values, instead, .. } in files {
            let Some(place) = place else { continue };
            match instead {
                None => {
                    values.into_iter().enumerate().for_each(|(i, value)| rows.set(place.values + i, value));
                }
                Some(outcome) => {
                    outcomes[place.entry] = outcome;
                    without.push(place.row..place.row + columns);
                }
            }
        }
        if !without.is_empty() {
            let mut left = Row::with_capacity(rows.values().len());
            for (i, value) in rows.values().iter().enumerate() {
                if !without.iter().any(|range| range.contains(&i)) {
                    left.push(value.clone());
                }
            }
            rows = left;
        }
        Results::new(batch, outcomes, rows, columns)
    }
}

/// Who turns words into values: with a pass that is used for one file after the other.
pub(super) struct Finisher<'r> {
    analysis: &'r dyn Analysis,
    kernel: &'r Kernel,
    pass: Box<dyn Pass>,
}

impl<'r> Finisher<'r> {
    pub(super) fn new(analysis: &'r dyn Analysis, kernel: &'r Kernel) -> Finisher<'r> {
        Finisher { analysis, kernel, pass: analysis.pass() }
    }

    /// Answers a piece of a slot, with the words of all its segments; without them by the processor. The batch, where that was
    /// its last.
    pub(super) fn answer(
        &mut self,
        packed: &Packed,
        i: usize,
        owner: &Owner,
        words: Option<&[u32]>,
    ) -> Option<Answered> {
        let Owner { waiting, file, facts, is_first, is_last, .. } = owner;
        let before = waiting.lock().files[*file].pass.take();
        // After a panic there is none.
        let has_failed = waiting.lock().files[*file].instead.is_some();
        debug_assert!(has_failed || before.is_some() != *is_first, "pieces are answered in their order");
        let mut fresh = None;
        // Others may read more of the batch meanwhile.
        let answered = caught(|| {
            let pass = match before {
                Some(pass) => fresh.insert(pass),
                None if *is_first && *is_last => &mut self.pass,
                None => fresh.insert(self.analysis.pass()),
            };
            if *is_first {
                pass.begin(&facts.record(), 0);
            }
            take_in(&mut **pass, packed, i, self.kernel, words);
            let mut row = Row::default();
            if *is_last {
                pass.finish(&mut row);
            }
            row.values().to_vec()
        });
        let mut state = waiting.lock();
        let gone = &mut state.files[*file];
        match answered {
            Ok(values) if *is_last => gone.values = values,
            Ok(_) => gone.pass = fresh,
            Err(error) => {
                self.pass = self.analysis.pass();
                // What follows of it finds a pass that has seen nothing, and is not asked for what that says.
                gone.instead = Some(Outcome::Failed(error));
            }
        }
        waiting.less(state)
    }

    /// How long the processor takes for these bytes.
    pub(super) fn time(&mut self, bytes: &[u8]) -> Duration {
        let directory = Directory::from_path(b"");
        let (size, identity) = (bytes.len() as u64, Identity::default());
        let file = FileRecord { directory: &directory, name: b"", size, mtime_ns: 0, identity };
        let since = Instant::now();
        // Who panics is told of when it has a file.
        let timed = caught(|| {
            self.pass.begin(&file, 0);
            self.pass.block(bytes);
        });
        if timed.is_err() {
            self.pass = self.analysis.pass();
        }
        since.elapsed()
    }

    /// Nobody wants the answer to a piece any more.
    pub(super) fn give_up(&mut self, owner: &Owner) -> Option<Answered> {
        let mut state = owner.waiting.lock();
        state.files[owner.file].instead = Some(Outcome::Unread);
        owner.waiting.less(state)
    }

    /// Whether the processor says the same of a piece by itself as the words do.
    pub(super) fn agrees(&mut self, packed: &Packed, i: usize, owner: &Owner, words: &[u32]) -> bool {
        let mut values = |words: Option<&[u32]>| {
            self.pass.begin(&owner.facts.record(), 0);
            take_in(&mut *self.pass, packed, i, self.kernel, words);
            let mut row = Row::default();
            self.pass.finish(&mut row);
            row
        };
        let both = caught(|| values(Some(words)) == values(None));
        // Who panics is told of when it is answered.
        both.unwrap_or_else(|_| {
            self.pass = self.analysis.pass();
            true
        })
    }
}

fn take_in(pass: &mut dyn Pass, packed: &Packed, i: usize, kernel: &Kernel, words: Option<&[u32]>) {
    match words {
        Some(words) => {
            let (bytes, words) = packed.piece(i, kernel, words);
            pass.block_by_kernel(bytes, words);
        }
        None => pass.block(packed.piece_bytes(i)),
    }
}
