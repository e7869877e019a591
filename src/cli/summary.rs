//! The summary for people: what `scan` prints when nothing else is asked for.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use console::{Alignment, measure_text_width, pad_str, style};
use filemill::latencies::Latencies;
use filemill::plan::Plan;
use filemill::record::Record;
use filemill::report::{GpuUse, RateUnit, Report, Staged, Volume};
use filemill::sink::{Extension, Kind, Sink, Totals, printable};
use indicatif::{DecimalBytes, HumanCount};

use super::progress::Progress;

/// Lines of each table; what does not fit is summed up in one more.
const ROWS_MAX: usize = 8;
const BAR_CELLS: usize = 24;
const NAME_CELLS_MAX: usize = 52;
/// Narrower than this is treated as this.
pub(super) const WIDTH_MIN: usize = 40;

/// Sums up a run, and writes the summary at its end.
pub(crate) struct Summary<'s, W> {
    writer: W,
    totals: Totals,
    asked: Vec<&'static str>,
    /// Whether it is for the terminal that standard output is: as wide as that, and in colours where they are on.
    is_printed: bool,
    progress: &'s Progress,
}

impl<'s, W: Write> Summary<'s, W> {
    /// A summary for `writer`, which is standard output where `is_printed`. It is written above the progress.
    pub(crate) fn new(writer: W, is_printed: bool, progress: &'s Progress) -> Summary<'s, W> {
        Summary { writer, totals: Totals::default(), asked: Vec::new(), is_printed, progress }
    }
}

impl<W: Write> Sink for Summary<'_, W> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.asked = plan.analyses.iter().map(|analysis| analysis.name()).collect();
        self.totals.begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.totals.record(record)
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        let terminal = console::Term::stdout();
        let is_terminal = self.is_printed && terminal.is_term();
        let width = if is_terminal { usize::from(terminal.size().1).max(WIDTH_MIN) } else { usize::MAX };
        let mut text = Vec::new();
        write(&mut text, &self.asked, &self.totals, report, width)?;
        if !self.is_printed {
            text = console::strip_ansi_codes(&String::from_utf8_lossy(&text)).into_owned().into_bytes();
        }
        let mut written = Ok(());
        self.progress.above(|| written = self.writer.write_all(&text).and_then(|()| self.writer.flush()));
        written
    }
}

fn write(
    out: &mut impl Write,
    asked: &[&str],
    totals: &Totals,
    report: &Report,
    width: usize,
) -> io::Result<()> {
    let kinds = totals.kinds().into_iter().map(|(kind, group)| (kind_name(&kind), group)).collect();
    let extensions =
        totals.extensions().into_iter().map(|(name, group)| (extension_name(&name), group)).collect();
    let (kinds, extensions) = (fold_rest(kinds), fold_rest(extensions));
    let layout = Layout::new(width, kinds.iter().chain(&extensions).map(|(name, _)| name.as_str()));

    head(out, report)?;
    groups(out, "kind", &kinds, layout)?;
    groups(out, "extension", &extensions, layout)?;
    largest(out, totals, width)?;
    text(out, asked, totals)?;
    time(out, report, layout)?;
    staged(out, report)?;
    gpus(out, report)?;
    ledger(out, report)
}

/// Widths that the tables share, so that their columns stand below each other.
#[derive(Clone, Copy)]
struct Layout {
    name: usize,
    bar: usize,
}

impl Layout {
    fn new<'a>(width: usize, names: impl Iterator<Item = &'a str>) -> Layout {
        // Margin, two columns of numbers, gaps.
        const OTHERS: usize = 2 + 13 + 13 + 2;
        let longest = names.map(measure_text_width).max().unwrap_or(0);
        let longest = longest.clamp("extension".len(), NAME_CELLS_MAX);
        let bar = BAR_CELLS.min(width.saturating_sub(OTHERS + longest.min(NAME_CELLS_MAX / 2)));
        Layout { name: longest.min(width.saturating_sub(OTHERS + bar)), bar }
    }
}

fn head(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let ledger = &report.ledger;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates for display")]
    let (files_rate, bytes_rate) =
        (HumanCount(report.files_per_second() as u64), DecimalBytes(report.bytes_per_second() as u64));
    if report.cancelled {
        writeln!(out, "{}", style("interrupted: this is what was read by then").yellow().bold())?;
    }
    writeln!(
        out,
        "{}, {}, in {}\nread in {}: {}, {}",
        style(count(ledger.done, "file")).bold(),
        style(DecimalBytes(ledger.bytes)).bold(),
        count(report.directories, "directory"),
        style(short(report.elapsed)).bold(),
        style(format!("{files_rate} files/s")).green(),
        style(format!("{bytes_rate}/s")).green(),
    )
}

