//! Files that change while those that are nearly the same are searched for, and searches that are cancelled.

use std::io::{self, Write};

use filemill::control::Control;
use filemill::duplicates::{Compares, Near, Search, find};
use filemill::record::{Group, Outcome, Record};
use filemill::sink::Sink;

use super::{edited, gradual, near, text};
use crate::duplicates::{Keep, search};
use crate::support::Tree;

/// A sink that changes files once they were read.
struct Spoil<'t> {
    keep: Keep,
    tree: &'t Tree,
    names: &'t [&'t str],
}

impl Sink for Spoil<'_> {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let name = String::from_utf8(record.name.to_vec()).unwrap();
        if matches!(record.outcome, Outcome::Done { .. }) && self.names.contains(&name.as_str()) {
            std::fs::OpenOptions::new().append(true).open(self.tree.at(&name))?.write_all(b"more")?;
        }
        self.keep.record(record)
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.keep.group(group)
    }
}

#[test]
fn a_file_that_changes_after_it_was_sketched_is_an_error_once_and_in_no_group() {
    for (is_exact, verifies) in [(true, false), (true, true), (false, true)] {
        #[track_caller]
        fn check(search: &Search, tree: &Tree, names: &[&str], failed: &[&str], groups: &[&[&str]]) {
            let mut sink = Spoil { keep: Keep::default(), tree, names };
            let found = find(search, &mut sink, &Control::new()).unwrap();
            let told = sink.keep.groups.iter().map(|group| group.copies.concat());
            let told: Vec<Vec<String>> = told
                .map(|names| names.iter().map(|name| name.rsplit_once('/').unwrap().1.to_owned()).collect())
                .collect();
            assert_eq!(told, groups);
            let outcomes = sink.keep.outcomes.iter().filter(|(_, word)| **word == "changed");
            assert_eq!(outcomes.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), failed);
            assert_eq!(found.report.ledger.failed_total(), failed.len() as u64);
            assert!(found.report.ledger.adds_up());
            for group in &found.near {
                assert_eq!(group.members[0].similarity, 1.0);
                assert!(group.members.iter().all(|member| member.similarity >= 0.5), "{group:?}");
            }
            let near = found.report.duplicates.unwrap().near.unwrap();
            let near_files =
                found.near.iter().map(|group| group.members.last().unwrap().name.copy + 1).sum::<u32>();
            assert_eq!((near.groups, near.files), (found.near.len() as u64, u64::from(near_files)));
        }
        let tree = || {
            let tree = Tree::new();
            let one = text(1, 500);
            for name in ["a", "a2", "a3"] {
                tree.file(name, &one);
            }
            tree.file("b", edited(&one, 90));
            std::fs::hard_link(tree.at("b"), tree.at("b2")).unwrap();
            tree.file("c", edited(&one, 110));
            tree.file("d", edited(&one, 90));
            tree
        };
        let search_of = |tree: &Tree| {
            let mut search = near(search(tree), Near { is_exact, compares: Compares::All, ..Near::new(0.5) });
            search.verifies = verifies;
            search
        };
        let whole: &[&[&str]] =
            &[&["a", "a2", "a3"], &["b", "b2", "d"], &["a", "a2", "a3", "b", "b2", "c", "d"]];
        let all = tree();
        check(&search_of(&all), &all, &[], &[], whole);
        // Verifying reads every copy, comparing shingles one of each content: all copies of it, then.
        let (one, linked) = (tree(), tree());
        if verifies {
            let left: &[&[&str]] = &[&["a2", "a3"], &["b", "b2", "d"], &["a2", "a3", "b", "b2", "c", "d"]];
            check(&search_of(&one), &one, &["a"], &["a"], left);
            let left: &[&[&str]] = &[&["a", "a2", "a3"], &["a", "a2", "a3", "c", "d"]];
            check(&search_of(&linked), &linked, &["b"], &["b", "b2"], left);
        } else {
            let all = ["a", "a2", "a3"];
            check(&search_of(&one), &one, &all, &all, &[&["b", "b2", "d"], &["b", "b2", "c", "d"]]);
            let left: &[&[&str]] = &[&["a", "a2", "a3"], &["a", "a2", "a3", "c"]];
            check(&search_of(&linked), &linked, &["b", "d"], &["b", "b2", "d"], left);
        }
        if is_exact {
            let alone = tree();
            check(
                &search_of(&alone),
                &alone,
                &["c"],
                &["c"],
                &[&["a", "a2", "a3"], &["b", "b2", "d"], &["a", "a2", "a3", "b", "b2", "d"]],
            );
        }
        let every = tree();
        let names = ["a", "a2", "a3", "b", "d"];
        let left: &[&[&str]] = &[];
        // What verifying finds out leaves one content alone, which is not read again.
        let (names, failed) = if is_exact && !verifies {
            (&["a", "a2", "a3", "b", "c", "d"][..], &["a", "a2", "a3", "b", "b2", "c", "d"][..])
        } else {
            (&names[..], &["a", "a2", "a3", "b", "b2", "d"][..])
        };
        check(&search_of(&every), &every, names, failed, left);
    }
}

#[test]
fn a_search_that_is_cancelled_tells_no_group() {
    struct Cancel<'c>(Keep, &'c Control, usize);
    impl Sink for Cancel<'_> {
        fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
            self.2 = self.2.saturating_sub(1);
            if self.2 == 0 {
                self.1.cancel();
            }
            self.0.record(record)
        }

        fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
            self.0.group(group)
        }
    }
    let (tree, files) = gradual(10, 5);
    for at in [1, files.len() / 2, files.len()] {
        for is_exact in [false, true] {
            let control = Control::new();
            let mut sink = Cancel(Keep::default(), &control, at);
            let found =
                find(&near(search(&tree), Near { is_exact, ..Near::new(0.5) }), &mut sink, &control).unwrap();
            assert!(found.report.cancelled && found.near.is_empty() && sink.0.groups.is_empty());
        }
    }
}
