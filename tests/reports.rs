//! Formats, report files, the JSON Schema, one order for all settings.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use filemill::error::{Cause, Step};
use filemill::record::SkipReason;
use serde_json::{Value as Json, json};

use crate::binary::{check_sums, filemill, jsonl, of_type, text};
use crate::support::Tree;

/// Files of every kind, names that hurt, and what cannot be read.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a/one.txt", "one two\nthree\n");
    tree.file("a/page.html", "<html></html>");
    tree.file("a/empty", "");
    tree.file("=1+1", "x");
    tree.file("a \"quoted\", name", "x");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        tree.file("line\nfeed", "x");
        tree.file("back\\slash\r", "x");
        tree.file(std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x");
        tree.link("a/link", "one.txt");
        crate::support::fifo(&tree.at("fifo"));
        let old = fs::File::open(tree.at("a/one.txt")).unwrap();
        let before = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
        old.set_modified(before).unwrap();
    }
    tree
}

#[test]
fn every_record_follows_the_schema() {
    let schema: Json = serde_json::from_str(filemill::sink::JSONL_SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let tree = tree();
    tree.file("list", "a\ngone\n");
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let runs = [
        &["-a", "full", "."][..],
        &["-a", "none", "--min-size", "1", "--max-size", "1TiB", "--max-depth", "9", "-g", "!list", "."],
        &["--files-from", "list", "--sort", "path"],
    ];
    for arguments in runs {
        let arguments = [&["scan", "--format", "jsonl"], arguments].concat();
        let (_, _, records) = jsonl(&filemill(&arguments).current_dir(tree.path()).output().unwrap());
        check_sums(&records);
        for record in &records {
            let errors: Vec<_> = validator.iter_errors(record).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{record}: {errors:?}");
            let kind = record["type"].as_str().unwrap();
            *seen.entry(kind.to_owned()).or_default() += 1;
            // No key is there that the schema does not know, and none may be missing that it asks for.
            let known = &schema["$defs"][kind];
            for key in record.as_object().unwrap().keys() {
                assert!(known["properties"].get(key).is_some(), "{kind}: the schema does not know {key}");
            }
            for key in known["required"].as_array().unwrap() {
                let mut broken = record.clone();
                broken.as_object_mut().unwrap().remove(key.as_str().unwrap());
                assert!(!validator.is_valid(&broken), "{kind} without {key}");
            }
        }
    }
    let kinds: Vec<_> = seen.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["begin", "end", "error", "file", "skipped"]);
    for wrong in [
        json!({"type": "skipped", "path": "x", "reason": "whim"}),
        json!({"type": "file", "path": {"bytes": "-"}, "size": 1, "mtime_ns": 1}),
        json!({"type": "file", "path": "x", "size": -1, "mtime_ns": 1}),
        json!({"type": "thing"}),
        json!([]),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn the_schema_knows_every_word() {
    let schema: Json = serde_json::from_str(filemill::sink::JSONL_SCHEMA).unwrap();
    let words = |path: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(path).unwrap().clone()).unwrap()
    };
    assert_eq!(words("/$defs/reason/enum"), SkipReason::ALL.map(|reason| reason.name().to_owned()));
    assert_eq!(words("/$defs/cause/enum"), Cause::ALL.map(|cause| cause.name().to_owned()));
    let steps = [Step::Walk, Step::Stage, Step::Analyse].map(|step| step.name().to_owned());
    assert_eq!(words("/$defs/error/properties/step/enum"), steps);
}

