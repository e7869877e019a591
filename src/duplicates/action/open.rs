//! A file that is acted on: opened anew beside its directory, and recognised as the one that was read.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::Place;
use super::act::Refusal;
use super::step::{Step, Steps};

/// Which of the two a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Kept,
    Replaced,
}

/// A file that is acted on.
pub(super) struct Opened {
    pub(super) handle: OwnedFd,
    /// As it was when it was opened, or after the last change that an action made to it.
    pub(super) stat: Stat,
    role: Role,
}

impl Opened {
    /// Opens a file, which must be as it was when it was read.
    pub(super) fn open(steps: &Steps<'_>, place: &Place<'_>, role: Role) -> Result<Opened, Refusal> {
        let handle = steps.take(Step::Open, || open_without_trace(place)).map_err(|errno| match errno {
            Errno::NOENT => role.changed("it is gone"),
            Errno::LOOP | Errno::NXIO => role.changed("it is no regular file"),
            _ => Step::Open.failed(role.name(), errno),
        })?;
        let stat = steps
            .take(Step::Status, || fstat(&handle))
            .map_err(|errno| Step::Status.failed(role.name(), errno))?;
        if let Some(change) = change_since_read(&stat, place) {
            return Err(role.changed(change));
        }
        Ok(Opened { handle, stat, role })
    }

    /// As messages call it.
    pub(super) fn name(&self) -> &'static str {
        self.role.name()
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    /// Whether both are one file.
    pub(super) fn is_same_file(&self, other: &Opened) -> bool {
        is_same_file(&self.stat, &other.stat)
    }

    /// That nothing about the file is other than when it was opened.
    pub(super) fn check_unchanged(&self, steps: &Steps<'_>) -> Result<(), Refusal> {
        let now = steps
            .take(Step::Status, || fstat(&self.handle))
            .map_err(|errno| Step::Status.failed(self.name(), errno))?;
        let of = |stat: &Stat| {
            let times = (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
            (stat.st_size, times, stat.st_mode, stat.st_uid, stat.st_gid)
        };
        if of(&now) != of(&self.stat) {
            return Err(self.role.changed("it did while it was compared"));
        }
        Ok(())
    }

    /// Takes over the times and links that an action has changed. A file that was written to meanwhile keeps its old
    /// status, and so fails the next check.
    pub(super) fn adopt_status(&mut self) {
        let Ok(now) = fstat(&self.handle) else { return };
        if content_stamp(&now) == content_stamp(&self.stat) {
            self.stat = now;
        }
    }

    /// Returns the status of the file under `name` in `directory` if that is this file.
    ///
    /// The number of the file is read again: an overlay may have changed it when a link was made.
    pub(super) fn under(&self, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>, Errno> {
        let there = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let own = fstat(&self.handle)?;
        Ok(is_same_file(&there, &own).then_some(there))
    }
}

impl Role {
    /// The report's record is of the file that is replaced: that one is "it".
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Kept => "the kept file",
            Role::Replaced => "it",
        }
    }

    fn changed(self, how: &str) -> Refusal {
        format!("{} changed since it was read: {how}", self.name()).into()
    }
}

/// Shows that a file was written to, or that its owner or mode changed. The time of last change would as well, but links
/// and exchanges change it too.
pub(super) fn content_stamp(stat: &Stat) -> impl PartialEq + use<> {
    (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_mode, stat.st_uid, stat.st_gid)
}

/// What is not as it was when the file was read.
///
/// The time of last change is not looked at where the file has got or lost names: both change it, and so does every action
/// on another name of the same file. Nothing rests on it then: the content is compared once more in any case.
fn change_since_read(stat: &Stat, known: &Place<'_>) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some("it is no regular file");
    }
    if (number(stat.st_dev), number(stat.st_ino)) != (known.identity.device, known.identity.inode) {
        return Some("its name leads to another file");
    }
    if u64::try_from(stat.st_size) != Ok(known.size) {
        return Some("it has another size");
    }
    if nanoseconds(stat.st_mtime, stat.st_mtime_nsec) != known.mtime_ns {
        return Some("it has another time of last modification");
    }
    let has_same_links = number(stat.st_nlink) == u64::from(known.identity.links);
    if has_same_links && nanoseconds(stat.st_ctime, stat.st_ctime_nsec) != known.identity.ctime_ns() {
        return Some("it has another time of last change");
    }
    None
}

/// Opens without waiting for anyone and without following a link, and without leaving a trace where that is allowed.
fn open_without_trace(place: &Place<'_>) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = |flags| retry_on_intr(|| openat(place.directory, place.name, flags, Mode::empty()));
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        opened => opened,
    }
}

pub(super) fn is_same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// The fields of a stat have other types on other processors.
pub(super) fn number(field: impl TryInto<u64>) -> u64 {
    field.try_into().unwrap_or(0)
}

fn nanoseconds(seconds: impl Into<i128>, nanoseconds: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + nanoseconds.into()
}
