//! Progress of a benchmark, and its end by a signal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use filemill::bench::Watch;
use filemill::control::Control;
use indicatif::{FormattedDuration, HumanCount};

use super::super::signals::{self, Received};
use super::super::status_line;
use super::Failure;

/// The line is drawn this often.
const TICK: Duration = Duration::from_millis(100);

/// Is told what is being done, how much of it is done, and of how much.
type Tell = dyn Fn(&str, u64, u64);

/// A benchmark that runs.
pub(super) struct Watched {
    control: Arc<Control>,
    received: Received,
    tell: Box<Tell>,
    line: Arc<Line>,
}

/// What the line shows.
struct Line {
    since: Instant,
    said: Mutex<Said>,
    is_over: AtomicBool,
}

/// The activity, how much of it is done, and of how much; 0 if unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Said {
    what: String,
    done: u64,
    of: u64,
}

impl Watched {
    /// Does `act`; shows a line meanwhile if `is_shown`.
    pub(super) fn during<T>(is_shown: bool, act: impl FnOnce(&Watched) -> T) -> Result<T, Failure> {
        let control = Arc::new(Control::new());
        let received = signals::watch(control.clone(), Vec::new())
            .map_err(|error| Failure::Report(format!("cannot watch for signals: {error}")))?;
        let (said, is_over) = (Mutex::default(), AtomicBool::new(!is_shown));
        let line = Arc::new(Line { since: Instant::now(), said, is_over });
        let tells = line.clone();
        let tell = Box::new(move |what: &str, done: u64, of: u64| tells.say(what, done, of));
        let watched = Watched { control, received, tell, line: line.clone() };
        let control = watched.control.clone();
        // By a thread of its own: a single run may take long, and says nothing meanwhile.
        Ok(thread::scope(|scope| {
            let drawing = is_shown.then(|| scope.spawn(move || line.draw_until_over(&control)));
            let _stop = drawing.map(|drawing| Stop(&watched.line.is_over, drawing.thread().clone()));
            act(&watched)
        }))
    }

    /// What the benchmark is given.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { control: &self.control, tell: &self.tell }
    }

    /// Takes the line away, for good: what follows is the result.
    pub(super) fn clear(&self) {
        self.line.is_over.store(true, Ordering::Relaxed);
        status_line::end();
    }

    /// Prints while the line is away.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        status_line::above(print)
    }

    /// The exit code of the signal that came, if any.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.received.exit_code()
    }
}

/// Ends the drawing, whichever way it is left.
struct Stop<'a>(&'a AtomicBool, thread::Thread);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.unpark();
    }
}

impl Line {
    fn say(&self, what: &str, done: u64, of: u64) {
        if !self.is_over.load(Ordering::Relaxed) {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.what != what {
                what.clone_into(&mut said.what);
            }
            (said.done, said.of) = (done, of);
        }
    }

    fn draw_until_over(&self, control: &Control) {
        while !self.is_over.load(Ordering::Relaxed) {
            thread::park_timeout(TICK);
            // The interrupted command is about to print its own line.
            if control.is_cancelled() {
                status_line::clear();
                continue;
            }
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let elapsed = self.since.elapsed();
            let wheel = status_line::wheel(elapsed);
            status_line::draw(|width| format!("{wheel} {}", said.line(elapsed, width.saturating_sub(2))));
        }
        status_line::clear();
    }
}

impl Said {
    /// How far it is, as much as fits this many columns.
    fn line(&self, elapsed: Duration, width: usize) -> String {
        let Said { what, done, of } = self;
        let elapsed = FormattedDuration(elapsed);
        let progress = match (*done, *of) {
            (0, 0) => String::new(),
            (done, 0) => HumanCount(done).to_string(),
            (done, of) => format!("{} of {}", HumanCount(done), HumanCount(of)),
        };
        let separator = if progress.is_empty() { "" } else { ": " };
        let texts =
            [format!("{what}{separator}{progress}, {elapsed}"), format!("{what}{separator}{progress}")];
        status_line::fitting(texts.into_iter().chain((!progress.is_empty()).then_some(progress)), width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_known_and_fits() {
        #[track_caller]
        fn check(said: (&str, u64, u64), width: usize, expected: &str) {
            let said = Said { what: said.0.to_owned(), done: said.1, of: said.2 };
            assert_eq!(said.line(Duration::from_secs(61), width), expected);
        }
        let making = ("making 10k", 2500, 10_000);
        check(making, 78, "making 10k: 2,500 of 10,000, 00:01:01");
        check(making, 36, "making 10k: 2,500 of 10,000");
        check(making, 20, "2,500 of 10,000");
        check(("comparing pairs", 12, 0), 78, "comparing pairs: 12, 00:01:01");
        check(("warming up", 0, 0), 78, "warming up, 00:01:01");
        check(("warming up", 0, 0), 12, "warming up");
    }
}
