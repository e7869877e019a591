//! The threads that attend to GPUs, and what they bring home.

use std::convert::Infallible;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::{Started, join_one, spawn};
use crate::control::Control;
use crate::error::Error;
use crate::faults::Faults;
use crate::latencies::Latencies;
use crate::record::Results;
use crate::report::GpuUse;
use crate::workers::gpu::{Answered, Attended, Gpu};

/// What came of the GPUs: what each did, and how long the batches took that it had the last word of.
pub(super) type Gpus = Vec<(Attended, Latencies)>;

/// The thread that attends to the GPUs, once it is known which there are: the first itself, and each of the others on a
/// thread of its own.
pub(super) fn attend_all<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    gpu: &'scope Gpu,
    is_over: &Receiver<Infallible>,
    control: &'scope Control,
    results: &Sender<Results>,
    faults: &Faults,
) -> Gpus {
    let devices = gpu.devices(is_over);
    let mut others = Vec::new();
    for number in 1..devices {
        let (results, is_over) = (results.clone(), is_over.clone());
        let body = move || attend(gpu, number, &is_over, control, &results);
        match spawn(scope, format!("filemill-gpu-{number}"), faults, body) {
            Ok(other) => others.push(other),
            Err(_) => gpu.leave_out(number),
        }
    }
    let mut all: Gpus =
        (0..devices.min(1)).map(|number| attend(gpu, number, is_over, control, results)).collect();
    for other in others {
        match other.join() {
            Ok(attended) => all.push(attended),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    all
}

/// Attends to one GPU.
fn attend(
    gpu: &Gpu,
    number: usize,
    is_over: &Receiver<Infallible>,
    control: &Control,
    results: &Sender<Results>,
) -> (Attended, Latencies) {
    let mut batches = Latencies::new();
    let attended = gpu.attend(number, is_over, control, &mut |(done, took): Answered| {
        batches.record(took);
        // A sink that failed takes nothing more, and has said so through `control`.
        drop(results.send(done));
    });
    (attended, batches)
}

/// What the GPUs did; `notes` tell of what went wrong with them.
pub(super) fn join_gpus(
    gpu: Option<&Gpu>,
    attending: Option<Started<'_, Gpus>>,
    notes: &mut Vec<String>,
) -> Result<(Vec<GpuUse>, Latencies), Error> {
    let mut batches = Latencies::new();
    let all = match attending {
        None => Vec::new(),
        Some(Ok(thread)) => join_one(thread)?,
        Some(Err(error)) => {
            notes.push(format!("no GPU is used: cannot start a thread: {error}"));
            Vec::new()
        }
    };
    notes.extend(gpu.and_then(Gpu::why_none).map(|why| format!("no GPU is used: {why}")));
    let used = all.into_iter().map(|(Attended { used, note }, took)| {
        batches.add(&took);
        notes.extend(note);
        used
    });
    let used = used.collect();
    Ok((used, batches))
}
