//! The pool that sizes itself: starts with one worker a core, grows while cores are idle and it pays, goes back to the
//! last good size where it does not.
//!
//! A warm cache wants one worker a core, cold storage wants many: they wait. What a run meets may change on the way, so
//! it is measured all the time: files and bytes that were read, CPU time, how often threads waited, whether workers
//! found nothing to do. [`Sizer`] decides, and is pure; [`Pool`] is what the workers see; [`watch`] is the loop of the
//! thread between them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::{Move, Reason};

/// What the workers of a run share with whoever sizes their pool.
pub(crate) struct Pool {
    /// How many there are to be.
    target: AtomicUsize,
    running: AtomicUsize,
    lanes: Vec<Lane>,
    is_over: Mutex<bool>,
    bell: Condvar,
}

/// What one worker has done, alone in its cache line.
#[repr(align(128))]
#[derive(Default)]
struct Lane(AtomicU64);

/// What opening a file counts for, in bytes read: the two take about as long on warm storage, and cold storage is
/// measured by how it compares with itself.
const FILE_WORTH_BYTES: u64 = 16 << 10;

impl Pool {
    pub(crate) fn new(workers: usize, workers_max: usize) -> Pool {
        Pool {
            target: AtomicUsize::new(workers),
            running: AtomicUsize::new(0),
            lanes: std::iter::repeat_with(Lane::default).take(workers_max).collect(),
            is_over: Mutex::new(false),
            bell: Condvar::new(),
        }
    }

    /// A worker starts. Returns its lane.
    pub(crate) fn enter(&self) -> usize {
        self.running.fetch_add(1, Ordering::AcqRel) % self.lanes.len()
    }

    /// A worker could not be started after all.
    pub(crate) fn withdraw(&self) {
        self.running.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether there are more workers than there are to be, of which the one that asks is one less then.
    pub(crate) fn lets_go(&self) -> bool {
        let target = self.target.load(Ordering::Relaxed);
        let less = |running| (running > target).then(|| running - 1);
        self.is_too_large() && self.running.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less).is_ok()
    }

    /// Whether there are more workers than there are to be.
    pub(crate) fn is_too_large(&self) -> bool {
        self.running.load(Ordering::Relaxed) > self.target.load(Ordering::Relaxed)
    }

    /// Counts what a worker has done: files that were opened, bytes that were read.
    pub(crate) fn count(&self, lane: usize, files: u64, bytes: u64) {
        self.lanes[lane].0.fetch_add(files * FILE_WORTH_BYTES + bytes, Ordering::Relaxed);
    }

    /// The run is over.
    pub(crate) fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Waits for the end of the run, but no longer than this; whether it is over.
    fn wait(&self, time: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(is_over, time, |is_over| !*is_over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn done(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.0.load(Ordering::Relaxed)).sum()
    }
}

/// How often the pool is looked at.
const TICK: Duration = Duration::from_millis(10);

/// The loop of the thread that sizes a pool, until the run is over. `waiting` tells how many workers find nothing to do,
/// `spawn` starts one more, or says that it cannot. Returns how the pool moved.
pub(crate) fn watch(
    pool: &Pool,
    mut sizer: Sizer,
    waiting: impl Fn() -> usize,
    mut spawn: impl FnMut() -> bool,
) -> Vec<Move> {
    let clock = Instant::now();
    let mut last = (clock.elapsed(), 0, Usage::now());
    while !pool.wait(TICK) {
        let now = (clock.elapsed(), pool.done(), Usage::now());
        let sample = Sample {
            time: now.0 - last.0,
            work: now.1 - last.1,
            cpu: now.2.cpu.saturating_sub(last.2.cpu),
            waits: now.2.waits.saturating_sub(last.2.waits),
            idle: waiting(),
            running: pool.running.load(Ordering::Relaxed),
        };
        last = now;
        let Some(target) = sizer.observe(&sample) else { continue };
        pool.target.store(target, Ordering::Relaxed);
        while pool.running.load(Ordering::Relaxed) < target {
            if !spawn() {
                sizer.cannot_grow(pool.running.load(Ordering::Relaxed));
                break;
            }
        }
    }
    sizer.moves
}

/// What the process has used so far.
struct Usage {
    cpu: Duration,
    /// How often a thread gave its core up because it had to wait.
    waits: u64,
}

impl Usage {
    fn now() -> Usage {
        #[cfg(unix)]
        use nix::sys::time::TimeValLike;
        #[cfg(unix)]
        if let Ok(usage) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF) {
            let micros = |time: nix::sys::time::TimeVal| u64::try_from(time.num_microseconds()).unwrap_or(0);
            let cpu = Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()));
            let waits = u64::try_from(usage.voluntary_context_switches()).unwrap_or(0);
            return Usage { cpu, waits };
        }
        Usage { cpu: Duration::ZERO, waits: 0 }
    }
}

/// What happened since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    time: Duration,
    /// In bytes, or what files count for.
    work: u64,
    cpu: Duration,
    waits: u64,
    /// Workers that find nothing to do.
    idle: usize,
    running: usize,
}

