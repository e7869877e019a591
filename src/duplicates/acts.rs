//! Acts on files of the same content, group by group, or reports the plan.
//!
//! Each group is planned first (`joins.rs`). A dry run reports the plan. With `--apply` the planned names wait until there are
//! enough of them for a batch; records come in the order of the groups in any case.

use std::collections::{HashMap, VecDeque};

use super::apply::{Applier, LINKS_FULL, Refusal};
use super::joins::{self, Join};
use super::{Found, Search, leftovers};
use crate::control::Control;
use crate::error::Error;
use crate::groups::{Catalog, FileId, is_leftover};
use crate::plan::Plan;
use crate::record::{Acted, Action, ActionRecord};
use crate::report::Actions;
use crate::sink::Sink;

/// Bytes that a batch compares at most, unless one file has more: a writer waits for the leases of a batch. A guess.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// Acts on every group, and reports it. `plan` has the roots that the catalog speaks of.
pub(super) fn act(
    search: &Search,
    plan: &Plan,
    found: &mut Found,
    sink: &mut dyn Sink,
    control: &Control,
) -> Result<(), Error> {
    let catalog = &found.catalog;
    let Some(action) = search.action else {
        found.report.notes.extend(leftovers::found(catalog));
        return Ok(());
    };
    let mut applier = Applier::new(plan, catalog, action);
    let mut acting = Acting::new(catalog, action, sink, control);
    for group in &found.groups {
        if control.is_cancelled() {
            break;
        }
        let joins = joins::plan(search, catalog, action, &mut applier, group);
        acting.take(joins, search.applies, &mut applier)?;
    }
    acting.finish(search.applies, &mut applier)?;
    let Acting { actions, joined, .. } = acting;
    found.report.duplicates.get_or_insert_default().actions = actions;
    let removes = action == Action::Hardlink && search.applies && !control.is_cancelled();
    let notes = if removes {
        leftovers::remove(catalog, &search.wanted()?, &joined, &mut applier)
    } else {
        leftovers::found(catalog).into_iter().collect()
    };
    found.report.notes.extend(notes);
    Ok(())
}

/// The names that were planned, on their way to the report.
struct Acting<'a> {
    catalog: &'a Catalog,
    action: Action,
    sink: &'a mut dyn Sink,
    control: &'a Control,
    actions: Actions,
    waiting: VecDeque<Join>,
    /// How many of those that wait are planned, and their bytes.
    planned: usize,
    planned_bytes: u64,
    /// For a kept file that can have no more names the one that takes its place.
    next: HashMap<FileId, FileId>,
    /// For a temporary link of an earlier run that has joined a file, that file.
    joined: HashMap<FileId, FileId>,
    /// Whether all names of the copy that was reported last were acted on, so far.
    is_copy_done: bool,
}

impl<'a> Acting<'a> {
    fn new(catalog: &'a Catalog, action: Action, sink: &'a mut dyn Sink, control: &'a Control) -> Self {
        Acting {
            catalog,
            action,
            sink,
            control,
            actions: Actions::default(),
            waiting: VecDeque::new(),
            planned: 0,
            planned_bytes: 0,
            next: HashMap::new(),
            joined: HashMap::new(),
            is_copy_done: true,
        }
    }

    /// Takes the names of a group, and acts once there are enough of them.
    fn take(&mut self, joins: Vec<Join>, applies: bool, applier: &mut Applier<'_>) -> Result<(), Error> {
        for join in joins {
            self.planned += usize::from(join.acted == Acted::Planned);
            self.planned_bytes += if join.acted == Acted::Planned { join.size } else { 0 };
            self.waiting.push_back(join);
        }
        let is_enough = self.planned >= applier.pairs_max() || self.planned_bytes >= BATCH_BYTES_MAX;
        if is_enough || !applies {
            return self.finish(applies, applier);
        }
        // Names that are refused need not wait for others.
        if self.planned == 0 { self.report(|_| true) } else { Ok(()) }
    }

    /// Acts on all that waits, and reports it.
    fn finish(&mut self, applies: bool, applier: &mut Applier<'_>) -> Result<(), Error> {
        while applies && self.planned > 0 {
            if self.control.is_cancelled() {
                self.drop_planned();
                break;
            }
            self.act(applier);
            self.report(|join| join.acted != Acted::Planned)?;
        }
        (self.planned, self.planned_bytes) = (0, 0);
        self.report(|_| true)
    }

