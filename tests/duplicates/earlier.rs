//! Searches that take digests from an earlier report.

use std::path::{Path, PathBuf};

use filemill::plan::Plan;
use filemill::sink::Jsonl;

use super::{run, search, search_in};
use crate::support::Tree;

/// A scan with digests, as of files that were made long ago. `None`, with a line, if digests of files on this file system are
/// never kept.
fn report(tree: &Tree, place: &Tree) -> Option<PathBuf> {
    let report = report_as_it_is(tree, place)?;
    edit(&report, settled);
    Some(report)
}

fn report_as_it_is(tree: &Tree, place: &Tree) -> Option<PathBuf> {
    let mut plan = Plan::new([tree.path()]);
    plan.analyses = filemill::analyses::parse("lines,blake3").unwrap();
    let mut sink = Jsonl::new(Vec::new());
    filemill::run(&plan, &mut sink).unwrap();
    let report = String::from_utf8(sink.into_inner()).unwrap();
    if report.contains(r#""file_systems":[null]"#) {
        println!("not tried: no digest is kept of files on the file system of {}", tree.path().display());
        return None;
    }
    Some(place.file("report.jsonl", report))
}

fn settled(report: String) -> String {
    report.replace(r#""settled":false"#, r#""settled":true"#)
}

fn edit(report: &Path, edit: impl Fn(String) -> String) {
    std::fs::write(report, edit(std::fs::read_to_string(report).unwrap())).unwrap();
}

#[test]
fn what_is_known_is_not_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, vec![1; 10_000])));
    let Some(report) = report(&tree, &place) else { return };
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
    let Some(report) = report(&tree, &place) else { return };
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

/// A change that keeps size and time of last modification.
#[cfg(unix)]
#[test]
fn a_file_that_was_changed_and_has_its_old_time_is_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b", "c"].iter().for_each(|name| drop(tree.file(name, "one")));
    let Some(report) = report(&tree, &place) else { return };
    std::thread::sleep(std::time::Duration::from_millis(20));
    let file = std::fs::File::options().write(true).open(tree.at("a")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    tree.file("a", "two");
    file.set_modified(modified).unwrap();
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["b"], vec!["c"]]]);
    assert_eq!(found.report.duplicates.unwrap().known_files, 2);
}

/// What of a report is not used has one note, and the files are read.
#[track_caller]
fn check_distrust(edits: impl Fn(String) -> String, note: &str) {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, "one")));
    let Some(report) = report(&tree, &place) else { return };
    edit(&report, edits);
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
    let report = found.report;
    let counts = report.duplicates.unwrap();
    assert_eq!(counts.known_files, 0);
    assert!(counts.read_bytes >= 6, "{}", counts.read_bytes);
    assert_eq!(report.notes, [note]);
}

