//! Looks at names of the catalog and acts on them, beside the directories that they lie in.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::action::{self, Actor, Pair, remove_leftover};
pub(super) use super::action::{Class, Facts, LINKS_FULL, Refusal, can_be_kept, can_be_replaced, decide};
use crate::groups::{Catalog, DirectoryId, FileId};
use crate::plan::Plan;
use crate::record::{Acted, Action, Directory, Identity};
use crate::walk::again::Reach;

/// Acts on names of a catalog.
pub(super) struct Applier<'s> {
    plan: &'s Plan,
    catalog: &'s Catalog,
    actor: Actor<'s>,
    reach: Reach<'s>,
    /// The directories that were reached last.
    directories: Vec<(DirectoryId, Directory)>,
    /// Files that were linked or lost a name here, if only for a moment: that has changed the time of their last change.
    touched: HashSet<(u32, u64)>,
}

/// Directories that stay open: pairs of files often lie in the same ones, in turn. A guess.
const DIRECTORIES_MAX: usize = 8;

/// Handles that one pair takes at most: two files, and the directories they lie in.
const HANDLES_OF_PAIR: usize = 4;

/// The most pairs of a batch. A writer waits for the leases of one batch at most.
const PAIRS_MAX: usize = 256;

impl<'s> Applier<'s> {
    /// `plan` has the roots that the catalog speaks of.
    pub(super) fn new(plan: &'s Plan, catalog: &'s Catalog, action: Action) -> Self {
        Applier {
            plan,
            catalog,
            actor: Actor::new(action, &plan.faults),
            reach: Reach::new(plan),
            directories: Vec::new(),
            touched: HashSet::new(),
        }
    }

    /// The most pairs that the open handles allow in one batch.
    pub(super) fn pairs_max(&self) -> usize {
        let handles = self.plan.handles_max.saturating_sub(DIRECTORIES_MAX);
        (handles / HANDLES_OF_PAIR).clamp(1, PAIRS_MAX)
    }

    /// Gathers the facts of a file that may be kept.
    pub(super) fn look_at_kept(&mut self, file: FileId) -> Result<Facts, Refusal> {
        let directory = self.reach("the kept file", file)?;
        self.actor.look_at_kept(&self.place(&directory, file).ok_or(NO_NAME)?)
    }

    /// Gathers the facts of a file that may be replaced.
    pub(super) fn look(&mut self, file: FileId) -> Result<Facts, Refusal> {
        let directory = self.reach("it", file)?;
        self.actor.look(&self.place(&directory, file).ok_or(NO_NAME)?)
    }

    /// Whether all blocks of `copy` are blocks of `keep` as well, or it has none. Only for shared blocks.
    pub(super) fn has_no_block_of_its_own(&self, keep: &Facts, copy: &Facts) -> Result<bool, Refusal> {
        self.actor.has_no_block_of_its_own(keep, copy)
    }

    /// Makes the second file of each pair share the content of the first, which stays.
    pub(super) fn apply(&mut self, pairs: &[(FileId, FileId)]) -> Vec<Acted> {
        let mut acted: Vec<Acted> = Vec::with_capacity(pairs.len());
        let mut reached = Vec::with_capacity(pairs.len());
        for &(keep, replace) in pairs {
            let directories =
                self.reach("the kept file", keep).and_then(|kept| Ok((kept, self.reach("it", replace)?)));
            match directories {
                Ok((kept, replaced)) => {
                    reached.push((acted.len(), kept, replaced));
                    acted.push(Acted::Refused(NO_NAME.into()));
                }
                Err(refusal) => acted.push(Acted::Refused(refusal)),
            }
        }
        let places: Vec<(usize, Pair<'_>)> = reached
            .iter()
            .filter_map(|(at, kept, replaced)| {
                let (keep, replace) = pairs[*at];
                let pair = Pair { keep: self.place(kept, keep)?, replace: self.place(replaced, replace)? };
                Some((*at, pair))
            })
            .collect();
        let ready: Vec<Pair<'_>> = places.iter().map(|&(_, pair)| pair).collect();
        let done = self.actor.act(&ready);
        places.iter().zip(done).for_each(|(&(at, _), done)| acted[at] = done);
        let inode = |&file: &FileId| self.catalog.inode(file);
        self.touched.extend(pairs.iter().flat_map(|(keep, replace)| [inode(keep), inode(replace)]));
        acted
    }

    /// Removes a temporary link of an earlier run if `other` is another name of its file.
    pub(super) fn remove_leftover(&mut self, link: FileId, other: FileId) -> Result<(), Refusal> {
        let directories = (self.reach("it", link)?, self.reach("the other name of its file", other)?);
        let place = |directory, file| self.place(directory, file).ok_or(NO_NAME);
        let (link, other) = (place(&directories.0, link)?, place(&directories.1, other)?);
        remove_leftover((link.directory, link.name), (other.directory, other.name), &self.plan.faults)
    }

    fn reach(&mut self, what: &str, file: FileId) -> Result<Directory, Refusal> {
        self.directory(file).map_err(|error| format!("{what} cannot be reached: {error}").into())
    }

    /// The directory in which a name is acted on. A root that is a file is named by a whole path.
    fn directory(&mut self, file: FileId) -> std::io::Result<Directory> {
        let entry = self.catalog.entry(file);
        let path = self.catalog.directory_path(entry.directory);
        if path.is_empty() {
            let above = entry.name.iter().rposition(|&byte| byte == b'/');
            let above = above.map_or(&b"."[..], |slash| if slash == 0 { b"/" } else { &entry.name[..slash] });
            return Reach::from_path(above);
        }
        if let Some((_, known)) = self.directories.iter().find(|(known, _)| *known == entry.directory) {
            return Ok(known.clone());
        }
        let directory = self.reach.directory(path, self.catalog.root_of(file))?;
        if self.directories.len() == DIRECTORIES_MAX {
            self.directories.remove(0);
        }
        self.directories.push((entry.directory, directory.clone()));
        Ok(directory)
    }

    /// A name as an action needs it. Of a file that was touched the time of last change says nothing any more, and with a
    /// number of links that no file has it is not asked; content is compared in any case.
    fn place<'p>(&self, directory: &'p Directory, file: FileId) -> Option<action::Place<'p>>
    where
        's: 'p,
    {
        let entry = self.catalog.entry(file);
        let is_touched = self.touched.contains(&self.catalog.inode(file));
        let start = memchr::memrchr(b'/', entry.name).map_or(0, |slash| slash + 1);
        let name = Some(&entry.name[start..]).filter(|name| !matches!(*name, b"" | b"." | b".."))?;
        let directory = directory.handle.as_ref()?.as_fd();
        Some(action::Place {
            directory,
            name,
            size: entry.size,
            mtime_ns: entry.mtime_ns,
            identity: Identity { links: if is_touched { 0 } else { entry.identity.links }, ..entry.identity },
        })
    }
}

const NO_NAME: &str = "it has no name of its own";
