//! Shingles and their hashes: what a file is cut into before it is sketched.

use std::fmt;
use std::str::FromStr;

use super::{mix, shingle_hash};
use crate::simd::{Level, Simd};

/// What a file is cut into: every run of so many bytes, or of so many words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shingle {
    /// 1 to [`SHINGLE_BYTES_MAX`] bytes: for any file, and sensitive to white space.
    Bytes(usize),
    /// 1 to [`SHINGLE_WORDS_MAX`] words, whatever white space is between them: for text.
    Words(usize),
}

/// Bytes in a shingle at most.
pub const SHINGLE_BYTES_MAX: usize = 64;
/// Words in a shingle at most.
pub const SHINGLE_WORDS_MAX: usize = 16;

impl Default for Shingle {
    /// Measured to tell files that are nearly the same from others of their kind (ops/near.md).
    fn default() -> Shingle {
        Shingle::Bytes(16)
    }
}

impl fmt::Display for Shingle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shingle::Bytes(bytes) => write!(out, "bytes:{bytes}"),
            Shingle::Words(words) => write!(out, "words:{words}"),
        }
    }
}

impl FromStr for Shingle {
    type Err = String;

    /// `bytes:N` or `words:N`.
    fn from_str(typed: &str) -> Result<Shingle, String> {
        let shingle = match typed.split_once(':').map(|(unit, number)| (unit, number.parse())) {
            Some(("bytes", Ok(number))) => Shingle::Bytes(number),
            Some(("words", Ok(number))) => Shingle::Words(number),
            // Refused below, with what would be right.
            _ => Shingle::Bytes(0),
        };
        shingle.check().map(|()| shingle)
    }
}

impl Shingle {
    /// Refuses a length that cannot be.
    pub(super) fn check(self) -> Result<(), String> {
        let (number, max) = match self {
            Shingle::Bytes(bytes) => (bytes, SHINGLE_BYTES_MAX),
            Shingle::Words(words) => (words, SHINGLE_WORDS_MAX),
        };
        if (1..=max).contains(&number) {
            return Ok(());
        }
        Err(format!(
            "a shingle is bytes:N with N from 1 to {SHINGLE_BYTES_MAX}, or words:N with N from 1 to {SHINGLE_WORDS_MAX}"
        ))
    }
}

/// The numbers that shingles are hashed to, modulo two to the number of their bits: of 32 bits in sketches, of 64 where sets
/// are compared.
pub(super) trait Number: Copy + Default + Ord {
    /// What polynomials are of.
    const BASE: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn from_byte(byte: u8) -> Self;
    /// The hash of a word of this polynomial.
    fn mix(self) -> Self;
    /// The hash of a shingle of this polynomial.
    fn shingle_hash(self) -> Self;

    /// One step of a polynomial.
    fn step(self, next: Self) -> Self {
        self.times(Self::BASE).plus(next)
    }

    /// The base to this power.
    fn power(exponent: usize) -> Self {
        (0..exponent).fold(Self::from_byte(1), |power, _| power.times(Self::BASE))
    }
}

impl Number for u32 {
    /// Of a generator with a full period and good spectrum (G. L. Steele, S. Vigna, Computationally easy, spectrally good
    /// multipliers, 2021).
    const BASE: u32 = 0x915F_77F5;

    fn plus(self, other: u32) -> u32 {
        self.wrapping_add(other)
    }

    fn minus(self, other: u32) -> u32 {
        self.wrapping_sub(other)
    }

    fn times(self, other: u32) -> u32 {
        self.wrapping_mul(other)
    }

    fn from_byte(byte: u8) -> u32 {
        u32::from(byte)
    }

    fn mix(self) -> u32 {
        mix(self)
    }

    fn shingle_hash(self) -> u32 {
        shingle_hash(self)
    }
}

impl Number for u64 {
    /// As above.
    const BASE: u64 = 0xD134_2543_DE82_EF95;

    fn plus(self, other: u64) -> u64 {
        self.wrapping_add(other)
    }

    fn minus(self, other: u64) -> u64 {
        self.wrapping_sub(other)
    }

    fn times(self, other: u64) -> u64 {
        self.wrapping_mul(other)
    }

    fn from_byte(byte: u8) -> u64 {
        u64::from(byte)
    }

