//! Plans which names of a group join which kept file. A dry run prints the plan, and `--apply` carries it out.
//!
//! All that cannot join the first kept file is joined among itself: the first one that is refused becomes a kept file as well,
//! and so on.

use std::collections::{HashMap, HashSet};

use super::Search;
use super::apply::{Applier, Class, Facts, LINKS_FULL, Refusal, can_be_kept, can_be_replaced, decide};
use crate::groups::{Catalog, FileGroup, FileId, Name, is_leftover};
use crate::record::{Acted, Action};

/// What is planned for one name.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) file: FileId,
    /// The file that it joins, or cannot join.
    pub(super) keep: FileId,
    pub(super) size: u64,
    /// Bytes that its copy frees once all of its names are replaced.
    pub(super) reclaimable_bytes: u64,
    /// Planned, already so, or refused.
    pub(super) acted: Acted,
    /// Names of the file outside of the search.
    pub(super) names_outside: u64,
    /// Whether it is the first name of its copy, and the last.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// Plans for all names of a group but those of copies that stay.
pub(super) fn plan(
    search: &Search,
    catalog: &Catalog,
    action: Action,
    applier: &mut Applier<'_>,
    group: &FileGroup,
) -> Vec<Join> {
    let Some(first) = first_kept(catalog, Some(action), group) else { return Vec::new() };
    let stays = copies_beside(search, catalog, group, &first);
    let others = group.names.chunk_by(|a, b| a.copy == b.copy).map(|names| names[0]);
    let others = others.filter(|name| stays.contains(&name.copy) && name.copy != first.copy);
    let mut keepers = Keepers::new(applier, action, first.file, others.map(|name| name.file).collect());
    let mut joins = Vec::new();
    for names in group.names.chunk_by(|a, b| a.copy == b.copy) {
        if !stays.contains(&names[0].copy) {
            keepers.join(catalog, names, group, &mut joins);
        }
    }
    joins
}

/// The name of the copy that is kept first: the first of the group. Among copies that are equal to it by references and by the
/// order of the paths given, hard links keep one that has names outside of the search, as its space would not be freed.
fn first_kept(catalog: &Catalog, action: Option<Action>, group: &FileGroup) -> Option<Name> {
    let first = *group.names.first()?;
    if action != Some(Action::Hardlink) {
        return Some(first);
    }
    let rank = |name: &Name| {
        (is_leftover(catalog.entry(name.file).name), name.is_reference, catalog.root_of(name.file))
    };
    let has_names_outside =
        |names: &&[Name]| u64::from(catalog.entry(names[0].file).identity.links) > names.len() as u64;
    let equal = group.names.chunk_by(|a, b| a.copy == b.copy).filter(|names| rank(&names[0]) == rank(&first));
    Some(equal.clone().find(has_names_outside).map_or(first, |names| names[0]))
}

/// The copies of a group that are to stay as they are.
pub(super) fn copies_that_stay(search: &Search, catalog: &Catalog, group: &FileGroup) -> HashSet<u32> {
    let first = first_kept(catalog, search.action, group);
    first.map_or_else(HashSet::new, |first| copies_beside(search, catalog, group, &first))
}

/// The copies of a group that are to stay as they are: the one that is kept first; all that have a name in a reference; across
/// paths all that have one in the path of the first. Of empty files there is nothing to share.
fn copies_beside(search: &Search, catalog: &Catalog, group: &FileGroup, first: &Name) -> HashSet<u32> {
    let root = |name: &Name| catalog.root_of(name.file);
    let stays = |name: &Name| {
        group.size == 0
            || name.copy == first.copy
            || name.is_reference
            || (search.is_across && root(name) == root(first))
    };
    group.names.iter().filter(|name| stays(name)).map(|name| name.copy).collect()
}

/// A file that others can join.
struct Keeper {
    file: FileId,
    facts: Result<Facts, Refusal>,
    /// Names that it has once all is done.
    links: u64,
}

/// The files of a group that others can join.
struct Keepers<'a, 's> {
    applier: &'a mut Applier<'s>,
    action: Action,
    /// The one that is kept first, and those that were added.
    all: Vec<Keeper>,
    /// For hard links the one that takes files of a class.
    by_class: HashMap<Class, usize>,
    /// Copies that stay, and that were not looked at yet: last first.
    unseen: Vec<FileId>,
}

impl<'a, 's> Keepers<'a, 's> {
    fn new(applier: &'a mut Applier<'s>, action: Action, first: FileId, mut others: Vec<FileId>) -> Self {
        others.reverse();
        let facts = applier.look_at_kept(first);
        let mut keepers =
            Keepers { applier, action, all: Vec::new(), by_class: HashMap::new(), unseen: others };
        keepers.add(first, facts);
        keepers
    }

