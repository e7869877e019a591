//! The CPU worker: all analyses over a block while it is in the core's cache.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::analyses::Pass;
use crate::error::{Cause, FileError, Step};
use crate::plan::Plan;
use crate::record::{Batch, EntryRef, Event, Outcome, Results, Row};

/// One worker: a pass of each analysis, reused for every file.
pub(crate) struct Worker<'p> {
    plan: &'p Plan,
    passes: Vec<Box<dyn Pass>>,
    columns: usize,
    /// Time spent in analyses.
    pub(crate) analysed: Duration,
}

impl<'p> Worker<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        Worker { plan, passes: passes(plan), columns: plan.columns().len(), analysed: Duration::ZERO }
    }

    /// Works off one batch, or its start: it stops after the plan's `share_bytes`, and before a file as large as that
    /// for which the others would have to wait; and returns the rest. `stage` reads one entry, telling of its bytes until
    /// it is told to break off, and says what became of it.
    pub(crate) fn work(
        &mut self,
        mut batch: Batch,
        mut stage: impl FnMut(&EntryRef<'_>, &mut dyn FnMut(Event<'_>) -> ControlFlow<()>) -> Outcome,
    ) -> (Results, Batch) {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rows = Row::with_capacity(batch.len() * self.columns);
        let mut read_bytes = 0;
        for entry in batch.entries() {
            let rows_before = rows.values().len();
            let mut is_put_off = false;
            // After a panic the passes are made anew and the row is cut back: nothing half-done is seen again.
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let outcome = stage(&entry, &mut |event| match event {
                    Event::Open(file) if !outcomes.is_empty() && file.size >= self.plan.share_bytes => {
                        is_put_off = true;
                        ControlFlow::Break(())
                    }
                    event => {
                        self.take(&event);
                        ControlFlow::Continue(())
                    }
                });
                if matches!(outcome, Outcome::Done { .. }) {
                    self.finish(&mut rows);
                    assert_eq!(rows.values().len(), rows_before + self.columns, "one value a column");
                }
                outcome
            }));
            let outcome = outcome.unwrap_or_else(|_| {
                self.passes = passes(self.plan);
                rows.truncate(rows_before);
                Outcome::Failed(FileError::new(Step::Analyse, Cause::Panic))
            });
            if is_put_off {
                break;
            }
            outcomes.push(outcome);
            if let Outcome::Done { size, .. } = outcome {
                read_bytes += size;
            }
            if read_bytes >= self.plan.share_bytes {
                break;
            }
        }
        let rest = batch.split_off(outcomes.len());
        batch.release_handles();
        (Results::new(batch, outcomes, rows, self.columns), rest)
    }

    fn take(&mut self, event: &Event<'_>) {
        if self.passes.is_empty() {
            return;
        }
        match event {
            Event::Open(file) => self.passes.iter_mut().for_each(|pass| pass.begin(file)),
            Event::Block(bytes) => {
                let since = Instant::now();
                self.passes.iter_mut().for_each(|pass| pass.block(bytes));
                self.analysed += since.elapsed();
            }
        }
    }

    fn finish(&mut self, rows: &mut Row) {
        if self.passes.is_empty() {
            return;
        }
        let since = Instant::now();
        self.passes.iter_mut().for_each(|pass| pass.finish(rows));
        self.analysed += since.elapsed();
    }
}

fn passes(plan: &Plan) -> Vec<Box<dyn Pass>> {
    plan.analyses.iter().map(|analysis| analysis.pass()).collect()
}
