//! Mappings and what happens to them, RAM disks, the cache, limits of memory, the pool that sizes itself.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use filemill::analyses::{Analysis, Pass};
use filemill::plan::{Cache, Plan, Staging, Workers};
use filemill::record::{Column, FileRecord, Outcome, Row, Value, ValueKind};
use filemill::report::{Reason, Staged, Volume};

use crate::support::{Tree, analyses, outcomes, scan};

/// Small files, and some that are large enough to be mapped and to be divided.
fn tree() -> Tree {
    let tree = Tree::new();
    for i in 0..300_usize {
        tree.file(format!("{}/{i}", i % 7), "some words\n".repeat(i * 20));
    }
    tree.file("medium", b"medium words \n".repeat(90_000));
    tree.file("large", b"large words \n".repeat(1_500_000));
    tree
}

fn plan(tree: &Tree, staging: Staging) -> Plan {
    filemill::guard_mappings().unwrap();
    Plan {
        staging,
        analyses: analyses("kind,lines,words,entropy,blake3,minhash:k=32"),
        map_bytes_min: 1 << 20,
        ..Plan::new([tree.path()])
    }
}

#[test]
fn every_way_to_the_bytes_gives_the_same_rows_and_is_counted() {
    let tree = tree();
    let (expected, report) = scan(&plan(&tree, Staging::Read));
    let all = Volume { files: 302, bytes: report.ledger.bytes };
    assert_eq!(report.staged, Staged { read: all, ..Staged::default() });
    let large = Volume { files: 2, bytes: 90_000 * 14 + 1_500_000 * 13 };
    for workers in [Workers::Number(1), Workers::Number(3), Workers::Auto] {
        let (records, report) = scan(&Plan { workers, ..plan(&tree, Staging::Mmap) });
        assert_eq!(records, expected);
        assert_eq!(report.staged.mmap, large);
        assert_eq!(report.staged.read, Volume { files: 300, bytes: all.bytes - large.bytes });

        let (records, report) = scan(&Plan { workers, ..plan(&tree, Staging::RamDisk) });
        assert_eq!(records, expected);
        let Staged { read, ram_disk, ram_disk_bytes_peak, load, .. } = report.staged;
        assert_eq!((read.files, ram_disk.files), (1, 301), "one is large enough to be divided");
        assert!(ram_disk_bytes_peak >= 90_000 * 14 && load > Duration::ZERO);
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    }
    // What is measured to be faster: the large one.
    let auto = Plan { map_bytes_min: Plan::new(["."]).map_bytes_min, ..plan(&tree, Staging::Auto) };
    let (records, report) = scan(&auto);
    assert_eq!((records, report.staged.mmap.files), (expected, 1));
}

/// An analysis that does something when the second block of a file is there.
struct Meddle<F>(Arc<F>);

struct Meddling<F> {
    act: Arc<F>,
    path: PathBuf,
    blocks: u64,
    sum: u64,
}

impl<F: Fn(&Path) + Send + Sync + 'static> Analysis for Meddle<F> {
    fn name(&self) -> &'static str {
        "meddle"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "sum", kind: ValueKind::U64, unit: "" }]
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Meddling { act: self.0.clone(), path: PathBuf::new(), blocks: 0, sum: 0 })
    }
}

impl<F: Fn(&Path) + Send + Sync + 'static> Pass for Meddling<F> {
    fn begin(&mut self, file: &FileRecord<'_>, _: u64) {
        use std::os::unix::ffi::OsStrExt;
        self.path = std::ffi::OsStr::from_bytes(&file.path()).into();
        (self.blocks, self.sum) = (0, 0);
    }

    fn block(&mut self, bytes: &[u8]) {
        self.blocks += 1;
        if self.blocks == 2 {
            (self.act)(&self.path);
        }
        self.sum += bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(self.sum));
    }
}

