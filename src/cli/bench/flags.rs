//! What can be typed after `filemill bench`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use filemill::bench::corpus::Recipe;
use filemill::bench::tier::TIER_ANALYSES;
use filemill::plan::{Device, Workers};

use super::super::flags::{Stage, When, parse_device, parse_workers};
use super::super::gates::{Rate, parse_rate};
use super::super::size::parse_size_above_zero;

/// The commands of `filemill bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Make a tree that is the same to the byte on every machine, or check one that is there.
    #[command(after_help = after_corpus_help())]
    Corpus(CorpusFlags),
    /// Tell how far a scan is from what the machine can do.
    Limit(LimitFlags),
    /// Tell which workers, batches and staging are best for given files.
    Sweep(Box<SweepFlags>),
    /// Tell whether this machine reaches a step of throughput; exit code 1 where it does not.
    #[command(after_help = after_tier_help())]
    Tier(TierFlags),
    /// Tell whether scans became slower: exit code 0 no, 1 yes, 4 too noisy to say.
    #[command(after_help = CHECK_HELP)]
    Check(CheckFlags),
    /// Make one run and print what it took: what the others start for each run.
    #[command(hide = true)]
    Measure(MeasureFlags),
}

/// What all of them take.
#[derive(Debug, Args)]
pub(crate) struct Messages {
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Messages")]
    pub(crate) color: When,

    /// Show no progress
    #[arg(long, help_heading = "Messages")]
    pub(crate) no_progress: bool,

    /// Say nothing on standard error but errors
    #[arg(short, long, help_heading = "Messages")]
    pub(crate) quiet: bool,
}

/// The flags of `filemill bench corpus`.
#[derive(Debug, Args)]
pub(crate) struct CorpusFlags {
    /// Where: an empty or new directory, or a corpus to check
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// What to make: a name as below
    #[arg(long, value_name = "NAME")]
    pub(crate) recipe: String,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

/// The flags of `filemill bench limit`.
#[derive(Debug, Args)]
pub(crate) struct LimitFlags {
    /// The tree: one directory
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Analyses to run together. Repeatable: a row of the table each [default: none, each digest, and five together]
    #[arg(short, long, value_name = "LIST")]
    pub(crate) analyses: Vec<String>,

    /// Threads of the floor, comma-separated [default: 1, one a core, two a core]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Vec<u16>,

    /// Rounds that count, after one that warms up
    #[arg(long, value_name = "N", default_value = "9", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: u16,

    /// What to print on standard output
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub(crate) format: BenchFormat,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

/// The flags of `filemill bench sweep`.
#[derive(Debug, Args)]
pub(crate) struct SweepFlags {
    /// The tree: one directory
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Questions to answer in each run
    #[arg(short, long, value_name = "LIST", default_value = "light")]
    pub(crate) analyses: String,

    /// Numbers of workers, comma-separated; auto is one of them [default: auto, and 1 to 8 a core]
    #[arg(short = 'j', long, value_name = "N", value_delimiter = ',', value_parser = parse_workers, help_heading = "Points")]
    pub(crate) workers: Vec<Workers>,

    /// Files a batch, comma-separated
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64,256,1000,4000", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Points")]
    pub(crate) batch_files: Vec<u32>,

