//! The machine's floor: the calls that the contract needs and nothing else.
//!
//! Depth-first walk over directory handles, directories shared between the threads; for each regular file open, fstat,
//! read to the end, fstat, close; optionally passes of the crate over the bytes while they are in the cache. No records, no
//! channels, no output. What a scan takes beyond this is its own cost.
//!
//! It starts threads of its own, as the measure of the pipeline must not be the pipeline.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::Errno;

use super::{Bare, Floor};
use crate::analyses::{Analysis, Pass};
use crate::bench::BenchError;
use crate::control::Control;
use crate::error::Error;
use crate::record::{Directory, FileRecord, Identity, Row};

/// Runs the floor once over the tree below `root`.
///
/// # Errors
/// When `root` is no directory that can be opened, a file changes under it, or `control` cancels it.
pub fn floor(root: &Path, threads: usize, bare: &Bare, control: &Control) -> Result<Floor, BenchError> {
    let since = Instant::now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = openat(CWD, root, flags, Mode::empty())
        .map_err(|errno| BenchError::file(root)(std::io::Error::from(errno)))?;
    let shared = Shared {
        spare: Mutex::new(vec![Work::Directory(Arc::new(handle), c".".to_owned())]),
        waiting: AtomicUsize::new(0),
        unfinished: AtomicUsize::new(1),
        reads: *bare != Bare::Walk,
        has_changed: AtomicBool::new(false),
        control,
    };
    let analyses = bare.analyses()?;
    let (shared, analyses) = (&shared, analyses.as_slice());
    let totals: Vec<Floor> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || run(shared, analyses))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| Error::Panic)).collect::<Result<_, _>>()
    })?;
    if control.is_cancelled() {
        return Err(BenchError::Cancelled);
    }
    if shared.has_changed.load(Ordering::Relaxed) {
        return Err(BenchError::Refused(format!("{}: changed while it was measured", root.display())));
    }
    let sum = |of: fn(&Floor) -> u64| totals.iter().map(of).sum::<u64>();
    Ok(Floor {
        files: sum(|total| total.files),
        bytes: sum(|total| total.bytes),
        errors: sum(|total| total.errors),
        elapsed: since.elapsed(),
    })
}

/// How far files are read that say their size is 0.
const UNBOUNDED_BYTES_MAX: u64 = 1 << 20;

/// A directory to list, or files of one that was listed.
enum Work {
    Directory(Arc<OwnedFd>, CString),
    /// Names, each ending in NUL.
    Files(Arc<OwnedFd>, Vec<u8>),
}

struct Shared<'c> {
    /// What was handed over because somebody waits.
    spare: Mutex<Vec<Work>>,
    waiting: AtomicUsize,
    unfinished: AtomicUsize,
    reads: bool,
    has_changed: AtomicBool,
    control: &'c Control,
}

impl Shared<'_> {
    fn hand_over(&self, work: Work) {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(work);
    }

    fn take(&self) -> Option<Work> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn is_somebody_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn should_stop(&self) -> bool {
        self.control.is_cancelled()
    }
}

/// A thread that panics leaves its work unfinished: the others must not wait for it.
struct StopAll<'s>(&'s Shared<'s>);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.unfinished.store(0, Ordering::Release);
        }
    }
}

/// One thread: its own stack of directories, and the tools to read files with.
struct Thread<'s> {
    shared: &'s Shared<'s>,
    stack: Vec<(Arc<OwnedFd>, CString)>,
    buffer: Vec<u8>,
    passes: Vec<Box<dyn Pass>>,
    row: Row,
    total: Floor,
    /// Whether files of others are met, which do not let their time of access alone.
    without_noatime: bool,
}

