//! A sample for each row of the table, as small as the checks allow.

/// Zeros with these pieces in them.
fn bytes(pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let length = pieces.iter().map(|(at, piece)| at + piece.len()).max().unwrap_or(0);
    let mut bytes = vec![0; length];
    for (at, piece) in pieces {
        bytes[*at..at + piece.len()].copy_from_slice(piece);
    }
    bytes
}

/// As [`bytes`], filled up with zeros to `length`.
fn padded(length: usize, pieces: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = bytes(pieces);
    bytes.resize(length, 0);
    bytes
}

/// An element of DER.
pub(super) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u16::try_from(content.len()).expect("small").to_be_bytes();
    let mut element = vec![tag];
    match content.len() {
        0..128 => element.push(length[1]),
        128..256 => element.extend([0x81, length[1]]),
        _ => element.extend([0x82, length[0], length[1]]),
    }
    element.extend(content);
    element
}

/// A member of a zip archive. `None`: its size comes after its data.
pub(super) fn member(name: &str, data: &[u8], states_size: bool) -> Vec<u8> {
    let size = u32::try_from(data.len()).expect("small");
    let stated = if states_size { size } else { 0 }.to_le_bytes();
    let name_bytes = u16::try_from(name.len()).expect("small").to_le_bytes();
    let flags = if states_size { 0 } else { 8 };
    let header = bytes(&[
        (0, b"PK\x03\x04\x14\0"),
        (6, &[flags]),
        (18, &stated),
        (22, &stated),
        (26, &name_bytes),
        (28, &[0, 0]),
    ]);
    let mut member = [&header, name.as_bytes(), data].concat();
    if !states_size {
        member.extend(bytes(&[(0, b"PK\x07\x08"), (8, &size.to_le_bytes()), (12, &size.to_le_bytes())]));
    }
    member
}

