//! `filemill bench`: a file a command.

mod check;
mod check_reports;
mod flags;
mod limit;
mod sweep;
mod table;
mod tier;
mod watched;

use std::io::{IsTerminal, Write};
use std::path::Path;

use filemill::bench::{BenchError, Watch, corpus};
use indicatif::{DecimalBytes, HumanCount};

pub(crate) use self::flags::BenchCommand;
use self::flags::{CorpusFlags, Messages};
use self::watched::Watched;
use super::outputs::Stdout;
use super::{Exit, Failure, limits, quiet_worker_panics, scan};

/// Runs a command.
pub(crate) fn run(command: &BenchCommand) -> Result<Exit, Failure> {
    limits::raise_handle_limit();
    // Where mappings cannot be guarded, files are read; `--stage mmap` then says so.
    drop(filemill::guard_mappings());
    quiet_worker_panics();
    match command {
        BenchCommand::Corpus(flags) => make_corpus(flags),
        BenchCommand::Limit(flags) => limit::run(flags),
        BenchCommand::Sweep(flags) => sweep::run(flags),
        BenchCommand::Tier(flags) => tier::run(flags),
        BenchCommand::Check(flags) => check::run(flags),
    }
}

/// `filemill bench corpus`.
fn make_corpus(flags: &CorpusFlags) -> Result<Exit, Failure> {
    let recipe = corpus::recipe(&flags.recipe)?;
    watched(&flags.messages, |watch| {
        let made = corpus::make(&flags.directory, &recipe, watch)?;
        let what = if matches!(made, corpus::Made::New(_)) { "made" } else { "there, and as it should be" };
        let answers = made.answers();
        print(&format!(
            "{}: {} files, {}, {what}\n",
            recipe.name,
            HumanCount(answers.files),
            DecimalBytes(answers.bytes)
        ))?;
        Ok(Exit::Done)
    })
}

/// Does something that takes a while: shows how far it is, and cancels it on a signal.
fn watched(
    messages: &Messages,
    act: impl FnOnce(&Watch<'_>) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    scan::set_colors(messages.color);
    let is_shown = std::io::stderr().is_terminal() && !messages.no_progress && !messages.quiet;
    let watched = Watched::new(is_shown)?;
    let done = act(&watched.watch());
    watched.clear();
    match (watched.exit_code(), done) {
        (Some(code), Ok(_) | Err(Failure::Bench(BenchError::Cancelled))) => Ok(Exit::Interrupted(code)),
        (_, done) => done,
    }
}

/// A tree to measure: one directory that is there.
fn expect_directory(path: &Path) -> Result<(), Failure> {
    let found = path.metadata().map_err(|source| BenchError::File { path: path.to_owned(), source })?;
    if found.is_dir() {
        return Ok(());
    }
    Err(Failure::Usage(format!("{}: is no directory", path.display())))
}

/// Prints on standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = Stdout::new(&filemill::faults::Faults::default())?;
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
