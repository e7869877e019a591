//! Staging by mapping large files, window by window; and the guard without which that could end the process.
//!
//! A page of a mapping that cannot be read (the file was truncated, the disk is broken) is a SIGBUS for the thread that
//! touches it. With the guard the page becomes one of zeros, and the window is flagged: the file is an error record then.
//! A signal handler is the process's own affair, and so it is installed by an explicit call, [`guard_mappings`].
//!
//! All `unsafe` code of staging is here.

use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, compiler_fence};

use memmap2::{Mmap, MmapOptions};
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

use super::open::changed;
use super::system::Handle;
use super::{OpenFile, Stage, Stop, Take};
use crate::error::{Cause, FileError, Step};
use crate::faults::Operation;

impl Stage<'_> {
    /// Maps a part of a file, window by window, and hands its blocks over. What cannot be mapped is read.
    pub(super) fn map_range(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        let end = offset + bytes;
        let mut at = offset;
        let window_bytes = self.plan.map_window_bytes.next_multiple_of(rustix::param::page_size());
        while at < end {
            let length = window_bytes.min(usize::try_from(end - at).unwrap_or(usize::MAX));
            self.strike(Operation::Read)?;
            let window = match &self.mapper {
                Some(mapper) => mapper.map(&file.handle, at, length),
                None => Err(io::ErrorKind::Unsupported.into()),
            };
            // A file system without mappings, or no address space for one.
            let Ok(window) = window else {
                file.is_mapped.store(false, Ordering::Relaxed);
                return self.read_range(file, at, end - at, take);
            };
            if !window.read_in() {
                // Before any pass has seen it: reading says what is wrong, or gets it after all.
                drop(window);
                file.is_mapped.store(false, Ordering::Relaxed);
                return self.read_range(file, at, end - at, take);
            }
            for block in window.chunks(self.plan.block_bytes) {
                let wanted = take(block);
                if window.has_faulted() {
                    let is_same = self.is_as_it_was(file)?;
                    return Err(
                        if is_same { FileError::new(Step::Stage, Cause::Io) } else { changed() }.into()
                    );
                }
                if wanted.is_break() || self.control.should_stop() {
                    return Err(Stop::Unwanted);
                }
            }
            at += length as u64;
        }
        Ok(())
    }
}

/// One worker's way to mappings: it has one window at a time.
pub(super) struct Mapper {
    slot: &'static Slot,
}

impl Mapper {
    pub(super) fn new() -> Mapper {
        Mapper { slot: Slot::free() }
    }

    /// Maps `length` bytes from `offset` on, a multiple of the page size. The window before must be gone.
    #[expect(unsafe_code, reason = "others may change the file while it is mapped: see below")]
    fn map(&self, handle: &Handle, offset: u64, length: usize) -> io::Result<Window> {
        // SAFETY: Nobody can promise that the file stays as it is. Truncation is what the guard is for, without which no
        // mapper is made. Bytes that change under a shared reference are formally undefined behaviour; in practice a pass
        // then sees old or new bytes, each load one or the other. Passes take bytes for what they are: none keeps a
        // reference, trusts that a byte read twice is the same (an index is checked where it is used), or makes text of it
        // that outlives the look. The second look at the file's times makes the record an error. The same risk, and the
        // same reasoning, as in ripgrep.
        let map = unsafe { MmapOptions::new().offset(offset).len(length).map(handle.as_raw_fd())? };
        let start = map.as_ptr() as usize;
        debug_assert_eq!(self.slot.end.load(Ordering::Relaxed), 0, "one window at a time");
        self.slot.is_faulted.store(false, Ordering::Relaxed);
        self.slot.thread.store(this_thread(), Ordering::Relaxed);
        self.slot.start.store(start, Ordering::Relaxed);
        self.slot.end.store(start + length, Ordering::Relaxed);
        // The handler runs on this thread: it is enough that the compiler keeps the order.
        compiler_fence(Ordering::SeqCst);
        Ok(Window { map, slot: self.slot })
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        self.slot.is_taken.store(false, Ordering::Release);
    }
}

/// A mapped piece of a file, guarded while it lives.
struct Window {
    map: Mmap,
    slot: &'static Slot,
}

impl Window {
    /// Has all of it read, in one call where the system can; whether it is there.
    fn read_in(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.map.advise(memmap2::Advice::PopulateRead).is_ok() {
            return true;
        }
        // Something cannot be read, or the system is older than that call: then by touching every page, which tells.
        const PAGE_BYTES_MIN: usize = 4096;
        for page in self.map.chunks(PAGE_BYTES_MIN) {
            std::hint::black_box(page[0]);
        }
        !self.has_faulted()
    }

