//! The rounds that read: what is read of which files, and what became of it.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::Search;
use crate::analyses::{Analysis, Blake3, Xxh3};
use crate::control::Control;
use crate::error::{Cause, Error, FileError, Step};
use crate::groups::{Candidate, Candidates, Catalog, Wanted};
use crate::pipeline;
use crate::plan::{Plan, Reads};
use crate::record::{Digest, Outcome, Record, Value};
use crate::report::{Ledger, Report, Round};
use crate::sink::Sink;
use crate::walk::again::{Again, Known};

/// One class in so many is in the sample: classes are numbered by size, so small and large files are in it.
const SAMPLE_OF: u32 = 16;

/// The rounds of a search.
pub(super) struct Rounds<'s> {
    pub(super) search: &'s Search,
    /// The plan of each round, but for what it reads.
    pub(super) plan: Plan,
    pub(super) wanted: &'s Wanted,
    pub(super) catalog: &'s Catalog,
    pub(super) sink: &'s mut dyn Sink,
    pub(super) control: &'s Control,
    /// What was done so far.
    pub(super) report: Report,
}

impl Rounds<'_> {
    /// Divides candidates of the same size into classes of the same content.
    pub(super) fn divide(&mut self, mut candidates: Candidates) -> Result<Candidates, Error> {
        let sizes = self.search.rounds;
        let (wanted, catalog) = (self.wanted, self.catalog);
        let size = |class: &[Candidate]| catalog.size(class[0].file);
        let is_small = |class: &[Candidate]| size(class) <= sizes.head_bytes;
        let head = Reads::Head(sizes.head_bytes);

        let mut sample = Candidates::default();
        let mut is_at_once = false;
        if candidates.all().len() >= sizes.sample_files_min {
            sample = candidates.take(|class| class[0].class % SAMPLE_OF == 0);
            let small = |candidates: &Candidates| {
                candidates.classes().filter(|class| is_small(class)).map(<[Candidate]>::len).sum::<usize>()
            };
            let before = small(&sample);
            let digests = self.read("sample", head, Arc::new(Xxh3), sample.all())?;
            sample.divide(wanted, &digests);
            is_at_once = small(&sample) * 100 >= before * sizes.at_once_percent_min as usize;
        }
        let digest: Arc<dyn Analysis> = if is_at_once { Arc::new(Blake3) } else { Arc::new(Xxh3) };
        let digests = self.read("head", head, digest, candidates.all())?;
        candidates.divide(wanted, &digests);
        let mut same = if is_at_once { candidates.take(is_small) } else { Candidates::default() };
        candidates.put(sample);

        let mut large = candidates.take(|class| size(class) >= sizes.tail_size_min);
        let digests = self.read("tail", Reads::Tail(sizes.tail_bytes), Arc::new(Xxh3), large.all())?;
        large.divide(wanted, &digests);
        candidates.put(large);

        let digests = self.read("content", Reads::Whole, Arc::new(Blake3), candidates.all())?;
        candidates.divide(wanted, &digests);
        same.put(candidates);
        Ok(same)
    }

    /// Reads something of every candidate. Returns its digest, in their order; of those that fail there is none.
    fn read(
        &mut self,
        name: &'static str,
        reads: Reads,
        digest: Arc<dyn Analysis>,
        candidates: &[Candidate],
    ) -> Result<Vec<Option<Digest>>, Error> {
        let mut digests = vec![None; candidates.len()];
        if candidates.is_empty() || self.control.is_cancelled() {
            return Ok(digests);
        }
        // Directory by directory, so that each is reached once.
        let mut order: Vec<u32> = (0..u32::try_from(candidates.len()).expect("as many as files")).collect();
        let file = |at: u32| candidates[at as usize].file;
        order.sort_unstable_by_key(|&at| (self.catalog.directory_of(file(at)), file(at)));
        let again = Again {
            files: order.len() as u64,
            file: &|number, tell| {
                let file = file(order[usize::try_from(number).expect("it counts files")]);
                let entry = self.catalog.entry(file);
                let directory = self.catalog.directory_path(entry.directory);
                tell(Known { directory, root: self.catalog.root_of(file), name: entry.name });
            },
        };
        let tells = digest.name() == "blake3" && reads == Reads::Whole;
        let plan = Plan { reads, analyses: vec![digest], ..self.plan.clone() };
        let mut round = Reading {
            catalog: self.catalog,
            candidates,
            order: &order,
            digests: &mut digests,
            sink: &mut *self.sink,
            ledger: &mut self.report.ledger,
            tells,
        };
        let report = pipeline::run_again(&plan, &again, &mut round, self.control)?;
        self.add(name, &report);
        Ok(digests)
    }

    /// Adds what a round did to the whole.
    fn add(&mut self, name: &'static str, round: &Report) {
        let whole = &mut self.report;
        whole.steps = whole.steps.sum(round.steps);
        whole.batches.add(&round.batches);
        whole.staged = whole.staged.sum(round.staged);
        whole.cancelled |= round.cancelled;
        for note in &round.notes {
            if !whole.notes.contains(note) {
                whole.notes.push(note.clone());
            }
        }
        let bytes = round.staged.bytes();
        let files = round.ledger.met;
        if let Some(duplicates) = &mut whole.duplicates {
            duplicates.read_bytes += bytes;
            duplicates.rounds.push(Round { name, files, bytes, elapsed: round.elapsed });
        }
    }
}

/// The sink of a round: keeps the digests of files that are as they were met, and tells of those that fail.
struct Reading<'r> {
    catalog: &'r Catalog,
    candidates: &'r [Candidate],
    order: &'r [u32],
    digests: &'r mut [Option<Digest>],
    sink: &'r mut dyn Sink,
    ledger: &'r mut Ledger,
    /// Whether the digests are those of whole files, which are worth a record.
    tells: bool,
}

impl Reading<'_> {
    /// Why a file is not what was met, or could not be read.
    fn failure(&self, at: usize, outcome: &Outcome) -> Option<FileError> {
        let entry = self.catalog.entry(self.candidates[at].file);
        match *outcome {
            Outcome::Done { size, mtime_ns, identity } => {
                // What says its size is 0 may have more, as files of /proc do.
                let is_same = (size == entry.size || entry.size == 0)
                    && (mtime_ns, identity) == (entry.mtime_ns, entry.identity);
                (!is_same).then(|| FileError::new(Step::Stage, Cause::Changed))
            }
            Outcome::Failed(error) => Some(error),
            _ => Some(FileError::new(Step::Stage, Cause::Changed)),
        }
    }
}

impl Sink for Reading<'_> {
    fn begin(&mut self, _: &Plan, _: SystemTime) -> io::Result<()> {
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let number = usize::try_from(record.number).expect("it counts files");
        let at = self.order[number] as usize;
        if let Some(error) = self.failure(at, &record.outcome) {
            self.ledger.fail(self.catalog.size(self.candidates[at].file), &error);
            let outcome = Outcome::Failed(error);
            return self.sink.record(&Record { outcome, values: &[], ..*record });
        }
        if let [Value::Digest(digest)] = record.values {
            self.digests[at] = Some(*digest);
        }
        if self.tells { self.sink.record(record) } else { Ok(()) }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sink.idle()
    }
}
