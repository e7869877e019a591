//! What happens while a run goes on: files and directories change, sinks fail, somebody cancels.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use filemill::control::Control;
use filemill::plan::{Plan, Sort, Staging, Workers};
use filemill::record::{Outcome, Record};
use filemill::report::Report;
use filemill::sink::Sink;

use crate::probe::probe;
use crate::support::{InOrder, Keep, Records, Tree, analyses, fifo, outcomes, scan};

#[test]
fn files_that_change_while_they_are_read() {
    #[track_caller]
    fn check(act: fn(&Path), expected: &str) {
        filemill::guard_mappings().unwrap();
        for (size, staging) in
            [(100, Staging::Read), (20_000, Staging::Read), (100, Staging::Mmap), (20_000, Staging::Mmap)]
        {
            let tree = Tree::new();
            tree.file("victim", vec![b'x'; size]);
            tree.file("witness", "y");
            let meddling = probe(move |path, blocks| {
                if blocks == 1 && path.ends_with("victim") {
                    act(path);
                }
            });
            // Blocks smaller than the larger file, so that it changes between two reads.
            let mut plan = Plan { block_bytes: 4096, staging, map_bytes_min: 1, ..Plan::new([tree.path()]) };
            plan.analyses = vec![meddling];
            let (records, report) = scan(&plan);
            assert_eq!(outcomes(&records)["victim"], expected, "{size} bytes, {staging:?}");
            assert_eq!(outcomes(&records)["witness"], "file");
            assert_eq!(report.is_complete(), expected == "file");
        }
    }
    check(|path| OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap(), "changed");
    check(|path| OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap(), "changed");
    check(|path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap(), "changed");
    check(|path| OpenOptions::new().write(true).open(path).unwrap().write_all(b"Z").unwrap(), "changed");
    // Deleted: its link count goes down, and with it the time of its last change.
    check(|path| fs::remove_file(path).unwrap(), "changed");
    check(
        |path| {
            fs::write(path.with_extension("new"), "replaced").unwrap();
            fs::rename(path.with_extension("new"), path).unwrap();
        },
        "changed",
    );
    check(|_| {}, "file");
    check(|_| panic!("on purpose"), "panic");
}

/// A sink that does something to the tree when the first record comes that `when` picks by its path.
struct MeddlingSink<W: Fn(&str) -> bool, F: FnMut()> {
    keep: Keep,
    when: W,
    act: F,
    has_acted: bool,
}

impl<W: Fn(&str) -> bool, F: FnMut()> Sink for MeddlingSink<W, F> {
    fn begin(&mut self, plan: &Plan, started: std::time::SystemTime) -> io::Result<()> {
        self.keep.begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = Vec::new();
        record.path_to(&mut path);
        if !self.has_acted && (self.when)(&String::from_utf8_lossy(&path)) {
            (self.act)();
            self.has_acted = true;
        }
        self.keep.record(record)
    }
}

/// Every file a batch, and never more than two under way: the walk is hardly ahead of the sink.
fn in_small_steps(tree: &Tree) -> Plan {
    Plan {
        walkers: 1,
        workers: Workers::Number(1),
        batch_files_max: 1,
        queue_batches_max: 1,
        analyses: analyses("lines"),
        ..Plan::new([tree.path()])
    }
}

fn meddle(plan: &Plan, when: impl Fn(&str) -> bool, act: impl FnMut()) -> (Records, Report) {
    let mut sink = MeddlingSink { keep: Keep::default(), when, act, has_acted: false };
    let report = filemill::run(plan, &mut sink).unwrap();
    assert!(report.ledger.adds_up() && sink.has_acted);
    (sink.keep.records, report)
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let (tree, outside) = (Tree::new(), Tree::new());
    outside.file("file", "a secret, longer than the rest");
    for i in 0..100 {
        tree.file(format!("{i:02}/file"), "x");
    }
    let (records, _) = meddle(
        &in_small_steps(&tree),
        |_| true,
        || {
            for i in 0..100 {
                fs::remove_dir_all(tree.at(format!("{i:02}"))).unwrap();
                std::os::unix::fs::symlink(outside.path(), tree.at(format!("{i:02}"))).unwrap();
            }
        },
    );
    let words = outcomes(&records);
    // A directory that goes while it is listed may fail itself after its file was met.
    let met: std::collections::BTreeSet<_> = words.keys().map(|path| path.split('/').next()).collect();
    assert_eq!(met.len(), 100, "something for each: {words:?}");
    assert!(words.values().filter(|word| **word == "changed").count() > 50, "{words:?}");
    for (path, (outcome, _)) in &records {
        assert!(
            !matches!(outcome, Outcome::Done { size, .. } if *size > 1),
            "{path} was read outside the root"
        );
    }
}

