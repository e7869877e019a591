//! The harness from outside: what it prints and records, its exit codes, and what it makes of bad input.

#[cfg(target_os = "linux")]
mod check;
#[cfg(target_os = "linux")]
mod interrupts;
mod sweep;

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::binary::{filemill, text};
use crate::support::Tree;

fn tree() -> Tree {
    let tree = Tree::new();
    for i in 0..60 {
        tree.file(format!("d{}/f{i}", i % 7), format!("file {i}\n").repeat(i));
    }
    tree
}

fn bench(arguments: &[&str], path: &Path) -> Output {
    let arguments = [&["bench"], arguments].concat();
    filemill(&arguments).arg(path).output().unwrap()
}

/// The one line on standard error, and exit code 2.
#[track_caller]
fn refused(arguments: &[&str], path: &Path, expected: &str) {
    let output = bench(arguments, path);
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.starts_with("filemill: ") && stderr.contains(expected), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

/// Rows of a record as maps from its columns.
fn rows(path: &Path) -> Vec<std::collections::BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn count(path: &Path, kind: &str) -> usize {
    rows(path).iter().filter(|row| row["row"] == kind).count()
}

/// A directory in memory, where this machine has one.
fn ram_disk() -> Option<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").ok()
}

#[test]
fn the_limit_is_a_line_for_the_walk_and_one_a_list_of_analyses() {
    let tree = tree();
    let output =
        bench(&["limit", "--rounds", "2", "--threads", "1,2", "-a", "none", "-a", "blake3"], tree.path());
    let stdout = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    for expected in ["60 files", "floor x1", "floor x2", "walk", "open, read, close", "blake3"] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let arguments = ["limit", "--rounds", "1", "--threads", "2", "-a", "lines,blake3", "--format", "csv"];
    let output = bench(&arguments, tree.path());
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((lines.len(), &lines[1][0]), (2, "lines,blake3"));
    assert!(lines[1][3].parse::<f64>().unwrap() > 0.0, "{lines:?}");
}

#[test]
fn what_cannot_be_measured_is_refused_in_one_line() {
    let tree = tree();
    let file = tree.at("d0/f0");
    refused(&["limit"], &file, "is not a directory");
    refused(&["limit"], &tree.at("nowhere"), "nowhere: No such file or directory");
    refused(&["limit", "-a", "blake"], tree.path(), "unknown analysis \"blake\": did you mean \"blake3\"?");
    refused(&["limit", "--threads", "0"], tree.path(), "--threads");
    refused(&["sweep"], &file, "is not a directory");
    refused(&["sweep", "-a", "x"], tree.path(), "unknown analysis \"x\"");
    let empty = tree.directory("empty");
    for command in [&["limit"][..], &["sweep"], &["check", "--against", env!("CARGO_BIN_EXE_filemill")]] {
        refused(command, &empty, "no file could be read");
    }
    let place = Tree::new();
    let record = place.at("r.csv");
    refused(&["sweep", "-a", "x", "--record", record.to_str().unwrap()], tree.path(), "unknown analysis");
    assert!(!record.exists());
    let inside = tree.at("r.csv");
    refused(&["sweep", "--record", inside.to_str().unwrap()], tree.path(), "which is measured");
    refused(&["sweep", "-j", "0"], tree.path(), "not \"auto\" or a number from 1 to 4096");
    refused(&["sweep", "--target", "10000"], tree.path(), "it has no unit");
    refused(&["sweep", "--resume"], tree.path(), "--record");
    refused(&["sweep", "--record", "-"], tree.path(), "not with --record -");
    refused(&["sweep", "--record", "/nonexistent/r.csv"], tree.path(), "/nonexistent/r.csv: No such file");
    let arguments = ["sweep", "--stage", "ram-disk", "--ram-disk", "/nonexistent"];
    refused(&arguments, tree.path(), "/nonexistent: No such file");
    refused(&["sweep", "--stage", "ram-disk", "--ram-disk", "/proc"], tree.path(), "/proc: no tmpfs");
    refused(&["tier", "ultra"], tree.path(), "'ultra'");
    refused(&["check"], tree.path(), "--against");
    refused(&["check", "--against", "/nonexistent"], tree.path(), "/nonexistent: No such file");
    refused(&["check", "--against", "/bin/true"], tree.path(), "/bin/true: gave a report without an end");
    refused(&["check", "--against", "/bin/false"], tree.path(), "exit status: 1");
    refused(&["check", "--against", "x", "--max-drop", "5"], tree.path(), "not a percentage");
    refused(&["check", "--against", "x", "--out", "pdf=x"], tree.path(), "no format is named 'pdf'");
    let out = ["check", "--against", env!("CARGO_BIN_EXE_filemill"), "--out", "markdown=/nonexistent/x"];
    refused(&out, tree.path(), "/nonexistent/x: No such file");
    refused(
        &["check", "--baseline", "/nonexistent"],
        tree.path(),
        "/nonexistent: no such file: make it with",
    );
    let arguments = ["check", "--baseline", "/nonexistent/b.json", "--update-baseline"];
    refused(&arguments, tree.path(), "/nonexistent/b.json: No such file");
    refused(
        &["corpus", "--recipe", "10kk"],
        &tree.at("new"),
        "no recipe is named \"10kk\": did you mean \"10k\"?",
    );
    refused(&["corpus", "--recipe", "smoke"], tree.path(), "no corpus");
}

