//! All pairs of sketches on a GPU: tiles of thousands of rows, which stay on the device while others are compared with them. What
//! the device cannot do, for whatever reason, whoever asked does by the processor.
//!
//! A thread that belongs to no scope talks to the driver, as in [`super::driver`].

mod machine;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use self::machine::Machine;
use super::{adapters, detached};
use crate::error::Error;
use crate::plan::{self, Plan};
use crate::report::GpuUse;

/// The shader.
pub(super) const WGSL: &str = include_str!("../../../shaders/pairs.wgsl");

/// Rows of a panel, one side of a tile, at most: a tile of so many takes a card a fraction of a millisecond.
const ROWS_MAX: usize = 8192;
/// Panels that are to have room, so that a row of tiles can go on while the next panel comes.
const PANELS_MIN: usize = 4;
/// Tiles that are under way.
const SLOTS: usize = 4;
/// Hits of a tile that there is room for: where there are more, the processor is as good.
const HITS_MAX: usize = 1 << 16;
const TIMEOUT: Duration = Duration::from_secs(30);

/// Rows that are to be compared.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    /// Number of the first.
    pub(crate) first: u32,
    /// Their numbers, row by row.
    pub(crate) numbers: &'a [u32],
}

/// A pair with enough in common: its rows, counted from the start of their sides, and how many places are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Pair {
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) matches: u32,
}

/// As in `shaders/pairs.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Call {
    ticket: u32,
    left_rows: u32,
    right_rows: u32,
    k: u32,
    matches_min: u32,
    is_diagonal: u32,
    capacity: u32,
    unused: u32,
}

/// What comes before the hits.
const HEADER_BYTES: u64 = 8;
/// Rows and columns of a workgroup.
const BLOCK: u32 = 64;

/// Compares tiles on a GPU, one that is there or that may come.
pub(crate) struct Pairs {
    k: usize,
    sizes: Sizes,
    is_required: bool,
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    started: OnceLock<Result<(), String>>,
    /// It failed, and is left out from then on.
    is_out: AtomicBool,
    /// Panels that are on the device, by their first rows.
    resident: Mutex<HashSet<u32>>,
    used: Mutex<GpuUse>,
    note: Mutex<Option<String>>,
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, GpuUse> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resident(&self) -> MutexGuard<'_, HashSet<u32>> {
        self.resident.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is gone, and has said why or is about to; unless it panicked.
    fn wait_for_the_reason(&self) {
        for _ in 0..100 {
            if self.is_out.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.fail("its driver panicked");
    }

    fn fail(&self, why: &str) {
        let mut used = self.used();
        if self.is_out.load(Ordering::Acquire) {
            // What follows is of the first one's making.
            return;
        }
        used.failures += 1;
        why.clone_into(&mut used.left_out);
        let mut note = self.note.lock().unwrap_or_else(PoisonError::into_inner);
        note.get_or_insert_with(|| {
            format!("the GPU {} failed, the processor does its work: {why}", used.adapter)
        });
        // Last: a thread that sees it may report the failure at once.
        self.is_out.store(true, Ordering::Release);
    }
}

/// What fits the memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sizes {
    /// Rows of a panel.
    rows: usize,
    panels: usize,
}

impl Sizes {
    fn fit(k: usize, rows_max: usize, memory_bytes: u64) -> Result<Sizes, String> {
        let answers = 2 * SLOTS as u64 * (HEADER_BYTES + (HITS_MAX * size_of::<Pair>()) as u64);
        // A panel is copied once more on its way.
        let panel = |rows: usize| 2 * (rows * k * size_of::<u32>()) as u64;
        let mut rows = ROWS_MAX.min(rows_max).max(BLOCK as usize);
        let free = memory_bytes.saturating_sub(answers);
        while panel(rows) * PANELS_MIN as u64 > free {
            rows /= 2;
            if rows < BLOCK as usize {
                let least = answers + PANELS_MIN as u64 * panel(BLOCK as usize);
                return Err(format!(
                    "{memory_bytes} bytes of its memory are too few: pairs of sketches take {least}"
                ));
            }
        }
        let panels = usize::try_from(free / panel(rows)).unwrap_or(usize::MAX);
        Ok(Sizes { rows, panels })
    }
}