    /// Ways to reach files, comma-separated. With ram-disk the whole tree is copied to a RAM disk once, before anything is timed,
    /// and read there (where scan copies batch by batch)
    #[arg(
        long,
        value_name = "HOW",
        value_delimiter = ',',
        default_value = "auto,read",
        help_heading = "Points"
    )]
    pub(crate) stage: Vec<Stage>,

    /// What answers, comma-separated: cpu, auto, gpu or parts of names, as for scan; '?' lists the adapters
    #[arg(long, value_name = "DEVICE", value_delimiter = ',', default_value = "cpu", value_parser = parse_device, help_heading = "Points")]
    pub(crate) device: Vec<Device>,

    /// The most that each run may take of the memory of a GPU [default: 500MB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Points")]
    pub(crate) gpu_memory: Option<u64>,

    /// Which points are measured how often
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Points")]
    pub(crate) search: SearchBy,

    /// Do not measure points that may take more memory [default: half of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Points")]
    pub(crate) memory: Option<u64>,

    /// Where the RAM disk is: a directory of a tmpfs [default: /dev/shm]
    #[arg(long, value_name = "DIR", help_heading = "Points")]
    pub(crate) ram_disk: Option<PathBuf>,

    /// Rounds of the points that are left in the end; those before do not count
    #[arg(long, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Runs")]
    pub(crate) repetitions: u16,

    /// Let the system forget what it has read before each run (as root)
    #[arg(long, help_heading = "Runs")]
    pub(crate) cold: bool,

    /// Decides the order of the runs
    #[arg(long, value_name = "N", default_value = "1", help_heading = "Runs")]
    pub(crate) seed: u64,

    /// Write a row of CSV for each measurement, as it is made
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) record: Option<PathBuf>,

    /// Go on with a record that was cut short
    #[arg(long, requires = "record", help_heading = "Output")]
    pub(crate) resume: bool,

    /// End with code 1 where the best point does not reach a rate, e.g. 10000f/s or 2GB/s
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Output")]
    pub(crate) target: Option<Rate>,

    /// What to print on standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", help_heading = "Output")]
    pub(crate) format: BenchFormat,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

/// The flags of `filemill bench tier`.
#[derive(Debug, Args)]
pub(crate) struct TierFlags {
    /// The step to reach, as below
    #[arg(value_name = "TIER")]
    pub(crate) tier: TierName,

    /// The tree: one directory [default: a corpus, made on the RAM disk]
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,

    /// Where the RAM disk is: a directory of a tmpfs [default: /dev/shm]
    #[arg(long, value_name = "DIR")]
    pub(crate) ram_disk: Option<PathBuf>,

    /// Runs that count, after one that warms up
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(crate) repetitions: u16,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

/// The flags of `filemill bench check`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("with").args(["against", "baseline"]).required(true))]
pub(crate) struct CheckFlags {
    /// The tree: one directory
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Compare with another build of filemill, in pairs
    #[arg(long, value_name = "BINARY")]
    pub(crate) against: Option<PathBuf>,

    /// Compare with a record that was made on this machine
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,

    /// Measure this build, and make it the baseline
    #[arg(long, requires = "baseline", conflicts_with = "out")]
    pub(crate) update_baseline: bool,

    /// By how much the rate may drop
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = parse_percent)]
    pub(crate) max_drop: f64,

    /// Pairs that a round may take; fewer are made where fewer decide it
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u16).range(10..=10_000))]
    pub(crate) pairs: u16,

    /// Write the verdict to a file as well: bigger-is-better, bencher or markdown; `-` is standard output. Repeatable
    #[arg(short, long, value_name = "FORMAT=FILE")]
    pub(crate) out: Vec<OsString>,

    /// Questions to answer in each scan
    #[arg(short, long, value_name = "LIST", default_value = "light", help_heading = "Scans")]
    pub(crate) analyses: String,

    /// Workers of each scan
    #[arg(short = 'j', long, value_name = "N", value_parser = parse_workers, help_heading = "Scans")]
    pub(crate) workers: Option<Workers>,

    /// Files a batch of each scan
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Scans")]
    pub(crate) batch_files: Option<u32>,

    /// How each scan reaches files
    #[arg(long, value_name = "HOW", help_heading = "Scans")]
    pub(crate) stage: Option<Stage>,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

/// The flags of `filemill bench measure`.
#[derive(Debug, Args)]
pub(crate) struct MeasureFlags {
    /// The tree
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Questions to answer
    #[arg(short, long, value_name = "LIST")]
    pub(crate) analyses: String,

    /// Workers
    #[arg(short = 'j', long, value_name = "N", value_parser = parse_workers)]
    pub(crate) workers: Workers,

