//! What files of a corpus hold: prose, programs and binaries that look and compress like those that people have, made
//! from randomness at some hundreds of megabytes a second. Integers only.

use blake3::{Hasher, OutputReader};

use super::recipe::FORM;

/// A kind of content with an extension that fits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    extension: &'static str,
    body: Body,
    /// What the content begins with, as far as it is long enough.
    head: &'static [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Prose,
    /// The same, with letters of many scripts.
    UnicodeProse,
    Program,
    /// Bytes that do not compress.
    Noise,
    /// Numbers in rows of 16 bytes.
    Rows,
    /// Islands of noise in zeros.
    Islands,
}

const fn format(extension: &'static str, body: Body, head: &'static [u8]) -> Format {
    Format { extension, body, head }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\0\0\0\x01\x80\x08\x02\0\0\0";
const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
const ELF: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
const SQLITE: &[u8] = b"SQLite format 3\0\x10\0\x01\x01\0\x40\x20\x20";
/// The magic number of nothing.
const NO_MAGIC: &[u8] = b"\x9e\0\x01\x9e";

impl Format {
    pub(super) const ASCII: &[Format] = &[
        format("txt", Body::Prose, b""),
        format("md", Body::Prose, b"# "),
        format("c", Body::Program, b""),
        format("h", Body::Program, b""),
        format("rs", Body::Program, b"//! "),
        format("py", Body::Program, b"#!/usr/bin/env python3\n"),
        format("js", Body::Program, b""),
    ];
    pub(super) const UNICODE: &[Format] =
        &[format("txt", Body::UnicodeProse, b""), format("html", Body::UnicodeProse, b"<!DOCTYPE html>\n")];
    pub(super) const BINARIES: &[Format] = &[
        format("png", Body::Noise, PNG),
        format("jpg", Body::Noise, JPEG),
        format("gz", Body::Noise, GZIP),
        format("so", Body::Rows, ELF),
        format("sqlite", Body::Islands, SQLITE),
        format("dat", Body::Rows, NO_MAGIC),
        format("bin", Body::Islands, NO_MAGIC),
    ];

    pub(super) fn extension(self) -> &'static str {
        self.extension
    }

    fn is_text(self) -> bool {
        matches!(self.body, Body::Prose | Body::UnicodeProse | Body::Program)
    }
}

/// Fills `out`, which is empty, with exactly `size` bytes.
pub(super) fn fill(
    format: Format,
    words: &Words,
    randomness: &mut OutputReader,
    size: usize,
    out: &mut Vec<u8>,
) {
    // What is written last may go beyond, by a paragraph's end or an island.
    out.reserve(size + 512);
    out.extend_from_slice(format.head);
    match format.body {
        Body::Prose => prose(&words.ascii, &mut Random::new(randomness), size, out),
        Body::UnicodeProse => prose(&words.unicode, &mut Random::new(randomness), size, out),
        Body::Program => program(&words.ascii, &mut Random::new(randomness), size, out),
        Body::Noise => noise(randomness, size.saturating_sub(out.len()), out),
        Body::Rows => rows(&mut Random::new(randomness), size, out),
        Body::Islands => islands(randomness, size, out),
    }
    out.truncate(size);
    if format.is_text() {
        end_as_text(out);
    }
}

/// Replaces one short run of bytes in each half KiB, 3 bytes of 100: what makes a near duplicate. Text stays text of the
/// same encoding, and the magic number of a binary is not touched.
pub(super) fn alter(format: Format, randomness: &mut OutputReader, out: &mut [u8]) {
    const WINDOW_BYTES: usize = 512;
    const RUN_BYTES: usize = 16;
    let mut random = Random::new(randomness);
    let start = out.len().min(4 * RUN_BYTES) / 2;
    for window in out[start..].chunks_mut(WINDOW_BYTES) {
        let [low, high, ..] = random.four();
        let at = usize::from(u16::from_le_bytes([low, high])) % window.len().saturating_sub(RUN_BYTES).max(1);
        for byte in window[at..].iter_mut().take(RUN_BYTES) {
            let [draw, ..] = random.four();
            if !format.is_text() {
                *byte = byte.wrapping_add(draw | 1);
            } else if byte.is_ascii_alphabetic() {
                // One to twenty-five letters on, so never the same.
                *byte = b'a' + (byte.to_ascii_lowercase() - b'a' + 1 + draw % 25) % 26;
            }
        }
    }
}

