//! Lists of paths: `--files-from` and `--files0-from`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use filemill::plan::PathList;

use super::flags::{Input, Messages};
use super::{Failure, complain};

/// A list is held in memory; one longer than this is no list.
const LIST_BYTES_MAX: u64 = 1 << 30;
/// Each entry takes some 20 bytes besides its path, and each directory some 60.
const LIST_ENTRIES_MAX: usize = 20_000_000;

/// Reads every list that the flags name, those with lines first.
///
/// # Errors
/// When one cannot be read or is no list, or two of them would read one stream.
pub(super) fn read_all(flags: &Input, messages: &Messages) -> Result<PathList, Failure> {
    let lines = flags.files_from.iter().map(|list| ("--files-from", list, b'\n'));
    let nuls = flags.files0_from.iter().map(|list| ("--files0-from", list, 0));
    let lists: Vec<_> = lines.chain(nuls).collect();
    let mut streams: Vec<(&str, &Path, Stream)> = Vec::new();
    for &(flag, list, _) in &lists {
        let Some(stream) = Stream::of(list) else { continue };
        if let Some((first_flag, first, _)) = streams.iter().find(|(.., known)| *known == stream) {
            return Err(Failure::Usage(format!(
                "{flag} {}: {first_flag} {} reads the same stream to its end: give each list a stream or a file of its own",
                list.display(),
                first.display()
            )));
        }
        streams.push((flag, list, stream));
    }
    let mut listed = PathList::default();
    for (_, list, separator) in lists {
        let (text, hint) = read(list, separator).map_err(Failure::Report)?;
        if let Some(hint) = hint.filter(|_| !messages.quiet) {
            complain(&hint);
        }
        listed.add_text(text, separator);
    }
    Ok(listed)
}

/// What can be read only once.
#[derive(PartialEq, Eq)]
enum Stream {
    #[cfg(unix)]
    Identity(u64, u64),
    #[cfg(not(unix))]
    StandardInput,
}

impl Stream {
    /// The stream that a list is read from: standard input or a pipe. `None` for a file, which each flag reads from its start.
    #[cfg(unix)]
    fn of(list: &Path) -> Option<Stream> {
        use std::os::fd::AsFd;
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        if list == Path::new("-") {
            let found = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
            return Some(Stream::Identity(found.dev(), found.ino()));
        }
        let found = std::fs::metadata(list).ok()?;
        found.file_type().is_fifo().then(|| Stream::Identity(found.dev(), found.ino()))
    }

    #[cfg(not(unix))]
    fn of(list: &Path) -> Option<Stream> {
        (list == Path::new("-")).then_some(Stream::StandardInput)
    }
}

/// Reads a list from a file or, for `-`, from standard input. Returns its text, and a hint where characters that no editor
/// shows keep its paths from being found.
fn read(list: &Path, separator: u8) -> Result<(Vec<u8>, Option<String>), String> {
    let shown = if list == Path::new("-") { "standard input".into() } else { list.display().to_string() };
    let text = read_whole(list).map_err(|error| format!("cannot read the list {shown}: {error}"))?;
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(format!("cannot read the list {shown}: it is longer than 1 GiB"));
    }
    let entries = || parse(&text, separator).map_err(|why| format!("{shown} is no list of paths: {why}"));
    if entries()?.nth(LIST_ENTRIES_MAX).is_some() {
        return Err(format!("cannot read the list {shown}: it has more than {LIST_ENTRIES_MAX} entries"));
    }
    let exists = |path: &[u8]| std::fs::symlink_metadata(path_of(path)).is_ok();
    let hint = unseen(entries()?, separator, &exists).map(|why| {
        format!("the list {shown} {why}, which filemill takes as part of a name: remove it, for example with dos2unix")
    });
    Ok((text, hint))
}

/// Which characters that no editor shows keep entries from being found that would be found without them.
fn unseen<'t>(
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
fn parse(text: &[u8], separator: u8) -> Result<impl Iterator<Item = &[u8]>, String> {
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

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> std::path::PathBuf {
    std::path::PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
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
