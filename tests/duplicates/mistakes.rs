//! Mistakes on the command line of a search: each is one line with exit code 2.

use super::command::{duplicates, tree};
use crate::binary::text;
use crate::support::Tree;

#[test]
fn mistakes_are_told_in_one_line() {
    let tree = tree();
    tree.file("foreign.jsonl", "{\"type\":\"begin\",\"schema\":\"other/1\"}\n");
    #[track_caller]
    fn check(tree: &Tree, arguments: &[&str], expected: &str) {
        let output = duplicates(tree, arguments);
        let stderr = text(&output.stderr);
        assert_eq!(
            (output.status.code(), stderr.as_str()),
            (Some(2), format!("filemill: {expected}\n").as_str())
        );
        assert!(output.stdout.is_empty());
    }
    check(&tree, &["--reference", "a", "b"], "a: the reference lies in none of the paths that are searched");
    check(&tree, &["--reference", "a/1"], "a/1: a reference must be a directory");
    check(&tree, &["--reference", "none"], "none: No such file or directory (os error 2)");
    check(&tree, &["--across", "a"], "--across needs at least two paths");
    check(
        &tree,
        &["--dirs", "--max-depth", "2"],
        "directories cannot be compared to a depth: files below it may differ",
    );
    check(
        &tree,
        &["--dirs=like"],
        "invalid value 'like' for '--dirs[=<HOW>]': use identical, or similar:SHARE with a share from 0 to 1: see `filemill duplicates --help`",
    );
    check(
        &tree,
        &["--dirs=similar:2"],
        "invalid value 'similar:2' for '--dirs[=<HOW>]': the share must be above 0 and at most 1: see `filemill duplicates --help`",
    );
    check(
        &tree,
        &["--apply"],
        "the following required arguments were not provided: --action <WHAT>: see `filemill duplicates --help`",
    );
    check(
        &tree,
        &["--action", "hardlink", "--format", "csv"],
        "--action needs a format that shows it: summary, table or jsonl",
    );
    check(
        &tree,
        &["--from", "foreign.jsonl"],
        "foreign.jsonl: its schema is \"other/1\", not \"filemill.scan/1\"",
    );
    check(&tree, &["--from", "c"], "c: is a directory");
    let near = |value: &str, why: &str| {
        format!("invalid value '{value}' for '--{why}: see `filemill duplicates --help`")
    };
    for value in ["0", "1.01", "nan", "x"] {
        let why = near(value, "near <SIMILARITY>': the similarity must be above 0 and at most 1");
        check(&tree, &["--near", value], &why);
    }
    for (value, why) in [
        ("k=0", "k must be from 1 to 1024"),
        ("k=1025", "k must be from 1 to 1024"),
        ("shingle=bytes:65", "a shingle is bytes:N with N from 1 to 64, or words:N with N from 1 to 16"),
    ] {
        let why = near(value, &format!("minhash <PARAMETERS>': {why}"));
        check(&tree, &["--near", "0.8", "--minhash", value], &why);
    }
    check(
        &tree,
        &["--exact"],
        "the following required arguments were not provided: --near <SIMILARITY>: see `filemill duplicates --help`",
    );
    check(
        &tree,
        &["--near", "0.8", "--format", "fdupes"],
        "in the layout of fdupes all files of a group are the same: use another format with --near",
    );
    check(
        &tree,
        &["--near", "0.8", "--dirs"],
        "files that are nearly the same and directories are searched for one after the other",
    );
    let output = duplicates(&tree, &["--near", "0.8", "--memory", "2MiB"]);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("filemill: a memory of 2097152 bytes is too small: "), "{stderr}");
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1));
    tree.file("list", "a\nb\n");
    duplicates(&tree, &["--files-from", "list", "--out", "jsonl=listed.jsonl", "-q"]);
    check(
        &tree,
        &["--from", "listed.jsonl"],
        "listed.jsonl: its paths came from a list: type the paths, or give the list again",
    );
    check(
        &tree,
        &["--dirs", "--format", "fdupes"],
        "the layout of fdupes has no directories: use another format with --dirs",
    );
    check(
        &tree,
        &["--across", "a", "b/../a"],
        "--across needs at least two paths; b/../a: left out, it is the same as a",
    );
    let why = "--across needs at least two paths; a: left out, it lies inside .";
    check(&tree, &["--across", ".", "a"], why);
    for references in [&["--reference", "a", "a"][..], &["--reference", ".", "a", "b"]] {
        let why =
            "every searched path lies in a reference, so nothing can be found: add a path outside of them";
        check(&tree, references, &format!("{}: {why}", references[1]));
    }
    check(
        &tree,
        &["--near", "0.8", "--from", "a"],
        "--near cannot use --from: a report has digests and no sketches, so every file is read; leave out --from",
    );
    check(&tree, &["nowhere"], "nowhere: No such file or directory (os error 2)");
}
