//! The command line: flags (what was typed) become a plan (what it means). The only user of clap and indicatif.

mod bench;
mod duplicates;
mod estimate;
mod flags;
mod gates;
mod limits;
mod lists;
mod manual;
mod outputs;
mod plans;
mod progress;
mod scan;
mod settings;
mod signals;
mod size;
mod status_line;
mod summary;
mod toml_settings;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches};
use filemill::bench::BenchError;
use filemill::error::Error;
use filemill::sink::printable;

use self::flags::{Command, Flags, Messages};
use self::settings::Origins;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// A gate failed: the run was slower than it was to be.
    GateFailed,
    /// Usage, or a fatal error: the report is not usable.
    Fatal,
    /// Finished, but at least one input could not be read.
    Incomplete,
    /// A measurement is too noisy to say.
    Inconclusive,
    /// Ended by a signal, with the code that stands for it.
    Interrupted(u8),
}

impl Exit {
    /// The number that the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::GateFailed => 1,
            Exit::Fatal => 2,
            Exit::Incomplete => 3,
            Exit::Inconclusive => 4,
            Exit::Interrupted(code) => code,
        }
    }
}

/// Why a command did not finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed makes no sense, in one line.
    #[error("{0}")]
    Usage(String),
    /// The run ended early.
    #[error(transparent)]
    Run(#[from] Error),
    /// A benchmark has no result.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A report other than that on standard output cannot be written.
    #[error("{0}")]
    Report(String),
    /// The terminal or the file behind standard output takes nothing more.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// Whether the reader of standard output went away.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        match self {
            Failure::Usage(_) | Failure::Report(_) => false,
            Failure::Bench(BenchError::File { source, .. }) => source.kind() == io::ErrorKind::BrokenPipe,
            Failure::Bench(_) => false,
            Failure::Run(error) => error.is_broken_pipe(),
            Failure::Output(error) => error.kind() == io::ErrorKind::BrokenPipe,
        }
    }
}

/// Parses the arguments and runs the command they name.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<Exit, Failure> {
    signals::outlive_file_size_limit();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let (flags, origins) = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(Unparsed::Failure(failure)) => return Err(failure),
        Err(Unparsed::Clap(error)) if !error.use_stderr() => {
            error.print()?;
            return Ok(Exit::Done);
        }
        Err(Unparsed::Clap(error)) => {
            return Err(Failure::Usage(one_line(&error, command_typed(&arguments).as_deref())));
        }
    };
    match flags.command {
        Command::Scan(flags) => scan::run(&flags, &origins),
        Command::Duplicates(flags) => duplicates::run(&flags, &origins),
        Command::Bench { command } => bench::run(&command),
        Command::Completions { shell } => manual::completions(shell).map(|()| Exit::Done),
        Command::Man { directory } => manual::write(&directory).map(|()| Exit::Done),
    }
}

/// What every run begins with: limits of the system, where settings came from, colours.
fn begin(messages: &Messages, origins: &Origins) {
    limits::spare_address_space();
    if !messages.quiet {
        origins.warnings.iter().for_each(|warning| complain(warning));
    }
    if messages.verbose {
        origins.sources.iter().for_each(|source| complain(&format!("settings from {source}")));
    } else {
        quiet_worker_panics();
    }
    plans::set_colors(messages.color);
}

