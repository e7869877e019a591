//! Tiers: steps of throughput with everything fixed, so that "fast enough" means the same everywhere. Three of files a second
//! from a RAM disk, and one of our own, within reach of the machine's floor.

use std::path::{Path, PathBuf};

use super::limit::{FUSED, Limit, measure_limit};
use super::point::Point;
use super::statistics::{Spread, shuffled};
use super::{Answers, BenchError, Gpus, RamDisk, Runner, Watch, corpus, differences};
use crate::plan::{Device, Staging, Workers, cores};

/// A step of throughput.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// The word that selects it.
    pub name: &'static str,
    /// The corpus that is made where no tree is given.
    pub recipe: &'static str,
    /// Files that there must be at least.
    pub files_min: u64,
    /// Threads that open, read and analyse.
    pub workers: usize,
    /// Files a batch; each is measured.
    pub batch_files: [usize; 2],
    /// What may lie on the RAM disk, in bytes.
    pub ram_disk_bytes_max: u64,
    /// What may be taken of the memory of each GPU, in bytes.
    pub gpu_memory_bytes_max: u64,
    /// Files a second to reach.
    pub target_files_per_second: u64,
}

/// The tiers of files a second, for a machine with so many cores.
pub fn tiers(cores: usize) -> [Tier; 3] {
    [
        Tier {
            name: "base",
            recipe: "10k",
            files_min: 10_000,
            workers: 2 * cores + 8,
            batch_files: [500, 1_000],
            ram_disk_bytes_max: 2_000_000_000,
            gpu_memory_bytes_max: 125_000_000,
            target_files_per_second: 1_000,
        },
        Tier {
            name: "legendary",
            recipe: "20k",
            files_min: 20_000,
            workers: 4 * cores + 16,
            batch_files: [2_000, 5_000],
            ram_disk_bytes_max: 2_000_000_000,
            gpu_memory_bytes_max: 500_000_000,
            target_files_per_second: 7_000,
        },
        Tier {
            name: "turbo",
            recipe: "50k",
            files_min: 50_000,
            workers: 6 * cores + 32,
            batch_files: [5_000, 10_000],
            ram_disk_bytes_max: 5_000_000_000,
            gpu_memory_bytes_max: 250_000_000,
            target_files_per_second: 10_000,
        },
    ]
}

/// What every tier asks: the size (always there), line feeds and SHA-256.
pub const TIER_ANALYSES: &str = "lines,sha256";
/// The engine's time over the floor's that the tier `limit` allows.
pub const LIMIT_RATIO_MAX: f64 = 1.25;
/// Standard deviation over mean that counts as stable.
const VARIATION_MAX: f64 = 0.15;

/// How a tier is measured.
#[derive(Debug, Clone)]
pub struct TierRun {
    /// The tree; without one, a corpus is made on the RAM disk.
    pub path: Option<PathBuf>,
    /// Where the RAM disk is: a directory of a tmpfs; without one, /dev/shm.
    pub ram_disk_directory: Option<PathBuf>,
    /// Counted runs.
    pub repetitions: usize,
    /// Where they take place.
    pub runner: Runner,
}

/// One thing that a tier asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Criterion {
    /// What it is about.
    pub what: String,
    /// What was asked.
    pub asked: String,
    /// What was found.
    pub found: String,
    /// Whether that is enough.
    pub is_met: bool,
}

/// What came of a tier.
#[derive(Debug, Clone)]
pub struct TierResult {
    /// One by one.
    pub criteria: Vec<Criterion>,
    /// The rate over the target; of the tier `limit`, what it allows over what was found.
    pub factor: f64,
    /// What was done otherwise than asked for.
    pub notes: Vec<String>,
}

impl TierResult {
    /// Whether nothing is missed.
    pub fn is_met(&self) -> bool {
        self.criteria.iter().all(|criterion| criterion.is_met)
    }
}

