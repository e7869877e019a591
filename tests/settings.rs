//! Variables, filemill.toml, completions and manual pages.

use std::process::Output;

use crate::binary::{filemill, jsonl, text};
use crate::support::Tree;

/// A tree with a filemill.toml, and a user with another.
struct Scene {
    tree: Tree,
    home: Tree,
}

impl Scene {
    fn new(of_tree: &str, of_user: &str) -> Scene {
        let scene = Scene { tree: Tree::new(), home: Tree::new() };
        scene.tree.file("src/a.txt", "x\n");
        scene.tree.file("src/.b", "x\n");
        if !of_tree.is_empty() {
            scene.tree.file("filemill.toml", of_tree);
        }
        if !of_user.is_empty() {
            scene.home.file("filemill/filemill.toml", of_user);
        }
        scene
    }

    fn run(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = filemill(&[&["scan", "src"], arguments].concat());
        command.current_dir(self.tree.path()).env("XDG_CONFIG_HOME", self.home.path());
        command.envs(variables.iter().copied()).output().unwrap()
    }

    #[track_caller]
    fn check(&self, variables: &[(&str, &str)], arguments: &[&str], columns: &[&str]) {
        let output = self.run(variables, &[&["--format", "jsonl"], arguments].concat());
        let (code, stderr, records) = jsonl(&output);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert_eq!(records[0]["columns"], serde_json::json!(columns));
    }

    #[track_caller]
    fn refuses(&self, variables: &[(&str, &str)], expected: &str) {
        let output = self.run(variables, &[]);
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        assert_eq!(stderr, format!("filemill: {expected}\n"));
    }
}

#[test]
fn what_is_typed_goes_first_then_variables_then_the_files() {
    let of = |analyses: &str| format!("[scan]\nanalyses = {analyses:?}\n");
    let scene = Scene::new(&of("words"), &of("entropy"));
    let variables = [("FILEMILL_ANALYSES", "xxh3")];
    scene.check(&variables, &["-a", "lines"], &["lines"]);
    scene.check(&variables, &[], &["xxh3"]);
    scene.check(&[("FILEMILL_ANALYSES", "")], &[], &["words"]);
    scene.check(&[], &[], &["words"]);
    scene.check(&[("FILEMILL_NO_CONFIG", "yes")], &[], &["kind", "text", "encoding", "lines", "words"]);
    scene.check(&variables, &["--no-config"], &["xxh3"]);
    Scene::new("", &of("entropy")).check(&[], &[], &["entropy"]);
    // Whoever wants to know is told where settings came from.
    let told = text(&scene.run(&[("FILEMILL_WORKERS", "1")], &["-v"]).stderr);
    let expected = "filemill: settings from FILEMILL_WORKERS\nfilemill: settings from filemill.toml\n";
    assert_eq!(told, expected);
}

#[test]
fn a_setting_replaces_the_same_one_from_further_down() {
    let scene = Scene::new(
        "[scan]\nskip-hidden = false\nglob = ['*.txt', '!x']\nanalyses = ['lines', 'blake3']\n",
        "[scan]\nskip-hidden = true\nworkers = 3\nglob = ['!*']\nbatch-bytes = '1 KiB'\n",
    );
    let output = scene.run(&[("FILEMILL_MAX_DEPTH", "4")], &["--format", "jsonl"]);
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let options = &records[0]["options"];
    assert_eq!(options["skip_hidden"], false);
    assert_eq!(options["globs"], serde_json::json!(["*.txt", "!x"]));
    assert_eq!(options["analyses"], serde_json::json!(["lines", "blake3"]));
    assert_eq!(options["max_depth"], 4);
    assert_eq!(records.last().unwrap()["workers"], serde_json::json!([3]));
    // Typed globs replace those of the files, they do not add up.
    let output = scene.run(&[("FILEMILL_SKIP_HIDDEN", "1")], &["--format", "jsonl", "-g", "!*.txt"]);
    let (_, _, records) = jsonl(&output);
    assert_eq!(records[0]["options"]["globs"], serde_json::json!(["!*.txt"]));
    assert_eq!(records[0]["options"]["skip_hidden"], true);
}

