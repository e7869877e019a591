//! Staging through a RAM disk: a worker copies the files of its batch into one unnamed file in memory, and analyses them
//! from there. Nothing has a name, so nothing is left behind, however a run ends.
//!
//! What does not fit, or is large enough to be divided among the workers, is read as it lies.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FsWord, MemfdFlags, Mode, OFlags, fstatfs, memfd_create, openat};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::{Stage, Take};
use crate::error::{FileError, Step, caught};
use crate::faults::{Faults, Operation};
use crate::keep::Keep;
use crate::plan::{Plan, Reads};
use crate::record::{Batch, EntryRef, Event, FileRecord, Found, Identity, Outcome};

/// Bytes that all workers together may put on RAM disks.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    /// What one worker may hold, so that the others get something as well.
    share: u64,
    held: AtomicU64,
    peak: AtomicU64,
}

impl Budget {
    pub(crate) fn new(plan: &Plan) -> Budget {
        let bytes_max = plan.ram_disk_bytes_max;
        let share = bytes_max / plan.workers_first() as u64;
        Budget { bytes_max, share, held: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// What one worker may hold, in bytes.
    fn share(&self) -> u64 {
        self.share
    }

    /// The most that was held at a time, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Takes some more; whether there was as much.
    fn take(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if let Ok(held) = taken {
            self.peak.fetch_max(held + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Gives back what was taken.
    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One worker's file in memory.
pub(super) struct RamDisk<'b> {
    file: OwnedFd,
    budget: &'b Budget,
    faults: &'b Faults,
    /// What of the budget is held for it: it never gets smaller, its memory is used again for every batch.
    held: u64,
    /// The files of the batch that is staged, in order; those that were read are gone.
    staged: VecDeque<Staged>,
    load: Duration,
    full: Option<Errno>,
}

enum Staged {
    /// Nothing to analyse.
    Outcome(Outcome),
    /// To be read as it lies.
    Elsewhere,
    Loaded {
        offset: u64,
        /// By the first fstat.
        size: u64,
        bytes: u64,
        mtime_ns: i128,
        identity: Identity,
        mode: u16,
        is_sparse: bool,
        keep: Keep,
    },
}

/// Why a file is not on the RAM disk.
enum Unstaged {
    /// It is full.
    Full(Option<Errno>),
    Outcome(Outcome),
}

impl<'b> RamDisk<'b> {
    /// # Errors
    /// When the system refuses it.
    pub(super) fn new(plan: &'b Plan, budget: &'b Budget) -> io::Result<RamDisk<'b>> {
        let (staged, load, faults) = (VecDeque::new(), Duration::ZERO, &plan.faults);
        Ok(RamDisk { file: unnamed_file(plan)?, budget, faults, held: 0, staged, load, full: None })
    }

    /// Time spent on copying, and why it took no more.
    pub(super) fn into_tally(self) -> (Duration, Option<io::Error>) {
        (self.load, self.full.map(io::Error::from))
    }

    /// Room for so many bytes in all; whether it is there.
    fn reserve(&mut self, bytes: u64) -> bool {
        /// In pieces, so that the budget is not asked for every file.
        const PIECE_BYTES: u64 = 1 << 20;
        if bytes > self.budget.share() {
            return false;
        }
        let missing = bytes.saturating_sub(self.held);
        for missing in [missing.next_multiple_of(PIECE_BYTES), missing] {
            if missing == 0 || self.budget.take(missing) {
                self.held += missing;
                return true;
            }
        }
        false
    }

    fn write(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<(), Option<Errno>> {
        if !self.reserve(offset + bytes.len() as u64) {
            return Err(None);
        }
        self.faults.strike(Operation::RamDisk).map_err(|_| Some(Errno::NOSPC))?;
        while !bytes.is_empty() {
            match retry_on_intr(|| pwrite(&self.file, bytes, offset)) {
                Ok(0) => return Err(Some(Errno::NOSPC)),
                Ok(written) => (bytes, offset) = (&bytes[written..], offset + written as u64),
                Err(errno) => return Err(Some(errno)),
            }
        }
        Ok(())
    }
}

impl Drop for RamDisk<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
    }
}

/// A file without a name: in memory, or in the directory that a plan names.
fn unnamed_file(plan: &Plan) -> Result<OwnedFd, Errno> {
    plan.faults.strike(Operation::RamDisk).map_err(|_| Errno::NOSPC)?;
    match &plan.ram_disk_directory {
        None => memfd_create(c"filemill", MemfdFlags::CLOEXEC),
        Some(directory) => {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            openat(CWD, &**directory, flags, Mode::RUSR | Mode::WUSR)
        }
    }
}

/// Whether a RAM disk can be had; says where it lies on something else than memory.
///
/// # Errors
/// Why it cannot.
pub(super) fn try_out(plan: &Plan, notes: &mut Vec<String>) -> Result<(), String> {
    let shown = plan.ram_disk_directory.as_ref().map(|directory| directory.display());
    let place = || shown.as_ref().map_or_else(String::new, |shown| format!("{shown}: "));
    let refuse = |errno: Errno| format!("{}{}", place(), io::Error::from(errno));
    let file = unnamed_file(plan).map_err(refuse)?;
    let system = fstatfs(&file).map_err(refuse)?;
    if ![TMPFS, RAMFS].contains(&system.f_type) {
        notes.push(format!("{}no tmpfs: files are copied to a disk, not to memory", place()));
    }
    Ok(())
}

/// What statfs(2) says of a tmpfs, which memfd_create uses too, and of its older sibling.
const TMPFS: FsWord = 0x0102_1994;
const RAMFS: FsWord = 0x8584_58f6;

impl Stage<'_> {
    /// Copies the first files of a batch to the RAM disk, where there is one. Returns how many entries are ready to be
    /// read, at least one; `None` where there is no RAM disk.
    pub(crate) fn load(&mut self, batch: &Batch) -> Option<usize> {
        if self.plan.reads != Reads::Whole {
            return None;
        }
        let mut disk = self.ram_disk.take()?;
        let since = Instant::now();
        disk.staged.clear();
        let mut end = 0;
        for entry in batch.entries() {
            let is_first = disk.staged.is_empty();
            let came = caught(|| self.load_file(&mut disk, &entry, end, is_first));
            let staged = match came.unwrap_or_else(|error| Err(Unstaged::Outcome(Outcome::Failed(error)))) {
                Ok(staged) => staged,
                Err(Unstaged::Outcome(outcome)) => Staged::Outcome(outcome),
                Err(Unstaged::Full(why)) => {
                    // Once what lies there now is worked off, there is room again.
                    if !is_first {
                        break;
                    }
                    disk.full = disk.full.or(why);
                    Staged::Elsewhere
                }
            };
            let is_elsewhere = matches!(staged, Staged::Elsewhere);
            if let Staged::Loaded { offset, bytes, .. } = staged {
                end = offset + bytes;
            }
            disk.staged.push_back(staged);
            if is_elsewhere || end >= self.plan.share_bytes {
                break;
            }
        }
        let ready = disk.staged.len();
        disk.load += since.elapsed();
        self.ram_disk = Some(disk);
        Some(ready)
    }

    fn load_file(
        &mut self,
        disk: &mut RamDisk<'_>,
        entry: &EntryRef<'_>,
        offset: u64,
        is_first: bool,
    ) -> Result<Staged, Unstaged> {
        let outcome = match entry.found {
            Found::Skipped(reason) => Some(Outcome::Skipped(reason)),
            Found::Failed(error) => Some(Outcome::Failed(error)),
            Found::Directory => Some(Outcome::Listed),
            _ if self.control.should_stop() => Some(Outcome::Unread),
            Found::File | Found::FileThroughLinks => None,
        };
        if let Some(outcome) = outcome {
            return Ok(Staged::Outcome(outcome));
        }
        let mut file = self.open(entry).map_err(Unstaged::Outcome)?;
        let size = file.size();
        if size >= self.plan.share_bytes {
            return if is_first { Ok(Staged::Elsewhere) } else { Err(Unstaged::Full(None)) };
        }
        if !disk.reserve(offset + size) {
            return Err(Unstaged::Full(None));
        }
        let mut at = offset;
        let mut full = None;
        let read = self.read_blocks(&mut file, &mut |bytes| match disk.write(bytes, at) {
            Ok(()) => {
                at += bytes.len() as u64;
                ControlFlow::Continue(())
            }
            Err(why) => {
                full = Some(why);
                ControlFlow::Break(())
            }
        });
        if let Some(why) = full {
            return Err(Unstaged::Full(why));
        }
        let bytes = read.map_err(|stop| Unstaged::Outcome(stop.into()))?;
        match self.close(&file, bytes) {
            Outcome::Done { mtime_ns, identity, mode, is_sparse, keep, .. } => {
                Ok(Staged::Loaded { offset, size, bytes, mtime_ns, identity, mode, is_sparse, keep })
            }
            outcome => Err(Unstaged::Outcome(outcome)),
        }
    }

    /// Reads the next entry of the batch that is staged; `None` where it is to be read as it lies.
    pub(super) fn read_staged(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Option<Outcome> {
        let staged = self.ram_disk.as_mut()?.staged.pop_front()?;
        let (offset, size, bytes, mtime_ns, identity, mode, is_sparse, keep) = match staged {
            Staged::Elsewhere => return None,
            Staged::Outcome(outcome) => return Some(outcome),
            Staged::Loaded { offset, size, bytes, mtime_ns, identity, mode, is_sparse, keep } => {
                (offset, size, bytes, mtime_ns, identity, mode, is_sparse, keep)
            }
        };
        let record = FileRecord { directory: entry.directory, name: entry.name(), size, mtime_ns, identity };
        if event(Event::Open { file: &record, can_wait: false }).is_break() {
            return Some(Outcome::Unread);
        }
        let read = self.read_back(offset, bytes, &mut |block| event(Event::Block(block)));
        Some(match read {
            Ok(()) => {
                self.tally.ram_disk.add(bytes);
                self.unshown += bytes;
                Outcome::Done { size: bytes, mtime_ns, identity, mode, is_sparse, keep }
            }
            Err(errno) => Outcome::Failed(FileError::from_errno(Step::Stage, errno)),
        })
    }

    fn read_back(&mut self, offset: u64, bytes: u64, take: Take<'_>) -> Result<(), Errno> {
        let Some(disk) = &self.ram_disk else { return Ok(()) };
        let (mut at, end) = (offset, offset + bytes);
        while at < end {
            let wanted =
                usize::try_from(end - at).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            let read = retry_on_intr(|| pread(&disk.file, &mut self.buffer[..wanted], at))?;
            if read == 0 {
                return Err(Errno::IO);
            }
            at += read as u64;
            if take(&self.buffer[..read]).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let budget = Budget::new(&Plan { ram_disk_bytes_max: 10, ..Plan::new(["."]) });
        assert!(budget.take(6) && !budget.take(5) && budget.take(4) && !budget.take(1) && budget.take(0));
        budget.give_back(6);
        assert!(!budget.take(u64::MAX) && budget.take(2));
        assert_eq!(budget.peak(), 10);
    }
}
