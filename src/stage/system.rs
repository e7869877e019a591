//! The system calls of staging, on Unix: open beside a directory, fstat, read.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fcntl_getfl, fcntl_setfl, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use crate::record::{Directory, EntryRef, Found, Identity, SkipReason};

pub(super) type Error = Errno;

pub(super) use crate::error::FileError;

/// An open file.
pub(super) struct Handle(OwnedFd);

/// Opens files without waiting for anyone and without leaving a trace where that is allowed.
#[derive(Debug)]
pub(super) struct Opener {
    /// Whether the last file allowed O_NOATIME, which only its owner may ask for: the next one likely does as well.
    no_atime: bool,
    user: u32,
    path: Vec<u8>,
}

/// What fstat says of an open file.
#[derive(Clone, Copy)]
pub(super) struct Status(Stat);

impl Opener {
    pub(super) fn new() -> Opener {
        Opener { no_atime: true, user: rustix::process::geteuid().as_raw(), path: Vec::new() }
    }

    /// Looks at `entry` without opening it.
    pub(super) fn look(&mut self, entry: &EntryRef<'_>) -> Result<Status, Error> {
        let Directory { path, handle, .. } = entry.directory;
        let links =
            if entry.found == Found::FileThroughLinks { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let name = std::ffi::CStr::from_bytes_with_nul(entry.name_and_nul()).map_err(|_| Errno::INVAL)?;
        let stat = match handle {
            Some(directory) => statat(directory, beside(entry)?, links),
            None if path.is_empty() => statat(CWD, name, links),
            None => {
                self.path.clear();
                entry.directory.join_to(entry.name(), &mut self.path);
                statat(CWD, self.path.as_slice(), links)
            }
        };
        stat.map(Status)
    }

    /// Opens `entry` and looks at what was opened.
    pub(super) fn open(&mut self, entry: &EntryRef<'_>) -> Result<(Handle, Status), Error> {
        let handle = self.open_without_trace(entry)?;
        let status = handle.status()?;
        if !self.no_atime && status.0.st_uid == self.user {
            // Where it is refused all the same (an owner unknown in this user namespace), it is left at that.
            self.no_atime =
                fcntl_getfl(&handle.0).and_then(|flags| fcntl_setfl(&handle.0, flags | NO_ATIME)).is_ok();
        }
        Ok((handle, status))
    }

    fn open_without_trace(&mut self, entry: &EntryRef<'_>) -> Result<Handle, Error> {
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if entry.found != Found::FileThroughLinks {
            flags |= OFlags::NOFOLLOW;
        }
        if self.no_atime {
            match self.open_with(entry, flags | NO_ATIME) {
                Err(Errno::PERM) => self.no_atime = false,
                opened => return opened,
            }
        }
        self.open_with(entry, flags)
    }

    fn open_with(&mut self, entry: &EntryRef<'_>, flags: OFlags) -> Result<Handle, Error> {
        let Directory { path, handle, .. } = entry.directory;
        let name = std::ffi::CStr::from_bytes_with_nul(entry.name_and_nul()).map_err(|_| Errno::INVAL)?;
        let opened = match handle {
            Some(directory) => {
                let name = beside(entry)?;
                retry_on_intr(|| openat(directory, name, flags, Mode::empty()))
            }
            None if path.is_empty() => retry_on_intr(|| openat(CWD, name, flags, Mode::empty())),
            None => {
                self.path.clear();
                entry.directory.join_to(entry.name(), &mut self.path);
                retry_on_intr(|| openat(CWD, self.path.as_slice(), flags, Mode::empty()))
            }
        };
        opened.map(Handle)
    }
}

/// The name to open beside the open directory of an entry.
fn beside<'e>(entry: &EntryRef<'e>) -> Result<&'e std::ffi::CStr, Error> {
    std::ffi::CStr::from_bytes_with_nul(entry.name_beside_handle()).map_err(|_| Errno::INVAL)
}

#[cfg(target_os = "linux")]
const NO_ATIME: OFlags = OFlags::NOATIME;
#[cfg(not(target_os = "linux"))]
const NO_ATIME: OFlags = OFlags::empty();

