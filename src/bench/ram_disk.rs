//! A whole tree in memory: copied to a tmpfs once, so that runs over it find it there.
//!
//! The engine's own staging copies batch by batch into memory without a name; here a tree is to be walked and opened as if
//! it lay on a disk, so it has a place, in a directory that only this process holds locked. It goes away with the value;
//! what a killed process has left is found by its free lock, and removed by the next.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Answers, BenchError, Watch};

/// Where memory is a file system, unless told otherwise.
const DEFAULT_DIRECTORY: &str = "/dev/shm";
const PREFIX: &str = "filemill-bench-";
/// A file that lies in each of ours, and in nobody else's.
const MARK: &str = "removed-by-the-next-filemill-bench";
/// Where the tree lies in it.
const TREE: &str = "tree";

/// A place on a RAM disk, and what lies there.
#[derive(Debug)]
pub struct RamDisk {
    directory: PathBuf,
    tree: PathBuf,
    /// The directory itself, open and locked.
    _lock: fs::File,
    /// What it takes of the memory, in bytes: files take whole pages.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// What loading took, in seconds.
    pub load_seconds: f64,
}

impl RamDisk {
    /// Takes an empty place in `directory`, which is to be a tmpfs; without one, in /dev/shm.
    ///
    /// # Errors
    /// When there is no such directory, it is no tmpfs, or nothing can be written there.
    pub fn empty(directory: Option<&Path>) -> Result<RamDisk, BenchError> {
        let parent = directory.unwrap_or(Path::new(DEFAULT_DIRECTORY));
        let parent = parent.canonicalize().map_err(BenchError::file(parent))?;
        if !is_memory(&parent).map_err(BenchError::file(&parent))? {
            let parent = parent.display();
            return Err(BenchError::Refused(format!(
                "{parent}: no tmpfs: name a directory of one with --ram-disk"
            )));
        }
        remove_leftovers(&parent);
        let mut number = u64::from(std::process::id()) << 16;
        loop {
            let directory = parent.join(format!("{PREFIX}{number:x}"));
            number += 1;
            match make_private(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(BenchError::file(&directory))?,
            }
            // Between these two steps another process may take it for a leftover, and remove it: then there is another.
            match lock(&directory) {
                Ok(lock) if is_at(&lock, &directory) => {
                    let tree = directory.join(TREE);
                    let disk =
                        RamDisk { directory, tree, _lock: lock, bytes: 0, files: 0, load_seconds: 0.0 };
                    let mark = disk.directory.join(MARK);
                    fs::File::create_new(&mark).map_err(too_large_or(&mark))?;
                    fs::create_dir(&disk.tree).map_err(too_large_or(&disk.tree))?;
                    return Ok(disk);
                }
                Err(error) if !is_taken(&error) => return Err(BenchError::file(&directory)(error)),
                _ => {}
            }
        }
    }

    /// Copies the tree at `source` there, and fails before it holds more than `bytes_max`.
    ///
    /// # Errors
    /// When something cannot be copied as it is, does not fit, or it is cancelled.
    pub fn load(
        source: &Path,
        directory: Option<&Path>,
        bytes_max: u64,
        watch: &Watch<'_>,
    ) -> Result<RamDisk, BenchError> {
        let since = Instant::now();
        let mut disk = RamDisk::empty(directory)?;
        let place = disk.directory.canonicalize().map_err(BenchError::file(&disk.directory))?;
        if source.canonicalize().is_ok_and(|source| place.starts_with(source)) {
            let (source, place) = (source.display(), place.parent().unwrap_or(&place).display());
            return Err(BenchError::Refused(format!("{source}: the RAM disk {place} lies in it")));
        }
        let files = disk.copy_directories(source, watch).map_err(unloadable)?;
        let bytes = files.iter().map(|file| in_pages(file.bytes)).sum();
        disk.check_room(bytes, bytes_max)?;
        let of: u64 = files.iter().map(|file| file.bytes).sum();
        let (mut buffer, mut done) = (vec![0; COPY_BYTES], 0);
        for file in &files {
            let (from, to) = (source.join(&file.path), disk.tree.join(&file.path));
            copy(&from, file.bytes, &to, &mut buffer, &mut |bytes| {
                (watch.tell)("loading the RAM disk, MB", done / 1_000_000, of / 1_000_000);
                done += bytes;
                if watch.is_cancelled() { Err(BenchError::Cancelled) } else { Ok(()) }
            })
            .map_err(unloadable)?;
        }
        disk.files = files.len() as u64;
        disk.bytes = bytes;
        disk.load_seconds = since.elapsed().as_secs_f64();
        Ok(disk)
    }

