//! Trees that nobody would make on purpose, and files that change while they are read.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use filemill::analyses::{Analysis, Pass};
use filemill::control::Control;
use filemill::error::Cause;
use filemill::plan::{Filter, HANDLES_RESERVED, Plan, Walker};
use filemill::record::{Column, FileRecord, Outcome, Record, Row, SkipReason, Value, ValueKind};
use filemill::report::Report;
use filemill::sink::Sink;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps};

use crate::support::{Keep, Records, Tree, analyses, outcomes, scan};

fn plan(tree: &Tree, list: &str) -> Plan {
    Plan { analyses: analyses(list), ..Plan::new([tree.path()]) }
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

fn following(tree: &Tree) -> Plan {
    Plan { filter: Filter { follow: true, ..Filter::default() }, ..plan(tree, "lines") }
}

#[track_caller]
fn check(plan: &Plan, expected: &[(&str, &str)]) {
    let (records, _) = scan(plan);
    assert_eq!(outcomes(&records).into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_no_file_is_named_and_never_opened() {
    let tree = Tree::new();
    tree.file("file", "x");
    tree.link("link", "file");
    fifo(&tree.at("fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(tree.at("socket")).unwrap();
    let expected = [("fifo", "fifo"), ("file", "file"), ("link", "symlink"), ("socket", "socket")];
    check(&plan(&tree, "full"), &expected);
    check(&Plan { walker: Walker::Portable, ..plan(&tree, "full") }, &expected);
}

#[test]
fn roots_of_every_kind() {
    let tree = Tree::new();
    tree.file("directory/inside", "x");
    tree.link("link-to-directory", "directory");
    tree.link("link-to-file", "directory/inside");
    fifo(&tree.at("fifo"));
    for walker in [Walker::Handles, Walker::Portable] {
        let root = |name: &str| {
            let (records, _) =
                scan(&Plan { walker, analyses: analyses("lines"), ..Plan::new([tree.at(name)]) });
            let (path, (outcome, _)) = records.into_iter().next().unwrap();
            (path.trim_start_matches(&format!("{}/", tree.path().display())).to_owned(), outcome)
        };
        assert!(
            matches!(root("directory/inside"), (path, Outcome::Done { size: 1, .. }) if path == "directory/inside")
        );
        assert!(matches!(root("link-to-directory"), (path, Outcome::Done { .. }) if path == "inside"));
        assert!(matches!(root("link-to-file"), (path, Outcome::Done { .. }) if path == "link-to-file"));
        assert!(matches!(root("fifo"), (_, Outcome::Skipped(SkipReason::Fifo))));
        let device = scan(&Plan { walker, ..Plan::new(["/dev/null"]) }).0;
        assert_eq!(outcomes(&device).into_values().collect::<Vec<_>>(), ["device"]);
    }
}

#[test]
fn links_are_followed_once_asked_and_circles_are_named() {
    let tree = Tree::new();
    tree.file("a/file", "x");
    tree.link("a/up", "..");
    tree.link("b/to-a", "../a");
    tree.link("dangling", "nowhere");
    tree.link("circle", "circle");
    let expected = [
        ("a/file", "file"),
        ("a/up", "loop"),
        ("b/to-a/file", "file"),
        ("b/to-a/up", "loop"),
        ("circle", "broken-link"),
        ("dangling", "broken-link"),
    ];
    check(&following(&tree), &expected);
    check(&Plan { walker: Walker::Portable, ..following(&tree) }, &expected);
}

#[test]
fn names_of_every_byte() {
    let tree = Tree::new();
    let longest = "n".repeat(255);
    for name in
        [&b"line\nfeed"[..], b"\x1b[31mred", b"\xff\xfe not text", b" ", b"-a", b"*", longest.as_bytes()]
    {
        tree.file(Path::new(OsStr::from_bytes(name)), name);
    }
    let (records, _) = scan(&plan(&tree, "blake3"));
    assert_eq!(records.len(), 7);
    for entry in fs::read_dir(tree.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let (_, values) = &records[&name.as_bytes().escape_ascii().to_string()];
        let digest = blake3::hash(name.as_bytes());
        assert_eq!(values[0], Value::Digest(filemill::record::Digest::new(digest.as_bytes())));
    }
}

/// Steps down from `start` through directories of the given name, making them; returns the innermost.
fn dig(start: &Path, name: &str, levels: usize) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut handle = rustix::fs::open(start, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        rustix::fs::mkdirat(&handle, name, Mode::RWXU).unwrap();
        handle = rustix::fs::openat(&handle, name, flags, Mode::empty()).unwrap();
    }
    handle
}

fn write_at(directory: &OwnedFd, name: &str, content: &str) {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).unwrap();
    File::from(file).write_all(content.as_bytes()).unwrap();
}

#[test]
fn a_path_longer_than_the_system_allows() {
    let tree = Tree::new();
    let name = "d".repeat(200);
    let innermost = dig(tree.path(), &name, 40);
    write_at(&innermost, "file", "found");
    let (records, report) = scan(&plan(&tree, "lines"));
    let (path, (outcome, _)) = records.first_key_value().unwrap();
    assert_eq!((records.len(), path.len()), (1, 40 * 201 + 4));
    assert!(matches!(outcome, Outcome::Done { size: 5, .. }));
    assert_eq!(report.directories, 41);
}

#[test]
fn a_deep_comb_walked_with_few_handles() {
    // Two subdirectories a level, one of which goes on: every level waits on the walk's stack.
    let tree = Tree::new();
    let mut inner = rustix::fs::open(tree.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let levels = 600;
    for _ in 0..levels {
        for side in ["a", "b", "c"] {
            rustix::fs::mkdirat(&inner, side, Mode::RWXU).unwrap();
        }
        for side in ["a", "c"] {
            let side =
                rustix::fs::openat(&inner, side, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
            write_at(&side, "file", "x");
        }
        inner = rustix::fs::openat(&inner, "b", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    for (walkers, handles_max) in [(1, 12), (2, 24), (2, 48), (3, 1000)] {
        let plan = Plan { walkers, workers: 1, handles_max, ..plan(&tree, "lines") };
        let (records, report) = scan(&plan);
        assert_eq!(records.len(), 2 * levels, "{walkers} walkers, {handles_max} handles");
        assert_eq!(report.directories, 1 + 3 * levels as u64);
    }
}

#[test]
fn many_files_in_one_directory_and_many_directories() {
    let tree = Tree::new();
    for i in 0..1000 {
        tree.file(format!("flat/{i}"), "");
        tree.file(format!("nested/{}/{}/{i}", i % 10, i % 100), "");
    }
    let (records, report) = scan(&plan(&tree, "light"));
    assert_eq!((records.len(), report.directories), (2000, 3 + 10 + 100));
}

#[test]
fn times_before_1970_and_sparse_and_lineless_files() {
    let tree = Tree::new();
    tree.file("old", "x");
    let before = Timespec { tv_sec: -2, tv_nsec: 500_000_000 };
    let times = Timestamps { last_access: before, last_modification: before };
    rustix::fs::utimensat(CWD, tree.at("old"), &times, AtFlags::empty()).unwrap();
    let sparse_bytes = 640 << 20;
    File::create(tree.at("sparse")).unwrap().set_len(sparse_bytes).unwrap();
    tree.file("lineless", vec![b'x'; 5 << 20]);
    let (records, _) = scan(&plan(&tree, "lines,words"));
    let of = |name: &str| records[name].clone();
    assert_eq!(of("old").0, Outcome::Done { size: 1, mtime_ns: -1_500_000_000 });
    let (sparse, values) = of("sparse");
    assert!(matches!(sparse, Outcome::Done { size, .. } if size == sparse_bytes));
    assert_eq!(values, [Value::U64(0), Value::U64(1)]);
    assert_eq!(of("lineless").1, [Value::U64(0), Value::U64(1)]);
}

#[test]
fn hard_links_are_files_each() {
    let tree = Tree::new();
    tree.file("one", "x");
    fs::hard_link(tree.at("one"), tree.at("two")).unwrap();
    check(&plan(&tree, "lines"), &[("one", "file"), ("two", "file")]);
}

#[test]
fn a_size_of_zero_is_read_up_to_the_limit() {
    let version = fs::read("/proc/version").unwrap();
    let read = |unbounded_bytes_max| {
        let plan = Plan { unbounded_bytes_max, analyses: analyses("blake3"), ..Plan::new(["/proc/version"]) };
        scan(&plan).0.into_values().next().unwrap()
    };
    let (outcome, values) = read(version.len() as u64);
    assert!(matches!(outcome, Outcome::Done { size, .. } if size == version.len() as u64));
    assert_eq!(values[0], Value::Digest(filemill::record::Digest::new(blake3::hash(&version).as_bytes())));
    assert!(
        matches!(read(version.len() as u64 - 1).0, Outcome::Failed(error) if error.cause == Cause::Unbounded)
    );
}

#[test]
fn files_of_sys_are_as_long_as_what_they_hold() {
    // They claim a page and hold less.
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let Ok(content) = fs::read(path) else { return };
    let (outcome, _) = scan(&Plan::new([path])).0.into_values().next().unwrap();
    assert!(matches!(outcome, Outcome::Done { size, .. } if size == content.len() as u64), "{outcome:?}");
}

#[test]
fn reading_leaves_no_trace() {
    let tree = Tree::new();
    let path = tree.file("file", "x");
    // Older than the last change: the time of access that a plain read would renew.
    let long_ago = Timespec { tv_sec: 1000, tv_nsec: 0 };
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: long_ago, last_modification: now };
    rustix::fs::utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    scan(&plan(&tree, "light"));
    assert_eq!(fs::metadata(&path).unwrap().atime(), 1000);
}

#[test]
fn own_outputs_are_left_out() {
    let tree = Tree::new();
    let path = tree.file("report", "x");
    let metadata = fs::metadata(path).unwrap();
    let plan = Plan { own_outputs: vec![(metadata.dev(), metadata.ino())], ..plan(&tree, "lines") };
    check(&plan, &[("report", "own-output")]);
}

/// An analysis that does something to each file while it is read: after the first block, before the rest.
struct Meddle(fn(&Path));

struct Meddling {
    act: fn(&Path),
    path: PathBuf,
    has_acted: bool,
}

impl Analysis for Meddle {
    fn name(&self) -> &'static str {
        "meddle"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "meddle", kind: ValueKind::Bool, unit: "" }]
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Meddling { act: self.0, path: PathBuf::new(), has_acted: false })
    }
}

impl Pass for Meddling {
    fn begin(&mut self, file: &FileRecord<'_>) {
        self.path = PathBuf::from(OsStr::from_bytes(&file.path()));
        self.has_acted = false;
    }

    fn block(&mut self, _: &[u8]) {
        if !self.has_acted && self.path.file_name().is_some_and(|name| name == "victim") {
            (self.act)(&self.path);
            self.has_acted = true;
        }
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Bool(self.has_acted));
    }
}

#[test]
fn files_that_change_while_they_are_read() {
    #[track_caller]
    fn check(act: fn(&Path), expected: &str) {
        for size in [100, 20_000] {
            let tree = Tree::new();
            tree.file("victim", vec![b'x'; size]);
            tree.file("witness", "y");
            // Blocks smaller than the larger file, so that it changes between two reads.
            let plan =
                Plan { block_bytes: 4096, analyses: vec![Arc::new(Meddle(act))], ..Plan::new([tree.path()]) };
            let (records, report) = scan(&plan);
            assert_eq!(outcomes(&records)["victim"], expected, "{size} bytes");
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
    Plan { walkers: 1, workers: 1, batch_files_max: 1, queue_batches_max: 1, ..plan(tree, "lines") }
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

#[test]
fn depth_is_counted_from_the_root() {
    let tree = Tree::new();
    tree.file("1", "x");
    tree.file("a/2", "x");
    tree.file("a/b/3", "x");
    for walker in [Walker::Handles, Walker::Portable] {
        let met = |depth_max| {
            let filter = Filter { depth_max, ..Filter::default() };
            scan(&Plan { walker, filter, ..plan(&tree, "none") }).0.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(met(Some(0)), [""; 0]);
        assert_eq!(met(Some(1)), ["1"]);
        assert_eq!(met(Some(2)), ["1", "a/2"]);
        assert_eq!(met(Some(3)), ["1", "a/2", "a/b/3"]);
        assert_eq!(met(None), ["1", "a/2", "a/b/3"]);
    }
}

#[test]
fn other_file_systems_are_named_and_not_entered() {
    let device = |path: &str| fs::metadata(path).unwrap().dev();
    if !Path::new("/dev/shm").is_dir() || device("/dev") == device("/dev/shm") {
        return;
    }
    for walker in [Walker::Handles, Walker::Portable] {
        let filter = Filter { one_file_system: true, ..Filter::default() };
        let (records, _) = scan(&Plan { walker, filter, ..Plan::new(["/dev"]) });
        assert_eq!(outcomes(&records)["shm"], "other-file-system");
        assert!(!records.keys().any(|path| path.starts_with("shm/")));
    }
}

/// Takes its time over each file, and counts them.
struct Slow(Arc<AtomicUsize>);

impl Analysis for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "slow", kind: ValueKind::U64, unit: "" }]
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Slow(self.0.clone()))
    }
}

