//! Where records go: one file per output format.

mod jsonl;
mod totals;

use std::io;
use std::time::SystemTime;

pub use self::jsonl::Jsonl;
pub use self::totals::{Extension, Group, Kind, Largest, Text, Totals};

use crate::plan::Plan;
use crate::record::Record;
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

    /// One path. Records come in no particular order.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &Record<'_>) -> io::Result<()>;

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
