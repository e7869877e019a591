//! How the memory that a plan allows is divided in a search for files of the same content, and what does not fit.

use std::sync::Arc;

use super::Search;
use crate::analyses::Blake3;
use crate::error::Error;
use crate::groups::{Catalog, TooMany, Wanted};
use crate::plan::Plan;

/// Bytes kept of a file that has the size of another, beside its name: its entry in the catalog, a candidate, its place in the
/// order of a round, its name in a group and half of a group. An upper bound of measurements.
pub(super) const FILE_BYTES: u64 = 192;
/// Bytes kept of any file: its entry, and its place in the order of sizes.
const ENTRY_BYTES: u64 = 72;
/// Bytes kept of a file of an earlier report.
const EARLIER_BYTES: u64 = 96;
/// Bytes that the comparison of directories keeps of each, beside its path.
const DIRECTORY_BYTES: u64 = 192;
/// The least that is left for files: with less there would be thousands of batches.
const FILES_BYTES_LEAST: u64 = 2 << 20;

/// The shares of the memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Walking and reading.
    pub(super) reading_bytes_max: Option<u64>,
    /// Files that were met, candidates and groups; more of them are kept on a disk.
    pub(super) files_bytes_max: u64,
    /// What neither of them has.
    taken: u64,
}

impl Memory {
    /// Refuses a limit that is too small for any search.
    pub(super) fn divide(search: &Search) -> Result<Memory, Error> {
        let plan = &search.plan;
        let Some(limit) = plan.memory_bytes_max else {
            return Ok(Memory { reading_bytes_max: None, files_bytes_max: u64::MAX, taken: 0 });
        };
        if search.near.is_some() {
            // It divides by itself once it knows how many files there are.
            return Ok(Memory { reading_bytes_max: Some(limit), files_bytes_max: limit, taken: 0 });
        }
        let least = Plan { analyses: vec![Arc::new(Blake3)], ..plan.clone() }.memory_bytes_least();
        let earlier = search.earlier.as_ref().map_or(0, |earlier| earlier.files() as u64 * EARLIER_BYTES);
        let taken = least + earlier;
        let needed = taken + FILES_BYTES_LEAST * 4 / 3;
        if limit < needed {
            let what = if earlier == 0 { "this search" } else { "this search with --from" };
            return Err(too_small(limit, needed, what));
        }
        let left = limit - taken;
        Ok(Memory { reading_bytes_max: Some(least + left / 4), files_bytes_max: left - left / 4, taken })
    }

    /// Whether all files of a catalog can be searched in memory. The error is how many bytes they take.
    pub(super) fn fits(&self, search: &Search, catalog: &Catalog, wanted: &Wanted) -> Result<(), u64> {
        if self.files_bytes_max == u64::MAX || search.near.is_some() {
            return Ok(());
        }
        let files = catalog.len() as u64;
        let directories = search.directories.map_or(0, |_| catalog.directories() as u64 * DIRECTORY_BYTES);
        let kept = catalog.memory_bytes() + directories;
        let most = kept + files * (FILE_BYTES - size_of_entry());
        // To count those that have the size of another takes time and 8 bytes each.
        if most <= self.files_bytes_max {
            return Ok(());
        }
        let all = files * (ENTRY_BYTES - size_of_entry());
        let candidates = if search.directories.is_some() { files } else { partnered(catalog, wanted) };
        let bytes = kept + all + candidates * (FILE_BYTES - ENTRY_BYTES);
        if bytes <= self.files_bytes_max { Ok(()) } else { Err(bytes) }
    }

    /// Refuses a search that needs all files in memory; they take `bytes`.
    pub(super) fn refuse(&self, search: &Search, files: u64, bytes: u64) -> Error {
        let with = match (&search.near, search.directories, search.action) {
            (Some(_), ..) => "--near",
            (_, Some(_), _) => "--dirs",
            _ => "--action",
        };
        let limit = search.plan.memory_bytes_max.unwrap_or(u64::MAX);
        let least = if search.near.is_some() { limit } else { self.taken };
        too_small(limit, least + bytes.saturating_mul(4) / 3, &format!("{files} files with {with}"))
    }

    /// Refuses a search with more files of one size than fit.
    pub(super) fn refuse_class(&self, search: &Search, too_many: TooMany) -> Error {
        let TooMany { files, size, bytes } = too_many;
        let limit = search.plan.memory_bytes_max.unwrap_or(u64::MAX);
        let needed = self.taken + bytes.saturating_mul(4) / 3;
        too_small(limit, needed, &format!("{files} files of {size} bytes each"))
    }
}

const fn size_of_entry() -> u64 {
    Catalog::FILE_BYTES as u64
}

/// How many files have the size of another.
fn partnered(catalog: &Catalog, wanted: &Wanted) -> u64 {
    let sizes = wanted.size_min..=wanted.size_max.unwrap_or(u64::MAX);
    let mut all: Vec<u64> = catalog.files().map(|file| catalog.size(file)).collect();
    all.sort_unstable();
    let same = all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1 && sizes.contains(&same[0]));
    same.map(|same| same.len() as u64).sum()
}

fn too_small(limit: u64, needed: u64, what: &str) -> Error {
    let mebibytes = needed.div_ceil(1 << 20);
    Error::Plan(format!("a memory of {limit} bytes is too small: {what} need --memory {mebibytes}MiB"))
}
