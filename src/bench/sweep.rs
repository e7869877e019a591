//! Which settings are best for given files here: workers, files a batch, how files are reached.
//!
//! Every run is checked against the answers of the first one (or those that a corpus is known to have), and every
//! measurement is handed on as it is made.

mod race;
mod rows;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

pub use self::race::Fate;
use self::race::{Race, Taken};
use self::rows::{filled, summed_up};

use super::machine::memory_available_bytes;
use super::measure::{CacheState, drop_caches};
use super::point::Point;
use super::record::{RecordRow, RowKind};
use super::{Answers, BenchError, Machine, RamDisk, Runner, Shift, Spread, Watch, corpus, differences};
use crate::analyses;
use crate::plan::{Device, Staging, Workers};

/// How points are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Search {
    /// All where they are few, successive halving where they are many. As with [`Search::Halving`], a direction in which the
    /// rate falls twice is given up.
    #[default]
    Auto,
    /// Every point, as often as any other.
    Full,
    /// Successive halving.
    Halving,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The tree, one directory.
    pub path: PathBuf,
    /// List of analyses, as on the command line.
    pub analyses: String,
    /// Workers to try.
    pub workers: Vec<Workers>,
    /// Files a batch to try.
    pub batch_files: Vec<usize>,
    /// Ways to reach files to try.
    pub stages: Vec<Staging>,
    /// Devices to try.
    pub devices: Vec<Device>,
    /// What a run may take of the memory of each GPU, in bytes.
    pub gpu_memory_bytes: u64,
    /// How points are chosen.
    pub search: Search,
    /// Counted rounds of the points that are left in the end.
    pub repetitions: usize,
    /// Decides the order of the runs.
    pub seed: u64,
    /// What the system's cache holds before each run.
    pub cache: CacheState,
    /// Points that may take more, in bytes, are not measured; without it, half of what is free.
    pub memory_bytes_max: Option<u64>,
    /// Where the RAM disk is: a directory of a tmpfs; without one, /dev/shm.
    pub ram_disk_directory: Option<PathBuf>,
    /// Where runs take place.
    pub runner: Runner,
}

/// What came of a point.
#[derive(Debug, Clone)]
pub struct PointResult {
    /// Which.
    pub point: Point,
    /// What became of it.
    pub fate: Fate,
    /// Files a second, over its samples.
    pub rate: Spread,
    /// By how much it is faster than the defaults of a scan, as the logarithm of the ratio in the same rounds; of those that
    /// were measured to the end.
    pub gain: Option<Shift>,
    /// What else its samples had, in the median.
    pub row: RecordRow,
}

/// What came of a sweep.
#[derive(Debug, Clone, Default)]
pub struct SweepResult {
    /// Every point, small ones first.
    pub points: Vec<PointResult>,
    /// The best of all, by its place among them.
    pub best: Option<usize>,
    /// The best of those that read the tree where it lies.
    pub best_in_place: Option<usize>,
    /// Files of the tree, and their bytes.
    pub answers: Option<Answers>,
    /// What loading the RAM disk took, in seconds, and bytes there.
    pub ram_disk: Option<(f64, u64)>,
    /// By how much the machine's speed changed from one round to another: the fastest over the slowest.
    pub drift: f64,
    /// Paths that a run could not read.
    pub unread: u64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
    /// Whether the tree changed while it was measured: then no point is the best.
    pub has_tree_changed: bool,
}

impl Sweep {
    /// The points, in the order in which they grow; the defaults of a scan are always one, and measured to the end.
    pub fn points(&self) -> Vec<Point> {
        let numbers: BTreeSet<usize> = self.workers.iter().filter_map(|workers| number(*workers)).collect();
        let mut workers: Vec<Workers> = numbers.into_iter().map(Workers::Number).collect();
        workers.extend(self.workers.contains(&Workers::Auto).then_some(Workers::Auto));
        let batches: BTreeSet<usize> = self.batch_files.iter().copied().collect();
        let mut points: Vec<Point> = Vec::new();
        for device in &self.devices {
            for &stage in &self.stages {
                for &workers in &workers {
                    let more = batches.iter().map(|&batch_files| Point {
                        workers,
                        batch_files,
                        stage,
                        device: device.clone(),
                        gpu_memory_bytes: self.gpu_memory_bytes,
                    });
                    points.extend(more.filter(|point| !points.contains(point)).collect::<Vec<_>>());
                }
            }
        }
        if !points.is_empty() && !points.iter().any(Point::is_default) {
            points.push(Point::default());
        }
        points
    }