    /// What the tree at `source` would take of a RAM disk, in bytes.
    ///
    /// # Errors
    /// When it cannot be listed, or it is cancelled.
    pub fn needed(source: &Path, watch: &Watch<'_>) -> Result<u64, BenchError> {
        taken(source, &|| watch.is_cancelled())
    }

    /// Lets `make` make a tree there, of which it is known what is in it.
    ///
    /// # Errors
    /// As [`RamDisk::empty`], when the tree does not fit, and those of `make`.
    pub fn fill(
        directory: Option<&Path>,
        known: &Answers,
        make: impl FnOnce(&Path) -> Result<(), BenchError>,
    ) -> Result<RamDisk, BenchError> {
        let since = Instant::now();
        let mut disk = RamDisk::empty(directory)?;
        disk.check_room(known.bytes, u64::MAX)?;
        make(&disk.tree)?;
        disk.files = known.files;
        disk.bytes = taken(&disk.tree, &|| false)?;
        disk.load_seconds = since.elapsed().as_secs_f64();
        Ok(disk)
    }

    /// Refuses what does not fit.
    fn check_room(&self, bytes: u64, bytes_max: u64) -> Result<(), BenchError> {
        let free = free_bytes(&self.directory).map_err(BenchError::file(&self.directory))?;
        if bytes <= bytes_max.min(free) {
            return Ok(());
        }
        let place = self.directory.parent().unwrap_or(Path::new("/")).display();
        Err(BenchError::Unloadable(if bytes_max <= free {
            format!("a RAM disk of {bytes} bytes is more than the {bytes_max} that it may take")
        } else {
            format!(
                "{bytes} bytes do not fit the RAM disk {place}, of which {free} are free: name a larger one with --ram-disk"
            )
        }))
    }

    /// Where the tree lies.
    pub fn path(&self) -> &Path {
        &self.tree
    }

    /// Makes the directories and links of `source`; returns its files.
    fn copy_directories(&self, source: &Path, watch: &Watch<'_>) -> Result<Vec<File>, BenchError> {
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(source).min_depth(1) {
            if watch.is_cancelled() {
                return Err(BenchError::Cancelled);
            }
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(source).to_owned();
                BenchError::File { path, source: error.into() }
            })?;
            let path = entry.path().strip_prefix(source).unwrap_or(entry.path()).to_owned();
            let to = self.tree.join(&path);
            let kind = entry.file_type();
            if kind.is_dir() {
                fs::create_dir(&to).map_err(BenchError::file(&to))?;
            } else if kind.is_file() {
                let bytes =
                    entry.metadata().map_err(io::Error::from).map_err(BenchError::file(entry.path()))?.len();
                files.push(File { path, bytes });
            } else if !copy_special(entry.path(), &to, kind).map_err(BenchError::file(entry.path()))? {
                let path = entry.path().display();
                return Err(BenchError::Unloadable(format!("{path}: cannot be copied to a RAM disk")));
            }
        }
        Ok(files)
    }
}

impl Drop for RamDisk {
    fn drop(&mut self) {
        // What cannot be removed is found by the next.
        drop(fs::remove_dir_all(&self.directory));
    }
}

struct File {
    path: PathBuf,
    bytes: u64,
}

/// Makes a directory that nobody else can look into.
fn make_private(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().mode(0o700).create(directory)
    }
    #[cfg(not(unix))]
    fs::create_dir(directory)
}

