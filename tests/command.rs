//! The binary from outside: what it prints, exit codes, messages, few handles.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::binary::{check_sums, filemill, jsonl, of_type, text};
use crate::support::Tree;

#[test]
fn a_report_begins_ends_and_adds_up() {
    let tree = Tree::new();
    tree.file("a/one.txt", "one two\nthree\n");
    tree.file("b/empty", "");
    #[cfg(unix)]
    tree.link("b/link", "empty");
    let output = filemill(&["scan", "-a", "full", "--format", "jsonl", "."])
        .current_dir(tree.path())
        .output()
        .unwrap();
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    check_sums(&records);
    let begin = &records[0];
    assert_eq!(begin["schema"], "filemill.scan/1");
    assert_eq!(begin["roots"], serde_json::json!(["."]));
    assert_eq!(begin["options_hash"].as_str().unwrap().len(), 16);
    let one = of_type(&records, "file").into_iter().find(|file| file["path"] == "./a/one.txt").unwrap();
    assert_eq!((&one["lines"], &one["words"], &one["size"]), (&2.into(), &3.into(), &14.into()));
    assert_eq!(
        (&one["text"], &one["encoding"], &one["kind"]),
        (&true.into(), &"US-ASCII".into(), &Json::Null)
    );
    assert_eq!(one["blake3"], blake3::hash(b"one two\nthree\n").to_hex().as_str());
}

#[test]
fn paths_are_shown_as_the_roots_were_given() {
    let tree = Tree::new();
    tree.file("a/b", "x");
    let path = |arguments: &[&str]| {
        let arguments = [&["scan", "-a", "none", "--format", "jsonl"], arguments].concat();
        let output = filemill(&arguments).current_dir(tree.path()).output().unwrap();
        of_type(&jsonl(&output).2, "file")[0]["path"].as_str().unwrap().to_owned()
    };
    assert_eq!(path(&[]), "a/b");
    assert_eq!(path(&["."]), "./a/b");
    assert_eq!(path(&["a"]), "a/b");
    assert_eq!(path(&["a/"]), "a/b");
    assert_eq!(path(&["a//"]), "a//b");
    assert_eq!(path(&["./a"]), "./a/b");
    assert_eq!(path(&["a/b"]), "a/b");
}

#[test]
fn mistakes_take_one_line_code_2_and_write_nothing() {
    #[track_caller]
    fn check(arguments: &[&str], expected: &str) {
        let output = filemill(arguments).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(text(&output.stdout), "");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("filemill: ") && stderr.contains(expected), "{stderr}");
    }
    check(&["scan", "-a", "lnes"], "unknown analysis \"lnes\": did you mean \"lines\"?");
    check(&["scan", "/no/such/root"], "/no/such/root: No such file or directory");
    check(&["scan", "--format", "jsonl", ".", "/no/such/root"], "/no/such/root");
    check(&["scan", "--min-size", "4 parsecs"], "unknown unit \"parsecs\"");
    check(&["scan", "--min-size", "2", "--max-size", "1"], "at least 2 and at most 1 bytes");
    check(&["scan", "-a", "none,lines"], "\"none\" cannot be combined");
    check(&["scan", "-j", "0"], "not \"auto\" or a number from 1 to 4096");
    check(&["scan", "-j", "many"], "invalid value 'many'");
    check(&["scan", "--batch-files", "0"], "0 is not in");
    check(&["scan", "--batch-bytes", "0"], "must be at least 1 byte");
    check(&["scan", "--device", ""], "not auto, cpu, gpu or a part of an adapter's name");
    check(&["duplicates", "--device", " "], "not auto, cpu, gpu or a part of an adapter's name");
    check(&["scan", "--gpu-memory", "0"], "must be at least 1 byte");
    check(&["scan", "--gpu-memory", "half"], "unknown unit \"half\"");
    check(&["scan", "--gpu-verify", "some"], "invalid value 'some'");
    check(&["scan", "-g", "a["], "a[");
    check(&["scan", "--format", "yaml"], "invalid value 'yaml'");
    check(&["scna"], "a similar subcommand exists: 'scan'");
    check(&[], "no command given: try `filemill scan`");
}

#[test]
fn help_and_version_go_to_standard_output() {
    for arguments in [&["--help"][..], &["scan", "--help"], &["--version"], &["-V"]] {
        let output = filemill(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
        assert!(!output.stdout.contains(&0x1b), "no colours into a pipe");
    }
}

#[test]
fn a_root_inside_another_is_left_out_with_a_message() {
    let tree = Tree::new();
    tree.file("a/b/file", "x");
    let output =
        filemill(&["scan", "--format", "jsonl", "a", "a/b"]).current_dir(tree.path()).output().unwrap();
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), "filemill: a/b: left out, it lies inside a\n"));
    assert_eq!(of_type(&records, "file").len(), 1);
}

