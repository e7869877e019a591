//! `filemill duplicates` from outside: what it prints, its exit codes and messages.

#[cfg(feature = "faults")]
use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value as Json;

use crate::binary::{filemill, jsonl, of_type, text};
use crate::support::Tree;

pub(super) fn tree() -> Tree {
    let tree = Tree::new();
    for (name, content) in
        [("a/1", "same"), ("b/1", "same"), ("b/2", "other"), ("c/2", "other"), ("c/3", "unlike")]
    {
        tree.file(name, content);
    }
    tree.link("c/link", "3");
    tree
}

pub(super) fn duplicates(tree: &Tree, arguments: &[&str]) -> Output {
    filemill(&[&["duplicates"], arguments].concat()).current_dir(tree.path()).output().unwrap()
}

#[track_caller]
fn printed(tree: &Tree, arguments: &[&str]) -> String {
    let output = duplicates(tree, arguments);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    text(&output.stdout)
}

#[test]
fn the_formats_tell_the_groups() {
    let tree = tree();
    assert_eq!(printed(&tree, &["--format", "fdupes"]), "b/2\nc/2\n\na/1\nb/1\n\n");
    let csv = printed(&tree, &["--format", "csv"]);
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 5);
    assert!(rows[1].starts_with("1,files,5,") && rows[1].ends_with(",b/2"), "{csv}");
    let table = printed(&tree, &["--format", "table"]);
    assert!(table.starts_with("2 copies of 5 bytes, 5 bytes to gain  ("), "{table}");
    let summary = printed(&tree, &[]);
    assert!(summary.contains("\n2 groups of files: 2 redundant, 9 B to gain\n"), "{summary}");
    assert!(summary.contains("6 paths met = 5 done + 1 skipped (1 symlink) + 0 failed"), "{summary}");
    assert_eq!(printed(&tree, &["--format", "fdupes", "--min-size", "5", "."]), "./b/2\n./c/2\n\n");
}

