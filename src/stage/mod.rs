//! How bytes are reached: opens one file at a time and hands its blocks to whoever asked, in order.
//!
//! The way in is [`Stage`], one a worker. Whatever way the bytes take, a file is looked at when it is open and once more
//! when it is read, and only what is the same both times counts.

mod open;
mod read;
#[cfg_attr(not(unix), path = "system_std.rs")]
mod system;

use std::ops::ControlFlow;

pub(crate) use self::open::OpenFile;
use self::open::changed;
use self::system::Opener;
use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::faults::Operation;
use crate::plan::Plan;
use crate::record::{EntryRef, Event, FileRecord, Found, Outcome};

/// Takes the bytes of a file; where it breaks, the rest is not wanted.
type Take<'t> = &'t mut dyn FnMut(&[u8]) -> ControlFlow<()>;

/// Why a file is not read to its end.
enum Stop {
    Failed(FileError),
    /// The run is cancelled, or nobody wants the rest.
    Unwanted,
}

impl From<FileError> for Stop {
    fn from(error: FileError) -> Stop {
        Stop::Failed(error)
    }
}

impl From<Stop> for Outcome {
    fn from(stop: Stop) -> Outcome {
        match stop {
            Stop::Failed(error) => Outcome::Failed(error),
            Stop::Unwanted => Outcome::Unread,
        }
    }
}

/// Reaches the bytes of files for one worker, one file after the other.
pub(crate) struct Stage<'p> {
    plan: &'p Plan,
    control: &'p Control,
    opener: Opener,
    buffer: Vec<u8>,
}

impl<'p> Stage<'p> {
    pub(crate) fn new(plan: &'p Plan, control: &'p Control) -> Self {
        Stage { plan, control, opener: Opener::new(), buffer: vec![0; plan.block_bytes] }
    }

    /// Reads one entry: `Open`, then its blocks, until `event` breaks. Says what became of it; only after `Done` do the
    /// blocks count.
    pub(crate) fn read(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Outcome {
        match entry.found {
            Found::Skipped(reason) => Outcome::Skipped(reason),
            Found::Failed(error) => Outcome::Failed(error),
            Found::File | Found::FileThroughLinks => {
                self.open_and_read(entry, event).unwrap_or_else(|outcome| outcome)
            }
        }
    }

    fn open_and_read(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, Outcome> {
        let mut file = self.open(entry)?;
        let (size, mtime_ns) = (file.size(), file.mtime_ns());
        let record = FileRecord { directory: entry.directory, name: entry.name(), size, mtime_ns };
        if event(Event::Open(&record)).is_break() {
            return Err(Outcome::Unread);
        }
        let read_bytes = self.read_blocks(&mut file, &mut |bytes| event(Event::Block(bytes)))?;
        Ok(self.close(&file, read_bytes))
    }

    /// Reads `bytes` bytes of an open file from `offset` on, where a part of a large file begins, and hands its blocks over.
    ///
    /// # Errors
    /// What becomes of the file when this part cannot be read, or the run is cancelled.
    pub(crate) fn read_part(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        block: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Outcome> {
        let mut take = |bytes: &[u8]| {
            block(bytes);
            ControlFlow::Continue(())
        };
        Ok(self.read_range(file, offset, bytes, &mut take)?)
    }

    /// Whether more than `bytes` of a file were read than a file of its size has.
    fn check_limit(&self, file: &OpenFile, bytes: u64) -> Result<(), FileError> {
        match file.size() {
            0 if bytes > self.plan.unbounded_bytes_max => Err(FileError::new(Step::Stage, Cause::Unbounded)),
            size if size > 0 && bytes > size => Err(changed()),
            _ => Ok(()),
        }
    }

    fn strike(&self, operation: Operation) -> Result<(), FileError> {
        self.plan.faults.strike(operation).map_err(|error| FileError::from_io(Step::Stage, &error))
    }
}

/// What is read of a file that takes more than one block, for the progress display, until the whole is counted.
struct UnderWay<'c> {
    control: &'c Control,
    bytes: u64,
}

impl UnderWay<'_> {
    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.control.add_under_way(bytes);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.control.forget_under_way(self.bytes);
        }
    }
}
