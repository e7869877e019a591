//! The CPU worker: all analyses over a block while it is in the core's cache.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::gpu::Packer;
use super::large::{Came, Large, Part};
use crate::analyses::{self, Parts, Pass};
use crate::error::{FileError, caught};
use crate::plan::Plan;
use crate::record::{Batch, EntryRef, Event, FileRecord, Outcome, Results, Row, Value};

/// A pass of each analysis of a plan.
pub(crate) type Passes = Vec<Box<dyn Pass>>;

/// One worker, with passes that are reused for every file.
pub(crate) struct Worker<'p> {
    plan: &'p Plan,
    passes: Passes,
    columns: usize,
    divides_files: bool,
    /// The way to the GPUs, where there may be some.
    pub(crate) packer: Option<Packer<'p>>,
    /// The file at hand: how large it is, and whether a GPU is to have it.
    size: u64,
    is_packed: bool,
    /// Time spent in analyses.
    pub(crate) analysed: Duration,
}

/// How far a worker came with a batch.
pub(crate) struct Worked {
    /// Of the entries that it worked off; `None`: GPUs have some of them.
    pub(crate) results: Option<Results>,
    /// The others.
    pub(crate) rest: Batch,
    /// Whether it stopped because the rest begins with a large file.
    pub(crate) is_large_next: bool,
}

impl<'p> Worker<'p> {
    /// A worker that leaves a large file to several of its kind where `divides_files`.
    pub(crate) fn new(plan: &'p Plan, divides_files: bool, packer: Option<Packer<'p>>) -> Self {
        Worker {
            plan,
            passes: analyses::passes(&plan.analyses),
            columns: plan.columns().len(),
            divides_files,
            packer,
            size: 0,
            is_packed: false,
            analysed: Duration::ZERO,
        }
    }

    /// Works off a batch until `after`, which is told what became of each entry and how many are left, breaks; or until
    /// it comes to a large file, for which others in the batch would have to wait, or that is divided.
    ///
    /// `stage` reads one entry, telling of its bytes until it is told to break off, and says what became of it. `is_whole` says
    /// that a large file is to be worked off here all the same.
    pub(crate) fn work(
        &mut self,
        mut batch: Batch,
        is_whole: bool,
        mut stage: impl FnMut(&EntryRef<'_>, &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Outcome,
        mut after: impl FnMut(&Outcome, usize) -> ControlFlow<()>,
    ) -> Worked {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rows = Row::with_capacity(batch.len() * self.columns);
        let puts_off = !is_whole && (self.divides_files || batch.len() > 1);
        let mut is_large_next = false;
        for entry in batch.entries() {
            let rows_before = rows.values().len();
            // After a panic the passes are made anew and the row is cut back: nothing half-done is seen again.
            let outcome = caught(|| {
                let outcome = stage(&entry, &mut |event| match event {
                    Event::Open { file, can_wait: true }
                        if puts_off && file.size >= self.plan.share_bytes =>
                    {
                        is_large_next = true;
                        ControlFlow::Break(())
                    }
                    event => {
                        self.take(&event);
                        ControlFlow::Continue(())
                    }
                });
                if matches!(outcome, Outcome::Done { .. }) {
                    let left_out = self.finish(&mut rows);
                    assert_eq!(rows.values().len(), rows_before + self.columns, "one value a column");
                    // Last of all: what is on its way must not fail here any more.
                    if let (Some(values), Some(packer)) = (left_out, &mut self.packer) {
                        packer.done(outcomes.len(), rows_before, values);
                        self.is_packed = false;
                    }
                }
                outcome
            });
            let outcome = outcome.unwrap_or_else(|error| {
                self.passes = analyses::passes(&self.plan.analyses);
                rows.truncate(rows_before);
                Outcome::Failed(error)
            });
            // What is done is not packed any more: it is on its way.
            if std::mem::take(&mut self.is_packed)
                && let Some(packer) = &mut self.packer
            {
                packer.void();
            }
            if is_large_next {
                break;
            }
            outcomes.push(outcome);
            if after(&outcome, batch.len() - outcomes.len()).is_break() {
                break;
            }
        }
        let rest = batch.split_off(outcomes.len());
        batch.release_handles();
        let results = match &mut self.packer {
            Some(packer) => packer.end_batch(batch, outcomes, rows, self.columns),
            None => Some(Results::new(batch, outcomes, rows, self.columns)),
        };
        Worked { results, rest, is_large_next }
    }

    /// Works off one part of a large file. `whole` are the passes of the leader, which have seen what lies before the part.
    /// `stage` reads it, handing over its blocks.
    pub(crate) fn work_part<F>(
        &mut self,
        large: &Large<F>,
        part: &Part,
        mut whole: Passes,
        stage: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), Outcome>,
    ) -> Result<Came, Outcome> {
        let mut divided = Passes::new();
        let analysed = caught(|| {
            let file = large.record();
            if part.is_for_divided {
                divided = self.passes_of(Parts::Aligned);
                divided.iter_mut().for_each(|pass| pass.begin(&file, part.offset));
            }
            if part.is_for_whole && part.offset == 0 {
                whole = self.passes_of(Parts::Whole);
                whole.iter_mut().for_each(|pass| pass.begin(&file, 0));
            }
            stage(&mut |bytes| {
                let since = Instant::now();
                divided.iter_mut().chain(&mut whole).for_each(|pass| pass.block(bytes));
                self.analysed += since.elapsed();
            })
        });
        analysed.unwrap_or_else(|error| Err(Outcome::Failed(error))).map(|()| Came { divided, whole })
    }

