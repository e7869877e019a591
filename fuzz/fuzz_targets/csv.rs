//! Whatever the sink of CSV is given, a reader of CSV gets it back: every field of every row, guarded or not.

#![no_main]

use filemill::record::{Outcome, Value};
use filemill::sink::Csv;
use filemill_fuzz::{Made, MadeRecord};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|made: Made| {
    for is_guarded in [true, false] {
        let mut report = Vec::new();
        let mut sink = if is_guarded { Csv::new(&mut report) } else { Csv::unguarded(&mut report) };
        made.report_to(&mut sink, &made.plan());
        drop(sink);
        check(&made, &report, is_guarded);
    }
});

fn check(made: &Made, report: &[u8], is_guarded: bool) {
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(report);
    let mut rows = reader.into_byte_records().map(|row| row.expect("rows of one length"));
    let header = rows.next().expect("a header");
    let own = ["path", "size", "mtime_ns", "status"].into_iter();
    let names = own.chain(made.columns.iter().map(|column| column.name));
    assert!(header.iter().eq(names.map(str::as_bytes)));
    for made in made.in_order() {
        let row = rows.next().expect("a row a record");
        let fields: Vec<&[u8]> = row.iter().collect();
        let [path, size, mtime_ns, status, values @ ..] = &fields[..] else { panic!("too few fields") };
        assert_eq!(text(path, is_guarded), made.path());
        check_outcome(made, [size, mtime_ns, status]);
        if made.values.is_empty() {
            assert!(values.iter().all(|field| field.is_empty()));
        }
        for (field, value) in values.iter().zip(&made.values) {
            check_value(field, value, is_guarded);
        }
    }
    assert!(rows.next().is_none(), "more rows than records");
}

fn check_outcome(made: &MadeRecord, fields: [&[u8]; 3]) {
    let expected = match made.outcome {
        Outcome::Done { size, mtime_ns, .. } => [size.to_string(), mtime_ns.to_string(), "ok".to_owned()],
        Outcome::Skipped(reason) => [String::new(), String::new(), format!("skipped:{}", reason.name())],
        Outcome::Failed(error) => [String::new(), String::new(), format!("error:{}", error.cause.name())],
        Outcome::Listed | Outcome::Unread => unreachable!("none is made"),
    };
    assert_eq!(fields, expected.each_ref().map(String::as_bytes));
}

fn check_value(field: &[u8], value: &Value, is_guarded: bool) {
    if let Value::Text(expected) = value {
        return assert_eq!(text(field, is_guarded), expected.as_bytes());
    }
    let field = str::from_utf8(field).expect("only texts and paths are not ASCII");
    match value {
        Value::Null => assert_eq!(field, ""),
        Value::U64(number) => assert_eq!(field.parse(), Ok(*number)),
        Value::F64(number) => {
            let read: f64 = field.parse().expect("a number");
            let is_same = read.to_bits() == number.to_bits() || read.is_nan() && number.is_nan();
            assert!(is_same, "{field} for {number}");
        }
        Value::Bool(truth) => assert_eq!(field.parse(), Ok(*truth)),
        Value::Digest(digest) => {
            let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(field, hex);
        }
        Value::Text(_) => unreachable!("done above"),
        Value::Sketch(_) => unreachable!("none is made"),
    }
}

/// The text that a field stands for. A guarded one is never a formula.
fn text(field: &[u8], is_guarded: bool) -> &[u8] {
    if !is_guarded {
        return field;
    }
    assert!(!is_formula(field), "{}", field.escape_ascii());
    let quotes = field.iter().take_while(|byte| **byte == b'\'').count();
    if is_formula(&field[quotes..]) { &field[1..] } else { field }
}

fn is_formula(text: &[u8]) -> bool {
    text.first().is_some_and(|first| b"=+-@\t\r".contains(first))
}
