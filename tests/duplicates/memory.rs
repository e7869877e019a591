//! Searches within a limit of memory: what does not fit goes to a file, and the groups stay the same; or it is refused.

use std::path::Path;

use filemill::control::Control;
use filemill::duplicates::{Directories, Found, Search, find};
use filemill::error::Error;
use filemill::record::Action;

use super::{Keep, run, search};
use crate::support::Tree;

/// More files than the least memory holds: each seventh of a size of its own, the others of few sizes and contents, some with two
/// names.
fn many_files(number: usize) -> Tree {
    let tree = Tree::new();
    for i in 0..number {
        let content =
            if i % 7 == 0 { "z".repeat(2000 + i) } else { "y".repeat(i % 50) + &(i % 31).to_string() };
        let name = format!("{}/{}/{i}", i % 2, i % 101);
        tree.file(&name, content);
        if i % 97 == 1 {
            let link = tree.at(format!("{}/{}/link {i}", (i / 2) % 2, i % 13));
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::fs::hard_link(tree.at(&name), link).unwrap();
        }
    }
    tree
}

/// The search with as little memory as its refusal asks for, and that memory in MiB.
fn with_the_least(mut search: Search) -> (Search, u64) {
    search.plan.memory_bytes_max = Some(1 << 20);
    for _ in 0..5 {
        let Err(error) = find(&search, &mut Keep::default(), &Control::new()) else { break };
        search.plan.memory_bytes_max = Some(asked_for(&error) << 20);
    }
    let least = search.plan.memory_bytes_max.unwrap() >> 20;
    (search, least)
}

/// The MiB that a refusal asks for.
#[track_caller]
fn asked_for(error: &Error) -> u64 {
    let why = error.to_string();
    let Error::Plan(_) = error else { panic!("{why}") };
    let number = why.split_once(" need --memory ").and_then(|(_, rest)| rest.strip_suffix("MiB"));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{why}"))
}

fn note(found: &Found) -> Option<&String> {
    found.report.notes.iter().find(|note| note.contains("do not fit --memory"))
}

#[test]
fn groups_are_the_same_if_the_files_do_not_fit_the_memory() {
    let tree = many_files(16_000);
    let roots = || vec![tree.at("0").into(), tree.at("1").into()];
    let changed = |change: &dyn Fn(&mut Search)| {
        let mut search = search(&tree);
        change(&mut search);
        search
    };
    let searches = [
        search(&tree),
        changed(&|search| search.verifies = true),
        changed(&|search| (search.plan.roots, search.is_across) = (roots(), true)),
        changed(&|search| search.references = vec![tree.at("1/7")]),
        changed(&|search| (search.plan.filter.size_min, search.plan.filter.size_max) = (Some(0), Some(1000))),
    ];
    for all in searches {
        let (expected, in_memory) = run(&all);
        assert!(!in_memory.is_spilled && note(&in_memory).is_none());
        let (least, _) = with_the_least(all);
        let (keep, found) = run(&least);
        assert_eq!(keep.groups.len(), expected.groups.len());
        for (told, expected) in keep.groups.iter().zip(&expected.groups) {
            assert_eq!(told, expected);
        }
        assert_eq!(keep.outcomes, expected.outcomes);
        let counts = |found: &Found| {
            let counts = found.report.duplicates.clone().unwrap();
            (counts.groups, counts.redundant_files, counts.reclaimable_bytes, counts.searched_bytes)
        };
        assert_eq!(counts(&found), counts(&in_memory));
        assert!(found.is_spilled && note(&found).is_some(), "{:?}", found.report.notes);
        let rounds = found.report.duplicates.unwrap().rounds;
        let names: std::collections::BTreeSet<_> = rounds.iter().map(|round| round.name).collect();
        assert_eq!(names.len(), rounds.len(), "a round of all batches is one");
    }
}

#[test]
fn what_must_fit_the_memory_is_refused_with_what_it_takes() {
    let tree = many_files(16_000);
    let least = with_the_least(search(&tree)).1;
    let dirs = Search { directories: Some(Directories::Identical), ..search(&tree) };
    let action = Search { action: Some(Action::Reflink), ..search(&tree) };
    for (mut search, flag) in [(dirs, "--dirs"), (action, "--action")] {
        let expected = run(&search).0;
        search.plan.memory_bytes_max = Some(least << 20);
        let why = find(&search, &mut Keep::default(), &Control::new()).unwrap_err();
        assert!(why.to_string().contains(&format!("files with {flag} need --memory ")), "{why}");
        let (search, more) = with_the_least(search);
        assert!(more > least && more < least + 20, "{least} and {more} MiB");
        let (keep, found) = run(&search);
        assert!(keep.groups == expected.groups && !found.is_spilled);
    }
}

#[test]
fn files_of_one_size_that_do_not_fit_the_memory_are_refused() {
    let tree = Tree::new();
    for i in 0..16_000 {
        tree.file(format!("{}/{i}", i % 40), format!("{:05}", i / 2));
    }
    let mut all = search(&tree);
    let expected = run(&all).0.groups;
    all.plan.memory_bytes_max = Some(1 << 20);
    let error = find(&all, &mut Keep::default(), &Control::new()).unwrap_err();
    all.plan.memory_bytes_max = Some(asked_for(&error) << 20);
    let why = find(&all, &mut Keep::default(), &Control::new()).unwrap_err();
    assert!(why.to_string().contains("16000 files of 5 bytes each need --memory "), "{why}");
    let (least, _) = with_the_least(all);
    assert_eq!(run(&least).0.groups, expected);
}

#[test]
fn files_that_can_be_kept_nowhere_are_an_error_that_says_where() {
    let tree = many_files(16_000);
    let (mut search, _) = with_the_least(search(&tree));
    search.spill_directory = Path::new("/nonexistent/place").to_owned();
    let error = find(&search, &mut Keep::default(), &Control::new()).unwrap_err();
    assert!(matches!(error, Error::Spill(_)), "{error}");
    assert!(error.to_string().starts_with("cannot keep files in a file in /nonexistent/place: "), "{error}");
}
