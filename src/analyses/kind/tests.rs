//! The analysis as a whole, and laws of the table.

use proptest::prelude::*;

use super::samples::{compound, member, samples, with_interpreter};
use super::signatures::{Form, INSIDE, Is, SIGNATURES, Signature};
use super::*;
use crate::analyses::answer;

#[track_caller]
fn check(bytes: &[u8], kind: Option<&'static str>, encoding: Option<&'static str>) {
    let text = |word: Option<&'static str>| word.map_or(Value::Null, |word| Value::Text(word.into()));
    let expected = [text(kind), Value::Bool(encoding.is_some()), text(encoding)];
    let mut pass = Kind::new().pass();
    for cut in (0..=bytes.len()).step_by((bytes.len() / 64).max(1)) {
        let (left, right) = bytes.split_at(cut);
        assert_eq!(answer(&mut *pass, [left, right]), expected, "cut at {cut}");
    }
}

#[test]
fn text_and_its_encodings() {
    check(b"", None, Some("US-ASCII"));
    check(b"plain\ttext\r\n\x1b[1mbold\x1b[0m", None, Some("US-ASCII"));
    check("naïve café".as_bytes(), None, Some("UTF-8"));
    check(b"\xef\xbb\xbfwith a mark", None, Some("UTF-8"));
    check(b"\xff\xfeh\0i\0", None, Some("UTF-16LE"));
    check(b"\xfe\xff\0h\0i", None, Some("UTF-16BE"));
    check(b"caf\xe9 cr\xe8me br\xfbl\xe9e, d\xe9j\xe0 vu", None, Some("windows-1252"));
    check(b"#!/bin/sh\necho\n", Some("text/x-shellscript"), Some("US-ASCII"));
}

#[test]
fn text_that_begins_like_a_binary_format() {
    for text in ["BMW and others\n", "MZ is where it begins", "BZh", "BC,AD,year\n1,2,3\n", "FWS, CWS\n"] {
        check(text.as_bytes(), None, Some("US-ASCII"));
    }
    check("the magic number is %PDF-1.7, naïvely".as_bytes(), None, Some("UTF-8"));
    check(b"%!PS-Adobe-3.0\n", Some("application/postscript"), None);
    check(b"{\\rtf1 text}", Some("application/rtf"), None);
}

#[test]
fn what_is_not_text() {
    check(b"a\0b", None, None);
    check(b"\x01\x02\x03", None, None);
    check(b"\x89PNG\r\n\x1a\n", Some("image/png"), None);
    let mut elf = [0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 2;
    check(&elf, Some("application/x-executable"), None);
    check(b"%PDF-1.7\n", Some("application/pdf"), None);
}

#[test]
fn only_the_head_counts() {
    let mut bytes = vec![b'a'; HEAD_BYTES];
    bytes.push(0);
    check(&bytes, None, Some("US-ASCII"));
    bytes[HEAD_BYTES - 1] = 0;
    check(&bytes, None, None);
}

#[test]
fn a_character_cut_at_the_end_of_the_head_is_no_error() {
    let mut bytes = vec![b'a'; HEAD_BYTES - 1];
    bytes.extend_from_slice("é".as_bytes());
    check(&bytes, None, Some("UTF-8"));
    let mut truncated = b"caf".to_vec();
    truncated.push(0xc3);
    assert_ne!(judge(Simd::best(), &truncated, false).encoding, Some("UTF-8"));
}

#[test]
fn a_magic_number_of_four_bytes_or_fewer_is_confirmed() {
    for row in SIGNATURES.iter().chain(INSIDE) {
        let is_confirmed = !matches!(row.is, Is::Kind(_));
        assert!(row.magic.len() > 4 || is_confirmed, "{:?}", row.magic.escape_ascii().to_string());
    }
}

#[test]
fn legacy_text_that_begins_like_a_binary_format() {
    check(b"BMW;H\xe4ndler;Gr\xf6\xdfe\r\n", None, Some("windows-1252"));
    for text in [
        &b"MZ-Nr;Stra\xdfe\r\n"[..],
        b"BC,Qu\xe9bec\r\n",
        b"FWS Gr\xf6\xdfe\r\n",
        b"ID3;Gr\xf6\xdfe\r\n",
        b"PK Gr\xf6\xdfe\r\n",
        b"GIF Gr\xf6\xdfe\r\n",
        b"GIF89a ist f\xfcr Gr\xf6\xdfe\r\n",
        b"gimp xcf f\xfcr Gr\xf6\xdfe\r\n",
        b"RIFF Gr\xf6WAVE\r\n",
        b"BM\x8e\x9a\x8f\x91\x82\xcd\x93\xfa\x96\x7b\x8c\xea\r\n",
        b"\x88\xc8\x8f\xe3\x82\xcd\x8f\x89\x82\xdf\r\n",
        b"ORC Gr\xf6\xdfe\r\n",
    ] {
        let verdict = judge(Simd::best(), text, false);
        assert_eq!((verdict.kind, verdict.encoding.is_some()), (None, true), "{}", text.escape_ascii());
    }
}

#[test]
fn a_shebang_is_by_its_interpreter_with_or_without_a_mark() {
    check(b"#![allow(dead_code)]\n", None, Some("US-ASCII"));
    check(b"#!/usr/bin/env python3\n", Some("text/x-script.python"), Some("US-ASCII"));
    check(b"#!/opt/unheard-of\n", None, Some("US-ASCII"));
    check(b"\xef\xbb\xbf#!/bin/sh\n", Some("text/x-shellscript"), Some("UTF-8"));
}

#[test]
fn utf_32_with_a_mark() {
    check(b"\xff\xfe\0\0h\0\0\0i\0\0\0", None, Some("UTF-32LE"));
    check(b"\0\0\xfe\xff\0\0\0h\0\0\0i", None, Some("UTF-32BE"));
}

fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    judge(Simd::best(), bytes, false).kind
}