    fn passes_of(&self, parts: Parts) -> Passes {
        analyses::passes(self.plan.analyses.iter().filter(|analysis| analysis.parts() == parts))
    }

    /// The answers of the passes of a large file, in the order of the plan's analyses.
    pub(crate) fn answer(&self, divided: Passes, whole: Passes) -> Row {
        let (mut divided, mut whole) = (divided.into_iter(), whole.into_iter());
        let mut row = Row::with_capacity(self.columns);
        for analysis in &self.plan.analyses {
            let passes = if analysis.parts() == Parts::Whole { &mut whole } else { &mut divided };
            passes.next().expect("a pass for each analysis").finish(&mut row);
        }
        assert_eq!(row.values().len(), self.columns, "one value a column");
        row
    }

    fn take(&mut self, event: &Event<'_>) {
        if self.passes.is_empty() {
            return;
        }
        match event {
            Event::Open { file, .. } => self.open(file),
            Event::Block(bytes) => {
                let since = Instant::now();
                match &self.packer {
                    None => self.passes.iter_mut().for_each(|pass| pass.block(bytes)),
                    Some(_) => self.block_beside_gpus(bytes),
                }
                self.analysed += since.elapsed();
            }
        }
    }

    fn open(&mut self, file: &FileRecord<'_>) {
        self.passes.iter_mut().for_each(|pass| pass.begin(file, 0));
        if let Some(packer) = &mut self.packer {
            self.size = file.size;
            self.is_packed = packer.open(file);
        }
    }

    /// The analysis that GPUs have a kernel for is either theirs, or its time is taken: who is faster gets what follows.
    fn block_beside_gpus(&mut self, bytes: &[u8]) {
        let Some(packer) = &mut self.packer else { return };
        let at = packer.analysis_at();
        for (i, pass) in self.passes.iter_mut().enumerate() {
            if i != at {
                pass.block(bytes);
            } else if self.is_packed {
                packer.block(bytes);
            } else {
                let since = Instant::now();
                pass.block(bytes);
                packer.count_worker(self.size, bytes.len() as u64, since.elapsed());
            }
        }
    }

    /// Adds the row of a file. Returns where in it values are missing that a GPU is to make.
    fn finish(&mut self, rows: &mut Row) -> Option<usize> {
        if self.passes.is_empty() {
            return None;
        }
        let since = Instant::now();
        let packer = self.packer.as_ref().filter(|_| self.is_packed);
        let mut left_out = None;
        for (i, pass) in self.passes.iter_mut().enumerate() {
            match packer {
                Some(packer) if packer.analysis_at() == i => {
                    left_out = Some(rows.values().len());
                    (0..packer.columns()).for_each(|_| rows.push(Value::Null));
                }
                _ => pass.finish(rows),
            }
        }
        self.analysed += since.elapsed();
        left_out
    }
}

/// Joins the passes of the part that follows to those of what lies before it.
///
/// # Errors
/// When one of them panics.
pub(super) fn join(before: &mut Passes, mut next: Passes) -> Result<(), FileError> {
    caught(|| before.iter_mut().zip(&mut next).for_each(|(before, next)| before.join(&mut **next)))
}
