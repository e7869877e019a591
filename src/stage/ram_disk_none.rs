//! The RAM disk where there is none: files are read as they lie.

use std::convert::Infallible;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Stage;
use crate::plan::Plan;
use crate::record::{Batch, EntryRef, Event, Outcome};

/// Of nothing.
#[derive(Debug)]
pub(crate) struct Budget;

impl Budget {
    pub(crate) fn new(_: &Plan) -> Budget {
        Budget
    }

    pub(crate) fn peak(&self) -> u64 {
        0
    }
}

/// There is none.
pub(super) enum RamDisk<'b> {
    #[expect(dead_code, reason = "it cannot be made")]
    Never(Infallible, &'b Budget),
}

impl<'b> RamDisk<'b> {
    pub(super) fn new(_: &Plan, _: &'b Budget) -> io::Result<RamDisk<'b>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn into_tally(self) -> (Duration, Option<io::Error>) {
        let RamDisk::Never(never, _) = self;
        match never {}
    }
}

pub(super) fn try_out(_: &Plan, _: &mut Vec<String>) -> Result<(), String> {
    Err("this system has none".to_owned())
}

impl Stage<'_> {
    pub(crate) fn load(&mut self, _: &Batch) -> Option<usize> {
        None
    }

    pub(super) fn read_staged(
        &mut self,
        _: &EntryRef<'_>,
        _: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Option<Outcome> {
        None
    }
}
