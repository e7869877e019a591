//! Medians, spreads, and intervals for what a change does; robust, as machines are noisy.

use twox_hash::XxHash3_64;

/// Numbers of one kind, summed up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Standard deviation over mean: the coefficient of variation. 0 where there are fewer than two.
    pub variation: f64,
    /// Where the median of the source lies, with a confidence of 95 % or the nearest that so few allow (order statistics).
    pub interval: Interval,
}

/// From where to where something lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Half of its width.
    pub fn half_width(&self) -> f64 {
        (self.high - self.low) / 2.0
    }
}

/// Of the normal distribution, for a confidence of 95 % on two sides.
const Z: f64 = 1.96;

impl Spread {
    /// Sums up; of no numbers everything is NaN.
    pub fn of(numbers: &[f64]) -> Spread {
        let sorted = sorted(numbers.to_vec());
        let (count, nan) = (sorted.len(), f64::NAN);
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|number| (number - mean).powi(2)).sum();
        let variation = if count < 2 { 0.0 } else { (squares / (count - 1) as f64).sqrt() / mean };
        let first = sorted.first().copied().unwrap_or(nan);
        let last = sorted.last().copied().unwrap_or(nan);
        // Binomial: how many of the numbers lie below the true median.
        let below = rank(count as f64 / 2.0 - Z * (count as f64).sqrt() / 2.0, count);
        let interval = match count {
            0 => Interval { low: nan, high: nan },
            _ => Interval { low: sorted[below], high: sorted[count - 1 - below] },
        };
        Spread { count, median: median(&sorted), min: first, max: last, variation, interval }
    }
}

/// By how much something is shifted, and where the true shift lies with a confidence of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The estimate.
    pub estimate: f64,
    /// Its interval.
    pub interval: Interval,
}

/// The shift of paired differences from 0: the median of the means of all pairs of differences (Hodges and Lehmann,
/// 1963), with the interval that belongs to Wilcoxon's signed-rank test in its normal approximation. With fewer than six
/// differences nothing can be said with that confidence: the interval then has no ends.
pub fn shift_of_pairs(differences: &[f64]) -> Shift {
    let n = differences.len();
    let mut means = Vec::with_capacity(n * (n + 1) / 2);
    for (i, a) in differences.iter().enumerate() {
        means.extend(differences[i..].iter().map(|b| (a + b) / 2.0));
    }
    let count = n as f64;
    let middle = count * (count + 1.0) / 4.0;
    let deviation = (count * (count + 1.0) * (2.0 * count + 1.0) / 24.0).sqrt();
    shift(sorted(means), middle - Z * deviation, n >= 6)
}

/// The shift of `new` against `old`, which are no pairs: the median of all differences (Hodges and Lehmann), with
/// the interval that belongs to the test of Mann, Whitney and Wilcoxon in its normal approximation.
pub fn shift_of_samples(new: &[f64], old: &[f64]) -> Shift {
    let differences = new.iter().flat_map(|new| old.iter().map(move |old| new - old)).collect();
    let (n, m) = (new.len() as f64, old.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    shift(sorted(differences), n * m / 2.0 - Z * deviation, new.len().min(old.len()) >= 4)
}

fn shift(sorted: Vec<f64>, rank_low: f64, is_enough: bool) -> Shift {
    let count = sorted.len();
    let interval = if is_enough && count > 0 {
        let below = rank(rank_low, count);
        Interval { low: sorted[below], high: sorted[count - 1 - below] }
    } else {
        Interval { low: f64::NEG_INFINITY, high: f64::INFINITY }
    };
    Shift { estimate: median(&sorted), interval }
}

/// A place among `count` sorted numbers, in their lower half.
fn rank(at: f64, count: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 0, and cut to the half"
    )]
    let at = at.max(0.0).floor() as usize;
    at.min(count.saturating_sub(1) / 2)
}

/// The one in the middle of sorted numbers; NaN where there are none.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The numbers below `count` in an order that depends on `seed` alone.
pub(crate) fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_cached_key(|at| XxHash3_64::oneshot_with_seed(seed, &at.to_le_bytes()));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as if drawn from a normal distribution: the sum of twelve even ones.
    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let even = |i: usize, j: u64| {
            let bits = XxHash3_64::oneshot_with_seed(seed, &[i.to_le_bytes(), j.to_le_bytes()].concat());
            bits as f64 / u64::MAX as f64
        };
        (0..count).map(|i| (0..12).map(|j| even(i, j)).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn a_spread_sums_up() {
        let spread = Spread::of(&[3.0, 1.0, 2.0, 4.0]);
        assert_eq!((spread.count, spread.median, spread.min, spread.max), (4, 2.5, 1.0, 4.0));
        assert!((spread.variation - 0.516_397_779).abs() < 1e-6);
        assert!(Spread::of(&[]).median.is_nan());
        let one = Spread::of(&[7.0]);
        assert_eq!((one.median, one.variation, one.interval), (7.0, 0.0, Interval { low: 7.0, high: 7.0 }));
    }

    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        #[track_caller]
        fn check(inside: impl Fn(u64) -> Interval, truth: f64) {
            let held = (0..1000).filter(|&seed| {
                let interval = inside(seed);
                interval.low <= truth && truth <= interval.high
            });
            let held = held.count();
            assert!((920..=990).contains(&held), "{held} of 1000");
        }
        check(|seed| Spread::of(&noise(25, seed)).interval, 0.0);
        check(|seed| shift_of_pairs(&noise(15, seed)).interval, 0.0);
        check(
            |seed| {
                let new: Vec<f64> = noise(15, seed).iter().map(|noise| noise + 3.0).collect();
                shift_of_samples(&new, &noise(20, seed + 1000)).interval
            },
            3.0,
        );
    }

    #[test]
    fn few_numbers_prove_nothing() {
        let shift = shift_of_pairs(&[1.0, 1.0, 1.0]);
        assert_eq!(shift.estimate, 1.0);
        assert!(shift.interval.low < -1e9 && shift.interval.high > 1e9);
    }

    #[test]
    fn one_wild_number_moves_little() {
        let mut differences = noise(20, 1);
        let before = shift_of_pairs(&differences);
        differences[3] = 1e6;
        assert!((shift_of_pairs(&differences).estimate - before.estimate).abs() < 0.3);
    }

    #[test]
    fn an_order_holds_every_number_once_and_depends_on_the_seed() {
        let one = shuffled(40, 1);
        assert_eq!((0..40).filter(|at| one.contains(at)).count(), 40);
        assert_ne!(one, shuffled(40, 2));
        assert_eq!(one, shuffled(40, 1));
    }
}
