//! Puts results back into the order of the walk, and lets the walk go on as their turns come.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};

use crate::control::Control;
use crate::plan::{Plan, Sort};
use crate::record::{Batch, Results};

/// The walk's end of the window: batches that were sent and whose turn has not come.
pub(crate) struct Intake(Option<Sender<u64>>);

/// The sink's end: results that wait for those before them.
pub(crate) struct Reorder {
    window: Option<Receiver<u64>>,
    /// Where the earliest batch of the window ends, in entries of the walk.
    earliest_end: u64,
    /// Entries of the walk whose turn has come.
    next: u64,
    waiting: BTreeMap<u64, Results>,
}

/// Both ends of a window for `plan`, which lets everything through where the order does not matter.
pub(crate) fn window(plan: &Plan) -> (Intake, Reorder) {
    let (intake, window) = match plan.sort {
        Sort::None => (None, None),
        Sort::Path => {
            let (intake, window) = bounded((plan.sort_window_files_max / plan.batch_files_in_order()).max(1));
            (Some(intake), Some(window))
        }
    };
    (Intake(intake), Reorder { window, earliest_end: 0, next: 0, waiting: BTreeMap::new() })
}

impl Intake {
    /// Waits until there is room for `batch`; `false` when nothing more is wanted.
    pub(crate) fn admit(&self, batch: &Batch, control: &Control) -> bool {
        /// How soon a cancelled run is noticed while nothing moves.
        const LOOK_AFTER: Duration = Duration::from_millis(50);
        let Some(intake) = &self.0 else { return true };
        let end = batch.first + batch.len() as u64;
        loop {
            match intake.send_timeout(end, LOOK_AFTER) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(_)) if !control.should_stop() => {}
                Err(_) => return false,
            }
        }
    }
}

impl Reorder {
    /// Takes results; returns them at once where the order does not matter.
    pub(crate) fn push(&mut self, results: Results) -> Option<Results> {
        if self.window.is_none() {
            return Some(results);
        }
        self.waiting.insert(results.first(), results);
        self.pop()
    }

    /// The next results whose turn has come.
    pub(crate) fn pop(&mut self) -> Option<Results> {
        let window = self.window.as_ref()?;
        let results = self.waiting.remove(&self.next)?;
        self.next = results.end();
        while self.earliest_end <= self.next {
            match window.try_recv() {
                Ok(end) => self.earliest_end = end,
                Err(_) => break,
            }
        }
        Some(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Directory, Found, Outcome, Row, SkipReason};

    fn batch(first: u64, entries: usize) -> Batch {
        let mut batch = Batch::default();
        batch.first = first;
        let directory = Directory::from_path(b"");
        (0..entries).for_each(|_| batch.push(&directory, b"x", Found::File));
        batch
    }

    fn results(first: u64, entries: usize) -> Results {
        let outcomes = vec![Outcome::Skipped(SkipReason::Fifo); entries];
        Results::new(batch(first, entries), outcomes, Row::default(), 0)
    }

    fn sorted(batches: usize) -> Plan {
        let plan = Plan { sort: Sort::Path, batch_files_max: 1, ..Plan::new(["."]) };
        Plan { sort_window_files_max: batches, ..plan }
    }

    #[test]
    fn results_and_parts_of_them_come_out_in_the_order_of_the_walk() {
        let (intake, mut reorder) = window(&sorted(9));
        let mut first = 0;
        for entries in [2, 3, 1] {
            assert!(intake.admit(&batch(first, entries), &Control::new()));
            first += entries as u64;
        }
        let mut order = Vec::new();
        for (first, entries) in [(5, 1), (3, 2), (0, 2), (2, 1)] {
            let mut next = reorder.push(results(first, entries));
            while let Some(results) = next {
                order.push(results.first());
                next = reorder.pop();
            }
        }
        assert_eq!(order, [0, 2, 3, 5]);
    }

    #[test]
    fn the_walk_waits_while_the_window_is_full() {
        let (intake, mut reorder) = window(&sorted(2));
        let control = Control::new();
        assert!(intake.admit(&batch(0, 1), &control));
        assert!(intake.admit(&batch(1, 1), &control));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| intake.admit(&batch(2, 1), &control));
            assert!(reorder.push(results(1, 1)).is_none());
            std::thread::sleep(Duration::from_millis(120));
            assert!(!third.is_finished());
            assert!(reorder.push(results(0, 1)).is_some());
            assert!(third.join().expect("it does not panic"));
        });
        control.cancel();
        // What was freed by the first results lets some in; then the cancelled walk is told to stop.
        assert!((3..9).any(|first| !intake.admit(&batch(first, 1), &control)));
    }

    #[test]
    fn without_an_order_everything_passes() {
        let (intake, mut reorder) = window(&Plan::new(["."]));
        assert!((0..1000).all(|first| intake.admit(&batch(first, 1), &Control::new())));
        assert_eq!(reorder.push(results(7, 1)).map(|results| results.first()), Some(7));
        assert!(reorder.pop().is_none());
    }
}
