//! How long many things of a kind took: counted, not kept, in memory that does not grow.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// What is shorter counts as this.
const LEAST_NS: u64 = 1_000;
/// What is longer counts as this: an hour.
const MOST_NS: u64 = 3_600_000_000_000;
/// A third one would take eight times the memory.
const SIGNIFICANT_DIGITS: u8 = 2;

/// A histogram of times from 1 µs to 1 h, of about 14 kB, so that each worker can have its own.
///
/// It keeps two significant digits: a quantile is too long by at most 1 % (or 0.5 µs, where that is more), and too short only
/// beyond the hour. Count and maximum are exact.
#[derive(Clone)]
pub struct Latencies {
    times_ns: Histogram<u32>,
    max: Duration,
}

impl Latencies {
    /// Nothing recorded yet.
    pub fn new() -> Latencies {
        let times_ns = Histogram::new_with_bounds(LEAST_NS, MOST_NS, SIGNIFICANT_DIGITS);
        Latencies { times_ns: times_ns.expect("these bounds are in order"), max: Duration::ZERO }
    }

    /// Counts one that took `time`.
    pub fn record(&mut self, time: Duration) {
        self.times_ns.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(LEAST_NS));
        self.max = self.max.max(time);
    }

    /// Counts all that `other` has counted.
    pub fn add(&mut self, other: &Latencies) {
        self.times_ns.add(&other.times_ns).expect("all have the same bounds");
        self.max = self.max.max(other.max);
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.times_ns.len()
    }

    /// The time that the share `quantile` of them (from 0 to 1: 0.5 is the median) did not exceed; `None` where nothing was
    /// recorded.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        // 99.9 / 100 is a little more than 0.999: of a thousand that must not be the last one.
        let quantile = (quantile - 1e-12).clamp(f64::MIN_POSITIVE, 1.0);
        let time = Duration::from_nanos(self.times_ns.value_at_quantile(quantile));
        (self.count() > 0).then(|| time.min(self.max))
    }

    /// The longest; `None` where nothing was recorded.
    pub fn max(&self) -> Option<Duration> {
        (self.count() > 0).then_some(self.max)
    }
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

/// In short: the histogram has thousands of counters.
impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Latencies");
        out.field("count", &self.count()).field("median", &self.quantile(0.5)).field("max", &self.max());
        out.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = Duration>) -> Latencies {
        let mut latencies = Latencies::new();
        times.into_iter().for_each(|time| latencies.record(time));
        latencies
    }

    #[test]
    fn quantiles_are_right_to_two_digits_and_never_too_short() {
        #[track_caller]
        fn check(latencies: &Latencies, quantile: f64, expected: Duration) {
            let found = latencies.quantile(quantile).expect("something was recorded");
            let most = expected.mul_f64(1.01) + Duration::from_nanos(512);
            assert!(expected <= found && found <= most, "{quantile}: {found:?}, not {expected:?}");
        }
        for unit in [Duration::from_micros(1), Duration::from_micros(70), Duration::from_secs(3)] {
            let latencies = of((1..=1000).map(|i| unit * i));
            for (quantile, place) in [(0.001, 1), (0.5, 500), (0.99, 990), (99.9 / 100.0, 999), (1.0, 1000)] {
                check(&latencies, quantile, unit * place);
            }
            assert_eq!((latencies.count(), latencies.max()), (1000, Some(unit * 1000)));
            assert_eq!(latencies.quantile(1.0), latencies.max(), "it is never above the longest");
        }
    }

    #[test]
    fn what_lies_outside_the_bounds_is_counted_at_them() {
        let (none, day) = (Duration::ZERO, Duration::from_secs(86_400));
        let latencies = of([none, none, day]);
        assert_eq!((latencies.count(), latencies.max()), (3, Some(day)));
        assert!(latencies.quantile(0.5).is_some_and(|time| time < Duration::from_micros(2)));
        assert!(latencies.quantile(1.0).is_some_and(|time| time >= Duration::from_secs(3600) && time < day));
        assert_eq!(of([none]).quantile(1.0), Some(none));
    }

    #[test]
    fn those_of_several_workers_are_one() {
        let time = |i: u32| Duration::from_micros(37) * i;
        let mut sum = Latencies::new();
        assert_eq!((sum.count(), sum.quantile(0.5), sum.max()), (0, None, None));
        for times in [0..0, 1..40, 40..900, 900..901] {
            sum.add(&of(times.map(time)));
        }
        let one = of((1..901).map(time));
        assert_eq!((sum.count(), sum.max()), (one.count(), one.max()));
        for quantile in [0.0, 0.3, 0.5, 0.95, 0.999, 1.0] {
            assert_eq!(sum.quantile(quantile), one.quantile(quantile));
        }
        assert_eq!(sum.quantile(2.0), sum.max());
    }

    #[test]
    fn one_takes_as_much_memory_as_it_says() {
        let bytes = Latencies::new().times_ns.distinct_values() * size_of::<u32>();
        assert!((13_000..15_000).contains(&bytes), "{bytes}");
    }
}
