//! Lists of paths: `--files-from` and `--files0-from`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A list is held in memory; one longer than this is no list.
const LIST_BYTES_MAX: u64 = 1 << 30;
/// Each entry takes some 200 bytes besides its path.
const LIST_ENTRIES_MAX: usize = 20_000_000;

/// Reads a list from a file or, for `-`, from standard input.
///
/// # Errors
/// A message that names the list, when it cannot be read or is no list.
pub(crate) fn read(list: &Path, separator: u8) -> Result<Vec<PathBuf>, String> {
    let shown = if list == Path::new("-") { "standard input".into() } else { list.display().to_string() };
    let text = read_whole(list).map_err(|error| format!("cannot read the list {shown}: {error}"))?;
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(format!("cannot read the list {shown}: it is longer than 1 GiB"));
    }
    let paths = parse(&text, separator).map_err(|why| format!("{shown} is no list of paths: {why}"))?;
    let paths: Vec<PathBuf> = paths.take(LIST_ENTRIES_MAX + 1).map(path).collect();
    if paths.len() > LIST_ENTRIES_MAX {
        return Err(format!("cannot read the list {shown}: it has more than {LIST_ENTRIES_MAX} entries"));
    }
    Ok(paths)
}

fn read_whole(list: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if list == Path::new("-") {
        io::stdin().lock().take(LIST_BYTES_MAX + 1).read_to_end(&mut text)?;
    } else {
        File::open(list)?.take(LIST_BYTES_MAX + 1).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Takes a list apart. With line feeds, empty lines mean nothing; with NULs, every entry is a path.
///
/// # Errors
/// Why it is no list of this kind.
pub(crate) fn parse(text: &[u8], separator: u8) -> Result<impl Iterator<Item = &[u8]>, String> {
    if separator != 0 && memchr::memchr(0, text).is_some() {
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

#[cfg(unix)]
fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
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
    }
}
