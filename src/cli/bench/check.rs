//! `filemill bench check`: the verdict on a build, for people and for CI.

use std::ffi::OsString;

use filemill::bench::Watch;
use filemill::bench::check::{
    Baseline, Check, Checked, Verdict, check_against, check_baseline, make_baseline,
};
use filemill::plan::Workers;

use super::super::flags::Stage;
use super::super::{Exit, Failure};
use super::check_reports::{Reports, line};
use super::flags::CheckFlags;
use super::{expect_directory, print, this_program, watched};

/// Runs the command.
pub(super) fn run(flags: &CheckFlags) -> Result<Exit, Failure> {
    expect_directory(&flags.path)?;
    filemill::analyses::parse(&flags.analyses).map_err(|error| Failure::Usage(error.to_string()))?;
    let reports = Reports::new(&flags.out)?;
    let check = check(flags)?;
    watched(&flags.messages, |watch| {
        if flags.update_baseline {
            return update(flags, &check, watch);
        }
        let checked = match (&flags.against, &flags.baseline) {
            (Some(binary), _) => check_against(&check, binary, watch)?,
            (None, Some(path)) => check_baseline(&check, &Baseline::read(path)?, watch)?,
            (None, None) => return Err(Failure::Usage("nothing to compare with".to_owned())),
        };
        if !reports.has_stdout() {
            print(&format!("{}\n", line(&check, &checked)))?;
        }
        reports.write(&check, &checked)?;
        Ok(exit(&checked))
    })
}

fn exit(checked: &Checked) -> Exit {
    match checked.judged.verdict {
        Verdict::Pass => Exit::Done,
        Verdict::Regression => Exit::GateFailed,
        Verdict::Inconclusive => Exit::Inconclusive,
    }
}

/// Makes this build the baseline.
fn update(flags: &CheckFlags, check: &Check, watch: &Watch<'_>) -> Result<Exit, Failure> {
    let Some(path) = &flags.baseline else {
        return Err(Failure::Usage("--update-baseline needs --baseline FILE".to_owned()));
    };
    // Before minutes of measuring, not after.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(directory) = directory {
        expect_directory(directory)?;
    }
    let baseline = make_baseline(check, watch)?;
    baseline.write(path)?;
    let (samples, files) = (baseline.samples.len(), baseline.answers.files);
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
    if let Some(stage) = flags.stage {
        let stage = match stage {
            Stage::Auto => "auto",
            Stage::Read => "read",
            Stage::Mmap => "mmap",
            Stage::RamDisk => "ram-disk",
        };
        add("stage", stage.to_owned());
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
