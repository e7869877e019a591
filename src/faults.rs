//! Seams for tests. With the cargo feature `faults`, the n-th operation of a kind fails, panics, hangs or ends the process,
//! so that tests can let every single one go wrong; or all batches take so many percent longer, so that whatever looks for a slowdown can
//! show that it finds one. Without it all of this is nothing, and costs nothing.

use std::io;
use std::time::Duration;

/// What can be made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening a file to read it.
    Open,
    /// Asking an open file for its size and times.
    Status,
    /// Reading the next block of a file.
    Read,
    /// Opening a directory.
    OpenDirectory,
    /// Reading the next entry of a directory.
    List,
    /// Starting a thread.
    Spawn,
    /// Writing to a report.
    Write,
    /// Making a report safe on the disk.
    Fsync,
    /// Giving a report its name.
    Rename,
    /// Making a RAM disk, or writing to it.
    RamDisk,
    /// Working off a batch, or a part of a large file. It cannot fail, only take longer.
    Batch,
    /// A step of what is done about duplicates: opening, comparing, linking and so on.
    Act,
    /// Making the buffers of a slot on a GPU.
    GpuAllocate,
    /// Waiting for a GPU. It fails as if there were no answer in time.
    GpuAnswer,
    /// Looking for the ticket that a shader leaves. It fails as if another one were there.
    GpuTicket,
    /// Taking answers of a GPU. They come out wrong.
    GpuWords,
    /// Having a GPU work. It is lost while it does.
    GpuLose,
}

/// What is to go wrong in a run: nothing, unless the feature `faults` is on and a test says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    #[cfg(feature = "faults")]
    fault: Option<std::sync::Arc<seam::Fault>>,
}

impl Faults {
    /// To be called before an operation.
    ///
    /// # Errors
    /// When this is the one that is to fail.
    #[cfg(not(feature = "faults"))]
    #[inline(always)]
    pub fn strike(&self, _: Operation) -> io::Result<()> {
        Ok(())
    }

    /// Whether it is a GPU that something is to go wrong with: one that only pretends to be one is there then.
    #[cfg(not(feature = "faults"))]
    #[inline(always)]
    pub fn are_of_gpu(&self) -> bool {
        false
    }

    /// To be called after a batch that `took` so long. Returns how long that is with the time that is lost on purpose.
    #[cfg(not(feature = "faults"))]
    #[inline(always)]
    pub fn drag(&self, took: Duration) -> Duration {
        took
    }
}

#[cfg(feature = "faults")]
pub use self::seam::Effect;

#[cfg(feature = "faults")]
mod seam {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use super::{Duration, Faults, Operation, io};

