//! Starts every thread and channel of a run; the whole flow, top to bottom.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::batch::Cutter;
use crate::control::Control;
use crate::error::Error;
use crate::plan::Plan;
use crate::record::{Batch, Outcome, Results};
use crate::report::{Ledger, Report, StepTimes, peak_memory_bytes};
use crate::sink::Sink;
use crate::stage::read::Reader;
use crate::walk::{Met, Tally, Walk, roots};
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
    let plan = &Plan { roots: roots::resolve(plan, &mut notes)?, ..plan.clone() };
    let handles = plan.handles()?;
    if handles.workers < plan.workers {
        let (fewer, asked, budget) = (handles.workers, plan.workers, plan.handles_max);
        notes.push(format!("{fewer} workers instead of {asked}: more would need over {budget} file handles"));
    }
    let walk = Walk::new(plan, &handles, control)?;

    let started = SystemTime::now();
    let clock = Instant::now();
    sink.begin(plan, started).map_err(Error::Sink)?;

    let met = AtomicU64::new(0);
    let (batches_in, batches_out) = bounded::<Batch>(handles.queue);
    let (results_in, results_out) = bounded::<Results>(handles.queue);
    let (tallies, times, sunk) = thread::scope(|scope| {
        let walkers: Vec<_> = (0..handles.walkers)
            .map(|i| {
                let (walk, met, batches) = (&walk, &met, batches_in.clone());
                let body = move || walker(walk, Cutter::new(plan, &handles), met, control, &batches);
                spawn(scope, format!("filemill-walk-{i}"), body)
            })
            .collect();
        let workers: Vec<_> = (0..handles.workers)
            .map(|i| {
                let (batches, results) = (batches_out.clone(), results_in.clone());
                spawn(scope, format!("filemill-work-{i}"), move || worker(plan, control, &batches, &results))
            })
            .collect();
        drop((batches_in, batches_out, results_in));

        let sunk = drain(results_out, sink, control);
        let tallies: Vec<_> = walkers.into_iter().map(join).collect();
        let times: Vec<_> = workers.into_iter().map(join).collect();
        (tallies, times, sunk)
    });

    let (mut ledger, sink_time) = sunk.map_err(Error::Sink)?;
    let tallies: Vec<(Tally, Duration)> = tallies.into_iter().collect::<Result<_, _>>()?;
    let times: Vec<StepTimes> = times.into_iter().collect::<Result<_, _>>()?;
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
        steps: StepTimes {
            walk: tallies.iter().map(|(_, busy)| *busy).sum(),
            stage: times.iter().map(|times| times.stage).sum(),
            analyse: times.iter().map(|times| times.analyse).sum(),
            sink: sink_time,
            workers_waited: times.iter().map(|times| times.workers_waited).sum(),
        },
        walkers: handles.walkers,
        workers: handles.workers,
        peak_memory_bytes: peak_memory_bytes(),
        notes,
        cancelled: control.is_cancelled(),
    };
    sink.end(&report).map_err(Error::Sink)?;
    Ok(report)
}

/// A walker thread: lists directories and sends what it meets, cut into batches.
fn walker(
    walk: &Walk<'_>,
    mut cutter: Cutter,
    met: &AtomicU64,
    control: &Control,
    batches: &Sender<Batch>,
) -> (Tally, Duration) {
    let clock = Instant::now();
    let mut waited = Duration::ZERO;
    let mut send = |batch: Option<Batch>| {
        let Some(batch) = batch else { return ControlFlow::Continue(()) };
        met.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let since = Instant::now();
        let sent = batches.send(batch);
        waited += since.elapsed();
        // Nobody takes batches any more, or nobody wants them.
        if sent.is_err() || control.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let tally = walk.run(&mut |what| match what {
        Met::Entry { directory, name, found, bytes } => send(cutter.push(directory, name, found, bytes)),
        Met::Pause => send(cutter.take()),
    });
    let _: ControlFlow<()> = send(cutter.take());
    (tally, clock.elapsed().saturating_sub(waited + tally.waited))
}

/// A worker thread: opens, reads and analyses the files of one batch after the other.
fn worker(plan: &Plan, control: &Control, batches: &Receiver<Batch>, results: &Sender<Results>) -> StepTimes {
    let clock = Instant::now();
    let mut worker = Worker::new(plan);
    let mut reader = Reader::new(plan, control);
    let mut busy = Duration::ZERO;
    for batch in batches {
        let since = Instant::now();
        let result = worker.work(batch, |entry, event| {
            if control.is_cancelled() { Outcome::Unread } else { reader.read(entry, event) }
        });
        busy += since.elapsed();
        if results.send(result).is_err() {
            break;
        }
    }
    StepTimes {
        stage: busy.saturating_sub(worker.analysed),
        analyse: worker.analysed,
        workers_waited: clock.elapsed().saturating_sub(busy),
        ..StepTimes::default()
    }
}

/// Gives every record to the sink. When the sink fails, returning drops the channel, and so everyone stops.
fn drain(
    results: Receiver<Results>,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<(Ledger, Duration), std::io::Error> {
    let mut ledger = Ledger::default();
    let mut busy = Duration::ZERO;
    for results in results {
        let since = Instant::now();
        let (records, bytes) = (ledger.records(), ledger.bytes);
        for record in results.records() {
            ledger.count(&record.outcome);
            sink.record(&record)?;
        }
        control.add_done(ledger.records() - records, ledger.bytes - bytes);
        busy += since.elapsed();
    }
    Ok((ledger, busy))
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: String,
    body: impl FnOnce() -> T + Send + 'scope,
) -> std::io::Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().name(name).spawn_scoped(scope, body)
}

fn join<T>(thread: std::io::Result<thread::ScopedJoinHandle<'_, T>>) -> Result<T, Error> {
    thread
        .map_err(|error| Error::Plan(format!("cannot start a thread: {error}")))?
        .join()
        .map_err(|_| Error::Panic)
}
