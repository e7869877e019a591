//! One file per question. Analyses are pure: no files, threads, clocks or devices.
//!
//! To add one: a file here with its `mod` and `pub use` below, and an entry in [`REGISTRY`], which the command line's
//! help is made from. `FILEMILL_BLESS=1 cargo test goldens` writes its golden file.

mod blake3;
mod entropy;
mod histogram;
mod kernel;
mod kind;
mod lines;
mod minhash;
mod registry;
mod sha256;
mod words;
mod xxh3;

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use self::blake3::Blake3;
pub use self::entropy::Entropy;
pub use self::kernel::Kernel;
pub use self::kind::{HEAD_BYTES, Kind};
pub use self::lines::Lines;
pub use self::minhash::{
    K_DEFAULT, K_MAX, MinHash, SHINGLE_BYTES_MAX, SHINGLE_WORDS_MAX, SHINGLES_MAX, Shingle, ShingleSet,
    SketchKind,
};
pub use self::registry::{ParseError, REGISTRY, Registered, nearest, parse};
pub use self::sha256::Sha256;
pub use self::words::Words;
pub use self::xxh3::Xxh3;

use crate::record::{Column, FileRecord, Row};

/// One question, with what every worker shares of it (parameters, tables); read-only during a run.
pub trait Analysis: Send + Sync {
    /// The word on the command line, the prefix of its columns, the stem of its files.
    fn name(&self) -> &'static str;

    /// The word that selects it, with its parameters where it has some: who reads a report knows what was asked.
    fn word(&self) -> Cow<'static, str> {
        self.name().into()
    }

    /// Its columns, at least one. Names must differ from those of the other analyses of a plan and from the
    /// keys of every record (`type`, `path`, `size`, `mtime_ns`).
    fn columns(&self) -> &[Column];

    /// What the values of one file take of memory beside the row, in bytes at most.
    fn value_bytes(&self) -> u64 {
        0
    }

    /// Whether several workers may answer it together, each for a part of a large file. Unless it says so, one pass
    /// sees all of a file.
    fn parts(&self) -> Parts {
        Parts::Whole
    }

    /// Its twin on a device, where there is one.
    fn kernel(&self) -> Option<Kernel> {
        None
    }

    /// The state of one worker, reused for every file that the worker reads.
    fn pass(&self) -> Box<dyn Pass>;
}

/// How an analysis can be divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Not at all: one pass must see every byte, from the first to the last.
    Whole,
    /// Into parts of which each begins at a multiple of its length, a power of two of at least [`PART_BYTES_MIN`]; the
    /// last one may be shorter. Each has a pass of its own, and [`Pass::join`] puts the answers together.
    Aligned,
}

/// The smallest part of a file that a pass is given, in bytes; unless it is the last of its file.
pub const PART_BYTES_MIN: u64 = 1 << 20;

/// An analysis at work on one worker. Each file is one `begin`, any number of `block`s, one `finish`.
///
/// A file that fails in mid-read gets no `finish`: `begin` must leave nothing of the file before.
pub trait Pass: Any + Send {
    /// A file follows, or a part of it that begins at `offset` (in bytes; 0 unless the analysis comes in parts).
    fn begin(&mut self, file: &FileRecord<'_>, offset: u64);

    /// The next bytes of the file. Blocks come in order; a boundary may fall anywhere, and the answer must not
    /// depend on where. `bytes` is never empty.
    fn block(&mut self, bytes: &[u8]);

    /// As [`Pass::block`] with these bytes, of which the kernel of the analysis has found `words`: those of each segment, one
    /// after the other. Called only where [`Analysis::kernel`] has a kernel.
    fn block_by_kernel(&mut self, _bytes: &[u8], _words: &[u32]) {
        unreachable!("an analysis without a kernel is given no words");
    }

    /// Takes over the answer for the part that follows: a pass of the same analysis, which has seen all of that part.
    /// Afterwards this one answers for both. Called in the order of the parts, and only where [`Analysis::parts`] allows
    /// them.
    fn join(&mut self, _next: &mut dyn Pass) {
        unreachable!("an analysis that is not divided has nothing to join");
    }

    /// The file has ended: push one value per column, in the order of the columns.
    fn finish(&mut self, row: &mut Row);
}

/// A pass of each analysis, in order. Those of [`Lines`] and [`Words`] look at the bytes once for both.
pub(crate) fn passes<'a>(analyses: impl IntoIterator<Item = &'a Arc<dyn Analysis>>) -> Vec<Box<dyn Pass>> {
    let mut passes: Vec<_> = analyses.into_iter().map(|analysis| analysis.pass()).collect();
    let counts_words = passes.iter().any(|pass| (&**pass as &dyn Any).is::<words::Count>());
    let counts_lines = passes.iter().any(|pass| (&**pass as &dyn Any).is::<lines::Count>());
    if counts_words && counts_lines {
        let line_feeds = Arc::new(AtomicU64::new(0));
        for pass in &mut passes {
            let pass: &mut dyn Any = &mut **pass;
            if let Some(words) = pass.downcast_mut::<words::Count>() {
                words.share_line_feeds(line_feeds.clone());
            } else if let Some(lines) = pass.downcast_mut::<lines::Count>() {
                lines.take_from(line_feeds.clone());
            }
        }
    }
    passes
}

