//! Sound and video.

use memchr::memmem;

use super::numbers::{be16, be32, byte, has, le16, le32};

pub(super) fn riff(head: &[u8]) -> Option<&'static str> {
    match head.get(8..12)? {
        b"WAVE" => Some("audio/x-wav"),
        // Only sound has sizes of eight bytes.
        _ if !head.starts_with(b"RIFF") => None,
        b"AVI " => Some("video/x-msvideo"),
        b"WEBP" => Some("image/webp"),
        b"ACON" => Some("application/x-navi-animation"),
        b"RMID" => Some("audio/midi"),
        _ => None,
    }
}

pub(super) fn iff(head: &[u8]) -> Option<&'static str> {
    match head.get(8..12)? {
        b"AIFF" | b"AIFC" => Some("audio/x-aiff"),
        b"8SVX" => Some("audio/x-8svx"),
        b"ILBM" => Some("image/x-ilbm"),
        _ => None,
    }
}

/// A tag of a known version, no reserved flag, and a size of seven bits a byte. What it describes follows where the head goes on.
pub(super) fn id3(head: &[u8]) -> Option<&'static str> {
    let (version, revision, flags) = (byte(head, 3)?, byte(head, 4)?, byte(head, 5)?);
    let size = head.get(6..10)?;
    if !(2..=4).contains(&version) || revision == 0xff || flags & 0x0f != 0 || !size.is_ascii() {
        return None;
    }
    let size = size.iter().fold(0, |size, byte| size << 7 | usize::from(*byte));
    Some(if has(head, 10 + size, b"fLaC") { "audio/flac" } else { "audio/mpeg" })
}

/// By the codec of the first stream.
pub(super) fn ogg(head: &[u8]) -> Option<&'static str> {
    if byte(head, 4)? != 0 || byte(head, 5)? > 7 {
        return None;
    }
    let packet = head.get(27 + usize::from(byte(head, 26)?)..)?;
    let is_video = [&b"\x80theora"[..], b"\x01video", b"BBCD\0", b"fishead\0"]
        .iter()
        .any(|codec| packet.starts_with(codec));
    let is_sound = [&b"\x01vorbis"[..], b"OpusHead", b"Speex   ", b"\x7fFLAC"]
        .iter()
        .any(|codec| packet.starts_with(codec));
    Some(if is_video {
        "video/ogg"
    } else if is_sound {
        "audio/ogg"
    } else {
        "application/ogg"
    })
}

/// By the document type in the header of EBML.
pub(super) fn matroska(head: &[u8]) -> Option<&'static str> {
    const HEADER_BYTES_MAX: usize = 256;
    let header = &head[..head.len().min(HEADER_BYTES_MAX)];
    let at = memmem::find(header, b"\x42\x82")?;
    // Its length in one byte, whose first bit says so.
    match &header[at + 2..] {
        [0x88, rest @ ..] if rest.starts_with(b"matroska") => Some("video/x-matroska"),
        [0x84, rest @ ..] if rest.starts_with(b"webm") => Some("video/webm"),
        _ => None,
    }
}

/// The first block is the description of the stream, of 34 bytes.
pub(super) fn is_flac(head: &[u8]) -> Option<bool> {
    Some(be32(head, 4)? & 0x7fff_ffff == 34)
}

/// A header of six bytes, a format that exists, and tracks.
pub(super) fn is_midi(head: &[u8]) -> Option<bool> {
    Some(be32(head, 4)? == 6 && be16(head, 8)? <= 2 && be16(head, 10)? > 0)
}

/// Where the samples begin, an encoding that exists, and channels.
pub(super) fn is_au(head: &[u8]) -> Option<bool> {
    Some(be32(head, 4)? >= 24 && (1..=27).contains(&be32(head, 12)?) && (1..=64).contains(&be32(head, 20)?))
}

pub(super) fn is_dsf(head: &[u8]) -> Option<bool> {
    Some(le32(head, 4)? == 28 && le32(head, 8)? == 0)
}

/// A version between 3.0 and 4.0, times a thousand.
pub(super) fn is_ape(head: &[u8]) -> Option<bool> {
    Some((3000..=4100).contains(&le16(head, 4)?))
}

/// Sound, picture or both, and a header of nine bytes.
pub(super) fn is_flv(head: &[u8]) -> Option<bool> {
    Some(byte(head, 4)? & !0x05 == 0 && be32(head, 5)? == 9)
}

/// MPEG by its first start code: a pack, a sequence, or the objects of MPEG-4.
pub(super) fn mpeg_video(head: &[u8]) -> Option<&'static str> {
    let next = byte(head, 4)?;
    match byte(head, 3)? {
        0xba if next & 0xc4 == 0x44 || next & 0xf1 == 0x21 => Some("video/mpeg"),
        0xb3 => {
            let (width, height) = (be16(head, 4)? >> 4, be16(head, 5)? & 0x0fff);
            let (aspect, rate) = (byte(head, 7)? >> 4, byte(head, 7)? & 0x0f);
            let is_sequence = width > 0 && height > 0 && (1..15).contains(&aspect) && (1..=8).contains(&rate);
            (is_sequence && byte(head, 10)? & 0x20 != 0).then_some("video/mpeg")
        }
        0xb0 if next != 0 && has(head, 5, b"\0\0\x01\xb5") => Some("video/mpeg4-generic"),
        _ => None,
    }
}

