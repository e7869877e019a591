//! How walkers share the tree: roots and stretches of the list first, then subtrees that one walker hands to another.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};

use super::frame::{Child, Context};
use crate::record::Directory;
use crate::walk::units::Unit;

/// What is left to walk, as far as it is not on some walker's own stack.
pub(super) struct Parts {
    units: Vec<Unit>,
    next_unit: AtomicUsize,
    /// Units and handed-over parts that are not finished.
    unfinished: AtomicUsize,
    /// Walkers that wait for a part.
    waiting: AtomicUsize,
    /// `None`: the tree is exhausted, or nobody wants the rest.
    offered_in: Sender<Option<Part>>,
    offered_out: Receiver<Option<Part>>,
}

/// A subtree that one walker hands to another.
pub(super) struct Part {
    pub(super) parent: Directory,
    pub(super) child: Child,
    pub(super) context: Context,
}

/// What a walker does next.
pub(super) enum Work {
    Unit(Unit),
    Part(Part),
}

/// What a walker finds when it looks for work.
pub(super) enum AtHand {
    Work(Work),
    /// Others may still offer something.
    Nothing,
    /// Nothing more comes.
    End,
}

impl Parts {
    pub(super) fn new(units: Vec<Unit>, walkers: usize) -> Self {
        let (offered_in, offered_out) = crossbeam_channel::bounded(walkers);
        Parts {
            unfinished: AtomicUsize::new(units.len()),
            units,
            next_unit: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            offered_in,
            offered_out,
        }
    }

    /// Work that can be had at once.
    pub(super) fn at_hand(&self) -> AtHand {
        if let Some(unit) = self.units.get(self.next_unit.fetch_add(1, Ordering::Relaxed)) {
            return AtHand::Work(Work::Unit(unit.clone()));
        }
        match self.offered_out.try_recv() {
            Ok(Some(part)) => AtHand::Work(Work::Part(part)),
            Ok(None) => AtHand::End,
            Err(_) => AtHand::Nothing,
        }
    }

    /// Waits until a part is offered; `None` when no more can come.
    pub(super) fn wait(&self) -> Option<Work> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let part = self.offered_out.recv();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        part.ok().flatten().map(Work::Part)
    }

    /// Whether a part that is offered now would be taken.
    pub(super) fn is_somebody_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Offers a part to whoever waits; returns it where there are offers enough.
    pub(super) fn offer(&self, part: Part) -> Result<(), Part> {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        self.offered_in.try_send(Some(part)).map_err(|refused| {
            self.unfinished.fetch_sub(1, Ordering::AcqRel);
            refused.into_inner().expect("it was a part that was sent")
        })
    }

    /// A unit or part is walked. Whether it was the last.
    pub(super) fn finish_one(&self) -> bool {
        self.unfinished.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every unit and part is walked.
    pub(super) fn are_finished(&self) -> bool {
        self.unfinished.load(Ordering::Acquire) == 0
    }

    /// However a walker ends, the others must not wait for it forever: dropping this wakes one of them, which wakes
    /// the next in its turn.
    pub(super) fn release_others(&self) -> impl Drop {
        struct Release<'a>(&'a Sender<Option<Part>>);
        impl Drop for Release<'_> {
            fn drop(&mut self) {
                // Where the channel is full, whoever waits finds something to take.
                drop(self.0.try_send(None));
            }
        }
        Release(&self.offered_in)
    }
}