    /// Files a batch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch_files: u32,

    /// How files are reached; what is on a RAM disk is read there
    #[arg(long, value_name = "HOW")]
    pub(crate) stage: Stage,

    /// What answers
    #[arg(long, value_name = "DEVICE", value_parser = parse_device)]
    pub(crate) device: Device,

    /// The most to take of the memory of each GPU
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero)]
    pub(crate) gpu_memory: u64,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchFormat {
    /// For people
    Table,
    /// CSV, a row a line of the table
    Csv,
}

/// Which points of a sweep are measured how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SearchBy {
    /// All where they are few; where they are many the better half goes on, again and again. A direction in which the rate
    /// falls twice is given up
    Auto,
    /// Every point as often as any other
    Full,
    /// The better half goes on, again and again
    Halving,
}

/// A step of throughput.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TierName {
    /// 1,000 files/s
    Base,
    /// 7,000 files/s
    Legendary,
    /// 10,000 files/s
    Turbo,
    /// Within 1.25 of the time that the machine's floor takes
    Limit,
}

fn parse_percent(typed: &str) -> Result<f64, String> {
    let Some(number) = typed.trim().strip_suffix('%') else {
        return Err("not a percentage, such as 5%".to_owned());
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(percent / 100.0),
        Ok(_) => Err("must be above 0% and below 100%".to_owned()),
        Err(_) => Err(format!("{:?} is not a number", number.trim())),
    }
}

fn after_corpus_help() -> String {
    format!(
        "Recipes:\n{}\nThe answers of each are known: a corpus is checked against them when it is made, and when it is there already.",
        recipes_help()
    )
}

/// A line a recipe.
pub(crate) fn recipes_help() -> String {
    let line = |recipe: Recipe| format!("  {:<8} {}\n", recipe.name, recipe.about);
    filemill::bench::corpus::recipes().into_iter().map(line).collect()
}

fn after_tier_help() -> String {
    let cores = filemill::plan::cores();
    let mut help = format!("Tiers, here with {cores} cores; the questions are {TIER_ANALYSES}:\n");
    for tier in filemill::bench::tier::tiers(cores) {
        help.push_str(&format!(
            "  {:<10} {} workers, batches of {} and {} files, a RAM disk below {} GB that holds the whole tree, at most {} GB of the memory of a GPU, at least {} files, {} files/s\n",
            tier.name,
            tier.workers,
            tier.batch_files[0],
            tier.batch_files[1],
            tier.ram_disk_bytes_max / 1_000_000_000,
            tier.gpu_memory_bytes_max as f64 / 1e9,
            tier.files_min,
            tier.target_files_per_second,
        ));
    }
    help.push_str(
        "  limit      at most 1.25 of the time that the machine's floor takes, as `bench limit` measures it\n\n\
         Each asks also that every file is read, that all runs answer alike (as is known of a corpus), that every run reaches \
         the target, and that they vary by at most 15 %.",
    );
    help
}

const CHECK_HELP: &str = "\
Exit codes: 0 pass; 1 regression, confirmed by a second round; 2 no verdict: usage, a baseline of another machine or tree, \
builds that answer differently; 4 inconclusive: too noisy to say

Examples:
  filemill bench check corpus --against ../before/filemill
  filemill bench check corpus --baseline baseline.json --update-baseline
  filemill bench check corpus --baseline baseline.json --max-drop 10% --out markdown=verdict.md";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        #[track_caller]
        fn check(typed: &str, expected: Result<f64, &str>) {
            assert_eq!(parse_percent(typed), expected.map_err(str::to_owned));
        }
        check("5%", Ok(0.05));
        check(" 12.5 % ", Ok(0.125));
        check("5", Err("not a percentage, such as 5%"));
        check("0%", Err("must be above 0% and below 100%"));
        check("100%", Err("must be above 0% and below 100%"));
        check("NaN%", Err("must be above 0% and below 100%"));
        check("x%", Err("\"x\" is not a number"));
    }
}
