//! The body of a worker thread: works off batches, puts large files off until the small ones beside them are done, shares
//! them with other workers, and gives away what others would wait for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::OnDrop;
use crate::control::Control;
use crate::error::caught;
use crate::latencies::Latencies;
use crate::plan::Plan;
use crate::queue::Queue;
use crate::record::{Batch, Event, Outcome, Results};
use crate::report::StepTimes;
use crate::stage::{Budget, OpenFile, Stage, Tally};
use crate::workers::cpu::{Passes, Worked, Worker};
use crate::workers::gpu::Packer;
use crate::workers::large::{Divided, Large};
use crate::workers::pool::Pool;

/// What waits in the queue.
pub(super) enum Work {
    Batch(Batch),
    /// A batch of one large file.
    Large(Batch),
    /// A large file that somebody reads, and others may help with.
    Help(Arc<Shared>),
}

type Shared = Large<Counted>;

/// An open file, with when that was, and how many of its bytes the progress has counted.
pub(super) struct Counted {
    file: OpenFile,
    since: Instant,
    shown: AtomicU64,
}

/// What one worker did.
pub(super) struct Done {
    pub(super) times: StepTimes,
    pub(super) batches: Latencies,
    pub(super) tally: Tally,
}

/// What a worker needs of a run.
#[derive(Clone, Copy)]
pub(super) struct Desk<'r> {
    pub(super) plan: &'r Plan,
    pub(super) control: &'r Control,
    pub(super) queue: &'r Queue<Work>,
    pub(super) pool: &'r Pool,
    pub(super) budget: &'r Budget,
    /// Which analyses can be divided; `None`: large files are not, as there is nobody to divide them among.
    pub(super) divided: Option<Divided>,
}

/// How long what is packed for a GPU waits for more while there is nothing else to do: a walk that is only just ahead sends the
/// next batch sooner.
const PACKED_WAITS: Duration = Duration::from_millis(1);

/// With fewer files left in a batch, to hand half of them over takes longer than to read them.
const HAND_OVER_FILES_MIN: usize = 4;

/// Works until the queue is at its end, or the pool is to be smaller.
pub(super) fn worker<'r>(
    desk: Desk<'r>,
    lane: usize,
    results: &Sender<Results>,
    packer: Option<Packer<'r>>,
) -> Done {
    let Desk { plan, control, queue, pool, budget, divided } = desk;
    let mut is_let_go = false;
    // However it ends, walkers must not wait forever for somebody to take their batches.
    let _drain = OnDrop(|| {
        if thread::panicking() {
            control.abandon();
            while queue.take().is_some() {
                queue.done();
            }
            pool.end();
        }
    });
    let clock = Instant::now();
    let mut hand = Hand {
        desk,
        lane,
        results,
        worker: Worker::new(plan, divided.is_some(), packer),
        stage: Stage::new(plan, control, budget),
        own: Vec::new(),
        busy: Duration::ZERO,
        batches: Latencies::new(),
    };
    while !is_let_go {
        let Some(work) = hand.take() else {
            pool.end();
            break;
        };
        let _done = OnDrop(|| queue.done());
        hand.own.push(work);
        while let Some(work) = hand.own.pop() {
            hand.give_away();
            if let (Some(packer), Work::Large(_) | Work::Help(_)) = (&mut hand.worker.packer, &work) {
                // That may take long.
                packer.flush();
            }
            match work {
                Work::Batch(batch) => hand.batch(batch, false),
                Work::Large(batch) => hand.large(batch),
                Work::Help(large) => hand.parts(&large, false),
            }
        }
        is_let_go = pool.lets_go();
    }
    hand.flush_last();
    let times = StepTimes {
        stage: hand.busy.saturating_sub(hand.worker.analysed),
        analyse: hand.worker.analysed,
        workers_waited: clock.elapsed().saturating_sub(hand.busy),
        ..StepTimes::default()
    };
    Done { times, batches: hand.batches, tally: hand.stage.into_tally() }
}

