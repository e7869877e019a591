//! Archives, compressed files, disk images.

use super::numbers::{be16, be32, byte, has, le16, le32, le64};

/// No flag that is reserved.
pub(super) fn is_gzip(head: &[u8]) -> Option<bool> {
    Some(byte(head, 3)? & 0xe0 == 0)
}

/// The number of bits, and two flags that are always zero.
pub(super) fn is_compress(head: &[u8]) -> Option<bool> {
    let flags = byte(head, 2)?;
    Some(flags & 0x60 == 0 && (9..=16).contains(&(flags & 0x1f)))
}

/// The size of its blocks, then a block or the end. A small file may have no control character, but is not ASCII.
pub(super) fn is_bzip2(head: &[u8]) -> Option<bool> {
    let is_block = has(head, 4, b"\x31\x41\x59\x26\x53\x59") || has(head, 4, b"\x17\x72\x45\x38\x50\x90");
    Some((b'1'..=b'9').contains(&byte(head, 3)?) && is_block && !head.is_ascii())
}

/// A size of dictionary that encoders use, and a length that is unknown or less than 256 GiB.
pub(super) fn is_lzma(head: &[u8]) -> Option<bool> {
    let (dictionary, length) = (le32(head, 1)?, le64(head, 5)?);
    let is_size = dictionary.count_ones() == 1
        || (dictionary.count_ones() == 2 && (dictionary >> dictionary.trailing_zeros()) == 3);
    Some(is_size && dictionary >= 1 << 12 && (length == u64::MAX || length < 1 << 38) && byte(head, 13)? == 0)
}

pub(super) fn is_lzip(head: &[u8]) -> Option<bool> {
    Some(byte(head, 4)? <= 1 && (12..=29).contains(&(byte(head, 5)? & 0x1f)))
}

pub(super) fn is_lrzip(head: &[u8]) -> Option<bool> {
    Some(byte(head, 4)? == 0 && byte(head, 5)? <= 9)
}

/// A frame whose header has no reserved bit, then a block of a known type and size.
pub(super) fn is_zstd(head: &[u8]) -> Option<bool> {
    const BLOCK_BYTES_MAX: u32 = 128 * 1024;
    let descriptor = byte(head, 4)?;
    let is_single = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = match descriptor >> 6 {
        0 => usize::from(is_single),
        power => 1 << power,
    };
    let block = 5 + usize::from(!is_single) + dictionary + size;
    let header = u32::from(le16(head, block)?) | u32::from(byte(head, block + 2)?) << 16;
    Some(descriptor & 0x08 == 0 && (header >> 1) & 3 != 3 && header >> 3 <= BLOCK_BYTES_MAX)
}

/// Version 1, no reserved bit, a size of blocks that exists.
pub(super) fn is_lz4(head: &[u8]) -> Option<bool> {
    let (flags, block) = (byte(head, 4)?, byte(head, 5)?);
    Some(flags & 0xc2 == 0x40 && block & 0x8f == 0 && block >> 4 >= 4)
}

/// The length of its first block, at most what 8 MiB become.
pub(super) fn is_lz4_legacy(head: &[u8]) -> Option<bool> {
    Some((1..=8_421_504).contains(&le32(head, 4)?))
}

/// A frame that decompressors of Zstandard and LZ4 skip, before one that they do not.
pub(super) fn skippable(head: &[u8]) -> Option<&'static str> {
    const FRAMES_MAX: usize = 16;
    let mut rest = head;
    for _ in 0..FRAMES_MAX {
        if has(rest, 0, b"\x28\xb5\x2f\xfd") {
            return (is_zstd(rest) == Some(true)).then_some("application/zstd");
        }
        if has(rest, 0, b"\x04\x22\x4d\x18") {
            return (is_lz4(rest) == Some(true)).then_some("application/x-lz4");
        }
        if le32(rest, 0)? & 0xffff_fff0 != 0x184d_2a50 {
            return None;
        }
        rest = rest.get(usize::try_from(le32(rest, 4)?).ok()?.checked_add(8)?..)?;
    }
    None
}