/// Packets of 188 bytes. Each carries something, and none is marked as broken.
pub(super) fn is_transport_stream(head: &[u8]) -> Option<bool> {
    const PACKET_BYTES: usize = 188;
    const PACKETS: usize = 5;
    let is_packet = |at| {
        Some(byte(head, at)? == b'G' && byte(head, at + 1)? & 0x80 == 0 && byte(head, at + 3)? & 0x30 != 0)
    };
    Some((0..PACKETS).all(|packet| is_packet(packet * PACKET_BYTES) == Some(true)))
}

/// Two frames of MPEG audio or of AAC, one after the other.
pub(super) fn mpeg_audio(head: &[u8]) -> Option<&'static str> {
    let (kind, length) = audio_frame(head)?;
    let (next_kind, _) = audio_frame(head.get(length..)?)?;
    (kind == next_kind).then_some(kind)
}

/// A frame's format, and its length in bytes.
fn audio_frame(frame: &[u8]) -> Option<(&'static str, usize)> {
    let [0xff, second, third, fourth, ..] = *frame else { return None };
    // AAC: no layer, one of thirteen rates, a length of its own.
    if second & 0xf6 == 0xf0 {
        let length = (be32(frame, 3)? >> 13) & 0x1fff;
        return ((third >> 2) & 0x0f < 13 && length > 7)
            .then_some(("audio/aac", usize::try_from(length).ok()?));
    }
    let (version, layer) = ((second >> 3) & 3, (second >> 1) & 3);
    let (rate, frequency, padding) = (third >> 4, (third >> 2) & 3, usize::from((third >> 1) & 1));
    if second & 0xe0 != 0xe0
        || version == 1
        || layer == 0
        || matches!(rate, 0 | 15)
        || frequency == 3
        || fourth & 3 == 2
    {
        return None;
    }
    const KBITS: [[usize; 14]; 5] = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    const HERTZ: [usize; 3] = [44_100, 48_000, 32_000];
    let is_first = version == 3;
    let row = match (is_first, layer) {
        (true, 3) => 0,
        (true, 2) => 1,
        (true, _) => 2,
        (false, 3) => 3,
        (false, _) => 4,
    };
    let bits = KBITS[row][usize::from(rate) - 1] * 1000;
    let hertz = HERTZ[usize::from(frequency)]
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let length = match layer {
        3 => (12 * bits / hertz + padding) * 4,
        1 if !is_first => 72 * bits / hertz + padding,
        _ => 144 * bits / hertz + padding,
    };
    Some(("audio/mpeg", length))
}

/// ISO base media: by the main brand, else by those it is compatible with.
pub(super) fn iso(head: &[u8]) -> Option<&'static str> {
    const BOX_BYTES_MAX: usize = 4096;
    let size = usize::try_from(be32(head, 0)?).ok()?;
    if !(12..=BOX_BYTES_MAX).contains(&size) {
        return None;
    }
    let brands = head.get(16..size.min(head.len())).unwrap_or_default();
    let is_for = |brand: &[u8; 4]| brands.as_chunks().0.contains(brand);
    Some(match head.get(8..12)? {
        b"qt  " => "video/quicktime",
        b"M4A " | b"M4B " | b"M4P " => "audio/x-m4a",
        b"M4V " | b"M4VH" | b"M4VP" => "video/x-m4v",
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" => "image/heic",
        b"hevc" | b"hevx" => "image/heic-sequence",
        b"mif1" | b"miaf" if is_for(b"avif") => "image/avif",
        b"mif1" if is_for(b"heic") => "image/heic",
        b"mif1" => "image/heif",
        b"msf1" => "image/heif-sequence",
        b"crx " => "image/x-canon-cr3",
        b"jp2 " => "image/jp2",
        [b'3', b'g', b'2', _] => "video/3gpp2",
        [b'3', b'g', ..] => "video/3gpp",
        brand if brand.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => "video/mp4",
        _ => return None,
    })
}

/// A film of QuickTime from before its boxes began with a brand: each has a size, and the second is one of them too.
pub(super) fn is_quicktime(head: &[u8]) -> Option<bool> {
    const BOXES: [&[u8]; 9] =
        [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"mvhd", b"cmov", b"rmra"];
    let size = usize::try_from(be32(head, 0)?).ok()?;
    let is_box = |at: usize| BOXES.iter().any(|name| has(head, at, name));
    let inside = if has(head, 4, b"moov") { 12 } else { size.checked_add(4)? };
    // Samples may be longer than the head, or have their size after the name.
    let is_long = (size > head.len() && size < 1 << 30) || (size == 1 && be32(head, 8)? == 0);
    Some((size >= 8 && is_box(inside)) || (has(head, 4, b"mdat") && is_long))
}
