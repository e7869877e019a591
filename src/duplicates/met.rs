//! The sink of the round that looks: keeps what the walk met.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use crate::analyses::Blake3;
use crate::groups::Catalog;
use crate::plan::{Plan, Reads, Root};
use crate::record::{Outcome, Record};
use crate::sink::Sink;

/// Keeps every file, and passes on what could not be looked at.
pub(super) struct Met<'s> {
    sink: &'s mut dyn Sink,
    pub(super) catalog: Catalog,
    /// Those of the plan less those that another leads to.
    pub(super) roots: Vec<Root>,
}

impl<'s> Met<'s> {
    pub(super) fn new(sink: &'s mut dyn Sink) -> Met<'s> {
        Met { sink, catalog: Catalog::default(), roots: Vec::new() }
    }
}

impl Sink for Met<'_> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.catalog = Catalog::new(plan.roots.iter().map(Root::shown));
        self.roots.clone_from(&plan.roots);
        // What is told of files later is the digest of all of them.
        let told = Plan { analyses: vec![Arc::new(Blake3)], reads: Reads::Whole, ..plan.clone() };
        self.sink.begin(&told, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        match record.outcome {
            Outcome::Done { size, mtime_ns, identity } => {
                self.catalog.add_file(record.directory, record.name, size, mtime_ns, identity);
                Ok(())
            }
            _ => self.sink.record(record),
        }
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sink.idle()
    }
}
