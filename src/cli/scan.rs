//! `filemill scan`: makes the plan, runs it into the sink that was asked for, says what could not be read.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::SystemTime;

use filemill::control::Control;
use filemill::error::Step;
use filemill::plan::{Cache, Filter, Plan, Root, Sort, Staging, Workers};
use filemill::record::{Outcome, Record};
use filemill::report::Report;
use filemill::sink::{Sink, printable};

use super::flags::{CacheUse, ScanFlags, SortBy, Stage, When};
use super::outputs::{Outputs, tell_of_partials};
use super::progress::Progress;
use super::{Exit, Failure, complain, limits, lists, quiet_worker_panics, signals};

/// Runs the command; `sources` are where settings came from that were not typed.
pub(crate) fn run(flags: &ScanFlags, sources: &[String]) -> Result<Exit, Failure> {
    limits::spare_address_space();
    if flags.verbose {
        sources.iter().for_each(|source| complain(&format!("settings from {source}")));
    } else {
        quiet_worker_panics();
    }
    let mut outputs = Outputs::new(flags)?;
    let mut plan = plan(flags, &outputs)?;
    limits::fit_address_space(&mut plan, |note| {
        if !flags.quiet {
            complain(&note);
        }
    })?;
    set_colors(flags.color);
    #[cfg(feature = "faults")]
    set_faults(&mut plan)?;
    outputs.open(&plan.faults)?;
    plan.own_outputs = outputs.own_files();

    let control = Arc::new(Control::new());
    let received = signals::watch(control.clone(), outputs.partials())
        .map_err(|error| Failure::Report(format!("cannot watch for signals: {error}")))?;
    let done = scan(flags, &plan, &mut outputs, &control);
    if received.exit_code().is_some() || done.is_err() {
        tell_of_partials(&outputs.partials());
    }
    match (received.exit_code(), done) {
        (Some(code), Err(failure)) if !failure.is_broken_pipe() => {
            complain(&failure);
            Ok(Exit::Interrupted(code))
        }
        (Some(code), _) => Ok(Exit::Interrupted(code)),
        (None, done) => done,
    }
}

fn scan(flags: &ScanFlags, plan: &Plan, outputs: &mut Outputs, control: &Control) -> Result<Exit, Failure> {
    // Records that scroll by on the same terminal are progress enough.
    let scrolls_by = outputs.scrolls_by() && io::stdout().is_terminal();
    let is_watched = io::stderr().is_terminal() && !flags.no_progress && !flags.quiet && !scrolls_by;
    let progress = Progress::new(is_watched);
    let errors_shown = flags.verbose || (!outputs.prints_rows() && !flags.quiet);

    let sinks = outputs.sinks(&plan.faults, &progress)?;
    let mut sink = WithErrors { sinks, progress: &progress, errors_shown };
    let report = progress.during(control, || filemill::run_with(plan, &mut sink, control))?;
    drop(sink);
    // An interrupted report is not complete, and does not replace one that is.
    if !report.cancelled {
        outputs.complete()?;
    }
    if !flags.quiet {
        report.notes.iter().for_each(|note| complain(note));
        let count = |number: u64, what: &str| {
            let paths = if number == 1 { "path" } else { "paths" };
            if number > 0 {
                complain(&format!("{number} {paths} could not be {what}"));
            }
        };
        count(report.ledger.failed_total(), "read");
        count(outputs.refused(), "expressed in a report");
    }
    // Half a run says nothing about the whole.
    let failed = if report.cancelled { Vec::new() } else { flags.gates.failed(&report) };
    // In quiet too: without them nobody would know what the exit code is about.
    failed.iter().for_each(|gate| complain(gate));
    let is_complete = report.is_complete() && outputs.refused() == 0;
    Ok(match (failed.is_empty(), is_complete) {
        (false, _) => Exit::GateFailed,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    })
}

/// What a test wants to go wrong.
#[cfg(feature = "faults")]
pub(super) fn set_faults(plan: &mut Plan) -> Result<(), Failure> {
    if let Ok(fault) = std::env::var("FILEMILL_FAULT") {
        let faults = filemill::faults::Faults::parse(&fault);
        plan.faults =
            faults.ok_or_else(|| Failure::Usage(format!("FILEMILL_FAULT: {fault:?} is no fault")))?;
    }
    Ok(())
}

