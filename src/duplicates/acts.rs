//! Does something about files of the same content, group by group, or tells what would be done.

use std::collections::HashSet;

use super::{Found, Search, action};
use crate::control::Control;
use crate::error::Error;
use crate::groups::{Catalog, FileGroup, FileId, Name};
use crate::plan::Plan;
use crate::record::{Acted, Action, ActionRecord, Directory, Identity};
use crate::report::Actions;
use crate::sink::Sink;
use crate::walk::again::Reach;

/// Acts on every group, and tells of it. `plan` has the roots that the catalog speaks of.
pub(super) fn act(
    search: &Search,
    plan: &Plan,
    found: &mut Found,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<(), Error> {
    let Some(action) = search.action else { return Ok(()) };
    let catalog = &found.catalog;
    let mut actor = Actor { search, plan, catalog, action, reach: Reach::new(plan), touched: HashSet::new() };
    let mut actions = Actions::default();
    let mut outside = 0_u64;
    let (mut path, mut keep_path) = (Vec::new(), Vec::new());
    for group in &found.groups {
        let Some(&keep) = group.names.first() else { continue };
        let stays = actor.copies_that_stay(group);
        let mut counted = None;
        keep_path.clear();
        catalog.path_to(keep.file, &mut keep_path);
        let mut kept = None;
        for name in &group.names {
            if control.is_cancelled() || stays.contains(&name.copy) {
                continue;
            }
            let acted = actor.act(&mut kept, keep.file, name.file);
            path.clear();
            catalog.path_to(name.file, &mut path);
            // The names of one copy are one file.
            let is_first = counted.replace(name.copy) != Some(name.copy);
            let links = catalog.entry(name.file).identity.links;
            if is_first && links > 1 {
                let names = group.names.iter().filter(|other| other.copy == name.copy).count() as u64;
                outside += u64::from(links > names);
            }
            count(&mut actions, &acted, if is_first { group.size } else { 0 });
            let record = ActionRecord { action, keep: &keep_path, path: &path, size: group.size, acted };
            sink.action(&record).map_err(Error::Sink)?;
        }
    }
    if outside > 0 {
        let what = if outside == 1 { "1 file has" } else { &format!("{outside} files have") };
        found
            .report
            .notes
            .push(format!("{what} other names than those that were met: what they take stays taken"));
    }
    found.report.duplicates.get_or_insert_default().actions = actions;
    Ok(())
}

fn count(actions: &mut Actions, acted: &Acted, size: u64) {
    match acted {
        Acted::Planned => actions.planned += 1,
        Acted::Done => actions.done += 1,
        Acted::Already => actions.already += 1,
        Acted::Refused(_) => actions.refused += 1,
    }
    if matches!(acted, Acted::Planned | Acted::Done) {
        actions.bytes += size;
    }
}

/// Acts on one name after the other.
struct Actor<'s> {
    search: &'s Search,
    plan: &'s Plan,
    catalog: &'s Catalog,
    action: Action,
    reach: Reach<'s>,
    /// Files that were linked or lost a name here, if only for a moment: that has changed the time of their last change.
    touched: HashSet<(u32, u64)>,
}

impl Actor<'_> {
    /// The copies of a group that are to stay as they are: the first; all that have a name in a reference; across paths all
    /// that have one in the path of the first. Of empty files there is nothing to share.
    fn copies_that_stay(&self, group: &FileGroup) -> HashSet<u32> {
        let root = |name: &Name| self.catalog.root_of(name.file);
        let first = &group.names[0];
        let stays = |name: &Name| {
            group.size == 0
                || name.copy == first.copy
                || name.is_reference
                || (self.search.is_across && root(name) == root(first))
        };
        group.names.iter().filter(|name| stays(name)).map(|name| name.copy).collect()
    }

    /// Acts on one name. `kept` is the directory of the file that stays, once it was reached.
    fn act(&mut self, kept: &mut Option<Directory>, keep: FileId, replace: FileId) -> Acted {
        if !self.search.applies {
            return Acted::Planned;
        }
        let acted = self.try_to(kept, keep, replace);
        acted.unwrap_or_else(|why| Acted::Refused(why.into()))
    }

    #[cfg(unix)]
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

    #[cfg(not(unix))]
    fn try_to(&mut self, _: &mut Option<Directory>, _: FileId, _: FileId) -> Result<Acted, String> {
        Err("this system cannot act on files that are the same".to_owned())
    }

    /// The directory in which a name is acted on. A root that is a file is named by a whole path.
    #[cfg(unix)]
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
#[cfg(unix)]
fn place<'p>(
    catalog: &'p Catalog,
    directory: &'p Directory,
    file: FileId,
    is_touched: bool,
) -> Option<action::Place<'p>> {
    use std::os::fd::AsFd;
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
