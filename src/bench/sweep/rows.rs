//! From measurements to rows of a record.

use super::super::measure::Measured;
use super::super::record::RecordRow;
use super::super::statistics::Spread;

/// Figures as far as they mean something: parts of a millionth.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a median of counts")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

/// What a run gave, in a row.
pub(super) fn filled(row: &RecordRow, measured: &Measured) -> RecordRow {
    let Measured { answers, steps, batches, gpus, .. } = measured;
    RecordRow {
        seconds: Some(rounded(measured.seconds)),
        files_per_second: Some(rounded(measured.files_per_second())),
        mb_per_second: Some(rounded(answers.bytes as f64 / 1e6 / measured.seconds)),
        files: Some(answers.files),
        bytes: Some(answers.bytes),
        error_rate: Some(rounded(measured.failed as f64 / (measured.met as f64).max(1.0))),
        walk_seconds: Some(rounded(steps.walk_seconds)),
        stage_seconds: Some(rounded(steps.stage_seconds)),
        analyse_seconds: Some(rounded(steps.analyse_seconds)),
        sink_seconds: Some(rounded(steps.sink_seconds)),
        workers_waited_seconds: Some(rounded(steps.workers_waited_seconds)),
        batches: Some(batches.count),
        batch_p50_seconds: batches.p50_seconds.map(rounded),
        batch_p95_seconds: batches.p95_seconds.map(rounded),
        batch_p99_seconds: batches.p99_seconds.map(rounded),
        batch_p999_seconds: batches.p999_seconds.map(rounded),
        cpu_seconds: measured.cpu_seconds,
        peak_memory_bytes: measured.peak_memory_bytes,
        gpu_files: gpus.as_ref().map(|gpus| gpus.files),
        gpu_bytes: gpus.as_ref().map(|gpus| gpus.bytes),
        gpu_busy_seconds: gpus.as_ref().map(|gpus| rounded(gpus.busy_seconds)),
        note: told(measured),
        ..row.clone()
    }
}

/// What was done otherwise than asked for, and why a GPU was not used for all, in a line.
fn told(measured: &Measured) -> String {
    let left_out = measured.gpus.as_ref().map(|gpus| &gpus.left_out).filter(|why| !why.is_empty());
    let notes: Vec<&str> = measured.notes.iter().chain(left_out).map(String::as_str).collect();
    notes.join("; ").replace('\n', " ")
}

/// The median of each figure.
pub(super) fn summed_up(row: RecordRow, samples: &[RecordRow], rate: &Spread) -> RecordRow {
    let median = |of: fn(&RecordRow) -> Option<f64>| {
        let numbers: Vec<f64> = samples.iter().filter_map(of).collect();
        (!numbers.is_empty()).then(|| rounded(Spread::of(&numbers).median))
    };
    let most = |of: fn(&RecordRow) -> Option<u64>| samples.iter().filter_map(of).max();
    let measured = |figure: f64| (rate.count > 0).then_some(rounded(figure));
    RecordRow {
        seconds: median(|row| row.seconds),
        files_per_second: measured(rate.median),
        files_per_second_low: measured(rate.interval.low),
        files_per_second_high: measured(rate.interval.high),
        variation: measured(rate.variation),
        mb_per_second: median(|row| row.mb_per_second),
        files: most(|row| row.files),
        bytes: most(|row| row.bytes),
        error_rate: median(|row| row.error_rate),
        walk_seconds: median(|row| row.walk_seconds),
        stage_seconds: median(|row| row.stage_seconds),
        analyse_seconds: median(|row| row.analyse_seconds),
        sink_seconds: median(|row| row.sink_seconds),
        workers_waited_seconds: median(|row| row.workers_waited_seconds),
        batches: most(|row| row.batches),
        batch_p50_seconds: median(|row| row.batch_p50_seconds),
        batch_p95_seconds: median(|row| row.batch_p95_seconds),
        batch_p99_seconds: median(|row| row.batch_p99_seconds),
        batch_p999_seconds: median(|row| row.batch_p999_seconds),
        cpu_seconds: median(|row| row.cpu_seconds),
        peak_memory_bytes: most(|row| row.peak_memory_bytes),
        ram_disk_bytes: most(|row| row.ram_disk_bytes),
        gpu_files: median(|row| row.gpu_files.map(|files| files as f64)).map(whole),
        gpu_bytes: median(|row| row.gpu_bytes.map(|bytes| bytes as f64)).map(whole),
        gpu_busy_seconds: median(|row| row.gpu_busy_seconds),
        note: samples
            .iter()
            .map(|row| row.note.as_str())
            .find(|note| !note.is_empty())
            .unwrap_or("")
            .to_owned(),
        ..row
    }
}
