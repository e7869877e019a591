//! Every line of a manifest leads the program that checks it to the very path that was given; a path that it
//! could not check is refused aloud and stands nowhere.

#![no_main]

use std::sync::Arc;

use filemill::record::{Column, Digest, Outcome, Value, ValueKind};
use filemill::sink::{Manifest, Tool};
use filemill_fuzz::{Columns, Made, MadeRecord};
use libfuzzer_sys::fuzz_target;
use sha2::Digest as _;

const DIGESTS: &[Column] = &[
    Column { name: "sha256", kind: ValueKind::Digest, unit: "" },
    Column { name: "blake3", kind: ValueKind::Digest, unit: "" },
];

fuzz_target!(|made: Made| {
    let mut made = made;
    // No file has such a name, and no tool could check it.
    made.records.retain(|record| !record.path().is_empty() && !record.path().contains(&0));
    for record in made.records.iter_mut().filter(|record| is_done(record)) {
        let [sha256, blake3] = digests(&record.path());
        record.values.extend([Value::Digest(Digest::new(&sha256)), Value::Digest(Digest::new(&blake3))]);
    }
    for tool in [Tool::B3sum, Tool::Sha256sum] {
        let (mut report, mut refused) = (Vec::new(), Vec::new());
        let refuse = |path: &[u8], why: &str| {
            assert!(!why.is_empty() && !why.contains('\n'));
            refused.push(path.to_vec());
        };
        let mut sink = Manifest::new(&mut report, tool, Box::new(refuse));
        let mut plan = made.plan();
        plan.analyses.push(Arc::new(Columns(DIGESTS)));
        made.report_to(&mut sink, &plan);
        drop(sink);
        check(&made, tool, &report, &refused);
    }
});

fn is_done(record: &MadeRecord) -> bool {
    matches!(record.outcome, Outcome::Done { .. })
}

fn digests(path: &[u8]) -> [[u8; 32]; 2] {
    [sha2::Sha256::digest(path).into(), *blake3::hash(path).as_bytes()]
}

fn check(made: &Made, tool: Tool, report: &[u8], refused: &[Vec<u8>]) {
    let done = made.in_order().filter(|record| is_done(record)).map(MadeRecord::path);
    let (expected, to_refuse): (Vec<_>, Vec<_>) = done.partition(|path| can_be_checked(tool, path));
    assert_eq!(refused, to_refuse, "{tool:?}");
    let mut lines = report.split(|byte| *byte == b'\n');
    for path in expected {
        let line = lines.next().expect("a line a file");
        let (hex, read) = read(line).unwrap_or_else(|why| panic!("{tool:?}: {why}: {}", line.escape_ascii()));
        assert_eq!(read, path, "{tool:?}");
        let [sha256, blake3] = digests(&path);
        let digest = if tool == Tool::B3sum { blake3 } else { sha256 };
        let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected.as_bytes());
    }
    assert_eq!((lines.next(), lines.next()), (Some(&b""[..]), None), "more lines than files");
}

/// Both take `-` for standard input. b3sum takes UTF-8 alone, and no replacement character.
fn can_be_checked(tool: Tool, path: &[u8]) -> bool {
    let is_utf8 = str::from_utf8(path).is_ok_and(|path| !path.contains(char::REPLACEMENT_CHARACTER));
    path != b"-" && (is_utf8 || tool == Tool::Sha256sum)
}

/// The digest in hex and the path of a line, as b3sum 1.8 (`parse_check_line`) and sha256sum of coreutils 9
/// (`split_3`) read them. Carriage returns at its end are a part of the line's end.
fn read(line: &[u8]) -> Result<(&[u8], Vec<u8>), &'static str> {
    let end = line.iter().rposition(|byte| *byte != b'\r').ok_or("an empty line")?;
    let line = &line[..=end];
    let (is_escaped, line) = line.strip_prefix(b"\\").map_or((false, line), |line| (true, line));
    let (hex, path) = line.split_at_checked(64).ok_or("too short for a digest")?;
    let path = path.strip_prefix(b"  ").ok_or("no two spaces after the digest")?;
    Ok((hex, if is_escaped { unescape(path)? } else { path.to_vec() }))
}

fn unescape(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut bytes = path.iter().copied();
    let mut unescaped = Vec::new();
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'\\') => b'\\',
                _ => return Err("an escape that no tool knows"),
            },
            plain => plain,
        });
    }
    Ok(unescaped)
}
