//! How long batches took, as the report tells it.

use filemill::control::Control;
use filemill::latencies::Latencies;
use filemill::plan::{Plan, Workers};
use filemill::report::Report;

use crate::support::{Keep, Tree, analyses, scan};

fn plan(tree: &Tree) -> Plan {
    Plan {
        analyses: analyses("lines,blake3"),
        workers: Workers::Number(2),
        walkers: 1,
        batch_files_max: 10,
        ..Plan::new([tree.path()])
    }
}

/// What holds of every run.
#[track_caller]
fn check(report: &Report) {
    let quantile = |quantile| report.batches.quantile(quantile).unwrap();
    let (median, max) = (quantile(0.5), report.batches.max().unwrap());
    assert!(median <= quantile(0.99) && quantile(0.99) <= max && max <= report.elapsed, "{report:?}");
    assert!(!max.is_zero());
}

#[test]
fn each_piece_of_work_counts_once() {
    let tree = Tree::new();
    for i in 0..100 {
        tree.file(format!("{}/{i}", i % 7), "x\n".repeat(i));
    }
    for workers in [1, 2, 8] {
        let (records, report) = scan(&Plan { workers: Workers::Number(workers), ..plan(&tree) });
        check(&report);
        // A batch may be handed over in halves, never file by file.
        assert!((10..=records.len() as u64).contains(&report.batches.count()), "{:?}", report.batches);
        if workers == 1 {
            assert!(report.batches.max().unwrap() <= report.steps.stage + report.steps.analyse);
        }
    }
}

#[test]
fn a_large_file_counts_as_one() {
    let tree = Tree::new();
    for i in 0..3 {
        tree.file(format!("{i}"), "line\n".repeat(4 << 20));
    }
    for workers in [1, 2] {
        let plan = Plan { workers: Workers::Number(workers), share_bytes: 1 << 20, ..plan(&tree) };
        let report = scan(&plan).1;
        check(&report);
        assert_eq!(report.batches.count(), 3, "{workers} workers");
    }
}

#[test]
fn where_nothing_was_read_there_is_no_time_to_tell() {
    #[track_caller]
    fn check(batches: &Latencies) {
        assert_eq!((batches.count(), batches.quantile(0.5), batches.max()), (0, None, None));
    }
    let tree = Tree::new();
    check(&scan(&plan(&tree)).1.batches);
    tree.file("a", "x");
    let control = Control::new();
    control.cancel();
    check(&filemill::run_with(&plan(&tree), &mut Keep::default(), &control).unwrap().batches);
}
