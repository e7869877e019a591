//! The command that goes on where a search was interrupted.

use std::ffi::OsString;
use std::path::Path;

/// The typed command line as a shell takes it, with `--from` and the digests in `partial`. The new run makes a partial
/// report of its own, so the old one is moved first. `None` if it is no Unicode, or a list came from a stream.
pub(super) fn command(typed: impl IntoIterator<Item = OsString>, partial: &Path) -> Option<String> {
    let mut typed = typed.into_iter().map(|word| word.into_string().ok());
    let mut words = vec![typed.next()??];
    // The subcommand comes first: it has no global flags.
    words.push(typed.next()??);
    let partial = partial.to_str()?;
    let earlier = format!("{partial}.earlier");
    words.extend(["--from".to_owned(), earlier.clone()]);
    let mut are_flags = true;
    while let Some(word) = typed.next() {
        let word = word?;
        are_flags &= word != "--";
        if are_flags && (word == "-" || word.ends_with("=-") || word.contains("/dev/fd/")) {
            return None;
        }
        // The partial report has what the earlier one knew and was used.
        if are_flags && word == "--from" {
            typed.next();
        } else if !are_flags || !word.starts_with("--from=") {
            words.push(word);
        }
    }
    let words = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    Some(format!("mv {} {} && {words}", quoted(partial), quoted(&earlier)))
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
            "mv r.jsonl.partial r.jsonl.partial.earlier && filemill dupes --from r.jsonl.partial.earlier --out jsonl=r.jsonl '/a b' 'it'\\''s'",
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
            "mv r.jsonl.partial r.jsonl.partial.earlier && filemill dupes --from r.jsonl.partial.earlier -o jsonl=r.jsonl -- --from=x ''",
        );
        let streamed = ["filemill", "dupes", "--files0-from", "-"].map(OsString::from);
        assert_eq!(command(streamed, Path::new("r.jsonl.partial")), None);
    }
}
