//! What a run may take of memory, and how a plan is made to fit a limit.
//!
//! The figures are upper bounds of what was measured (ops/staging.md, "Memory"), not exact accounts.

use super::{Device, Plan, Sort, Staging};
use crate::error::Error;
use crate::record::Value;

/// The program, its output buffers, the tables of the summary, the sink's thread.
const BASE_BYTES: u64 = 8 << 20;
/// A walker's listing, the batch that it fills, its stack.
const WALKER_BYTES: u64 = 1 << 20;
/// An entry of a batch or of its results, with a name of usual length.
const ENTRY_BYTES: u64 = 128;
const VALUE_BYTES: u64 = size_of::<Value>() as u64;
/// Passes, stack, and what the allocator keeps for a thread.
const WORKER_BYTES: u64 = 512 << 10;
/// A record that waits for its turn.
const SORTED_FILE_BYTES: u64 = 512;

impl Plan {
    /// What a run of this plan may take of memory, in bytes, with all the workers that it may have: an upper bound of what
    /// was measured.
    pub fn memory_bytes_estimate(&self) -> u64 {
        let mapped = match self.staging {
            Staging::Auto | Staging::Mmap => self.map_window_bytes as u64,
            Staging::Read | Staging::RamDisk => 0,
        };
        let ram_disk = if self.staging == Staging::RamDisk { self.ram_disk_bytes_max } else { 0 };
        let window = match self.sort {
            Sort::None => 0,
            Sort::Path => (self.sort_window_files_max as u64).saturating_mul(self.sorted_file_bytes()),
        };
        let workers = self.worker_bytes().saturating_add(mapped).saturating_mul(self.workers_most() as u64);
        let walkers = (self.walkers as u64).saturating_mul(WALKER_BYTES);
        let packed = if self.uses_gpu() { self.gpu_memory_bytes_max } else { 0 };
        [BASE_BYTES, walkers, window, ram_disk, packed, workers].into_iter().fold(0, u64::saturating_add)
    }

    /// Makes the plan one that keeps to its `memory_bytes_max`: a smaller window for sorting, less for
    /// GPUs, no mappings, less RAM disk, fewer workers, in this order. `notes` tell where that is fewer than asked for.
    ///
    /// # Errors
    /// [`Error::Plan`] when it does not suffice for one worker.
    pub(crate) fn fit_memory(&mut self, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some(limit) = self.memory_bytes_max else { return Ok(()) };
        let walkers = self.walkers as u64 * WALKER_BYTES;
        let mut taken = BASE_BYTES + walkers;
        let mut worker = self.worker_bytes();
        let mut window = 0;
        if self.sort == Sort::Path {
            // Not less than a few batches, or the workers would wait for each other all the time.
            let file = self.sorted_file_bytes();
            let least = (8 * file).saturating_mul(self.batch_files_max as u64);
            window = (self.sort_window_files_max as u64 * file)
                .min(limit.saturating_sub(taken.saturating_add(worker)) / 2)
                .max(least.min(self.sort_window_files_max as u64 * file));
            self.sort_window_files_max = usize::try_from(window / file).unwrap_or(usize::MAX);
        }
        taken = taken.saturating_add(window);
        if taken.saturating_add(worker) > limit {
            return Err(Error::Plan(format!(
                "a memory of {limit} bytes is too small: this plan needs {} for one worker",
                taken.saturating_add(worker)
            )));
        }
        if self.uses_gpu() {
            // As much again may lie here: at most half of what is left.
            self.gpu_memory_bytes_max = self.gpu_memory_bytes_max.min((limit - taken - worker) / 2);
            taken += self.gpu_memory_bytes_max;
        }
        match self.staging {
            Staging::Auto | Staging::Mmap => {
                let mapped = worker + self.map_window_bytes as u64;
                // Workers go first: a mapping is worth less than a worker.
                if mapped.saturating_mul(self.workers_first() as u64).saturating_add(taken) <= limit {
                    worker = mapped;
                } else {
                    if self.staging == Staging::Mmap {
                        notes.push(format!(
                            "nothing is mapped: a memory of {limit} bytes is too small for that"
                        ));
                    }
                    self.staging = Staging::Read;
                }
            }
            Staging::RamDisk => {
                self.ram_disk_bytes_max = self.ram_disk_bytes_max.min((limit - taken - worker) / 2);
                taken += self.ram_disk_bytes_max;
            }
            Staging::Read => {}
        }
        let workers = usize::try_from((limit - taken) / worker).unwrap_or(usize::MAX);
        let asked = self.workers_first();
        if workers < asked {
            notes.push(format!("{workers} of {asked} workers: more would not fit a memory of {limit} bytes"));
        }
        self.workers_max = self.workers_max.min(workers);
        Ok(())
    }

    /// Whether it may have GPUs: what is on its way to them and back takes as much memory here as there, at most.
    fn uses_gpu(&self) -> bool {
        cfg!(feature = "gpu")
            && self.device != Device::Cpu
            && self.analyses.iter().any(|analysis| analysis.kernel().is_some())
    }

