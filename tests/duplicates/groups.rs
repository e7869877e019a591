//! Which files are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use filemill::control::Control;
use filemill::duplicates::{Search, Sizes, find};
use filemill::plan::{Filter, Plan, Workers};
use filemill::record::{Group, Record};
use filemill::sink::Sink;
use proptest::prelude::*;

use super::{Keep, run, search, search_in};
use crate::support::Tree;

/// Rounds so small that small files go through all of them.
const SMALL: Sizes =
    Sizes { head_bytes: 8, tail_bytes: 4, tail_size_min: 32, likely_percent_min: 101, likely_size_max: 0 };

#[test]
fn files_of_the_same_content_are_a_group_and_hard_links_one_copy() {
    let tree = Tree::new();
    for (name, content) in [("b/1", "same"), ("a/1", "same"), ("c", "same"), ("d", "diff"), ("e", "unlike")] {
        tree.file(name, content);
    }
    std::fs::hard_link(tree.at("c"), tree.at("a/0")).unwrap();
    tree.file("x/large", vec![7; 100_000]);
    tree.file("y/large", vec![7; 100_000]);
    std::fs::hard_link(tree.at("e"), tree.at("f")).unwrap();
    tree.file("empty", "");
    tree.file("empty too", "");
    let (keep, found) = run(&search(&tree));
    assert_eq!(
        keep.copies(),
        [vec![vec!["x/large"], vec!["y/large"]], vec![vec!["a/0", "c"], vec!["a/1"], vec!["b/1"]]]
    );
    let sizes: Vec<_> = keep.groups.iter().map(|group| (group.size, group.reclaimable_bytes)).collect();
    assert_eq!(sizes, [(100_000, 100_000), (4, 8)]);
    let counts = found.report.duplicates.unwrap();
    assert_eq!((counts.groups, counts.redundant_files, counts.reclaimable_bytes), (2, 3, 100_008));
    assert_eq!(counts.searched_bytes, 200_032);
    assert_eq!(found.groups[1].digest.as_bytes(), blake3::hash(b"same").as_bytes());
}

#[test]
fn sizes_limit_what_is_told_and_empty_files_are_told_when_asked_for() {
    let tree = Tree::new();
    for (name, size) in [("a", 0), ("b", 0), ("c", 10), ("d", 10), ("e", 20), ("f", 20)] {
        tree.file(name, vec![b'x'; size]);
    }
    let sizes = |min, max| {
        let filter = Filter { size_min: min, size_max: max, ..Filter::default() };
        let (keep, _) = run(&search_in(Plan { filter, ..Plan::new([tree.path()]) }));
        keep.groups.iter().map(|group| group.size).collect::<Vec<_>>()
    };
    assert_eq!(sizes(None, None), [20, 10]);
    assert_eq!(sizes(Some(0), None), [20, 10, 0]);
    assert_eq!(sizes(Some(11), None), [20]);
    assert_eq!(sizes(None, Some(19)), [10]);
    assert_eq!(sizes(Some(0), Some(0)), [0]);
}

#[test]
fn a_reference_comes_first_and_only_what_is_in_it_counts() {
    let tree = Tree::new();
    for (name, content) in [
        ("a/1", "one"),
        ("z/ref/1", "one"),
        ("z/ref/2", "one"),
        ("a/2", "two"),
        ("b/2", "two"),
        ("z/ref/3", "tre"),
    ] {
        tree.file(name, content);
    }
    let search = Search { references: vec![tree.at("z/ref/")], ..search(&tree) };
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["z/ref/1"], vec!["z/ref/2"], vec!["a/1"]]]);
    assert_eq!(keep.groups[0].reclaimable_bytes, 3);
    let names: Vec<_> = found.groups[0].names.iter().map(|name| name.is_reference).collect();
    assert_eq!(names, [true, true, false]);
}

