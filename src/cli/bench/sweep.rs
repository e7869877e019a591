//! `filemill bench sweep`: which workers, batches and staging are best here.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::Write;

use filemill::bench::record::{Lines, Record, RecordRow};
use filemill::bench::sweep::{Fate, PointResult, Search, Sweep, SweepResult};
use filemill::bench::{BenchError, CacheState, Point, Shift, Spread};
use filemill::faults::Faults;
use filemill::plan::{Device, Staging, Workers};
use filemill::sink::printable;
use indicatif::{BinaryBytes, DecimalBytes, HumanCount};

use super::super::gates::Rate;
use super::super::outputs::Stdout;
use super::super::summary::short;
use super::super::{Exit, Failure, complain, plans};
use super::flags::{BenchFormat, SearchBy, SweepFlags};
use super::table::table;
use super::{expect_directory, expect_outside, incomplete, print, runner, staging, watched};

/// A table is no longer than a screen.
const ROWS_MAX: usize = 24;

/// Runs the command.
pub(super) fn run(flags: &SweepFlags) -> Result<Exit, Failure> {
    if plans::lists_adapters(&flags.device)? {
        return Ok(Exit::Done);
    }
    expect_directory(&flags.path)?;
    if flags.record.as_deref().is_some_and(|path| path.as_os_str() == "-") {
        return Err(Failure::Usage(
            "rows go to standard output with --format csv, not with --record -".to_owned(),
        ));
    }
    if let Some(record) = &flags.record {
        expect_outside(record, &flags.path)?;
    }
    let sweep = sweep(flags)?;
    sweep.check()?;
    let conditions = sweep.conditions()?;
    let prints_rows = flags.format == BenchFormat::Csv;
    let mut lines = Lines::default();
    watched(&flags.messages, |watched| {
        let (mut record, known) = match (&flags.record, flags.resume) {
            (None, _) => (None, Vec::new()),
            (Some(path), false) => (Some(Record::create(path)?), Vec::new()),
            (Some(path), true) => {
                let (record, known) = Record::resume(path, &conditions)?;
                (Some(record), known)
            }
        };
        if prints_rows {
            known.iter().try_for_each(|row| print_row(&mut lines, row))?;
        }
        let mut write = |row: &RecordRow| {
            if let Some(record) = &mut record {
                record.write(row)?;
            }
            let printed = if prints_rows { watched.above(|| print_row(&mut lines, row)) } else { Ok(()) };
            match printed {
                // The record is read by somebody else.
                Err(BenchError::File { source, .. })
                    if source.kind() == std::io::ErrorKind::BrokenPipe && record.is_some() =>
                {
                    Ok(())
                }
                printed => printed,
            }
        };
        let result = sweep.run(&known, &mut write, &watched.watch())?;
        watched.clear();
        if !prints_rows {
            print(&shown(&sweep, &result, &conditions))?;
        }
        if result.cancelled {
            complain(&match &flags.record {
                Some(path) => {
                    let path = path.display();
                    format!("interrupted: what was measured is in {path}, and --resume goes on with it")
                }
                None => "interrupted; with --record FILE it could go on another time".to_owned(),
            });
            return Ok(Exit::Done);
        }
        verdict(flags, &result)
    })
}

fn print_row(lines: &mut Lines, row: &RecordRow) -> Result<(), BenchError> {
    let mut write = || Stdout::new(&Faults::default())?.write_all(&lines.of(row)?);
    write().map_err(|source| BenchError::File { path: "standard output".into(), source })
}