/// Measures a tier of files a second.
///
/// # Errors
/// When there is no RAM disk or it is too small, the tree cannot be read at all, or it is cancelled.
pub fn run_tier(tier: &Tier, run: &TierRun, watch: &Watch<'_>) -> Result<TierResult, BenchError> {
    if let Some(path) = &run.path {
        let bytes = RamDisk::needed(path, watch)?;
        if bytes >= tier.ram_disk_bytes_max {
            let criteria =
                vec![ram_disk(tier, format!("{:.2} GB needed: not loaded", bytes as f64 / 1e9), false)];
            return Ok(TierResult { criteria, factor: 0.0, notes: Vec::new() });
        }
    }
    let (disk, known) = fill(run, tier.recipe, watch)?;
    let runs = measure_tier(tier, run, &disk, known.clone(), watch)?;
    let spreads: Vec<Spread> = runs.rates.iter().map(|rates| Spread::of(rates)).collect();
    let target = tier.target_files_per_second as f64;
    let mut criteria = Vec::new();
    for (batch_files, spread) in tier.batch_files.iter().zip(&spreads) {
        criteria.push(Criterion {
            what: format!("rate, {} workers, batches of {}", tier.workers, grouped(*batch_files as f64)),
            asked: format!("at least {} files/s", grouped(target)),
            found: format!(
                "{} files/s ({} to {})",
                grouped(spread.median),
                grouped(spread.min),
                grouped(spread.max)
            ),
            is_met: spread.median >= target,
        });
    }
    criteria.extend(all_read(runs.files, tier.files_min, runs.failed));
    criteria.push(verified(known.is_some(), runs.wrong, runs.done));
    let made = if run.path.is_some() { "loaded" } else { "made there" };
    let found = format!("{:.2} GB, {made} in {:.2} s", disk.bytes as f64 / 1e9, disk.load_seconds);
    criteria.push(ram_disk(tier, found, disk.bytes < tier.ram_disk_bytes_max));
    criteria.push(gpu_memory(tier, runs.gpus.as_ref()));
    criteria.push(stable(&spreads, target));
    criteria.extend((runs.done < runs.of).then(|| broken_off(runs.of, runs.done)));
    let slowest = spreads.iter().map(|spread| spread.median).fold(f64::INFINITY, f64::min);
    Ok(TierResult { criteria, factor: slowest / target, notes: runs.notes })
}

/// The runs of a tier.
struct Runs {
    /// Files a second, by size of the batches.
    rates: Vec<Vec<f64>>,
    /// How many there were, of how many.
    done: u64,
    of: u64,
    /// Of these, how many answered wrongly.
    wrong: u64,
    /// Files of a run, and the most paths that one could not read.
    files: u64,
    failed: u64,
    /// What the GPUs did in the last one.
    gpus: Option<Gpus>,
    notes: Vec<String>,
}

/// Measures each size of batches once a round, in random order; the first round warms up.
fn measure_tier(
    tier: &Tier,
    run: &TierRun,
    disk: &RamDisk,
    known: Option<Answers>,
    watch: &Watch<'_>,
) -> Result<Runs, BenchError> {
    let workers = Workers::Number(tier.workers);
    let points = tier.batch_files.map(|batch_files| Point {
        workers,
        batch_files,
        stage: Staging::Read,
        device: Device::Auto,
        gpu_memory_bytes: tier.gpu_memory_bytes_max,
    });
    let mut reference = known;
    let mut runs = Runs {
        rates: vec![Vec::new(); points.len()],
        done: 0,
        of: (points.len() * (run.repetitions + 1)) as u64,
        wrong: 0,
        files: 0,
        failed: 0,
        gpus: None,
        notes: Vec::new(),
    };
    for repetition in 0..=run.repetitions {
        for at in shuffled(points.len(), repetition as u64) {
            (watch.tell)(&format!("tier {}", tier.name), runs.done, runs.of);
            let measured = match run.runner.run(&points[at], disk.path(), TIER_ANALYSES, watch) {
                Err(BenchError::Cancelled) if runs.rates.iter().all(|rates| rates.len() > 1) => {
                    return Ok(runs);
                }
                measured => measured?,
            };
            // The first warms up.
            if repetition > 0 {
                runs.rates[at].push(measured.files_per_second());
            }
            let reference = reference.get_or_insert_with(|| measured.answers.clone());
            runs.done += 1;
            runs.wrong += u64::from(!differences(reference, &measured.answers).is_empty());
            runs.files = reference.files;
            runs.failed = runs.failed.max(measured.failed);
            runs.gpus = measured.gpus;
            runs.notes.extend(measured.notes);
            runs.notes.dedup();
        }
    }
    Ok(runs)
}

