//! Gates: what a run has to reach, or its exit code says that it did not.

use std::time::Duration;

use clap::Args;
use filemill::report::Report;
use indicatif::{DecimalBytes, HumanCount, HumanFloatCount};

use super::size::unit_bytes;
use super::summary::short;

/// The gates of a run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Gates {
    /// End with code 1 where less is read in a second, e.g. 7000f/s (files) or 500MB/s. Repeatable
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Gates")]
    fail_below: Vec<Rate>,

    /// End with code 1 where batches take longer, e.g. p99=5ms or max=1s. Repeatable
    #[arg(long, value_name = "QUANTILE=DURATION", value_parser = parse_latency, help_heading = "Gates")]
    fail_latency: Vec<Latency>,
}

/// The least that is to be read in a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rate {
    Files(f64),
    Bytes(f64),
}

/// The longest that a share of the batches may take.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Latency {
    quantile: Quantile,
    limit: Duration,
}

/// Of which batch it is asked how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantile {
    /// The one that so many percent of them did not exceed.
    Percent(f64),
    /// The longest.
    Max,
}

impl Gates {
    /// What the run did not reach, a message each.
    pub(crate) fn failed(&self, report: &Report) -> Vec<String> {
        let below = self.fail_below.iter().filter_map(|rate| rate.failed(report));
        below.chain(self.fail_latency.iter().filter_map(|latency| latency.failed(report))).collect()
    }
}

impl Rate {
    fn failed(self, report: &Report) -> Option<String> {
        if report.ledger.done == 0 {
            return Some("no file was read, so there is no rate to hold against --fail-below".to_owned());
        }
        let (rate, limit) = match self {
            Rate::Files(limit) => (report.files_per_second(), limit),
            Rate::Bytes(limit) => (report.bytes_per_second(), limit),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates for display")]
        let (rate_shown, limit_shown) = match self {
            Rate::Files(_) => told_apart(
                rate,
                limit,
                |files| format!("{} files/s", HumanCount(files as u64)),
                |files| format!("{} files/s", HumanFloatCount(files)),
            ),
            Rate::Bytes(_) => told_apart(
                rate,
                limit,
                |bytes| format!("{}/s", DecimalBytes(bytes as u64)),
                |bytes| format!("{} B/s", HumanFloatCount(bytes)),
            ),
        };
        (rate < limit).then(|| format!("{rate_shown} is below the {limit_shown} of --fail-below"))
    }
}

impl Latency {
    fn failed(self, report: &Report) -> Option<String> {
        let (name, time) = match self.quantile {
            Quantile::Percent(percent) => (format!("p{percent}"), report.batches.quantile(percent / 100.0)),
            Quantile::Max => ("max".to_owned(), report.batches.max()),
        };
        let Some(time) = time else {
            return Some(format!("there was no batch, so there is no {name} to hold against --fail-latency"));
        };
        let (time_shown, limit_shown) = told_apart(time, self.limit, short, |time| format!("{time:?}"));
        (time > self.limit).then(|| {
            format!("{time_shown} ({name} of the batches) is above the {limit_shown} of --fail-latency")
        })
    }
}

/// Two numbers in short; in full where they would look the same.
fn told_apart<T: Copy>(
    one: T,
    other: T,
    short: impl Fn(T) -> String,
    full: impl Fn(T) -> String,
) -> (String, String) {
    let (one_short, other_short) = (short(one), short(other));
    if one_short == other_short { (full(one), full(other)) } else { (one_short, other_short) }
}

/// Parses a rate: `7000f/s`, `7000 files/s`, `1.5 GiB/s`.
pub(super) fn parse_rate(typed: &str) -> Result<Rate, String> {
    const UNITS: &str = "use f/s, or a size as in MB/s and GiB/s";
    let (number, unit) = split_number(typed, "a rate")?;
    let Some(unit) = unit.strip_suffix("/s").map(str::trim_end) else {
        return Err(if unit.is_empty() { format!("it has no unit: {UNITS}") } else { unknown(unit, UNITS) });
    };
    let rate = match unit.to_ascii_lowercase().as_str() {
        "" => return Err(format!("it does not say of what: {UNITS}")),
        "f" | "file" | "files" => Rate::Files(number),
        _ => {
            Rate::Bytes(number * unit_bytes(unit).ok_or_else(|| unknown(&format!("{unit}/s"), UNITS))? as f64)
        }
    };
    match rate {
        Rate::Files(number) | Rate::Bytes(number) if number.is_infinite() => {
            Err("more than any machine can do".to_owned())
        }
        Rate::Files(number) | Rate::Bytes(number) if number <= 0.0 => Err("must be above 0".to_owned()),
        rate => Ok(rate),
    }
}

/// Parses a limit of a quantile: `p50=800us`, `p99.9=20ms`, `max=1s`.
fn parse_latency(typed: &str) -> Result<Latency, String> {
    let (quantile, limit) = typed.split_once('=').ok_or("it has no '='")?;
    Ok(Latency { quantile: parse_quantile(quantile.trim())?, limit: parse_duration(limit)? })
}

fn parse_quantile(typed: &str) -> Result<Quantile, String> {
    let refuse = || format!("{typed:?} is no quantile: use p50, p99, p99.9 and the like, or max");
    if typed == "max" {
        return Ok(Quantile::Max);
    }
    let digits = typed.strip_prefix('p').filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()));
    match digits.ok_or_else(refuse)?.parse() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Quantile::Percent(percent)),
        _ => Err(refuse()),
    }
}