    /// Adds a file that others can join, unless it cannot be kept, or another one takes the files of its class. The first one
    /// is added in any case: it says why others are refused.
    fn add(&mut self, file: FileId, facts: Result<Facts, Refusal>) {
        let number = self.all.len();
        let links = facts.as_ref().map_or(0, |facts| facts.links);
        let is_new = match (&facts, self.action) {
            (Ok(facts), _) if can_be_kept(facts).is_err() => false,
            (Ok(facts), Action::Hardlink) => match self.by_class.entry(facts.class.clone()) {
                std::collections::hash_map::Entry::Occupied(_) => false,
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(number);
                    true
                }
            },
            (Ok(facts), Action::Reflink) => !self
                .all
                .iter()
                .any(|known| known.facts.as_ref().is_ok_and(|known| known.class == facts.class)),
            (Err(_), _) => false,
        };
        if is_new || number == 0 {
            self.all.push(Keeper { file, facts, links });
        }
    }

    /// Plans for all names of one copy.
    fn join(&mut self, catalog: &Catalog, names: &[Name], group: &FileGroup, joins: &mut Vec<Join>) {
        let mut looked: Vec<Result<Facts, Refusal>> =
            names.iter().map(|name| self.applier.look(name.file)).collect();
        let (entries, is_repeat) = entries(catalog, names, &looked);
        let names_outside = match self.action {
            Action::Hardlink => links(catalog, names, &looked).saturating_sub(entries),
            Action::Reflink => 0,
        };
        let start = joins.len();
        for (at, (name, facts)) in names.iter().zip(&looked).enumerate() {
            let (keep, acted) = if names_outside > 0 {
                (0, Acted::Refused(outside(names_outside)))
            } else if is_repeat[at] || (at > 0 && self.is_shared(joins.get(start))) {
                (0, Acted::Already)
            } else {
                self.choose(facts)
            };
            joins.push(Join {
                file: name.file,
                keep: self.all[keep].file,
                size: group.size,
                reclaimable_bytes: group.reclaimable_bytes_of(name.copy),
                acted,
                names_outside,
                is_first: at == 0,
                is_last: at + 1 == names.len(),
            });
        }
        let joins = &mut joins[start..];
        let is_refused = joins.iter().any(|join| matches!(join.acted, Acted::Refused(_)));
        if is_refused && self.action == Action::Hardlink {
            for join in joins.iter_mut().filter(|join| join.acted == Acted::Planned) {
                join.acted = Acted::Refused(
                    "another name of it cannot be replaced: its space would not be freed".into(),
                );
            }
        }
        if is_refused {
            self.add(names[0].file, looked.swap_remove(0));
        } else if self.action == Action::Hardlink {
            for join in joins.iter().filter(|join| join.acted == Acted::Planned) {
                let keeper = self.all.iter_mut().rev().find(|keeper| keeper.file == join.keep);
                keeper.into_iter().for_each(|keeper| keeper.links += 1);
            }
        }
    }

    /// Whether the blocks of a copy are shared by way of its first name.
    fn is_shared(&self, first: Option<&Join>) -> bool {
        let is_done = first.is_some_and(|join| !matches!(join.acted, Acted::Refused(_)));
        self.action == Action::Reflink && is_done
    }

    /// The place of the file that a name joins and what is planned, or why it can join none.
    fn choose(&mut self, facts: &Result<Facts, Refusal>) -> (usize, Acted) {
        let facts = match facts {
            Ok(facts) => facts,
            Err(refusal) => return (0, Acted::Refused(refusal.clone())),
        };
        for (at, keeper) in self.all.iter().enumerate() {
            let Ok(kept) = &keeper.facts else { continue };
            match self.applier.has_no_block_of_its_own(kept, facts) {
                Ok(true) => return (at, Acted::Already),
                Ok(false) => {}
                Err(refusal) => return (at, Acted::Refused(refusal)),
            }
        }
        if let Err(refusal) = can_be_replaced(facts) {
            return (0, Acted::Refused(refusal));
        }
        loop {
            match self.find(facts) {
                (keep, Ok(())) => return (keep, Acted::Planned),
                (keep, Err(refusal)) => match self.unseen.pop() {
                    Some(next) => {
                        let looked = self.applier.look_at_kept(next);
                        self.add(next, looked);
                    }
                    None => return (keep, Acted::Refused(refusal)),
                },
            }
        }
    }

    /// The place of the file that a name can join, or of the one that it is refused by.
    fn find(&mut self, facts: &Facts) -> (usize, Result<(), Refusal>) {
        let decided = |keeper: &Keeper| match &keeper.facts {
            Ok(kept) => decide(kept, keeper.links, facts),
            Err(refusal) => Err(refusal.clone()),
        };
        if self.action == Action::Reflink {
            let found = self.all.iter().position(|keeper| decided(keeper).is_ok());
            return found.map_or_else(|| (0, decided(&self.all[0])), |at| (at, Ok(())));
        }
        let Some(&at) = self.by_class.get(&facts.class) else { return (0, decided(&self.all[0])) };
        let decided = decided(&self.all[at]);
        if decided.as_ref().is_err_and(|refusal| refusal == LINKS_FULL) {
            // The one that is refused takes the others of its class.
            self.by_class.remove(&facts.class);
        }
        (at, decided)
    }
}

/// Counts the different names of a copy, and says which are the same as an earlier one: a directory may have been reached by
/// two mounts.
fn entries(catalog: &Catalog, names: &[Name], looked: &[Result<Facts, Refusal>]) -> (u64, Vec<bool>) {
    let mut seen = HashSet::new();
    let is_repeat = names.iter().zip(looked).map(|(name, facts)| {
        let path = catalog.entry(name.file).name;
        let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        facts.as_ref().is_ok_and(|facts| !seen.insert((facts.directory, base)))
    });
    let is_repeat: Vec<bool> = is_repeat.collect();
    (is_repeat.iter().filter(|&&is_repeat| !is_repeat).count() as u64, is_repeat)
}

/// The number of names that a copy has anywhere.
fn links(catalog: &Catalog, names: &[Name], looked: &[Result<Facts, Refusal>]) -> u64 {
    let known = u64::from(catalog.entry(names[0].file).identity.links);
    looked.iter().flatten().map(|facts| facts.links).next().unwrap_or(known)
}

fn outside(names: u64) -> Refusal {
    if names == 1 {
        "it has 1 name outside of the search: its space would not be freed".into()
    } else {
        format!("it has {names} names outside of the search: its space would not be freed").into()
    }
}
