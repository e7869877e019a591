//! Where records go: one file per output format.

mod csv;
mod fdupes;
mod file;
mod group_csv;
mod group_table;
mod jsonl;
mod manifest;
mod paths;
mod percent;
mod printable;
mod sketch;
mod table;
mod totals;

use std::io;
use std::time::SystemTime;

pub use self::csv::Csv;
pub use self::fdupes::Fdupes;
pub use self::file::ReportFile;
pub use self::group_csv::GroupCsv;
pub use self::group_table::GroupTable;
pub use self::jsonl::{JSONL_SCHEMA, Jsonl};
pub use self::manifest::{Manifest, Tool};
pub use self::paths::Paths;
pub use self::percent::{percent, similarity};
pub use self::printable::printable;
pub use self::table::Table;
pub use self::totals::{Extension, Kind, Largest, Text, Totals};

use crate::plan::Plan;
use crate::record::{ActionRecord, Group, Record};
use crate::report::Report;

/// Takes the records of a run, on the thread that called [`crate::run`]. An error ends the run.
pub trait Sink {
    /// The run begins.
    ///
    /// # Errors
    /// When it cannot be written.
    fn begin(&mut self, _plan: &Plan, _started: SystemTime) -> io::Result<()> {
        Ok(())
    }

    /// One path. Records come in no particular order unless the plan sorts them.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &Record<'_>) -> io::Result<()>;

    /// Files or directories that are alike, from a search for duplicates.
    ///
    /// # Errors
    /// When it cannot be written.
    fn group(&mut self, _group: &Group<'_>) -> io::Result<()> {
        Ok(())
    }

    /// What is done, or would be, about files that are the same.
    ///
    /// # Errors
    /// When it cannot be written.
    fn action(&mut self, _action: &ActionRecord<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more is at hand for the moment: whoever reads along should see what there is.
    ///
    /// # Errors
    /// When it cannot be written.
    fn idle(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The run is over; everything must be written when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    fn end(&mut self, _report: &Report) -> io::Result<()> {
        Ok(())
    }
}

/// Is given a path that a format cannot express, and why: it is left out of the report, never mangled.
pub type Refuse<'r> = Box<dyn FnMut(&[u8], &str) + 'r>;

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        (**self).begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        (**self).record(record)
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        (**self).group(group)
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        (**self).action(action)
    }

    fn idle(&mut self) -> io::Result<()> {
        (**self).idle()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        (**self).end(report)
    }
}

/// One pass, many reports.
impl<S: Sink> Sink for Vec<S> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.begin(plan, started))
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.record(record))
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.group(group))
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.action(action))
    }

    fn idle(&mut self) -> io::Result<()> {
        self.iter_mut().try_for_each(Sink::idle)
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.iter_mut().try_for_each(|sink| sink.end(report))
    }
}
