//! What the flags that commands share mean: a plan, colours, and where what could not be read is told.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::SystemTime;

use filemill::error::Step;
use filemill::plan::{Cache, Device, Filter, GpuVerify, Plan, Root, Staging, Workers};
use filemill::record::{ActionRecord, Group, Outcome, Record};
use filemill::report::Report;
use filemill::sink::{Sink, printable};

use super::flags::{CacheUse, Input, Machine, Messages, Stage, Verify, When};
use super::{Failure, complain, limits, lists};

/// The plan of what is typed, with no analyses.
pub(super) fn plan(input: &Input, machine: &Machine, messages: &Messages) -> Result<Plan, Failure> {
    limits::raise_handle_limit();
    let mut plan = Plan::new(roots(input));
    plan.listed = lists::read_all(input, messages)?;
    plan.workers = machine.workers;
    if let Workers::Number(workers) = machine.workers {
        plan.queue_batches_max = 2 * workers;
    }
    if let Some(files) = machine.batch_files {
        plan.batch_files_max = files as usize;
    }
    plan.batch_bytes_max = machine.batch_bytes;
    stage(machine, messages, &mut plan)?;
    device(machine, messages, &mut plan);
    plan.filter = Filter {
        globs: input.glob.clone(),
        gitignore: input.gitignore,
        skip_hidden: input.skip_hidden,
        size_min: input.min_size,
        size_max: input.max_size,
        depth_max: input.max_depth,
        one_file_system: input.one_file_system,
        follow: input.follow,
    };
    Ok(plan)
}

/// Fits a plan that is complete to the address space, and to what a test wants to go wrong.
pub(super) fn fit(plan: &mut Plan, messages: &Messages) -> Result<(), Failure> {
    plan.check()?;
    limits::fit_address_space(plan, |note| {
        if !messages.quiet {
            complain(&note);
        }
    })?;
    #[cfg(feature = "faults")]
    set_faults(plan)?;
    Ok(())
}

/// How the flags have bytes reached.
fn stage(flags: &Machine, messages: &Messages, plan: &mut Plan) -> Result<(), Failure> {
    plan.staging = match flags.stage {
        Stage::Auto => Staging::Auto,
        Stage::Read => Staging::Read,
        Stage::Mmap => Staging::Mmap,
        Stage::RamDisk => Staging::RamDisk,
    };
    if plan.staging == Staging::Mmap {
        // ops/staging.md, "Mapping": from there on it costs no more than reading.
        plan.map_bytes_min = 1 << 20;
    }
    plan.ram_disk_directory = flags.ram_disk.as_deref().map(Arc::from);
    if let Some(bytes) = flags.ram_disk_bytes {
        plan.ram_disk_bytes_max = bytes;
    }
    if plan.staging != Staging::RamDisk
        && (flags.ram_disk.is_some() || flags.ram_disk_bytes.is_some())
        && !messages.quiet
    {
        complain(&"a RAM disk is used only with --stage ram-disk");
    }
    plan.cache = match flags.cache {
        CacheUse::Keep => Cache::Keep,
        CacheUse::Drop => Cache::Drop,
    };
    plan.memory_bytes_max = flags.memory;
    if matches!(plan.staging, Staging::Auto | Staging::Mmap)
        && let Err(error) = filemill::guard_mappings()
        && plan.staging == Staging::Mmap
    {
        return Err(Failure::Report(format!("files cannot be mapped: {error}")));
    }
    Ok(())
}

/// What the flags have answer.
fn device(flags: &Machine, messages: &Messages, plan: &mut Plan) {
    plan.device = flags.device.clone();
    if let Some(bytes) = flags.gpu_memory {
        plan.gpu_memory_bytes_max = bytes;
    }
    plan.gpu_verify = match flags.gpu_verify {
        Verify::All => GpuVerify::All,
        Verify::Sample => GpuVerify::Sample,
        Verify::Off => GpuVerify::Off,
    };
    if plan.device == Device::Cpu && flags.gpu_memory.is_some() && !messages.quiet {
        complain(&"the memory of a GPU is used only without --device cpu");
    }
}

