//! The harness from outside: what it prints and records, its exit codes, and what it makes of bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

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
    refused(&["limit"], &file, "is no directory");
    refused(&["limit"], &tree.at("nowhere"), "nowhere: No such file or directory");
    refused(&["limit", "-a", "blake"], tree.path(), "unknown analysis \"blake\": did you mean \"blake3\"?");
    refused(&["limit", "--threads", "0"], tree.path(), "--threads");
    refused(&["sweep"], &file, "is no directory");
    refused(&["sweep", "-a", "x"], tree.path(), "unknown analysis \"x\"");
    let empty = tree.directory("empty");
    for command in [&["limit"][..], &["sweep"], &["check", "--against", env!("CARGO_BIN_EXE_filemill")]] {
        refused(command, &empty, "no file could be read");
    }
    let record = tree.at("r.csv");
    refused(&["sweep", "-a", "x", "--record", record.to_str().unwrap()], tree.path(), "unknown analysis");
    assert!(!record.exists());
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
    refused(&["check", "--baseline", "/nonexistent"], tree.path(), "/nonexistent: No such file");
    let arguments = ["check", "--baseline", "/nonexistent/b.json", "--update-baseline"];
    refused(&arguments, tree.path(), "/nonexistent/b.json: No such file");
    refused(
        &["corpus", "--recipe", "10kk"],
        &tree.at("new"),
        "no recipe is named \"10kk\": did you mean \"10k\"?",
    );
    refused(&["corpus", "--recipe", "smoke"], tree.path(), "no corpus");
}

const SMALL: [&str; 9] =
    ["sweep", "-j", "1,2", "--batch-files", "8,64", "--search", "full", "--repetitions", "3"];

#[test]
fn a_sweep_records_every_run_and_sums_up_every_point() {
    let tree = tree();
    let place = Tree::new();
    let record = place.at("r.csv");
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let disk_path = disk.path().to_str().unwrap();
    let more = ["--stage", "read,ram-disk", "--ram-disk", disk_path, "--record", record.to_str().unwrap()];
    let output = bench(&[&SMALL[..], &more, &["--target", "0.1f/s"]].concat(), tree.path());
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("target met"), "{stderr}");
    assert!(stdout.contains("best: ") && stdout.contains("RAM disk: "), "{stdout}");
    let kinds = ["load", "warm-up", "sample", "point", "error", "skipped"].map(|kind| count(&record, kind));
    assert_eq!(kinds, [1, 8, 24, 8, 0, 0]);
    let all = rows(&record);
    for row in all.iter().filter(|row| row["row"] == "sample" || row["row"] == "point") {
        for column in ["seconds", "files_per_second", "mb_per_second", "walk_seconds", "batch_p999_seconds"] {
            assert!(row[column].parse::<f64>().unwrap() > 0.0, "{column}: {row:?}");
        }
        assert_eq!(
            (row["files"].as_str(), row["error_rate"].as_str(), row["cache"].as_str()),
            ("60", "0.0", "warm")
        );
        assert!(!row["cpu"].is_empty() && !row["kernel"].is_empty() && row["cores"] != "0");
        assert_eq!(row["ram_disk_bytes"].is_empty(), row["stage"] == "read", "{row:?}");
    }
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    // A record is never overwritten, and one that is complete goes on to the same end.
    refused(&[&SMALL[..], &more].concat(), tree.path(), "is there already");
    let again = bench(&[&SMALL[..], &more, &["--resume"]].concat(), tree.path());
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!([count(&record, "sample"), count(&record, "point")], [24, 8]);
    let refusal = [&SMALL[..], &more, &["--resume", "-a", "none"]].concat();
    refused(&refusal, tree.path(), "was made under other conditions: analyses light, here none");
}

#[test]
fn rows_go_to_standard_output_as_well_and_a_target_can_be_missed() {
    let tree = tree();
    let arguments = [&SMALL[..], &["--stage", "read", "--format", "csv", "--target", "1000000TB/s"]].concat();
    let output = bench(&arguments, tree.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("target missed"), "{}", text(&output.stderr));
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    assert_eq!(reader.records().map(Result::unwrap).count(), 4 + 12 + 4);
}

