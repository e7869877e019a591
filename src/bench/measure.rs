//! One measurement: a run of a plan in this process, what it took, and what it answered.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Answers, BenchError, Collect};
use crate::control::Control;
use crate::latencies::Latencies;
use crate::plan::Plan;
use crate::report::{GpuUse, StepTimes};

/// What one run took and answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// From the call to its return.
    pub seconds: f64,
    /// What it answered.
    pub answers: Answers,
    /// Paths met.
    pub met: u64,
    /// Paths that could not be read.
    pub failed: u64,
    /// Time spent per step, over its threads.
    pub steps: Steps,
    /// How long batches took.
    pub batches: Batches,
    /// What the GPUs did, where there were some and they were wanted.
    pub gpus: Option<Gpus>,
    /// Processor time of all threads, in seconds, where the system tells.
    pub cpu_seconds: Option<f64>,
    /// The most memory the process held meanwhile, in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
    /// What was done otherwise than asked for.
    pub notes: Vec<String>,
}

/// Time spent per step, as [`StepTimes`], in seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Steps {
    /// In directories.
    pub walk_seconds: f64,
    /// Opening and reading.
    pub stage_seconds: f64,
    /// In analyses.
    pub analyse_seconds: f64,
    /// In the sink.
    pub sink_seconds: f64,
    /// Workers without work.
    pub workers_waited_seconds: f64,
}

impl From<&StepTimes> for Steps {
    fn from(times: &StepTimes) -> Steps {
        Steps {
            walk_seconds: times.walk.as_secs_f64(),
            stage_seconds: times.stage.as_secs_f64(),
            analyse_seconds: times.analyse.as_secs_f64(),
            sink_seconds: times.sink.as_secs_f64(),
            workers_waited_seconds: times.workers_waited.as_secs_f64(),
        }
    }
}

/// How long batches took, as [`Latencies`], in seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Batches {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_seconds: Option<f64>,
    /// 95 of 100.
    pub p95_seconds: Option<f64>,
    /// 99 of 100.
    pub p99_seconds: Option<f64>,
    /// 999 of 1000.
    pub p999_seconds: Option<f64>,
}

impl From<&Latencies> for Batches {
    fn from(latencies: &Latencies) -> Batches {
        let quantile = |at: f64| latencies.quantile(at).map(|time| time.as_secs_f64());
        Batches {
            count: latencies.count(),
            p50_seconds: quantile(0.5),
            p95_seconds: quantile(0.95),
            p99_seconds: quantile(0.99),
            p999_seconds: quantile(0.999),
        }
    }
}

/// What GPUs did, all of them together, of [`GpuUse`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpus {
    /// Their names.
    pub adapters: String,
    /// Files that they answered for.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// How long they were at work, in seconds, summed over them.
    pub busy_seconds: f64,
    /// Why they were not used, or not for all; empty where there is nothing to say.
    pub left_out: String,
}

impl Gpus {
    fn of(gpus: &[GpuUse]) -> Option<Gpus> {
        let joined = |of: fn(&GpuUse) -> &str| {
            let words: Vec<&str> = gpus.iter().map(of).filter(|word| !word.is_empty()).collect();
            words.join("; ")
        };
        (!gpus.is_empty()).then(|| Gpus {
            adapters: joined(|gpu| &gpu.adapter),
            files: gpus.iter().map(|gpu| gpu.files).sum(),
            bytes: gpus.iter().map(|gpu| gpu.bytes).sum(),
            busy_seconds: gpus.iter().map(|gpu| gpu.busy.as_secs_f64()).sum(),
            left_out: joined(|gpu| &gpu.left_out),
        })
    }
}

impl Measured {
    /// Files read a second.
    pub fn files_per_second(&self) -> f64 {
        self.answers.files as f64 / self.seconds
    }
}

/// Runs a plan once.
///
/// # Errors
/// When it cannot be run, reads nothing at all, or is cancelled.
pub fn measure(plan: &Plan, control: &Control) -> Result<Measured, BenchError> {
    let mut sink = Collect::default();
    forget_peak_memory();
    let cpu_before = cpu_time();
    let since = Instant::now();
    let report = crate::run_with(plan, &mut sink, control)?;
    let seconds = since.elapsed().as_secs_f64();
    let cpu_seconds = cpu_time().zip(cpu_before).map(|(after, before)| (after - before).as_secs_f64());
    if report.cancelled {
        return Err(BenchError::Cancelled);
    }
    if report.ledger.done == 0 {
        let roots: Vec<_> = plan.roots.iter().map(|root| root.path().display().to_string()).collect();
        return Err(BenchError::Refused(format!("{}: no file could be read", roots.join(", "))));
    }
    Ok(Measured {
        seconds,
        answers: sink.into_answers(),
        met: report.ledger.met,
        failed: report.ledger.failed_total(),
        steps: Steps::from(&report.steps),
        batches: Batches::from(&report.batches),
        gpus: Gpus::of(&report.gpus),
        cpu_seconds,
        peak_memory_bytes: report.peak_memory_bytes,
        notes: report.notes,
    })
}

/// Whether the system has what is to be read in its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheState {
    /// It has, after a run that is not counted.
    #[default]
    Warm,
    /// It is told to forget everything before each run, which takes the rights of root.
    Cold,
}

impl CacheState {
    /// The word that records use.
    pub fn name(self) -> &'static str {
        match self {
            CacheState::Warm => "warm",
            CacheState::Cold => "cold",
        }
    }
}

/// Makes the system forget what it has read of files and directories.
///
/// # Errors
/// Where that is not allowed.
pub fn drop_caches() -> Result<(), BenchError> {
    #[cfg(target_os = "linux")]
    {
        // What is not written yet cannot be forgotten.
        rustix::fs::sync();
        std::fs::write("/proc/sys/vm/drop_caches", "3").map_err(|error| {
            BenchError::Refused(format!("the system's cache cannot be dropped here ({error}): root can"))
        })
    }
    #[cfg(not(target_os = "linux"))]
    Err(BenchError::Refused("the system's cache can be dropped on Linux only".to_owned()))
}

/// Processor time that this process has used so far.
pub(crate) fn cpu_time() -> Option<Duration> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Some(Duration::from_micros(u64::try_from(microseconds).ok()?))
    }
    #[cfg(not(unix))]
    None
}

/// The peak begins anew with what is held now; where that is not to be had, peaks are those of the whole process.
fn forget_peak_memory() {
    #[cfg(target_os = "linux")]
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}
