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
use std::path::{Path, PathBuf};

use filemill::bench::{BenchError, Point, Runner, corpus, measure};
use filemill::control::Control;
use filemill::plan::Staging;
use indicatif::{DecimalBytes, HumanCount};

pub(crate) use self::flags::{BenchCommand, recipes_help};
use self::flags::{CorpusFlags, MeasureFlags, Messages};
use self::watched::Watched;
use super::flags::Stage;
use super::outputs::Stdout;
use super::{Exit, Failure, complain, limits, plans, quiet_worker_panics};

/// Runs a command.
pub(crate) fn run(command: &BenchCommand) -> Result<Exit, Failure> {
    limits::spare_address_space();
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
        BenchCommand::Measure(flags) => measure_once(flags),
    }
}

/// `filemill bench corpus`.
fn make_corpus(flags: &CorpusFlags) -> Result<Exit, Failure> {
    let recipe = corpus::recipe(&flags.recipe)?;
    watched(&flags.messages, |watched| {
        let made = match corpus::make(&flags.directory, &recipe, &watched.watch()) {
            Err(BenchError::Cancelled) => {
                watched.clear();
                complain(&"interrupted: what is half made is finished by the same command");
                return Ok(Exit::Done);
            }
            made => made?,
        };
        watched.clear();
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

/// `filemill bench measure`.
fn measure_once(flags: &MeasureFlags) -> Result<Exit, Failure> {
    end_with_parent();
    let stage = staging(flags.stage);
    let point = Point {
        workers: flags.workers,
        batch_files: flags.batch_files as usize,
        stage,
        device: flags.device.clone(),
        gpu_memory_bytes: flags.gpu_memory,
    };
    let mut plan = point.plan(&flags.path, &flags.analyses)?;
    let notes = std::cell::RefCell::new(Vec::new());
    limits::fit_address_space(&mut plan, |note| notes.borrow_mut().push(note.to_owned()))?;
    #[cfg(feature = "faults")]
    plans::set_faults(&mut plan)?;
    let mut measured = measure(&plan, &Control::new())?;
    measured.notes.extend(notes.into_inner());
    let text = serde_json::to_string(&measured).map_err(std::io::Error::from)?;
    print(&text)?;
    Ok(Exit::Done)
}

/// Where the process that asked for this run is killed, nobody wants to know any more.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Without it the run goes on to its end, which does no harm.
        let _: rustix::io::Result<()> = set_parent_process_death_signal(Some(Signal::KILL));
    }
}

/// What a word for how files are reached means.
fn staging(stage: Stage) -> Staging {
    match stage {
        Stage::Auto => Staging::Auto,
        Stage::Read => Staging::Read,
        Stage::Mmap => Staging::Mmap,
        Stage::RamDisk => Staging::RamDisk,
    }
}

/// Each run is one of a process that has just started, as a scan is.
fn runner() -> Result<Runner, Failure> {
    this_program().map(Runner::Process)
}

/// This program, whatever becomes of its file meanwhile.
fn this_program() -> Result<PathBuf, Failure> {
    #[cfg(target_os = "linux")]
    {
        let pinned = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        if pinned.exists() {
            return Ok(pinned);
        }
    }
    std::env::current_exe()
        .map_err(|error| Failure::Report(format!("cannot tell where this program is: {error}")))
}

/// Does something that takes a while: shows how far it is, and cancels it on a signal.
fn watched(
    messages: &Messages,
    act: impl FnOnce(&Watched) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    plans::set_colors(messages.color);
    let is_shown = std::io::stderr().is_terminal() && !messages.no_progress && !messages.quiet;
    let (code, done) = Watched::during(is_shown, |watched| {
        let done = act(watched);
        watched.clear();
        (watched.exit_code(), done)
    })?;
    match (code, done) {
        (Some(code), Err(Failure::Bench(BenchError::Cancelled))) => {
            if !messages.quiet {
                complain(&"interrupted before there was anything to tell");
            }
            Ok(Exit::Interrupted(code))
        }
        (Some(code), Ok(_)) => Ok(Exit::Interrupted(code)),
        (_, done) => done,
    }
}

/// A tree to measure: one directory that is there.
fn expect_directory(path: &Path) -> Result<(), Failure> {
    let found = path.metadata().map_err(|source| BenchError::File { path: path.to_owned(), source })?;
    if found.is_dir() {
        return Ok(());
    }
    Err(Failure::Usage(format!("{}: is not a directory", path.display())))
}

/// Prints on standard output. A reader that went away is no reason for another exit code.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let write = || {
        let mut stdout = Stdout::new(&filemill::faults::Faults::default())?;
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    };
    match write() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Refuses a file of ours that would lie in the tree that is measured.
fn expect_outside(file: &Path, tree: &Path) -> Result<(), Failure> {
    let place = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (place.canonicalize(), tree.canonicalize()) {
        (Ok(place), Ok(tree)) if place.starts_with(&tree) => {
            let (file, tree) = (file.display(), tree.display());
            Err(Failure::Usage(format!("{file}: lies in {tree}, which is measured")))
        }
        _ => Ok(()),
    }
}

/// Says that something could not be read, and that this has an exit code of its own.
fn incomplete(unread: u64) -> Exit {
    if unread == 0 {
        return Exit::Done;
    }
    let paths = if unread == 1 { "path" } else { "paths" };
    complain(&format!("{unread} {paths} could not be read: `filemill scan` names them"));
    Exit::Incomplete
}
