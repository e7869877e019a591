//! The command that goes on where a search was interrupted.

use std::ffi::OsString;
use std::path::Path;

/// The command line that was typed, with what was hashed by then in `partial`, as a shell takes it. `None` if it is no Unicode.
pub(super) fn command(typed: impl IntoIterator<Item = OsString>, partial: &Path) -> Option<String> {
    let mut typed = typed.into_iter().map(|word| word.into_string().ok());
    let mut words = vec![typed.next()??];
    // The subcommand comes first: it has no global flags.
    words.push(typed.next()??);
    words.extend(["--from".to_owned(), partial.to_str()?.to_owned()]);
    let mut are_flags = true;
    while let Some(word) = typed.next() {
        let word = word?;
        are_flags &= word != "--";
        // The partial report has what the earlier one knew and was used.
        if are_flags && word == "--from" {
            typed.next();
        } else if !are_flags || !word.starts_with("--from=") {
            words.push(word);
        }
    }
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./=:,+@%-".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_was_typed_takes_the_partial_report() {
        #[track_caller]
        fn check(typed: &[&str], expected: &str) {
            let command = command(typed.iter().map(OsString::from), Path::new("r.jsonl.partial"));
            assert_eq!(command.as_deref(), Some(expected));
        }
        check(
            &["filemill", "dupes", "--out", "jsonl=r.jsonl", "/a b", "it's"],
            "filemill dupes --from r.jsonl.partial --out jsonl=r.jsonl '/a b' 'it'\\''s'",
        );
        check(
            &[
                "filemill",
                "dupes",
                "--from",
                "old",
                "--from=older",
                "-o",
                "jsonl=r.jsonl",
                "--",
                "--from=x",
                "",
            ],
            "filemill dupes --from r.jsonl.partial -o jsonl=r.jsonl -- --from=x ''",
        );
    }
}
