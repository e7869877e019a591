//! Hostile sizes: in full with FILEMILL_TEST_FULL (`ops/check --full`), otherwise a hundredth of them.
//!
//! Each prints a row of the table in ops/sizes.md.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Command;
use std::time::Instant;

use filemill::control::Control;
use filemill::groups::{Banding, Sketches, banded_components};
use serde_json::Value as Json;

use crate::binary::{check_sums, filemill, jsonl};
use crate::support::{Tree, in_full};

/// A size, or a hundredth of it.
fn of(full: u64) -> u64 {
    if in_full() { full } else { full / 100 }
}

/// What a run reported, after what must hold for each of them.
struct Run {
    files: Vec<Json>,
    end: Json,
}

#[track_caller]
fn run(tree: &Tree, what: &str, arguments: &[&str]) -> Run {
    let since = Instant::now();
    let arguments = [&["scan", "--format", "jsonl"], arguments].concat();
    let output = filemill(&arguments).current_dir(tree.path()).output().unwrap();
    let seconds = since.elapsed().as_secs_f64();
    let (code, stderr, records) = jsonl(&output);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{what}");
    check_sums(&records);
    let end = records.last().unwrap().clone();
    let peak = end["peak_memory_bytes"].as_u64().unwrap() as f64 / f64::from(1 << 20);
    println!("| {what} | {} | {seconds:.1} | {peak:.1} |", arguments[3..].join(" "));
    // What stays of a run does not depend on how much there was to read; of a list it does.
    let listed = records[0]["roots_listed"].as_u64().unwrap() as f64;
    let ceiling = if arguments.contains(&"path") { 64.0 } else { 24.0 } + listed * 400.0 / f64::from(1 << 20);
    assert!(peak < ceiling, "{what}: {peak} MiB");
    let files = records.into_iter().filter(|record| record["type"] == "file").collect();
    Run { files, end }
}

#[test]
fn a_sparse_file() {
    let tree = Tree::new();
    let bytes = of(64 << 30);
    File::create(tree.at("sparse")).unwrap().set_len(bytes).unwrap();
    let run = run(&tree, &format!("a sparse file of {bytes} bytes"), &["-a", "lines,words,entropy"]);
    let file = &run.files[0];
    assert_eq!((&file["size"], &file["lines"], &file["words"]), (&bytes.into(), &0.into(), &1.into()));
    assert_eq!(file["entropy"], 0.0);
}

