//! The system calls of staging, where only the standard library is at hand.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::record::{EntryRef, Found, Identity, SkipReason};

pub(super) use crate::error::FileError;

pub(super) type Error = io::Error;

/// An open file.
pub(super) struct Handle(File);

/// Opens files by their whole path.
#[derive(Debug)]
pub(super) struct Opener;

/// What the system says of an open file.
pub(super) struct Status(Metadata);

impl Opener {
    pub(super) fn new() -> Opener {
        Opener
    }

    pub(super) fn open(&mut self, entry: &EntryRef<'_>) -> Result<(Handle, Status), Error> {
        let handle = Handle(File::open(path(entry)?)?);
        let status = handle.status()?;
        Ok((handle, status))
    }

    pub(super) fn look(&mut self, entry: &EntryRef<'_>) -> Result<Status, Error> {
        let path = path(entry)?;
        let is_followed = entry.found == Found::FileThroughLinks;
        if is_followed { path.metadata() } else { path.symlink_metadata() }.map(Status)
    }
}

/// The whole path of an entry. A name that is not Unicode cannot be taken apart and put together again without unsafe code
/// here.
fn path(entry: &EntryRef<'_>) -> Result<PathBuf, Error> {
    let mut path = Vec::new();
    entry.directory.join_to(entry.name(), &mut path);
    let path = String::from_utf8(path).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
    Ok(PathBuf::from(path))
}

impl Handle {
    pub(super) fn status(&self) -> Result<Status, Error> {
        self.0.metadata().map(Status)
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        loop {
            #[cfg(windows)]
            let read = std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset);
            #[cfg(not(windows))]
            let read = Err(io::Error::from(io::ErrorKind::Unsupported));
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    pub(super) fn forget(&self, _: u64, _: u64) {}

    pub(super) fn is_mapped_safely(&self) -> bool {
        true
    }

    pub(super) fn is_fresh(&self, before: &Status) -> Result<bool, Error> {
        Ok(self.status()?.same_as(before))
    }

    pub(super) fn may_end_early(&self) -> bool {
        false
    }

    pub(super) fn is_made_up(&self) -> bool {
        false
    }
}

impl Status {
    pub(super) fn is_file(&self) -> bool {
        self.0.is_file()
    }

    pub(super) fn skip_reason(&self) -> Option<SkipReason> {
        None
    }

    pub(super) fn size(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_filled(&self) -> bool {
        true
    }

    pub(super) fn mtime_ns(&self) -> i128 {
        let nanoseconds =
            |duration: std::time::Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        match self.0.modified().map(|time| time.duration_since(SystemTime::UNIX_EPOCH)) {
            Ok(Ok(after)) => nanoseconds(after),
            Ok(Err(before)) => -nanoseconds(before.duration()),
            Err(_) => 0,
        }
    }

    pub(super) fn mode(&self) -> u16 {
        0
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::default()
    }

    pub(super) fn same_as(&self, other: &Status) -> bool {
        self.size() == other.size() && self.mtime_ns() == other.mtime_ns()
    }
}

pub(super) fn file_error(error: Error) -> FileError {
    FileError::from_io(crate::error::Step::Stage, &error)
}
