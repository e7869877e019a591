//! Does something about files of the same content, group by group, or tells what would be done.

use std::collections::HashSet;

use super::apply::Applier;
use super::{Found, Search};
use crate::control::Control;
use crate::error::Error;
use crate::groups::{Catalog, FileGroup, Name};
use crate::plan::Plan;
use crate::record::{Acted, ActionRecord};
use crate::report::Actions;
use crate::sink::Sink;

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
    let mut applier = Applier::new(plan, catalog, action);
    let mut actions = Actions::default();
    let mut outside = 0_u64;
    let (mut path, mut keep_path) = (Vec::new(), Vec::new());
    for group in &found.groups {
        let Some(&keep) = group.names.first() else { continue };
        let stays = copies_that_stay(search, catalog, group);
        let mut counted = None;
        keep_path.clear();
        catalog.path_to(keep.file, &mut keep_path);
        let mut kept = None;
        for name in &group.names {
            if control.is_cancelled() || stays.contains(&name.copy) {
                continue;
            }
            let acted =
                if search.applies { applier.apply(&mut kept, keep.file, name.file) } else { Acted::Planned };
            path.clear();
            catalog.path_to(name.file, &mut path);
            // The names of one copy are one file.
            let is_first = counted.replace(name.copy) != Some(name.copy);
            let links = u64::from(catalog.entry(name.file).identity.links);
            if is_first && links > 1 {
                let names = group.names.iter().filter(|other| other.copy == name.copy).count() as u64;
                outside += u64::from(links > names);
            }
            let is_counted = is_first && matches!(acted, Acted::Planned | Acted::Done);
            let reclaimable_bytes = if is_counted { group.reclaimable_bytes_of(name.copy) } else { 0 };
            count(&mut actions, &acted, reclaimable_bytes);
            let (keep, path, size) = (&keep_path, &path, group.size);
            let record = ActionRecord { action, keep, path, size, reclaimable_bytes, acted };
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

fn count(actions: &mut Actions, acted: &Acted, reclaimable_bytes: u64) {
    match acted {
        Acted::Planned => actions.planned += 1,
        Acted::Done => actions.done += 1,
        Acted::Already => actions.already += 1,
        Acted::Refused(_) => actions.refused += 1,
    }
    actions.bytes += reclaimable_bytes;
}

/// The copies of a group that are to stay as they are: the first; all that have a name in a reference; across paths all that
/// have one in the path of the first. Of empty files there is nothing to share.
pub(super) fn copies_that_stay(search: &Search, catalog: &Catalog, group: &FileGroup) -> HashSet<u32> {
    let root = |name: &Name| catalog.root_of(name.file);
    let first = &group.names[0];
    let stays = |name: &Name| {
        group.size == 0
            || name.copy == first.copy
            || name.is_reference
            || (search.is_across && root(name) == root(first))
    };
    group.names.iter().filter(|name| stays(name)).map(|name| name.copy).collect()
}
