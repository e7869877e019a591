//! Zip and the formats packed with it: by the names of the members that the head shows, in any order.

use memchr::memmem;

use super::numbers::{be16, has, le16, le32};

const LOCAL: &[u8] = b"PK\x03\x04";
const HEADER_BYTES: usize = 30;

pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    match head.get(2..4)? {
        b"\x03\x04" => packed(head),
        // Nothing but the end: an archive without members.
        b"\x05\x06" => (head.get(4..20)? == [0; 16]).then_some("application/zip"),
        // In several parts, or meant to be.
        b"\x07\x08" => packed(head.get(4..)?),
        b"00" => packed(head.get(4..)?),
        _ => None,
    }
}

/// What the names say together.
#[derive(Default)]
struct Seen {
    android: bool,
    office: Option<&'static str>,
    java: bool,
    earth: bool,
}

fn packed(head: &[u8]) -> Option<&'static str> {
    let first = Member::at(head)?;
    // OpenDocument, EPUB and their like say it in their first member.
    if first.name == b"mimetype"
        && first.method == 0
        && let Some(kind) = stated(head.get(first.data..)?, first.size)
    {
        return Some(kind);
    }
    // A mark of Java in the first extra field.
    let mut seen =
        Seen { java: be16(head, HEADER_BYTES + first.name.len()) == Some(0xfeca), ..Seen::default() };
    seen.java &= first.data > HEADER_BYTES + first.name.len();
    let mut rest = head;
    while let Some(member) = Member::at(rest) {
        seen.note(member.name);
        let Some(next) = member.next(rest) else { break };
        rest = &rest[next..];
    }
    Some(if seen.android {
        "application/vnd.android.package-archive"
    } else if let Some(office) = seen.office {
        office
    } else if seen.java {
        "application/java-archive"
    } else if seen.earth {
        "application/vnd.google-earth.kmz"
    } else {
        "application/zip"
    })
}

impl Seen {
    fn note(&mut self, name: &[u8]) {
        match name {
            b"AndroidManifest.xml" | b"resources.arsc" => self.android = true,
            b"META-INF/MANIFEST.MF" => self.java = true,
            b"doc.kml" => self.earth = true,
            b"xl/workbook.bin" => self.office = Some("application/vnd.ms-excel.sheet.binary.macroenabled.12"),
            _ => {}
        }
        let office = match name.split(|byte| *byte == b'/').next() {
            Some(b"word") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Some(b"xl") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Some(b"ppt") => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            _ => return,
        };
        // Any archive may have a folder of that name: its parts are XML, or relations.
        if name.ends_with(b".xml") || name.ends_with(b".rels") || name.ends_with(b".bin") {
            self.office.get_or_insert(office);
        }
    }
}

/// The header of a member.
struct Member<'h> {
    name: &'h [u8],
    method: u16,
    /// Size of the packed data in bytes; zero if it follows the data.
    size: usize,
    has_size: bool,
    /// Where the packed data begins.
    data: usize,
}

impl Member<'_> {
    fn at(head: &[u8]) -> Option<Member<'_>> {
        const METHOD_MAX: u16 = 99;
        const SIZE_AFTER: u16 = 1 << 3;
        if !has(head, 0, LOCAL) || le16(head, 8)? > METHOD_MAX {
            return None;
        }
        let size = le32(head, 18)?;
        let name = head.get(HEADER_BYTES..)?;
        let (length, extra) = (usize::from(le16(head, 26)?), usize::from(le16(head, 28)?));
        Some(Member {
            name: name.get(..length)?,
            method: le16(head, 8)?,
            size: usize::try_from(size).ok()?,
            has_size: le16(head, 6)? & SIZE_AFTER == 0 && size != u32::MAX,
            data: HEADER_BYTES + length + extra,
        })
    }

    /// Where the next one begins. If the size comes after the data, that is where its signature occurs next.
    fn next(&self, head: &[u8]) -> Option<usize> {
        if self.has_size {
            return self.data.checked_add(self.size).filter(|next| *next < head.len());
        }
        let rest = head.get(self.data..)?;
        memmem::find(rest, LOCAL).map(|at| self.data + at)
    }
}

/// The type that an archive states of itself.
fn stated(data: &[u8], size: usize) -> Option<&'static str> {
    const KINDS: [&str; 27] = [
        "application/epub+zip",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.oasis.opendocument.text-template",
        "application/vnd.oasis.opendocument.text-web",
        "application/vnd.oasis.opendocument.text-master",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.spreadsheet-template",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.presentation-template",
        "application/vnd.oasis.opendocument.graphics",
        "application/vnd.oasis.opendocument.graphics-template",
        "application/vnd.oasis.opendocument.chart",
        "application/vnd.oasis.opendocument.chart-template",
        "application/vnd.oasis.opendocument.image",
        "application/vnd.oasis.opendocument.image-template",
        "application/vnd.oasis.opendocument.formula",
        "application/vnd.oasis.opendocument.formula-template",
        "application/vnd.oasis.opendocument.database",
        "application/vnd.oasis.opendocument.base",
        "application/vnd.sun.xml.writer",
        "application/vnd.sun.xml.calc",
        "application/vnd.sun.xml.impress",
        "application/vnd.sun.xml.draw",
        "application/vnd.sun.xml.math",
        "application/x-krita",
        "application/vnd.adobe.indesign-idml-package",
        "image/openraster",
    ];
    // Some writers put the size after the data: the word ends where the next signature begins.
    let end = if size > 0 { size } else { memmem::find(data, b"PK")? };
    let word = data.get(..end)?.trim_ascii();
    KINDS.into_iter().find(|kind| kind.as_bytes() == word)
}
