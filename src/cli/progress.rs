//! Progress on a terminal: paths, bytes, a rate, and the time left once it is known.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filemill::control::{self, Control};
use indicatif::{DecimalBytes, HumanCount};

use super::estimate::{Done, Estimate, Left};
use super::status_line;
use super::summary::whole_seconds;

/// Runs shorter than this show nothing.
const QUIET: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);
/// With more bytes a file, bytes a second say more than files.
const LARGE: f64 = 1e6;

/// The line on standard error.
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shows a line if `is_shown`; otherwise every call does nothing.
    pub(crate) fn new(is_shown: bool) -> Progress {
        Progress { is_shown }
    }

    /// Prints a line above it.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        status_line::above(print);
    }

    /// Does `work` while a thread keeps the line up to date.
    pub(crate) fn during<T>(&self, control: &Control, work: impl FnOnce() -> T) -> T {
        if !self.is_shown {
            return work();
        }
        control.count_ahead();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut display = Display::new();
                while !done.load(Ordering::Relaxed) {
                    thread::park_timeout(TICK);
                    display.look(control);
                    // The interrupted command is about to print its own line.
                    if display.since.elapsed() > QUIET && !control.is_cancelled() {
                        status_line::draw(|width| display.line(width));
                    } else {
                        status_line::clear();
                    }
                }
                status_line::clear();
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

/// What the line is made from.
struct Display {
    since: Instant,
    round: u64,
    round_since: Instant,
    estimate: Estimate,
    shown: Shown,
}

/// The figures of a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    elapsed: Duration,
    /// Since the round began.
    round_elapsed: Duration,
    /// Empty in a run without rounds.
    round: &'static str,
    paths: u64,
    /// In all, if that is known, of a round.
    paths_in_all: Option<u64>,
    bytes: u64,
    left: Option<Left>,
}

impl Display {
    fn new() -> Display {
        let (since, round_since) = (Instant::now(), Instant::now());
        Display { since, round: 0, round_since, estimate: Estimate::default(), shown: Shown::default() }
    }

    /// Takes the figures of this moment.
    fn look(&mut self, control: &Control) {
        let progress = control.progress();
        if progress.round != self.round {
            (self.round, self.round_since, self.estimate) =
                (progress.round, Instant::now(), Estimate::default());
        }
        let round_elapsed = self.round_since.elapsed();
        let control::Progress { files_done, bytes_done, analysed, total, .. } = progress;
        let done = Done { elapsed: round_elapsed, files: files_done, bytes: bytes_done, analysed };
        self.estimate.observe(done, total.is_some_and(|total| total.is_all));
        self.shown = Shown {
            elapsed: self.since.elapsed(),
            round_elapsed,
            round: progress.name,
            paths: files_done,
            paths_in_all: total.filter(|total| total.is_all).map(|total| total.files),
            bytes: if progress.name.is_empty() { control.bytes() } else { bytes_done },
            left: self.estimate.left(done, total),
        };
    }

    fn line(&self, width: usize) -> String {
        let wheel = status_line::wheel(self.since.elapsed());
        format!("{wheel} {}", self.shown.line(width.saturating_sub(2)))
    }
}

impl Shown {
    /// As much as fits this many columns. The time left is the last to go.
    fn line(&self, width: usize) -> String {
        let (paths, bytes) = (HumanCount(self.paths), DecimalBytes(self.bytes));
        let rate = self.rate();
        let long = self.left.map_or_else(String::new, |left| format!(", {} left", words(left)));
        let short = self.left.map(|left| format!("{} left", sign(left)));
        let name = if self.round.is_empty() { String::new() } else { format!("{}: ", self.round) };
        let of = match self.paths_in_all.filter(|_| !self.round.is_empty()) {
            Some(all) => format!(" of {}", HumanCount(all)),
            None => String::new(),
        };
        let has_bytes = self.bytes > 0 || self.round.is_empty();
        let bytes = if has_bytes { format!(", {bytes}") } else { String::new() };
        let mut texts = vec![
            format!("{name}{paths}{of} paths{bytes}, {rate}{long}"),
            format!("{name}{paths}{of} paths{bytes}{long}"),
            format!("{name}{paths} paths{bytes}{long}"),
            format!("{name}{paths} paths{long}"),
        ];
        match short {
            Some(short) => texts.extend([format!("{name}{paths}, {short}"), format!("{name}{short}"), short]),
            None => {
                texts.extend([format!("{name}{paths} paths"), format!("{paths} paths"), paths.to_string()])
            }
        }
        status_line::fitting(texts, width)
    }