#[test]
fn a_file_that_becomes_a_fifo_or_a_link_is_not_read() {
    let tree = Tree::new();
    for i in 0..60 {
        tree.file(format!("{i:02}"), "x");
    }
    let (records, _) = meddle(
        &in_small_steps(&tree),
        |_| true,
        || {
            for i in 0..60 {
                let path = tree.at(format!("{i:02}"));
                fs::remove_file(&path).unwrap();
                match i % 3 {
                    0 => fifo(&path),
                    1 => std::os::unix::fs::symlink("/etc/passwd", &path).unwrap(),
                    _ => {}
                }
            }
        },
    );
    let words = outcomes(&records);
    assert_eq!(words.len(), 60);
    for word in ["changed", "vanished"] {
        assert!(words.values().filter(|other| **other == word).count() > 10, "{words:?}");
    }
    assert!(words.values().filter(|word| **word == "file").count() < 10, "{words:?}");
}

#[test]
fn a_directory_moved_away_while_its_handle_was_closed() {
    // Few handles, and the way down comes before the files beside it, so that the walk comes back through `..`.
    let (tree, elsewhere) = (Tree::new(), Tree::new());
    let levels = 12;
    for level in 1..=levels {
        for side in ["a", "b", "y", "z"] {
            tree.file(format!("{}{side}/file", "m/".repeat(level)), "x");
        }
    }
    let total = 4 * levels;
    let plan = Plan { handles_max: 12, ..in_small_steps(&tree) };
    let undisturbed = scan(&plan).0;
    assert_eq!(undisturbed.len(), total);
    // Deep inside `m/m/m/m`, that directory is moved to another place: `..` still leads up to it, but no further.
    let deep = format!("/{}", "m/".repeat(8));
    let (records, report) = meddle(
        &plan,
        |path| path.contains(&deep),
        || fs::rename(tree.at("m/m/m/m"), elsewhere.at("m")).unwrap(),
    );
    let words = outcomes(&records);
    assert!(words.values().all(|word| ["file", "changed", "vanished"].contains(word)), "{words:?}");
    // Whatever is missing lies under a directory that has an error record of its own.
    let failed: Vec<_> = words.iter().filter(|(_, word)| **word != "file").map(|(path, _)| *path).collect();
    for path in undisturbed.keys() {
        let told = words.contains_key(path.as_str())
            || failed.iter().any(|failed| path.starts_with(&format!("{failed}/")));
        assert!(told, "{path} was lost without a word: {words:?}");
    }
    assert_eq!(report.directories_failed, failed.len() as u64);
    // Above the move everything is where it was.
    for path in undisturbed.keys().filter(|path| path.matches("m/").count() < 4) {
        assert_eq!(words[path.as_str()], "file", "{path}");
    }
}

