//! The walk by whole paths: one thread, every platform. Finds the same entries as the walk over handles; what
//! becomes a link in mid-run may lead it astray, and paths have the length limit of the system.

use std::ffi::OsStr;
use std::fs::FileType;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkdir::{DirEntry, WalkDir};

use super::filter::NameFilter;
use super::globs::Spelling;
use super::ignores::{Ignores, Place};
use super::units::{self, Unit};
use super::{Met, Tally, device_of};
use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::plan::{Plan, Root, Sort};
use crate::record::{Directory, Found, SkipReason, bytes_to_path};

type Emit<'e> = &'e mut dyn FnMut(Met<'_>) -> ControlFlow<()>;

/// A walk that the first thread to run it does alone.
pub(crate) struct PortableWalk<'p> {
    plan: &'p Plan,
    filter: NameFilter,
    control: &'p Control,
    taken: AtomicBool,
}

impl<'p> PortableWalk<'p> {
    pub(super) fn new(plan: &'p Plan, filter: NameFilter, control: &'p Control) -> Self {
        PortableWalk { plan, filter, control, taken: AtomicBool::new(false) }
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.filter.notes()
    }

    pub(super) fn run(&self, emit: Emit<'_>) -> Tally {
        let mut tally = Tally::default();
        if !self.taken.swap(true, Ordering::Relaxed) {
            let share = units::share(self.plan);
            for unit in units::units(self.plan) {
                let (walked, parts) = match unit {
                    Unit::Root(root) => (self.walk_root(&self.plan.roots[root], &mut tally, emit), 1),
                    Unit::Entries(entries) => (self.walk_entries(entries.clone(), emit), entries.len()),
                };
                if walked.is_break() {
                    break;
                }
                self.control.add_explored(share * parts as u64);
            }
        }
        tally
    }

    /// Entries of the list, by their places in its order.
    fn walk_entries(&self, entries: Range<usize>, emit: Emit<'_>) -> ControlFlow<()> {
        let (list, directory) = (&self.plan.listed, Directory::from_path(b""));
        for &met in &list.order()[entries] {
            if self.control.should_stop() {
                return ControlFlow::Break(());
            }
            let name = list.path(met.entry());
            let path = bytes_to_path(name);
            let path = Path::new(&path);
            let bytes =
                self.plan.batch_bytes_max.map_or(0, |_| path.metadata().map_or(0, |found| found.len()));
            let found = if met.is_file() { Found::File } else { look_again(path) };
            emit(Met::Entry { directory: &directory, name, found, bytes })?;
        }
        ControlFlow::Continue(())
    }

