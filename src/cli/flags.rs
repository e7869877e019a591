//! What was typed. What it means is decided where a command makes its plan.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use filemill::plan::Workers;

use super::bench::BenchCommand;
use super::gates::Gates;
use super::size::{parse_size, parse_size_above_zero};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Answers many questions about a tree of files while reading every byte once.
#[derive(Debug, Parser)]
#[command(name = "filemill", version, styles = STYLES, disable_help_subcommand = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read every file of a tree once and tell what is there.
    // In a box, as it is much larger than the others.
    Scan(Box<ScanFlags>),
    /// Measure: the machine's limit, the best settings, whether scans became slower.
    Bench {
        /// What to measure
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Print a script that completes commands and flags in a shell.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, and the JSON Schema of the records, into a directory.
    Man {
        /// Where to; it is made where it is not there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// The flags of `filemill scan`.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = after_scan_help()
)]
pub(crate) struct ScanFlags {
    /// Files and directories to read [default: the current directory]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Questions to answer, comma-separated: names and presets as below [default: light, or what the formats need]
    #[arg(short, long, value_name = "LIST")]
    pub(crate) analyses: Option<String>,

    /// What to print on standard output [default: summary]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) format: Option<Format>,

    /// Write a report to a file as well, e.g. csv=files.csv. Repeatable: one pass makes them all. `-` is standard output
    #[arg(short, long, value_name = "FORMAT=FILE", help_heading = "Output")]
    pub(crate) out: Vec<OsString>,

    /// Records in the order of their paths, or as they come
    #[arg(long, value_name = "ORDER", default_value = "none", help_heading = "Output")]
    pub(crate) sort: SortBy,

    /// End each name with NUL instead of a line feed (format paths)
    #[arg(short = '0', long, help_heading = "Output")]
    pub(crate) null: bool,

    /// Read what a file lists, one path a line; `-` is standard input. Each is a PATH of its own
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) files_from: Vec<PathBuf>,

    /// The same with each path ended by NUL, as `find -print0` and `git ls-files -z` write them
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) files0_from: Vec<PathBuf>,

    /// Threads that open, read and analyse, or auto: one per core, more while that pays [default: auto]
    #[arg(short = 'j', long, value_name = "N", value_parser = parse_workers, default_value = "auto", hide_default_value = true, help_heading = "Machine")]
    pub(crate) workers: Workers,

    /// Hand files to the workers in batches of at most this many [default: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Machine")]
    pub(crate) batch_files: Option<u32>,

    /// Hand files to the workers in batches of at most this size (costs one more system call a file)
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Machine")]
    pub(crate) batch_bytes: Option<u64>,

    /// How the bytes of files are reached
    #[arg(long, value_name = "HOW", default_value = "auto", help_heading = "Machine")]
    pub(crate) stage: Stage,

    /// The RAM disk of --stage ram-disk: a directory of a tmpfs [default: memory without a place]
    #[arg(long, value_name = "DIR", help_heading = "Machine")]
    pub(crate) ram_disk: Option<PathBuf>,

    /// The most that may lie on the RAM disk at a time [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Machine")]
    pub(crate) ram_disk_bytes: Option<u64>,

    /// Whether the system may keep in memory what was read, or is told to drop it
    #[arg(long, value_name = "WHAT", default_value = "keep", help_heading = "Machine")]
    pub(crate) cache: CacheUse,

    /// The most memory to take: fewer workers run where it is small
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Machine")]
    pub(crate) memory: Option<u64>,

    /// Include only paths that match; with a leading '!', leave them out. Repeatable, the last match decides
    #[arg(short, long, value_name = "GLOB", help_heading = "Input")]
    pub(crate) glob: Vec<String>,

    /// Leave out what git would by its patterns (.gitignore and the like), and .git itself
    #[arg(long, help_heading = "Input", overrides_with = "no_gitignore")]
    pub(crate) gitignore: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_gitignore: bool,

    /// Leave out names that begin with a dot
    #[arg(long, help_heading = "Input", overrides_with = "no_skip_hidden")]
    pub(crate) skip_hidden: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_skip_hidden: bool,

    /// Leave out smaller files, e.g. 4KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Input")]
    pub(crate) min_size: Option<u64>,

    /// Leave out larger files, e.g. 2GB
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Input")]
    pub(crate) max_size: Option<u64>,

    /// Descend at most this many levels: 1 is what lies directly in PATH
    #[arg(long, value_name = "N", help_heading = "Input")]
    pub(crate) max_depth: Option<usize>,

    /// Stay on the file system of each PATH
    #[arg(short = 'x', long, help_heading = "Input", overrides_with = "no_one_file_system")]
    pub(crate) one_file_system: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_one_file_system: bool,

    /// Follow symbolic links
    #[arg(short = 'L', long, help_heading = "Input", overrides_with = "no_follow")]
    pub(crate) follow: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_follow: bool,

    #[command(flatten)]
    pub(crate) gates: Gates,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Messages")]
    pub(crate) color: When,

    /// Show no progress
    #[arg(long, help_heading = "Messages")]
    pub(crate) no_progress: bool,

    /// Say nothing on standard error but fatal errors and gates that failed
    #[arg(short, long, overrides_with = "verbose", help_heading = "Messages")]
    pub(crate) quiet: bool,

    /// Name each path that could not be read on standard error, whatever the format, and show why an analysis panicked
    #[arg(short, long, overrides_with = "quiet", help_heading = "Messages")]
    pub(crate) verbose: bool,

    /// Read no filemill.toml
    #[arg(long, help_heading = "Messages")]
    pub(crate) no_config: bool,
}

