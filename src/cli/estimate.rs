//! The time left of a run, from its past: seconds a file and seconds a byte.
//!
//! Both are fitted to the recent past. Small files cost by their number, large ones by their bytes, and a tree has both: a
//! share of files alone, or of bytes alone, is wrong by as much as the mix changes along the way. If the past does not
//! separate the two, as files and bytes went by at the same pace, the kind of work does: analyses take their time by bytes,
//! opening and reading small files by their number. Pure: the caller has the clock.

use std::time::Duration;

use filemill::control::Total;

/// A step of the fit: shorter ones are mostly noise, as records arrive by the batch.
const STEP: Duration = Duration::from_millis(250);
/// Before so much of a round is over, too little is known.
const STEPS_MIN: u32 = 4;
/// Steps after the count of files that show by how much the count slowed the run.
const COUNTED_STEPS_MIN: u32 = 3;
/// A step counts for half as much after this share of the time so far, but not before `HALF_LIFE_MIN`: a rate that changes, as
/// when a cache is at its end, is noticed; one large file does not make all others forgotten.
const HALF_LIFE_SHARE: f64 = 0.2;
const HALF_LIFE_MIN: f64 = 2.0;
/// How much a step before the end of the count counts beside one after it. Its time is put right, but not its noise.
const COUNTED: f64 = 0.15;
/// How much the division of the work counts beside the fit, by its steps.
const WORK: f64 = 0.05;

/// The work done at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    /// Since the round began.
    pub(super) elapsed: Duration,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Share of the workers' time that went into analyses, from 0 to 1.
    pub(super) analysed: f64,
}

/// The time left, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Everything to be done is known.
    About(Duration),
    /// More is still being found.
    AtLeast(Duration),
}

/// The history of one round.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    last: Done,
    steps: u32,
    sums: Sums,
    /// Steps since all files are counted; `None`: they are not.
    counted_steps: Option<u32>,
    /// The steps before that, until it is known by how much the count slowed them.
    before: Option<Sums>,
}

/// Weighted sums over the steps: of files, bytes and seconds, and of their products.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weight: f64,
    files: f64,
    bytes: f64,
    seconds: f64,
    files_files: f64,
    files_bytes: f64,
    bytes_bytes: f64,
    files_seconds: f64,
    bytes_seconds: f64,
}

impl Estimate {
    /// Takes note of the work done by now, and whether all files are counted. Call it often.
    pub(super) fn observe(&mut self, done: Done, is_counted: bool) {
        if is_counted && self.counted_steps.is_none() {
            self.counted_steps = Some(0);
            // A count that ended before the first step has not slowed the run.
            if self.steps > 0 {
                self.add(done);
                self.before = Some(std::mem::take(&mut self.sums));
            }
        }
        if done.elapsed.saturating_sub(self.last.elapsed) < STEP {
            return;
        }
        self.add(done);
        self.counted_steps = self.counted_steps.map(|steps| steps + 1);
        if self.counted_steps.is_some_and(|steps| steps >= COUNTED_STEPS_MIN)
            && let Some(before) = self.before.take()
        {
            self.sums.take(before, done.analysed);
        }
    }

    /// Adds the step that ends here.
    fn add(&mut self, done: Done) {
        let since = done.elapsed.saturating_sub(self.last.elapsed);
        let half_life = (HALF_LIFE_SHARE * done.elapsed.as_secs_f64()).max(HALF_LIFE_MIN);
        let files = done.files.saturating_sub(self.last.files) as f64;
        let bytes = done.bytes.saturating_sub(self.last.bytes) as f64;
        self.sums.fade(0.5_f64.powf(since.as_secs_f64() / half_life));
        self.sums.add(files, bytes, since.as_secs_f64());
        self.last = done;
        self.steps += 1;
    }