/// What the flags mean.
fn sweep(flags: &SweepFlags) -> Result<Sweep, Failure> {
    let cores = filemill::plan::cores();
    let mut workers = flags.workers.clone();
    if workers.is_empty() {
        let numbers = [1, cores, 2 * cores, 4 * cores, 8 * cores];
        workers = numbers.into_iter().map(Workers::Number).collect();
        workers.push(Workers::Auto);
    }
    Ok(Sweep {
        path: flags.path.clone(),
        analyses: flags.analyses.clone(),
        workers,
        batch_files: flags.batch_files.iter().map(|&files| files as usize).collect(),
        stages: flags.stage.iter().map(|&stage| staging(stage)).collect(),
        devices: flags.device.clone(),
        gpu_memory_bytes: flags.gpu_memory.unwrap_or(Point::default().gpu_memory_bytes),
        search: match flags.search {
            SearchBy::Auto => Search::Auto,
            SearchBy::Full => Search::Full,
            SearchBy::Halving => Search::Halving,
        },
        repetitions: usize::from(flags.repetitions),
        seed: flags.seed,
        cache: if flags.cold { CacheState::Cold } else { CacheState::Warm },
        memory_bytes_max: flags.memory,
        ram_disk_directory: flags.ram_disk.clone(),
        runner: runner()?,
    })
}

fn shown(sweep: &Sweep, result: &SweepResult, conditions: &RecordRow) -> String {
    let mut text = String::new();
    if let Some(answers) = &result.answers {
        let (files, bytes) = (HumanCount(answers.files), DecimalBytes(answers.bytes));
        let cache = sweep.cache.name();
        text.push_str(&format!("{files} files, {bytes}, {cache} cache, -a {}\n", sweep.analyses));
    }
    let RecordRow { cpu, cores, kernel, file_system, .. } = conditions;
    text.push_str(&format!("{cpu}, {cores} cores, {kernel}, {file_system}\n"));
    if let Some((seconds, bytes)) = result.ram_disk {
        text.push_str(&format!("RAM disk: {} loaded in {seconds:.2} s, once\n", DecimalBytes(bytes)));
    }
    text.push_str(&format!("\n{}", rows(result)));
    text.push_str(&unmeasured(result));
    if result.drift > DRIFT_TOLD {
        text.push_str(&format!(
            "\nThe machine was up to {:.1} times slower in some rounds than in others: points are compared within rounds, rates of \
             points with fewer runs say little.\n",
            result.drift
        ));
    }
    let Some(best) = result.best else {
        text.push_str(if result.has_tree_changed {
            "\nno best: the tree changed while it was measured\n"
        } else {
            "\nno point was measured yet\n"
        });
        return text;
    };
    text.push_str(&format!("\nbest: {}", sentence(sweep, &result.points[best])));
    if let Some(in_place) = result.best_in_place.filter(|in_place| *in_place != best) {
        text.push_str(&format!("of the tree as it lies: {}", sentence(sweep, &result.points[in_place])));
    }
    text
}

/// The machine's speed in its fastest round over that in its slowest: beyond this it is told.
const DRIFT_TOLD: f64 = 1.25;
/// On narrower terminals some columns are left out.
const WIDTH_MIN: u16 = 128;

/// Where the device of a point stands, after how files are reached.
const DEVICE_COLUMN: usize = 4;

/// The points that were measured to the end, the fastest first; below them those that were left behind.
fn rows(result: &SweepResult) -> String {
    // Where the processor answers in all of them, nothing is said of devices.
    let tells_device = result.points.iter().any(|point| point.point.device != Device::Cpu);
    let mut heading = vec![
        "",
        "workers",
        "batch",
        "stage",
        "files/s",
        "from",
        "to",
        "gain",
        "runs",
        "batch p50",
        "p99",
        "MB/s",
        "cv",
        "cpu",
        "memory",
    ];
    if tells_device {
        heading.insert(DEVICE_COLUMN, "device");
    }
    let (rows, columns) = (console::Term::stdout().size_checked(), heading.len());
    let columns = if rows.is_some_and(|(_, width)| width < WIDTH_MIN) { columns - 4 } else { columns };
    let measured: Vec<(usize, &PointResult)> =
        result.points.iter().enumerate().filter(|(_, point)| point.rate.count > 0).collect();
    let (mut last, mut behind): (Vec<_>, Vec<_>) =
        measured.into_iter().partition(|(_, point)| point.fate != Fate::Behind);
    let gain = |point: &PointResult| point.gain.map_or(f64::NEG_INFINITY, |gain| gain.estimate);
    last.sort_by(|a, b| gain(b.1).total_cmp(&gain(a.1)));
    behind.sort_by(|a, b| {
        (b.1.rate.count, b.1.rate.median)
            .partial_cmp(&(a.1.rate.count, a.1.rate.median))
            .unwrap_or(Ordering::Equal)
    });
    let others = (last.len() + behind.len()).saturating_sub(ROWS_MAX);
    let rows: Vec<Vec<String>> = last
        .into_iter()
        .chain(behind)
        .take(ROWS_MAX)
        .map(|(at, point)| {
            let mut cells = cells(point, result.best == Some(at));
            if tells_device {
                cells.insert(DEVICE_COLUMN, point.point.device.to_string());
            }
            cells[..columns].to_vec()
        })
        .collect();
    let mut text = table(&heading[..columns], &rows, 1);
    if others > 0 {
        text.push_str(&format!("{others} other points: --format csv and --record have all\n"));
    }
    text.push_str(
        "\nfrom, to: where the median lies, with a confidence of 95 %; gain: over the defaults of scan, in the same rounds; none: left \
         behind\nearlier; batch: half of the batches, and 99 of 100, took so long; cv: standard deviation over mean; *: of the \
         fastest, within 1 %,\nthe one with the fewest workers and the smallest batches\n",
    );
    text
}

