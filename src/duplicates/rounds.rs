//! The rounds that read: what is read of which files, and what became of it.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::verify::Verified;
use super::{Search, likely, threads, verify};
use rayon::slice::ParallelSliceMut;

use crate::analyses::{Analysis, Blake3, Xxh3};
use crate::control::Control;
use crate::error::{Cause, Error, FileError, Step};
use crate::groups::{Candidate, Candidates, Catalog, DirectoryId, FileId, Links, Wanted};
use crate::pipeline;
use crate::plan::{Device, Plan, Reads};
use crate::record::{Digest, Outcome, Record, Value};
use crate::report::{GpuUse, Ledger, Report, Round};
use crate::sink::Sink;
use crate::walk::again::{Again, Known};

/// With fewer than one in so many, a round for those that are likely the same costs more than it saves: every directory is
/// reached once more.
const LIKELY_OF: usize = 10;

/// Takes what a round learns of a file beside its digest.
pub(super) type More<'m> = dyn FnMut(&Digest, &[Value]) -> io::Result<()> + 'm;

/// The rounds of a search.
pub(super) struct Rounds<'s> {
    pub(super) search: &'s Search,
    /// The plan of each round, but for what it reads.
    pub(super) plan: &'s Plan,
    pub(super) wanted: &'s Wanted,
    pub(super) catalog: &'s Catalog,
    pub(super) links: &'s Links,
    pub(super) sink: &'s mut dyn Sink,
    pub(super) control: &'s Control,
    /// What was done so far.
    pub(super) report: Report,
    /// Files that could not be read, or changed.
    pub(super) failed: Vec<FileId>,
    /// What a round may take of the memory, as the plan has it.
    pub(super) memory_bytes_max: Option<u64>,
    /// Threads to sort and compare with.
    pub(super) pool: Option<&'s rayon::ThreadPool>,
}