#[test]
fn a_mapped_file_that_is_truncated_is_an_error_record_two_hundred_times() {
    let tree = Tree::new();
    const BYTES: u64 = 200_000;
    let turn = Arc::new(AtomicUsize::new(0));
    let next = turn.clone();
    let truncate: Arc<dyn Analysis> = Arc::new(Meddle(Arc::new(move |path: &Path| {
        if path.ends_with("victim") {
            // To nothing, to within the block, to within a page, and to a place that lies behind already.
            let length = [0, 6000, 4097, 100][next.fetch_add(1, Ordering::Relaxed) % 4];
            OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        }
    })));
    let plan = Plan {
        analyses: vec![truncate],
        map_bytes_min: 1,
        map_window_bytes: 64 << 10,
        block_bytes: 4096,
        ..plan(&tree, Staging::Mmap)
    };
    tree.file("witness", vec![1; usize::try_from(BYTES).unwrap()]);
    for round in 0..200 {
        tree.file("victim", vec![1; usize::try_from(BYTES).unwrap()]);
        let (records, report) = scan(&plan);
        assert_eq!(outcomes(&records)["victim"], "changed", "round {round}");
        assert_eq!(records["witness"].1, [Value::U64(BYTES)], "round {round}");
        assert_eq!((report.ledger.done, report.staged.mmap.files), (1, 1));
    }
    assert_eq!(turn.load(Ordering::Relaxed), 200);
}

#[cfg(feature = "cli")]
#[test]
fn mapped_files_that_are_truncated_from_outside_cost_the_run_nothing() {
    use std::sync::atomic::AtomicBool;

    use crate::binary::{check_sums, filemill, jsonl, of_type};

    let tree = Tree::new();
    let content = b"0123456789abcde\n".repeat(300_000);
    tree.file("witness", &content);
    tree.file("victim", &content);
    let (over, digest) = (AtomicBool::new(false), blake3::hash(&content).to_hex());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let victim = OpenOptions::new().write(true).open(tree.at("victim")).unwrap();
                victim.set_len(0).unwrap();
                victim.set_len(content.len() as u64).unwrap();
            }
        });
        for _ in 0..40 {
            let output = filemill(&["scan", "-a", "lines,blake3", "--stage", "mmap", "--format", "jsonl"])
                .current_dir(tree.path())
                .output()
                .unwrap();
            let (code, stderr, records) = jsonl(&output);
            over.store(!matches!(code, Some(0 | 3)), Ordering::Relaxed);
            assert!(matches!(code, Some(0 | 3)), "{:?} {stderr}", output.status);
            check_sums(&records);
            let files = of_type(&records, "file");
            let witness = files.iter().find(|file| file["path"] == "witness").unwrap();
            assert_eq!(witness["blake3"], digest.as_str());
        }
        over.store(true, Ordering::Relaxed);
    });
}

/// Runs one test of this binary in a process of its own, where nothing else has installed a handler.
fn alone(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("FILEMILL_TEST_ALONE", test)
        .output()
        .unwrap()
}

fn is_alone(test: &str) -> bool {
    std::env::var("FILEMILL_TEST_ALONE").is_ok_and(|alone| alone == test)
}

