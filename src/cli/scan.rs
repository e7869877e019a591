//! `filemill scan`: makes the plan, runs it into the sink that was asked for, says what could not be read.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use filemill::control::Control;
use filemill::error::Step;
use filemill::plan::{Filter, Plan, Root};
use filemill::record::{Outcome, Record};
use filemill::report::Report;
use filemill::sink::{Jsonl, Sink, Totals};

use super::flags::{Format, ScanFlags, When, Workers};
use super::progress::Progress;
use super::text::printable;
use super::{Exit, Failure, complain, quiet_worker_panics, summary};

/// Runs the command.
pub(crate) fn run(flags: &ScanFlags) -> Result<Exit, Failure> {
    if !flags.verbose {
        quiet_worker_panics();
    }
    let plan = plan(flags)?;
    set_colors(flags.color);
    let stdout_is_terminal = io::stdout().is_terminal();
    // Records that scroll by on the same terminal are progress enough.
    let hidden = flags.no_progress || flags.quiet || (flags.format.is_some() && stdout_is_terminal);
    let progress = Progress::new(io::stderr().is_terminal() && !hidden);
    let control = Control::new();
    let errors_shown = flags.verbose || (flags.format.is_none() && !flags.quiet);

    let report = match flags.format {
        Some(Format::Jsonl) => {
            let mut sink = WithErrors { sink: Jsonl::new(stdout()?), progress: &progress, errors_shown };
            progress.during(&control, || filemill::run_with(&plan, &mut sink, &control))?
        }
        None => {
            let mut sink = WithErrors { sink: Totals::default(), progress: &progress, errors_shown };
            let report = progress.during(&control, || filemill::run_with(&plan, &mut sink, &control))?;
            let mut out = io::BufWriter::new(stdout()?);
            summary::write(&mut out, &plan, &sink.sink, &report)?;
            out.flush()?;
            report
        }
    };
    if !flags.quiet {
        report.notes.iter().for_each(|note| complain(note));
        let failed = report.ledger.failed_total();
        if failed > 0 {
            let paths = if failed == 1 { "path" } else { "paths" };
            complain(&format!("{failed} {paths} could not be read"));
        }
    }
    Ok(if report.is_complete() { Exit::Done } else { Exit::Incomplete })
}

/// What the flags mean.
fn plan(flags: &ScanFlags) -> Result<Plan, Failure> {
    raise_handle_limit();
    let roots: Vec<Root> = if flags.paths.is_empty() {
        vec![Root::here()]
    } else {
        flags.paths.iter().map(Root::from).collect()
    };
    let mut plan = Plan::new(roots);
    plan.analyses =
        filemill::analyses::parse(&flags.analyses).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Workers::Number(workers) = flags.workers {
        plan.workers = workers;
        plan.queue_batches_max = 2 * workers;
    }
    if let Some(files) = flags.batch_files {
        plan.batch_files_max = files as usize;
    }
    plan.batch_bytes_max = flags.batch_bytes;
    plan.filter = Filter {
        globs: flags.glob.clone(),
        gitignore: false,
        skip_hidden: flags.skip_hidden,
        size_min: flags.min_size,
        size_max: flags.max_size,
        depth_max: flags.max_depth,
        one_file_system: flags.one_file_system,
        follow: flags.follow,
    };
    plan.own_outputs.extend(own_outputs());
    plan.check()?;
    Ok(plan)
}

/// The variables as their authors mean them (no-color.org, bixense.com/clicolors): empty is not set, and "no" wins.
fn set_colors(when: When) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE") != Some("0".into());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    console::set_colors_enabled(match when {
        When::Always => true,
        When::Never => false,
        When::Auto => !is_set("NO_COLOR") && (is_forced || (io::stdout().is_terminal() && !is_dumb)),
    });
}

/// Standard output without the line buffer of the standard library: sinks write in large pieces.
fn stdout() -> io::Result<File> {
    #[cfg(unix)]
    let stdout = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let stdout = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(File::from(stdout))
}

/// Device and inode of the files that standard output and standard error go to, where they are files.
fn own_outputs() -> Vec<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        use std::os::unix::fs::MetadataExt;
        let handles = [io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned()];
        let files = handles.into_iter().flatten().filter_map(|handle| File::from(handle).metadata().ok());
        files.filter(|file| file.is_file()).map(|file| (file.dev(), file.ino())).collect()
    }
    #[cfg(not(unix))]
    Vec::new()
}

/// Takes as many file handles as the system allows at all; the library keeps to what it finds.
fn raise_handle_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            // The soft limit stands, and suffices.
        }
    }
}

/// A sink that also names each path that could not be read on standard error.
struct WithErrors<'p, S> {
    sink: S,
    progress: &'p Progress,
    errors_shown: bool,
}

impl<S: Sink> Sink for WithErrors<'_, S> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.sink.begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        if let Outcome::Failed(error) = &record.outcome
            && self.errors_shown
        {
            let mut path = Vec::new();
            record.path_to(&mut path);
            let doing = match error.step {
                Step::Walk => "listed",
                Step::Stage => "read",
                Step::Analyse => "analysed",
            };
            let errno = error.errno_name().map_or(String::new(), |name| format!(" ({name})"));
            let line = format!("{}: cannot be {doing}: {}{errno}", printable(&path), error.cause.name());
            self.progress.above(|| complain(&line));
        }
        self.sink.record(record)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sink.idle()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.sink.end(report)
    }
}
