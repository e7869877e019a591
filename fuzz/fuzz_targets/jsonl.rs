//! Whatever the sink of JSON lines is given, a reader of JSON gets it back: one line a record, every value
//! exactly.

#![no_main]

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use filemill::keep::Keep;
use filemill::record::{Outcome, Value};
use filemill::sink::Jsonl;
use filemill_fuzz::{Made, MadeRecord};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

fuzz_target!(|made: Made| {
    let mut sink = Jsonl::new(Vec::new());
    made.report_to(&mut sink, &made.plan());
    let report = String::from_utf8(sink.into_inner()).expect("JSON is UTF-8");
    let mut lines = report.strip_suffix('\n').expect("a last line feed").split('\n');
    check_begin(&made, lines.next().expect("a first line"));
    for made_record in made.in_order() {
        check(&made, made_record, lines.next().expect("a line a record"));
    }
    assert_eq!(lines.next(), None, "more lines than records");
});

fn check_begin(made: &Made, line: &str) {
    let begin: serde_json::Value = read(line);
    assert_eq!(begin["type"], "begin");
    let columns: Vec<_> = made.columns.iter().map(|column| column.name).collect();
    assert_eq!(begin["columns"], serde_json::json!(columns));
}

fn check(made: &Made, record: &MadeRecord, line: &str) {
    let Pairs(pairs) = read(line);
    let (keys, values): (Vec<&str>, Vec<&RawValue>) =
        pairs.iter().map(|(key, value)| (key.as_str(), *value)).unzip();
    assert_eq!(keys[..2], ["type", "path"]);
    check_path(&record.path(), values[1]);
    let (keys, rest) = (&keys[2..], &values[2..]);
    match record.outcome {
        Outcome::Done { size, mtime_ns, identity, mode, keep, .. } => {
            assert_eq!(read::<String>(values[0].get()), "file");
            let settled = match keep {
                Keep::Unasked => None,
                Keep::Yes => Some(true),
                Keep::No => Some(false),
            };
            let mut own = vec!["size", "mtime_ns", "inode", "ctime_ns", "mode"];
            own.extend(settled.map(|_| "settled"));
            own.push("file_system");
            let (own_values, rest) = rest.split_at(own.len());
            let names = made.columns.iter().map(|column| column.name);
            assert!(keys.iter().copied().eq(own.into_iter().chain(names)), "{line}");
            assert_eq!(read::<u64>(own_values[0].get()), size);
            assert_eq!(read::<i128>(own_values[1].get()), mtime_ns);
            assert_eq!(read::<u64>(own_values[2].get()), identity.inode);
            assert_eq!(read::<i128>(own_values[3].get()), identity.ctime_ns());
            assert_eq!(read::<u16>(own_values[4].get()), mode);
            if let Some(settled) = settled {
                assert_eq!(read::<bool>(own_values[5].get()), settled);
            }
            assert_eq!(own_values[own_values.len() - 1].get(), "null");
            assert_eq!(rest.len(), record.values.len());
            rest.iter().zip(&record.values).for_each(|(json, value)| check_value(json.get(), value));
        }
        Outcome::Skipped(reason) => {
            assert_eq!((read::<String>(values[0].get()).as_str(), keys), ("skipped", &["reason"][..]));
            assert_eq!(read::<String>(rest[0].get()), reason.name());
        }
        Outcome::Failed(error) => {
            let expected = &["step", "errno", "cause"][..];
            assert_eq!((read::<String>(values[0].get()).as_str(), keys), ("error", expected));
            assert_eq!(read::<String>(rest[0].get()), error.step.name());
            assert_eq!(read::<Option<String>>(rest[1].get()), error.errno_name());
            assert_eq!(read::<String>(rest[2].get()), error.cause.name());
        }
        Outcome::Listed | Outcome::Unread => unreachable!("none is made"),
    }
}

/// A text where the path is one, `{"bytes": "<base64>"}` where not.
fn check_path(path: &[u8], json: &RawValue) {
    match str::from_utf8(path) {
        Ok(path) => assert_eq!(read::<String>(json.get()), path),
        Err(_) => {
            let Pairs(pairs) = read(json.get());
            let [(key, base64)] = &pairs[..] else { panic!("one key: {json}") };
            assert_eq!(key, "bytes");
            assert_eq!(STANDARD.decode(read::<String>(base64.get())).expect("base64"), path);
        }
    }
}

fn check_value(json: &str, value: &Value) {
    match value {
        Value::Null => assert_eq!(json, "null"),
        Value::U64(number) => assert_eq!(read::<u64>(json), *number),
        // JSON has no word for these: no answer.
        Value::F64(number) if !number.is_finite() => assert_eq!(json, "null"),
        Value::F64(number) => assert_eq!(read::<f64>(json).to_bits(), number.to_bits(), "{number} {json}"),
        Value::Bool(truth) => assert_eq!(read::<bool>(json), *truth),
        Value::Text(text) => assert_eq!(read::<String>(json), *text),
        Value::Sketch(_) => unreachable!("none is made"),
        Value::Digest(digest) => {
            let hex: String = digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(read::<String>(json), hex);
        }
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// An object as it is written: keys in order, also those that come twice, and values as text, as a number of
/// 128 bits would lose some as a value of serde_json.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'a>, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }

        deserializer.deserialize_map(Collect).map(Pairs)
    }
}
