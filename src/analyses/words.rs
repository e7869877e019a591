//! `words`: maximal runs of bytes other than 0x09 to 0x0D and 0x20.
//!
//! Agrees with `wc -w` in the C locale on printable ASCII; bytes that `wc` does not count as printable start a
//! word here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};
use crate::simd::{Level, Simd};

/// Counts words.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    simd: Simd,
}

const COLUMNS: &[Column] = &[Column { name: "words", kind: ValueKind::U64, unit: "words" }];

impl Words {
    /// Chooses the fastest form that this processor can run.
    pub fn new() -> Words {
        Words { simd: Simd::best() }
    }
}

impl Default for Words {
    fn default() -> Words {
        Words::new()
    }
}

impl Analysis for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        let (simd, shared) = (self.simd, None);
        Box::new(Count { simd, words: 0, line_feeds: 0, in_word: false, begins_in_word: None, shared })
    }
}

pub(super) struct Count {
    simd: Simd,
    words: u64,
    /// Right only if `shared` is set.
    line_feeds: u64,
    /// Whether the byte before the next block belongs to a word.
    in_word: bool,
    /// Whether the first byte belongs to a word, which may have begun before this part.
    begins_in_word: Option<bool>,
    /// The line feeds of the file, if the pass of `lines` takes them from here.
    shared: Option<Arc<AtomicU64>>,
}

impl Count {
    /// Counts line feeds as well, from the next file on: one look at the bytes for both.
    pub(super) fn share_line_feeds(&mut self, shared: Arc<AtomicU64>) {
        self.shared = Some(shared);
    }

    fn publish(&self) {
        if let Some(shared) = &self.shared {
            shared.store(self.line_feeds, Ordering::Relaxed);
        }
    }
}

impl Pass for Count {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.words = 0;
        self.line_feeds = 0;
        self.publish();
        self.in_word = false;
        self.begins_in_word = None;
    }

    fn block(&mut self, bytes: &[u8]) {
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return };
        self.begins_in_word.get_or_insert(!is_space(first));
        let found = match self.shared {
            None => count::<false>(self.simd, bytes),
            Some(_) => count::<true>(self.simd, bytes),
        };
        self.words += u64::from(!self.in_word && !is_space(first)) + found.starts;
        self.line_feeds += u64::from(first == b'\n') + found.line_feeds;
        self.in_word = !is_space(last);
        self.publish();
    }

    fn join(&mut self, next: &mut dyn Pass) {
        let next = same::<Self>(next);
        let goes_on = self.in_word && next.begins_in_word == Some(true);
        self.words += next.words - u64::from(goes_on);
        self.line_feeds += next.line_feeds;
        self.publish();
        self.in_word = next.in_word;
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(self.words));
    }
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte.wrapping_sub(0x09) < 5
}

/// Counts in a block, its first byte left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Starts of words.
    starts: u64,
    /// 0 unless they are counted.
    line_feeds: u64,
}

