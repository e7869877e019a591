//! What a walker says of each entry: told apart, filtered, emitted; and of a directory that cannot be read.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Stat, statat};
use rustix::io::Errno;

use super::frame::{Context, Is};
use super::{Walker, shown_root};
use crate::error::{Cause, FileError, Step};
use crate::plan::Root;
use crate::record::{Directory, Found, SkipReason};
use crate::walk::Met;

impl Walker<'_, '_, '_> {
    /// An entry of a directory, whose context is given. Returns, for a subdirectory to visit, how it is reached.
    pub(super) fn meet(
        &mut self,
        directory: &Directory,
        name: &CStr,
        listed_type: FileType,
        context: &Context,
    ) -> ControlFlow<(), Option<Is>> {
        let handle = directory.handle.as_deref().expect("a directory of this walk is open");
        let mut file_type = listed_type;
        let mut found = Found::File;
        let mut size = None;
        if file_type == FileType::Unknown {
            match statat(handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    file_type = FileType::from_raw_mode(stat.st_mode);
                    size = u64::try_from(stat.st_size).ok();
                }
                Err(errno) => {
                    return self.fail_entry(
                        directory,
                        name.to_bytes(),
                        FileError::from_errno(Step::Walk, errno),
                    );
                }
            }
        }
        if self.walk.filter.leaves_alone(&directory.path, name.to_bytes()) {
            return ControlFlow::Continue(None);
        }
        let (is_directory, ignores) = (file_type == FileType::Directory, context.ignores.as_deref());
        let (path, name_bytes) = (&directory.path, name.to_bytes());
        if self.walk.filter.excludes(path, name_bytes, is_directory, ignores, context.spelling.as_deref()) {
            self.tally.filtered += 1;
            return ControlFlow::Continue(None);
        }
        if file_type == FileType::Symlink && self.walk.plan.filter.follow {
            match statat(handle, name, AtFlags::empty()) {
                Ok(stat) => {
                    file_type = FileType::from_raw_mode(stat.st_mode);
                    size = u64::try_from(stat.st_size).ok();
                    found = Found::FileThroughLinks;
                }
                Err(errno) => {
                    let cause = match errno {
                        Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG => Cause::BrokenLink,
                        _ => FileError::from_errno(Step::Walk, errno).cause,
                    };
                    let error = FileError { step: Step::Walk, cause, errno: Some(errno.raw_os_error()) };
                    return self.fail_entry(directory, name.to_bytes(), error);
                }
            }
        }
        if file_type == FileType::Directory {
            let is_linked = found == Found::FileThroughLinks;
            return ControlFlow::Continue(Some(if is_linked { Is::LinkedDirectory } else { Is::Directory }));
        }
        if file_type == FileType::RegularFile && self.walk.plan.batch_bytes_max.is_some() && size.is_none() {
            // Where this fails, so does opening, which then says why.
            size = statat(handle, name, AtFlags::SYMLINK_NOFOLLOW)
                .ok()
                .and_then(|stat| u64::try_from(stat.st_size).ok());
        }
        self.emit_file(directory, name.to_bytes(), file_type, found, size.unwrap_or(0))?;
        ControlFlow::Continue(None)
    }

    pub(super) fn emit_file(
        &mut self,
        directory: &Directory,
        name: &[u8],
        file_type: FileType,
        file: Found,
        size: u64,
    ) -> ControlFlow<()> {
        let found = match file_type {
            FileType::RegularFile => file,
            FileType::Symlink => Found::Skipped(SkipReason::Symlink),
            FileType::Fifo => Found::Skipped(SkipReason::Fifo),
            FileType::Socket => Found::Skipped(SkipReason::Socket),
            FileType::CharacterDevice | FileType::BlockDevice => Found::Skipped(SkipReason::Device),
            FileType::Directory | FileType::Unknown => {
                Found::Failed(FileError::new(Step::Walk, Cause::Changed))
            }
        };
        let bytes = if self.walk.plan.batch_bytes_max.is_some() { size } else { 0 };
        (self.emit)(Met::Entry { directory, name, found, bytes })
    }

    pub(super) fn skip(&mut self, directory: &Directory, name: &[u8], reason: SkipReason) -> ControlFlow<()> {
        (self.emit)(Met::Entry { directory, name, found: Found::Skipped(reason), bytes: 0 })
    }

    /// A directory that was listed to its end.
    pub(super) fn tell(&mut self, directory: &Directory) -> ControlFlow<()> {
        self.tally.told += 1;
        (self.emit)(Met::Entry { directory, name: b"", found: Found::Directory, bytes: 0 })
    }

    fn fail_entry(
        &mut self,
        directory: &Directory,
        name: &[u8],
        error: FileError,
    ) -> ControlFlow<(), Option<Is>> {
        (self.emit)(Met::Entry { directory, name, found: Found::Failed(error), bytes: 0 })?;
        ControlFlow::Continue(None)
    }

    /// A directory that cannot be opened.
    pub(super) fn fail(&mut self, directory: &Directory, name: &[u8], errno: Errno) -> ControlFlow<()> {
        self.tally.directories_failed += 1;
        let found = Found::Failed(FileError::from_errno(Step::Walk, errno));
        (self.emit)(Met::Entry { directory, name, found, bytes: 0 })
    }

    /// A root that is not there: only of a list there is no telling whether it was a directory.
    pub(super) fn fail_root(&mut self, root: &Root, errno: Errno) -> ControlFlow<()> {
        let nowhere = Directory::from_path(b"");
        if root.is_listed() {
            self.fail_listed(&nowhere, root.shown(), errno)
        } else {
            self.fail(&nowhere, shown_root(root), errno)
        }
    }

    /// An entry of a list that is not there.
    pub(super) fn fail_listed(&mut self, nowhere: &Directory, path: &[u8], errno: Errno) -> ControlFlow<()> {
        let mut error = FileError::from_errno(Step::Walk, errno);
        let is_link = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(is_link) {
            error.cause = Cause::BrokenLink;
        } else if errno == Errno::NOTDIR {
            error.cause = Cause::NotDirectory;
        }
        (self.emit)(Met::Entry { directory: nowhere, name: path, found: Found::Failed(error), bytes: 0 })
    }

    /// A directory whose listing broke off.
    pub(super) fn fail_directory(&mut self, directory: &Directory, errno: Errno) -> ControlFlow<()> {
        let shown: &[u8] = if directory.path.is_empty() { b"." } else { &directory.path };
        self.fail(&Directory::from_path(b""), shown, errno)
    }

    /// A directory below `base` that is not where it was when its subdirectories were listed.
    pub(super) fn fail_unreachable(
        &mut self,
        base: &Directory,
        path_bytes: usize,
        error: FileError,
    ) -> ControlFlow<()> {
        self.tally.directories_failed += 1;
        let path = self.last.as_ref().map_or(&base.path, |(last, _)| &last.path);
        let path: Arc<[u8]> = path[..path_bytes].into();
        let found = Found::Failed(error);
        (self.emit)(Met::Entry { directory: &Directory::from_path(b""), name: &path, found, bytes: 0 })
    }
}
