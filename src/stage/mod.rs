//! How bytes are reached: opens one file at a time and hands its blocks to whoever asked, in order.
//!
//! The way in is [`Stage`], one a worker. Whatever way the bytes take, a file is looked at when it is open and once more
//! when it is read, and only what is the same both times counts.

#[cfg_attr(not(unix), path = "mmap_none.rs")]
mod mmap;
mod open;
#[cfg_attr(not(target_os = "linux"), path = "ram_disk_none.rs")]
mod ram_disk;
mod read;
#[cfg_attr(not(unix), path = "system_std.rs")]
mod system;

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use self::mmap::Mapper;
pub use self::mmap::guard_mappings;
pub(crate) use self::open::OpenFile;
use self::open::changed;
pub(crate) use self::ram_disk::Budget;
use self::ram_disk::RamDisk;
use self::system::Opener;
use crate::control::Control;
use crate::error::{Cause, Error, FileError, Step};
use crate::faults::Operation;
#[cfg(target_os = "linux")]
use crate::keep::Keeper;
use crate::plan::{Cache, Plan, Reads, Staging};
use crate::record::{EntryRef, Event, Found, Outcome};
use crate::report::Staged;

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

/// How the files of one worker came to be read.
pub(crate) struct Tally {
    pub(crate) staged: Staged,
    /// Files that were read though they are large enough to be mapped.
    pub(crate) unmapped: u64,
    /// Files that ended before the size that they state.
    pub(crate) ended_early: u64,
    /// Why the RAM disk took no more.
    pub(crate) ram_disk_refused: Option<std::io::Error>,
}

/// Reaches the bytes of files for one worker, one file after the other.
pub(crate) struct Stage<'p> {
    plan: &'p Plan,
    control: &'p Control,
    opener: Opener,
    buffer: Vec<u8>,
    mapper: Option<Mapper>,
    ram_disk: Option<RamDisk<'p>>,
    /// Why there is no RAM disk, or none for all.
    ram_disk_refused: Option<std::io::Error>,
    tally: Staged,
    /// Files that were read though they are large enough to be mapped.
    unmapped: u64,
    /// Bytes that were read and that the progress does not show yet.
    unshown: u64,
    /// Files that ended before the size that they state.
    ended_early: u64,
    /// Whether the answers of the run may be kept.
    keeps: bool,
    #[cfg(target_os = "linux")]
    keeper: Option<Keeper<'p>>,
}

impl<'p> Stage<'p> {
    pub(crate) fn new(plan: &'p Plan, control: &'p Control, budget: &'p Budget) -> Self {
        let disk = (plan.staging == Staging::RamDisk).then(|| RamDisk::new(plan, budget)).transpose();
        let (ram_disk, ram_disk_refused) = disk.map_or_else(|error| (None, Some(error)), |disk| (disk, None));
        Stage {
            plan,
            control,
            opener: Opener::new(),
            buffer: vec![0; plan.block_bytes],
            mapper: plan_maps(plan).then(Mapper::new),
            ram_disk,
            ram_disk_refused,
            tally: Staged::default(),
            unmapped: 0,
            unshown: 0,
            ended_early: 0,
            keeps: plan.keeps_answers(),
            #[cfg(target_os = "linux")]
            keeper: (plan.reads != Reads::Nothing).then(|| Keeper::new(&plan.file_systems)),
        }
    }

    /// How the files came to be read.
    pub(crate) fn into_tally(self) -> Tally {
        let Stage { tally: staged, unmapped, ended_early, .. } = self;
        let Some(disk) = self.ram_disk else {
            return Tally { staged, unmapped, ended_early, ram_disk_refused: self.ram_disk_refused };
        };
        let (load, ram_disk_refused) = disk.into_tally();
        Tally { staged: Staged { load, ..staged }, unmapped, ended_early, ram_disk_refused }
    }