type Rows = Vec<(String, Volume)>;

/// The first rows, and the sum of the rest.
fn fold_rest(mut rows: Rows) -> Rows {
    if rows.len() > ROWS_MAX + 1 {
        let rest = rows.split_off(ROWS_MAX);
        let sum = rest.iter().fold(Volume::default(), |sum, (_, group)| Volume {
            files: sum.files + group.files,
            bytes: sum.bytes + group.bytes,
        });
        rows.push((format!("{} others", HumanCount(rest.len() as u64)), sum));
    }
    rows
}

/// A table of names with files, bytes and a bar of the share of bytes.
fn groups(out: &mut impl Write, title: &str, rows: &Rows, layout: Layout) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let bytes: u64 = rows.iter().map(|(_, group)| group.bytes).sum();
    let header =
        format!("{} {:>12} {:>12}", pad_str(title, layout.name, Alignment::Left, None), "files", "size");
    writeln!(out, "\n  {}", style(header).dim())?;
    for (name, group) in rows {
        writeln!(
            out,
            "  {} {:>12} {:>12}  {}",
            pad_str(name, layout.name, Alignment::Left, Some("…")),
            HumanCount(group.files).to_string(),
            DecimalBytes(group.bytes).to_string(),
            style(bar(group.bytes, bytes, layout.bar)).cyan(),
        )?;
    }
    Ok(())
}

fn largest(out: &mut impl Write, totals: &Totals, width: usize) -> io::Result<()> {
    let files = totals.largest();
    if files.len() < 2 {
        return Ok(());
    }
    writeln!(out, "\n  {}", style(format!("{:>10}  largest files", "size")).dim())?;
    for file in files.iter().take(ROWS_MAX) {
        let path = printable(&file.path.0);
        // The end of a path tells more than its start.
        let excess = measure_text_width(&path).saturating_sub(width.saturating_sub(16));
        let path = if excess == 0 {
            path
        } else {
            format!("…{}", path.chars().skip(excess + 1).collect::<String>())
        };
        writeln!(out, "  {:>10}  {path}", DecimalBytes(file.size).to_string())?;
    }
    Ok(())
}

fn text(out: &mut impl Write, asked: &[&str], totals: &Totals) -> io::Result<()> {
    let asked = |name| asked.contains(&name);
    let mut counts = Vec::new();
    if asked("lines") {
        counts.push(count(totals.text.lines, "line"));
    }
    if asked("words") {
        counts.push(count(totals.text.words, "word"));
    }
    if counts.is_empty() {
        return Ok(());
    }
    let files = count(totals.text.files, if asked("kind") { "text file" } else { "file" });
    writeln!(out, "\n  {} in {files}", style(counts.join(" and ")).bold())
}

fn time(out: &mut impl Write, report: &Report, layout: Layout) -> io::Result<()> {
    if report.ledger.done == 0 {
        return Ok(());
    }
    let steps = &report.steps;
    let parts = [
        ("walk", steps.walk),
        ("open and read", steps.stage),
        ("analyse", steps.analyse),
        ("report", steps.sink),
        ("workers waiting", steps.workers_waited),
    ];
    let total: Duration = parts.iter().map(|(_, time)| *time).sum();
    let walkers = count(report.walkers as u64, "walker");
    let most = report.worker_sizes().max().unwrap_or(report.workers);
    let workers = match report.moves.len() {
        0 => count(report.workers as u64, "worker"),
        _ => format!("{} to {}", report.worker_sizes().min().unwrap_or(most), count(most as u64, "worker")),
    };
    writeln!(out, "\n  {}", style(format!("thread time, summed over {walkers} and {workers}")).dim())?;
    for (name, time) in parts {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bar = bar(micros(time), micros(total), layout.bar);
        writeln!(out, "  {name:<15} {:>9}  {}", short(time), style(bar).cyan())?;
    }
    batches(out, &report.batches)?;
    sizes(out, report)
}

/// How long batches took: the middle of them, nearly all, and the longest.
fn batches(out: &mut impl Write, batches: &Latencies) -> io::Result<()> {
    let (Some(p50), Some(p99), Some(max)) = (batches.quantile(0.5), batches.quantile(0.99), batches.max())
    else {
        return Ok(());
    };
    let (number, p50, p99) = (count(batches.count(), "batch"), short(p50), short(p99));
    writeln!(out, "\n  {number}, done within {p50} (p50), {p99} (p99), {} (max)", short(max))
}

