//! Staging by `read` into one buffer per worker.

use std::ops::ControlFlow;

use super::system::{Opener, Status, file_error};
use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::faults::Operation;
use crate::plan::Plan;
use crate::record::{EntryRef, Event, FileRecord, Found, Outcome, SkipReason};

/// Reads files, one after the other, through one buffer.
pub(crate) struct Reader<'p> {
    plan: &'p Plan,
    control: &'p Control,
    opener: Opener,
    buffer: Vec<u8>,
}

impl<'p> Reader<'p> {
    pub(crate) fn new(plan: &'p Plan, control: &'p Control) -> Self {
        Reader { plan, control, opener: Opener::new(), buffer: vec![0; plan.block_bytes] }
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
                self.open_and_read(entry, event).unwrap_or_else(Outcome::Failed)
            }
        }
    }

    fn open_and_read(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, FileError> {
        self.strike(Operation::Open)?;
        let (mut handle, before) = self.opener.open(entry).map_err(file_error)?;
        if !before.is_file() {
            // The walk saw a regular file.
            return match before.skip_reason() {
                Some(reason) if entry.found == Found::FileThroughLinks => Ok(Outcome::Skipped(reason)),
                _ => Err(changed()),
            };
        }
        if let Some(reason) = self.skips(&before) {
            return Ok(Outcome::Skipped(reason));
        }
        let size = before.size();
        let mtime_ns = before.mtime_ns();
        let directory = entry.directory;
        if event(Event::Open(&FileRecord { directory, name: entry.name(), size, mtime_ns })).is_break() {
            return Ok(Outcome::Unread);
        }

        // One byte past the expected end shows whether there is more.
        let limit = if size == 0 { self.plan.unbounded_bytes_max } else { size };
        let mut read_bytes = 0;
        let mut under_way = UnderWay { control: self.control, bytes: 0 };
        loop {
            let wanted = usize::try_from(limit - read_bytes)
                .map_or(self.buffer.len(), |left| left.saturating_add(1).min(self.buffer.len()));
            self.strike(Operation::Read)?;
            let read = handle.read(&mut self.buffer[..wanted]).map_err(file_error)?;
            read_bytes += read as u64;
            if read_bytes > limit {
                return Err(if size == 0 {
                    FileError::new(Step::Stage, Cause::Unbounded)
                } else {
                    changed()
                });
            }
            if read > 0 && event(Event::Block(&self.buffer[..read])).is_break() {
                return Ok(Outcome::Unread);
            }
            // Nothing, or all that was expected and less than was asked for: the end.
            if read == 0 || (read < wanted && read_bytes == size) {
                break;
            }
            under_way.add(read as u64);
            if self.control.should_stop() {
                return Ok(Outcome::Unread);
            }
        }
        self.strike(Operation::Status)?;
        let after = handle.status().map_err(file_error)?;
        let is_whole = read_bytes >= size || handle.is_made_up();
        if is_whole && after.same_as(&before) {
            Ok(Outcome::Done { size: read_bytes, mtime_ns })
        } else {
            Err(changed())
        }
    }

    fn strike(&self, operation: Operation) -> Result<(), FileError> {
        self.plan.faults.strike(operation).map_err(|error| FileError::from_io(Step::Stage, &error))
    }

    fn skips(&self, status: &Status) -> Option<SkipReason> {
        let filter = &self.plan.filter;
        let size = status.size();
        if filter.size_min.is_some_and(|min| size < min) || filter.size_max.is_some_and(|max| size > max) {
            return Some(SkipReason::Size);
        }
        if !self.plan.own_outputs.is_empty() && self.plan.own_outputs.contains(&status.identity()) {
            return Some(SkipReason::OwnOutput);
        }
        None
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

fn changed() -> FileError {
    FileError::new(Step::Stage, Cause::Changed)
}
