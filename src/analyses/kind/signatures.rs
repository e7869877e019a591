//! The table of signatures, and the search in it by the first byte.
//!
//! A magic number of at most four bytes is never enough: a function looks at what follows. Words are those of libmagic,
//! else registered ones, else those in common use.

use super::{archives, data, der, executables, fonts, images, markup, media, ole, pgp, python, shebang, zip};

/// What the magic number says.
#[derive(Clone, Copy)]
pub(super) enum Is {
    /// This type.
    Kind(&'static str),
    /// This type, if the structure that follows is right.
    If(&'static str, fn(&[u8]) -> Option<bool>),
    /// One of several types, by the structure that follows.
    Of(fn(&[u8]) -> Option<&'static str>),
}

/// How a format goes together with text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Its files have control characters that text does not use: text in any encoding is never of this format.
    Binary,
    /// A program may write it as text, and people read it with a program.
    Document,
    /// People read and write it: it stays text.
    Text,
}

/// One row: bytes at an offset, and what they say.
#[derive(Clone, Copy)]
pub(super) struct Signature {
    pub(super) at: usize,
    pub(super) magic: &'static [u8],
    pub(super) is: Is,
    pub(super) form: Form,
}

const fn kind(magic: &'static [u8], kind: &'static str) -> Signature {
    Signature { at: 0, magic, is: Is::Kind(kind), form: Form::Binary }
}

const fn kind_if(magic: &'static [u8], kind: &'static str, check: fn(&[u8]) -> Option<bool>) -> Signature {
    Signature { at: 0, magic, is: Is::If(kind, check), form: Form::Binary }
}

const fn of(magic: &'static [u8], name: fn(&[u8]) -> Option<&'static str>) -> Signature {
    Signature { at: 0, magic, is: Is::Of(name), form: Form::Binary }
}

impl Signature {
    const fn at(mut self, at: usize) -> Signature {
        self.at = at;
        self
    }

    const fn document(mut self) -> Signature {
        self.form = Form::Document;
        self
    }

    const fn text(mut self) -> Signature {
        self.form = Form::Text;
        self
    }

    /// The type of a head, if it has this signature.
    pub(super) fn kind_of(&self, head: &[u8]) -> Option<&'static str> {
        if !head.get(self.at..)?.starts_with(self.magic) {
            return None;
        }
        match self.is {
            Is::Kind(kind) => Some(kind),
            Is::If(kind, check) => (check(head) == Some(true)).then_some(kind),
            Is::Of(name) => name(head),
        }
    }
}

/// The signatures at the start of a file. Among those with the same first byte the first that fits is taken.
pub(super) const SIGNATURES: &[Signature] = &[
    // Text, and formats written as text.
    of(b"#!", shebang::kind).text(),
    of(b"<", markup::kind).text(),
    of(b"\t", markup::kind).text(),
    of(b"\n", markup::kind).text(),
    of(b"\x0c", markup::kind).text(),
    of(b"\r", markup::kind).text(),
    of(b" ", markup::kind).text(),
    of(b"-----BEGIN ", pgp::armor).text(),
    of(b"BEGIN:V", markup::card).text(),
    kind_if(b"WEBVTT", "text/vtt", markup::is_vtt).text(),
    kind(b"/* XPM */", "image/x-xpixmap").text(),
    of(b"P", images::plain_map).text(),
    kind_if(b"%PDF-", "application/pdf", markup::is_pdf).document(),
    kind_if(b"%!", "application/postscript", markup::is_postscript).document(),
    kind(b"\x04%!PS-", "application/postscript"),
    kind(b"{\\rtf", "application/rtf").document(),
    // Programs, libraries, objects.
    of(b"\x7fELF", executables::elf),
    of(b"MZ", executables::dos),
    of(b"\xca\xfe\xba\xbe", executables::class_or_mach),
    kind_if(b"\xfe\xed\xfa\xce", "application/x-mach-binary", executables::is_mach_be),
    kind_if(b"\xfe\xed\xfa\xcf", "application/x-mach-binary", executables::is_mach_be),
    kind_if(b"\xce\xfa\xed\xfe", "application/x-mach-binary", executables::is_mach_le),
    kind_if(b"\xcf\xfa\xed\xfe", "application/x-mach-binary", executables::is_mach_le),
    kind_if(b"\x4c\x01", "application/x-coff", executables::is_coff),
    kind_if(b"\x64\x86", "application/x-coff", executables::is_coff),
    kind_if(b"\x00\x02", "application/x-coff", executables::is_coff),
    kind_if(b"\x64\xaa", "application/x-coff", executables::is_coff),
    kind(b"\0asm\x01\0\0\0", "application/wasm"),
    kind(b"\0asm\x0d\0\x01\0", "application/wasm"),
    kind_if(b"BC\xc0\xde", "application/x-llvm", executables::is_bitcode),
    kind_if(b"\xde\xc0\x17\x0b", "application/x-llvm", executables::is_wrapped_bitcode),
    kind_if(b"dex\n", "application/vnd.android.dex", executables::is_dex),
    kind_if(b"dey\n", "application/vnd.android.dey", executables::is_dey),
    kind_if(b"\xca\xfe\xd0\x0d", "application/x-java-pack200", executables::is_pack200),
    kind(b"JM\x01\0PK\x03\x04", "application/x-java-jmod"),
    kind_if(b"NES\x1a", "application/x-nes-rom", executables::is_nes),
    of(b"FWS", executables::flash),
    of(b"CWS", executables::flash),
    of(b"ZWS", executables::flash),
    kind_if(b"\x03\x02\x23\x07", "application/x-spirv", executables::is_spirv),
    kind_if(b"\x07\x23\x02\x03", "application/x-spirv", executables::is_spirv),
    kind_if(b";ELC", "application/x-elc", executables::is_emacs),
    // Archives and compressed files.
    of(b"PK", zip::kind),
    kind_if(b"\x1f\x8b\x08", "application/gzip", archives::is_gzip),
    kind_if(b"\x1f\x9d", "application/x-compress", archives::is_compress),
    kind_if(b"BZh", "application/x-bzip2", archives::is_bzip2).document(),
    kind(b"BZ3v1", "application/vnd.bzip3"),
    kind(b"\xfd7zXZ\0", "application/x-xz"),
    kind_if(b"\x5d\0\0", "application/x-lzma", archives::is_lzma),
    kind_if(b"LZIP", "application/x-lzip", archives::is_lzip),
    kind_if(b"LRZI", "application/x-lrzip", archives::is_lrzip),
    kind_if(b"\x28\xb5\x2f\xfd", "application/zstd", archives::is_zstd),
    kind_if(b"\x04\x22\x4d\x18", "application/x-lz4", archives::is_lz4),
    kind_if(b"\x02\x21\x4c\x18", "application/x-lz4", archives::is_lz4_legacy),
    kind(b"\xff\x06\0\0sNaPpY", "application/x-snappy-framed"),
    kind(b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    kind(b"Rar!\x1a\x07\0", "application/vnd.rar"),
    kind(b"Rar!\x1a\x07\x01\0", "application/vnd.rar"),
    of(b"!<arch>\n", archives::ar).document(),
    kind(b"!<thin>\n", "application/x-archive").document(),
    kind_if(b"07070", "application/x-cpio", archives::is_cpio_text).document(),
    kind_if(b"\xc7\x71", "application/x-cpio", archives::is_cpio_le),
    kind_if(b"\x71\xc7", "application/x-cpio", archives::is_cpio_be),
    kind_if(b"\xed\xab\xee\xdb", "application/x-rpm", archives::is_rpm),
    kind(b"MSCF\0\0\0\0", "application/vnd.ms-cab-compressed"),
    kind_if(b"ISc(", "application/x-installshield", archives::is_installshield),
    kind(b"PAR2\0PKT", "application/x-par2"),
    kind_if(b"xar!", "application/x-xar", archives::is_xar),
    kind_if(b"Cr24", "application/x-chrome-extension", archives::is_chrome_extension),
    kind_if(b"hsqs", "application/vnd.squashfs", archives::is_squashfs),
    kind_if(b"QFI\xfb", "application/x-qemu-disk", archives::is_qcow),
    kind(b"conectix\0\0\0", "application/x-virtualbox-vhd"),
    // Images.
    kind(b"\x89PNG\r\n\x1a\n", "image/png"),
    kind(b"\x8aMNG\r\n\x1a\n", "video/x-mng"),
    kind(b"\x8bJNG\r\n\x1a\n", "video/x-jng"),
    kind_if(b"\xff\xd8\xff", "image/jpeg", images::is_jpeg),
    kind(b"GIF87a", "image/gif"),
    kind(b"GIF89a", "image/gif"),
    kind_if(b"BM", "image/bmp", images::is_bmp),
    of(b"II*\0", images::tiff),
    of(b"MM\0*", images::tiff),
    kind_if(b"II+\0", "image/tiff", images::is_big_tiff_le),
    kind_if(b"MM\0+", "image/tiff", images::is_big_tiff_be),
    kind_if(b"II\xbc\x01", "image/jxr", images::is_jxr),
    kind_if(b"\0\0\x01\0", "image/vnd.microsoft.icon", images::is_icon),
    kind_if(b"8BPS", "image/vnd.adobe.photoshop", images::is_photoshop),
    of(b"\0\0\0\x0cjP  \r\n\x87\n", images::jpeg_2000),
    kind(b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
    kind_if(b"\xff\x0a", "image/jxl", images::is_bare_jxl),
    kind(b"\xff\x4f\xff\x51\0", "image/x-jp2-codestream"),
    kind_if(b"\x76\x2f\x31\x01", "image/x-exr", images::is_exr),
    kind_if(b"qoif", "image/x-qoi", images::is_qoi),
    kind(b"gimp xcf ", "image/x-xcf"),
    kind_if(b"icns", "image/x-icns", images::is_icns),
    kind(b"SIMPLE  =", "image/fits").document(),
    kind(b"\xabKTX 11\xbb\r\n\x1a\n", "image/ktx"),
    kind(b"\xabKTX 20\xbb\r\n\x1a\n", "image/ktx2"),
    kind(b"DDS \x7c\0\0\0", "image/vnd.ms-dds"),
    kind_if(b"AC10", "image/vnd.dwg", images::is_dwg),
    kind_if(b"AT&TFORM", "image/vnd.djvu", images::is_djvu),
    kind_if(b"\xd7\xcd\xc6\x9a", "image/wmf", images::is_wmf),
    kind_if(b"\x01\0\0\0", "image/emf", images::is_emf),
    kind_if(b"\x59\xa6\x6a\x95", "image/x-sun-raster", images::is_sun_raster),
    kind_if(b"\x01\xda", "image/x-sgi", images::is_sgi),
    of(b"P", images::raw_map),
    // Sound and pictures that move.
    of(b"RIFF", media::riff),
    of(b"RF64", media::riff),
    of(b"FORM", media::iff),
    of(b"ID3", media::id3),
    of(b"OggS", media::ogg),
    of(b"\x1a\x45\xdf\xa3", media::matroska),
    kind_if(b"fLaC", "audio/flac", media::is_flac),
    kind_if(b"MThd", "audio/midi", media::is_midi),
    kind_if(b".snd", "audio/basic", media::is_au),
    kind(b"#!AMR\n", "audio/amr"),
    kind(b"#!AMR-WB\n", "audio/amr-wb"),
    kind_if(b"DSD ", "audio/x-dsf", media::is_dsf),
    kind_if(b"MAC ", "audio/x-ape", media::is_ape),
    kind(b"Creative Voice File\x1a", "audio/x-voc"),
    kind(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "video/x-ms-asf"),
    kind_if(b"FLV\x01", "video/x-flv", media::is_flv),
    of(b"\0\0\x01", media::mpeg_video),
    kind_if(b"G", "video/mp2t", media::is_transport_stream),
    of(b"\xff", media::mpeg_audio),
    // Fonts.
    kind_if(b"\0\x01\0\0", "font/sfnt", fonts::is_sfnt),
    kind_if(b"true", "font/sfnt", fonts::is_sfnt),
    kind_if(b"OTTO", "application/vnd.ms-opentype", fonts::is_sfnt),
    kind_if(b"ttcf", "font/collection", fonts::is_collection),
    kind_if(b"wOFF", "font/woff", fonts::is_woff),
    kind_if(b"wOF2", "font/woff2", fonts::is_woff),
    // Documents.
    of(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ole::kind),
    // Keys and certificates.
    of(b"\x30", der::kind),
    of(b"\x88", pgp::packet),
    of(b"\x89", pgp::packet),
    of(b"\x94", pgp::packet),
    of(b"\x95", pgp::packet),
    of(b"\x98", pgp::packet),
    of(b"\x99", pgp::packet),
    of(b"\xc2", pgp::packet),
    of(b"\xc5", pgp::packet),
    of(b"\xc6", pgp::packet),
    kind_if(b"\xfe\xed\xfe\xed", "application/x-java-keystore", data::is_keystore),
    kind_if(b"\xce\xce\xce\xce", "application/x-java-jce-keystore", data::is_keystore),
    // Databases, tables, tensors.
    kind(b"SQLite format 3\0", "application/vnd.sqlite3"),
    kind_if(b"\x37\x7f\x06\x82", "application/x-sqlite-wal", data::is_wal),
    kind_if(b"\x37\x7f\x06\x83", "application/x-sqlite-wal", data::is_wal),
    kind(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", "application/x-sqlite-journal"),
    kind_if(b"PAR1", "application/vnd.apache.parquet", data::is_parquet),
    kind(b"ARROW1\0\0", "application/vnd.apache.arrow.file"),
    kind_if(b"\xff\xff\xff\xff", "application/vnd.apache.arrow.stream", data::is_arrow_stream),
    kind_if(b"FEA1", "application/x-feather", data::is_feather),
    kind_if(b"ORC", "application/x-orc", data::is_orc),
    kind_if(b"Obj\x01", "application/vnd.apache.avro", data::is_avro),
    kind(b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    kind_if(b"\x0e\x03\x13\x01", "application/x-hdf", data::is_hdf4),
    kind_if(b"CDF\x01", "application/x-netcdf", data::is_netcdf),
    kind_if(b"CDF\x02", "application/x-netcdf", data::is_netcdf),
    kind_if(b"CDF\x05", "application/x-netcdf", data::is_netcdf),
    kind(b"\x93NUMPY", "application/x-numpy-data"),
    kind(b"MATLAB 5.0 MAT-file", "application/x-matlab-data"),
    kind(b"MATLAB 7.3 MAT-file", "application/x-matlab-data"),
    kind_if(b"GGUF", "application/x-gguf", data::is_gguf),
    kind_if(b"\x08", "application/x-onnx", data::is_onnx),
    kind_if(b"\x80", "application/x-pickle", python::is_pickle),
    kind_if(b"\x13\x57\x9a\xcd", "application/x-gdbm", data::is_gdbm_be),
    kind_if(b"\x13\x57\x9a\xce", "application/x-gdbm", data::is_gdbm_be),
    kind_if(b"\x13\x57\x9a\xcf", "application/x-gdbm", data::is_gdbm_be),
    kind_if(b"\xcd\x9a\x57\x13", "application/x-gdbm", data::is_gdbm_le),
    kind_if(b"\xce\x9a\x57\x13", "application/x-gdbm", data::is_gdbm_le),
    kind_if(b"\xcf\x9a\x57\x13", "application/x-gdbm", data::is_gdbm_le),
    kind_if(b"\x00\x06\x15\x61", "application/x-dbm", data::is_dbm_be),
    kind_if(b"\x61\x15\x06\x00", "application/x-dbm", data::is_dbm_le),
    // Programs' own files.
    kind_if(b"\xde\x12\x04\x95", "application/x-gettext-translation", data::is_mo_le),
    kind_if(b"\x95\x04\x12\xde", "application/x-gettext-translation", data::is_mo_be),
    kind_if(b"\x1a\x01", "application/x-terminfo", data::is_terminfo),
    kind_if(b"\x1e\x02", "application/x-terminfo2", data::is_terminfo),
    kind_if(b"PACK", "application/x-git", data::is_git_versioned),
    kind_if(b"DIRC", "application/x-git", data::is_git_versioned),
    kind_if(b"\xff\x74\x4f\x63", "application/x-git", data::is_git_versioned),
    kind_if(b"\xd4\xc3\xb2\xa1", "application/vnd.tcpdump.pcap", data::is_pcap_le),
    kind_if(b"\x4d\x3c\xb2\xa1", "application/vnd.tcpdump.pcap", data::is_pcap_le),
    kind_if(b"\xa1\xb2\xc3\xd4", "application/vnd.tcpdump.pcap", data::is_pcap_be),
    kind_if(b"\xa1\xb2\x3c\x4d", "application/vnd.tcpdump.pcap", data::is_pcap_be),
    kind_if(b"\x0a\x0d\x0d\x0a", "application/x-pcapng", data::is_pcapng),
    kind_if(b"TZif", "application/tzif", data::is_tzif),
    kind(b"GOBJ\nMETADATA\r\n\x1a", "application/x-gobject-typelib"),
    kind_if(b"L\0\0\0", "application/x-ms-shortcut", data::is_shortcut),
    kind(b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0", "application/x-ms-pdb"),
    kind(b"ElfFile\0", "application/x-ms-evtx"),
    kind_if(b"ITSF", "application/vnd.ms-htmlhelp", data::is_html_help),
];

/// Signatures elsewhere than at the start, for heads that are not text and match no other row.
pub(super) const INSIDE: &[Signature] = &[
    of(b"ftyp", media::iso).at(4),
    kind_if(b"moov", "video/quicktime", media::is_quicktime).at(4),
    kind_if(b"mdat", "video/quicktime", media::is_quicktime).at(4),
    kind_if(b"wide", "video/quicktime", media::is_quicktime).at(4),
    kind_if(b"free", "video/quicktime", media::is_quicktime).at(4),
    kind_if(b"skip", "video/quicktime", media::is_quicktime).at(4),
    kind_if(b"ustar", "application/x-tar", archives::is_tar).at(257),
    kind_if(b"", "application/x-tar", archives::is_tar),
    kind_if(b"DICM", "application/dicom", images::is_dicom).at(128),
    kind(b"BOOKMOBI", "application/x-mobipocket-ebook").at(60),
    kind_if(b"LP", "application/vnd.ms-fontobject", fonts::is_embedded).at(34),
    kind_if(b"\r\n", "application/x-bytecode.python", python::is_bytecode).at(2),
    of(b"\x2a\x4d\x18", archives::skippable).at(1),
    kind_if(b"-lh", "application/x-lzh-compressed", archives::is_lha).at(2),
    kind_if(b"{\"", "application/x-safetensors", data::is_safetensors).at(8),
    kind_if(b"\x61\x15\x06\0", "application/x-dbm", data::is_berkeley_le).at(12),
    kind_if(b"\x62\x31\x05\0", "application/x-dbm", data::is_berkeley_le).at(12),
    kind_if(b"", "application/pdf", markup::is_pdf_within),
];

/// Where the rows of each first byte begin in [`BY_FIRST`], and end.
const STARTS: [u8; 257] = order().0;
/// The rows of [`SIGNATURES`] by their first byte.
const BY_FIRST: [u8; SIGNATURES.len()] = order().1;

const fn order() -> ([u8; 257], [u8; SIGNATURES.len()]) {
    assert!(SIGNATURES.len() <= 255, "a row's number is a byte");
    let (mut starts, mut rows) = ([0; 257], [0; SIGNATURES.len()]);
    let (mut first, mut placed) = (0, 0);
    while first < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "at most 255 rows, as asserted")]
        let start = placed as u8;
        starts[first] = start;
        let mut row = 0;
        while row < SIGNATURES.len() {
            if SIGNATURES[row].magic[0] as usize == first {
                #[expect(clippy::cast_possible_truncation, reason = "at most 255 rows, as asserted")]
                let number = row as u8;
                rows[placed] = number;
                placed += 1;
            }
            row += 1;
        }
        first += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 255 rows, as asserted")]
    let end = placed as u8;
    starts[256] = end;
    (starts, rows)
}

/// The type of a head among the rows whose form `counts`, with that form.
pub(super) fn find(head: &[u8], counts: impl Fn(Form) -> bool) -> Option<(&'static str, Form)> {
    static ROWS: &[Signature] = SIGNATURES;
    let first = usize::from(*head.first()?);
    let rows = &BY_FIRST[usize::from(STARTS[first])..usize::from(STARTS[first + 1])];
    let rows = rows.iter().map(|&row| &ROWS[usize::from(row)]);
    rows.filter(|row| counts(row.form)).find_map(|row| Some((row.kind_of(head)?, row.form)))
}

/// The type of a binary head by signatures further inside.
pub(super) fn find_inside(head: &[u8]) -> Option<&'static str> {
    INSIDE.iter().find_map(|row| row.kind_of(head))
}
