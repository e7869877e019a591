//! Progress on a terminal: paths, bytes, paths/s, and a guess at the time left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filemill::control::Control;
use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};

use super::summary::whole_seconds;

/// Runs shorter than this show nothing.
const QUIET: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);
/// Before this much of the tree is seen, a guess at the time left is worth nothing.
const EXPLORED_MIN: f64 = 0.02;
/// Beyond this the walk is over, and says nothing of the files that are still read.
const EXPLORED_MAX: f64 = 0.999;

/// The line on standard error.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows a line where `shown`; otherwise every call does nothing.
    pub(crate) fn new(shown: bool) -> Progress {
        let bar = if shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
        Progress { bar }
    }

    /// Prints a line above it.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Does `work` while a thread keeps the line up to date.
    pub(crate) fn during<T>(&self, control: &Control, work: impl FnOnce() -> T) -> T {
        if self.bar.is_hidden() {
            return work();
        }
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let since = Instant::now();
                while !done.load(Ordering::Relaxed) {
                    thread::park_timeout(TICK);
                    if since.elapsed() > QUIET {
                        self.bar.set_message(line(control, since.elapsed()));
                        self.bar.tick();
                    }
                }
                self.bar.finish_and_clear();
            });
            // Set even when the work panics: the scope waits for the watcher.
            let stop = Stop(&done, watcher.thread().clone());
            let result = work();
            drop(stop);
            result
        })
    }
}

struct Stop<'a>(&'a AtomicBool, thread::Thread);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.unpark();
    }
}

fn line(control: &Control, elapsed: Duration) -> String {
    let paths = control.records();
    let rate = paths as f64 / elapsed.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for display")]
    let (paths, bytes, rate) = (HumanCount(paths), DecimalBytes(control.bytes()), HumanCount(rate as u64));
    let explored = control.explored();
    let left = if (EXPLORED_MIN..EXPLORED_MAX).contains(&explored) {
        let left = elapsed.mul_f64((1.0 - explored).max(0.0) / explored);
        format!(", about {} left", whole_seconds(left + Duration::from_secs(1)))
    } else {
        String::new()
    };
    format!("{paths} paths, {bytes}, {rate} paths/s{left}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_the_time_left_before_much_is_known() {
        let control = Control::new();
        assert_eq!(line(&control, Duration::from_secs(1)), "0 paths, 0 B, 0 paths/s");
    }
}
