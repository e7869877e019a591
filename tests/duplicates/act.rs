//! What is done about files of the same content. Each step by itself, its refusals and races are tested where it is made.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use filemill::duplicates::Search;
use filemill::plan::{Filter, Plan};
use filemill::record::Action;
use filemill::report::Actions;

use super::{run, search, search_in};
use crate::support::Tree;

fn acting(tree: &Tree, action: Action, applies: bool) -> Search {
    Search { action: Some(action), applies, ..search(tree) }
}

fn inode(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

/// Whether leases can be had in the place for temporary files, on which hard links wait.
fn has_leases() -> bool {
    let tree = Tree::new();
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, "content")));
    let done = actions(&acting(&tree, Action::Hardlink, true)).done == 1;
    if !done {
        println!("skipped: no leases here");
    }
    done
}

fn actions(search: &Search) -> Actions {
    run(search).1.report.duplicates.unwrap().actions
}

#[test]
fn nothing_is_changed_unless_it_is_asked_for() {
    let tree = Tree::new();
    let paths = ["a", "b", "c"].map(|name| tree.file(name, "content"));
    let before = paths.each_ref().map(|path| std::fs::metadata(path).unwrap().ctime_nsec());
    for action in [Action::Hardlink, Action::Reflink] {
        let actions = actions(&acting(&tree, action, false));
        // Not every file system can share blocks.
        let planned = if action == Action::Reflink { actions.planned } else { 2 };
        let expected = Actions { planned, refused: 2 - planned, bytes: 7 * planned, ..Actions::default() };
        assert_eq!(actions, expected);
    }
    assert_eq!(paths.each_ref().map(|path| std::fs::metadata(path).unwrap().ctime_nsec()), before);
    assert_eq!(std::fs::read_dir(tree.path()).unwrap().count(), 3);
}

#[test]
fn every_name_of_a_group_becomes_one_of_its_first_file() {
    if !has_leases() {
        return;
    }
    let tree = Tree::new();
    let names = ["a/1", "b/1", "c/1", "d/1"];
    names.iter().for_each(|name| drop(tree.file(name, "content")));
    std::fs::hard_link(tree.at("d/1"), tree.at("b/link")).unwrap();
    let kept = inode(&tree.at("a/1"));
    let done = actions(&acting(&tree, Action::Hardlink, true));
    assert_eq!(done, Actions { done: 4, bytes: 21, ..Actions::default() });
    for name in names.iter().chain(&["b/link"]) {
        assert_eq!(inode(&tree.at(name)), kept, "{name}");
        assert_eq!(std::fs::read(tree.at(name)).unwrap(), b"content");
    }
    // One file under five names is no group any more.
    assert_eq!(actions(&acting(&tree, Action::Hardlink, true)), Actions::default());
}

#[test]
fn what_lies_in_a_reference_or_in_the_first_path_stays_as_it_is() {
    if !has_leases() {
        return;
    }
    let tree = Tree::new();
    let names = ["a", "ref/1", "ref/2"];
    names.iter().for_each(|name| drop(tree.file(name, "content")));
    let before = inode(&tree.at("ref/2"));
    let search = Search { references: vec![tree.at("ref")], ..acting(&tree, Action::Hardlink, true) };
    assert_eq!(actions(&search).done, 1);
    assert_eq!((inode(&tree.at("a")), inode(&tree.at("ref/2"))), (inode(&tree.at("ref/1")), before));

    let tree = Tree::new();
    let names = ["x/1", "x/2", "y/1", "y/2"];
    let before = names.map(|name| inode(&tree.file(name, "content")));
    let search = search_in(Plan::new(["x", "y"].map(|root| tree.at(root))));
    let search = Search { is_across: true, action: Some(Action::Hardlink), applies: true, ..search };
    assert_eq!(actions(&search).done, 2);
    let [one, two, ..] = before;
    assert_eq!(names.map(|name| inode(&tree.at(name))), [one, two, one, one]);
}

