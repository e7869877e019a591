//! Entries of path lists: the same records as a walk gives, in any order and spelling, and each file once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use filemill::plan::{PathList, Plan, Root, Sort, Walker, Workers};
use filemill::record::Outcome;
use proptest::prelude::*;

use crate::support::{InOrder, Tree, analyses};

/// What became of each path, and the values; sizes stand for contents.
type Records = BTreeMap<Vec<u8>, (Option<u64>, Vec<String>)>;

#[track_caller]
fn records(plan: &Plan) -> Records {
    let mut sink = InOrder::default();
    let report = filemill::run(plan, &mut sink).unwrap();
    assert!(report.ledger.adds_up(), "{:?}", report.ledger);
    let count = sink.0.len();
    let records: Records = sink
        .0
        .into_iter()
        .map(|(path, outcome, values)| {
            let size = if let Outcome::Done { size, .. } = outcome { Some(size) } else { None };
            (path, (size, values.iter().map(|value| format!("{value:?}")).collect()))
        })
        .collect();
    assert_eq!(records.len(), count, "a path has two records");
    records
}

fn of_nothing() -> Plan {
    Plan { analyses: analyses("blake3"), ..Plan::new([] as [Root; 0]) }
}

fn walkers() -> Vec<Walker> {
    let mut walkers = vec![Walker::Portable];
    if Walker::default() != Walker::Portable {
        walkers.push(Walker::default());
    }
    walkers
}

/// Paths of a few components of few names, so that folders have several files, and files lie above folders.
fn paths() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let path = proptest::collection::vec(0..4_u8, 1..5);
    proptest::collection::vec(path, 1..40)
}

fn file_name(path: &[u8]) -> String {
    let (name, folders) = path.split_last().unwrap();
    let folders: String = folders.iter().map(|folder| format!("d{folder}/")).collect();
    format!("{folders}f{name}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_list_of_all_files_has_the_records_of_the_tree(
        paths in paths(),
        order in any::<u64>(),
        workers in 1..4_usize,
        batch in 1..50_usize,
    ) {
        let tree = Tree::new();
        let mut files: Vec<PathBuf> = paths
            .iter()
            .map(|path| tree.file(file_name(path), "x".repeat(path.iter().map(|&part| usize::from(part)).sum())))
            .collect();
        files.sort();
        files.dedup();
        let expected = records(&Plan { roots: vec![tree.path().into()], ..of_nothing() });
        prop_assert_eq!(expected.len(), files.len());
        // An order that the seed alone decides.
        files.sort_by_cached_key(|file| {
            blake3::hash(&[file.as_os_str().as_encoded_bytes(), &order.to_le_bytes()].concat()).to_hex()
        });
        let listed: PathList = files.iter().collect();
        for walker in walkers() {
            for sort in [Sort::None, Sort::Path] {
                let plan = Plan {
                    listed: listed.clone(),
                    workers: Workers::Number(workers),
                    batch_files_max: batch,
                    walker,
                    sort,
                    ..of_nothing()
                };
                prop_assert_eq!(&records(&plan), &expected);
                // With a limit on bytes the walk has to know sizes.
                prop_assert_eq!(&records(&Plan { batch_bytes_max: Some(3), ..plan.clone() }), &expected);
                // Inside a directory that is given as well, in any mixture, and twice.
                let plan = Plan { roots: vec![tree.path().into()], ..plan };
                prop_assert_eq!(&records(&plan), &expected);
                let twice = files.iter().chain(files.iter().rev()).chain(Some(&tree.path().to_path_buf())).collect();
                let plan = Plan { roots: Vec::new(), listed: twice, ..plan };
                prop_assert_eq!(&records(&plan), &expected);
            }
        }
    }

    #[test]
    fn a_sorted_list_comes_in_its_order(paths in paths()) {
        let tree = Tree::new();
        let mut names = Vec::new();
        for path in &paths {
            let file = tree.file(file_name(path), "x").into_os_string().into_encoded_bytes();
            if !names.contains(&file) {
                names.push(file);
            }
        }
        let mut listed = PathList::default();
        listed.add_text([names.join(&0), vec![0]].concat(), 0);
        for walker in walkers() {
            let plan = Plan { listed: listed.clone(), sort: Sort::Path, walker, ..of_nothing() };
            let mut sink = InOrder::default();
            filemill::run(&plan, &mut sink).unwrap();
            let met: Vec<_> = sink.0.into_iter().map(|(path, ..)| path).collect();
            prop_assert_eq!(&met, &names);
        }
    }
}

