//! The flags of `filemill duplicates`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use filemill::analyses::MinHash;
use filemill::duplicates::Directories;
use filemill::record::Action;

use super::super::flags::{Input, Machine, Messages};

/// What was typed.
#[derive(Debug, Args)]
#[command(args_override_self = true, after_help = AFTER_HELP)]
pub(crate) struct DuplicatesFlags {
    #[command(flatten)]
    pub(crate) input: Input,

    /// Only what is also found in DIR, which lies in a PATH: its files are shown first, and stay as they are. Repeatable
    #[arg(long, value_name = "DIR", help_heading = "Search")]
    pub(crate) reference: Vec<PathBuf>,

    /// Only what is found in several PATHs, not within one
    #[arg(long, help_heading = "Search", overrides_with = "no_across")]
    pub(crate) across: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_across: bool,

    /// Directories that are the same first, and no file inside them twice; with similar:SHARE also those that have this share
    /// of their content in common, e.g. similar:0.8
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "identical", value_parser = parse_directories, help_heading = "Search")]
    pub(crate) dirs: Option<Directories>,

    /// Compare what has the same digest byte by byte as well
    #[arg(long, help_heading = "Search", overrides_with = "no_verify")]
    pub(crate) verify: bool,

    /// Undoes the flag above where it is a setting
    #[arg(long, hide = true)]
    pub(crate) no_verify: bool,

    /// Take digests from an earlier report in JSON lines, of `scan -a blake3` or of this command, for files that are as they
    /// were; also from one that was cut short. Not with --near [PATH: those of the report]
    #[arg(long, value_name = "REPORT", help_heading = "Search")]
    pub(crate) from: Option<PathBuf>,

    /// Files as well that are nearly the same: at least this similar to another, e.g. 0.8. All files are read
    #[arg(long, value_name = "SIMILARITY", value_parser = parse_near, help_heading = "Search")]
    pub(crate) near: Option<f64>,

    /// Compare the sketches of all pairs, instead of those that are equal in a band
    #[arg(long, requires = "near", help_heading = "Search")]
    pub(crate) near_all: bool,

    /// Let the shingles themselves decide: files whose sketches are at most 0.1 less similar than asked for are read once more
    #[arg(long, requires = "near", help_heading = "Search")]
    pub(crate) exact: bool,

    /// How files are sketched, in the words of the analysis minhash: k=128:shingle=bytes:16|words:5:kind=permutations|one-permutation
    #[arg(long, value_name = "PARAMETERS", value_parser = parse_minhash, requires = "near", help_heading = "Search")]
    pub(crate) minhash: Option<MinHash>,

    /// Only text is nearly the same
    #[arg(long, requires = "near", help_heading = "Search")]
    pub(crate) text_only: bool,

    /// What to do about the copies: shown, not done, without --apply. Nothing is ever deleted
    #[arg(long, value_name = "WHAT", help_heading = "Action")]
    pub(crate) action: Option<ActionWord>,

    /// Do it
    #[arg(long, requires = "action", help_heading = "Action")]
    pub(crate) apply: bool,

    /// What to print on standard output [default: summary]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) format: Option<GroupFormat>,

    /// Write a report to a file as well, e.g. jsonl=same.jsonl. Repeatable. `-` is standard output
    #[arg(short, long, value_name = "FORMAT=FILE", help_heading = "Output")]
    pub(crate) out: Vec<OsString>,

    #[command(flatten)]
    pub(crate) machine: Machine,

    #[command(flatten)]
    pub(crate) messages: Messages,
}

const AFTER_HELP: &str = "\
Files of the same content are a group; empty files are not, unless --min-size 0 asks for them. Hard links to one file are \
one copy. The first of a group stays where something is done: one of a reference, or of the PATH that is given first, or \
the first by name.

Exit codes: 0 done, whether there are duplicates or not; 2 usage, or the report is not usable; 3 finished, but something \
could not be read, or was left as it is (each is listed); 129, 130, 143 interrupted by HUP, INT, TERM

Examples:
  filemill duplicates ~/Pictures
  filemill dupes --min-size 1MiB --format table /data /backup
  filemill dupes --reference /data/originals /data
  filemill dupes --dirs=similar:0.8 ~/projects
  filemill dupes --near 0.8 --text-only ~/documents
  filemill dupes --out jsonl=same.jsonl /data           # killed? go on with:
  filemill dupes --from same.jsonl.partial /data
  filemill dupes --action reflink /data                 # shows what would be done
  filemill dupes --action reflink --apply /data";

fn parse_near(typed: &str) -> Result<f64, String> {
    match typed.parse::<f64>() {
        Ok(similarity) if similarity > 0.0 && similarity <= 1.0 => Ok(similarity),
        _ => Err("the similarity must be above 0 and at most 1".to_owned()),
    }
}

fn parse_minhash(typed: &str) -> Result<MinHash, String> {
    MinHash::from_parameters(typed)
}

fn parse_directories(typed: &str) -> Result<Directories, String> {
    match typed.split_once(':') {
        None if typed == "identical" => Ok(Directories::Identical),
        None if typed == "similar" => Ok(Directories::Similar(0.8)),
        Some(("similar", share)) => match share.parse::<f64>() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(Directories::Similar(share)),
            _ => Err("the share must be above 0 and at most 1".to_owned()),
        },
        _ => Err("use identical, or similar:SHARE with a share from 0 to 1".to_owned()),
    }
}

/// What can be done about copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActionWord {
    /// They share their blocks on the disk, and stay files of their own (Btrfs, XFS and the like)
    Reflink,
    /// They become names of one file, which keeps its times: of the same owner, mode and extended attributes, open for writing by nobody
    Hardlink,
}

impl From<ActionWord> for Action {
    fn from(word: ActionWord) -> Action {
        match word {
            ActionWord::Reflink => Action::Reflink,
            ActionWord::Hardlink => Action::Hardlink,
        }
    }
}

/// A format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupFormat {
    /// The groups with most to gain, and totals
    Summary,
    /// JSON lines, schema filemill.scan/1
    Jsonl,
    /// CSV, a row a file; text that a spreadsheet would take for a formula gets a ' in front
    Csv,
    /// CSV with every text as it is
    CsvRaw,
    /// Every group, for people
    Table,
    /// A path a line, an empty line between groups, as fdupes prints them
    Fdupes,
}
