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

    /// A directory to list, or files of one that was listed.
    enum Work {
        Directory(Arc<OwnedFd>, CString),
        /// Names, each ending in NUL.
        Files(Arc<OwnedFd>, Vec<u8>),
    }

    struct Shared {
        /// What was handed over because somebody waits.
        spare: Mutex<Vec<Work>>,
        waiting: AtomicUsize,
        unfinished: AtomicUsize,
    }

    impl Shared {
        fn hand_over(&self, work: Work) {
            self.unfinished.fetch_add(1, Ordering::AcqRel);
            self.spare.lock().expect("never poisoned").push(work);
        }

        fn is_somebody_waiting(&self) -> bool {
            self.waiting.load(Ordering::Relaxed) > 0
        }
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
            spare: Mutex::new(vec![Work::Directory(Arc::new(root), c".".to_owned())]),
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

    /// One thread: its own stack of directories, and the tools to read files with.
    struct Thread<'s> {
        shared: &'s Shared,
        stack: Vec<(Arc<OwnedFd>, CString)>,
        buffer: Vec<u8>,
        passes: Vec<Box<dyn Pass>>,
        row: Row,
        total: Total,
    }

    fn run(shared: &Shared, passes: Vec<Box<dyn Pass>>) -> Total {
        let buffer = vec![0; 128 * 1024];
        let (stack, row, total) = (Vec::new(), Row::default(), Total::default());
        let mut thread = Thread { shared, stack, buffer, passes, row, total };
        let mut is_waiting = false;
        while shared.unfinished.load(Ordering::Acquire) > 0 {
            let Some(work) = shared.spare.lock().expect("never poisoned").pop() else {
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
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(directory) = openat(parent, name, flags, Mode::empty()) else {
                self.total.errors += 1;
                return;
            };
            let directory = Arc::new(directory);
            let mut names = Vec::new();
            let mut entries = [MaybeUninit::uninit(); 32 * 1024];
            let mut listing = RawDir::new(&*directory, &mut entries);
            while let Some(Ok(entry)) = listing.next() {
                let name = entry.file_name();
                match entry.file_type() {
                    FileType::Directory if !matches!(name.to_bytes(), b"." | b"..") => {
                        self.stack.push((directory.clone(), name.to_owned()));
                    }
                    FileType::RegularFile => names.extend_from_slice(name.to_bytes_with_nul()),
                    _ => {}
                }
            }
            self.files(&directory, names);
        }

        /// Reads files, and hands work over whenever somebody waits.
        fn files(&mut self, directory: &Arc<OwnedFd>, mut names: Vec<u8>) {
            let mut start = 0;
            while start < names.len() {
                let name = CStr::from_bytes_until_nul(&names[start..]).expect("every name ends in NUL");
                start += name.to_bytes_with_nul().len();
                match read(directory, name, &mut self.buffer, &mut self.passes, &mut self.row) {
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
            passes.iter_mut().for_each(|pass| pass.begin(&record, 0));
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