/// A tile, with what of it has to get to the device first: in one piece, so that nobody else's panels push these out before
/// their turn.
struct Job {
    left: Panel,
    right: Panel,
    call: Call,
    reply: Sender<Reply>,
}

/// Rows by the number of the first, and their numbers unless they are on the device.
struct Panel {
    first: u32,
    numbers: Option<Vec<u32>>,
}

enum Reply {
    Hits(Vec<Pair>),
    /// There are more than there is room for.
    TooMany,
    /// A panel is not there any more.
    Gone,
}

impl Pairs {
    /// Looks for a GPU for sketches of `k` numbers, in the background, unless the plan cannot do without. `rows_max` is how many
    /// rows there may be on a side of a tile.
    ///
    /// # Errors
    /// [`Error::Plan`] where a GPU is wanted in any case and there is none that can be used.
    pub(crate) fn start(
        plan: &Plan,
        k: usize,
        rows_max: usize,
        notes: &mut Vec<String>,
    ) -> Result<Option<Pairs>, Error> {
        let device = plan.device.clone();
        let is_required = device.is_required();
        let is_fake =
            (plan.faults.are_of_gpu() && !is_required) || device == plan::Device::Named("fake".into());
        if device == plan::Device::Cpu || is_fake || !(is_required || adapters::may_be_there()) {
            return Ok(None);
        }
        let refuse = |why: &str| Error::Plan(format!("--device {device}: {why}"));
        let sizes = match Sizes::fit(k, rows_max, plan.gpu_memory_bytes_max) {
            Ok(sizes) => sizes,
            Err(why) if is_required => return Err(refuse(&why)),
            Err(why) => {
                notes.push(format!("no GPU is used for pairs: {why}"));
                return Ok(None);
            }
        };
        let shared = Arc::new(Shared::default());
        // As many as there are threads that ask. A bounded one would keep what nobody takes any more, and who waits for it waiting.
        let (jobs, orders) = unbounded();
        let (told, faults, wanted) = (Arc::clone(&shared), plan.faults.clone(), device.clone());
        let (tell_start, started) = bounded(1);
        let body = move || {
            if !is_required {
                std::thread::sleep(detached::PAUSE);
            }
            let machine = Machine::start(&wanted, k, sizes, &told);
            let result = machine.as_ref().map(drop).map_err(ToString::to_string);
            drop(told.started.set(result.clone()));
            drop(tell_start.send(result));
            if let Ok(machine) = machine {
                machine.work(&orders, &told, &faults);
            }
        };
        let spawned = detached::spawn("filemill-gpu-pairs", body);
        if is_required {
            let result = match spawned {
                Err(error) => Err(format!("cannot start a thread: {error}")),
                Ok(_) => match started.recv_timeout(2 * TIMEOUT) {
                    Ok(result) => result,
                    Err(_) => Err("its driver does not answer".to_owned()),
                },
            };
            result.map_err(|why| refuse(&why))?;
        }
        Ok(Some(Pairs { k, sizes, is_required, jobs, shared }))
    }

    /// Whether it can be used by now.
    pub(crate) fn is_ready(&self) -> bool {
        !self.shared.is_out.load(Ordering::Relaxed) && matches!(self.shared.started.get(), Some(Ok(())))
    }

    /// Whether it is to compare all that it can.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Rows on a side of a tile at most. Tiles are to have as many, but for the last ones.
    pub(crate) fn rows(&self) -> usize {
        self.sizes.rows
    }

