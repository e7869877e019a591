//! Programs, libraries, objects and byte code.

use super::numbers::{be16, be32, byte, has, le16, le32, le64};

/// ELF: by its type, and among shared objects by whether the system can start it.
pub(super) fn elf(head: &[u8]) -> Option<&'static str> {
    let (is_wide, is_little) = (elf_choice(head, 4)?, elf_choice(head, 5)?);
    if byte(head, 6)? != 1 || !has(head, if is_wide { 63 } else { 51 }, b"") {
        return None;
    }
    let kind = if is_little { le16(head, 16) } else { be16(head, 16) };
    match kind? {
        1 => Some("application/x-object"),
        2 => Some("application/x-executable"),
        3 => match has_interpreter(head, is_wide, is_little) {
            Some(true) => Some("application/x-pie-executable"),
            Some(false) => Some("application/x-sharedlib"),
            // Program headers behind the head: a library has no entry.
            None => entry_is_zero(head, is_wide)?.then_some("application/x-sharedlib"),
        },
        4 => Some("application/x-coredump"),
        _ => None,
    }
}

/// A field of the identification that is 1 (narrow, big-endian is 2 of the other) or 2.
fn elf_choice(head: &[u8], at: usize) -> Option<bool> {
    match (at, byte(head, at)?) {
        (4, 1) | (5, 2) => Some(false),
        (4, 2) | (5, 1) => Some(true),
        _ => None,
    }
}

/// Whether it is a program: a program header names an interpreter, and linkers put that on the first page. Libraries that can be
/// started have it elsewhere, in their data that is only read. `None` if the head ends before all headers. The flag DF_1_PIE
/// would be more exact, but lies near the end of the file.
fn has_interpreter(head: &[u8], is_wide: bool, is_little: bool) -> Option<bool> {
    const PT_LOAD: u32 = 1;
    const PT_INTERP: u32 = 3;
    const PF_W: u32 = 2;
    const PAGE_BYTES: u64 = 4096;
    let n16 = |at| if is_little { le16(head, at) } else { be16(head, at) };
    let n32 = |at| if is_little { le32(head, at) } else { be32(head, at) };
    let word = |at| match (is_wide, is_little) {
        (false, _) => n32(at).map(u64::from),
        (true, true) => le64(head, at),
        (true, false) => le64(head, at).map(u64::swap_bytes),
    };
    let (headers_at, size_at) = if is_wide { (32, 54) } else { (28, 42) };
    let (flags_at, place_at, length_at) = if is_wide { (4, 8, 32) } else { (24, 4, 16) };
    let (size, number) = (usize::from(n16(size_at)?), usize::from(n16(size_at + 2)?));
    let start = usize::try_from(word(headers_at)?).ok()?;
    let end = start.checked_add(number * size)?;
    head.get(start..end)?;
    let headers = || (start..end).step_by(size.max(1));
    let Some(interpreter) = headers().find(|at| n32(*at) == Some(PT_INTERP)) else { return Some(false) };
    let place = word(interpreter + place_at)?;
    // A program that was given another interpreter later has it in a segment of its own, which is writable.
    let is_writable = |at: usize| {
        let after = place.checked_sub(word(at + place_at)?)?;
        Some(n32(at)? == PT_LOAD && n32(at + flags_at)? & PF_W != 0 && after < word(at + length_at)?)
    };
    Some(place < PAGE_BYTES || headers().any(|at| is_writable(at) == Some(true)))
}

/// Whether ELF has no address at which it starts.
fn entry_is_zero(head: &[u8], is_wide: bool) -> Option<bool> {
    const ENTRY: usize = 24;
    Some(head.get(ENTRY..ENTRY + if is_wide { 8 } else { 4 })?.iter().all(|byte| *byte == 0))
}

/// PE where its header lies in the head; else MZ with a header that adds up.
pub(super) fn dos(head: &[u8]) -> Option<&'static str> {
    const PARAGRAPH_BYTES: u32 = 16;
    const PAGE_BYTES: u32 = 512;
    if let Some(at) = le32(head, 0x3c).and_then(|at| usize::try_from(at).ok())
        && at >= 4
    {
        if has(head, at, b"PE\0\0") {
            return Some("application/vnd.microsoft.portable-executable");
        }
        if [&b"NE"[..], b"LE", b"LX"].iter().any(|magic| has(head, at, magic)) {
            return Some("application/x-dosexec");
        }
    }
    let (last_bytes, pages, relocations) = (le16(head, 2)?, le16(head, 4)?, le16(head, 6)?);
    let (header, table) = (u32::from(le16(head, 8)?) * PARAGRAPH_BYTES, u32::from(le16(head, 24)?));
    let adds_up = u32::from(last_bytes) < PAGE_BYTES
        && pages > 0
        && header >= 32
        && header <= u32::from(pages) * PAGE_BYTES
        && (relocations == 0 || (table >= 28 && table + 4 * u32::from(relocations) <= header));
    // Text has no byte of zero in its first words, and a header is seldom without.
    (adds_up && head.get(2..28)?.contains(&0)).then_some("application/x-dosexec")
}

