//! How a walker reaches directories: one component at a time and not through links, and back up again.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::{Errno, retry_on_intr};

use super::Walker;
use super::frame::{Child, Identity, Is, identity};
use crate::error::{Cause, FileError, Step};
use crate::faults::{Faults, Operation};
use crate::record::Directory;

impl Walker<'_, '_, '_> {
    pub(super) fn open_child(&mut self, parent: &Directory, child: &Child) -> Result<OwnedFd, Errno> {
        let handle = parent.handle.clone().expect("a directory of this walk is open");
        let links = if child.is == Is::LinkedDirectory { OFlags::empty() } else { OFlags::NOFOLLOW };
        self.open(&*handle, child.name_c(), links)
    }

    pub(super) fn open(
        &mut self,
        beside: impl std::os::fd::AsFd,
        name: impl rustix::path::Arg + Copy,
        links: OFlags,
    ) -> Result<OwnedFd, Errno> {
        strike(&self.walk.plan.faults, Operation::OpenDirectory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
        match retry_on_intr(|| openat(&beside, name, flags | self.no_atime, Mode::empty())) {
            Err(Errno::PERM) if !self.no_atime.is_empty() => {
                self.no_atime = OFlags::empty();
                retry_on_intr(|| openat(&beside, name, flags, Mode::empty()))
            }
            opened => opened,
        }
    }

    /// Opens again a directory above the one listed last: upwards through `..`, or where that leads elsewhere
    /// (something was moved, or reached through a link), downwards from the base of this part.
    pub(super) fn reopen(
        &mut self,
        base: &Directory,
        path_bytes: usize,
        expected: Identity,
        depth: usize,
    ) -> Result<Directory, FileError> {
        let (last, last_depth) = self.last.clone().expect("a frame is closed after others were listed");
        let upwards = self.open_above(&last, last_depth - depth);
        let path = &last.path[..path_bytes];
        let handle = match upwards {
            Ok(handle) if is(&handle, expected) => handle,
            _ => match self.open_below(base, &path[base.path.len()..]) {
                Ok(handle) if is(&handle, expected) => handle,
                Ok(_) => return Err(FileError::new(Step::Walk, Cause::Changed)),
                Err(errno) => return Err(FileError::from_errno(Step::Walk, errno)),
            },
        };
        let directory = Directory { path: path.into(), handle: Some(Arc::new(handle)), name_start: 0 };
        self.last = Some((directory.clone(), depth));
        Ok(directory)
    }

    fn open_above(&mut self, from: &Directory, levels: usize) -> Result<OwnedFd, Errno> {
        /// Three bytes a level, far below PATH_MAX.
        const LEVELS_AT_ONCE: usize = 1000;
        let start = from.handle.clone().expect("the directory listed last is open");
        let mut handle = self.open(&*start, c".", OFlags::NOFOLLOW)?;
        let mut left = levels;
        while left > 0 {
            let now = left.min(LEVELS_AT_ONCE);
            handle = self.open(&handle, &*"../".repeat(now), OFlags::empty())?;
            left -= now;
        }
        Ok(handle)
    }

    fn open_below(&mut self, base: &Directory, relative: &[u8]) -> Result<OwnedFd, Errno> {
        let links = if self.walk.plan.filter.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let start = base.handle.clone().expect("the base stays open");
        let mut handle = self.open(&*start, c".", OFlags::NOFOLLOW)?;
        for component in relative.split(|&byte| byte == b'/').filter(|component| !component.is_empty()) {
            handle = self.open(&handle, component, links)?;
        }
        Ok(handle)
    }
}

pub(super) fn strike(faults: &Faults, operation: Operation) -> Result<(), Errno> {
    faults.strike(operation).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn is(handle: &OwnedFd, expected: Identity) -> bool {
    fstat(handle).is_ok_and(|stat| identity(&stat) == expected)
}
