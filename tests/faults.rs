//! Every operation of a run fails in turn, once and from then on, and its thread panics: nothing is lost, nothing is
//! wrong, nobody sees a panic.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use filemill::error::{Cause, Error};
use filemill::faults::{Effect, Faults, Operation};
use filemill::plan::{Plan, Sort, Staging, Workers};
use filemill::record::Outcome;

use crate::support::{Keep, Records, Tree, analyses, scan};

/// Files smaller and larger than a block, and what is no file.
fn tree() -> Tree {
    let tree = Tree::new();
    for i in 0..24_usize {
        tree.file(format!("{}/{}/{i}", i % 3, i % 6), "x\n".repeat(i * 300));
    }
    tree.directory("empty");
    #[cfg(unix)]
    tree.link("0/link", "nowhere");
    tree
}

fn plan(tree: &Tree) -> Plan {
    Plan {
        analyses: analyses("lines,blake3"),
        workers: Workers::Number(2),
        walkers: 2,
        batch_files_max: 3,
        queue_batches_max: 2,
        block_bytes: 4096,
        // Few handles, so that directories are opened again on the way back.
        handles_max: 40,
        ..Plan::new([tree.path()])
    }
}

/// What holds of every run, compared with one in which nothing went wrong.
#[track_caller]
fn check_records(root: &str, expected: &Records, records: &Records, cause_expected: Cause, what: &str) {
    let failed: BTreeMap<_, _> = records
        .iter()
        .filter_map(|(path, (outcome, _))| match outcome {
            Outcome::Failed(error) => Some((path.as_str(), error.cause)),
            _ => None,
        })
        .collect();
    for (path, record) in records {
        if !failed.contains_key(path.as_str()) {
            assert_eq!(expected.get(path), Some(record), "{what}: {path}");
        }
    }
    assert!(failed.values().all(|cause| *cause == cause_expected), "{what}: {failed:?}");
    for path in expected.keys() {
        // The root itself is named by its whole path.
        let lies_in_failed = |failed: &&str| Path::new(path).starts_with(failed) || *failed == root;
        let is_told = records.contains_key(path) || failed.keys().any(lies_in_failed);
        assert!(is_told, "{what}: {path} was lost");
    }
}

/// Lets the first, second, third ... operation of a kind go wrong, until there are no more of them.
fn sweep(operation: Operation, effect: Effect, cause: Cause) {
    let tree = tree();
    sweep_over(&tree, &plan(&tree), operation, effect, cause);
    // Every file is a large one, and read by whoever has time.
    sweep_over(&tree, &Plan { share_bytes: 1, ..plan(&tree) }, operation, effect, cause);
}

fn sweep_over(tree: &Tree, plan: &Plan, operation: Operation, effect: Effect, cause: Cause) {
    let expected = scan(plan).0;
    for sort in [Sort::None, Sort::Path] {
        let mut at = 1;
        loop {
            let what = format!("{operation:?} {at} {effect:?} {sort:?}");
            let faults = Faults::new(operation, at, effect);
            let (records, report) = scan(&Plan { sort, faults: faults.clone(), ..plan.clone() });
            if !faults.has_struck() {
                assert_eq!(records, expected);
                break;
            }
            check_records(tree.path().to_str().unwrap(), &expected, &records, cause, &what);
            let failed = report.ledger.failed_total();
            assert_eq!(report.is_complete(), failed == 0, "{what}");
            let at_least =
                u64::from(matches!(operation, Operation::Open | Operation::Read | Operation::Status));
            let at_most = if effect == Effect::FailsFromThenOn { u64::MAX } else { 1 };
            assert!((at_least..=at_most).contains(&failed), "{what}: {failed} failed");
            at += 1;
        }
        assert!(at > 2, "{operation:?}: only {} operations", at - 1);
    }
}

#[test]
fn a_file_that_cannot_be_opened_asked_or_read_is_one_error_record() {
    for operation in [Operation::Open, Operation::Status, Operation::Read] {
        sweep(operation, Effect::FailsOnce, Cause::Io);
        sweep(operation, Effect::FailsFromThenOn, Cause::Io);
    }
}

#[test]
fn a_worker_that_panics_at_a_file_costs_that_file() {
    for operation in [Operation::Open, Operation::Status, Operation::Read] {
        sweep(operation, Effect::Panics, Cause::Panic);
    }
}

#[test]
fn a_part_of_a_file_that_cannot_be_read_costs_that_file() {
    let tree = Tree::new();
    tree.file("large", "line\n".repeat(4 << 20));
    tree.file("small", "x");
    for list in ["lines,blake3", "lines,sha256"] {
        let plan =
            Plan { share_bytes: 1 << 20, block_bytes: 1 << 20, analyses: analyses(list), ..plan(&tree) };
        for operation in [Operation::Open, Operation::Status, Operation::Read] {
            sweep_over(&tree, &plan, operation, Effect::FailsOnce, Cause::Io);
            sweep_over(&tree, &plan, operation, Effect::Panics, Cause::Panic);
        }
    }
}

