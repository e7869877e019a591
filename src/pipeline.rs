//! Starts every thread and channel of a run; the whole flow, top to bottom.

mod ahead;
mod gpus;
mod work;

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use self::ahead::Ahead;
use self::gpus::{attend_all, join_gpus};
use self::work::{Desk, Done, Work, worker};
use crate::batch::Cutter;
use crate::control::{Control, Total};
use crate::error::Error;
use crate::faults::{Faults, Operation};
use crate::keep::FileSystems;
use crate::latencies::Latencies;
use crate::plan::{self, Handles, Plan, Reads, Staging};
use crate::queue::Queue;
use crate::record::{Batch, Results};
use crate::reorder::{self, Intake, Reorder};
use crate::report::{GpuUse, Ledger, Move, Report, Staged, StepTimes, peak_memory_bytes};
use crate::sink::Sink;
use crate::stage::{self, Budget};
use crate::walk::again::Again;
use crate::walk::roots::{self, Resolved};
use crate::walk::{Met, Tally, Walk};
use crate::workers::gpu::{self, Gpu, Packer};
use crate::workers::large::Divided;
use crate::workers::pool::{self, Pool, Sizer};

/// Reads every file below the plan's roots once and gives `sink` one record for each path met, on this thread.
///
/// # Errors
/// When the plan cannot be carried out ([`Error::Plan`], [`Error::Root`]; nothing was given to the sink), or when
/// the sink fails ([`Error::Sink`]). A file that cannot be read is no error but a record.
pub fn run(plan: &Plan, sink: &mut dyn Sink) -> Result<Report, Error> {
    run_with(plan, sink, &Control::new())
}

/// The same, watched and cancelled through `control`.
///
/// # Errors
/// As [`run`].
pub fn run_with(plan: &Plan, sink: &mut dyn Sink, control: &Control) -> Result<Report, Error> {
    plan.check()?;
    let mut notes = Vec::new();
    let Resolved { roots, listed, apart } = roots::resolve(plan, &mut notes)?;
    let plan = Plan { roots, listed, file_systems: FileSystems::of_run(), ..plan.clone() };
    run_over(Over::Tree { apart }, plan, notes, sink, control)
}

/// The same over files that an earlier run of a plan with the same roots has met: they have the numbers by which they are
/// known ([`crate::record::Record::number`]).
///
/// # Errors
/// As [`run`].
pub(crate) fn run_again(
    plan: &Plan,
    again: &Again<'_>,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<Report, Error> {
    // One walker meets them in their order.
    let plan = Plan { walkers: 1, ..plan.clone() };
    plan.check()?;
    run_over(Over::Known(again), plan, Vec::new(), sink, control)
}

/// What a run goes over.
enum Over<'a> {
    Tree { apart: HashSet<Vec<u8>> },
    Known(&'a Again<'a>),
}

