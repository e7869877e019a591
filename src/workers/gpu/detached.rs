//! Threads that talk to drivers. They belong to no scope, as a driver may hang; and so they may still be at work when the process
//! ends, which drivers do not expect: what they have registered for that end then runs beside them. [`leave`] spares it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How many there are. Of the process, as its end is.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// A run that is over by then has no driver loaded, which takes as long: most runs are short.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

struct AtWork;

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Starts one.
///
/// # Errors
/// When there can be no thread.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    AT_WORK.fetch_add(1, Ordering::AcqRel);
    let at_work = AtWork;
    let body = move || {
        let _at_work = at_work;
        body();
    };
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

/// Ends the process with this code: where a driver is still at work, without the handlers that were registered for the end. One of
/// 300 runs that ended while a driver was being loaded died in such a handler.
///
/// What is to be written is for whoever calls it to have written: nothing is flushed.
pub fn leave(code: u8) -> ! {
    #[cfg(unix)]
    if AT_WORK.load(Ordering::Acquire) > 0 {
        leave_at_once(code);
    }
    std::process::exit(i32::from(code))
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "_exit is a function of C")]
fn leave_at_once(code: u8) -> ! {
    // SAFETY: it takes any number, and ends the process. Nothing of it runs any more, so nothing can be in a state that it must
    // not be in; files that others wrote to are whatever they were handed to the system as.
    unsafe { nix::libc::_exit(i32::from(code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_work_is_counted_until_it_is_done() {
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let before = AT_WORK.load(Ordering::Acquire);
        spawn("filemill-gpu-test", move || assert!(told.recv().is_err())).expect("a thread");
        assert!(AT_WORK.load(Ordering::Acquire) > 0);
        drop(tell);
        // Others may come and go beside this one.
        let since = std::time::Instant::now();
        while AT_WORK.load(Ordering::Acquire) > before && since.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        assert!(since.elapsed() < Duration::from_secs(10));
    }
}