/// A compound file whose directory has this entry after its root.
pub(super) fn compound(name: &str, class: &[u8]) -> Vec<u8> {
    let utf_16 = |name: &str| name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (root, entry) = (utf_16("Root Entry"), utf_16(name));
    let length = |name: &[u8]| u8::try_from(name.len() + 2).expect("short");
    padded(
        1536,
        &[
            (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            (28, b"\xfe\xff\x09\0"),
            (48, &[1, 0, 0, 0]),
            (1024, &root),
            (1024 + 64, &[length(&root), 0, 5]),
            (1024 + 80, class),
            (1152, &entry),
            (1152 + 64, &[length(&entry), 0, 2]),
        ],
    )
}

/// A header of tar with its sum.
fn tar(magic: &[u8]) -> Vec<u8> {
    let mut header =
        padded(512, &[(0, b"name"), (100, b"0000644\0"), (148, b"        "), (156, b"0"), (257, magic)]);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn elf(kind: u8) -> Vec<u8> {
    padded(64, &[(0, b"\x7fELF\x02\x01\x01"), (16, &[kind, 0, 62, 0, 1])])
}

/// ELF with a start and one program header: the interpreter's, which lies at `place`.
pub(super) fn with_interpreter(place: u16) -> Vec<u8> {
    let mut program = elf(3);
    program[24] = 1;
    program[32] = 64;
    program[54..58].copy_from_slice(&[56, 0, 1, 0]);
    program.extend(bytes(&[(0, &[3, 0, 0, 0]), (8, &place.to_le_bytes()), (55, &[0])]));
    program
}

fn frames(header: &[u8], length: usize) -> Vec<u8> {
    let frame = padded(length, &[(0, header)]);
    [frame.as_slice(), &frame].concat()
}

const OLD_DER: &[u8] = b"\x06\x03\x2a\x03\x04";

type Sample = (&'static str, Vec<u8>);

/// Each with the type that it has.
pub(super) fn samples() -> Vec<Sample> {
    [text(), programs(), archives(), images(), media(), keys(), data(), others()].concat()
}

fn text() -> Vec<Sample> {
    vec![
        ("text/x-shellscript", b"#!/bin/sh\n".into()),
        ("text/html", b"<!DOCTYPE html>\n".into()),
        ("text/html", b"\t<html>".into()),
        ("text/html", b"\n<head>".into()),
        ("text/html", b"\x0c<body>".into()),
        ("text/html", b"\r\n<!-- a note -->\n<title>".into()),
        ("text/xml", b"<?xml version='1.0'?>\n<note/>".into()),
        ("text/xml", b"<?xml version='1.0'?>\n<HTML>".into()),
        ("text/html", b"<?xml version='1.0'?>\n<html xmlns=''>".into()),
        ("image/svg+xml", b"<?xml version='1.0'?><!-- drawn --><svg width='1'>".into()),
        ("image/svg+xml", b" <svg>".into()),
        ("text/x-php", b"<?php echo 1;".into()),
        ("application/pgp-keys", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n".into()),
        ("application/x-pem-file", b"-----BEGIN PRIVATE KEY-----\n".into()),
        ("text/vcard", b"BEGIN:VCARD\r\nVERSION:3.0\r\n".into()),
        ("text/calendar", b"BEGIN:VCALENDAR\n".into()),
        ("text/vtt", b"WEBVTT\n\n".into()),
        ("image/x-xpixmap", b"/* XPM */\nstatic char".into()),
        ("image/x-portable-bitmap", b"P1\n# made by hand\n2 2\n0 1\n1 0\n".into()),
        ("image/x-portable-greymap", b"P2 1 1 255\n7\n".into()),
        ("application/pdf", b"%PDF-1.7\n".into()),
        ("application/postscript", b"%!PS-Adobe-3.0\n".into()),
        ("application/postscript", b"\x04%!PS-Adobe-3.0\n".into()),
        ("application/rtf", b"{\\rtf1 text}".into()),
    ]
}

fn programs() -> Vec<Sample> {
    let started = with_interpreter(120);
    let coff = |machine: &[u8]| {
        padded(60, &[(0, machine), (2, &[1, 0]), (20, b".text\0\0\0"), (40, &[60, 0, 0, 0])])
    };
    vec![
        ("application/x-object", elf(1)),
        ("application/x-executable", elf(2)),
        ("application/x-sharedlib", elf(3)),
        ("application/x-pie-executable", started),
        ("application/x-coredump", elf(4)),
        (
            "application/vnd.microsoft.portable-executable",
            bytes(&[(0, b"MZ"), (60, &[64, 0, 0, 0]), (64, b"PE\0\0")]),
        ),
        ("application/x-dosexec", padded(512, &[(0, b"MZ\x10\0\x02\0\0\0\x02\0")])),
        ("application/x-java-applet", b"\xca\xfe\xba\xbe\0\0\0\x34\0\x1d\x07".into()),
        ("application/x-mach-binary", b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07".into()),
        ("application/x-mach-binary", b"\xfe\xed\xfa\xce\0\0\0\x12\0\0\0\0\0\0\0\x02".into()),
        ("application/x-mach-binary", b"\xfe\xed\xfa\xcf\x01\0\0\x12\0\0\0\0\0\0\0\x02".into()),
        ("application/x-mach-binary", b"\xce\xfa\xed\xfe\x07\0\0\0\0\0\0\0\x02\0\0\0".into()),
        ("application/x-mach-binary", b"\xcf\xfa\xed\xfe\x07\0\0\x01\0\0\0\0\x02\0\0\0".into()),
        ("application/x-coff", coff(b"\x4c\x01")),
        ("application/x-coff", coff(b"\x64\x86")),
        ("application/x-coff", coff(b"\x00\x02")),
        ("application/x-coff", coff(b"\x64\xaa")),
        ("application/wasm", b"\0asm\x01\0\0\0".into()),
        ("application/wasm", b"\0asm\x0d\0\x01\0".into()),
        ("application/x-llvm", b"BC\xc0\xde\x35\x14\0\0\x05\0\0\0".into()),
        ("application/x-llvm", b"\xde\xc0\x17\x0b\0\0\0\0\x14\0\0\0\x20\0\0\0".into()),
        ("application/vnd.android.dex", padded(112, &[(0, b"dex\n035\0"), (36, &[0x70])])),
        ("application/vnd.android.dey", padded(112, &[(0, b"dey\n036\0\x28")])),
        ("application/x-java-pack200", b"\xca\xfe\xd0\x0d\x01\x96\0\0".into()),
        ("application/x-java-jmod", b"JM\x01\0PK\x03\x04".into()),
        ("application/x-nes-rom", padded(16, &[(0, b"NES\x1a\x01")])),
        ("application/x-shockwave-flash", b"FWS\x06\0\x01\0\0\x78\0\0\0\0".into()),
        ("application/x-shockwave-flash", b"CWS\x06\0\x01\0\0\x78\x9c\0\0\0".into()),
        ("application/x-shockwave-flash", b"ZWS\x0d\0\x01\0\0\x20\0\0\0\x5d\0".into()),
        ("application/x-spirv", b"\x03\x02\x23\x07\0\0\x01\0\0\0\0\0\x08\0\0\0".into()),
        ("application/x-spirv", b"\x07\x23\x02\x03\0\x01\0\0\0\0\0\0\0\0\0\x08".into()),
        ("application/x-elc", b";ELC\x1c\0\0\0".into()),
    ]
}

fn archives() -> Vec<Sample> {
    let hex = [&b"070701"[..], &[b'0'; 104], b"name\0"].concat();
    let octal = [&b"070707"[..], &[b'0'; 70], b"name\0"].concat();
    let cpio = |magic: &[u8], length: &[u8]| bytes(&[(0, magic), (20, length), (26, b"name\0")]);
    let lzma = bytes(&[(0, b"\x5d\0\0\x80\0"), (5, &[0xff; 8]), (13, &[0, 1])]);
    let skipped = [&b"\x50\x2a\x4d\x18\x04\0\0\0abcd"[..], b"\x28\xb5\x2f\xfd\x20\x01\x09\0\0a"].concat();
    vec![
        ("application/zip", member("a", b"a", true)),
        ("application/zip", padded(22, &[(0, b"PK\x05\x06")])),
        ("application/gzip", b"\x1f\x8b\x08\0\0".into()),
        ("application/x-compress", b"\x1f\x9d\x90a".into()),
        ("application/x-bzip2", b"BZh9\x31\x41\x59\x26\x53\x59\x9e\x21".into()),
        ("application/vnd.bzip3", b"BZ3v1\0\0\x10\0".into()),
        ("application/x-xz", b"\xfd7zXZ\0".into()),
        ("application/x-lzma", lzma),
        ("application/x-lzip", b"LZIP\x01\x0c".into()),
        ("application/x-lrzip", b"LRZI\0\x06".into()),
        ("application/zstd", b"\x28\xb5\x2f\xfd\x20\x01\x09\0\0a".into()),
        ("application/zstd", skipped),
        ("application/x-lz4", b"\x04\x22\x4d\x18\x64\x40\xa7".into()),
        ("application/x-lz4", b"\x02\x21\x4c\x18\x10\0\0\0".into()),
        ("application/x-snappy-framed", b"\xff\x06\0\0sNaPpY".into()),
        ("application/x-7z-compressed", b"7z\xbc\xaf\x27\x1c".into()),
        ("application/vnd.rar", b"Rar!\x1a\x07\0".into()),
        ("application/vnd.rar", b"Rar!\x1a\x07\x01\0".into()),
        ("application/x-archive", [&b"!<arch>\n"[..], &[b' '; 58], b"`\n"].concat()),
        (
            "application/vnd.debian.binary-package",
            [&b"!<arch>\ndebian-binary"[..], &[b' '; 45], b"`\n"].concat(),
        ),
        ("application/x-archive", b"!<thin>\n".into()),
        ("application/x-cpio", hex),
        ("application/x-cpio", octal),
        ("application/x-cpio", cpio(b"\xc7\x71", &[5, 0])),
        ("application/x-cpio", cpio(b"\x71\xc7", &[0, 5])),
        ("application/x-rpm", padded(96, &[(0, b"\xed\xab\xee\xdb\x03")])),
        ("application/vnd.ms-cab-compressed", b"MSCF\0\0\0\0".into()),
        ("application/x-installshield", b"ISc(\0\0\0\x01\0\0\0\0\0\x02\0\0".into()),
        ("application/x-par2", b"PAR2\0PKT".into()),
        ("application/x-xar", b"xar!\0\x1c\0\x01".into()),
        ("application/x-chrome-extension", b"Cr24\x03\0\0\0\x10\0\0\0".into()),
        ("application/vnd.squashfs", bytes(&[(0, b"hsqs"), (20, &[1, 0, 17, 0]), (28, &[4, 0])])),
        ("application/x-qemu-disk", padded(48, &[(0, b"QFI\xfb\0\0\0\x03")])),
        ("application/x-virtualbox-vhd", b"conectix\0\0\0".into()),
        ("application/x-tar", tar(b"ustar\0")),
        ("application/x-tar", tar(b"")),
        ("application/x-lzh-compressed", bytes(&[(0, b"\x20\x01-lh5-"), (20, &[1])])),
    ]
}

fn images() -> Vec<Sample> {
    let wmf = |sum: &[u8]| bytes(&[(0, b"\xd7\xcd\xc6\x9a"), (20, sum)]);
    vec![
        ("image/png", b"\x89PNG\r\n\x1a\n".into()),
        ("video/x-mng", b"\x8aMNG\r\n\x1a\n".into()),
        ("video/x-jng", b"\x8bJNG\r\n\x1a\n".into()),
        ("image/jpeg", b"\xff\xd8\xff\xe0\0\x10".into()),
        ("image/gif", b"GIF87a\x01\0".into()),
        ("image/gif", b"GIF89a\x01\0".into()),
        ("image/bmp", bytes(&[(0, b"BM"), (14, &[40, 0, 0, 0]), (26, &[1, 0, 24, 0])])),
        ("image/bmp", bytes(&[(0, b"BM"), (14, &[12, 0, 0, 0]), (22, &[1, 0, 8, 0])])),
        ("image/tiff", b"II*\0\x08\0\0\0".into()),
        ("image/tiff", b"MM\0*\0\0\0\x08".into()),
        ("image/x-canon-cr2", b"II*\0\x10\0\0\0CR\x02\0".into()),
        ("image/tiff", b"II+\0\x08\0\0\0".into()),
        ("image/tiff", b"MM\0+\0\x08\0\0".into()),
        ("image/jxr", b"II\xbc\x01\x20\0\0\0".into()),
        (
            "image/vnd.microsoft.icon",
            bytes(&[(0, &[0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0]), (14, &[4, 0, 0, 0, 22, 0, 0, 0])]),
        ),
        ("image/vnd.adobe.photoshop", padded(26, &[(0, b"8BPS\0\x01")])),
        ("image/jp2", bytes(&[(0, b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ")])),
        ("image/jxl", b"\0\0\0\x0cJXL \r\n\x87\n".into()),
        ("image/jxl", b"\xff\x0a\xfa\x1f\x41\x91\x08\x06\x01\0\xa8\0\x4b\x18".into()),
        ("image/x-jp2-codestream", b"\xff\x4f\xff\x51\0".into()),
        ("image/x-exr", b"\x76\x2f\x31\x01\x02\0\0\0channels\0".into()),
        ("image/x-qoi", b"qoif\0\0\0\x01\0\0\0\x01\x04\0".into()),
        ("image/x-xcf", b"gimp xcf v011\0".into()),
        ("image/x-icns", b"icns\0\0\x10\0ic07\0\0".into()),
        ("image/fits", b"SIMPLE  =                    T".into()),
        ("image/ktx", b"\xabKTX 11\xbb\r\n\x1a\n".into()),
        ("image/ktx2", b"\xabKTX 20\xbb\r\n\x1a\n".into()),
        ("image/vnd.ms-dds", b"DDS \x7c\0\0\0".into()),
        ("image/vnd.dwg", b"AC1015\0\0\0\0\0".into()),
        ("image/vnd.djvu", b"AT&TFORM\0\0\0\x08DJVU".into()),
        ("image/wmf", wmf(&(0xcdd7_u16 ^ 0x9ac6).to_le_bytes())),
        ("image/emf", bytes(&[(0, &[1, 0, 0, 0, 108, 0, 0, 0]), (40, b" EMF")])),
        (
            "image/x-sun-raster",
            bytes(&[(0, b"\x59\xa6\x6a\x95\0\0\0\x10\0\0\0\x10\0\0\0\x08\0\0\0\0\0\0\0\x01"), (24, &[0; 8])]),
        ),
        ("image/x-sgi", b"\x01\xda\x01\x01\0\x03\0\x10\0\x10\0\x04".into()),
        ("image/x-portable-pixmap", b"P6\n1 1\n255\n\0\x01\x02".into()),
        ("image/x-portable-greymap", b"P5\n1 1\n255\n\0".into()),
        ("image/x-portable-arbitrarymap", b"P7\nWIDTH 1\n\0".into()),
        ("application/dicom", bytes(&[(128, b"DICM\x02\0\0\0")])),
    ]
}

fn media() -> Vec<Sample> {
    let ogg = |codec: &[u8]| bytes(&[(0, b"OggS\0\x02"), (26, &[1, 30]), (28, codec)]);
    let ebml = |kind: &[u8]| [&b"\x1a\x45\xdf\xa3\x9f\x42\x82"[..], kind].concat();
    let packets = [&b"G\x40\0\x10"[..], &[0; 184]].concat().repeat(5);
    let film = |first: &[u8]| [b"\0\0\0\x08", first, b"\0\0\x10\0mdat\0"].concat();
    vec![
        ("audio/x-wav", b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".into()),
        ("audio/x-wav", b"RIFF\x24\0\0\0WAVEfmt ".into()),
        ("video/x-msvideo", b"RIFF\x24\0\0\0AVI LIST".into()),
        ("image/webp", b"RIFF\x24\0\0\0WEBPVP8 ".into()),
        ("audio/x-aiff", b"FORM\0\0\0\x24AIFFCOMM".into()),
        ("audio/x-aiff", b"FORM\0\0\0\x24AIFCFVER".into()),
        ("audio/mpeg", b"ID3\x03\0\0\0\0\x02\x01".into()),
        ("audio/ogg", ogg(b"\x01vorbis")),
        ("audio/ogg", ogg(b"OpusHead")),
        ("video/ogg", ogg(b"\x80theora")),
        ("application/ogg", ogg(b"unheard of")),
        ("video/x-matroska", ebml(b"\x88matroska")),
        ("video/webm", ebml(b"\x84webm")),
        ("audio/flac", b"fLaC\0\0\0\x22".into()),
        ("audio/midi", b"MThd\0\0\0\x06\0\x01\0\x02\0\x60".into()),
        ("audio/basic", bytes(&[(0, b".snd\0\0\0\x18"), (12, &[0, 0, 0, 1]), (20, &[0, 0, 0, 1])])),
        ("audio/amr", b"#!AMR\n\x04".into()),
        ("audio/amr-wb", b"#!AMR-WB\n\x04".into()),
        ("audio/x-dsf", padded(12, &[(0, b"DSD \x1c")])),
        ("audio/x-ape", b"MAC \x96\x0f\0\0".into()),
        ("audio/x-voc", b"Creative Voice File\x1a".into()),
        ("video/x-ms-asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9".into()),
        ("video/x-flv", b"FLV\x01\x05\0\0\0\x09".into()),
        ("video/mpeg", b"\0\0\x01\xba\x44\0".into()),
        ("video/mpeg", b"\0\0\x01\xb3\x14\0\xf0\x13\xff\xff\xe0".into()),
        ("video/mpeg4-generic", b"\0\0\x01\xb0\x01\0\0\x01\xb5".into()),
        ("video/mp2t", packets),
        ("audio/mpeg", frames(&[0xff, 0xfb, 0x90, 0x64], 417)),
        ("audio/aac", frames(&[0xff, 0xf1, 0x50, 0x80, 0x02, 0x1f, 0xfc], 16)),
        ("video/mp4", b"\0\0\0\x14ftypisom\0\0\x02\0avc1".into()),
        ("video/quicktime", b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ".into()),
        ("audio/x-m4a", b"\0\0\0\x14ftypM4A \0\0\x02\0isom".into()),
        ("image/avif", b"\0\0\0\x14ftypmif1\0\0\0\0avif".into()),
        ("image/heic", b"\0\0\0\x14ftypheic\0\0\0\0mif1".into()),
        ("video/quicktime", b"\0\0\x10\0moov\0\0\0\x6cmvhd".into()),
        ("video/quicktime", b"\0\x10\0\0mdat\0".into()),
        ("video/quicktime", film(b"wide")),
        ("video/quicktime", film(b"free")),
        ("video/quicktime", film(b"skip")),
    ]
}

fn keys() -> Vec<Sample> {
    let algorithm = der(0x30, &[OLD_DER]);
    let name = der(0x30, &[&der(0x31, &[&der(0x30, &[OLD_DER])])]);
    let time = der(0x17, &[b"260101000000Z"]);
    let number = der(2, &[&[5]]);
    let version = der(0xa0, &[&der(2, &[&[2]])]);
    let signed = |parts: &[&[u8]]| der(0x30, &[&der(0x30, parts), &algorithm, &der(3, &[&[0, 1]])]);
    let data = der(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"]);
    let password = der(0x30, &[&der(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d"])]);
    let of = |version: u8, parts: &[&[u8]]| der(0x30, &[&der(2, &[&[version]]), &parts.concat()]);
    let key = |tag: u8| bytes(&[(0, &[tag, 0, 12, 4, 0x60, 0, 0, 0, 1]), (15, &[0xb4, 1, b'a'])]);
    let short = |tag: u8| bytes(&[(0, &[tag, 12, 4, 0x60, 0, 0, 0, 1]), (14, &[0xb4, 1, b'a'])]);
    let signature = |start: &[u8]| [start, &[4, 0, 1, 8, 0, 0, 0, 0]].concat();
    vec![
        ("application/x-x509-ca-cert", signed(&[&version, &number, &algorithm, &name])),
        ("application/x-x509-ca-cert", signed(&[&number, &algorithm, &name, &der(0x30, &[&time, &time])])),
        ("application/pkix-crl", signed(&[&der(2, &[&[1]]), &algorithm, &name, &time])),
        ("application/pkix-crl", signed(&[&algorithm, &name, &time])),
        ("application/pkcs10", signed(&[&der(2, &[&[0]]), &name, &der(0x30, &[&algorithm])])),
        ("application/pkcs8", of(0, &[&algorithm, &der(4, &[&[1, 2]])])),
        ("application/pkcs8-encrypted", der(0x30, &[&password, &der(4, &[&[1, 2]])])),
        ("application/pkcs12", of(3, &[&der(0x30, &[&data])])),
        ("application/pkcs7-mime", der(0x30, &[&data, &der(0xa0, &[&[5, 0]])])),
        ("application/ocsp-response", der(0x30, &[&der(10, &[&[0]]), &der(0xa0, &[&[5, 0]])])),
        ("application/pgp-keys", short(0x94)),
        ("application/pgp-keys", key(0x95)),
        ("application/pgp-keys", short(0x98)),
        ("application/pgp-keys", key(0x99)),
        ("application/pgp-keys", short(0xc5)),
        ("application/pgp-keys", short(0xc6)),
        ("application/pgp-signature", signature(&[0x88, 8])),
        ("application/pgp-signature", signature(&[0x89, 0, 8])),
        ("application/pgp-signature", signature(&[0xc2, 8])),
        ("application/x-java-keystore", b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01".into()),
        ("application/x-java-jce-keystore", b"\xce\xce\xce\xce\0\0\0\x02\0\0\0\x01".into()),
    ]
}

fn data() -> Vec<Sample> {
    let cdf = |version: u8| padded(20, &[(0, &[b'C', b'D', b'F', version])]);
    let gdbm = |magic: &[u8], size: &[u8]| [magic, size].concat();
    let model = b"\x08\x03\x12\x07pytorch\x3a\x20\x0a\x10node and more of it..............".into();
    let tensors = [&b"\x40\0\0\0\0\0\0\0"[..], b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}"].concat();
    let page = |magic: &[u8]| bytes(&[(12, magic), (16, &[9, 0, 0, 0, 0, 16, 0, 0])]);
    vec![
        ("application/vnd.sqlite3", b"SQLite format 3\0".into()),
        ("application/x-sqlite-wal", b"\x37\x7f\x06\x82\0\x2d\xe2\x18\0\0\x10\0".into()),
        ("application/x-sqlite-wal", b"\x37\x7f\x06\x83\0\x2d\xe2\x18\0\0\x10\0".into()),
        ("application/x-sqlite-journal", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7".into()),
        ("application/vnd.apache.parquet", b"PAR1\x15\x04\x15\x70".into()),
        ("application/vnd.apache.arrow.file", b"ARROW1\0\0".into()),
        ("application/vnd.apache.arrow.stream", b"\xff\xff\xff\xff\x78\0\0\0\x10\0\0\0".into()),
        ("application/x-feather", b"FEA1\0\0\0\0".into()),
        ("application/x-orc", b"ORC\x11\0\0\x0a\x06".into()),
        ("application/vnd.apache.avro", b"Obj\x01\x04\x14avro.codec\x08null".into()),
        ("application/x-hdf5", b"\x89HDF\r\n\x1a\n".into()),
        ("application/x-hdf", b"\x0e\x03\x13\x01\0\xc8".into()),
        ("application/x-netcdf", cdf(1)),
        ("application/x-netcdf", cdf(2)),
        ("application/x-netcdf", cdf(5)),
        ("application/x-numpy-data", b"\x93NUMPY\x01\0".into()),
        ("application/x-matlab-data", b"MATLAB 5.0 MAT-file, Platform\0\x01".into()),
        ("application/x-matlab-data", b"MATLAB 7.3 MAT-file, Platform\0\x01".into()),
        ("application/x-gguf", b"GGUF\x03\0\0\0".into()),
        ("application/x-onnx", model),
        ("application/x-pickle", b"\x80\x04\x95\x0a\0\0\0\0\0\0\0".into()),
        ("application/x-pickle", b"\x80\x03]q\0(K\x01".into()),
        ("application/x-gdbm", gdbm(b"\x13\x57\x9a\xcd", &[0, 0, 16, 0])),
        ("application/x-gdbm", gdbm(b"\x13\x57\x9a\xce", &[0, 0, 16, 0])),
        ("application/x-gdbm", gdbm(b"\x13\x57\x9a\xcf", &[0, 0, 16, 0])),
        ("application/x-gdbm", gdbm(b"\xcd\x9a\x57\x13", &[0, 16, 0, 0])),
        ("application/x-gdbm", gdbm(b"\xce\x9a\x57\x13", &[0, 16, 0, 0])),
        ("application/x-gdbm", gdbm(b"\xcf\x9a\x57\x13", &[0, 16, 0, 0])),
        ("application/x-dbm", b"\0\x06\x15\x61\0\0\0\x02".into()),
        ("application/x-dbm", b"\x61\x15\x06\0\x02\0\0\0".into()),
        ("application/x-dbm", page(b"\x61\x15\x06\0")),
        ("application/x-dbm", page(b"\x62\x31\x05\0")),
        ("application/x-safetensors", tensors),
    ]
}

fn others() -> Vec<Sample> {
    let catalog =
        |magic: &[u8], at: usize| bytes(&[(0, magic), (12 + at, &[28]), (16 + at, &[44]), (20, &[0])]);
    let terms = |magic: &[u8]| [magic, &[5, 0, 1, 0, 1, 0, 1, 0, 4, 0], b"vt52\0\x01"].concat();
    let git = |magic: &[u8]| [magic, &[0, 0, 0, 2, 0, 0, 0, 1]].concat();
    let font = |magic: &[u8]| {
        bytes(&[(0, magic), (4, &[0, 10, 0, 128, 0, 3, 0, 32]), (12, b"GDEF"), (20, &[0, 0, 0, 172])])
    };
    let web = |magic: &[u8]| bytes(&[(0, magic), (4, b"\0\x01\0\0\0\0\x10\0\0\x0a\0\0")]);
    let link = b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0\x46".into();
    let embedded = bytes(&[(0, &[0, 2]), (4, &[0, 1]), (8, &[1, 0, 2, 0]), (34, b"LP")]);
    let within = [&b"\0\x01garbage\n"[..], b"%PDF-1.4\n"].concat();
    vec![
        ("application/x-gettext-translation", catalog(b"\xde\x12\x04\x95", 0)),
        ("application/x-gettext-translation", catalog(b"\x95\x04\x12\xde", 3)),
        ("application/x-terminfo", terms(&[0x1a, 1])),
        ("application/x-terminfo2", terms(&[0x1e, 2])),
        ("application/x-git", git(b"PACK")),
        ("application/x-git", git(b"DIRC")),
        ("application/x-git", git(b"\xff\x74\x4f\x63")),
        ("application/vnd.tcpdump.pcap", b"\xd4\xc3\xb2\xa1\x02\0\x04\0".into()),
        ("application/vnd.tcpdump.pcap", b"\x4d\x3c\xb2\xa1\x02\0\x04\0".into()),
        ("application/vnd.tcpdump.pcap", b"\xa1\xb2\xc3\xd4\0\x02\0\x04".into()),
        ("application/vnd.tcpdump.pcap", b"\xa1\xb2\x3c\x4d\0\x02\0\x04".into()),
        ("application/x-pcapng", b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a".into()),
        ("application/tzif", padded(44, &[(0, b"TZif2")])),
        ("application/x-gobject-typelib", b"GOBJ\nMETADATA\r\n\x1a".into()),
        ("application/x-ms-shortcut", link),
        ("application/x-ms-pdb", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0".into()),
        ("application/x-ms-evtx", b"ElfFile\0".into()),
        ("application/vnd.ms-htmlhelp", b"ITSF\x03\0\0\0\x60\0\0\0".into()),
        ("font/sfnt", font(b"\0\x01\0\0")),
        ("font/sfnt", font(b"true")),
        ("application/vnd.ms-opentype", font(b"OTTO")),
        ("font/collection", b"ttcf\0\x01\0\0\0\0\0\x02".into()),
        ("font/woff", web(b"wOFF")),
        ("font/woff2", web(b"wOF2")),
        ("application/vnd.ms-fontobject", embedded),
        ("application/x-ole-storage", compound("Anything", b"")),
        ("application/x-mobipocket-ebook", bytes(&[(60, b"BOOKMOBI\0")])),
        ("application/x-bytecode.python", bytes(&[(0, b"\xcb\x0d\r\n"), (16, &[0xe3])])),
        ("application/x-bytecode.python", bytes(&[(0, b"\x33\x0d\r\n"), (12, &[0xe3])])),
        ("application/x-bytecode.python", bytes(&[(0, b"\x03\xf3\r\n"), (8, &[0x63])])),
        ("application/pdf", within),
    ]
}
