//! What was typed. What it means is decided where a command makes its plan.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Scan(ScanFlags),
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

    /// Questions to answer, comma-separated: names and presets as below
    #[arg(short, long, value_name = "LIST", default_value = "light")]
    pub(crate) analyses: String,

    /// Print one record a path instead of a summary
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Threads that open, read and analyse, or auto: one per core [default: auto]
    #[arg(short = 'j', long, value_name = "N", value_parser = parse_workers, default_value = "auto", hide_default_value = true)]
    pub(crate) workers: Workers,

    /// Hand files to the workers in batches of at most this many [default: 256]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch_files: Option<u32>,

    /// Hand files to the workers in batches of at most this size (costs one more system call a file)
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero)]
    pub(crate) batch_bytes: Option<u64>,

    /// Include only paths that match; with a leading '!', leave them out. Repeatable, the last match decides
    #[arg(short, long, value_name = "GLOB")]
    pub(crate) glob: Vec<String>,

    /// Leave out names that begin with a dot
    #[arg(long)]
    pub(crate) skip_hidden: bool,

    /// Leave out smaller files, e.g. 4KiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) min_size: Option<u64>,

    /// Leave out larger files, e.g. 2GB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Descend at most this many levels: 1 is what lies directly in PATH
    #[arg(long, value_name = "N")]
    pub(crate) max_depth: Option<usize>,

    /// Stay on the file system of each PATH
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,

    /// Follow symbolic links
    #[arg(short = 'L', long)]
    pub(crate) follow: bool,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,

    /// Show no progress
    #[arg(long)]
    pub(crate) no_progress: bool,

    /// Say nothing on standard error but fatal errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Name each path that could not be read on standard error, whatever the format, and show why an analysis panicked
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// What stands below the flags: the analyses as they are registered, exit codes, examples.
fn after_scan_help() -> String {
    let mut help = "Analyses:\n".to_owned();
    for registered in filemill::analyses::REGISTRY {
        help.push_str(&format!("  {:<8} {}\n", registered.name, registered.about));
    }
    help.push_str(
        "Presets: none (size and time of last change alone), light (kind, lines, words), full (all)

Exit codes: 0 done; 2 usage or a fatal error; 3 finished, but something could not be read

Examples:
  filemill scan ~/src
  filemill scan -a blake3 --format jsonl /data > data.jsonl
  filemill scan -g '*.rs' -g '!target' .",
    );
    help
}

/// How many workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// As many as suit the machine.
    Auto,
    /// This many.
    Number(usize),
}

fn parse_workers(typed: &str) -> Result<Workers, String> {
    match typed.parse() {
        Ok(number @ 1..=4096) => Ok(Workers::Number(number)),
        _ if typed == "auto" => Ok(Workers::Auto),
        _ => Err("not \"auto\" or a number from 1 to 4096".to_owned()),
    }
}

/// An output format for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON lines, schema filemill.scan/1
    Jsonl,
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
