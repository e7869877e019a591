//! HUP, INT and TERM: the run is asked to stop, and when it does not, the process is ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use filemill::control::Control;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::complain;
use super::outputs::tell_of_partials;

/// A run that is cancelled has this long to end: a read may hang for good.
const PATIENCE: Duration = Duration::from_millis(1500);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What was received.
pub(crate) struct Received(Arc<AtomicI32>);

impl Received {
    /// The exit code that stands for the signal that came first.
    pub(crate) fn exit_code(&self) -> Option<u8> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            signal => Some(exit_code(signal)),
        }
    }
}

/// Cancels `control` on the first signal. Ends the process on the second, or when it is still there after a while;
/// `partials` then hold what was written. A file that may not grow becomes an error of the write instead of the end.
///
/// # Errors
/// When the system allows no handler or no thread.
pub(crate) fn watch(control: Arc<Control>, partials: Vec<PathBuf>) -> std::io::Result<Received> {
    // Nobody asks for what the handler notes: having one is what keeps the process.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let first = Arc::new(AtomicI32::new(0));
    let received = Received(first.clone());
    let watched: Vec<_> =
        [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !is_ignored(*signal)).collect();
    if watched.is_empty() {
        return Ok(received);
    }
    let mut signals = Signals::new(watched)?;
    std::thread::Builder::new().name("filemill-signals".to_owned()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        first.store(signal, Ordering::Release);
        control.cancel();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && signals.pending().next().is_none() {
            std::thread::sleep(LOOK_EVERY);
        }
        complain(&"interrupted, and something did not come to its end in time");
        tell_of_partials(&partials);
        std::process::exit(exit_code(signal).into());
    })?;
    Ok(received)
}

fn exit_code(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

/// Whether whoever started the process had it ignore a signal, as `nohup` does: then it is none of our business.
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
