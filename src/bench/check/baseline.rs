//! What is kept of a build for later comparisons: a JSON file, of one machine, one tree and one set of settings.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::answers::unanswered;
use super::super::machine::Machine;
use super::super::{Answers, BenchError, differences};
use super::Check;
use crate::sink::ReportFile;

const SCHEMA: &str = "filemill.baseline/1";

/// The record of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    schema: String,
    /// Version of filemill.
    pub version: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// Where.
    pub machine: Machine,
    /// List of analyses.
    pub analyses: String,
    /// Further flags of the scans.
    pub settings: Vec<String>,
    /// What the scans answered.
    pub answers: Answers,
    /// What they took.
    pub samples: Vec<Sample>,
}

/// A scan, and the machine's floor right before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// From the start of the process to its exit.
    pub scan_seconds: f64,
    /// From the first call to the last.
    pub floor_seconds: f64,
}

impl Sample {
    pub(super) fn logarithm(&self) -> f64 {
        (self.scan_seconds / self.floor_seconds).ln()
    }
}

/// With fewer samples nothing can be said.
pub const SAMPLES_MIN: usize = 10;

/// Larger than any baseline is.
const BYTES_MAX: u64 = 64 << 20;

impl Baseline {
    pub(super) fn new(check: &Check, answers: Answers, samples: Vec<Sample>) -> Baseline {
        Baseline {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            made: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: Machine::here(&check.path),
            analyses: check.analyses.clone(),
            settings: settings(check),
            answers,
            samples,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Baseline, BenchError> {
        let is_large = |file: std::fs::Metadata| !file.is_file() || file.len() > BYTES_MAX;
        if path.metadata().is_ok_and(is_large) {
            return Err(BenchError::Refused(format!("{}: is no baseline", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => BenchError::Refused(format!(
                "{}: no such file: make it with --update-baseline",
                path.display()
            )),
            _ => BenchError::file(path)(error),
        })?;
        let refuse = |why: &dyn std::fmt::Display| {
            BenchError::Refused(format!("{}: is no baseline: {why}", path.display()))
        };
        let baseline: Baseline = serde_json::from_str(&text).map_err(|error| refuse(&error))?;
        if baseline.schema != SCHEMA {
            return Err(refuse(&format!("its schema is {:?}, not {SCHEMA:?}", baseline.schema)));
        }
        // From a microsecond to a month.
        let is_time = |seconds: f64| (1e-6..3e6).contains(&seconds);
        let are_times = baseline
            .samples
            .iter()
            .all(|sample| is_time(sample.scan_seconds) && is_time(sample.floor_seconds));
        if baseline.answers.checksums.is_empty() {
            return Err(refuse(&"it holds no answers"));
        }
        if baseline.samples.len() < SAMPLES_MIN || !are_times {
            return Err(refuse(&format!("it needs {SAMPLES_MIN} samples of times that can be")));
        }
        Ok(baseline)
    }

    /// Writes it to a file that was begun as `path`, and gives it its name; where it is `broken_off` it stays what it is called
    /// until then.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, file: &mut ReportFile, broken_off: bool) -> Result<(), BenchError> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from);
        let text = text.map_err(BenchError::file(path))?;
        let mut write = || {
            (&*file).write_all(text.as_bytes())?;
            (&*file).write_all(b"\n")?;
            if broken_off { Ok(()) } else { file.complete() }
        };
        write().map_err(BenchError::file(path))
    }

    /// Refuses what cannot be compared, with what is different.
    pub(super) fn expect_same(&self, check: &Check, answers: &Answers) -> Result<(), BenchError> {
        let refuse = |what: String| {
            Err(BenchError::Refused(format!(
                "the baseline is {what}: make a new one with --update-baseline, or compare with a build (--against)"
            )))
        };
        let machine = Machine::here(&check.path).differences(&self.machine);
        if !machine.is_empty() {
            return refuse(format!("of another machine ({})", machine.join("; ")));
        }
        if (&self.analyses, &self.settings) != (&check.analyses, &settings(check)) {
            let there = [std::slice::from_ref(&self.analyses), &self.settings].concat().join(" ");
            let here = [std::slice::from_ref(&check.analyses), &settings(check)].concat().join(" ");
            return refuse(format!("of other settings (-a {there}, here -a {here})"));
        }
        let differing = [differences(&self.answers, answers), unanswered(&self.answers, answers)].concat();
        if !differing.is_empty() {
            let (there, here) = (self.answers.files, answers.files);
            let what = differing.join(", ");
            return refuse(format!("of another tree ({there} files, here {here}; different in {what})"));
        }
        Ok(())
    }
}

fn settings(check: &Check) -> Vec<String> {
    check.settings.iter().map(|setting| setting.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            binary: "filemill".into(),
            path: "/".into(),
            analyses: "light".to_owned(),
            settings: Vec::new(),
            drop_max: 0.05,
            pairs_max: 30,
        }
    }

    fn answers(files: u64) -> Answers {
        let checksums = [("size".to_owned(), Default::default())].into_iter().collect();
        Answers { files, checksums, ..Answers::default() }
    }

    fn baseline() -> Baseline {
        let samples = vec![Sample { scan_seconds: 0.2, floor_seconds: 0.1 }; SAMPLES_MIN];
        Baseline::new(&check(), answers(3), samples)
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().expect("a place for tests");
        let path = directory.path().join("baseline.json");
        let mut file = ReportFile::create(&path).expect("it can be begun");
        baseline().write(&path, &mut file, false).expect("it can be written");
        assert_eq!(Baseline::read(&path).expect("it can be read"), baseline());
    }

    #[test]
    fn what_is_none_is_refused() {
        #[track_caller]
        fn refused(change: impl Fn(String) -> String, expected: &str) {
            let directory = tempfile::tempdir().expect("a place for tests");
            let path = directory.path().join("baseline.json");
            let text = serde_json::to_string(&baseline()).expect("it can be written");
            std::fs::write(&path, change(text)).expect("it can be written");
            let error = Baseline::read(&path).expect_err("it is refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        refused(|_| "{}".to_owned(), "is no baseline: missing field");
        refused(|text| text.replace("baseline/1", "baseline/2"), "its schema is");
        refused(|text| text.replace("0.1", "0.0"), "it needs 10 samples of times that can be");
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        #[track_caller]
        fn refused(baseline: &Baseline, expected: &str) {
            let error = baseline.expect_same(&check(), &answers(3)).expect_err("it is refused").to_string();
            assert!(error.contains(expected), "{error}");
        }
        let same = baseline();
        assert!(same.expect_same(&check(), &same.answers).is_ok());
        let machine = Machine { cpu: "another".to_owned(), ..same.machine.clone() };
        refused(&Baseline { machine, ..same.clone() }, "of another machine (processor another, here ");
        refused(
            &Baseline { analyses: "full".to_owned(), ..same.clone() },
            "other settings (-a full, here -a light)",
        );
        refused(
            &Baseline { answers: answers(4), ..same },
            "of another tree (4 files, here 3; different in files)",
        );
    }
}