/// Checks what becomes of a list of paths below a tree: the paths with records, in order, and the notes.
#[cfg(unix)]
#[track_caller]
fn check(tree: &Tree, roots: &[&str], listed: &[&str], expected: &[&str], notes: &[&str]) {
    let at = |name: &&str| format!("{}/{name}", tree.path().display());
    for walker in walkers() {
        for sort in [Sort::Path, Sort::None] {
            let plan = Plan {
                roots: roots.iter().map(at).map(Root::from).collect(),
                listed: listed.iter().map(at).collect(),
                walker,
                sort,
                ..of_nothing()
            };
            let mut sink = InOrder::default();
            let report = filemill::run(&plan, &mut sink).unwrap();
            let start = at(&"").len();
            let met = sink.0.iter().map(|(path, ..)| String::from_utf8_lossy(&path[start..]).into_owned());
            let mut met: Vec<String> = met.collect();
            let mut expected = expected.to_vec();
            if sort == Sort::None {
                met.sort();
                expected.sort_unstable();
            }
            assert_eq!(met, expected, "{roots:?} {listed:?} {walker:?} {sort:?}");
            let said: Vec<_> = report.notes.iter().map(|note| note.replace(&at(&""), "")).collect();
            assert_eq!(said, notes, "{roots:?} {listed:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_is_met_once_however_it_is_spelled() {
    let tree = Tree::new();
    for name in ["a/x", "a/y", "a/b/z", "c/x"] {
        tree.file(name, name);
    }
    tree.link("l", "a");
    tree.link("c/y", "../a/y");
    std::fs::hard_link(tree.at("a/x"), tree.at("a/hard")).unwrap();
    let same = |path: &str, outer: &str| format!("{path}: left out, it is the same as {outer}");
    let first = same("a/./x", "a/x");
    let others = "5 entries of the list left out, others lead to them";
    let spellings = ["a/x", "a/./x", "a//x", "a/b/../x", "l/x", "l/../a/x", "c/x"];
    check(&tree, &[], &spellings, &["a/x", "c/x"], &[&first, others]);
    check(&tree, &[], &["l/x", "a/x"], &["l/x"], &[&same("a/x", "l/x")]);
    // A hard link is a path of its own.
    check(&tree, &[], &["a/hard", "a/x"], &["a/hard", "a/x"], &[]);
    // Of a link and its target the first stays, in a list as elsewhere.
    check(&tree, &[], &["c/y", "a/y"], &["c/y"], &[&same("a/y", "c/y")]);
    check(&tree, &[], &["a/y", "c/y"], &["a/y"], &[&same("c/y", "a/y")]);
    check(&tree, &["c/y"], &["a/y"], &["c/y"], &[&same("a/y", "c/y")]);
    check(&tree, &["a/y"], &["c/y", "a/x"], &["a/y", "a/x"], &[&same("c/y", "a/y")]);
}

#[cfg(unix)]
#[test]
fn entries_inside_listed_directories_are_met_with_them() {
    let tree = Tree::new();
    for name in ["a/x", "a/b/z", "c/x"] {
        tree.file(name, name);
    }
    tree.link("l", "a");
    let inside = |path: &str, outer: &str| format!("{path}: left out, it lies inside {outer}");
    check(&tree, &[], &["c/x", "a/x", "a/"], &["c/x", "a/b/z", "a/x"], &[&inside("a/x", "a/")]);
    check(&tree, &[], &["a/b/z", "l"], &["l/b/z", "l/x"], &[&inside("a/b/z", "l")]);
    check(&tree, &[], &["a/", "a/gone"], &["a/b/z", "a/x", "a/gone"], &[]);
    check(&tree, &["a"], &["a/gone"], &["a/b/z", "a/x", "a/gone"], &[]);
    check(&tree, &["a/b"], &["a/b/z", "a/x"], &["a/b/z", "a/x"], &[&inside("a/b/z", "a/b")]);
    check(
        &tree,
        &[],
        &["a/b", "a/b/..", "c/x"],
        &["a/b/../b/z", "a/b/../x", "c/x"],
        &[&inside("a/b", "a/b/..")],
    );
}

#[cfg(unix)]
#[test]
fn entries_that_are_no_files_have_their_reasons() {
    use std::os::unix::net::UnixListener;
    let tree = Tree::new();
    tree.file("d/file", "x");
    tree.link("d/nowhere", "gone");
    let _socket = UnixListener::bind(tree.at("d/socket")).unwrap();
    let names = ["d/file", "d/file/", "d/file/x", "d/file/x/y", "d/gone", "gone/x", "d/nowhere", "d/socket"];
    for walker in walkers() {
        let listed = names.iter().map(|name| tree.at(".").join(name)).collect();
        let plan = Plan { listed, walker, sort: Sort::Path, ..of_nothing() };
        let mut sink = InOrder::default();
        filemill::run(&plan, &mut sink).unwrap();
        let word = |(_, outcome, _): &(_, Outcome, _)| match outcome {
            Outcome::Skipped(reason) => reason.name(),
            Outcome::Failed(error) => error.cause.name(),
            _ => "file",
        };
        let words: Vec<_> = sink.0.iter().map(word).collect();
        let through = "not-a-directory";
        let expected = ["file", through, through, through, "vanished", "vanished", "broken-link", "socket"];
        assert_eq!(words, expected, "{walker:?}");
    }
}

#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn a_folder_that_may_be_searched_and_not_listed_gives_its_files() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("den/1", "x");
    tree.file("den/2", "x");
    for (name, mode) in [("", 0o755), ("den", 0o711)] {
        std::fs::set_permissions(tree.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    crate::binary::copy_binary(&tree.at("filemill"));
    let script = "printf 'den/1\\nden/2\\n' | setpriv --reuid=65534 --regid=65534 --clear-groups \
                  ./filemill scan --format paths --sort path --files-from -";
    let output =
        std::process::Command::new("sh").args(["-c", script]).current_dir(tree.path()).output().unwrap();
    assert_eq!(crate::binary::text(&output.stdout), "den/1\nden/2\n", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn sixty_four_handles_suffice_for_a_list_in_any_order() {
    let tree = Tree::new();
    let mut list = String::new();
    for i in 0..1500_usize {
        let name = format!("files/{}/{}/{}", i % 7, i % 31, i * 7919 % 1500);
        tree.file(&name, "x");
        list.push_str(&name);
        list.push('\n');
    }
    tree.file("list", &list);
    for sort in ["path", "none"] {
        let script = format!(
            "ulimit -n 64 && exec {} scan --files-from list -j 32 -q --format paths --sort {sort}",
            env!("CARGO_BIN_EXE_filemill")
        );
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = crate::binary::text(&output.stdout);
        if sort == "path" {
            assert_eq!(printed, list);
        }
        assert_eq!(printed.lines().count(), 1500);
    }
}