/// Words that nobody has heard, a few of them much more often than the rest.
pub(super) struct Words {
    ascii: Vocabulary,
    unicode: Vocabulary,
}

impl Words {
    pub(super) fn new() -> Words {
        let mut randomness = Hasher::new_derive_key(FORM).update(b"words").finalize_xof();
        let mut random = Random::new(&mut randomness);
        let ascii = ["b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "st", "t", "th", "tr", "v"];
        let unicode = ["b", "ç", "d", "ñ", "š", "λ", "м", "н", "þ", "р", "σ", "ст", "т", "ж", "ł", "β"];
        let vowels = ["a", "e", "e", "i", "o", "u", "ea", "io"];
        let marked = ["a", "é", "e", "и", "ö", "ü", "å", "ω"];
        Words {
            ascii: Vocabulary::new(&ascii, &vowels, &mut random),
            unicode: Vocabulary::new(&unicode, &marked, &mut random),
        }
    }
}

/// As many places as a draw has values: a word has a place or many.
struct Vocabulary {
    places: Vec<(u32, u32)>,
    letters: Vec<u8>,
}

impl Vocabulary {
    const PLACES: usize = 1 << 12;

    fn new(consonants: &[&str; 16], vowels: &[&str; 8], random: &mut Random<'_>) -> Vocabulary {
        let mut vocabulary = Vocabulary { places: Vec::new(), letters: Vec::new() };
        let position = |letters: &Vec<u8>| u32::try_from(letters.len()).expect("some kilobytes");
        let mut rank = 1;
        while vocabulary.places.len() < Vocabulary::PLACES {
            let start = position(&vocabulary.letters);
            let [length, ..] = random.four();
            // Frequent words are short.
            let syllables = 1 + usize::from(length) % 3 + usize::from(rank > 64);
            for _ in 0..syllables {
                let [consonant, vowel, closed, last] = random.four();
                let mut put = |letters: &str| vocabulary.letters.extend_from_slice(letters.as_bytes());
                put(consonants[usize::from(consonant % 16)]);
                put(vowels[usize::from(vowel % 8)]);
                if closed < 80 {
                    put(consonants[usize::from(last % 16)]);
                }
            }
            let word = (start, position(&vocabulary.letters));
            // Zipf's law: the n-th word is an n-th as frequent as the first.
            let times = (Vocabulary::PLACES / (8 * (rank + 2))).max(1);
            vocabulary.places.extend(std::iter::repeat_n(word, times));
            rank += 1;
        }
        vocabulary
    }

