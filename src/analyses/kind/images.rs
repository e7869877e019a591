//! Images.

use super::numbers::{be16, be32, byte, has, le16, le32, le64};

/// A marker that may be the first after the start.
pub(super) fn is_jpeg(head: &[u8]) -> Option<bool> {
    Some((0xc0..=0xfe).contains(&byte(head, 3)?))
}

/// The size of the header, then at a place that depends on it the number of planes, which is one, and of bits.
pub(super) fn is_bmp(head: &[u8]) -> Option<bool> {
    let size = le32(head, 14)?;
    let planes = match size {
        12 => 22,
        16 | 40 | 52 | 56 | 64 | 108 | 124 => 26,
        _ => return Some(false),
    };
    Some(le16(head, planes)? == 1 && matches!(le16(head, planes + 2)?, 0 | 1 | 2 | 4 | 8 | 16 | 24 | 32))
}

/// The first directory lies behind the header, at an even place, and has entries; Canon puts its own mark between.
pub(super) fn tiff(head: &[u8]) -> Option<&'static str> {
    const ENTRIES_MAX: u16 = 1024;
    let is_little = head[0] == b'I';
    let directory = if is_little { le32(head, 4)? } else { be32(head, 4)? };
    let at = usize::try_from(directory).ok()?;
    let entries = if is_little { le16(head, at) } else { be16(head, at) };
    if directory < 8
        || directory % 2 != 0
        || entries.is_some_and(|entries| !(1..=ENTRIES_MAX).contains(&entries))
    {
        return None;
    }
    Some(if has(head, 8, b"CR\x02") { "image/x-canon-cr2" } else { "image/tiff" })
}

/// Offsets of eight bytes.
pub(super) fn is_big_tiff_le(head: &[u8]) -> Option<bool> {
    Some(le16(head, 4)? == 8 && le16(head, 6)? == 0)
}

pub(super) fn is_big_tiff_be(head: &[u8]) -> Option<bool> {
    Some(be16(head, 4)? == 8 && be16(head, 6)? == 0)
}

pub(super) fn is_jxr(head: &[u8]) -> Option<bool> {
    Some(le32(head, 4)? >= 8 && le32(head, 4)? % 2 == 0)
}

/// The first entry: a reserved byte, planes, bits, and data behind the entries.
pub(super) fn is_icon(head: &[u8]) -> Option<bool> {
    let number = u32::from(le16(head, 4)?);
    let (planes, bits, bytes, at) = (le16(head, 10)?, le16(head, 12)?, le32(head, 14)?, le32(head, 18)?);
    let is_entry = byte(head, 9)? == 0 && planes <= 1 && matches!(bits, 0 | 1 | 4 | 8 | 16 | 24 | 32);
    Some(number > 0 && is_entry && bytes > 0 && at >= 6 + 16 * number && at < 1 << 28)
}

/// Version 1 or 2, then six zeros.
pub(super) fn is_photoshop(head: &[u8]) -> Option<bool> {
    Some(matches!(be16(head, 4)?, 1 | 2) && has(head, 6, &[0; 6]))
}

pub(super) fn jpeg_2000(head: &[u8]) -> Option<&'static str> {
    if !has(head, 16, b"ftyp") {
        return None;
    }
    match head.get(20..24)? {
        b"jpx " => Some("image/jpx"),
        b"jpm " => Some("image/jpm"),
        b"mjp2" => Some("video/mj2"),
        _ => Some("image/jp2"),
    }
}

/// A height, then a width or a ratio: each in the shortest form that holds it, as encoders write it.
pub(super) fn is_bare_jxl(head: &[u8]) -> Option<bool> {
    // Of a number: the bits after its selector, and the least that needs this selector.
    const FORMS: [(u32, u64); 3] = [(9, 1), (13, 513), (18, 8193)];
    let all = le64(head, 2)?;
    let (mut bits, mut eighths) = (all >> 1, 0);
    let mut take = |count: u32| {
        let number = bits & ((1 << count) - 1);
        bits >>= count;
        number
    };
    // Both in eighths of at most 256: each value is right. Compressed data is neither text nor one byte over and over.
    if all & 1 == 1 {
        let start = &head[2..10];
        return Some(!start.is_ascii() && start.iter().any(|byte| *byte != start[0]));
    }
    for is_width in [false, true] {
        if is_width && take(3) != 0 {
            break;
        }
        let Ok(selector) = usize::try_from(take(2)) else { return None };
        let Some(&(count, least)) = FORMS.get(selector) else { return Some(false) };
        let size = take(count) + 1;
        if size < least {
            return Some(false);
        }
        eighths += u32::from(size % 8 == 0 && size <= 256);
    }
    Some(eighths < 2)
}

/// Version 2, and no flag that is reserved; the first attribute is a name.
pub(super) fn is_exr(head: &[u8]) -> Option<bool> {
    let version = le32(head, 4)?;
    Some(version & 0xff == 2 && version & !0x1eff == 0 && byte(head, 8)?.is_ascii_alphabetic())
}

