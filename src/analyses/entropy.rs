//! `entropy`: the Shannon entropy of the byte histogram, in bits per byte.
//!
//! H = log2(n) - (sum of c log2(c)) / n over the counts c of the byte values that occur, n their sum
//! (C. E. Shannon, A Mathematical Theory of Communication, 1948). An empty file has 0.

use std::sync::Arc;

use super::histogram::{Form, Histogram};
use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};

/// Shannon entropy of order 0.
#[derive(Debug, Clone)]
pub struct Entropy {
    /// c log2(c) for small c: most counts of most files, and a logarithm takes 20 times a look-up.
    small: Arc<[f64; SMALL_COUNTS]>,
    form: Form,
}

const SMALL_COUNTS: usize = 1024;

const COLUMNS: &[Column] = &[Column { name: "entropy", kind: ValueKind::F64, unit: "bits per byte" }];

impl Entropy {
    /// Prepares the table of logarithms, and chooses the fastest way to count that this processor can run.
    pub fn new() -> Entropy {
        let mut small = [0.0; SMALL_COUNTS];
        for (count, entry) in small.iter_mut().enumerate() {
            *entry = times_log2(count as u64);
        }
        Entropy { small: Arc::new(small), form: Form::fastest() }
    }

    /// The entropy of a histogram, in bits per byte: always summed in the same order, so that the same counts give
    /// the same bits.
    fn of(&self, counts: &[u64; 256]) -> f64 {
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return 0.0;
        }
        // Four sums side by side: one alone waits for each addition before the next.
        let mut sums = [0.0; 4];
        let (fours, _) = counts.as_chunks::<4>();
        for four in fours {
            for (sum, &count) in sums.iter_mut().zip(four) {
                *sum += match usize::try_from(count) {
                    Ok(small) if small < SMALL_COUNTS => self.small[small],
                    _ => times_log2(count),
                };
            }
        }
        let sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        // Rounding can leave the difference a hair below zero where one value is all there is.
        ((total as f64).log2() - sum / total as f64).max(0.0)
    }
}

fn times_log2(count: u64) -> f64 {
    if count < 2 { 0.0 } else { count as f64 * (count as f64).log2() }
}

impl Default for Entropy {
    fn default() -> Entropy {
        Entropy::new()
    }
}

impl Analysis for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Measure { analysis: self.clone(), histogram: Histogram::new(self.form) })
    }
}

struct Measure {
    analysis: Entropy,
    histogram: Histogram,
}

impl Pass for Measure {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.histogram.clear();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.histogram.add(bytes);
    }

    fn join(&mut self, next: &mut dyn Pass) {
        self.histogram.join(&mut same::<Self>(next).histogram);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::F64(self.analysis.of(self.histogram.counts())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

    #[test]
    fn known_entropies() {
        #[track_caller]
        fn check(bytes: &[u8], expected: f64) {
            let mut pass = Entropy::new().pass();
            assert_eq!(answer(&mut *pass, [bytes]), [Value::F64(expected)]);
        }
        let every: Vec<u8> = (0..=255).collect();
        check(b"", 0.0);
        check(b"aaaaaaa", 0.0);
        check(b"ab", 1.0);
        check(b"aabb", 1.0);
        check(b"abcd", 2.0);
        check(&every, 8.0);
        check(&every.repeat(4096), 8.0);
        check(b"aab", 3_f64.log2() - 2.0 / 3.0);
    }

    #[test]
    fn the_table_of_logarithms_changes_no_bit() {
        let entropy = Entropy::new();
        for count in 0..SMALL_COUNTS as u64 * 2 {
            let mut counts = [0; 256];
            counts[7] = count;
            counts[9] = 3;
            let total = (count + 3) as f64;
            let expected = total.log2() - (times_log2(count) + times_log2(3)) / total;
            assert_eq!(entropy.of(&counts).to_bits(), expected.max(0.0).to_bits());
        }
    }
}