    /// What the smallest run of this plan takes, with one worker that maps nothing, in bytes.
    pub(crate) fn memory_bytes_least(&self) -> u64 {
        (BASE_BYTES + self.walkers as u64 * WALKER_BYTES).saturating_add(self.worker_bytes())
    }

    /// What a worker takes that maps nothing.
    fn worker_bytes(&self) -> u64 {
        // What it works on and what came of it; and for each worker two of either may wait.
        let batches = 6_u64.saturating_mul(self.batch_bytes());
        (WORKER_BYTES + self.block_bytes as u64).saturating_add(batches)
    }

    /// What the values of a file take beside its row.
    fn value_bytes(&self) -> u64 {
        self.analyses.iter().map(|analysis| analysis.value_bytes()).sum()
    }

    /// What a record takes that waits for its turn.
    fn sorted_file_bytes(&self) -> u64 {
        SORTED_FILE_BYTES + self.value_bytes()
    }

    fn batch_bytes(&self) -> u64 {
        let entry = ENTRY_BYTES + VALUE_BYTES * self.columns().len() as u64 + self.value_bytes();
        (self.batch_files_max as u64).saturating_mul(entry).min(u64::MAX >> 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Workers;

    fn fit(plan: Plan) -> Result<(Plan, Vec<String>), String> {
        let mut plan = Plan { walkers: 2, queue_batches_max: 4, ..plan };
        let mut notes = Vec::new();
        plan.fit_memory(&mut notes).map_err(|error| error.to_string())?;
        Ok((plan, notes))
    }

    fn plan(limit: u64) -> Plan {
        Plan { memory_bytes_max: Some(limit), workers: Workers::Number(8), ..Plan::new(["."]) }
    }

    #[test]
    fn as_many_workers_as_fit() {
        let (roomy, notes) = fit(plan(1 << 30)).expect("enough");
        assert!(roomy.workers_max >= 64 && roomy.staging == Staging::Auto && notes.is_empty());
        let (small, notes) = fit(plan(13 << 20)).expect("enough");
        assert!((1..8).contains(&small.workers_max), "{}", small.workers_max);
        assert_eq!(notes.len(), 1, "{notes:?}");
    }

    #[test]
    fn more_memory_never_means_fewer_workers_and_one_always_fits_where_one_is_asked_for() {
        for staging in [Staging::Auto, Staging::Read, Staging::Mmap] {
            for sort in [Sort::None, Sort::Path] {
                let fitted = |mebibytes: u64, workers: usize| {
                    let workers = Workers::Number(workers);
                    fit(Plan { staging, sort, workers, queue_batches_max: 2 * 64, ..plan(mebibytes << 20) })
                };
                let mut before = 0;
                for mebibytes in 1..200 {
                    let now = fitted(mebibytes, 8).map_or(0, |(plan, _)| plan.workers_most());
                    assert!(
                        now >= before,
                        "{staging:?} {sort:?}: {now} with {mebibytes} MiB, {before} with less"
                    );
                    before = now;
                    assert_eq!(fitted(mebibytes, 1).is_ok(), fitted(mebibytes, 4096).is_ok());
                }
                assert_eq!(before, 8);
            }
        }
    }

    #[test]
    fn what_is_estimated_suffices() {
        for staging in [Staging::Auto, Staging::Read, Staging::RamDisk] {
            let asked = Plan { staging, ..plan(0) };
            // A RAM disk gets no more than half of what is left.
            let more = if staging == Staging::RamDisk { asked.ram_disk_bytes_max } else { 0 };
            let limit = asked.memory_bytes_estimate() + more;
            let (fitted, notes) = fit(Plan { memory_bytes_max: Some(limit), ..asked }).expect("enough");
            assert!(fitted.workers_most() == 8 && fitted.staging == staging && notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn mappings_and_ram_disks_give_way() {
        let (none, notes) = fit(Plan { staging: Staging::Mmap, ..plan(11 << 20) }).expect("enough");
        assert_eq!(none.staging, Staging::Read);
        assert!(notes[0].starts_with("nothing is mapped"), "{notes:?}");
        let (less, _) = fit(Plan { staging: Staging::RamDisk, ..plan(64 << 20) }).expect("enough");
        assert!((16 << 20..32 << 20).contains(&less.ram_disk_bytes_max), "{}", less.ram_disk_bytes_max);
    }

    #[test]
    fn too_little_is_refused_with_what_suffices() {
        let error = fit(plan(1 << 20)).err().expect("too little");
        let suffices: u64 =
            error.split(' ').rev().nth(3).and_then(|word| word.parse().ok()).expect("a number");
        assert!(fit(plan(suffices - 1)).is_err() && fit(plan(suffices)).is_ok(), "{error}");
        let sorted = Plan { sort: Sort::Path, ..plan(24 << 20) };
        let window = sorted.sort_window_files_max;
        assert!(fit(sorted).expect("enough").0.sort_window_files_max < window);
    }
}
