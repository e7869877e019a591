//! Compound files (OLE2): by their directory, if the head holds it.

use super::numbers::{byte, has, le16, le32};

const ENTRY_BYTES: usize = 128;
/// The class of the root of an installer's database: the identifiers of a package, a patch and a transform.
const INSTALLERS: [u8; 3] = [0x84, 0x86, 0x82];
const INSTALLER_REST: &[u8] = b"\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";

pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    // The mark of the order of bytes.
    if !has(head, 28, b"\xfe\xff") {
        return None;
    }
    Some(by_directory(head).unwrap_or("application/x-ole-storage"))
}

fn by_directory(head: &[u8]) -> Option<&'static str> {
    let sector_bytes = match le16(head, 30)? {
        9 => 512,
        12 => 4096,
        _ => return None,
    };
    let first = usize::try_from(le32(head, 48)?).ok()?;
    let start = first.checked_add(1)?.checked_mul(sector_bytes)?;
    let directory = head.get(start..)?;
    // The sectors that follow belong to it or not: the first is its own.
    let entries = directory[..directory.len().min(sector_bytes)].chunks_exact(ENTRY_BYTES);
    let mut found = None;
    for entry in entries {
        if byte(entry, 66)? == 5 && INSTALLERS.contains(&entry[80]) && has(entry, 81, INSTALLER_REST) {
            return Some("application/x-msi");
        }
        found = found.or(by_name(entry));
    }
    found
}

/// The type by the name of a stream or storage, in UTF-16 with a zero at its end.
fn by_name(entry: &[u8]) -> Option<&'static str> {
    const NAMES: [(&str, &str); 9] = [
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("Book", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("VisioDocument", "application/vnd.visio"),
        ("Quill", "application/vnd.ms-publisher"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
        ("__nameid_version1.0", "application/vnd.ms-outlook"),
        ("SwDocContentMngr", "application/x-solidworks"),
    ];
    let length = usize::from(le16(entry, 64)?).checked_sub(2)?;
    let name = entry.get(..length.min(64))?;
    let is_name = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).eq(name.iter().copied());
    NAMES.iter().find(|(text, _)| is_name(text)).map(|(_, kind)| *kind)
}