#[test]
fn every_record_follows_the_schema() {
    let tree = tree();
    let schema: Json = serde_json::from_str(filemill::sink::JSONL_SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    tree.file("twin/1", "same");
    let text: String = (0..300).map(|i| format!("word{i} ")).collect();
    tree.file("near/1", &text);
    tree.file("near/2", text.clone() + "more");
    tree.file("near/3", text[..text.len() / 2].to_owned() + "less");
    for arguments in [
        &[][..],
        &["--near", "0.3"],
        &["--near", "0.9", "--exact", "--text-only", "--verify"],
        &["--near", "0.5", "--near-all", "--minhash", "k=16:kind=one-permutation", "--across", "near", "a"],
        &["--dirs"],
        &["--dirs=similar:0.1"],
        &["--reference", "b", "."],
        &["--across", "a", "b", "--verify"],
        &["--action", "hardlink"],
        &["--action", "reflink", "--apply"],
    ] {
        let output = duplicates(&tree, &[arguments, &["--format", "jsonl"]].concat());
        let (_, stderr, records) = jsonl(&output);
        assert!(records.len() > 2, "{stderr}");
        for record in &records {
            let errors: Vec<_> = validator.iter_errors(record).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{arguments:?}: {record}: {errors:?}");
        }
        let end = records.last().unwrap();
        let sum = |key: &str| {
            end[key].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(
            end["met"].as_u64().unwrap(),
            end["done"].as_u64().unwrap() + sum("skipped") + sum("failed")
        );
        let counts = &end["duplicates"];
        let groups = counts["groups"].as_u64().unwrap() + counts["directory_groups"].as_u64().unwrap();
        assert_eq!(
            groups
                + counts["similar_pairs"].as_u64().unwrap()
                + counts["near"]["groups"].as_u64().unwrap_or(0),
            of_type(&records, "group").len() as u64
        );
        let acted: u64 = ["planned", "done", "already", "refused"]
            .iter()
            .map(|key| counts["actions"][key].as_u64().unwrap())
            .sum();
        assert_eq!(acted, of_type(&records, "action").len() as u64);
    }
}

#[test]
fn any_number_of_workers_prints_the_same() {
    let tree = Tree::new();
    (0..300).for_each(|i| drop(tree.file(format!("{}/{i}", i % 17), vec![1; 1 + i % 23 + (i % 5) * 3000])));
    let one = printed(&tree, &["--format", "csv", "-j", "1"]);
    assert!(one.lines().count() > 200);
    for arguments in [&["-j", "8"][..], &["--batch-files", "1"], &["--stage", "ram-disk"], &["--verify"]] {
        assert_eq!(printed(&tree, &[arguments, &["--format", "csv"]].concat()), one, "{arguments:?}");
    }
}

/// A line more than once changes the content, and no shingle.
#[test]
fn files_that_differ_are_never_all_alike() {
    let tree = Tree::new();
    let text: String = (0..50).map(|i| format!("a line of words, number {i}\n")).collect();
    tree.file("a", &text);
    tree.file("b", text.repeat(2));
    tree.file("c", &text);
    for (way, percent) in [(&["--near", "0.9"][..], "~>99 %"), (&["--near", "0.9", "--exact"], ">99 %")] {
        let near = |format: &str| {
            printed(&tree, &[way, &["--minhash", "shingle=words:1", "--format", format]].concat())
        };
        let summary = near("summary");
        assert!(summary.contains(&format!("\n  a\n  b  ({percent})\n  c  (100 %)\n")), "{summary}");
        let table = near("table");
        assert!(table.contains(&format!("  b  (2680 bytes)  ({percent})\n")), "{table}");
        let is_estimated = way.len() == 2;
        let csv = near("csv");
        assert!(csv.contains(&format!(",1,false,{is_estimated},false,,b\r\n")), "{csv}");
        assert!(csv.contains(",1,false,false,true,,c\r\n"), "{csv}");
        let jsonl = near("jsonl");
        assert!(jsonl.contains(&format!("\"threshold\":0.9,\"estimated\":{is_estimated},")), "{jsonl}");
    }
}

#[test]
fn similar_directories_have_a_share_in_every_format() {
    let tree = Tree::new();
    ["A/P", "B/E"].iter().for_each(|directory| {
        tree.file(format!("{directory}/1"), [b'1'; 2000]);
        tree.file(format!("{directory}/2"), [b'2'; 2000]);
    });
    tree.file("A/z", [b'z'; 100]);
    tree.file("B/E/3", [b'3'; 100]);
    let told = |format: &str| printed(&tree, &["--dirs=similar:0.5", "--format", format]);
    let csv = told("csv");
    let pairs: Vec<&str> = csv.lines().filter(|line| line.contains("similar-directories")).collect();
    assert_eq!(pairs.len(), 2, "{csv}");
    assert!(
        pairs[0].ends_with(",0.975609756097561,A/P") && pairs[1].ends_with(",0.975609756097561,B"),
        "{csv}"
    );
    assert!(told("table").contains("2 directories with 4000 bytes in common (97 %)"));
    assert!(told("summary").contains("\n97 % alike: 2 directories with 4.00 kB in common\n  A/P\n  B\n"));
    // One byte of a hundred thousand is not nothing.
    let tree = Tree::new();
    ["a", "b"].iter().for_each(|name| drop(tree.file(format!("{name}/1"), [b'1'; 99_999])));
    tree.file("a/2", "2");
    tree.file("b/2", "3");
    let summary = printed(&tree, &["--dirs=similar"]);
    assert!(summary.contains("\n99 % alike: 2 directories"), "{summary}");
}

#[test]
fn files_that_are_nearly_the_same_are_told_in_every_format() {
    let tree = Tree::new();
    let text: String = (0..500).map(|i| format!("word{i} ")).collect();
    tree.file("a/1", &text);
    tree.file("b/1", text.replace("77 ", ""));
    tree.file("c/1", &text);
    let near = |arguments: &[&str]| printed(&tree, &[&["--near", "0.8", "--near-all"], arguments].concat());
    let csv = near(&["--format", "csv"]);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        rows.iter().map(|row| row[1]).collect::<Vec<_>>(),
        ["kind", "files", "files", "near", "near", "near"]
    );
    let similarity: f64 = rows[4][8].parse().unwrap();
    assert!((0.9..1.0).contains(&similarity) && rows[3][8] == "1" && rows[5][8] == "1", "{csv}");
    let table = near(&["--format", "table"]);
    assert!(table.contains("\n3 files nearly the same, each at least 80 % like another\n"), "{table}");
    let summary = near(&[]);
    assert!(summary.contains("\n3 files nearly the same\n  a/1\n  b/1  (~9"), "{summary}");
    assert!(summary.contains("\n  c/1  (100 %)\n"), "{summary}");
    assert!(summary.contains("1 group of 3 files nearly the same, each at least 80 % like another\nall pairs of 2 contents compared"), "{summary}");
    let banded = printed(&tree, &["--near", "0.8"]);
    assert!(banded.contains("2 contents compared by 21 bands of 6 rows\nof pairs whose sketches are 80 % alike 99.8 % are found, of those 70 % alike 92"), "{banded}");
}

#[test]
fn sketches_that_can_be_kept_nowhere_are_a_fatal_error() {
    let tree = Tree::new();
    for i in 0..3000 {
        tree.file(format!("{}/{i}", i % 50), format!("a text of its own with the number {i}").repeat(2));
    }
    let run = |memory: &str| {
        let arguments = ["duplicates", "--near", "0.8", "--format", "jsonl", "--memory", memory, "-j", "1"];
        filemill(&arguments).current_dir(tree.path()).env("TMPDIR", tree.at("nowhere")).output().unwrap()
    };
    // As much as it says that it takes.
    let mut memory = "16MiB".to_owned();
    let output = loop {
        let output = run(&memory);
        let stderr = text(&output.stderr);
        let Some((_, least)) = stderr.split_once(" is too small: ") else { break output };
        memory = least.trim().rsplit(' ').next().unwrap().to_owned();
    };
    let expected = format!(
        "filemill: cannot keep sketches in a file in {}: No such file or directory",
        tree.at("nowhere").display()
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
}

#[test]
fn what_is_changed_is_said_on_the_command_line_alone() {
    let tree = tree();
    for (name, value) in
        [("FILEMILL_ACTION", "hardlink"), ("FILEMILL_APPLY", "true"), ("FILEMILL_REFERENCE", "/")]
    {
        let mut command = filemill(&["dupes", "--format", "jsonl"]);
        let output = command.env(name, value).current_dir(tree.path()).output().unwrap();
        let (code, stderr, records) = jsonl(&output);
        let flag = name["FILEMILL_".len()..].to_lowercase();
        let warning =
            format!("filemill: {name} is ignored: --{flag} can be given on the command line alone\n");
        assert_eq!((code, stderr), (Some(0), warning));
        assert!(of_type(&records, "action").is_empty() && of_type(&records, "group").len() == 2);
    }
    for key in ["action = 'hardlink'", "apply = true", "from = 'x'", "reference = 'a'"] {
        tree.file("filemill.toml", format!("[duplicates]\n{key}\n"));
        let output = duplicates(&tree, &[]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.ends_with(": can be given on the command line alone\n"), "{stderr}");
    }
    tree.file("filemill.toml", "[duplicates]\nmin-size = 5\nformat = 'fdupes'\n");
    assert_eq!(text(&duplicates(&tree, &[]).stdout), "b/2\nc/2\n\n");
}

#[test]
fn what_is_left_as_it_is_makes_the_exit_code_3() {
    let tree = tree();
    let output = duplicates(&tree, &["--action", "reflink", "--apply", "--format", "jsonl"]);
    let (code, _, records) = jsonl(&output);
    let refused = of_type(&records, "action").iter().filter(|record| record["outcome"] == "refused").count();
    assert_eq!(code, if refused > 0 { Some(3) } else { Some(0) });
    assert_eq!(of_type(&records, "action").len(), 2);
}

#[test]
fn nothing_is_tried_on_a_file_system_that_is_read_only() {
    let place = Tree::new();
    let (at, binary) = (place.path().display(), env!("CARGO_BIN_EXE_filemill"));
    let script = format!(
        "mount -t tmpfs none {at} || exit 99; echo x > {at}/a; echo x > {at}/b; mount -o remount,ro {at} || exit 99
        {binary} dupes --action hardlink --apply {at}"
    );
    let Some(output) = crate::outside::with_mounts(&script) else { return };
    let expected = format!("filemill: {at}: nothing can be changed there: the file system is read-only\n");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(2), expected));
}

