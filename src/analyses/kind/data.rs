//! Databases, tables, tensors, captures, and what programs keep for themselves.

use memchr::memmem;

use super::numbers::{be16, be32, byte, has, le16, le32, le64};

pub(super) fn is_keystore(head: &[u8]) -> Option<bool> {
    Some(matches!(be32(head, 4)?, 1 | 2) && be32(head, 8)? < 1 << 20)
}

/// The version of the format, and a size of pages that is a power of two.
pub(super) fn is_wal(head: &[u8]) -> Option<bool> {
    Some(be32(head, 4)? == 3_007_000 && be32(head, 8)?.is_power_of_two())
}

/// The header of the first page: its first field is a number, the type of the page.
pub(super) fn is_parquet(head: &[u8]) -> Option<bool> {
    Some(byte(head, 4)? == 0x15 && matches!(byte(head, 5)?, 0 | 2 | 4 | 6) && byte(head, 6)? == 0x15)
}

/// The length of the metadata, padded to eight bytes, and the place of its root.
pub(super) fn is_arrow_stream(head: &[u8]) -> Option<bool> {
    let (length, root) = (le32(head, 4)?, le32(head, 8)?);
    Some(length % 8 == 0 && (16..1 << 24).contains(&length) && (4..64).contains(&root) && root % 4 == 0)
}

/// Padded to eight bytes.
pub(super) fn is_feather(head: &[u8]) -> Option<bool> {
    Some(has(head, 4, &[0; 4]))
}

/// The index of the first stripe, as it is or in a compressed chunk; an empty file begins with its footer.
pub(super) fn is_orc(head: &[u8]) -> Option<bool> {
    const INDEX: u8 = 0x0a;
    let is_chunk = byte(head, 5)? == 0 && byte(head, 6)? == INDEX;
    Some(byte(head, 3)? == INDEX || is_chunk || has(head, 3, b"\x08\x03"))
}

/// Metadata with the schema.
pub(super) fn is_avro(head: &[u8]) -> Option<bool> {
    const METADATA_BYTES: usize = 1024;
    memmem::find(&head[..head.len().min(METADATA_BYTES)], b"avro.").map(|_| true)
}

/// A block of descriptors.
pub(super) fn is_hdf4(head: &[u8]) -> Option<bool> {
    Some((1..=4096).contains(&be16(head, 4)?))
}

/// The list of dimensions: absent, or with its tag.
pub(super) fn is_netcdf(head: &[u8]) -> Option<bool> {
    const DIMENSIONS: u32 = 10;
    let at = if head[3] == 5 { 12 } else { 8 };
    Some(matches!(be32(head, at)?, 0 | DIMENSIONS))
}

pub(super) fn is_gguf(head: &[u8]) -> Option<bool> {
    Some((1..=16).contains(&le32(head, 4)?) || (1..=16).contains(&be32(head, 4)?))
}

/// Fields of a model: its version, then its producer, then the graph with a node or a name.
pub(super) fn is_onnx(head: &[u8]) -> Option<bool> {
    const GRAPH: u64 = 7;
    const LENGTH: u64 = 2;
    let mut rest = head;
    let (mut last, mut fields) = (0, 0);
    loop {
        let (key, after) = varint(rest)?;
        let (field, wire) = (key >> 3, key & 7);
        if field <= last && field != 8 {
            return Some(false);
        }
        last = field;
        let (number, after) = varint(after)?;
        match (field, wire) {
            (1, 0) if (1..=30).contains(&number) => {}
            (5, 0) => {}
            (GRAPH, LENGTH) => {
                // Nodes are its first field, then its name, then weights.
                let (inner, _) = varint(after)?;
                return Some(fields > 0 && matches!(inner, 0x0a | 0x12 | 0x2a) && number > 4);
            }
            (2..=4 | 6 | 8, LENGTH) => {
                let (text, next) = after.split_at_checked(usize::try_from(number).ok()?)?;
                if field != 8 && std::str::from_utf8(text).is_err() {
                    return Some(false);
                }
                rest = next;
                fields += 1;
                continue;
            }
            _ => return Some(false),
        }
        rest = after;
        fields += 1;
    }
}

/// A number of seven bits a byte, least bits first.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((number, &bytes[i + 1..]));
        }
    }
    None
}