/// What statfs(2) says of a sysfs.
#[cfg(target_os = "linux")]
const SYSFS: rustix::fs::FsWord = 0x6265_6572;

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl std::os::fd::AsRawFd for Handle {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

impl Handle {
    pub(super) fn status(&self) -> Result<Status, Error> {
        rustix::fs::fstat(&self.0).map(Status)
    }

    /// Reads at most `buffer.len()` bytes; 0 at the end of the file. A signal in between is no error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        retry_on_intr(|| rustix::io::read(&self.0, &mut *buffer))
    }

    /// Reads at most `buffer.len()` bytes from `offset` on; others may do the same with the same handle.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        retry_on_intr(|| rustix::io::pread(&self.0, &mut *buffer, offset))
    }

    /// Tells the system that these bytes need not be kept in memory; 0 bytes: all that follow.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "it cannot be told"))]
    pub(super) fn forget(&self, offset: u64, bytes: u64) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // Advice: where it is not taken, nothing is wrong.
            let _: Result<(), Errno> =
                fadvise(&self.0, offset, std::num::NonZeroU64::new(bytes), Advice::DontNeed);
        }
    }

    /// Whether a mapping shows the bytes that a read would return.
    pub(super) fn is_mapped_safely(&self) -> bool {
        #[cfg(target_os = "linux")]
        return crate::keep::is_mapped_safely(self.0.as_fd());
        #[cfg(not(target_os = "linux"))]
        true
    }

    /// Whether size and times are those of `before`, by the server if there is one, not by a cached status.
    pub(super) fn is_fresh(&self, before: &Status) -> Result<bool, Error> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{StatxFlags, StatxTimestamp, statx};
            let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
            let time = |time: StatxTimestamp| nanoseconds(time.tv_sec, time.tv_nsec.into());
            match statx(&self.0, c"", flags, StatxFlags::BASIC_STATS) {
                // Before Linux 4.11 there is the status below alone.
                Err(Errno::NOSYS) => {}
                found => {
                    let found = found?;
                    let times = (time(found.stx_mtime), time(found.stx_ctime));
                    return Ok(found.stx_size == before.size()
                        && times == (before.mtime_ns(), before.identity().ctime_ns()));
                }
            }
        }
        Ok(self.status()?.same_as(before))
    }

    /// Whether the size that it states may be more than its content: where a server or the kernel makes it up.
    pub(super) fn may_end_early(&self) -> bool {
        #[cfg(target_os = "linux")]
        return crate::keep::may_end_early(self.0.as_fd());
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Whether the kernel makes its content up and its size means nothing, as in /sys.
    pub(super) fn is_made_up(&self) -> bool {
        #[cfg(target_os = "linux")]
        return rustix::fs::fstatfs(&self.0).is_ok_and(|system| system.f_type == SYSFS);
        #[cfg(not(target_os = "linux"))]
        false
    }
}

impl Status {
    pub(super) fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.0.st_mode) == FileType::RegularFile
    }

    /// For what is no file and may have been found as a root or through a link: why it is not read.
    pub(super) fn skip_reason(&self) -> Option<SkipReason> {
        match FileType::from_raw_mode(self.0.st_mode) {
            FileType::Fifo => Some(SkipReason::Fifo),
            FileType::Socket => Some(SkipReason::Socket),
            FileType::CharacterDevice | FileType::BlockDevice => Some(SkipReason::Device),
            _ => None,
        }
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// Whether all of it has its place, and nothing is a hole.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ between systems")]
    pub(super) fn is_filled(&self) -> bool {
        (self.0.st_blocks as u64).saturating_mul(512) >= self.size()
    }

    /// Time of last modification, in nanoseconds since 1970.
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    pub(super) fn mtime_ns(&self) -> i128 {
        nanoseconds(self.0.st_mtime as i64, self.0.st_mtime_nsec as u64)
    }

    /// Its permission bits.
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    pub(super) fn mode(&self) -> u16 {
        (self.0.st_mode as u32 & 0o7777) as u16
    }

    /// Which file it is.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ between systems")]
    pub(super) fn identity(&self) -> Identity {
        Identity {
            device: self.0.st_dev as u64,
            inode: self.0.st_ino as u64,
            links: u32::try_from(self.0.st_nlink).unwrap_or(u32::MAX),
            ctime_seconds: self.0.st_ctime as i64,
            ctime_nanoseconds: u32::try_from(self.0.st_ctime_nsec).unwrap_or(0),
        }
    }

    /// Whether size and times are those of `other`.
    pub(super) fn same_as(&self, other: &Status) -> bool {
        let of = |stat: &Stat| {
            (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
        };
        of(&self.0) == of(&other.0)
    }
}

fn nanoseconds(seconds: i64, nanoseconds: u64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

pub(super) fn file_error(error: Error) -> FileError {
    FileError::from_errno(crate::error::Step::Stage, error)
}