#[test]
fn a_search_that_is_interrupted_leaves_what_it_hashed_for_the_next() {
    let tree = Tree::new();
    (0..50).for_each(|i| drop(tree.file(format!("{i}/same"), vec![1; 10_000])));
    let output = duplicates(&tree, &["--out", "jsonl=found.jsonl", "-q", "--format", "fdupes"]);
    assert_eq!(output.status.code(), Some(0));
    // What a kill leaves behind is the start of this. Files that were made just now have not settled.
    let whole = std::fs::read_to_string(tree.at("found.jsonl")).unwrap();
    if whole.contains(r#""file_systems":[null]"#) {
        println!("not tried: no digest is kept of files on this file system");
        return;
    }
    let start: String = whole.lines().take(20).map(|line| format!("{line}\n")).collect();
    let place = Tree::new();
    let partial = place.file("found.jsonl.partial", start.replace(r#""settled":false"#, r#""settled":true"#));
    std::fs::remove_file(tree.at("found.jsonl")).unwrap();
    let again = duplicates(&tree, &["--from", partial.to_str().unwrap(), "--format", "jsonl"]);
    let (code, stderr, records) = jsonl(&again);
    assert_eq!(code, Some(0));
    assert_eq!(stderr, "filemill: the earlier report was cut short: it is used as far as it goes\n");
    let counts = &records.last().unwrap()["duplicates"];
    let known = start.lines().filter(|line| line.starts_with("{\"type\":\"file\"")).count() as u64;
    assert!(known > 10);
    assert_eq!((counts["known_files"].as_u64(), counts["redundant_files"].as_u64()), (Some(known), Some(49)));
}

/// The run after one that was killed does the rest, and removes what that has left.
#[cfg(feature = "faults")]
#[track_caller]
fn check_finished_by_the_next_run(tree: &Tree, names: &[&str], content: &dyn Fn(&str) -> String) {
    use std::os::unix::fs::MetadataExt;
    let output = duplicates(tree, &["--action", "hardlink", "--apply", "--format", "jsonl"]);
    let (_, _, records) = jsonl(&output);
    if of_type(&records, "action").iter().any(|record| record["outcome"] == "refused") {
        return println!("skipped: no leases here");
    }
    let mut inodes = BTreeMap::new();
    for name in names {
        let path = tree.at(name);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content(name));
        inodes.entry(content(name)).or_insert_with(Vec::new).push(path.metadata().unwrap().ino());
    }
    assert!(inodes.values().all(|inodes| inodes.iter().all(|inode| *inode == inodes[0])), "{inodes:?}");
    let files = walkdir::WalkDir::new(tree.path()).into_iter();
    let files = files.filter(|entry| entry.as_ref().unwrap().file_type().is_file()).count();
    assert_eq!(files, names.len(), "{:?}", records.last());
}

/// The whole command is killed at every step that it takes on files: every name keeps its content, whatever file it leads to.
#[cfg(feature = "faults")]
#[test]
fn a_kill_at_any_step_loses_nothing() {
    let content = |name: &str| match name {
        "a/1" | "b/1" | "c/1" => "one".repeat(2000),
        _ => "two".repeat(10),
    };
    const NAMES: [&str; 5] = ["a/1", "b/1", "c/1", "d/2", "e/2"];
    let mut at = 1;
    loop {
        let tree = Tree::new();
        NAMES.iter().for_each(|name| drop(tree.file(name, content(name))));
        let mut command = filemill(&["dupes", "--action", "hardlink", "--apply", "--format", "jsonl"]);
        let output = command
            .env("FILEMILL_FAULT", format!("act:{at}:kill"))
            .current_dir(tree.path())
            .output()
            .unwrap();
        let mut found = BTreeMap::new();
        for entry in walkdir::WalkDir::new(tree.path()) {
            let entry = entry.unwrap();
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(tree.path()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
        for name in NAMES {
            assert_eq!(found.remove(name), Some(content(name)), "{name} after a kill at step {at}");
        }
        let left =
            |name: &String| name.split_once('/').is_some_and(|(_, name)| name.starts_with(".filemill-"));
        assert!(found.keys().all(left) && found.len() <= 1, "{found:?}");
        check_finished_by_the_next_run(&tree, &NAMES, &content);
        if output.status.code().is_some() {
            let (_, _, records) = jsonl(&output);
            if of_type(&records, "action").iter().any(|record| record["outcome"] == "refused") {
                println!("skipped: no leases here");
            } else {
                assert!(at > 50, "only {at} steps");
            }
            break;
        }
        at += 1;
    }
}

/// A batch has as many pairs as the handles allow.
#[test]
fn few_handles_make_small_batches() {
    let tree = Tree::new();
    for i in 0..40 {
        ["x", "y"]
            .iter()
            .for_each(|side| drop(tree.file(format!("{i}/{side}/file"), format!("content {i}"))));
    }
    let script = format!(
        "ulimit -n 64 && exec {} dupes --action hardlink --apply --format jsonl {}",
        env!("CARGO_BIN_EXE_filemill"),
        tree.path().display()
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let (code, stderr, records) = jsonl(&output);
    let actions = of_type(&records, "action");
    if actions
        .iter()
        .any(|record| record["reason"].as_str().is_some_and(|why| why.contains("cannot say whether")))
    {
        return println!("skipped: no leases here");
    }
    assert_eq!((code, stderr), (Some(0), String::new()));
    assert!(actions.len() == 40 && actions.iter().all(|record| record["outcome"] == "done"), "{actions:?}");
}

#[test]
fn equal_refusals_have_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new();
    for (name, mode) in [("a", 0o644), ("b", 0o600), ("c", 0o640), ("d", 0o604)] {
        let path = tree.file(name, "content");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let output = duplicates(&tree, &["--action", "hardlink"]);
    let summary = text(&output.stdout);
    if summary.contains("cannot say whether") {
        return println!("skipped: no leases here");
    }
    let lines: Vec<&str> = summary.lines().filter(|line| line.contains("another mode")).collect();
    assert_eq!(lines, ["3 files: it has another mode than the kept file"], "{summary}");
    assert!(!summary.contains("hardlink b"), "{summary}");
}
