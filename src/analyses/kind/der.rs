//! Certificates, keys and their like in DER: by their first elements.

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;

/// Password-based encryption: the arcs of PKCS#5, and those that PKCS#12 adds.
const PASSWORD_ARCS: [&[u8]; 2] =
    [b"\x2a\x86\x48\x86\xf7\x0d\x01\x05", b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01"];
/// The arc of PKCS#7: data, signed data, and others.
const PKCS_7_ARC: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07";

pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let mut outer = Elements(head);
    let outer = Elements(outer.next_of(SEQUENCE)?);
    let mut elements = outer.clone();
    match elements.next()? {
        (SEQUENCE, first) => of_sequence(Elements(first), elements),
        (INTEGER, version) => of_version(version, elements),
        (OBJECT, kind) if kind.starts_with(PKCS_7_ARC) => {
            elements.next_of(CONTEXT_0).map(|_| "application/pkcs7-mime")
        }
        (ENUMERATED, [0..=6]) if elements.is_at_end() || elements.next_of(CONTEXT_0).is_some() => {
            Some("application/ocsp-response")
        }
        _ => None,
    }
}

/// Something signed (its content, the algorithm, bits), or something encrypted (the algorithm, octets).
fn of_sequence(content: Elements<'_>, mut after: Elements<'_>) -> Option<&'static str> {
    let mut encrypted = content.clone();
    if let Some(algorithm) = encrypted.next_of(OBJECT) {
        let is_by_password = PASSWORD_ARCS.iter().any(|arc| algorithm.starts_with(arc));
        return (is_by_password && after.next()?.0 == OCTETS).then_some("application/pkcs8-encrypted");
    }
    signed(content)
}

fn signed(content: Elements<'_>) -> Option<&'static str> {
    let mut elements = content.clone();
    let (tag, value) = elements.next()?;
    match (tag, value) {
        // A certificate: version, serial number, algorithm, issuer, validity.
        (CONTEXT_0, version)
            if Elements(version).next_of(INTEGER).is_some_and(|version| version.len() == 1) =>
        {
            elements.next_of(INTEGER)?;
            is_algorithm(elements.next_of(SEQUENCE)?).then_some("application/x-x509-ca-cert")
        }
        (INTEGER, number) => {
            let mut then = elements.next_of(SEQUENCE)?;
            if is_algorithm(then) {
                // The issuer; then a list of revoked certificates has a time, a certificate of version 1 two of them.
                elements.next_of(SEQUENCE)?;
                return match elements.next()? {
                    (UTC_TIME | GENERALIZED_TIME, _) if number == [1] => Some("application/pkix-crl"),
                    (SEQUENCE, validity)
                        if matches!(Elements(validity).next()?.0, UTC_TIME | GENERALIZED_TIME) =>
                    {
                        Some("application/x-x509-ca-cert")
                    }
                    _ => None,
                };
            }
            // A request: version, a name, and a key.
            let is_name = then.is_empty() || Elements(then).next()?.0 == SET;
            then = elements.next_of(SEQUENCE)?;
            let is_key = is_algorithm(Elements(then).next_of(SEQUENCE)?);
            (number == [0] && is_name && is_key).then_some("application/pkcs10")
        }
        // A list of revoked certificates of version 1: the algorithm, the issuer, a time.
        (SEQUENCE, algorithm) if is_algorithm(algorithm) => {
            elements.next_of(SEQUENCE)?;
            matches!(elements.next()?.0, UTC_TIME | GENERALIZED_TIME).then_some("application/pkix-crl")
        }
        _ => None,
    }
}

/// A key of PKCS#8 (version, algorithm, octets), or PKCS#12 (version, content).
fn of_version(version: &[u8], mut elements: Elements<'_>) -> Option<&'static str> {
    let then = elements.next_of(SEQUENCE)?;
    match version {
        [0 | 1] if is_algorithm(then) => elements.next_of(OCTETS).map(|_| "application/pkcs8"),
        [3] if Elements(then).next_of(OBJECT)?.starts_with(PKCS_7_ARC) => Some("application/pkcs12"),
        _ => None,
    }
}

fn is_algorithm(sequence: &[u8]) -> bool {
    Elements(sequence).next_of(OBJECT).is_some_and(|object| (3..=20).contains(&object.len()))
}

/// Elements one after the other. What the head cuts off is there as far as it goes.
#[derive(Clone)]
struct Elements<'h>(&'h [u8]);

impl<'h> Elements<'h> {
    /// The tag of the next one, and its content.
    fn next(&mut self) -> Option<(u8, &'h [u8])> {
        let (&[tag, length], mut rest) = self.0.split_first_chunk()?;
        let mut length = usize::from(length);
        if length >= 0x80 {
            let bytes = length - 0x80;
            if !(1..=4).contains(&bytes) {
                return None;
            }
            let (number, after) = rest.split_at_checked(bytes)?;
            // The shortest form is the only one.
            if number[0] == 0 || (bytes == 1 && number[0] < 0x80) {
                return None;
            }
            length = number.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = after;
        }
        let content = &rest[..length.min(rest.len())];
        self.0 = &rest[content.len()..];
        Some((tag, content))
    }

    /// The content of the next one, if it has this tag.
    fn next_of(&mut self, tag: u8) -> Option<&'h [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}
