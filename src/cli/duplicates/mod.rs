//! `filemill duplicates`: what is to be searched for, and the reports that tell of it.

mod flags;
mod go_on;
mod summary;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use filemill::analyses::Analysis;
use filemill::control::Control;
use filemill::duplicates::{Compares, Directories, Near, Search, find};
use filemill::record::Action;
use filemill::sink::{Fdupes, GroupCsv, GroupTable, Jsonl, Sink};

pub(crate) use self::flags::DuplicatesFlags;
use self::flags::GroupFormat;
use self::summary::DuplicatesSummary;
use super::outputs::Outputs;
use super::plans::{self, WithErrors};
use super::progress::Progress;
use super::settings::Origins;
use super::status_line::EndsLine;
use super::{Exit, Failure, begin, complain};

/// Runs the command; `origins` are where settings came from that were not typed.
pub(crate) fn run(flags: &DuplicatesFlags, origins: &Origins) -> Result<Exit, Failure> {
    begin(&flags.messages, origins);
    if plans::lists_adapters([&flags.machine.device])? {
        return Ok(Exit::Done);
    }
    let mut outputs = Outputs::new(flags.format, &flags.out, GroupFormat::Summary, !flags.messages.quiet)?;
    let tells_actions =
        |format| matches!(format, GroupFormat::Summary | GroupFormat::Jsonl | GroupFormat::Table);
    if flags.action.is_some() && !outputs.formats().any(tells_actions) {
        let why = "--action needs a format that shows it: summary, table or jsonl";
        return Err(Failure::Usage(why.to_owned()));
    }
    if flags.dirs.is_some() && outputs.formats().any(|format| format == GroupFormat::Fdupes) {
        let why = "the layout of fdupes has no directories: use another format with --dirs";
        return Err(Failure::Usage(why.to_owned()));
    }
    if flags.near.is_some() && flags.from.is_some() {
        // Before the report is read, which may be large.
        let why = "--near cannot use --from: a report has digests and no sketches, so every file is read; leave out --from";
        return Err(Failure::Usage(why.to_owned()));
    }
    if flags.near.is_some() && outputs.formats().any(|format| format == GroupFormat::Fdupes) {
        let why = "in the layout of fdupes all files of a group are the same: use another format with --near";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut search = search(flags)?;
    plans::fit(&mut search.plan, &flags.messages)?;
    search.check()?;
    outputs.open(&search.plan.faults)?;
    search.plan.own_outputs = outputs.own_files();
    outputs.until_signalled(|outputs, control| duplicates(flags, &search, outputs, control))
}

/// What the flags mean.
fn search(flags: &DuplicatesFlags) -> Result<Search, Failure> {
    let mut search = Search::new(plans::plan(&flags.input, &flags.machine, &flags.messages)?);
    search.references.clone_from(&flags.reference);
    search.is_across = flags.across;
    search.directories = flags.dirs;
    search.verifies = flags.verify;
    search.action = flags.action.map(Into::into);
    search.applies = flags.apply;
    search.near = flags.near.map(|threshold| Near {
        sketches: flags.minhash.clone().unwrap_or_default(),
        compares: if flags.near_all { Compares::All } else { Compares::Banded },
        is_exact: flags.exact,
        text_only: flags.text_only,
        ..Near::new(threshold)
    });
    if let Some(report) = &flags.from {
        let is_typed = !flags.input.paths.is_empty()
            || !flags.input.files_from.is_empty()
            || !flags.input.files0_from.is_empty();
        let report = if report == Path::new("-") { Path::new("/dev/stdin") } else { report };
        let roots = search.take_from(report)?;
        let has_lists = search.earlier.as_ref().is_some_and(|earlier| earlier.has_lists());
        if !is_typed && (has_lists || roots.is_empty()) {
            let why = format!(
                "{}: its paths came from a list: type the paths, or give the list again",
                report.display()
            );
            return Err(Failure::Usage(why));
        }
        if !is_typed {
            search.plan.roots = roots;
        }
    }
    Ok(search)
}

fn duplicates(
    flags: &DuplicatesFlags,
    search: &Search,
    outputs: &mut Outputs<GroupFormat>,
    control: &Control,
) -> Result<Exit, Failure> {
    let messages = &flags.messages;
    let printed = outputs.printed();
    let is_watched = io::stderr().is_terminal() && !messages.no_progress && !messages.quiet;
    let progress = Progress::new(is_watched);
    let prints_errors = matches!(printed, GroupFormat::Jsonl);
    let errors_shown = messages.verbose || (!prints_errors && !messages.quiet);

    let at_end = printed == GroupFormat::Summary && search.action.is_none();
    let options = options(flags);
    let sinks = outputs.sinks(&search.plan.faults, at_end, |format, writer, is_printed| {
        sink(outputs, format, &options, writer, is_printed, &progress)
    })?;
    let mut sink = WithErrors { sinks, errors_shown };
    let found = progress.during(control, || find(search, &mut sink, control))?;
    drop(sink);
    let report = &found.report;
    // An interrupted report is not complete, and does not replace one that is.
    if !report.cancelled {
        outputs.complete()?;
    } else if search.near.is_none()
        && let Some(partial) = outputs.partial_of(|format| format == GroupFormat::Jsonl)
        && let Some(command) = go_on::command(std::env::args_os(), partial)
    {
        complain(&format!("to go on without hashing files again: {command}"));
    }
    plans::tell(report, outputs.refused(), messages);
    let left = report.duplicates.as_ref().map_or(0, |duplicates| duplicates.actions.refused);
    let is_complete = report.is_complete() && outputs.refused() == 0 && left == 0;
    Ok(if is_complete { Exit::Done } else { Exit::Incomplete })
}

/// What was asked for, in the words of the flags.
fn options(flags: &DuplicatesFlags) -> serde_json::Value {
    let path = |path: &Path| path.display().to_string();
    let dirs = flags.dirs.map(|dirs| match dirs {
        Directories::Identical => "identical".to_owned(),
        Directories::Similar(share) => format!("similar:{share}"),
    });
    serde_json::json!({
        "reference": flags.reference.iter().map(|reference| path(reference)).collect::<Vec<_>>(),
        "across": flags.across,
        "dirs": dirs,
        "verify": flags.verify,
        "from": flags.from.as_deref().map(path),
        "action": flags.action.map(|action| Action::from(action).name()),
        "apply": flags.apply,
        "near": flags.near,
        "near_all": flags.near_all,
        "exact": flags.exact,
        "minhash": flags.near.map(|_| flags.minhash.clone().unwrap_or_default().word().into_owned()),
        "text_only": flags.text_only,
    })
}

/// The sink of a format, to be written to standard output where `is_printed`.
fn sink<'o>(
    outputs: &'o Outputs<GroupFormat>,
    format: GroupFormat,
    options: &serde_json::Value,
    writer: Box<dyn Write + 'o>,
    is_printed: bool,
    progress: &'o Progress,
) -> Box<dyn Sink + 'o> {
    let is_on_terminal = is_printed && io::stdout().is_terminal();
    let writer: Box<dyn Write + 'o> = match format {
        GroupFormat::Summary => writer,
        _ if is_on_terminal => Box::new(EndsLine(writer)),
        _ => writer,
    };
    match format {
        GroupFormat::Summary => Box::new(DuplicatesSummary::new(writer, is_printed, progress)),
        GroupFormat::Jsonl => Box::new(Jsonl::new(writer).with_duplicates(options.clone())),
        GroupFormat::Csv => Box::new(GroupCsv::new(writer)),
        GroupFormat::CsvRaw => Box::new(GroupCsv::unguarded(writer)),
        GroupFormat::Table => Box::new(GroupTable::new(writer)),
        GroupFormat::Fdupes => Box::new(Fdupes::new(writer, outputs.refuse(format))),
    }
}