    /// Refuses what cannot be measured, before anything is; gives its points.
    ///
    /// # Errors
    /// When the analyses are mistyped, a required device is missing, there is no point, or the cache cannot be dropped as asked.
    pub fn check(&self) -> Result<Vec<Point>, BenchError> {
        analyses::parse(&self.analyses).map_err(|error| BenchError::Refused(error.to_string()))?;
        self.devices.iter().try_for_each(crate::expect_device)?;
        if self.cache == CacheState::Cold {
            drop_caches()?;
        }
        let points = self.points();
        if points.is_empty() {
            return Err(BenchError::Refused("a sweep of no points".to_owned()));
        }
        Ok(points)
    }

    /// What all rows of this sweep have in common.
    ///
    /// # Errors
    /// When the tree is not there, or half a corpus.
    pub fn conditions(&self) -> Result<RecordRow, BenchError> {
        let corpus = corpus::recognise(&self.path)?;
        let tree = match &corpus {
            Some(recipe) => recipe.name.clone(),
            None => {
                let path = self.path.canonicalize().map_err(BenchError::file(&self.path))?;
                crate::sink::printable(path.as_os_str().as_encoded_bytes())
            }
        };
        let row = RecordRow {
            cache: self.cache.name().to_owned(),
            analyses: self.analyses.clone(),
            tree,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..RecordRow::default()
        };
        Ok(row.on(Machine::here(&self.path)))
    }

    /// Measures. `known` are rows of an earlier run of the same sweep, which need not be measured again; `write` is given
    /// every row as it is made. When it is cancelled, what was measured is the result.
    ///
    /// # Errors
    /// When nothing can be measured, or `write` fails.
    pub fn run(
        &self,
        known: &[RecordRow],
        write: &mut dyn FnMut(&RecordRow) -> Result<(), BenchError>,
        watch: &Watch<'_>,
    ) -> Result<SweepResult, BenchError> {
        let points = self.check()?;
        let conditions = self.conditions()?;
        let expected = corpus::open(&self.path, watch)?.map(|recipe| recipe.answers().clone());
        // Half of what is free now: what is loaded below takes its part of that.
        let memory = self.memory_bytes_max.or_else(|| Some(memory_available_bytes()? / 2));
        let (disk, no_disk) = match self.load(&points, &conditions, memory, write, watch) {
            // The other points can be measured all the same.
            Err(BenchError::Unloadable(why)) => (None, Some(why)),
            loaded => (loaded?, None),
        };
        let held = disk.as_ref().map_or(0, |disk| disk.bytes);
        let refused = |point: &Point| {
            if point.stage == Staging::RamDisk && no_disk.is_some() {
                return no_disk.clone();
            }
            let needed = point.plan(&self.path, &self.analyses).ok()?.memory_bytes_estimate();
            let needed = needed.saturating_add(if point.stage == Staging::RamDisk { held } else { 0 });
            let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
            memory.filter(|limit| needed > *limit).map(|limit| {
                format!(
                    "may take {} MiB of memory, and {} MiB are allowed (--memory)",
                    mebibytes(needed),
                    mebibytes(limit)
                )
            })
        };
        let kept = points.iter().position(Point::is_default).unwrap_or(0);
        let mut race = Race::new(points.clone(), kept, refused);
        let mut runs = Runs {
            sweep: self,
            points: &points,
            conditions,
            expected,
            expected_checksum: known
                .iter()
                .map(|row| row.answers.clone())
                .find(|answers| !answers.is_empty()),
            disk: disk.as_ref(),
            known: known.iter().map(|row| (key(row), row)).collect(),
            rows: vec![Vec::new(); points.len()],
            done: 0,
            has_run: false,
            has_failed: false,
            has_measured: false,
            of: race.runs_max(self.search, self.repetitions) as u64,
            write,
            watch,
        };
        let mut take = |at: usize, repetition: usize| runs.take(at, repetition);
        let ran = race.run(self.search, self.repetitions, self.seed, &mut take);
        let cancelled = match ran {
            Ok(()) => false,
            Err(BenchError::Cancelled) => true,
            Err(error) => return Err(error),
        };
        let ram_disk = disk.as_ref().map(|disk| (disk.load_seconds, disk.bytes));
        if !cancelled {
            runs.expect_known(watch)?;
        }
        let has_tree_changed = !cancelled && runs.has_tree_changed()?;
        let outcome = SweepResult { ram_disk, cancelled, has_tree_changed, ..SweepResult::default() };
        runs.conclude(&race, outcome)
    }

