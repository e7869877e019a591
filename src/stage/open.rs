//! The first and the last look at a file.

use std::ops::ControlFlow;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;

use super::Stage;
use super::system::{Handle, Status, file_error};
use crate::error::{Cause, FileError, Step};
use crate::faults::Operation;
use crate::keep::Keep;
#[cfg(target_os = "linux")]
use crate::keep::Kind;
use crate::record::{Directory, EntryRef, Event, FileRecord, Found, Identity, Outcome, SkipReason};

/// A file that is open to be read, with what it was when it was opened.
pub(crate) struct OpenFile {
    pub(super) handle: Handle,
    before: Status,
    keep: Keep,
    /// Whether a server stamps it, which is asked for its times then.
    is_remote: bool,
    /// Whether it is large and states a size beyond its content.
    pub(super) is_short: bool,
    /// Whether it is mapped, until a mapping of it is refused.
    pub(super) is_mapped: AtomicBool,
}

impl OpenFile {
    /// Size in bytes. What can be read may be more where this is 0 (files of /proc).
    pub(crate) fn size(&self) -> u64 {
        self.before.size()
    }

    /// Time of last modification, in nanoseconds since 1970.
    pub(crate) fn mtime_ns(&self) -> i128 {
        self.before.mtime_ns()
    }

    /// Which file it is.
    pub(crate) fn identity(&self) -> Identity {
        self.before.identity()
    }

    /// Whether it still is as it was when it was opened, by its server if it has one.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn is_fresh(&self) -> Result<bool, FileError> {
        self.handle.is_fresh(&self.before).map_err(file_error)
    }

    /// Whether it states a size beyond its content, so that one worker has to find its end. Small files are not looked at.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Fills a buffer from `offset` on, but for the end of the file. Returns how many bytes there were.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, FileError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            match self.handle.read_at(&mut buffer[filled..], at).map_err(file_error)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Why a part of it ended at `offset`: it was changed, or it states more than it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub(super) fn ended(&self, offset: u64) -> Result<FileError, FileError> {
        let cause = if self.ends_at(offset)? { Cause::EndsEarly } else { Cause::Changed };
        Ok(FileError::new(Step::Stage, cause))
    }

    /// Whether it ends at `offset` although it states more: a second read ends there as well, and the server states
    /// the same size and times before and after it.
    fn ends_at(&self, offset: u64) -> Result<bool, FileError> {
        if !self.handle.may_end_early() {
            return Ok(false);
        }
        let is_end = || Ok(self.handle.read_at(&mut [0], offset).map_err(file_error)? == 0);
        Ok(self.is_fresh()? && is_end()? && self.is_fresh()?)
    }

    /// The outcome if all of it was read, which were `size` bytes.
    fn done(&self, size: u64) -> Outcome {
        let before = &self.before;
        Outcome::Done {
            size,
            mtime_ns: before.mtime_ns(),
            identity: before.identity(),
            mode: before.mode(),
            is_sparse: !before.is_filled(),
            keep: self.keep,
        }
    }

    /// What passes are told of it.
    pub(crate) fn record<'a>(&self, directory: &'a Directory, name: &'a [u8]) -> FileRecord<'a> {
        let (size, mtime_ns) = (self.size(), self.mtime_ns());
        FileRecord { directory, name, size, mtime_ns, identity: self.identity() }
    }
}

