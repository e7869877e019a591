//! HUP, INT and TERM: the run is asked to stop, and when it does not, the process is ended.
//!
//! The signals are blocked in every thread, and one thread waits for them. A handler instead would be run by whichever
//! thread the system picks, the main one mostly; where that hangs in the kernel, nobody would ever hear of the signal.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use filemill::control::Control;

/// The signal that came first, if any.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<AtomicI32>);

impl Received {
    /// The exit code that stands for it.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            signal => Some(u8::try_from(128 + signal).unwrap_or(u8::MAX)),
        }
    }
}

/// A file that may grow no further becomes an error of the write instead of the end of the process. To be called while
/// there is one thread: those that it starts later inherit what is blocked.
pub(crate) fn outlive_file_size_limit() {
    #[cfg(unix)]
    {
        use nix::sys::signal::{SigSet, Signal};
        // It does not fail for a signal that exists.
        let _: nix::Result<()> = SigSet::from(Signal::SIGXFSZ).thread_block();
    }
}

/// Cancels `control` on the first signal. Ends the process on the second, or when it is still there after a while;
/// `partials` then hold what was written. To be called while there is one thread: those that it starts later inherit
/// what is blocked.
///
/// # Errors
/// When the system does not allow it.
#[cfg(unix)]
pub(crate) fn watch(control: Arc<Control>, partials: Vec<PathBuf>) -> std::io::Result<Received> {
    use nix::sys::signal::{SigSet, Signal};

    let received = Received::default();
    let watched = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];
    let watched: SigSet = watched.into_iter().filter(|signal| !is_ignored(*signal as i32)).collect();
    watched.thread_block()?;
    let first = received.clone();
    let wait = move || {
        let Ok(signal) = watched.wait() else { return };
        first.0.store(signal as i32, Ordering::Release);
        control.cancel();
        let (at_last, partials_then) = (first.clone(), partials.clone());
        let patience = std::thread::Builder::new().name("filemill-patience".to_owned()).spawn(move || {
            std::thread::sleep(PATIENCE);
            end(&at_last, partials_then, "interrupted, and something did not come to its end in time");
        });
        // What comes at the same moment is the same wish: `timeout` signals a process, and then its group.
        let since = std::time::Instant::now();
        while patience.is_ok() && since.elapsed() < AT_ONCE {
            if watched.wait().is_err() {
                return;
            }
        }
        end(&first, partials, "interrupted twice: ended at once");
    };
    std::thread::Builder::new().name("filemill-signals".to_owned()).spawn(wait)?;
    Ok(received)
}

/// Signals that come within this time of the first are one.
#[cfg(unix)]
const AT_ONCE: std::time::Duration = std::time::Duration::from_millis(250);

/// A run that is cancelled has this long to end: a read may hang for good.
#[cfg(unix)]
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1500);

/// Ends the process, whatever it hangs in: standard error or the place of a report may be among that, and so what is
/// said is said by a thread that nobody waits for long.
#[cfg(unix)]
fn end(received: &Received, partials: Vec<PathBuf>, why: &'static str) {
    use std::sync::mpsc::RecvTimeoutError;
    const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(200);
    let (said, wait) = std::sync::mpsc::channel();
    let speak = move || {
        super::complain(&why);
        super::outputs::tell_of_partials(&partials);
        said.send(()).is_ok()
    };
    if std::thread::Builder::new().name("filemill-last-words".to_owned()).spawn(speak).is_ok() {
        let _: Result<(), RecvTimeoutError> = wait.recv_timeout(LAST_WORDS);
    }
    filemill::leave(received.exit_code().unwrap_or(2));
}

/// Whether whoever started the process had it ignore a signal, as `nohup` does: then it is none of our business.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Elsewhere a signal ends the process at once.
#[cfg(not(unix))]
pub(crate) fn watch(_: Arc<Control>, _: Vec<PathBuf>) -> std::io::Result<Received> {
    Ok(Received::default())
}