    /// Reads one entry: `Open`, then its blocks, until `event` breaks. Says what became of it; only after `Done` do the
    /// blocks count.
    pub(crate) fn read(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Outcome {
        if let Some(outcome) = self.read_staged(entry, event) {
            return outcome;
        }
        match entry.found {
            Found::Skipped(reason) => Outcome::Skipped(reason),
            Found::Failed(error) => Outcome::Failed(error),
            Found::Directory => Outcome::Listed,
            Found::File | Found::FileThroughLinks => match self.plan.reads {
                Reads::Nothing => self.look(entry, event).unwrap_or_else(|outcome| outcome),
                _ => self.open_and_read(entry, event).unwrap_or_else(|outcome| outcome),
            },
        }
    }

    fn open_and_read(
        &mut self,
        entry: &EntryRef<'_>,
        event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, Outcome> {
        let mut file = self.open_counted(entry)?;
        let size = file.size();
        let record = file.record(entry.directory, entry.name());
        let part = self.plan.reads.part_of(size);
        // A size that means nothing is no reason to treat it as a large one.
        let is_divisible = !file.is_short && (size < self.plan.share_bytes || !file.handle.is_made_up());
        let can_wait = part.is_none() && is_divisible;
        if event(Event::Open { file: &record, can_wait }).is_break() {
            return Err(Outcome::Unread);
        }
        let wanted = part.map_or(size, |(_, bytes)| bytes);
        let mut shown = Shown { control: self.control, left: wanted, unshown: self.unshown };
        let mut take = |bytes: &[u8]| {
            shown.add(bytes.len() as u64);
            event(Event::Block(bytes))
        };
        let read = match part {
            Some((offset, bytes)) => self.read_range(&file, offset, bytes, &mut take).map(|()| bytes),
            None if maps(&file) => self.range(&file, 0, size, true, &mut take).map(|()| size),
            None => self.read_blocks(&mut file, &mut take),
        };
        let Shown { left, unshown, .. } = shown;
        self.unshown = unshown;
        let read_bytes = read.inspect_err(|_| {
            self.control.leave_out_bytes(left);
            self.forget(&file, 0, 0);
        })?;
        if part.is_some() {
            let outcome = self.close_part(&file);
            self.tally.read.add(read_bytes);
            return Ok(outcome);
        }
        let outcome = self.close(&file, read_bytes);
        self.count(&file, &outcome);
        Ok(outcome)
    }

    /// Shows the progress of all that was read so far.
    pub(crate) fn show_progress(&mut self) {
        self.control.add_bytes(std::mem::take(&mut self.unshown));
    }

    /// Opens a file. The progress leaves out the bytes of one that cannot be opened.
    ///
    /// # Errors
    /// As [`Stage::open`].
    pub(crate) fn open_counted(&mut self, entry: &EntryRef<'_>) -> Result<OpenFile, Outcome> {
        let opened = self.open(entry);
        if matches!(opened, Err(Outcome::Failed(_)))
            && self.control.progress().total.is_some()
            && let Ok(status) = self.opener.look(entry)
        {
            let size = status.size();
            self.control.leave_out_bytes(self.plan.reads.part_of(size).map_or(size, |(_, bytes)| bytes));
        }
        opened
    }

    /// Reads `bytes` bytes of an open file from `offset` on, where a part of a large file begins, and hands its blocks over.
    /// Where nobody else will look at them, `is_last_look`, they need not be kept.
    ///
    /// # Errors
    /// What becomes of the file when this part cannot be read, or the run is cancelled.
    pub(crate) fn read_part(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        is_last_look: bool,
        block: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Outcome> {
        let mut take = |bytes: &[u8]| {
            block(bytes);
            ControlFlow::Continue(())
        };
        Ok(self.range(file, offset, bytes, is_last_look, &mut take)?)
    }

    /// As [`Stage::close`], of a file of which all parts were read.
    pub(crate) fn close_divided(&mut self, file: &OpenFile) -> Outcome {
        let outcome = self.close(file, file.size());
        self.count(file, &outcome);
        outcome
    }

    fn count(&mut self, file: &OpenFile, outcome: &Outcome) {
        if let Outcome::Done { size, .. } = outcome {
            let volume = if maps(file) { &mut self.tally.mmap } else { &mut self.tally.read };
            volume.add(*size);
            self.unmapped += u64::from(!maps(file) && self.is_large_enough_to_map(file.size()));
        }
    }

    /// Tells the system, where that is wanted, that these bytes need not be kept in memory any more. 0 bytes: all that
    /// follow.
    fn forget(&self, file: &OpenFile, offset: u64, bytes: u64) {
        if self.plan.cache == Cache::Drop {
            file.handle.forget(offset, bytes);
        }
    }

    fn range(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        forgets: bool,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        /// What is forgotten at a time.
        const STRETCH_BYTES: u64 = 16 << 20;
        let end = offset + bytes;
        let mut at = offset;
        while at < end {
            let length = STRETCH_BYTES.min(end - at);
            if maps(file) {
                self.map_range(file, at, length, take)?;
            } else {
                self.read_range(file, at, length, take)?;
            }
            if forgets {
                self.forget(file, at, length);
            }
            at += length;
        }
        Ok(())
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

/// Makes a plan one that this process can carry out; `notes` tell of what is done otherwise.
///
/// # Errors
/// [`Error::Plan`] where files are to be mapped and nothing guards that.
pub(crate) fn prepare(plan: &mut Plan, notes: &mut Vec<String>) -> Result<(), Error> {
    if plan.cache == Cache::Drop && !cfg!(target_os = "linux") {
        notes.push("what is read stays in the cache: this system cannot be told to drop it".to_owned());
    }
    match plan.staging {
        Staging::Auto | Staging::Read => {}
        Staging::Mmap => {
            if !mmap::is_guarded() {
                let why = "files are mapped only where filemill::guard_mappings was called";
                return Err(Error::Plan(why.to_owned()));
            }
        }
        Staging::RamDisk => {
            if let Err(why) = ram_disk::try_out(plan, notes) {
                notes.push(format!("no RAM disk, files are read as they lie: {why}"));
                plan.staging = Staging::Read;
            }
        }
    }
    Ok(())
}

/// Whether a file is mapped.
fn maps(file: &OpenFile) -> bool {
    file.is_mapped.load(Ordering::Relaxed)
}

/// Whether a plan maps large files.
fn plan_maps(plan: &Plan) -> bool {
    match plan.staging {
        Staging::Mmap => true,
        Staging::Auto => mmap::is_guarded(),
        Staging::Read | Staging::RamDisk => false,
    }
}

/// Counts the bytes of one file for the progress, as they are read.
struct Shown<'c> {
    control: &'c Control,
    /// Bytes of the file that are not read yet.
    left: u64,
    /// Bytes that the progress does not show yet: a counter that all workers share is slow for each small file.
    unshown: u64,
}

impl Shown<'_> {
    /// Bytes that are shown at a time.
    const AT_ONCE: u64 = 64 << 10;

    fn add(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        self.unshown += bytes;
        if self.unshown >= Self::AT_ONCE {
            self.control.add_bytes(std::mem::take(&mut self.unshown));
        }
    }
}
