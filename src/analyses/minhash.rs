//! `minhash`: a sketch of the shingles of a file. The share of places in which two sketches are equal is an unbiased estimate
//! of the Jaccard index of the two sets of shingles (A. Z. Broder, On the Resemblance and Containment of Documents, 1997).
//!
//! All arithmetic is that of unsigned integers of 32 bits, modulo 2^32, so that any device gives the same bits.
//!
//! 1. **Shingles** ([`Shingle`]): all runs of N bytes, or all runs of N words, where words are what `words` counts. A file
//!    that is shorter has no sketch (null), and one with more than [`SHINGLES_MAX`] neither: so many hashes of 32 bits are
//!    alike by chance.
//! 2. **Hash** of a shingle: `max(mix(p + 0x9E3779B9), 1)`, where `p` is the polynomial `x[0] B^(N-1) + … + x[N-1]` with `B = 0x915F77F5`. Of bytes,
//!    `x[j]` is the byte. Of words, it is the hash of the word: `mix` of the same polynomial over its bytes plus one.
//!    `mix(x)` is `x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16` (C. Wellons, "lowbias32").
//! 3. **Permutations**: the odd multipliers `a[i] = mix(0x9E3779B9 * (i + 1)) | 1` permute the hashes. With
//!    `H = ceil(K / 2)`, place `i < H` of the sketch is the least `a[i] * h` over all hashes `h`, and place `H + i` the least
//!    `0xFFFFFFFF - a[i] * h`: one product serves two permutations, of which one is the other backwards. The two ends of an
//!    order are two draws without putting back, so that the estimate is as good as with K products (ops/near.md).
//! 4. **One permutation** (`kind=one-permutation`; P. Li, A. Owen, C.-H. Zhang, One Permutation Hashing, 2012): a hash goes to
//!    the place `((h >> 16) * K) >> 16`, and each place keeps the least of its own. An empty place `j` takes over the value
//!    of the first place with one of its own among `((mix(j * 0x9E3779B9 + t) >> 16) * K) >> 16` for t = 1, 2, … (A.
//!    Shrivastava, Optimal Densification for Fast and Accurate Minwise Hashing, 2017). A hash of 0xFFFFFFFF counts as none.

mod kernel;
mod one_permutation;
mod permutations;
mod set;
mod shingles;

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use self::one_permutation::OnePermutation;
use self::permutations::Permutations;
pub use self::set::ShingleSet;
use self::shingles::{ByteShingles, WordShingles};
pub use self::shingles::{SHINGLE_BYTES_MAX, SHINGLE_WORDS_MAX, Shingle};
use super::{Analysis, Kernel, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};

/// Sketches of K numbers of 32 bits.
#[derive(Debug, Clone)]
pub struct MinHash {
    k: usize,
    shingle: Shingle,
    kind: SketchKind,
    /// One for every two places.
    multipliers: Arc<[u32]>,
}

/// How a sketch is made of the hashes of the shingles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SketchKind {
    /// Every hash may be the least of every permutation: the better estimate for short files.
    #[default]
    Permutations,
    /// Every hash belongs to one place: several times as fast, and a coarser estimate where there are few shingles.
    OnePermutation,
}

impl SketchKind {
    /// The word that reports and parameters use.
    pub fn name(self) -> &'static str {
        match self {
            SketchKind::Permutations => "permutations",
            SketchKind::OnePermutation => "one-permutation",
        }
    }
}

/// Numbers in a sketch unless more or fewer are asked for.
pub const K_DEFAULT: usize = 128;
/// Numbers in a sketch at most.
pub const K_MAX: usize = 1024;
/// Shingles of a file at most, repeated ones counted: of more, two files without anything in common would have a similarity
/// of 0.03 and above, by hashes of 32 bits that are the same.
pub const SHINGLES_MAX: u64 = 1 << 28;

const COLUMNS: &[Column] = &[Column { name: "minhash", kind: ValueKind::Sketch, unit: "" }];

impl MinHash {
    /// Sketches of `k` numbers, 1 to [`K_MAX`].
    ///
    /// # Errors
    /// What is wrong with `k` or with the length of the shingle, in a few words.
    pub fn new(k: usize, shingle: Shingle, kind: SketchKind) -> Result<MinHash, String> {
        if !(1..=K_MAX).contains(&k) {
            return Err(format!("k must be from 1 to {K_MAX}"));
        }
        shingle.check()?;
        let multipliers = (0..k.div_ceil(2)).map(multiplier).collect();
        Ok(MinHash { k, shingle, kind, multipliers })
    }

