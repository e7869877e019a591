//! Keys, signatures and messages of OpenPGP, and what else is written between lines of dashes (PEM).

use super::numbers::{be16, be32, byte};

/// By the label of the first line.
pub(super) fn armor(head: &[u8]) -> Option<&'static str> {
    const LABEL_BYTES_MAX: usize = 64;
    let label = head.strip_prefix(b"-----BEGIN ")?;
    let label = &label[..label.len().min(LABEL_BYTES_MAX)];
    let end = label.windows(5).position(|window| window == b"-----")?;
    match &label[..end] {
        b"PGP PUBLIC KEY BLOCK" | b"PGP PRIVATE KEY BLOCK" => Some("application/pgp-keys"),
        b"PGP SIGNATURE" => Some("application/pgp-signature"),
        b"PGP MESSAGE" => Some("application/pgp-encrypted"),
        // Several may follow each other, and their registered types are for DER.
        b"CERTIFICATE"
        | b"TRUSTED CERTIFICATE"
        | b"X509 CERTIFICATE"
        | b"X509 CRL"
        | b"CERTIFICATE REQUEST"
        | b"NEW CERTIFICATE REQUEST"
        | b"PUBLIC KEY"
        | b"RSA PUBLIC KEY"
        | b"PRIVATE KEY"
        | b"PKCS7"
        | b"CMS"
        | b"DH PARAMETERS"
        | b"EC PARAMETERS" => Some("application/x-pem-file"),
        label if label.ends_with(b" PRIVATE KEY") => Some("application/x-pem-file"),
        _ => None,
    }
}

/// A packet that is a key or a signature, and, if the head goes on behind it, another that may follow it.
pub(super) fn packet(head: &[u8]) -> Option<&'static str> {
    const PUBLIC_KEY: u8 = 6;
    const SECRET_KEY: u8 = 5;
    const SIGNATURE: u8 = 2;
    let (tag, start, length) = header(head)?;
    let body = head.get(start..)?;
    let kind = match tag {
        PUBLIC_KEY | SECRET_KEY if is_key(body)? => "application/pgp-keys",
        SIGNATURE if is_signature(body)? => "application/pgp-signature",
        _ => return None,
    };
    match head.get(start.checked_add(length)?..) {
        None => Some(kind).filter(|_| length < 1 << 16),
        Some([]) => Some(kind),
        // A signature, a subkey, a name, a picture, or trust.
        Some(rest) => {
            header(rest).filter(|(tag, ..)| matches!(tag, 2 | 5 | 6 | 7 | 12 | 13 | 14 | 17)).map(|_| kind)
        }
    }
}

/// The tag of a packet, where its body begins, and its length.
fn header(packet: &[u8]) -> Option<(u8, usize, usize)> {
    let first = byte(packet, 0)?;
    if first & 0xc0 == 0xc0 {
        let second = usize::from(byte(packet, 1)?);
        let (start, length) = match second {
            0..192 => (2, second),
            192..224 => (3, ((second - 192) << 8) + usize::from(byte(packet, 2)?) + 192),
            255 => (6, usize::try_from(be32(packet, 2)?).ok()?),
            _ => return None,
        };
        return Some((first & 0x3f, start, length));
    }
    if first & 0x80 == 0 {
        return None;
    }
    let (start, length) = match first & 3 {
        0 => (2, usize::from(byte(packet, 1)?)),
        1 => (3, usize::from(be16(packet, 1)?)),
        2 => (5, usize::try_from(be32(packet, 1)?).ok()?),
        _ => return None,
    };
    Some(((first >> 2) & 0x0f, start, length))
}

fn is_algorithm(number: u8) -> bool {
    matches!(number, 1..=3 | 16..=19 | 22 | 25..=28)
}

/// A version, a time since 1990, and an algorithm.
fn is_key(body: &[u8]) -> Option<bool> {
    const YEAR_1990: u32 = 631_152_000;
    let algorithm = match byte(body, 0)? {
        2 | 3 => byte(body, 7)?,
        4..=6 => byte(body, 5)?,
        _ => return Some(false),
    };
    Some(be32(body, 1)? >= YEAR_1990 && is_algorithm(algorithm))
}

/// A version, a kind, and algorithms for the key and for the digest.
fn is_signature(body: &[u8]) -> Option<bool> {
    let at = match byte(body, 0)? {
        4..=6 => 1,
        // The hashed part has five bytes, and begins with the kind; then the key.
        3 if byte(body, 1)? == 5 => 2,
        _ => return Some(false),
    };
    let (key, digest) = if at == 1 { (2, 3) } else { (15, 16) };
    let kind = matches!(byte(body, at)?, 0..=2 | 0x10..=0x13 | 0x18..=0x20 | 0x28 | 0x30 | 0x40 | 0x50);
    Some(kind && is_algorithm(byte(body, key)?) && matches!(byte(body, digest)?, 1..=14))
}