/// How a pool that sizes itself moved.
fn sizes(out: &mut impl Write, report: &Report) -> io::Result<()> {
    const MOVES_MAX: usize = 8;
    if report.moves.is_empty() {
        return Ok(());
    }
    let moves = report.moves.iter().take(MOVES_MAX);
    let mut text = format!("workers: {} in the beginning", report.workers);
    for went in moves {
        let reason = went.reason.name().replace('-', " ");
        text.push_str(&format!(", {} after {} ({reason})", went.workers, short(went.after)));
    }
    if report.moves.len() > MOVES_MAX {
        text.push_str(&format!(", and {} more changes", report.moves.len() - MOVES_MAX));
    }
    writeln!(out, "\n  {text}")
}

/// How files came to be read, where some were not simply read.
fn staged(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Staged { mmap, ram_disk, load, ram_disk_bytes_peak, .. } = report.staged;
    let volume = |volume: Volume| format!("{}, {}", count(volume.files, "file"), DecimalBytes(volume.bytes));
    if mmap.files > 0 {
        writeln!(out, "\n  mapped: {}", volume(mmap))?;
    }
    if ram_disk.files > 0 {
        let (staged, peak) = (volume(ram_disk), DecimalBytes(ram_disk_bytes_peak));
        writeln!(
            out,
            "\n  through a RAM disk: {staged}; at most {peak} at a time, loaded in {}",
            short(load)
        )?;
    }
    Ok(())
}

/// What each GPU did, or why it did nothing.
pub(super) fn gpus(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for (at, gpu) in report.gpus.iter().enumerate() {
        let gap = if at == 0 { "\n" } else { "" };
        writeln!(out, "{gap}  {}", gpu_line(gpu))?;
    }
    Ok(())
}

fn gpu_line(gpu: &GpuUse) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates for display")]
    let rate = |rate: f64| match gpu.unit {
        RateUnit::Bytes => format!("{}/s", DecimalBytes(rate as u64)),
        RateUnit::Pairs => format!("{} pairs/s", HumanCount(rate as u64)),
    };
    let processor = match gpu.unit {
        RateUnit::Bytes => "a worker does",
        RateUnit::Pairs => "all cores do",
    };
    let mut parts = Vec::new();
    if gpu.submissions > 0 {
        let what = match gpu.unit {
            RateUnit::Bytes => format!("{}, {}", count(gpu.files, "file"), DecimalBytes(gpu.bytes)),
            RateUnit::Pairs => format!("{} of sketches", DecimalBytes(gpu.bytes)),
        };
        parts.push(format!("{what}, busy for {}", short(gpu.busy)));
    }
    match (gpu.rate, gpu.worker_rate) {
        (Some(its), Some(worker)) => {
            parts.push(format!("{} where {processor} {}", rate(its), rate(worker)));
        }
        (Some(its), None) => parts.push(rate(its)),
        _ => {}
    }
    if gpu.failures > 0 {
        parts.push(format!("failed {}", count(gpu.failures, "time")));
    }
    if !gpu.left_out.is_empty() {
        parts.push(format!("left out: {}", printable(gpu.left_out.as_bytes())));
    }
    if parts.is_empty() {
        parts.push("not used".to_owned());
    }
    format!("{}: {}", printable(gpu.adapter.as_bytes()), parts.join("; "))
}

/// What became of every path, as a sum that adds up.
pub(super) fn ledger(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let ledger = &report.ledger;
    let reasons = |total: u64, parts: Vec<(&str, u64)>| {
        let parts: Vec<_> =
            parts.iter().map(|(name, count)| format!("{} {name}", HumanCount(*count))).collect();
        let list = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        (HumanCount(total).to_string(), list)
    };
    let skipped = ledger.skipped().map(|(reason, count)| (reason.name(), count)).collect();
    let failed = ledger.failed().map(|(cause, count)| (cause.name(), count)).collect();
    let (skipped, skipped_reasons) = reasons(ledger.skipped_total(), skipped);
    let (failed, failed_causes) = reasons(ledger.failed_total(), failed);
    let failed = format!("{failed} failed{failed_causes}");
    let failed = if ledger.failed_total() > 0 { style(failed).red().bold() } else { style(failed) };
    write!(
        out,
        "\n  {} met = {} done + {skipped} skipped{skipped_reasons} + {failed}",
        count(ledger.met, "path"),
        HumanCount(ledger.done),
    )?;
    if ledger.unread > 0 {
        write!(out, " + {} unread", HumanCount(ledger.unread))?;
    }
    if report.filtered > 0 {
        write!(out, "; {} left out by name", HumanCount(report.filtered))?;
    }
    writeln!(out)
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Text(encoding) => format!("text, {encoding}"),
        Kind::Media(media) => media.to_string(),
        Kind::Binary => "binary, unknown".to_owned(),
    }
}