/// The words that name a command, as far as they do.
fn command_typed(arguments: &[OsString]) -> Option<String> {
    let mut command = Flags::command();
    let mut words = Vec::new();
    for word in arguments.get(1..)? {
        let Some(subcommand) = command.find_subcommand(word) else { break };
        command = subcommand.clone();
        words.push(command.get_name().to_owned());
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Why arguments have no meaning; or they ask for help.
enum Unparsed {
    Clap(clap::Error),
    Failure(Failure),
}

/// The flags, with the settings from elsewhere put in, and where these came from.
fn parse(arguments: &[OsString]) -> Result<(Flags, Origins), Unparsed> {
    let command = Flags::command();
    let matches = command.clone().try_get_matches_from(arguments).map_err(Unparsed::Clap)?;
    let settled = settings::settle(&command, &matches, arguments).map_err(Unparsed::Failure)?;
    let matches = command.try_get_matches_from(&settled.arguments).map_err(Unparsed::Clap)?;
    let flags = Flags::from_arg_matches(&matches).map_err(Unparsed::Clap)?;
    Ok((flags, settled.origins))
}

/// Says on standard error what went wrong, in one line that moves no cursor.
pub(crate) fn complain(what: &dyn std::fmt::Display) {
    // Where standard error is closed too, the exit code is all that is left to say it with.
    let line = printable(what.to_string().as_bytes());
    status_line::above(|| drop(writeln!(io::stderr(), "filemill: {line}")));
}

/// The first paragraph of a usage error, with the nearest name where one was mistyped, or where to look.
fn one_line(error: &clap::Error, command: Option<&str>) -> String {
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given: try `filemill scan`, or `filemill --help`".to_owned();
    }
    let rendered = error.render().to_string();
    let mut paragraphs = rendered.split("\n\n").map(str::trim);
    let what = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let mut line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    // A number with a minus sign is a mistake here, never a path that needs `--`.
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: "));
    if let Some(tip) = tip.filter(|tip| !tip.starts_with("to pass ")) {
        line.push_str(": ");
        line.push_str(tip.lines().next().unwrap_or_default());
    } else if let Some(command) = command {
        line.push_str(&format!(": see `filemill {command} --help`"));
    }
    line
}

/// A panic in an analysis is one error record of the report, one in a GPU's driver a message; its text would only stand in the
/// way of people who wrote neither.
fn quiet_worker_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let is_told_otherwise =
            |name: &str| ["filemill-work", "filemill-gpu"].iter().any(|of| name.starts_with(of));
        if !thread.name().is_some_and(is_told_otherwise) {
            print(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_definition_of_the_flags_is_sound() {
        use clap::CommandFactory;
        Flags::command().debug_assert();
    }

    #[test]
    fn usage_errors_take_one_line() {
        #[track_caller]
        fn check(arguments: &[&str], expected: &str) {
            let arguments = ["filemill"].iter().chain(arguments).map(OsString::from);
            let failure = run(arguments).expect_err("a usage error");
            assert_eq!(failure.to_string(), expected);
        }
        check(
            &["scan", "--formt", "jsonl"],
            "unexpected argument '--formt' found: a similar argument exists: '--format'",
        );
        check(&[], "no command given: try `filemill scan`, or `filemill --help`");
        check(&["scn"], "unrecognized subcommand 'scn': a similar subcommand exists: 'scan'");
        check(
            &["scan", "-j", "0"],
            "invalid value '0' for '--workers <N>': not \"auto\" or a number from 1 to 4096: see `filemill scan --help`",
        );
        check(
            &["scan", "--min-size", "1.5 XB"],
            "invalid value '1.5 XB' for '--min-size <SIZE>': unknown unit \"XB\": use B, KB, MB, GB, TB, KiB, MiB, GiB or TiB: see `filemill scan --help`",
        );
        check(&["scan", "-j", "-1"], "unexpected argument '-1' found: see `filemill scan --help`");
        check(
            &["scan", "--batch-bytes", "0"],
            "invalid value '0' for '--batch-bytes <SIZE>': must be at least 1 byte: see `filemill scan --help`",
        );
        check(
            &["scan", "--fail-below", "7000"],
            "invalid value '7000' for '--fail-below <RATE>': it has no unit: use f/s, or a size as in MB/s and GiB/s: see `filemill scan --help`",
        );
        check(
            &["scan", "--fail-below=-1f/s"],
            "invalid value '-1f/s' for '--fail-below <RATE>': must be above 0: see `filemill scan --help`",
        );
        check(
            &["scan", "--fail-latency", "mean=1ms"],
            "invalid value 'mean=1ms' for '--fail-latency <QUANTILE=DURATION>': \"mean\" is no quantile: use p50, p99, p99.9 and the like, or max: see `filemill scan --help`",
        );
        check(
            &["scan", "--fail-latency", "p99=5"],
            "invalid value 'p99=5' for '--fail-latency <QUANTILE=DURATION>': it has no unit: use ns, us, ms or s: see `filemill scan --help`",
        );
        check(&["scan", "--out", "x"], "invalid value 'x' for '--out <FORMAT=FILE>': it has no '='");
        check(&["scan", "--out", "csv="], "invalid value 'csv=' for '--out <FORMAT=FILE>': it names no file");
        check(
            &["scan", "--out", "cvs=x"],
            "invalid value 'cvs=x' for '--out <FORMAT=FILE>': no format is named 'cvs': known are summary, jsonl, csv, csv-raw, table, paths, b3sum, sha256sum",
        );
        check(&["scan", "-o", "csv=a", "-o", "jsonl=a"], "two reports cannot both go to a");
        check(&["scan", "--format", "csv", "-o", "jsonl=-"], "two reports cannot both go to standard output");
        check(&["scan", "-0"], "--null is for the format paths alone");
        check(&["scan", "-a", "blake"], "unknown analysis \"blake\": did you mean \"blake3\"?");
        check(
            &["scan", "--min-size", "2KiB", "--max-size", "1KiB", "."],
            "no file can have a size of at least 2048 and at most 1024 bytes",
        );
    }

    /// Splits a line as a shell would, as far as the README goes: words, single quotes, comments.
    fn words(line: &str) -> Vec<OsString> {
        let line =
            [" #", " |", " >"].iter().fold(line, |line, end| line.split(end).next().unwrap_or_default());
        line.split_whitespace().map(|word| word.trim_matches('\'').into()).collect()
    }

    #[test]
    fn every_command_of_the_readme_parses() {
        let readme = include_str!("../../README.md").lines().map(str::trim);
        let commands =
            readme.map(|line| line.trim_start_matches("$ ").replace("cargo run --release --", "filemill"));
        let mut parsed = 0;
        for command in commands.filter(|line| line.starts_with("filemill ")) {
            let flags = Flags::try_parse_from(words(&command));
            assert!(flags.is_ok(), "{command}: {:?}", flags.err().map(|error| one_line(&error, None)));
            parsed += 1;
        }
        assert!(parsed >= 15, "only {parsed} commands found in the README");
    }
}