    /// Copies the tree to a RAM disk where a point asks for it, with a row of its own.
    fn load(
        &self,
        points: &[Point],
        conditions: &RecordRow,
        bytes_max: Option<u64>,
        write: &mut dyn FnMut(&RecordRow) -> Result<(), BenchError>,
        watch: &Watch<'_>,
    ) -> Result<Option<RamDisk>, BenchError> {
        if !points.iter().any(|point| point.stage == Staging::RamDisk) {
            return Ok(None);
        }
        let bytes_max = bytes_max.unwrap_or(u64::MAX);
        let disk = RamDisk::load(&self.path, self.ram_disk_directory.as_deref(), bytes_max, watch)?;
        write(&RecordRow {
            row: RowKind::Load,
            at: now(),
            stage: "ram-disk".to_owned(),
            seconds: Some(disk.load_seconds),
            files: Some(disk.files),
            bytes: Some(disk.bytes),
            files_per_second: Some(disk.files as f64 / disk.load_seconds),
            mb_per_second: Some(disk.bytes as f64 / 1e6 / disk.load_seconds),
            ram_disk_bytes: Some(disk.bytes),
            ..conditions.clone()
        })?;
        Ok(Some(disk))
    }
}

/// The runs of a sweep, and what they left.
struct Runs<'s> {
    sweep: &'s Sweep,
    points: &'s [Point],
    conditions: RecordRow,
    /// The answers of the first run, or those that are known.
    expected: Option<Answers>,
    /// That of the answers in the rows that are known.
    expected_checksum: Option<String>,
    disk: Option<&'s RamDisk>,
    known: HashMap<Key, &'s RecordRow>,
    rows: Vec<Vec<RecordRow>>,
    done: u64,
    /// Whether anything was run, or all is known.
    has_run: bool,
    has_failed: bool,
    /// Whether some run gave the right answers.
    has_measured: bool,
    of: u64,
    write: &'s mut dyn FnMut(&RecordRow) -> Result<(), BenchError>,
    watch: &'s Watch<'s>,
}

/// Which run of which point a row is of.
type Key = (String, Option<usize>, String, (String, Option<u64>), Option<usize>);

fn key(row: &RecordRow) -> Key {
    let device = (row.device.clone(), row.gpu_memory_bytes);
    (row.workers.clone(), row.batch_files, row.stage.clone(), device, row.repetition)
}