#[test]
fn mappings_without_a_guard_are_refused() {
    const TEST: &str = "staging::mappings_without_a_guard_are_refused";
    if !is_alone(TEST) {
        let output = alone(TEST);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let tree = tree();
    let plan = Plan { staging: Staging::Mmap, ..Plan::new([tree.path()]) };
    let error = filemill::run(&plan, &mut crate::support::InOrder::default()).unwrap_err();
    assert_eq!(error.to_string(), "files are mapped only where filemill::guard_mappings was called");
    let (_, report) = scan(&Plan { staging: Staging::Auto, ..plan.clone() });
    assert_eq!(report.staged.mmap.files, 0);
    filemill::guard_mappings().unwrap();
    let (_, report) = scan(&Plan { staging: Staging::Auto, ..plan });
    assert_eq!(report.staged.mmap.files, 1);
}

/// Touches a page of a mapping that its file does not have any more.
#[expect(unsafe_code, reason = "to make a fault on purpose")]
fn touch_what_is_not_there() {
    let tree = Tree::new();
    let path = tree.file("file", vec![1; 8192]);
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    // SAFETY: The file becomes shorter, which is the point: the process is to be told.
    let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    file.set_len(0).unwrap();
    std::hint::black_box(map[4096]);
}

#[test]
fn a_fault_of_somebody_else_ends_the_process_as_before() {
    const TEST: &str = "staging::a_fault_of_somebody_else_ends_the_process_as_before";
    if !is_alone(TEST) {
        assert_eq!(alone(TEST).status.signal(), Some(nix::libc::SIGBUS));
        return;
    }
    filemill::guard_mappings().unwrap();
    touch_what_is_not_there();
}

#[test]
#[expect(unsafe_code, reason = "a signal handler")]
fn a_fault_of_somebody_else_goes_to_whoever_was_there_before() {
    use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

    const TEST: &str = "staging::a_fault_of_somebody_else_goes_to_whoever_was_there_before";
    if !is_alone(TEST) {
        assert_eq!(alone(TEST).status.code(), Some(42));
        return;
    }
    extern "C" fn leave(_: nix::libc::c_int) {
        // SAFETY: It ends the process and does nothing else.
        unsafe { nix::libc::_exit(42) };
    }
    let theirs = SigAction::new(SigHandler::Handler(leave), SaFlags::empty(), SigSet::empty());
    // SAFETY: The handler only ends the process.
    unsafe { sigaction(Signal::SIGBUS, &theirs) }.unwrap();
    filemill::guard_mappings().unwrap();
    touch_what_is_not_there();
}

/// A signal that somebody sends is no fault of a mapping, and ends the process as it did before.
#[test]
fn a_bus_error_that_is_sent_ends_the_process() {
    const TEST: &str = "staging::a_bus_error_that_is_sent_ends_the_process";
    if !is_alone(TEST) {
        assert_eq!(alone(TEST).status.signal(), Some(nix::libc::SIGBUS));
        return;
    }
    filemill::guard_mappings().unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::BUS).unwrap();
    std::thread::sleep(Duration::from_secs(5));
}

/// To touch a hole of a file in memory would fill it: a scan would eat up the memory that it only looks at.
#[test]
fn holes_are_not_mapped_and_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let Ok(disk) = tempfile::tempdir_in("/dev/shm") else { return println!("not tried: no /dev/shm here") };
    let path = disk.path().join("sparse");
    File::create(&path).unwrap().set_len(40 << 20).unwrap();
    for (staging, notes) in [(Staging::Auto, 0), (Staging::Mmap, 1), (Staging::Read, 0)] {
        for workers in [1, 2].map(Workers::Number) {
            let tree = Tree::new();
            let plan = Plan { roots: vec![(&path).into()], workers, ..plan(&tree, staging) };
            let report = filemill::run(&plan, &mut crate::support::InOrder::default()).unwrap();
            assert_eq!((report.ledger.done, report.staged.mmap.files), (1, 0));
            assert_eq!(report.notes.len(), notes, "{:?}", report.notes);
            assert_eq!(path.metadata().unwrap().blocks(), 0, "{staging:?}");
        }
    }
}

#[test]
fn a_ram_disk_that_is_too_small_or_not_there_gives_the_right_rows_by_reading() {
    let tree = tree();
    let (expected, _) = scan(&plan(&tree, Staging::Read));
    let check = |change: &dyn Fn(&mut Plan), note: &str| {
        let mut plan = plan(&tree, Staging::RamDisk);
        change(&mut plan);
        let (records, report) = scan(&plan);
        assert_eq!(records, expected);
        assert!(report.notes.iter().any(|told| told.contains(note)), "{note}: {:?}", report.notes);
        report.staged
    };
    for bytes in [0, 1, 4096, 50_000, 300_000] {
        let staged = check(&|plan| plan.ram_disk_bytes_max = bytes, "read past the RAM disk");
        assert!(staged.ram_disk_bytes_peak <= bytes, "{bytes}: {staged:?}");
        assert!(bytes < 300_000 || staged.ram_disk.files > 100, "{bytes}: {staged:?}");
    }
    let nowhere: Arc<Path> = Path::new("/nonexistent").into();
    let staged = check(
        &|plan| plan.ram_disk_directory = Some(nowhere.clone()),
        "no RAM disk, files are read as they lie: /nonexistent: No such file or directory",
    );
    assert_eq!(staged.ram_disk.files, 0);
    let file: Arc<Path> = tree.at("medium").into();
    check(&|plan| plan.ram_disk_directory = Some(file.clone()), "medium: Not a directory");
}