#[test]
fn devices_can_be_set_and_typed_over() {
    let scene = Scene::new("[scan]\ndevice = 'cpu'\ngpu-memory = '0.125GB'\ngpu-verify = 'all'\n", "");
    let told = "filemill: the memory of a GPU is used only without --device cpu\n";
    assert_eq!(text(&scene.run(&[], &[]).stderr), told);
    assert_eq!(text(&scene.run(&[("FILEMILL_DEVICE", "auto")], &[]).stderr), "");
    assert_eq!(text(&scene.run(&[("FILEMILL_GPU_MEMORY", "0.25GB")], &["-q"]).stderr), "");
    scene.refuses(&[("FILEMILL_DEVICE", " ")], "FILEMILL_DEVICE: invalid value ' ' for '--device <DEVICE>': not auto, cpu, gpu or a part of an adapter's name");
    Scene::new("[scan]\ngpu-verify = 'some'\n", "")
        .refuses(&[], "filemill.toml: invalid value 'some' for '--gpu-verify <HOW>' [possible values: all, sample, off]: a similar value exists: 'sample'");
}

#[test]
fn settings_can_be_undone_where_they_are_typed_over() {
    let scene =
        Scene::new("[scan]\nskip-hidden = true\nformat = 'csv'\nverbose = true\n", "[scan]\nquiet = true\n");
    let output = scene.run(&[], &["--no-skip-hidden", "-o", "jsonl=-", "--no-progress", "--quiet"]);
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(records[0]["options"]["skip_hidden"], false);
    let summary = text(&scene.run(&[], &["--format", "summary"]).stdout);
    assert!(summary.contains("1 paths met") || summary.contains("1 path met"), "{summary}");
    // Of two that exclude each other the one from further up counts.
    assert!(text(&scene.run(&[], &[]).stderr).contains("settings from filemill.toml"));
    assert_eq!(text(&scene.run(&[("FILEMILL_QUIET", "1")], &[]).stderr), "");
}

#[test]
fn settings_that_make_no_sense_are_told_with_their_place() {
    let in_tree = |text: &str, expected: &str| {
        Scene::new(text, "").refuses(&[], &format!("filemill.toml: {expected}"));
    };
    in_tree("[scan]\nworkrs = 3", "\"workrs\" is no setting: did you mean \"workers\"?");
    // None of these may become another flag, or an end of the flags.
    let no_setting = "is no setting: they have the names of the long flags of scan";
    in_tree("[scan]\n'out=csv' = '/tmp/x'", &format!("\"out=csv\" {no_setting}"));
    in_tree("[scan]\n'files-from=/etc/passwd' = true", &format!("\"files-from=/etc/passwd\" {no_setting}"));
    in_tree("[scan]\n'' = true", &format!("\"\" {no_setting}"));
    in_tree(
        "[scan]\nworkers = 0",
        "invalid value '0' for '--workers <N>': not \"auto\" or a number from 1 to 4096",
    );
    in_tree("[scna]\nworkers = 1", "[scna] is no command of filemill");
    in_tree("workers = 1", "workers: settings stand in the table of their command, as in [scan]");
    in_tree("[scan]\nfollow = 'yes'", "follow: neither true nor false");
    in_tree("[scan]\nworkers = true", "workers: takes a value, not true or false");
    in_tree("[scan]\nx = [", "line 2: unclosed array, expected `]`");
    in_tree("[scan]\nout = ['csv=/tmp/x']", "out: can be given on the command line alone");
    in_tree("[scan]\nfiles-from = 'x'", "files-from: can be given on the command line alone");
    let scene = Scene::new("", "");
    scene.refuses(
        &[("FILEMILL_SORT", "size")],
        "FILEMILL_SORT: invalid value 'size' for '--sort <ORDER>' [possible values: path, none]",
    );
    scene.refuses(
        &[("FILEMILL_FOLLOW", "maybe")],
        "FILEMILL_FOLLOW: \"maybe\" is neither \"true\" nor \"false\"",
    );
    scene.tree.directory("filemill.toml");
    scene.refuses(&[], "filemill.toml: it is no file of settings");
}