#[test]
fn a_reference_must_lie_inside() {
    let (tree, other) = (Tree::new(), Tree::new());
    let file = tree.file("file", "");
    #[track_caller]
    fn check(tree: &Tree, reference: std::path::PathBuf, expected: &str) {
        let search = Search { references: vec![reference], ..search(tree) };
        let error = find(&search, &mut Keep::default(), &Control::new()).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    check(&tree, other.path().to_owned(), "the reference lies in none of the paths that are searched");
    check(
        &tree,
        tree.path().parent().unwrap().to_owned(),
        "every searched path lies in a reference, so nothing can be found: add a path outside of them",
    );
    check(&tree, file, "a reference must be a directory");
    check(&tree, tree.at("nowhere"), "No such file or directory (os error 2)");
}

#[test]
fn across_paths_what_is_within_one_does_not_count() {
    let tree = Tree::new();
    for (name, content) in [
        ("a/1", "one"),
        ("a/2", "one"),
        ("b/1", "one"),
        ("b/2", "one"),
        ("a/3", "two"),
        ("a/4", "two"),
        ("c", "tre"),
    ] {
        tree.file(name, content);
    }
    let across = |roots: &[&str]| {
        let roots = roots.iter().map(|root| tree.at(root));
        Search { is_across: true, ..search_in(Plan::new(roots)) }
    };
    let (keep, _) = run(&across(&["b", "a"]));
    assert_eq!(keep.copies(), [[vec!["b/1"], vec!["b/2"], vec!["a/1"], vec!["a/2"]]]);
    assert_eq!(keep.groups[0].reclaimable_bytes, 6, "those of the first path stay");
    let (keep, _) = run(&across(&["a/1", "b/1", "c"]));
    assert_eq!(keep.copies(), [[vec!["a/1"], vec!["b/1"]]]);
    let error = across(&["a"]).check().unwrap_err().to_string();
    assert_eq!(error, "--across needs at least two paths");
}

/// A file with names below both paths is found across them, in whatever order they are given.
#[test]
fn a_file_with_names_below_both_paths_counts_across_them() {
    let tree = Tree::new();
    tree.file("a/1", "one");
    std::fs::hard_link(tree.at("a/1"), {
        tree.directory("b");
        tree.at("b/1")
    })
    .unwrap();
    tree.file("a/2", "one");
    for roots in [["a", "b"], ["b", "a"]] {
        let plan = Plan::new(roots.map(|root| tree.at(root)));
        let (keep, _) = run(&Search { is_across: true, ..search_in(plan) });
        assert_eq!(keep.groups.len(), 1, "{roots:?}");
    }
}

/// Differences at every place that some round does not see.
#[test]
fn one_byte_tells_files_apart_wherever_it_lies() {
    let tree = Tree::new();
    for size in [1, 4095, 4096, 4097, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 4097] {
        let places = BTreeSet::from([0, 1, size / 2, size - 1]);
        for place in places.into_iter().filter(|&place| place < size) {
            let mut content = vec![0; size];
            content[place] = 1;
            tree.file(format!("{size}/at {place}"), &content);
        }
        tree.file(format!("{size}/none"), vec![0; size]);
        tree.file(format!("{size}/none too"), vec![0; size]);
    }
    for (verifies, likely_percent_min) in [(false, 0), (true, 101)] {
        let mut search = Search { verifies, ..search(&tree) };
        search.rounds.likely_percent_min = likely_percent_min;
        let (keep, _) = run(&search);
        assert_eq!(keep.groups.len(), 9, "{:?}", keep.copies());
        assert!(keep.copies().iter().all(|group| group.len() == 2 && group[0][0].ends_with("/none")));
    }
}

#[test]
fn little_is_read_where_little_tells_files_apart() {
    let tree = Tree::new();
    for name in ["a", "b", "c"] {
        let mut content = vec![0; 3 << 20];
        content[0] = name.as_bytes()[0];
        tree.file(name, &content);
        content[0] = 0;
        let last = content.len() - 1;
        content[last] = name.as_bytes()[0];
        tree.file(format!("end {name}"), &content);
    }
    let (keep, found) = run(&search(&tree));
    assert!(keep.groups.is_empty());
    let counts = found.report.duplicates.unwrap();
    let rounds: Vec<_> = counts.rounds.iter().map(|round| (round.name, round.files, round.bytes)).collect();
    assert_eq!(rounds, [("look", 6, 0), ("head", 6, 6 << 12), ("tail", 3, 3 << 14)]);
    assert_eq!(counts.read_bytes, (6 << 12) + (3 << 14));
}

#[test]
fn a_file_that_changes_between_the_rounds_is_an_error_and_in_no_group() {
    /// Changes files as soon as some digests are told.
    struct Meddle<'t> {
        keep: Keep,
        tree: &'t Tree,
        meddle: fn(&Tree),
        records: usize,
    }
    impl Sink for Meddle<'_> {
        fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
            self.records += 1;
            if self.records == 10 {
                (self.meddle)(self.tree);
            }
            self.keep.record(record)
        }
        fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
            self.keep.group(group)
        }
    }
    #[track_caller]
    fn check(meddle: fn(&Tree), expected: &str) {
        let tree = Tree::new();
        (0..40).for_each(|i| drop(tree.file(format!("{i:02}/same"), "content")));
        let mut plan = Plan::new([tree.path()]);
        (plan.workers, plan.walkers, plan.batch_files_max, plan.queue_batches_max) =
            (Workers::Number(1), 1, 1, 1);
        let search = Search::new(plan);
        // Which one is read last depends on the order in which the directories are listed.
        let mut sink = Meddle { keep: Keep::default(), tree: &tree, meddle, records: 0 };
        let found = find(&search, &mut sink, &Control::new()).unwrap();
        let failed = |word: &&&str| **word == expected;
        let failed = sink.keep.outcomes.values().filter(failed).count();
        assert!(failed > 0 && failed < 40, "{:?}", sink.keep.outcomes);
        assert_eq!(found.report.ledger.failed_total(), failed as u64);
        assert_eq!(sink.keep.groups[0].copies.len(), 40 - failed);
        assert!(!found.report.is_complete() && found.report.ledger.adds_up());
    }
    check(
        |tree| (0..40).for_each(|i| std::fs::write(tree.at(format!("{i:02}/same")), "CONTENT").unwrap()),
        "changed",
    );
    check(
        |tree| (0..40).for_each(|i| std::fs::remove_file(tree.at(format!("{i:02}/same"))).unwrap()),
        "vanished",
    );
    check(
        |tree| {
            for i in 0..40 {
                let path = tree.at(format!("{i:02}"));
                std::fs::rename(&path, tree.at(format!("moved {i:02}"))).unwrap();
                std::fs::create_dir(&path).unwrap();
            }
        },
        "vanished",
    );
    #[cfg(unix)]
    check(
        |tree| {
            for i in 0..40 {
                let path = tree.at(format!("{i:02}"));
                std::fs::rename(&path, tree.at(format!("moved {i:02}"))).unwrap();
                std::os::unix::fs::symlink(tree.at(format!("moved {i:02}")), path).unwrap();
            }
        },
        "changed",
    );
}

