//! Progress of a benchmark, and its end by a signal.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use filemill::bench::Watch;
use filemill::control::Control;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use super::super::signals::{self, Received};
use super::Failure;

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
        let template = ProgressStyle::with_template("{spinner} {msg}, {elapsed_precise}");
        bar.set_style(template.expect("the template is right"));
        if is_shown {
            // By a thread of its own: a single run may take long, and says nothing meanwhile.
            bar.enable_steady_tick(TICK);
        }
        let line = bar.clone();
        let next = RefCell::new(Instant::now());
        let tell = Box::new(move |what: &str, done: u64, of: u64| {
            let now = Instant::now();
            if is_shown && now >= *next.borrow() {
                *next.borrow_mut() = now + TICK;
                line.set_message(said(what, done, of));
            }
        });
        Ok(Watched { control, received, tell, bar })
    }

    /// What the benchmark is given.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { control: &self.control, tell: &self.tell }
    }

    /// Takes the line away, for good: what follows is the result.
    pub(super) fn clear(&self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }

    /// Prints while the line is away.
    pub(super) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// The exit code of the signal that came, if any.
    pub(super) fn exit_code(&self) -> Option<u8> {
        self.received.exit_code()
    }
}

/// How far it is.
fn said(what: &str, done: u64, of: u64) -> String {
    match (done, of) {
        (0, 0) => what.to_owned(),
        (done, 0) => format!("{what}: {}", HumanCount(done)),
        (done, of) => format!("{what}: {} of {}", HumanCount(done), HumanCount(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_known() {
        assert_eq!(said("making 10k", 2500, 10_000), "making 10k: 2,500 of 10,000");
        assert_eq!(said("comparing pairs", 12, 0), "comparing pairs: 12");
        assert_eq!(said("warming up", 0, 0), "warming up");
    }
}
