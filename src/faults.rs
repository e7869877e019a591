//! Seams for tests. With the cargo feature `faults`, the n-th operation of a kind fails, panics or hangs, so that tests
//! can let every single one go wrong. Without it all of this is nothing, and costs nothing.

use std::io;

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
}

#[cfg(feature = "faults")]
pub use self::seam::Effect;

#[cfg(feature = "faults")]
mod seam {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Faults, Operation, io};

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
    }

    #[derive(Debug)]
    pub(super) struct Fault {
        operation: Operation,
        at: u64,
        effect: Effect,
        seen: AtomicU64,
    }

    impl Faults {
        /// The `at`-th operation of a kind, counted from 1, goes wrong.
        pub fn new(operation: Operation, at: u64, effect: Effect) -> Faults {
            Faults { fault: Some(Arc::new(Fault { operation, at, effect, seen: AtomicU64::new(0) })) }
        }

        /// Reads `OPERATION:N:EFFECT`, as in `read:3:once`; effects are `once`, `ever`, `panic` and `hang`.
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
                _ => return None,
            };
            let at = parts.next()?.parse().ok()?;
            let effect = match parts.next()? {
                "once" => Effect::FailsOnce,
                "ever" => Effect::FailsFromThenOn,
                "panic" => Effect::Panics,
                "hang" => Effect::Hangs,
                _ => return None,
            };
            Some(Faults::new(operation, at, effect))
        }

        /// Whether it came to the operation that was to go wrong.
        pub fn has_struck(&self) -> bool {
            self.fault.as_ref().is_some_and(|fault| fault.seen.load(Ordering::Relaxed) >= fault.at)
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
                Effect::Panics => panic!("a fault on purpose"),
                Effect::Hangs => loop {
                    std::thread::park();
                },
            }
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
