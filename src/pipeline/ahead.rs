//! Counts files and bytes ahead of a run, for its progress: a walk of its own over the same tree, which opens no file.
//!
//! The walk of the run itself is no help: it waits while its queue is full, so it is never far ahead of the
//! workers. The count pays for one more listing of each directory and one status call a file, and so it begins only after
//! half a second, and only if the progress is shown ([`Control::count_ahead`]).

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use super::{OnDrop, spawn};
use crate::control::{Control, Total};
use crate::plan::{Filter, Handles, Plan, Sort};
use crate::record::Found;
use crate::walk::{Met, Walk};

/// Shorter runs are not counted.
const AFTER: Duration = Duration::from_millis(500);
/// A run with more roots and entries of a list is not counted: their number is known, and their sizes are not worth a second look.
const NAMED_MAX: usize = 20_000;
/// The count keeps no more handles open than this.
const HANDLES: Handles = Handles { walkers: 1, workers: 1, queue: 1, walk_stack: 4, batch_directories: 1 };
/// With fewer handles in all, none can be spared.
const HANDLES_MIN: usize = 256;
/// Files that are counted between two looks at the clock of the display.
const FILES_AT_ONCE: u64 = 64;

/// A count that is about to begin.
pub(super) struct Ahead {
    plan: Plan,
    apart: HashSet<Vec<u8>>,
    /// Cancelled when the run is over.
    stop: Control,
}

impl Ahead {
    /// The count of a run, if its progress is watched.
    pub(super) fn of(plan: &Plan, apart: &HashSet<Vec<u8>>, control: &Control) -> Option<Ahead> {
        if !control.is_counted_ahead() || plan.reads != crate::plan::Reads::Whole {
            return None;
        }
        let named = plan.roots.len() + plan.listed.len();
        if named > NAMED_MAX {
            control.know_total(Total { files: named as u64, bytes: None, is_all: true });
            return None;
        }
        if plan.handles_max < HANDLES_MIN {
            return None;
        }
        let (batch_bytes_max, sort) = (Some(u64::MAX), Sort::None);
        let plan = Plan { batch_bytes_max, sort, tells_directories: false, ..plan.clone() };
        Some(Ahead { plan, apart: apart.clone(), stop: Control::new() })
    }

    /// Counts; returns when all is counted, or `is_over` has no sender any more.
    fn count(&self, is_over: &Receiver<Infallible>, control: &Control) {
        if !matches!(is_over.recv_timeout(AFTER), Err(RecvTimeoutError::Timeout)) {
            return;
        }
        let Ok(walk) = Walk::new(&self.plan, self.apart.clone(), &HANDLES, &self.stop) else { return };
        control.know_total(Total { files: 0, bytes: Some(0), is_all: false });
        let (mut files, mut bytes) = (0, 0);
        walk.run(&mut |met| {
            if let Met::Entry { found, bytes: size, .. } = met {
                files += 1;
                bytes += if is_read(&self.plan.filter, found, size) { size } else { 0 };
            }
            if files >= FILES_AT_ONCE {
                control.add_known(std::mem::take(&mut files), std::mem::take(&mut bytes));
            }
            if self.stop.is_cancelled() || control.should_stop() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        control.add_known(files, bytes);
        if !self.stop.is_cancelled() {
            control.know_all();
        }
    }
}

/// Does `run` while a thread counts. Without a thread there is no total, and the progress shows no time left.
pub(super) fn beside<T>(ahead: Option<Ahead>, control: &Control, run: impl FnOnce() -> T) -> T {
    let Some(ahead) = ahead else { return run() };
    let (open, is_over) = bounded(0);
    let mut open = Some(open);
    thread::scope(|scope| {
        let count = || ahead.count(&is_over, control);
        drop(spawn(scope, "filemill-count".to_owned(), &ahead.plan.faults, count));
        let _stop = OnDrop(|| {
            ahead.stop.cancel();
            open = None;
        });
        run()
    })
}

/// Whether the bytes of an entry of this size are read.
fn is_read(filter: &Filter, found: Found, size: u64) -> bool {
    let is_file = matches!(found, Found::File | Found::FileThroughLinks);
    is_file && filter.size_min.is_none_or(|min| size >= min) && filter.size_max.is_none_or(|max| size <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(plan: &Plan) -> Option<Total> {
        let control = Control::new();
        control.count_ahead();
        let ahead = Ahead::of(plan, &HashSet::new(), &control)?;
        let (_open, is_over) = bounded(0);
        ahead.count(&is_over, &control);
        control.progress().total
    }

    #[test]
    fn the_count_has_every_path_and_the_bytes_of_files_that_are_read() {
        let tree = tempfile::tempdir().expect("a place for tests");
        let write = |name: &str, bytes: usize| {
            let path = tree.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
            std::fs::write(path, vec![b'x'; bytes]).expect("a file");
        };
        write("a", 10);
        write("b/c", 1000);
        write("b/d/e", 100_000);
        let mut plan = Plan::new([tree.path()]);
        let total = |files, bytes| Some(Total { files, bytes: Some(bytes), is_all: true });
        assert_eq!(counted(&plan), total(3, 101_010));
        // They are met, and skipped when they are opened.
        plan.filter.size_max = Some(1000);
        assert_eq!(counted(&plan), total(3, 1010));
        plan.filter.depth_max = Some(1);
        assert_eq!(counted(&plan), total(1, 10));
        plan.listed = (0..=NAMED_MAX).map(|name| std::path::PathBuf::from(name.to_string())).collect();
        let all: Vec<_> =
            (0_u32..).take(NAMED_MAX + 1).map(|entry| crate::plan::Met::new(entry, true)).collect();
        plan.listed = plan.listed.in_order(all);
        assert_eq!(counted(&plan), None);
    }

    #[test]
    fn a_run_that_is_over_is_not_counted() {
        let tree = tempfile::tempdir().expect("a place for tests");
        let control = Control::new();
        control.count_ahead();
        let ahead = Ahead::of(&Plan::new([tree.path()]), &HashSet::new(), &control).expect("it is wanted");
        let (open, is_over) = bounded(0);
        drop(open);
        ahead.count(&is_over, &control);
        assert_eq!(control.progress().total, None);
    }
}
