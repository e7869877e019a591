//! Which points of a sweep are measured how often: pure, so that it can be tried on machines that are made up.
//!
//! First every point once, small ones before large ones: a direction in which the rate has fallen twice is followed no
//! further. Then rounds in which every point that is left is measured once, in random order, so that what disturbs the
//! machine meets all alike. Where there are many points, the better half goes on after some rounds (successive halving),
//! until a few are left, and are measured longest.

use super::super::point::Point;
use super::super::statistics::{Shift, Spread, shift_of_pairs, shuffled};
use super::Search;
use crate::bench::BenchError;
use crate::plan::Device;

/// What became of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Measured to the end.
    Ran,
    /// Slower than half of the others in a round of the halving: measured less often.
    Behind,
    /// Not measured, for the reason given.
    Skipped(String),
    /// It answered wrongly, or could not be run, as is told: its rates count for nothing.
    Failed(String),
}

/// What a run of a point gave.
pub(super) enum Taken {
    /// Files a second.
    Rate(f64),
    /// It went wrong.
    Failed(String),
}

/// More points than this are halved, where that is left open.
const MEASURED_ALL_MAX: usize = 12;
/// Rounds after which the slower half is left behind.
const ROUNDS_TO_HALVE: usize = 2;
/// So many are left in the end.
const FINALISTS: usize = 4;
/// A direction has fallen where the rate is below this share of the best in it.
const FALLEN_BELOW: f64 = 0.8;

/// The points of a sweep, and what is known of them.
pub(super) struct Race {
    points: Vec<Point>,
    /// The one that is measured to the end however slow it is: what others are compared with.
    kept: usize,
    /// Of the first run of each, which warms up.
    first: Vec<Option<f64>>,
    /// Of each counted repetition.
    pub(super) rates: Vec<Vec<f64>>,
    pub(super) fates: Vec<Fate>,
}

impl Race {
    /// `points` in the order in which they grow; `refused` says which are not to be measured.
    pub(super) fn new(points: Vec<Point>, kept: usize, refused: impl Fn(&Point) -> Option<String>) -> Race {
        let fates = points.iter().map(|point| refused(point).map_or(Fate::Ran, Fate::Skipped)).collect();
        let count = points.len();
        Race { points, kept, first: vec![None; count], rates: vec![Vec::new(); count], fates }
    }

    /// Measures what is to be measured; `take` runs a point, and is given its number and the repetition's, which is 0 for
    /// the one that warms up. On an error what was measured stays.
    pub(super) fn run(
        &mut self,
        search: Search,
        repetitions: usize,
        seed: u64,
        take: &mut dyn FnMut(usize, usize) -> Result<Taken, BenchError>,
    ) -> Result<(), BenchError> {
        for at in 0..self.points.len() {
            if self.fates[at] == Fate::Ran && search != Search::Full && at != self.kept {
                self.skip_fallen(at);
            }
            if self.fates[at] == Fate::Ran {
                match take(at, 0)? {
                    Taken::Rate(rate) => self.first[at] = Some(rate),
                    Taken::Failed(what) => self.fates[at] = Fate::Failed(what),
                }
            }
        }
        let halves = match search {
            Search::Full => false,
            Search::Halving => true,
            Search::Auto => self.running().len() > MEASURED_ALL_MAX,
        };
        let mut repetition = 0;
        if halves {
            while self.rivals().len() > FINALISTS {
                self.rounds(&mut repetition, ROUNDS_TO_HALVE, seed, take)?;
                self.halve();
            }
        }
        self.rounds(&mut repetition, repetitions, seed, take)
    }

    /// The numbers of the points that are still measured.
    fn running(&self) -> Vec<usize> {
        (0..self.points.len()).filter(|&at| self.fates[at] == Fate::Ran).collect()
    }

    /// The same, without the one that is kept.
    fn rivals(&self) -> Vec<usize> {
        self.running().into_iter().filter(|&at| at != self.kept).collect()
    }

    /// How many runs there will be at most.
    pub(super) fn runs_max(&self, search: Search, repetitions: usize) -> usize {
        let mut left = self.running().len();
        let mut runs = left;
        if search == Search::Halving || (search == Search::Auto && left > MEASURED_ALL_MAX) {
            while left > 1 + FINALISTS {
                runs += ROUNDS_TO_HALVE * left;
                left = 1 + (left - 1).div_ceil(2).max(FINALISTS);
            }
        }
        runs + left * repetitions
    }

