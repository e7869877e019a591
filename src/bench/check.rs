//! Whether a change made scans slower: two builds in turn on one machine, or this build against a record made here before.

mod baseline;
mod verdict;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use self::baseline::{Baseline, SAMPLES_MIN, Sample};
use self::verdict::judge;
pub use self::verdict::{Judged, Verdict};

use super::answers::{OfReport, differences, unanswered};
use super::limit::{Bare, floor};
use super::process::{Program, scan};
use super::statistics::{Spread, shift_of_pairs, shift_of_samples};
use super::{Answers, BenchError, Watch, corpus};
use crate::plan::cores;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Check {
    /// The build to judge.
    pub binary: PathBuf,
    /// The tree, one directory.
    pub path: PathBuf,
    /// List of analyses, as on the command line.
    pub analyses: String,
    /// Further flags of `filemill scan`, for all builds alike.
    pub settings: Vec<OsString>,
    /// The drop of the rate that is allowed: 0.05 is 5 %.
    pub drop_max: f64,
    /// Comparisons that a round may take. There is a second round where the first is a suspicion.
    pub pairs_max: usize,
}

/// What came of a comparison.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The verdict and how it came about.
    pub judged: Judged,
    /// Files that a scan reads.
    pub files: u64,
    /// Paths that it cannot read.
    pub unread: u64,
    /// Seconds of the build that is judged.
    pub new: Spread,
    /// Seconds of the other.
    pub old: Spread,
}

impl Checked {
    /// By how much the rate changed, as a share: -0.05 is 5 % less. With the ends of its interval, lower end first.
    pub fn change(&self) -> (f64, f64, f64) {
        let share = |shift: f64| (-shift).exp() - 1.0;
        let shift = &self.judged.shift;
        (share(shift.estimate), share(shift.interval.high), share(shift.interval.low))
    }

    /// Files a second of a build, from its seconds.
    pub fn rate(&self, seconds: f64) -> f64 {
        self.files as f64 / seconds
    }
}

/// Compares the build with another one: pairs of whole processes, each first in every other pair, on the same tree.
///
/// # Errors
/// When a build fails or their answers differ: a wrong answer has no speed; when it is cancelled.
pub fn check_against(check: &Check, other: &Path, watch: &Watch<'_>) -> Result<Checked, BenchError> {
    let (new, old) = (check.program(&check.binary), check.program(other));
    corpus::open(&check.path, watch)?;
    (watch.tell)("comparing answers", 0, 0);
    let (answers, new_code) = check.answers(&new, watch)?;
    let (old_answers, old_code) = check.answers(&old, watch)?;
    let differing = [differences(&old_answers, &answers), unanswered(&old_answers, &answers)].concat();
    if !differing.is_empty() {
        return Err(BenchError::Refused(format!(
            "{} and {} answer differently: {}",
            check.binary.display(),
            other.display(),
            differing.join(", ")
        )));
    }
    let (mut new_seconds, mut old_seconds) = (Vec::new(), Vec::new());
    let mut take = || {
        let pair = new_seconds.len();
        (watch.tell)("comparing pairs", pair as u64, 0);
        // Each goes first in every other pair: what comes second may find the machine otherwise.
        let (new_took, old_took) = if pair.is_multiple_of(2) {
            let new_took = new.seconds(new_code, watch)?;
            (new_took, old.seconds(old_code, watch)?)
        } else {
            let old_took = old.seconds(old_code, watch)?;
            (new.seconds(new_code, watch)?, old_took)
        };
        new_seconds.push(new_took);
        old_seconds.push(old_took);
        Ok((new_took / old_took).ln())
    };
    let judged = judge(check.drop_max, check.pairs_max, &shift_of_pairs, &mut take)?;
    check.expect_unchanged(&new, &answers, watch)?;
    check.expect_unchanged(&old, &old_answers, watch)?;
    let (new, old) = (Spread::of(&new_seconds), Spread::of(&old_seconds));
    Ok(Checked { judged, files: answers.files, unread: answers.unread, new, old })
}

