//! One file per question. Analyses are pure: no files, threads, clocks or devices.
//!
//! To add one: a file here with its `mod` and `pub use` below, and an entry in [`REGISTRY`], which the command line's
//! help is made from. `FILEMILL_BLESS=1 cargo test goldens` writes its golden file.

mod blake3;
mod entropy;
mod histogram;
mod kind;
mod lines;
mod registry;
mod sha256;
mod words;
mod xxh3;

use std::sync::Arc;

pub use self::blake3::Blake3;
pub use self::entropy::Entropy;
pub use self::kind::{HEAD_BYTES, Kind};
pub use self::lines::Lines;
pub use self::registry::{ParseError, REGISTRY, Registered, nearest, parse};
pub use self::sha256::Sha256;
pub use self::words::Words;
pub use self::xxh3::Xxh3;

use crate::record::{Column, FileRecord, Row};

/// One question, with what every worker shares of it (parameters, tables); read-only during a run.
pub trait Analysis: Send + Sync {
    /// The word on the command line, the prefix of its columns, the stem of its files.
    fn name(&self) -> &'static str;

    /// Its columns, at least one. Names must differ from those of the other analyses of a plan and from the
    /// keys of every record (`type`, `path`, `size`, `mtime_ns`).
    fn columns(&self) -> &[Column];

    /// The state of one worker, reused for every file that the worker reads.
    fn pass(&self) -> Box<dyn Pass>;
}

/// An analysis at work on one worker. Each file is one `begin`, any number of `block`s, one `finish`.
///
/// A file that fails in mid-read gets no `finish`: `begin` must leave nothing of the file before.
pub trait Pass: Send {
    /// A file follows.
    fn begin(&mut self, file: &FileRecord<'_>);

    /// The next bytes of the file. Blocks come in order; a boundary may fall anywhere, and the answer must not
    /// depend on where. `bytes` is never empty.
    fn block(&mut self, bytes: &[u8]);

    /// The file has ended: push one value per column, in the order of the columns.
    fn finish(&mut self, row: &mut Row);
}

/// The columns of several analyses, in order.
pub fn columns(analyses: &[Arc<dyn Analysis>]) -> Vec<Column> {
    analyses.iter().flat_map(|analysis| analysis.columns()).copied().collect()
}

/// Runs one analysis over one file whose blocks are given: the shared body of the tests of every analysis.
#[cfg(test)]
pub(crate) fn answer<'a>(
    pass: &mut dyn Pass,
    blocks: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<crate::record::Value> {
    let blocks: Vec<&[u8]> = blocks.into_iter().filter(|block| !block.is_empty()).collect();
    let directory = crate::record::Directory::from_path(b"");
    let size = blocks.iter().map(|block| block.len() as u64).sum();
    pass.begin(&FileRecord { directory: &directory, name: b"file", size, mtime_ns: 0 });
    for block in blocks {
        pass.block(block);
    }
    let mut row = Row::default();
    pass.finish(&mut row);
    row.values().to_vec()
}