    /// Files a second, or bytes a second if files are large.
    fn rate(&self) -> String {
        let seconds = self.round_elapsed.min(self.elapsed).as_secs_f64().max(1e-3);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for display")]
        let a_second = |number: u64| (number as f64 / seconds) as u64;
        if self.bytes as f64 > LARGE * self.paths as f64 {
            format!("{}/s", DecimalBytes(a_second(self.bytes)))
        } else {
            format!("{} paths/s", HumanCount(a_second(self.paths)))
        }
    }
}

/// A time in whole seconds, and never 0: as long as the line is there, something is left.
fn rounded(left: Duration) -> String {
    let seconds = (left + Duration::from_millis(500)).as_secs();
    whole_seconds(Duration::from_secs(seconds.max(1)))
}

fn words(left: Left) -> String {
    match left {
        Left::About(left) => format!("about {}", rounded(left)),
        Left::AtLeast(left) => format!("at least {}", rounded(left)),
    }
}

fn sign(left: Left) -> String {
    match left {
        Left::About(left) => format!("~{}", rounded(left)),
        Left::AtLeast(left) => format!(">{}", rounded(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown {
            elapsed: Duration::from_secs(10),
            round_elapsed: Duration::from_secs(10),
            paths: 34_567,
            bytes: 345_670_000,
            left: Some(Left::About(Duration::from_secs(83))),
            ..Shown::default()
        }
    }

    #[test]
    fn the_line_fits_any_width() {
        #[track_caller]
        fn check(shown: Shown, width: usize, expected: &str) {
            assert_eq!(shown.line(width), expected);
        }
        check(shown(), 80, "34,567 paths, 345.67 MB, 3,456 paths/s, about 1m 23s left");
        check(shown(), 56, "34,567 paths, 345.67 MB, about 1m 23s left");
        check(shown(), 40, "34,567 paths, about 1m 23s left");
        check(shown(), 20, "34,567, ~1m 23s left");
        check(shown(), 17, "~1m 23s left");
        let unknown = Shown { left: None, ..shown() };
        check(unknown, 40, "34,567 paths, 345.67 MB, 3,456 paths/s");
        check(unknown, 12, "34,567 paths");
        check(unknown, 7, "34,567");
        let counting = Shown { left: Some(Left::AtLeast(Duration::from_secs(5))), ..shown() };
        check(counting, 80, "34,567 paths, 345.67 MB, 3,456 paths/s, at least 5s left");
        check(counting, 19, "34,567, >5s left");
        let round = Shown { round: "head", paths_in_all: Some(99_000), ..shown() };
        check(round, 80, "head: 34,567 of 99,000 paths, 345.67 MB, 3,456 paths/s, about 1m 23s left");
        check(round, 20, "head: ~1m 23s left");
        for width in 0..100 {
            for shown in [shown(), unknown, counting, round] {
                let length = shown.line(width).chars().count();
                assert!(length <= width.max("~1m 23s left".len()), "{width}: {length}");
            }
        }
    }

    #[test]
    fn large_files_are_counted_by_bytes() {
        let large = Shown { paths: 0, bytes: 690_000_000, ..shown() };
        assert_eq!(large.line(80), "0 paths, 690.00 MB, 69.00 MB/s, about 1m 23s left");
    }

    #[test]
    fn nothing_is_said_of_the_time_left_before_much_is_known() {
        let mut display = Display::new();
        display.look(&Control::new());
        assert_eq!(display.shown.left, None);
        assert!(display.shown.line(80).starts_with("0 paths, 0 B, "));
    }
}