pub(super) fn is_qoi(head: &[u8]) -> Option<bool> {
    let is_size = be32(head, 4)? > 0 && be32(head, 8)? > 0;
    Some(is_size && matches!(byte(head, 12)?, 3 | 4) && byte(head, 13)? <= 1)
}

/// The length of the file, then the type of the first element.
pub(super) fn is_icns(head: &[u8]) -> Option<bool> {
    let is_type = head.get(8..12)?.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    Some((16..1 << 28).contains(&be32(head, 4)?) && is_type)
}

/// The version in two digits, then zeros.
pub(super) fn is_dwg(head: &[u8]) -> Option<bool> {
    Some(head.get(4..6)?.iter().all(u8::is_ascii_digit) && has(head, 6, &[0; 5]))
}

pub(super) fn is_djvu(head: &[u8]) -> Option<bool> {
    Some([&b"DJVU"[..], b"DJVM", b"DJVI", b"THUM"].iter().any(|form| has(head, 12, form)))
}

/// A handle that is zero, and a checksum over ten words.
pub(super) fn is_wmf(head: &[u8]) -> Option<bool> {
    let sum = (0..10).try_fold(0, |sum, word| Some(sum ^ le16(head, 2 * word)?))?;
    Some(le16(head, 4)? == 0 && sum == le16(head, 20)?)
}

/// The record of the header, with the mark of the format.
pub(super) fn is_emf(head: &[u8]) -> Option<bool> {
    Some(has(head, 40, b" EMF") && le32(head, 4)? >= 88)
}

/// A depth and a type that exist.
pub(super) fn is_sun_raster(head: &[u8]) -> Option<bool> {
    let is_size = be32(head, 4)? > 0 && be32(head, 8)? > 0;
    Some(
        is_size && matches!(be32(head, 12)?, 1 | 8 | 24 | 32) && be32(head, 20)? <= 5 && be32(head, 24)? <= 2,
    )
}

/// Compressed or not, one or two bytes a channel, one to three dimensions.
pub(super) fn is_sgi(head: &[u8]) -> Option<bool> {
    let is_header =
        byte(head, 2)? <= 1 && matches!(byte(head, 3)?, 1 | 2) && (1..=3).contains(&be16(head, 4)?);
    Some(is_header && be16(head, 6)? > 0 && be16(head, 10)? <= 4)
}

/// Medical images: a group of the file's own attributes follows.
pub(super) fn is_dicom(head: &[u8]) -> Option<bool> {
    Some(le16(head, 132)? == 2)
}

/// Netpbm as text: its letter and digit, sizes, then only numbers.
pub(super) fn plain_map(head: &[u8]) -> Option<&'static str> {
    const LOOKED_BYTES: usize = 64;
    let (kind, numbers) = match byte(head, 1)? {
        b'1' => ("image/x-portable-bitmap", 2),
        b'2' => ("image/x-portable-greymap", 3),
        b'3' => ("image/x-portable-pixmap", 3),
        _ => return None,
    };
    let end = map_header(head, numbers)?;
    let pixels = &head[end..head.len().min(end + LOOKED_BYTES)];
    let is_pixel = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_whitespace() || *byte == b'#';
    (pixels.iter().any(u8::is_ascii_digit) && pixels.iter().take_while(|byte| **byte != b'#').all(is_pixel))
        .then_some(kind)
}

/// Netpbm with pixels as bytes.
pub(super) fn raw_map(head: &[u8]) -> Option<&'static str> {
    let (kind, numbers) = match byte(head, 1)? {
        b'4' => ("image/x-portable-bitmap", 2),
        b'5' => ("image/x-portable-greymap", 3),
        b'6' => ("image/x-portable-pixmap", 3),
        b'7' if has(head, 2, b"\n") => {
            let is_keyed = [&b"WIDTH "[..], b"HEIGHT ", b"DEPTH ", b"#"].iter().any(|key| has(head, 3, key));
            return is_keyed.then_some("image/x-portable-arbitrarymap");
        }
        _ => return None,
    };
    map_header(head, numbers).map(|_| kind)
}

/// The end of a header of Netpbm: numbers above zero between blanks and comments; the last one is at most 65535 if it is the
/// largest value.
fn map_header(head: &[u8], numbers: usize) -> Option<usize> {
    const HEADER_BYTES_MAX: usize = 1024;
    let mut at = 2;
    for number in 0..numbers {
        let start = at;
        loop {
            match byte(head, at)? {
                b'#' => at += head[at..].iter().position(|byte| *byte == b'\n')?,
                blank if blank.is_ascii_whitespace() => at += 1,
                _ => break,
            }
        }
        let digits = head[at..].iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        let value: u64 = std::str::from_utf8(&head[at..at + digits]).ok()?.parse().ok()?;
        let max = if number == 2 { u64::from(u16::MAX) } else { 1 << 31 };
        if at == start || value == 0 || value > max || at > HEADER_BYTES_MAX {
            return None;
        }
        at += digits;
    }
    byte(head, at)?.is_ascii_whitespace().then_some(at + 1)
}