/// What stands below the flags: the analyses as they are registered, and what else there is to know.
fn after_scan_help() -> String {
    format!(
        "Analyses:\n{}
Exit codes: 0 done; 1 a gate failed; 2 usage, or the report is not usable; 3 finished, but something could not be read (each is \
         listed); 129, 130, 143 interrupted by HUP, INT, TERM

Settings: a long flag can be set as FILEMILL_NAME (FILEMILL_BATCH_FILES=500), in ./filemill.toml, or in \
         $XDG_CONFIG_HOME/filemill/filemill.toml, under [scan] and by its name (batch-files = 500). What is typed goes \
         first, then in this order; --no-NAME undoes what is set so (--no-follow).

Examples:
  filemill scan ~/src
  filemill scan -a blake3 --format jsonl /data > data.jsonl
  filemill scan -a full --out jsonl=all.jsonl --out b3sum=B3SUMS --sort path /data
  git ls-files -z | filemill scan --files0-from - --format table
  filemill scan -g '*.rs' -g '!target' .
  filemill scan --fail-below 7000f/s --fail-latency p99=50ms /data",
        analyses_help()
    )
}

/// A line an analysis, and one for the presets.
pub(crate) fn analyses_help() -> String {
    let mut help = String::new();
    for registered in filemill::analyses::REGISTRY {
        help.push_str(&format!("  {:<8} {}\n", registered.name, registered.about));
    }
    help.push_str(
        "Presets: none (size and time of last change alone), light (kind, lines, words), full (all)\n",
    );
    help
}

pub(super) fn parse_workers(typed: &str) -> Result<Workers, String> {
    match typed.parse() {
        Ok(number @ 1..=4096) => Ok(Workers::Number(number)),
        _ if typed == "auto" => Ok(Workers::Auto),
        _ => Err("not \"auto\" or a number from 1 to 4096".to_owned()),
    }
}

/// How the bytes of files are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Whichever was measured to be faster: files of 4 MiB and more are mapped, the others read
    Auto,
    /// Read into a buffer
    Read,
    /// Files of 1 MiB and more are mapped, the others read
    Mmap,
    /// Copied to a RAM disk batch by batch, and read from there
    RamDisk,
}

/// What becomes of the system's cache of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheUse {
    /// The system keeps what it likes
    Keep,
    /// It is told to forget what was read
    Drop,
}

/// A format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Totals by kind and extension, the largest files, what became of every path
    Summary,
    /// JSON lines, schema filemill.scan/1
    Jsonl,
    /// CSV; text that a spreadsheet would take for a formula gets a ' in front
    Csv,
    /// CSV with every text as it is
    CsvRaw,
    /// A table for people
    Table,
    /// The names of the files that were read
    Paths,
    /// Digests for `b3sum --check`
    B3sum,
    /// Digests for `sha256sum --check`
    Sha256sum,
}

impl Format {
    /// The word that selects it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The order of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// By the components of the path, as bytes; PATHs as they are given
    Path,
    /// As they come
    None,
}

/// When to do something that only makes sense on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR says no; elsewhere where CLICOLOR_FORCE says so
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
