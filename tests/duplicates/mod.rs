//! Searches for duplicates: what is found, what is told of it, what is done about it.

#[cfg(target_os = "linux")]
mod act;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod command;
mod directories;
mod earlier;
mod groups;
mod memory;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod mistakes;
mod near;

use std::collections::BTreeMap;
use std::io;

use filemill::control::Control;
use filemill::duplicates::{Found, Search, find};
use filemill::plan::{Plan, Workers};
use filemill::record::{Group, Outcome, Record, SkipReason};
use filemill::sink::Sink;

use crate::support::Tree;

/// A group as tests compare it: names of each copy, relative to the tree; and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) copies: Vec<Vec<String>>,
    pub(crate) size: u64,
    pub(crate) reclaimable_bytes: u64,
}

/// Keeps groups, and what became of what has a record.
#[derive(Default)]
pub(crate) struct Keep {
    pub(crate) groups: Vec<Told>,
    pub(crate) outcomes: BTreeMap<String, &'static str>,
}

impl Keep {
    /// The paths of each copy of each group.
    pub(crate) fn copies(&self) -> Vec<Vec<Vec<&str>>> {
        fn names(names: &[String]) -> Vec<&str> {
            names.iter().map(|name| relative(name)).collect()
        }
        self.groups.iter().map(|group| group.copies.iter().map(|copy| names(copy)).collect()).collect()
    }
}

/// A path below the temporary directory of a tree.
fn relative(path: &str) -> &str {
    let mut rest = path;
    while let Some((first, below)) = rest.split_once('/') {
        if first.starts_with(".tmp") {
            return below;
        }
        rest = below;
    }
    path
}

impl Sink for Keep {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = Vec::new();
        record.path_to(&mut path);
        let word = match record.outcome {
            Outcome::Failed(error) => error.cause.name(),
            Outcome::Skipped(reason) => reason.name(),
            _ => "file",
        };
        let path = path.escape_ascii().to_string();
        let before = self.outcomes.insert(relative(&path).to_owned(), word);
        assert!(before.is_none() || before == Some("file"), "{path} has two records");
        Ok(())
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        let mut copies: Vec<Vec<String>> = vec![Vec::new(); group.copies()];
        for member in group.members {
            let mut path = Vec::new();
            member.path_to(&mut path);
            copies[member.copy as usize].push(path.escape_ascii().to_string());
        }
        let Group { alike, size, reclaimable_bytes, .. } = *group;
        self.groups.push(Told { kind: alike.name(), copies, size, reclaimable_bytes });
        Ok(())
    }
}

/// A search in a tree, with two workers whatever the machine has.
pub(crate) fn search(tree: &Tree) -> Search {
    search_in(Plan::new([tree.path()]))
}

pub(crate) fn search_in(mut plan: Plan) -> Search {
    plan.workers = Workers::Number(2);
    if crate::support::takes_small_steps() {
        plan.workers = Workers::Number(1);
        plan.batch_files_max = 1;
        plan.queue_batches_max = 1;
    }
    Search::new(plan)
}

/// Runs a search, and checks what holds for every one.
#[track_caller]
pub(crate) fn run(search: &Search) -> (Keep, Found) {
    let mut keep = Keep::default();
    let found = find(search, &mut keep, &Control::new()).unwrap();
    let report = &found.report;
    assert!(report.ledger.adds_up(), "{:?}", report.ledger);
    let counts = report.duplicates.as_ref().unwrap();
    let others = found.directories.len() + found.similar.len() + found.near.len();
    if !found.is_spilled {
        assert_eq!(counts.groups, found.groups.len() as u64);
    }
    assert_eq!(keep.groups.len() as u64, counts.groups + others as u64);
    assert_eq!(
        counts.reclaimable_bytes,
        keep.groups.iter().map(|group| group.reclaimable_bytes).sum::<u64>()
    );
    let skipped = SkipReason::ALL.map(SkipReason::name);
    let failed = keep.outcomes.values().filter(|word| **word != "file" && !skipped.contains(*word));
    assert_eq!(report.ledger.failed_total(), failed.count() as u64, "an error record each");
    (keep, found)
}
