//! Two kinds of errors: [`FileError`] is data, one record in the report; [`Error`] ends the run.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why one path has no answer. The run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The step that failed.
    pub step: Step,
    /// What a person would call it.
    pub cause: Cause,
    /// The operating system's error number, where one was returned.
    pub errno: Option<i32>,
}

impl FileError {
    /// An error without an error number.
    pub fn new(step: Step, cause: Cause) -> FileError {
        FileError { step, cause, errno: None }
    }

    /// An error that a system call returned.
    #[cfg(unix)]
    pub fn from_errno(step: Step, errno: rustix::io::Errno) -> FileError {
        FileError { step, cause: Cause::from_errno(errno), errno: Some(errno.raw_os_error()) }
    }

    /// An error of the standard library.
    pub fn from_io(step: Step, error: &io::Error) -> FileError {
        #[cfg(unix)]
        if let Some(errno) = rustix::io::Errno::from_io_error(error) {
            return FileError::from_errno(step, errno);
        }
        let cause = match error.kind() {
            io::ErrorKind::NotFound => Cause::Vanished,
            io::ErrorKind::PermissionDenied => Cause::Denied,
            _ => Cause::Io,
        };
        FileError { step, cause, errno: error.raw_os_error() }
    }

    /// The error number's name (`ENOENT`), or the number itself where it has none here.
    pub fn errno_name(&self) -> Option<String> {
        self.errno.map(errno_name)
    }
}

/// Names an error number; the number itself stands for one without a name.
#[cfg(unix)]
pub(crate) fn errno_name(number: i32) -> String {
    match nix::errno::Errno::from_raw(number) {
        nix::errno::Errno::UnknownErrno => number.to_string(),
        known => format!("{known:?}"),
    }
}

/// Error numbers of this system have no names here.
#[cfg(not(unix))]
pub(crate) fn errno_name(number: i32) -> String {
    number.to_string()
}

/// Does something with a file, of which a panic is an error like others.
///
/// # Errors
/// When it panics.
pub(crate) fn caught<T>(act: impl FnOnce() -> T) -> Result<T, FileError> {
    catch_unwind(AssertUnwindSafe(act)).map_err(|_| FileError::new(Step::Analyse, Cause::Panic))
}

/// The step of a run in which a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Listing a directory.
    Walk,
    /// Opening and reading a file.
    Stage,
    /// Analysing its bytes.
    Analyse,
}

impl Step {
    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Step::Walk => "walk",
            Step::Stage => "stage",
            Step::Analyse => "analyse",
        }
    }
}

/// Why a path failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It was there when its directory was listed and is no more.
    Vanished,
    /// It changed while it was read.
    Changed,
    /// It ends before the size that its file system states, and cannot be compared by size.
    EndsEarly,
    /// A link that leads nowhere, or in a circle.
    BrokenLink,
    /// The path leads through a file as if it were a directory: `file/` or `file/x`.
    NotDirectory,
    /// No permission.
    Denied,
    /// The system could not read it.
    Io,
    /// A file that says its size is 0 and goes on past the limit.
    Unbounded,
    /// An analysis panicked.
    Panic,
    /// The process or the system has no more file handles or memory.
    Exhausted,
}

impl Cause {
    /// Every cause, in the order of the reports.
    pub const ALL: [Cause; 10] = [
        Cause::Vanished,
        Cause::Changed,
        Cause::EndsEarly,
        Cause::BrokenLink,
        Cause::NotDirectory,
        Cause::Denied,
        Cause::Io,
        Cause::Unbounded,
        Cause::Panic,
        Cause::Exhausted,
    ];

    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Vanished => "vanished",
            Cause::Changed => "changed",
            Cause::EndsEarly => "ends-early",
            Cause::BrokenLink => "broken-link",
            Cause::NotDirectory => "not-a-directory",
            Cause::Denied => "denied",
            Cause::Io => "io",
            Cause::Unbounded => "unbounded",
            Cause::Panic => "panic",
            Cause::Exhausted => "exhausted",
        }
    }

    #[cfg(unix)]
    fn from_errno(errno: rustix::io::Errno) -> Cause {
        use rustix::io::Errno;
        match errno {
            Errno::NOENT | Errno::STALE => Cause::Vanished,
            // A file became a link (LOOP), a directory (ISDIR) or a device without a driver (NXIO), or a
            // directory became something else (NOTDIR), after its name was listed.
            Errno::LOOP | Errno::ISDIR | Errno::NOTDIR | Errno::NXIO => Cause::Changed,
            Errno::ACCESS | Errno::PERM => Cause::Denied,
            Errno::MFILE | Errno::NFILE | Errno::NOMEM => Cause::Exhausted,
            _ => Cause::Io,
        }
    }
}

/// Why a run cannot start, or ended before its report was complete.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan contradicts itself or asks for what is not there.
    #[error("{0}")]
    Plan(String),
    /// A root cannot be resolved.
    #[error("{path}: {source}")]
    Root {
        /// The root as it was given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The report could not be written.
    #[error("cannot write the report: {0}")]
    Sink(#[source] io::Error),
    /// What does not fit the memory could not be kept on a disk; it says where.
    #[error("{0}")]
    Spill(#[source] io::Error),
    /// The system allows no thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
    /// A thread of the run died outside any file's analysis: a defect of filemill.
    #[error("a thread of the run panicked: the report is not complete")]
    Panic,
}

impl Error {
    /// True where the reader of the report went away (`| head`).
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Sink(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_system_error_has_a_cause_and_a_name() {
        use rustix::io::Errno;
        #[track_caller]
        fn check(errno: Errno, cause: Cause, name: &str) {
            let error = FileError::from_errno(Step::Stage, errno);
            assert_eq!((error.cause, error.errno_name().as_deref()), (cause, Some(name)));
        }
        check(Errno::NOENT, Cause::Vanished, "ENOENT");
        check(Errno::LOOP, Cause::Changed, "ELOOP");
        check(Errno::ACCESS, Cause::Denied, "EACCES");
        check(Errno::IO, Cause::Io, "EIO");
        check(Errno::MFILE, Cause::Exhausted, "EMFILE");
        check(Errno::from_raw_os_error(4000), Cause::Io, "4000");
        check(Errno::BADMSG, Cause::Io, "EBADMSG");
        check(Errno::OPNOTSUPP, Cause::Io, "EOPNOTSUPP");
        check(Errno::AGAIN, Cause::Io, "EAGAIN");
        #[cfg(target_os = "linux")]
        check(Errno::UCLEAN, Cause::Io, "EUCLEAN");
        #[cfg(target_os = "linux")]
        check(Errno::REMOTEIO, Cause::Io, "EREMOTEIO");
    }

    /// Linux has 41 and 58 twice: they are EAGAIN and EDEADLK.
    #[cfg(target_os = "linux")]
    #[test]
    fn every_error_number_of_linux_has_a_name() {
        for number in (1..=133).filter(|number| ![41, 58].contains(number)) {
            let name = errno_name(number);
            assert!(name.starts_with('E') && name.len() > 2, "{number} is named {name}");
        }
        for unknown in [-1, 0, 41, 134, 512, 4000] {
            assert_eq!(errno_name(unknown), unknown.to_string());
        }
    }
}
