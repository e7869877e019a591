//! The bounded queue of batches between the walkers and the workers. A worker may put a part of its batch back, so
//! the queue is over only when no walker walks and no worker works; it finds that out by itself.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender};

use crate::record::Batch;

/// Shared by all walkers and workers of a run.
pub(crate) struct Queue {
    /// `None`: nothing more comes.
    batches_in: Sender<Option<Batch>>,
    batches_out: Receiver<Option<Batch>>,
    /// Walkers at work, and batches that wait or are being worked off: who may still add to the queue.
    open: AtomicUsize,
}

impl Queue {
    /// A queue in which `batches_max` batches can wait, filled by `walkers` walkers.
    pub(crate) fn new(batches_max: usize, walkers: usize) -> Queue {
        let (batches_in, batches_out) = crossbeam_channel::bounded(batches_max);
        Queue { batches_in, batches_out, open: AtomicUsize::new(walkers) }
    }

    /// Adds a batch; waits while the queue is full.
    pub(crate) fn send(&self, batch: Batch) {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.batches_in.send(Some(batch)).expect("the queue holds the other end itself");
    }

    /// Adds a batch where some worker would otherwise find none; returns it where that is not so.
    pub(crate) fn offer(&self, batch: Batch) -> Result<(), Batch> {
        if !self.is_empty() {
            return Err(batch);
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        self.batches_in.try_send(Some(batch)).map_err(|refused| {
            self.open.fetch_sub(1, Ordering::AcqRel);
            refused.into_inner().expect("it was a batch that was sent")
        })
    }

    /// Whether no batch waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches_out.is_empty()
    }

    /// The next batch; waits for one. `None` when no more can come. Each batch is followed by one [`Queue::done`].
    pub(crate) fn take(&self) -> Option<Batch> {
        let batch = self.batches_out.recv().expect("the queue holds the other end itself");
        if batch.is_none() {
            self.pass_on_the_end();
        }
        batch
    }

    /// A walker has walked its part, or a worker has worked off a batch.
    pub(crate) fn done(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.pass_on_the_end();
        }
    }

    /// Wakes one worker, which wakes the next in its turn.
    fn pass_on_the_end(&self) {
        // The queue is empty now; where the end lies in it already, that suffices.
        drop(self.batches_in.try_send(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Directory, Found};

    fn batch() -> Batch {
        let mut batch = Batch::default();
        batch.push(&Directory::from_path(b""), b"file", Found::File);
        batch
    }

    #[test]
    fn it_ends_for_every_worker_once_nobody_can_add() {
        let queue = Queue::new(1, 2);
        let worked_off = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..50).for_each(|_| queue.send(batch()));
                    queue.done();
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    while queue.take().is_some() {
                        let mut given_back = 0;
                        if worked_off.fetch_add(1, Ordering::Relaxed) < 40 && queue.offer(batch()).is_ok() {
                            given_back += 1;
                        }
                        worked_off.fetch_sub(given_back, Ordering::Relaxed);
                        queue.done();
                    }
                });
            }
        });
        assert_eq!(worked_off.into_inner(), 100);
    }

    #[test]
    fn a_batch_is_taken_back_only_where_none_waits() {
        let queue = Queue::new(2, 1);
        assert!(queue.offer(batch()).is_ok());
        assert!(queue.offer(batch()).is_err());
        assert!(queue.take().is_some());
        assert!(queue.offer(batch()).is_ok());
    }
}
