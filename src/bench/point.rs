//! A combination of settings to measure.

use std::path::Path;

use super::BenchError;
use crate::analyses;
use crate::plan::{Device, Plan, Staging, Workers};

/// One combination of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Threads that open, read and analyse.
    pub workers: Workers,
    /// Files a batch, at most.
    pub batch_files: usize,
    /// How files are reached. With [`Staging::RamDisk`] the whole tree is copied to a RAM disk once, before anything is
    /// timed, and read there.
    pub stage: Staging,
    /// Which devices answer.
    pub device: Device,
    /// What is taken of the memory of each GPU, in bytes, at most.
    pub gpu_memory_bytes: u64,
}

impl Point {
    pub(crate) fn workers_number(&self) -> Option<usize> {
        match self.workers {
            Workers::Auto => None,
            Workers::Number(number) => Some(number),
        }
    }

    /// The word for its workers.
    pub fn workers_name(&self) -> String {
        self.workers_number().map_or_else(|| "auto".to_owned(), |number| number.to_string())
    }

    /// The word for how files are reached.
    pub fn stage_name(&self) -> &'static str {
        match self.stage {
            Staging::Auto => "auto",
            Staging::Read => "read",
            Staging::Mmap => "mmap",
            Staging::RamDisk => "ram-disk",
        }
    }

    /// Whether it is what [`Point::default`] is: what may be taken of GPUs is nothing to a point without one.
    pub fn is_default(&self) -> bool {
        let gpu_memory_bytes = self.gpu_memory_bytes;
        *self == Point { gpu_memory_bytes, ..Point::default() }
    }

    /// What it may take of the memory of each GPU, in bytes; `None` where it uses none.
    pub(crate) fn gpu_memory_bytes_asked(&self) -> Option<u64> {
        (self.device != Device::Cpu).then_some(self.gpu_memory_bytes)
    }

    /// The plan of a run of it over the tree at `path`.
    pub fn plan(&self, path: &Path, list: &str) -> Result<Plan, BenchError> {
        let mut plan = Plan::new([path]);
        plan.analyses = analyses::parse(list).map_err(|error| BenchError::Refused(error.to_string()))?;
        plan.workers = self.workers;
        plan.batch_files_max = self.batch_files;
        if let Workers::Number(workers) = self.workers {
            plan.queue_batches_max = 2 * workers;
        }
        // What lies in memory is read.
        plan.staging = if self.stage == Staging::RamDisk { Staging::Read } else { self.stage };
        if plan.staging == Staging::Mmap {
            // As on the command line.
            plan.map_bytes_min = 1 << 20;
        }
        plan.device = self.device.clone();
        plan.gpu_memory_bytes_max = self.gpu_memory_bytes;
        Ok(plan)
    }
}

impl Default for Point {
    /// What a scan does where nothing is asked for, on the processor alone: what is compared with it is then the same with and
    /// without a GPU.
    fn default() -> Point {
        let plan = Plan::new([""; 0]);
        Point {
            workers: plan.workers,
            batch_files: plan.batch_files_max,
            stage: plan.staging,
            device: plan.device,
            gpu_memory_bytes: plan.gpu_memory_bytes_max,
        }
    }
}
