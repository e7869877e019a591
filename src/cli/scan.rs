//! `filemill scan`: makes the plan, runs it into the sink that was asked for, says what could not be read.

use std::io::{self, IsTerminal, Write};

use filemill::control::Control;
use filemill::plan::{Plan, Sort};
use filemill::sink::{Csv, Jsonl, Manifest, Paths, Sink, Table, Tool};

use super::flags::{Format, ScanFlags, SortBy};
use super::outputs::Outputs;
use super::plans::{self, WithErrors};
use super::progress::Progress;
use super::settings::Origins;
use super::summary::Summary;
use super::{Exit, Failure, begin, complain};

/// Runs the command; `origins` are where settings came from that were not typed.
pub(crate) fn run(flags: &ScanFlags, origins: &Origins) -> Result<Exit, Failure> {
    begin(&flags.messages, origins);
    if plans::lists_adapters([&flags.machine.device])? {
        return Ok(Exit::Done);
    }
    let mut outputs = Outputs::new(flags.format, &flags.out, Format::Summary, !flags.messages.quiet)?;
    if flags.null && !outputs.formats().any(|format| format == Format::Paths) {
        return Err(Failure::Usage("--null is for the format paths alone".to_owned()));
    }
    let mut plan = plan(flags, &outputs)?;
    plans::fit(&mut plan, &flags.messages)?;
    outputs.open(&plan.faults)?;
    plan.own_outputs = outputs.own_files();
    outputs.until_signalled(|outputs, control| scan(flags, &plan, outputs, control))
}

fn scan(
    flags: &ScanFlags,
    plan: &Plan,
    outputs: &mut Outputs<Format>,
    control: &Control,
) -> Result<Exit, Failure> {
    let messages = &flags.messages;
    let printed = outputs.printed();
    // Records that scroll by on the same terminal are progress enough.
    let scrolls_by = printed != Format::Summary && io::stdout().is_terminal();
    let is_watched = io::stderr().is_terminal() && !messages.no_progress && !messages.quiet && !scrolls_by;
    let progress = Progress::new(is_watched);
    let prints_rows = matches!(printed, Format::Jsonl | Format::Csv | Format::CsvRaw | Format::Table);
    let errors_shown = messages.verbose || (!prints_rows && !messages.quiet);

    let sinks = outputs.sinks(&plan.faults, printed == Format::Summary, |format, writer, is_printed| {
        sink(outputs, format, flags.null, writer, is_printed, &progress)
    })?;
    let mut sink = WithErrors { sinks, errors_shown };
    let report = progress.during(control, || filemill::run_with(plan, &mut sink, control))?;
    drop(sink);
    // An interrupted report is not complete, and does not replace one that is.
    if !report.cancelled {
        outputs.complete()?;
    }
    plans::tell(&report, outputs.refused(), messages);
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

/// What the flags mean.
fn plan(flags: &ScanFlags, outputs: &Outputs<Format>) -> Result<Plan, Failure> {
    let mut plan = plans::plan(&flags.input, &flags.machine, &flags.messages)?;
    let analyses = analyses(flags, outputs);
    plan.analyses =
        filemill::analyses::parse(&analyses).map_err(|error| Failure::Usage(error.to_string()))?;
    plan.sort = match flags.sort {
        SortBy::Path => Sort::Path,
        SortBy::None => Sort::None,
    };
    plan.check()?;
    Ok(plan)
}

/// The list of analyses: as typed, or `light` where a report shows it; and what formats cannot do without.
fn analyses(flags: &ScanFlags, outputs: &Outputs<Format>) -> String {
    let shows_rows = |format| !matches!(format, Format::Paths | Format::B3sum | Format::Sha256sum);
    let default = if outputs.formats().any(shows_rows) { "light" } else { "none" };
    let typed = flags.analyses.as_deref().unwrap_or(default);
    let needed: Vec<_> = outputs.formats().filter_map(|format| tool(format).map(Tool::analysis)).collect();
    match typed.trim() {
        _ if needed.is_empty() => typed.to_owned(),
        "none" => needed.join(","),
        typed => format!("{typed},{}", needed.join(",")),
    }
}

fn tool(format: Format) -> Option<Tool> {
    match format {
        Format::B3sum => Some(Tool::B3sum),
        Format::Sha256sum => Some(Tool::Sha256sum),
        _ => None,
    }
}

/// The sink of a format, to be written to standard output where `is_printed`.
fn sink<'o>(
    outputs: &'o Outputs<Format>,
    format: Format,
    is_nul_separated: bool,
    writer: Box<dyn Write + 'o>,
    is_printed: bool,
    progress: &'o Progress,
) -> Box<dyn Sink + 'o> {
    match format {
        Format::Summary => Box::new(Summary::new(writer, is_printed, progress)),
        Format::Jsonl => Box::new(Jsonl::new(writer)),
        Format::Csv => Box::new(Csv::new(writer)),
        Format::CsvRaw => Box::new(Csv::unguarded(writer)),
        Format::Table => Box::new(Table::new(writer)),
        Format::Paths if is_nul_separated => Box::new(Paths::nul_separated(writer)),
        Format::Paths => Box::new(Paths::lines(writer, outputs.refuse(format))),
        Format::B3sum => Box::new(Manifest::new(writer, Tool::B3sum, outputs.refuse(format))),
        Format::Sha256sum => Box::new(Manifest::new(writer, Tool::Sha256sum, outputs.refuse(format))),
    }
}
