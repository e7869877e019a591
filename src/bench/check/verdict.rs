//! From noisy comparisons to a verdict: pure, so that it can be tried on noise that is made up.
//!
//! A comparison is the logarithm of time over time: 0 is no change, 0.05 some 5 % slower. Comparisons are made until their
//! interval lies on one side of what is allowed. That it lies beyond it is a suspicion, which a second round of new
//! comparisons has to confirm: of many runs some are unlucky, but seldom twice.

use super::super::statistics::Shift;
use crate::bench::BenchError;

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not slower than allowed.
    Pass,
    /// Slower than allowed, twice.
    Regression,
    /// Too noisy to say.
    Inconclusive,
}

impl Verdict {
    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Regression => "regression",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// How a verdict came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// The shift of the logarithm of the time, over everything that was compared.
    pub shift: Shift,
    /// How many comparisons each round took: one round, or two where the first was a suspicion.
    pub rounds: Vec<usize>,
    /// Of an inconclusive one, what would decide it.
    pub advice: Option<String>,
}

/// Comparisons before the first look.
const FIRST: usize = 10;
/// And before each further one.
const MORE: usize = 5;
/// Further away than this many comparisons a decision is out of reach.
const REACH: f64 = 1000.0;

/// Makes comparisons with `take` until `shift` of them decides whether the rate drops by more than `drop_max` (0.05: 5 %), or
/// a round has `round_max` of them.
///
/// # Errors
/// Those of `take`.
pub(super) fn judge(
    drop_max: f64,
    round_max: usize,
    shift: &dyn Fn(&[f64]) -> Shift,
    take: &mut dyn FnMut() -> Result<f64, BenchError>,
) -> Result<Judged, BenchError> {
    let limit = -(1.0 - drop_max).ln();
    let mut all = Vec::new();
    let mut rounds = Vec::new();
    let first = match round(limit, round_max, shift, take, &mut all, &mut rounds) {
        Err(BenchError::Cancelled) if !all.is_empty() => return Ok(interrupted(shift, &all)),
        first => first?,
    };
    let verdict = if first == Verdict::Regression {
        let mut again = Vec::new();
        let second = round(limit, round_max, shift, take, &mut again, &mut rounds);
        all.extend(again);
        let second = match second {
            Err(BenchError::Cancelled) => return Ok(interrupted(shift, &all)),
            second => second?,
        };
        match (second, side(limit, &shift(&all))) {
            (Verdict::Pass, Some(Verdict::Pass)) => Verdict::Pass,
            (Verdict::Regression, _) => Verdict::Regression,
            _ => Verdict::Inconclusive,
        }
    } else {
        first
    };
    let shift = shift(&all);
    let advice =
        (verdict == Verdict::Inconclusive).then(|| advice(drop_max, limit, &shift, &rounds, all.len()));
    Ok(Judged { verdict, shift, rounds, advice })
}

/// What is known where it was cancelled: no verdict.
fn interrupted(shift: &dyn Fn(&[f64]) -> Shift, all: &[f64]) -> Judged {
    Judged {
        verdict: Verdict::Inconclusive,
        shift: shift(all),
        rounds: vec![all.len()],
        advice: Some("interrupted before there was a verdict".to_owned()),
    }
}

fn round(
    limit: f64,
    round_max: usize,
    shift: &dyn Fn(&[f64]) -> Shift,
    take: &mut dyn FnMut() -> Result<f64, BenchError>,
    all: &mut Vec<f64>,
    rounds: &mut Vec<usize>,
) -> Result<Verdict, BenchError> {
    let mut next = FIRST.min(round_max);
    loop {
        while all.len() < next {
            all.push(take()?);
        }
        let decided = side(limit, &shift(all));
        if decided.is_some() || next >= round_max {
            rounds.push(all.len());
            return Ok(decided.unwrap_or(Verdict::Inconclusive));
        }
        next = (next + MORE).min(round_max);
    }
}

/// On which side of the limit an interval lies.
fn side(limit: f64, shift: &Shift) -> Option<Verdict> {
    if shift.interval.high < limit {
        Some(Verdict::Pass)
    } else if shift.interval.low > limit {
        Some(Verdict::Regression)
    } else {
        None
    }
}