/// Measures the tier `limit`: the engine within reach of the machine's floor, without analyses, with BLAKE3, and with the
/// fused set.
///
/// # Errors
/// As [`run_tier`]; the floor is measured on Linux only.
pub fn run_limit_tier(run: &TierRun, watch: &Watch<'_>) -> Result<TierResult, BenchError> {
    let made;
    let path = match &run.path {
        Some(path) => path.as_path(),
        None => {
            made = fill(run, "10k", watch)?.0;
            made.path()
        }
    };
    let limit = Limit {
        path: path.to_owned(),
        threads: vec![cores()],
        analyses: ["none", "blake3", FUSED].map(str::to_owned).to_vec(),
        rounds: run.repetitions,
        runner: run.runner.clone(),
    };
    let limits = measure_limit(&limit, watch)?;
    let mut criteria = Vec::new();
    let mut worst = 0.0_f64;
    for line in &limits.lines {
        let Some(ratio) = line.ratio else { continue };
        worst = worst.max(ratio.median);
        criteria.push(Criterion {
            what: format!("time over the floor, -a {}", line.bare.name()),
            asked: format!("at most {LIMIT_RATIO_MAX}"),
            found: format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.min, ratio.max),
            is_met: ratio.median <= LIMIT_RATIO_MAX,
        });
    }
    criteria.extend(all_read(limits.files, 1, limits.errors));
    // One that answers wrongly ends the measurement.
    let runs = (limits.rounds + 1) * limit.analyses.len();
    criteria.push(verified(corpus::recognise(path)?.is_some(), 0, runs as u64));
    let variation = limits.lines.iter().filter_map(|line| line.ratio).map(|ratio| ratio.variation);
    criteria.push(steady(variation.fold(0.0, f64::max)));
    let (asked, done) = (run.repetitions as u64, limits.rounds as u64);
    criteria.extend((done < asked).then(|| broken_off(asked, done)));
    Ok(TierResult { criteria, factor: LIMIT_RATIO_MAX / worst, notes: limits.notes })
}

/// The tree on a RAM disk, and its answers where they are known beforehand.
fn fill(run: &TierRun, recipe: &str, watch: &Watch<'_>) -> Result<(RamDisk, Option<Answers>), BenchError> {
    let place = run.ram_disk_directory.as_deref();
    match &run.path {
        Some(path) => {
            let known = corpus::open(path, watch)?.map(|recipe| recipe.answers().clone());
            Ok((RamDisk::load(path, place, u64::MAX, watch)?, known))
        }
        None => {
            let recipe = corpus::recipe(recipe)?;
            let make = |directory: &Path| corpus::make(directory, &recipe, watch).map(drop);
            let disk = RamDisk::fill(place, recipe.answers(), make)?;
            Ok((disk, Some(recipe.answers().clone())))
        }
    }
}

fn all_read(files: u64, files_min: u64, failed: u64) -> [Criterion; 2] {
    [
        Criterion {
            what: "files".to_owned(),
            asked: format!("at least {}", grouped(files_min as f64)),
            found: grouped(files as f64),
            is_met: files >= files_min,
        },
        Criterion {
            what: "all processed".to_owned(),
            asked: "no path without an answer".to_owned(),
            found: if failed == 0 { "none".to_owned() } else { format!("{failed} could not be read") },
            is_met: failed == 0,
        },
    ]
}

fn ram_disk(tier: &Tier, found: String, is_met: bool) -> Criterion {
    let asked = format!("below {:.1} GB, the whole tree loaded first", tier.ram_disk_bytes_max as f64 / 1e9);
    Criterion { what: "RAM disk".to_owned(), asked, found, is_met }
}

