//! What a run answered, in a form that is small, does not depend on the order of the records, and can be compared.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::plan::Plan;
use crate::record::{Outcome, Record, Value};
use crate::sink::Sink;

/// Keys of a record that say which file it is and when it changed. Whether it has settled depends on the time of the run.
const NO_ANSWERS: [&str; 8] =
    ["type", "path", "mtime_ns", "inode", "ctime_ns", "mode", "settled", "file_system"];

/// The answers of a run: how many files and bytes, and for each column a checksum over all paths and values.
///
/// A checksum is the sum, modulo 2^64, over the files of `XXH3(value, seed = XXH3(path relative to the root))`: it guards
/// against mistakes, not against forgery. Times of files are no part of it, so a copy of a tree has the same answers.
/// Numbers that are not whole count to the nearest of 2^24 parts: the last bits of a logarithm are the system's, and
/// answers are kept for other systems.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Paths that were skipped or could not be read.
    pub others: u64,
    /// Of these, those that could not be read, where that is known.
    #[serde(skip)]
    pub unread: u64,
    /// The checksum of each column, of `size`, and of `others` (path and reason), in hex.
    pub checksums: BTreeMap<String, Checksum>,
}

/// One byte counted twice in 16 MiB mostly still shows in an entropy, and what systems round otherwise is some ten million
/// times smaller.
const PARTS_OF_ONE: f64 = (1 << 24) as f64;

/// A sum over records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Checksum(u64);

impl Checksum {
    fn add(&mut self, path: u64, value: &[u8]) {
        self.0 = self.0.wrapping_add(XxHash3_64::oneshot_with_seed(path, value));
    }
}

impl Answers {
    /// All of them in one checksum, in hex.
    pub fn checksum(&self) -> String {
        let Answers { files, bytes, others, checksums, .. } = self;
        let mut sum = Checksum::default();
        for (name, number) in [("files", files), ("bytes", bytes), ("others", others)] {
            sum.add(XxHash3_64::oneshot(name.as_bytes()), &number.to_le_bytes());
        }
        for (name, checksum) in checksums {
            sum.add(XxHash3_64::oneshot(name.as_bytes()), &checksum.0.to_le_bytes());
        }
        sum.into()
    }
}

impl From<Checksum> for String {
    fn from(sum: Checksum) -> String {
        format!("{:016x}", sum.0)
    }
}

impl TryFrom<String> for Checksum {
    type Error = std::num::ParseIntError;

    fn try_from(hex: String) -> Result<Checksum, Self::Error> {
        u64::from_str_radix(&hex, 16).map(Checksum)
    }
}

/// In what two runs over one tree differ, among what both were asked; empty: in nothing.
pub fn differences(a: &Answers, b: &Answers) -> Vec<String> {
    let counts = [("files", a.files, b.files), ("bytes", a.bytes, b.bytes), ("others", a.others, b.others)];
    let counts = counts.into_iter().filter(|(_, a, b)| a != b).map(|(name, ..)| name.to_owned());
    let both = a.checksums.iter().filter_map(|(name, sum)| Some((name, sum, b.checksums.get(name)?)));
    let mut all: Vec<String> = counts.collect();
    for (name, a, b) in both {
        if a != b && !all.contains(name) {
            all.push(name.clone());
        }
    }
    all
}

/// What `before` answered and `now` does not.
pub(crate) fn unanswered(before: &Answers, now: &Answers) -> Vec<String> {
    before.checksums.keys().filter(|name| !now.checksums.contains_key(*name)).cloned().collect()
}

/// The answers in a report of JSON lines, whose checksums are over the values as they are written there: to be compared
/// with those of another report alone.
#[derive(Debug, Default)]
pub(crate) struct OfReport {
    answers: Answers,
    is_complete: bool,
    wrong: Option<String>,
}