    /// Drops the names that were not acted on: they have no record. Nor has a name that would be done by way of such a one.
    fn drop_planned(&mut self) {
        let mut is_first_dropped = false;
        self.waiting.retain(|join| {
            if join.is_first {
                is_first_dropped = join.acted == Acted::Planned;
            }
            join.acted != Acted::Planned && !(is_first_dropped && join.acted == Acted::Already)
        });
    }

    /// Acts on as many names as a batch may have.
    fn act(&mut self, applier: &mut Applier<'_>) {
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        let planned = self.waiting.iter_mut().enumerate().filter(|(_, join)| join.acted == Acted::Planned);
        for (at, join) in planned.take(applier.pairs_max()) {
            while let Some(&next) = self.next.get(&join.keep) {
                join.keep = next;
            }
            if !batch.is_empty() && bytes + join.size > BATCH_BYTES_MAX {
                break;
            }
            bytes += join.size;
            batch.push((at, (join.keep, join.file)));
        }
        let pairs: Vec<(FileId, FileId)> = batch.iter().map(|&(_, pair)| pair).collect();
        for ((at, (keep, file)), acted) in batch.into_iter().zip(applier.apply(&pairs)) {
            if matches!(&acted, Acted::Refused(why) if why == LINKS_FULL) {
                if self.next.contains_key(&keep) {
                    // It is tried again with the file that took the place of the kept one.
                    continue;
                }
                self.next.insert(keep, file);
            }
            self.planned -= 1;
            if let Acted::Refused(why) = &acted {
                self.refuse_names_behind(at, why);
            }
            self.waiting[at].acted = acted;
        }
    }

    /// Refuses the other names of a copy whose blocks were to be shared by way of its first name, which is refused.
    fn refuse_names_behind(&mut self, at: usize, why: &Refusal) {
        if self.action != Action::Reflink || !self.waiting[at].is_first {
            return;
        }
        let behind = self.waiting.iter_mut().skip(at + 1).take_while(|join| !join.is_first);
        behind.filter(|join| join.acted == Acted::Already).for_each(|join| {
            let why = format!("its blocks were to be shared by its first name, which was refused: {why}");
            join.acted = Acted::Refused(why.into());
        });
    }

    /// Reports names from the first on, as long as they are ready.
    fn report(&mut self, is_ready: impl Fn(&Join) -> bool) -> Result<(), Error> {
        let (mut path, mut keep_path) = (Vec::new(), Vec::new());
        while let Some(join) = self.waiting.pop_front_if(|join| is_ready(join)) {
            let reclaimable_bytes = self.count(&join);
            if join.acted == Acted::Done && is_leftover(self.catalog.entry(join.file).name) {
                self.joined.insert(join.file, join.keep);
            }
            path.clear();
            self.catalog.path_to(join.file, &mut path);
            keep_path.clear();
            self.catalog.path_to(join.keep, &mut keep_path);
            let Join { size, acted, names_outside, .. } = join;
            let (action, keep, path) = (self.action, &keep_path, &path);
            let record = ActionRecord { action, keep, path, size, reclaimable_bytes, acted, names_outside };
            self.sink.action(&record).map_err(Error::Sink)?;
        }
        Ok(())
    }

    /// Counts a name, and returns the bytes that it frees. The space of a copy is free once all of its names are replaced.
    fn count(&mut self, join: &Join) -> u64 {
        let actions = &mut self.actions;
        match join.acted {
            Acted::Planned => actions.planned += 1,
            Acted::Done => actions.done += 1,
            Acted::Already => actions.already += 1,
            Acted::Refused(_) => actions.refused += 1,
        }
        if join.is_first {
            self.is_copy_done = false;
        }
        match join.acted {
            Acted::Planned | Acted::Done => self.is_copy_done = true,
            // A second look at a name that is done.
            Acted::Already => {}
            Acted::Refused(_) => self.is_copy_done = false,
        }
        let bytes = if join.is_last && self.is_copy_done { join.reclaimable_bytes } else { 0 };
        actions.bytes += bytes;
        bytes
    }
}