impl Stage<'_> {
    /// Opens a file.
    ///
    /// # Errors
    /// What becomes of an entry that is not to be read.
    pub(crate) fn open(&mut self, entry: &EntryRef<'_>) -> Result<OpenFile, Outcome> {
        self.strike(Operation::Open).map_err(Outcome::Failed)?;
        let opened = self.opener.open(entry).map_err(|error| Outcome::Failed(file_error(error)));
        let (handle, mut before) = opened?;
        self.admit(entry, &before)?;
        let (keep, is_remote) = self.judge(&handle, &mut before).map_err(Outcome::Failed)?;
        let is_short = self.is_short(&handle, before.size()).map_err(Outcome::Failed)?;
        let is_mapped = AtomicBool::new(!is_short && self.is_to_be_mapped(&handle, &before));
        Ok(OpenFile { handle, before, keep, is_remote, is_short, is_mapped })
    }

    /// Looks at a file without opening it.
    pub(super) fn look(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, Outcome> {
        self.strike(Operation::Status).map_err(Outcome::Failed)?;
        let status = self.opener.look(entry).map_err(|error| Outcome::Failed(file_error(error)))?;
        self.admit(entry, &status)?;
        let (size, mtime_ns, identity) = (status.size(), status.mtime_ns(), status.identity());
        let record = FileRecord { directory: entry.directory, name: entry.name(), size, mtime_ns, identity };
        if event(Event::Open { file: &record, can_wait: false }).is_break() {
            return Err(Outcome::Unread);
        }
        let (mode, is_sparse) = (status.mode(), !status.is_filled());
        Ok(Outcome::Done { size, mtime_ns, identity, mode, is_sparse, keep: Keep::Unasked })
    }

    /// Whether the answers about a file may be kept, and whether a server stamps it. Then its status is asked for again, of
    /// the server.
    fn judge(&mut self, handle: &Handle, before: &mut Status) -> Result<(Keep, bool), FileError> {
        #[cfg(target_os = "linux")]
        if let Some(keeper) = &mut self.keeper {
            let kind = keeper.enter(handle.as_fd(), before.identity().device);
            if self.keeps {
                let is_remote = kind == Some(Kind::Network);
                if is_remote && !handle.is_fresh(before).map_err(file_error)? {
                    *before = handle.status().map_err(file_error)?;
                }
                return Ok((keeper.judge(handle.as_fd(), before.identity().ctime_ns()), is_remote));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (handle, before);
        Ok((if self.keeps { Keep::No } else { Keep::Unasked }, false))
    }

    /// Whether a file that would be mapped or divided ends before the size that it states.
    fn is_short(&self, handle: &Handle, size: u64) -> Result<bool, FileError> {
        let is_large = size >= self.plan.share_bytes || self.is_large_enough_to_map(size);
        if !is_large || size == 0 || !handle.may_end_early() {
            return Ok(false);
        }
        Ok(handle.read_at(&mut [0], size - 1).map_err(file_error)? == 0)
    }

    /// Lets files pass that are to be read.
    fn admit(&self, entry: &EntryRef<'_>, status: &Status) -> Result<(), Outcome> {
        if !status.is_file() {
            // The walk saw a regular file.
            return Err(match status.skip_reason() {
                Some(reason) if entry.found == Found::FileThroughLinks => Outcome::Skipped(reason),
                _ => Outcome::Failed(changed()),
            });
        }
        self.skips(status).map_or(Ok(()), |reason| Err(Outcome::Skipped(reason)))
    }

    /// A file with holes is not: touching a hole in a file system in memory fills it with a page. Neither are files that
    /// the kernel makes up, which have no pages at all and may be a device's memory.
    fn is_to_be_mapped(&self, handle: &Handle, status: &Status) -> bool {
        self.is_large_enough_to_map(status.size()) && status.is_filled() && handle.is_mapped_safely()
    }

    pub(super) fn is_large_enough_to_map(&self, size: u64) -> bool {
        self.mapper.is_some() && size > 0 && size >= self.plan.map_bytes_min
    }

    /// Looks at a file again of which `read_bytes` were read: whether they were all, and it is as it was.
    pub(crate) fn close(&mut self, file: &OpenFile, read_bytes: u64) -> Outcome {
        let outcome = self.look_again(file, read_bytes).unwrap_or_else(Outcome::Failed);
        self.forget(file, 0, 0);
        outcome
    }

    fn look_again(&mut self, file: &OpenFile, read_bytes: u64) -> Result<Outcome, FileError> {
        let is_same = self.is_as_it_was(file)?;
        let is_whole = read_bytes >= file.size() || file.handle.is_made_up();
        if !is_whole && file.ends_at(read_bytes)? {
            self.ended_early += 1;
        } else if !is_whole || !is_same {
            return Err(changed());
        }
        Ok(file.done(read_bytes))
    }

    /// The same, where only a part of the file was wanted.
    pub(crate) fn close_part(&self, file: &OpenFile) -> Outcome {
        let outcome = match self.is_as_it_was(file) {
            Ok(true) => file.done(file.size()),
            Ok(false) => Outcome::Failed(changed()),
            Err(error) => Outcome::Failed(error),
        };
        self.forget(file, 0, 0);
        outcome
    }

    /// Whether size and times are those that a file had when it was opened.
    pub(super) fn is_as_it_was(&self, file: &OpenFile) -> Result<bool, FileError> {
        self.strike(Operation::Status)?;
        if file.is_remote {
            return file.handle.is_fresh(&file.before).map_err(file_error);
        }
        let after = file.handle.status().map_err(file_error)?;
        Ok(after.same_as(&file.before))
    }

    fn skips(&self, status: &Status) -> Option<SkipReason> {
        let filter = &self.plan.filter;
        let size = status.size();
        if filter.size_min.is_some_and(|min| size < min) || filter.size_max.is_some_and(|max| size > max) {
            return Some(SkipReason::Size);
        }
        if self.plan.own_outputs.is_empty() {
            return None;
        }
        let Identity { device, inode, .. } = status.identity();
        self.plan.own_outputs.contains(&(device, inode)).then_some(SkipReason::OwnOutput)
    }
}

pub(super) fn changed() -> FileError {
    FileError::new(Step::Stage, Cause::Changed)
}
