//! Does something about files of the same content, group by group, or tells what would be done.

use std::collections::HashSet;

use super::{Search, action};
use crate::control::Control;
use crate::error::Error;
use crate::groups::{Catalog, FileGroup, FileId, Name};
use crate::plan::Plan;
use crate::record::{Acted, Action, ActionRecord, Directory};
use crate::report::{Actions, Report};
use crate::sink::Sink;
use crate::walk::again::Reach;

/// Acts on every group, and tells of it. `plan` has the roots that the catalog speaks of.
pub(super) fn act(
    search: &Search,
    plan: &Plan,
    catalog: &Catalog,
    groups: &[FileGroup],
    sink: &mut dyn Sink,
    control: &Control,
    report: &mut Report,
) -> Result<(), Error> {
    let Some(action) = search.action else { return Ok(()) };
    let mut actor = Actor { search, plan, catalog, action, touched: HashSet::new() };
    let mut actions = Actions::default();
    let (mut path, mut keep_path) = (Vec::new(), Vec::new());
    for group in groups {
        let Some(&keep) = group.names.first() else { continue };
        keep_path.clear();
        catalog.path_to(keep.file, &mut keep_path);
        let mut kept = None;
        for name in group.names.iter().filter(|name| actor.is_to_change(&keep, name)) {
            if control.is_cancelled() {
                break;
            }
            let acted = actor.act(&mut kept, keep.file, name.file);
            path.clear();
            catalog.path_to(name.file, &mut path);
            count(&mut actions, &acted, group.size);
            let record = ActionRecord { action, keep: &keep_path, path: &path, size: group.size, acted };
            sink.action(&record).map_err(Error::Sink)?;
        }
    }
    report.duplicates.get_or_insert_default().actions = actions;
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
    /// Files that were changed by an action: their number of links, and with it the time of their last change.
    touched: HashSet<(u32, u64)>,
}

impl Actor<'_> {
    /// Whether a name of a group is to become the same as the first.
    fn is_to_change(&self, keep: &Name, name: &Name) -> bool {
        let root = |name: &Name| self.catalog.root_of(name.file);
        name.copy != keep.copy
            && !name.is_reference
            && !(self.search.is_across && root(name) == root(keep))
    }

    /// `kept` is the directory of the name that stays, once it was reached.
    fn act(&mut self, kept: &mut Option<Directory>, keep: FileId, replace: FileId) -> Acted {
        if !self.search.applies {
            return Acted::Planned;
        }
        if kept.is_none() {
            match self.reach(keep) {
                Ok(directory) => *kept = Some(directory),
                Err(error) => return Acted::Refused(format!("its double cannot be reached: {error}").into()),
            }
        }
        let Some(kept) = kept else { return Acted::Planned };
        let directory = match self.reach(replace) {
            Ok(directory) => directory,
            Err(error) => return Acted::Refused(format!("it cannot be reached: {error}").into()),
        };
        let places = [(&*kept, keep), (&directory, replace)].map(|(directory, file)| self.place(directory, file));
        match places {
            [Some(keep_place), Some(place)] => {
                let acted = action::act(self.action, &keep_place, &place, &self.plan.faults);
                self.touched.extend([self.catalog.inode(keep), self.catalog.inode(replace)]);
                acted
            }
            [None, _] => Acted::Refused("its double changed since it was read".into()),
            _ => Acted::Refused("it changed since it was read".into()),
        }
    }
}