fn cells(result: &PointResult, is_best: bool) -> Vec<String> {
    let PointResult { point, rate, row, gain, .. } = result;
    let count = |number: f64| HumanCount(whole(number)).to_string();
    let time = |seconds: Option<f64>| {
        seconds.map_or_else(String::new, |seconds| short(std::time::Duration::from_secs_f64(seconds)))
    };
    let Spread { median, interval, variation, .. } = rate;
    vec![
        if is_best { "*" } else { "" }.to_owned(),
        point.workers_name(),
        HumanCount(point.batch_files as u64).to_string(),
        point.stage_name().to_owned(),
        count(*median),
        count(interval.low),
        count(interval.high),
        gain.map_or_else(String::new, |gain| percent(gain.estimate)),
        rate.count.to_string(),
        time(row.batch_p50_seconds),
        time(row.batch_p99_seconds),
        count(row.mb_per_second.unwrap_or(0.0)),
        format!("{:.1} %", 100.0 * variation),
        time(row.cpu_seconds),
        row.peak_memory_bytes.map_or_else(String::new, |bytes| BinaryBytes(bytes).to_string()),
    ]
}

/// A gain, from its logarithm.
fn percent(logarithm: f64) -> String {
    format!("{:+.1} %", 100.0 * (logarithm.exp() - 1.0))
}

