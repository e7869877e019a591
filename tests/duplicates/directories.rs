//! Directories that are the same, and similar ones.

use filemill::duplicates::{Directories, Search};
use filemill::plan::{Filter, Plan};

use super::{run, search, search_in};
use crate::support::Tree;

fn identical(tree: &Tree) -> Search {
    Search { directories: Some(Directories::Identical), ..search(tree) }
}

/// Two trees that are the same.
fn twins() -> Tree {
    let tree = Tree::new();
    for twin in ["a", "b"] {
        tree.file(format!("{twin}/deep/er/file"), "content");
        tree.file(format!("{twin}/other"), "other");
        tree.file(format!("{twin}/empty"), "");
        tree.directory(format!("{twin}/nothing"));
    }
    tree
}

#[test]
fn trees_that_are_the_same_are_told_once_and_their_files_not_again() {
    let tree = twins();
    tree.file("c/copy", "content");
    tree.file("c/again", "content");
    let (keep, found) = run(&identical(&tree));
    let kinds: Vec<_> = keep.groups.iter().map(|group| group.kind).collect();
    assert_eq!(kinds, ["directories", "files"]);
    assert_eq!(
        keep.copies(),
        [vec![vec!["a"], vec!["b"]], vec![vec!["a/deep/er/file"], vec!["c/again"], vec!["c/copy"]]]
    );
    assert_eq!((keep.groups[0].size, keep.groups[0].reclaimable_bytes), (12, 12));
    let counts = found.report.duplicates.unwrap();
    assert_eq!((counts.directory_groups, counts.groups, counts.redundant_files), (1, 1, 5));
}

