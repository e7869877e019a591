//! Cuts the stream of entries into batches, by count, by bytes and by the directories they hold open. Pure.

use crate::plan::{Handles, Plan};
use crate::record::{Batch, Directory, Found};

/// Fills one batch at a time.
#[derive(Debug)]
pub(crate) struct Cutter {
    files_max: usize,
    bytes_max: u64,
    directories_max: usize,
    batch: Batch,
}

/// Bound on the names and paths of one batch, so that its size does not depend on how long they are.
const NAMES_BYTES_MAX: usize = 1 << 20;

impl Cutter {
    pub(crate) fn new(plan: &Plan, handles: &Handles) -> Cutter {
        Cutter {
            files_max: plan.batch_files_in_order(),
            bytes_max: plan.batch_bytes_max.unwrap_or(u64::MAX),
            directories_max: handles.batch_directories,
            batch: Batch::default(),
        }
    }

    /// Adds an entry; returns a batch when one is full with it.
    ///
    /// `bytes` is the file's size where the plan limits a batch's bytes, otherwise 0.
    pub(crate) fn push(
        &mut self,
        directory: &Directory,
        name: &[u8],
        found: Found,
        bytes: u64,
    ) -> Option<Batch> {
        // What does not fit opens the next batch. So a batch that is cut here leaves one entry behind, which is full
        // only where one entry fills a batch; and there nothing was left to cut.
        let overflows = self.batch.bytes.saturating_add(bytes) > self.bytes_max
            || (self.batch.directories() >= self.directories_max && !self.batch.ends_in(directory))
            || self.batch.names_bytes() + directory.path.len() > NAMES_BYTES_MAX;
        let full = if overflows { self.take() } else { None };
        self.batch.push(directory, name, found);
        self.batch.bytes = self.batch.bytes.saturating_add(bytes);
        if self.batch.len() >= self.files_max { full.or_else(|| self.take()) } else { full }
    }

    /// The batch as far as it is filled.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.batch.is_empty() { None } else { Some(std::mem::take(&mut self.batch)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts files of the given (directory, bytes); returns the bytes of each file by batch.
    fn cut(
        files_max: usize,
        bytes_max: Option<u64>,
        directories_max: usize,
        files: &[(usize, u64)],
    ) -> Vec<Vec<u64>> {
        let plan = Plan { batch_files_max: files_max, batch_bytes_max: bytes_max, ..Plan::new(["."]) };
        let handles =
            Handles { walkers: 1, workers: 1, queue: 1, walk_stack: 1, batch_directories: directories_max };
        let directories: Vec<_> = (0..10).map(|i| Directory::from_path(format!("{i}").as_bytes())).collect();
        let mut cutter = Cutter::new(&plan, &handles);
        let mut batches = Vec::new();
        for &(directory, bytes) in files {
            batches.extend(cutter.push(
                &directories[directory],
                bytes.to_string().as_bytes(),
                Found::File,
                bytes,
            ));
        }
        batches.extend(cutter.take());
        let bytes = |name: &[u8]| String::from_utf8_lossy(name).parse().expect("the name is the size");
        batches.iter().map(|batch| batch.entries().map(|entry| bytes(entry.name())).collect()).collect()
    }

    #[test]
    fn long_paths_make_short_batches() {
        let plan = Plan::new(["."]);
        let handles = Handles { walkers: 1, workers: 1, queue: 1, walk_stack: 1, batch_directories: 1000 };
        let mut cutter = Cutter::new(&plan, &handles);
        let mut batches = Vec::new();
        for i in 0..20_u8 {
            let directory = Directory::from_path(&vec![i; NAMES_BYTES_MAX / 3]);
            batches.extend(cutter.push(&directory, b"file", Found::File, 0));
        }
        assert!(batches.iter().all(|batch| (1..=3).contains(&batch.len())));
        assert!(batches.len() >= 6);
    }

    #[test]
    fn batches_are_cut_by_each_limit() {
        #[track_caller]
        fn check(limits: (usize, Option<u64>, usize), files: &[(usize, u64)], expected: &[&[u64]]) {
            assert_eq!(cut(limits.0, limits.1, limits.2, files), expected);
        }
        check((2, None, 9), &[(0, 1), (0, 2), (0, 3)], &[&[1, 2], &[3]]);
        check((1, None, 9), &[(0, 1), (1, 2)], &[&[1], &[2]]);
        check((9, Some(10), 9), &[(0, 4), (0, 6), (0, 1)], &[&[4, 6], &[1]]);
        check((9, Some(10), 9), &[(0, 4), (0, 7), (0, 3), (0, 1)], &[&[4], &[7, 3], &[1]]);
        check((9, Some(10), 9), &[(0, 99), (0, 0), (0, 1)], &[&[99], &[0, 1]]);
        check((9, None, 2), &[(0, 1), (1, 2), (1, 3), (2, 4), (2, 5)], &[&[1, 2, 3], &[4, 5]]);
        check((9, None, 1), &[(0, 1), (0, 2), (1, 3)], &[&[1, 2], &[3]]);
        check((9, None, 9), &[], &[]);
    }
}