    /// Of parameters as they are typed after the name: `k=256:shingle=words:5:kind=one-permutation`, each of them optional.
    ///
    /// # Errors
    /// What is wrong with them, in a few words.
    pub fn from_parameters(typed: &str) -> Result<MinHash, String> {
        let (mut k, mut shingle, mut kind) = (None, None, None);
        for (name, value) in parameters(typed)? {
            let is_twice = match name {
                "k" => {
                    k.replace(value.parse().map_err(|_| format!("k must be from 1 to {K_MAX}"))?).is_some()
                }
                "shingle" => shingle.replace(value.parse::<Shingle>()?).is_some(),
                "kind" => {
                    let kinds = [SketchKind::Permutations, SketchKind::OnePermutation];
                    let known = kinds.into_iter().find(|kind| kind.name() == value);
                    kind.replace(known.ok_or("kind must be permutations or one-permutation")?).is_some()
                }
                _ => return Err("its parameters are k, shingle and kind".to_owned()),
            };
            if is_twice {
                return Err(format!("{name} is given twice"));
            }
        }
        MinHash::new(k.unwrap_or(K_DEFAULT), shingle.unwrap_or_default(), kind.unwrap_or_default())
    }

    /// Numbers in a sketch.
    pub fn k(&self) -> usize {
        self.k
    }

    /// What files are cut into.
    pub fn shingle(&self) -> Shingle {
        self.shingle
    }

    /// Sizes in bytes of files that may have a sketch: others are too short, or have too many shingles.
    pub fn sizes(&self) -> RangeInclusive<u64> {
        match self.shingle {
            Shingle::Bytes(bytes) => bytes as u64..=SHINGLES_MAX + bytes as u64 - 1,
            // Words of one byte with one between them.
            Shingle::Words(words) => 2 * words as u64 - 1..=u64::MAX,
        }
    }

    /// How the sketch is made.
    pub fn kind(&self) -> SketchKind {
        self.kind
    }
}

impl Default for MinHash {
    fn default() -> MinHash {
        MinHash::new(K_DEFAULT, Shingle::default(), SketchKind::default()).expect("the defaults are valid")
    }
}

/// Pairs of name and value. A value may contain colons; what follows one belongs to it unless there is a `=` in it.
fn parameters(typed: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut pairs = Vec::new();
    let mut rest = typed;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or("parameters are written NAME=VALUE")?;
        let next = after.find('=').and_then(|equals| after[..equals].rfind(':'));
        let (value, others) = next.map_or((after, ""), |colon| (&after[..colon], &after[colon + 1..]));
        pairs.push((name, value));
        rest = others;
    }
    Ok(pairs)
}

/// An odd number: it permutes the numbers of 32 bits.
fn multiplier(i: usize) -> u32 {
    let i = u32::try_from(i).expect("a sketch has 1024 numbers at most");
    mix(0x9E37_79B9_u32.wrapping_mul(i + 1)) | 1
}

/// A permutation of the numbers of 32 bits in which every bit of the result depends on every bit of the argument.
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The hash of a shingle of this polynomial. Zero would be the least in every permutation: it counts as one, and zeros,
/// which many files have, are no zero.
fn shingle_hash(polynomial: u32) -> u32 {
    mix(polynomial.wrapping_add(0x9E37_79B9)).max(1)
}

impl Analysis for MinHash {
    fn name(&self) -> &'static str {
        "minhash"
    }

    fn word(&self) -> Cow<'static, str> {
        let (k, shingle, kind) = (self.k, self.shingle, self.kind.name());
        format!("minhash:k={k}:shingle={shingle}:kind={kind}").into()
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn value_bytes(&self) -> u64 {
        (self.k * size_of::<u32>()) as u64
    }

    fn parts(&self) -> Parts {
        match self.shingle {
            Shingle::Bytes(_) => Parts::Aligned,
            // Where words begin and end is known from the first byte on.
            Shingle::Words(_) => Parts::Whole,
        }
    }

    fn kernel(&self) -> Option<Kernel> {
        match (self.shingle, self.kind) {
            (Shingle::Bytes(bytes), SketchKind::Permutations) => Some(kernel::of(bytes, &self.multipliers)),
            // Words are a few bytes each, of any number, and one permutation is nothing but reading.
            _ => None,
        }
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Sketch {
            count: 0,
            cut: match self.shingle {
                Shingle::Bytes(bytes) => Cut::Bytes(ByteShingles::new(bytes)),
                Shingle::Words(words) => Cut::Words(WordShingles::new(words)),
            },
            made: match self.kind {
                SketchKind::Permutations => {
                    Made::Permutations(Permutations::new(self.k, Arc::clone(&self.multipliers)))
                }
                SketchKind::OnePermutation => Made::OnePermutation(OnePermutation::new(self.k)),
            },
        })
    }
}

