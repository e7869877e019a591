//! Where measured runs take place: in this process, or each in a process of its own.
//!
//! A process that has just started is what people time: what it does but once is part of a scan, and its peak of memory is its
//! own (ops/bench.md, "A process for each run", has what runs in one process did not show).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::measure::{Measured, measure};
use super::point::Point;
use super::process::Program;
use super::{BenchError, Watch};

/// Where runs take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Runner {
    /// In this process.
    Here,
    /// Each in a process of this binary of filemill, by its `bench measure`.
    Process(PathBuf),
}

impl Runner {
    /// Runs a point once over the tree at `path`.
    ///
    /// # Errors
    /// When it cannot be run, or is cancelled.
    pub fn run(
        &self,
        point: &Point,
        path: &Path,
        list: &str,
        watch: &Watch<'_>,
    ) -> Result<Measured, BenchError> {
        match self {
            Runner::Here => measure(&point.plan(path, list)?, watch.control),
            Runner::Process(binary) => {
                let program = Program { binary: binary.clone(), arguments: arguments(point, path, list) };
                let mut output = Vec::new();
                program.lines(&mut |line| output.extend_from_slice(line), watch)?;
                serde_json::from_slice(&output).map_err(|error| {
                    BenchError::Refused(format!("{}: gave no measurement: {error}", binary.display()))
                })
            }
        }
    }
}

fn arguments(point: &Point, path: &Path, list: &str) -> Vec<OsString> {
    let (workers, batch_files) = (point.workers_name(), point.batch_files.to_string());
    // What lies on the RAM disk is a tree like any other.
    let fixed =
        ["bench", "measure", "--analyses", list, "--workers", &workers, "--batch-files", &batch_files];
    let mut arguments: Vec<OsString> = fixed.map(OsString::from).to_vec();
    arguments.extend(["--stage", point.stage_name()].map(OsString::from));
    // In one piece, as a name may begin with a dash.
    arguments.push(format!("--device={}", point.device).into());
    arguments.push(format!("--gpu-memory={}", point.gpu_memory_bytes).into());
    arguments.push("--".into());
    arguments.push(path.into());
    arguments
}
