//! Interrupts of whatever is measured.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use super::{count, ram_disk, tree, wait_until};
use crate::binary::{filemill, text};
use crate::support::Tree;

#[test]
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
fn an_interrupt_of_whatever_is_measured_leaves_nothing_and_gives_no_verdict() {
    let (tree, place) = (tree(), Tree::new());
    let Some(disk) = ram_disk() else { return println!("no RAM disk here: not tried") };
    let disk_path = disk.path().to_str().unwrap();
    let baseline = place.at("b.json");
    let baseline = baseline.to_str().unwrap();
    // Ten pairs take longer than the interrupt waits for.
    let slow = super::check::build(&place, "sleep 0.3; exec \"$F\" \"$@\"");
    let slow = slow.to_str().unwrap();
    for (arguments, said) in [
        (&["limit", "--rounds", "1000"][..], "rounds, all sides in turn"),
        (&["tier", "base", "--repetitions", "1000", "--ram-disk", disk_path], "then interrupted"),
        (&["tier", "limit", "--repetitions", "1000"], "then interrupted"),
        (&["check", "--against", slow], "interrupted before"),
        (&["check", "--pairs", "10000", "--baseline", baseline, "--update-baseline"], "b.json is as it was"),
    ] {
        let arguments = [&["bench"], arguments].concat();
        let mut command = filemill(&arguments);
        command.arg(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        // Long enough for a few runs, of whichever kind.
        std::thread::sleep(Duration::from_secs(2));
        let output = interrupt(child);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(told.contains(said), "{arguments:?}: {told}");
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
    }
}

/// A report with the name of a complete one is taken for one by a CI service.
#[test]
fn an_interrupted_comparison_leaves_no_report() {
    let (tree, place) = (tree(), Tree::new());
    let slow = super::check::build(&place, "sleep 0.3; exec \"$F\" \"$@\"");
    place.file("m", "old");
    let outs = [("bencher", "b"), ("markdown", "m"), ("bigger-is-better", "j")];
    let outs = outs.map(|(form, name)| format!("--out={form}={}", place.at(name).display()));
    let mut command = filemill(&["bench", "check", "--against", slow.to_str().unwrap()]);
    command.args(&outs).arg(tree.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let output = interrupt(child);
    let stderr = text(&output.stderr);
    for (name, content) in [("b", None), ("m", Some("old".to_owned())), ("j", None)] {
        assert_eq!(std::fs::read_to_string(place.at(name)).ok(), content, "{name}: {stderr}");
        assert!(!place.at(format!("{name}.partial")).exists());
        let path = place.at(name);
        assert!(stderr.contains(&format!("interrupted: {} is not written", path.display())), "{stderr}");
    }
}