#[test]
fn a_ram_disk_in_a_directory_leaves_nothing_there() {
    let (tree, disk) = (tree(), tempfile::tempdir_in("/dev/shm"));
    let Ok(disk) = disk else { return println!("not tried: no /dev/shm here") };
    let plan = Plan { ram_disk_directory: Some(disk.path().into()), ..plan(&tree, Staging::RamDisk) };
    let (records, report) = scan(&plan);
    assert_eq!((records, report.staged.ram_disk.files), (scan(&self::plan(&tree, Staging::Read)).0, 301));
    assert!(!report.notes.iter().any(|note| note.contains("tmpfs")), "{:?}", report.notes);
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 0);
}

/// Bytes that were read from disks while something was done, by this process.
fn read_from_disk<T>(doing: impl FnOnce() -> T) -> (u64, T) {
    let so_far = || -> u64 {
        let io = fs::read_to_string("/proc/self/io").unwrap();
        io.lines().find_map(|line| line.strip_prefix("read_bytes: ")).unwrap().parse().unwrap()
    };
    let before = so_far();
    let done = doing();
    (so_far() - before, done)
}

/// Whether what is told to the system about its cache can be seen by what is read from a disk after it.
fn can_be_forgotten(path: &Path) -> bool {
    File::open(path).unwrap().sync_all().unwrap();
    // What a file system in memory forgets is lost.
    rustix::fs::fadvise(File::open(path).unwrap(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
    read_from_disk(|| fs::read(path).unwrap()).0 > 0
}

/// Told by what the next scan has to read from the disk: asking for a page without waiting for it has the kernel read it.
#[test]
fn what_was_read_is_forgotten_where_that_is_wanted() {
    const TEST: &str = "staging::what_was_read_is_forgotten_where_that_is_wanted";
    if !is_alone(TEST) {
        let output = alone(TEST);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let tree = tree();
    rustix::fs::syncfs(File::open(tree.path()).unwrap()).unwrap();
    if !can_be_forgotten(&tree.at("medium")) {
        return println!("not tried: the temporary directory lies in memory");
    }
    for staging in [Staging::Read, Staging::Mmap, Staging::RamDisk] {
        for workers in [1, 3].map(Workers::Number) {
            let keep = Plan { workers, ..plan(&tree, staging) };
            let drop = Plan { cache: Cache::Drop, ..keep.clone() };
            let (expected, report) = scan(&drop);
            let bytes = report.ledger.bytes;
            let (forgotten, (records, _)) = read_from_disk(|| scan(&keep));
            assert_eq!(records, expected);
            // Without the smaller of the two large ones it would be less.
            assert!(forgotten >= bytes / 100 * 98, "{staging:?} {workers:?}: {forgotten} of {bytes}");
            let (lost, _) = read_from_disk(|| scan(&drop));
            assert!(lost < bytes / 2, "{staging:?} {workers:?}: {lost} of {bytes}");
        }
    }
}

/// A leader comes after its helpers: what they forget, it would have to read again.
#[test]
fn what_is_forgotten_is_read_from_the_disk_once() {
    const TEST: &str = "staging::what_is_forgotten_is_read_from_the_disk_once";
    if !is_alone(TEST) {
        let output = alone(TEST);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let tree = Tree::new();
    let large = tree.file("large", vec![b'x'; 120 << 20]);
    if !can_be_forgotten(&large) {
        return println!("not tried: the temporary directory lies in memory");
    }
    for staging in [Staging::Read, Staging::Mmap] {
        let plan = Plan {
            workers: Workers::Number(2),
            cache: Cache::Drop,
            analyses: analyses("lines,blake3,sha256"),
            ..plan(&tree, staging)
        };
        scan(&plan);
        let (read, _) = read_from_disk(|| scan(&plan));
        assert!((118 << 20..150 << 20).contains(&read), "{staging:?}: {read} bytes");
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_limit_of_memory_is_kept() {
    use crate::binary::{filemill, jsonl};

    let tree = Tree::new();
    for i in 0..16 {
        tree.file(format!("large/{i}"), vec![b'x'; 5 << 20]);
    }
    let run = |arguments: &[&str]| {
        let arguments = [&["scan", "--format", "jsonl"], arguments].concat();
        let (code, stderr, records) = jsonl(&filemill(&arguments).current_dir(tree.path()).output().unwrap());
        assert_eq!(code, Some(0), "{stderr}");
        let end = records.last().unwrap().clone();
        (end["peak_memory_bytes"].as_u64().unwrap(), end)
    };
    let what = ["--stage", "mmap", "-j", "16", "-a", "sha256", "large"];
    let (unlimited, all) = run(&what);
    for mebibytes in [16, 24, 32] {
        let limit = format!("{mebibytes}MiB");
        let (peak, end) = run(&[&["--memory", &limit][..], &what].concat());
        assert_eq!(end["done"], all["done"]);
        // The tests' own build is some MiB larger than the one that is used.
        assert!(peak <= (mebibytes + 8) << 20, "{peak} bytes with a limit of {limit}");
        assert!(unlimited > peak + (4 << 20), "{unlimited} bytes without a limit, {peak} with {limit}");
    }
    let (_, end) = run(&["--memory", "20MiB", "--stage", "ram-disk", "-a", "full", "large"]);
    assert!(end["staged"]["ram_disk_bytes_peak"].as_u64().unwrap() < 10 << 20, "{end}");
    assert_eq!(end["done"], 16);
    let output = filemill(&["scan", "--memory", "1KiB", "."]).current_dir(tree.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.starts_with("filemill: a memory of 1024 bytes is too small: this plan needs "),
        "{stderr}"
    );
}

/// Storage that makes a thread wait for every file, so long.
struct Slow;
const SLOW: Duration = Duration::from_millis(5);

impl Analysis for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "slow", kind: ValueKind::U64, unit: "" }]
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Slow)
    }
}

impl Pass for Slow {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        std::thread::sleep(SLOW);
    }

    fn block(&mut self, _: &[u8]) {}

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(1));
    }
}

