//! `kind`: what a file is, by its first 16 KiB alone. Columns `kind`, `text`, `encoding`.
//!
//! - `kind`: media type by magic numbers, or null where none fits (most text). Where the bytes are plain ASCII or
//!   UTF-8 text, the magic number of a binary format is a chance hit and does not count.
//! - `text`: a byte-order mark, or bytes that a person could read: no NUL and no control character other than
//!   BEL, BS, TAB, LF, VT, FF, CR and ESC, in UTF-8 or one of the legacy encodings of the web. An empty file is
//!   text. A file whose magic number names something other than text is not.
//! - `encoding`: of text, by its IANA or WHATWG name (`US-ASCII`, `UTF-8`, `UTF-16LE`, `windows-1252`, ...); null
//!   otherwise. A legacy encoding is a guess from letter frequencies.

use std::borrow::Cow;

use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};

/// Only this many bytes at the start of a file decide.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Media type, text or not, encoding.
#[derive(Debug, Clone, Copy)]
pub struct Kind;

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
        Box::new(Look { head: Vec::with_capacity(HEAD_BYTES), verdict: None, is_head: true })
    }
}

struct Look {
    /// The start of the file, where it came in more than one block.
    head: Vec<u8>,
    verdict: Option<Verdict>,
    /// Whether it sees the start of the file. No part is so short that it would not see all of the head.
    is_head: bool,
}

impl Pass for Look {
    fn begin(&mut self, _: &FileRecord<'_>, offset: u64) {
        self.head.clear();
        self.verdict = None;
        self.is_head = offset == 0;
    }

    fn block(&mut self, bytes: &[u8]) {
        if self.verdict.is_some() || !self.is_head {
            return;
        }
        if self.head.is_empty() && bytes.len() >= HEAD_BYTES {
            self.verdict = Some(look(&bytes[..HEAD_BYTES], true));
            return;
        }
        let wanted = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        if self.head.len() == HEAD_BYTES {
            self.verdict = Some(look(&self.head, true));
        }
    }

    /// What follows the head does not count.
    fn join(&mut self, next: &mut dyn Pass) {
        debug_assert!(!same::<Self>(next).is_head);
    }

    fn finish(&mut self, row: &mut Row) {
        let verdict = self.verdict.take().unwrap_or_else(|| look(&self.head, false));
        let text =
            |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(Cow::Borrowed(word)));
        row.push(text(verdict.kind));
        row.push(Value::Bool(verdict.encoding.is_some()));
        row.push(text(verdict.encoding));
    }
}

struct Verdict {
    kind: Option<&'static str>,
    encoding: Option<&'static str>,
}

/// Judges a head. `cut`: the file may go on, so the last character may be incomplete.
fn look(head: &[u8], cut: bool) -> Verdict {
    let encoding = encoding(head, cut);
    let magic = infer::get(head);
    let is_textual = |magic: infer::Type| {
        magic.matcher_type() == infer::MatcherType::Text || magic.mime_type().starts_with("text/")
    };
    match (magic, encoding) {
        (None, encoding) => Verdict { kind: None, encoding },
        (Some(magic), encoding) if is_textual(magic) => Verdict { kind: Some(magic.mime_type()), encoding },
        // Two letters make a magic number ("BM", "MZ"), and text may begin with them.
        (Some(magic), Some(encoding)) if is_certain(encoding) && !begins_as_text(magic, head) => {
            Verdict { kind: None, encoding: Some(encoding) }
        }
        (Some(magic), _) => Verdict { kind: Some(magic.mime_type()), encoding: None },
    }
}

/// Whether this encoding is no guess from letter frequencies.
fn is_certain(encoding: &str) -> bool {
    matches!(encoding, "US-ASCII" | "UTF-8")
}

/// Whether a type that is no text has a head that is: documents that are written as programs.
fn begins_as_text(magic: infer::Type, head: &[u8]) -> bool {
    match magic.mime_type() {
        // The library finds its magic number further inside as well, as in a text about it.
        "application/pdf" => head.starts_with(b"%PDF-"),
        "application/postscript" | "application/rtf" => true,
        _ => false,
    }
}