/// What a killed action left behind is never what the others become.
#[test]
fn what_was_left_behind_is_not_kept() {
    let tree = Tree::new();
    let leftover = format!(".filemill-{}", "0123456789abcdef".repeat(2));
    [leftover.as_str(), "x"].iter().for_each(|name| drop(tree.file(name, "content")));
    let (keep, found) = run(&acting(&tree, Action::Hardlink, false));
    assert_eq!(keep.copies(), [[vec!["x"], vec![leftover.as_str()]]]);
    assert_eq!(found.report.notes.len(), 1, "{:?}", found.report.notes);
}

/// One that cannot be done leaves the others as they can be.
#[cfg(feature = "faults")]
#[test]
fn a_step_that_fails_does_not_hinder_the_others() {
    use filemill::faults::{Effect, Faults, Operation};
    if !has_leases() {
        return;
    }
    for at in 1.. {
        let tree = Tree::new();
        ["a", "b", "c", "d"].iter().for_each(|name| drop(tree.file(name, "content")));
        let mut search = acting(&tree, Action::Hardlink, true);
        search.plan.faults = Faults::new(Operation::Act, at, Effect::FailsOnce);
        let actions = actions(&search);
        if !search.plan.faults.has_struck() || actions.refused == 0 {
            assert!(at > 15, "only {at} steps");
            break;
        }
        assert_eq!((actions.done, actions.refused), (2, 1), "step {at}");
        if at > 25 {
            break;
        }
    }
}

/// Another name of a file that lies in a reference is a name of that file.
#[test]
fn a_copy_that_has_a_name_in_a_reference_stays_as_it_is() {
    let tree = Tree::new();
    ["ref/1", "ref/2"].iter().for_each(|name| drop(tree.file(name, "content")));
    std::fs::hard_link(tree.at("ref/2"), tree.at("other")).unwrap();
    tree.file("copy", "content");
    let search = Search { references: vec![tree.at("ref")], ..acting(&tree, Action::Hardlink, false) };
    assert_eq!(actions(&search), Actions { planned: 1, bytes: 7, ..Actions::default() });
}

#[test]
fn what_is_refused_stays_as_it_is_and_is_told() {
    let tree = Tree::new();
    let (keep, other) = (tree.file("a", "content"), tree.file("b", "content"));
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(&keep, std::fs::Permissions::from_mode(0o644)).unwrap();
    let before = inode(&other);
    assert_eq!(actions(&acting(&tree, Action::Hardlink, true)), Actions { refused: 1, ..Actions::default() });
    assert_eq!(inode(&other), before);
    assert_eq!(std::fs::metadata(&other).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn roots_that_are_files_are_acted_on_where_they_lie() {
    if !has_leases() {
        return;
    }
    let tree = Tree::new();
    let (a, b) = (tree.file("x/a", "content"), tree.file("y/b", "content"));
    let search = search_in(Plan::new([&a, &b]));
    let search = Search { action: Some(Action::Hardlink), applies: true, ..search };
    assert_eq!(actions(&search).done, 1);
    assert_eq!(inode(&a), inode(&b));
    // A root that is a link is refused: its name is not that of the file.
    let (c, link) = (tree.file("z/c", "content"), tree.link("z/link", "c"));
    let search =
        Search { action: Some(Action::Hardlink), applies: true, ..search_in(Plan::new([&a, &link])) };
    let refused = actions(&search).refused;
    assert_eq!((refused, inode(&c) == inode(&a)), (1, false));
}

#[test]
fn files_behind_links_are_not_acted_on() {
    let tree = Tree::new();
    let filter = Filter { follow: true, ..Filter::default() };
    let search = search_in(Plan { filter, ..Plan::new([tree.path()]) });
    let error = Search { action: Some(Action::Reflink), ..search }.check().unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing can be done about files behind links: leave out either the action or the links"
    );
}
