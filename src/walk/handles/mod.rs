//! The walk over directory handles: parallel, depth first, never led out of a root.
//!
//! Each walker goes depth first through a part of the tree with a stack of directories that still have
//! subdirectories to visit. A walker without work takes the next root or stretch of the list; when there is none, it waits until another
//! hands over a subdirectory from the bottom of its stack, where the parts are largest.
//!
//! Names are only ever resolved beside an open directory, one component at a time and not through links, so a
//! directory that becomes a link in mid-run is an error and not a way out, and a path may have any length. Only the
//! top of a stack stays open; what lies below is reopened through `..` and must be the directory it was.
//!
//! In a sorted walk one walker does all, and keeps every entry of a directory on its stack until its turn comes.

mod entries;
mod frame;
mod listed;
mod parts;
mod reach;

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, FileType, OFlags, RawDir, fstat, statat};
use rustix::io::Errno;

use self::frame::{Ancestor, Child, Context, Frame, Is, Listing, Place, identity, push_child};
use self::parts::{AtHand, Part, Parts, Work};
use self::reach::strike;
use super::filter::NameFilter;
use super::ignores;
use super::units::{self, Unit};
use super::{Met, Tally};
use crate::control::Control;
use crate::faults::Operation;
use crate::plan::{Handles, Plan, Root, Sort};
use crate::record::{Directory, Found, SkipReason};

type Emit<'e> = &'e mut dyn FnMut(Met<'_>) -> ControlFlow<()>;

/// What the walkers of one run share.
pub(crate) struct HandleWalk<'p> {
    plan: &'p Plan,
    filter: NameFilter,
    control: &'p Control,
    stack_handles: usize,
    parts: Parts,
}

impl<'p> HandleWalk<'p> {
    pub(super) fn new(plan: &'p Plan, filter: NameFilter, handles: &Handles, control: &'p Control) -> Self {
        let parts = Parts::new(units::units(plan), handles.walkers);
        HandleWalk { plan, filter, control, stack_handles: handles.walk_stack, parts }
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.filter.notes()
    }

    pub(super) fn run(&self, emit: Emit<'_>) -> Tally {
        let (plan, _release) = (self.plan, self.parts.release_others());
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
                Work::Unit(Unit::Root(root)) => walker.walk_root(&plan.roots[root]),
                Work::Unit(Unit::Entries(entries)) => walker.walk_entries(entries),
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

impl Walker<'_, '_, '_> {
    fn next_work(&mut self) -> Option<Work> {
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
        let share = units::share(self.walk.plan);
        let stat = match statat(CWD, root.path(), AtFlags::empty()) {
            Ok(stat) => stat,
            Err(errno) => return self.fail_root(root, errno),
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
            ignores: self.walk.filter.ignores_above(root),
            spelling: self.walk.filter.spelling(root),
            share,
        };
        let directory = Directory { handle: Some(Arc::new(handle)), ..Directory::from_path(root.shown()) };
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
            let Some(mut child) = frame.pop() else {
                stack.pop();
                continue;
            };
            let Place::Open(parent) = &frame.place else { unreachable!("the top was just opened") };
            let parent = parent.clone();
            let context = frame.context.clone();
            // The last one to visit: its parent is not needed again. A chain of directories keeps the stack flat.
            if frame.left.is_empty() {
                stack.pop();
            }
            if let Is::Listed(file_type) = child.is {
                match self.meet(&parent, child.name_c(), file_type, &context)? {
                    Some(is) if self.descends_from(&context) => child.is = is,
                    _ => continue,
                }
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

    /// Whether the directories in a directory are visited.
    fn descends_from(&self, directory: &Context) -> bool {
        self.walk.plan.filter.depth_max.is_none_or(|max| directory.depth + 1 < max)
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
        let directory = Directory { path: path.into(), handle: Some(Arc::new(handle)), name_start: 0 };
        ControlFlow::Continue(Some((directory, context)))
    }

    /// Lists a directory: files are emitted, subdirectories become a frame; in a sorted walk both do.
    fn list(&mut self, directory: Directory, mut context: Context) -> ControlFlow<(), Option<Frame>> {
        if self.walk.control.should_stop() {
            return ControlFlow::Break(());
        }
        let handle = directory.handle.clone().expect("a directory of this walk is open");
        let above = context.ignores.take();
        context.ignores =
            self.walk.filter.ignores_within(&ignores::Place::Handle(&handle), &directory.path, above);
        let mut left = Vec::new();
        let mut sorted = (self.walk.plan.sort == Sort::Path).then(Listing::default);
        let mut subdirectories = 0;
        let descends = self.descends_from(&context);
        let mut entries = std::mem::take(&mut self.entries);
        let mut listing = RawDir::new(&*handle, &mut entries);
        let mut complete = true;
        while let Some(entry) = listing.next() {
            let struck = strike(&self.walk.plan.faults, Operation::List);
            let entry = match struck.and(entry) {
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
            if let Some(sorted) = &mut sorted {
                sorted.push(name.to_bytes(), entry.file_type());
                subdirectories += u64::from(entry.file_type() == FileType::Directory && descends);
            } else if let Some(is) = self.meet(&directory, name, entry.file_type(), &context)?
                && descends
            {
                push_child(&mut left, name.to_bytes(), is);
                subdirectories += 1;
            }
        }
        self.entries = entries;
        self.tally.directories += u64::from(complete);
        if complete && self.walk.plan.tells_directories {
            self.tell(&directory)?;
        }
        self.last = Some((directory.clone(), context.depth));
        let child_share = context.share / (subdirectories + 1);
        self.walk.control.add_explored(context.share - child_share * subdirectories);
        context.share = child_share;
        if let Some(sorted) = sorted {
            left = sorted.into_left();
        }
        let place = Place::Open(directory);
        let frame = Frame { place, left, context, has_failed: !complete };
        ControlFlow::Continue((!frame.left.is_empty()).then_some(frame))
    }

    /// Hands the shallowest subdirectory left to a walker that waits, unless it is all there is.
    fn hand_over(&mut self, open_frames: &mut [Frame]) {
        let mut with_work = open_frames.iter_mut().filter(|frame| !frame.left.is_empty());
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
}

/// How an error about a root itself names it.
fn shown_root(root: &Root) -> &[u8] {
    if root.shown().is_empty() { b"." } else { root.shown() }
}
