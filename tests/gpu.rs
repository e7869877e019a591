//! GPU workers: the same rows as without them, whatever happens to the device.
//!
//! `FILEMILL_GPU` says what the absence of an adapter means: `require` fails, `auto` (also where it is not set) skips with a message,
//! `off` skips always.

use std::time::Duration;

use filemill::control::Control;
use filemill::plan::{Device, GpuVerify, Plan, Sort, Workers};
use filemill::report::Report;

#[cfg(feature = "cli")]
use crate::binary::{filemill, text};
use crate::support::{InOrder, Rows, Tree, analyses, scan};

/// Bytes that repeat themselves here and there.
fn content(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"abcdefgh\n \0\xff0123"[(state >> 20) % 16]
    });
    next.take(bytes).collect()
}

/// Lengths around the ends of words, shingles, tiles and segments.
const LENGTHS: [usize; 24] = [
    0, 1, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 1023, 1024, 1025, 1039, 1040, 2063, 4096, 32_767, 32_768,
    32_783, 32_784, 65_551,
];

fn tree(files: usize) -> Tree {
    let tree = Tree::new();
    for i in 0..files {
        // The long ones are few: where there is no card, a processor plays one.
        let length = if i % 25 == 0 { LENGTHS[i / 25 % 24] } else { LENGTHS[i % 18] };
        tree.file(format!("d{}/{i}", i % 40), content(i, length + i % 4 * usize::from(i % 7 == 0)));
    }
    tree
}

/// Whether there is an adapter, software or not.
pub(crate) fn is_there() -> bool {
    let wanted = std::env::var("FILEMILL_GPU").unwrap_or_default();
    if cfg!(not(feature = "gpu")) {
        println!("skipped: this build has no GPU workers");
        return false;
    }
    if wanted == "off" {
        println!("skipped: FILEMILL_GPU is off");
        return false;
    }
    let tree = Tree::new();
    let plan = plan(&tree, "minhash", Device::Gpu);
    match filemill::run(&plan, &mut InOrder::default()) {
        Ok(_) => true,
        Err(why) => {
            assert!(wanted != "require", "FILEMILL_GPU requires an adapter: {why}");
            println!("skipped: {why}");
            false
        }
    }
}

fn plan(tree: &Tree, list: &str, device: Device) -> Plan {
    // Slots of some 300 KB.
    Plan { analyses: analyses(list), device, gpu_memory_bytes_max: 2_000_000, ..Plan::new([tree.path()]) }
}

/// The rows of both, which are the same; and what the GPU did.
#[track_caller]
fn check(plan: &Plan) -> Report {
    let (expected, _) = scan(&Plan { device: Device::Cpu, ..plan.clone() });
    let (records, report) = scan(plan);
    for (path, expected) in &expected {
        assert!(
            records.get(path) == Some(expected),
            "{path}: {:?} instead of {expected:?}",
            records.get(path)
        );
    }
    assert_eq!(records.len(), expected.len());
    report
}

#[test]
fn the_same_rows_at_every_length() {
    if !is_there() {
        return;
    }
    let tree = tree(2_600);
    let all = Plan { gpu_verify: GpuVerify::All, ..plan(&tree, "minhash", Device::Gpu) };
    let report = check(&all);
    assert_eq!(report.gpus.len(), 1, "{:?}", report.notes);
    let gpu = &report.gpus[0];
    assert_eq!((gpu.failures, gpu.left_out.as_str()), (0, ""), "{:?}", report.notes);
    assert!(gpu.files > 1_400 && gpu.submissions > 3, "{gpu:?}");
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    // Other sketches, other analyses beside them, one order.
    check(&plan(&tree, "minhash:k=300:shingle=bytes:5", Device::Gpu));
    check(&Plan {
        workers: Workers::Number(1),
        ..plan(&tree, "full,minhash:k=1:shingle=bytes:1", Device::Gpu)
    });
    let sorted = |device| {
        let mut rows = InOrder::default();
        let plan = Plan { sort: Sort::Path, batch_files_max: 7, ..plan(&tree, "lines,minhash", device) };
        filemill::run(&plan, &mut rows).unwrap();
        rows.0
    };
    assert!(sorted(Device::Gpu) == sorted(Device::Cpu));
}

