//! `filemill bench limit`: the machine's floor, the engine, and the ratio.

use filemill::bench::limit::{FUSED, Limit, Limits, measure_limit};
use indicatif::{DecimalBytes, HumanCount};

use super::super::{Exit, Failure, complain};
use super::flags::{BenchFormat, LimitFlags};
use super::table::table;
use super::{expect_directory, incomplete, print, runner, watched};

/// Runs the command.
pub(super) fn run(flags: &LimitFlags) -> Result<Exit, Failure> {
    expect_directory(&flags.path)?;
    let cores = filemill::plan::cores();
    let mut threads: Vec<usize> = flags.threads.iter().map(|&threads| usize::from(threads)).collect();
    if threads.is_empty() {
        threads = vec![1, cores, 2 * cores];
    }
    threads.sort_unstable();
    threads.dedup();
    let mut analyses = flags.analyses.clone();
    if analyses.is_empty() {
        analyses = ["none", "xxh3", "sha256", "blake3", FUSED].map(str::to_owned).to_vec();
    }
    let limit = Limit {
        path: flags.path.clone(),
        threads,
        analyses,
        rounds: usize::from(flags.rounds),
        runner: runner()?,
    };
    watched(&flags.messages, |watched| {
        let limits = measure_limit(&limit, &watched.watch())?;
        watched.clear();
        if limits.rounds < limit.rounds {
            complain(&format!("interrupted after {} of {} rounds", limits.rounds, limit.rounds));
        }
        if !flags.messages.quiet {
            limits.notes.iter().for_each(|note| complain(note));
        }
        print(&match flags.format {
            BenchFormat::Table => shown(&limit, &limits),
            BenchFormat::Csv => csv(&limit, &limits)?,
        })?;
        Ok(incomplete(limits.errors))
    })
}

fn shown(limit: &Limit, limits: &Limits) -> String {
    let floors: Vec<String> = limit.threads.iter().map(|threads| format!("floor x{threads}")).collect();
    let mut heading = vec!["with each file"];
    heading.extend(floors.iter().map(String::as_str));
    heading.extend(["scan", "ratio", "min", "max"]);
    let milliseconds = |seconds: f64| format!("{:.1} ms", 1000.0 * seconds);
    let rows: Vec<Vec<String>> = limits
        .lines
        .iter()
        .map(|line| {
            let mut cells = vec![if line.bare.name() == "none" {
                "open, read, close".to_owned()
            } else {
                line.bare.name().to_owned()
            }];
            cells.extend(line.floor.iter().map(|(_, seconds)| milliseconds(seconds.median)));
            if let (Some(engine), Some(ratio)) = (&line.engine, &line.ratio) {
                cells.push(milliseconds(engine.median));
                cells.extend([ratio.median, ratio.min, ratio.max].map(|ratio| format!("{ratio:.3}")));
            }
            cells
        })
        .collect();
    let errors = match limits.errors {
        0 => String::new(),
        errors => format!(", {errors} that could not be read"),
    };
    let rounds = if limits.rounds == 1 { "round" } else { "rounds" };
    format!(
        "{} files, {}{errors}; medians of {} {rounds}, all sides in turn\n\n{}\n\
         floor xN: a bare program with N threads that makes the calls a scan needs and runs the same passes\n\
         ratio: time of the scan over that of the floor at its best number of threads\n",
        HumanCount(limits.files),
        DecimalBytes(limits.bytes),
        limits.rounds,
        table(&heading, &rows, 1)
    )
}

fn csv(limit: &Limit, limits: &Limits) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let floors = limit.threads.iter().map(|threads| format!("floor_{threads}_seconds"));
    let rest = ["scan_seconds", "ratio", "ratio_min", "ratio_max", "rounds", "files", "bytes"];
    let heading = ["analyses"].map(str::to_owned).into_iter().chain(floors).chain(rest.map(str::to_owned));
    writer.write_record(heading).map_err(std::io::Error::from)?;
    for line in &limits.lines {
        let mut cells = vec![line.bare.name().to_owned()];
        cells.extend(line.floor.iter().map(|(_, seconds)| seconds.median.to_string()));
        cells.push(line.engine.map_or_else(String::new, |engine| engine.median.to_string()));
        let ratio =
            line.ratio.map(|ratio| [ratio.median, ratio.min, ratio.max].map(|ratio| ratio.to_string()));
        cells.extend(ratio.unwrap_or_default());
        cells.extend([limits.rounds as u64, limits.files, limits.bytes].map(|number| number.to_string()));
        writer.write_record(cells).map_err(std::io::Error::from)?;
    }
    let text = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