    /// What becomes of the operation that is struck.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Effect {
        /// It fails.
        FailsOnce,
        /// It fails, and so do all of its kind after it.
        FailsFromThenOn,
        /// Its thread panics.
        Panics,
        /// It never returns.
        Hangs,
        /// The process ends at once, as by a power cut: nothing is cleaned up. Of use under Unix alone.
        Kills,
        /// All of its kind take longer, by as many percent as otherwise says whose turn it is. For batches alone.
        Slows,
    }

    #[derive(Debug)]
    pub(super) struct Fault {
        operation: Operation,
        at: u64,
        effect: Effect,
        seen: AtomicU64,
    }

    impl Faults {
        /// The `at`-th operation of a kind, counted from 1, goes wrong. For [`Effect::Slows`] `at` is percent.
        pub fn new(operation: Operation, at: u64, effect: Effect) -> Faults {
            Faults { fault: Some(Arc::new(Fault { operation, at, effect, seen: AtomicU64::new(0) })) }
        }

        /// Reads `OPERATION:N:EFFECT`, as in `read:3:once`; effects are `once`, `ever`, `panic`, `hang` and `kill`. The only one
        /// for batches is `batch:PERCENT:slow`.
        pub fn parse(text: &str) -> Option<Faults> {
            let mut parts = text.split(':');
            let operation = match parts.next()? {
                "open" => Operation::Open,
                "status" => Operation::Status,
                "read" => Operation::Read,
                "open-directory" => Operation::OpenDirectory,
                "list" => Operation::List,
                "spawn" => Operation::Spawn,
                "write" => Operation::Write,
                "fsync" => Operation::Fsync,
                "rename" => Operation::Rename,
                "ram-disk" => Operation::RamDisk,
                "batch" => Operation::Batch,
                "act" => Operation::Act,
                "gpu-allocate" => Operation::GpuAllocate,
                "gpu-answer" => Operation::GpuAnswer,
                "gpu-ticket" => Operation::GpuTicket,
                "gpu-words" => Operation::GpuWords,
                "gpu-lose" => Operation::GpuLose,
                _ => return None,
            };
            let at = parts.next()?.parse().ok()?;
            let effect = match parts.next()? {
                "once" => Effect::FailsOnce,
                "ever" => Effect::FailsFromThenOn,
                "panic" => Effect::Panics,
                "hang" => Effect::Hangs,
                "kill" => Effect::Kills,
                "slow" => Effect::Slows,
                _ => return None,
            };
            let fits = (operation == Operation::Batch) == (effect == Effect::Slows);
            fits.then(|| Faults::new(operation, at, effect))
        }

        /// Whether it came to the operation that was to go wrong.
        pub fn has_struck(&self) -> bool {
            self.fault.as_ref().is_some_and(|fault| fault.seen.load(Ordering::Relaxed) >= fault.at)
        }

        /// Whether it is a GPU that something is to go wrong with: one that only pretends to be one is there then.
        pub fn are_of_gpu(&self) -> bool {
            use Operation::{GpuAllocate, GpuAnswer, GpuLose, GpuTicket, GpuWords};
            let of_gpu = [GpuAllocate, GpuAnswer, GpuLose, GpuTicket, GpuWords];
            self.fault.as_ref().is_some_and(|fault| of_gpu.contains(&fault.operation))
        }

        /// To be called before an operation.
        ///
        /// # Errors
        /// When this is the one that is to fail.
        pub fn strike(&self, operation: Operation) -> io::Result<()> {
            let Some(fault) = self.fault.as_ref().filter(|fault| fault.operation == operation) else {
                return Ok(());
            };
            let number = fault.seen.fetch_add(1, Ordering::Relaxed) + 1;
            match fault.effect {
                Effect::FailsFromThenOn if number >= fault.at => Err(error(operation)),
                _ if number != fault.at => Ok(()),
                Effect::FailsOnce | Effect::FailsFromThenOn => Err(error(operation)),
                Effect::Slows => Ok(()),
                Effect::Panics => panic!("a fault on purpose"),
                Effect::Hangs => forever(),
                Effect::Kills => {
                    #[cfg(unix)]
                    {
                        use rustix::process::{Signal, getpid, kill_process};
                        kill_process(getpid(), Signal::KILL).expect("a process may end itself");
                    }
                    // The signal may reach another thread first.
                    forever()
                }
            }
        }

        /// To be called after a batch that `took` so long. Returns how long that is with the time that is lost on purpose:
        /// it is spent busy, as slower code would.
        pub fn drag(&self, took: Duration) -> Duration {
            let slows = |fault: &&Arc<Fault>| fault.effect == Effect::Slows;
            let Some(fault) = self.fault.as_ref().filter(slows) else { return took };
            fault.seen.store(fault.at, Ordering::Relaxed);
            let lost = took.mul_f64(fault.at as f64 / 100.0);
            let since = Instant::now();
            while since.elapsed() < lost {
                std::hint::spin_loop();
            }
            took + since.elapsed()
        }
    }

    fn forever() -> ! {
        loop {
            std::thread::park();
        }
    }

    fn error(operation: Operation) -> io::Error {
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            let errno = match operation {
                Operation::Write | Operation::Fsync | Operation::Rename | Operation::RamDisk => Errno::NOSPC,
                Operation::Spawn => Errno::AGAIN,
                _ => Errno::IO,
            };
            errno.into()
        }
        #[cfg(not(unix))]
        io::Error::other(format!("{operation:?}"))
    }
}
