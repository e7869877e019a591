//! The verdict of `filemill bench check` in the forms that CI services read, and in one line for people.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use filemill::bench::check::{Check, Checked, Verdict};
use filemill::sink::ReportFile;
use indicatif::HumanCount;
use serde_json::json;

use super::super::outputs::{cannot_write, split};
use super::super::{Failure, complain};
use super::{expect_outside, print};

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
    reports: Vec<(Form, PathBuf, Place)>,
}

enum Place {
    Stdout,
    File(ReportFile),
}

impl Reports {
    /// Reads what was typed as FORMAT=FILE, and begins the files: what cannot be written is told before anything is measured.
    /// None goes into the tree that is measured, over the baseline, or where another goes.
    pub(super) fn new(typed: &[OsString], tree: &Path, baseline: Option<&Path>) -> Result<Reports, Failure> {
        let mut reports: Vec<(Form, PathBuf, Place)> = Vec::new();
        let form = |name: &str| FORMS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
        for typed in typed {
            let known = || FORMS.map(|(name, _)| name.to_owned()).to_vec();
            let (form, name) = split(typed, form, known)?;
            let path = PathBuf::from(name);
            let is_there = |other: &Path| match (path.canonicalize(), other.canonicalize()) {
                (Ok(one), Ok(other)) => one == other,
                _ => path == other,
            };
            if baseline.is_some_and(is_there) || reports.iter().any(|(_, other, _)| is_there(other)) {
                return Err(Failure::Usage(format!("{}: something else goes there", path.display())));
            }
            let place = if name == "-" {
                Place::Stdout
            } else {
                expect_outside(&path, tree)?;
                Place::File(ReportFile::create(&path).map_err(|error| cannot_write(&path, &error))?)
            };
            reports.push((form, path, place));
        }
        Ok(Reports { reports })
    }

    /// Whether one goes to standard output.
    pub(super) fn has_stdout(&self) -> bool {
        self.reports.iter().any(|(_, _, place)| matches!(place, Place::Stdout))
    }

    /// Writes none of them, after an interrupt, and names the files that are not written.
    pub(super) fn leave_out(self) {
        for (_, path, place) in self.reports {
            if matches!(place, Place::File(_)) {
                complain(&format!("interrupted: {} is not written, as there is no verdict", path.display()));
            }
        }
    }

    /// Writes all of them.
    pub(super) fn write(self, check: &Check, checked: &Checked) -> Result<(), Failure> {
        for (form, path, place) in self.reports {
            let text = match form {
                Form::BiggerIsBetter => bigger_is_better(check, checked),
                Form::Bencher => bencher(check, checked),
                Form::Markdown => markdown(check, checked),
            };
            match place {
                Place::Stdout => print(&text)?,
                Place::File(mut file) => {
                    let written = (&file).write_all(text.as_bytes()).and_then(|()| file.complete());
                    written.map_err(|error| cannot_write(&path, &error))?;
                }
            }
        }
        Ok(())
    }
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
    let interval = if checked.judged.shift.interval.half_width().is_finite() {
        format!("from {:+.1} to {:+.1} %", 100.0 * low, 100.0 * high)
    } else {
        "too few to say how surely".to_owned()
    };
    format!(
        "{:.1} % {way} ({interval}, {:.1} % less is allowed); {} files/s, where the other would do {}; {} comparisons",
        100.0 * change.abs(),
        100.0 * check.drop_max,
        rate(checked, checked.new.median),
        rate(checked, checked.new.median * (1.0 + change)),
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
         Change of the rate: **{:+.1} %** (from {:+.1} to {:+.1} %); a drop of {:.1} % is allowed; {} comparisons.\n{advice}",
        benchmark(check),
        checked.judged.verdict.name(),
        benchmark(check),
        HumanCount(checked.files),
        row("the other, at the same speed of the machine", checked.new.median * (1.0 + change)),
        row("this build", checked.new.median),
        100.0 * change,
        100.0 * low,
        100.0 * high,
        100.0 * check.drop_max,
        checked.judged.rounds.iter().sum::<usize>(),
    )
}
