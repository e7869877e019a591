//! Every analysis gives the answer of a naive model, however the bytes are cut and whatever its pass did
//! before, and in parts as in one.
//!
//! The input is a file, so that any file is a seed; its last bytes say how it is cut, and how often it is
//! repeated: what uses vectors has steps and chunks of up to 16 KiB, and files must be several times as long.

#![no_main]

use std::sync::{Arc, LazyLock};

use filemill::analyses::{Analysis, HEAD_BYTES, Parts, Pass, parse};
use filemill::record::{Digest, Directory, FileRecord, Row, Value};
use libfuzzer_sys::fuzz_target;
use sha2::Digest as _;

const CUTS_MAX: u8 = 32;
/// As long as it may become by being repeated.
const FILE_BYTES_MAX: usize = 512 * 1024;

static ANALYSES: LazyLock<Vec<Arc<dyn Analysis>>> = LazyLock::new(|| parse("full").expect("a preset"));

fuzz_target!(|input: &[u8]| {
    let [input @ .., cuts, repeats] = input else { return };
    let cuts_bytes = usize::from(cuts % CUTS_MAX) * 2;
    let (bytes, cuts) = input.split_at(input.len().saturating_sub(cuts_bytes));
    let lengths: Vec<usize> = cuts.as_chunks().0.iter().map(|cut| length(u16::from_le_bytes(*cut))).collect();
    let long = bytes.repeat(times(*repeats).min(FILE_BYTES_MAX / bytes.len().max(1)).max(1));
    let short = &bytes[bytes.len() / 2..];
    for analysis in ANALYSES.iter() {
        check(&**analysis, &long, short, &lengths);
    }
});

/// From 1 byte to 1 MiB, short ones as often as long ones.
fn length(cut: u16) -> usize {
    usize::from(1 + (cut & 0x3fff)) << (2 * (cut >> 14))
}

/// Mostly once: repeating takes long.
fn times(repeats: u8) -> usize {
    usize::from(repeats.saturating_sub(0xbf)) * 4
}

/// One pass over a long file, over the same until reading fails, and over a short one.
fn check(analysis: &dyn Analysis, long: &[u8], short: &[u8], lengths: &[usize]) {
    let mut pass = analysis.pass();
    let blocks = cut(long, lengths);
    let of_long = answer(&mut *pass, &blocks);
    feed(&mut *pass, &blocks[..blocks.len().div_ceil(2)], 0);
    let of_short = answer(&mut *pass, &cut(short, lengths));
    for (bytes, answer_cut) in [(long, of_long), (short, of_short)] {
        let whole = answer(&mut *analysis.pass(), &cut(bytes, &[]));
        assert!(same(&answer_cut, &whole), "{}: {answer_cut:?}, whole {whole:?}", analysis.name());
        check_model(analysis, bytes, &whole);
        if analysis.parts() == Parts::Aligned && !bytes.is_empty() {
            let in_parts = answer_in_parts(analysis, bytes, lengths);
            assert!(same(&in_parts, &whole), "{}: {in_parts:?} in parts, whole {whole:?}", analysis.name());
        }
    }
}

/// By a pass a part. Parts are shorter than a run makes them, but long enough for the head, and subtrees of BLAKE3.
fn answer_in_parts(analysis: &dyn Analysis, bytes: &[u8], lengths: &[usize]) -> Vec<Value> {
    const PART_BYTES: usize = HEAD_BYTES;
    let mut parts = bytes.chunks(PART_BYTES).enumerate().map(|(i, part)| {
        let mut pass = analysis.pass();
        feed(&mut *pass, &cut(part, lengths), (i * PART_BYTES) as u64);
        pass
    });
    let mut before = parts.next().expect("there are bytes");
    parts.for_each(|mut next| before.join(&mut *next));
    let mut row = Row::default();
    before.finish(&mut row);
    row.values().to_vec()
}

/// Blocks of the lengths given, and the rest as the last one; none is empty.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut blocks = Vec::new();
    for &length in lengths.iter().chain([&usize::MAX]) {
        let (block, rest) = bytes.split_at(length.min(bytes.len()));
        blocks.extend((!block.is_empty()).then_some(block));
        bytes = rest;
    }
    blocks
}

fn feed(pass: &mut dyn Pass, blocks: &[&[u8]], offset: u64) {
    let directory = Directory::from_path(b"");
    let size = blocks.iter().map(|block| block.len() as u64).sum();
    let identity = Default::default();
    pass.begin(&FileRecord { directory: &directory, name: b"file", size, mtime_ns: 0, identity }, offset);
    blocks.iter().for_each(|block| pass.block(block));
}

fn answer(pass: &mut dyn Pass, blocks: &[&[u8]]) -> Vec<Value> {
    feed(pass, blocks, 0);
    let mut row = Row::default();
    pass.finish(&mut row);
    row.values().to_vec()
}

/// To the last bit.
fn same(left: &[Value], right: &[Value]) -> bool {
    let bits = |value: &Value| if let Value::F64(number) = value { Some(number.to_bits()) } else { None };
    left == right && left.iter().map(bits).eq(right.iter().map(bits))
}

fn check_model(analysis: &dyn Analysis, bytes: &[u8], answer: &[Value]) {
    let expected = match (analysis.name(), answer) {
        ("kind", _) => return check_head_alone(analysis, bytes, answer),
        ("entropy", [Value::F64(entropy)]) => {
            assert!((0.0..=8.0).contains(entropy) && (entropy - shannon(bytes)).abs() < 1e-9, "{entropy}");
            return;
        }
        ("lines", _) => Value::U64(bytes.iter().filter(|byte| **byte == b'\n').count() as u64),
        ("words", _) => {
            let runs = bytes.split(|byte| matches!(byte, 0x09..=0x0d | 0x20));
            Value::U64(runs.filter(|run| !run.is_empty()).count() as u64)
        }
        ("xxh3", _) => Value::Digest(Digest::new(&xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())),
        ("sha256", _) => Value::Digest(Digest::new(&sha2::Sha256::digest(bytes))),
        ("blake3", _) => Value::Digest(Digest::new(blake3::hash(bytes).as_bytes())),
        (name, answer) => panic!("no model of {name}, which says {answer:?}"),
    };
    assert_eq!(answer, [expected], "{}", analysis.name());
}

/// What a file is, its head decides alone.
fn check_head_alone(analysis: &dyn Analysis, bytes: &[u8], answer_whole: &[Value]) {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    assert_eq!(answer_whole, answer(&mut *analysis.pass(), &cut(head, &[])));
}

/// The definition: the sum of -p log2(p) over the byte values that occur.
fn shannon(bytes: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / bytes.len() as f64);
    shares.map(|share| -share * share.log2()).sum()
}