impl Runs<'_> {
    /// Runs a point once, or takes what is known of that run.
    fn take(&mut self, at: usize, repetition: usize) -> Result<Taken, BenchError> {
        self.done += 1;
        let point = self.points[at].clone();
        let empty = self.row(&point, RowKind::Sample, Some(repetition));
        if let Some(known) = self.known.get(&key(&empty)) {
            if known.row == RowKind::Error {
                self.rows[at].clear();
                return Ok(Taken::Failed(known.note.clone()));
            }
            if let (RowKind::WarmUp | RowKind::Sample, Some(rate)) = (known.row, known.files_per_second) {
                if known.row == RowKind::Sample {
                    self.rows[at].push((*known).clone());
                }
                return Ok(Taken::Rate(rate));
            }
        }
        let (workers, stage) = (point.workers_name(), point.stage_name());
        let device = &point.device;
        let what = format!("workers {workers}, batches of {}, {stage}, {device}", point.batch_files);
        (self.watch.tell)(&what, self.done, self.of);
        let path = match self.disk {
            Some(disk) if point.stage == Staging::RamDisk => disk.path(),
            _ => &self.sweep.path,
        };
        if self.sweep.cache == CacheState::Cold {
            drop_caches()?;
        }
        if self.watch.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        self.has_run = true;
        let measured = match self.sweep.runner.run(&point, path, &self.sweep.analyses, self.watch) {
            Ok(measured) => measured,
            Err(BenchError::Refused(why)) => return self.failed(at, empty, why),
            Err(error) => return Err(error),
        };
        let differing = match &self.expected {
            Some(expected) => differences(expected, &measured.answers),
            None => Vec::new(),
        };
        let rate = measured.files_per_second();
        let mut row = filled(&empty, &measured);
        row.answers = measured.answers.checksum();
        row.ram_disk_bytes = self.disk.filter(|_| point.stage == Staging::RamDisk).map(|disk| disk.bytes);
        let checksum = &row.answers;
        if self.expected.is_none() && self.expected_checksum.as_ref().is_some_and(|known| known != checksum) {
            return Err(self.has_changed());
        }
        if !differing.is_empty() {
            return self.failed(at, row, format!("wrong answers: {}", differing.join(", ")));
        }
        self.expected.get_or_insert(measured.answers);
        self.has_measured = true;
        if repetition == 0 {
            row.row = RowKind::WarmUp;
        }
        (self.write)(&row)?;
        if repetition > 0 {
            self.rows[at].push(row);
        }
        Ok(Taken::Rate(rate))
    }

    /// Where every run was known already, nothing was compared with the tree as it is now.
    fn expect_known(&mut self, watch: &Watch<'_>) -> Result<(), BenchError> {
        if self.has_run || self.known.is_empty() {
            return Ok(());
        }
        let Sweep { path, analyses, runner, .. } = self.sweep;
        let measured = runner.run(&Point::default(), path, analyses, watch)?;
        if self.expected_checksum.as_ref().is_some_and(|known| *known != measured.answers.checksum()) {
            return Err(self.has_changed());
        }
        self.expected.get_or_insert(measured.answers);
        Ok(())
    }

    /// Whether the tree answers otherwise now than in the first run. Asked only if a point failed: either it answers wrongly, or
    /// the tree is another one.
    fn has_tree_changed(&self) -> Result<bool, BenchError> {
        let Sweep { path, analyses, runner, .. } = self.sweep;
        let Some(expected) = self.expected.as_ref().filter(|_| self.has_failed && self.has_measured) else {
            return Ok(false);
        };
        match runner.run(&Point::default(), path, analyses, self.watch) {
            Ok(measured) => Ok(!differences(expected, &measured.answers).is_empty()),
            // It is not there any more, or nothing in it can be read.
            Err(BenchError::Refused(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn has_changed(&self) -> BenchError {
        let path = self.sweep.path.display();
        BenchError::Refused(format!("{path}: answers otherwise than when the record was begun"))
    }

    /// A run that gave nothing that counts.
    fn failed(&mut self, at: usize, row: RecordRow, why: String) -> Result<Taken, BenchError> {
        self.rows[at].clear();
        self.has_failed = true;
        (self.write)(&RecordRow { row: RowKind::Error, note: why.replace('\n', " "), ..row })?;
        Ok(Taken::Failed(why))
    }

    fn row(&self, point: &Point, row: RowKind, repetition: Option<usize>) -> RecordRow {
        RecordRow {
            row,
            at: now(),
            workers: point.workers_name(),
            batch_files: Some(point.batch_files),
            stage: point.stage_name().to_owned(),
            device: point.device.to_string(),
            gpu_memory_bytes: point.gpu_memory_bytes_asked(),
            repetition,
            ..self.conditions.clone()
        }
    }

    /// The result, and a row a point.
    fn conclude(&mut self, race: &Race, outcome: SweepResult) -> Result<SweepResult, BenchError> {
        let SweepResult { cancelled, has_tree_changed, .. } = outcome;
        let best = |counts: &dyn Fn(&Point) -> bool| race.best(counts).filter(|_| !has_tree_changed);
        let mut results = Vec::new();
        for (at, point) in self.points.iter().enumerate() {
            let rate = Spread::of(&race.rates[at]);
            let fate = race.fates[at].clone();
            let mut row = summed_up(self.row(point, RowKind::Point, Some(rate.count)), &self.rows[at], &rate);
            if let Fate::Skipped(why) | Fate::Failed(why) = &fate {
                row.row = if matches!(fate, Fate::Skipped(_)) { RowKind::Skipped } else { RowKind::Point };
                row.note = why.clone();
            }
            results.push(PointResult { point: point.clone(), fate, rate, gain: race.gain(at), row });
        }
        // Of a sweep that goes on later nothing is said yet.
        if !cancelled {
            // Points first: what is taken off again when the sweep is resumed begins there.
            results.sort_by_key(|result| result.row.row == RowKind::Skipped);
            for result in &results {
                (self.write)(&result.row)?;
            }
            results.sort_by_key(|result| self.points.iter().position(|point| *point == result.point));
        }
        let (best, best_in_place) = (best(&|_| true), best(&|point| point.stage != Staging::RamDisk));
        if best.is_none() && !cancelled && !has_tree_changed {
            let why = results.iter().find_map(|result| match &result.fate {
                Fate::Failed(why) | Fate::Skipped(why) => Some(why.as_str()),
                Fate::Ran | Fate::Behind => None,
            });
            let why = why.unwrap_or("nothing was tried");
            return Err(BenchError::Refused(format!("no point could be measured: {why}")));
        }
        Ok(SweepResult {
            points: results,
            best,
            best_in_place,
            answers: self.expected.clone(),
            drift: race.drift(),
            unread: self.expected.as_ref().map_or(0, |answers| answers.unread),
            ..outcome
        })
    }
}

fn number(workers: Workers) -> Option<usize> {
    match workers {
        Workers::Auto => None,
        Workers::Number(number) => Some(number),
    }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