fn run_over(
    over: Over<'_>,
    mut plan: Plan,
    mut notes: Vec<String>,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<Report, Error> {
    gpu::prepare(&mut plan);
    plan.fit_memory(&mut notes)?;
    stage::prepare(&mut plan, &mut notes)?;
    let plan = &plan;
    let gpu = Gpu::start(plan, &mut notes)?;
    let handles = plan.handles()?;
    note_fewer_workers(plan, &handles, &mut notes);
    control.take_up();
    let (walk, ahead) = match over {
        Over::Tree { apart } => {
            let ahead = Ahead::of(plan, &apart, control);
            (Walk::new(plan, apart, &handles, control)?, ahead)
        }
        Over::Known(again) => {
            control.know_total(Total { files: again.files, bytes: again.bytes, is_all: true });
            (Walk::again(plan, again, control), None)
        }
    };

    let started = SystemTime::now();
    let clock = Instant::now();
    sink.begin(plan, started).map_err(Error::Sink)?;
    let Ended {
        tallies,
        done,
        workers,
        moves,
        mut ledger,
        sink_time,
        gpus,
        gpu_batches,
        ram_disk_bytes_peak,
    } = ahead::beside(ahead, control, || {
        flow(plan, &handles, gpu.as_ref(), &walk, sink, control, &mut notes)
    })?;
    if control.is_cancelled() {
        ledger.unread = ledger.met - ledger.records();
    }
    assert!(ledger.adds_up(), "paths were lost between the walk and the report: {ledger:?}");
    let steps = steps(&tallies, &done, sink_time);
    let mut batches = Latencies::new();
    done.iter().for_each(|done| batches.add(&done.batches));
    batches.add(&gpu_batches);
    let staged = done.iter().map(|done| done.tally.staged).fold(Staged::default(), Staged::sum);
    let staged = Staged { ram_disk_bytes_peak, ..staged };
    notes.extend(walk.notes());
    note_staging(plan, &staged, done, &mut notes);
    note_full_pool(plan, &handles, &moves, &mut notes);
    let report = Report {
        started,
        elapsed: clock.elapsed(),
        ledger,
        directories: tallies.iter().map(|(tally, _)| tally.directories).sum(),
        directories_failed: tallies.iter().map(|(tally, _)| tally.directories_failed).sum(),
        filtered: tallies.iter().map(|(tally, _)| tally.filtered).sum(),
        steps,
        batches,
        staged,
        gpus,
        walkers: tallies.len(),
        workers,
        moves,
        peak_memory_bytes: peak_memory_bytes(),
        duplicates: None,
        notes,
        cancelled: control.is_cancelled(),
    };
    sink.end(&report).map_err(Error::Sink)?;
    Ok(report)
}

/// What the threads of a run have done when all are gone.
struct Ended {
    tallies: Vec<(Tally, Duration)>,
    done: Vec<Done>,
    /// Workers that there were in the beginning.
    workers: usize,
    moves: Vec<Move>,
    ledger: Ledger,
    sink_time: Duration,
    gpus: Vec<GpuUse>,
    /// Those of which a GPU had the last word.
    gpu_batches: Latencies,
    ram_disk_bytes_peak: u64,
}

/// Starts the workers, who sizes their pool, and the walkers; gives what comes out to the sink until all are gone.
fn flow(
    plan: &Plan,
    handles: &Handles,
    gpu: Option<&Gpu>,
    walk: &Walk<'_>,
    sink: &mut dyn Sink,
    control: &Control,
    notes: &mut Vec<String>,
) -> Result<Ended, Error> {
    let met = AtomicU64::new(0);
    let queue = Queue::new(handles.queue, handles.walkers);
    let (results_in, results_out) = bounded::<Results>(handles.queue);
    let (intake, reorder) = reorder::window(plan);
    let workers_first = plan.workers_first().min(handles.workers);
    let pool = Pool::new(workers_first, handles.workers);
    let divided = Some(Divided::of(plan)).filter(|divided| divided.any && handles.workers > 1);
    let budget = Budget::new(plan);
    let desk = Desk { plan, control, queue: &queue, pool: &pool, budget: &budget, divided };
    // It is gone when the last worker is, and with it whatever could still be packed for a GPU.
    let (open, is_over) = bounded::<Infallible>(0);
    thread::scope(|scope| {
        let attending = gpu.map(|gpu| {
            let (results, is_over) = (results_in.clone(), is_over.clone());
            let body = move || attend_all(scope, gpu, &is_over, control, &results, &plan.faults);
            let attending = spawn(scope, "filemill-gpus".to_owned(), &plan.faults, body);
            if attending.is_err() {
                gpu.leave_out_all();
            }
            attending
        });
        let start_worker = move || {
            let (lane, results) = (desk.pool.enter(), results_in.clone());
            let packer = gpu.map(|gpu| Packer::new(gpu, control, open.clone()));
            let body = move || worker(desk, lane, &results, packer);
            let started = spawn(scope, format!("filemill-work-{lane}"), &plan.faults, body);
            if started.is_err() {
                desk.pool.withdraw();
            }
            started
        };
        // One of each kind before there are many: where the system allows few threads, they suffice.
        let mut workers = Vec::new();
        while workers.len() < workers_first && !workers.iter().any(Result::is_ok) {
            workers.push(start_worker());
        }
        // Without a worker nobody would take what they send.
        let walkers_wanted = if workers.iter().any(Result::is_ok) { handles.walkers } else { 0 };
        let start_walker = |i| {
            let (queue, intake, met) = (&queue, &intake, &met);
            let body = move || walker(walk, Cutter::new(plan, handles), met, control, intake, queue);
            let started = spawn(scope, format!("filemill-walk-{i}"), &plan.faults, body);
            if started.is_err() {
                queue.walked();
            }
            started
        };
        let walkers: Vec<_> = (0..walkers_wanted).map(start_walker).collect();
        note_missing("walker", &walkers, notes);
        workers.extend((workers.len()..workers_first).map(|_| start_worker()));
        note_missing("worker", &workers, notes);
        let workers_started = workers.iter().flatten().count();
        let grows = workers_started > 0 && handles.workers > workers_first;
        let sizing = grows.then(|| {
            let sizer = Sizer::new(plan::cores(), workers_started, handles.workers);
            let body = move || size_pool(desk, sizer, start_worker);
            spawn(scope, "filemill-pool".to_owned(), &plan.faults, body)
        });
        note_fixed(sizing.as_ref(), notes);

        let sunk = drain(&results_out, reorder, sink, control);
        drop(results_out);
        let (moves, more) = sizing.and_then(Result::ok).map(join_one).transpose()?.unwrap_or_default();
        workers.extend(more);
        let (done, tallies) = (join(workers)?, join(walkers)?);
        let (gpus, gpu_batches) = join_gpus(gpu, attending, notes)?;
        let (mut ledger, sink_time) = sunk.map_err(Error::Sink)?;
        let told: u64 = tallies.iter().map(|(tally, _): &(Tally, _)| tally.told).sum();
        ledger.met = met.load(Ordering::Relaxed) - told;
        let ram_disk_bytes_peak = budget.peak();
        let workers = workers_started;
        Ok(Ended { tallies, done, workers, moves, ledger, sink_time, gpus, gpu_batches, ram_disk_bytes_peak })
    })
}

/// Says where the handle budget does not feed all workers.
fn note_fewer_workers(plan: &Plan, handles: &Handles, notes: &mut Vec<String>) {
    let (fewer, asked, budget) = (handles.workers, plan.workers_first(), plan.handles_max);
    if fewer < asked {
        let workers = if fewer == 1 { "worker" } else { "workers" };
        notes.push(format!(
            "{fewer} {workers} instead of {asked}: more would need over {budget} file handles"
        ));
    }
}

/// Says where a pool would have grown further with more handles.
fn note_full_pool(plan: &Plan, handles: &Handles, moves: &[Move], notes: &mut Vec<String>) {
    let (workers, budget) = (handles.workers, plan.handles_max);
    if workers < plan.workers_most() && moves.iter().any(|went| went.workers == workers) {
        notes.push(format!("no more than {workers} workers: more would need over {budget} file handles"));
    }
}

/// Says where files did not go the way that was asked for.
fn note_staging(plan: &Plan, staged: &Staged, done: Vec<Done>, notes: &mut Vec<String>) {
    let files =
        |number: u64| if number == 1 { "1 file was".to_owned() } else { format!("{number} files were") };
    let unmapped = done.iter().map(|done| done.tally.unmapped).sum();
    let ended_early: u64 = done.iter().map(|done| done.tally.ended_early).sum();
    if ended_early > 0 {
        notes.push(format!(
            "{} read to an end before the size that the file system states",
            files(ended_early)
        ));
    }
    if plan.staging == Staging::Mmap && unmapped > 0 {
        notes.push(format!(
            "{} read, not mapped: with holes, or where files cannot be mapped safely",
            files(unmapped)
        ));
    }
    // A part of a file is always read as it lies.
    if plan.staging != Staging::RamDisk || staged.read.files == 0 || plan.reads != Reads::Whole {
        return;
    }
    let refused = done.into_iter().find_map(|done| done.tally.ram_disk_refused);
    let why = match refused {
        Some(error) => format!("the RAM disk took no more: {error}"),
        None => format!(
            "larger than a worker's share of {} bytes, or {} bytes and more",
            plan.ram_disk_bytes_max, plan.share_bytes
        ),
    };
    notes.push(format!("{} read past the RAM disk: {why}", files(staged.read.files)));
}

/// The time of each step, over its threads.
fn steps(tallies: &[(Tally, Duration)], done: &[Done], sink: Duration) -> StepTimes {
    StepTimes {
        walk: tallies.iter().map(|(_, busy)| *busy).sum(),
        stage: done.iter().map(|done| done.times.stage).sum(),
        analyse: done.iter().map(|done| done.times.analyse).sum(),
        sink,
        workers_waited: done.iter().map(|done| done.times.workers_waited).sum(),
    }
}

/// A walker thread: lists directories and sends what it meets, cut into batches.
fn walker(
    walk: &Walk<'_>,
    mut cutter: Cutter,
    met: &AtomicU64,
    control: &Control,
    intake: &Intake,
    queue: &Queue<Work>,
) -> (Tally, Duration) {
    let _done = OnDrop(|| queue.walked());
    let clock = Instant::now();
    let mut waited = Duration::ZERO;
    let mut send = |batch: Option<Batch>| {
        let Some(mut batch) = batch else { return ControlFlow::Continue(()) };
        batch.first = met.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let since = Instant::now();
        if !intake.admit(&batch, control) {
            return ControlFlow::Break(());
        }
        queue.send(Work::Batch(batch));
        waited += since.elapsed();
        if control.should_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let tally = walk.run(&mut |what| match what {
        Met::Entry { directory, name, found, bytes } => send(cutter.push(directory, name, found, bytes)),
        Met::Pause => send(cutter.take()),
    });
    let _: ControlFlow<()> = send(cutter.take());
    (tally, clock.elapsed().saturating_sub(waited + tally.waited))
}

/// The thread that sizes the pool: starts workers where more are wanted. Returns how it moved, and what it started.
fn size_pool<'scope>(
    desk: Desk<'scope>,
    sizer: Sizer,
    start_worker: impl Fn() -> Started<'scope, Done>,
) -> (Vec<Move>, Vec<Started<'scope, Done>>) {
    let mut more = Vec::new();
    let spawn = || {
        let started = start_worker();
        let is_started = started.is_ok();
        more.extend(started.ok().map(Ok));
        is_started
    };
    let moves = pool::watch(desk.pool, sizer, || desk.queue.waiting(), spawn);
    (moves, more)
}

/// A reader of the report need not wait longer than this for what is known.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// Gives every record to the sink. When the sink fails, everyone stops.
fn drain(
    results: &Receiver<Results>,
    mut reorder: Reorder,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<(Ledger, Duration), std::io::Error> {
    // Whichever way this is left, by an error or a panic of the sink too; the end of the run is no harm.
    let _abandon = OnDrop(|| control.abandon());
    let mut ledger = Ledger::default();
    let mut busy = Duration::ZERO;
    // When the sink last showed everything, and whether it was given more since.
    let mut shown = (Instant::now(), true);
    loop {
        let arrived = match shown {
            (_, true) => results.recv().map_err(RecvTimeoutError::from),
            (at, false) => results.recv_deadline(at + IDLE_AFTER),
        };
        let results = match arrived {
            Ok(results) => results,
            Err(RecvTimeoutError::Disconnected) => return Ok((ledger, busy)),
            Err(RecvTimeoutError::Timeout) => {
                sink.idle()?;
                shown = (Instant::now(), true);
                continue;
            }
        };
        let since = Instant::now();
        let records = ledger.records();
        let mut next = reorder.push(results);
        while let Some(results) = next {
            for record in results.records() {
                ledger.count(&record.outcome);
                sink.record(&record)?;
            }
            next = reorder.pop();
        }
        control.add_records(ledger.records() - records);
        if shown.1 {
            shown = (since, false);
        }
        busy += since.elapsed();
    }
}

/// Does something when it goes out of scope, in a panic too.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

type Started<'scope, T> = std::io::Result<thread::ScopedJoinHandle<'scope, T>>;

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: String,
    faults: &Faults,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Started<'scope, T> {
    faults.strike(Operation::Spawn)?;
    thread::Builder::new().name(name).spawn_scoped(scope, body)
}

/// Where some threads could not be started, the others do the work.
fn note_missing<T>(what: &str, threads: &[Started<'_, T>], notes: &mut Vec<String>) {
    let started = threads.iter().flatten().count();
    if let Some(error) = threads.iter().find_map(|thread| thread.as_ref().err()) {
        let plural = if started == 1 { "" } else { "s" };
        notes.push(format!(
            "{started} {what}{plural} instead of {}: cannot start a thread: {error}",
            threads.len()
        ));
    }
}

/// Where nobody could be started who sizes the pool.
fn note_fixed<T>(sizing: Option<&Started<'_, T>>, notes: &mut Vec<String>) {
    if let Some(Err(error)) = sizing {
        notes.push(format!("the number of workers stays as it is: cannot start a thread: {error}"));
    }
}

/// What each thread returned.
fn join<T>(threads: Vec<Started<'_, T>>) -> Result<Vec<T>, Error> {
    let mut none = Error::Panic;
    let mut joined = Vec::new();
    for thread in threads {
        match thread {
            Ok(thread) => joined.push(join_one(thread)),
            Err(error) => none = Error::Thread(error),
        }
    }
    if joined.is_empty() { Err(none) } else { joined.into_iter().collect() }
}

fn join_one<T>(thread: thread::ScopedJoinHandle<'_, T>) -> Result<T, Error> {
    thread.join().map_err(|_| Error::Panic)
}
