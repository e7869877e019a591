//! Formats of text and documents: HTML, XML, SVG, PDF, PostScript, cards.

use memchr::memmem;

use super::numbers::byte;

/// How far into a document its first elements are looked for.
const PROLOG_BYTES: usize = 4096;

/// HTML, XML, SVG or PHP after blanks.
pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let blanks = head.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let rest = &head[blanks..head.len().min(blanks + PROLOG_BYTES)];
    if rest.first() != Some(&b'<') {
        return None;
    }
    if rest.starts_with(b"<?xml") && byte(rest, 5).is_some_and(|byte| byte.is_ascii_whitespace()) {
        // In XML the letters of names are what they are: HTML in capitals is not XHTML.
        let root =
            by_root(&rest[5..]).filter(|kind| *kind != "text/html" || memmem::find(rest, b"html").is_some());
        return Some(root.unwrap_or("text/xml"));
    }
    if rest.starts_with(b"<?php") && byte(rest, 5).is_some_and(|byte| byte.is_ascii_whitespace()) {
        return Some("text/x-php");
    }
    by_root(rest).or_else(|| html_by_element(rest))
}

/// The type of a document by its document type, or by its first element.
fn by_root(prolog: &[u8]) -> Option<&'static str> {
    let mut rest = prolog;
    loop {
        rest = &rest[rest.iter().position(|byte| *byte == b'<')?..];
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            rest = &comment[memmem::find(comment, b"-->")?..];
        } else if rest.starts_with(b"<?") {
            rest = &rest[2..];
        } else if let Some(name) = after_ignoring_case(rest, b"<!doctype") {
            let start = name.iter().position(|byte| !byte.is_ascii_whitespace())?;
            return (start > 0).then(|| by_name(&name[start..])).flatten();
        } else {
            return by_name(&rest[1..]);
        }
    }
}

fn by_name(rest: &[u8]) -> Option<&'static str> {
    let end = rest.iter().position(|byte| byte.is_ascii_whitespace() || b">/[".contains(byte))?;
    let name = &rest[..end];
    if name.eq_ignore_ascii_case(b"html") {
        Some("text/html")
    } else if name == b"svg" || name == b"svg:svg" {
        Some("image/svg+xml")
    } else {
        None
    }
}

/// HTML that begins with another element than its root.
fn html_by_element(rest: &[u8]) -> Option<&'static str> {
    const ELEMENTS: [&[u8]; 8] =
        [b"head", b"body", b"title", b"script", b"style", b"table", b"iframe", b"meta"];
    let mut rest = rest;
    while let Some(comment) = rest.strip_prefix(b"<!--") {
        rest = &comment[memmem::find(comment, b"-->")? + 3..];
        rest = &rest[rest.iter().position(|byte| !byte.is_ascii_whitespace())?..];
    }
    let name = rest.strip_prefix(b"<")?;
    let is_element = |element: &&[u8]| {
        after_ignoring_case(name, element)
            .and_then(|rest| rest.first())
            .is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'>')
    };
    ELEMENTS.iter().any(is_element).then_some("text/html")
}

/// What follows `prefix`, whose letters are small.
fn after_ignoring_case<'h>(bytes: &'h [u8], prefix: &[u8]) -> Option<&'h [u8]> {
    let (start, rest) = bytes.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

pub(super) fn card(head: &[u8]) -> Option<&'static str> {
    let line = head.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    match line {
        b"BEGIN:VCARD" => Some("text/vcard"),
        b"BEGIN:VCALENDAR" => Some("text/calendar"),
        _ => None,
    }
}

pub(super) fn is_vtt(head: &[u8]) -> Option<bool> {
    Some(head.get(6).is_none_or(|byte| byte.is_ascii_whitespace()))
}

/// `%PDF-1.7` at the start.
pub(super) fn is_pdf(head: &[u8]) -> Option<bool> {
    Some(head.get(5)?.is_ascii_digit() && head.get(6) == Some(&b'.') && head.get(7)?.is_ascii_digit())
}

/// The same on a line of its own in the first kilobyte, after what some other program has put before it.
pub(super) fn is_pdf_within(head: &[u8]) -> Option<bool> {
    const SEARCHED_BYTES: usize = 1024;
    let searched = &head[..head.len().min(SEARCHED_BYTES)];
    let at = memmem::find(searched, b"%PDF-")?;
    let ends_line = head.get(at + 8).is_some_and(|byte| matches!(byte, b'\r' | b'\n'));
    Some(is_pdf(&head[at..])? && ends_line)
}

/// `%!PS`, `%!` alone on its line, or `%!FontType1` and its like.
pub(super) fn is_postscript(head: &[u8]) -> Option<bool> {
    let rest = &head[2..];
    let is_word = [&b"PS"[..], b"FontType", b"Font"].iter().any(|word| rest.starts_with(word));
    Some(is_word || rest.starts_with(b"\n") || rest.starts_with(b"\r"))
}