/// One worker at work.
struct Hand<'h, 'r> {
    desk: Desk<'r>,
    lane: usize,
    results: &'h Sender<Results>,
    worker: Worker<'r>,
    stage: Stage<'r>,
    /// What is left of the work that it took; the last is next.
    own: Vec<Work>,
    busy: Duration,
    batches: Latencies,
}

impl Hand<'_, '_> {
    /// The next work; waits for it. What is packed for a GPU does not wait as long.
    fn take(&mut self) -> Option<Work> {
        let queue = self.desk.queue;
        if self.worker.packer.as_ref().is_some_and(Packer::holds_something) {
            if let Some(taken) = queue.take_within(PACKED_WAITS) {
                return taken;
            }
            self.flush_last();
        }
        queue.take()
    }

    /// There is nothing else to do: what is packed for a GPU goes there, or is done here.
    fn flush_last(&mut self) {
        let Some(packer) = &mut self.worker.packer else { return };
        let since = Instant::now();
        let answered = packer.flush_last();
        let took = since.elapsed();
        self.busy += took;
        self.worker.analysed += took;
        for (results, took) in answered {
            self.report(results, took);
        }
    }

    /// Works off a batch, or its start: it reports what it has after the plan's `share_bytes`, before a large file, unless it
    /// `is_whole`, and where others have nothing left to do.
    fn batch(&mut self, mut batch: Batch, is_whole: bool) {
        let Desk { plan, control, queue, pool, .. } = self.desk;
        let (lane, mut read_bytes) = (self.lane, 0);
        let (since, analysed) = (Instant::now(), self.worker.analysed);
        let loaded = self.stage.load(&batch);
        if let Some(ready) = loaded
            && ready < batch.len()
        {
            self.own.push(Work::Batch(batch.split_off(ready)));
        }
        let stage = &mut self.stage;
        let worked = self.worker.work(
            batch,
            is_whole,
            |entry, event| {
                if control.should_stop() {
                    return Outcome::Unread;
                }
                stage.read(entry, &mut |came| {
                    if let Event::Block(bytes) = came {
                        pool.count(lane, 0, bytes.len() as u64);
                    }
                    event(came)
                })
            },
            |outcome, left| {
                pool.count(lane, 1, 0);
                read_bytes += if let Outcome::Done { size, .. } = outcome { *size } else { 0 };
                let is_wanted = left >= HAND_OVER_FILES_MIN && queue.is_starving();
                // What is loaded is soon done.
                if loaded.is_none() && (read_bytes >= plan.share_bytes || is_wanted) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        let took = plan.faults.drag(since.elapsed());
        self.busy += took;
        self.stage.show_progress();
        control.add_time(took, self.worker.analysed.saturating_sub(analysed));
        let Worked { results, mut rest, is_large_next } = worked;
        if let Some(results) = results {
            self.report(results, took);
        }
        if let Some(packer) = &mut self.worker.packer {
            packer.flush_old();
        }
        if rest.is_empty() {
            return;
        }
        if is_large_next {
            let others = rest.split_off(1);
            self.own.push(Work::Large(rest));
            if !others.is_empty() {
                self.own.push(Work::Batch(others));
            }
            return;
        }
        if rest.len() > 1 && queue.is_empty() {
            let half = rest.split_off(rest.len() / 2);
            self.own.push(Work::Batch(half));
        }
        self.own.push(Work::Batch(rest));
    }

    /// Where nobody would find anything, the oldest of what is left goes to whoever looks first.
    fn give_away(&mut self) {
        let queue = self.desk.queue;
        if !self.own.is_empty() && queue.is_empty() {
            let oldest = self.own.remove(0);
            if let Err(refused) = queue.offer(oldest) {
                self.own.insert(0, refused);
            }
        }
    }

    /// A large file: reads it alone where it cannot be divided, otherwise with whoever helps.
    fn large(&mut self, mut batch: Batch) {
        let Some(divided) = self.desk.divided else { return self.batch(batch, true) };
        let since = Instant::now();
        let opened = match batch.entries().next() {
            Some(_) if self.desk.control.should_stop() => Err(Outcome::Unread),
            Some(entry) => {
                caught(|| self.stage.open_counted(&entry)).unwrap_or_else(|error| Err(Outcome::Failed(error)))
            }
            None => return,
        };
        let took = since.elapsed();
        self.busy += took;
        match opened {
            // It was larger when it was put off; or a GPU has it sooner than all of them.
            Ok(file)
                if file.size() < self.desk.plan.share_bytes
                    || file.is_short()
                    || self.is_for_gpu(file.size()) =>
            {
                drop(file);
                self.batch(batch, true);
            }
            Ok(file) => {
                let (size, mtime_ns, identity) = (file.size(), file.mtime_ns(), file.identity());
                let file = Counted { file, since, shown: AtomicU64::new(0) };
                self.parts(&Arc::new(Large::new(divided, batch, file, size, mtime_ns, identity)), true);
            }
            Err(outcome) => {
                batch.release_handles();
                self.report(Results::of_one(batch, outcome), took);
            }
        }
    }

    fn is_for_gpu(&self, size: u64) -> bool {
        let workers = self.desk.plan.workers_first();
        self.worker.packer.as_ref().is_some_and(|packer| packer.takes_large(size, workers))
    }

    /// Reads parts of a large file until there are none left for it; as a helper, until there is other work, or the pool is
    /// to be smaller.
    fn parts(&mut self, large: &Arc<Shared>, is_leader: bool) {
        let Desk { plan, control, queue, pool, .. } = self.desk;
        let mut whole = Passes::new();
        while let Some(part) = large.take(is_leader) {
            if queue.is_empty() && large.wants_help() {
                // Where it is not taken any more, the file is read all the same.
                drop(queue.offer(Work::Help(large.clone())));
            }
            let (since, analysed) = (Instant::now(), self.worker.analysed);
            let stage = &mut self.stage;
            let before = std::mem::take(&mut whole);
            let mut came = self.worker.work_part(large, &part, before, |block| {
                stage.read_part(&large.file.file, part.offset, part.bytes, part.is_last_look, &mut |bytes| {
                    pool.count(self.lane, 0, bytes.len() as u64);
                    block(bytes);
                })
            });
            if part.is_for_divided {
                control.add_bytes(part.bytes);
                control.add_time(since.elapsed(), self.worker.analysed.saturating_sub(analysed));
                large.file.shown.fetch_add(part.bytes, Ordering::Relaxed);
            }
            let is_last = part.offset + part.bytes == large.file.file.size();
            if let Ok(came) = &mut came
                && !is_last
            {
                // They have not seen everything yet, and are not the file's before.
                whole = std::mem::take(&mut came.whole);
            }
            let (stage, worker) = (&mut self.stage, &self.worker);
            let close = || stage.close_divided(&large.file.file);
            let results = large.put(&part, came, close, |divided, whole| worker.answer(divided, whole));
            self.busy += plan.faults.drag(since.elapsed());
            let is_wanted = !queue.is_empty() || pool.is_too_large();
            if results.is_none() && !is_leader && is_wanted && large.can_be_left() {
                return;
            }
            if let Some(results) = results {
                self.report(results, large.file.since.elapsed());
                // None, but of a file that failed.
                let shown = large.file.shown.load(Ordering::Relaxed);
                control.leave_out_bytes(large.file.file.size().saturating_sub(shown));
            }
        }
    }

    /// Gives away what came of a batch, or of a piece of one, that `took` so long.
    fn report(&mut self, results: Results, took: Duration) {
        // What a cancelled run leaves unread took no time that says anything.
        if results.records().next().is_some() {
            self.batches.record(took);
        }
        // A sink that failed takes nothing more, and has said so through `control`.
        if !results.is_empty() {
            drop(self.results.send(results));
        }
    }
}
