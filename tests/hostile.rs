//! Trees that nobody would make on purpose.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use filemill::error::Cause;
use filemill::plan::{Filter, HANDLES_RESERVED, Plan, Walker, Workers};
use filemill::record::{Outcome, SkipReason, Value};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};

use crate::support::{Keep, Tree, analyses, fifo, outcomes, scan};

fn plan(tree: &Tree, list: &str) -> Plan {
    Plan { analyses: analyses(list), ..Plan::new([tree.path()]) }
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
        let plan = Plan { walkers, workers: Workers::Number(1), handles_max, ..plan(&tree, "lines") };
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
    assert!(matches!(of("old").0, Outcome::Done { size: 1, mtime_ns: -1_500_000_000, .. }));
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

#[test]
fn sixty_four_handles_suffice() {
    let tree = Tree::new();
    for i in 0..3000 {
        tree.file(format!("{}/{}/{}/file-{i}", i % 10, i % 100, i % 1000), "x");
    }
    let plan = Plan {
        handles_max: 64 - HANDLES_RESERVED,
        workers: Workers::Number(32),
        walkers: 2,
        ..plan(&tree, "light")
    };
    let mut keep = Keep::default();
    let report = filemill::run(&plan, &mut keep).unwrap();
    assert_eq!(keep.records.len(), 3000);
    assert!(report.workers < 32);
    assert!(report.notes.iter().any(|note| note.contains("workers instead of 32")), "{:?}", report.notes);
}
