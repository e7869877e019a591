//! Runs that are held against a rate or a latency.

use std::process::Output;

use crate::binary::{check_sums, filemill, jsonl, text};
use crate::support::Tree;

/// What every machine reaches, and what none does.
const REACHED: [&str; 4] = [
    "--fail-below=0.001f/s",
    "--fail-below=0.001 B/s",
    "--fail-latency=p50=1000s",
    "--fail-latency=max=1000s",
];
const FILES: &str = "--fail-below=1000000000000f/s";
const BYTES: &str = "--fail-below=1000000TiB/s";
const LATENCY: &str = "--fail-latency=p99.9=1ns";

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a", "one two\n");
    tree.file("b/c", "x");
    tree
}

fn scan(tree: &Tree, arguments: &[&str]) -> Output {
    let arguments = [&["scan", "--format", "jsonl"], arguments].concat();
    filemill(&arguments).current_dir(tree.path()).output().unwrap()
}

#[test]
fn a_gate_that_is_reached_changes_nothing() {
    let output = scan(&tree(), &REACHED);
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    check_sums(&records);
}

#[test]
fn a_gate_that_fails_is_a_line_and_code_1_with_the_report_complete() {
    #[track_caller]
    fn check(arguments: &[&str], expected: &[(&str, &str)]) {
        let tree = tree();
        for quiet in [&[][..], &["-q"]] {
            let output = scan(&tree, &[arguments, &["--out", "csv=r.csv"], quiet].concat());
            let (code, stderr, records) = jsonl(&output);
            assert_eq!(code, Some(1), "{stderr}");
            check_sums(&records);
            assert!(tree.at("r.csv").exists() && !tree.at("r.csv.partial").exists());
            assert_eq!(stderr.lines().count(), expected.len(), "{stderr}");
            for (line, (start, end)) in stderr.lines().zip(expected) {
                assert!(
                    line.starts_with("filemill: ") && line.contains(start) && line.ends_with(end),
                    "{line}"
                );
            }
        }
    }
    let files = (" files/s is below the ", "1,000,000,000,000 files/s of --fail-below");
    let bytes = ("/s is below the ", " EB/s of --fail-below");
    let latency = (" (p99.9 of the batches) is above the ", " of --fail-latency");
    check(&[FILES], &[files]);
    check(&[BYTES], &[bytes]);
    check(&[LATENCY], &[latency]);
    check(&["--fail-latency", "p50=1000s", LATENCY, FILES, "--fail-below=1f/s"], &[files, latency]);
}

#[test]
fn where_nothing_was_read_no_gate_is_reached() {
    let (code, stderr, records) = jsonl(&scan(&Tree::new(), &["--fail-below=0.001f/s"]));
    let expected = "filemill: no file was read, so there is no rate to hold against --fail-below\n";
    assert_eq!((code, stderr.as_str()), (Some(1), expected));
    check_sums(&records);
}

#[test]
fn a_gate_can_be_a_setting() {
    let tree = tree();
    tree.file("filemill.toml", "[scan]\nfail-latency = ['p50=1000s', 'max=1ns']\n");
    let output = scan(&tree, &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.ends_with(" (max of the batches) is above the 1 ns of --fail-latency\n"), "{stderr}");
    assert_eq!(scan(&tree, &["--fail-latency", "max=1000s"]).status.code(), Some(0));
}

/// 1 goes before 3, and 2 before 1.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_gate_says_more_than_a_path_that_could_not_be_read() {
    let tree = tree();
    tree.file("list", "a\ngone\n");
    let list = ["--files-from", "list"];
    assert_eq!(scan(&tree, &[&list[..], &REACHED].concat()).status.code(), Some(3));
    let output = scan(&tree, &[&list[..], &[FILES]].concat());
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("filemill: 1 path could not be read\n"), "{stderr}");
    assert!(stderr.ends_with(" of --fail-below\n"), "{stderr}");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = filemill(&["scan", FILES]).current_dir(tree.path()).stdout(full).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}