/// A tree of 2000 files, a slow analysis over it, and how many files it began.
pub(crate) fn slow_run() -> (Tree, Plan, Arc<AtomicUsize>) {
    let tree = Tree::new();
    for i in 0..2000 {
        tree.file(format!("{}/{i}", i % 40), "x");
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let count = begun.clone();
    let slow = probe(move |_, blocks| {
        if blocks == 0 {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let plan = Plan {
        batch_files_max: 4,
        workers: Workers::Number(2),
        analyses: vec![slow],
        ..Plan::new([tree.path()])
    };
    (tree, plan, begun)
}

/// Fails, or cancels, at the tenth record; counts the looks in between.
struct Stop<'c> {
    control: Option<&'c Control>,
    records: u64,
    idle: u64,
}

impl Sink for Stop<'_> {
    fn record(&mut self, _: &Record<'_>) -> io::Result<()> {
        self.records += 1;
        match self.control {
            None if self.records == 10 => Err(io::Error::other("full")),
            Some(control) if self.records == 10 => {
                control.cancel();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.idle += 1;
        Ok(())
    }
}

#[test]
fn a_sink_that_fails_stops_everyone() {
    let (_tree, plan, begun) = slow_run();
    let error = filemill::run(&plan, &mut Stop { control: None, records: 0, idle: 0 }).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the report: full");
    assert!(begun.load(Ordering::Relaxed) < 200, "{begun:?} of 2000 files");
}

#[test]
fn a_cancelled_run_tells_what_it_left_unread() {
    let (_tree, plan, begun) = slow_run();
    let control = Control::new();
    let mut sink = Stop { control: Some(&control), records: 0, idle: 0 };
    let report = filemill::run_with(&plan, &mut sink, &control).unwrap();
    assert!(report.cancelled && !report.is_complete() && report.ledger.adds_up());
    assert_eq!(report.ledger.done, sink.records);
    assert!(report.ledger.unread > 0 && begun.load(Ordering::Relaxed) < 200, "{:?}", report.ledger);
}

#[test]
fn who_reads_along_sees_records_while_the_run_goes_on() {
    let (_tree, plan, _) = slow_run();
    // Neither fails nor cancels: the tenth record is one of another control's run.
    let control = Control::new();
    let mut sink = Stop { control: Some(&control), records: 10, idle: 0 };
    filemill::run(&plan, &mut sink).unwrap();
    assert_eq!(sink.records, 2010);
    assert!(sink.idle > 3, "{} looks in two seconds", sink.idle);
}

/// A sorted run of 2000 files in which the first file in order takes until `released`, and how many files it began.
fn held_up(released: &Arc<AtomicBool>) -> (Tree, Plan, Arc<AtomicUsize>) {
    let tree = Tree::new();
    for i in 0..2000 {
        tree.file(format!("{:02}/{i:04}", i % 40), "x");
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let (count, released) = (begun.clone(), released.clone());
    let slow = probe(move |path, blocks| {
        if blocks == 0 {
            count.fetch_add(1, Ordering::Relaxed);
            while path.ends_with("00/0000") && !released.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let plan = Plan {
        sort: Sort::Path,
        sort_window_files_max: 40,
        batch_files_max: 5,
        workers: Workers::Number(2),
        analyses: vec![slow],
        ..Plan::new([tree.path()])
    };
    (tree, plan, begun)
}

#[test]
fn a_sorted_walk_waits_for_the_file_whose_turn_it_is() {
    let released = Arc::new(AtomicBool::new(false));
    let (_tree, plan, begun) = held_up(&released);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            let mut sink = InOrder::default();
            filemill::run(&plan, &mut sink).map(|report| (report, sink))
        });
        let since = std::time::Instant::now();
        while begun.load(Ordering::Relaxed) < 20 && since.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(200));
        // The window, and a batch more that was let in when the walk began.
        assert!((20..=50).contains(&begun.load(Ordering::Relaxed)), "{begun:?} of 2000 files");
        released.store(true, Ordering::Relaxed);
        let (report, sink) = run.join().unwrap().unwrap();
        assert_eq!(report.ledger.done, 2000);
        assert!(sink.0.is_sorted_by(|a, b| a.0 < b.0));
    });
}

#[test]
fn a_sorted_run_that_waits_can_be_cancelled_and_may_lose_its_sink() {
    for cancelled in [true, false] {
        let released = Arc::new(AtomicBool::new(false));
        let (_tree, plan, begun) = held_up(&released);
        let control = Control::new();
        // The tenth record fails, or cancels: by then the window is full again.
        let mut sink = Stop { control: cancelled.then_some(&control), records: 0, idle: 0 };
        let run = std::thread::scope(|scope| {
            let run = scope.spawn(|| filemill::run_with(&plan, &mut sink, &control));
            std::thread::sleep(Duration::from_millis(200));
            released.store(true, Ordering::Relaxed);
            run.join().unwrap()
        });
        assert!(begun.load(Ordering::Relaxed) < 500, "{begun:?} of 2000 files");
        match run {
            Ok(report) => assert!(cancelled && report.cancelled && report.ledger.adds_up()),
            Err(_) => assert!(!cancelled),
        }
    }
}
