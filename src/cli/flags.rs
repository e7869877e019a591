//! What was typed. What it means is decided where a command makes its plan.

mod shared;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::shared::{
    CacheUse, Input, Machine, Messages, Stage, Verify, When, parse_device, parse_workers,
};
use super::bench::BenchCommand;
use super::duplicates::DuplicatesFlags;
use super::gates::Gates;

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
    /// Find files, and directories, that are the same; and let them share their blocks or become one.
    #[command(visible_alias = "dupes")]
    Duplicates(Box<DuplicatesFlags>),
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
    #[command(flatten)]
    pub(crate) input: Input,

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

    #[command(flatten)]
    pub(crate) machine: Machine,

    #[command(flatten)]
    pub(crate) gates: Gates,

    #[command(flatten)]
    pub(crate) messages: Messages,
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
        if !registered.parameters.is_empty() {
            help.push_str(&format!("  {:<8} {}:{}\n", "", registered.name, registered.parameters));
        }
    }
    help.push_str(
        "Presets: none (size and time of last change alone), light (kind, lines, words), full (all but minhash)\n",
    );
    help
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

/// The order of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// By the components of the path, as bytes; PATHs as they are given
    Path,
    /// As they come
    None,
}