/// Counts in `bytes`, its first byte left out, by lanes: written so that the compiler turns each step into whole-vector instructions of the width
/// that the caller's target features allow. Measured against hand-written masks: no slower (benches/analyses.rs).
#[inline(always)]
fn count_by_lanes<const LINE_FEEDS: bool>(bytes: &[u8]) -> Counts {
    const LANES: usize = 64;
    // A lane counts at most one of each a step: 255 steps fit its byte.
    const CHUNK_BYTES: usize = LANES * 255;
    let mut found = Counts::default();
    let Some(after) = bytes.get(1..) else { return found };
    let before = &bytes[..after.len()];
    for (before, after) in before.chunks(CHUNK_BYTES).zip(after.chunks(CHUNK_BYTES)) {
        let (before, before_rest) = before.as_chunks::<LANES>();
        let (after, after_rest) = after.as_chunks::<LANES>();
        let (mut starts, mut line_feeds) = ([0_u8; LANES], [0_u8; LANES]);
        for (before, after) in before.iter().zip(after) {
            for lane in 0..LANES {
                starts[lane] += u8::from(is_space(before[lane]) & !is_space(after[lane]));
                if LINE_FEEDS {
                    line_feeds[lane] += u8::from(after[lane] == b'\n');
                }
            }
        }
        let sum = |lanes: [u8; LANES]| lanes.iter().map(|&lane| u64::from(lane)).sum::<u64>();
        found.starts += sum(starts);
        found.line_feeds += sum(line_feeds);
        for (&before, &after) in before_rest.iter().zip(after_rest) {
            found.starts += u64::from(is_space(before) & !is_space(after));
            found.line_feeds += u64::from(LINE_FEEDS && after == b'\n');
        }
    }
    found
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn count_avx2<const LINE_FEEDS: bool>(bytes: &[u8]) -> Counts {
    count_by_lanes::<LINE_FEEDS>(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn count_avx512<const LINE_FEEDS: bool>(bytes: &[u8]) -> Counts {
    count_by_lanes::<LINE_FEEDS>(bytes)
}

/// The same, faster where the processor allows.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
fn count<const LINE_FEEDS: bool>(simd: Simd, bytes: &[u8]) -> Counts {
    match simd.level() {
        Level::Lanes => count_by_lanes::<LINE_FEEDS>(bytes),
        // SAFETY: A `Simd` is of a level that this processor was found to have; otherwise the worst case is an illegal
        // instruction. The body is safe code.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { count_avx2::<LINE_FEEDS>(bytes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { count_avx512::<LINE_FEEDS>(bytes) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyses::answer;

    /// The definition that every form keeps to.
    fn count_plain(bytes: &[u8]) -> Counts {
        let starts = bytes.windows(2).filter(|pair| is_space(pair[0]) && !is_space(pair[1])).count() as u64;
        Counts { starts, line_feeds: bytes.iter().skip(1).filter(|&&byte| byte == b'\n').count() as u64 }
    }

    /// Every form against the expected number, whole and cut at every place.
    #[track_caller]
    fn check(bytes: &[u8], expected: u64) {
        for simd in Simd::available() {
            let mut pass = Words { simd }.pass();
            for cut in (0..=bytes.len()).step_by((bytes.len() / 64).max(1)) {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(
                    answer(&mut *pass, [left, right]),
                    [Value::U64(expected)],
                    "{simd:?}, cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn words_are_runs_without_white_space() {
        check(b"", 0);
        check(b" \t\n\x0b\x0c\r", 0);
        check(b"word", 1);
        check(b" two words\n", 2);
        check(b"a\tb\nc\x0bd\x0ce\rf g", 7);
        check(b"\x08 \x0e \x1f \x21", 4);
        check(b"\x00 \x7f \x80 \xff", 4);
        check("naïve café".as_bytes(), 2);
        check(b"\xc2\xa0", 1);
    }

    #[test]
    fn lengths_around_the_lanes_and_the_chunks() {
        for length in [1, 2, 63, 64, 65, 66, 127, 128, 129, 64 * 255, 64 * 255 + 1, 64 * 255 + 2, 40_000] {
            let bytes: Vec<u8> = b"ab ".iter().copied().cycle().take(length).collect();
            check(&bytes, length.div_ceil(3) as u64);
            check(&vec![b'x'; length], 1);
            check(&vec![b' '; length], 0);
            for simd in Simd::available() {
                let line_feeds = count::<true>(simd, &vec![b'\n'; length]).line_feeds;
                assert_eq!(line_feeds, length as u64 - 1, "{simd:?}, {length}");
            }
            let pairs: Vec<u8> = b" x".iter().copied().cycle().take(length).collect();
            check(&pairs, (length / 2) as u64);
        }
    }

    proptest! {
        #[test]
        fn every_form_agrees_with_the_definition(bytes in proptest::collection::vec(0_u8..0x30, 0..2000)) {
            for simd in Simd::available() {
                prop_assert_eq!(count::<true>(simd, &bytes), count_plain(&bytes));
                prop_assert_eq!(count::<false>(simd, &bytes).starts, count_plain(&bytes).starts);
            }
        }
    }
}
