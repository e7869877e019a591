//! `entropy`: the Shannon entropy of the byte histogram, in bits per byte.
//!
//! H = log2(n) - (sum of c log2(c)) / n over the counts c of the byte values that occur, n their sum
//! (C. E. Shannon, A Mathematical Theory of Communication, 1948). An empty file has 0.

use std::sync::Arc;

use super::{Analysis, Pass};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};

/// Shannon entropy of order 0.
#[derive(Debug, Clone)]
pub struct Entropy {
    /// c log2(c) for small c: most counts of most files, and a logarithm takes 20 times a look-up.
    small: Arc<[f64; SMALL_COUNTS]>,
}

const SMALL_COUNTS: usize = 1024;

const COLUMNS: &[Column] = &[Column { name: "entropy", kind: ValueKind::F64, unit: "bits per byte" }];

impl Entropy {
    /// Prepares the table of logarithms.
    pub fn new() -> Entropy {
        let mut small = [0.0; SMALL_COUNTS];
        for (count, entry) in small.iter_mut().enumerate() {
            *entry = times_log2(count as u64);
        }
        Entropy { small: Arc::new(small) }
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

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Measure { analysis: self.clone(), histogram: Box::default() })
    }
}

struct Measure {
    analysis: Entropy,
    histogram: Box<Histogram>,
}

impl Pass for Measure {
    fn begin(&mut self, _: &FileRecord<'_>) {
        self.histogram.clear();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.histogram.add(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::F64(self.analysis.of(&self.histogram.counts())));
    }
}

/// How often each byte value occurs.
///
/// Eight tables take turns, one a byte of each 64-bit word: with a single one, equal neighbours wait for each
/// other's store. Over source text one table counts 2.0 GB/s, four 3.2 to 3.4, eight 3.5, which is one store a
/// cycle. Counting pairs of bytes reaches 4.5 GB/s on 128 KiB, but folding 65,536 counters costs small files more
/// than it gains (ops/engine.md, "Histogram").
#[derive(Debug, Clone)]
pub struct Histogram {
    tables: [[u32; 256]; TABLES],
    /// What was moved out of the tables before they could overflow.
    moved: [u64; 256],
    has_moved: bool,
    /// Bytes counted in the tables.
    pending_bytes: usize,
}

const TABLES: usize = 8;

/// Far below where a 32-bit counter overflows, also summed over the tables.
const PENDING_BYTES_MAX: usize = 1 << 30;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { tables: [[0; 256]; TABLES], moved: [0; 256], has_moved: false, pending_bytes: 0 }
    }
}

impl Histogram {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tables.as_flattened_mut().fill(0);
        if self.has_moved {
            self.moved.fill(0);
            self.has_moved = false;
        }
        self.pending_bytes = 0;
    }

    /// Counts `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(PENDING_BYTES_MAX) {
            if self.pending_bytes + bytes.len() > PENDING_BYTES_MAX {
                let counts = self.counts();
                *self = Histogram { moved: counts, has_moved: true, ..Histogram::default() };
            }
            self.pending_bytes += bytes.len();
            self.count(bytes);
        }
    }

    fn count(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            let word = u64::from_le_bytes(*word).to_le_bytes();
            for (table, byte) in self.tables.iter_mut().zip(word) {
                table[usize::from(byte)] += 1;
            }
        }
        for &byte in rest {
            self.tables[0][usize::from(byte)] += 1;
        }
    }

    /// The counts so far, by byte value.
    pub fn counts(&self) -> [u64; 256] {
        let [mut pending, others @ ..] = self.tables;
        for table in &others {
            for (count, more) in pending.iter_mut().zip(table) {
                *count += more;
            }
        }
        let mut counts = pending.map(u64::from);
        if self.has_moved {
            for (count, more) in counts.iter_mut().zip(self.moved) {
                *count += more;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyses::answer;

    fn counts_plain(bytes: &[u8]) -> [u64; 256] {
        let mut counts = [0; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        counts
    }

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

    #[test]
    fn tables_are_emptied_before_they_overflow() {
        let mut histogram = Histogram::default();
        histogram.add(b"abc");
        histogram.pending_bytes = PENDING_BYTES_MAX;
        histogram.add(b"a");
        assert_eq!(histogram.pending_bytes, 1);
        assert_eq!(histogram.counts(), counts_plain(b"abca"));
    }

    proptest! {
        #[test]
        fn the_histogram_agrees_with_plain_counting(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8)
        ) {
            let mut histogram = Histogram::default();
            for block in &blocks {
                histogram.add(block);
            }
            prop_assert_eq!(histogram.counts(), counts_plain(&blocks.concat()));
        }
    }
}