    fn put(&self, low: u8, high: u8, out: &mut Vec<u8>) {
        let place = usize::from(u16::from_le_bytes([low, high])) % Vocabulary::PLACES;
        let (start, end) = self.places[place];
        out.extend_from_slice(&self.letters[start as usize..end as usize]);
    }
}

/// Sentences in lines of some 70 bytes, in paragraphs.
fn prose(words: &Vocabulary, random: &mut Random<'_>, size: usize, out: &mut Vec<u8>) {
    let mut line_start = out.len();
    let mut is_first = true;
    while out.len() < size {
        let [low, high, stop, width] = random.four();
        let at = out.len();
        words.put(low, high, out);
        if is_first {
            out[at].make_ascii_uppercase();
        }
        is_first = stop < 24;
        if is_first {
            out.push(b'.');
        } else if stop < 48 {
            out.push(b',');
        }
        if is_first && width < 40 {
            out.extend_from_slice(b"\n\n");
            line_start = out.len();
        } else if out.len() - line_start > 60 + usize::from(width % 16) {
            out.push(b'\n');
            line_start = out.len();
        } else {
            out.push(b' ');
        }
    }
}

/// Lines that are indented, with brackets, operators and comments.
fn program(words: &Vocabulary, random: &mut Random<'_>, size: usize, out: &mut Vec<u8>) {
    const JOINTS: [&str; 16] =
        ["_", "_", "_", "(", ", ", ", ", ".", ".", " = ", " = ", " + ", " == ", "->", "[", "] = ", "::"];
    const INDENT: [u8; 24] = [b' '; 24];
    let mut depth = 0;
    while out.len() < size {
        let [kind, terms, ..] = random.four();
        let (before, after, terms) = match kind {
            0..30 if depth > 0 => {
                depth -= 1;
                ("}", "\n", 0)
            }
            0..30 => ("", "\n", 0),
            30..60 if depth < 5 => ("", ") {\n", 2 + terms % 3),
            60..80 => ("// ", "\n", 4 + terms % 6),
            80..100 => ("return ", ";\n", 1 + terms % 3),
            _ => ("", ";\n", 2 + terms % 5),
        };
        out.extend_from_slice(&INDENT[..4 * depth]);
        out.extend_from_slice(before.as_bytes());
        for term in 0..terms {
            let [low, high, joint, _] = random.four();
            if term > 0 {
                let joint = if before == "// " { " " } else { JOINTS[usize::from(joint % 16)] };
                out.extend_from_slice(joint.as_bytes());
            }
            words.put(low, high, out);
        }
        out.extend_from_slice(after.as_bytes());
        depth += usize::from(after == ") {\n");
    }
}

/// Text that was cut anywhere: its last character is whole, and its last byte ends a line.
fn end_as_text(out: &mut [u8]) {
    let Some((last, rest)) = out.split_last_mut() else { return };
    *last = b'\n';
    let start = rest.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or(0);
    let character = &mut rest[start..];
    if std::str::from_utf8(character).is_err() {
        character.fill(b'.');
    }
}

fn noise(randomness: &mut OutputReader, bytes: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes, 0);
    randomness.fill(&mut out[start..]);
}

fn rows(random: &mut Random<'_>, size: usize, out: &mut Vec<u8>) {
    let mut number = 0_u32;
    while out.len() < size {
        let [step, low, high, flag] = random.four();
        number = number.wrapping_add(u32::from(step));
        let [a, b, c, d] = number.to_le_bytes();
        out.extend_from_slice(&[a, b, c, d, low, high, 0, 0, flag & 3, 0, 0, 0, step, 0, 0xff, 0xff]);
    }
}

fn islands(randomness: &mut OutputReader, size: usize, out: &mut Vec<u8>) {
    const ISLAND_BYTES: usize = 96;
    const EVERY_BYTES: usize = 256;
    while out.len() < size {
        noise(randomness, ISLAND_BYTES, out);
        out.resize(out.len() + EVERY_BYTES - ISLAND_BYTES, 0);
    }
}

/// Random bytes, four at a time.
struct Random<'r> {
    reader: &'r mut OutputReader,
    buffer: [u8; Random::BUFFER_BYTES],
    used: usize,
}

impl Random<'_> {
    const BUFFER_BYTES: usize = 1024;

    fn new(reader: &mut OutputReader) -> Random<'_> {
        Random { reader, buffer: [0; Random::BUFFER_BYTES], used: Random::BUFFER_BYTES }
    }

    fn four(&mut self) -> [u8; 4] {
        if self.used == Random::BUFFER_BYTES {
            self.reader.fill(&mut self.buffer);
            self.used = 0;
        }
        let (fours, _) = self.buffer[self.used..].as_chunks::<4>();
        self.used += 4;
        fours[0]
    }
}
