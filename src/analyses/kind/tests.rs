//! The analysis as a whole, and laws of the table.

use super::signatures::{INSIDE, Is, SIGNATURES};
use super::*;
use crate::analyses::answer;

#[track_caller]
fn check(bytes: &[u8], kind: Option<&'static str>, encoding: Option<&'static str>) {
    let text = |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(word.into()));
    let expected = [text(kind), Value::Bool(encoding.is_some()), text(encoding)];
    let mut pass = Kind::new().pass();
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
    for text in ["BMW and others\n", "MZ is where it begins", "BZh", "BC,AD,year\n1,2,3\n", "FWS, CWS\n"] {
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
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 2;
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
    assert_ne!(judge(Simd::best(), &truncated, false).encoding, Some("UTF-8"));
}

#[test]
fn a_magic_number_of_four_bytes_or_fewer_is_confirmed() {
    for row in SIGNATURES.iter().chain(INSIDE) {
        let is_confirmed = !matches!(row.is, Is::Kind(_));
        assert!(row.magic.len() > 4 || is_confirmed, "{:?}", row.magic.escape_ascii().to_string());
    }
}

#[test]
fn legacy_text_that_begins_like_a_binary_format() {
    check(b"BMW;H\xe4ndler;Gr\xf6\xdfe\r\n", None, Some("windows-1252"));
    for text in [
        &b"MZ-Nr;Stra\xdfe\r\n"[..],
        b"BC,Qu\xe9bec\r\n",
        b"FWS Gr\xf6\xdfe\r\n",
        b"ID3;Gr\xf6\xdfe\r\n",
        b"PK Gr\xf6\xdfe\r\n",
        b"GIF Gr\xf6\xdfe\r\n",
        b"ORC Gr\xf6\xdfe\r\n",
    ] {
        let verdict = judge(Simd::best(), text, false);
        assert_eq!((verdict.kind, verdict.encoding.is_some()), (None, true), "{}", text.escape_ascii());
    }
}

#[test]
fn a_shebang_is_by_its_interpreter_with_or_without_a_mark() {
    check(b"#![allow(dead_code)]\n", None, Some("US-ASCII"));
    check(b"#!/usr/bin/env python3\n", Some("text/x-script.python"), Some("US-ASCII"));
    check(b"#!/opt/unheard-of\n", None, Some("US-ASCII"));
    check(b"\xef\xbb\xbf#!/bin/sh\n", Some("text/x-shellscript"), Some("UTF-8"));
}

#[test]
fn utf_32_with_a_mark() {
    check(b"\xff\xfe\0\0h\0\0\0i\0\0\0", None, Some("UTF-32LE"));
    check(b"\0\0\xfe\xff\0\0\0h\0\0\0i", None, Some("UTF-32BE"));
}
