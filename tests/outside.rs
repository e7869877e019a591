//! What the world does to the binary: signals, files that change, a read that hangs.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::binary::{check_sums, filemill, jsonl, of_type, text};
use crate::support::{Tree, fifo};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_filemill");

/// A file that takes longer to read than any test waits, and some that do not.
fn endless() -> Tree {
    let tree = Tree::new();
    for i in 0..200 {
        tree.file(format!("files/a/{i:03}"), "x\n");
    }
    File::create(tree.directory("files/z").join("sparse")).unwrap().set_len(1 << 40).unwrap();
    tree
}

/// A run that ends with its test, also where that fails: what it reads would keep it busy for hours.
pub(crate) struct Run(Option<Child>);

impl Run {
    pub(crate) fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl std::ops::Deref for Run {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().unwrap()
    }
}

impl std::ops::DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

pub(crate) fn start(tree: &Tree, arguments: &[&str]) -> Run {
    let arguments = [&["scan", "-a", "sha256", "files"], arguments].concat();
    let mut command = filemill(&arguments);
    Run(Some(command.current_dir(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
}

/// Waits until a report holds this many lines.
fn wait_for(report: &Path, lines: usize) {
    let since = Instant::now();
    while fs::read_to_string(report).map_or(0, |report| report.lines().count()) < lines {
        assert!(since.elapsed() < Duration::from_secs(30), "{}: not {lines} lines", report.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal; the process must be gone two seconds later.
fn interrupt(run: Run, signal: Signal) -> Output {
    let since = Instant::now();
    kill_process(Pid::from_child(&run), signal).unwrap();
    let output = run.output();
    assert!(since.elapsed() < Duration::from_secs(2), "gone after {:?}", since.elapsed());
    output
}

fn records(path: &Path) -> Vec<Json> {
    let report = fs::read_to_string(path).unwrap();
    report.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_interrupted_run_reports_what_it_read() {
    for (signal, code) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::TERM, 143)] {
        let tree = endless();
        tree.file("r.csv", "old");
        // A gate says nothing of half a run.
        let gate = "--fail-below=1000000000000f/s";
        let outs = ["--format", "jsonl", "--out", "csv=r.csv", "--out", "jsonl=r.jsonl", gate];
        let child = start(&tree, &outs);
        // All that there is to read before the file that takes so long.
        wait_for(&tree.at("r.csv.partial"), 201);
        wait_for(&tree.at("r.jsonl.partial"), 201);
        let output = interrupt(child, signal);
        let (exit, stderr, printed) = jsonl(&output);
        assert_eq!(exit, Some(code), "{stderr}");
        let end = printed.last().unwrap();
        assert_eq!((&end["type"], &end["cancelled"]), (&"end".into(), &true.into()));
        let count = |name: &str| of_type(&printed, name).len() as u64;
        assert_eq!((count("file"), &end["done"]), (200, &200.into()));
        assert_eq!(end["met"].as_u64().unwrap(), 200 + end["unread"].as_u64().unwrap());
        assert_eq!(end["unread"], 1);
        // What stood under the name stands there still, and what there is of the new report is told of.
        assert_eq!(fs::read_to_string(tree.at("r.csv")).unwrap(), "old");
        assert!(!tree.at("r.jsonl").exists());
        assert_eq!(fs::read_to_string(tree.at("r.csv.partial")).unwrap().lines().count(), 201);
        assert_eq!(records(&tree.at("r.jsonl.partial")).last().unwrap()["cancelled"], true);
        for name in ["r.csv", "r.jsonl"] {
            assert!(
                stderr.contains(&format!("filemill: {name}.partial holds what was written by then\n")),
                "{stderr}"
            );
        }
        assert_eq!(stderr.lines().count(), 2, "{stderr}");
    }
}

#[test]
fn an_interrupted_summary_says_so() {
    let tree = endless();
    let child = start(&tree, &["--out", "paths=r"]);
    wait_for(&tree.at("r.partial"), 200);
    let output = interrupt(child, Signal::INT);
    assert_eq!(output.status.code(), Some(130));
    let summary = text(&output.stdout);
    assert!(summary.starts_with("interrupted: "), "{summary}");
    assert!(summary.contains("201 paths met = 200 done + 0 skipped + 0 failed + 1 unread"), "{summary}");
}

/// What a terminal of this width would be sent, by util-linux' `script`; it is interrupted after a while.
#[cfg(target_os = "linux")]
fn on_a_terminal(tree: &Tree, columns: usize, arguments: &str) -> Option<String> {
    let run = format!("stty cols {columns} rows 24; timeout -s INT 2 {BINARY} {arguments}");
    let output = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .current_dir(tree.path())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) => {
            println!("no `script` here, not tried: {error}");
            None
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_progress_line_fits_the_terminal_and_is_gone_before_a_message() {
    let tree = endless();
    let place = tree.directory("bench");
    std::fs::write(place.join("f"), "x").unwrap();
    for columns in [20, 40, 56, 80] {
        for (arguments, said) in [
            ("scan -a sha256 files --out paths=r", "interrupted: "),
            ("bench sweep --repetitions 1000 bench", "filemill: interrupted"),
        ] {
            let Some(sent) = on_a_terminal(&tree, columns, arguments) else { return };
            let drawn: Vec<&str> = sent.split("\r\u{1b}[J").skip(1).collect();
            assert!(drawn.len() > 5, "{columns}: {sent:?}");
            let (last, lines) = drawn.split_last().unwrap();
            for line in lines.iter().filter(|line| !line.is_empty()) {
                let line = line.strip_suffix('\r').unwrap_or_else(|| panic!("{columns}: {line:?}"));
                assert!(line.chars().count() < columns && !line.contains('\n'), "{columns}: {line:?}");
            }
            // What follows begins where the line was.
            assert!(last.contains(said), "{columns}: {last:?}");
        }
    }
}

#[test]
fn a_signal_that_was_to_be_ignored_is_ignored() {
    let tree = endless();
    let script = format!("trap '' HUP; exec {BINARY} scan -q --out paths=r files");
    let child = Command::new("sh")
        .args(["-c", &script])
        .current_dir(tree.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = Run(Some(child));
    wait_for(&tree.at("r.partial"), 200);
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let output = interrupt(child, Signal::TERM);
    assert_eq!(output.status.code(), Some(143));
}

#[test]
fn a_killed_run_leaves_the_old_report_and_the_next_one_goes_well() {
    let tree = endless();
    tree.file("r.jsonl", "old");
    let mut child = start(&tree, &["--out", "jsonl=r.jsonl"]);
    wait_for(&tree.at("r.jsonl.partial"), 201);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert_eq!(fs::read_to_string(tree.at("r.jsonl")).unwrap(), "old");
    // What was known before the file that takes so long lies in what is left behind.
    let left = records(&tree.at("r.jsonl.partial"));
    assert_eq!(of_type(&left, "file").len(), 200);
    assert!(of_type(&left, "end").is_empty());
    fs::remove_file(tree.at("files/z/sparse")).unwrap();
    let output = start(&tree, &["--out", "jsonl=r.jsonl"]).output();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    check_sums(&records(&tree.at("r.jsonl")));
    assert!(!tree.at("r.jsonl.partial").exists());
}

#[test]
fn two_runs_do_not_write_one_report() {
    let tree = endless();
    let first = start(&tree, &["--out", "jsonl=r.jsonl"]);
    wait_for(&tree.at("r.jsonl.partial"), 201);
    let second = start(&tree, &["--out", "jsonl=r.jsonl"]).output();
    assert_eq!(second.status.code(), Some(2));
    assert_eq!(
        text(&second.stderr),
        "filemill: cannot write the report r.jsonl: it is being written already\n"
    );
    interrupt(first, Signal::TERM);
    assert_eq!(of_type(&records(&tree.at("r.jsonl.partial")), "file").len(), 200);
}

pub(crate) fn many_names() -> Tree {
    let tree = Tree::new();
    for i in 0..3000 {
        tree.file(format!("files/{}/{i:0150}", i % 10), "");
    }
    tree
}

/// Runs a script in a place where it may mount, as far as we may; says so where not.
pub(crate) fn with_mounts(script: &str) -> Option<Output> {
    let output =
        Command::new("unshare").args(["-m", "sh", "-c", script]).stdin(Stdio::null()).output().unwrap();
    if output.status.code() == Some(99) || text(&output.stderr).contains("unshare failed") {
        println!("not tried: nothing can be mounted here: {}", text(&output.stderr));
        return None;
    }
    Some(output)
}

/// Promise 9 where it is hardest: the main thread hangs in the kernel and heeds nothing but the end of the process.
#[test]
fn a_file_system_that_does_not_answer_does_not_keep_the_process() {
    let tree = Tree::new();
    tree.directory("hangs");
    let place = tree.path().display();
    // A FUSE whose server never says a word.
    let script = format!(
        "exec 3<>/dev/fuse || exit 99
        mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none {place}/hangs || exit 99
        {BINARY} scan --format jsonl {place}/hangs 3<&- & run=$!
        sleep 0.4; since=$(date +%s%N); kill -TERM $run
        (sleep 5; kill -KILL $run) 2>/dev/null & wait $run; code=$?
        echo $code $((($(date +%s%N) - since) / 1000000))
        umount -l {place}/hangs"
    );
    let Some(output) = with_mounts(&script) else { return };
    let said = text(&output.stdout);
    let (code, milliseconds) = said.trim().split_once(' ').unwrap();
    assert_eq!(code, "143", "{}", text(&output.stderr));
    assert!(milliseconds.parse::<u64>().unwrap() < 2000, "{said}");
    assert!(text(&output.stderr).contains("did not come to its end in time"));
}

/// Nobody reads what is said on standard error, and the run waits for that: no reason to stay.
#[test]
fn a_standard_error_that_nobody_reads_does_not_keep_the_process() {
    let tree = Tree::new();
    for i in 0..5000 {
        tree.link(format!("files/{}/a link with a name that fills the pipe {i}", i % 50), "nowhere");
    }
    for signals in [&[Signal::TERM][..], &[Signal::INT, Signal::INT]] {
        let mut child = start(&tree, &["-L", "--out", "csv=r"]);
        std::thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().unwrap().is_none(), "it was to wait for a reader");
        let since = Instant::now();
        for signal in signals {
            kill_process(Pid::from_child(&child), *signal).unwrap();
            // Two within a quarter of a second are one.
            std::thread::sleep(Duration::from_millis(300));
        }
        let code = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
            assert!(since.elapsed() < Duration::from_secs(2), "{signals:?}: still there");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(code, Some(if signals.len() > 1 { 130 } else { 143 }));
        assert!(
            signals.len() == 1 || since.elapsed() < Duration::from_secs(1),
            "the second signal ends it at once"
        );
    }
}

/// When several codes apply: a signal, then 2, then 3.
#[test]
fn the_gravest_exit_code_counts() {
    let tree = endless();
    tree.link("files/a/broken", "nowhere");
    let child = start(&tree, &["-L", "--out", "jsonl=r"]);
    wait_for(&tree.at("r.partial"), 202);
    assert_eq!(interrupt(child, Signal::TERM).status.code(), Some(143));
    fs::remove_file(tree.at("files/z/sparse")).unwrap();
    let run = |out: &str| start(&tree, &["-q", "-L", "--out", out]).output().status.code();
    assert_eq!(run("csv=r"), Some(3));
    assert_eq!(run("csv=/dev/full"), Some(2));
    // A summary that nobody reads is no error, and hides none.
    let script = format!("{{ {BINARY} scan -L files; echo $? > code; }} | true");
    Command::new("sh").args(["-c", &script]).current_dir(tree.path()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(fs::read_to_string(tree.at("code")).unwrap(), "3\n");
}

#[test]
fn a_report_does_not_go_where_a_stream_goes() {
    let tree = Tree::new();
    tree.file("files/a", "x");
    let run = |arguments: &str| {
        let script = format!("{BINARY} scan files {arguments}");
        let output = Command::new("bash").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    for out in ["same", "/dev/stdout"] {
        let (code, stderr) = run(&format!("--format jsonl --out csv={out} > same"));
        assert_eq!(code, Some(2));
        let expected =
            format!("filemill: cannot write the report {out}: that is where standard output goes\n");
        assert_eq!(stderr, expected);
    }
    assert_eq!(run("--out csv=log 2>> log").0, Some(2));
    assert!(fs::read_to_string(tree.at("log")).unwrap().contains("that is where standard error goes"));
    // A pipe that has its name in /dev/fd is written to as it is.
    assert_eq!(run("-q --out paths=>(cat > copy) > /dev/null; sleep 0.3"), (Some(0), String::new()));
    assert_eq!(fs::read_to_string(tree.at("copy")).unwrap(), "files/a\n");
    assert_eq!(run("--out paths=r --out csv=r.partial").0, Some(2));
}

/// Somebody changes, replaces and removes files while they are scanned, time and again.
#[test]
fn files_that_change_from_outside_never_cost_the_run() {
    let tree = Tree::new();
    for i in 0..40 {
        tree.file(format!("victims/{i}"), vec![b'v'; 100_000]);
        tree.file(format!("witnesses/{i}"), vec![b'w'; 50_000]);
    }
    let witness = blake3::hash(&vec![b'w'; 50_000]).to_hex();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut step = 0_usize;
            while !over.load(Ordering::Relaxed) {
                let path = tree.at(format!("victims/{}", step % 40));
                let open = || File::options().write(true).open(&path);
                let is_file = path.symlink_metadata().is_ok_and(|found| found.is_file());
                match (step / 40) % 6 {
                    0 if is_file => drop(open().map(|file| file.set_len(10))),
                    1 if is_file => drop(open().map(|file| file.set_len(300_000))),
                    2 => drop(fs::remove_file(&path)),
                    3 => fifo(&path),
                    4 => {
                        drop(fs::remove_file(&path));
                        drop(std::os::unix::fs::symlink("/etc/passwd", &path));
                    }
                    5 => {
                        drop(fs::write(path.with_extension("new"), vec![b'v'; 100_000]));
                        drop(fs::rename(path.with_extension("new"), &path));
                    }
                    _ => {}
                }
                step += 1;
            }
        });
        for round in 0..60 {
            let sort = if round % 2 == 0 { "path" } else { "none" };
            let output = filemill(&["scan", "-a", "lines,blake3", "--format", "jsonl", "--sort", sort, "."])
                .current_dir(tree.path())
                .output()
                .unwrap();
            let (code, stderr, records) = jsonl(&output);
            over.store(round == 59 || !matches!(code, Some(0 | 3)), Ordering::Relaxed);
            assert!(matches!(code, Some(0 | 3)), "{stderr}");
            check_sums(&records);
            let mut witnesses = 0;
            for file in of_type(&records, "file") {
                let path = file["path"].as_str().unwrap();
                if path.starts_with("./witnesses/") {
                    assert_eq!(file["blake3"], witness.as_str());
                    witnesses += 1;
                }
                // A file that holds one letter, or what it holds and zeros: never the passwd that links lead to.
                assert_eq!(file["lines"], 0, "{path}");
            }
            assert_eq!(witnesses, 40);
        }
    });
}

#[test]
fn a_standard_output_that_does_not_wait_is_waited_for() {
    let tree = many_names();
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    let mut child = filemill(&["scan", "--format", "jsonl", "files"])
        .current_dir(tree.path())
        .stdout(writer.as_fd().try_clone_to_owned().unwrap())
        .spawn()
        .unwrap();
    drop(writer);
    std::thread::sleep(Duration::from_millis(300));
    let mut report = String::new();
    reader.read_to_string(&mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let records: Vec<Json> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    check_sums(&records);
    assert_eq!(of_type(&records, "file").len(), 3000);
}
