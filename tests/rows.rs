//! A run as an iterator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use filemill::analyses::{Analysis, Pass};
use filemill::error::Error;
use filemill::plan::{Plan, Sort, Workers};
use filemill::record::{Column, FileRecord, OwnedRecord, Row, Value, ValueKind};

use crate::support::{InOrder, Tree, analyses, timeless};

fn tree(files: usize) -> Tree {
    let tree = Tree::new();
    for i in 0..files {
        tree.file(format!("{}/{i}", i % 20), "x\n".repeat(i % 7));
    }
    tree
}

#[test]
fn an_iterator_gives_what_a_sink_is_given() {
    let tree = tree(1000);
    let plan = Plan { analyses: analyses("lines"), sort: Sort::Path, ..Plan::new([tree.path()]) };
    let mut sink = InOrder::default();
    filemill::run(&plan, &mut sink).unwrap();
    let mut rows = filemill::rows(plan).unwrap();
    assert_eq!(rows.columns()[0].name, "lines");
    let records: Vec<OwnedRecord> = rows.by_ref().map(Result::unwrap).collect();
    let records: Vec<_> = records.into_iter().map(|it| (it.path, timeless(it.outcome), it.values)).collect();
    assert_eq!(records, sink.0);
    let report = rows.report().unwrap();
    assert!(report.is_complete() && report.ledger.done == 1000);
    assert!(rows.next().is_none());
}

#[test]
fn an_error_is_the_last_item() {
    let mut rows = filemill::rows(Plan::new(["/no/such/root"])).unwrap();
    assert!(matches!(rows.next(), Some(Err(Error::Root { .. }))));
    assert!(rows.next().is_none() && rows.report().is_none());
    let refused = filemill::rows(Plan { workers: Workers::Number(0), ..Plan::new(["."]) });
    assert!(matches!(refused, Err(Error::Plan(_))));
}

/// Counts the files that are begun.
struct Count(Arc<AtomicU64>);

impl Analysis for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "count", kind: ValueKind::U64, unit: "" }]
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Count(self.0.clone()))
    }
}

impl Pass for Count {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn block(&mut self, _: &[u8]) {}

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(1));
    }
}

#[test]
fn a_run_waits_for_its_reader_and_ends_when_that_is_dropped() {
    let tree = tree(20_000);
    let begun = Arc::new(AtomicU64::new(0));
    let plan = Plan {
        analyses: vec![Arc::new(Count(begun.clone()))],
        workers: Workers::Number(2),
        queue_batches_max: 2,
        batch_files_max: 64,
        ..Plan::new([tree.path()])
    };
    let mut rows = filemill::rows(plan).unwrap();
    assert!(rows.next().unwrap().is_ok());
    // Nobody takes more: what fits into the channels is done, and no more.
    let mut before = u64::MAX;
    let since = Instant::now();
    while begun.load(Ordering::Relaxed) != before {
        before = begun.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        assert!(since.elapsed() < Duration::from_secs(20));
    }
    assert!(before < 5000, "{before} files begun for a reader that took one");
    drop(rows);
    std::thread::sleep(Duration::from_millis(300));
    let after = begun.load(Ordering::Relaxed);
    assert!(after < before + 1000, "{after} files begun after {before}, for nobody");
}
