//! The sink of the round that looks: keeps what the walk met, beyond the memory in a file.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::Search;
use super::memory::Memory;
use crate::analyses::Blake3;
use crate::error::Error;
use crate::groups::{Catalog, Other, Spill, Wanted};
use crate::keep::FileSystems;
use crate::plan::{Filter, PathList, Plan, Reads, Root};
use crate::record::{Identity, Outcome, Record, SkipReason};
use crate::sink::Sink;

/// Files between two checks of the memory: to sum up a catalog is not free.
const CHECKED_FILES: u64 = 1024;

/// Keeps every file, and passes on records of paths that could not be looked at.
pub(super) struct Met<'s> {
    sink: &'s mut dyn Sink,
    catalog: Catalog,
    keeps_all: bool,
    /// The filter of the search, which the report states.
    filter: Filter,
    /// Those of the plan less those that another leads to.
    roots: Vec<Root>,
    /// The same of its list.
    listed: PathList,
    /// Those of the run; later rounds share them.
    pub(super) file_systems: FileSystems,
    /// How much the catalog may take.
    bytes_max: u64,
    files: u64,
    /// Files beyond that; none if the search needs all files in memory.
    spill: Option<Spill>,
    /// Bytes of the files that are counted and no longer kept.
    bytes_left_out: Option<u64>,
    /// Why a file could not be kept.
    pub(super) spill_error: Option<io::Error>,
}

/// The files that were met.
pub(super) enum Files {
    InMemory(Catalog),
    Spilled(Spill),
}

impl<'s> Met<'s> {
    /// Keeps other entries than files too if directories are searched for: they count when directories are compared.
    pub(super) fn new(sink: &'s mut dyn Sink, search: &Search, bytes_max: u64) -> Met<'s> {
        let can_spill = search.directories.is_none() && search.near.is_none() && search.action.is_none();
        let spill = || Spill::new(search.spill_directory.clone(), bytes_max / 16);
        Met {
            sink,
            catalog: Catalog::default(),
            keeps_all: search.directories.is_some(),
            filter: search.plan.filter.clone(),
            roots: Vec::new(),
            listed: PathList::default(),
            file_systems: FileSystems::default(),
            bytes_max,
            files: 0,
            spill: can_spill.then(spill),
            bytes_left_out: None,
            spill_error: None,
        }
    }

    /// The files that were met, the roots and the entries of the list.
    ///
    /// # Errors
    /// [`Error::Plan`] if the files do not fit the memory and must; [`Error::Spill`].
    pub(super) fn into_files(
        self,
        search: &Search,
        wanted: &Wanted,
        memory: &Memory,
    ) -> Result<(Files, Vec<Root>, PathList), Error> {
        let Met { catalog, roots, listed, spill, files, .. } = self;
        if let Some(bytes) = self.bytes_left_out {
            return Err(memory.refuse(search, files, bytes));
        }
        let has_spilled = spill.as_ref().is_some_and(|spill| spill.files() > 0);
        let fits = if has_spilled { Err(0) } else { memory.fits(search, &catalog, wanted) };
        match (fits, spill) {
            (Ok(()), _) => Ok((Files::InMemory(catalog), roots, listed)),
            (Err(_), Some(mut spill)) => {
                spill.finish(catalog).map_err(Error::Spill)?;
                Ok((Files::Spilled(spill), roots, listed))
            }
            (Err(bytes), None) => Err(memory.refuse(search, files, bytes)),
        }
    }

    fn add(
        &mut self,
        record: &Record<'_>,
        is_sparse: bool,
        (size, mtime_ns, identity): (u64, i128, Identity),
    ) -> io::Result<()> {
        self.files += 1;
        if let Some(bytes) = &mut self.bytes_left_out {
            *bytes += Catalog::FILE_BYTES as u64 + record.name.len() as u64;
            return Ok(());
        }
        let file = self.catalog.add_file(record.directory, record.name, size, mtime_ns, identity);
        if is_sparse {
            self.catalog.mark_sparse(file);
        }
        if self.files.is_multiple_of(CHECKED_FILES) && self.catalog.memory_bytes() > self.bytes_max {
            self.make_room()?;
        }
        Ok(())
    }

    /// Puts the files that were met into the spill; without one they are only counted from here on.
    fn make_room(&mut self) -> io::Result<()> {
        let Some(spill) = &mut self.spill else {
            self.bytes_left_out = Some(self.catalog.memory_bytes());
            self.catalog = Catalog::default();
            return Ok(());
        };
        spill.take(&mut self.catalog).map_err(|error| {
            let again = io::Error::from(error.kind());
            self.spill_error = Some(error);
            again
        })
    }

    fn keep(&mut self, record: &Record<'_>) {
        let what = match record.outcome {
            Outcome::Skipped(SkipReason::Symlink) => Other::Symlink,
            Outcome::Skipped(SkipReason::Fifo) => Other::Fifo,
            Outcome::Skipped(SkipReason::Socket) => Other::Socket,
            _ => Other::Unknown,
        };
        if !record.directory.is_empty() || self.roots.iter().any(|root| root.shown().is_empty()) {
            self.catalog.add_other(record.directory, record.name, what);
        }
        // A directory of which the listing broke off is named by its whole path: nobody knows what else lies in it.
        if record.directory.is_empty() && matches!(record.outcome, Outcome::Failed(_)) {
            let is_here = record.name == b"." && self.catalog.find_directory(b"").is_some();
            self.catalog.add_other(if is_here { b"" } else { record.name }, b"", Other::Unknown);
        }
    }
}

impl Sink for Met<'_> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.catalog = Catalog::new(plan.roots.iter().map(Root::shown)).with_list(&plan.roots, &plan.listed);
        self.roots.clone_from(&plan.roots);
        self.listed = plan.listed.clone();
        self.file_systems = plan.file_systems.clone();
        // What is told of files later is the digest of all of them.
        let filter = self.filter.clone();
        let told = Plan { analyses: vec![Arc::new(Blake3)], reads: Reads::Whole, filter, ..plan.clone() };
        self.sink.begin(&told, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record.outcome {
            Outcome::Done { size, mtime_ns, identity, is_sparse, .. } => {
                self.add(record, is_sparse, (size, mtime_ns, identity))
            }
            Outcome::Listed => {
                let mut path = Vec::new();
                record.path_to(&mut path);
                self.catalog.add_directory(&path);
                Ok(())
            }
            _ => {
                if self.keeps_all {
                    self.keep(record);
                }
                self.sink.record(record)
            }
        }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sink.idle()
    }
}