#[test]
fn files_larger_than_a_slot_go_in_pieces() {
    if !is_there() {
        return;
    }
    let tree = Tree::new();
    for (i, length) in [700_001, 999_983, 1_300_000].into_iter().enumerate() {
        tree.file(format!("{i}"), content(i, length));
        tree.file(format!("small-{i}"), content(i, 100));
    }
    for share_bytes in [1 << 20, 16 << 20] {
        for workers in [1, 3] {
            let workers = Workers::Number(workers);
            let report =
                check(&Plan { share_bytes, workers, ..plan(&tree, "lines,minhash,sha256", Device::Gpu) });
            assert!(report.gpus[0].bytes > 1_000_000, "{:?}", report.gpus);
        }
    }
}

/// A slot has 16 MiB where there is memory for it. What is left over in the last piece begins no shingle.
#[test]
fn ends_of_files_that_are_shorter_than_a_shingle_come_last() {
    if !is_there() {
        return;
    }
    for more in [1, 15, 16] {
        let tree = Tree::new();
        tree.file("a", content(1, (16 << 20) + more));
        let plan = Plan { gpu_memory_bytes_max: 500_000_000, ..plan(&tree, "minhash:k=8", Device::Gpu) };
        let report = check(&plan);
        assert_eq!(report.gpus[0].files, u64::from(more > 15), "{:?}", report.gpus);
        // Whoever has the last word is told of the file.
        let told = if more > 15 { (16 << 20) + more as u64 } else { 0 };
        assert_eq!(report.gpus[0].bytes, told, "{:?}", report.gpus);
        assert!(report.gpus[0].submissions > 0, "{:?}", report.gpus);
    }
}

#[test]
fn what_has_no_kernel_uses_no_gpu() {
    let tree = Tree::new();
    tree.file("a", "x");
    if is_there() {
        let report = check(&plan(&tree, "lines,minhash:shingle=words:3", Device::Gpu));
        assert_eq!(report.notes, ["no GPU is used: none of the analyses runs on one"]);
    }
    let report = check(&plan(&tree, "lines", Device::Auto));
    assert!(report.notes.is_empty() && report.gpus.is_empty());
}

#[test]
fn a_required_device_is_checked_even_if_nothing_would_run_on_it() {
    let tree = Tree::new();
    tree.file("a", "x");
    let named = plan(&tree, "lines", Device::Named("no such card".into()));
    let refused = filemill::run(&named, &mut InOrder::default()).unwrap_err().to_string();
    assert!(refused.starts_with("--device no such card: "), "{refused}");
}

