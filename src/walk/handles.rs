//! The walk over directory handles: parallel, depth first, never led out of a root.
//!
//! Each walker goes depth first through a part of the tree with a stack of directories that still have
//! subdirectories to visit. A walker without work takes the next root; when there is none, it waits until another
//! hands over a subdirectory from the bottom of its stack, where the parts are largest.
//!
//! Names are only ever resolved beside an open directory, one component at a time and not through links, so a
//! directory that becomes a link in mid-run is an error and not a way out, and a path may have any length. Only the
//! top of a stack stays open; what lies below is reopened through `..` and must be the directory it was.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::{Errno, retry_on_intr};

use super::filter::NameFilter;
use super::frame::{Ancestor, Child, Context, Frame, Identity, Place, identity, push_child};
use super::parts::{AtHand, Part, Parts, Work};
use super::{Met, Tally};
use crate::control::{Control, WHOLE_TREE};
use crate::error::{Cause, FileError, Step};
use crate::plan::{Handles, Plan, Root};
use crate::record::{Directory, Found, SkipReason};

type Emit<'e> = &'e mut dyn FnMut(Met<'_>) -> ControlFlow<()>;

/// What the walkers of one run share.
pub(crate) struct HandleWalk<'p> {
    plan: &'p Plan,
    filter: NameFilter,
    control: &'p Control,
    stack_handles: usize,
    parts: Parts<'p>,
}

impl<'p> HandleWalk<'p> {
    pub(super) fn new(plan: &'p Plan, filter: NameFilter, handles: &Handles, control: &'p Control) -> Self {
        let parts = Parts::new(&plan.roots, handles.walkers);
        HandleWalk { plan, filter, control, stack_handles: handles.walk_stack, parts }
    }

    pub(super) fn run(&self, emit: Emit<'_>) -> Tally {
        let _release = self.parts.release_others();
        let mut walker = Walker {
            walk: self,
            emit,
            tally: Tally::default(),
            entries: vec![MaybeUninit::uninit(); LISTING_BYTES],
            no_atime: OFlags::NOATIME,
            last: None,
        };
        while let Some(work) = walker.next_work() {
            let done = match work {
                Work::Root(root) => walker.walk_root(root),
                Work::Part(part) => walker.walk_part(part),
            };
            walker.last = None;
            if done.is_break() || self.parts.finish_one() {
                break;
            }
        }
        walker.tally
    }
}

/// Bytes of directory entries asked for at once.
const LISTING_BYTES: usize = 64 * 1024;

/// One walker at work.
struct Walker<'w, 'p, 'e> {
    walk: &'w HandleWalk<'p>,
    emit: Emit<'e>,
    tally: Tally,
    entries: Vec<MaybeUninit<u8>>,
    /// O_NOATIME, until a directory refuses it (only its owner may).
    no_atime: OFlags,
    /// The directory that was listed last, and its depth: the way back to those above it.
    last: Option<(Directory, usize)>,
}