#[test]
fn csv_says_what_jsonl_says() {
    let tree = tree();
    let outputs =
        ["--out", "jsonl=../r.jsonl", "--out", "csv-raw=../r.csv", "--sort", "path", "-q", "-a", "full"];
    let inside = tree.directory("inside");
    for name in fs::read_dir(tree.path()).unwrap().map(|entry| entry.unwrap().file_name()) {
        if name != "inside" {
            fs::rename(tree.at(&name), inside.join(&name)).unwrap();
        }
    }
    let output = filemill(&[&["scan", "."], &outputs[..]].concat()).current_dir(&inside).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let report = fs::read_to_string(tree.at("r.jsonl")).unwrap();
    let records: Vec<Json> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let records = &records[1..records.len() - 1];
    let mut csv = csv::Reader::from_path(tree.at("r.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    let rows: Vec<_> = csv.byte_records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), records.len());
    assert!(rows.len() >= 5);
    for (row, record) in rows.iter().zip(records) {
        for (name, field) in header.iter().zip(row) {
            let field = field.escape_ascii().to_string();
            let expected = match (name, &record["type"]) {
                ("status", kind) if kind == "file" => "ok".to_owned(),
                ("status", _) => format!("skipped:{}", record["reason"].as_str().unwrap()),
                _ => match &record[name] {
                    Json::Null => String::new(),
                    Json::String(text) => text.escape_default().to_string(),
                    Json::Number(number) if name == "entropy" => number.as_f64().unwrap().to_string(),
                    // A path that is no text.
                    Json::Object(_) => "./\\xff\\xfe".to_owned(),
                    other => other.to_string(),
                },
            };
            let unescaped = field.replace("\\'", "'");
            assert_eq!(unescaped, expected.replace("\\'", "'"), "{name} of {record}");
        }
    }
    let raw = fs::read(tree.at("r.csv")).unwrap();
    assert!(raw.starts_with(
        b"path,size,mtime_ns,status,kind,text,encoding,lines,words,entropy,xxh3,sha256,blake3\r\n"
    ));
}

#[test]
fn formulas_are_guarded_unless_asked_otherwise() {
    let tree = Tree::new();
    tree.file("=1+1", "x");
    let report = |format: &str| {
        let output =
            filemill(&["scan", "-a", "none", "--format", format]).current_dir(tree.path()).output().unwrap();
        text(&output.stdout).lines().nth(1).unwrap().to_owned()
    };
    assert!(report("csv").starts_with("'=1+1,1,"));
    assert!(report("csv-raw").starts_with("=1+1,1,"));
}

#[cfg(target_os = "linux")]
#[test]
fn manifests_are_accepted_by_their_tools() {
    let tree = tree();
    for (format, tool, refused) in [("sha256sum", "sha256sum", 0), ("b3sum", "b3sum", 1)] {
        let output = filemill(&["scan", "--format", format]).current_dir(tree.path()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(stderr.lines().count(), 2 * refused, "{stderr}");
        assert_eq!(output.status.code(), Some(if refused > 0 { 3 } else { 0 }), "{stderr}");
        let files = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(files, 8 - refused);
        fs::write(tree.at("fifo.sums"), &output.stdout).unwrap();
        let checked = Command::new(tool).args(["--check", "fifo.sums"]).current_dir(tree.path()).output();
        fs::remove_file(tree.at("fifo.sums")).unwrap();
        match checked {
            Ok(checked) => {
                assert!(checked.status.success(), "{tool}: {}", text(&checked.stderr));
                let lines = String::from_utf8_lossy(&checked.stdout).matches(": OK").count();
                assert_eq!(lines, files, "{tool}");
            }
            Err(error) => println!("{tool} is not there, its manifest was not checked: {error}"),
        }
    }
    let output = filemill(&["scan", "--format", "b3sum"]).current_dir(tree.path()).output().unwrap();
    let expected = "\\xff\\xfe: left out of the report b3sum: it has a name that is not UTF-8";
    assert!(text(&output.stderr).contains(expected));
}

#[cfg(target_os = "linux")]
#[test]
fn paths_are_those_that_find_finds() {
    let tree = tree();
    let found =
        Command::new("find").args([".", "-type", "f", "-print0"]).current_dir(tree.path()).output().unwrap();
    let sorted = |bytes: &[u8]| {
        let mut paths: Vec<_> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        paths.sort();
        paths
    };
    let output =
        filemill(&["scan", "--format", "paths", "-0", "."]).current_dir(tree.path()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(sorted(&output.stdout), sorted(&found.stdout));
    // What a line cannot hold is refused, told and counted.
    let output = filemill(&["scan", "--format", "paths", "."]).current_dir(tree.path()).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    let expected =
        "filemill: ./line\\nfeed: left out of the report paths: it has a line feed in its name (use -0)
filemill: 1 path could not be expressed in a report\n";
    assert_eq!(stderr, expected);
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 7);
}

#[test]
fn a_format_brings_the_analysis_it_needs() {
    let tree = Tree::new();
    tree.file("a", "x");
    let columns = |arguments: &[&str]| {
        let arguments = [&["scan", "--out", "jsonl=r"], arguments].concat();
        let output = filemill(&arguments).current_dir(tree.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report = fs::read_to_string(tree.at("r")).unwrap();
        let begin: Json = serde_json::from_str(report.lines().next().unwrap()).unwrap();
        serde_json::from_value::<Vec<String>>(begin["columns"].clone()).unwrap().join(",")
    };
    assert_eq!(columns(&[]), "kind,text,encoding,lines,words");
    assert_eq!(columns(&["--format", "b3sum"]), "kind,text,encoding,lines,words,blake3");
    assert_eq!(columns(&["--format", "b3sum", "-a", "lines"]), "lines,blake3");
    assert_eq!(columns(&["--format", "sha256sum", "-a", "none"]), "sha256");
    let output = filemill(&["scan", "--format", "b3sum"]).current_dir(tree.path()).output().unwrap();
    let expected = format!("{}  a\n", blake3::hash(b"x").to_hex());
    assert!(text(&output.stdout).contains(&expected));
}

#[test]
fn one_pass_makes_many_reports_and_reads_none_of_them() {
    let tree = Tree::new();
    for i in 0..300 {
        tree.file(format!("{}/{i}", i % 7), "x\n".repeat(i));
    }
    let formats = ["jsonl", "csv", "csv-raw", "table", "paths", "b3sum", "sha256sum"];
    let outs: Vec<String> = formats.iter().map(|format| format!("--out={format}=r.{format}")).collect();
    let arguments: Vec<&str> = ["scan"].into_iter().chain(outs.iter().map(String::as_str)).collect();
    // Once where the reports are new, once where they replace others.
    for round in 0..2 {
        let output = filemill(&arguments).current_dir(tree.path()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
        assert!(text(&output.stdout).contains("300 files"), "the summary is printed all the same");
        let report = fs::read_to_string(tree.at("r.jsonl")).unwrap();
        let records: Vec<Json> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        check_sums(&records);
        assert_eq!(of_type(&records, "file").len(), 300);
        let own = of_type(&records, "skipped");
        assert_eq!(own.len(), formats.len() * (1 + round));
        assert!(own.iter().all(|skipped| skipped["reason"] == "own-output"));
        let lines =
            |format: &str| fs::read_to_string(tree.at(format!("r.{format}"))).unwrap().lines().count();
        let others = own.len();
        assert_eq!(
            formats.map(lines),
            [302 + others, 301 + others, 301 + others, 301 + others, 300, 300, 300]
        );
    }
    assert!(
        !fs::read_dir(tree.path())
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_str().unwrap().ends_with(".partial") })
    );
}

#[test]
fn report_files_that_cannot_be_made_are_told_before_anything_is_read() {
    let tree = Tree::new();
    tree.file("a", "x");
    tree.directory("directory");
    tree.directory("taken.partial");
    #[track_caller]
    fn check(tree: &Tree, out: &str, expected: &str) {
        let output = filemill(&["scan", "--out", out, "--out", "csv=other"])
            .current_dir(tree.path())
            .output()
            .unwrap();
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""), "{stderr}");
        assert_eq!(stderr, format!("filemill: cannot write the report {expected}\n"));
        assert!(!tree.at("other").exists() && !tree.at("other.partial").exists());
    }
    check(&tree, "csv=no/such/place", "no/such/place: No such file or directory (os error 2)");
    check(&tree, "csv=directory", "directory: is a directory");
    check(&tree, "csv=taken", "taken: taken.partial is in the way, and no report of an earlier run");
}

/// The records between the first and the last: none of them may depend on the settings. Whether a file has settled
/// depends on the time.
fn between(report: &str) -> String {
    let lines: Vec<_> = report.lines().collect();
    lines[1..lines.len() - 1].join("\n").replace("\"settled\":true", "\"settled\":false")
}

#[test]
fn one_order_for_all_settings() {
    let tree = Tree::new();
    let files = if crate::support::in_full() { 50_000 } else { 500 };
    for i in 0..files {
        let nested = ["", "x/", "x/y-z/", "x/y/"][i % 4];
        tree.file(
            format!("inside/{}/{nested}{i}", i % 97),
            [b"a b\n".repeat(i % 300), vec![0; i % 7]].concat(),
        );
    }
    let others = ["csv", "table", "paths", "b3sum", "sha256sum"];
    let outs = others.map(|format| format!("--out={format}=../r.{format}"));
    let inside = tree.directory("inside");
    let run = |settings: &[&str]| {
        let arguments =
            [&["scan", "-a", "full", "--format", "jsonl", "--sort", "path", "-q", "."], settings].concat();
        let mut command = filemill(&arguments);
        let output = command.args(&outs).current_dir(&inside).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let mut reports = vec![between(&text(&output.stdout))];
        reports.extend(others.map(|format| fs::read_to_string(tree.at(format!("r.{format}"))).unwrap()));
        reports
    };
    let expected = run(&[]);
    assert!(expected.iter().all(|report| report.lines().count() >= files));
    for workers in ["1", "2", "3", "7", "32"] {
        for batch in [
            ["--batch-files", "1"],
            ["--batch-files", "10"],
            ["--batch-files", "1000"],
            ["--batch-bytes", "3KiB"],
        ] {
            let settings = [&["-j", workers], &batch[..]].concat();
            assert!(run(&settings) == expected, "{settings:?} changes the report");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_report_goes_on_when_the_reader_of_another_goes_away() {
    let tree = Tree::new();
    for i in 0..5000 {
        tree.file(format!("files/{}/a file with a name that fills the pipe {i}", i % 50), "");
    }
    let mut child = filemill(&["scan", "--format", "jsonl", "--out", "csv=r.csv", "files"])
        .current_dir(tree.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(tree.at("r.csv")).unwrap().lines().count(), 5001);
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_can_go_to_a_pipe_that_has_a_name() {
    let tree = Tree::new();
    tree.file("files/a", "x");
    crate::support::fifo(&tree.at("pipe"));
    let reader = Command::new("cat").arg(tree.at("pipe")).stdout(Stdio::piped()).spawn().unwrap();
    let output = filemill(&["scan", "-q", "--out", "paths=pipe", "--out", "csv=/dev/null", "files"])
        .current_dir(tree.path())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    assert_eq!(text(&reader.wait_with_output().unwrap().stdout), "files/a\n");
}

#[test]
fn the_table_is_for_people() {
    let tree = tree();
    let output =
        filemill(&["scan", "--format", "table", "--sort", "path"]).current_dir(tree.path()).output().unwrap();
    let table = text(&output.stdout);
    assert!(table.starts_with("size  modified"), "{table}");
    assert!(!table.contains('\x1b') && !table.contains('\r'));
    #[cfg(target_os = "linux")]
    for expected in [
        "  14  1969-12-31T23:59:58Z  -          yes   US-ASCII      2      3  a/one.txt\n",
        "  line\\nfeed\n",
        "  \\xff\\xfe\n",
        "   -  -                     -          -     -             -      -  a/link  (skipped: symlink)\n",
        "  fifo  (skipped: fifo)\n",
    ] {
        assert!(table.contains(expected), "{expected:?} is not in\n{table}");
    }
}
