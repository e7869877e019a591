//! Cuts what a plan begins with into units of work: its roots, and stretches of its list.

use std::ops::Range;

use crate::control::WHOLE_TREE;
use crate::plan::{Plan, Sort};

/// What one walker does before it takes more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The root at this place.
    Root(usize),
    /// Entries of the list, by their places in its order.
    Entries(Range<usize>),
}

/// Entries that one walker takes at a time: some milliseconds of work for the others, and most folders lie in one stretch.
const ENTRIES_AT_ONCE: usize = 1024;

/// The units of a plan whose list is resolved; with an order, as the plan names them.
pub(super) fn units(plan: &Plan) -> Vec<Unit> {
    let order = plan.listed.order();
    let mut units = Vec::with_capacity(plan.roots.len() + order.len() / ENTRIES_AT_ONCE + 1);
    let mut start = 0;
    for (number, root) in plan.roots.iter().enumerate() {
        if plan.sort == Sort::Path
            && let Some(place) = root.place()
        {
            let end = start + order[start..].partition_point(|met| met.entry() < place);
            push_entries(&mut units, start..end);
            start = end;
        }
        units.push(Unit::Root(number));
    }
    push_entries(&mut units, start..order.len());
    units
}

fn push_entries(units: &mut Vec<Unit>, entries: Range<usize>) {
    let mut start = entries.start;
    while start < entries.end {
        let end = entries.end.min(start + ENTRIES_AT_ONCE);
        units.push(Unit::Entries(start..end));
        start = end;
    }
}

/// The share of the whole that a root has, or an entry of the list.
pub(super) fn share(plan: &Plan) -> u64 {
    WHOLE_TREE / (plan.roots.len() + plan.listed.len()).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Met, PathList, Root};

    #[test]
    fn units_come_as_the_plan_names_them() {
        let list: PathList = ["a", "d", "b", "c", "e"].into_iter().collect();
        let met = [0, 2, 3, 4].map(|entry| Met::new(entry, true)).to_vec();
        let listed = list.in_order(met);
        let mut plan = Plan { listed, sort: Sort::Path, ..Plan::new(["r"]) };
        plan.roots.push(Root::listed_at("d", 1));
        let expected = [Unit::Root(0), Unit::Entries(0..1), Unit::Root(1), Unit::Entries(1..4)];
        assert_eq!(units(&plan), expected);
        plan.sort = Sort::None;
        assert_eq!(units(&plan), [Unit::Root(0), Unit::Root(1), Unit::Entries(0..4)]);
        assert_eq!(share(&plan), WHOLE_TREE / 6);
    }

    #[test]
    fn long_lists_are_cut() {
        let list: PathList = (0..2500).map(|i| i.to_string()).collect();
        let listed = list.in_order((0..2500).map(|entry| Met::new(entry, true)).collect());
        let plan = Plan { listed, ..Plan::new([] as [&str; 0]) };
        assert_eq!(units(&plan), [0..1024, 1024..2048, 2048..2500].map(Unit::Entries));
    }
}
