//! Who is in the tree: lists directories and says of each entry what it is, or meets known files again. Opens no file.
//!
//! The way in is [`Walk`]: made once, then run by each walker thread until the tree is exhausted.

pub(crate) mod again;
mod filter;
mod globs;
#[cfg(target_os = "linux")]
mod handles;
#[cfg_attr(not(feature = "gitignore"), path = "ignores_none.rs")]
mod ignores;
mod lists;
mod portable;
pub(crate) mod roots;
mod units;

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::control::Control;
use crate::error::Error;
use crate::plan::{Handles, Plan, Walker};
use crate::record::{Directory, Found};

/// What a walker tells whoever runs it, which answers whether to go on.
#[derive(Debug)]
pub(crate) enum Met<'a> {
    /// An entry, with its size in bytes where the plan limits a batch's bytes, otherwise 0; or a directory that is told.
    Entry { directory: &'a Directory, name: &'a [u8], found: Found, bytes: u64 },
    /// The walker is about to wait for work: nothing more comes for a while.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "the portable walker waits for nobody"))]
    Pause,
}

/// What one walker did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Directories that were listed to their end.
    pub(crate) directories: u64,
    /// Directories that were told: they are no paths of the ledger.
    pub(crate) told: u64,
    /// Directories that could not be listed, in whole or in part.
    pub(crate) directories_failed: u64,
    /// Entries left out by name.
    pub(crate) filtered: u64,
    /// Time spent waiting for directories of another walker.
    pub(crate) waited: Duration,
}

/// One walk over all roots, shared by its walkers.
pub(crate) enum Walk<'p> {
    #[cfg(target_os = "linux")]
    Handles(handles::HandleWalk<'p>),
    Portable(portable::PortableWalk<'p>),
    Again(again::AgainWalk<'p>),
}

impl<'p> Walk<'p> {
    /// # Errors
    /// [`Error::Plan`] when a pattern of the filter does not parse.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(unused_variables, reason = "only the walk over handles divides them")
    )]
    pub(crate) fn new(
        plan: &'p Plan,
        apart: HashSet<Vec<u8>>,
        handles: &Handles,
        control: &'p Control,
    ) -> Result<Walk<'p>, Error> {
        let filter = filter::NameFilter::new(&plan.filter)?.with_apart(apart);
        Ok(match plan.walker {
            #[cfg(target_os = "linux")]
            Walker::Handles => Walk::Handles(handles::HandleWalk::new(plan, filter, handles, control)),
            Walker::Portable => Walk::Portable(portable::PortableWalk::new(plan, filter, control)),
        })
    }

    /// A walk over files that are known, by one walker.
    pub(crate) fn again(plan: &'p Plan, again: &'p again::Again<'p>, control: &'p Control) -> Walk<'p> {
        Walk::Again(again::AgainWalk::new(plan, again, control))
    }

    /// What could not be read of what decides which entries count.
    pub(crate) fn notes(&self) -> Vec<String> {
        match self {
            #[cfg(target_os = "linux")]
            Walk::Handles(walk) => walk.notes(),
            Walk::Portable(walk) => walk.notes(),
            Walk::Again(_) => Vec::new(),
        }
    }

    /// The body of one walker thread. Returns when the tree is exhausted or `emit` breaks.
    pub(crate) fn run(&self, emit: &mut dyn FnMut(Met<'_>) -> ControlFlow<()>) -> Tally {
        match self {
            #[cfg(target_os = "linux")]
            Walk::Handles(walk) => walk.run(emit),
            Walk::Portable(walk) => walk.run(emit),
            Walk::Again(walk) => walk.run(emit),
        }
    }
}

/// The device that a path lies on, through links.
#[cfg(unix)]
fn device_of(path: &std::path::Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|metadata| metadata.dev())
}

#[cfg(not(unix))]
fn device_of(_: &std::path::Path) -> Option<u64> {
    None
}