    fn mix(mut self) -> u64 {
        self ^= self >> 32;
        self = self.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self ^= self >> 32;
        self = self.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self ^ (self >> 32)
    }

    fn shingle_hash(self) -> u64 {
        self.mix()
    }
}

/// What of the blocks so far belongs to shingles that are not at their end.
#[derive(Debug)]
pub(super) struct Seam {
    shingle_bytes: usize,
    /// The last bytes, fewer than a shingle has.
    last: Vec<u8>,
}

impl Seam {
    pub(super) fn new(shingle_bytes: usize) -> Seam {
        Seam { shingle_bytes, last: Vec::with_capacity(2 * SHINGLE_BYTES_MAX) }
    }

    pub(super) fn begin(&mut self) {
        self.last.clear();
    }

    /// Hands over runs of bytes of which every shingle is a new one.
    pub(super) fn block(&mut self, bytes: &[u8], run: &mut dyn FnMut(&[u8])) {
        let kept = self.shingle_bytes - 1;
        let before = self.last.len();
        self.last.extend_from_slice(&bytes[..kept.min(bytes.len())]);
        if before > 0 && self.last.len() > kept {
            run(&self.last);
        }
        if bytes.len() > kept {
            run(bytes);
        }
        if bytes.len() >= kept {
            self.last.clear();
            self.last.extend_from_slice(&bytes[bytes.len() - kept..]);
        } else {
            self.last.drain(..self.last.len().saturating_sub(kept));
        }
    }
}

/// Shingles of bytes.
pub(super) struct ByteShingles {
    shingle_bytes: usize,
    simd: Simd,
    seam: Seam,
    /// The first bytes, fewer than a shingle has: for a part before this one.
    first: Vec<u8>,
    hashes: Box<[u32; TILE]>,
    scratch: Box<Scratch>,
}

/// Hashes that are handed over at a time: they stay in the innermost cache.
const TILE: usize = 1024;

impl ByteShingles {
    pub(super) fn new(shingle_bytes: usize) -> ByteShingles {
        ByteShingles {
            shingle_bytes,
            simd: Simd::best(),
            seam: Seam::new(shingle_bytes),
            first: Vec::with_capacity(SHINGLE_BYTES_MAX),
            hashes: Box::new([0; TILE]),
            scratch: Box::new([[0; TILE + SHINGLE_BYTES_MAX]; 2]),
        }
    }

    pub(super) fn begin(&mut self) {
        self.seam.begin();
        self.first.clear();
    }

    pub(super) fn block(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u32])) {
        let wanted = self.shingle_bytes - 1 - self.first.len();
        self.first.extend_from_slice(&bytes[..wanted.min(bytes.len())]);
        self.cut(bytes, take);
    }

    /// The same, where the shingles of the block itself are cut elsewhere: cuts those that begin in a block before. Returns the
    /// number of the others.
    pub(super) fn block_cut_elsewhere(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u32])) -> u64 {
        let kept = self.shingle_bytes - 1;
        // As if the block were no longer than what a shingle that begins before it may reach.
        self.block(&bytes[..kept.min(bytes.len())], take);
        if bytes.len() > kept {
            self.seam.last.clear();
            self.seam.last.extend_from_slice(&bytes[bytes.len() - kept..]);
        }
        bytes.len().saturating_sub(kept) as u64
    }

    /// Cuts what lies across the seam with the part that follows.
    pub(super) fn join(&mut self, next: &ByteShingles, take: &mut dyn FnMut(&[u32])) {
        // Of a part that is shorter than a shingle, these are all its bytes; otherwise what follows them has been cut.
        self.block(&next.first, take);
        if next.first.len() == self.shingle_bytes - 1 {
            self.seam.last.clone_from(&next.seam.last);
        }
    }

    fn cut(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[u32])) {
        let ByteShingles { shingle_bytes, simd, seam, hashes, scratch, .. } = self;
        seam.block(bytes, &mut |run| {
            let mut rest = run;
            while rest.len() >= *shingle_bytes {
                let count = (rest.len() + 1 - *shingle_bytes).min(TILE);
                let tile = &mut hashes[..count];
                hash(*simd, &rest[..count + *shingle_bytes - 1], *shingle_bytes, scratch, tile);
                take(tile);
                rest = &rest[count..];
            }
        });
    }
}

