//! A report file that appears under its name only when it is complete.
//!
//! It is written beside its place as `NAME.partial`, and moved there at the end (a name too long for that is cut). Whatever cuts a run short, an
//! interrupt, a full disk or the loss of power, the report that stood there before stands there still. Where the name is
//! no regular file (a pipe, a device), it is written to as it is.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use rustix::fs::OFlags;
use twox_hash::XxHash3_64;

use crate::faults::{Faults, Operation};

/// A report on its way to its name. `&ReportFile` can be written to.
#[derive(Debug)]
pub struct ReportFile {
    file: File,
    /// Where it goes, and where it lies until then; none where it is written in place.
    places: Option<Places>,
    is_complete: bool,
    faults: Faults,
}

#[derive(Debug)]
struct Places {
    end: PathBuf,
    partial: PathBuf,
}

impl ReportFile {
    /// Begins a report that will be named `name`. If `name` is a link, its target gets the report. A `NAME.partial` that an
    /// earlier run left behind is replaced.
    ///
    /// # Errors
    /// When it cannot be created there; and when another run is writing the same report ([`io::ErrorKind::WouldBlock`]).
    pub fn create(name: &Path) -> io::Result<ReportFile> {
        let faults = Faults::default();
        let Some(end) = place_of(name)? else {
            let file = OpenOptions::new().write(true).open(name)?;
            return Ok(ReportFile { file, places: None, is_complete: true, faults });
        };
        let (file, partial) =
            create_beside(&end).map_err(|error| if end == name { error } else { at(&end, &error) })?;
        let before = std::fs::metadata(&end);
        let report = ReportFile { file, places: Some(Places { end, partial }), is_complete: false, faults };
        // A report is no more open to others than the one it replaces.
        if let Ok(before) = before {
            let denied = report.file.set_permissions(before.permissions());
            denied.or_else(|error| if is_within(&report.file, &before) { Ok(()) } else { Err(error) })?;
        }
        Ok(report)
    }

    /// The same report, with whatever is to go wrong in a test.
    pub fn with_faults(mut self, faults: &Faults) -> ReportFile {
        self.faults = faults.clone();
        self
    }

    /// Where it lies until it is complete; `None` where it is written in place.
    pub fn partial(&self) -> Option<&Path> {
        self.places.as_ref().map(|places| places.partial.as_path())
    }

    /// Device and inode of what this report writes and replaces: files that are no part of any tree.
    #[cfg(unix)]
    pub fn identities(&self) -> Vec<(u64, u64)> {
        use std::os::unix::fs::MetadataExt;
        let before = self.places.as_ref().map(|places| std::fs::metadata(&places.end));
        let files = [Some(self.file.metadata()), before].into_iter().flatten().flatten();
        files.filter(|file| file.is_file()).map(|file| (file.dev(), file.ino())).collect()
    }

    /// The report is complete: makes it safe against a loss of power, and gives it its name.
    ///
    /// # Errors
    /// When that fails; what was written then lies in [`ReportFile::partial`].
    pub fn complete(&mut self) -> io::Result<()> {
        let Some(Places { end, partial }) = &self.places else { return Ok(()) };
        self.faults.strike(Operation::Fsync)?;
        self.file.sync_all()?;
        self.faults.strike(Operation::Rename)?;
        std::fs::rename(partial, end)?;
        self.is_complete = true;
        // The new name is safe once its directory is. Not every file system can do that, or needs it.
        #[cfg(unix)]
        {
            let parent = end.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Ok(directory) = File::open(parent.unwrap_or(Path::new("."))) {
                drop(directory.sync_all());
            }
        }
        Ok(())
    }
}

impl Drop for ReportFile {
    /// What was begun and holds nothing leaves nothing behind.
    fn drop(&mut self) {
        if let Some(Places { partial, .. }) = &self.places
            && !self.is_complete
            && self.file.metadata().is_ok_and(|file| file.len() == 0)
        {
            drop(std::fs::remove_file(partial));
        }
    }
}

