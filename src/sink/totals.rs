//! Totals over a run, for the summary: by kind and by extension, the largest files, lines and words.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::time::SystemTime;

use super::Sink;
use crate::plan::Plan;
use crate::record::{Outcome, Record, Value};

/// Sums up a run in bounded memory.
#[derive(Debug, Default)]
pub struct Totals {
    kind: Option<usize>,
    text: Option<usize>,
    encoding: Option<usize>,
    lines: Option<usize>,
    words: Option<usize>,
    by_kind: HashMap<String, Group>,
    by_extension: HashMap<Vec<u8>, Group>,
    largest: BinaryHeap<Reverse<Largest>>,
    /// Sum of `lines`, where it was asked for.
    pub lines_total: Option<u64>,
    /// Sum of `words`, where it was asked for.
    pub words_total: Option<u64>,
}

/// Files and bytes of a kind or extension.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group {
    /// Number of files.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
}

/// What stands behind the last dot of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extension {
    /// The bytes behind the dot.
    Some(Vec<u8>),
    /// There is none.
    None,
    /// One of those that came after the table was full.
    Others,
}

/// One of the largest files; ordered by size, then by path from last to first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Largest {
    /// Size in bytes.
    pub size: u64,
    /// Its path.
    pub path: Reverse<Vec<u8>>,
}

/// How many of the largest files are kept.
const LARGEST_MAX: usize = 10;
/// A tree can have as many extensions as files: beyond this many they are summed up as one.
const EXTENSIONS_MAX: usize = 10_000;
/// Longer than this it is part of a name, not an extension.
const EXTENSION_BYTES_MAX: usize = 16;

impl Sink for Totals {
    fn begin(&mut self, plan: &Plan, _started: SystemTime) -> io::Result<()> {
        let columns = plan.columns();
        let position = |name| columns.iter().position(|column| column.name == name);
        *self = Totals {
            kind: position("kind"),
            text: position("text"),
            encoding: position("encoding"),
            lines: position("lines"),
            words: position("words"),
            ..Totals::default()
        };
        Ok(())
    }

    fn record(&mut self, _record: &Record<'_>) -> io::Result<()> {
        Ok(())
    }
}