/// Every file is the same as another one, which is the most that a search has to keep.
#[test]
fn many_files_that_are_the_same() {
    let tree = Tree::new();
    let number = of(1_000_000);
    for directory in 0..number.div_ceil(1000) {
        tree.directory(format!("directory {directory}"));
        for i in directory * 1000..((directory + 1) * 1000).min(number) {
            let content = format!("{:08}", i / 2);
            std::fs::write(tree.at(format!("directory {directory}/a name of some length {i}")), content)
                .unwrap();
        }
    }
    let since = Instant::now();
    let output = filemill(&["dupes", "--out", "jsonl=/dev/null"]).current_dir(tree.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let seconds = since.elapsed().as_secs_f64();
    let output = filemill(&["dupes", "--format", "jsonl"]).current_dir(tree.path()).output().unwrap();
    let stdout = crate::binary::text(&output.stdout);
    let end: Json = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(end["duplicates"]["groups"], number / 2);
    let peak = end["peak_memory_bytes"].as_u64().unwrap() as f64 / f64::from(1 << 20);
    println!("| {number} files, each the same as another | duplicates | {seconds:.1} | {peak:.1} |");
    assert!(peak < if in_full() { 256.0 } else { 32.0 }, "{peak} MiB");
}

#[test]
fn one_line() {
    let tree = Tree::new();
    let bytes = of(512 << 20);
    let mut line = BufWriter::new(File::create(tree.at("line")).unwrap());
    let piece = [b'x'; 1 << 16];
    let mut left = usize::try_from(bytes).unwrap();
    while left > 0 {
        let now = left.min(piece.len());
        line.write_all(&piece[..now]).unwrap();
        left -= now;
    }
    line.into_inner().unwrap();
    let run = run(&tree, &format!("one line of {bytes} bytes"), &["-a", "full"]);
    let file = &run.files[0];
    assert_eq!((&file["size"], &file["lines"], &file["words"]), (&bytes.into(), &0.into(), &1.into()));
    let digest = Command::new("sha256sum").arg(tree.at("line")).output().unwrap().stdout;
    assert!(digest.starts_with(file["sha256"].as_str().unwrap().as_bytes()));
}

#[test]
fn a_great_many_files() {
    let tree = Tree::new();
    let files = of(1_000_000);
    let directories = (files / 250).max(1);
    for i in 0..directories {
        std::fs::create_dir_all(tree.at(format!("{}/{i}", i % 64))).unwrap();
    }
    for i in 0..files {
        let directory = i % directories;
        std::fs::write(tree.at(format!("{}/{directory}/{i}", directory % 64)), i.to_string()).unwrap();
    }
    for order in ["none", "path"] {
        let run = run(&tree, &format!("{files} files"), &["-a", "lines,blake3", "--sort", order]);
        assert_eq!(run.end["done"], files);
        assert_eq!(run.end["bytes"], (0..files).map(|i| i.to_string().len() as u64).sum::<u64>());
    }
    // The same as a list of as many roots, which is held in memory.
    let list: String =
        (0..files).map(|i| format!("{}/{}/{i}\n", i % directories % 64, i % directories)).collect();
    let lists = Tree::new();
    let list = lists.file("list", list);
    let list = list.to_str().unwrap();
    let run = run(&tree, &format!("a list of {files} files"), &["-a", "none", "--files-from", list]);
    assert_eq!((&run.end["done"], run.files.len() as u64), (&files.into(), files));
}

#[test]
fn a_great_many_files_in_one_directory() {
    let tree = Tree::new();
    let files = of(100_000);
    for i in 0..files {
        std::fs::write(tree.at(i.to_string()), "x").unwrap();
    }
    for order in ["none", "path"] {
        let run = run(&tree, &format!("{files} files in one directory"), &["-a", "light", "--sort", order]);
        assert_eq!(run.end["done"], files);
        if order == "path" {
            let paths: Vec<_> = run.files.iter().map(|file| file["path"].as_str().unwrap()).collect();
            assert!(paths.is_sorted(), "not in order");
        }
    }
}

/// Says to the test below that it is the process to be measured, and how much memory its sketches may take.
const SKETCHES_BYTES: &str = "FILEMILL_TEST_SKETCHES_BYTES";

/// Sketches of 128 numbers: one in ten is nearly that of another one, and one in twenty the same. First half of them are in
/// memory, then all.
#[test]
fn a_great_many_sketches() {
    let number = of(1_000_000);
    if let Some(bytes) = std::env::var_os(SKETCHES_BYTES) {
        return search_sketches(number, bytes.to_str().unwrap().parse().unwrap());
    }
    for memory in [number * 256, number * 512 + (8 << 20)] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "sizes::a_great_many_sketches", "--nocapture"]);
        let output = child.env(SKETCHES_BYTES, memory.to_string()).output().unwrap();
        let stdout = crate::binary::text(&output.stdout);
        assert!(output.status.success(), "{stdout}{}", crate::binary::text(&output.stderr));
        let line = stdout.lines().find(|line| line.starts_with("| ")).unwrap();
        println!("{line}");
        let peak: f64 = line.split(" | ").last().unwrap().trim_end_matches(" |").parse().unwrap();
        // The sketches in memory, the tables, what is connected, and what a process takes.
        let ceiling = (memory + number * (TABLE_BYTES + 8)) as f64 / f64::from(1 << 20) + 48.0;
        assert!(peak < ceiling.min(1024.0), "{peak} MiB of {ceiling}");
    }
}

/// What tables may take for a row: that is four bands.
const TABLE_BYTES: u64 = 36;

/// Makes sketches, finds what is near, and prints a row of the table.
fn search_sketches(number: u64, memory: u64) {
    const K: usize = 128;
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ z >> 31) >> 32).unwrap()
    };
    let mut sketches = Sketches::new(K, memory, std::env::temp_dir());
    let mut row = [0; K];
    let mut near = 0;
    for i in 0..number {
        match i % 20 {
            // The same as the one before.
            19 => {}
            // The one before, but for 12 places: 9 of the 21 bands agree at least, so that it is found for certain.
            4 | 14 => {
                let first = random() as usize % K;
                (0..12).for_each(|place| row[(first + 5 * place) % K] = random());
                near += 1;
            }
            _ => row.fill_with(&mut random),
        }
        sketches.push(&row).unwrap();
    }
    let since = Instant::now();
    let banding = Banding::choose(0.8, K);
    let found = banded_components(&sketches, banding, 103, number * TABLE_BYTES, &Control::new()).unwrap();
    let seconds = since.elapsed().as_secs_f64();
    assert_eq!(found.passes, 1 + (banding.bands as u64).div_ceil(4), "four bands a pass");
    let groups = found.components.groups();
    assert_eq!(groups.len() as u64, near + number / 20);
    assert!(groups.iter().all(|rows| rows.len() == 2 && rows[0] + 1 == rows[1]));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0;
    let spilled = sketches.spilled_bytes() >> 20;
    println!(
        "| {number} sketches, {spilled} MiB of them in a file | near duplicates | {seconds:.1} | {peak:.1} |"
    );
}
