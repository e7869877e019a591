//! `filemill bench check`: the verdict on a build, for people and for CI.

use std::ffi::OsString;

use clap::ValueEnum;
use filemill::bench::check::{
    Baseline, Check, Checked, Verdict, check_against, check_baseline, make_baseline,
};
use filemill::plan::Workers;
use filemill::sink::ReportFile;
use indicatif::HumanCount;

use super::super::outputs::cannot_write;
use super::super::{Exit, Failure, complain};
use super::check_reports::{Reports, line};
use super::flags::CheckFlags;
use super::watched::Watched;
use super::{expect_directory, expect_outside, incomplete, print, this_program, watched};

/// Runs the command.
pub(super) fn run(flags: &CheckFlags) -> Result<Exit, Failure> {
    expect_directory(&flags.path)?;
    filemill::analyses::parse(&flags.analyses).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(path) = &flags.baseline {
        expect_outside(path, &flags.path)?;
        if flags.update_baseline && path.exists() {
            // Nothing else is replaced.
            Baseline::read(path)?;
        }
    }
    let reports = Reports::new(&flags.out, &flags.path, flags.baseline.as_deref())?;
    let check = check(flags)?;
    let baseline = match (&flags.baseline, flags.update_baseline) {
        (Some(path), false) => Some(Baseline::read(path)?),
        _ => None,
    };
    watched(&flags.messages, |watched| {
        let watch = &watched.watch();
        if flags.update_baseline {
            return update(flags, &check, watched);
        }
        let checked = match (&flags.against, &baseline) {
            (Some(binary), _) => check_against(&check, binary, watch)?,
            (None, Some(baseline)) => check_baseline(&check, baseline, watch)?,
            (None, None) => return Err(Failure::Usage("nothing to compare with".to_owned())),
        };
        watched.clear();
        let text = if reports.has_stdout() { String::new() } else { format!("{}\n", line(&check, &checked)) };
        if watched.exit_code().is_some() {
            // There is no verdict, and nothing says that the tree stayed as it was.
            reports.leave_out();
        } else {
            reports.write(&check, &checked)?;
        }
        print(&text)?;
        Ok(exit(&checked))
    })
}

fn exit(checked: &Checked) -> Exit {
    match checked.judged.verdict {
        Verdict::Pass => incomplete(checked.unread),
        Verdict::Regression => Exit::GateFailed,
        Verdict::Inconclusive => Exit::Inconclusive,
    }
}

/// Makes this build the baseline.
fn update(flags: &CheckFlags, check: &Check, watched: &Watched) -> Result<Exit, Failure> {
    let Some(path) = &flags.baseline else {
        return Err(Failure::Usage("--update-baseline needs --baseline FILE".to_owned()));
    };
    // What cannot be written is told before minutes of measuring.
    let mut file = ReportFile::create(path).map_err(|error| cannot_write(path, &error))?;
    let baseline = make_baseline(check, &watched.watch())?;
    watched.clear();
    // With all samples it may still be interrupted before the tree was looked at again.
    let broken_off = baseline.samples.len() < check.pairs_max || watched.exit_code().is_some();
    baseline.write(path, &mut file, broken_off)?;
    if broken_off {
        let partial = file.partial().unwrap_or(path).display();
        complain(&format!(
            "interrupted: {} is as it was, and what was measured is in {partial}",
            path.display()
        ));
        return Ok(Exit::Done);
    }
    let (samples, files) = (HumanCount(baseline.samples.len() as u64), HumanCount(baseline.answers.files));
    print(&format!("{}: {samples} samples over {files} files\n", path.display()))?;
    Ok(Exit::Done)
}

/// What the flags mean.
fn check(flags: &CheckFlags) -> Result<Check, Failure> {
    let binary = this_program()?;
    let mut settings: Vec<OsString> = Vec::new();
    let mut add = |flag: &str, value: String| settings.push(format!("--{flag}={value}").into());
    match flags.workers {
        Some(Workers::Number(workers)) => add("workers", workers.to_string()),
        Some(Workers::Auto) => add("workers", "auto".to_owned()),
        None => {}
    }
    if let Some(files) = flags.batch_files {
        add("batch-files", files.to_string());
    }
    if let Some(stage) = flags.stage.and_then(|stage| stage.to_possible_value()) {
        add("stage", stage.get_name().to_owned());
    }
    Ok(Check {
        binary,
        path: flags.path.clone(),
        analyses: flags.analyses.clone(),
        settings,
        drop_max: flags.max_drop,
        pairs_max: usize::from(flags.pairs),
    })
}