/// The pass that follows, as what it is.
fn same<P: Pass>(next: &mut dyn Pass) -> &mut P {
    let next: &mut dyn Any = next;
    next.downcast_mut().expect("passes of one analysis are joined")
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
    pass.begin(
        &FileRecord { directory: &directory, name: b"file", size, mtime_ns: 0, identity: Default::default() },
        0,
    );
    for block in blocks {
        pass.block(block);
    }
    let mut row = Row::default();
    pass.finish(&mut row);
    row.values().to_vec()
}

/// The same, by parts of `part_bytes`, each with a pass of its own.
#[cfg(test)]
pub(crate) fn answer_in_parts(
    analysis: &dyn Analysis,
    bytes: &[u8],
    part_bytes: usize,
) -> Vec<crate::record::Value> {
    let directory = crate::record::Directory::from_path(b"");
    let (name, size, identity) = (b"file", bytes.len() as u64, Default::default());
    let file = FileRecord { directory: &directory, name, size, mtime_ns: 0, identity };
    let see = |pass: &mut dyn Pass, i: usize, part: &[u8]| {
        pass.begin(&file, (i * part_bytes) as u64);
        part.chunks(1000).for_each(|block| pass.block(block));
    };
    // Both passes have seen something else before.
    let (mut whole, mut next) = (analysis.pass(), analysis.pass());
    see(&mut *whole, 1, &bytes[..part_bytes.min(bytes.len())]);
    for (i, part) in bytes.chunks(part_bytes).enumerate() {
        if i == 0 {
            see(&mut *whole, i, part);
        } else {
            see(&mut *next, i, part);
            whole.join(&mut *next);
        }
    }
    let mut row = Row::default();
    whole.finish(&mut row);
    row.values().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Value;

    /// What all passes answer about bytes that come in blocks, and in parts that are joined.
    fn answers(analyses: &[Arc<dyn Analysis>], parts: &[&[u8]]) -> Vec<Value> {
        let directory = crate::record::Directory::from_path(b"");
        let file = FileRecord {
            directory: &directory,
            name: b"file",
            size: 0,
            mtime_ns: 0,
            identity: Default::default(),
        };
        let see = |part: &[u8]| {
            let mut passes = passes(analyses);
            // A pass keeps nothing of the file before.
            for bytes in [b"a\nb c\n", part] {
                passes.iter_mut().for_each(|pass| pass.begin(&file, 0));
                bytes.chunks(100).for_each(|block| passes.iter_mut().for_each(|pass| pass.block(block)));
            }
            passes
        };
        let mut whole = see(parts[0]);
        for part in &parts[1..] {
            whole.iter_mut().zip(&mut see(part)).for_each(|(pass, next)| pass.join(&mut **next));
        }
        let mut row = Row::default();
        whole.iter_mut().for_each(|pass| pass.finish(&mut row));
        row.values().to_vec()
    }

    proptest! {
        #[test]
        fn lines_and_words_together_are_those_of_each_alone(
            bytes in proptest::collection::vec(proptest::sample::select(b"a \n\t\x80".to_vec()), 0..3000),
            cut in 0.0..1.0,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
            let (left, right) = bytes.split_at((bytes.len() as f64 * cut) as usize);
            let (lines, words): (Arc<dyn Analysis>, Arc<dyn Analysis>) = (Arc::new(Lines), Arc::new(Words::new()));
            let of_lines = answers(std::slice::from_ref(&lines), &[&bytes]);
            let of_words = answers(std::slice::from_ref(&words), &[&bytes]);
            for parts in [&[&bytes[..]][..], &[left, right]] {
                let both = answers(&[lines.clone(), words.clone()], parts);
                prop_assert_eq!(&both[..], &[of_lines[0].clone(), of_words[0].clone()]);
                let both = answers(&[words.clone(), lines.clone()], parts);
                prop_assert_eq!(&both[..], &[of_words[0].clone(), of_lines[0].clone()]);
            }
        }
    }
}
