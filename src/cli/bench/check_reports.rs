//! The verdict of `filemill bench check` in the forms that CI services read, and in one line for people.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;

use filemill::bench::check::{Check, Checked, Verdict};
use filemill::sink::ReportFile;
use indicatif::HumanCount;
use serde_json::json;

use super::super::Failure;
use super::print;

/// A form of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `customBiggerIsBetter` of github-action-benchmark.
    BiggerIsBetter,
    /// Bencher Metric Format.
    Bencher,
    /// For the summary of a step.
    Markdown,
}

const FORMS: [(&str, Form); 3] =
    [("bigger-is-better", Form::BiggerIsBetter), ("bencher", Form::Bencher), ("markdown", Form::Markdown)];

/// Where the verdict goes besides standard output.
pub(super) struct Reports {
    reports: Vec<(Form, OsString)>,
}

impl Reports {
    /// Reads what was typed as FORMAT=FILE.
    pub(super) fn new(typed: &[OsString]) -> Result<Reports, Failure> {
        let mut reports = Vec::new();
        for typed in typed {
            let shown = typed.to_string_lossy();
            let refuse = |why: &str| {
                Failure::Usage(format!("invalid value '{shown}' for '--out <FORMAT=FILE>': {why}"))
            };
            let Some((format, _)) = shown.split_once('=') else { return Err(refuse("it has no '='")) };
            let Some((_, form)) = FORMS.iter().find(|(name, _)| *name == format) else {
                let known = FORMS.map(|(name, _)| name).join(", ");
                return Err(refuse(&format!("no format is named '{format}': known are {known}")));
            };
            let name = after(typed, format.len() + 1);
            if name.is_empty() {
                return Err(refuse("it names no file"));
            }
            reports.push((*form, name));
        }
        Ok(Reports { reports })
    }

    /// Whether one goes to standard output.
    pub(super) fn has_stdout(&self) -> bool {
        self.reports.iter().any(|(_, name)| name == "-")
    }

    /// Writes all of them.
    pub(super) fn write(&self, check: &Check, checked: &Checked) -> Result<(), Failure> {
        for (form, name) in &self.reports {
            let text = match form {
                Form::BiggerIsBetter => bigger_is_better(check, checked),
                Form::Bencher => bencher(check, checked),
                Form::Markdown => markdown(check, checked),
            };
            if name == "-" {
                print(&text)?;
                continue;
            }
            let path = Path::new(name);
            let write = || {
                let mut file = ReportFile::create(path)?;
                (&file).write_all(text.as_bytes())?;
                file.complete()
            };
            write().map_err(|error| Failure::Report(format!("cannot write {}: {error}", path.display())))?;
        }
        Ok(())
    }
}

/// What follows the first `bytes` bytes, which are ASCII.
fn after(text: &OsStr, bytes: usize) -> OsString {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        OsStr::from_bytes(&text.as_bytes()[bytes..]).to_owned()
    }
    #[cfg(not(unix))]
    text.to_string_lossy()[bytes..].to_owned().into()
}

/// For people.
pub(super) fn line(check: &Check, checked: &Checked) -> String {
    let judged = &checked.judged;
    let name = judged.verdict.name();
    let name = match judged.verdict {
        Verdict::Pass => console::style(name).green(),
        Verdict::Regression => console::style(name).red().bold(),
        Verdict::Inconclusive => console::style(name).yellow(),
    };
    let advice = judged.advice.as_ref().map_or_else(String::new, |advice| format!("\n{advice}"));
    format!("{name}: {}{advice}", said(check, checked))
}

/// By how much the rate changed, how sure that is, and how often it was measured.
fn said(check: &Check, checked: &Checked) -> String {
    let (change, low, high) = checked.change();
    let way = if change < 0.0 { "slower" } else { "faster" };
    let rounds: Vec<String> = checked.judged.rounds.iter().map(usize::to_string).collect();
    format!(
        "{:.1} % {way} (from {:+.1} to {:+.1} %, {:.1} % less is allowed); {} files/s, before {}; {} pairs",
        100.0 * change.abs(),
        100.0 * low,
        100.0 * high,
        100.0 * check.drop_max,
        rate(checked, checked.new.median),
        rate(checked, checked.old.median),
        rounds.join(" + "),
    )
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for display")]
fn rate(checked: &Checked, seconds: f64) -> HumanCount {
    HumanCount(checked.rate(seconds).round() as u64)
}

/// The name that the history of a CI service goes by.
fn benchmark(check: &Check) -> String {
    format!("filemill scan -a {}", check.analyses)
}

fn bigger_is_better(check: &Check, checked: &Checked) -> String {
    let interval = checked.new.interval;
    let (fast, slow) = (checked.rate(interval.low), checked.rate(interval.high));
    let record = json!([{
        "name": benchmark(check),
        "unit": "files/s",
        "value": checked.rate(checked.new.median),
        "range": format!("{:.0}", (fast - slow) / 2.0),
        "extra": format!("{}: {}", checked.judged.verdict.name(), said(check, checked)),
    }]);
    format!("{record:#}\n")
}

fn bencher(check: &Check, checked: &Checked) -> String {
    let interval = checked.new.interval;
    let record = json!({
        benchmark(check): {
            "throughput": {
                "value": checked.rate(checked.new.median),
                "lower_value": checked.rate(interval.high),
                "upper_value": checked.rate(interval.low),
            },
            "latency": {
                "value": checked.new.median * 1e9,
                "lower_value": interval.low * 1e9,
                "upper_value": interval.high * 1e9,
            },
        }
    });
    format!("{record:#}\n")
}

fn markdown(check: &Check, checked: &Checked) -> String {
    let (change, low, high) = checked.change();
    let row = |what: &str, seconds: f64| {
        format!("| {what} | {} files/s | {:.1} ms |\n", rate(checked, seconds), 1000.0 * seconds)
    };
    let advice = checked.judged.advice.as_ref().map_or_else(String::new, |advice| format!("\n{advice}\n"));
    format!(
        "### {}: {}\n\n| `{}` over {} files | rate | time |\n|---|---|---|\n{}{}\n\
         Change of the rate: **{:+.1} %** (from {:+.1} to {:+.1} %); a drop of {:.1} % is allowed; {} pairs.\n{advice}",
        benchmark(check),
        checked.judged.verdict.name(),
        benchmark(check),
        HumanCount(checked.files),
        row("before", checked.old.median),
        row("now", checked.new.median),
        100.0 * change,
        100.0 * low,
        100.0 * high,
        100.0 * check.drop_max,
        checked.judged.rounds.iter().sum::<usize>(),
    )
}
