//! Paths for a terminal.

use std::fmt::Write;

/// A path with everything escaped that could move the cursor, change colours or is no text.
pub fn printable(path: &[u8]) -> String {
    let mut shown = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || reorders(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            write!(shown, "\\x{byte:02x}").expect("a string takes all");
        }
    }
    shown
}

/// Characters that change the order or the lines of what stands around them.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        #[track_caller]
        fn check(path: &[u8], expected: &str) {
            assert_eq!(printable(path), expected);
        }
        check(b"plain/name", "plain/name");
        check("naïve 文".as_bytes(), "naïve 文");
        check(b"a\nb\x1b[31m", "a\\nb\\u{1b}[31m");
        check(b"\xff\xc3x", "\\xff\\xc3x");
        check("\u{9b}31m".as_bytes(), "\\u{9b}31m");
        check("\u{202e}txt.exe".as_bytes(), "\\u{202e}txt.exe");
    }
}
