//! What the system allows: full disks, file size limits, small address spaces, few handles.

use std::fs::{self};
use std::process::Command;

use serde_json::Value as Json;

use crate::binary::{check_sums, jsonl, of_type, text};
use crate::outside::{BINARY, many_names, start, with_mounts};
use crate::support::Tree;

#[test]
fn the_other_commands_heed_a_file_size_limit_too() {
    let tree = Tree::new();
    let script = format!("ulimit -f 0; exec {BINARY} man man");
    let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{:?}", output.status);
    assert!(text(&output.stderr).contains("File too large"));
}

#[test]
fn a_disk_that_is_full_is_told_and_costs_no_report() {
    let tree = many_names();
    tree.directory("small");
    let place = tree.path().display();
    let script = format!(
        "mount -t tmpfs -o size=300k none {place}/small || exit 99
        echo old > {place}/small/r
        cd {place} && {BINARY} scan files --out jsonl=small/r --out csv=r.csv > /dev/null; code=$?
        cat small/r; test -s small/r.partial && echo partial; exit $code"
    );
    let Some(output) = with_mounts(&script) else { return };
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(text(&output.stdout), "old\npartial\n");
    assert!(stderr.contains("cannot write the report: small/r: No space left on device"), "{stderr}");
    assert!(stderr.contains("small/r.partial holds what was written by then"), "{stderr}");
    assert!(stderr.contains("r.csv.partial holds what was written by then"), "{stderr}");
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
}

#[test]
fn a_ram_disk_that_is_full_or_read_only_is_told_and_costs_no_file() {
    let tree = Tree::new();
    for i in 0..400 {
        tree.file(format!("files/{}/{i}", i % 10), "x\n".repeat(i * 20));
    }
    tree.directory("disk");
    let place = tree.path().display();
    for (options, told) in [
        ("size=8k", "read past the RAM disk: the RAM disk took no more: No space left on device"),
        ("ro", "no RAM disk, files are read as they lie: disk: Read-only file system"),
    ] {
        let script = format!(
            "mount -t tmpfs -o {options} none {place}/disk || exit 99
            cd {place} && exec {BINARY} scan -a blake3 --format jsonl --stage ram-disk --ram-disk disk files"
        );
        let Some(output) = with_mounts(&script) else { return };
        let (code, stderr, staged) = jsonl(&output);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains(told) && stderr.lines().count() == 1, "{stderr}");
        check_sums(&staged);
        let read = start(&tree, &["-a", "blake3", "--format", "jsonl", "--stage", "read"]);
        let (_, _, read) = jsonl(&read.output());
        let digests = |records: &[Json]| -> std::collections::BTreeMap<_, _> {
            let files = of_type(records, "file");
            files.iter().map(|file| (file["path"].to_string(), file["blake3"].to_string())).collect()
        };
        assert_eq!((digests(&staged).len(), digests(&staged)), (400, digests(&read)));
    }
}

#[test]
fn a_file_that_may_grow_no_further_is_an_error_and_no_signal() {
    let tree = many_names();
    for format in ["jsonl", "csv", "table", "paths", "sha256sum"] {
        for target in [format!("--format {format} > r"), format!("-q --out {format}=r")] {
            // Blocks of 512 bytes.
            let script = format!("ulimit -f 64; exec {BINARY} scan files {target}");
            let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{target}: {:?} {stderr}", output.status);
            assert!(stderr.contains("File too large"), "{stderr}");
            drop(fs::remove_file(tree.at("r")));
        }
    }
}

/// An allocation that fails would end the process with a signal: whatever the limit, there is a result or a message.
#[test]
fn a_small_address_space_gives_the_right_result_or_a_message() {
    let tree = Tree::new();
    for i in 0..300 {
        tree.file(format!("{}/{i}", i % 20), "x\n".repeat(i * 10));
    }
    let mut codes = Vec::new();
    // The tests' own build takes some 26 MB by itself: below that no program begins.
    for kibibytes in [35_000, 40_000, 45_000, 55_000, 65_000, 80_000, 120_000, 200_000, 400_000] {
        for workers in ["1", "2", "32"] {
            let script = format!(
                "ulimit -v {kibibytes}; exec {BINARY} scan -j {workers} -a full --sort path --format jsonl --out csv=/dev/null"
            );
            let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
            let stderr = text(&output.stderr);
            let code = output.status.code();
            if code == Some(0) {
                let (_, _, records) = jsonl(&output);
                check_sums(&records);
                assert_eq!(of_type(&records, "file").len(), 300);
            } else {
                assert_eq!(code, Some(2), "{kibibytes} KiB, {workers} workers: {:?} {stderr}", output.status);
                assert!(stderr.starts_with("filemill: ") && stderr.lines().count() == 1, "{stderr}");
            }
            codes.push((kibibytes, code));
        }
    }
    // The tests' own build is larger than the one that is used; with 120 MB either does its work.
    assert!(codes.iter().all(|(kibibytes, code)| *kibibytes < 120_000 || *code == Some(0)), "{codes:?}");
}

#[test]
fn sixty_four_handles_suffice_for_every_report_and_order() {
    let tree = Tree::new();
    for i in 0..1500 {
        tree.file(format!("files/{}/{}/{}/{i}", i % 5, i % 50, i % 250), "x");
    }
    let script = format!(
        "ulimit -n 64 && exec {BINARY} scan files -j 32 --sort path --format jsonl \
         --out csv=a --out table=b --out paths=c --out b3sum=d --out sha256sum=e"
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(tree.path()).output().unwrap();
    let (code, stderr, records) = jsonl(&output);
    assert_eq!(code, Some(0), "{stderr}");
    check_sums(&records);
    assert_eq!(of_type(&records, "file").len(), 1500);
    assert_eq!(fs::read_to_string(tree.at("c")).unwrap().lines().count(), 1500);
}
