//! Starts every thread and channel of a run; the whole flow, top to bottom.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::batch::Cutter;
use crate::control::Control;
use crate::error::Error;
use crate::faults::{Faults, Operation};
use crate::plan::{Handles, Plan};
use crate::queue::Queue;
use crate::record::{Batch, Outcome, Results};
use crate::reorder::{self, Intake, Reorder};
use crate::report::{Ledger, Report, StepTimes, peak_memory_bytes};
use crate::sink::Sink;
use crate::stage::read::Reader;
use crate::walk::roots::{self, Resolved};
use crate::walk::{Met, Tally, Walk};
use crate::workers::cpu::Worker;

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
    let Resolved { roots, apart } = roots::resolve(plan, &mut notes)?;
    let plan = &Plan { roots, ..plan.clone() };
    let handles = plan.handles()?;
    note_fewer_workers(plan, &handles, &mut notes);
    let walk = Walk::new(plan, apart, &handles, control)?;

    control.take_up();
    let started = SystemTime::now();
    let clock = Instant::now();
    sink.begin(plan, started).map_err(Error::Sink)?;

    let met = AtomicU64::new(0);
    let queue = Queue::new(handles.queue, handles.walkers);
    let (results_in, results_out) = bounded::<Results>(handles.queue);
    let (intake, reorder) = reorder::window(plan);
    let (tallies, times, sunk) = thread::scope(|scope| {
        let mut workers = Vec::new();
        for i in 0..handles.workers {
            let (queue, results) = (&queue, results_in.clone());
            let body = move || worker(plan, control, queue, &results);
            workers.push(spawn(scope, format!("filemill-work-{i}"), &plan.faults, body));
        }
        drop(results_in);
        let mut walkers = Vec::new();
        // Without a worker nobody would take what they send.
        let walkers_wanted = if workers.iter().any(Result::is_ok) { handles.walkers } else { 0 };
        for i in 0..walkers_wanted {
            let (walk, queue, intake, met) = (&walk, &queue, &intake, &met);
            let body = move || walker(walk, Cutter::new(plan, &handles), met, control, intake, queue);
            let started = spawn(scope, format!("filemill-walk-{i}"), &plan.faults, body);
            if started.is_err() {
                queue.done();
            }
            walkers.push(started);
        }
        note_missing("walkers", &walkers, &mut notes);
        note_missing("workers", &workers, &mut notes);

        let sunk = drain(&results_out, reorder, sink, control);
        drop(results_out);
        (join(walkers), join(workers), sunk)
    });

    let (mut ledger, sink_time) = sunk.map_err(Error::Sink)?;
    let (times, tallies) = (times?, tallies?);
    ledger.met = met.into_inner();
    if control.is_cancelled() {
        ledger.unread = ledger.met - ledger.records();
    }
    assert!(ledger.adds_up(), "paths were lost between the walk and the report: {ledger:?}");
    let report = Report {
        started,
        elapsed: clock.elapsed(),
        ledger,
        directories: tallies.iter().map(|(tally, _)| tally.directories).sum(),
        directories_failed: tallies.iter().map(|(tally, _)| tally.directories_failed).sum(),
        filtered: tallies.iter().map(|(tally, _)| tally.filtered).sum(),
        steps: steps(&tallies, &times, sink_time),
        walkers: tallies.len(),
        workers: times.len(),
        peak_memory_bytes: peak_memory_bytes(),
        notes,
        cancelled: control.is_cancelled(),
    };
    sink.end(&report).map_err(Error::Sink)?;
    Ok(report)
}

/// Says where the handle budget does not feed all workers.
fn note_fewer_workers(plan: &Plan, handles: &Handles, notes: &mut Vec<String>) {
    let (fewer, asked, budget) = (handles.workers, plan.workers, plan.handles_max);
    if fewer < asked {
        let workers = if fewer == 1 { "worker" } else { "workers" };
        notes.push(format!(
            "{fewer} {workers} instead of {asked}: more would need over {budget} file handles"
        ));
    }
}

/// The time of each step, over its threads.
fn steps(tallies: &[(Tally, Duration)], times: &[StepTimes], sink: Duration) -> StepTimes {
    StepTimes {
        walk: tallies.iter().map(|(_, busy)| *busy).sum(),
        stage: times.iter().map(|times| times.stage).sum(),
        analyse: times.iter().map(|times| times.analyse).sum(),
        sink,
        workers_waited: times.iter().map(|times| times.workers_waited).sum(),
    }
}

/// A walker thread: lists directories and sends what it meets, cut into batches.
fn walker(
    walk: &Walk<'_>,
    mut cutter: Cutter,
    met: &AtomicU64,
    control: &Control,
    intake: &Intake,
    queue: &Queue,
) -> (Tally, Duration) {
    let _done = OnDrop(|| queue.done());
    let clock = Instant::now();
    let mut waited = Duration::ZERO;
    let mut send = |batch: Option<Batch>| {
        let Some(mut batch) = batch else { return ControlFlow::Continue(()) };
        batch.first = met.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let since = Instant::now();
        if !intake.admit(&batch, control) {
            return ControlFlow::Break(());
        }
        queue.send(batch);
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

/// A worker thread: opens, reads and analyses the files of one batch after the other.
fn worker(plan: &Plan, control: &Control, queue: &Queue, results: &Sender<Results>) -> StepTimes {
    // However it ends, walkers must not wait forever for somebody to take their batches.
    let _drain = OnDrop(|| {
        if thread::panicking() {
            control.abandon();
        }
        while queue.take().is_some() {
            queue.done();
        }
    });
    let clock = Instant::now();
    let mut worker = Worker::new(plan);
    let mut reader = Reader::new(plan, control);
    let mut busy = Duration::ZERO;
    while let Some(batch) = queue.take() {
        let _done = OnDrop(|| queue.done());
        let mut own = vec![batch];
        while let Some(batch) = own.pop() {
            let since = Instant::now();
            let (result, mut rest) = worker.work(batch, |entry, event| {
                if control.should_stop() { Outcome::Unread } else { reader.read(entry, event) }
            });
            busy += since.elapsed();
            // A sink that failed takes nothing more, and has said so through `control`.
            if results.send(result).is_err() {
                continue;
            }
            if rest.len() > 1 && queue.is_empty() {
                let half = rest.split_off(rest.len() / 2);
                own.extend(queue.offer(half).err());
            }
            if !rest.is_empty() {
                own.push(rest);
            }
        }
    }
    StepTimes {
        stage: busy.saturating_sub(worker.analysed),
        analyse: worker.analysed,
        workers_waited: clock.elapsed().saturating_sub(busy),
        ..StepTimes::default()
    }
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
        let (records, bytes) = (ledger.records(), ledger.bytes);
        let mut next = reorder.push(results);
        while let Some(results) = next {
            for record in results.records() {
                ledger.count(&record.outcome);
                sink.record(&record)?;
            }
            next = reorder.pop();
        }
        control.add_done(ledger.records() - records, ledger.bytes - bytes);
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
        notes.push(format!("{started} {what} instead of {}: cannot start a thread: {error}", threads.len()));
    }
}

/// What each thread returned.
fn join<T>(threads: Vec<Started<'_, T>>) -> Result<Vec<T>, Error> {
    let mut none = Error::Panic;
    let mut joined = Vec::new();
    for thread in threads {
        match thread {
            Ok(thread) => joined.push(thread.join()),
            Err(error) => none = Error::Thread(error),
        }
    }
    if joined.is_empty() {
        Err(none)
    } else {
        joined.into_iter().collect::<Result<_, _>>().map_err(|_| Error::Panic)
    }
}
