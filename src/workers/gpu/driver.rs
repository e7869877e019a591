//! The thread that talks to a driver: opens the device, tests it, and then has it work on slots. Whatever the driver does to this
//! thread, hang it even, nobody waits for it longer than they want to: it belongs to no scope, and owns what it works with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::detached;
use super::device::{Device, Failure};
use super::engine::{Engine, Upload, Windows, run_once};
use super::packing::{ALIGNMENT, Packed, Sizes, words_by_twin};
use crate::analyses::Kernel;
use crate::faults::{Faults, Operation};

/// Who works.
#[derive(Clone)]
pub(super) enum Backend {
    Wgpu(wgpu::Adapter),
    /// The kernel's twin, on a thread of the processor: fails where a test wants it to.
    #[cfg(any(test, feature = "faults"))]
    Fake,
}

impl Backend {
    /// How long an answer may take, of which most take less than a thousandth.
    pub(super) fn timeout(&self) -> Duration {
        match self {
            Backend::Wgpu(_) => Duration::from_secs(30),
            #[cfg(any(test, feature = "faults"))]
            Backend::Fake => Duration::from_millis(500),
        }
    }

    /// How long it is left alone after it has failed so many times; `None`: for good.
    pub(super) fn pause(&self, failures: u64) -> Option<Duration> {
        const FAILURES_MAX: u64 = 3;
        let second = match self {
            Backend::Wgpu(_) => Duration::from_secs(1),
            #[cfg(any(test, feature = "faults"))]
            Backend::Fake => Duration::from_millis(10),
        };
        (1..=FAILURES_MAX).contains(&failures).then(|| second * (1 << (failures - 1)))
    }
}

/// What a driver's thread is to do.
pub(super) struct Order {
    pub(super) backend: Backend,
    pub(super) kernel: Arc<Kernel>,
    pub(super) sizes: Sizes,
    pub(super) faults: Faults,
}

/// The other ends of what a driver's thread listens to and tells.
pub(super) struct Driver {
    pub(super) started: Receiver<Result<Started, Failure>>,
    pub(super) jobs: Sender<Job>,
    pub(super) answers: Receiver<Answer>,
}

/// What the start showed.
pub(super) struct Started {
    /// Where bytes are written that go there; `None`: nowhere beforehand.
    pub(super) windows: Option<Arc<Windows>>,
    /// How they go there.
    pub(super) upload: &'static str,
    /// Bytes a second.
    pub(super) rate: f64,
}

/// A slot to work on.
pub(super) struct Job {
    pub(super) slot: usize,
    pub(super) packed: Arc<Packed>,
}

/// What came of it.
pub(super) struct Answer {
    pub(super) slot: usize,
    pub(super) words: Result<Vec<u32>, Failure>,
    /// How long the device was at work on it, less what it was at work on others.
    pub(super) busy: Duration,
}

/// Starts the thread.
///
/// # Errors
/// When there can be no thread.
pub(super) fn start(order: Order) -> Result<Driver, Failure> {
    let (started_in, started) = bounded(1);
    let (jobs, jobs_out) = unbounded::<Job>();
    let (answers_in, answers) = unbounded();
    let body = move || {
        // A driver's panic ends this thread alone; that its channels are closed tells the rest.
        match Machine::start(&order) {
            Ok((machine, told)) => {
                drop(started_in.send(Ok(told)));
                work(machine, &order, &jobs_out, &answers_in);
            }
            Err(failure) => drop(started_in.send(Err(failure))),
        }
    };
    detached::spawn("filemill-gpu", body)
        .map_err(|error| Failure(format!("cannot start a thread: {error}")))?;
    Ok(Driver { started, jobs, answers })
}

/// Works until nobody sends jobs any more, or the device fails.
fn work(mut machine: Machine, order: &Order, jobs: &Receiver<Job>, answers: &Sender<Answer>) {
    let mut running: VecDeque<(Job, Instant)> = VecDeque::new();
    let mut free_since = Instant::now();
    loop {
        // As much as there is is under way before anything is waited for.
        let next = if running.is_empty() { jobs.recv().ok() } else { jobs.try_recv().ok() };
        let (slot, words, since) = match (next, running.is_empty()) {
            (None, true) => return,
            (Some(job), _) => match machine.submit(&job, order) {
                Ok(()) => {
                    running.push_back((job, Instant::now()));
                    continue;
                }
                Err(failure) => (job.slot, Err(failure), Instant::now()),
            },
            (None, false) => {
                let Some((job, since)) = running.pop_front() else { return };
                let words = machine.finish(&job, order);
                (job.slot, words, since)
            }
        };
        let now = Instant::now();
        let busy = now.saturating_duration_since(since.max(free_since));
        free_since = now;
        let has_failed = words.is_err();
        if answers.send(Answer { slot, words, busy }).is_err() || has_failed {
            return;
        }
    }
}

/// What answers.
enum Machine {
    Wgpu(Box<Engine>),
    #[cfg(any(test, feature = "faults"))]
    Fake,
}

impl Machine {
    fn start(order: &Order) -> Result<(Machine, Started), Failure> {
        for _ in 0..order.sizes.slots {
            let allocated = order.faults.strike(Operation::GpuAllocate);
            allocated.map_err(|_| Failure("out of memory".to_owned()))?;
        }
        match &order.backend {
            Backend::Wgpu(adapter) => {
                let (engine, started) = start_engine(adapter, order)?;
                Ok((Machine::Wgpu(Box::new(engine)), started))
            }
            #[cfg(any(test, feature = "faults"))]
            Backend::Fake => Ok((Machine::Fake, Started { windows: None, upload: "write", rate: 1e6 })),
        }
    }