fn extension_name(extension: &Extension) -> String {
    match extension {
        Extension::Named(name) => format!(".{}", printable(name)),
        Extension::Missing => "(none)".to_owned(),
        Extension::Others => "(rare ones)".to_owned(),
    }
}

/// A number and its noun: "1 file", "2 files", "3 directories", "4 batches".
pub(super) fn count(number: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if number == 1 => noun.to_owned(),
        Some(stem) => format!("{stem}ies"),
        None if noun.ends_with("ch") => format!("{noun}es"),
        None => format!("{noun}s"),
    };
    format!("{} {plural}", HumanCount(number))
}

/// A time in hours, minutes and whole seconds.
pub(super) fn whole_seconds(time: Duration) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_secs(seconds))
}

/// A time with three digits or so.
pub(super) fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds >= 120.0 => whole_seconds(time),
        _ if seconds >= 1.0 => format!("{seconds:.2} s"),
        _ if seconds >= 1e-3 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds >= 1e-6 => format!("{:.0} µs", seconds * 1e6),
        _ => format!("{:.0} ns", seconds * 1e9),
    }
}

/// A bar of `part` in `whole`, in eighths of a cell; all of `cells` is the whole.
fn bar(part: u64, whole: u64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 8 times the cells")]
    let eighths = (share * (8 * cells) as f64).round() as usize;
    let eighths = if part > 0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional_and_never_vanish() {
        assert_eq!(bar(0, 10, 24), "");
        assert_eq!(bar(1, 1_000_000, 24), "▏");
        assert_eq!(bar(10, 10, 24), "█".repeat(24));
        assert_eq!(bar(5, 10, 24), "█".repeat(12));
        assert_eq!(bar(0, 0, 24), "");
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        for width in [WIDTH_MIN, 72, 80, 100, 200] {
            for longest in [1, 20, 60, 300] {
                let Layout { name, bar } = Layout::new(width, [&*"x".repeat(longest)].into_iter());
                assert!(2 + name + 13 + 13 + 2 + bar <= width, "{width}: {name}, {bar}");
                assert!(name >= 9, "{width}: {name}");
            }
        }
    }

    #[test]
    fn a_gpu_is_told_with_its_rate_beside_that_of_a_worker() {
        let used = GpuUse {
            adapter: "Made-up 9".to_owned(),
            files: 1200,
            bytes: 3_000_000_000,
            submissions: 40,
            busy: Duration::from_millis(1500),
            rate: Some(2e9),
            worker_rate: Some(5e8),
            ..GpuUse::default()
        };
        let bytes =
            "Made-up 9: 1,200 files, 3.00 GB, busy for 1.50 s; 2.00 GB/s where a worker does 500.00 MB/s";
        assert_eq!(gpu_line(&used), bytes);
        let pairs = GpuUse { unit: RateUnit::Pairs, bytes: 51_200_000, ..used.clone() };
        let expected = "Made-up 9: 51.20 MB of sketches, busy for 1.50 s; 2,000,000,000 pairs/s where all cores do 500,000,000 pairs/s";
        assert_eq!(gpu_line(&pairs), expected);
        let lost = GpuUse { failures: 1, left_out: "the device was lost".to_owned(), ..used };
        assert_eq!(gpu_line(&lost), format!("{bytes}; failed 1 time; left out: the device was lost"));
        let idle = GpuUse { adapter: "\x1b[1m".to_owned(), ..GpuUse::default() };
        assert_eq!(gpu_line(&idle), format!("{}: not used", printable(b"\x1b[1m")));
        assert!(!gpu_line(&idle).contains('\x1b'));
    }

    #[test]
    fn times_and_counts_are_short() {
        assert_eq!(short(Duration::from_nanos(1)), "1 ns");
        assert_eq!(short(Duration::from_micros(7)), "7 µs");
        assert_eq!(short(Duration::from_micros(1500)), "1.5 ms");
        assert_eq!(short(Duration::from_millis(1500)), "1.50 s");
        assert_eq!(short(Duration::from_secs(150)), "2m 30s");
        assert_eq!(count(1, "directory"), "1 directory");
        assert_eq!(count(2000, "directory"), "2,000 directories");
        assert_eq!(count(2, "batch"), "2 batches");
        assert_eq!(count(0, "file"), "0 files");
    }
}