impl Write for &ReportFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.faults.strike(Operation::Write)?;
        (&self.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.file).flush()
    }
}

/// Whether a file is no more open to others than another was: on file systems where that cannot be changed it is.
fn is_within(file: &File, before: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        file.metadata().is_ok_and(|file| file.mode() & 0o777 & !before.mode() == 0)
    }
    #[cfg(not(unix))]
    {
        let _ = (file, before);
        true
    }
}

/// Where a regular file of this name lies, through links; `None` where the name is something else.
fn place_of(name: &Path) -> io::Result<Option<PathBuf>> {
    if name.file_name().is_none() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    match (std::fs::metadata(name), name.symlink_metadata()) {
        (Ok(found), _) if found.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        (Ok(found), _) if !found.is_file() => Ok(None),
        (Ok(_), Ok(link)) if link.is_symlink() => std::fs::canonicalize(name).map(Some),
        (Ok(_), _) => Ok(Some(name.to_path_buf())),
        (Err(error), Err(_)) if error.kind() == io::ErrorKind::NotFound => Ok(Some(name.to_path_buf())),
        (Err(error), Ok(link)) if error.kind() == io::ErrorKind::NotFound && link.is_symlink() => {
            end_of_links(name).map(Some)
        }
        (Err(error), _) => Err(error),
    }
}

/// The system follows no more links than this.
const LINKS_MAX: usize = 40;

/// The file that links lead to which is not there yet. The system has followed them before: it may forbid to.
fn end_of_links(name: &Path) -> io::Result<PathBuf> {
    let mut end = name.to_path_buf();
    for _ in 0..LINKS_MAX {
        match end.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                let target = std::fs::read_link(&end)?;
                if target.as_os_str().as_encoded_bytes().ends_with(b"/") || target.file_name().is_none() {
                    return Err(io::Error::from(io::ErrorKind::IsADirectory));
                }
                end.set_file_name("");
                end.push(target);
            }
            Ok(_) => return Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(end),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many links"))
}

/// An error about another file than the one that was named.
fn at(end: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("it leads to {}: {error}", end.display()))
}

/// Creates the file in which a report lies until it is complete.
fn create_beside(end: &Path) -> io::Result<(File, PathBuf)> {
    let mut partial = OsString::from(end);
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    match create_alone(&partial) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            let Some(partial) = shortened(end) else { return Err(error) };
            Ok((create_alone(&partial)?, partial))
        }
        created => Ok((created?, partial)),
    }
}

const PARTIAL: &str = ".partial";

/// A name that is no longer than the report's own: its first characters, and for the rest of it a checksum.
fn shortened(end: &Path) -> Option<PathBuf> {
    let name = end.file_name()?;
    let checksum = XxHash3_64::oneshot(name.as_encoded_bytes());
    let tail = format!("-{checksum:016x}{PARTIAL}");
    let bytes_max = name.len().checked_sub(tail.len())?;
    let mut bytes = 0;
    let shown = name.to_string_lossy();
    let fitting = |character: &char| {
        bytes += character.len_utf8();
        bytes <= bytes_max
    };
    let begin: String = shown.chars().take_while(fitting).collect();
    Some(end.with_file_name(begin + &tail))
}

/// Creates an empty file that no other run writes to. One that is there already was left by a run that is over.
fn create_alone(partial: &Path) -> io::Result<File> {
    let in_the_way = || {
        let message = format!("{} is in the way, and no report of an earlier run", partial.display());
        Err(io::Error::new(io::ErrorKind::AlreadyExists, message))
    };
    loop {
        if partial.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return in_the_way();
        }
        let file = open_unfollowed(partial)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "it is being written already"));
            }
            // Not every file system has locks.
            Err(TryLockError::Error(_)) => {}
        }
        match names_of(&file, partial)? {
            Names::This => {
                file.set_len(0)?;
                return Ok(file);
            }
            Names::Others => return in_the_way(),
            // Another run has just completed the report that we waited for: it is not ours to empty.
            Names::NotThis => {}
        }
    }
}

