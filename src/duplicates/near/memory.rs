//! How the memory that a plan allows is divided in a search for files that are nearly the same.

use super::super::rounds::Rounds;
use super::Near;
use crate::error::Error;
use crate::plan::{self, Plan};

/// What is kept of each file beside its sketch, in bytes: a candidate, its digest and row in a table that is up to half
/// empty, its place in a component and in the table of a band. An upper bound of what was measured.
const FILE_BYTES: u64 = 192;
/// What of that the table of a band takes.
const TABLE_BYTES: u64 = 16;

/// Who may take how much.
pub(super) struct Memory {
    /// Walking again, reading and sketching.
    pub(super) reading_bytes_max: Option<u64>,
    /// Sketches; more of them are kept on a disk.
    pub(super) sketches_bytes_max: u64,
    /// The table of a band.
    pub(super) table_bytes_max: u64,
    /// Sets of shingles.
    pub(super) sets_bytes_max: u64,
}

impl Memory {
    /// Sets of shingles take no more where no limit is given: larger ones are compared share by share.
    const SETS_BYTES_MAX: u64 = 1 << 30;

    /// Refuses a limit that is too small, whatever there is to be read.
    pub(super) fn check(near: &Near, plan: &Plan) -> Result<(), Error> {
        let least = bytes_least(near, plan);
        match plan.memory_bytes_max {
            Some(limit) if limit < least => Err(too_small(limit, least, "files that are nearly the same")),
            _ => Ok(()),
        }
    }

    pub(super) fn divide(near: &Near, rounds: &Rounds<'_>, files: u64) -> Result<Memory, Error> {
        let plan = &rounds.search.plan;
        let Some(limit) = plan.memory_bytes_max else {
            return Ok(Memory {
                reading_bytes_max: None,
                sketches_bytes_max: u64::MAX,
                table_bytes_max: u64::MAX,
                sets_bytes_max: Memory::SETS_BYTES_MAX,
            });
        };
        let taken = rounds.catalog.memory_bytes() + files * FILE_BYTES;
        let least = bytes_least(near, plan);
        if taken + least > limit {
            return Err(too_small(limit, taken + least, &format!("{files} files to be sketched")));
        }
        let left = limit - taken - least;
        Ok(Memory {
            reading_bytes_max: Some(plan_of_sketches(near, plan).memory_bytes_least() + left / 4),
            sketches_bytes_max: left / 2,
            // Who reads is done when sketches are compared.
            table_bytes_max: files * TABLE_BYTES + left / 4,
            sets_bytes_max: (left / 4).clamp(1 << 20, Memory::SETS_BYTES_MAX),
        })
    }
}

/// What a search takes at least, beside its files.
fn bytes_least(near: &Near, plan: &Plan) -> u64 {
    // Rows of a tile on either side, and as many bytes of each again; what is read ahead, and a table in pieces.
    const ROWS: u64 = 1024;
    let threads = plan.workers_first().min(plan::cores()) as u64;
    let compares = threads * (ROWS * near.sketches.k() as u64 * 5 + (1 << 20));
    plan_of_sketches(near, plan).memory_bytes_least() + compares
}

/// The plan of the round that makes sketches.
fn plan_of_sketches(near: &Near, plan: &Plan) -> Plan {
    Plan { analyses: near.analyses(), ..plan.clone() }
}

fn too_small(limit: u64, least: u64, for_what: &str) -> Error {
    Error::Plan(format!("a memory of {limit} bytes is too small: {for_what} take {least}"))
}
