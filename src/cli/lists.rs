//! Lists of paths: `--files-from` and `--files0-from`.

mod text;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use filemill::plan::PathList;

use self::text::{parse, unseen};
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

fn read_whole(list: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if list == Path::new("-") {
        io::stdin().lock().take(LIST_BYTES_MAX + 1).read_to_end(&mut text)?;
    } else {
        File::open(list)?.take(LIST_BYTES_MAX + 1).read_to_end(&mut text)?;
    }
    Ok(text)
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