impl Rounds<'_> {
    /// Divides candidates of the same size into classes of the same content.
    pub(super) fn divide(&mut self, mut candidates: Candidates) -> Result<Candidates, Error> {
        let mut same = self.known(&mut candidates)?;
        let sizes = self.search.rounds;
        let catalog = self.catalog;
        let size = |class: &[Candidate]| catalog.size(class[0].file);

        let mut likely =
            likely::take(catalog, &mut candidates, sizes.likely_size_max, sizes.likely_percent_min);
        if likely.all().len() * LIKELY_OF < candidates.all().len() {
            candidates.put(std::mem::take(&mut likely));
        }
        self.read("at once", Reads::Whole, Arc::new(Blake3), &mut likely)?;
        self.divide_by_digest(&mut likely);
        same.put(likely);

        self.read("head", Reads::Head(sizes.head_bytes), Arc::new(Xxh3), &mut candidates)?;
        self.divide_by_digest(&mut candidates);

        let mut large = candidates.take(|class| size(class) >= sizes.tail_size_min);
        large.know(|_| None);
        self.read("tail", Reads::Tail(sizes.tail_bytes), Arc::new(Xxh3), &mut large)?;
        self.divide_by_digest(&mut large);
        candidates.put(large);

        candidates.know(|_| None);
        self.read("content", Reads::Whole, Arc::new(Blake3), &mut candidates)?;
        self.divide_by_digest(&mut candidates);
        same.put(candidates);
        if self.search.verifies {
            self.verify(&mut same)?;
        }
        Ok(same)
    }

    /// Compares what has the same digest, and takes out what is not the same.
    pub(super) fn verify(&mut self, same: &mut Candidates) -> Result<(), Error> {
        let since = Instant::now();
        self.control.begin_round("verify");
        let files = same.all().len() as u64;
        let (plan, catalog, control) = (self.plan, self.catalog, self.control);
        let verified = threads::with(self.pool, || verify::verify(plan, catalog, same, control));
        let Verified { bytes, failed } = verified;
        same.know(|candidate| {
            let has_failed = failed.binary_search_by_key(&candidate.file, |(file, _)| *file).is_ok();
            candidate.digest.filter(|_| !has_failed)
        });
        self.divide_by_digest(same);
        self.fail(failed)?;
        self.count(Round { name: "verify", files, bytes, elapsed: since.elapsed() });
        Ok(())
    }

    /// Tells of files that cannot be read any more, or are not what they were.
    pub(super) fn fail(&mut self, failed: Vec<(FileId, FileError)>) -> Result<(), Error> {
        let mut failures =
            Failures { sink: &mut *self.sink, ledger: &mut self.report.ledger, failed: &mut self.failed };
        failed.into_iter().try_for_each(|(file, error)| {
            failures.add(self.catalog, self.links, file, error).map_err(Error::Sink)
        })
    }

    pub(super) fn divide_by_digest(&self, candidates: &mut Candidates) {
        threads::with(self.pool, || candidates.divide(self.wanted));
    }

    /// Reads something of every candidate of which nothing is known, and puts its digest into it; unless that fails.
    pub(super) fn read(
        &mut self,
        name: &'static str,
        reads: Reads,
        digest: Arc<dyn Analysis>,
        candidates: &mut Candidates,
    ) -> Result<(), Error> {
        self.read_more(name, reads, vec![digest], candidates, &mut |_, _| Ok(()))
    }

    /// The same with several analyses, of which the value of the first is the digest. `more` is given that, and the values
    /// that follow.
    pub(super) fn read_more(
        &mut self,
        name: &'static str,
        reads: Reads,
        analyses: Vec<Arc<dyn Analysis>>,
        candidates: &mut Candidates,
        more: &mut More<'_>,
    ) -> Result<(), Error> {
        // Directory by directory, so that each is reached once.
        let mut order: Vec<_> = (0..)
            .zip(candidates.all())
            .filter(|(_, candidate)| candidate.digest.is_none())
            .map(|(at, candidate)| (self.catalog.directory_of(candidate.file), candidate.file, at))
            .collect();
        if order.is_empty() || self.control.is_cancelled() {
            return Ok(());
        }
        threads::with(self.pool, || order.par_sort_unstable());
        let to_read = |size: u64| reads.part_of(size).map_or(size, |(_, bytes)| bytes);
        let bytes = order.iter().map(|(_, file, _)| to_read(self.catalog.size(*file))).sum();
        self.control.begin_round(name);
        let again = Again {
            files: order.len() as u64,
            bytes: Some(bytes),
            file: &|number, tell| {
                let (_, file, _) = order[usize::try_from(number).expect("it counts files")];
                let entry = self.catalog.entry(file);
                let directory = self.catalog.directory_path(entry.directory);
                tell(Known { directory, root: self.catalog.root_of(file), name: entry.name });
            },
        };
        let memory_bytes_max = self.memory_bytes_max;
        let mut plan = Plan { reads, analyses, memory_bytes_max, ..self.plan.clone() };
        // Most rounds have nothing for a GPU, which is no news each time.
        if plan.analyses.iter().all(|analysis| analysis.kernel().is_none()) {
            plan.device = Device::Cpu;
        }
        let mut round = Reading {
            catalog: self.catalog,
            links: self.links,
            candidates,
            more,
            order: &order,
            failures: Failures {
                sink: &mut *self.sink,
                ledger: &mut self.report.ledger,
                failed: &mut self.failed,
            },
        };
        let report = pipeline::run_again(&plan, &again, &mut round, self.control)?;
        self.add(name, &report);
        Ok(())
    }

    /// Adds what a round did to the whole.
    fn add(&mut self, name: &'static str, round: &Report) {
        let whole = &mut self.report;
        whole.steps = whole.steps.sum(round.steps);
        whole.batches.add(&round.batches);
        whole.staged = whole.staged.sum(round.staged);
        round.gpus.iter().for_each(|used| add_gpu(&mut whole.gpus, used));
        round.notes.iter().for_each(|note| self.note(note.clone()));
        let (files, bytes) = (round.ledger.met, round.staged.bytes());
        self.count(Round { name, files, bytes, elapsed: round.elapsed });
    }

    pub(super) fn count(&mut self, round: Round) {
        let duplicates = self.report.duplicates.get_or_insert_default();
        duplicates.read_bytes += round.bytes;
        duplicates.rounds.push(round);
    }

    pub(super) fn note(&mut self, note: String) {
        if !self.report.notes.contains(&note) {
            self.report.notes.push(note);
        }
    }
}