#[test]
fn each_sample_has_its_type_and_each_row_a_sample() {
    let samples = samples();
    let mut wrong = Vec::new();
    for (kind, bytes) in &samples {
        let found = kind_of(bytes);
        if found != Some(*kind) {
            wrong.push(format!("{} is {found:?}, not {kind}", bytes.escape_ascii()));
        }
    }
    for row in SIGNATURES.iter().chain(INSIDE) {
        let has_sample = samples.iter().any(|(kind, bytes)| row.kind_of(bytes) == Some(kind));
        if !has_sample {
            wrong.push(format!("no sample of {} at {}", row.magic.escape_ascii(), row.at));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The magic number of a row with the same byte everywhere else.
fn among(row: &Signature, byte: u8) -> Vec<u8> {
    let mut bytes = vec![byte; 1024];
    bytes[row.at..row.at + row.magic.len()].copy_from_slice(row.magic);
    bytes
}

#[test]
fn a_magic_number_without_its_structure_is_no_type() {
    let mut wrong = Vec::new();
    for row in SIGNATURES.iter().chain(INSIDE).filter(|row| !matches!(row.is, Is::Kind(_))) {
        let is_whole = [&b"!<arch>\n"[..], b"WEBVTT"].contains(&row.magic);
        let alone = among(row, 0)[..row.at + row.magic.len()].to_vec();
        let near = [among(row, b'A'), among(row, 0xbb)];
        for bytes in near.into_iter().chain((!is_whole).then_some(alone)) {
            if let Some(kind) = row.kind_of(&bytes) {
                let start = &bytes[..bytes.len().min(row.at + row.magic.len() + 1)];
                wrong.push(format!("{} is {kind}", start.escape_ascii()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_magic_number_with_one_byte_changed_is_another() {
    for row in SIGNATURES {
        for at in 0..row.magic.len() {
            let mut magic = row.magic.to_vec();
            magic[at] ^= 0x40;
            assert_eq!(row.kind_of(&magic), None, "{}", magic.escape_ascii());
        }
    }
}

#[test]
fn office_files_by_their_members_in_any_order() {
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let parts =
        ["[Content_Types].xml", "_rels/.rels", "docProps/core.xml", "docProps/app.xml", "word/document.xml"];
    for states_size in [true, false] {
        for turn in 0..parts.len() {
            let mut archive = Vec::new();
            for i in 0..parts.len() {
                archive.extend(member(parts[(i + turn) % parts.len()], b"<xml/>", states_size));
            }
            assert_eq!(kind_of(&archive), Some(word), "{turn}");
        }
    }
    let of = |names: &[&str]| {
        let members = names.iter().map(|name| member(name, b"", true));
        kind_of(&members.collect::<Vec<_>>().concat())
    };
    let sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    let slides = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
    assert_eq!(of(&["_rels/.rels", "xl/workbook.xml"]), Some(sheet));
    assert_eq!(of(&["[Content_Types].xml", "ppt/presentation.xml"]), Some(slides));
    assert_eq!(of(&["META-INF/", "META-INF/MANIFEST.MF"]), Some("application/java-archive"));
    let android = "application/vnd.android.package-archive";
    assert_eq!(of(&["META-INF/MANIFEST.MF", "AndroidManifest.xml"]), Some(android));
    assert_eq!(of(&["word/notes.txt"]), Some("application/zip"));
    let stated =
        |kind: &str| kind_of(&[member("mimetype", kind.as_bytes(), true), member("a", b"", true)].concat());
    for kind in ["application/epub+zip", "application/vnd.oasis.opendocument.text", "image/openraster"] {
        assert_eq!(stated(kind), Some(kind));
    }
    assert_eq!(stated("application/unheard-of"), Some("application/zip"));
}

#[test]
fn compound_files_by_their_directory() {
    for (name, kind) in [
        ("WordDocument", "application/msword"),
        ("Workbook", "application/vnd.ms-excel"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("WordDocuments", "application/x-ole-storage"),
    ] {
        assert_eq!(kind_of(&compound(name, b"")), Some(kind), "{name}");
    }
    let installer = b"\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46";
    assert_eq!(kind_of(&compound("Anything", installer)), Some("application/x-msi"));
    // A directory that lies behind the head.
    let mut far = compound("WordDocument", b"");
    far[49] = 1;
    assert_eq!(kind_of(&far), Some("application/x-ole-storage"));
}

#[test]
fn shared_objects_are_programs_if_their_interpreter_is_on_the_first_page() {
    let program = Some("application/x-pie-executable");
    let library = Some("application/x-sharedlib");
    assert_eq!(kind_of(&with_interpreter(120)), program);
    assert_eq!(kind_of(&with_interpreter(0x0fe4)), program);
    // libc.so.6 can be started.
    assert_eq!(kind_of(&with_interpreter(0x8830)), library);
    // Given another interpreter, which is in a segment of its own at the end.
    let mut patched = with_interpreter(0x8830);
    patched[56] = 2;
    patched.extend(&patched[64..120].to_vec());
    patched[120..126].copy_from_slice(&[1, 0, 0, 0, 6, 0]);
    patched[129] = 0x80;
    patched[152..154].copy_from_slice(&[0, 0x10]);
    assert_eq!(kind_of(&patched), program);
    patched[124] = 4;
    assert_eq!(kind_of(&patched), library);
    // Headers behind the head: a library has no start.
    let mut far = with_interpreter(120);
    far[36] = 1;
    assert_eq!(kind_of(&far), None);
    far[24] = 0;
    assert_eq!(kind_of(&far), library);
    for (number, kind) in
        [(1, "application/x-object"), (2, "application/x-executable"), (4, "application/x-coredump")]
    {
        far[16] = number;
        assert_eq!(kind_of(&far), Some(kind));
    }
    far[16] = 5;
    assert_eq!(kind_of(&far), None);
}

#[test]
fn short_magic_numbers_that_were_taken_for_types() {
    for bytes in [
        // The cache of icons of GTK.
        &b"\0\x01\0\0\0\0\0\x0c\0\x01\xdd\x64"[..],
        b"\0\x02\0\x01\x02\x03",
        b"\x4c\x01\0\x01\x02\x03",
        b"\x64\x86\0\x01\x02\x03",
        // DER that is none of the known ones: a key of RSA alone.
        b"\x30\x82\x01\x0a\x02\x82\x01\x01\0\xaa\xbb",
    ] {
        assert_eq!(kind_of(bytes), None, "{}", bytes.escape_ascii());
    }
}

/// Types that a shorter head may have: the container of what says more later on.
fn general(kind: &str) -> &'static [&'static str] {
    match kind {
        "application/java-archive" | "application/vnd.google-earth.kmz" => &["application/zip"],
        "application/vnd.android.package-archive" => &["application/zip", "application/java-archive"],
        kind if kind.starts_with("application/vnd.openxmlformats-") => &["application/zip"],
        kind if kind.starts_with("application/vnd.ms-excel.sheet.") => &["application/zip"],
        "application/msword" | "application/vnd.ms-excel" | "application/vnd.ms-powerpoint" => {
            &["application/x-ole-storage"]
        }
        "application/vnd.visio" | "application/vnd.ms-publisher" | "application/vnd.ms-outlook" => {
            &["application/x-ole-storage"]
        }
        "application/x-msi" => &["application/x-ole-storage"],
        "application/vnd.debian.binary-package" => &["application/x-archive"],
        "text/html" | "image/svg+xml" => &["text/xml"],
        "audio/ogg" | "video/ogg" => &["application/ogg"],
        "image/x-canon-cr2" => &["image/tiff"],
        "image/avif" | "image/heic" => &["image/heif"],
        _ => &[],
    }
}

#[test]
fn a_shorter_head_has_no_type_or_the_same_or_that_of_the_container() {
    let mut wrong = Vec::new();
    for (kind, bytes) in samples() {
        for end in 0..bytes.len() {
            for cut in [false, true] {
                let found = judge(Simd::best(), &bytes[..end], cut).kind;
                if found.is_some_and(|found| found != kind && !general(kind).contains(&found)) {
                    wrong.push(format!("{found:?} of {kind} at {end}: {}", bytes[..end].escape_ascii()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words of text in encodings without a mark: ASCII, windows-1252, Shift-JIS, KOI8-R, UTF-8.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        proptest::collection::vec(0x20_u8..0x7f, 1..12),
        proptest::collection::vec(prop_oneof![b'a'..=b'z', 0xc0_u8..=0xff], 1..12),
        proptest::collection::vec((0x82_u8..0x84, 0x40_u8..0x7f), 1..8)
            .prop_map(|pairs| pairs.into_iter().flat_map(|(first, second)| [first, second]).collect()),
        proptest::collection::vec(0xc0_u8..=0xff, 1..12),
        "[ -~äöüßéЖжツ一]{1,12}".prop_map(String::into_bytes),
    ];
    let end = proptest::sample::select(vec![&b" "[..], b";", b"\r\n", b"\n", b"\t"]);
    proptest::collection::vec((word, end), 0..40)
        .prop_map(|words| words.into_iter().flat_map(|(word, end)| [word, end.to_vec()].concat()).collect())
}

/// Whether the kernel of the analysis, plainly written, finds a character that text does not use.
fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, 0..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f))
}

proptest! {
    #[test]
    fn no_head_makes_it_panic_and_no_cut_matters(
        sample in 0..samples().len(),
        changes in proptest::collection::vec((0_usize..200, any::<u8>()), 0..8),
        tail in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..600,
    ) {
        let mut bytes = samples()[sample].1.clone();
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.extend(tail);
        let whole = answer(&mut *Kind::new().pass(), [bytes.as_slice()]);
        let (left, right) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(answer(&mut *Kind::new().pass(), [left, right]), whole);
        // Every shorter head.
        for end in 0..bytes.len().min(80) {
            judge(Simd::best(), &bytes[..end], end % 2 == 0);
        }
    }

    #[test]
    fn text_that_begins_with_a_magic_number_is_text(text in words()) {
        for row in SIGNATURES.iter().filter(|row| row.form == Form::Binary && !has_control(row.magic)) {
            let bytes = [row.magic, &text].concat();
            let verdict = judge(Simd::best(), &bytes, false);
            // Another row may know the text: numbers after `P1`, a script.
            prop_assert!(verdict.encoding.is_some(), "{}", bytes.escape_ascii());
            prop_assert!(verdict.kind.is_none_or(|kind| kind.starts_with("text/")), "{:?}", verdict);
        }
    }

    #[test]
    fn every_form_of_the_scan_agrees(bytes in proptest::collection::vec(0x07_u8..0x84, 0..3000)) {
        let plain = has_control(&bytes);
        for simd in Simd::available() {
            let found = text::scan(simd, &bytes);
            prop_assert_eq!(found.control, plain);
            prop_assert!(plain || found.high != bytes.is_ascii());
        }
    }
}