/// What makes two trees different must be seen; what does not, not.
#[test]
fn every_difference_counts() {
    #[track_caller]
    fn check(change: impl Fn(&Tree), is_same: bool) {
        let tree = twins();
        change(&tree);
        let (keep, _) = run(&identical(&tree));
        let whole = keep.copies().contains(&vec![vec!["a"], vec!["b"]]);
        assert_eq!(whole, is_same, "{:?}", keep.copies());
    }
    check(|_| {}, true);
    check(|tree| drop(tree.file("b/other", "OTHER")), false);
    check(|tree| drop(tree.file("b/more", "more")), false);
    check(|tree| drop(tree.file("b/deep/er/empty", "")), false);
    check(|tree| drop(tree.directory("b/deep/nothing")), false);
    check(|tree| std::fs::rename(tree.at("b/other"), tree.at("b/another")).unwrap(), false);
    check(|tree| std::fs::remove_dir(tree.at("b/nothing")).unwrap(), false);
    #[cfg(unix)]
    {
        use std::os::unix::net::UnixListener;
        let link = |tree: &Tree, name: &str, target: &str| drop(tree.link(name, target));
        check(|tree| link(tree, "b/link", "other"), false);
        check(|tree| (link(tree, "a/link", "other"), link(tree, "b/link", "other")).0, true);
        check(|tree| (link(tree, "a/link", "other"), link(tree, "b/link", "empty")).0, false);
        check(|tree| (link(tree, "a/link", "other"), drop(tree.file("b/link", "other"))).0, false);
        let socket = |tree: &Tree, name: &str| drop(UnixListener::bind(tree.at(name)).unwrap());
        check(|tree| socket(tree, "a/socket"), false);
        check(|tree| (socket(tree, "a/socket"), socket(tree, "b/socket")).0, true);
        // Owner, mode and times are no content.
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o700);
        check(|tree| std::fs::set_permissions(tree.at("b/other"), mode.clone()).unwrap(), true);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_read_is_like_no_other() {
    let tree = twins();
    // One file under two names is the same in both, though no other has its size.
    let file = tree.file("a/deep/er/linked", "x");
    std::fs::hard_link(&file, tree.at("b/deep/er/linked")).unwrap();
    // A device cannot be known, and needs a privilege to be made.
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let device =
        |name: &str| mknodat(CWD, tree.at(name), FileType::CharacterDevice, Mode::RWXU, makedev(1, 3));
    if device("a/deep/null").and_then(|()| device("b/deep/null")).is_err() {
        println!("skipped: no device can be made");
        return;
    }
    let (keep, _) = run(&identical(&tree));
    assert_eq!(keep.copies()[0], [vec!["a/deep/er"], vec!["b/deep/er"]]);
    assert!(!keep.copies().contains(&vec![vec!["a"], vec!["b"]]));
}

#[test]
fn what_is_left_out_by_name_does_not_count() {
    let tree = twins();
    tree.file("a/main.o", "1");
    tree.file("b/main.o", "2");
    let globs = vec!["!*.o".to_owned()];
    let plan = Plan { filter: Filter { globs, ..Filter::default() }, ..Plan::new([tree.path()]) };
    let search = Search { directories: Some(Directories::Identical), ..search_in(plan) };
    assert_eq!(run(&search).0.copies(), [[vec!["a"], vec!["b"]]]);
}

#[test]
fn sizes_limit_what_is_told_not_what_is_compared() {
    let tree = twins();
    tree.file("c/copy", "content");
    let of = |size_min, other: &str| {
        tree.file("b/other", other);
        let filter = Filter { size_min: Some(size_min), ..Filter::default() };
        let plan = Plan { filter, ..Plan::new([tree.path()]) };
        let (keep, _) = run(&Search { directories: Some(Directories::Identical), ..search_in(plan) });
        keep.groups.iter().map(|group| (group.kind, group.size)).collect::<Vec<_>>()
    };
    assert_eq!(of(1, "other"), [("directories", 12), ("files", 7)]);
    assert_eq!(of(8, "other"), [("directories", 12)]);
    assert_eq!(of(13, "other"), []);
    // A small file is a difference too; what is below stays the same.
    assert_eq!(of(6, "OTHER"), [("directories", 7), ("files", 7)]);
}

/// As `cp -al` makes them: the same, and nothing to gain.
#[test]
fn trees_of_hard_links_are_the_same_and_take_nothing_twice() {
    let tree = Tree::new();
    for name in ["1", "deep/2", "deep/3"] {
        let file = tree.file(format!("a/{name}"), name);
        tree.directory("b/deep");
        std::fs::hard_link(file, tree.at(format!("b/{name}"))).unwrap();
    }
    let (keep, _) = run(&identical(&tree));
    assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
    assert_eq!((keep.groups[0].size, keep.groups[0].reclaimable_bytes), (13, 0));
    // One file of its own is one to gain.
    std::fs::remove_file(tree.at("b/1")).unwrap();
    tree.file("b/1", "1");
    assert_eq!(run(&identical(&tree)).0.groups[0].reclaimable_bytes, 1);
}

#[test]
fn two_roots_may_be_the_same() {
    let tree = twins();
    let plan = Plan::new([tree.at("b/"), tree.at("a")]);
    let (keep, _) = run(&Search { directories: Some(Directories::Identical), ..search_in(plan) });
    assert_eq!(keep.copies(), [[vec!["b/"], vec!["a"]]]);
}

#[test]
fn similar_directories_share_most_of_their_bytes() {
    let tree = Tree::new();
    for i in 0..9 {
        tree.file(format!("a/{i}"), vec![i; 1000]);
        tree.file(format!("b/renamed {i}"), vec![i; 1000]);
    }
    tree.file("a/only", vec![100; 1000]);
    tree.file("b/other", vec![101; 1000]);
    let similar = |share| run(&Search { directories: Some(Directories::Similar(share)), ..search(&tree) });
    let (keep, found) = similar(0.8);
    assert_eq!(keep.groups[0].kind, "similar-directories");
    assert_eq!(keep.copies()[0], [vec!["a"], vec!["b"]]);
    assert_eq!((keep.groups[0].size, keep.groups[0].reclaimable_bytes), (9000, 0));
    assert_eq!(keep.groups.len(), 10, "their files are told as well");
    let share = found.similar[0].share();
    assert!((share - 9000.0 / 11_000.0).abs() < 1e-12, "{share}");
    assert!(similar(0.82).1.similar.is_empty());
}

#[test]
fn what_cannot_be_told_of_directories_is_refused() {
    let tree = twins();
    #[track_caller]
    fn check(search: &Search, expected: &str) {
        assert_eq!(search.check().unwrap_err().to_string(), expected);
    }
    let filter = Filter { depth_max: Some(3), ..Filter::default() };
    let plan = Plan { filter, ..Plan::new([tree.path()]) };
    check(
        &Search { directories: Some(Directories::Identical), ..search_in(plan) },
        "directories cannot be compared to a depth: files below it may differ",
    );
    check(
        &Search { references: vec![tree.at("a")], ..identical(&tree) },
        "directories are searched for everywhere: neither across paths alone nor beside a reference",
    );
    check(
        &Search { directories: Some(Directories::Similar(1.5)), ..search(&tree) },
        "the share that similar directories have in common must be above 0 and at most 1",
    );
    check(
        &Search { action: Some(filemill::record::Action::Hardlink), ..identical(&tree) },
        "actions are about files: they cannot be combined with directories",
    );
}