impl OfReport {
    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if line.is_empty() || self.wrong.is_some() {
            return;
        }
        match serde_json::from_slice(line) {
            Ok(record) => self.record(&record),
            Err(error) => self.wrong = Some(format!("is no report of JSON lines: {error}")),
        }
    }

    fn record(&mut self, record: &serde_json::Map<String, serde_json::Value>) {
        match record.get("type").and_then(|kind| kind.as_str()).unwrap_or_default() {
            "file" => self.answers.files += 1,
            "skipped" => self.answers.others += 1,
            "error" => {
                self.answers.others += 1;
                self.answers.unread += 1;
            }
            "end" => {
                self.is_complete = true;
                return;
            }
            _ => return,
        }
        let path = record.get("path").map(ToString::to_string).unwrap_or_default();
        let path = XxHash3_64::oneshot(path.as_bytes());
        self.answers.bytes += record.get("size").and_then(|size| size.as_u64()).unwrap_or(0);
        for (key, value) in record.iter().filter(|(key, _)| !NO_ANSWERS.contains(&key.as_str())) {
            self.answers.checksums.entry(key.clone()).or_default().add(path, value.to_string().as_bytes());
        }
    }

    /// The answers, when the report is over.
    ///
    /// # Errors
    /// When it was no report, or was cut short.
    pub(crate) fn into_answers(self) -> Result<Answers, String> {
        match self.wrong {
            Some(wrong) => Err(wrong),
            None if !self.is_complete => Err("gave a report without an end".to_owned()),
            None => Ok(self.answers),
        }
    }
}

/// The sink that makes [`Answers`].
#[derive(Debug, Default)]
pub struct Collect {
    answers: Answers,
    /// Of `size`, then of the columns.
    sums: Vec<Checksum>,
    others: Checksum,
    columns: Vec<&'static str>,
    /// What paths begin with that a copy elsewhere would not.
    root: Vec<u8>,
    path: Vec<u8>,
}

impl Collect {
    /// The answers, once the run is over.
    pub fn into_answers(self) -> Answers {
        let mut answers = self.answers;
        let names = std::iter::once("size").chain(self.columns);
        answers.checksums = names.map(str::to_owned).zip(self.sums).collect();
        answers.checksums.insert("others".to_owned(), self.others);
        answers
    }
}

impl Sink for Collect {
    fn begin(&mut self, plan: &Plan, _: SystemTime) -> io::Result<()> {
        let columns: Vec<_> = plan.columns().iter().map(|column| column.name).collect();
        let root = if let [root] = &plan.roots[..] { root.shown().to_vec() } else { Vec::new() };
        *self = Collect {
            sums: vec![Checksum::default(); columns.len() + 1],
            columns,
            root,
            ..Collect::default()
        };
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.path.clear();
        record.path_to(&mut self.path);
        let relative = self.path.strip_prefix(self.root.as_slice()).unwrap_or(&self.path);
        let path = XxHash3_64::oneshot(relative.strip_prefix(b"/").unwrap_or(relative));
        match &record.outcome {
            Outcome::Done { size, .. } => {
                self.answers.files += 1;
                self.answers.bytes += size;
                self.sums[0].add(path, &size.to_le_bytes());
                for (sum, value) in self.sums[1..].iter_mut().zip(record.values) {
                    add_value(sum, path, value);
                }
            }
            Outcome::Skipped(reason) => {
                self.answers.others += 1;
                self.others.add(path, reason.name().as_bytes());
            }
            Outcome::Failed(error) => {
                self.answers.others += 1;
                self.answers.unread += 1;
                self.others.add(path, error.cause.name().as_bytes());
            }
            Outcome::Unread | Outcome::Listed => {}
        }
        Ok(())
    }
}

