//! The first and the last look at a file.

use std::sync::atomic::AtomicBool;

use super::Stage;
use super::system::{Handle, Status, file_error};
use crate::error::{Cause, FileError, Step};
use crate::faults::Operation;
use crate::record::{EntryRef, Found, Outcome, SkipReason};

/// A file that is open to be read, with what it was when it was opened.
pub(crate) struct OpenFile {
    pub(super) handle: Handle,
    before: Status,
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
}

impl Stage<'_> {
    /// Opens a file.
    ///
    /// # Errors
    /// What becomes of an entry that is not to be read.
    pub(crate) fn open(&mut self, entry: &EntryRef<'_>) -> Result<OpenFile, Outcome> {
        self.strike(Operation::Open).map_err(Outcome::Failed)?;
        let opened = self.opener.open(entry).map_err(|error| Outcome::Failed(file_error(error)));
        let (handle, before) = opened?;
        if !before.is_file() {
            // The walk saw a regular file.
            return Err(match before.skip_reason() {
                Some(reason) if entry.found == Found::FileThroughLinks => Outcome::Skipped(reason),
                _ => Outcome::Failed(changed()),
            });
        }
        match self.skips(&before) {
            Some(reason) => Err(Outcome::Skipped(reason)),
            None => {
                let is_mapped = AtomicBool::new(self.is_to_be_mapped(&handle, &before));
                Ok(OpenFile { handle, before, is_mapped })
            }
        }
    }

    /// A file with holes is not: touching a hole in a file system in memory fills it with a page. Neither are files that
    /// the kernel makes up, which have no pages at all and may be a device's memory.
    fn is_to_be_mapped(&self, handle: &Handle, status: &Status) -> bool {
        self.is_large_enough_to_map(status.size()) && status.is_filled() && !handle.has_huge_pages()
    }

    pub(super) fn is_large_enough_to_map(&self, size: u64) -> bool {
        self.mapper.is_some() && size > 0 && size >= self.plan.map_bytes_min
    }

    /// Looks at a file again of which `read_bytes` were read: whether they were all, and it is as it was.
    pub(crate) fn close(&self, file: &OpenFile, read_bytes: u64) -> Outcome {
        let outcome = self.look_again(file, read_bytes).unwrap_or_else(Outcome::Failed);
        self.forget(file, 0, 0);
        outcome
    }

    fn look_again(&self, file: &OpenFile, read_bytes: u64) -> Result<Outcome, FileError> {
        let is_same = self.is_as_it_was(file)?;
        let is_whole = read_bytes >= file.size() || file.handle.is_made_up();
        if is_whole && is_same {
            Ok(Outcome::Done { size: read_bytes, mtime_ns: file.mtime_ns() })
        } else {
            Err(changed())
        }
    }

    /// Whether size and times are those that a file had when it was opened.
    pub(super) fn is_as_it_was(&self, file: &OpenFile) -> Result<bool, FileError> {
        self.strike(Operation::Status)?;
        let after = file.handle.status().map_err(file_error)?;
        Ok(after.same_as(&file.before))
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

pub(super) fn changed() -> FileError {
    FileError::new(Step::Stage, Cause::Changed)
}