/// The length of the header, then an object of JSON with the type of a tensor, or metadata.
pub(super) fn is_safetensors(head: &[u8]) -> Option<bool> {
    const HEADER_BYTES_MAX: u64 = 100_000_000;
    let is_length = (8..=HEADER_BYTES_MAX).contains(&le64(head, 0)?);
    let names = [&b"\"dtype\""[..], b"\"__metadata__\""];
    Some(is_length && names.iter().any(|name| memmem::find(&head[8..], name).is_some()))
}

pub(super) fn is_gdbm_be(head: &[u8]) -> Option<bool> {
    Some(be32(head, 4)? >= 512 && be32(head, 4)? < 1 << 24)
}

pub(super) fn is_gdbm_le(head: &[u8]) -> Option<bool> {
    Some(le32(head, 4)? >= 512 && le32(head, 4)? < 1 << 24)
}

/// Berkeley DB 1.85: the version follows.
pub(super) fn is_dbm_be(head: &[u8]) -> Option<bool> {
    Some(matches!(be32(head, 4)?, 2 | 3))
}

pub(super) fn is_dbm_le(head: &[u8]) -> Option<bool> {
    Some(matches!(le32(head, 4)?, 2 | 3))
}

/// Later ones: the version, and a size of pages that is a power of two.
pub(super) fn is_berkeley_le(head: &[u8]) -> Option<bool> {
    Some((1..=10).contains(&le32(head, 16)?) && le32(head, 20)?.is_power_of_two())
}

pub(super) fn is_mo_le(head: &[u8]) -> Option<bool> {
    Some(is_catalog(le32(head, 4)?, le32(head, 12)?, le32(head, 16)?))
}

pub(super) fn is_mo_be(head: &[u8]) -> Option<bool> {
    Some(is_catalog(be32(head, 4)?, be32(head, 12)?, be32(head, 16)?))
}

/// Revision 0 or 1, and two tables behind the header.
fn is_catalog(revision: u32, originals: u32, translations: u32) -> bool {
    revision >> 16 <= 1 && revision & 0xffff <= 1 && originals >= 28 && translations >= 28
}

/// Sizes of five sections, and names that end with a zero.
pub(super) fn is_terminfo(head: &[u8]) -> Option<bool> {
    let (names, booleans, numbers) = (usize::from(le16(head, 2)?), le16(head, 4)?, le16(head, 6)?);
    let (strings, table) = (le16(head, 8)?, le16(head, 10)?);
    let is_size =
        (2..=4096).contains(&names) && booleans <= 256 && numbers <= 256 && strings <= 1024 && table < 0x8000;
    let names = head.get(12..12 + names)?;
    Some(
        is_size
            && names[0].is_ascii_graphic()
            && names.iter().position(|byte| *byte == 0) == Some(names.len() - 1),
    )
}

/// A version of git's packs, their indexes, or the index of a work tree.
pub(super) fn is_git_versioned(head: &[u8]) -> Option<bool> {
    Some((2..=4).contains(&be32(head, 4)?) && head.len() >= 12)
}

pub(super) fn is_pcap_le(head: &[u8]) -> Option<bool> {
    Some(le16(head, 4)? == 2 && le16(head, 6)? <= 4)
}

pub(super) fn is_pcap_be(head: &[u8]) -> Option<bool> {
    Some(be16(head, 4)? == 2 && be16(head, 6)? <= 4)
}

/// The order of bytes.
pub(super) fn is_pcapng(head: &[u8]) -> Option<bool> {
    Some(matches!(be32(head, 8)?, 0x1a2b_3c4d | 0x4d3c_2b1a))
}

/// A version, then zeros.
pub(super) fn is_tzif(head: &[u8]) -> Option<bool> {
    Some(matches!(byte(head, 4)?, 0 | b'2'..=b'4') && has(head, 5, &[0; 15]))
}

/// The class of links.
pub(super) fn is_shortcut(head: &[u8]) -> Option<bool> {
    Some(has(head, 4, b"\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"))
}

pub(super) fn is_html_help(head: &[u8]) -> Option<bool> {
    Some((2..=4).contains(&le32(head, 4)?) && le32(head, 8)? >= 88)
}
