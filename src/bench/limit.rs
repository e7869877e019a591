//! How far the engine is from what the machine can do with given files: the floor at several numbers of threads, then the
//! engine, all in turn in one run, and the ratios.

#[cfg(target_os = "linux")]
mod floor;
#[cfg(not(target_os = "linux"))]
#[path = "limit/floor_none.rs"]
mod floor;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::floor::floor;

use super::point::Point;
use super::statistics::{Spread, shuffled};
use super::{Answers, BenchError, Runner, Watch, corpus, differences};
use crate::analyses::{self, Analysis};

/// What the bare program does with each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare {
    /// Finds it: directories are listed.
    Walk,
    /// Opens it, reads it to the end, runs the passes of these analyses over its bytes (a list as on the command
    /// line, `none` too), and closes it.
    Read(String),
}

impl Bare {
    /// The word that reports use.
    pub fn name(&self) -> &str {
        match self {
            Bare::Walk => "walk",
            Bare::Read(list) => list,
        }
    }

    pub(super) fn analyses(&self) -> Result<Vec<Arc<dyn Analysis>>, BenchError> {
        match self {
            Bare::Walk => Ok(Vec::new()),
            Bare::Read(list) => analyses::parse(list).map_err(|error| BenchError::Refused(error.to_string())),
        }
    }
}

/// What one run of the floor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// Regular files met, and read where they were to be.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What could not be listed or read.
    pub errors: u64,
    /// From the first call to the last.
    pub elapsed: Duration,
}

/// Questions that can be answered together at the speed of one pass: what `fused` stands for.
pub const FUSED: &str = "lines,words,entropy,blake3,xxh3";

/// What to measure.
#[derive(Debug, Clone)]
pub struct Limit {
    /// The tree, one directory.
    pub path: PathBuf,
    /// Numbers of threads of the floor.
    pub threads: Vec<usize>,
    /// Lists of analyses. For each, the floor runs their passes, and the engine answers them.
    pub analyses: Vec<String>,
    /// Counted rounds, after one that warms up.
    pub rounds: usize,
    /// Where the engine runs.
    pub runner: Runner,
}

/// One line of the answer.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was done with each file.
    pub bare: Bare,
    /// Seconds of the floor, by number of threads.
    pub floor: Vec<(usize, Spread)>,
    /// Seconds of the engine; it does not walk alone.
    pub engine: Option<Spread>,
    /// The engine's time over the floor's, at the number of threads that is fastest in the median; round by round.
    pub ratio: Option<Spread>,
}

/// How far the engine is from the floor.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Files read in each run.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be read.
    pub errors: u64,
    /// Rounds that were counted: fewer than asked for where it was interrupted.
    pub rounds: usize,
    /// A line for the walk, one for each list of analyses.
    pub lines: Vec<Line>,
    /// What the engine did otherwise than asked for.
    pub notes: Vec<String>,
}

/// A thing to time: a line, and a number of threads of the floor, or the engine.
#[derive(Clone, Copy)]
struct Side {
    line: usize,
    threads: Option<usize>,
}

/// Measures every side once a round, in random order; the first round warms up.
///
/// # Errors
/// When something cannot be read at all, the tree changes, or it is cancelled before a round was counted.
pub fn measure_limit(limit: &Limit, watch: &Watch<'_>) -> Result<Limits, BenchError> {
    let bares: Vec<Bare> = std::iter::once(Bare::Walk)
        .chain(limit.analyses.iter().map(|list| Bare::Read(list.clone())))
        .collect();
    // What is mistyped is told before anything is measured.
    bares.iter().try_for_each(|bare| bare.analyses().map(drop))?;
    let known = corpus::open(&limit.path, watch)?.map(|recipe| recipe.answers().clone());
    let mut sides = Vec::new();
    for (line, bare) in bares.iter().enumerate() {
        sides.extend(limit.threads.iter().map(|&threads| Side { line, threads: Some(threads) }));
        sides.extend((*bare != Bare::Walk).then_some(Side { line, threads: None }));
    }
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); sides.len()];
    let mut seen = Seen { known, counted: None, answers: HashMap::new(), notes: Vec::new() };
    let of = (limit.rounds as u64 + 1) * sides.len() as u64;
    let mut done = 0;
    for round in 0..=limit.rounds {
        for at in shuffled(sides.len(), round as u64) {
            (watch.tell)("measuring the limit", done, of);
            done += 1;
            let side = sides[at];
            let elapsed = match run_side(&bares[side.line], side.threads, limit, &mut seen, watch) {
                Err(BenchError::Cancelled) if round > 1 => {
                    return Ok(limits(&bares, &sides, seconds, round - 1, seen));
                }
                elapsed => elapsed?,
            };
            if round > 0 {
                seconds[at].push(elapsed);
            }
        }
    }
    Ok(limits(&bares, &sides, seconds, limit.rounds, seen))
}