/// The hashes of all shingles of `shingle_bytes` in `bytes`, by doubling: the polynomials of all runs of 2, 4, 8 … bytes, each of two of half the length, put together as
/// the binary digits of the length say. Written so that the compiler turns the loops into whole-vector instructions.
#[inline(always)]
fn hash_by_doubling(bytes: &[u8], shingle_bytes: usize, scratch: &mut Scratch, hashes: &mut [u32]) {
    let count = hashes.len();
    debug_assert_eq!(bytes.len(), count + shingle_bytes - 1);
    let [mut runs, mut twice] = scratch.each_mut();
    for (run, &byte) in runs.iter_mut().zip(bytes) {
        *run = u32::from(byte);
    }
    let (mut length, mut power, mut left) = (1, u32::BASE, bytes.len());
    // What is put together so far, of the first so many bytes.
    let mut done = 0;
    loop {
        if shingle_bytes & length != 0 {
            let after = &runs[done..][..count];
            if done == 0 {
                hashes.copy_from_slice(after);
            } else {
                for (hash, &run) in hashes.iter_mut().zip(after) {
                    *hash = hash.wrapping_mul(power).wrapping_add(run);
                }
            }
            done += length;
        }
        if done == shingle_bytes {
            break;
        }
        left -= length;
        for ((twice, &run), &next) in twice[..left].iter_mut().zip(&runs[..left]).zip(&runs[length..]) {
            *twice = run.wrapping_mul(power).wrapping_add(next);
        }
        (runs, twice) = (twice, runs);
        power = power.wrapping_mul(power);
        length *= 2;
    }
    for hash in hashes {
        *hash = shingle_hash(*hash);
    }
}

/// The polynomial of the run of so many bytes that begins at each place, and those of twice the length.
type Scratch = [[u32; TILE + SHINGLE_BYTES_MAX]; 2];

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn hash_avx2(bytes: &[u8], shingle_bytes: usize, scratch: &mut Scratch, hashes: &mut [u32]) {
    hash_by_doubling(bytes, shingle_bytes, scratch, hashes);
}

/// The same, faster where the processor allows. Vectors of 512 bits are slower here: every load that begins one run later
/// crosses a line of the cache (1.4 GB/s instead of 3.4).
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
fn hash(simd: Simd, bytes: &[u8], shingle_bytes: usize, scratch: &mut Scratch, hashes: &mut [u32]) {
    match simd.level() {
        Level::Lanes => hash_by_doubling(bytes, shingle_bytes, scratch, hashes),
        // SAFETY: A `Simd` is of a level that this processor was found to have, and one with AVX-512 has AVX2; otherwise the
        // worst case is an illegal instruction. The body is safe code.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { hash_avx2(bytes, shingle_bytes, scratch, hashes) },
    }
}

/// Shingles of words.
#[derive(Debug)]
pub(super) struct WordShingles<H> {
    shingle_words: usize,
    /// The base to the power of that number.
    power: H,
    /// The polynomial of the word that is not at its end; `None` between words.
    word: Option<H>,
    /// The hashes of the last words, as many as a shingle has, the oldest at `next`; zeros before there are so many.
    last: [H; SHINGLE_WORDS_MAX],
    next: usize,
    /// Their polynomial.
    polynomial: H,
    /// Words that are still missing for a shingle.
    missing: usize,
    hashes: Vec<H>,
}

impl<H: Number> WordShingles<H> {
    pub(super) fn new(shingle_words: usize) -> WordShingles<H> {
        WordShingles {
            shingle_words,
            power: H::power(shingle_words),
            word: None,
            last: [H::default(); SHINGLE_WORDS_MAX],
            next: 0,
            polynomial: H::default(),
            missing: shingle_words,
            hashes: Vec::with_capacity(TILE),
        }
    }

    pub(super) fn begin(&mut self) {
        self.word = None;
        self.last.fill(H::default());
        (self.next, self.polynomial, self.missing) = (0, H::default(), self.shingle_words);
        self.hashes.clear();
    }