/// Nobody may lead us elsewhere by a link, or keep us waiting by a pipe.
fn open_unfollowed(partial: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    }
    options.open(partial)
}

/// Which names an open file has.
#[cfg_attr(not(unix), expect(dead_code, reason = "elsewhere it has the name that it was opened by"))]
enum Names {
    This,
    NotThis,
    Others,
}

#[cfg(unix)]
fn names_of(file: &File, name: &Path) -> io::Result<Names> {
    use std::os::unix::fs::MetadataExt;
    let (open, named) = (file.metadata()?, name.symlink_metadata());
    Ok(match named {
        Ok(named) if (named.dev(), named.ino()) != (open.dev(), open.ino()) => Names::NotThis,
        Ok(_) if open.nlink() > 1 => Names::Others,
        Ok(_) => Names::This,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Names::NotThis,
        Err(error) => return Err(error),
    })
}

#[cfg(not(unix))]
fn names_of(_: &File, _: &Path) -> io::Result<Names> {
    Ok(Names::This)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> tempfile::TempDir {
        tempfile::tempdir().expect("a place for tests")
    }

    fn read(path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    #[test]
    fn a_report_has_its_name_only_when_it_is_complete() {
        let place = place();
        let (name, partial) = (place.path().join("report"), place.path().join("report.partial"));
        std::fs::write(&name, "old").expect("it can be written");
        let mut report = ReportFile::create(&name).expect("it can be created");
        (&report).write_all(b"new").expect("it can be written");
        assert_eq!((read(&name).as_deref(), read(&partial).as_deref()), (Some("old"), Some("new")));
        report.complete().expect("it can be renamed");
        assert_eq!((read(&name).as_deref(), read(&partial)), (Some("new"), None));
    }

    #[test]
    fn what_was_written_of_an_incomplete_report_stays() {
        let place = place();
        let (name, partial) = (place.path().join("report"), place.path().join("report.partial"));
        drop(ReportFile::create(&name).expect("it can be created"));
        assert_eq!((read(&name), read(&partial)), (None, None));
        let report = ReportFile::create(&name).expect("it can be created");
        (&report).write_all(b"half").expect("it can be written");
        drop(report);
        assert_eq!((read(&name), read(&partial).as_deref()), (None, Some("half")));
        // The next run begins anew.
        let mut report = ReportFile::create(&name).expect("it can be created");
        (&report).write_all(b"x").expect("it can be written");
        report.complete().expect("it can be renamed");
        assert_eq!((read(&name).as_deref(), read(&partial)), (Some("x"), None));
    }

    #[test]
    fn two_runs_do_not_write_one_report() {
        let place = place();
        let name = place.path().join("report");
        let _first = ReportFile::create(&name).expect("it can be created");
        let error = ReportFile::create(&name).expect_err("it is being written");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn names_that_are_no_files() {
        let place = place();
        assert!(ReportFile::create(place.path()).is_err());
        assert!(ReportFile::create(&place.path().join("no/such/directory")).is_err());
        assert!(ReportFile::create(Path::new("/")).is_err());
        std::fs::create_dir(place.path().join("report.partial")).expect("it can be made");
        let error = ReportFile::create(&place.path().join("report")).expect_err("something is in the way");
        assert!(
            error.to_string().ends_with("report.partial is in the way, and no report of an earlier run"),
            "{error}"
        );
        #[cfg(unix)]
        {
            std::fs::write(place.path().join("mine"), "x").expect("it can be written");
            let partial = place.path().join("other.partial");
            std::fs::hard_link(place.path().join("mine"), &partial).expect("it can be made");
            ReportFile::create(&place.path().join("other")).expect_err("it would empty another file");
            std::fs::remove_file(&partial).expect("it is there");
            std::os::unix::fs::symlink("mine", &partial).expect("it can be made");
            ReportFile::create(&place.path().join("other")).expect_err("it would empty another file");
            assert_eq!(read(&place.path().join("mine")).as_deref(), Some("x"));
            let null = ReportFile::create(Path::new("/dev/null")).expect("a device can be written to");
            assert_eq!(null.partial(), None);
            (&null).write_all(b"x").expect("it takes all");
        }
    }

    #[test]
    fn a_name_too_long_for_a_suffix_is_cut() {
        let place = place();
        for (letter, bytes) in
            [("x", 246), ("x", 247), ("x", 248), ("x", 255), ("\u{e9}", 254), ("\u{1f600}", 252)]
        {
            let name = place.path().join(letter.repeat(bytes / letter.len()));
            let mut report = ReportFile::create(&name).expect("it can be created");
            let partial = report.partial().expect("it is a file").to_path_buf();
            let partial_name = partial.file_name().and_then(|name| name.to_str()).expect("it is text");
            assert!(partial_name.starts_with(&letter.repeat(50)) && partial_name.ends_with(".partial"));
            assert_eq!(partial.with_extension("") == name, bytes <= 247, "{partial_name}");
            (&report).write_all(b"x").expect("it can be written");
            assert_eq!((read(&name), read(&partial).as_deref()), (None, Some("x")));
            ReportFile::create(&name).expect_err("it is being written");
            report.complete().expect("it can be renamed");
            assert_eq!((read(&name).as_deref(), read(&partial)), (Some("x"), None));
        }
        // Names with the same beginning get different temporary names.
        let names = ["a", "b"].map(|last| place.path().join("x".repeat(254) + last));
        let reports = names.map(|name| ReportFile::create(&name).expect("it can be created"));
        assert_ne!(reports[0].partial(), reports[1].partial());
        let error =
            ReportFile::create(&place.path().join("x".repeat(256))).expect_err("no file has such a name");
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_file_that_is_not_there_makes_it() {
        use std::os::unix::fs::symlink;
        let place = place();
        let at = |name: &str| place.path().join(name);
        std::fs::create_dir_all(at("a/b")).expect("it can be made");
        symlink("a/next", at("first")).expect("it can be made");
        symlink("b/../b/last", at("a/next")).expect("it can be made");
        let mut report = ReportFile::create(&at("first")).expect("it can be created");
        (&report).write_all(b"x").expect("it can be written");
        assert_eq!(read(&at("a/b/last")), None);
        assert_eq!(read(&at("a/b/last.partial")).as_deref(), Some("x"));
        report.complete().expect("it can be renamed");
        assert_eq!((read(&at("a/b/last")).as_deref(), read(&at("first")).as_deref()), (Some("x"), Some("x")));
        assert!(at("first").is_symlink() && at("a/next").is_symlink());
        // An absolute one; then what `>` refuses as well.
        symlink(at("a/absolute"), at("second")).expect("it can be made");
        ReportFile::create(&at("second")).expect("it can be created").complete().expect("it can be renamed");
        assert_eq!(read(&at("a/absolute")).as_deref(), Some(""));
        for target in ["loop", "no/such/directory", "directory/", ".."] {
            drop(std::fs::remove_file(at("loop")));
            symlink(target, at("loop")).expect("it can be made");
            ReportFile::create(&at("loop")).expect_err(target);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_secret_a_secret() {
        use std::os::unix::fs::PermissionsExt;
        let place = place();
        let (link, target) = (place.path().join("link"), place.path().join("target"));
        std::fs::write(&target, "old").expect("it can be written");
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        std::os::unix::fs::symlink("target", &link).expect("it can be made");
        let mut report = ReportFile::create(&link).expect("it can be created");
        (&report).write_all(b"new").expect("it can be written");
        report.complete().expect("it can be renamed");
        assert_eq!(read(&target).as_deref(), Some("new"));
        assert!(link.symlink_metadata().expect("it is there").is_symlink());
        assert_eq!(target.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    }
}
