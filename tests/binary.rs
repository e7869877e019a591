//! Runs the binary, and reads what it says.

use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;

pub(crate) fn filemill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filemill"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").stdin(Stdio::null());
    // Whoever runs the tests may have settings.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("HOME", "/nonexistent");
    command
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Exit code, standard error, and the records on standard output.
pub(crate) fn jsonl(output: &Output) -> (Option<i32>, String, Vec<Json>) {
    let records = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), text(&output.stderr), records)
}

pub(crate) fn of_type<'a>(records: &'a [Json], name: &str) -> Vec<&'a Json> {
    records.iter().filter(|record| record["type"] == name).collect()
}

/// What holds for every report: it begins, it ends, and its sums are those of its records.
#[track_caller]
pub(crate) fn check_sums(records: &[Json]) {
    assert_eq!(records.first().unwrap()["type"], "begin");
    let end = records.last().unwrap();
    assert_eq!(end["type"], "end");
    let count = |name| of_type(records, name).len() as u64;
    let sum =
        |map: &Json| map.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(end["done"], count("file"));
    assert_eq!(sum(&end["skipped"]), count("skipped"));
    assert_eq!(sum(&end["failed"]), count("error"));
    assert_eq!(end["met"], count("file") + count("skipped") + count("error"));
    let bytes: u64 = of_type(records, "file").iter().map(|file| file["size"].as_u64().unwrap()).sum();
    assert_eq!(end["bytes"], bytes);
}

/// Puts the binary somewhere else. Another process does: what other tests start while this one writes a program would
/// inherit the open file, and the program be "busy" when it is to be run.
#[cfg(target_os = "linux")]
pub(crate) fn copy_binary(to: &std::path::Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_filemill")).arg(to).status().unwrap();
    assert!(copied.success());
}
