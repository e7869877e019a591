//! The search over files that do not fit the memory: batch by batch, each with all files of its sizes. The groups go to a file
//! as well, until all of them can be put in order.

use super::Looked;
use super::memory::{FILE_BYTES, Memory};
use crate::error::Error;
use crate::groups::{Runs, Spill};
use crate::report::{Report, Round};
use crate::sink::Sink;

/// Searches all batches, and returns the report and the groups.
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
    let mut searched = 0;
    for batch in &batches {
        if control.is_cancelled() {
            break;
        }
        searched += 1;
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
        "{} files do not fit --memory: filemill kept them in a file of {bytes} bytes in {} and searched {searched} of {} parts",
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

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#[allow(clippy::print_stdout, reason = "it prints a row of the table in ops/memory.md")]
mod tests {
    use std::io;
    use std::process::Command;
    use std::time::SystemTime;

    use super::super::Search;
    use super::super::met::{Files, Met};
    use super::*;
    use crate::groups::Candidates;
    use crate::keep::Keep;
    use crate::plan::Plan;
    use crate::record::{Group, Identity, Outcome, Record};
    use crate::report::peak_memory_bytes;

    /// Set for the process that is measured.
    const MEASURED: &str = "FILEMILL_TEST_MEASURED";

    struct Nowhere;

    impl Sink for Nowhere {
        fn record(&mut self, _: &Record<'_>) -> io::Result<()> {
            Ok(())
        }

        fn group(&mut self, _: &Group<'_>) -> io::Result<()> {
            Ok(())
        }
    }

    /// Paths with a mean of 76 bytes, 50 in a directory, one in ten with a partner by size, as a walk meets them: no disk is asked.
    fn meet_paths(number: u64, limit: u64) {
        let plan = Plan { memory_bytes_max: Some(limit), ..Plan::new(["/tree"]) };
        let search = Search::new(plan.clone());
        let (wanted, memory) = (search.wanted().unwrap(), Memory::divide(&search).unwrap());
        let mut nowhere = Nowhere;
        let mut met = Met::new(&mut nowhere, &search, memory.files_bytes_max);
        met.begin(&plan, SystemTime::now()).unwrap();
        for inode in 0..number {
            let directory = format!(
                "/tree/a directory of some length {:07}/one below it {:07}",
                inode / 2500,
                inode / 50
            );
            let name = format!("a name {inode:08}");
            let size = if inode % 10 == 0 { inode / 20 * 2 + 2 } else { inode * 2 + 3 };
            let identity = Identity { device: 1, inode, links: 1, ..Identity::default() };
            let outcome = Outcome::Done {
                size,
                mtime_ns: 0,
                identity,
                mode: 0o644,
                is_sparse: false,
                keep: Keep::Unasked,
            };
            let (directory, name) = (directory.as_bytes(), name.as_bytes());
            met.record(&Record { number: inode, directory, name, outcome, values: &[] }).unwrap();
        }
        let (files, ..) = met.into_files(&search, &wanted, &memory).unwrap();
        let Files::Spilled(spill) = files else { panic!("all of it fits") };
        let batches = spill.batches(&(1..=u64::MAX), FILE_BYTES, memory.files_bytes_max).unwrap().unwrap();
        let partners = batches.iter().map(|batch| {
            let catalog = spill.load(batch).unwrap();
            Candidates::by_size(&catalog, &wanted).0.all().len() as u64
        });
        assert_eq!(partners.sum::<u64>(), number / 10);
    }

    /// The peak is that of a process, so a child does it alone.
    #[test]
    fn paths_beyond_the_memory_are_met_within_it() {
        let is_full = std::env::var_os("FILEMILL_TEST_FULL").is_some();
        let (number, limit) = if is_full { (10_000_000, 256 << 20) } else { (600_000, 40 << 20) };
        if std::env::var_os(MEASURED).is_some() {
            meet_paths(number, limit);
            return println!("peak {}", peak_memory_bytes().unwrap());
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "duplicates::batches::tests::paths_beyond_the_memory_are_met_within_it";
        let output = child.args(["--exact", name, "--nocapture"]).env(MEASURED, "1").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let peak: u64 = text.split_once("peak ").unwrap().1.lines().next().unwrap().parse().unwrap();
        println!("| {number} paths | {} MiB | {:.1} MiB |", limit >> 20, peak as f64 / f64::from(1 << 20));
        assert!(peak <= limit, "{peak} bytes of {limit}");
    }
}
