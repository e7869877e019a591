//! The machine's floor: a bare program that makes the calls the contract needs and nothing else, and prints totals.
//!
//! Depth-first walk over directory handles, directories shared between the threads; for each regular file open,
//! fstat, read to the end, fstat, close; optionally digests or the fused set over the bytes while they are in the
//! cache. No records, no channels, no output per file. What `filemill scan` takes beyond this is its own cost.
//!
//!     cargo bench --bench limit -- PATH [--threads N] [--with none|blake3|xxh3|sha256|fused]
//!
//! `fused` is lines, words, entropy, BLAKE3 and XXH3. The passes are the crate's own, called directly.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, CString};
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use filemill::analyses::{self, Pass};
    use filemill::record::{Directory, FileRecord, Row};
    use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, fstat, openat};

    struct Shared {
        /// Directories that no thread has taken: handed over when somebody waits.
        spare: Mutex<Vec<(Arc<OwnedFd>, CString)>>,
        waiting: AtomicUsize,
        unfinished: AtomicUsize,
    }

    #[derive(Default)]
    struct Total {
        files: u64,
        bytes: u64,
        errors: u64,
    }

    pub(super) fn main() {
        let mut path = ".".to_owned();
        let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut with = "none".to_owned();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect("the option takes a value");
            match argument.as_str() {
                "--threads" => threads = value().parse().expect("a number of threads"),
                "--with" => with = value(),
                // cargo bench adds it.
                "--bench" => {}
                _ => path = argument,
            }
        }
        let list = if with == "fused" { "lines,words,entropy,blake3,xxh3" } else { &with };
        let analyses = analyses::parse(list).expect("a list of analyses");

        let since = Instant::now();
        let root =
            openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .expect("the path is a directory");
        let shared = Shared {
            spare: Mutex::new(vec![(Arc::new(root), c".".to_owned())]),
            waiting: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(1),
        };
        let totals: Vec<Total> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| run(&shared, analyses.iter().map(|analysis| analysis.pass()).collect()))
                })
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("no thread panics")).collect()
        });
        let seconds = since.elapsed().as_secs_f64();
        let sum = |of: fn(&Total) -> u64| totals.iter().map(of).sum::<u64>();
        let (files, bytes, errors) =
            (sum(|total| total.files), sum(|total| total.bytes), sum(|total| total.errors));
        println!(
            "{files} files, {bytes} bytes, {errors} errors, {threads} threads, with {with}: {seconds:.4} s, {:.0} files/s, {:.1} MB/s",
            files as f64 / seconds,
            bytes as f64 / seconds / 1e6
        );
    }

    fn run(shared: &Shared, mut passes: Vec<Box<dyn Pass>>) -> Total {
        let mut total = Total::default();
        let mut row = Row::default();
        let mut buffer = vec![0; 128 * 1024];
        let mut stack: Vec<(Arc<OwnedFd>, CString)> = Vec::new();
        let mut is_waiting = false;
        while shared.unfinished.load(Ordering::Acquire) > 0 {
            let Some((parent, name)) =
                stack.pop().or_else(|| shared.spare.lock().expect("never poisoned").pop())
            else {
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
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&*parent, name.as_c_str(), flags, Mode::empty()) {
                Ok(directory) => {
                    list(
                        shared,
                        Arc::new(directory),
                        &mut stack,
                        &mut buffer,
                        &mut passes,
                        &mut row,
                        &mut total,
                    );
                }
                Err(_) => total.errors += 1,
            }
            if shared.waiting.load(Ordering::Relaxed) > 0 && stack.len() > 1 {
                shared.spare.lock().expect("never poisoned").push(stack.remove(0));
            }
            shared.unfinished.fetch_sub(1, Ordering::AcqRel);
        }
        total
    }

    fn list(
        shared: &Shared,
        directory: Arc<OwnedFd>,
        stack: &mut Vec<(Arc<OwnedFd>, CString)>,
        buffer: &mut [u8],
        passes: &mut [Box<dyn Pass>],
        row: &mut Row,
        total: &mut Total,
    ) {
        let mut entries = [MaybeUninit::uninit(); 32 * 1024];
        let mut listing = RawDir::new(&*directory, &mut entries);
        while let Some(Ok(entry)) = listing.next() {
            let name = entry.file_name();
            match entry.file_type() {
                FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                    shared.unfinished.fetch_add(1, Ordering::AcqRel);
                    stack.push((directory.clone(), name.to_owned()));
                }
                FileType::RegularFile => match read(&directory, name, buffer, passes, row) {
                    Ok(bytes) => {
                        total.files += 1;
                        total.bytes += bytes;
                    }
                    Err(_) => total.errors += 1,
                },
                _ => {}
            }
        }
    }

    fn read(
        directory: &OwnedFd,
        name: &CStr,
        buffer: &mut [u8],
        passes: &mut [Box<dyn Pass>],
        row: &mut Row,
    ) -> rustix::io::Result<u64> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOATIME;
        let file = openat(directory, name, flags, Mode::empty())?;
        let before = fstat(&file)?;
        let size = u64::try_from(before.st_size).unwrap_or(0);
        if !passes.is_empty() {
            let nowhere = Directory::from_path(b"");
            let record = FileRecord { directory: &nowhere, name: name.to_bytes(), size, mtime_ns: 0 };
            passes.iter_mut().for_each(|pass| pass.begin(&record));
        }
        let mut total = 0;
        loop {
            let read = rustix::io::read(&file, &mut *buffer)?;
            total += read as u64;
            if read > 0 {
                passes.iter_mut().for_each(|pass| pass.block(&buffer[..read]));
            }
            if read == 0 || (read < buffer.len() && total == size) {
                break;
            }
        }
        let after = fstat(&file)?;
        assert_eq!(before.st_ctime, after.st_ctime, "the tree must be at rest");
        row.truncate(0);
        passes.iter_mut().for_each(|pass| pass.finish(row));
        std::hint::black_box(row);
        Ok(total)
    }
}

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
    #[cfg(not(target_os = "linux"))]
    eprintln!("limit: measured on Linux only");
}
