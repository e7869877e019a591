//! The search over files that do not fit the memory: batch by batch, each with all files of its sizes. What is found goes to a file
//! as well, until all groups can be put in order.

use super::Looked;
use super::memory::{FILE_BYTES, Memory};
use crate::error::Error;
use crate::groups::{Runs, Spill};
use crate::report::{Report, Round};
use crate::sink::Sink;

/// Searches all batches, and returns what was done and the groups.
pub(super) fn search(
    looked: &Looked<'_>,
    memory: &Memory,
    spill: &Spill,
    mut report: Report,
    sink: &mut dyn Sink,
) -> Result<(Report, Runs), Error> {
    let &Looked { search, wanted, control, .. } = looked;
    let sizes = wanted.size_min..=wanted.size_max.unwrap_or(u64::MAX);
    let batches = spill.batches(&sizes, FILE_BYTES, memory.files_bytes_max).map_err(Error::Spill)?;
    let batches = batches.map_err(|too_many| memory.refuse_class(search, too_many))?;
    let mut runs = Runs::new(search.spill_directory.clone());
    for batch in &batches {
        if control.is_cancelled() {
            break;
        }
        let catalog = spill.load(batch).map_err(Error::Spill)?;
        let (candidates, links) = looked.candidates(&catalog);
        let mut rounds = looked.rounds(&catalog, &links, report, sink);
        let same = rounds.divide(candidates)?;
        report = rounds.report;
        if !control.is_cancelled() {
            let groups = looked.groups(&catalog, &links, same, &|_| false);
            runs.add(&catalog, &groups).map_err(Error::Spill)?;
        }
    }
    if let Some(duplicates) = &mut report.duplicates {
        sum_rounds(&mut duplicates.rounds);
    }
    let bytes = spill.file_bytes() + runs.file_bytes();
    report.notes.push(format!(
        "{} files do not fit --memory: they were kept in a file of {bytes} bytes in {} and searched in {} parts",
        spill.files(),
        search.spill_directory.display(),
        batches.len()
    ));
    Ok((report, runs))
}

/// Adds rounds of one name: each batch has all of them.
fn sum_rounds(rounds: &mut Vec<Round>) {
    let mut sums: Vec<Round> = Vec::new();
    for round in rounds.drain(..) {
        match sums.iter_mut().find(|sum| sum.name == round.name) {
            Some(sum) => {
                sum.files += round.files;
                sum.bytes += round.bytes;
                sum.elapsed += round.elapsed;
            }
            None => sums.push(round),
        }
    }
    *rounds = sums;
}
