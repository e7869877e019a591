//! Who may know whom: each layer uses only those below it, and steps of the flow never name each other.

use std::path::{Path, PathBuf};

/// Top to bottom. The modules of one entry may use each other only where the entry says so.
const LAYERS: &[(&[&str], bool)] = &[
    (&["main"], false),
    (&["cli"], false),
    (&["bench"], false),
    (&["rows"], false),
    (&["duplicates"], false),
    (&["pipeline"], false),
    (&["walk", "batch", "queue", "reorder", "stage", "workers", "groups", "sink"], false),
    (&["plan"], false),
    (&["analyses"], false),
    (&["record", "error", "report", "control", "faults", "latencies", "simd", "keep"], true),
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(modules, _)| modules.contains(&module))
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&src).into_iter().map(|entry| entry.unwrap().into_path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let relative = path.strip_prefix(&src).unwrap().to_path_buf();
            let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            (first.trim_end_matches(".rs").to_owned(), relative, text)
        })
        .collect()
}

/// The code without its comments and without the tests at the bottom.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| *line != "mod tests {").filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//")
    })
}

#[test]
fn each_layer_uses_only_those_below() {
    let mut wrong = Vec::new();
    for (module, path, text) in sources() {
        if module == "lib" {
            continue;
        }
        let own =
            layer(&module).unwrap_or_else(|| panic!("{module} has no layer: name it in tests/layers.rs"));
        for line in code(&text) {
            for used in line.split("crate::").skip(1).chain(line.split("filemill::").skip(1)) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = layer(&used) else { continue };
                let allowed = other > own || used == module || (other == own && LAYERS[own].1);
                if !allowed {
                    wrong.push(format!("{}: {module} uses {used}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_kept_in_one_place_stays_there() {
    #[track_caller]
    fn check(needle: &str, allowed: &[&str]) {
        let offenders: Vec<_> = sources()
            .into_iter()
            .filter(|(_, path, text)| {
                code(text).any(|line| line.contains(needle))
                    && !allowed.iter().any(|place| path.starts_with(place))
            })
            .map(|(_, path, _)| path)
            .collect();
        assert!(offenders.is_empty(), "{needle:?} in {offenders:?}");
    }
    check("clap", &["cli"]);
    check("indicatif", &["cli"]);
    check(
        "unsafe {",
        &[
            "analyses/kind/text.rs",
            "analyses/words.rs",
            "analyses/minhash/permutations.rs",
            "analyses/minhash/shingles.rs",
            "analyses/histogram/bit_planes.rs",
            "duplicates/action/kernel.rs",
            "groups/pairs.rs",
            "keep/kernel.rs",
            "main.rs",
            "stage/mmap.rs",
            "workers/gpu/detached.rs",
        ],
    );
    check(
        "thread::scope",
        &[
            "pipeline.rs",
            "pipeline/ahead.rs",
            "bench/limit/floor.rs",
            "cli/progress.rs",
            "cli/bench/watched.rs",
            "walk/lists.rs",
        ],
    );
    check("thread::spawn", &[]);
    check(
        "thread::Builder",
        // A driver may hang: the threads that talk to one belong to no scope.
        &["pipeline.rs", "cli/signals.rs", "rows.rs", "walk/lists.rs", "workers/gpu/detached.rs"],
    );
    check("wgpu::", &["workers/gpu"]);
    check(".unwrap()", &[]);
    // What the test of the layers could not read.
    check("use crate::{", &[]);
}

#[test]
fn files_stay_short_and_say_what_they_are() {
    for (_, path, text) in sources() {
        assert!(text.starts_with("//!"), "{}: begins without a word on what it is for", path.display());
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= 500, "{}: {lines} lines before its tests", path.display());
    }
}