    pub(super) fn block(&mut self, bytes: &[u8], take: &mut dyn FnMut(&[H])) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(word) = self.word.take() else {
                let Some(start) = rest.iter().position(|&byte| !is_space(byte)) else { break };
                (self.word, rest) = (Some(H::default()), &rest[start..]);
                continue;
            };
            let end = rest.iter().position(|&byte| is_space(byte));
            let (bytes, others) = rest.split_at(end.unwrap_or(rest.len()));
            let word = extend(word, bytes);
            match end {
                Some(_) => self.end_word(word, take),
                None => self.word = Some(word),
            }
            rest = others;
        }
        self.hand_over(take);
    }

    /// The file has ended, and with it its last word.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(&[H])) {
        if let Some(word) = self.word.take() {
            self.end_word(word, take);
        }
        self.hand_over(take);
    }

    fn end_word(&mut self, word: H, take: &mut dyn FnMut(&[H])) {
        let word = word.mix();
        let oldest = std::mem::replace(&mut self.last[self.next], word);
        self.next = if self.next + 1 == self.shingle_words { 0 } else { self.next + 1 };
        self.polynomial = self.polynomial.step(word).minus(oldest.times(self.power));
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 {
            self.hashes.push(self.polynomial.shingle_hash());
            if self.hashes.len() == TILE {
                self.hand_over(take);
            }
        }
    }

    fn hand_over(&mut self, take: &mut dyn FnMut(&[H])) {
        if !self.hashes.is_empty() {
            take(&self.hashes);
            self.hashes.clear();
        }
    }
}

/// What the analysis `words` takes for white space.
fn is_space(byte: u8) -> bool {
    byte == b' ' || byte.wrapping_sub(0x09) < 5
}

/// The polynomial of a word so far with further bytes, each plus one: a word of zeros has a length, too. Four at a time, so that
/// only one product in four waits for the one before.
fn extend<H: Number>(word: H, bytes: &[u8]) -> H {
    let number = |byte: u8| H::from_byte(byte).plus(H::from_byte(1));
    let base_4 = H::BASE.times(H::BASE).times(H::BASE.times(H::BASE));
    let (fours, rest) = bytes.as_chunks::<4>();
    let by_fours = fours.iter().fold(word, |word, &[a, b, c, d]| {
        let four = number(a).step(number(b)).step(number(c)).step(number(d));
        word.times(base_4).plus(four)
    });
    rest.iter().fold(by_fours, |word, &byte| word.step(number(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hashes of all shingles of `shingle_bytes` in `bytes`: the definition that every form keeps to.
    fn hash_plain(bytes: &[u8], shingle_bytes: usize, hashes: &mut [u32]) {
        for (hash, shingle) in hashes.iter_mut().zip(bytes.windows(shingle_bytes)) {
            *hash = shingle_hash(shingle.iter().fold(0, |p: u32, &byte| p.step(u32::from(byte))));
        }
    }

    #[test]
    fn every_form_agrees_with_the_definition() {
        let byte = |i: usize| u8::try_from(i * i / 3 % 251).expect("below 256");
        let bytes: Vec<u8> = (0..TILE + SHINGLE_BYTES_MAX).map(byte).collect();
        for shingle_bytes in 1..=SHINGLE_BYTES_MAX {
            for count in [1, 2, 7, 15, 16, 17, 100, TILE - 1, TILE] {
                let bytes = &bytes[..count + shingle_bytes - 1];
                let mut expected = vec![0; count];
                let mut scratch = [[7; TILE + SHINGLE_BYTES_MAX]; 2];
                hash_plain(bytes, shingle_bytes, &mut expected);
                for simd in Simd::available() {
                    let mut hashes = vec![0; count];
                    hash(simd, bytes, shingle_bytes, &mut scratch, &mut hashes);
                    assert_eq!(hashes, expected, "{simd:?}, {count} shingles of {shingle_bytes} bytes");
                }
            }
        }
    }

    #[test]
    fn words_do_not_depend_on_what_is_between_them() {
        #[track_caller]
        fn check(a: &str, b: &str, expected: bool) {
            let hashes = |text: &str| {
                let (mut all, mut cut) = (Vec::new(), WordShingles::<u32>::new(2));
                cut.block(text.as_bytes(), &mut |hashes| all.extend_from_slice(hashes));
                cut.finish(&mut |hashes| all.extend_from_slice(hashes));
                all
            };
            assert_eq!(hashes(a) == hashes(b), expected, "{a:?} {b:?}");
        }
        check("one two three", "  one\ttwo\r\n three\n", true);
        check("one two three", "onetwo three", false);
        check("\0 \0", "\0\0 \0", false);
    }
}