/// Adds what a GPU did in a round: in another one with the same questions it was at work as well.
fn add_gpu(all: &mut Vec<GpuUse>, used: &GpuUse) {
    let is_same = |before: &&mut GpuUse| {
        (&before.adapter, &before.backend, before.unit) == (&used.adapter, &used.backend, used.unit)
    };
    match all.iter_mut().find(is_same) {
        Some(before) => before.add(used),
        None => all.push(used.clone()),
    }
}

/// What becomes of files that were met and cannot be read, or are not what they were.
struct Failures<'r> {
    sink: &'r mut dyn Sink,
    ledger: &'r mut Ledger,
    failed: &'r mut Vec<FileId>,
}

impl Failures<'_> {
    /// Tells of a file under each of its names: none of them can be compared.
    fn add(&mut self, catalog: &Catalog, links: &Links, file: FileId, error: FileError) -> io::Result<()> {
        let others = links.names(file).filter(|&name| name != file);
        for name in std::iter::once(file).chain(others) {
            let entry = catalog.entry(name);
            self.ledger.fail(entry.size, &error);
            self.failed.push(name);
            self.sink.record(&record(catalog, name, Outcome::Failed(error), &[]))?;
        }
        Ok(())
    }
}

/// A record of a file of the catalog.
pub(super) fn record<'c>(
    catalog: &'c Catalog,
    file: FileId,
    outcome: Outcome,
    values: &'c [Value],
) -> Record<'c> {
    let entry = catalog.entry(file);
    let directory = catalog.directory_path(entry.directory);
    Record { number: u64::from(file.0), directory, name: entry.name, outcome, values }
}

/// The sink of a round: keeps the digests of files that are as they were met, and tells of those that fail.
struct Reading<'r> {
    catalog: &'r Catalog,
    links: &'r Links,
    candidates: &'r mut Candidates,
    more: &'r mut More<'r>,
    order: &'r [(DirectoryId, FileId, u32)],
    failures: Failures<'r>,
}

impl Reading<'_> {
    /// Why a file is not what was met, or could not be read.
    fn failure(&self, file: FileId, outcome: &Outcome) -> Option<FileError> {
        let entry = self.catalog.entry(file);
        match *outcome {
            Outcome::Done { size, mtime_ns, identity, .. } => {
                if (mtime_ns, identity) != (entry.mtime_ns, entry.identity) {
                    return Some(FileError::new(Step::Stage, Cause::Changed));
                }
                match size.cmp(&entry.size) {
                    Ordering::Equal => None,
                    Ordering::Less => Some(FileError::new(Step::Stage, Cause::EndsEarly)),
                    // A file that states size 0 may have more bytes (/proc).
                    Ordering::Greater if entry.size == 0 => None,
                    Ordering::Greater => Some(FileError::new(Step::Stage, Cause::Changed)),
                }
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
        let (_, file, at) = self.order[number];
        if let Some(error) = self.failure(file, &record.outcome) {
            return self.failures.add(self.catalog, self.links, file, error);
        }
        let Some((Value::Digest(digest), more)) = record.values.split_first() else { return Ok(()) };
        self.candidates.learn(at as usize, *digest);
        (self.more)(digest, more)?;
        // BLAKE3, and so of a whole file: it need not be taken again, should this run be cut short.
        if digest.as_bytes().len() < 32 {
            return Ok(());
        }
        self.failures.sink.record(&Record { values: &record.values[..1], ..*record })
    }

    fn idle(&mut self) -> io::Result<()> {
        self.failures.sink.idle()
    }
}