    /// Leaves in `hits` the pairs of a tile with at least so many equal places, by left and then by right. False where the
    /// device cannot: then it is to be done otherwise.
    pub(crate) fn compare(
        &self,
        left: Side<'_>,
        right: Side<'_>,
        is_diagonal: bool,
        matches_min: u32,
        hits: &mut Vec<Pair>,
    ) -> bool {
        hits.clear();
        let k = self.k;
        let number = |number: usize| u32::try_from(number).expect("rows of a panel");
        if matches_min as usize > k {
            return true;
        }
        let call = Call {
            ticket: 0,
            left_rows: number(left.numbers.len() / k),
            right_rows: number(right.numbers.len() / k),
            k: number(k),
            matches_min,
            is_diagonal: u32::from(is_diagonal),
            capacity: number(HITS_MAX),
            unused: 0,
        };
        // Others may have pushed a panel out by its turn: then both are sent along.
        for sends_all in [false, true] {
            if !self.is_ready() {
                return false;
            }
            let (reply, replies) = bounded(1);
            let (left, right) = (self.panel(left, sends_all), self.panel(right, sends_all));
            if !self.send(Job { left, right, call, reply }) {
                return false;
            }
            match self.wait(&replies) {
                Some(Reply::Hits(found)) => {
                    hits.extend(found);
                    hits.sort_unstable();
                    return true;
                }
                Some(Reply::TooMany) | None => return false,
                Some(Reply::Gone) => {}
            }
        }
        false
    }

