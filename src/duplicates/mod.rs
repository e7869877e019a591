//! Which files of a tree are the same: [`find`] runs the pipeline in rounds, each of which reads something of the files
//! that may still be the same as others.
//!
//! ```text
//! look: sizes and inodes ──▶ head: their first bytes ──▶ tail: their last ──▶ content: BLAKE3 of all ──▶ groups
//!                       └──▶ at once: BLAKE3 of small files that are likely the same ───────────────────▶
//! ```
//!
//! What has a size, a head or a tail of its own is like no other file, and is not read any further. Small files that are
//! likely the same, by their names, are read whole at once instead of in rounds. Where files are wanted that are nearly the
//! same, all are read, once: for their digests and for sketches (`near/`). Files that do not fit the memory are searched in
//! batches, size by size (`batches.rs`).
//!
//! ```
//! use filemill::control::Control;
//! use filemill::duplicates::{Search, find};
//! use filemill::plan::Plan;
//! use filemill::sink::Jsonl;
//!
//! let search = Search::new(Plan::new(["src", "tests"]));
//! let found = find(&search, &mut Jsonl::new(Vec::new()), &Control::new())?;
//! for group in &found.groups {
//!     for name in &group.names {
//!         println!("{} {}", group.size, String::from_utf8_lossy(&found.catalog.path(name.file)));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(target_os = "linux")]
mod action;
mod acts;
#[cfg_attr(not(target_os = "linux"), path = "apply_none.rs")]
mod apply;
mod batches;
mod check;
mod earlier;
#[cfg_attr(not(target_os = "linux"), path = "gain_none.rs")]
mod gain;
mod joins;
mod leftovers;
mod likely;
mod memory;
mod met;
mod near;
mod references;
mod rounds;
mod source;
mod taken;
mod tell;
mod threads;
mod trees;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub use self::earlier::Earlier;
use self::memory::Memory;
use self::met::{Files, Met};
pub use self::near::{Compares, EXACT_MARGIN, Near};
use self::rounds::Rounds;
use crate::control::Control;
use crate::error::Error;
use crate::groups::{
    Candidates, Catalog, DirectoryGroup, FileGroup, FileId, Links, NearGroup, SimilarPair, Wanted, groups,
};
use crate::pipeline;
use crate::plan::{Device, Filter, Plan, Reads, Root};
use crate::record::{Action, bytes_to_path};
use crate::report::{Duplicates, Report, Round, peak_memory_bytes};
use crate::sink::Sink;
use crate::workers::gpu::expect_device;

/// What to search for. [`Search::new`] has the measured defaults.
#[derive(Clone)]
pub struct Search {
    /// Where, which files, and with what of the machine. Its analyses are not used.
    pub plan: Plan,
    /// Directories inside the roots that are to stay as they are: only what is also found in one of them counts.
    pub references: Vec<PathBuf>,
    /// Whether only what is found below several roots counts.
    pub is_across: bool,
    /// Which directories count as well.
    pub directories: Option<Directories>,
    /// Whether files of the same digest are compared byte by byte as well.
    pub verifies: bool,
    /// What is to be done about the copies.
    pub action: Option<Action>,
    /// Whether it is done, or only told.
    pub applies: bool,
    /// How much of each file the first rounds read.
    pub rounds: Sizes,
    /// What an earlier report knows.
    pub earlier: Option<Arc<Earlier>>,
    /// Whether files that are nearly the same are searched for as well, and how. All files are read then, once.
    pub near: Option<Near>,
    /// Where files and groups are kept that do not fit the memory, in files without a name. Sketches have a place of their own:
    /// [`Near::spill_directory`].
    pub spill_directory: PathBuf,
}

/// Which directories are searched for, beside files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Directories {
    /// Those with the same names, types and contents in them, all the way down.
    Identical,
    /// Also those that have at least this share of their content in common, by bytes: above 0, at most 1.
    Similar(f64),
}

/// How much is read of files before all of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Of every file that has the size of another, in bytes.
    pub head_bytes: u64,
    /// Of large files with the size and the head of another, from their end, in bytes.
    pub tail_bytes: u64,
    /// What a large file is, in bytes.
    pub tail_size_min: u64,
    /// Where at least so many of a hundred files of one size have the name of another of them, they are likely the same, and
    /// are read whole at once.
    pub likely_percent_min: u32,
    /// Larger files are read in rounds even where they are likely the same, in bytes.
    pub likely_size_max: u64,
}

