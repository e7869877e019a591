//! Progress of a benchmark, and its end by a signal.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill::bench::Watch;
use filemill::control::Control;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::super::signals::{self, Received};
use super::Failure;

/// What is over sooner shows nothing.
const QUIET: Duration = Duration::from_secs(1);
/// The line is written so often at most.
const TICK: Duration = Duration::from_millis(100);

/// Is told what is being done, how much of it is done, and of how much.
type Tell = dyn Fn(&str, u64, u64);

/// A benchmark that runs.
pub(super) struct Watched {
    control: Arc<Control>,
    received: Received,
    tell: Box<Tell>,
    bar: ProgressBar,
}

impl Watched {
    /// Shows a line where `is_shown`.
    pub(super) fn new(is_shown: bool) -> Result<Watched, Failure> {
        let control = Arc::new(Control::new());
        let received = signals::watch(control.clone(), Vec::new())
            .map_err(|error| Failure::Report(format!("cannot watch for signals: {error}")))?;
        let bar = if is_shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
        let line = bar.clone();
        let since = Instant::now();
        let next = RefCell::new(since + QUIET);
        let tell = Box::new(move |what: &str, done: u64, of: u64| {
            let now = Instant::now();
            if !is_shown || now < *next.borrow() {
                return;
            }
            *next.borrow_mut() = now + TICK;
            line.set_message(said(what, done, of, since.elapsed()));
            line.tick();
        });
        Ok(Watched { control, received, tell, bar })
    }

    /// What the benchmark is given.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { control: &self.control, tell: &self.tell }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// The exit code of the signal that came, if any.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.received.exit_code()
    }
}

/// How far it is.
fn said(what: &str, done: u64, of: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match (done, of) {
        (0, 0) => format!("{what}, {seconds} s"),
        (done, 0) => format!("{what}: {}, {seconds} s", HumanCount(done)),
        (done, of) => {
            let percent = 100.0 * done as f64 / of as f64;
            format!("{what}: {percent:.0} % of {}, {seconds} s", HumanCount(of))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_known() {
        let second = Duration::from_secs(1);
        assert_eq!(said("making 10k", 2500, 10_000, second), "making 10k: 25 % of 10,000, 1 s");
        assert_eq!(said("comparing pairs", 12, 0, second), "comparing pairs: 12, 1 s");
        assert_eq!(said("warming up", 0, 0, second), "warming up, 1 s");
    }
}
