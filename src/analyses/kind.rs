//! `kind`: the type of a file by its first 16 KiB alone. Columns `kind`, `text`, `encoding`.
//!
//! - `kind`: media type by the table of signatures (`signatures.rs`), or null if none fits (most text). If the bytes are
//!   ASCII or UTF-8 text, the magic number of a binary format is a chance hit and does not count. A magic number of four
//!   bytes or fewer counts only if the structure that follows is right.
//! - `text`: a byte-order mark, or bytes that a person could read: no NUL and no control character other than
//!   BEL, BS, TAB, LF, VT, FF, CR and ESC, in UTF-8 or one of the legacy encodings of the web. An empty file is
//!   text. A file whose signature names something other than text is not.
//! - `encoding`: of text, by its IANA or WHATWG name (`US-ASCII`, `UTF-8`, `UTF-16LE`, `UTF-32BE`, `windows-1252`, ...);
//!   null otherwise. A legacy encoding is a guess from letter frequencies.

mod archives;
mod data;
mod der;
mod executables;
mod fonts;
mod images;
mod markup;
mod media;
mod numbers;
mod ole;
mod pgp;
mod python;
#[cfg(test)]
mod samples;
mod shebang;
mod signatures;
#[cfg(test)]
mod tests;
mod text;
mod verdict;
mod zip;

use std::borrow::Cow;

use self::verdict::{Verdict, judge};
use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};
use crate::simd::Simd;

/// Only this many bytes at the start of a file decide.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Media type, text or not, encoding.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    simd: Simd,
}

impl Kind {
    /// Chooses the fastest form that this processor can run.
    pub fn new() -> Kind {
        Kind { simd: Simd::best() }
    }
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::new()
    }
}

const COLUMNS: &[Column] = &[
    Column { name: "kind", kind: ValueKind::Text, unit: "" },
    Column { name: "text", kind: ValueKind::Bool, unit: "" },
    Column { name: "encoding", kind: ValueKind::Text, unit: "" },
];

impl Analysis for Kind {
    fn name(&self) -> &'static str {
        "kind"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Look { simd: self.simd, head: Vec::new(), size: 0, verdict: None, is_head: true })
    }
}

struct Look {
    simd: Simd,
    /// The start of the file, where it came in more than one block.
    head: Vec<u8>,
    /// What the file or this part of it has, in bytes, as far as its size is known.
    size: u64,
    verdict: Option<Verdict>,
    /// Whether it sees the start of the file. No part is so short that it would not see all of the head.
    is_head: bool,
}

impl Pass for Look {
    fn begin(&mut self, file: &FileRecord<'_>, offset: u64) {
        self.head.clear();
        self.size = file.size;
        self.verdict = None;
        self.is_head = offset == 0;
    }

    fn block(&mut self, bytes: &[u8]) {
        if self.verdict.is_some() || !self.is_head {
            return;
        }
        if self.head.is_empty() && bytes.len() >= HEAD_BYTES {
            self.verdict = Some(judge(self.simd, &bytes[..HEAD_BYTES], true));
            return;
        }
        // The whole file in one block: no copy.
        if self.head.is_empty() && bytes.len() as u64 == self.size {
            self.verdict = Some(judge(self.simd, bytes, false));
            return;
        }
        let wanted = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        if self.head.len() == HEAD_BYTES {
            self.verdict = Some(judge(self.simd, &self.head, true));
        }
    }

    /// What follows the head does not count.
    fn join(&mut self, next: &mut dyn Pass) {
        debug_assert!(!same::<Self>(next).is_head);
    }

    fn finish(&mut self, row: &mut Row) {
        let verdict = self.verdict.take().unwrap_or_else(|| judge(self.simd, &self.head, false));
        let text =
            |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(Cow::Borrowed(word)));
        row.push(text(verdict.kind));
        row.push(Value::Bool(verdict.encoding.is_some()));
        row.push(text(verdict.encoding));
    }
}
