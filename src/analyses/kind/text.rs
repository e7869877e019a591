//! Whether a head is text, and in which encoding.

use crate::simd::{Level, Simd};

/// What a look at all bytes of the head found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Scan {
    /// A control character that text does not use. The rest was not looked at.
    pub(super) control: bool,
    /// A byte from 0x80 on, before that.
    pub(super) high: bool,
}

/// Bytes between two looks at the result: most binary files are known at the first look.
const CHUNK_BYTES: usize = 1024;

/// Control characters other than BEL to CR and ESC, and DEL.
fn is_control(byte: u8) -> bool {
    (byte < 0x20) & (byte.wrapping_sub(0x07) > 0x06) & (byte != 0x1b) | (byte == 0x7f)
}

/// One pass. Without an early exit inside a chunk the compiler makes whole-vector instructions of it.
#[inline(always)]
fn scan_by_lanes(head: &[u8]) -> Scan {
    let mut high = 0;
    for chunk in head.chunks(CHUNK_BYTES) {
        let mut control = false;
        for &byte in chunk {
            control |= is_control(byte);
            high |= byte;
        }
        if control {
            return Scan { control, high: high >= 0x80 };
        }
    }
    Scan { control: false, high: high >= 0x80 }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn scan_avx2(head: &[u8]) -> Scan {
    scan_by_lanes(head)
}

#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling a function compiled for a processor that was found to be this one"
    )
)]
pub(super) fn scan(simd: Simd, head: &[u8]) -> Scan {
    match simd.level() {
        Level::Lanes => scan_by_lanes(head),
        // SAFETY: A `Simd` is of a level that this processor was found to have, and each level includes AVX2; otherwise the
        // worst case is an illegal instruction. The body is safe code.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { scan_avx2(head) },
    }
}

/// The encoding that a byte-order mark names, if what follows is text in it. `cut`: the file may go on.
pub(super) fn marked(head: &[u8], cut: bool) -> Option<&'static str> {
    match head {
        [0xff, 0xfe, 0, 0, rest @ ..] if is_utf_32(rest, u32::from_le_bytes) => Some("UTF-32LE"),
        [0, 0, 0xfe, 0xff, rest @ ..] if is_utf_32(rest, u32::from_be_bytes) => Some("UTF-32BE"),
        [0xff, 0xfe, rest @ ..] if is_utf_16(rest, u16::from_le_bytes, cut) => Some("UTF-16LE"),
        [0xfe, 0xff, rest @ ..] if is_utf_16(rest, u16::from_be_bytes, cut) => Some("UTF-16BE"),
        _ => None,
    }
}

fn is_utf_32(rest: &[u8], number: fn([u8; 4]) -> u32) -> bool {
    let mut characters = rest.as_chunks().0.iter().map(|unit| char::from_u32(number(*unit)));
    characters.all(|character| character.is_some_and(is_for_text))
}

fn is_utf_16(rest: &[u8], number: fn([u8; 2]) -> u16, cut: bool) -> bool {
    let mut units = rest.as_chunks().0;
    // A pair may be cut in two at the end.
    if let [start @ .., last] = units
        && cut
        && (0xd800..0xdc00).contains(&number(*last))
    {
        units = start;
    }
    let mut characters = char::decode_utf16(units.iter().map(|unit| number(*unit)));
    characters.all(|character| character.is_ok_and(is_for_text))
}

fn is_for_text(character: char) -> bool {
    !u8::try_from(character).is_ok_and(is_control)
}

/// The encoding of a head without a mark of UTF-16 or UTF-32.
pub(super) fn encoding(head: &[u8], found: Scan, cut: bool) -> Option<&'static str> {
    if found.control {
        return None;
    }
    if !found.high {
        return Some("US-ASCII");
    }
    match std::str::from_utf8(head) {
        Ok(_) => Some("UTF-8"),
        Err(error) if cut && error.error_len().is_none() => Some("UTF-8"),
        Err(_) => {
            let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
            detector.feed(head, !cut);
            Some(detector.guess(None, chardetng::Utf8Detection::Deny).name())
        }
    }
}

/// The first characters of text in UTF-16 or UTF-32, those that are no ASCII as 0x80: for signatures of text.
pub(super) fn ascii_of(head: &[u8], encoding: &str) -> Vec<u8> {
    const CHARACTERS_MAX: usize = 1024;
    let (unit_bytes, is_little) = match encoding {
        "UTF-16LE" => (2, true),
        "UTF-16BE" => (2, false),
        "UTF-32LE" => (4, true),
        _ => (4, false),
    };
    let units = head.chunks_exact(unit_bytes).skip(1).take(CHARACTERS_MAX);
    let ascii = units.map(|unit| {
        let (low, high) = if is_little {
            unit.split_first().map(|(low, high)| (*low, high))
        } else {
            unit.split_last().map(|(low, high)| (*low, high))
        }
        .unwrap_or((0x80, &[]));
        if low < 0x80 && high.iter().all(|byte| *byte == 0) { low } else { 0x80 }
    });
    ascii.collect()
}