#[test]
fn a_search_that_is_cancelled_says_nothing_about_what_is_the_same() {
    struct Cancel<'c>(&'c Control, usize);
    impl Sink for Cancel<'_> {
        fn record(&mut self, _: &Record<'_>) -> io::Result<()> {
            self.0.cancel();
            Ok(())
        }
        fn group(&mut self, _: &Group<'_>) -> io::Result<()> {
            self.1 += 1;
            Ok(())
        }
    }
    let tree = Tree::new();
    (0..400).for_each(|i| drop(tree.file(format!("{i}/same"), "content")));
    let control = Control::new();
    let mut sink = Cancel(&control, 0);
    let found = find(&search(&tree), &mut sink, &control).unwrap();
    assert_eq!((sink.1, found.groups.len()), (0, 0));
    assert!(found.report.cancelled && !found.report.is_complete() && found.report.ledger.adds_up());
}

#[cfg(target_os = "linux")]
#[test]
fn both_walkers_find_the_same_groups() {
    use filemill::plan::Walker;
    let tree = Tree::new();
    (0..30).for_each(|i| drop(tree.file(format!("{}/{}/{i}", i % 3, i % 5), (i % 7).to_string())));
    let found = |walker| run(&search_in(Plan { walker, ..Plan::new([tree.path()]) })).0.groups;
    assert_eq!(found(Walker::Handles), found(Walker::Portable));
}

/// Files by content, of those that several have.
fn expected(files: &BTreeMap<String, Vec<u8>>) -> BTreeSet<Vec<String>> {
    let mut by_content: BTreeMap<&[u8], Vec<String>> = BTreeMap::new();
    for (name, content) in files.iter().filter(|(_, content)| !content.is_empty()) {
        by_content.entry(content).or_default().push(name.clone());
    }
    by_content.into_values().filter(|names| names.len() > 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Small alphabets and few sizes make many files alike in size, head and tail, and some in all.
    #[test]
    fn any_tree_any_rounds_and_any_number_of_workers_find_what_comparing_all_finds(
        files in proptest::collection::btree_map("[ab]/[a-d]{1,2}", (0_usize..3, proptest::collection::vec(0_u8..2, 3)), 0..40),
        head_bytes in 1_u64..24,
        likely_percent_min in 0_u32..102,
        workers in 1_usize..5,
        batch_files_max in 1_usize..9,
    ) {
        let tree = Tree::new();
        // Bytes that differ lie at the start, in the middle and at the end.
        let content = |(size, bytes): &(usize, Vec<u8>)| {
            let size = [0, 9, 40][*size];
            let mut content = vec![0; size];
            if size > 0 {
                (content[0], content[size / 2], content[size - 1]) = (bytes[0], bytes[1], bytes[2]);
            }
            content
        };
        let files: BTreeMap<_, _> = files.iter().map(|(name, of)| (name.clone(), content(of))).collect();
        files.iter().for_each(|(name, content)| drop(tree.file(name, content)));
        let mut plan = Plan { batch_files_max, ..Plan::new([tree.path()]) };
        plan.workers = Workers::Number(workers);
        let rounds = Sizes { head_bytes, likely_percent_min, likely_size_max: 20, ..SMALL };
        let (keep, _) = run(&Search { rounds, ..Search::new(plan) });
        let found: BTreeSet<Vec<String>> = keep.copies().iter().map(|group| group.iter().map(|copy| copy[0].to_owned()).collect()).collect();
        prop_assert_eq!(found, expected(&files));
        // In the order of their gain, and of their names where that is the same.
        let order: Vec<_> = keep.groups.iter().map(|group| (std::cmp::Reverse(group.reclaimable_bytes), group.copies[0][0].clone())).collect();
        prop_assert!(order.is_sorted());
    }
}
