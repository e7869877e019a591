//! Fonts.

use super::numbers::{be16, be32, byte, has, le32};

/// A directory of tables: the numbers for searching in it follow from how many they are, and a tag comes first.
pub(super) fn is_sfnt(head: &[u8]) -> Option<bool> {
    const TABLES_MAX: u16 = 256;
    let (tables, range) = (be16(head, 4)?, be16(head, 6)?);
    if tables == 0 || tables > TABLES_MAX {
        return Some(false);
    }
    // Some writers leave the numbers zero.
    let is_range = range == 16 << tables.ilog2() || range == 0;
    let is_tag = head.get(12..16)?.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    Some(is_range && is_tag && be32(head, 20)? >= 12)
}

/// A version, and fonts.
pub(super) fn is_collection(head: &[u8]) -> Option<bool> {
    Some(matches!(be32(head, 4)?, 0x0001_0000 | 0x0002_0000) && (1..=4096).contains(&be32(head, 8)?))
}

/// The font that it holds: TrueType, OpenType, Apple's, or a collection.
pub(super) fn is_woff(head: &[u8]) -> Option<bool> {
    let is_flavor = [&b"\0\x01\0\0"[..], b"OTTO", b"true", b"ttcf"].iter().any(|flavor| has(head, 4, flavor));
    Some(is_flavor && be32(head, 8)? >= 44 && be16(head, 12)? > 0 && be16(head, 14)? == 0)
}

/// A version that exists, and a size of the font that is less than that of the file.
pub(super) fn is_embedded(head: &[u8]) -> Option<bool> {
    let is_version = matches!(le32(head, 8)?, 0x0001_0000 | 0x0002_0001 | 0x0002_0002);
    Some(is_version && le32(head, 4)? < le32(head, 0)? && byte(head, 26)? <= 1)
}
