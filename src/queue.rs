//! The bounded queue of work between the walkers and the workers. A worker may put a part of its work back, so the
//! queue is over only when no walker walks and no worker works; it finds that out by itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

/// Shared by all walkers and workers of a run.
pub(crate) struct Queue<T> {
    /// `None`: nothing more comes.
    work_in: Sender<Option<T>>,
    work_out: Receiver<Option<T>>,
    /// Walkers at work, and work that waits or is being done: who may still add to the queue.
    open: AtomicUsize,
    walkers: AtomicUsize,
    /// Workers that found nothing.
    waiting: AtomicUsize,
}

impl<T> Queue<T> {
    /// A queue in which `work_max` pieces of work can wait, filled by `walkers` walkers.
    pub(crate) fn new(work_max: usize, walkers: usize) -> Queue<T> {
        let (work_in, work_out) = crossbeam_channel::bounded(work_max);
        let (open, walkers) = (AtomicUsize::new(walkers), AtomicUsize::new(walkers));
        Queue { work_in, work_out, open, walkers, waiting: AtomicUsize::new(0) }
    }

    /// Adds work; waits while the queue is full.
    pub(crate) fn send(&self, work: T) {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.work_in.send(Some(work)).expect("the queue holds the other end itself");
    }

    /// Adds work where some worker would otherwise find none; returns it where that is not so.
    pub(crate) fn offer(&self, work: T) -> Result<(), T> {
        if !self.is_empty() {
            return Err(work);
        }
        self.open.fetch_add(1, Ordering::AcqRel);
        self.work_in.try_send(Some(work)).map_err(|refused| {
            self.open.fetch_sub(1, Ordering::AcqRel);
            refused.into_inner().expect("it was work that was sent")
        })
    }

    /// Whether no work waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.work_out.is_empty()
    }

    /// Workers that wait for work.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether a worker waits that no walker will send anything to.
    pub(crate) fn is_starving(&self) -> bool {
        self.waiting() > 0 && self.walkers.load(Ordering::Relaxed) == 0 && self.is_empty()
    }

    /// The next work; waits for it. `None` when no more can come. Each is followed by one [`Queue::done`].
    pub(crate) fn take(&self) -> Option<T> {
        let work = self.work_out.try_recv().unwrap_or_else(|_| {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            let work = self.work_out.recv().expect("the queue holds the other end itself");
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            work
        });
        if work.is_none() {
            self.pass_on_the_end();
        }
        work
    }

    /// The same, but waits no longer than this: `None` where nothing has come by then.
    pub(crate) fn take_within(&self, time: Duration) -> Option<Option<T>> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let work = self.work_out.recv_timeout(time);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let work = work.ok()?;
        if work.is_none() {
            self.pass_on_the_end();
        }
        Some(work)
    }

    /// A walker has walked its part.
    pub(crate) fn walked(&self) {
        self.walkers.fetch_sub(1, Ordering::Relaxed);
        self.done();
    }

    /// A worker has done a piece of work.
    pub(crate) fn done(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.pass_on_the_end();
        }
    }

    /// Wakes one worker, which wakes the next in its turn.
    fn pass_on_the_end(&self) {
        // The queue is empty now; where the end lies in it already, that suffices.
        drop(self.work_in.try_send(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_for_every_worker_once_nobody_can_add() {
        let queue = Queue::new(1, 2);
        let worked_off = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..50).for_each(|_| queue.send(()));
                    queue.walked();
                });
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    while queue.take().is_some() {
                        let mut given_back = 0;
                        if worked_off.fetch_add(1, Ordering::Relaxed) < 40 && queue.offer(()).is_ok() {
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
    fn work_is_taken_back_only_where_none_waits() {
        let queue = Queue::new(2, 1);
        assert!(queue.offer(()).is_ok());
        assert!(queue.offer(()).is_err());
        assert!(queue.take().is_some());
        assert!(queue.offer(()).is_ok());
    }

    #[test]
    fn a_worker_starves_once_the_walk_is_over() {
        let queue = Queue::new(2, 1);
        std::thread::scope(|scope| {
            // Work that is being done, and may be put back in part.
            queue.send(());
            assert!(queue.take().is_some());
            scope.spawn(|| while queue.take().is_some() {});
            while queue.waiting() == 0 {
                std::thread::yield_now();
            }
            assert!(!queue.is_starving());
            queue.walked();
            assert!(queue.is_starving());
            queue.done();
        });
    }
}
