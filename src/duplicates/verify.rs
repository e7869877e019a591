//! Compares files of the same digest byte by byte, for those who do not take a digest's word.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::source::{self, Source};
use crate::control::Control;
use crate::error::{Cause, FileError, Step, caught};
use crate::groups::{Candidate, Candidates, Catalog, FileId};
use crate::plan::Plan;
use crate::stage::{Budget, OpenFile};

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
    let plan = &source::plan(plan);
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

/// What came of comparing a file with the first of its class.
enum Compared {
    Same,
    /// It cannot be read, or is not what it was.
    Failed(FileError),
}

/// Compares on one thread.
struct Verifier<'v> {
    source: Source<'v>,
    blocks: [Vec<u8>; 2],
}

impl<'v> Verifier<'v> {
    fn new(plan: &'v Plan, catalog: &'v Catalog, control: &'v Control, budget: &'v Budget) -> Self {
        let source = Source::new(plan, catalog, control, budget);
        Verifier { source, blocks: [vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]] }
    }

    /// Each of a class with the first that can be read.
    fn class(&mut self, class: &[Candidate], control: &Control, verified: &mut Verified) {
        let mut left: Vec<FileId> = class.iter().map(|candidate| candidate.file).collect();
        // Where it turns out that the first is not what it was, what was compared with it counts for nothing.
        while let Some(&first) = left.first() {
            match self.compare_all(first, &left[1..], control, verified) {
                Ok(failed) => {
                    verified.failed.extend(failed);
                    return;
                }
                Err(error) => {
                    verified.failed.push((first, error));
                    left.remove(0);
                }
            }
        }
    }

    /// What came of the others. The error is of the first.
    fn compare_all(
        &mut self,
        first: FileId,
        others: &[FileId],
        control: &Control,
        verified: &mut Verified,
    ) -> Result<Vec<(FileId, FileError)>, FileError> {
        let opened = self.source.open(first)?;
        let mut failed = Vec::new();
        for &other in others {
            if control.is_cancelled() {
                break;
            }
            match caught(|| self.compare(&opened, other, &mut verified.bytes)).and_then(|compared| compared) {
                Ok(Compared::Same) => {}
                Ok(Compared::Failed(error)) => failed.push((other, error)),
                Err(error) => return Err(error),
            }
        }
        self.source.check_unchanged(&opened)?;
        Ok(failed)
    }

    /// Compares a file with the first. The error is of the first.
    fn compare(&mut self, first: &OpenFile, other: FileId, bytes: &mut u64) -> Result<Compared, FileError> {
        let opened = match self.source.open(other) {
            Ok(opened) => opened,
            Err(error) => return Ok(Compared::Failed(error)),
        };
        let mut offset = 0;
        loop {
            let [ours, theirs] = &mut self.blocks;
            let read = first.read_full_at(ours, offset)?;
            let other_read = match opened.read_full_at(theirs, offset) {
                Ok(read) => read,
                Err(error) => return Ok(Compared::Failed(error)),
            };
            *bytes += (read + other_read) as u64;
            if ours[..read] != theirs[..other_read] {
                // One of them is not what was hashed: where it is not the first, it is the other.
                self.source.check_unchanged(first)?;
                return Ok(Compared::Failed(FileError::new(Step::Stage, Cause::Changed)));
            }
            if read < ours.len() {
                break;
            }
            offset += read as u64;
        }
        Ok(self.source.check_unchanged(&opened).map_or_else(Compared::Failed, |()| Compared::Same))
    }
}