impl Search {
    /// A search in the tree of `plan`.
    pub fn new(plan: Plan) -> Search {
        Search {
            plan,
            references: Vec::new(),
            is_across: false,
            directories: None,
            verifies: false,
            action: None,
            applies: false,
            earlier: None,
            near: None,
            spill_directory: std::env::temp_dir(),
            rounds: Sizes {
                // ops/duplicates.md.
                head_bytes: 4 << 10,
                tail_bytes: 16 << 10,
                tail_size_min: 1 << 20,
                likely_percent_min: 35,
                likely_size_max: 64 << 10,
            },
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Every file that was looked at; none if they did not fit the memory.
    pub catalog: Catalog,
    /// Whether the files did not fit the memory: their groups went to the sink alone, and `groups` is empty.
    pub is_spilled: bool,
    /// Files of the same content, largest gain first. Where directories were searched for, no file in directories that are
    /// the same is told twice.
    pub groups: Vec<FileGroup>,
    /// Directories that are the same, largest gain first.
    pub directories: Vec<DirectoryGroup>,
    /// Directories that have much in common, most of it first.
    pub similar: Vec<SimilarPair>,
    /// Files that are nearly the same, most bytes beside the first of a group first. Files of the same content are in them as well.
    pub near: Vec<NearGroup>,
    /// What was done.
    pub report: Report,
}

/// Searches, and tells `sink` of what could not be read, of files whose digest was taken, of every group, and of what is
/// done about it, on this thread.
///
/// # Errors
/// As [`crate::run`] and [`Search::check`].
pub fn find(search: &Search, sink: &mut dyn Sink, control: &Control) -> Result<Found, Error> {
    let clock = Instant::now();
    search.check()?;
    // Even if no round has anything for it.
    expect_device(&search.plan.device)?;
    let (wanted, memory) = (search.wanted()?, Memory::divide(search)?);
    let mut met = Met::new(sink, search, memory.files_bytes_max);
    control.begin_round("look");
    let looked = pipeline::run_with(&search.plan_of_look(&memory), &mut met, control);
    let mut report = looked.map_err(|error| met.spill_error.take().map_or(error, Error::Spill))?;
    if search.plan.device.is_required() && search.near.is_none() {
        report.notes.push("no GPU is used: files of the same content are found by the processor".to_owned());
    }
    let file_systems = met.file_systems.clone();
    let (files, roots, listed) = met.into_files(search, &wanted, &memory)?;
    let look = Round { name: "look", files: report.ledger.done, bytes: 0, elapsed: report.elapsed };
    let searched_bytes = report.ledger.bytes;
    report.duplicates = Some(Duplicates { searched_bytes, rounds: vec![look], ..Duplicates::default() });

    // What was met is read under the names that it was met by.
    let filter = Filter { follow: search.plan.filter.follow, ..Filter::default() };
    let memory_bytes_max = memory.reading_bytes_max;
    let plan = Plan { roots, listed, filter, memory_bytes_max, file_systems, ..search.plan.clone() };
    let compared = search.compared(&wanted);
    let pool = threads::pool(&plan, &mut report.notes);
    let looked =
        Looked { search, plan: &plan, wanted: &wanted, compared: &compared, control, pool: pool.as_ref() };
    let (mut found, runs) = match files {
        Files::InMemory(catalog) => (looked.find(catalog, report, sink)?, None),
        Files::Spilled(spill) => {
            let (report, runs) = batches::search(&looked, &memory, &spill, report, sink)?;
            (Found::new(Catalog::default(), report), Some(runs))
        }
    };
    found.is_spilled = runs.is_some();
    if let Some(earlier) = search.earlier.as_ref().filter(|_| search.near.is_none()) {
        let taken = found.report.duplicates.as_ref().map_or(0, |duplicates| duplicates.known_files);
        found.report.notes.extend(earlier.notes(taken));
    }
    tell::found(&mut found, sink)?;
    if let Some(runs) = runs.filter(|_| !control.is_cancelled()) {
        tell::merged(&runs, &mut found.report, sink)?;
    }
    if search.action.is_some() {
        control.begin_round("action");
    }
    acts::act(search, &plan, &mut found, sink, control)?;

    let report = &mut found.report;
    report.cancelled = control.is_cancelled();
    report.elapsed = clock.elapsed();
    report.peak_memory_bytes = peak_memory_bytes();
    assert!(report.ledger.adds_up(), "paths were lost between the walk and the report: {:?}", report.ledger);
    sink.end(report).map_err(Error::Sink)?;
    Ok(found)
}

/// What a search needs beside the files that were met.
struct Looked<'s> {
    search: &'s Search,
    /// With the roots that the files were met below.
    plan: &'s Plan,
    /// The files to report.
    wanted: &'s Wanted,
    /// The files to compare.
    compared: &'s Wanted,
    control: &'s Control,
    pool: Option<&'s rayon::ThreadPool>,
}

impl Looked<'_> {
    /// Finds duplicates and near-duplicates among files that are all in memory.
    fn find(&self, catalog: Catalog, report: Report, sink: &mut dyn Sink) -> Result<Found, Error> {
        let (candidates, links) = self.candidates(&catalog);
        let mut rounds = self.rounds(&catalog, &links, report, sink);
        let (same, near) = match &self.search.near {
            None => (rounds.divide(candidates)?, Vec::new()),
            Some(near) => near::search(near, &mut rounds, candidates)?,
        };
        let Rounds { report, failed, .. } = rounds;
        self.control.begin_round("group");
        let mut found = Found { near, ..Found::new(catalog, report) };
        // Half a search proves no group.
        if self.control.is_cancelled() {
            found.near.clear();
            return Ok(found);
        }
        let trees = trees::compare(self.search, self.wanted, &mut found, &links, &same, &failed);
        let catalog = &found.catalog;
        let repeats = |file| trees.as_ref().is_some_and(|trees| trees.repeats(file, catalog));
        found.groups = self.groups(catalog, &links, same, &repeats);
        Ok(found)
    }