    fn submit(&mut self, job: &Job, order: &Order) -> Result<(), Failure> {
        let is_lost = order.faults.strike(Operation::GpuLose).is_err();
        match self {
            Machine::Wgpu(engine) => {
                engine.submit(job.slot, &job.packed)?;
                if is_lost {
                    let device = engine.device().clone();
                    drop(detached::spawn("filemill-gpu-lose", move || device.destroy()));
                }
                Ok(())
            }
            #[cfg(any(test, feature = "faults"))]
            Machine::Fake if is_lost => Err(Failure("the device was lost".to_owned())),
            #[cfg(any(test, feature = "faults"))]
            Machine::Fake => Ok(()),
        }
    }

    fn finish(&mut self, job: &Job, order: &Order) -> Result<Vec<u32>, Failure> {
        let faults = &order.faults;
        let answered = faults.strike(Operation::GpuAnswer);
        answered.map_err(|_| Failure("no answer from the device".to_owned()))?;
        let words = match self {
            Machine::Wgpu(engine) => engine.finish(job.slot, order.backend.timeout()),
            #[cfg(any(test, feature = "faults"))]
            Machine::Fake => {
                // No faster than 4 MB a second: slower than any worker, in any build.
                std::thread::sleep(
                    Duration::from_nanos(250) * u32::try_from(job.packed.bytes().len()).unwrap_or(u32::MAX),
                );
                Ok(words_by_twin(&job.packed, &order.kernel))
            }
        };
        let stamped = faults.strike(Operation::GpuTicket);
        stamped.map_err(|_| Failure("the shader did not run to its end".to_owned()))?;
        let mut words = words?;
        if faults.strike(Operation::GpuWords).is_err() {
            words.iter_mut().for_each(|word| *word ^= 1 << 31);
        }
        Ok(words)
    }
}

/// Opens the device of an adapter, tests it by a slot whose answers are known, and finds out how bytes get there fastest.
fn start_engine(adapter: &wgpu::Adapter, order: &Order) -> Result<(Engine, Started), Failure> {
    /// Smaller devices are not told apart by the way that bytes get there.
    const SLOW: Duration = Duration::from_millis(2);
    let Order { kernel, sizes, backend, .. } = order;
    let timeout = backend.timeout();
    let probe_sizes = Sizes { slots: 1, ..*sizes };
    let (small, large) = (test_content(&probe_sizes, kernel, 3), test_content(&probe_sizes, kernel, 128));
    let known = words_by_twin(&small, kernel);
    let mut device = Device::open(adapter)?;
    let mut pipeline = device.pipeline(kernel.name, &kernel.wgsl)?;
    let mut best: Option<(Upload, f64)> = None;
    let mut refused = Failure("bytes cannot be given to it".to_owned());
    for upload in Upload::ALL.into_iter().filter(|upload| upload.is_possible(&device)).collect::<Vec<_>>() {
        let engine = Engine::new(device.clone(), pipeline.clone(), kernel, &probe_sizes, upload, timeout);
        let timed = engine.and_then(|mut engine| {
            // The first time a shader runs, drivers still compile.
            for _ in 0..2 {
                if run_once(&mut engine, &small, timeout)?.0 != known {
                    return Err(Failure("its answers to known questions are wrong".to_owned()));
                }
            }
            let (_, took) = run_once(&mut engine, &small, timeout)?;
            if took > SLOW {
                return Ok((small.bytes().len(), took));
            }
            run_once(&mut engine, &large, timeout)?;
            Ok((large.bytes().len(), run_once(&mut engine, &large, timeout)?.1))
        });
        match timed {
            Ok((bytes, took)) => {
                let rate = bytes as f64 / took.as_secs_f64().max(1e-9);
                if best.is_none_or(|(_, before)| rate > before) {
                    best = Some((upload, rate));
                }
                if took > SLOW && bytes == small.bytes().len() {
                    break;
                }
            }
            Err(failure) => {
                // What went wrong once a device remembers: the next way has one of its own.
                refused = failure;
                device = Device::open(adapter)?;
                pipeline = device.pipeline(kernel.name, &kernel.wgsl)?;
            }
        }
    }
    let (upload, rate) = best.ok_or(refused)?;
    let engine = Engine::new(device, pipeline, kernel, sizes, upload, timeout)?;
    let started = Started { windows: Some(Arc::clone(engine.windows())), upload: upload.name(), rate };
    Ok((engine, started))
}

/// A slot with about so many segments' worth of bytes, some of them in short pieces.
fn test_content(sizes: &Sizes, kernel: &Kernel, segments: usize) -> Packed {
    let mut packed = Packed::with_sizes(sizes);
    let mut state = 0x9E37_79B9_u32;
    let mut bytes = |length: usize| -> Vec<u8> {
        let next = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[3]
        });
        next.take(length).collect()
    };
    let whole = kernel.segment_positions;
    let pieces = [1, kernel.overlap_bytes + 1, 999, (segments.saturating_sub(2)) * whole, whole + 77];
    for length in pieces.into_iter().filter(|length| *length > 0) {
        if packed.room(kernel, sizes) < length + ALIGNMENT {
            break;
        }
        packed.begin();
        packed.push(&bytes(length));
        packed.end(kernel);
    }
    packed
}