    fn has_faulted(&self) -> bool {
        compiler_fence(Ordering::SeqCst);
        self.slot.is_faulted.load(Ordering::Relaxed)
    }
}

impl Deref for Window {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // Before the addresses can become those of something else.
        self.slot.end.store(0, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }
}

/// Where one worker's window lies. The handler looks through all of them; none is ever freed.
struct Slot {
    is_taken: AtomicBool,
    is_faulted: AtomicBool,
    /// Whose window it is. Nobody else touches it, and so nobody else's fault is looked for in it: what another thread
    /// writes here at the same time would be half of one window and half of the next.
    thread: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    next: OnceLock<&'static Slot>,
}

static FIRST: Slot = Slot::new(false);

impl Slot {
    const fn new(is_taken: bool) -> Slot {
        let (start, end, thread) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let is_faulted = AtomicBool::new(false);
        Slot { is_taken: AtomicBool::new(is_taken), is_faulted, thread, start, end, next: OnceLock::new() }
    }

    fn all() -> impl Iterator<Item = &'static Slot> {
        std::iter::successors(Some(&FIRST), |slot| slot.next.get().copied())
    }

    /// A slot that nobody has; a new one where all are taken.
    fn free() -> &'static Slot {
        let mut slot = &FIRST;
        while slot.is_taken.swap(true, Ordering::AcqRel) {
            slot = slot.next.get_or_init(|| Box::leak(Box::new(Slot::new(false))));
        }
        slot
    }
}

#[expect(unsafe_code, reason = "the only name of a thread that a signal handler may ask for")]
fn this_thread() -> usize {
    // SAFETY: It has no conditions; it only reads where the thread's own data lies.
    let thread = unsafe { libc::pthread_self() };
    #[expect(clippy::cast_possible_truncation, reason = "an address, or as large as one")]
    return thread as usize;
}

/// The handler that was there before ours.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static IS_GUARDED: AtomicBool = AtomicBool::new(false);

/// Whether [`guard_mappings`] was called, and the guard stands.
pub(crate) fn is_guarded() -> bool {
    IS_GUARDED.load(Ordering::Acquire)
}

