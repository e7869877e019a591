//! The text of a list of paths: its entries, and characters in it that no editor shows.

/// Takes a list apart. With line feeds, empty lines mean nothing; with NULs, every entry is a path.
///
/// # Errors
/// Why it is no list of this kind.
pub(super) fn parse(text: &[u8], separator: u8) -> Result<impl Iterator<Item = &[u8]>, String> {
    if separator != 0 && memchr::memchr(0, text).is_some() {
        if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
            return Err("it is UTF-16: convert it to UTF-8, for example with iconv".to_owned());
        }
        return Err(
            "it holds a NUL, which no path can (--files0-from is for lists that NULs separate)".to_owned()
        );
    }
    // The last one may lack its separator.
    let text = text.strip_suffix(&[separator]).unwrap_or(text);
    let entries = || text.split(move |&byte| byte == separator).filter(move |_| !text.is_empty());
    if separator == 0
        && let Some(empty) = entries().position(<[u8]>::is_empty)
    {
        return Err(format!("entry {} is empty", empty + 1));
    }
    Ok(entries().filter(|entry| !entry.is_empty()))
}

/// Which characters that no editor shows keep entries from being found that would be found without them.
pub(super) fn unseen<'t>(
    entries: impl Iterator<Item = &'t [u8]>,
    separator: u8,
    exists: &dyn Fn(&[u8]) -> bool,
) -> Option<&'static str> {
    /// Further ones are not looked at: in a list of one kind, each has it.
    const LOOKS_MAX: usize = 1000;
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let (mut has_mark, mut has_returns) = (false, false);
    let candidates = entries.enumerate().filter_map(|(at, entry)| {
        let unmarked = entry.strip_prefix(MARK).filter(|_| at == 0);
        let plain = unmarked.unwrap_or(entry);
        let unreturned = plain.strip_suffix(b"\r").filter(|_| separator == b'\n');
        let plain = unreturned.unwrap_or(plain);
        (plain.len() < entry.len()).then_some((entry, plain, unmarked.is_some(), unreturned.is_some()))
    });
    for (entry, plain, is_marked, is_returned) in candidates.take(LOOKS_MAX) {
        if !exists(entry) && exists(plain) {
            has_mark |= is_marked;
            has_returns |= is_returned;
            if is_returned {
                break;
            }
        }
    }
    match (has_mark, has_returns) {
        (true, true) => Some("begins with a byte-order mark and ends its lines with CR LF"),
        (true, false) => Some("begins with a byte-order mark"),
        (false, true) => Some("ends its lines with CR LF"),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_at_their_separator() {
        #[track_caller]
        fn check(text: &[u8], separator: u8, expected: Result<&[&[u8]], &str>) {
            let paths = parse(text, separator).map(Iterator::collect::<Vec<_>>);
            assert_eq!(paths.as_deref().map_err(String::as_str), expected);
        }
        check(b"", b'\n', Ok(&[]));
        check(b"", 0, Ok(&[]));
        check(b"a\nb c\n", b'\n', Ok(&[b"a", b"b c"]));
        check(b"a\n\n\nb\r", b'\n', Ok(&[b"a", b"b\r"]));
        check(b"\n", b'\n', Ok(&[]));
        check(b"a\0b\nc\0", 0, Ok(&[b"a", b"b\nc"]));
        check(b"a\0b", 0, Ok(&[b"a", b"b"]));
        check(b"\xff", 0, Ok(&[b"\xff"]));
        check(b"a\0\0b", 0, Err("entry 2 is empty"));
        check(b"\0", 0, Ok(&[]));
        check(b"\0\0", 0, Err("entry 1 is empty"));
        let mistaken = "it holds a NUL, which no path can (--files0-from is for lists that NULs separate)";
        check(b"a\0b\0", b'\n', Err(mistaken));
        let wide = "it is UTF-16: convert it to UTF-8, for example with iconv";
        check(b"\xff\xfea\0\n\0", b'\n', Err(wide));
    }

    #[test]
    fn characters_that_no_editor_shows_are_named_where_they_cost_an_entry() {
        #[track_caller]
        fn check(text: &[u8], separator: u8, expected: Option<&str>) {
            let exists = |path: &[u8]| matches!(path, b"a" | b"b" | b"c\r");
            let entries = parse(text, separator).expect("it is a list");
            assert_eq!(unseen(entries, separator, &exists), expected);
        }
        check(b"a\nb\n", b'\n', None);
        check(b"a\r\nb\r\n", b'\n', Some("ends its lines with CR LF"));
        check(b"\xef\xbb\xbfa\nb\n", b'\n', Some("begins with a byte-order mark"));
        let both = Some("begins with a byte-order mark and ends its lines with CR LF");
        check(b"\xef\xbb\xbfa\r\nb\r\n", b'\n', both);
        check(b"\xef\xbb\xbfa\nb\r\n", b'\n', both);
        check(b"\xef\xbb\xbfa\0b", 0, Some("begins with a byte-order mark"));
        // They are part of names, or there is nothing without them either.
        check(b"c\r\nd\r\n", b'\n', None);
        check(b"a\r\0", 0, None);
        check(b"a\n\xef\xbb\xbfb\n", b'\n', None);
    }
}
