//! No GPUs: built without them.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::control::Control;
use crate::error::Error;
use crate::plan::{Adapter, Device, Plan};
use crate::record::{Batch, FileRecord, Outcome, Results, Row};
use crate::report::GpuUse;

/// Nothing of this kind is ever there.
pub(crate) enum Gpu {}

pub(crate) struct Packer<'r> {
    nothing: Infallible,
    _of: PhantomData<&'r ()>,
}

pub(crate) struct Attended {
    pub(crate) used: GpuUse,
    pub(crate) note: Option<String>,
}

pub(crate) type Answered = (Results, Duration);

pub(crate) fn prepare(_: &mut Plan) {}

/// The adapters of this machine.
///
/// # Errors
/// Always: none is looked for.
pub fn list_adapters() -> Result<Vec<Adapter>, String> {
    Err("this build has no GPU workers".to_owned())
}

/// Refuses a device that is required.
///
/// # Errors
/// [`Error::Plan`], as there is none.
pub fn expect_device(device: &Device) -> Result<(), Error> {
    if device.is_required() {
        return Err(Error::Plan(format!("--device {device}: this build has no GPU workers")));
    }
    Ok(())
}

impl Gpu {
    pub(crate) fn start(plan: &Plan, _: &mut Vec<String>) -> Result<Option<Gpu>, Error> {
        expect_device(&plan.device).map(|()| None)
    }

    pub(crate) fn devices(&self, _: &Receiver<Infallible>) -> usize {
        match *self {}
    }

    pub(crate) fn leave_out_all(&self) {
        match *self {}
    }

    pub(crate) fn leave_out(&self, _: usize) {
        match *self {}
    }

    pub(crate) fn why_none(&self) -> Option<String> {
        match *self {}
    }

    pub(crate) fn attend(
        &self,
        _: usize,
        _: &Receiver<Infallible>,
        _: &Control,
        _: &mut dyn FnMut(Answered),
    ) -> Attended {
        match *self {}
    }
}

impl<'r> Packer<'r> {
    pub(crate) fn new(gpu: &'r Gpu, _: &'r Control, _: Sender<Infallible>) -> Packer<'r> {
        match *gpu {}
    }

    pub(crate) fn analysis_at(&self) -> usize {
        match self.nothing {}
    }

    pub(crate) fn columns(&self) -> usize {
        match self.nothing {}
    }

    pub(crate) fn count_worker(&self, _: u64, _: u64, _: Duration) {
        match self.nothing {}
    }

    pub(crate) fn takes_large(&self, _: u64, _: usize) -> bool {
        match self.nothing {}
    }

    pub(crate) fn open(&mut self, _: &FileRecord<'_>) -> bool {
        match self.nothing {}
    }

    pub(crate) fn block(&mut self, _: &[u8]) {
        match self.nothing {}
    }

    pub(crate) fn done(&mut self, _: usize, _: usize, _: usize) {
        match self.nothing {}
    }

    pub(crate) fn void(&mut self) {
        match self.nothing {}
    }

    pub(crate) fn end_batch(&mut self, _: Batch, _: Vec<Outcome>, _: Row, _: usize) -> Option<Results> {
        match self.nothing {}
    }

    pub(crate) fn holds_something(&self) -> bool {
        match self.nothing {}
    }

    pub(crate) fn flush(&mut self) {
        match self.nothing {}
    }

    pub(crate) fn flush_old(&mut self) {
        match self.nothing {}
    }

    pub(crate) fn flush_last(&mut self) -> Vec<Answered> {
        match self.nothing {}
    }
}

/// Comparing sketches.
pub(crate) mod pairs {
    use crate::error::Error;
    use crate::plan::Plan;
    use crate::report::GpuUse;

    pub(crate) enum Pairs {}

    #[derive(Clone, Copy)]
    #[expect(dead_code, reason = "nobody is there to look at it")]
    pub(crate) struct Side<'a> {
        pub(crate) first: u32,
        pub(crate) numbers: &'a [u32],
    }

    pub(crate) struct Pair {
        pub(crate) left: u32,
        pub(crate) right: u32,
        pub(crate) matches: u32,
    }

    impl Pairs {
        pub(crate) fn start(
            plan: &Plan,
            _: usize,
            _: usize,
            _: &mut Vec<String>,
        ) -> Result<Option<Pairs>, Error> {
            super::expect_device(&plan.device).map(|()| None)
        }

        pub(crate) fn is_ready(&self) -> bool {
            match *self {}
        }

        pub(crate) fn rows(&self) -> usize {
            match *self {}
        }

        pub(crate) fn compare(&self, _: Side<'_>, _: Side<'_>, _: bool, _: u32, _: &mut Vec<Pair>) -> bool {
            match *self {}
        }

        pub(crate) fn tell(&self, _: Option<f64>, _: Option<f64>, _: &str) {
            match *self {}
        }

        pub(crate) fn is_required(&self) -> bool {
            match *self {}
        }

        pub(crate) fn accuse(&self) {
            match *self {}
        }

        pub(crate) fn into_used(self) -> (Option<GpuUse>, Option<String>) {
            match self {}
        }
    }
}

/// The end of the process.
pub(crate) mod detached {
    /// Ends the process with this code.
    ///
    /// What is to be written is for whoever calls it to have written: nothing is flushed.
    pub fn leave(code: u8) -> ! {
        std::process::exit(i32::from(code))
    }
}