fn parse_duration(typed: &str) -> Result<Duration, String> {
    const UNITS: &str = "use ns, us, ms or s";
    let (number, unit) = split_number(typed, "a duration")?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "" => return Err(format!("it has no unit: {UNITS}")),
        "ns" => number / 1e9,
        "us" | "µs" | "μs" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ => return Err(unknown(unit, UNITS)),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err("must be above 0".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("longer than any run can take".to_owned()),
    }
}

/// A number as people type it, and the unit behind it.
fn split_number<'t>(typed: &'t str, what: &str) -> Result<(f64, &'t str), String> {
    let typed = typed.trim();
    let split = typed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(typed.len());
    let (number, unit) = typed.split_at(split);
    match number.parse() {
        Ok(number) => Ok((number, unit.trim_start())),
        Err(_) if unit.starts_with('-') => Err("must be above 0".to_owned()),
        Err(_) if number.is_empty() => Err(format!("{what} begins with a number")),
        Err(_) => Err(format!("{number:?} is not a number")),
    }
}

fn unknown(unit: &str, known: &str) -> String {
    format!("unknown unit {unit:?}: {known}")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use filemill::latencies::Latencies;
    use filemill::record::Outcome;
    use filemill::report::{Ledger, Staged, StepTimes};

    use super::*;

    #[test]
    fn rates_of_files_and_of_bytes() {
        #[track_caller]
        fn check(typed: &str, expected: Result<Rate, &str>) {
            assert_eq!(parse_rate(typed), expected.map_err(str::to_owned));
        }
        check("7000f/s", Ok(Rate::Files(7000.0)));
        check("7000 files/s", Ok(Rate::Files(7000.0)));
        check(" 1 file/s ", Ok(Rate::Files(1.0)));
        check("0.5 F/s", Ok(Rate::Files(0.5)));
        check("500MB/s", Ok(Rate::Bytes(5e8)));
        check("2GiB/s", Ok(Rate::Bytes(2_147_483_648.0)));
        check("1.5 kb/s", Ok(Rate::Bytes(1500.0)));
        check("10B/s", Ok(Rate::Bytes(10.0)));
        const UNITS: &str = "use f/s, or a size as in MB/s and GiB/s";
        check("7000", Err(&format!("it has no unit: {UNITS}")));
        check("7000/s", Err(&format!("it does not say of what: {UNITS}")));
        check("7000 files", Err(&format!("unknown unit \"files\": {UNITS}")));
        check("7000 dirs/s", Err(&format!("unknown unit \"dirs/s\": {UNITS}")));
        check("7e3 f/s", Err(&format!("unknown unit \"e3 f/s\": {UNITS}")));
        check("0f/s", Err("must be above 0"));
        check("0.0MB/s", Err("must be above 0"));
        check("-5f/s", Err("must be above 0"));
        check("NaN f/s", Err("a rate begins with a number"));
        check("inf MB/s", Err("a rate begins with a number"));
        check("", Err("a rate begins with a number"));
        check("1.2.3 f/s", Err("\"1.2.3\" is not a number"));
        check(&format!("1{} f/s", "0".repeat(400)), Err("more than any machine can do"));
        check(&format!("1{} TiB/s", "0".repeat(300)), Err("more than any machine can do"));
    }

    #[test]
    fn limits_of_quantiles() {
        #[track_caller]
        fn check(typed: &str, expected: Result<(Quantile, Duration), &str>) {
            let expected = expected.map(|(quantile, limit)| Latency { quantile, limit });
            assert_eq!(parse_latency(typed), expected.map_err(str::to_owned));
        }
        check("p50=800us", Ok((Quantile::Percent(50.0), Duration::from_micros(800))));
        check("p99=5ms", Ok((Quantile::Percent(99.0), Duration::from_millis(5))));
        check("p99.9 = 20 ms", Ok((Quantile::Percent(99.9), Duration::from_millis(20))));
        check("p100=1.5s", Ok((Quantile::Percent(100.0), Duration::from_millis(1500))));
        check("max=250ns", Ok((Quantile::Max, Duration::from_nanos(250))));
        check("max=3µs", Ok((Quantile::Max, Duration::from_micros(3))));
        for typed in ["", "p", "p0", "p101", "p-1", "p+5", "pNaN", "pinf", "99", "mean", "MAX"] {
            let expected = format!("{typed:?} is no quantile: use p50, p99, p99.9 and the like, or max");
            check(&format!("{typed}=1s"), Err(&expected));
        }
        check("p99", Err("it has no '='"));
        check("p99=5", Err("it has no unit: use ns, us, ms or s"));
        check("p99=5 min", Err("unknown unit \"min\": use ns, us, ms or s"));
        check("p99=0ms", Err("must be above 0"));
        check("p99=0.1ns", Err("must be above 0"));
        check("p99=-1ms", Err("must be above 0"));
        check("p99=", Err("a duration begins with a number"));
        check("p99=NaNms", Err("a duration begins with a number"));
        check(&format!("p99={}s", "9".repeat(30)), Err("longer than any run can take"));
    }

    /// A run that took two seconds for files of 1 MB each.
    fn report(files: u64, batches: &[Duration]) -> Report {
        let mut ledger = Ledger::default();
        ledger.met = files;
        let done = Outcome::Done {
            size: 1_000_000,
            mtime_ns: 0,
            identity: Default::default(),
            mode: 0,
            is_sparse: false,
            keep: Default::default(),
        };
        (0..files).for_each(|_| ledger.count(&done));
        let mut times = Latencies::new();
        batches.iter().for_each(|time| times.record(*time));
        Report {
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::from_secs(2),
            ledger,
            directories: 1,
            directories_failed: 0,
            filtered: 0,
            steps: StepTimes::default(),
            batches: times,
            staged: Staged::default(),
            gpus: Vec::new(),
            walkers: 1,
            workers: 1,
            moves: Vec::new(),
            peak_memory_bytes: None,
            duplicates: None,
            notes: Vec::new(),
            cancelled: false,
        }
    }

    #[test]
    fn a_gate_that_is_not_reached_is_told_with_both_numbers() {
        #[track_caller]
        fn check(report: &Report, below: &[&str], latency: &[&str], expected: &[&str]) {
            let gates = Gates {
                fail_below: below.iter().map(|typed| parse_rate(typed).expect("a rate")).collect(),
                fail_latency: latency.iter().map(|typed| parse_latency(typed).expect("a limit")).collect(),
            };
            assert_eq!(gates.failed(report), expected);
        }
        let times: Vec<_> = (1..=100).map(|i| Duration::from_millis(1) * i).collect();
        let read = report(10_024, &times);
        check(&read, &[], &[], &[]);
        check(&read, &["5012f/s", "5GB/s"], &["p50=51ms", "p99.5=101ms", "max=100ms"], &[]);
        let files = "5,012 files/s is below the 7,000 files/s of --fail-below";
        let bytes = "5.01 GB/s is below the 6.00 GB/s of --fail-below";
        check(&read, &["7000f/s", "6GB/s"], &[], &[files, bytes]);
        check(&read, &["5012.5f/s"], &[], &["5,012 files/s is below the 5,012.5 files/s of --fail-below"]);
        let near = "5,012,000,000 B/s is below the 5,012,000,100 B/s of --fail-below";
        check(&read, &["5012000100B/s"], &[], &[near]);
        let max = "100.0 ms (max of the batches) is above the 99.0 ms of --fail-latency";
        check(&read, &["1f/s"], &["p50=1s", "max=99ms"], &[max]);
        check(
            &read,
            &[],
            &["max=99.99ms"],
            &["100ms (max of the batches) is above the 99.99ms of --fail-latency"],
        );
        let p99 = "100.0 ms (p99.9 of the batches) is above the 1 µs of --fail-latency";
        check(&read, &[], &["p99.9=1us"], &[p99]);
    }

    #[test]
    fn what_was_not_read_reaches_no_gate() {
        let gates = Gates {
            fail_below: vec![Rate::Files(1.0)],
            fail_latency: vec![parse_latency("p99=1s").expect("a limit")],
        };
        let expected = [
            "no file was read, so there is no rate to hold against --fail-below",
            "there was no batch, so there is no p99 to hold against --fail-latency",
        ];
        assert_eq!(gates.failed(&report(0, &[])), expected);
    }
}
