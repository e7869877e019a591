//! What the workers of a run share of the RAM disk: how much they may hold together.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;

/// Bytes that all workers together may put on RAM disks.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_max: u64,
    /// What one worker may hold, so that the others get something as well.
    share: u64,
    held: AtomicU64,
    peak: AtomicU64,
}

impl Budget {
    pub(crate) fn new(plan: &Plan) -> Budget {
        let bytes_max = plan.ram_disk_bytes_max;
        let share = bytes_max / plan.workers_first() as u64;
        Budget { bytes_max, share, held: AtomicU64::new(0), peak: AtomicU64::new(0) }
    }

    /// What one worker may hold, in bytes.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no RAM disk"))]
    pub(super) fn share(&self) -> u64 {
        self.share
    }

    /// The most that was held at a time, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Takes some more; whether there was as much.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no RAM disk"))]
    pub(super) fn take(&self, bytes: u64) -> bool {
        let more = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if let Ok(held) = taken {
            self.peak.fetch_max(held + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Gives back what was taken.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is no RAM disk"))]
    pub(super) fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let budget = Budget::new(&Plan { ram_disk_bytes_max: 10, ..Plan::new(["."]) });
        assert!(budget.take(6) && !budget.take(5) && budget.take(4) && !budget.take(1) && budget.take(0));
        budget.give_back(6);
        assert!(!budget.take(u64::MAX) && budget.take(2));
        assert_eq!(budget.peak(), 10);
    }
}