/// Reading as it lies gives the same answer.
#[cfg(target_os = "linux")]
#[test]
fn a_ram_disk_that_fails_costs_nothing() {
    let tree = tree();
    let plan = Plan { staging: Staging::RamDisk, ..plan(&tree) };
    let expected = scan(&plan).0;
    let (mut at, mut went_past) = (1, false);
    loop {
        for effect in [Effect::FailsOnce, Effect::FailsFromThenOn] {
            let faults = Faults::new(Operation::RamDisk, at, effect);
            let (records, report) = scan(&Plan { faults: faults.clone(), ..plan.clone() });
            assert_eq!(records, expected, "{at} {effect:?}");
            if !faults.has_struck() {
                assert!(at > 10 && went_past && report.notes.is_empty());
                return;
            }
            // Where a batch was only cut short by it, every file went through the RAM disk after all.
            let told = report.notes.iter().any(|note| note.contains("RAM disk"));
            assert_eq!(told, report.staged.read.files > 0, "{at}: {:?}", report.notes);
            went_past |= told;
        }
        at += 1;
    }
}

/// Whatever way the bytes take, the file whose turn it was is the one that fails.
#[cfg(target_os = "linux")]
#[test]
fn every_way_of_staging_survives_every_fault() {
    filemill::guard_mappings().unwrap();
    let tree = tree();
    for staging in [Staging::Mmap, Staging::RamDisk] {
        let plan = Plan { staging, map_bytes_min: 4096, ..plan(&tree) };
        for operation in [Operation::Open, Operation::Status, Operation::Read] {
            sweep_over(&tree, &plan, operation, Effect::FailsOnce, Cause::Io);
            sweep_over(&tree, &plan, operation, Effect::Panics, Cause::Panic);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_opened_or_listed_is_one_error_record() {
    for operation in [Operation::OpenDirectory, Operation::List] {
        sweep(operation, Effect::FailsOnce, Cause::Io);
        sweep(operation, Effect::FailsFromThenOn, Cause::Io);
    }
}

#[test]
fn threads_that_cannot_be_started_leave_the_work_to_the_others() {
    let tree = tree();
    let expected = scan(&plan(&tree)).0;
    for at in 1..=5 {
        for effect in [Effect::FailsOnce, Effect::FailsFromThenOn] {
            let faults = Faults::new(Operation::Spawn, at, effect);
            let plan = Plan { faults: faults.clone(), ..plan(&tree) };
            let mut keep = Keep::default();
            match filemill::run(&plan, &mut keep) {
                Ok(report) => {
                    assert_eq!(keep.records, expected);
                    assert_eq!(faults.has_struck(), !report.notes.is_empty(), "{:?}", report.notes);
                }
                // No worker at all, or no walker.
                Err(Error::Thread(_)) => {
                    assert!(at <= 3 && effect == Effect::FailsFromThenOn, "{at} {effect:?}")
                }
                Err(error) => panic!("{at} {effect:?}: {error}"),
            }
        }
    }
}

/// Whatever looks for a slowdown finds this one: in what the workers were busy, and in how long each batch took.
#[test]
fn a_run_that_is_slowed_on_purpose_takes_longer_and_says_the_same() {
    let tree = Tree::new();
    for i in 0..64 {
        tree.file(format!("{}/{i}", i % 5), "one two\n".repeat(20_000));
    }
    tree.file("large", "line\n".repeat(4 << 20));
    // Divided, and not: a part of a large file is slowed as a batch is.
    for share_bytes in [1 << 20, 1 << 30] {
        let plan = Plan { share_bytes, block_bytes: 1 << 18, ..plan(&tree) };
        let expected = scan(&plan).0;
        let busy = |plan: &Plan| {
            // The least of several says most about the work: others may want the cores too.
            let runs = (0..5).map(|_| {
                let (records, report) = scan(plan);
                assert_eq!(records, expected);
                (report.steps.stage + report.steps.analyse, report.batches.max().unwrap())
            });
            runs.reduce(|least, run| (least.0.min(run.0), least.1.min(run.1))).unwrap()
        };
        let faults = Faults::parse("batch:300:slow").unwrap();
        let (plain, slow) = (busy(&plan), busy(&Plan { faults: faults.clone(), ..plan.clone() }));
        assert!(faults.has_struck());
        assert!(slow.0 > plain.0 * 2 && slow.1 > plain.1 * 2, "{share_bytes}: {plain:?}, {slow:?}");
    }
}

#[test]
fn a_fault_that_means_nothing_is_none() {
    for fault in
        ["batch:10:once", "read:10:slow", "batch:slow", "batch:-1:slow", "batch:10:slower", "nap:1:once"]
    {
        assert!(Faults::parse(fault).is_none(), "{fault}");
    }
}

fn filemill(tree: &Tree, fault: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filemill"));
    command.arg("scan").args(arguments).current_dir(tree.path()).env("FILEMILL_FAULT", fault);
    command.env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A tree whose reports take several writes each.
fn large_tree() -> Tree {
    let tree = Tree::new();
    for i in 0..3000 {
        tree.file(format!("files/{}/{i:0120}", i % 10), "");
    }
    tree
}

const REPORTS: [&str; 5] = [
    "--out=jsonl=r.jsonl",
    "--out=csv=r.csv",
    "--out=table=r.table",
    "--out=paths=r.paths",
    "--out=b3sum=r.b3sum",
];

#[test]
fn a_report_that_cannot_be_written_keeps_its_name_from_being_given() {
    let tree = large_tree();
    let names = ["jsonl", "csv", "table", "paths", "b3sum"].map(|format| tree.at(format!("r.{format}")));
    for operation in ["write", "fsync", "rename"] {
        for effect in ["once", "ever"] {
            let mut at = 1;
            loop {
                names.iter().for_each(|name| std::fs::write(name, "old").unwrap());
                let fault = format!("{operation}:{at}:{effect}");
                let arguments = [&["files", "-q"], &REPORTS[..]].concat();
                let output = filemill(&tree, &fault, &arguments).output().unwrap();
                let stderr = stderr(&output);
                if output.status.code() == Some(0) {
                    assert_eq!(stderr, "", "{fault}");
                    break;
                }
                assert_eq!(output.status.code(), Some(2), "{fault}: {stderr}");
                assert!(stderr.contains("No space left on device") && !stderr.contains("panic"), "{stderr}");
                assert!(stderr.starts_with("filemill: "), "{fault}: {stderr}");
                for name in &names {
                    let partial =
                        name.with_extension(format!("{}.partial", name.extension().unwrap().display()));
                    let is_complete = std::fs::read(name).unwrap() != b"old";
                    // A report has its name, or what there is of it is told of.
                    let is_told =
                        stderr.contains(&format!("{} holds", partial.file_name().unwrap().display()));
                    assert_eq!(partial.exists(), is_told, "{fault}: {}: {stderr}", name.display());
                    assert!(!(is_complete && partial.exists()), "{fault}: {}", name.display());
                    drop(std::fs::remove_file(partial));
                }
                at += 1;
            }
            let at_least = if operation == "write" { 9 } else { 5 };
            assert!(at > at_least, "{operation}: only {} of them", at - 1);
        }
    }
}

#[test]
fn standard_output_that_takes_nothing_more_is_an_error() {
    let tree = large_tree();
    for format in [&[][..], &["--format=jsonl"], &["--format=csv"], &["--format=table"], &["--format=paths"]]
    {
        let mut at = 1;
        loop {
            let fault = format!("write:{at}:once");
            let output = filemill(&tree, &fault, format).output().unwrap();
            if output.status.code() == Some(0) {
                break;
            }
            let stderr = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("No space left on device") && stderr.lines().count() == 1, "{stderr}");
            at += 1;
        }
        assert!(at > 1, "{format:?}");
    }
}

/// Promise 9: a read that never returns does not keep the process.
#[cfg(target_os = "linux")]
#[test]
fn a_run_that_hangs_is_gone_two_seconds_after_the_signal() {
    use rustix::process::{Pid, Signal, kill_process};
    let tree = large_tree();
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        for hang in ["read:2000:hang", "open-directory:3:hang", "write:2:hang"] {
            let child = filemill(&tree, hang, &["files", "--out=jsonl=r.jsonl"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(400));
            let since = Instant::now();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let output = child.wait_with_output().unwrap();
            let stderr = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{hang}: {stderr}");
            let gone = since.elapsed();
            assert!(gone < Duration::from_secs(2), "{hang}: gone after {gone:?}");
            assert!(gone > Duration::from_millis(1400), "{hang}: it did not hang: {stderr}");
            assert!(stderr.contains("did not come to its end in time"), "{stderr}");
            assert!(stderr.contains("r.jsonl.partial holds what was written by then"), "{hang}: {stderr}");
            assert!(!tree.at("r.jsonl").exists() && tree.at("r.jsonl.partial").exists());
            // All that was read by then lies in it, line by line.
            let partial = std::fs::read_to_string(tree.at("r.jsonl.partial")).unwrap();
            let mut lines = partial.lines();
            let begin: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
            assert_eq!(begin["type"], "begin");
            if hang.starts_with("read") {
                assert!(lines.count() >= 1000, "{hang}: what was read was not written");
            }
        }
    }
}