/// Waits until something holds, at most half a minute.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_tier_names_what_is_met_and_what_is_missed() {
    let tree = tree();
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let disk_path = disk.path().to_str().unwrap();
    let output = bench(&["tier", "base", "--repetitions", "2", "--ram-disk", disk_path], tree.path());
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    // Sixty files are no ten thousand.
    let line =
        |what: &str| stdout.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{stdout}"));
    assert!(line("at least 10,000").starts_with("missed"), "{stdout}");
    assert!(line("no path without an answer").starts_with("met"), "{stdout}");
    assert!(line("equal to those of the first run").starts_with("met"), "{stdout}");
    assert!(line("RAM disk").starts_with("met"), "{stdout}");
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn a_corpus_that_was_changed_is_never_fast() {
    let place = Tree::new();
    let corpus = place.at("corpus");
    let made = bench(&["corpus", "--recipe", "smoke"], &corpus);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("made"));
    let again = bench(&["corpus", "--recipe", "smoke"], &corpus);
    assert!(text(&again.stdout).contains("as it should be"), "{}", text(&again.stdout));

    let files = walkdir::WalkDir::new(&corpus).into_iter().map(Result::unwrap);
    let is_large = |entry: &walkdir::DirEntry| {
        entry.file_type().is_file()
            && entry.metadata().unwrap().len() > 1000
            && entry.path().parent() != Some(&corpus)
    };
    let changed = { files }.find(is_large).unwrap().into_path();
    let mut bytes = std::fs::read(&changed).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    refused(&["corpus", "--recipe", "smoke"], &corpus, changed.to_str().unwrap());
    // Nothing is measured on it.
    let here = env!("CARGO_BIN_EXE_filemill");
    let baseline = place.at("b.json");
    let new_baseline = ["check", "--update-baseline", "--baseline", baseline.to_str().unwrap()];
    for command in
        [&["sweep"][..], &["limit"], &["tier", "base"], &["check", "--against", here], &new_baseline]
    {
        refused(command, &corpus, changed.to_str().unwrap());
    }
    assert!(!baseline.exists());
}

#[test]
fn what_is_not_ours_on_a_ram_disk_stays() {
    let tree = tree();
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    for name in ["filemill-bench-notes", "filemill-bench-1f"] {
        std::fs::create_dir(disk.path().join(name)).unwrap();
        std::fs::write(disk.path().join(name).join("mine"), "precious").unwrap();
    }
    let disk_path = disk.path().to_str().unwrap();
    let output = bench(&["tier", "base", "--repetitions", "2", "--ram-disk", disk_path], tree.path());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    for name in ["filemill-bench-notes", "filemill-bench-1f"] {
        let mine = disk.path().join(name).join("mine");
        assert_eq!(std::fs::read_to_string(mine).unwrap(), "precious");
    }
    // A tree is not copied into itself.
    refused(&["tier", "base", "--ram-disk", disk_path], disk.path(), "lies in it");
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let tree = tree();
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let arguments = ["bench", "tier", "base", "--repetitions", "2", "--ram-disk"];
    let mut command = filemill(&arguments);
    command.arg(disk.path()).arg(tree.path()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