/// Prints the adapters if one of the devices is `?`. Returns whether it did.
pub(super) fn lists_adapters<'d>(devices: impl IntoIterator<Item = &'d Device>) -> Result<bool, Failure> {
    let is_asked = |device: &Device| matches!(device, Device::Named(name) if **name == *"?");
    if !devices.into_iter().any(is_asked) {
        return Ok(false);
    }
    let text = match filemill::list_adapters() {
        Ok(adapters) if adapters.is_empty() => "none\n".to_owned(),
        Ok(adapters) => adapters
            .iter()
            .map(|adapter| format!("{}\n", printable(adapter.to_string().as_bytes())))
            .collect(),
        Err(why) => format!("none: {why}\n"),
    };
    super::bench::print(&text)?;
    Ok(true)
}

/// The paths that were typed; the current directory if there are neither paths nor lists.
fn roots(flags: &Input) -> Vec<Root> {
    let has_lists = !flags.files_from.is_empty() || !flags.files0_from.is_empty();
    if flags.paths.is_empty() && !has_lists {
        return vec![Root::here()];
    }
    flags.paths.iter().map(Root::from).collect()
}

/// What a test wants to go wrong.
#[cfg(feature = "faults")]
pub(super) fn set_faults(plan: &mut Plan) -> Result<(), Failure> {
    if let Ok(fault) = std::env::var("FILEMILL_FAULT") {
        let faults = filemill::faults::Faults::parse(&fault);
        plan.faults =
            faults.ok_or_else(|| Failure::Usage(format!("FILEMILL_FAULT: {fault:?} is no fault")))?;
    }
    Ok(())
}

/// The variables as their authors mean them (no-color.org, bixense.com/clicolors): empty is not set, and "no" wins.
pub(super) fn set_colors(when: When) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_forced = is_set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE") != Some("0".into());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    console::set_colors_enabled(match when {
        When::Always => true,
        When::Never => false,
        When::Auto => !is_set("NO_COLOR") && (is_forced || (io::stdout().is_terminal() && !is_dumb)),
    });
}

/// Says what a run did otherwise than asked for, and how much it could not do.
pub(super) fn tell(report: &Report, refused: u64, messages: &Messages) {
    if messages.quiet {
        return;
    }
    report.notes.iter().for_each(|note| complain(note));
    let count = |number: u64, what: &str| {
        let paths = if number == 1 { "path" } else { "paths" };
        if number > 0 {
            complain(&format!("{number} {paths} could not be {what}"));
        }
    };
    count(report.ledger.failed_total(), "read");
    count(refused, "expressed in a report");
}

/// The reports of a run, and each path that could not be read on standard error.
pub(super) struct WithErrors<'s> {
    pub(super) sinks: Vec<Box<dyn Sink + 's>>,
    pub(super) errors_shown: bool,
}

impl Sink for WithErrors<'_> {
    fn begin(&mut self, plan: &Plan, started: SystemTime) -> io::Result<()> {
        self.sinks.begin(plan, started)
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        if let Outcome::Failed(error) = &record.outcome
            && self.errors_shown
        {
            let mut path = Vec::new();
            record.path_to(&mut path);
            let doing = match error.step {
                Step::Walk => "listed",
                Step::Stage => "read",
                Step::Analyse => "analysed",
            };
            let errno = error.errno_name().map_or(String::new(), |name| format!(" ({name})"));
            let line = format!("{}: cannot be {doing}: {}{errno}", printable(&path), error.cause.name());
            complain(&line);
        }
        self.sinks.record(record)
    }

    fn group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.sinks.group(group)
    }

    fn action(&mut self, action: &ActionRecord<'_>) -> io::Result<()> {
        self.sinks.action(action)
    }

    fn idle(&mut self) -> io::Result<()> {
        self.sinks.idle()
    }

    fn end(&mut self, report: &Report) -> io::Result<()> {
        self.sinks.end(report)
    }
}