#[test]
fn a_pool_grows_while_its_workers_wait() {
    if crate::support::takes_small_steps() {
        return;
    }
    const FILES: u32 = 3000;
    let tree = Tree::new();
    for i in 0..FILES {
        tree.file(format!("{}/{i}", i % 60), "x");
    }
    let plan = Plan { analyses: vec![Arc::new(Slow)], workers: Workers::Auto, ..Plan::new([tree.path()]) };
    let first = std::thread::available_parallelism().unwrap().get();
    // Other tests keep the cores busy: where they do so all the time, it is right not to grow.
    let has_grown = (0..5).any(|_| {
        let (records, report) = scan(&plan);
        assert!(records.values().all(|(outcome, _)| matches!(outcome, Outcome::Done { .. })));
        let sizes: Vec<_> = report.worker_sizes().collect();
        assert_eq!(sizes[0], first);
        assert!(report.moves.first().is_none_or(|went| went.reason == Reason::CoresIdle), "{sizes:?}");
        println!("{sizes:?} {:?}", report.elapsed);
        sizes.iter().any(|size| *size >= 4 * first)
            && report.elapsed < SLOW * FILES / u32::try_from(first).unwrap()
    });
    assert!(has_grown);

    let limited = Plan { workers_max: first + 1, ..Plan { roots: vec![tree.at("7").into()], ..plan } };
    let (_, report) = scan(&limited);
    assert!(report.worker_sizes().all(|size| size <= first + 1), "{:?}", report.moves);
}