    fn rounds(
        &mut self,
        repetition: &mut usize,
        rounds: usize,
        seed: u64,
        take: &mut dyn FnMut(usize, usize) -> Result<Taken, BenchError>,
    ) -> Result<(), BenchError> {
        for _ in 0..rounds {
            *repetition += 1;
            let running = self.running();
            for at in shuffled(running.len(), seed.wrapping_add(*repetition as u64)) {
                let at = running[at];
                match take(at, *repetition)? {
                    Taken::Rate(rate) => self.rates[at].push(rate),
                    Taken::Failed(what) => {
                        self.fates[at] = Fate::Failed(what);
                        self.rates[at].clear();
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves behind the slower half, but never so many that fewer than the finalists are left.
    fn halve(&mut self) {
        let rivals = self.rivals();
        let mut scored: Vec<(f64, usize)> = self.scores(&rivals).into_iter().zip(rivals).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let left = scored.len().div_ceil(2).max(FINALISTS);
        for (_, at) in scored.into_iter().skip(left) {
            self.fates[at] = Fate::Behind;
        }
    }

    /// The rate of each of `points` in the rounds that all of them have run, over that of the one in the middle in the same
    /// round; the median of these. What makes the machine slower for a while does so for a round as a whole.
    fn scores(&self, points: &[usize]) -> Vec<f64> {
        let speeds = self.speeds(points);
        let score = |&at: &usize| {
            let relative: Vec<f64> =
                self.rates[at].iter().zip(&speeds).map(|(rate, speed)| rate / speed).collect();
            Spread::of(&relative).median
        };
        points.iter().map(score).collect()
    }

    /// The rate of the one in the middle, by round.
    fn speeds(&self, points: &[usize]) -> Vec<f64> {
        let rounds = points.iter().map(|&at| self.rates[at].len()).min().unwrap_or(0);
        let of_round = |round| {
            let rates: Vec<f64> = points.iter().map(|&at| self.rates[at][round]).collect();
            Spread::of(&rates).median
        };
        (0..rounds).map(of_round).collect()
    }

    /// By how much the machine's speed changed from one round to another: the fastest over the slowest.
    pub(super) fn drift(&self) -> f64 {
        let speeds = self.speeds(&self.running());
        let fastest = speeds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        fastest / speeds.into_iter().fold(f64::INFINITY, f64::min)
    }

    /// By how much a point is faster than the one that is kept, as the logarithm of the ratio in the same rounds; `None`
    /// where they have not run to the end.
    pub(super) fn gain(&self, at: usize) -> Option<Shift> {
        let is_measured = |at: usize| self.fates[at] == Fate::Ran && !self.rates[at].is_empty();
        (is_measured(at) && is_measured(self.kept)).then(|| {
            let pairs = self.rates[at].iter().zip(&self.rates[self.kept]);
            let differences: Vec<f64> = pairs.map(|(rate, kept)| (rate / kept).ln()).collect();
            shift_of_pairs(&differences)
        })
    }

    /// Skips a point where the rate fell twice on the way to it: with more workers, or with larger batches.
    fn skip_fallen(&mut self, at: usize) {
        let point = &self.points[at];
        for (what, grows_in_workers) in [("more workers", true), ("larger batches", false)] {
            let is_along = |other: &Point| match grows_in_workers {
                true => {
                    (other.stage, other.batch_files) == (point.stage, point.batch_files)
                        && other.device == point.device
                        && other.workers_number() < point.workers_number()
                        && other.workers_number().is_some()
                }
                false => {
                    (other.stage, other.workers) == (point.stage, point.workers)
                        && other.device == point.device
                }
            };
            let before = (0..at).filter(|&other| is_along(&self.points[other]));
            let mut best = f64::NEG_INFINITY;
            let mut fallen = 0;
            for rate in before.filter_map(|other| self.first[other]) {
                fallen = if rate < FALLEN_BELOW * best { fallen + 1 } else { 0 };
                best = best.max(rate);
            }
            if fallen >= 2 {
                self.fates[at] = Fate::Skipped(format!("the rate fell twice with {what}"));
                return;
            }
        }
    }

    /// The fastest of those that `counts`; the one that is kept, if it counts and the fastest is not surely faster.
    pub(super) fn best(&self, counts: impl Fn(&Point) -> bool) -> Option<usize> {
        let fastest = self.fastest(&counts)?;
        let is_faster = self.gain(fastest).is_none_or(|gain| gain.interval.low > 0.0);
        Some(if is_faster || !counts(&self.points[self.kept]) { fastest } else { self.kept })
    }

    /// The fastest, round by round, among those that `counts` and that were measured longest; of those within 1 % of it the one
    /// with the fewest workers and the smallest batches, and without a GPU where that is all the same.
    fn fastest(&self, counts: &impl Fn(&Point) -> bool) -> Option<usize> {
        let of_fate = |fate: Fate| -> Vec<usize> {
            let is_one = |&at: &usize| {
                self.fates[at] == fate && !self.rates[at].is_empty() && counts(&self.points[at])
            };
            (0..self.points.len()).filter(is_one).collect()
        };
        let mut all = of_fate(Fate::Ran);
        if all.is_empty() {
            // Who is left behind counts only where nobody else does, as where the points in place are all slower than the
            // RAM disk.
            all = of_fate(Fate::Behind);
            let most = all.iter().map(|&at| self.rates[at].len()).max()?;
            all.retain(|&at| self.rates[at].len() == most);
        }
        let scored: Vec<(f64, usize)> = self.scores(&all).into_iter().zip(all).collect();
        let fastest = scored.iter().map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
        let cost = |(_, at): &(f64, usize)| {
            let point = &self.points[*at];
            (point.workers_number().unwrap_or(0), point.batch_files, point.device != Device::Cpu)
        };
        let near = scored.into_iter().filter(|(score, _)| *score >= 0.99 * fastest);
        near.min_by_key(cost).map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Staging, Workers};

    fn grid(workers: &[usize], batches: &[usize]) -> Vec<Point> {
        let point = |&workers: &usize, &batch_files: &usize| Point {
            workers: Workers::Number(workers),
            batch_files,
            stage: Staging::Read,
            ..Point::default()
        };
        workers.iter().flat_map(|workers| batches.iter().map(move |batch| point(workers, batch))).collect()
    }

    /// A machine whose rate depends on workers and batch, with noise of some percent that depends on both and the repetition.
    fn machine(points: &[Point], at: usize, repetition: usize, noise: f64) -> f64 {
        let workers = points[at].workers_number().expect("numbers alone") as f64;
        let batch = points[at].batch_files as f64;
        let rate =
            1000.0 / (1.0 + (workers.log2() - 2.0).powi(2) / 20.0 + (batch.log2() - 8.0).powi(2) / 100.0);
        let order = shuffled(1000, (at * 1000 + repetition) as u64);
        rate * (1.0 + noise * (order[0] as f64 / 1000.0 - 0.5))
    }

    fn race(points: &[Point], search: Search, noise: f64) -> (Race, usize) {
        let mut race = Race::new(points.to_vec(), 0, |_| None);
        let mut runs = 0;
        let mut take = |at: usize, repetition: usize| {
            runs += 1;
            Ok(Taken::Rate(machine(points, at, repetition, noise)))
        };
        race.run(search, 5, 7, &mut take).expect("it does not fail");
        (race, runs)
    }

    #[test]
    fn halving_finds_what_is_as_good_as_the_best_in_fewer_runs() {
        let points = grid(&[1, 2, 4, 8, 16], &[16, 64, 256, 1000, 2000, 4000, 8000, 16000]);
        let (full, full_runs) = race(&points, Search::Full, 0.1);
        let (halved, runs) = race(&points, Search::Halving, 0.1);
        assert_eq!(full_runs, 40 * 6);
        assert!(runs < 225, "{runs}");
        for (search, runs) in [(Search::Full, full_runs), (Search::Halving, runs)] {
            assert_eq!(Race::new(points.clone(), 0, |_| None).runs_max(search, 5), runs);
        }
        let best = (0..points.len()).map(|at| machine(&points, at, 0, 0.0)).fold(0.0, f64::max);
        for race in [full, halved] {
            let chosen = race.fastest(&|_: &Point| true).expect("all were measured");
            assert!(machine(&points, chosen, 0, 0.0) >= 0.95 * best, "{:?}", points[chosen]);
        }
    }

    #[test]
    fn a_direction_that_fell_twice_is_followed_no_further() {
        let points = grid(&[1, 2, 4, 8, 16, 32, 64], &[256]);
        let mut race = Race::new(points.clone(), 0, |_| None);
        let mut seen = Vec::new();
        let mut take = |at: usize, repetition: usize| {
            let workers = points[at].workers_number().expect("numbers alone");
            if repetition == 0 {
                seen.push(workers);
            }
            Ok(Taken::Rate(if workers <= 4 { 100.0 } else { 10.0 }))
        };
        race.run(Search::Auto, 3, 7, &mut take).expect("it does not fail");
        assert_eq!(seen, [1, 2, 4, 8, 16]);
        assert_eq!(race.fates[5], Fate::Skipped("the rate fell twice with more workers".to_owned()));
        assert_eq!(race.fates[6], race.fates[5]);
        // Of three that are alike the one with the fewest workers.
        assert_eq!(race.best(|_| true), Some(0));
    }

    #[test]
    fn wrong_answers_are_never_the_best() {
        let points = grid(&[1, 2], &[256]);
        let mut race = Race::new(points, 0, |_| None);
        let mut take = |at: usize, _: usize| {
            Ok(if at == 1 { Taken::Failed("blake3".to_owned()) } else { Taken::Rate(1.0) })
        };
        race.run(Search::Full, 3, 7, &mut take).expect("it does not fail");
        assert_eq!(race.best(|_| true), Some(0));
        assert_eq!(race.fates[1], Fate::Failed("blake3".to_owned()));
        assert_eq!(race.rates[1], [0.0; 0]);
    }

    #[test]
    fn a_machine_that_changes_its_speed_changes_nothing() {
        let points = grid(&[1, 2, 4, 8, 16], &[16, 64, 256, 1000]);
        let mut race = Race::new(points.clone(), 3, |_| None);
        // Half as fast in every second round.
        let mut take = |at: usize, repetition: usize| {
            let speed = if repetition.is_multiple_of(2) { 1.0 } else { 0.5 };
            Ok(Taken::Rate(speed * machine(&points, at, repetition, 0.02)))
        };
        race.run(Search::Halving, 6, 7, &mut take).expect("it does not fail");
        let chosen = race.best(|_| true).expect("all were measured");
        let best = (0..points.len()).map(|at| machine(&points, at, 0, 0.0)).fold(0.0, f64::max);
        assert!(machine(&points, chosen, 0, 0.0) >= 0.97 * best, "{:?}", points[chosen]);
        assert!((1.9..2.1).contains(&race.drift()), "{}", race.drift());
        let gain = race.gain(chosen).expect("both ran to the end");
        let truth = (machine(&points, chosen, 0, 0.0) / machine(&points, 3, 0, 0.0)).ln();
        assert!((gain.estimate - truth).abs() < 0.02, "{gain:?} {truth}");
    }

    #[test]
    fn a_round_that_was_broken_off_does_not_choose() {
        let mut race = Race::new(grid(&[1, 2, 4], &[256]), 0, |_| None);
        let mut take = |at: usize, _: usize| Ok(Taken::Rate([1.0, 3.0, 2.0][at]));
        race.run(Search::Full, 8, 7, &mut take).expect("it does not fail");
        race.rates[0].push(1.0);
        assert_eq!(race.best(|_| true), Some(1));
        assert_eq!(race.best(|point| point.workers_number() != Some(2)), Some(2));
    }

    #[test]
    fn the_defaults_are_the_best_if_nothing_is_surely_faster() {
        // The second one is faster in most rounds, the third one in all.
        let rates = |faster: f64| {
            move |at: usize, repetition: usize| {
                let noise = if repetition.is_multiple_of(3) { 0.97 } else { 1.03 };
                Ok(Taken::Rate([1.0, noise, faster][at]))
            }
        };
        let mut race = Race::new(grid(&[1, 2, 4], &[256]), 0, |_| None);
        race.run(Search::Full, 9, 7, &mut rates(0.5)).expect("it does not fail");
        assert_eq!(race.fastest(&|_| true), Some(1));
        assert_eq!(race.best(|_| true), Some(0));
        // What does not count is not the best either.
        assert_eq!(race.best(|point| point.workers_number() != Some(1)), Some(1));
        let mut race = Race::new(grid(&[1, 2, 4], &[256]), 0, |_| None);
        race.run(Search::Full, 9, 7, &mut rates(1.5)).expect("it does not fail");
        assert_eq!(race.best(|_| true), Some(2));
    }

    #[test]
    fn what_was_measured_before_an_interrupt_stays() {
        let points = grid(&[1, 2, 4], &[256]);
        let mut race =
            Race::new(points, 0, |point| (point.workers_number() == Some(4)).then(|| "why".to_owned()));
        let mut left = 4;
        let mut take = |at: usize, _: usize| {
            left -= 1;
            if left == 0 { Err(BenchError::Cancelled) } else { Ok(Taken::Rate(at as f64)) }
        };
        assert!(matches!(race.run(Search::Full, 3, 7, &mut take), Err(BenchError::Cancelled)));
        assert_eq!(race.rates.iter().map(Vec::len).sum::<usize>(), 1);
        assert_eq!(race.fates[2], Fate::Skipped("why".to_owned()));
    }
}