/// The same four bytes begin a class of Java, with its version, and a Mach-O file of several processors, with their number.
pub(super) fn class_or_mach(head: &[u8]) -> Option<&'static str> {
    const CLASS_MAJOR_MIN: u16 = 45;
    const CLASS_MAJOR_MAX: u16 = 120;
    let (number, major) = (be32(head, 4)?, be16(head, 6)?);
    if (CLASS_MAJOR_MIN..=CLASS_MAJOR_MAX).contains(&major) {
        // A preview has all ones as its minor version, others a small number; the number of constants is at least one.
        return (be16(head, 8)? > 1).then_some("application/x-java-applet");
    }
    let is_mach = (1..u32::from(CLASS_MAJOR_MIN)).contains(&number) && is_processor(be32(head, 8)?);
    is_mach.then_some("application/x-mach-binary")
}

/// Whether Mach-O has this number for a processor, whose upper byte is for the width.
fn is_processor(number: u32) -> bool {
    matches!(number >> 24, 0..=2) && (1..=18).contains(&(number & 0x00ff_ffff))
}

pub(super) fn is_mach_be(head: &[u8]) -> Option<bool> {
    Some(is_processor(be32(head, 4)?) && (1..=12).contains(&be32(head, 12)?))
}

pub(super) fn is_mach_le(head: &[u8]) -> Option<bool> {
    Some(is_processor(le32(head, 4)?) && (1..=12).contains(&le32(head, 12)?))
}

/// An object of COFF: no optional header, and a first section whose name and data lie inside their bounds.
pub(super) fn is_coff(head: &[u8]) -> Option<bool> {
    const HEADER_BYTES: u32 = 20;
    const SECTION_BYTES: u32 = 40;
    let (sections, symbols, optional) = (u32::from(le16(head, 2)?), le32(head, 8)?, le16(head, 16)?);
    let name = head.get(20..28)?;
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let is_name = end > 0
        && name[..end].iter().all(u8::is_ascii_graphic)
        && name[end..].iter().all(|byte| *byte == 0)
        && matches!(name[0], b'.' | b'/' | b'_');
    let (size, data) = (le32(head, 36)?, le32(head, 40)?);
    let after = HEADER_BYTES + sections * SECTION_BYTES;
    let is_place = |at: u32| at == 0 || at >= after;
    Some(
        sections > 0
            && optional == 0
            && is_name
            && is_place(symbols)
            && is_place(data)
            && (size == 0 || size < 1 << 30),
    )
}

/// Bitcode begins with a block: the bits of its first word are the start of a block, which block, the width of its
/// abbreviations, and zeros.
pub(super) fn is_bitcode(head: &[u8]) -> Option<bool> {
    const BLOCK_MAX: u32 = 26;
    let word = le32(head, 4)?;
    Some(word & 3 == 1 && (word >> 2) & 0xff <= BLOCK_MAX && word < 1 << 14 && head.len() >= 12)
}

pub(super) fn is_wrapped_bitcode(head: &[u8]) -> Option<bool> {
    Some(le32(head, 4)? == 0 && le32(head, 8)? >= 20 && le32(head, 12)? > 0)
}

pub(super) fn is_dex(head: &[u8]) -> Option<bool> {
    Some(head.get(4..7)?.iter().all(u8::is_ascii_digit) && byte(head, 7)? == 0 && le32(head, 36)? == 0x70)
}

pub(super) fn is_dey(head: &[u8]) -> Option<bool> {
    Some(head.get(4..7)?.iter().all(u8::is_ascii_digit) && byte(head, 7)? == 0 && le32(head, 8)? >= 40)
}

pub(super) fn is_pack200(head: &[u8]) -> Option<bool> {
    // The version: minor, then major.
    Some(byte(head, 4)? <= 1 && matches!(byte(head, 5)?, 150 | 160 | 170 | 171))
}

/// A cartridge: units of program; the header ends with zeros, or says that it is of the second version.
pub(super) fn is_nes(head: &[u8]) -> Option<bool> {
    let is_second = byte(head, 7)? & 0x0c == 0x08 && byte(head, 14)? <= 3 && byte(head, 15)? < 0x40;
    Some(byte(head, 4)? > 0 && (is_second || has(head, 12, &[0; 4])) && head.len() >= 16)
}

/// Flash by its version and length; if compressed, by the first bytes of the compressed data.
pub(super) fn flash(head: &[u8]) -> Option<&'static str> {
    const VERSION_MAX: u8 = 50;
    const LENGTH_MAX: u32 = 1 << 28;
    let is_header = (1..=VERSION_MAX).contains(&byte(head, 3)?) && (21..LENGTH_MAX).contains(&le32(head, 4)?);
    let begins = match head[0] {
        b'C' => be16(head, 8)? % 31 == 0 && byte(head, 8)? & 0x0f == 8,
        b'Z' => byte(head, 12)? < 225 && byte(head, 3)? >= 13,
        // A rectangle: the width of its numbers in bits.
        _ => byte(head, 8)? >> 3 > 0,
    };
    (is_header && begins).then_some("application/x-shockwave-flash")
}

/// The version, zero at both ends, in the order of the magic number.
pub(super) fn is_spirv(head: &[u8]) -> Option<bool> {
    let version = if head[0] == 3 { le32(head, 4)? } else { be32(head, 4)? };
    let bound = if head[0] == 3 { le32(head, 12)? } else { be32(head, 12)? };
    Some(version & 0xff00_00ff == 0 && version >> 16 == 1 && bound > 0)
}

/// Byte code of Emacs: its version, then zeros.
pub(super) fn is_emacs(head: &[u8]) -> Option<bool> {
    Some((18..=60).contains(&byte(head, 4)?) && has(head, 5, b"\0\0\0") && le64(head, 0).is_some())
}