/// Whether a GPU was used does not decide: the rate does.
fn gpu_memory(tier: &Tier, gpus: Option<&Gpus>) -> Criterion {
    let asked = format!("at most {} GB of each GPU", tier.gpu_memory_bytes_max as f64 / 1e9);
    let found = match gpus {
        Some(gpus) if gpus.files > 0 => {
            format!("within that: {}, {} files of a run", gpus.adapters, grouped(gpus.files as f64))
        }
        Some(gpus) if !gpus.left_out.is_empty() => {
            format!("none, the processor did all: {}: {}", gpus.adapters, gpus.left_out)
        }
        _ => "none, the processor did all".to_owned(),
    };
    Criterion { what: "GPU memory".to_owned(), asked, found, is_met: true }
}

fn verified(is_known: bool, wrong: u64, runs: u64) -> Criterion {
    let with = if is_known { "those known of the corpus" } else { "those of the first run" };
    Criterion {
        what: "answers".to_owned(),
        asked: format!("equal to {with}"),
        found: format!("in {} of {runs} runs", runs - wrong),
        is_met: wrong == 0,
    }
}

fn steady(variation: f64) -> Criterion {
    Criterion {
        what: "stable".to_owned(),
        asked: format!("variation of the ratios at most {:.0} %", 100.0 * VARIATION_MAX),
        found: format!("{:.1} %", 100.0 * variation),
        is_met: variation <= VARIATION_MAX,
    }
}

fn broken_off(asked: u64, done: u64) -> Criterion {
    Criterion {
        what: "runs".to_owned(),
        asked: asked.to_string(),
        found: format!("{done}, then interrupted"),
        is_met: false,
    }
}

fn stable(spreads: &[Spread], target: f64) -> Criterion {
    let variation = spreads.iter().map(|spread| spread.variation).fold(0.0, f64::max);
    let slowest = spreads.iter().map(|spread| spread.min).fold(f64::INFINITY, f64::min);
    Criterion {
        what: "stable".to_owned(),
        asked: format!("every run reaches the target, variation at most {:.0} %", 100.0 * VARIATION_MAX),
        found: format!("slowest {} files/s, variation {:.1} %", grouped(slowest), 100.0 * variation),
        is_met: slowest >= target && variation <= VARIATION_MAX,
    }
}

/// A whole number with a comma a thousand.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tiers_are_those_of_the_seed() {
        let [base, legendary, turbo] = tiers(2);
        assert_eq!((base.workers, legendary.workers, turbo.workers), (12, 24, 44));
        assert_eq!(turbo.batch_files, [5_000, 10_000]);
        let gpu_memory = [&base, &legendary, &turbo].map(|tier| tier.gpu_memory_bytes_max);
        assert_eq!(gpu_memory, [125_000_000, 500_000_000, 250_000_000]);
        for tier in [base, legendary, turbo] {
            let recipe = corpus::recipe(tier.recipe).expect("there is one");
            assert!(recipe.answers().files >= tier.files_min);
            assert!(recipe.answers().bytes < tier.ram_disk_bytes_max);
        }
    }

    #[test]
    fn without_a_gpu_a_tier_says_so_and_passes() {
        #[track_caller]
        fn check(gpus: Option<Gpus>, expected: &str) {
            let criterion = gpu_memory(&tiers(2)[0], gpus.as_ref());
            assert!(criterion.is_met);
            assert_eq!((&*criterion.asked, &*criterion.found), ("at most 0.125 GB of each GPU", expected));
        }
        let gpus = Gpus {
            adapters: "Made-up 9".to_owned(),
            files: 1_200,
            bytes: 3_000,
            busy_seconds: 0.5,
            left_out: String::new(),
        };
        check(None, "none, the processor did all");
        check(Some(gpus.clone()), "within that: Made-up 9, 1,200 files of a run");
        let left_out = Gpus { files: 0, left_out: "a worker is faster".to_owned(), ..gpus };
        check(Some(left_out), "none, the processor did all: Made-up 9: a worker is faster");
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!([7.4, 999.6, 1_234_567.0].map(grouped), ["7", "1,000", "1,234,567"]);
    }

    #[test]
    fn one_slow_run_or_much_spread_is_not_stable() {
        let steady = Spread::of(&[100.0, 101.0, 99.0]);
        assert!(stable(&[steady], 90.0).is_met);
        assert!(!stable(&[steady], 99.5).is_met);
        assert!(!stable(&[steady, Spread::of(&[100.0, 200.0, 150.0])], 90.0).is_met);
    }
}