/// Compares the build with a record. Both are ratios of a scan's time over that of the machine's floor right before it, which
/// takes out most of what makes a machine slower on one day than on another.
///
/// # Errors
/// When the record is of another machine, tree or settings: that is no comparison; when the build fails, or it is cancelled.
pub fn check_baseline(check: &Check, baseline: &Baseline, watch: &Watch<'_>) -> Result<Checked, BenchError> {
    let program = check.program(&check.binary);
    corpus::open(&check.path, watch)?;
    (watch.tell)("comparing answers", 0, 0);
    let (answers, code) = check.answers(&program, watch)?;
    baseline.expect_same(check, &answers)?;
    let old: Vec<f64> = baseline.samples.iter().map(Sample::logarithm).collect();
    let mut new_seconds = Vec::new();
    let mut take = || {
        (watch.tell)("comparing with the record", new_seconds.len() as u64, 0);
        let sample = check.sample(&program, code, watch)?;
        new_seconds.push(sample.scan_seconds);
        Ok(sample.logarithm())
    };
    let against = |new: &[f64]| shift_of_samples(new, &old);
    let judged = judge(check.drop_max, check.pairs_max, &against, &mut take)?;
    check.expect_unchanged(&program, &answers, watch)?;
    let old_seconds: Vec<f64> = baseline.samples.iter().map(|sample| sample.scan_seconds).collect();
    let (new, old) = (Spread::of(&new_seconds), Spread::of(&old_seconds));
    Ok(Checked { judged, files: answers.files, unread: answers.unread, new, old })
}

/// Measures what a later comparison needs. Where it is cancelled, what was measured is a baseline too, when it suffices.
///
/// # Errors
/// When the build fails, or it is cancelled early.
pub fn make_baseline(check: &Check, watch: &Watch<'_>) -> Result<Baseline, BenchError> {
    let program = check.program(&check.binary);
    corpus::open(&check.path, watch)?;
    (watch.tell)("warming up", 0, 0);
    let (answers, code) = check.answers(&program, watch)?;
    let mut samples = Vec::new();
    while samples.len() < check.pairs_max {
        (watch.tell)("measuring a baseline", samples.len() as u64, check.pairs_max as u64);
        match check.sample(&program, code, watch) {
            Err(BenchError::Cancelled) if samples.len() >= SAMPLES_MIN => break,
            sample => samples.push(sample?),
        }
    }
    check.expect_unchanged(&program, &answers, watch)?;
    Ok(Baseline::new(check, answers, samples))
}

impl Check {
    fn program(&self, binary: &Path) -> Program {
        scan(binary, &self.path, &self.settings, &self.analyses)
    }

    /// What a build answers, and its exit code; and everything is in the cache after it.
    fn answers(&self, program: &Program, watch: &Watch<'_>) -> Result<(Answers, i32), BenchError> {
        let mut report = OfReport::default();
        let code = program.lines(&mut |line| report.line(line), watch)?;
        let shown = program.binary.display();
        let answers = report.into_answers().map_err(|why| BenchError::Refused(format!("{shown}: {why}")))?;
        if answers.files == 0 {
            return Err(BenchError::Refused(format!("{}: no file could be read", self.path.display())));
        }
        Ok((answers, code))
    }

    /// Refuses a tree that is no more what it was. Not asked where it was cancelled: there is no verdict then.
    fn expect_unchanged(
        &self,
        program: &Program,
        before: &Answers,
        watch: &Watch<'_>,
    ) -> Result<(), BenchError> {
        if watch.is_cancelled() {
            return Ok(());
        }
        (watch.tell)("comparing answers", 0, 0);
        let (now, _) = self.answers(program, watch)?;
        let differing = differences(before, &now);
        if differing.is_empty() {
            return Ok(());
        }
        let (path, what) = (self.path.display(), differing.join(", "));
        Err(BenchError::Refused(format!("{path}: changed while it was measured, in {what}")))
    }

    /// The floor without analyses, then a scan. An analysis that got slower must not make the floor slower too.
    fn sample(&self, program: &Program, code: i32, watch: &Watch<'_>) -> Result<Sample, BenchError> {
        let bare = Bare::Read("none".to_owned());
        let floor = floor(&self.path, cores(), &bare, watch.control)?;
        let scan_seconds = program.seconds(code, watch)?;
        Ok(Sample { scan_seconds, floor_seconds: floor.elapsed.as_secs_f64() })
    }
}
