//! Whether a corpus is as its recipe says: one scan, compared with the answers that are known. Only where these differ is
//! every file made again, in memory, to tell which one it is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;

use super::PARTIAL;
use super::files::Files;
use crate::analyses;
use crate::bench::{Answers, BenchError, Collect, Watch, differences};
use crate::plan::Plan;
use crate::record::Record;
use crate::sink::Sink;

/// What a scan answers, when it is what the recipe says.
pub(super) fn verify(directory: &Path, files: &Files<'_>, watch: &Watch<'_>) -> Result<Answers, BenchError> {
    let answers = scan(directory, files, watch)?;
    let different = differences(files.recipe.answers(), &answers);
    if different.is_empty() {
        return Ok(answers);
    }
    Err(first_wrong(directory, files, watch)?.unwrap_or_else(|| {
        let (shown, name, columns) = (directory.display(), &files.recipe.name, different.join(", "));
        BenchError::Refused(format!(
            "{shown}: every file is as the recipe {name:?} says, and yet the answers are not: {columns}"
        ))
    }))
}

/// Refuses half a corpus in which something lies that making it has not left there, whole or in part: it would be written over.
pub(super) fn expect_own(directory: &Path, files: &Files<'_>, watch: &Watch<'_>) -> Result<(), BenchError> {
    let indices: HashMap<PathBuf, u64> =
        (1..files.recipe.files).map(|index| (files.path(index).into(), index)).collect();
    let directories: HashSet<PathBuf> =
        files.directories().map(|path| PathBuf::from(path.trim_end_matches('/'))).collect();
    let mut bytes = Vec::new();
    for entry in walkdir::WalkDir::new(directory).min_depth(1) {
        if watch.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        let entry = entry.map_err(io::Error::from).map_err(BenchError::file(directory))?;
        let path = entry.path().strip_prefix(directory).unwrap_or(entry.path());
        let kind = entry.file_type();
        let is_own = match indices.get(path) {
            _ if kind.is_dir() => directories.contains(path),
            _ if path == Path::new(PARTIAL) => kind.is_file(),
            Some(index) if kind.is_file() => {
                files.content(*index, &mut bytes);
                let there = fs::read(entry.path()).map_err(BenchError::file(entry.path()))?;
                bytes.starts_with(&there)
            }
            _ => false,
        };
        if !is_own {
            let (shown, name) = (entry.path().display(), &files.recipe.name);
            return Err(BenchError::Refused(format!("{shown} is no part of the half-made corpus {name:?}")));
        }
    }
    Ok(())
}

fn scan(directory: &Path, files: &Files<'_>, watch: &Watch<'_>) -> Result<Answers, BenchError> {
    let mut plan = Plan::new([directory]);
    plan.analyses = analyses::parse("full").expect("a preset");
    let what = format!("checking {}", files.recipe.name);
    let mut sink = Told { collect: Collect::default(), records: 0, of: files.recipe.files, what, watch };
    let report = crate::run_with(&plan, &mut sink, watch.control)?;
    if report.cancelled { Err(BenchError::Cancelled) } else { Ok(sink.collect.into_answers()) }
}

/// Collects, and tells how far it is.
struct Told<'w> {
    collect: Collect,
    records: u64,
    of: u64,
    what: String,
    watch: &'w Watch<'w>,
}

impl Sink for Told<'_> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.collect.begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        const EVERY_RECORDS: u64 = 256;
        self.records += 1;
        if self.records.is_multiple_of(EVERY_RECORDS) {
            (self.watch.tell)(&self.what, self.records.min(self.of), self.of);
        }
        self.collect.record(record)
    }
}

/// A path of which something is known: the file of the recipe, whether it is there.
type Known = (PathBuf, (Option<u64>, bool));

/// What is wrong with the first path, in their order, that is not as it should be.
fn first_wrong(
    directory: &Path,
    files: &Files<'_>,
    watch: &Watch<'_>,
) -> Result<Option<BenchError>, BenchError> {
    const STEP_FILES: usize = 512;
    let known = known(directory, files)?;
    let what = format!("comparing {}", files.recipe.name);
    for (done, step) in known.chunks(STEP_FILES).enumerate() {
        if watch.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        (watch.tell)(&what, (done * STEP_FILES) as u64, known.len() as u64);
        let wrong = step
            .par_iter()
            .map_init(Vec::new, |bytes, known| wrong(directory, files, known, bytes))
            .find_map_first(|wrong| wrong);
        if wrong.is_some() {
            return Ok(wrong);
        }
    }
    Ok(None)
}

/// Every path that the recipe has or that is there, in order.
fn known(directory: &Path, files: &Files<'_>) -> Result<Vec<Known>, BenchError> {
    let mut known: BTreeMap<PathBuf, (Option<u64>, bool)> = BTreeMap::new();
    known.extend((0..files.recipe.files).map(|index| (files.path(index).into(), (Some(index), false))));
    for entry in walkdir::WalkDir::new(directory).min_depth(1) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(directory).to_owned();
            BenchError::File { path, source: error.into() }
        })?;
        if !entry.file_type().is_dir() {
            let path = entry.path().strip_prefix(directory).unwrap_or(entry.path());
            known.entry(path.to_owned()).or_default().1 = true;
        }
    }
    Ok(known.into_iter().collect())
}

/// What is wrong with a path, if anything. `bytes` is memory to work in.
fn wrong(directory: &Path, files: &Files<'_>, known: &Known, bytes: &mut Vec<u8>) -> Option<BenchError> {
    let (path, known) = known;
    let (path, name) = (directory.join(path), &files.recipe.name);
    let shown = path.display();
    let why = match *known {
        (Some(index), true) => {
            let is_file = fs::symlink_metadata(&path).is_ok_and(|data| data.is_file());
            let there = match is_file.then(|| fs::read(&path)).transpose() {
                Ok(there) => there,
                Err(error) => return Some(BenchError::file(&path)(error)),
            };
            files.content(index, bytes);
            if there.as_ref() == Some(bytes) {
                return None;
            }
            format!("{shown}: its content is not that of the recipe {name:?}")
        }
        (Some(_), false) => format!("{shown} is missing"),
        (None, _) => format!("{shown} does not belong to the corpus"),
    };
    Some(BenchError::Refused(why))
}