/// A sketch that is being made.
struct Sketch {
    /// Shingles so far.
    count: u64,
    cut: Cut,
    made: Made,
}

enum Cut {
    Bytes(ByteShingles),
    Words(WordShingles<u32>),
}

enum Made {
    Permutations(Permutations),
    OnePermutation(OnePermutation),
}

impl Made {
    fn add(&mut self, hashes: &[u32]) {
        match self {
            Made::Permutations(sketch) => sketch.add(hashes),
            Made::OnePermutation(sketch) => sketch.add(hashes),
        }
    }
}

impl Sketch {
    /// Does something that cuts shingles, and takes their hashes.
    fn with(&mut self, act: impl FnOnce(&mut Cut, &mut dyn FnMut(&[u32]))) {
        let Sketch { count, cut, made } = self;
        act(cut, &mut |hashes| {
            *count += hashes.len() as u64;
            made.add(hashes);
        });
    }
}

impl Pass for Sketch {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.count = 0;
        match &mut self.cut {
            Cut::Bytes(cut) => cut.begin(),
            Cut::Words(cut) => cut.begin(),
        }
        match &mut self.made {
            Made::Permutations(sketch) => sketch.clear(),
            Made::OnePermutation(sketch) => sketch.clear(),
        }
    }

    fn block(&mut self, bytes: &[u8]) {
        self.with(|cut, take| match cut {
            Cut::Bytes(cut) => cut.block(bytes, take),
            Cut::Words(cut) => cut.block(bytes, take),
        });
    }

    fn block_by_kernel(&mut self, bytes: &[u8], words: &[u32]) {
        let Sketch { count, cut: Cut::Bytes(cut), made: Made::Permutations(sketch) } = self else {
            unreachable!("the kernel is for shingles of bytes and permutations");
        };
        let mut across = 0;
        let within = cut.block_cut_elsewhere(bytes, &mut |hashes| {
            across += hashes.len() as u64;
            sketch.add(hashes);
        });
        *count += across + within;
        kernel::take_in(words, sketch);
    }

    fn join(&mut self, next: &mut dyn Pass) {
        let next = same::<Self>(next);
        self.with(|cut, take| match (cut, &next.cut) {
            (Cut::Bytes(cut), Cut::Bytes(next)) => cut.join(next, take),
            _ => unreachable!("files are divided only where shingles are bytes"),
        });
        self.count += next.count;
        match (&mut self.made, &next.made) {
            (Made::Permutations(sketch), Made::Permutations(next)) => sketch.join(next),
            (Made::OnePermutation(sketch), Made::OnePermutation(next)) => sketch.join(next),
            _ => unreachable!("passes of one analysis make one kind of sketch"),
        }
    }

    fn finish(&mut self, row: &mut Row) {
        self.with(|cut, take| match cut {
            Cut::Bytes(_) => {}
            Cut::Words(cut) => cut.finish(take),
        });
        if !(1..=SHINGLES_MAX).contains(&self.count) {
            return row.push(Value::Null);
        }
        row.push(Value::Sketch(match &self.made {
            Made::Permutations(sketch) => sketch.finish(),
            Made::OnePermutation(sketch) => sketch.finish(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analyses::{answer, answer_in_parts};

    /// The definition, word for word.
    fn hashes_plain(bytes: &[u8], shingle: Shingle) -> Vec<u32> {
        let polynomial =
            |all: &[u32]| all.iter().fold(0_u32, |p, x| p.wrapping_mul(0x915F_77F5).wrapping_add(*x));
        let (numbers, n): (Vec<u32>, _) = match shingle {
            Shingle::Bytes(n) => (bytes.iter().map(|byte| u32::from(*byte)).collect(), n),
            Shingle::Words(n) => {
                let is_space = |byte: &u8| (0x09..=0x0D).contains(byte) || *byte == b' ';
                let words = bytes.split(is_space).filter(|word| !word.is_empty());
                let number = |word: &[u8]| {
                    mix(polynomial(&word.iter().map(|byte| u32::from(*byte) + 1).collect::<Vec<_>>()))
                };
                (words.map(number).collect(), n)
            }
        };
        numbers.windows(n).map(|shingle| mix(polynomial(shingle).wrapping_add(0x9E37_79B9)).max(1)).collect()
    }

    fn sketch_plain(bytes: &[u8], analysis: &MinHash) -> Value {
        let hashes = hashes_plain(bytes, analysis.shingle);
        let (k, half) = (analysis.k, analysis.k.div_ceil(2));
        if hashes.is_empty() {
            return Value::Null;
        }
        let place = |i: usize| {
            let a = multiplier(i % half);
            let products = hashes.iter().map(|h| h.wrapping_mul(a));
            let products = products.map(|p| if i < half { p } else { u32::MAX - p });
            products.min().expect("there is a hash")
        };
        let bucket = |h: u32| ((h >> 16) as usize * k) >> 16;
        let least = |i: usize| hashes.iter().copied().filter(|h| bucket(*h) == i && *h < u32::MAX).min();
        let one = |i: usize| {
            let number = u32::try_from(i).expect("small");
            let attempts = (1..).map(|t| bucket(mix(number.wrapping_mul(0x9E37_79B9).wrapping_add(t))));
            least(i).or_else(|| attempts.map(least).find_map(|value| value)).expect("one place has a value")
        };
        Value::Sketch(match analysis.kind {
            SketchKind::Permutations => (0..k).map(place).collect(),
            SketchKind::OnePermutation => (0..k).map(one).collect(),
        })
    }

    fn all_kinds() -> Vec<MinHash> {
        let shingles = [1, 2, 3, 5, 8, 16, 31, 64].map(Shingle::Bytes);
        let shingles = shingles.into_iter().chain([1, 2, 5, 16].map(Shingle::Words));
        let made = shingles.flat_map(|shingle| {
            [(1, SketchKind::Permutations), (7, SketchKind::OnePermutation), (128, SketchKind::Permutations)]
                .map(|(k, kind)| MinHash::new(k, shingle, kind).expect("valid"))
        });
        made.collect()
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|i| b"ab cde\nfg hij  klm"[i.wrapping_mul(i + 7) % 18]).collect()
    }

    #[test]
    fn lengths_around_the_shingles_the_lanes_and_the_tiles() {
        for analysis in all_kinds() {
            let mut pass = analysis.pass();
            for length in
                [0, 1, 2, 4, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 65, 300, 1023, 1024, 1025, 1100, 2500]
            {
                let bytes = text(length);
                let expected = [sketch_plain(&bytes, &analysis)];
                assert_eq!(answer(&mut *pass, [&bytes[..]]), expected, "{} {length}", analysis.word());
                for cut in [1, 3, 16, length / 2] {
                    let (left, right) = bytes.split_at(cut.min(length));
                    assert_eq!(
                        answer(&mut *pass, [left, right]),
                        expected,
                        "{} {length} {cut}",
                        analysis.word()
                    );
                }
            }
        }
    }

    #[test]
    fn parts_of_any_length_are_joined() {
        for analysis in all_kinds().iter().filter(|analysis| analysis.parts() == Parts::Aligned) {
            for (length, part) in [(2000, 512), (1030, 1024), (1025, 1024), (130, 64), (65, 1), (9, 4)] {
                let bytes = text(length);
                assert_eq!(
                    answer_in_parts(analysis, &bytes, part),
                    [sketch_plain(&bytes, analysis)],
                    "{length} {part}"
                );
            }
        }
    }

    #[test]
    fn pieces_of_which_a_kernel_knows_the_shingles_give_the_same() {
        let kinds = [(128, 16), (100, 5), (1, 1), (300, 64), (130, 2)];
        for (k, shingle_bytes) in kinds {
            let analysis =
                MinHash::new(k, Shingle::Bytes(shingle_bytes), SketchKind::default()).expect("valid");
            let mut kernel = analysis.kernel().expect("of shingles of bytes");
            kernel.segment_positions = 50;
            for length in [1, 4, 16, 17, 49, 63, 64, 65, 66, 113, 114, 200] {
                let bytes = text(length);
                let expected = [sketch_plain(&bytes, &analysis)];
                for cut in [0, 1, 15, 16, 64, length / 2] {
                    let mut pass = analysis.pass();
                    let file = crate::record::Directory::from_path(b"");
                    let identity = Default::default();
                    let file = FileRecord { directory: &file, name: b"", size: 0, mtime_ns: 0, identity };
                    pass.begin(&file, 0);
                    let (left, right) = bytes.split_at(cut.min(length));
                    for piece in [left, right].into_iter().filter(|piece| !piece.is_empty()) {
                        let mut words = vec![0; kernel.segments(piece.len()) * kernel.segment_words()];
                        for (i, words) in words.chunks_exact_mut(kernel.segment_words()).enumerate() {
                            let end = (i + 1) * kernel.segment_positions + kernel.overlap_bytes;
                            let segment = &piece[i * kernel.segment_positions..end.min(piece.len())];
                            (kernel.twin)(&kernel.parameters, segment, words);
                        }
                        pass.block_by_kernel(piece, &words);
                    }
                    let mut row = Row::default();
                    pass.finish(&mut row);
                    assert_eq!(row.values(), expected, "{} {length} {cut}", analysis.word());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_one_answer(
            blocks in proptest::collection::vec(proptest::collection::vec(0x1e_u8..0x25, 0..400), 0..6),
            kind in 0_usize..36,
        ) {
            let analysis = &all_kinds()[kind];
            let expected = [sketch_plain(&blocks.concat(), analysis)];
            prop_assert_eq!(answer(&mut *analysis.pass(), blocks.iter().map(Vec::as_slice)), expected);
        }
    }

    /// The estimate is unbiased, and its error that of K draws: sqrt(J (1 - J) / K).
    #[test]
    fn estimates_are_as_good_as_the_theory_says() {
        let kinds = [SketchKind::Permutations, SketchKind::OnePermutation];
        for ((shared, own), kind) in [(20, 20), (80, 10), (300, 200), (2000, 250)]
            .into_iter()
            .flat_map(|sizes| kinds.map(|kind| (sizes, kind)))
        {
            let jaccard = f64::from(shared) / f64::from(shared + 2 * own);
            let expected_error = (jaccard * (1.0 - jaccard) / 128.0).sqrt();
            let analysis = MinHash::new(128, Shingle::Words(1), kind).expect("valid");
            // Where places are filled from others, fewer draws are made than there are places.
            let draws = match kind {
                SketchKind::Permutations => 128.0,
                SketchKind::OnePermutation => f64::from(128.min(shared + 2 * own)) * 0.6,
            };
            let expected_error = expected_error * (128.0_f64 / draws).sqrt();
            let rounds = 200;
            let (mut sum, mut squares) = (0.0, 0.0);
            for round in 0..rounds {
                let words =
                    |from: u32, count: u32| (from..from + count).map(move |i| format!("w{round}-{i} "));
                let sketch = |own_from: u32| {
                    let text: String = words(0, shared).chain(words(own_from, own)).collect();
                    let [Value::Sketch(sketch)] = &answer(&mut *analysis.pass(), [text.as_bytes()])[..]
                    else {
                        panic!("one sketch")
                    };
                    sketch.clone()
                };
                let (a, b) = (sketch(1_000_000), sketch(2_000_000));
                let equal = a.iter().zip(&b).filter(|(a, b)| a == b).count();
                let error = equal as f64 / 128.0 - jaccard;
                sum += error;
                squares += error * error;
            }
            let (bias, error) = (sum / f64::from(rounds), (squares / f64::from(rounds)).sqrt());
            // Three standard errors of the mean, and of the error itself.
            assert!(bias.abs() < 3.0 * expected_error / f64::from(rounds).sqrt(), "{jaccard}: bias {bias}");
            assert!(error < expected_error * 1.16, "{jaccard}: {error} of {expected_error}");
        }
    }

    #[test]
    fn parameters_are_read_and_written() {
        #[track_caller]
        fn check(typed: &str, expected: Result<&str, &str>) {
            let made = MinHash::from_parameters(typed).map(|made| made.word().into_owned());
            assert_eq!(made.as_deref().map_err(String::as_str), expected);
        }
        let default = MinHash::default().word();
        check("", Ok(&default));
        check(
            "k=7:shingle=words:3:kind=one-permutation",
            Ok("minhash:k=7:shingle=words:3:kind=one-permutation"),
        );
        check("shingle=bytes:64:k=1024", Ok("minhash:k=1024:shingle=bytes:64:kind=permutations"));
        check("k=0", Err("k must be from 1 to 1024"));
        check("k=1025", Err("k must be from 1 to 1024"));
        check("k=x", Err("k must be from 1 to 1024"));
        check("k=3:k=4", Err("k is given twice"));
        check("k", Err("parameters are written NAME=VALUE"));
        check("n=3", Err("its parameters are k, shingle and kind"));
        check("kind=fast", Err("kind must be permutations or one-permutation"));
        check(
            "shingle=bytes:0",
            Err("a shingle is bytes:N with N from 1 to 64, or words:N with N from 1 to 16"),
        );
        check(
            "shingle=words:17",
            Err("a shingle is bytes:N with N from 1 to 64, or words:N with N from 1 to 16"),
        );
        check(
            "shingle=lines:2",
            Err("a shingle is bytes:N with N from 1 to 64, or words:N with N from 1 to 16"),
        );
    }
}
