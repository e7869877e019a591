//! io_uring against plain threads: both open, stat, read and close every file of one list, and nothing else.
//!
//! It decides whether the engine should read through io_uring, and is kept so that a newer kernel or another disk can
//! be asked again. The rule: io_uring is taken only if it wins by 10 % over the best number of threads.
//!
//!     cargo bench --bench io_uring -- PATH [--rounds N] [--cold]
//!
//! The list is made before the clock starts, in the order of a walk. Both sides take from it one by one, and open
//! whole paths below the working directory: handles of all directories would be more than a process may hold, and
//! would keep in memory what `--cold` is to drop. Started threads and rings count, buffers do not: they are made once.
//!
//! A ring opens, reads and closes; the size comes from a plain fstat, because the kernel hands each statx of a ring to
//! one of its worker threads (ops/io_uring.md says what that costs). For the same reason files have ordinary
//! descriptors: those of a ring alone (direct ones) have no fstat.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "the kernel reads and writes memory that entries of a ring point to")
)]

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, CString};
    use std::fmt::Display;
    use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use io_uring::{IoUring, opcode, squeue, types};
    use rustix::fs::{CWD, Mode, OFlags, fstat, open};
    use rustix::io::Errno;

    /// What the engine reads at once.
    const BLOCK_BYTES: u32 = 128 * 1024;
    /// As many as any variant uses.
    const BUFFERS: usize = 512;
    /// Of each ring, for what would block: an open that misses the cache. By default there are four a core.
    const WORKERS: u32 = 128;
    /// As the engine opens, but for NONBLOCK: a ring then reports EAGAIN instead of waiting for the disk.
    const FLAGS: OFlags =
        OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NOATIME);
    const VARIANTS: [Variant; 9] = [
        Variant { name: "2 threads", threads: 2, in_flight: None },
        Variant { name: "8 threads", threads: 8, in_flight: None },
        Variant { name: "32 threads", threads: 32, in_flight: None },
        Variant { name: "64 threads", threads: 64, in_flight: None },
        Variant { name: "128 threads", threads: 128, in_flight: None },
        Variant { name: "io_uring, 1 ring, 64 in flight", threads: 1, in_flight: Some(64) },
        Variant { name: "io_uring, 1 ring, 256 in flight", threads: 1, in_flight: Some(256) },
        Variant { name: "io_uring, 2 rings, 64 in flight", threads: 2, in_flight: Some(64) },
        Variant { name: "io_uring, 2 rings, 256 in flight", threads: 2, in_flight: Some(256) },
    ];

    struct Variant {
        name: &'static str,
        threads: usize,
        /// Files under way at once in the ring of each thread; None reads plainly.
        in_flight: Option<usize>,
    }

    /// The files, and how far they were handed out.
    struct List {
        names: Vec<CString>,
        bytes: u64,
        next: AtomicUsize,
    }

    impl List {
        fn next(&self) -> Option<&CStr> {
            self.names.get(self.next.fetch_add(1, Ordering::Relaxed)).map(CString::as_c_str)
        }
    }

    #[derive(Default)]
    struct Total {
        bytes: u64,
        failures: Vec<String>,
    }

    impl Total {
        /// Takes what a file came to: bytes read, and its size.
        fn add(&mut self, name: &CStr, outcome: Result<(u64, u64), Errno>) {
            let why = match outcome {
                Ok((read, size)) if read == size => return self.bytes += read,
                Ok((read, size)) => format!("{read} bytes read of {size}"),
                Err(error) => error.to_string(),
            };
            self.failures.push(format!("{}: {why}", name.to_string_lossy()));
        }
    }

    /// Ends the process, and so no buffer is freed that the kernel still writes to.
    fn fatal(message: impl Display) -> ! {
        eprintln!("io_uring: {message}");
        std::process::exit(1)
    }

    pub(super) fn main() {
        let (mut path, mut rounds, mut is_cold) = (".".to_owned(), 5, false);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => {
                    let number = arguments.next().and_then(|value| value.parse().ok());
                    let number = number.filter(|&number| number > 0);
                    rounds = number.unwrap_or_else(|| fatal("--rounds takes a number above 0"));
                }
                "--cold" => is_cold = true,
                // cargo bench adds it.
                "--bench" => {}
                _ => path = argument,
            }
        }
        if is_cold {
            drop_caches();
        }
        std::env::set_current_dir(&path).unwrap_or_else(|error| fatal(format_args!("{path}: {error}")));
        let list = list();
        println!("{} files, {} bytes\n", list.names.len(), list.bytes);
        // Written once: else the first variant would pay for its pages.
        let mut memory = vec![1; BUFFERS * BLOCK_BYTES as usize];
        let mut seconds = vec![Vec::new(); VARIANTS.len()];
        // Warm, the first round only warms up.
        let skipped = usize::from(!is_cold);
        for round in 0..rounds + skipped {
            for (variant, seconds) in VARIANTS.iter().zip(&mut seconds) {
                if is_cold {
                    drop_caches();
                }
                let taken = measure(variant, &list, &mut memory);
                if round >= skipped {
                    seconds.push(taken);
                }
            }
        }
        report(&seconds, list.names.len());
    }

    fn list() -> List {
        let (mut names, mut bytes) = (Vec::new(), 0);
        for entry in walkdir::WalkDir::new(".") {
            let entry = entry.unwrap_or_else(|error| fatal(error));
            if entry.file_type().is_file() {
                bytes += entry.metadata().unwrap_or_else(|error| fatal(error)).len();
                let name = entry.path().strip_prefix(".").unwrap_or(entry.path());
                names.push(CString::new(name.as_os_str().as_encoded_bytes()).expect("names hold no NUL"));
            }
        }
        List { names, bytes, next: AtomicUsize::new(0) }
    }

    fn drop_caches() {
        // Pages that were not written back would stay.
        rustix::fs::sync();
        std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap_or_else(|error| {
            fatal(format_args!("/proc/sys/vm/drop_caches: {error} (--cold needs root)"))
        });
    }

    fn measure(variant: &Variant, list: &List, memory: &mut [u8]) -> f64 {
        list.next.store(0, Ordering::Relaxed);
        let since = Instant::now();
        let totals: Vec<Total> = std::thread::scope(|scope| {
            let read = if variant.in_flight.is_some() { read_by_ring } else { read_plainly };
            let handles: Vec<_> = memory
                .chunks_exact_mut(variant.in_flight.unwrap_or(1) * BLOCK_BYTES as usize)
                .take(variant.threads)
                .map(|buffers| scope.spawn(move || read(list, buffers)))
                .collect();
            handles.into_iter().map(|handle| handle.join().expect("no thread panics")).collect()
        });
        let seconds = since.elapsed().as_secs_f64();
        let failures: Vec<&String> = totals.iter().flat_map(|total| &total.failures).collect();
        let bytes: u64 = totals.iter().map(|total| total.bytes).sum();
        if let Some(first) = failures.first() {
            eprintln!("io_uring: {}: {} files failed, {first}", variant.name, failures.len());
        } else if bytes != list.bytes {
            fatal(format_args!("{}: {bytes} bytes read, {} listed", variant.name, list.bytes));
        }
        seconds
    }

    fn read_plainly(list: &List, buffer: &mut [u8]) -> Total {
        let mut total = Total::default();
        while let Some(name) = list.next() {
            total.add(name, read_file(name, buffer));
        }
        total
    }

    fn read_file(name: &CStr, buffer: &mut [u8]) -> Result<(u64, u64), Errno> {
        let file = open(name, FLAGS, Mode::empty())?;
        let size = u64::try_from(fstat(&file)?.st_size).unwrap_or(0);
        let mut total = 0;
        loop {
            let read = rustix::io::read(&file, &mut *buffer)?;
            total += read as u64;
            if read == 0 || (read < buffer.len() && total == size) {
                return Ok((total, size));
            }
        }
    }

    /// A file under way in a ring.
    struct Slot<'l> {
        name: &'l CStr,
        /// None before it is open, and once its close is queued.
        file: Option<OwnedFd>,
        buffer: &'l mut [u8],
        size: u64,
        read: u64,
        failure: Option<Errno>,
    }

    /// What an entry asks for; it comes back with the entry's completion, beside the number of the slot.
    #[derive(Clone, Copy)]
    enum Step {
        Open,
        Read,
        Close,
    }

    const STEPS: [Step; 3] = [Step::Open, Step::Read, Step::Close];

    struct Ring<'l> {
        ring: IoUring,
        slots: Vec<Slot<'l>>,
        total: Total,
    }

    fn read_by_ring<'l>(list: &'l List, buffers: &'l mut [u8]) -> Total {
        let slots: Vec<_> = buffers
            .chunks_exact_mut(BLOCK_BYTES as usize)
            .map(|buffer| Slot { name: c"", file: None, buffer, size: 0, read: 0, failure: None })
            .collect();
        let mut free: Vec<usize> = (0..slots.len()).rev().collect();
        let mut completed = Vec::with_capacity(2 * slots.len());
        let ring = start_ring(2 * slots.len());
        let mut ring = Ring { ring, slots, total: Total::default() };
        loop {
            while let Some(slot) = free.pop() {
                let Some(name) = list.next() else {
                    free.push(slot);
                    break;
                };
                ring.open(slot, name);
            }
            if free.len() == ring.slots.len() {
                return ring.total;
            }
            match ring.ring.submit_and_wait(1) {
                Ok(_) => {}
                // A signal, or completions to take first: both pass.
                Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INTR | Errno::BUSY)) => {}
                Err(error) => fatal(format_args!("io_uring_enter: {error}")),
            }
            completed.extend(ring.ring.completion().map(|entry| (entry.user_data(), entry.result())));
            for (key, result) in completed.drain(..) {
                let key = usize::try_from(key).expect("it was a usize");
                let result = u32::try_from(result).map_err(|_| Errno::from_raw_os_error(-result));
                let slot = key / STEPS.len();
                if ring.complete(slot, STEPS[key % STEPS.len()], result) {
                    free.push(slot);
                }
            }
        }
    }

    fn start_ring(entries: usize) -> IoUring {
        // With defer_taskrun, completions are worked off when this thread waits, not by an interrupt of it.
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        let ring = builder.build(u32::try_from(entries).expect("a few hundred"));
        let ring = ring.unwrap_or_else(|error| fatal(format_args!("no ring can be made: {error}")));
        match ring.submitter().register_iowq_max_workers(&mut [WORKERS; 2]) {
            Ok(()) => ring,
            Err(error) => fatal(format_args!("the ring takes no number of workers: {error}")),
        }
    }

    impl<'l> Ring<'l> {
        fn push(&mut self, slot: usize, step: Step, entry: squeue::Entry) {
            let entry = entry.user_data((slot * STEPS.len() + step as usize) as u64);
            // SAFETY: an entry points to a name, which the list keeps; or to the buffer of its slot, which nobody touches
            // before the completion, and which is not freed before: `read_by_ring` returns with nothing under way, its
            // failures end the process, and it panics only where this file is wrong.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            pushed.expect("a slot queues at most two entries, and the ring has room for two each");
        }

        fn open(&mut self, number: usize, name: &'l CStr) {
            let slot = &mut self.slots[number];
            (slot.name, slot.read, slot.failure) = (name, 0, None);
            let entry = opcode::OpenAt::new(types::Fd(CWD.as_raw_fd()), name.as_ptr());
            self.push(number, Step::Open, entry.flags(FLAGS.bits().cast_signed()).build());
        }

        /// Takes one step further, and says whether the slot is free again.
        fn complete(&mut self, number: usize, step: Step, result: Result<u32, Errno>) -> bool {
            let slot = &mut self.slots[number];
            match (step, result) {
                (Step::Open, Ok(fd)) => {
                    // SAFETY: the kernel has just opened it for this slot, and nobody else knows its number.
                    let file = unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) };
                    match fstat(&file) {
                        Ok(stat) => slot.size = u64::try_from(stat.st_size).unwrap_or(0),
                        Err(error) => slot.failure = Some(error),
                    }
                    slot.file = Some(file);
                }
                (Step::Read, Ok(0)) => {
                    self.close(number);
                    return false;
                }
                (Step::Read, Ok(read)) => slot.read += u64::from(read),
                (Step::Read, Err(error)) => slot.failure = Some(error),
                (Step::Open, Err(error)) => {
                    self.total.add(slot.name, Err(error));
                    return true;
                }
                (Step::Close, closed) => {
                    let failure = slot.failure.or(closed.err());
                    self.total.add(slot.name, failure.map_or(Ok((slot.read, slot.size)), Err));
                    return true;
                }
            }
            if slot.failure.is_some() {
                self.close(number);
            } else {
                self.read(number);
            }
            false
        }

        /// Queues a read, and behind the last one the close.
        fn read(&mut self, number: usize) {
            let slot = &mut self.slots[number];
            let Some(file) = &slot.file else { return };
            let fd = types::Fd(file.as_raw_fd());
            let entry =
                opcode::Read::new(fd, slot.buffer.as_mut_ptr(), BLOCK_BYTES).offset(slot.read).build();
            if slot.size.saturating_sub(slot.read) < u64::from(BLOCK_BYTES) {
                // A hard link: a read that comes short of its buffer would break another, and the last one does.
                self.push(number, Step::Read, entry.flags(squeue::Flags::IO_HARDLINK));
                self.close(number);
            } else {
                self.push(number, Step::Read, entry);
            }
        }

        fn close(&mut self, number: usize) {
            if let Some(file) = self.slots[number].file.take() {
                let entry = opcode::Close::new(types::Fd(file.into_raw_fd())).build();
                self.push(number, Step::Close, entry);
            }
        }
    }

    fn report(seconds: &[Vec<f64>], files: usize) {
        let best = VARIANTS
            .iter()
            .zip(seconds)
            .filter_map(|(variant, seconds)| variant.in_flight.is_none().then_some(seconds))
            .min_by(|a, b| median(a).total_cmp(&median(b)))
            .expect("there are variants with threads");
        println!("| variant | median s | min to max | files/s | against the best threads | min to max |");
        println!("|---|---|---|---|---|---|");
        for (variant, seconds) in VARIANTS.iter().zip(seconds) {
            let ratios: Vec<f64> = seconds.iter().zip(best).map(|(taken, best)| taken / best).collect();
            let median_s = median(seconds);
            println!(
                "| {} | {median_s:.3} | {} | {:.0} | **{:.3}** | {} |",
                variant.name,
                spread(seconds),
                files as f64 / median_s,
                median(&ratios),
                spread(&ratios)
            );
        }
    }

    fn median(of: &[f64]) -> f64 {
        let mut sorted = of.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    fn spread(of: &[f64]) -> String {
        let (min, max) = of.iter().fold((f64::MAX, 0.0_f64), |(min, max), &x| (min.min(x), max.max(x)));
        format!("{min:.3} to {max:.3}")
    }
}

fn main() {
    #[cfg(target_os = "linux")]
    linux::main();
    #[cfg(not(target_os = "linux"))]
    eprintln!("io_uring: measured on Linux only");
}