    /// The time left, if enough was seen.
    pub(super) fn left(&self, done: Done, total: Option<Total>) -> Option<Left> {
        let total = total?;
        if self.steps < STEPS_MIN || self.before.is_some() || done.files > total.files {
            return None;
        }
        let files = (total.files - done.files) as f64;
        let (a_file, a_byte) = match total.bytes {
            Some(_) => self.sums.costs(done.analysed)?,
            None => (self.sums.seconds / Some(self.sums.files).filter(|files| *files > 0.0)?, 0.0),
        };
        let bytes = total.bytes.map_or(0, |bytes| bytes.saturating_sub(done.bytes)) as f64;
        let seconds = files * a_file + bytes * a_byte;
        let left = Duration::try_from_secs_f64(seconds).ok()?;
        Some(if total.is_all { Left::About(left) } else { Left::AtLeast(left) })
    }
}

impl Sums {
    fn fade(&mut self, by: f64) {
        let Sums { weight, files, bytes, seconds, .. } = self;
        let products = [
            &mut self.files_files,
            &mut self.files_bytes,
            &mut self.bytes_bytes,
            &mut self.files_seconds,
            &mut self.bytes_seconds,
        ];
        [weight, files, bytes, seconds].into_iter().chain(products).for_each(|sum| *sum *= by);
    }

    fn add(&mut self, files: f64, bytes: f64, seconds: f64) {
        self.weight += 1.0;
        self.files += files;
        self.bytes += bytes;
        self.seconds += seconds;
        self.files_files += files * files;
        self.files_bytes += files * bytes;
        self.bytes_bytes += bytes * bytes;
        self.files_seconds += files * seconds;
        self.bytes_seconds += bytes * seconds;
    }

    /// Takes steps from before the end of the count, which took some of the machine: their files and bytes in the time that they
    /// would take now, if that is less.
    fn take(&mut self, before: Sums, by_bytes: f64) {
        let Some((a_file, a_byte)) = before.costs(by_bytes) else { return };
        let expected = self.files * a_file + self.bytes * a_byte;
        let pace = if expected > 0.0 { (self.seconds / expected).min(1.0) } else { 1.0 };
        self.weight += COUNTED * before.weight;
        self.files += COUNTED * before.files;
        self.bytes += COUNTED * before.bytes;
        self.seconds += COUNTED * before.seconds * pace;
        self.files_files += COUNTED * before.files_files;
        self.files_bytes += COUNTED * before.files_bytes;
        self.bytes_bytes += COUNTED * before.bytes_bytes;
        self.files_seconds += COUNTED * before.files_seconds * pace;
        self.bytes_seconds += COUNTED * before.bytes_seconds * pace;
    }

