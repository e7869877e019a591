//! Large files: put off until what lies beside them is done, and shared out among the workers.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use filemill::control::Control;
use filemill::plan::{Plan, Staging, Workers};
use filemill::record::Value;

use crate::mid_run::slow_run;
use crate::probe::probe;
use crate::support::{InOrder, Keep, Tree, analyses, scan};

/// The progress display adds up the bytes read, by one worker or several, mapped or not, and in whole parts or not.
#[test]
fn bytes_of_a_large_file_never_go_back() {
    filemill::guard_mappings().unwrap();
    let tree = Tree::new();
    const BYTES: usize = 20 << 20;
    let large = tree.file("large", vec![b'x'; BYTES]);
    tree.file("small", "12345");
    for (workers, staging, list) in [
        (1, Staging::Read, "blake3"),
        (1, Staging::Mmap, "blake3"),
        (2, Staging::Mmap, "blake3"),
        (2, Staging::Read, "blake3,xxh3"),
    ] {
        let control = Control::new();
        let is_over = AtomicBool::new(false);
        let plan = Plan {
            workers: Workers::Number(workers),
            staging,
            map_bytes_min: 1 << 20,
            map_window_bytes: 1 << 20,
            share_bytes: 1 << 20,
            analyses: analyses(list),
            ..Plan::new([&large, &tree.at("small")])
        };
        let seen = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut seen = vec![control.bytes()];
                while !is_over.load(Ordering::Relaxed) {
                    let bytes = control.bytes();
                    assert!(bytes >= seen[seen.len() - 1], "{bytes} after {seen:?}");
                    if bytes > seen[seen.len() - 1] {
                        seen.push(bytes);
                    }
                }
                seen
            });
            filemill::run_with(&plan, &mut InOrder::default(), &control).unwrap();
            is_over.store(true, Ordering::Relaxed);
            watcher.join().unwrap()
        });
        assert_eq!(control.bytes(), BYTES as u64 + 5, "{workers} workers, {staging:?}, {list}: {seen:?}");
        assert_eq!(control.progress().bytes_done, BYTES as u64 + 5);
    }
}

/// What will never be read is not waited for.
#[test]
fn the_bytes_of_a_file_that_fails_are_done_with() {
    let tree = Tree::new();
    let large = tree.file("large", vec![b'x'; 4 << 20]);
    for workers in [1, 2] {
        let grow = large.clone();
        let grows = probe(move |_, blocks| {
            if blocks == 1 {
                fs::OpenOptions::new().append(true).open(&grow).unwrap().set_len(6 << 20).unwrap();
            }
        });
        fs::OpenOptions::new().write(true).open(&large).unwrap().set_len(4 << 20).unwrap();
        let control = Control::new();
        let plan = Plan { workers: Workers::Number(workers), analyses: vec![grows], ..Plan::new([&large]) };
        let report = filemill::run_with(&plan, &mut InOrder::default(), &control).unwrap();
        assert_eq!(report.ledger.failed_total(), 1);
        assert!(control.progress().bytes_done >= 4 << 20, "{:?}", control.progress());
    }
}

/// A large file that is the first of its batch, and takes until all that lies beside it is reported.
#[test]
fn a_large_file_holds_up_nothing_that_lies_beside_it() {
    for divided in [true, false] {
        let tree = Tree::new();
        let large = tree.file("large", vec![b'x'; 100_000]);
        for i in 0..100 {
            tree.file(format!("small/{i}"), "x");
        }
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let slow = probe(move |path, blocks| {
            if blocks == 0 && !path.ends_with("large") {
                count.fetch_add(1, Ordering::Relaxed);
            } else if blocks == 1 && path.ends_with("large") {
                assert_eq!(count.load(Ordering::Relaxed), 100);
            }
        });
        let plan = Plan {
            walkers: 1,
            workers: Workers::Number(1 + usize::from(divided)),
            share_bytes: 50_000,
            analyses: if divided { analyses("lines") } else { vec![slow] },
            ..Plan::new([large, tree.at("small")])
        };
        let mut sink = InOrder::default();
        let report = filemill::run(&plan, &mut sink).unwrap();
        assert_eq!(report.ledger.done, 101);
        assert!(divided || sink.0.last().unwrap().0.ends_with(b"large"));
    }
}

/// All workers read one file: each waits until the other has come to a part of it.
#[test]
fn a_large_file_is_read_by_several_workers_at_once() {
    let tree = Tree::new();
    tree.file("large", vec![b'\n'; 33 << 20]);
    let threads: Arc<Mutex<HashMap<ThreadId, u64>>> = Arc::default();
    let seen = threads.clone();
    let meet = probe(move |_, blocks| {
        if blocks == 0 {
            *seen.lock().unwrap().entry(std::thread::current().id()).or_default() += 1;
            let since = std::time::Instant::now();
            while seen.lock().unwrap().len() < 2 && since.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(seen.lock().unwrap().len(), 2, "nobody came to help");
        }
    });
    let mut plan = Plan { workers: Workers::Number(2), analyses: vec![meet], ..Plan::new([tree.path()]) };
    plan.share_bytes = 1 << 20;
    let (records, _) = scan(&Plan { analyses: analyses("lines"), ..plan.clone() });
    assert_eq!(records["large"].1, [Value::U64(33 << 20)]);
    assert!(filemill::run(&plan, &mut Keep::default()).unwrap().is_complete());
    assert_eq!(threads.lock().unwrap().values().sum::<u64>(), 5);
    assert_eq!(threads.lock().unwrap().len(), 2);
}

/// Helpers come and go while there is other work, and nobody leaves a file that nobody else goes on with.
#[test]
fn large_files_between_many_small_ones_are_all_finished() {
    let tree = Tree::new();
    for i in 0..40 {
        for j in 0..50 {
            tree.file(format!("{i}/{j}"), "x\n");
        }
        if i % 5 == 0 {
            let file = fs::File::create(tree.at(format!("{i}/large"))).unwrap();
            file.set_len((100 << 20) + i).unwrap();
        }
    }
    for (list, workers) in [("lines", 2), ("lines", 8), ("lines,xxh3", 3)] {
        for batch_files_max in [2, 30] {
            let plan = Plan {
                workers: Workers::Number(workers),
                batch_files_max,
                queue_batches_max: 2,
                analyses: analyses(list),
                ..Plan::new([tree.path()])
            };
            let (records, report) = scan(&plan);
            assert_eq!((records.len(), report.ledger.done), (2008, 2008));
        }
    }
}

#[test]
fn large_files_of_one_batch_are_shared_out() {
    let (_tree, plan, _) = slow_run();
    let by_thread: Arc<Mutex<HashMap<ThreadId, u64>>> = Arc::default();
    let count = by_thread.clone();
    let who = probe(move |_, blocks| {
        *count.lock().unwrap().entry(std::thread::current().id()).or_default() += 1 - blocks;
        std::thread::sleep(Duration::from_millis(1));
    });
    // All 2000 files are one batch; after each the rest is shared with whoever is idle.
    let whole = Plan { batch_files_max: 4000, share_bytes: 1, walkers: 1, analyses: vec![who], ..plan };
    let mut keep = Keep::default();
    filemill::run(&whole, &mut keep).unwrap();
    assert_eq!(keep.records.len(), 2000);
    let by_thread = by_thread.lock().unwrap();
    assert_eq!(by_thread.values().sum::<u64>(), 2000);
    assert!(by_thread.len() == 2 && by_thread.values().all(|files| *files > 500), "{by_thread:?}");
}