#[test]
fn points_beyond_the_memory_are_not_measured() {
    let tree = tree();
    let arguments = ["sweep", "-j", "1,512", "--batch-files", "64", "--stage", "read", "--repetitions", "1"];
    let output = bench(&[&arguments[..], &["--memory", "64MiB"]].concat(), tree.path());
    let stdout = text(&output.stdout);
    assert!(stdout.contains("1 point not measured: may take "), "{stdout}");
    assert_eq!(output.status.code(), Some(0));
    // A tree that does not fit a RAM disk leaves the other points.
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let disk_path = disk.path().to_str().unwrap();
    let arguments =
        ["sweep", "-j", "1", "--batch-files", "8", "--stage", "ram-disk", "--ram-disk", disk_path];
    let memory = ["--memory", "4KiB"];
    refused(&[&arguments[..], &memory].concat(), tree.path(), "no point could be measured: a RAM disk of ");
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
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
#[cfg(target_os = "linux")]
fn a_sweep_that_was_killed_goes_on_and_what_it_left_is_removed() {
    let tree = tree();
    let place = Tree::new();
    let record = place.at("r.csv");
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let (disk_path, record_path) = (disk.path().to_str().unwrap(), record.to_str().unwrap());
    let arguments = [
        &["bench", "sweep", "-j", "1,2,3,4", "--batch-files", "1,2,4,8,64", "--search", "full"][..],
        &["--stage", "ram-disk", "--ram-disk", disk_path, "--record", record_path, "--resume"],
    ]
    .concat();
    let mut killed = 0;
    loop {
        let mut child = filemill(&arguments).arg(tree.path()).stdout(Stdio::null()).spawn().unwrap();
        let lines = std::fs::read(&record).map_or(0, |text| text.len());
        wait_until("it records nothing", || {
            std::fs::read(&record).is_ok_and(|text| text.len() > lines + 10_000)
                || child.try_wait().unwrap().is_some()
        });
        if killed == 3 {
            assert!(child.wait().unwrap().success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 1, "what was killed leaves something");
    }
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    let all = rows(&record);
    let mut runs: Vec<_> = all
        .iter()
        .filter(|row| row["row"] == "sample")
        .map(|row| (row["workers"].clone(), row["batch_files"].clone(), row["repetition"].clone()))
        .collect();
    runs.sort();
    let before = runs.len();
    runs.dedup();
    assert_eq!((before, runs.len()), (20 * 7, 20 * 7), "every run once");
    assert_eq!(count(&record, "point"), 20);
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_keeps_what_was_measured() {
    let tree = tree();
    let place = Tree::new();
    let record = place.at("r.csv");
    let arguments = ["bench", "sweep", "--repetitions", "1000", "--search", "full", "--record"];
    let mut command = filemill(&arguments);
    command.arg(&record).arg(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("it records nothing", || std::fs::read(&record).is_ok_and(|text| text.len() > 5_000));
    let output = interrupt(child);
    assert!(text(&output.stderr).contains("--resume goes on with it"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("files/s"));
    assert!(count(&record, "sample") + count(&record, "warm-up") > 4);
    assert_eq!(count(&record, "point"), 0);
}

/// Sends INT, and waits for the end, which comes within two seconds.
#[track_caller]
#[cfg(target_os = "linux")]
fn interrupt(child: std::process::Child) -> Output {
    use rustix::process::{Pid, Signal, kill_process};
    let since = Instant::now();
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    output
}

#[test]
#[cfg(target_os = "linux")]
fn an_interrupt_of_whatever_is_measured_leaves_nothing_and_gives_no_verdict() {
    let (tree, place) = (tree(), Tree::new());
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let disk_path = disk.path().to_str().unwrap();
    let baseline = place.at("b.json");
    let baseline = baseline.to_str().unwrap();
    let here = env!("CARGO_BIN_EXE_filemill");
    for (arguments, said) in [
        (&["limit", "--rounds", "1000"][..], "rounds, all sides in turn"),
        (&["tier", "base", "--repetitions", "1000", "--ram-disk", disk_path], "then interrupted"),
        (&["tier", "limit", "--repetitions", "1000"], "then interrupted"),
        (&["check", "--max-drop", "0.001%", "--pairs", "10000", "--against", here], "interrupted before"),
        (
            &["check", "--pairs", "10000", "--baseline", baseline, "--update-baseline"],
            "samples over 60 files",
        ),
    ] {
        let arguments = [&["bench"], arguments].concat();
        let mut command = filemill(&arguments);
        command.arg(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        // Long enough for a few runs, of whichever kind.
        std::thread::sleep(Duration::from_secs(2));
        let output = interrupt(child);
        assert!(text(&output.stdout).contains(said), "{arguments:?}: {}", text(&output.stdout));
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_record_goes_on_over_the_same_tree_alone() {
    let (tree, place) = (tree(), Tree::new());
    let record = place.at("r.csv");
    let sweep = |more: &[&str]| {
        let fixed = [
            "sweep",
            "-j",
            "1,2",
            "--batch-files",
            "8",
            "--stage",
            "read",
            "--record",
            record.to_str().unwrap(),
        ];
        bench(&[&fixed[..], more].concat(), tree.path())
    };
    assert_eq!(sweep(&["--repetitions", "2"]).status.code(), Some(0));
    tree.file("d1/f1", "changed");
    let output = sweep(&["--repetitions", "3", "--resume"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("answers otherwise than when the record was begun"), "{stderr}");
}

#[test]
fn two_may_use_one_ram_disk() {
    let tree = tree();
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let arguments =
        ["bench", "sweep", "-j", "1", "--batch-files", "8", "--stage", "ram-disk", "--repetitions", "2"];
    let start = || {
        let mut command = filemill(&arguments);
        command
            .arg("--ram-disk")
            .arg(disk.path())
            .arg(tree.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let started: Vec<_> = (0..8).map(|_| start()).collect();
    for child in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_cold_sweep_is_one_where_that_is_allowed() {
    let tree = tree();
    let arguments =
        ["sweep", "--cold", "-j", "2", "--batch-files", "64", "--stage", "read", "--repetitions", "1"];
    if std::fs::OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches").is_err() {
        return refused(&arguments, tree.path(), "the system's cache cannot be dropped here");
    }
    let output = bench(&[&arguments[..], &["--format", "csv"]].concat(), tree.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).lines().skip(1).all(|line| line.contains(",cold,")));
}

/// As a program would that embeds the library.
#[test]
fn a_sweep_within_one_process() {
    use filemill::bench::sweep::{Fate, Search, Sweep};
    use filemill::bench::{CacheState, Runner, Watch};
    use filemill::control::Control;
    use filemill::plan::{Staging, Workers};
    let tree = tree();
    let sweep = Sweep {
        path: tree.path().to_owned(),
        analyses: "lines,blake3".to_owned(),
        workers: vec![Workers::Number(2), Workers::Auto, Workers::Number(1)],
        batch_files: vec![64, 8],
        stages: vec![Staging::Read],
        search: Search::Full,
        repetitions: 2,
        seed: 1,
        cache: CacheState::Warm,
        memory_bytes_max: None,
        ram_disk_directory: None,
        runner: Runner::Here,
    };
    let control = Control::new();
    let mut written = 0;
    let mut write = |_: &_| {
        written += 1;
        Ok(())
    };
    let result = sweep.run(&[], &mut write, &Watch { control: &control, tell: &|_, _, _| {} }).unwrap();
    assert_eq!((result.points.len(), written), (6, 6 * (1 + 2 + 1)));
    assert!(result.points.iter().all(|point| point.fate == Fate::Ran && point.rate.count == 2));
    assert!(result.best.is_some() && result.best == result.best_in_place);
    assert_eq!(result.answers.unwrap().files, 60);
}

/// A stand-in for another build: a script around this one.
#[cfg(target_os = "linux")]
fn build(place: &Tree, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.file("build.sh", format!("#!/bin/sh\nF={}\n{script}\n", env!("CARGO_BIN_EXE_filemill")));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    // What was written to by a process that others are started from meanwhile may be "busy" for a moment.
    wait_until("it cannot be started", || {
        Command::new(&path).arg("--version").stdout(Stdio::null()).status().is_ok()
    });
    path
}

/// The word of a verdict and its exit code belong together.
#[track_caller]
fn verdict(output: &Output) -> &'static str {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let word = match output.status.code() {
        Some(0) => "pass",
        Some(1) => "regression",
        Some(4) => "inconclusive",
        code => panic!("{code:?}: {stderr}"),
    };
    assert!(stdout.starts_with(&format!("{word}: ")), "{word}: {stdout}");
    if word == "inconclusive" {
        assert!(stdout.contains("more pairs") || stdout.contains("too near"), "{stdout}");
    }
    word
}

#[test]
#[cfg(target_os = "linux")]
fn a_build_is_compared_with_another() {
    let (tree, place) = (tree(), Tree::new());
    let check = |old: &Path, more: &[&str]| {
        let arguments = [&["check", "--pairs", "10", "--against", old.to_str().unwrap()], more].concat();
        bench(&arguments, tree.path())
    };
    let slow = build(&place, "sleep 0.4; exec \"$F\" \"$@\"");
    assert_eq!(verdict(&check(&slow, &[])), "pass");
    let more = build(&place, "\"$F\" \"$@\" | sed 's/\"type\":\"file\",/&\"more\":1,/'");
    refused(&["check", "--against", more.to_str().unwrap()], tree.path(), "answer differently: more");
    verdict(&check(Path::new(env!("CARGO_BIN_EXE_filemill")), &["--max-drop", "0.1%", "-j", "1"]));

    let lies = build(&place, "\"$F\" \"$@\" | sed 's/\"lines\":3/\"lines\":4/'");
    refused(&["check", "--against", lies.to_str().unwrap()], tree.path(), "answer differently: lines");
    let fails = build(&place, "echo no >&2; exit 2");
    refused(&["check", "--against", fails.to_str().unwrap()], tree.path(), "exit status: 2: no");
}

#[test]
#[cfg(all(target_os = "linux", feature = "faults"))]
fn a_build_that_is_slower_is_found_and_confirmed() {
    let place = Tree::new();
    let tree = Tree::new();
    for i in 0..20 {
        tree.file(format!("f{i}"), "a word and another\n".repeat(10_000));
    }
    let old = build(&place, "unset FILEMILL_FAULT; exec \"$F\" \"$@\"");
    let arguments = ["bench", "check", "-j", "1", "-a", "full", "--max-drop", "20%", "--against"];
    let output = filemill(&arguments)
        .arg(&old)
        .arg(tree.path())
        .env("FILEMILL_FAULT", "batch:300:slow")
        .output()
        .unwrap();
    assert_eq!(verdict(&output), "regression");
    assert!(text(&output.stdout).contains("10 + 10 comparisons"), "{}", text(&output.stdout));
}

#[test]
#[cfg(target_os = "linux")]
fn the_verdict_is_written_in_the_forms_of_ci_services() {
    let (tree, place) = (tree(), Tree::new());
    let slow = build(&place, "sleep 0.4; exec \"$F\" \"$@\"");
    let out = |format: &str, name: &str| format!("{format}={}", place.at(name).display());
    let outs = [out("bigger-is-better", "big"), out("bencher", "bmf"), out("markdown", "md")];
    let mut arguments = vec!["check", "--pairs", "10", "--against", slow.to_str().unwrap()];
    outs.iter().for_each(|out| arguments.extend(["--out", out]));
    let output = bench(&arguments, tree.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(place.at(name)).unwrap();
    let big: Json = serde_json::from_str(&read("big")).unwrap();
    assert_eq!((&big[0]["name"], &big[0]["unit"]), (&"filemill scan -a light".into(), &"files/s".into()));
    assert!(big[0]["value"].as_f64().unwrap() > 0.0 && big[0]["range"].is_string());
    let bmf: Json = serde_json::from_str(&read("bmf")).unwrap();
    let throughput = &bmf["filemill scan -a light"]["throughput"];
    let of = |key: &str| throughput[key].as_f64().unwrap();
    assert!(of("lower_value") <= of("value") && of("value") <= of("upper_value"), "{throughput}");
    assert!(read("md").starts_with("### filemill scan -a light: pass\n"), "{}", read("md"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_baseline_counts_only_where_it_was_made() {
    let (tree, place) = (tree(), Tree::new());
    let file = place.at("baseline.json");
    let name = file.to_str().unwrap();
    let with = |more: &[&'static str]| [&["check", "--pairs", "10", "--baseline", name], more].concat();
    let made = bench(&with(&["--update-baseline"]), tree.path());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    verdict(&bench(&with(&[]), tree.path()));

    refused(&with(&["-a", "none"]), tree.path(), "of other settings (-a light, here -a none)");
    tree.file("d0/f7", "something else");
    refused(&with(&[]), tree.path(), "of another tree (60 files, here 60; different in bytes, ");
    let text_of = std::fs::read_to_string(&file).unwrap();
    let mut baseline: Json = serde_json::from_str(&text_of).unwrap();
    baseline["machine"]["cpu"] = "Another Processor".into();
    std::fs::write(&file, baseline.to_string()).unwrap();
    refused(&with(&[]), tree.path(), "of another machine (processor Another Processor, here ");
    std::fs::write(&file, "{}").unwrap();
    refused(&with(&[]), tree.path(), "is no baseline");
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
#[cfg(feature = "faults")]
fn a_point_that_answers_wrongly_or_fails_is_never_fast() {
    let place = Tree::new();
    let corpus = place.at("corpus");
    assert_eq!(bench(&["corpus", "--recipe", "smoke"], &corpus).status.code(), Some(0));
    let record = place.at("r.csv");
    let arguments = ["bench", "sweep", "-j", "1,2", "--batch-files", "64", "--stage", "read", "--record"];
    let with = |fault: &str| {
        drop(std::fs::remove_file(&record));
        filemill(&arguments).arg(&record).arg(&corpus).env("FILEMILL_FAULT", fault).output().unwrap()
    };
    let faults = [("read:7:once", "wrong answers: files, bytes, others"), ("spawn:1:ever", "exit status: 2")];
    for (fault, why) in faults {
        let output = with(fault);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{stderr}");
        assert!(stderr.contains(why) && stderr.contains("no point could be measured"), "{why}: {stderr}");
        assert_eq!(["error", "sample", "warm-up"].map(|kind| count(&record, kind)), [2, 0, 0]);
    }
}