/// What the flags mean.
fn plan(flags: &ScanFlags, outputs: &Outputs) -> Result<Plan, Failure> {
    limits::raise_handle_limit();
    let mut plan = Plan::new(roots(flags)?);
    let analyses = analyses(flags, outputs);
    plan.analyses =
        filemill::analyses::parse(&analyses).map_err(|error| Failure::Usage(error.to_string()))?;
    plan.workers = flags.workers;
    if let Workers::Number(workers) = flags.workers {
        plan.queue_batches_max = 2 * workers;
    }
    if let Some(files) = flags.batch_files {
        plan.batch_files_max = files as usize;
    }
    plan.batch_bytes_max = flags.batch_bytes;
    stage(flags, &mut plan)?;
    plan.sort = match flags.sort {
        SortBy::Path => Sort::Path,
        SortBy::None => Sort::None,
    };
    plan.filter = Filter {
        globs: flags.glob.clone(),
        gitignore: flags.gitignore,
        skip_hidden: flags.skip_hidden,
        size_min: flags.min_size,
        size_max: flags.max_size,
        depth_max: flags.max_depth,
        one_file_system: flags.one_file_system,
        follow: flags.follow,
    };
    plan.check()?;
    Ok(plan)
}

/// How the flags have bytes reached.
fn stage(flags: &ScanFlags, plan: &mut Plan) -> Result<(), Failure> {
    plan.staging = match flags.stage {
        Stage::Auto => Staging::Auto,
        Stage::Read => Staging::Read,
        Stage::Mmap => Staging::Mmap,
        Stage::RamDisk => Staging::RamDisk,
    };
    if plan.staging == Staging::Mmap {
        // ops/staging.md, "Mapping": from there on it costs no more than reading.
        plan.map_bytes_min = 1 << 20;
    }
    plan.ram_disk_directory = flags.ram_disk.as_deref().map(Arc::from);
    if let Some(bytes) = flags.ram_disk_bytes {
        plan.ram_disk_bytes_max = bytes;
    }
    if plan.staging != Staging::RamDisk
        && (flags.ram_disk.is_some() || flags.ram_disk_bytes.is_some())
        && !flags.quiet
    {
        complain(&"a RAM disk is used only with --stage ram-disk");
    }
    plan.cache = match flags.cache {
        CacheUse::Keep => Cache::Keep,
        CacheUse::Drop => Cache::Drop,
    };
    plan.memory_bytes_max = flags.memory;
    if matches!(plan.staging, Staging::Auto | Staging::Mmap)
        && let Err(error) = filemill::guard_mappings()
        && plan.staging == Staging::Mmap
    {
        return Err(Failure::Report(format!("files cannot be mapped: {error}")));
    }
    Ok(())
}

/// The paths that were typed, then those of the lists; the current directory where there is neither.
fn roots(flags: &ScanFlags) -> Result<Vec<Root>, Failure> {
    let mut roots: Vec<Root> = flags.paths.iter().map(Root::from).collect();
    let has_lists = !flags.files_from.is_empty() || !flags.files0_from.is_empty();
    if roots.is_empty() && !has_lists {
        return Ok(vec![Root::here()]);
    }
    let lines = flags.files_from.iter().map(|list| (list, b'\n'));
    let nuls = flags.files0_from.iter().map(|list| (list, 0));
    for (list, separator) in lines.chain(nuls) {
        let paths = lists::read(list, separator).map_err(Failure::Report)?;
        roots.extend(paths.into_iter().map(Root::listed));
    }
    Ok(roots)
}

/// The list of analyses: as typed, or as the formats suggest; and what they cannot do without.
fn analyses(flags: &ScanFlags, outputs: &Outputs) -> String {
    let typed = flags.analyses.as_deref().unwrap_or_else(|| outputs.default_analyses());
    let needed: Vec<_> = outputs.needed_analyses().collect();
    match typed.trim() {
        _ if needed.is_empty() => typed.to_owned(),
        "none" => needed.join(","),
        typed => format!("{typed},{}", needed.join(",")),
    }
}

/// The variables as their authors mean them (no-color.org, bixense.com/clicolors): empty is not set, and "no" wins.
pub(super) fn set_colors(when: When) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE") != Some("0".into());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    console::set_colors_enabled(match when {
        When::Always => true,
        When::Never => false,
        When::Auto => !is_set("NO_COLOR") && (is_forced || (io::stdout().is_terminal() && !is_dumb)),
    });
}

/// The reports of a run, and each path that could not be read on standard error.
struct WithErrors<'s> {
    sinks: Vec<Box<dyn Sink + 's>>,
    progress: &'s Progress,
    errors_shown: bool,
}

impl Sink for WithErrors<'_> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.sinks.begin(plan, started)
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
        self.sinks.record(record)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sinks.idle()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.sinks.end(report)
    }
}