/// Points that were not measured, by reason, and those that failed.
fn unmeasured(result: &SweepResult) -> String {
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut text = String::new();
    for point in &result.points {
        match &point.fate {
            Fate::Skipped(why) => *skipped.entry(why).or_default() += 1,
            Fate::Failed(why) => {
                let failed = console::style("failed").red().bold();
                text.push_str(&format!("{failed}: {}: {why}\n", settings(&point.point, false)));
            }
            Fate::Ran | Fate::Behind => {}
        }
    }
    for (why, count) in skipped {
        let points = if count == 1 { "point" } else { "points" };
        text.push_str(&format!("{count} {points} not measured: {why}\n"));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// What a point reached, whether that is more than the defaults do, and the line to type.
fn sentence(sweep: &Sweep, result: &PointResult) -> String {
    let Spread { median, interval, .. } = &result.rate;
    let rates = format!(
        "{} files/s ({} to {})",
        HumanCount(whole(*median)),
        HumanCount(whole(interval.low)),
        HumanCount(whole(interval.high))
    );
    let gain = match result.gain {
        _ if result.point.is_default() => {
            ": the defaults of scan; no other point is faster as far as can be measured".to_owned()
        }
        // One that the defaults cannot be compared with, as they are not among the points that count.
        Some(Shift { interval, .. }) if interval.low <= 0.0 => {
            ", not surely more than the defaults".to_owned()
        }
        Some(Shift { estimate, interval }) => {
            let (low, high) = (percent(interval.low), percent(interval.high));
            format!(", {} over the defaults of scan (from {low} to {high})", percent(estimate))
        }
        None => String::new(),
    };
    let path = printable(sweep.path.as_os_str().as_encoded_bytes());
    let (place, note) = if result.point.stage == Staging::RamDisk {
        ("COPY".to_owned(), ", when the tree is copied to a RAM disk first")
    } else {
        (path, "")
    };
    format!(
        "{rates}{gain}{note}\n    filemill scan -a {} {} {place}\n",
        sweep.analyses,
        settings(&result.point, may_use_gpu(&sweep.analyses))
    )
}

/// Whether a scan with these analyses may use a GPU unless it is told not to.
fn may_use_gpu(analyses: &str) -> bool {
    filemill::analyses::parse(analyses)
        .is_ok_and(|analyses| analyses.iter().any(|analysis| analysis.kernel().is_some()))
}

/// As it would be typed; with the device where it is not the processor, or `tells_device`.
fn settings(point: &Point, tells_device: bool) -> String {
    let (workers, batch_files) = (point.workers_name(), point.batch_files);
    // What lies on a RAM disk is read there.
    let stage = if point.stage == Staging::RamDisk { "read" } else { point.stage_name() };
    let mut text = format!("-j {workers} --batch-files {batch_files} --stage {stage}");
    match &point.device {
        Device::Cpu if !tells_device => return text,
        Device::Named(name) => {
            text.push_str(&format!(" --device='{}'", printable(name.replace('\'', "'\\''").as_bytes())));
        }
        device => text.push_str(&format!(" --device {device}")),
    }
    if point.device != Device::Cpu && point.gpu_memory_bytes != Point::default().gpu_memory_bytes {
        text.push_str(&format!(" --gpu-memory {}", point.gpu_memory_bytes));
    }
    text
}

/// Whether the target is met, and nothing failed.
fn verdict(flags: &SweepFlags, result: &SweepResult) -> Result<Exit, Failure> {
    let failed = result.points.iter().filter(|point| matches!(point.fate, Fate::Failed(_))).count();
    if failed > 0 {
        let points = if failed == 1 { "point" } else { "points" };
        let why = if result.has_tree_changed { ": the tree changed while it was measured" } else { "" };
        complain(&format!("{failed} {points} failed{why}"));
    }
    if result.has_tree_changed {
        return Ok(Exit::Incomplete);
    }
    let unread = result.unread;
    let Some(target) = flags.target else {
        return Ok(if failed == 0 { incomplete(unread) } else { Exit::Incomplete });
    };
    let best = result.best.map(|best| &result.points[best]);
    let rate = |of: fn(&PointResult) -> f64| best.map_or(0.0, of);
    let (found, asked, unit) = match target {
        Rate::Files(asked) => (rate(|best| best.rate.median), asked, "files/s"),
        Rate::Bytes(asked) => (rate(|best| best.row.mb_per_second.unwrap_or(0.0) * 1e6), asked, "B/s"),
    };
    let is_met = found >= asked;
    let verdict = if is_met { "met" } else { "missed" };
    let (found_shown, asked_shown) = (HumanCount(whole(found)), HumanCount(whole(asked)));
    if !is_met || !flags.messages.quiet {
        complain(&format!(
            "target {verdict}: {found_shown} {unit} of {asked_shown} {unit}, {:.2} times",
            found / asked
        ));
    }
    Ok(match is_met {
        false => Exit::GateFailed,
        true if failed > 0 => Exit::Incomplete,
        true => incomplete(unread),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "figures for display")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_where_a_scan_would_take_another() {
        #[track_caller]
        fn check(device: &str, gpu_memory_bytes: u64, tells_device: bool, expected: &str) {
            let device = device.parse().expect("it is one");
            let point = Point { workers: Workers::Number(2), device, gpu_memory_bytes, ..Point::default() };
            assert_eq!(
                settings(&point, tells_device),
                format!("-j 2 --batch-files 256 --stage auto{expected}")
            );
        }
        check("cpu", 500_000_000, false, "");
        check("cpu", 250_000_000, true, " --device cpu");
        check("auto", 500_000_000, false, " --device auto");
        check("gpu", 250_000_000, false, " --device gpu --gpu-memory 250000000");
        check("Made-up 9", 500_000_000, false, " --device='Made-up 9'");
        assert!(!may_use_gpu("light"));
    }
}