/// Decides how many workers there are to be.
pub(crate) struct Sizer {
    cores: usize,
    workers_max: usize,
    size: usize,
    /// What was seen since the last decision.
    window: Window,
    state: State,
    /// Looks to wait before the same attempt is made again.
    patience: u32,
    time: Duration,
    moves: Vec<Move>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// No attempt is made for so many windows, unless rate or load are not what they were, and stay so.
    Hold { windows: u32, was: Option<(f64, f64)>, changed: u32 },
    /// A size is being tried; the one before it had this rate. It is looked at twice before it is given up.
    Try { from: usize, rate: f64, is_second_look: bool },
}

impl State {
    fn hold(windows: u32, was: Option<(f64, f64)>) -> State {
        State::Hold { windows, was, changed: 0 }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Window {
    time: Duration,
    work: u64,
    cpu: Duration,
    waits: u64,
    ticks: u32,
    /// Ticks in which somebody found nothing to do.
    idle_ticks: u32,
}

/// A window is at least this long, and holds at least this much work, unless it gets longer than the longest.
const WINDOW_MIN: Duration = Duration::from_millis(30);
const WINDOW_WORK_MIN: u64 = 200 * FILE_WORTH_BYTES;
const WINDOW_MAX: Duration = Duration::from_secs(1);
/// Above this share of their time cores are busy, and more workers cannot help.
const BUSY: f64 = 0.85;
/// What counts as waiting for storage: a wait for so many bytes of work. A warm scan waits for its own channels once in
/// 60 files; cold storage makes a thread wait for every file, and for every 128 KiB of a large one.
const WAITED_ONCE_PER: u64 = 20 * FILE_WORTH_BYTES;
/// More workers pay where they do so much more work.
const PAYS: f64 = 1.06;
/// Fewer workers do where they do no less than this.
const SUFFICES: f64 = 0.97;
/// What lasts for so many windows is no coincidence: trees are not the same everywhere.
const CHANGED_WINDOWS: u32 = 4;
const PATIENCE_MIN: u32 = 12;
const PATIENCE_MAX: u32 = 200;
/// Moves that are told of.
const MOVES_MAX: usize = 100;

impl Sizer {
    pub(crate) fn new(cores: usize, workers: usize, workers_max: usize) -> Sizer {
        Sizer {
            cores,
            workers_max,
            size: workers,
            window: Window::default(),
            state: State::hold(0, None),
            patience: PATIENCE_MIN,
            time: Duration::ZERO,
            moves: Vec::new(),
        }
    }

    /// No more than these could be started.
    fn cannot_grow(&mut self, running: usize) {
        self.workers_max = running.max(1);
        self.go(running.max(1), Reason::NoThread, State::hold(0, None));
    }

    /// Takes a sample in; returns the size that the pool is to have from now on, where that is another.
    fn observe(&mut self, sample: &Sample) -> Option<usize> {
        self.time += sample.time;
        // While workers come or go, the rate is that of no size.
        if sample.running != self.size {
            self.window = Window::default();
            return None;
        }
        let window = &mut self.window;
        window.time += sample.time;
        window.work += sample.work;
        window.cpu += sample.cpu;
        window.waits += sample.waits;
        window.ticks += 1;
        window.idle_ticks += u32::from(sample.idle > 0);
        let is_full = window.time >= WINDOW_MIN && window.work >= WINDOW_WORK_MIN;
        if !is_full && window.time < WINDOW_MAX {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        if window.work == 0 {
            // Nothing speaks for anything.
            return None;
        }
        let before = self.size;
        self.decide(&window);
        (self.size != before).then_some(self.size)
    }

    fn decide(&mut self, window: &Window) {
        let rate = window.work as f64 / window.time.as_secs_f64();
        let busy = window.cpu.as_secs_f64() / (window.time.as_secs_f64() * self.cores as f64);
        match self.state {
            State::Try { from, rate: before, is_second_look } => {
                let enough = if self.size > from { PAYS } else { SUFFICES };
                if rate >= before * enough {
                    self.patience = PATIENCE_MIN;
                    self.state = State::hold(0, Some((rate, busy)));
                    self.attempt(window, rate, busy);
                } else if is_second_look {
                    let back = State::hold(self.patience, Some((before, busy)));
                    self.patience = (self.patience * 2).min(PATIENCE_MAX);
                    self.go(from, Reason::NoGain, back);
                } else {
                    self.state = State::Try { from, rate: before, is_second_look: true };
                }
            }
            State::Hold { windows, was, changed } => {
                let has_changed = was.is_none_or(|(rate_then, busy_then)| {
                    rate > 2.0 * rate_then || rate < 0.5 * rate_then || (busy - busy_then).abs() > 0.3
                });
                let changed = if has_changed { changed + 1 } else { 0 };
                if windows == 0 || changed >= CHANGED_WINDOWS {
                    self.attempt(window, rate, busy);
                } else {
                    self.state = State::Hold { windows: windows - 1, was, changed };
                }
            }
        }
    }

    /// Tries another size where something speaks for it.
    fn attempt(&mut self, window: &Window, rate: f64, busy: f64) {
        let tried = State::Try { from: self.size, rate, is_second_look: false };
        let waits_for_storage = window.waits > window.work / WAITED_ONCE_PER;
        let finds_nothing = 2 * window.idle_ticks > window.ticks;
        if busy >= BUSY && self.size > self.cores {
            self.go(self.cores, Reason::CoresBusy, tried);
        } else if busy < BUSY && waits_for_storage && !finds_nothing && self.size < self.workers_max {
            self.go((2 * self.size).min(self.workers_max), Reason::CoresIdle, tried);
        } else {
            self.state = State::hold(0, Some((rate, busy)));
        }
    }

    fn go(&mut self, size: usize, reason: Reason, state: State) {
        if self.moves.len() < MOVES_MAX {
            self.moves.push(Move { after: self.time, workers: size, reason });
        }
        self.size = size;
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of two cores: how much it does with so many workers, and how busy that keeps it.
    fn run(sizer: &mut Sizer, seconds: f64, machine: impl Fn(usize) -> (f64, f64)) -> f64 {
        let mut work = 0.0;
        let mut noise = 12345_u32;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
        for _ in 0..(seconds / 0.01) as u32 {
            noise = noise.wrapping_mul(1_103_515_245).wrapping_add(12345);
            let factor = 0.93 + 0.14 * f64::from(noise >> 16) / 65536.0;
            let (files, busy) = machine(sizer.size);
            let done = files * factor * 0.01 * FILE_WORTH_BYTES as f64;
            work += done;
            let sample = Sample {
                time: Duration::from_millis(10),
                work: done as u64,
                cpu: Duration::from_secs_f64(0.02 * busy),
                waits: if busy > 0.9 { 0 } else { (files * 0.01) as u64 },
                idle: 0,
                running: sizer.size,
            };
            sizer.observe(&sample);
        }
        work / FILE_WORTH_BYTES as f64
    }

    fn sizer() -> Sizer {
        Sizer::new(2, 2, 64)
    }

    /// Cold storage that gets faster up to `best` workers.
    fn cold(best: usize) -> impl Fn(usize) -> (f64, f64) {
        move |workers| (4000.0 * (workers.min(best) as f64).powf(0.7), 0.2)
    }

    fn warm(workers: usize) -> (f64, f64) {
        (if workers > 2 { 190_000.0 } else { 200_000.0 }, 1.0)
    }

    #[test]
    fn a_warm_cache_keeps_one_worker_a_core() {
        let mut sizer = sizer();
        run(&mut sizer, 60.0, warm);
        assert!(sizer.moves.is_empty(), "{:?}", sizer.moves);
    }

    #[test]
    fn cold_storage_gets_as_many_as_pay() {
        for best in [2, 4, 8, 16, 32, 64] {
            let mut sizer = sizer();
            let machine = cold(best);
            let done = run(&mut sizer, 10.0, &machine);
            let at_best = 10.0 * machine(best).0;
            assert!(done > 0.9 * at_best, "{best}: {done} of {at_best}, {:?}", sizer.moves);
            assert!(sizer.size <= 2 * best, "{best}: {:?}", sizer.moves);
        }
    }

    #[test]
    fn a_disk_that_more_workers_slow_down_keeps_few() {
        let mut sizer = sizer();
        let disk = |workers: usize| (3000.0 / (workers as f64).sqrt(), 0.1);
        let done = run(&mut sizer, 20.0, disk);
        assert!(done > 0.9 * 20.0 * disk(2).0, "{:?}", sizer.moves);
        assert_eq!(sizer.moves[1].reason, Reason::NoGain);
    }

    #[test]
    fn a_tree_that_turns_warm_and_cold_again_is_noticed() {
        let mut sizer = sizer();
        run(&mut sizer, 5.0, cold(16));
        assert!((16..=32).contains(&sizer.size), "{:?}", sizer.moves);
        run(&mut sizer, 1.0, warm);
        assert_eq!(sizer.size, 2, "{:?}", sizer.moves);
        run(&mut sizer, 1.0, cold(16));
        assert!((16..=32).contains(&sizer.size), "{:?}", sizer.moves);
    }

    #[test]
    fn nobody_is_added_to_those_that_find_nothing_to_do() {
        let mut sizer = sizer();
        for _ in 0..1000 {
            let time = Duration::from_millis(10);
            let sample = Sample { time, work: 1 << 20, waits: 100, idle: 1, running: 2, ..Sample::default() };
            assert_eq!(sizer.observe(&sample), None);
        }
    }

    #[test]
    fn nobody_is_added_while_nothing_gets_done() {
        let mut sizer = sizer();
        for _ in 0..10_000 {
            let time = Duration::from_millis(10);
            let sample = Sample { time, waits: 100, running: sizer.size, ..Sample::default() };
            assert_eq!(sizer.observe(&sample), None);
        }
    }

    #[test]
    fn workers_leave_until_they_are_as_many_as_wanted() {
        let pool = Pool::new(4, 8);
        assert_eq!((0..4).map(|_| pool.enter()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(!pool.lets_go());
        pool.target.store(2, Ordering::Relaxed);
        assert_eq!((0..4).filter(|_| pool.lets_go()).count(), 2);
    }
}