#[test]
fn variables_that_are_no_settings_are_named() {
    let scene = Scene::new("", "");
    #[track_caller]
    fn check(scene: &Scene, variable: (&str, &str), expected: &str) {
        let output = scene.run(&[variable], &["--format", "paths"]);
        let expected = if expected.is_empty() { String::new() } else { format!("filemill: {expected}\n") };
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), expected));
        assert_eq!(text(&scene.run(&[variable], &["--format", "paths", "-q"]).stderr), "");
    }
    let near =
        |name: &str, meant: &str| format!("{name} is ignored, it is no setting: did you mean {meant}?");
    check(&scene, ("FILEMILL_ANALYSIS", "lines"), &near("FILEMILL_ANALYSIS", "FILEMILL_ANALYSES"));
    check(&scene, ("FILEMILL_Analyses", "lines"), &near("FILEMILL_Analyses", "FILEMILL_ANALYSES"));
    check(&scene, ("FILEMILL_BATCHFILES", "1"), &near("FILEMILL_BATCHFILES", "FILEMILL_BATCH_FILES"));
    let alone =
        |name: &str, flag: &str| format!("{name} is ignored: {flag} can be given on the command line alone");
    check(&scene, ("FILEMILL_OUT", "csv=x"), &alone("FILEMILL_OUT", "--out"));
    check(&scene, ("FILEMILL_FILES_FROM", "x"), &alone("FILEMILL_FILES_FROM", "--files-from"));
    check(&scene, ("FILEMILL_ACTION", "hardlink"), &alone("FILEMILL_ACTION", "--action"));
    let other = "FILEMILL_SOMETHING_ELSE is ignored, it is no setting: they have the names of the long flags";
    check(&scene, ("FILEMILL_SOMETHING_ELSE", "x"), other);
    // Empty is not set, settings of other commands are settings, and tests have variables of their own.
    for variable in [
        ("FILEMILL_ANALYSIS", ""),
        ("FILEMILL_DIRS", "same"),
        ("FILEMILL_NO_CONFIG", "1"),
        ("FILEMILL_TEST_FULL", "1"),
        ("FILEMILL_GPU", "require"),
        ("FILEMILL_MOUNTS", "require"),
    ] {
        check(&scene, variable, "");
    }
    // Each has its line.
    let output = scene.run(&[("FILEMILL_OUT", "x"), ("FILEMILL_ANALYSIS", "x")], &[]);
    assert_eq!(text(&output.stderr).lines().count(), 2);
}

#[test]
fn a_file_of_settings_that_is_a_pipe_does_not_keep_anybody_waiting() {
    #[cfg(target_os = "linux")]
    {
        let scene = Scene::new("", "");
        crate::support::fifo(&scene.tree.at("filemill.toml"));
        scene.refuses(&[], "filemill.toml: it is no file of settings");
    }
}

#[test]
fn completions_know_every_flag() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = filemill(&["completions", shell]).output().unwrap();
        let script = text(&output.stdout);
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        let values: &[&str] = if ["bash", "zsh", "fish"].contains(&shell) { &["sha256sum"] } else { &[] };
        for expected in ["batch-files", "files0-from", "gitignore"].iter().chain(values) {
            assert!(script.contains(expected), "{expected} is missing for {shell}");
        }
    }
    let output = filemill(&["completions", "bsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("a similar value exists: 'bash'"));
}

#[test]
fn manual_pages_tell_of_every_flag_and_analysis() {
    let place = Tree::new();
    let output = filemill(&["man", "new/man"]).current_dir(place.path()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let page = |name: &str| std::fs::read_to_string(place.at(format!("new/man/{name}"))).unwrap();
    assert!(page("filemill.1").contains("filemill\\-scan(1)"));
    let scan = page("filemill-scan.1");
    let help = text(&filemill(&["scan", "--help"]).output().unwrap().stdout);
    let mut flags = 0;
    for word in help.split([' ', '\n', ',', '=']).filter(|word| word.starts_with("--") && word.len() > 2) {
        let word = word.trim_end_matches(['.', ';', '`', ')']);
        assert!(scan.contains(&word.replace('-', "\\-")), "{word} is missing in the manual");
        flags += 1;
    }
    assert!(flags > 20, "{flags} flags in the help");
    for registered in filemill::analyses::REGISTRY {
        assert!(scan.contains(registered.name), "{}", registered.name);
    }
    for section in
        ["ANALYSES", "FORMATS", "\"RATES AND LATENCIES\"", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"]
    {
        assert!(scan.contains(&format!(".SH {section}")), "{section}\n{scan}");
    }
    assert_eq!(page("filemill.scan.1.schema.json"), filemill::sink::JSONL_SCHEMA);
    let output = filemill(&["man", "/dev/null/x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("filemill: cannot make /dev/null/x: "));
}
