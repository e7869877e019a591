//! Which rows are connected: a union-find that many threads use at once, without a lock.

use std::sync::atomic::{AtomicU32, Ordering};

/// In the place of where the rows of a set go: it is a single row. There are fewer rows than this number.
const ALONE: u32 = u32::MAX;

/// Sets of rows, at first one a row; any thread may join two of them.
///
/// A root is linked under a smaller one alone (Anderson and Woll 1991, Wait-free Parallel Algorithms for the Union-Find
/// Problem, with the row as the rank), so the root of a set is its smallest row, whoever joined what and when.
#[derive(Debug, Default)]
pub struct Components {
    /// A row of the same set that is smaller, or the row itself where it is a root. No other memory depends on what is read
    /// here, so every access is relaxed.
    parents: Vec<AtomicU32>,
}

/// The sets of at least two rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowGroups {
    /// All rows, group by group.
    rows: Vec<u32>,
    /// Where each group ends in them.
    ends: Vec<usize>,
}

impl Components {
    /// Every one of `rows` rows is alone. Takes 4 bytes a row.
    pub fn new(rows: u32) -> Components {
        Components { parents: (0..rows).map(AtomicU32::new).collect() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The smallest row that is known to be connected with this one.
    pub fn root(&self, row: u32) -> u32 {
        let mut at = row;
        loop {
            let parent = self.parent(at);
            let above = self.parent(parent);
            if above == parent {
                return parent;
            }
            // Halves the path. What has a parent never is a root again, so this cannot undo what another thread has
            // joined: at worst it puts a longer path in the place of a shorter one.
            self.parents[at as usize].store(above, Ordering::Relaxed);
            at = above;
        }
    }

    /// Connects two rows; whether they were not connected before.
    pub fn join(&self, a: u32, b: u32) -> bool {
        loop {
            let (a, b) = (self.root(a), self.root(b));
            if a == b {
                return false;
            }
            let (small, large) = (a.min(b), a.max(b));
            // Fails where another thread has linked the larger one meanwhile: then there is a new root to look for.
            let linked = self.parents[large as usize].compare_exchange(
                large,
                small,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            if linked.is_ok() {
                return true;
            }
        }
    }

    /// Whether two rows are connected by now. While others join, `false` may be out of date when it arrives, `true` never.
    pub fn are_joined(&self, a: u32, b: u32) -> bool {
        self.root(a) == self.root(b)
    }

    /// Every set of at least two rows: by its smallest row, and rows ascending. Takes 4 bytes a row for as long as it runs.
    pub fn groups(&self) -> RowGroups {
        // At first the size of the set of each root, then where its next row goes.
        let mut places = vec![0_u32; self.len()];
        for row in self.rows() {
            places[self.root(row) as usize] += 1;
        }
        let (mut ends, mut end) = (Vec::new(), 0);
        for place in &mut places {
            let size = *place;
            *place = if size > 1 { end } else { ALONE };
            if size > 1 {
                end += size;
                ends.push(end as usize);
            }
        }
        let mut rows = vec![0; end as usize];
        for row in self.rows() {
            let place = &mut places[self.root(row) as usize];
            if *place != ALONE {
                rows[*place as usize] = row;
                *place += 1;
            }
        }
        RowGroups { rows, ends }
    }

    fn parent(&self, row: u32) -> u32 {
        self.parents[row as usize].load(Ordering::Relaxed)
    }

    fn rows(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.len()).expect("as many as were asked for")
    }
}

impl RowGroups {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows of each.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.ends.iter().enumerate().map(|(group, &end)| {
            let start = if group == 0 { 0 } else { self.ends[group - 1] };
            &self.rows[start..end]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rayon::prelude::*;

    use super::*;

    fn groups(components: &Components) -> Vec<Vec<u32>> {
        components.groups().iter().map(<[u32]>::to_vec).collect()
    }

    /// The sets as a list of names that are renamed one by one.
    fn plain(rows: u32, joins: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let mut names: Vec<u32> = (0..rows).collect();
        for &(a, b) in joins {
            let [from, to] = [a, b].map(|row| names[row as usize]);
            names.iter_mut().filter(|name| **name == from).for_each(|name| *name = to);
        }
        let mut sets = std::collections::BTreeMap::<u32, Vec<u32>>::new();
        for (row, name) in (0..).zip(names) {
            sets.entry(name).or_default().push(row);
        }
        let mut sets: Vec<_> = sets.into_values().filter(|set| set.len() > 1).collect();
        sets.sort();
        sets
    }

    #[test]
    fn sets_are_in_order_of_their_smallest_row() {
        let components = Components::new(8);
        assert!(components.join(7, 3) && components.join(5, 6) && components.join(1, 7));
        assert!(!components.join(3, 1), "they were connected");
        assert_eq!((components.root(7), components.root(6), components.root(0)), (1, 5, 0));
        assert!(components.are_joined(3, 7) && !components.are_joined(3, 6));
        assert_eq!(groups(&components), [vec![1, 3, 7], vec![5, 6]]);
        assert_eq!(components.groups().len(), 2);
    }

    #[test]
    fn no_row_and_one_row_make_no_set() {
        for rows in [0, 1] {
            let components = Components::new(rows);
            assert_eq!((components.len(), components.is_empty()), (rows as usize, rows == 0));
            assert!(components.groups().is_empty());
        }
    }

    #[test]
    fn many_threads_join_one_long_chain() {
        let rows = 200_000;
        let components = Components::new(rows);
        (1..rows).into_par_iter().for_each(|row| {
            components.join(row - 1, row);
            components.join(row, row / 2);
        });
        assert!((0..rows).all(|row| components.root(row) == 0));
        assert_eq!(components.groups().len(), 1);
    }

    proptest! {
        #[test]
        fn sets_are_those_of_the_plain_list(joins in proptest::collection::vec((0_u32..60, 0_u32..60), 0..60)) {
            let expected = plain(60, &joins);
            let components = Components::new(60);
            for &(a, b) in &joins {
                components.join(a, b);
            }
            prop_assert_eq!(&groups(&components), &expected);
            let components = Components::new(60);
            joins.par_iter().rev().for_each(|&(a, b)| {
                components.join(a, b);
            });
            prop_assert_eq!(&groups(&components), &expected);
        }
    }
}
