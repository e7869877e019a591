//! Files that a walk has met, once more: directories are reached again below their roots, and nothing is listed.
//!
//! As in the walk itself no link leads out of a root unless links are followed. Whether a file is still the one that was
//! met is for whoever asked to say, by its identity.

use std::io;
use std::ops::ControlFlow;
#[cfg(target_os = "linux")]
use std::path::Path;

use super::{Met, Tally};
use crate::control::{Control, WHOLE_TREE};
use crate::error::{FileError, Step};
use crate::faults::Operation;
use crate::plan::Plan;
use crate::record::{Directory, Found, bytes_to_path};

/// The files to be met, in an order in which those of one directory follow each other.
pub(crate) struct Again<'a> {
    /// How many.
    pub(crate) files: u64,
    /// The bytes to be read of them, if their sizes are known.
    pub(crate) bytes: Option<u64>,
    /// Tells what is known of the one of this number.
    pub(crate) file: &'a Tell<'a>,
}

/// Calls with what is known of the file of a number.
pub(crate) type Tell<'a> = dyn Fn(u64, &mut dyn FnMut(Known<'_>)) + Sync + 'a;

/// A file as it is known.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// Path of the directory it lies in, as shown; empty: it is named from nowhere.
    pub(crate) directory: &'a [u8],
    /// The root it was met below, as a place among the plan's roots; beyond them, for an entry of its list.
    pub(crate) root: usize,
    /// Its name there.
    pub(crate) name: &'a [u8],
}

/// The walk of one thread over such files.
pub(crate) struct AgainWalk<'p> {
    plan: &'p Plan,
    control: &'p Control,
    again: &'p Again<'p>,
}

impl<'p> AgainWalk<'p> {
    pub(super) fn new(plan: &'p Plan, again: &'p Again<'p>, control: &'p Control) -> Self {
        AgainWalk { plan, control, again }
    }

    pub(super) fn run(&self, emit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>) -> Tally {
        let mut reach = Reach::new(self.plan);
        let mut current = None;
        for number in 0..self.again.files {
            let mut next = ControlFlow::Continue(());
            (self.again.file)(number, &mut |known| next = self.meet(&known, &mut reach, &mut current, emit));
            if next.is_break() || self.control.should_stop() {
                break;
            }
            self.control.add_explored(WHOLE_TREE / self.again.files);
        }
        Tally::default()
    }

    /// Meets a file in the directory that was reached last, or in its own, which becomes that.
    fn meet(
        &self,
        known: &Known<'_>,
        reach: &mut Reach<'_>,
        current: &mut Option<Reached>,
        emit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let &Known { directory, root, name } = known;
        let reached = match current.take() {
            Some(reached) if *reached.directory.path == *directory && reached.root == root => reached,
            _ => match reach.directory(directory, root) {
                Ok(directory) => Reached { directory, root, failed: None },
                Err(error) => Reached {
                    directory: Directory::from_path(directory),
                    root,
                    failed: Some(FileError::from_io(Step::Walk, &error)),
                },
            },
        };
        let found = reached.failed.map_or_else(|| reach.found(known), Found::Failed);
        let Reached { directory, .. } = current.insert(reached);
        emit(Met::Entry { directory, name, found, bytes: 0 })
    }
}

/// The directory in which files are met.
struct Reached {
    directory: Directory,
    root: usize,
    failed: Option<FileError>,
}

/// Opens directories by the paths under which a walk has shown them.
pub(crate) struct Reach<'p> {
    plan: &'p Plan,
    #[cfg(target_os = "linux")]
    root: Option<(usize, std::os::fd::OwnedFd)>,
}

impl<'p> Reach<'p> {
    pub(crate) fn new(plan: &'p Plan) -> Self {
        Reach {
            plan,
            #[cfg(target_os = "linux")]
            root: None,
        }
    }

    /// The directory that is shown by this path below a root of the plan; with an empty path the place from which roots
    /// are named, which needs no handle.
    ///
    /// # Errors
    /// When it is not there any more, or cannot be opened.
    pub(crate) fn directory(&mut self, path: &[u8], root: usize) -> io::Result<Directory> {
        self.plan.faults.strike(Operation::OpenDirectory)?;
        let directory = Directory::from_path(path);
        if path.is_empty() {
            return Ok(directory);
        }
        #[cfg(target_os = "linux")]
        {
            let shown = self.plan.roots[root].shown();
            let relative = path.strip_prefix(shown).unwrap_or(path);
            let start = relative.iter().position(|&byte| byte != b'/').unwrap_or(relative.len());
            let handle = self.open(root, bytes_to_path(&relative[start..]))?;
            Ok(Directory { handle: Some(std::sync::Arc::new(handle)), ..directory })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (root, bytes_to_path(path));
            Ok(directory)
        }
    }

    /// How a file is to be opened: a root through links, like all files where links are followed.
    pub(crate) fn found(&self, known: &Known<'_>) -> Found {
        let root = self.plan.roots.get(known.root);
        let is_root = known.directory.is_empty() && root.is_none_or(|root| known.name == root.shown());
        if is_root || self.plan.filter.follow { Found::FileThroughLinks } else { Found::File }
    }

    /// A directory by a path of its own, through links.
    ///
    /// # Errors
    /// When it cannot be opened.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_path(path: &[u8]) -> io::Result<Directory> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = openat(CWD, bytes_to_path(path), flags, Mode::empty())?;
        Ok(Directory { handle: Some(std::sync::Arc::new(handle)), ..Directory::from_path(path) })
    }

    #[cfg(target_os = "linux")]
    fn open(&mut self, root: usize, relative: &Path) -> io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
        use rustix::io::{Errno, retry_on_intr};
        const FLAGS: OFlags =
            OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
        if self.root.as_ref().is_none_or(|(open, _)| *open != root) {
            let path = self.plan.roots[root].path();
            self.root = Some((root, retry_on_intr(|| openat(CWD, path, FLAGS, Mode::empty()))?));
        }
        let (_, beside) = self.root.as_ref().expect("it was just opened");
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        if self.plan.filter.follow {
            return Ok(retry_on_intr(|| openat(beside, relative, FLAGS, Mode::empty()))?);
        }
        let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match retry_on_intr(|| openat2(beside, relative, FLAGS, Mode::empty(), resolve)) {
            // Before Linux 5.6, behind filters of system calls, and paths longer than the system takes at once.
            Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG | Errno::AGAIN) => {}
            opened => return Ok(opened?),
        }
        let mut handle = retry_on_intr(|| openat(beside, c".", FLAGS, Mode::empty()))?;
        for component in relative.components() {
            let name = component.as_os_str();
            handle = retry_on_intr(|| openat(&handle, name, FLAGS | OFlags::NOFOLLOW, Mode::empty()))?;
        }
        Ok(handle)
    }
}
