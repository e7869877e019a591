//! Compares files of the same digest byte by byte, for those who do not take a digest's word.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::groups::{Candidate, Candidates, Catalog, FileId};
use crate::plan::{Plan, Reads, Staging};
use crate::record::{Batch, Outcome};
use crate::stage::{Budget, OpenFile, Stage};
use crate::walk::again::{Known, Reach};

/// Large enough that changing between two files costs little beside reading them. A guess.
const BLOCK_BYTES: usize = 128 << 10;

/// What came of it.
pub(super) struct Verified {
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// Files that are not what was hashed, or could not be read.
    pub(super) failed: Vec<(FileId, FileError)>,
}

/// Compares the files of every class with its first one. One that has changed since it was hashed is a failure.
pub(super) fn verify(plan: &Plan, catalog: &Catalog, same: &Candidates, control: &Control) -> Verified {
    let classes: Vec<&[Candidate]> = same.classes().collect();
    // Files are read as they lie.
    let plan = &Plan { staging: Staging::Read, reads: Reads::Whole, ..plan.clone() };
    let budget = Budget::new(plan);
    let verifier = || Verifier::new(plan, catalog, control, &budget);
    let verified = classes.par_iter().map_init(verifier, |verifier, class| {
        let mut verified = Verified { bytes: 0, failed: Vec::new() };
        if !control.is_cancelled() {
            verifier.class(class, control, &mut verified);
        }
        verified
    });
    let sum = |mut sum: Verified, mut next: Verified| {
        sum.failed.append(&mut next.failed);
        Verified { bytes: sum.bytes + next.bytes, ..sum }
    };
    let mut verified = verified.reduce(|| Verified { bytes: 0, failed: Vec::new() }, sum);
    verified.failed.sort_unstable_by_key(|(file, _)| *file);
    verified
}

/// Compares on one thread.
struct Verifier<'v> {
    reach: Reach<'v>,
    stage: Stage<'v>,
    catalog: &'v Catalog,
    blocks: [Vec<u8>; 2],
}

impl<'v> Verifier<'v> {
    fn new(plan: &'v Plan, catalog: &'v Catalog, control: &'v Control, budget: &'v Budget) -> Self {
        let (reach, stage) = (Reach::new(plan), Stage::new(plan, control, budget));
        Verifier { reach, stage, catalog, blocks: [vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]] }
    }

    /// Where the first cannot be read, the second takes its place, and so on.
    fn class(&mut self, class: &[Candidate], control: &Control, verified: &mut Verified) {
        let mut left = class;
        while let [first, others @ ..] = left {
            left = others;
            let opened = self.open(first.file);
            let first = match opened {
                Ok(opened) => (first.file, opened),
                Err(error) => {
                    verified.failed.push((first.file, error));
                    continue;
                }
            };
            for other in others {
                let compared = self.compare(&first, other.file, verified);
                verified.failed.extend(compared.err());
                if control.is_cancelled() {
                    break;
                }
            }
            return;
        }
    }

    /// That a file has the content of the first. The error is of the one that cannot be read, or is another.
    fn compare(
        &mut self,
        (first, opened): &(FileId, OpenFile),
        other: FileId,
        verified: &mut Verified,
    ) -> Result<(), (FileId, FileError)> {
        let other_opened = self.open(other).map_err(|error| (other, error))?;
        let [ours, theirs] = &mut self.blocks;
        let mut offset = 0;
        loop {
            let read = opened.read_full_at(ours, offset).map_err(|error| (*first, error))?;
            let other_read = other_opened.read_full_at(theirs, offset).map_err(|error| (other, error))?;
            verified.bytes += (read + other_read) as u64;
            if ours[..read] != theirs[..other_read] {
                return Err((other, FileError::new(Step::Stage, Cause::Changed)));
            }
            if read < ours.len() {
                return Ok(());
            }
            offset += read as u64;
        }
    }

    /// Opens a file, which must be the one that was met.
    fn open(&mut self, file: FileId) -> Result<OpenFile, FileError> {
        let entry = self.catalog.entry(file);
        let path = self.catalog.directory_path(entry.directory);
        let known = Known { directory: path, root: self.catalog.root_of(file), name: entry.name };
        let changed = || FileError::new(Step::Stage, Cause::Changed);
        let found = self.reach.found(&known);
        let directory =
            self.reach.directory(path, known.root).map_err(|error| FileError::from_io(Step::Walk, &error))?;
        let mut batch = Batch::default();
        batch.push(&directory, entry.name, found);
        let entry_of_batch = batch.entries().next().ok_or_else(changed)?;
        let opened = self.stage.open(&entry_of_batch).map_err(|outcome| match outcome {
            Outcome::Failed(error) => error,
            _ => changed(),
        })?;
        let is_same = (opened.mtime_ns(), opened.identity()) == (entry.mtime_ns, entry.identity);
        if is_same && opened.size() == entry.size { Ok(opened) } else { Err(changed()) }
    }
}