impl Pass for Slow {
    fn begin(&mut self, _: &FileRecord<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }

    fn block(&mut self, _: &[u8]) {}

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(0));
    }
}

/// A tree of 2000 files, a slow analysis over it, and how many files it began.
fn slow_run() -> (Tree, Plan, Arc<AtomicUsize>) {
    let tree = Tree::new();
    for i in 0..2000 {
        tree.file(format!("{}/{i}", i % 40), "x");
    }
    let begun = Arc::new(AtomicUsize::new(0));
    let slow: Arc<dyn Analysis> = Arc::new(Slow(begun.clone()));
    let plan = Plan { batch_files_max: 4, workers: 2, analyses: vec![slow], ..Plan::new([tree.path()]) };
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

#[test]
fn large_files_of_one_batch_are_shared_out() {
    let (_tree, plan, _) = slow_run();
    let whole = Plan { batch_files_max: 4000, share_bytes: 10, ..plan };
    let since = Instant::now();
    let mut keep = Keep::default();
    filemill::run(&whole, &mut keep).unwrap();
    // 2000 files of 2 ms: 4 s for one worker, though all were one batch.
    assert_eq!(keep.records.len(), 2000);
    assert!(since.elapsed() < Duration::from_secs_f64(3.5), "{:?}", since.elapsed());
}

#[test]
fn sixty_four_handles_suffice() {
    let tree = Tree::new();
    for i in 0..3000 {
        tree.file(format!("{}/{}/{}/file-{i}", i % 10, i % 100, i % 1000), "x");
    }
    let plan = Plan { handles_max: 64 - HANDLES_RESERVED, workers: 32, walkers: 2, ..plan(&tree, "light") };
    let mut keep = Keep::default();
    let report = filemill::run(&plan, &mut keep).unwrap();
    assert_eq!(keep.records.len(), 3000);
    assert!(report.workers < 32);
    assert!(report.notes.iter().any(|note| note.contains("workers instead of 32")), "{:?}", report.notes);
}