    fn walk_root(&self, root: &Root, tally: &mut Tally, emit: Emit<'_>) -> ControlFlow<()> {
        let filter = &self.plan.filter;
        let mut entries = self.entries(root);
        // What git would leave out, of each directory on the way to the entry.
        let mut ignores: Vec<Option<Arc<Ignores>>> = Vec::new();
        let root_device = if filter.one_file_system { device_of(root.path()) } else { None };
        let spelling = self.filter.spelling(root);
        let mut directory = Directory::from_path(b"");
        while let Some(entry) = entries.next() {
            if self.control.should_stop() {
                return ControlFlow::Break(());
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let depth = error.depth();
                    let ignores = ignores.get(depth.saturating_sub(1)).and_then(|at| at.as_deref());
                    self.fail((root, spelling.as_deref()), &error, ignores, tally, emit)?;
                    continue;
                }
            };
            if entry.depth() == 0 {
                ignores.push(self.meet_root(root, &entry, tally, emit)?);
                continue;
            }
            let parent = self.shown(root, entry.path().parent().unwrap_or(Path::new("")));
            if *directory.path != *parent {
                directory = Directory::from_path(&parent);
            }
            let name = bytes(entry.file_name());
            let is_directory = entry.file_type().is_dir();
            if self.filter.leaves_alone(&directory.path, name) {
                if is_directory {
                    entries.skip_current_dir();
                }
                continue;
            }
            ignores.truncate(entry.depth());
            let above = ignores.last().cloned().flatten();
            let is_own_directory = is_directory && !entry.path_is_symlink();
            if self.filter.excludes(
                &directory.path,
                name,
                is_own_directory,
                above.as_deref(),
                spelling.as_deref(),
            ) {
                tally.filtered += 1;
                if is_directory {
                    entries.skip_current_dir();
                }
                continue;
            }
            let found = if is_directory {
                let is_entered = filter.depth_max.is_none_or(|max| entry.depth() < max);
                if !is_entered || root_device.is_none() || device_of(entry.path()) == root_device {
                    tally.directories += u64::from(is_entered);
                    let shown = self.shown(root, entry.path());
                    if is_entered {
                        self.tell(&shown, tally, emit)?;
                    }
                    ignores.push(self.filter.ignores_within(&Place::Path(entry.path()), &shown, above));
                    continue;
                }
                entries.skip_current_dir();
                Found::Skipped(SkipReason::OtherFileSystem)
            } else if entry.path_is_symlink() && filter.follow {
                classify(&entry, Found::FileThroughLinks)
            } else {
                classify(&entry, Found::File)
            };
            emit(Met::Entry { directory: &directory, name, found, bytes: self.bytes(&entry) })?;
        }
        ControlFlow::Continue(())
    }

    fn entries(&self, root: &Root) -> walkdir::IntoIter {
        let filter = &self.plan.filter;
        let entries = WalkDir::new(root.path())
            .follow_links(filter.follow)
            .max_depth(filter.depth_max.unwrap_or(usize::MAX));
        match self.plan.sort {
            Sort::None => entries.into_iter(),
            Sort::Path => entries.sort_by(|a, b| bytes(a.file_name()).cmp(bytes(b.file_name()))).into_iter(),
        }
    }

    /// A root, which is resolved through links this once. Returns what git would leave out of it.
    fn meet_root(
        &self,
        root: &Root,
        entry: &DirEntry,
        tally: &mut Tally,
        emit: Emit<'_>,
    ) -> ControlFlow<(), Option<Arc<Ignores>>> {
        if entry.path().is_dir() {
            tally.directories += u64::from(self.plan.filter.depth_max != Some(0));
            if self.plan.filter.depth_max != Some(0) {
                self.tell(root.shown(), tally, emit)?;
            }
            let above = self.filter.ignores_above(root);
            let place = Place::Path(entry.path());
            return ControlFlow::Continue(self.filter.ignores_within(&place, root.shown(), above));
        }
        let (directory, name) = (&Directory::from_path(b""), root.shown());
        let found = classify(entry, Found::FileThroughLinks);
        emit(Met::Entry { directory, name, found, bytes: self.bytes(entry) })?;
        ControlFlow::Continue(None)
    }

    /// A directory, which is about to be listed: where that fails, an error follows.
    fn tell(&self, path: &[u8], tally: &mut Tally, emit: Emit<'_>) -> ControlFlow<()> {
        if !self.plan.tells_directories {
            return ControlFlow::Continue(());
        }
        tally.told += 1;
        let directory = &Directory::from_path(path);
        emit(Met::Entry { directory, name: b"", found: Found::Directory, bytes: 0 })
    }

    fn fail(
        &self,
        (root, spelling): (&Root, Option<&Spelling>),
        error: &walkdir::Error,
        ignores: Option<&Ignores>,
        tally: &mut Tally,
        emit: Emit<'_>,
    ) -> ControlFlow<()> {
        let path = error.path().map_or_else(Vec::new, |path| self.shown(root, path));
        let name: &[u8] = if path.is_empty() { b"." } else { &path };
        let (parent, leaf) = match name.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&name[..slash], &name[slash + 1..]),
            None => (&b""[..], name),
        };
        // The filter was not asked yet about a link that leads nowhere.
        if error.depth() > 0 && self.filter.excludes(parent, leaf, false, ignores, spelling) {
            tally.filtered += 1;
            return ControlFlow::Continue(());
        }
        let found = if error.loop_ancestor().is_some() {
            Found::Skipped(SkipReason::Loop)
        } else {
            let system = error.io_error().map(|io| FileError::from_io(Step::Walk, io));
            let failed = system.unwrap_or(FileError::new(Step::Walk, Cause::Io));
            let failed = at_link(failed, error.path());
            if failed.cause != Cause::BrokenLink {
                tally.directories_failed += 1;
            }
            Found::Failed(failed)
        };
        emit(Met::Entry { directory: &Directory::from_path(b""), name, found, bytes: 0 })
    }

    /// A path below a root, as it is shown.
    fn shown(&self, root: &Root, path: &Path) -> Vec<u8> {
        let below = path.strip_prefix(root.path()).unwrap_or(Path::new(""));
        let mut shown = Vec::new();
        crate::record::join_path(root.shown(), bytes(below.as_os_str()), &mut shown);
        shown
    }

    fn bytes(&self, entry: &DirEntry) -> u64 {
        match self.plan.batch_bytes_max {
            Some(_) => entry.metadata().map_or(0, |metadata| metadata.len()),
            None => 0,
        }
    }
}

fn classify(entry: &DirEntry, file: Found) -> Found {
    if entry.file_type().is_symlink() {
        // A root may be a link: it is opened through it.
        return if entry.depth() == 0 { file } else { Found::Skipped(SkipReason::Symlink) };
    }
    classify_type(entry.file_type(), file)
}

/// An entry of a list that was no file, or not there.
fn look_again(path: &Path) -> Found {
    match path.metadata() {
        Ok(found) if found.is_dir() => Found::Failed(FileError::new(Step::Walk, Cause::Changed)),
        Ok(found) => classify_type(found.file_type(), Found::FileThroughLinks),
        Err(error) => {
            let failed = at_link(FileError::from_io(Step::Walk, &error), Some(path));
            let is_through_file = error.kind() == std::io::ErrorKind::NotADirectory;
            let cause = if is_through_file && failed.cause != Cause::BrokenLink {
                Cause::NotDirectory
            } else {
                failed.cause
            };
            Found::Failed(FileError { cause, ..failed })
        }
    }
}

/// What fails at a link is one that leads nowhere.
fn at_link(failed: FileError, path: Option<&Path>) -> FileError {
    let is_broken =
        matches!(failed.cause, Cause::Vanished | Cause::Changed) && path.is_some_and(Path::is_symlink);
    FileError { cause: if is_broken { Cause::BrokenLink } else { failed.cause }, ..failed }
}

fn classify_type(file_type: FileType, file: Found) -> Found {
    if file_type.is_file() {
        return file;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return Found::Skipped(SkipReason::Fifo);
        }
        if file_type.is_socket() {
            return Found::Skipped(SkipReason::Socket);
        }
    }
    Found::Skipped(SkipReason::Device)
}

fn bytes(name: &OsStr) -> &[u8] {
    name.as_encoded_bytes()
}