/// What must be the same in every run.
struct Seen {
    /// The answers that a corpus is known to have.
    known: Option<Answers>,
    /// Files, bytes and errors of whatever reads.
    counted: Option<(u64, u64, u64)>,
    /// The first answers to each list of analyses.
    answers: HashMap<String, Answers>,
    /// What the engine did otherwise than asked.
    notes: Vec<String>,
}

/// Seconds of one side.
fn run_side(
    bare: &Bare,
    threads: Option<usize>,
    limit: &Limit,
    seen: &mut Seen,
    watch: &Watch<'_>,
) -> Result<f64, BenchError> {
    let path = limit.path.display();
    let (seconds, counted) = match threads {
        Some(threads) => {
            let floor = floor(&limit.path, threads, bare, watch.control)?;
            (floor.elapsed.as_secs_f64(), (floor.files, floor.bytes, floor.errors))
        }
        None => {
            let measured = limit.runner.run(&Point::default(), &limit.path, bare.name(), watch)?;
            let (answers, seconds) = (measured.answers, measured.seconds);
            let counted = (answers.files, answers.bytes, measured.failed);
            let first = seen.answers.entry(bare.name().to_owned()).or_insert_with(|| answers.clone());
            let expected = seen.known.as_ref().unwrap_or(first);
            let differing = differences(expected, &answers).join(", ");
            if !differing.is_empty() {
                return Err(BenchError::Refused(format!("{path}: a scan answered wrongly: {differing}")));
            }
            seen.notes.extend(
                measured.notes.into_iter().filter(|note| !seen.notes.contains(note)).collect::<Vec<_>>(),
            );
            (seconds, counted)
        }
    };
    // The walk alone does not know sizes, and does not open what it could not read.
    if *bare != Bare::Walk && *seen.counted.get_or_insert(counted) != counted {
        return Err(BenchError::Refused(format!(
            "{path}: not every run reads the same files: it changed, or something in it cannot be read by all"
        )));
    }
    Ok(seconds)
}

fn limits(bares: &[Bare], sides: &[Side], mut seconds: Vec<Vec<f64>>, rounds: usize, seen: Seen) -> Limits {
    seconds.iter_mut().for_each(|seconds| seconds.truncate(rounds));
    let of_line = |line: usize| sides.iter().zip(&seconds).filter(move |(side, _)| side.line == line);
    let lines = bares.iter().enumerate().map(|(line, bare)| {
        let threaded = of_line(line).filter_map(|(side, seconds)| Some((side.threads?, seconds)));
        let floor: Vec<_> =
            threaded.clone().map(|(threads, seconds)| (threads, Spread::of(seconds))).collect();
        let fastest =
            floor.iter().min_by(|a, b| a.1.median.total_cmp(&b.1.median)).map(|(threads, _)| *threads);
        let floor_seconds = threaded.clone().find(|(threads, _)| Some(*threads) == fastest);
        let engine = of_line(line).find(|(side, _)| side.threads.is_none()).map(|(_, seconds)| seconds);
        let ratio = engine.zip(floor_seconds).map(|(engine, (_, floor))| {
            let ratios: Vec<f64> = engine.iter().zip(floor).map(|(engine, floor)| engine / floor).collect();
            Spread::of(&ratios)
        });
        Line { bare: bare.clone(), floor, engine: engine.map(|seconds| Spread::of(seconds)), ratio }
    });
    let (files, bytes, errors) = seen.counted.unwrap_or_default();
    Limits { files, bytes, errors, rounds, lines: lines.collect(), notes: seen.notes }
}