/// What would decide it: the width of an interval goes with the root of the number of comparisons.
fn advice(drop_max: f64, limit: f64, shift: &Shift, rounds: &[usize], count: usize) -> String {
    let asked = 100.0 * drop_max;
    if rounds.len() > 1 {
        return "two rounds do not agree: something else uses this machine now and then; try again"
            .to_owned();
    }
    let half = shift.interval.half_width();
    let away = (shift.estimate - limit).abs();
    let needed = count as f64 * (half / away).powi(2) - count as f64;
    let spread = 100.0 * half;
    if needed.is_finite() && needed <= REACH {
        let is_above = if half > limit { "above" } else { "too much for" };
        let more = needed.max(1.0).ceil();
        return format!(
            "spread {spread:.1} % is {is_above} the {asked:.1} % asked: about {more:.0} more pairs (--pairs)"
        );
    }
    if away < limit / 4.0 {
        let drop = 100.0 * (1.0 - (-shift.estimate).exp());
        return format!(
            "the change, {drop:.1} % less, is too near to the {asked:.1} % asked: ask for another --max-drop"
        );
    }
    format!(
        "spread {spread:.1} % is far above the {asked:.1} % asked: measure on a quieter machine, or a larger tree"
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::statistics::{shift_of_pairs, shift_of_samples, shuffled};
    use super::*;

    /// As if drawn from a normal distribution, now and then with a wild one; around `middle`.
    fn noise(middle: f64, deviation: f64, seed: u64) -> impl FnMut() -> Result<f64, BenchError> {
        let mut drawn = seed << 20;
        let mut even = move || {
            drawn += 1;
            shuffled(1000, drawn)[0] as f64 / 1000.0
        };
        move || {
            let normal = (0..12).map(|_| even()).sum::<f64>() - 6.0;
            let wild = if even() < 0.03 { 0.5 } else { 0.0 };
            Ok(middle + deviation * normal + wild)
        }
    }

    fn verdicts(middle: f64, deviation: f64) -> [usize; 3] {
        let mut counts = [0; 3];
        for seed in 0..60 {
            let judged = judge(0.05, 60, &shift_of_pairs, &mut noise(middle, deviation, seed));
            counts[judged.expect("noise does not fail").verdict as usize] += 1;
        }
        counts
    }

    #[test]
    fn what_is_unchanged_passes_and_what_is_slower_does_not() {
        let [passed, regressed, _] = verdicts(0.0, 0.06);
        assert!(passed >= 57 && regressed == 0, "{passed} {regressed}");
        let [passed, regressed, _] = verdicts(0.1, 0.06);
        assert!(regressed >= 55 && passed == 0, "{passed} {regressed}");
    }

    #[test]
    fn a_change_at_the_limit_and_wild_noise_are_inconclusive() {
        let judged = judge(0.05, 20, &shift_of_pairs, &mut noise(0.0, 0.4, 1)).expect("noise does not fail");
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        let advice = judged.advice.expect("it says what would decide it");
        assert!(advice.starts_with("spread ") && advice.contains("more pairs"), "{advice}");
        let mut same = || Ok(-(1.0_f64 - 0.05).ln());
        let judged = judge(0.05, 20, &shift_of_pairs, &mut same).expect("it does not fail");
        assert!(judged.advice.is_some_and(|advice| advice.contains("too near")));
        let mut last = 0.7;
        let mut to_and_fro = || {
            last = -last;
            Ok(last)
        };
        let wild = judge(0.05, 10, &shift_of_pairs, &mut to_and_fro).expect("it does not fail");
        assert!(wild.advice.is_some_and(|advice| advice.contains("quieter machine")));
    }

    #[test]
    fn a_suspicion_that_is_not_confirmed_is_no_regression() {
        let mut taken = 0;
        let mut take = || {
            taken += 1;
            Ok(if taken <= 10 { 0.2 } else { 0.001 * f64::from(taken % 3) })
        };
        let judged = judge(0.05, 30, &shift_of_pairs, &mut take).expect("it does not fail");
        assert_ne!(judged.verdict, Verdict::Regression);
        assert_eq!(judged.rounds.len(), 2);
        assert!(judged.advice.is_none_or(|advice| advice.contains("do not agree")));
    }

    #[test]
    fn what_is_interrupted_has_no_verdict() {
        let mut left = 7;
        let mut take = || {
            left -= 1;
            if left == 0 { Err(BenchError::Cancelled) } else { Ok(0.5) }
        };
        let judged = judge(0.05, 30, &shift_of_pairs, &mut take).expect("something is known");
        assert_eq!((judged.verdict, judged.rounds), (Verdict::Inconclusive, vec![6]));
        let mut at_once = || Err(BenchError::Cancelled);
        assert!(judge(0.05, 30, &shift_of_pairs, &mut at_once).is_err());
    }

    #[test]
    fn a_record_is_compared_like_pairs() {
        let mut old = noise(1.0, 0.05, 5);
        let old: Vec<f64> = (0..30).map(|_| old().expect("noise does not fail")).collect();
        let against = |new: &[f64]| shift_of_samples(new, &old);
        let same = judge(0.05, 60, &against, &mut noise(1.0, 0.05, 6)).expect("noise does not fail");
        let slower = judge(0.05, 60, &against, &mut noise(1.12, 0.05, 7)).expect("noise does not fail");
        assert_eq!((same.verdict, slower.verdict), (Verdict::Pass, Verdict::Regression));
    }
}