#[cfg(feature = "cli")]
#[test]
fn each_command_checks_a_required_device() {
    let tree = Tree::new();
    tree.file("a", "x");
    for command in [&["scan", "-a", "none"][..], &["dupes"], &["dupes", "--near", "0.8"], &["bench", "sweep"]]
    {
        let mut arguments = command.to_vec();
        arguments.extend(["--device", "no such card"]);
        let output = filemill(&arguments).arg(tree.path()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {stderr}");
        assert!(stderr.starts_with("filemill: --device no such card: "), "{command:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
    }
}

#[cfg(feature = "cli")]
#[test]
fn a_question_mark_lists_the_adapters() {
    let tree = Tree::new();
    tree.file("a", "x");
    for command in [&["scan", "-a", "none"][..], &["scan", "-a", "minhash"], &["dupes"], &["bench", "sweep"]]
    {
        let mut arguments = command.to_vec();
        arguments.extend(["--device", "?"]);
        let output = filemill(&arguments).arg(tree.path()).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{command:?}: {stderr}");
        assert_eq!(stderr, "", "{command:?}");
        let is_listed = |line: &str| line.starts_with("none") || line.contains(": ");
        assert!(!stdout.is_empty() && stdout.lines().all(is_listed), "{command:?}: {stdout}");
        if is_there() {
            assert!(!stdout.starts_with("none"), "{command:?}: {stdout}");
        }
    }
}

/// Drivers of Mesa complain if XDG_RUNTIME_DIR is missing, as in a container.
#[cfg(feature = "cli")]
#[test]
fn a_driver_writes_nothing_to_standard_error() {
    let tree = Tree::new();
    tree.file("a", "x");
    for directory in [None, Some(""), Some("relative")] {
        for device in ["?", "gpu", "no such card"] {
            let mut command = filemill(&["scan", "-a", "minhash", "--device", device]);
            command.env_remove("XDG_RUNTIME_DIR");
            if let Some(directory) = directory {
                command.env("XDG_RUNTIME_DIR", directory);
            }
            let stderr = text(&command.arg(tree.path()).output().unwrap().stderr);
            assert!(stderr.lines().all(|line| line.starts_with("filemill: ")), "{device}: {stderr}");
        }
    }
}

#[test]
fn what_cannot_be_had_is_an_error_only_where_it_is_required() {
    let tree = Tree::new();
    tree.file("a", "x");
    let refused = |plan: &Plan| filemill::run(plan, &mut InOrder::default()).unwrap_err().to_string();
    let small = Plan { gpu_memory_bytes_max: 1000, ..plan(&tree, "minhash", Device::Gpu) };
    #[cfg(feature = "gpu")]
    assert!(
        refused(&small).starts_with("--device gpu: 1000 bytes of its memory are too few"),
        "{}",
        refused(&small)
    );
    #[cfg(not(feature = "gpu"))]
    assert_eq!(refused(&small), "--device gpu: this build has no GPU workers");
    let named = plan(&tree, "minhash", Device::Named("no such card".into()));
    assert!(refused(&named).starts_with("--device no such card: "), "{}", refused(&named));
    check(&Plan { device: Device::Auto, ..small });
}

#[test]
fn a_cancelled_run_leaves_nothing_behind() {
    if !is_there() {
        return;
    }
    let tree = tree(400);
    let plan = plan(&tree, "minhash", Device::Gpu);
    for records in [0, 1, 50, 200] {
        struct Cancels<'c>(&'c Control, u64, Rows);
        impl filemill::sink::Sink for Cancels<'_> {
            fn record(&mut self, record: &filemill::record::Record<'_>) -> std::io::Result<()> {
                if self.2.len() as u64 >= self.1 {
                    self.0.cancel();
                }
                let mut rows = InOrder(std::mem::take(&mut self.2));
                rows.record(record)?;
                self.2 = rows.0;
                Ok(())
            }
        }
        let control = Control::new();
        let mut sink = Cancels(&control, records, Vec::new());
        let since = std::time::Instant::now();
        let report = filemill::run_with(&plan, &mut sink, &control).unwrap();
        assert!(report.cancelled && report.ledger.adds_up(), "{:?}", report.ledger);
        assert!(since.elapsed() < Duration::from_secs(5));
    }
}

/// With faults on purpose, on a card or what plays one, and on what only pretends to be one.
#[cfg(all(feature = "gpu", feature = "faults"))]
mod faults {
    use filemill::faults::{Effect, Faults, Operation};

    use super::*;

    /// The rows are the same, and the report says what became of the GPU: how often it failed, and a message at most.
    #[track_caller]
    fn check_fault(tree: &Tree, device: &Device, operation: Operation, at: u64, effect: Effect) -> Report {
        let plan = Plan {
            faults: Faults::new(operation, at, effect),
            gpu_verify: if operation == Operation::GpuWords { GpuVerify::All } else { GpuVerify::Sample },
            ..plan(tree, "lines,minhash", device.clone())
        };
        let report = check(&plan);
        assert!(plan.faults.has_struck(), "{operation:?} {at}");
        let gpu = &report.gpus[0];
        assert!(gpu.failures >= 1, "{operation:?} {at} {effect:?}: {gpu:?}");
        assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
        assert!(
            report.notes[0].starts_with(&format!("the GPU {} failed", gpu.adapter)),
            "{:?}",
            report.notes
        );
        report
    }