/// Removes what processes have left that were killed: their locks are free.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let is_ours = number.is_some_and(|number| u64::from_str_radix(number, 16).is_ok())
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && fs::symlink_metadata(entry.path().join(MARK)).is_ok_and(|mark| mark.is_file());
        if !is_ours {
            continue;
        }
        // Locked until it is gone, so that nobody takes it meanwhile.
        if let Ok(_lock) = lock(&entry.path()) {
            // That of another user stays.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Opens and locks a directory, for as long as the handle lives.
#[cfg(unix)]
fn lock(directory: &Path) -> io::Result<fs::File> {
    let handle = fs::File::open(directory)?;
    rustix::fs::flock(&handle, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(handle)
}

#[cfg(not(unix))]
fn lock(_: &Path) -> io::Result<fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a lock is held by somebody else, or the directory is gone.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound)
}

/// Whether an open directory is still the one of that name.
fn is_at(handle: &fs::File, directory: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let here = handle.metadata().map(|data| (data.dev(), data.ino()));
        let there = fs::metadata(directory).map(|data| (data.dev(), data.ino()));
        matches!((here, there), (Ok(here), Ok(there)) if here == there)
    }
    #[cfg(not(unix))]
    {
        let _ = handle;
        directory.is_dir()
    }
}

/// What is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// Copies so many bytes of a file. `more` is told of each piece before it is written, and may stop it.
fn copy(
    from: &Path,
    bytes: u64,
    to: &Path,
    buffer: &mut [u8],
    more: &mut dyn FnMut(u64) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    // One that grew is another than the scan of the tree finds; one that waits for something is none to copy.
    let mut source = open(from).map_err(BenchError::file(from))?.take(bytes);
    let mut copy = fs::File::create(to).map_err(too_large_or(to))?;
    loop {
        let read = source.read(buffer).map_err(BenchError::file(from))?;
        more(read as u64)?;
        if read == 0 {
            return Ok(());
        }
        copy.write_all(&buffer[..read]).map_err(too_large_or(to))?;
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    options.read(true).open(path)
}

/// A file that cannot be copied keeps a tree from a RAM disk, and nothing else.
fn unloadable(error: BenchError) -> BenchError {
    match error {
        BenchError::File { path, source } => {
            BenchError::Unloadable(format!("{}: cannot be copied to a RAM disk: {source}", path.display()))
        }
        error => error,
    }
}

/// A RAM disk that is full is no error of a file.
fn too_large_or(path: &Path) -> impl FnOnce(io::Error) -> BenchError {
    move |error| {
        if error.kind() == io::ErrorKind::StorageFull {
            return BenchError::Unloadable(format!("{}: the RAM disk is full: {error}", path.display()));
        }
        BenchError::file(path)(error)
    }
}

/// What a file takes of a RAM disk.
fn in_pages(bytes: u64) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    bytes.next_multiple_of(PAGE_BYTES)
}

/// What the files below a directory take of a RAM disk.
fn taken(directory: &Path, is_cancelled: &dyn Fn() -> bool) -> Result<u64, BenchError> {
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(directory) {
        if is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        let data = entry.and_then(|entry| entry.metadata());
        let data = data.map_err(io::Error::from).map_err(BenchError::file(directory))?;
        bytes += if data.is_file() { in_pages(data.len()) } else { 0 };
    }
    Ok(bytes)
}

/// Whether a directory lies in memory.
fn is_memory(directory: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        /// What statfs(2) says of a tmpfs and of a ramfs.
        const KINDS: [rustix::fs::FsWord; 2] = [0x0102_1994, 0x8584_58f6];
        Ok(KINDS.contains(&rustix::fs::statfs(directory)?.f_type))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        Ok(true)
    }
}

/// What may still be written, in bytes.
fn free_bytes(directory: &Path) -> io::Result<u64> {
    #[cfg(unix)]
    {
        let found = rustix::fs::statvfs(directory)?;
        // A tmpfs may be larger than the memory that is left.
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        Ok(free.min(super::machine::memory_available_bytes().unwrap_or(u64::MAX)))
    }
    #[cfg(not(unix))]
    {
        let _ = directory;
        Ok(u64::MAX)
    }
}

/// Makes a link or a named pipe like that at `from`; whether it is one.
#[cfg(unix)]
fn copy_special(from: &Path, to: &Path, kind: fs::FileType) -> io::Result<bool> {
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        return Ok(true);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            mknodat(CWD, to, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(not(unix))]
fn copy_special(_: &Path, _: &Path, _: fs::FileType) -> io::Result<bool> {
    Ok(false)
}
