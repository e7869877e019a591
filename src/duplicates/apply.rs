//! Does what is asked for to one name after the other, beside the directories that they lie in.

use std::collections::HashSet;
use std::os::fd::AsFd;

use super::action;
use crate::groups::{Catalog, FileId};
use crate::plan::Plan;
use crate::record::{Acted, Action, Directory, Identity};
use crate::walk::again::Reach;

/// Acts on names of a catalog.
pub(super) struct Applier<'s> {
    plan: &'s Plan,
    catalog: &'s Catalog,
    action: Action,
    reach: Reach<'s>,
    /// Files that were linked or lost a name here, if only for a moment: that has changed the time of their last change.
    touched: HashSet<(u32, u64)>,
}

impl<'s> Applier<'s> {
    /// `plan` has the roots that the catalog speaks of.
    pub(super) fn new(plan: &'s Plan, catalog: &'s Catalog, action: Action) -> Self {
        Applier { plan, catalog, action, reach: Reach::new(plan), touched: HashSet::new() }
    }

    /// Acts on one name. `kept` is the directory of the file that stays, once it was reached.
    pub(super) fn apply(&mut self, kept: &mut Option<Directory>, keep: FileId, replace: FileId) -> Acted {
        self.try_to(kept, keep, replace).unwrap_or_else(|why| Acted::Refused(why.into()))
    }

    fn try_to(
        &mut self,
        kept: &mut Option<Directory>,
        keep: FileId,
        replace: FileId,
    ) -> Result<Acted, String> {
        let unreachable = |what: &str, error: &std::io::Error| format!("{what} cannot be reached: {error}");
        if kept.is_none() {
            *kept = Some(self.directory(keep).map_err(|error| unreachable("the kept file", &error))?);
        }
        let directory = self.directory(replace).map_err(|error| unreachable("it", &error))?;
        let (Some(kept), catalog) = (&*kept, self.catalog) else { return Ok(Acted::Planned) };
        let inodes = [keep, replace].map(|file| catalog.inode(file));
        let [keep_touched, replace_touched] = inodes.map(|inode| self.touched.contains(&inode));
        let keep = place(catalog, kept, keep, keep_touched);
        let replace = place(catalog, &directory, replace, replace_touched);
        let (Some(keep), Some(replace)) = (keep, replace) else {
            return Ok(Acted::Refused("it has no name of its own".into()));
        };
        let acted = action::act(self.action, &keep, &replace, &self.plan.faults);
        self.touched.extend(inodes);
        Ok(acted)
    }

    /// The directory in which a name is acted on. A root that is a file is named by a whole path.
    fn directory(&mut self, file: FileId) -> std::io::Result<Directory> {
        let entry = self.catalog.entry(file);
        let path = self.catalog.directory_path(entry.directory);
        if !path.is_empty() {
            return self.reach.directory(path, self.catalog.root_of(file));
        }
        let above = entry.name.iter().rposition(|&byte| byte == b'/');
        let above = above.map_or(&b"."[..], |slash| if slash == 0 { b"/" } else { &entry.name[..slash] });
        Reach::from_path(above)
    }
}

/// A name as an action needs it. Of a file that `is_touched` the time of last change says nothing any more, and with a number
/// of links that no file has it is not asked; content is compared in any case.
fn place<'p>(
    catalog: &'p Catalog,
    directory: &'p Directory,
    file: FileId,
    is_touched: bool,
) -> Option<action::Place<'p>> {
    let entry = catalog.entry(file);
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