fn add_value(sum: &mut Checksum, path: u64, value: &Value) {
    match value {
        Value::Null => sum.add(path, b"null"),
        Value::U64(number) => sum.add(path, &number.to_le_bytes()),
        // No zero below zero: what rounds to nothing has one form.
        Value::F64(number) => {
            let rounded = (number * PARTS_OF_ONE).round() + 0.0;
            sum.add(path, &rounded.to_bits().to_le_bytes());
        }
        Value::Bool(truth) => sum.add(path, &[u8::from(*truth)]),
        Value::Text(text) => sum.add(path, text.as_bytes()),
        Value::Digest(digest) => sum.add(path, digest.as_bytes()),
        Value::Sketch(sketch) => {
            let bytes: Vec<u8> = sketch.iter().flat_map(|number| number.to_le_bytes()).collect();
            sum.add(path, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Cause, FileError, Step};

    fn answers(root: &'static str, records: &[(&str, Outcome, u64)]) -> Answers {
        let mut plan = Plan::new([root]);
        plan.analyses = crate::analyses::parse("lines").expect("it is registered");
        let mut sink = Collect::default();
        sink.begin(&plan, SystemTime::now()).expect("it only counts");
        for (name, outcome, lines) in records {
            let done = matches!(outcome, Outcome::Done { .. });
            let values = if done { vec![Value::U64(*lines)] } else { Vec::new() };
            let record = Record {
                number: 0,
                directory: root.as_bytes(),
                name: name.as_bytes(),
                outcome: *outcome,
                values: &values,
            };
            sink.record(&record).expect("it only counts");
        }
        sink.into_answers()
    }

    const DONE: Outcome = Outcome::done(3, 0);

    #[test]
    fn neither_the_order_nor_the_place_nor_the_times_matter() {
        let later = Outcome::done(3, 77);
        let here = answers("here", &[("a", DONE, 1), ("b", DONE, 2)]);
        assert_eq!(here, answers("there/x", &[("b", later, 2), ("a", DONE, 1)]));
        assert_eq!((here.files, here.bytes, here.others), (2, 6, 0));
    }

    #[test]
    fn whatever_differs_is_named() {
        #[track_caller]
        fn check(other: &[(&str, Outcome, u64)], expected: &[&str]) {
            let one = answers("here", &[("a", DONE, 1), ("b", DONE, 2)]);
            assert_eq!(differences(&one, &answers("here", other)), expected);
        }
        check(&[("a", DONE, 1), ("b", DONE, 2)], &[]);
        check(&[("a", DONE, 2), ("b", DONE, 1)], &["lines"]);
        check(&[("a", DONE, 1), ("c", DONE, 2)], &["lines", "size"]);
        let failed = Outcome::Failed(FileError::new(Step::Stage, Cause::Io));
        check(&[("a", DONE, 1), ("b", failed, 0)], &["files", "bytes", "others", "lines", "size"]);
    }

    #[test]
    fn reports_are_compared_by_what_they_answer() {
        let raw = |lines: &[u8]| {
            let mut report = OfReport::default();
            lines.split(|&byte| byte == b'\n').for_each(|line| report.line(line));
            report.into_answers()
        };
        let of = |lines: &str| {
            let report = format!("{{\"type\":\"begin\"}}\n{lines}\n{{\"type\":\"end\"}}\n");
            raw(report.as_bytes()).expect("it is a report")
        };
        let one = of(r#"{"type":"file","path":"a","size":3,"mtime_ns":5,"lines":1}
{"type":"skipped","path":"b","reason":"fifo"}"#);
        assert_eq!((one.files, one.bytes, one.others), (1, 3, 1));
        let more = of(r#"{"type":"skipped","path":"b","reason":"fifo"}
{"type":"file","path":"a","size":3,"mtime_ns":6,"ctime_ns":7,"mode":420,"settled":true,"lines":1,"words":7}"#);
        assert_eq!(differences(&one, &more), [""; 0]);
        assert_eq!(unanswered(&one, &more), [""; 0]);
        assert_eq!(unanswered(&more, &one), ["words"]);
        let other = of(r#"{"type":"file","path":"a","size":3,"mtime_ns":5,"lines":2}
{"type":"skipped","path":"b","reason":"socket"}"#);
        assert_eq!(differences(&one, &other), ["lines", "reason"]);
        assert_eq!(raw(b"{\"type\":\"begin\"}\n"), Err("gave a report without an end".to_owned()));
        assert!(raw(b"what\n").is_err());
    }

    #[test]
    fn the_last_bits_of_a_logarithm_are_the_systems() {
        let sum = |number: f64| {
            let mut sum = Checksum::default();
            add_value(&mut sum, 1, &Value::F64(number));
            sum
        };
        let entropy = 5.371_284_660_213_7_f64;
        assert_eq!(sum(entropy), sum(entropy.next_up()));
        assert_eq!(sum(-0.0), sum(0.0));
        assert_ne!(sum(entropy), sum(entropy + 1e-6));
    }

    #[test]
    fn they_survive_being_written() {
        let one = answers("here", &[("a", DONE, 1)]);
        let text = serde_json::to_string(&one).expect("it can be written");
        assert_eq!(serde_json::from_str::<Answers>(&text).expect("it can be read"), one);
    }
}
