//! The sink of the round that looks: keeps what the walk met.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::analyses::Blake3;
use crate::groups::{Catalog, Other};
use crate::keep::FileSystems;
use crate::plan::{Filter, Plan, Reads, Root};
use crate::record::{Outcome, Record, SkipReason};
use crate::sink::Sink;

/// Keeps every file, and passes on what could not be looked at.
pub(super) struct Met<'s> {
    sink: &'s mut dyn Sink,
    pub(super) catalog: Catalog,
    keeps_all: bool,
    /// What was asked for, which is told.
    filter: Filter,
    /// Those of the plan less those that another leads to.
    pub(super) roots: Vec<Root>,
    /// Those of the run, which what is read later shares.
    pub(super) file_systems: FileSystems,
}

impl<'s> Met<'s> {
    /// Keeps what is no file too where it `keeps_all`: directories are compared by it.
    pub(super) fn new(sink: &'s mut dyn Sink, keeps_all: bool, filter: Filter) -> Met<'s> {
        Met {
            sink,
            catalog: Catalog::default(),
            keeps_all,
            filter,
            roots: Vec::new(),
            file_systems: FileSystems::default(),
        }
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
        self.catalog = Catalog::new(plan.roots.iter().map(Root::shown));
        self.roots.clone_from(&plan.roots);
        self.file_systems = plan.file_systems.clone();
        // What is told of files later is the digest of all of them.
        let filter = self.filter.clone();
        let told = Plan { analyses: vec![Arc::new(Blake3)], reads: Reads::Whole, filter, ..plan.clone() };
        self.sink.begin(&told, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record.outcome {
            Outcome::Done { size, mtime_ns, identity, .. } => {
                self.catalog.add_file(record.directory, record.name, size, mtime_ns, identity);
                Ok(())
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