#[test]
fn a_report_without_the_keys_of_today_is_not_used() {
    let note = "the earlier report is not used, all files are read: it was made by an older version, which kept too little to \
                notice every change";
    let without = |text: String, key: &str| {
        let start = text.find(key).unwrap();
        let end = start + text[start..].find(']').unwrap() + 2;
        format!("{}{}", &text[..start], &text[end..])
    };
    check_distrust(|text| without(text, r#""file_systems":["#), note);
    let of_one =
        "2 of 2 digests of the earlier report are not used: the file could change unseen after it was read";
    for key in ["ctime_ns", "mode", "settled"] {
        check_distrust(|text| text.replace(&format!("\"{key}\":"), &format!("\"other_{key}\":")), of_one);
    }
}

#[test]
fn a_report_of_the_future_is_not_used() {
    let note = "the earlier report is not used, all files are read: it was begun in the future, so a clock was or is wrong";
    for year in ["2999", "9999", "+012345"] {
        let begun = |text: String| {
            let start = text.find(r#""started":""#).unwrap() + r#""started":""#.len();
            format!("{}{year}{}", &text[..start], &text[start + 4..])
        };
        check_distrust(begun, note);
    }
}

#[test]
fn files_that_were_just_made_are_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    ["a", "b"].iter().for_each(|name| drop(tree.file(name, "one")));
    let Some(report) = report_as_it_is(&tree, &place) else { return };
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
    assert_eq!(found.report.duplicates.unwrap().known_files, 0);
    let note =
        "2 of 2 digests of the earlier report are not used: the file could change unseen after it was read";
    assert_eq!(found.report.notes, [note]);
}

/// A page that is dirty already takes writes through the mapping, and the times of the file stay.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "to map a file")]
#[test]
fn a_file_that_is_mapped_for_writing_is_read_again() {
    let (tree, place) = (Tree::new(), Tree::new());
    let changed = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        let status = std::fs::metadata(tree.at(name)).unwrap();
        (status.mtime(), status.mtime_nsec(), status.ctime(), status.ctime_nsec())
    };
    let map = |name: &str| {
        let file = std::fs::File::options().read(true).write(true).open(tree.at(name)).unwrap();
        // SAFETY: The file belongs to this test and keeps its size.
        unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap()
    };
    ["mapped", "unmapped", "other"].iter().for_each(|name| drop(tree.file(name, vec![1; 8192])));
    let (mut mapped, mut unmapped) = (map("mapped"), map("unmapped"));
    (mapped[0], unmapped[0]) = (1, 1);
    drop(unmapped);
    // Beyond the tick of any clock that stamps files.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let Some(report) = report_as_it_is(&tree, &place) else { return };
    let before = ["mapped", "unmapped"].map(changed);
    mapped[..4].fill(2);
    map("unmapped")[..4].fill(2);
    // The file system may write the page back in between, most unlikely as that is.
    if changed("mapped") == before[0] {
        println!("the change of the mapped file left its times as they were");
    }
    assert_ne!(changed("unmapped"), before[1]);

    let text = std::fs::read_to_string(&report).unwrap();
    let settled_of = |name: &str| {
        let line = text.lines().find(|line| line.contains(&format!("/{name}\""))).unwrap();
        line.contains(r#""settled":true"#)
    };
    assert!(!settled_of("mapped"), "it is open for writing");
    let mut search = search(&tree);
    search.take_from(&report).unwrap();
    let (keep, found) = run(&search);
    assert_eq!(keep.copies(), [[vec!["mapped"], vec!["unmapped"]]]);
    // A file that can have a lease is known.
    let known = u64::from(settled_of("other"));
    assert_eq!(found.report.duplicates.unwrap().known_files, known);
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
    let Some(report) = report(&tree, &place) else { return };
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
    let Some(report) = report(&tree, &place) else { return };
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
    let whole = settled(String::from_utf8(sink.into_inner()).unwrap());
    if whole.contains(r#""file_systems":[null]"#) {
        return;
    }
    let records = |types: &[&str]| -> String {
        let is_wanted =
            |line: &&str| types.iter().any(|name| line.starts_with(&format!("{{\"type\":\"{name}\"")));
        whole.lines().filter(is_wanted).map(|line| format!("{line}\n")).collect()
    };
    for (types, is_read) in [(&["begin", "file"][..], false), (&["begin", "group"], true)] {
        let report = place.file("report.jsonl", records(types));
        let mut search = search(&tree);
        search.take_from(&report).unwrap();
        let (keep, found) = run(&search);
        assert_eq!(keep.copies(), [[vec!["a"], vec!["b"]]]);
        assert_eq!(found.report.duplicates.unwrap().read_bytes > 0, is_read, "{types:?}");
    }
}

/// Two disks that take turns at one place. Everything that stat returns of a file is the same on both, the content is not.
#[cfg(all(feature = "cli", target_os = "linux"))]
#[test]
fn another_file_system_at_the_same_place_is_read_again() {
    let place = Tree::new();
    let (at, binary) = (place.path().display(), env!("CARGO_BIN_EXE_filemill"));
    let contents = ["one-of-two", "two-of-two"].map(|content| content.repeat(500));
    place.file("content", &contents[0]);
    place.directory("disk");
    // What goes wrong with the scene is 99: then it cannot be set here.
    let script = format!(
        "cd {at} || exit 99; truncate -s 8M first || exit 99
        mkfs.ext4 -q -O ^metadata_csum first && mount -o loop first disk || exit 99
        cp content disk/a && cp content disk/b || exit 99
        sleep 2.5
        {binary} scan -a blake3 --format jsonl disk > report.jsonl
        umount disk || exit 99
        cp first second && tune2fs -U random second > /dev/null || exit 99
        at=$(grep -obUaF one-of-two second | head -n 1 | cut -d : -f 1)
        printf two-of-two | dd of=second bs=1 seek=$at conv=notrunc 2> /dev/null || exit 99
        for image in first second; do
            mount -o loop $image disk || exit 99
            {binary} dupes --from report.jsonl --format jsonl disk
            umount disk || exit 99
        done"
    );
    let Some(output) = crate::outside::with_mounts(&script) else {
        let is_required = std::env::var_os("FILEMILL_MOUNTS").is_some_and(|wanted| wanted == "require");
        assert!(!is_required, "FILEMILL_MOUNTS requires ext4");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let ends: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|record: &serde_json::Value| record["type"] == "end")
        .collect();
    let found = ends.iter().map(|end| {
        let counts = &end["duplicates"];
        [counts["known_files"].as_u64().unwrap(), counts["groups"].as_u64().unwrap()]
    });
    assert_eq!(found.collect::<Vec<_>>(), [[2, 1], [0, 0]], "{}", String::from_utf8_lossy(&output.stderr));
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
