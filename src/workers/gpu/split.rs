//! Who gets what, the device or the worker: by what was measured of both, for files of about the same size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is measured of the workers, by size of the file; each device has rates of its own.
#[derive(Debug, Default)]
pub(crate) struct Split {
    worker: Rates,
    /// Whether devices get all that they can take.
    is_forced: bool,
}

/// Files are alike that are no larger than these, in bytes, and not in the class before; the last has the others.
const CLASSES: [u64; 4] = [4 << 10, 64 << 10, 1 << 20, u64::MAX];

/// What a segment takes of a device beside its bytes, as bytes: the time of a slot is divided among its files by this. A guess,
/// which only matters where short files are packed with long ones.
const SEGMENT_BYTES: u64 = 4 << 10;

/// A measured speed may be older than this much work before what is new counts more.
const MEMORY_BYTES: u64 = 256 << 20;

/// Of workers, or of a device.
#[derive(Debug, Default)]
pub(super) struct Rates {
    of_sizes: [Rate; CLASSES.len()],
    /// What was measured before there was a file; counts until there is.
    before: Rate,
}

/// Bytes, and the nanoseconds that they took.
#[derive(Debug, Default)]
struct Rate {
    bytes: AtomicU64,
    nanos: AtomicU64,
}

impl Rate {
    fn add(&self, bytes: u64, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 4);
        // Two that add at a time may lose a little of the past: no harm is done.
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) > MEMORY_BYTES {
            self.bytes.store(self.bytes.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
            self.nanos.store(self.nanos.load(Ordering::Relaxed) / 2, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn sums(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.nanos.load(Ordering::Relaxed))
    }
}

fn class(size: u64) -> usize {
    CLASSES.iter().position(|&largest| size <= largest).unwrap_or(CLASSES.len() - 1)
}

fn per_second((bytes, nanos): (u64, u64)) -> Option<f64> {
    (bytes > 0 && nanos > 0).then(|| bytes as f64 * 1e9 / nanos as f64)
}

impl Split {
    pub(super) fn new(is_forced: bool) -> Split {
        Split { is_forced, ..Split::default() }
    }

    /// Whether devices are to have all that they can take.
    pub(super) fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// A worker took so long for bytes of a file of this size.
    pub(crate) fn count_worker(&self, size: u64, bytes: u64, time: Duration) {
        self.worker.of_sizes[class(size)].add(bytes, time);
    }

    /// What a worker and a device take for so many bytes, before there are files; what is known already counts.
    pub(super) fn begin(&self, device: &Rates, bytes: u64, worker_time: Duration, device_time: Duration) {
        for (rates, time) in [(&self.worker, worker_time), (device, device_time)] {
            if rates.before.sums().0 == 0 {
                rates.before.add(bytes, time);
            }
        }
    }

    /// Whether a device is to have a file of this size, which so many workers would share otherwise.
    pub(super) fn is_for(&self, device: &Rates, size: u64, workers: usize) -> bool {
        if self.is_forced {
            return true;
        }
        match (self.worker.of(size), device.of(size)) {
            (Some(worker), Some(device)) => device > worker * workers as f64,
            _ => true,
        }
    }

    /// Whether a device would be done later with the last of its work, so many bytes in all, than a worker with so many.
    pub(super) fn is_later(&self, device: &Rates, all_bytes: u64, own_bytes: u64) -> bool {
        match (self.worker_rate(), device.all()) {
            _ if self.is_forced => false,
            (Some(worker), Some(device)) => all_bytes as f64 / device > own_bytes as f64 / worker,
            _ => false,
        }
    }

    /// Whether a worker does more than a device, over all sizes.
    pub(super) fn is_worker_faster(&self, device: &Rates) -> bool {
        let rates = self.worker_rate().zip(device.all());
        !self.is_forced && rates.is_some_and(|(worker, device)| worker >= device)
    }

    /// Bytes a second of a worker, over all sizes.
    pub(super) fn worker_rate(&self) -> Option<f64> {
        self.worker.all()
    }
}

impl Rates {
    /// So long for all of these pieces, given by bytes and by segments.
    pub(super) fn count_all(&self, pieces: impl Iterator<Item = (u64, u64)> + Clone, busy: Duration) {
        let weight = |(bytes, segments): (u64, u64)| (bytes + segments * SEGMENT_BYTES) as f64;
        let total: f64 = pieces.clone().map(weight).sum();
        for piece in pieces.filter(|(bytes, _)| *bytes > 0) {
            self.of_sizes[class(piece.0)].add(piece.0, busy.mul_f64(weight(piece) / total.max(1.0)));
        }
    }

    /// Bytes a second for files of this size; over all sizes where none was seen.
    fn of(&self, size: u64) -> Option<f64> {
        per_second(self.of_sizes[class(size)].sums()).or_else(|| self.all())
    }

    /// Bytes a second, over all sizes.
    pub(super) fn all(&self) -> Option<f64> {
        let sum = |(bytes, nanos): (u64, u64), rate: &Rate| (bytes + rate.sums().0, nanos + rate.sums().1);
        per_second(self.of_sizes.iter().fold((0, 0), sum)).or_else(|| per_second(self.before.sums()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_size_goes_where_it_is_done_sooner() {
        let (split, device) = (Split::new(false), Rates::default());
        assert!(split.is_for(&device, 100, 1), "nothing speaks against it");
        split.count_worker(100, 1000, MS);
        split.count_worker(1 << 20, 1 << 20, MS);
        device.count_all([(1 << 20, 32)].into_iter(), MS / 3);
        assert!(split.is_for(&device, 1 << 20, 1) && split.is_for(&device, 1 << 20, 2));
        assert!(!split.is_for(&device, 1 << 20, 4), "four workers share it");
        device.count_all([(100, 1)].into_iter(), MS);
        assert!(!split.is_for(&device, 100, 1) && split.is_for(&device, 1 << 20, 1));
        // It has become slower.
        for _ in 0..2000 {
            device.count_all([(1 << 20, 32)].into_iter(), 3 * MS);
        }
        assert!(!split.is_for(&device, 1 << 20, 1) && split.is_worker_faster(&device));
        assert!(Split::new(true).is_for(&device, 1, 1000));
        // Another device has rates of its own.
        assert!(split.is_for(&Rates::default(), 1 << 20, 1));
    }

    #[test]
    fn what_was_measured_before_counts_until_there_are_files() {
        let (split, device) = (Split::new(false), Rates::default());
        split.begin(&device, 1 << 20, MS, 2 * MS);
        assert!(!split.is_for(&device, 1 << 20, 1) && split.is_worker_faster(&device));
        split.begin(&device, 1 << 20, MS, MS / 2);
        assert!(!split.is_for(&device, 1 << 20, 1), "what is known counts");
        device.count_all([(1 << 20, 32)].into_iter(), MS / 2);
        assert!(split.is_for(&device, 1 << 20, 1));
    }

    #[test]
    fn at_the_end_it_takes_nothing_that_it_would_finish_last() {
        let (split, device) = (Split::new(false), Rates::default());
        assert!(!split.is_later(&device, 1 << 30, 1));
        split.count_worker(1 << 20, 1 << 20, MS);
        device.count_all([(1 << 20, 32)].into_iter(), MS / 4);
        assert!(!split.is_later(&device, 3 << 20, 1 << 20));
        assert!(split.is_later(&device, 5 << 20, 1 << 20));
    }
}