#[test]
fn the_summary_tells_what_is_there() {
    let tree = Tree::new();
    tree.file("a/one.txt", "one two\nthree\n");
    tree.file("a/two.rs", "x\n");
    tree.file("b/zeros.bin", [0; 4096]);
    let output = filemill(&["scan"]).current_dir(tree.path()).output().unwrap();
    let summary = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    for expected in [
        "3 files, 4.11 kB, in 3 directories",
        "text, US-ASCII",
        "binary, unknown",
        ".txt",
        "b/zeros.bin",
        "3 lines and 4 words in 2 text files",
        " (p50), ",
        "3 paths met = 3 done + 0 skipped + 0 failed",
    ] {
        assert!(summary.contains(expected), "{expected:?} is not in\n{summary}");
    }
    assert!(!summary.contains('\x1b'), "no colours into a pipe");
    let coloured = filemill(&["scan", "--color", "always"]).current_dir(tree.path()).output().unwrap();
    assert!(text(&coloured.stdout).contains('\x1b'));
}

#[test]
fn an_empty_tree_is_no_error() {
    let tree = Tree::new();
    for format in [&["scan"][..], &["scan", "--format", "jsonl"]] {
        let output = filemill(format).current_dir(tree.path()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// As somebody who is not allowed everything.
    fn unprivileged(arguments: &[&str]) -> Command {
        if !rustix::process::geteuid().is_root() {
            return filemill(arguments);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_filemill")]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    #[test]
    fn what_may_not_be_read_is_an_error_record_and_code_3() {
        let tree = Tree::new();
        tree.file("open/file", "x");
        tree.file("closed/file", "x");
        let secret = tree.file("open/secret", "x");
        let set_mode = |path: &std::path::Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        set_mode(tree.path(), 0o755);
        set_mode(&secret, 0);
        set_mode(&tree.at("closed"), 0);
        // The binary lies where others may not look: a copy beside the tree.
        let place = Tree::new();
        set_mode(place.path(), 0o755);
        let copy = place.at("filemill");
        crate::binary::copy_binary(&copy);
        let run = |arguments: &[&str]| {
            let original = unprivileged(arguments);
            let mut command = Command::new(original.get_program());
            let own = env!("CARGO_BIN_EXE_filemill");
            if original.get_program() == own {
                command = Command::new(&copy);
            }
            command.args(
                original.get_args().map(|argument| if argument == own { copy.as_os_str() } else { argument }),
            );
            command.current_dir(tree.path()).stdin(Stdio::null()).output().unwrap()
        };
        let (code, stderr, records) = jsonl(&run(&["scan", "--format", "jsonl", "."]));
        set_mode(&tree.at("closed"), 0o755);
        assert_eq!((code, stderr.as_str()), (Some(3), "filemill: 2 paths could not be read\n"));
        check_sums(&records);
        let mut errors: Vec<_> = of_type(&records, "error")
            .iter()
            .map(|error| {
                ["path", "step", "cause", "errno"].map(|key| error[key].as_str().unwrap().to_owned())
            })
            .collect();
        errors.sort();
        let expected =
            [["./closed", "walk", "denied", "EACCES"], ["./open/secret", "stage", "denied", "EACCES"]];
        assert_eq!(errors, expected.map(|words| words.map(str::to_owned)));
        assert_eq!(records.last().unwrap()["directories_failed"], 1);

        set_mode(&tree.at("closed"), 0);
        let summary = run(&["scan", "."]);
        set_mode(&tree.at("closed"), 0o755);
        assert_eq!(summary.status.code(), Some(3));
        let stderr = text(&summary.stderr);
        assert!(stderr.contains("filemill: ./closed: cannot be listed: denied (EACCES)\n"), "{stderr}");
        assert!(stderr.contains("filemill: ./open/secret: cannot be read: denied (EACCES)\n"), "{stderr}");
        assert!(text(&summary.stdout).contains("2 failed (2 denied)"));
    }

    #[test]
    fn a_report_that_cannot_be_written_is_an_error() {
        let tree = Tree::new();
        tree.file("file", "x");
        for format in [&["scan"][..], &["scan", "--format", "jsonl"]] {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let output = filemill(format).current_dir(tree.path()).stdout(full).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(stderr.contains("No space left on device") && stderr.lines().count() == 1, "{stderr}");
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_error() {
        let tree = Tree::new();
        for i in 0..5000 {
            tree.file(format!("{}/a file with a name that fills the pipe {i}", i % 50), "");
        }
        let mut child = filemill(&["scan", "--format", "jsonl"])
            .current_dir(tree.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }

    #[test]
    fn the_file_behind_standard_output_is_left_out() {
        let tree = Tree::new();
        tree.file("file", "x");
        let report = File::create(tree.at("report.jsonl")).unwrap();
        let status = filemill(&["scan", "--format", "jsonl"])
            .current_dir(tree.path())
            .stdout(report)
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0));
        let report = fs::read_to_string(tree.at("report.jsonl")).unwrap();
        let records: Vec<Json> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_sums(&records);
        let skipped = of_type(&records, "skipped");
        assert_eq!(
            (&skipped[0]["path"], &skipped[0]["reason"]),
            (&"report.jsonl".into(), &"own-output".into())
        );
    }

    #[test]
    fn sixty_four_handles_suffice_for_the_binary() {
        let tree = Tree::new();
        for i in 0..500 {
            tree.file(format!("{}/{}/{}/{i}", i % 5, i % 50, i % 250), "x");
        }
        let script =
            format!("ulimit -n 64 && exec {} scan -j 32 --format jsonl .", env!("CARGO_BIN_EXE_filemill"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
        let (code, stderr, records) = jsonl(&output);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("workers instead of 32"), "{stderr}");
        check_sums(&records);
        assert_eq!(of_type(&records, "file").len(), 500);
    }

    #[test]
    fn roots_that_have_no_real_path() {
        // A pipe has a path in /dev/fd and no real one.
        let script = format!("echo x | {} scan --format jsonl /dev/stdin", env!("CARGO_BIN_EXE_filemill"));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let (code, stderr, records) = jsonl(&output);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(of_type(&records, "skipped")[0]["reason"], "fifo");
        if !rustix::process::geteuid().is_root() {
            return;
        }
        // A relative path in a directory that was entered before the one above it was closed.
        let tree = Tree::new();
        tree.file("closed/open/below/file", "x");
        let mode =
            |path: &str, mode| fs::set_permissions(tree.at(path), fs::Permissions::from_mode(mode)).unwrap();
        mode("", 0o755);
        mode("closed", 0o700);
        crate::binary::copy_binary(&tree.at("closed/open/filemill"));
        let script = "exec setpriv --reuid=65534 --regid=65534 --clear-groups                       ./filemill scan --format jsonl below";
        let output =
            Command::new("sh").args(["-c", script]).current_dir(tree.at("closed/open")).output().unwrap();
        let (code, stderr, records) = jsonl(&output);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(of_type(&records, "file")[0]["path"], "below/file");
    }

    #[test]
    fn names_of_roots_reach_a_terminal_escaped() {
        let output = filemill(&["scan", "no\u{1b}[31msuch"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("no\\u{1b}[31msuch: No such file"), "{output:?}");
    }

    #[test]
    fn the_last_of_repeated_flags_counts_and_globs_add_up() {
        let tree = Tree::new();
        for name in ["a.rs", "b.rs", "c.md", "d.txt"] {
            tree.file(name, "x");
        }
        let flags =
            ["scan", "--format", "jsonl", "-j", "1", "-j", "2", "-a", "full", "-a", "none", "-x", "-x"];
        let globs = ["-g", "*.rs", "-g", "*.md", "-g", "!b.rs"];
        let output = filemill(&[&flags[..], &globs].concat()).current_dir(tree.path()).output().unwrap();
        let (code, stderr, records) = jsonl(&output);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(records[0]["columns"], serde_json::json!([]));
        let mut paths: Vec<_> =
            of_type(&records, "file").iter().map(|file| file["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["a.rs", "c.md"]);
    }

    #[test]
    fn colours_are_as_the_variables_say() {
        let tree = Tree::new();
        tree.file("a", "x");
        let coloured = |variables: &[(&str, &str)]| {
            let mut command = filemill(&["scan"]);
            command.current_dir(tree.path()).envs(variables.iter().copied());
            command.output().unwrap().stdout.contains(&0x1b)
        };
        assert!(!coloured(&[]));
        assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")]));
        assert!(!coloured(&[("CLICOLOR_FORCE", "0")]));
        assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")]));
    }

    #[test]
    fn a_deep_tree_with_forty_handles() {
        let tree = Tree::new();
        // Three subdirectories a level, one of which goes on; also through a link, where `..` leads elsewhere.
        let mut path = std::path::PathBuf::from("real/top");
        for level in 0..100 {
            for side in ["a", "c"] {
                tree.file(path.join(side).join("file"), level.to_string());
            }
            path.push("b");
        }
        tree.link("linked", "real/top");
        for (flags, expected) in [("", 200), ("-L", 400)] {
            let binary = env!("CARGO_BIN_EXE_filemill");
            let script = format!("ulimit -n 40 && exec {binary} scan {flags} -j 2 --format jsonl .");
            let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
            let (code, stderr, records) = jsonl(&output);
            assert_eq!((code, stderr.as_str()), (Some(0), ""));
            check_sums(&records);
            assert_eq!(of_type(&records, "file").len(), expected);
        }
    }

    #[test]
    fn names_reach_a_terminal_escaped_and_a_program_as_they_are() {
        use std::os::unix::ffi::OsStrExt;
        let tree = Tree::new();
        tree.file("\x1b[31mred\n", "xx");
        tree.file(std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff")), "x");
        let summary = filemill(&["scan"]).current_dir(tree.path()).output().unwrap();
        assert!(text(&summary.stdout).contains("\\u{1b}[31mred\\n"));
        let output = filemill(&["scan", "--format", "jsonl"]).current_dir(tree.path()).output().unwrap();
        let (_, _, records) = jsonl(&output);
        let paths: Vec<_> = of_type(&records, "file").iter().map(|file| file["path"].clone()).collect();
        assert!(paths.contains(&"\u{1b}[31mred\n".into()));
        assert!(paths.contains(&serde_json::json!({ "bytes": "/w==" })));
    }
}