fn encoding(head: &[u8], cut: bool) -> Option<&'static str> {
    if let Some((encoding, _)) = encoding_rs::Encoding::for_bom(head) {
        return Some(encoding.name());
    }
    if has_control(head) {
        return None;
    }
    if head.is_ascii() {
        return Some("US-ASCII");
    }
    match std::str::from_utf8(head) {
        Ok(_) => Some("UTF-8"),
        Err(error) if cut && error.error_len().is_none() => Some("UTF-8"),
        Err(_) => {
            let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(head, !cut);
            Some(detector.guess(None, chardetng::Utf8Detection::Deny).name())
        }
    }
}

/// Whether a control character occurs that text does not use.
///
/// Without an early exit the compiler makes whole-vector instructions of it.
fn has_control(head: &[u8]) -> bool {
    let unexpected =
        |byte: u8| (byte < 0x20 && !(0x07..=0x0d).contains(&byte) && byte != 0x1b) | (byte == 0x7f);
    head.chunks(512).any(|chunk| chunk.iter().fold(false, |found, &byte| found | unexpected(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

    #[track_caller]
    fn check(bytes: &[u8], kind: Option<&'static str>, encoding: Option<&'static str>) {
        let text = |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(word.into()));
        let expected = [text(kind), Value::Bool(encoding.is_some()), text(encoding)];
        let mut pass = Kind.pass();
        for cut in (0..=bytes.len()).step_by((bytes.len() / 64).max(1)) {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(answer(&mut *pass, [left, right]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn text_and_its_encodings() {
        check(b"", None, Some("US-ASCII"));
        check(b"plain\ttext\r\n\x1b[1mbold\x1b[0m", None, Some("US-ASCII"));
        check("naïve café".as_bytes(), None, Some("UTF-8"));
        check(b"\xef\xbb\xbfwith a mark", None, Some("UTF-8"));
        check(b"\xff\xfeh\0i\0", None, Some("UTF-16LE"));
        check(b"\xfe\xff\0h\0i", None, Some("UTF-16BE"));
        check(b"caf\xe9 cr\xe8me br\xfbl\xe9e, d\xe9j\xe0 vu", None, Some("windows-1252"));
        check(b"#!/bin/sh\necho\n", Some("text/x-shellscript"), Some("US-ASCII"));
    }

    #[test]
    fn text_that_begins_like_a_binary_format() {
        for text in ["BMW and others\n", "MZ is where it begins", "BZh", "BC,AD,year\n1,2,3\n", "FWS, CWS\n"]
        {
            check(text.as_bytes(), None, Some("US-ASCII"));
        }
        check("the magic number is %PDF-1.7, naïvely".as_bytes(), None, Some("UTF-8"));
        check(b"%!PS-Adobe-3.0\n", Some("application/postscript"), None);
        check(b"{\\rtf1 text}", Some("application/rtf"), None);
    }

    #[test]
    fn what_is_not_text() {
        check(b"a\0b", None, None);
        check(b"\x01\x02\x03", None, None);
        check(b"\x89PNG\r\n\x1a\n", Some("image/png"), None);
        let mut elf = [0; 64];
        elf[..4].copy_from_slice(b"\x7fELF");
        check(&elf, Some("application/x-executable"), None);
        check(b"%PDF-1.7\n", Some("application/pdf"), None);
    }

    #[test]
    fn only_the_head_counts() {
        let mut bytes = vec![b'a'; HEAD_BYTES];
        bytes.push(0);
        check(&bytes, None, Some("US-ASCII"));
        bytes[HEAD_BYTES - 1] = 0;
        check(&bytes, None, None);
    }

    #[test]
    fn a_character_cut_at_the_end_of_the_head_is_no_error() {
        let mut bytes = vec![b'a'; HEAD_BYTES - 1];
        bytes.extend_from_slice("é".as_bytes());
        check(&bytes, None, Some("UTF-8"));
        let mut truncated = b"caf".to_vec();
        truncated.push(0xc3);
        assert_ne!(look(&truncated, false).encoding, Some("UTF-8"));
    }
}
