//! Searches that take digests from an earlier report.

use std::path::{Path, PathBuf};

use filemill::plan::Plan;
use filemill::sink::Jsonl;

use super::{run, search, search_in};
use crate::support::Tree;

/// A scan with digests, of a time that is to come: files that were made just now are as old as the report needs them.
fn report(tree: &Tree, place: &Tree) -> PathBuf {
    let mut plan = Plan::new([tree.path()]);
    plan.analyses = filemill::analyses::parse("lines,blake3").unwrap();
    let mut sink = Jsonl::new(Vec::new());
    filemill::run(&plan, &mut sink).unwrap();
    place.file("report.jsonl", later(&String::from_utf8(sink.into_inner()).unwrap()))
}

fn later(report: &str) -> String {
    let start = report.find(r#""started":""#).unwrap() + r#""started":""#.len();
    format!("{}2999{}", &report[..start], &report[start + 4..])
}

fn edit(report: &Path, edit: impl Fn(String) -> String) {
    std::fs::write(report, edit(std::fs::read_to_string(report).unwrap())).unwrap();
}

#[test]
fn what_is_known_is_not_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, vec![1; 10_000])));
    let report = report(&tree, &place);
    let mut search = search(&tree);
    let roots = search.take_from(&report).unwrap();
    assert_eq!(roots[0].path(), tree.path());
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
    let counts = found.report.duplicates.unwrap();
    assert_eq!((counts.known_files, counts.read_bytes), (2, 0));
    assert_eq!(keep.outcomes.len(), 2, "what is known is told again, for a report that is cut short");
}

#[test]
fn what_changed_is_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b", "c"].iter().for_each(|name| drop(tree.file(name, "one")));
    let report = report(&tree, &place);
    std::thread::sleep(std::time::Duration::from_millis(20));
    tree.file("b", "two");
    tree.file("new", "two");
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["a"], vec!["c"]], [vec!["b"], vec!["new"]]]);
    let counts = found.report.duplicates.unwrap();
    assert_eq!((counts.known_files, counts.read_bytes), (2, 6));
}

/// A change of which size and time of last modification tell nothing.
#[test]
fn a_file_that_was_touched_after_the_report_is_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, "one")));
    let report = report(&tree, &place);
    edit(&report, |text| text.replace("\"started\":\"2999", "\"started\":\"2001"));
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
    let report = found.report;
    assert_eq!(report.duplicates.unwrap().known_files, 0);
    assert_eq!(
        report.notes,
        ["of 2 files that the earlier report knows none is of use: are the paths the same?"]
    );
}

/// The names, sizes and times stay, and what they lead to does not.
#[cfg(unix)]
#[test]
fn directories_that_were_exchanged_are_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    for (name, content) in [("a/1", "one"), ("b/1", "two"), ("c", "one")] {
        let file = tree.file(name, content);
        let file = std::fs::File::options().write(true).open(file).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    let report = report(&tree, &place);
    for (from, to) in [("a", "x"), ("b", "a"), ("x", "b")] {
        std::fs::rename(tree.at(from), tree.at(to)).unwrap();
    }
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, _) = run(&search);
    assert_eq!(keep.copies(), [[vec!["b/1"], vec!["c"]]]);
}

#[test]
fn a_report_that_was_cut_short_is_used_as_far_as_it_goes() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b", "c", "d"].iter().for_each(|name| drop(tree.file(name, vec![1; 5000])));
    let report = report(&tree, &place);
    edit(&report, |text| {
        text.lines().take(3).map(|line| format!("{line}\n")).collect::<String>() + "{\"type\":\"fi"
    });
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.groups[0].copies.len(), 4);
    let report = found.report;
    assert_eq!(report.notes, ["the earlier report was cut short: it is used as far as it goes"]);
    let counts = report.duplicates.unwrap();
    assert_eq!((counts.known_files, counts.read_bytes), (2, 10_000));
}

#[test]
fn what_a_search_wrote_another_one_goes_on_with() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, vec![1; 5000])));
    let mut sink = Jsonl::new(Vec::new());
    filemill::duplicates::find(&search(&tree), &mut sink, &filemill::control::Control::new()).unwrap();
    let whole = later(&String::from_utf8(sink.into_inner()).unwrap());
    let records = |types: &[&str]| -> String {
        let is_wanted =
            |line: &&str| types.iter().any(|name| line.starts_with(&format!("{{\"type\":\"{name}\"")));
        whole.lines().filter(is_wanted).map(|line| format!("{line}\n")).collect()
    };
    for types in [&["begin", "file"][..], &["begin", "group"]] {
        let report = place.file("report.jsonl", records(types));
        let mut search = search(&tree);
        search.take_from(&report).unwrap();
        let (keep, found) = run(&search);
        assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
        assert_eq!(found.report.duplicates.unwrap().read_bytes, 0, "{types:?}");
    }
}

#[test]
fn what_is_no_such_report_is_refused() {
    let place = Tree::new();
    let plan = || search_in(Plan::new([place.path()]));
    let check = |content: &str, expected: &str| {
        let report = place.file("report", content);
        let error = plan().take_from(&report).unwrap_err().to_string();
        assert!(error.starts_with(report.to_str().unwrap()) && error.ends_with(expected), "{error}");
    };
    check("", "no filemill report: its first line is no \"begin\" record");
    check("hello\n", "no filemill report: its first line is no \"begin\" record");
    check(
        r#"{"type":"begin","schema":"filemill.scan/2","started":"2026-01-01T00:00:00Z","roots":[],"columns":[]}"#,
        r#"its schema is "filemill.scan/2", not "filemill.scan/1""#,
    );
    let error = plan().take_from(&place.at("nowhere")).unwrap_err().to_string();
    assert!(error.contains("nowhere: "), "{error}");
}
