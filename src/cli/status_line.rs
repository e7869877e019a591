//! One line on a terminal that is redrawn at the bottom of standard error.
//!
//! The cursor waits at the start of the line, and each drawing erases all from there to the end of the screen. So a terminal
//! that gets narrower in between, and wraps the line, is left clean: the cursor is at the first of the wrapped rows. A
//! message goes through [`above`], from whichever thread, and never lands behind the line.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There is one line, as there is one standard error.
static STATE: Mutex<State> = Mutex::new(State::Away);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Away,
    Drawn,
    /// It is not drawn any more.
    Over,
}

/// Columns of a terminal that does not report them.
const WIDTH_DEFAULT: usize = 80;
/// Erases from the start of the line to the end of the screen.
const ERASE: &str = "\r\x1b[J";

/// Draws the line that `text` makes for this many columns; it is cut off there.
pub(super) fn draw(text: impl FnOnce(usize) -> String) {
    let mut state = lock();
    if *state == State::Over {
        return;
    }
    // A terminal keeps the last column for the decision whether to wrap.
    let width = width().saturating_sub(1);
    let line: String = text(width).chars().take(width).collect();
    let mut out = io::stderr().lock();
    // A terminal that is gone shows nothing.
    drop(out.write_all(format!("{ERASE}{line}\r").as_bytes()).and_then(|()| out.flush()));
    *state = State::Drawn;
}

/// Takes the line away.
pub(super) fn clear() {
    above(|| ());
}

/// Prints while the line is away; the next drawing is below the printed text.
pub(super) fn above<T>(print: impl FnOnce() -> T) -> T {
    let mut state = lock();
    erase(&mut state);
    print()
}

/// Takes the line away for good: the result follows on the same terminal.
pub(super) fn end() {
    let mut state = lock();
    erase(&mut state);
    *state = State::Over;
}

fn erase(state: &mut State) {
    if *state == State::Drawn {
        *state = State::Away;
        let mut out = io::stderr().lock();
        drop(out.write_all(ERASE.as_bytes()).and_then(|()| out.flush()));
    }
}

/// A writer whose first bytes take the line away for good.
pub(super) struct EndsLine<W>(pub(super) W);

impl<W: Write> Write for EndsLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        end();
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The first of several texts that fits, or the last.
pub(super) fn fitting(texts: impl IntoIterator<Item = String>, width: usize) -> String {
    let mut shortest = String::new();
    for text in texts {
        if text.chars().count() <= width {
            return text;
        }
        shortest = text;
    }
    shortest
}

/// The part of a turning wheel for this moment: a sign of life before a line.
pub(super) fn wheel(elapsed: std::time::Duration) -> char {
    const PARTS: [char; 8] = ['⠁', '⠂', '⠄', '⡀', '⢀', '⠠', '⠐', '⠈'];
    let at = elapsed.as_millis() / 100 % PARTS.len() as u128;
    PARTS[usize::try_from(at).unwrap_or(0)]
}

fn width() -> usize {
    console::Term::stderr().size_checked().map_or(WIDTH_DEFAULT, |(_, columns)| usize::from(columns))
}

fn lock() -> MutexGuard<'static, State> {
    // What panics under it has printed half a line at worst.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_text_that_fits_is_shown() {
        let texts = ["µ234567890", "12345", "123"];
        let shown = |width| fitting(texts.map(str::to_owned), width);
        assert_eq!([10, 9, 5, 4, 2].map(shown), ["µ234567890", "12345", "12345", "123", "123"]);
    }
}