/// The header of the first member, if there is one.
pub(super) fn ar(head: &[u8]) -> Option<&'static str> {
    if head.len() == 8 {
        return Some("application/x-archive");
    }
    if !has(head, 66, b"`\n") {
        return None;
    }
    let is_package = has(head, 8, b"debian-binary");
    Some(if is_package { "application/vnd.debian.binary-package" } else { "application/x-archive" })
}

/// Numbers as text up to the name: in hexadecimal, or in the old form in octal.
pub(super) fn is_cpio_text(head: &[u8]) -> Option<bool> {
    match byte(head, 5)? {
        b'1' | b'2' => Some(head.get(6..110)?.iter().all(u8::is_ascii_hexdigit)),
        b'7' => Some(head.get(6..76)?.iter().all(|byte| (b'0'..=b'7').contains(byte))),
        _ => Some(false),
    }
}

pub(super) fn is_cpio_le(head: &[u8]) -> Option<bool> {
    is_cpio_name(head, le16(head, 20)?)
}

pub(super) fn is_cpio_be(head: &[u8]) -> Option<bool> {
    is_cpio_name(head, be16(head, 20)?)
}

/// A name ends with its only zero.
fn is_cpio_name(head: &[u8], length: u16) -> Option<bool> {
    let name = head.get(26..26 + usize::from(length))?;
    Some(length > 1 && name.iter().position(|byte| *byte == 0) == Some(name.len() - 1))
}

/// The sum of the bytes of the header, in which the sum itself counts as blanks.
pub(super) fn is_tar(head: &[u8]) -> Option<bool> {
    const SUM: std::ops::Range<usize> = 148..156;
    // Cheap, and decides most files: a name is not empty, and a checksum begins with an octal digit or a blank.
    if byte(head, 0)? == 0 || !matches!(byte(head, SUM.start)?, b'0'..=b'7' | b' ') {
        return Some(false);
    }
    let digits = head[SUM.start..].get(..8)?.iter().skip_while(|byte| **byte == b' ');
    let digits = digits.take_while(|byte| (b'0'..=b'7').contains(byte));
    let stated = digits.fold(0_i64, |sum, digit| sum * 8 + i64::from(digit - b'0'));
    let header = head.get(..512)?;
    let (mut unsigned, mut signed) = (0, 0);
    for (at, &byte) in header.iter().enumerate() {
        let byte = if SUM.contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    Some(stated == unsigned || stated == signed)
}

pub(super) fn is_rpm(head: &[u8]) -> Option<bool> {
    Some(matches!(byte(head, 4)?, 2..=4) && be16(head, 6)? <= 1 && head.len() >= 96)
}

/// The version in the upper byte of the second number.
pub(super) fn is_installshield(head: &[u8]) -> Option<bool> {
    Some(matches!(byte(head, 7)?, 1 | 2 | 4) && le32(head, 12)? != 0)
}

pub(super) fn is_xar(head: &[u8]) -> Option<bool> {
    Some(be16(head, 4)? >= 28 && be16(head, 6)? == 1)
}

pub(super) fn is_chrome_extension(head: &[u8]) -> Option<bool> {
    Some(matches!(le32(head, 4)?, 2 | 3) && le32(head, 8)? > 0)
}

/// Version 4, blocks of 4 KiB to 1 MiB, a known compressor.
pub(super) fn is_squashfs(head: &[u8]) -> Option<bool> {
    Some(le16(head, 28)? == 4 && (12..=20).contains(&le16(head, 22)?) && (1..=6).contains(&le16(head, 20)?))
}

pub(super) fn is_qcow(head: &[u8]) -> Option<bool> {
    Some((1..=3).contains(&be32(head, 4)?) && head.len() >= 48)
}

/// The method, then the level of the header.
pub(super) fn is_lha(head: &[u8]) -> Option<bool> {
    Some(matches!(byte(head, 5)?, b'0'..=b'7' | b'd') && byte(head, 6)? == b'-' && byte(head, 20)? <= 3)
}
