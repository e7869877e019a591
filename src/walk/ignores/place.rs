//! Small files beside a directory of the walk: patterns, and configuration of git.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A directory that may have patterns of its own.
#[derive(Clone, Copy)]
pub(in crate::walk) enum Place<'a> {
    #[cfg(target_os = "linux")]
    Handle(&'a std::os::fd::OwnedFd),
    Path(&'a Path),
}

/// Whether the last component of a path may be a link: git follows none to patterns in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

impl Place<'_> {
    /// Returns the content of a regular file of at most `bytes_max` bytes; `None` if there is none.
    ///
    /// # Errors
    /// Why a file that is there is not read. A pipe is refused, not waited for.
    pub(super) fn read(&self, path: &Path, links: Links, bytes_max: u64) -> Result<Option<Vec<u8>>, String> {
        let file = match self.open(path, links) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let found = file.metadata().map_err(|error| error.to_string())?;
        if !found.is_file() {
            return Err("it is no regular file".to_owned());
        }
        let too_large = || format!("it is larger than {} MiB", bytes_max >> 20);
        if found.len() > bytes_max {
            return Err(too_large());
        }
        let mut text = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > bytes_max { Err(too_large()) } else { Ok(Some(text)) }
    }

    #[cfg(unix)]
    fn open(&self, path: &Path, links: Links) -> std::io::Result<File> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let links = if links == Links::Follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | links;
        let opened = match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => openat(directory, path, flags, Mode::empty()),
            Place::Path(directory) => openat(CWD, directory.join(path), flags, Mode::empty()),
        };
        Ok(File::from(opened?))
    }

    #[cfg(not(unix))]
    fn open(&self, path: &Path, links: Links) -> std::io::Result<File> {
        let Place::Path(directory) = self;
        let path = directory.join(path);
        let found = if links == Links::Follow { path.metadata() } else { path.symlink_metadata() }?;
        if !found.is_file() {
            return Err(std::io::Error::other("it is no regular file"));
        }
        File::open(path)
    }

    /// Whether an entry is there, of whatever kind.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
            }
            Place::Path(directory) => directory.join(name).symlink_metadata().is_ok(),
        }
    }

    /// Whether a path leads to a directory.
    pub(super) fn has_directory(&self, path: &Path) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                use rustix::fs::{AtFlags, FileType, statat};
                statat(directory, path, AtFlags::empty())
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
            }
            Place::Path(directory) => directory.join(path).is_dir(),
        }
    }

    /// Where a link leads, as it is written in it.
    pub(super) fn read_link(&self, path: &Path) -> Option<PathBuf> {
        match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                use std::os::unix::ffi::OsStringExt;
                let target = rustix::fs::readlinkat(directory, path, Vec::new()).ok()?;
                Some(std::ffi::OsString::from_vec(target.into_bytes()).into())
            }
            Place::Path(directory) => std::fs::read_link(directory.join(path)).ok(),
        }
    }

    /// The real path of what `path` leads to.
    pub(super) fn real(&self, path: &Path) -> Option<PathBuf> {
        match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                use std::os::fd::AsRawFd;
                let directory = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
                std::fs::canonicalize(directory.join(path)).ok()
            }
            Place::Path(directory) => {
                let path = directory.join(path);
                let path = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
                std::fs::canonicalize(path).ok()
            }
        }
    }

    /// How messages name a file.
    pub(super) fn name(&self, path: &Path) -> String {
        let directory = self.real(Path::new("")).unwrap_or_default();
        if path.as_os_str().is_empty() { directory } else { directory.join(path) }.display().to_string()
    }

    /// Whether the directory itself, and each of `paths` beside it, belongs to the user or to root.
    #[cfg(unix)]
    pub(super) fn belongs_to_caller(&self, paths: &[&Path]) -> bool {
        use rustix::fs::{AtFlags, CWD, stat, statat};
        let links = AtFlags::SYMLINK_NOFOLLOW;
        let own = match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => rustix::fs::fstat(directory),
            Place::Path(directory) if directory.as_os_str().is_empty() => stat("."),
            Place::Path(directory) => stat(*directory),
        };
        let beside = |path: &&Path| match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => statat(directory, *path, links),
            Place::Path(directory) => statat(CWD, directory.join(path), links),
        };
        let caller = caller();
        std::iter::once(own)
            .chain(paths.iter().map(beside))
            .all(|found| found.is_ok_and(|found| found.st_uid == caller || found.st_uid == 0))
    }

    #[cfg(not(unix))]
    pub(super) fn belongs_to_caller(&self, paths: &[&Path]) -> bool {
        let Place::Path(directory) = self;
        let own = |path: &Path| gix_sec::identity::is_path_owned_by_current_user(path).unwrap_or(false);
        own(directory) && paths.iter().all(|path| own(&directory.join(path)))
    }
}

/// The user whose repositories are trusted: under sudo, the one who called it.
#[cfg(unix)]
fn caller() -> u32 {
    let caller = rustix::process::geteuid().as_raw();
    let sudo = || std::env::var("SUDO_UID").ok()?.parse().ok();
    if caller == 0 { sudo().unwrap_or(0) } else { caller }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}