fn run(shared: &Shared<'_>, analyses: &[Arc<dyn Analysis>]) -> Floor {
    let passes = crate::analyses::passes(analyses);
    let buffer = vec![0; 128 * 1024];
    let (stack, row, total) = (Vec::new(), Row::default(), Floor::default());
    let mut thread = Thread { shared, stack, buffer, passes, row, total, without_noatime: false };
    let _stop = StopAll(shared);
    let mut is_waiting = false;
    while shared.unfinished.load(Ordering::Acquire) > 0 && !shared.should_stop() {
        let Some(work) = shared.take() else {
            if !is_waiting {
                is_waiting = true;
                shared.waiting.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::yield_now();
            continue;
        };
        if std::mem::take(&mut is_waiting) {
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        match work {
            Work::Directory(parent, name) => {
                thread.list(&parent, &name);
                while let Some((parent, name)) = thread.stack.pop() {
                    thread.list(&parent, &name);
                }
            }
            Work::Files(directory, names) => thread.files(&directory, names),
        }
        shared.unfinished.fetch_sub(1, Ordering::AcqRel);
    }
    thread.total
}

impl Thread<'_> {
    fn list(&mut self, parent: &OwnedFd, name: &CStr) {
        if self.shared.should_stop() {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(directory) = openat(parent, name, flags, Mode::empty()) else {
            self.total.errors += 1;
            return;
        };
        let directory = Arc::new(directory);
        let mut names = Vec::new();
        let mut entries = [MaybeUninit::uninit(); 32 * 1024];
        let mut listing = RawDir::new(&*directory, &mut entries);
        while let Some(entry) = listing.next() {
            let Ok(entry) = entry else {
                self.total.errors += 1;
                break;
            };
            let name = entry.file_name();
            // Not every file system says what an entry is.
            let kind = match entry.file_type() {
                FileType::Unknown => statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
                kind => kind,
            };
            match kind {
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    self.stack.push((directory.clone(), name.to_owned()));
                }
                FileType::RegularFile if !self.shared.reads => self.total.files += 1,
                FileType::RegularFile => names.extend_from_slice(name.to_bytes_with_nul()),
                _ => {}
            }
        }
        self.files(&directory, names);
        // Where nothing is read, a directory is all there is to hand over.
        if self.shared.is_somebody_waiting() && !self.stack.is_empty() {
            let (parent, name) = self.stack.remove(0);
            self.shared.hand_over(Work::Directory(parent, name));
        }
    }

    /// Reads files, and hands work over whenever somebody waits.
    fn files(&mut self, directory: &Arc<OwnedFd>, mut names: Vec<u8>) {
        let mut start = 0;
        while start < names.len() && !self.shared.should_stop() {
            let Ok(name) = CStr::from_bytes_until_nul(&names[start..]) else { return };
            start += name.to_bytes_with_nul().len();
            match self.read(directory, name) {
                Ok(bytes) => {
                    self.total.files += 1;
                    self.total.bytes += bytes;
                }
                Err(_) => self.total.errors += 1,
            }
            if self.shared.is_somebody_waiting() {
                self.hand_over(directory, &mut names, start);
            }
        }
    }

    /// Hands over the shallowest directory left, or where there is none the second half of the files left.
    fn hand_over(&mut self, directory: &Arc<OwnedFd>, names: &mut Vec<u8>, start: usize) {
        if !self.stack.is_empty() {
            let (parent, name) = self.stack.remove(0);
            return self.shared.hand_over(Work::Directory(parent, name));
        }
        let middle = start + (names.len() - start) / 2;
        if let Some(nul) = names[middle..].iter().position(|&byte| byte == 0) {
            let rest = names.split_off(middle + nul + 1);
            self.shared.hand_over(Work::Files(directory.clone(), rest));
        }
    }

    fn open(&mut self, directory: &OwnedFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if !self.without_noatime {
            match openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => self.without_noatime = true,
                opened => return opened,
            }
        }
        openat(directory, name, flags, Mode::empty())
    }

    fn read(&mut self, directory: &OwnedFd, name: &CStr) -> rustix::io::Result<u64> {
        let file = self.open(directory, name)?;
        let before = fstat(&file)?;
        let size = u64::try_from(before.st_size).unwrap_or(0);
        let Thread { buffer, passes, row, .. } = self;
        if !passes.is_empty() {
            let nowhere = Directory::from_path(b"");
            let record = FileRecord {
                directory: &nowhere,
                name: name.to_bytes(),
                size,
                mtime_ns: 0,
                identity: Identity::default(),
            };
            passes.iter_mut().for_each(|pass| pass.begin(&record, 0));
        }
        let mut total = 0;
        loop {
            let read = rustix::io::read(&file, &mut *buffer)?;
            total += read as u64;
            if read > 0 {
                passes.iter_mut().for_each(|pass| pass.block(&buffer[..read]));
            }
            // As the engine does, not further than a file says, nor endlessly where it says nothing.
            let is_all = read < buffer.len() && total == size;
            if read == 0 || is_all || total > size.max(UNBOUNDED_BYTES_MAX) {
                break;
            }
        }
        let after = fstat(&file)?;
        if (before.st_ctime, before.st_ctime_nsec) != (after.st_ctime, after.st_ctime_nsec) {
            self.shared.has_changed.store(true, Ordering::Relaxed);
        }
        row.truncate(0);
        passes.iter_mut().for_each(|pass| pass.finish(row));
        std::hint::black_box(row);
        Ok(total)
    }
}