/// Installs the handler of SIGBUS that [`crate::plan::Staging::Mmap`] needs, for the whole process and for good: a page of
/// a mapped file that cannot be read becomes an error record instead of the end of the process. A SIGBUS anywhere else
/// goes to the handler that was there before. Whoever installs another one later must pass on what is not theirs.
///
/// # Errors
/// When the system does not allow it.
#[expect(unsafe_code, reason = "a signal handler")]
pub fn guard_mappings() -> io::Result<()> {
    static INSTALLING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if is_guarded() {
        return Ok(());
    }
    let mut previous = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: It only asks, and writes what it finds to the place it is given.
    let asked = unsafe { libc::sigaction(libc::SIGBUS, std::ptr::null(), previous.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The call above succeeded, and so has filled it in.
    let previous = unsafe { previous.assume_init() };
    PREVIOUS.get_or_init(|| previous);
    // On the other stack, where there is one: so does the handler of the standard library, which comes before ours.
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK;
    let ours = SigAction::new(SigHandler::SigAction(on_bus_error), flags, SigSet::empty());
    // SAFETY: The handler calls nothing but atomic loads and stores, mmap and sigaction, all of which may be called in a
    // handler, takes no lock and allocates nothing.
    unsafe { sigaction(Signal::SIGBUS, &ours) }?;
    IS_GUARDED.store(true, Ordering::Release);
    Ok(())
}

#[expect(unsafe_code, reason = "what the kernel hands to a signal handler is a pointer")]
extern "C" fn on_bus_error(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: With SA_SIGINFO the kernel hands over a pointer to what it tells of the signal.
    let address = unsafe { (*info).si_addr() } as usize;
    let thread = this_thread();
    let is_there = |slot: &&Slot| {
        slot.thread.load(Ordering::Relaxed) == thread
            && (slot.start.load(Ordering::Relaxed)..slot.end.load(Ordering::Relaxed)).contains(&address)
    };
    if let Some(slot) = Slot::all().find(is_there)
        && zero_page_at(address)
    {
        slot.is_faulted.store(true, Ordering::Relaxed);
        return;
    }
    pass_on(signal, info, context);
}

/// Puts a page of zeros in the place of the one that cannot be read; whether it could.
#[expect(unsafe_code, reason = "replaces a page of a mapping of ours")]
fn zero_page_at(address: usize) -> bool {
    let page_bytes = rustix::param::page_size();
    let page = (address & !(page_bytes - 1)) as *mut std::ffi::c_void;
    // SAFETY: The page lies in a window of ours that is mapped read-only, of which nothing but this thread, which waits in
    // the handler, sees a byte. It is unmapped with the rest of the window.
    unsafe { mmap_anonymous(page, page_bytes, ProtFlags::READ, MapFlags::PRIVATE | MapFlags::FIXED) }.is_ok()
}

/// A fault that is not ours: for whoever was there before, or the end of the process.
#[expect(unsafe_code, reason = "calls the handler that was there before")]
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: As in `on_bus_error`. Not above 0: somebody sent it, and no access is made again.
    let is_sent = unsafe { (*info).si_code } <= 0;
    let previous = PREVIOUS.get();
    match previous {
        Some(previous) if ![libc::SIG_DFL, libc::SIG_IGN].contains(&previous.sa_sigaction) => {
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                // SAFETY: It was installed as a handler of this form, and is given what ours was given.
                let handler: Handler = unsafe { std::mem::transmute(previous.sa_sigaction) };
                handler(signal, info, context);
            } else {
                // SAFETY: It was installed as a handler of this form.
                let handler: extern "C" fn(libc::c_int) =
                    unsafe { std::mem::transmute(previous.sa_sigaction) };
                handler(signal);
            }
        }
        _ => {
            let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
            // SAFETY: No handler is left that would have to keep to anything. An access that failed is made again when
            // this one returns, and ends the process as it would have without us.
            let _: nix::Result<SigAction> = unsafe { sigaction(Signal::SIGBUS, &default) };
        }
    }
    if is_sent {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: It only asks; what it fills in is looked at only where it succeeded. raise may be called in a handler.
        unsafe {
            if libc::sigaction(libc::SIGBUS, std::ptr::null(), now.as_mut_ptr()) == 0
                && now.assume_init().sa_sigaction == libc::SIG_DFL
            {
                // The one before left it to the default, as that of the standard library does: so it ends the process.
                libc::raise(libc::SIGBUS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Control;
    use crate::plan::{Plan, Staging};
    use crate::record::{Batch, Directory, Found, Outcome};
    use crate::stage::Budget;

    /// A page that cannot be read of a file that is as it was: here one behind its end.
    #[test]
    fn a_fault_in_a_file_that_did_not_change_is_an_error_of_the_disk() {
        guard_mappings().expect("a handler can be installed");
        let directory = tempfile::tempdir().expect("a place for tests");
        let path = directory.path().join("file");
        std::fs::write(&path, vec![b'x'; 5000]).expect("it can be written");
        let plan = Plan { staging: Staging::Mmap, map_bytes_min: 1, block_bytes: 4096, ..Plan::new([&path]) };
        let (control, budget) = (Control::new(), Budget::new(&plan));
        let mut stage = Stage::new(&plan, &control, &budget);
        let mut batch = Batch::default();
        let name = path.as_os_str().as_encoded_bytes();
        batch.push(&Directory::from_path(b""), name, Found::FileThroughLinks);
        let entry = batch.entries().next().expect("one was pushed");
        let file = stage.open(&entry).expect("it can be opened");
        assert!(file.is_mapped.load(Ordering::Relaxed));
        let mut map = |bytes| {
            let mut sum = 0;
            let mut take = |block: &[u8]| {
                sum += block.iter().map(|byte| usize::from(*byte == b'x')).sum::<usize>();
                std::ops::ControlFlow::Continue(())
            };
            (stage.map_range(&file, 0, bytes, &mut take).map_err(Outcome::from), sum)
        };
        assert_eq!(map(5000), (Ok(()), 5000));
        // It is found before a pass sees it, and reading says what is wrong: the file is shorter than that.
        assert_eq!(map(3 * 4096), (Err(Outcome::Failed(changed())), 5000));
        assert!(!file.is_mapped.load(Ordering::Relaxed));

        // A page that is lost after all was there.
        let mapper = Mapper::new();
        let window = mapper.map(&file.handle, 0, 3 * 4096).expect("it can be mapped");
        assert_eq!((window[4999], window.has_faulted()), (b'x', false));
        assert_eq!((window[2 * 4096], window.has_faulted()), (0, true));
    }

    #[test]
    fn slots_are_taken_by_one_and_used_again() {
        let (one, other) = (Mapper::new(), Mapper::new());
        assert!(!std::ptr::eq(one.slot, other.slot));
        let count = Slot::all().count();
        for _ in 0..100 {
            drop(Mapper::new());
        }
        assert!(Slot::all().count() <= count + 2, "other tests may have taken one");
    }
}