    /// Seconds a file and seconds a byte that explain the steps best, neither below 0, and their sum the time that went by.
    /// Without other evidence this share of it is by bytes.
    fn costs(&self, by_bytes: f64) -> Option<(f64, f64)> {
        if self.seconds <= 0.0 || (self.files <= 0.0 && self.bytes <= 0.0) {
            return None;
        }
        // In units of an average step, both are numbers around 1, and so is the time.
        let (files, bytes) = (self.files / self.weight, self.bytes / self.weight);
        let seconds = self.seconds / self.weight;
        let of = |sum: f64, unit: f64| if unit > 0.0 { sum / unit } else { 0.0 };
        let work = WORK * self.weight;
        let xx = of(self.files_files, files * files) + work;
        let yy = of(self.bytes_bytes, bytes * bytes) + work;
        let xy = of(self.files_bytes, files * bytes);
        let xt = of(self.files_seconds, files * seconds) + work * (1.0 - by_bytes);
        let yt = of(self.bytes_seconds, bytes * seconds) + work * by_bytes;
        let determinant = xx * yy - xy * xy;
        let (by_files, by_bytes) = if files <= 0.0 {
            (0.0, 1.0)
        } else if bytes <= 0.0 {
            (1.0, 0.0)
        } else {
            let by_files = ((xt * yy - yt * xy) / determinant).max(0.0);
            let by_bytes = ((yt * xx - xt * xy) / determinant).max(0.0);
            (by_files, by_bytes)
        };
        let sum = by_files + by_bytes;
        if !sum.is_finite() || sum <= 0.0 {
            return None;
        }
        Some((of(by_files / sum * seconds, files), of(by_bytes / sum * seconds, bytes)))
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of made-up files")]
mod tests {
    use super::*;

    /// A file of a made-up run.
    #[derive(Clone, Copy)]
    struct File {
        bytes: u64,
        seconds: f64,
        /// Of the seconds.
        analysed: f64,
    }

    /// The state of a made-up run at a moment: files are read one after the other, and counted in batches.
    fn done_at(files: &[File], at: f64, batch: usize) -> Done {
        let (mut clock, mut done) = (0.0, Done { elapsed: Duration::from_secs_f64(at), ..Done::default() });
        let mut analysed = 0.0;
        for (number, file) in files.iter().enumerate() {
            if clock + file.seconds > at {
                let share = ((at - clock) / file.seconds).clamp(0.0, 1.0);
                done.bytes += (file.bytes as f64 * share) as u64;
                analysed += file.analysed * share;
                break;
            }
            clock += file.seconds;
            analysed += file.analysed;
            done.bytes += file.bytes;
            if (number + 1) % batch == 0 || number + 1 == files.len() {
                done.files = number as u64 + 1;
            }
        }
        done.analysed = if at > 0.0 { (analysed / at).min(1.0) } else { 0.0 };
        done
    }

    /// Runs the clock over a made-up run. From a fifth of it on, the time shown is within 1.5 times the truth, or a second of it.
    #[track_caller]
    fn check(what: &str, files: &[File], batch: usize) {
        let seconds: f64 = files.iter().map(|file| file.seconds).sum();
        let bytes = files.iter().map(|file| file.bytes).sum();
        let total = Total { files: files.len() as u64, bytes: Some(bytes), is_all: true };
        let mut estimate = Estimate::default();
        let mut at = 0.1;
        while at < seconds {
            let done = done_at(files, at, batch);
            estimate.observe(done, true);
            let left = seconds - at;
            if at >= 0.2 * seconds {
                let Some(Left::About(shown)) = estimate.left(done, Some(total)) else {
                    panic!("{what}: nothing is shown at {at:.1} s of {seconds:.1}");
                };
                let shown = shown.as_secs_f64();
                let ratio = (shown / left).max(left / shown);
                assert!(
                    ratio <= 1.5 || (shown - left).abs() <= 1.0,
                    "{what}: {shown:.1} s instead of {left:.1} at {at:.1} s of {seconds:.1}"
                );
            }
            at += 0.1;
        }
    }

    /// Numbers that look random, from 0 to 1.
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1_u64 << 31) as f64
        }
    }

    const A_FILE: f64 = 30e-6;
    const A_BYTE: f64 = 1.0 / 40e6;

    fn file(bytes: u64, a_file: f64, a_byte: f64) -> File {
        // A part of what a byte costs is reading it.
        let by_bytes = bytes as f64 * a_byte;
        File { bytes, seconds: a_file + by_bytes, analysed: 0.8 * by_bytes }
    }

    #[test]
    fn the_time_left_of_a_warm_tree_is_right() {
        // Sizes as in a source tree; large headers lie together at the end.
        let mut noise = noise(1);
        let mut files: Vec<File> =
            (0..60_000).map(|_| file((2000.0 / (noise() + 0.02)) as u64, A_FILE, A_BYTE)).collect();
        files.extend((0..200).map(|_| file(1_500_000, A_FILE, A_BYTE)));
        check("warm", &files, 256);
    }

    #[test]
    fn the_time_left_of_a_cold_tree_is_right() {
        // A file waits for the disk, now longer and now shorter.
        let mut noise = noise(2);
        let files: Vec<File> = (0..40_000)
            .map(|_| file((8000.0 * noise()) as u64, 400e-6 * (0.3 + 1.4 * noise()), A_BYTE))
            .collect();
        check("cold", &files, 256);
    }

    #[test]
    fn the_time_left_of_one_large_file_is_right() {
        check("one large file", &[file(690_000_000, A_FILE, A_BYTE)], 1);
        // Among small ones, in the middle and at the end.
        let small = vec![file(3000, A_FILE, A_BYTE); 30_000];
        let large = [file(690_000_000, A_FILE, A_BYTE)];
        check("a large file between small ones", &[&small[..], &large, &small].concat(), 64);
        check("a large file at the end", &[&small[..], &small, &large].concat(), 64);
    }

    #[test]
    fn the_time_left_of_many_small_files_is_right() {
        check("empty files", &vec![file(0, A_FILE, A_BYTE); 200_000], 256);
        check("small files", &vec![file(700, A_FILE, A_BYTE); 200_000], 256);
        check("large batches", &vec![file(700, A_FILE, A_BYTE); 200_000], 4096);
    }

    #[test]
    fn a_rate_that_changes_is_noticed() {
        // The first third was in memory.
        let fast = vec![file(4000, A_FILE, 1.0 / 400e6); 60_000];
        let slow = vec![file(4000, 300e-6, A_BYTE); 30_000];
        let files = [&fast[..], &slow].concat();
        let seconds: f64 = files.iter().map(|file| file.seconds).sum();
        let total = Total { files: 90_000, bytes: Some(360_000_000), is_all: true };
        let mut estimate = Estimate::default();
        let mut at = 0.0;
        while at < 0.75 * seconds {
            at += 0.1;
            estimate.observe(done_at(&files, at, 256), true);
        }
        let Some(Left::About(left)) = estimate.left(done_at(&files, at, 256), Some(total)) else {
            panic!("nothing is shown");
        };
        let ratio = left.as_secs_f64() / (seconds - at);
        assert!((0.66..1.5).contains(&ratio), "{ratio}");
    }

    #[test]
    fn what_the_count_took_is_no_matter_once_it_is_over() {
        // A machine that is half as fast while files are counted, for the first fifth.
        let slow = vec![file(4000, 2.0 * A_FILE, 2.0 * A_BYTE); 10_000];
        let fast = vec![file(4000, A_FILE, A_BYTE); 50_000];
        let files = [&slow[..], &fast].concat();
        let seconds: f64 = files.iter().map(|file| file.seconds).sum();
        let counted_at: f64 = slow.iter().map(|file| file.seconds).sum();
        let total = Total { files: 60_000, bytes: Some(240_000_000), is_all: true };
        let mut estimate = Estimate::default();
        let mut at = 0.0;
        let mut shown = 0;
        while at < counted_at + 1.1 {
            at += 0.1;
            estimate.observe(done_at(&files, at, 256), at > counted_at);
            if at > counted_at
                && let Some(Left::About(left)) = estimate.left(done_at(&files, at, 256), Some(total))
            {
                shown += 1;
                let ratio = left.as_secs_f64() / (seconds - at);
                assert!((0.8..1.25).contains(&ratio), "{ratio} at {at:.1} s, counted at {counted_at:.1}");
            }
        }
        assert!(shown > 0);
    }

    #[test]
    fn nothing_is_said_before_something_is_known() {
        let mut estimate = Estimate::default();
        let total = Some(Total { files: 100, bytes: Some(1000), is_all: false });
        let done = |tenths: u64| Done {
            elapsed: Duration::from_millis(100 * tenths),
            files: tenths,
            bytes: 10 * tenths,
            analysed: 0.5,
        };
        assert_eq!(estimate.left(done(0), total), None);
        (0..20).for_each(|tenths| estimate.observe(done(tenths), false));
        assert_eq!(estimate.left(done(20), None), None);
        let Some(Left::AtLeast(left)) = estimate.left(done(20), total) else { panic!("it is known") };
        assert!((7.0..9.0).contains(&left.as_secs_f64()), "{left:?}");
        // More was done than is known: the count has only just begun.
        let few = Some(Total { files: 10, bytes: Some(100), is_all: false });
        assert_eq!(estimate.left(done(20), few), None);
        // Without sizes, by files alone.
        let unsized_total = Some(Total { files: 40, bytes: None, is_all: true });
        let Some(Left::About(left)) = estimate.left(done(20), unsized_total) else { panic!("it is known") };
        assert!((1.9..2.1).contains(&left.as_secs_f64()), "{left:?}");
    }
}
