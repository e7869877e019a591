//! A table for people: columns as wide as they need to be, numbers to the right.

use std::fmt::Write;

/// Puts rows under a heading. The first `left` columns hold words.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0);
        widest.max(console::measure_text_width(heading[column]))
    };
    let widths: Vec<usize> = (0..heading.len()).map(width_of).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut padded = String::new();
        for (column, cell) in cells.enumerate() {
            let space = widths[column].saturating_sub(console::measure_text_width(cell));
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a string does not fail.
            let _: std::fmt::Result = if column < left {
                write!(padded, "{gap}{cell}{:space$}", "")
            } else {
                write!(padded, "{gap}{:space$}{cell}", "")
            };
        }
        text.push_str(padded.trim_end());
        text.push('\n');
    };
    line(&mut heading.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_to_the_left_and_numbers_to_the_right() {
        let rows = [vec!["a".to_owned(), "1,000".to_owned()], vec!["long".to_owned(), "7".to_owned()]];
        assert_eq!(table(&["what", "n"], &rows, 1), "what      n\na     1,000\nlong      7\n");
    }
}