    /// Waits for a reply, no longer than there is somebody to give one.
    fn wait(&self, replies: &Receiver<Reply>) -> Option<Reply> {
        const TICK: Duration = Duration::from_millis(100);
        let since = Instant::now();
        loop {
            match replies.recv_timeout(TICK) {
                Ok(reply) => return Some(reply),
                Err(RecvTimeoutError::Disconnected) => {
                    self.shared.wait_for_the_reason();
                    return None;
                }
                Err(RecvTimeoutError::Timeout) if since.elapsed() > 2 * TIMEOUT => {
                    self.shared.fail("its driver does not answer");
                    return None;
                }
                Err(RecvTimeoutError::Timeout) if self.shared.is_out.load(Ordering::Relaxed) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// What is sent of a side. Two may send the same, of which one is left out over there.
    fn panel(&self, Side { first, numbers }: Side<'_>, sends_all: bool) -> Panel {
        let is_there = !sends_all && self.shared.resident().contains(&first);
        Panel { first, numbers: (!is_there).then(|| numbers.to_vec()) }
    }

    fn send(&self, job: Job) -> bool {
        let sent = self.jobs.send(job);
        if sent.is_err() {
            self.shared.wait_for_the_reason();
        }
        sent.is_ok()
    }

    /// Pairs a second of the device and of all cores, where they were measured; and why it is not used.
    pub(crate) fn tell(&self, rate: Option<f64>, worker_rate: Option<f64>, left_out: &str) {
        let mut used = self.shared.used();
        (used.rate, used.worker_rate) = (rate, worker_rate);
        if !left_out.is_empty() && used.left_out.is_empty() {
            left_out.clone_into(&mut used.left_out);
        }
    }

    /// It answered, and wrongly: it is left out from then on.
    pub(crate) fn accuse(&self) {
        self.shared.fail("its answers are not those of the processor");
    }

    /// What it did, and what a person should know.
    pub(crate) fn into_used(self) -> (Option<GpuUse>, Option<String>) {
        let Pairs { jobs, shared, is_required, .. } = self;
        drop(jobs);
        let mut used = shared.used().clone();
        if used.submissions == 0 && used.left_out.is_empty() {
            used.left_out = match shared.started.get() {
                Some(Err(why)) => why.clone(),
                _ if is_required => "there was nothing to compare".to_owned(),
                _ => "it was not ready when comparing began".to_owned(),
            };
        }
        let note = shared.note.lock().unwrap_or_else(PoisonError::into_inner).take();
        let note = note.or_else(|| match shared.started.get() {
            Some(Err(why)) => Some(format!("no GPU is used for pairs: {why}")),
            _ => None,
        });
        ((!used.adapter.is_empty()).then_some(used), note)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::testing::adapter;
    use super::*;
    use crate::faults::Faults;

    fn numbers(rows: usize, k: usize, kinds: u32) -> Vec<u32> {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(0x915F_77F5).wrapping_add(1);
            (state >> 16) % kinds
        };
        (0..rows * k).map(|_| next()).collect()
    }

    /// The definition: every pair, place by place.
    fn plain(left: &[u32], right: &[u32], k: usize, is_diagonal: bool, matches_min: u32) -> Vec<Pair> {
        let mut pairs = Vec::new();
        for (i, a) in (0_u32..).zip(left.chunks_exact(k)) {
            for (j, b) in (0_u32..).zip(right.chunks_exact(k)) {
                let matches: u32 = a.iter().zip(b).map(|(a, b)| u32::from(a == b)).sum();
                if matches >= matches_min && (!is_diagonal || i < j) {
                    pairs.push(Pair { left: i, right: j, matches });
                }
            }
        }
        pairs
    }

    fn pairs(k: usize, memory: u64) -> Pairs {
        let plan = Plan { device: plan::Device::Gpu, gpu_memory_bytes_max: memory, ..Plan::new(["."]) };
        Pairs::start(&plan, k, usize::MAX, &mut Vec::new()).expect("it starts").expect("it is there")
    }

    #[test]
    fn tiles_agree_with_the_definition() {
        if adapter().is_none() {
            return;
        }
        let shared = [(1, 1), (63, 64), (64, 63), (65, 65), (200, 130)];
        for (k, kinds) in [(1, 3), (3, 2), (16, 2), (17, 3), (100, 2), (128, 2), (256, 3), (1024, 2)] {
            let device = pairs(k, 100_000_000);
            for (number, (rows, columns)) in (0_u32..).zip(shared) {
                let (left, right) = (numbers(rows, k, kinds), numbers(rows + columns, k, kinds));
                let right = &right[rows * k..];
                let first = number * 1000;
                let few = u32::try_from(k).expect("small");
                for matches_min in [1, few.div_ceil(3), few.div_ceil(2), few * 5 / 8 + 1, few, few + 1] {
                    let mut found = vec![Pair { left: 9, right: 9, matches: 9 }];
                    let side = |first, numbers| Side { first, numbers };
                    assert!(device.compare(
                        side(first, &left),
                        side(first + 500, right),
                        false,
                        matches_min,
                        &mut found
                    ));
                    assert_eq!(
                        found,
                        plain(&left, right, k, false, matches_min),
                        "{k} numbers, {rows} rows, {matches_min}"
                    );
                    assert!(device.compare(
                        side(first, &left),
                        side(first, &left),
                        true,
                        matches_min,
                        &mut found
                    ));
                    assert_eq!(
                        found,
                        plain(&left, &left, k, true, matches_min),
                        "{k} numbers, {rows} rows, {matches_min}"
                    );
                }
            }
            let (used, note) = device.into_used();
            assert_eq!((used.expect("an adapter").failures, note), (0, None));
        }
    }

    #[test]
    fn more_pairs_than_there_is_room_for_are_somebody_elses() {
        if adapter().is_none() {
            return;
        }
        let device = pairs(16, 100_000_000);
        let alike = vec![1; 400 * 16];
        let (side, mut found) = (Side { first: 0, numbers: &alike }, Vec::new());
        assert!(!device.compare(side, side, true, 16, &mut found));
        assert!(device.is_ready(), "it goes on with others");
        let side = Side { first: 1000, numbers: &alike[..300 * 16] };
        assert!(device.compare(side, side, true, 16, &mut found));
        assert_eq!(found.len(), 300 * 299 / 2);
    }

    #[test]
    fn panels_that_do_not_fit_are_sent_again() {
        if adapter().is_none() {
            return;
        }
        let k = 128;
        let memory =
            2 * SLOTS as u64 * (HEADER_BYTES + (HITS_MAX * size_of::<Pair>()) as u64) + 8 * 64 * 128 * 4;
        let device = pairs(k, memory);
        assert_eq!((device.rows(), device.sizes.panels), (64, 4));
        let all = numbers(64 * 7, k, 2);
        let panel = |i: usize| &all[i * 64 * k..(i + 1) * 64 * k];
        for i in 0..7 {
            for j in i..7 {
                let side =
                    |i: usize| Side { first: u32::try_from(i * 64).expect("small"), numbers: panel(i) };
                let mut found = Vec::new();
                assert!(device.compare(side(i), side(j), i == j, 70, &mut found));
                assert_eq!(found, plain(panel(i), panel(j), k, i == j, 70), "{i} {j}");
            }
        }
        assert!(
            Pairs::start(
                &Plan {
                    device: plan::Device::Gpu,
                    gpu_memory_bytes_max: 1000,
                    faults: Faults::default(),
                    ..Plan::new(["."])
                },
                k,
                usize::MAX,
                &mut Vec::new()
            )
            .is_err_and(|error| error
                .to_string()
                .starts_with("--device gpu: 1000 bytes of its memory are too few"))
        );
    }

    /// Many more threads than panels push out one another's. When panels went ahead of their tiles, some of 200 were given up for
    /// that with 16 threads and more.
    #[test]
    fn threads_that_push_out_panels_of_others_get_their_answers() {
        if adapter().is_none() {
            return;
        }
        let k = 128;
        let answers = 2 * SLOTS as u64 * (HEADER_BYTES + (HITS_MAX * size_of::<Pair>()) as u64);
        let device = pairs(k, answers + 8 * 64 * 128 * 4);
        assert_eq!((device.rows(), device.sizes.panels), (64, PANELS_MIN));
        let all = numbers(64 * 201, k, 2);
        let side = |i: usize| Side {
            first: u32::try_from(i * 64).expect("small"),
            numbers: &all[i * 64 * k..(i + 1) * 64 * k],
        };
        thread::scope(|scope| {
            for thread in 0..64 {
                let (device, side) = (&device, &side);
                scope.spawn(move || {
                    for right in (1..201).filter(|right| right % 64 == thread) {
                        let mut found = Vec::new();
                        assert!(device.compare(side(0), side(right), false, 70, &mut found), "{right}");
                        let expected = plain(side(0).numbers, side(right).numbers, k, false, 70);
                        assert_eq!(found, expected, "{right}");
                    }
                });
            }
        });
        let (used, note) = device.into_used();
        // Each was sent once, but for those that were pushed out too early.
        assert!(used.expect("an adapter").bytes < 2 * size_of_val(&all[..]) as u64);
        assert_eq!(note, None);
    }

    /// Many ask while it is lost: jobs that nobody takes any more must not keep who waits for them.
    #[cfg(feature = "faults")]
    #[test]
    fn nobody_waits_for_a_device_that_is_gone() {
        use crate::faults::{Effect, Operation};

        if adapter().is_none() {
            return;
        }
        for at in [1, 3, 9] {
            let (device, faults) =
                (plan::Device::Gpu, Faults::new(Operation::GpuLose, at, Effect::FailsOnce));
            let plan = Plan { device, faults, gpu_memory_bytes_max: 20_000_000, ..Plan::new(["."]) };
            let device = Pairs::start(&plan, 16, usize::MAX, &mut Vec::new());
            let device = device.expect("it starts").expect("it is there");
            let all = numbers(64 * 20, 16, 2);
            let side = |i: u32| {
                let start = i as usize * 64 * 16;
                Side { first: i * 64, numbers: &all[start..start + 64 * 16] }
            };
            let since = Instant::now();
            thread::scope(|scope| {
                for left in 0..16 {
                    let (device, side) = (&device, &side);
                    scope.spawn(move || {
                        let mut found = Vec::new();
                        for right in 16..20 {
                            if device.compare(side(left), side(right), false, 12, &mut found) {
                                let expected = plain(side(left).numbers, side(right).numbers, 16, false, 12);
                                assert_eq!(found, expected);
                            }
                        }
                    });
                }
            });
            assert!(since.elapsed() < TIMEOUT, "{at}: {:?}", since.elapsed());
            let (used, note) = device.into_used();
            let used = used.expect("an adapter");
            assert!(used.failures == 1 && note.is_some(), "{used:?} {note:?}");
        }
    }

    /// Under a search that goes on without it.
    #[test]
    fn a_device_that_is_lost_says_so_once() {
        if adapter().is_none() {
            return;
        }
        let device = pairs(16, 100_000_000);
        device.shared.fail("the device was lost");
        let rows = numbers(100, 16, 2);
        let side = Side { first: 0, numbers: &rows };
        assert!(!device.compare(side, side, true, 8, &mut Vec::new()) && !device.is_ready());
        let (used, note) = device.into_used();
        let used = used.expect("an adapter");
        let expected =
            format!("the GPU {} failed, the processor does its work: the device was lost", used.adapter);
        assert_eq!((used.failures, note), (1, Some(expected)));
    }
}
