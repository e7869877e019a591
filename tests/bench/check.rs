//! Comparisons of builds and with records: verdicts, exit codes, forms, and what is refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

use super::{bench, refused, tree, wait_until};
#[cfg(feature = "faults")]
use crate::binary::filemill;
use crate::binary::text;
use crate::support::Tree;

/// A stand-in for another build: a script around this one.
pub(super) fn build(place: &Tree, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = place.file("build.sh", format!("#!/bin/sh\nF={}\n{script}\n", env!("CARGO_BIN_EXE_filemill")));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    // What was written to by a process that others are started from meanwhile may be "busy" for a moment.
    wait_until("it cannot be started", || {
        Command::new(&path).arg("--version").stdout(Stdio::null()).status().is_ok()
    });
    path
}

/// The word of a verdict and its exit code belong together.
#[track_caller]
fn verdict(output: &Output) -> &'static str {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let word = match output.status.code() {
        Some(0) => "pass",
        Some(1) => "regression",
        Some(4) => "inconclusive",
        code => panic!("{code:?}: {stderr}"),
    };
    assert!(stdout.starts_with(&format!("{word}: ")), "{word}: {stdout}");
    if word == "inconclusive" {
        let advice = ["more pairs", "too near", "quieter machine", "do not agree"];
        assert!(advice.iter().any(|advice| stdout.contains(advice)), "{stdout}");
    }
    word
}

#[test]
fn a_build_is_compared_with_another() {
    let (tree, place) = (tree(), Tree::new());
    let check = |old: &Path, more: &[&str]| {
        let arguments = [&["check", "--pairs", "10", "--against", old.to_str().unwrap()], more].concat();
        bench(&arguments, tree.path())
    };
    let slow = build(&place, "sleep 0.4; exec \"$F\" \"$@\"");
    assert_eq!(verdict(&check(&slow, &[])), "pass");
    let more = build(&place, "\"$F\" \"$@\" | sed 's/\"type\":\"file\",/&\"more\":1,/'");
    refused(&["check", "--against", more.to_str().unwrap()], tree.path(), "answer differently: more");
    verdict(&check(Path::new(env!("CARGO_BIN_EXE_filemill")), &["--max-drop", "0.1%", "-j", "1"]));

    let lies = build(&place, "\"$F\" \"$@\" | sed 's/\"lines\":3/\"lines\":4/'");
    refused(&["check", "--against", lies.to_str().unwrap()], tree.path(), "answer differently: lines");
    let meddles = format!(
        "exec 9>>{0}/calls; echo >&9; [ $(wc -l < {0}/calls) -ne 3 ] || echo more > {1}/new",
        place.path().display(),
        tree.path().display()
    );
    let meddles = build(&place, &format!("{meddles}; exec \"$F\" \"$@\""));
    refused(
        &["check", "--max-drop", "90%", "--against", meddles.to_str().unwrap()],
        tree.path(),
        "changed while it was measured",
    );
    let fails = build(&place, "echo no >&2; exit 2");
    refused(&["check", "--against", fails.to_str().unwrap()], tree.path(), "exit status: 2: no");
}

#[test]
#[cfg(feature = "faults")]
fn a_build_that_is_slower_is_found_and_confirmed() {
    let place = Tree::new();
    let tree = Tree::new();
    for i in 0..20 {
        tree.file(format!("f{i}"), "a word and another\n".repeat(10_000));
    }
    let old = build(&place, "unset FILEMILL_FAULT; exec \"$F\" \"$@\"");
    let arguments = ["bench", "check", "-j", "1", "-a", "full", "--max-drop", "20%", "--against"];
    let output = filemill(&arguments)
        .arg(&old)
        .arg(tree.path())
        .env("FILEMILL_FAULT", "batch:300:slow")
        .output()
        .unwrap();
    assert_eq!(verdict(&output), "regression");
    assert!(text(&output.stdout).contains("10 + 10 comparisons"), "{}", text(&output.stdout));
}

#[test]
fn the_verdict_is_written_in_the_forms_of_ci_services() {
    let (tree, place) = (tree(), Tree::new());
    let slow = build(&place, "sleep 0.4; exec \"$F\" \"$@\"");
    let out = |format: &str, name: &str| format!("{format}={}", place.at(name).display());
    let outs = [out("bigger-is-better", "big"), out("bencher", "bmf"), out("markdown", "md")];
    let mut arguments = vec!["check", "--pairs", "10", "--against", slow.to_str().unwrap()];
    outs.iter().for_each(|out| arguments.extend(["--out", out]));
    let output = bench(&arguments, tree.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(place.at(name)).unwrap();
    let big: Json = serde_json::from_str(&read("big")).unwrap();
    assert_eq!((&big[0]["name"], &big[0]["unit"]), (&"filemill scan -a light".into(), &"files/s".into()));
    assert!(big[0]["value"].as_f64().unwrap() > 0.0 && big[0]["range"].is_string());
    let bmf: Json = serde_json::from_str(&read("bmf")).unwrap();
    let throughput = &bmf["filemill scan -a light"]["throughput"];
    let of = |key: &str| throughput[key].as_f64().unwrap();
    assert!(of("lower_value") <= of("value") && of("value") <= of("upper_value"), "{throughput}");
    assert!(read("md").starts_with("### filemill scan -a light: pass\n"), "{}", read("md"));
}

#[test]
fn a_baseline_counts_only_where_it_was_made() {
    let (tree, place) = (tree(), Tree::new());
    let file = place.at("baseline.json");
    let name = file.to_str().unwrap();
    let with = |more: &[&'static str]| [&["check", "--pairs", "10", "--baseline", name], more].concat();
    let made = bench(&with(&["--update-baseline"]), tree.path());
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    verdict(&bench(&with(&[]), tree.path()));

    let out = format!("--out=markdown={name}");
    refused(&[&with(&[])[..], &[&out]].concat(), tree.path(), "something else goes there");
    let other = tree.file("other.json", "mine");
    let other = ["check", "--update-baseline", "--baseline", other.to_str().unwrap()];
    refused(&other, tree.path(), "lies in");
    std::fs::remove_file(tree.at("other.json")).unwrap();
    let mine = place.file("mine.txt", "mine");
    let mine = ["check", "--update-baseline", "--baseline", mine.to_str().unwrap()];
    refused(&mine, tree.path(), "is no baseline");
    refused(&with(&["-a", "none"]), tree.path(), "of other settings (-a light, here -a none)");
    tree.file("d0/f7", "something else");
    refused(&with(&[]), tree.path(), "of another tree (60 files, here 60; different in bytes, ");
    let text_of = std::fs::read_to_string(&file).unwrap();
    let mut baseline: Json = serde_json::from_str(&text_of).unwrap();
    baseline["machine"]["cpu"] = "Another Processor".into();
    std::fs::write(&file, baseline.to_string()).unwrap();
    refused(&with(&[]), tree.path(), "of another machine (processor Another Processor, here ");
    std::fs::write(&file, "{}").unwrap();
    refused(&with(&[]), tree.path(), "is no baseline");
}