impl<'p> Walker<'_, 'p, '_> {
    fn next_work(&mut self) -> Option<Work<'p>> {
        let parts = &self.walk.parts;
        match parts.at_hand() {
            AtHand::Work(work) => return Some(work),
            AtHand::End => return None,
            AtHand::Nothing => {}
        }
        if parts.are_finished() || (self.emit)(Met::Pause).is_break() {
            return None;
        }
        let since = Instant::now();
        let part = parts.wait();
        self.tally.waited += since.elapsed();
        part
    }

    /// A root: a file, or a directory that is resolved through links this once.
    fn walk_root(&mut self, root: &Root) -> ControlFlow<()> {
        let nowhere = Directory::from_path(b"");
        let share = WHOLE_TREE / self.walk.plan.roots.len() as u64;
        let stat = match statat(CWD, root.path(), AtFlags::empty()) {
            Ok(stat) => stat,
            Err(errno) => return self.fail(&nowhere, shown_root(root), errno),
        };
        let file_type = FileType::from_raw_mode(stat.st_mode);
        if file_type != FileType::Directory {
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            self.walk.control.add_explored(share);
            return self.emit_file(&nowhere, root.shown(), file_type, Found::FileThroughLinks, size);
        }
        let handle = match self.open(CWD, root.path(), OFlags::empty()) {
            Ok(handle) => handle,
            Err(errno) => return self.fail(&nowhere, shown_root(root), errno),
        };
        let filter = &self.walk.plan.filter;
        if filter.depth_max == Some(0) {
            return ControlFlow::Continue(());
        }
        // What was opened decides: opening may mount what looking does not.
        let stat = match fstat(&handle) {
            Ok(stat) => stat,
            Err(errno) => return self.fail(&nowhere, shown_root(root), errno),
        };
        let context = Context {
            depth: 0,
            device: filter.one_file_system.then_some(stat.st_dev),
            ancestors: filter.follow.then(|| Arc::new(Ancestor { identity: identity(&stat), above: None })),
            share,
        };
        let directory = Directory { path: root.shown().into(), handle: Some(Arc::new(handle)) };
        self.walk_open(directory, context)
    }

    fn walk_part(&mut self, part: Part) -> ControlFlow<()> {
        let entered = self.enter(&part.parent, &part.child, part.context)?;
        drop(part.parent);
        match entered {
            Some((directory, context)) => self.walk_open(directory, context),
            None => ControlFlow::Continue(()),
        }
    }

    /// Depth first through everything below `directory`, and the directory itself.
    fn walk_open(&mut self, directory: Directory, context: Context) -> ControlFlow<()> {
        let base = directory.clone();
        let mut stack: Vec<Frame> = Vec::new();
        let mut first_open = 0;
        stack.extend(self.list(directory, context)?);
        while let Some(top) = stack.len().checked_sub(1) {
            first_open = first_open.min(top);
            if let Place::Closed { path_bytes, identity } = stack[top].place {
                first_open = top;
                match self.reopen(&base, path_bytes, identity, stack[top].context.depth) {
                    Ok(directory) => stack[top].place = Place::Open(directory),
                    Err(error) => {
                        if !stack[top].has_failed {
                            self.fail_unreachable(&base, path_bytes, error)?;
                        }
                        stack.pop();
                        continue;
                    }
                }
            }
            if self.walk.parts.is_somebody_waiting() {
                self.hand_over(&mut stack[first_open..]);
            }
            let frame = &mut stack[top];
            let Some(child) = frame.pop() else {
                stack.pop();
                continue;
            };
            let Place::Open(parent) = &frame.place else { unreachable!("the top was just opened") };
            let parent = parent.clone();
            let context = frame.context.clone();
            // The last one to visit: its parent is not needed again. A chain of directories keeps the stack flat.
            if frame.subdirectories.is_empty() {
                stack.pop();
            }
            let Some((directory, context)) = self.enter(&parent, &child, context)? else {
                continue;
            };
            drop(parent);
            first_open = first_open.min(stack.len());
            stack.extend(self.list(directory, context)?);
            if stack.len() - first_open > self.walk.stack_handles {
                stack[first_open].close();
                first_open += 1;
            }
        }
        ControlFlow::Continue(())
    }

    /// Opens a subdirectory. `context` is its parent's with the child's share; the child's is returned.
    fn enter(
        &mut self,
        parent: &Directory,
        child: &Child,
        parent_context: Context,
    ) -> ControlFlow<(), Option<(Directory, Context)>> {
        let mut context = Context { depth: parent_context.depth + 1, ..parent_context };
        let opened = self.open_child(parent, child).and_then(|handle| {
            let stat = if context.device.is_some() || context.ancestors.is_some() {
                Some(fstat(&handle)?)
            } else {
                None
            };
            Ok((handle, stat))
        });
        let (handle, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.fail(parent, child.name(), errno)?;
                return ControlFlow::Continue(None);
            }
        };
        if let Some(stat) = stat {
            if context.device.is_some_and(|device| device != stat.st_dev) {
                self.skip(parent, child.name(), SkipReason::OtherFileSystem)?;
                return ControlFlow::Continue(None);
            }
            if context.leads_in_a_circle(identity(&stat)) {
                self.skip(parent, child.name(), SkipReason::Loop)?;
                return ControlFlow::Continue(None);
            }
        }
        let mut path = Vec::with_capacity(parent.path.len() + 1 + child.name().len());
        parent.join_to(child.name(), &mut path);
        let directory = Directory { path: path.into(), handle: Some(Arc::new(handle)) };
        ControlFlow::Continue(Some((directory, context)))
    }

    /// Lists a directory: files are emitted, subdirectories become a frame.
    fn list(&mut self, directory: Directory, mut context: Context) -> ControlFlow<(), Option<Frame>> {
        if self.walk.control.should_stop() {
            return ControlFlow::Break(());
        }
        let handle = directory.handle.clone().expect("a directory of this walk is open");
        let mut subdirectories = Vec::new();
        let mut subdirectories_count = 0;
        let descend = self.walk.plan.filter.depth_max.is_none_or(|max| context.depth + 1 < max);
        let mut entries = std::mem::take(&mut self.entries);
        let mut listing = RawDir::new(&*handle, &mut entries);
        let mut complete = true;
        while let Some(entry) = listing.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    complete = false;
                    self.fail_directory(&directory, errno)?;
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if let Some(through_links) = self.meet(&directory, &handle, name, entry.file_type())?
                && descend
            {
                push_child(&mut subdirectories, name.to_bytes(), through_links);
                subdirectories_count += 1;
            }
        }
        self.entries = entries;
        self.tally.directories += u64::from(complete);
        self.last = Some((directory.clone(), context.depth));
        let child_share = context.share / (subdirectories_count + 1);
        self.walk.control.add_explored(context.share - child_share * subdirectories_count);
        context.share = child_share;
        ControlFlow::Continue(if subdirectories.is_empty() {
            None
        } else {
            let place = Place::Open(directory);
            Some(Frame { place, subdirectories, context, has_failed: !complete })
        })
    }

    /// An entry of a directory. Returns, for a subdirectory to visit, whether it is reached through a link.
    fn meet(
        &mut self,
        directory: &Directory,
        handle: &OwnedFd,
        name: &CStr,
        listed_type: FileType,
    ) -> ControlFlow<(), Option<bool>> {
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
        if self.walk.filter.excludes(&directory.path, name.to_bytes(), file_type == FileType::Directory) {
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
            return ControlFlow::Continue(Some(found == Found::FileThroughLinks));
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

    fn emit_file(
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

    fn skip(&mut self, directory: &Directory, name: &[u8], reason: SkipReason) -> ControlFlow<()> {
        (self.emit)(Met::Entry { directory, name, found: Found::Skipped(reason), bytes: 0 })
    }

    fn fail_entry(
        &mut self,
        directory: &Directory,
        name: &[u8],
        error: FileError,
    ) -> ControlFlow<(), Option<bool>> {
        (self.emit)(Met::Entry { directory, name, found: Found::Failed(error), bytes: 0 })?;
        ControlFlow::Continue(None)
    }

    /// A directory that cannot be opened.
    fn fail(&mut self, directory: &Directory, name: &[u8], errno: Errno) -> ControlFlow<()> {
        self.tally.directories_failed += 1;
        let found = Found::Failed(FileError::from_errno(Step::Walk, errno));
        (self.emit)(Met::Entry { directory, name, found, bytes: 0 })
    }

    /// A directory whose listing broke off.
    fn fail_directory(&mut self, directory: &Directory, errno: Errno) -> ControlFlow<()> {
        let shown: &[u8] = if directory.path.is_empty() { b"." } else { &directory.path };
        self.fail(&Directory::from_path(b""), shown, errno)
    }

    /// A directory below `base` that is not where it was when its subdirectories were listed.
    fn fail_unreachable(&mut self, base: &Directory, path_bytes: usize, error: FileError) -> ControlFlow<()> {
        self.tally.directories_failed += 1;
        let path = self.last.as_ref().map_or(&base.path, |(last, _)| &last.path);
        let path: Arc<[u8]> = path[..path_bytes].into();
        let found = Found::Failed(error);
        (self.emit)(Met::Entry { directory: &Directory::from_path(b""), name: &path, found, bytes: 0 })
    }

    fn open_child(&mut self, parent: &Directory, child: &Child) -> Result<OwnedFd, Errno> {
        let handle = parent.handle.clone().expect("a directory of this walk is open");
        let name = CStr::from_bytes_with_nul(&child.name_and_nul).expect("names end in their only NUL");
        self.open(&*handle, name, if child.through_links { OFlags::empty() } else { OFlags::NOFOLLOW })
    }

    fn open(
        &mut self,
        beside: impl std::os::fd::AsFd,
        name: impl rustix::path::Arg + Copy,
        links: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
        match retry_on_intr(|| openat(&beside, name, flags | self.no_atime, Mode::empty())) {
            Err(Errno::PERM) if !self.no_atime.is_empty() => {
                self.no_atime = OFlags::empty();
                retry_on_intr(|| openat(&beside, name, flags, Mode::empty()))
            }
            opened => opened,
        }
    }

    /// Hands the shallowest subdirectory left to a walker that waits, unless it is all there is.
    fn hand_over(&mut self, open_frames: &mut [Frame]) {
        let mut with_work = open_frames.iter_mut().filter(|frame| !frame.subdirectories.is_empty());
        let Some(frame) = with_work.next() else { return };
        if !frame.has_several() && with_work.next().is_none() {
            return;
        }
        let Place::Open(parent) = &frame.place else { return };
        let parent = parent.clone();
        let Some(child) = frame.pop() else { return };
        let part = Part { parent, child, context: frame.context.clone() };
        if let Err(part) = self.walk.parts.offer(part) {
            frame.push_back(&part.child);
        }
    }

    /// Opens again a directory above the one listed last: upwards through `..`, or where that leads elsewhere
    /// (something was moved, or reached through a link), downwards from the base of this part.
    fn reopen(
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
        let directory = Directory { path: path.into(), handle: Some(Arc::new(handle)) };
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

fn is(handle: &OwnedFd, expected: Identity) -> bool {
    fstat(handle).is_ok_and(|stat| identity(&stat) == expected)
}

/// How an error about a root itself names it.
fn shown_root(root: &Root) -> &[u8] {
    if root.shown().is_empty() { b"." } else { root.shown() }
}
