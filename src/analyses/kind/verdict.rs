//! What a head says: [`judge`].

use super::signatures::{Form, find, find_inside};
use super::text;
use crate::simd::Simd;

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Its media type, if a signature says it.
    pub(super) kind: Option<&'static str>,
    /// Its encoding, if it is text.
    pub(super) encoding: Option<&'static str>,
}

/// Judges a head. `cut`: the file may go on, so the last character may be incomplete.
pub(super) fn judge(simd: Simd, head: &[u8], cut: bool) -> Verdict {
    if let Some(encoding) = text::marked(head, cut) {
        let ascii = text::ascii_of(head, encoding);
        let found = find(&ascii, |form| form == Form::Text);
        return Verdict { kind: found.map(|(kind, _)| kind), encoding: Some(encoding) };
    }
    let scan = text::scan(simd, head);
    let encoding = text::encoding(head, scan, cut);
    let body = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    // Text may begin with a magic number ("BM", "MZ"). A binary format has control characters soon after it.
    let is_text = encoding.is_some();
    let found = find(body, |form| !is_text || form != Form::Binary);
    match (found, encoding) {
        (Some((kind, Form::Text)), _) => Verdict { kind: Some(kind), encoding },
        (Some((kind, Form::Binary | Form::Document)), _) => Verdict { kind: Some(kind), encoding: None },
        (None, Some(_)) => Verdict { kind: None, encoding },
        (None, None) => Verdict { kind: find_inside(head), encoding: None },
    }
}