    fn candidates(&self, catalog: &Catalog) -> (Candidates, Links) {
        let candidates = if self.search.near.is_some() { Candidates::of_all } else { Candidates::by_size };
        threads::with(self.pool, || candidates(catalog, self.compared))
    }

    fn rounds<'r>(
        &'r self,
        catalog: &'r Catalog,
        links: &'r Links,
        report: Report,
        sink: &'r mut dyn Sink,
    ) -> Rounds<'r> {
        Rounds {
            search: self.search,
            plan: self.plan,
            wanted: self.compared,
            catalog,
            links,
            sink,
            control: self.control,
            report,
            failed: Vec::new(),
            memory_bytes_max: self.plan.memory_bytes_max,
            pool: self.pool,
        }
    }

    /// The groups, with what each of them has to gain.
    fn groups(
        &self,
        catalog: &Catalog,
        links: &Links,
        same: Candidates,
        repeats: &(dyn Fn(FileId) -> bool + Sync),
    ) -> Vec<FileGroup> {
        threads::with(self.pool, || {
            let mut groups = groups(catalog, self.wanted, links, same, repeats);
            gain::measure(self.search, self.plan, catalog, &mut groups, links, self.control);
            groups
        })
    }
}

impl Found {
    /// Nothing as yet.
    fn new(catalog: Catalog, report: Report) -> Found {
        Found {
            catalog,
            is_spilled: false,
            groups: Vec::new(),
            directories: Vec::new(),
            similar: Vec::new(),
            near: Vec::new(),
            report,
        }
    }
}

impl Search {
    /// Takes digests of files that are as they were from an earlier report in JSON lines: of a scan with the analysis
    /// `blake3`, or of a search for duplicates; also from one that was cut short. Returns the roots of that run.
    ///
    /// # Errors
    /// [`Error::Plan`] when it cannot be read, or is no such report.
    pub fn take_from(&mut self, report: &Path) -> Result<Vec<Root>, Error> {
        let earlier = Earlier::read(report)?;
        let root =
            |shown: &Vec<u8>| if shown.is_empty() { Root::here() } else { bytes_to_path(shown).into() };
        let roots: Vec<Root> = earlier.roots().iter().map(root).collect();
        self.earlier = Some(Arc::new(earlier));
        Ok(roots)
    }

    fn wanted(&self) -> Result<Wanted, Error> {
        let filter = &self.plan.filter;
        Ok(Wanted {
            size_min: filter.size_min.unwrap_or(1),
            size_max: filter.size_max,
            is_across: self.is_across,
            references: references::resolve(self)?,
        })
    }

    /// Which files are compared: for directories all of them, whatever is told in the end.
    fn compared(&self, wanted: &Wanted) -> Wanted {
        match self.directories {
            None => wanted.clone(),
            Some(_) => Wanted::default(),
        }
    }

    /// The plan of the round that opens nothing.
    fn plan_of_look(&self, memory: &Memory) -> Plan {
        let mut plan = Plan { analyses: Vec::new(), reads: Reads::Nothing, ..self.plan.clone() };
        (plan.device, plan.memory_bytes_max) = (Device::Cpu, memory.reading_bytes_max);
        if self.directories.is_some() {
            plan.tells_directories = true;
            (plan.filter.size_min, plan.filter.size_max) = (None, None);
        }
        plan
    }
}
