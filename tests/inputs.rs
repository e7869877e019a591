//! Lists of paths, roots within roots, filters of the binary.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::binary::{check_sums, filemill, jsonl, of_type, text};
use crate::support::Tree;

fn tree() -> Tree {
    let tree = Tree::new();
    for name in ["a/1", "a/2", "a/b/3", "c/4", "c/.hidden/5", "6"] {
        tree.file(name, "x\n");
    }
    tree
}

/// Runs a scan with a list on standard input.
fn with_list(tree: &Tree, list: &[u8], arguments: &[&str]) -> Output {
    let arguments = [&["scan", "--format", "jsonl", "--sort", "path"], arguments].concat();
    let mut child = filemill(&arguments)
        .current_dir(tree.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(list).unwrap();
    child.wait_with_output().unwrap()
}

fn paths(output: &Output) -> Vec<String> {
    let (_, _, records) = jsonl(output);
    check_sums(&records);
    of_type(&records, "file").iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_a_list_names_is_read_in_its_order() {
    let tree = tree();
    let output = with_list(&tree, b"c/4\n\na\n6\n", &["--files-from", "-"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(paths(&output), ["c/4", "a/1", "a/2", "a/b/3", "6"]);
    let (_, _, records) = jsonl(&output);
    assert_eq!(records[0]["roots"], serde_json::json!([]));
    assert_eq!(records[0]["roots_listed"], 3);

    let output = with_list(&tree, b"c/4\0a/2", &["--files0-from", "-"]);
    assert_eq!(paths(&output), ["c/4", "a/2"]);
    // What was typed goes first; a list can be a file.
    tree.file("list", "a/2\na/1");
    assert_eq!(paths(&with_list(&tree, b"", &["6", "--files-from", "list"])), ["6", "a/2", "a/1"]);
    let both = ["--files-from", "list", "--files0-from", "-"];
    assert_eq!(paths(&with_list(&tree, b"c/4\0", &both)), ["a/2", "a/1", "c/4"]);
}

#[test]
fn an_empty_list_is_an_empty_scan() {
    for list in [&b""[..], b"\n", b"\n\n"] {
        let output = with_list(&tree(), list, &["--files-from", "-"]);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        assert!(paths(&output).is_empty());
    }
}

#[test]
fn what_a_list_names_and_is_not_there_is_an_error_record() {
    let tree = tree();
    #[cfg(unix)]
    tree.link("broken", "nowhere");
    let output = with_list(&tree, b"gone\n6\ngone\nbroken\nno/way/there\n6/below\n", &["--files-from", "-"]);
    let (code, stderr, records) = jsonl(&output);
    assert_eq!(code, Some(3), "{stderr}");
    check_sums(&records);
    let errors: Vec<_> = of_type(&records, "error")
        .iter()
        .map(|error| ["path", "step", "cause"].map(|key| error[key].as_str().unwrap()))
        .collect();
    let broken = if cfg!(unix) { "broken-link" } else { "vanished" };
    let expected = [
        ["gone", "walk", "vanished"],
        ["broken", "walk", broken],
        ["no/way/there", "walk", "vanished"],
        ["6/below", "walk", "not-a-directory"],
    ];
    assert_eq!(errors, expected);
    assert_eq!(of_type(&records, "file").len(), 1);
    assert_eq!(records.last().unwrap()["directories_failed"], 0);
    assert!(stderr.contains("gone: left out, it is the same as gone"), "{stderr}");
}

#[test]
fn nothing_is_met_twice_however_often_it_is_named() {
    let tree = tree();
    let list = "a\n./a/1\na/b/../2\na/b\nc/4\nc/4\n".repeat(50);
    let output = with_list(&tree, list.as_bytes(), &["a", "c/", "--files-from", "-"]);
    assert_eq!(paths(&output), ["a/1", "a/2", "a/b/3", "c/.hidden/5", "c/4"]);
    let stderr = text(&output.stderr);
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stderr.contains("filemill: a: left out, it is the same as a\n"), "{stderr}");
    assert!(stderr.contains("300 entries of the list left out, others lead to them"), "{stderr}");
    // Behind what the walk is kept from, an entry stands for itself.
    let output = with_list(&tree, b"c\nc/.hidden/5\n", &["--skip-hidden", "--files-from", "-"]);
    assert_eq!(paths(&output), ["c/4", "c/.hidden/5"]);
}

#[test]
fn what_is_no_list_is_told_before_anything_is_read() {
    #[track_caller]
    fn check(list: &[u8], arguments: &[&str], expected: &str) {
        let output = with_list(&tree(), list, arguments);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        assert_eq!(stderr, format!("filemill: {expected}\n"));
    }
    check(
        b"a\0b\0",
        &["--files-from", "-"],
        "standard input is no list of paths: it holds a NUL, which no path can (--files0-from is for lists that NULs separate)",
    );
    check(b"a\0\0b", &["--files0-from", "-"], "standard input is no list of paths: entry 2 is empty");
    check(
        b"",
        &["--files-from", "no/list"],
        "cannot read the list no/list: No such file or directory (os error 2)",
    );
    check(b"", &["--files-from", "a"], "cannot read the list a: Is a directory (os error 21)");
}

#[cfg(unix)]
#[test]
fn one_stream_cannot_be_two_lists() {
    #[track_caller]
    fn check(arguments: &[&str], expected: &str) {
        let output = with_list(&tree(), b"a/1\n", arguments);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        let rest = "reads the same stream to its end: give each list a stream or a file of its own";
        assert_eq!(text(&output.stderr), format!("filemill: {expected} {rest}\n"));
    }
    check(&["--files-from", "-", "--files0-from", "-"], "--files0-from -: --files-from -");
    check(&["--files-from", "-", "--files-from", "-"], "--files-from -: --files-from -");
    check(
        &["--files0-from", "-", "--files0-from", "/dev/stdin"],
        "--files0-from /dev/stdin: --files0-from -",
    );
    check(
        &["--files-from", "/dev/stdin", "--files-from", "/dev/fd/0"],
        "--files-from /dev/fd/0: --files-from /dev/stdin",
    );
    // A file is read from its start each time.
    let tree = tree();
    tree.file("list", "a/2\n");
    let output =
        with_list(&tree, b"a/1\n", &["--files-from", "-", "--files-from", "list", "--files-from", "list"]);
    assert_eq!(paths(&output), ["a/1", "a/2"]);
}

#[test]
fn a_list_from_an_editor_that_adds_characters_gets_one_hint() {
    #[track_caller]
    fn check(list: &[u8], read: &[&str], expected: Option<&str>) {
        let output = with_list(&tree(), list, &["--files-from", "-"]);
        assert_eq!(paths(&output), read);
        let stderr = text(&output.stderr);
        let hints: Vec<_> = stderr.lines().filter(|line| line.contains("dos2unix")).collect();
        let expected = expected.map(|why| {
            format!("filemill: the list standard input {why}, which filemill takes as part of a name: remove it, for example with dos2unix")
        });
        assert_eq!(hints, expected.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(with_list(&tree(), list, &["-q", "--files-from", "-"]).stderr, b"");
    }
    check(b"a/1\r\na/2\r\n6\n", &["6"], Some("ends its lines with CR LF"));
    check(b"\xef\xbb\xbfa/1\na/2\n", &["a/2"], Some("begins with a byte-order mark"));
    check(
        b"\xef\xbb\xbfa/1\r\na/2\r\n",
        &[],
        Some("begins with a byte-order mark and ends its lines with CR LF"),
    );
    check(b"a/1\ngone\r\n", &["a/1"], None);
}

/// The right values are those of ripgrep, `rg --files -g GLOB PATH`, but for paths that only `..` or a link leads below the
/// current directory.
#[cfg(unix)]
#[test]
fn globs_match_paths_relative_to_the_current_directory() {
    let tree = Tree::new();
    for name in ["src/m.rs", "src/gen/x.rs", "top.rs", "sub/src/s.rs", "sub/n.rs", "target/t.rs"] {
        tree.file(format!("proj/{name}"), "x");
    }
    tree.link("link", "proj");
    tree.link("proj/slink", "src");
    let top = std::fs::canonicalize(tree.path()).unwrap().display().to_string();
    let check = |place: &str, globs: &[&str], paths: &[&str], expected: &[&str]| {
        let at_top = |text: &&str| text.replace("TOP", &top);
        let mut arguments: Vec<String> = ["scan", "--format", "paths", "-q"].map(str::to_owned).to_vec();
        globs.iter().for_each(|glob| arguments.extend(["-g".to_owned(), at_top(glob)]));
        arguments.extend(paths.iter().map(at_top));
        let expected: Vec<String> = expected.iter().map(at_top).collect();
        for sort in ["path", "none"] {
            let output = filemill(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
                .args(["--sort", sort])
                .current_dir(tree.at(place))
                .output()
                .unwrap();
            let printed = text(&output.stdout);
            let mut lines: Vec<_> = printed.lines().collect();
            lines.sort_unstable();
            assert_eq!(lines, expected, "{globs:?} {paths:?} in {place}: {}", text(&output.stderr));
        }
    };
    let only = ["src/*.rs"];
    for (path, expected) in [
        ("TOP/proj", &["TOP/proj/src/m.rs"][..]),
        ("TOP/proj/", &["TOP/proj/src/m.rs"]),
        ("TOP", &["TOP/proj/src/m.rs"]),
        ("..", &["../proj/src/m.rs"]),
        ("../proj", &["../proj/src/m.rs"]),
        ("TOP/proj/../proj", &["TOP/proj/../proj/src/m.rs"]),
        ("TOP/link", &["TOP/link/src/m.rs"]),
        ("../link/src", &["../link/src/m.rs"]),
        ("slink", &[]),
        ("TOP/proj/slink", &[]),
        ("./src", &["./src/m.rs"]),
        ("TOP/proj/src/m.rs", &["TOP/proj/src/m.rs"]),
    ] {
        check("proj", &only, &[path], expected);
    }
    check("proj", &["slink/*.rs"], &["TOP/proj/slink"], &["TOP/proj/slink/m.rs"]);
    check("proj", &["TOP/proj/src/*.rs"], &["TOP/proj"], &["TOP/proj/src/m.rs"]);
    let both = ["TOP/proj/src", "TOP/proj/sub"];
    check("proj", &["src/*.rs", "sub/*.rs"], &both, &["TOP/proj/src/m.rs", "TOP/proj/sub/n.rs"]);
    // What a glob leaves out is not entered.
    let rest = |start: &str, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("{start}/{name}")).collect()
    };
    for start in ["TOP/proj", "../proj", "TOP/link"] {
        let left = rest(start, &["sub/n.rs", "sub/src/s.rs", "target/t.rs", "top.rs"]);
        check("proj", &["!/src"], &[start], &left.iter().map(String::as_str).collect::<Vec<_>>());
        let left = rest(start, &["sub/n.rs", "target/t.rs", "top.rs"]);
        check("proj", &["!src/", "!slink"], &[start], &left.iter().map(String::as_str).collect::<Vec<_>>());
    }
    // Below the current directory, globs match relative paths; elsewhere they match the shown path.
    check("proj/sub", &only, &["TOP/proj"], &["TOP/proj/sub/src/s.rs"]);
    check("proj/sub", &["../src/*.rs"], &[".."], &["../src/m.rs"]);
    check("proj/sub", &only, &["../../proj/src"], &[]);
    // A PATH that is a file, and so an entry of a list, is not filtered.
    check("proj", &["!m.rs"], &["src/m.rs"], &["src/m.rs"]);
    let list = format!("{top}/proj/src/m.rs\n{top}/proj/sub\n");
    let output = with_list(&tree, list.as_bytes(), &["-g", "!/proj/sub/src", "--files-from", "-"]);
    assert_eq!(paths(&output), [format!("{top}/proj/src/m.rs"), format!("{top}/proj/sub/n.rs")]);
}

#[cfg(unix)]
#[test]
fn names_of_every_byte_come_through_a_list() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new();
    let names = [&b"line\nfeed"[..], b"\xff\xfe", b" ", b"-a", b"'=1", b"a\\b\r"];
    for name in names {
        tree.file(std::path::Path::new(std::ffi::OsStr::from_bytes(name)), "x");
    }
    let output = with_list(&tree, &names.join(&0), &["--files0-from", "-"]);
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(of_type(&records, "file").len(), names.len());
}

#[test]
fn gitignore_is_a_flag_of_the_binary() {
    let tree = tree();
    tree.file(".gitignore", "/a/*\n!/a/2\n.hidden/\n");
    for (name, content) in
        [("HEAD", "ref: refs/heads/main\n"), ("config", ""), ("objects/x", ""), ("refs/x", "")]
    {
        tree.file(format!(".git/{name}"), content);
    }
    assert_eq!(paths(&with_list(&tree, b"", &["--gitignore"])), [".gitignore", "6", "a/2", "c/4"]);
    assert_eq!(paths(&with_list(&tree, b"", &["--gitignore", "c", "a"])), ["c/4", "a/2"]);
    let all = paths(&with_list(&tree, b"", &[]));
    assert_eq!(all.len(), 11, "{all:?}");
}

/// Every path once, whichever roots are given: as (path, what became of it).
#[cfg(unix)]
#[track_caller]
fn check(tree: &Tree, arguments: &[&str], expected: &[(&str, &str)]) {
    for flags in [&[][..], &["--sort", "path"]] {
        let arguments = [&["scan", "--format", "jsonl", "-q"], arguments, flags].concat();
        let output = filemill(&arguments).current_dir(tree.path()).output().unwrap();
        let (_, _, records) = jsonl(&output);
        check_sums(&records);
        let mut met: Vec<_> = records[1..records.len() - 1]
            .iter()
            .map(|record| {
                let what = ["reason", "cause"].iter().find_map(|key| record[key].as_str()).unwrap_or("file");
                (record["path"].as_str().unwrap(), what)
            })
            .collect();
        met.sort_unstable();
        assert_eq!(met, expected, "{arguments:?}");
    }
}

#[cfg(unix)]
#[test]
fn roots_that_are_links_in_other_roots() {
    let tree = Tree::new();
    for name in ["d/1", "o/f", "o/g", "p/h"] {
        tree.file(name, "x");
    }
    tree.link("d/file", "../o/f");
    tree.link("d/dir", "../p");
    // Not followed below a root, but as a root: one record.
    check(&tree, &["d", "d/file"], &[("d/1", "file"), ("d/dir", "symlink"), ("d/file", "file")]);
    check(&tree, &["d/file", "d"], &[("d/1", "file"), ("d/dir", "symlink"), ("d/file", "file")]);
    check(&tree, &["d", "d/dir"], &[("d/1", "file"), ("d/dir/h", "file"), ("d/file", "symlink")]);
    check(&tree, &["d", "d/file", "o/f"], &[("d/1", "file"), ("d/dir", "symlink"), ("d/file", "file")]);
    check(&tree, &["d/file", "o"], &[("o/f", "file"), ("o/g", "file")]);
    // Followed everywhere, the other root leads there.
    let all = [("d/1", "file"), ("d/dir/h", "file"), ("d/file", "file")];
    check(&tree, &["-L", "d", "d/file", "d/dir"], &all);
    check(&tree, &["-L", "d/dir", "d"], &all);
}

#[cfg(unix)]
#[test]
fn roots_within_a_limited_depth_descend_from_where_they_are() {
    let tree = Tree::new();
    for name in ["a/1", "a/b/2", "a/b/c/3", "a/b/c/d/4", "a/e/5"] {
        tree.file(name, "x");
    }
    check(
        &tree,
        &["--max-depth", "2", "a", "a/b"],
        &[("a/1", "file"), ("a/b/2", "file"), ("a/b/c/3", "file"), ("a/e/5", "file")],
    );
    check(
        &tree,
        &["--max-depth", "2", "a", "a/b/2"],
        &[("a/1", "file"), ("a/b/2", "file"), ("a/e/5", "file")],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_root_in_a_directory_that_cannot_be_listed_is_read_by_itself() {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let tree = Tree::new();
    tree.file("den/inner/file", "x");
    for (name, mode) in [("", 0o755), ("den", 0o711), ("den/inner", 0o755)] {
        std::fs::set_permissions(tree.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    crate::binary::copy_binary(&tree.at("filemill"));
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "./filemill", "scan", "--format", "paths"])
        .args(["den", "den/inner"])
        .current_dir(tree.path())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "den/inner/file\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn entries_that_are_not_there_contain_nothing() {
    let output = with_list(&tree(), b"gone\ngone/x\ngone/x/y\n", &["--files-from", "-"]);
    let (_, _, records) = jsonl(&output);
    assert_eq!(of_type(&records, "error").len(), 3);
}