    #[test]
    fn whatever_goes_wrong_with_a_device_the_rows_are_the_same() {
        let tree = tree(600);
        let fake = Device::Named("fake".into());
        for operation in [Operation::GpuAnswer, Operation::GpuTicket, Operation::GpuWords, Operation::GpuLose]
        {
            for at in [1, 2, 4] {
                let report = check_fault(&tree, &fake, operation, at, Effect::FailsOnce);
                assert_eq!(report.gpus[0].failures, 1, "it is tried again: {:?}", report.gpus);
            }
            // It is left alone for a while, and after the third time for good.
            let report = check_fault(&tree, &fake, operation, 1, Effect::FailsFromThenOn);
            let gpu = &report.gpus[0];
            assert!(gpu.failures <= 4 && gpu.files == 0, "{gpu:?}");
        }
        check_fault(&tree, &fake, Operation::GpuAnswer, 2, Effect::Hangs);
        check_fault(&tree, &fake, Operation::GpuAnswer, 2, Effect::Panics);
    }

    #[test]
    fn a_device_that_is_lost_in_mid_run_loses_nothing() {
        if !is_there() {
            return;
        }
        let tree = tree(800);
        for at in [1, 2, 5] {
            check_fault(&tree, &Device::Gpu, Operation::GpuLose, at, Effect::FailsOnce);
        }
        check_fault(&tree, &Device::Gpu, Operation::GpuTicket, 2, Effect::FailsOnce);
    }

    /// Pieces go on to come while the device is out, and find another one when it is back.
    #[test]
    fn a_device_that_comes_back_is_given_what_it_is_to_look_at() {
        if !is_there() {
            return;
        }
        let tree = Tree::new();
        (0..6).for_each(|i| drop(tree.file(format!("{i}"), content(i, 6_000_000))));
        for at in [2, 5] {
            let plan = Plan {
                faults: Faults::new(Operation::GpuLose, at, Effect::FailsOnce),
                gpu_verify: GpuVerify::Off,
                workers: Workers::Number(4),
                ..plan(&tree, "minhash:k=8", Device::Gpu)
            };
            let report = check(&plan);
            assert!(report.gpus[0].failures == 1, "{:?} {:?}", report.gpus, report.notes);
        }
    }

    #[test]
    fn what_a_device_cannot_allocate_is_an_error_where_it_is_required() {
        let tree = Tree::new();
        tree.file("a", "x");
        let fake = Device::Named("fake".into());
        let faults = Faults::new(Operation::GpuAllocate, 2, Effect::FailsFromThenOn);
        let plan = Plan { faults, ..plan(&tree, "minhash", fake) };
        let refused = filemill::run(&plan, &mut InOrder::default()).unwrap_err().to_string();
        assert_eq!(refused, "--device fake: fake: out of memory");
    }

    #[test]
    fn under_auto_a_device_that_is_slower_than_a_worker_gets_nothing_and_the_report_says_so() {
        let tree = tree(2_000);
        // Nothing goes wrong, but there is one that pretends.
        let faults = Faults::new(Operation::GpuLose, u64::MAX, Effect::FailsOnce);
        let plan = Plan { faults, ..plan(&tree, "minhash", Device::Auto) };
        let report = check(&plan);
        assert!(report.notes.is_empty(), "{:?}", report.notes);
        let gpu = &report.gpus[0];
        assert_eq!((gpu.files, gpu.left_out.as_str()), (0, "a worker is faster"), "{gpu:?}");
        assert!(gpu.rate < gpu.worker_rate, "{gpu:?}");
    }

    #[test]
    fn without_a_thread_for_it_a_gpu_gets_nothing() {
        let tree = tree(100);
        for at in 1..6 {
            let faults = Faults::new(Operation::Spawn, at, Effect::FailsOnce);
            check(&Plan { faults, ..plan(&tree, "minhash", Device::Named("fake".into())) });
        }
    }
}
