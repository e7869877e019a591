//! Limits of the process: takes as many file handles as it may have, and makes a plan fit a small address space.

use filemill::plan::{Device, Plan, Staging, Workers};

use super::Failure;

/// Takes as many file handles as the system allows at all; the library keeps to what it finds. To be called while there is
/// one thread.
pub(crate) fn raise_handle_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            // The soft limit stands, and suffices.
        }
        widen_handle_table(getrlimit(Resource::Nofile).current);
    }
}

/// The kernel's table of a process's handles grows when one is beyond its end, and where there are threads everyone waits for
/// that until all processors have passed by: some 10 ms, twice or more, of a scan of 10,000 files (ops/bench.md). So
/// it grows before there are threads.
#[cfg(unix)]
fn widen_handle_table(limit: Option<u64>) {
    /// More than are ever open on usual trees.
    const HANDLES: u64 = 4096;
    let last = HANDLES.min(limit.unwrap_or(HANDLES)).saturating_sub(1);
    // Closed again at once; where there is none to be had the table grows later.
    drop(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), i32::try_from(last).unwrap_or(0)));
}

/// Where the address space is limited, the allocator must not set 64 MiB of it aside for a thread, as that of glibc does
/// for each while there is room. It takes that from a variable when a program starts: so the program starts once more.
pub(crate) fn spare_address_space() {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        const ARENAS: &str = "MALLOC_ARENA_MAX";
        let is_limited = rustix::process::getrlimit(rustix::process::Resource::As).current.is_some();
        if !is_limited || std::env::var_os(ARENAS).is_some() {
            return;
        }
        let mut arguments = std::env::args_os();
        let mut again = std::process::Command::new("/proc/self/exe");
        again.arg0(arguments.next().unwrap_or_default()).args(arguments).env(ARENAS, "1");
        // Where it cannot, it goes on as it is.
        drop(again.exec());
    }
}

/// What a thread takes of the address space: its stack, its buffers, what the allocator sets aside for it.
const THREAD_BYTES: u64 = 4 << 20;
/// What everything else takes: queues, reports, tables.
const SHARED_BYTES: u64 = 16 << 20;
/// A record that waits for its turn, with a long path and all digests.
const SORTED_FILE_BYTES: u64 = 1 << 10;

/// Where the address space is limited (`ulimit -v`), an allocation beyond it would end the process without a word.
/// So fewer threads run where it is small, with a message, and none where it is too small for one.
pub(crate) fn fit_address_space(plan: &mut Plan, say: impl Fn(&str)) -> Result<(), Failure> {
    let Some((limit, taken)) = address_space() else { return Ok(()) };
    let free = limit.saturating_sub(taken);
    // Besides walkers and workers: signals, patience, progress.
    let least = SHARED_BYTES + 5 * THREAD_BYTES;
    if free < least {
        return Err(Failure::Report(format!(
            "an address space of {} MiB is too small: {} MiB suffice (`ulimit -v`)",
            limit >> 20,
            (taken + least).div_ceil(1 << 20)
        )));
    }
    // A window of a mapped file as well, where there is room; where there is none, files are read.
    let maps = matches!(plan.staging, Staging::Auto | Staging::Mmap);
    let window = if maps && free >= 2 * least { plan.map_window_bytes as u64 } else { 0 };
    if window == 0 && plan.staging == Staging::Auto {
        plan.staging = Staging::Read;
    }
    let threads = usize::try_from((free - SHARED_BYTES) / (THREAD_BYTES + window))
        .unwrap_or(usize::MAX)
        .saturating_sub(3)
        .max(2);
    plan.walkers = plan.walkers.min((threads / 2).max(1));
    plan.workers_max = threads - plan.walkers;
    let asked = match plan.workers {
        Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        Workers::Number(workers) => workers,
    };
    if plan.workers_max < asked {
        let workers = plan.workers_max;
        say(&format!("{workers} of {asked} workers: more would not fit the limit of the address space"));
    }
    // What a driver takes of it nobody knows: hundreds of MiB.
    if plan.device == Device::Auto {
        plan.device = Device::Cpu;
        if plan.analyses.iter().any(|analysis| analysis.kernel().is_some()) {
            say("no GPU is looked for: the address space is limited");
        }
    }
    plan.gpu_memory_bytes_max = plan.gpu_memory_bytes_max.min(free / 16);
    let window = usize::try_from(free / 4 / SORTED_FILE_BYTES).unwrap_or(usize::MAX);
    plan.sort_window_files_max = plan.sort_window_files_max.min(window);
    Ok(())
}

/// The limit of the address space and how much of it is taken, in bytes, where there is a limit.
fn address_space() -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::As).current?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some((limit, kibibytes * 1024))
    }
    #[cfg(not(unix))]
    None
}
