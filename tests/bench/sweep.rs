//! Sweeps: what they record, how they go on, what they choose.

use std::process::Stdio;

use super::{bench, count, ram_disk, refused, rows, tree, wait_until};
use crate::binary::{filemill, text};
use crate::support::Tree;

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
    // The defaults of scan are one point more.
    assert_eq!(kinds, [1, 9, 27, 9, 0, 0]);
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
        assert_eq!(row["ram_disk_bytes"].is_empty(), row["stage"] != "ram-disk", "{row:?}");
    }
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    // A record is never overwritten, and one that is complete goes on to the same end.
    refused(&[&SMALL[..], &more].concat(), tree.path(), "is there already");
    let again = bench(&[&SMALL[..], &more, &["--resume"]].concat(), tree.path());
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    assert_eq!([count(&record, "sample"), count(&record, "point")], [27, 9]);
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
    assert_eq!(reader.records().map(Result::unwrap).count(), 5 + 15 + 5);
}

/// With or without a GPU here: then the processor does what `auto` leaves to it.
#[test]
fn devices_are_points_and_have_columns() {
    let (tree, place) = (tree(), Tree::new());
    let record = place.at("r.csv");
    let arguments = [
        &["sweep", "-j", "1", "--batch-files", "64", "--stage", "read", "--search", "full"][..],
        &["--repetitions", "1", "-a", "minhash", "--device", "cpu,auto", "--gpu-memory", "0.25GB"],
        &["--record", record.to_str().unwrap(), "--resume"],
    ]
    .concat();
    let output = bench(&arguments, tree.path());
    let stdout = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(stdout.contains("  device  ") && stdout.contains(" --device "), "{stdout}");
    // The defaults of scan are one point more.
    assert_eq!([count(&record, "sample"), count(&record, "point")], [3, 3]);
    let all = rows(&record);
    assert!(all.iter().all(|row| row["answers"].is_empty() || row["answers"] == all[0]["answers"]));
    for row in &all {
        let memory = if row["device"] == "cpu" { "" } else { "250000000" };
        assert_eq!(row["gpu_memory_bytes"], memory, "{row:?}");
        let gpu = ["gpu_files", "gpu_bytes", "gpu_busy_seconds"].map(|column| row[column].as_str());
        assert!(row["device"] == "auto" || gpu == [""; 3], "{row:?}");
    }
    // What is known is not measured again.
    assert_eq!(bench(&arguments, tree.path()).status.code(), Some(0));
    assert_eq!(count(&record, "sample"), 3);
    refused(&["sweep", "--device", "cpu,"], tree.path(), "not auto, cpu, gpu or a part of an adapter's name");
    refused(&["sweep", "--gpu-memory", "0"], tree.path(), "must be at least 1 byte");
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
    assert_eq!((before, runs.len()), (21 * 7, 21 * 7), "every run once");
    assert_eq!(count(&record, "point"), 21);
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
    use filemill::plan::{Device, Staging, Workers};
    let tree = tree();
    let sweep = Sweep {
        path: tree.path().to_owned(),
        analyses: "lines,blake3".to_owned(),
        workers: vec![Workers::Number(2), Workers::Auto, Workers::Number(1)],
        batch_files: vec![64, 8],
        stages: vec![Staging::Read],
        devices: vec![Device::Cpu],
        gpu_memory_bytes: 500_000_000,
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
    assert_eq!((result.points.len(), written), (7, 7 * (1 + 2 + 1)));
    assert!(result.points.iter().all(|point| point.fate == Fate::Ran && point.rate.count == 2));
    assert!(result.best.is_some() && result.best == result.best_in_place);
    assert_eq!(result.answers.unwrap().files, 60);
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
    let faults =
        [("read:7:once", "wrong answers: files, bytes, others"), ("spawn:1:ever", "cannot start a thread")];
    for (fault, why) in faults {
        let output = with(fault);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{stderr}");
        assert!(stderr.contains(why) && stderr.contains("no point could be measured"), "{why}: {stderr}");
        assert_eq!(["error", "sample", "warm-up"].map(|kind| count(&record, kind)), [3, 0, 0]);
    }
}

#[test]
fn a_sweep_of_a_tree_that_changes_has_no_best() {
    let (tree, place) = (tree(), Tree::new());
    let record = place.at("r.csv");
    let arguments =
        [&["bench"], &SMALL[..7], &["--repetitions", "40", "--stage", "read", "--record"]].concat();
    let mut command = filemill(&arguments);
    command.arg(&record).arg(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until("it records nothing", || std::fs::read(&record).is_ok_and(|text| text.len() > 8_000));
    tree.file("d1/new", "more");
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stdout.contains("failed: -j ") && stdout.contains(": wrong answers: "), "{stdout}");
    assert!(stdout.contains("no best: the tree changed while it was measured"), "{stdout}");
    assert!(!stdout.contains("best: 1") && !stdout.contains("filemill scan"), "{stdout}");
    assert!(stderr.contains("points failed: the tree changed while it was measured"), "{stderr}");
}
