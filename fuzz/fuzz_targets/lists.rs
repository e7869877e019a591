//! A list of paths is taken apart as a naive model does it, and what came out, written down, is that list.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[expect(dead_code, reason = "of the text only its entries are checked")]
#[path = "../../src/cli/lists/text.rs"]
mod text;

fuzz_target!(|input: &[u8]| {
    for separator in [b'\n', 0] {
        let parsed = text::parse(input, separator).map(|paths| paths.collect::<Vec<_>>());
        match (parsed, model(input, separator)) {
            (Ok(parsed), Some(expected)) => {
                assert_eq!(parsed, expected);
                check_written_again(&parsed, separator);
            }
            (Err(why), None) => assert!(!why.is_empty() && !why.contains('\n')),
            (parsed, expected) => panic!("{parsed:?} instead of {expected:?}"),
        }
    }
});

/// The paths; `None` where it is no list.
fn model(text: &[u8], separator: u8) -> Option<Vec<Vec<u8>>> {
    let mut entries = vec![Vec::new()];
    for &byte in text {
        if byte == separator {
            entries.push(Vec::new());
        } else {
            entries.last_mut().expect("never without one").push(byte);
        }
    }
    // What follows the last separator is an entry only where it is something.
    if entries.last().is_some_and(Vec::is_empty) {
        entries.pop();
    }
    if separator == b'\n' {
        entries.retain(|entry| !entry.is_empty());
        return (!text.contains(&0)).then_some(entries);
    }
    // A separator alone is an empty list that was ended.
    if text == [separator] {
        return Some(Vec::new());
    }
    entries.iter().all(|entry| !entry.is_empty()).then_some(entries)
}

/// With a separator after the last path, and without.
fn check_written_again(paths: &[&[u8]], separator: u8) {
    let mut text = paths.join(&separator);
    for _ in 0..2 {
        let again: Vec<_> = text::parse(&text, separator).expect("a list that was one").collect();
        assert_eq!(again, paths);
        text.push(separator);
    }
}
