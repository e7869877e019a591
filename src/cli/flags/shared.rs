//! Flags that several commands have: what is read, with what of the machine, and what is said about it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use filemill::plan::{Device, Workers};

use super::super::size::{parse_size, parse_size_above_zero};

/// What is read.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// Files and directories to read [default: the current directory]
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Read what a file lists, one path a line; `-` is standard input. Each is a PATH of its own
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) files_from: Vec<PathBuf>,

    /// The same with each path ended by NUL, as `find -print0` and `git ls-files -z` write them
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub(crate) files0_from: Vec<PathBuf>,

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
}

/// With what of the machine.
#[derive(Debug, Args)]
pub(crate) struct Machine {
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

    /// What answers: the processor alone (cpu), a GPU as well where one is faster (auto), a GPU that has to be there (gpu), or one by a
    /// part of its name; '?' lists them
    #[arg(long, value_name = "DEVICE", value_parser = parse_device, default_value = "auto", help_heading = "Machine")]
    pub(crate) device: Device,

    /// The most to take of the memory of each GPU [default: 500MB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Machine")]
    pub(crate) gpu_memory: Option<u64>,

    /// How many answers of a GPU the processor makes once more, and compares
    #[arg(long, value_name = "HOW", default_value = "sample", help_heading = "Machine")]
    pub(crate) gpu_verify: Verify,

    /// Whether the system may keep in memory what was read, or is told to drop it
    #[arg(long, value_name = "WHAT", default_value = "keep", help_heading = "Machine")]
    pub(crate) cache: CacheUse,

    /// The most memory to take: fewer workers run where it is small
    #[arg(long, value_name = "SIZE", value_parser = parse_size_above_zero, help_heading = "Machine")]
    pub(crate) memory: Option<u64>,
}

/// What is said about it.
#[derive(Debug, Args)]
pub(crate) struct Messages {
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto", help_heading = "Messages")]
    pub(crate) color: When,

    /// Show no progress, and do not count files ahead for the time left
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

pub(crate) fn parse_workers(typed: &str) -> Result<Workers, String> {
    match typed.parse() {
        Ok(number @ 1..=4096) => Ok(Workers::Number(number)),
        _ if typed == "auto" => Ok(Workers::Auto),
        _ => Err("not \"auto\" or a number from 1 to 4096".to_owned()),
    }
}

pub(crate) fn parse_device(typed: &str) -> Result<Device, String> {
    typed.parse()
}

/// How many answers of a GPU are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Every one: the GPU then only costs time
    All,
    /// That of one file of each submission
    Sample,
    /// None, but those of the test that a GPU has to pass before it is used
    Off,
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
