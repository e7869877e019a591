//! `filemill bench tier`: the criteria of a step of throughput, one by one.

use std::path::Path;

use filemill::bench::Machine;
use filemill::bench::tier::{TierResult, TierRun, run_limit_tier, run_tier, tiers};
use filemill::plan::cores;

use super::super::{Exit, Failure, complain};
use super::flags::{TierFlags, TierName};
use super::table::table;
use super::{expect_directory, print, runner, watched};

/// Runs the command.
pub(super) fn run(flags: &TierFlags) -> Result<Exit, Failure> {
    if let Some(path) = &flags.path {
        expect_directory(path)?;
    }
    let run = TierRun {
        path: flags.path.clone(),
        ram_disk_directory: flags.ram_disk.clone(),
        repetitions: usize::from(flags.repetitions),
        runner: runner()?,
    };
    let [base, legendary, turbo] = tiers(cores());
    watched(&flags.messages, |watched| {
        let watch = &watched.watch();
        let (result, of_what) = match flags.tier {
            TierName::Base => (run_tier(&base, &run, watch)?, "the target"),
            TierName::Legendary => (run_tier(&legendary, &run, watch)?, "the target"),
            TierName::Turbo => (run_tier(&turbo, &run, watch)?, "the target"),
            TierName::Limit => (run_limit_tier(&run, watch)?, "what is asked"),
        };
        watched.clear();
        let ram_disk = flags.ram_disk.as_deref().unwrap_or(Path::new("/dev/shm"));
        let in_place = flags.path.as_deref().filter(|_| flags.tier == TierName::Limit);
        let machine = Machine::here(in_place.unwrap_or(ram_disk));
        if !flags.messages.quiet {
            result.notes.iter().for_each(|note| complain(note));
        }
        print(&format!("{machine}\n\n{}", shown(&result, of_what)))?;
        Ok(if result.is_met() { Exit::Done } else { Exit::GateFailed })
    })
}

fn shown(result: &TierResult, of_what: &str) -> String {
    let rows: Vec<Vec<String>> = result
        .criteria
        .iter()
        .map(|criterion| {
            let verdict = if criterion.is_met {
                console::style("met").green().to_string()
            } else {
                console::style("missed").red().bold().to_string()
            };
            vec![verdict, criterion.what.clone(), criterion.asked.clone(), criterion.found.clone()]
        })
        .collect();
    let missed: Vec<_> = result.criteria.iter().filter(|criterion| !criterion.is_met).collect();
    let verdict = match &missed[..] {
        [] => "passed".to_owned(),
        [only] if only.what == "stable" => {
            "not passed: too much else goes on here, try again on a quieter machine".to_owned()
        }
        missed => format!("not passed: {} of {} criteria missed", missed.len(), result.criteria.len()),
    };
    let table = table(&["", "criterion", "asked", "found"], &rows, 4);
    format!("{table}\n{verdict}; the rate is {:.2} times {of_what}\n", result.factor)
}
