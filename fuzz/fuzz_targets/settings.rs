//! No text makes the parser of filemill.toml panic; what it takes means the same when it is written again as
//! TOML, and what it refuses it refuses in one line.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/cli/toml_settings.rs"]
mod toml_settings;

use toml_settings::{Setting, Value, parse};

fuzz_target!(|text: &str| {
    let tables = text.parse::<toml::Table>();
    match parse(text) {
        Ok(settings) => {
            check_values(&tables.expect("TOML, as it was taken"), &settings);
            let written = written(&settings);
            assert_eq!(parse(&written).as_ref(), Ok(&settings), "{written}");
        }
        Err(why) => match tables {
            Ok(tables) => check_refusal(&tables, &why),
            Err(_) => check_line(text, &why),
        },
    }
});

/// Every key of every table, and nothing else.
fn check_values(tables: &toml::Table, settings: &[Setting]) {
    assert!(is_settings(tables));
    let keys: usize = tables.values().filter_map(toml::Value::as_table).map(toml::Table::len).sum();
    assert_eq!(settings.len(), keys);
    for Setting { command, key, value } in settings {
        assert!(is_same(&tables[command][key], value), "{command}, {key}: {value:?}");
    }
}

fn is_same(toml: &toml::Value, value: &Value) -> bool {
    match (toml, value) {
        (toml::Value::Boolean(toml), Value::Truth(truth)) => toml == truth,
        (toml::Value::Array(toml), Value::Many(texts)) => {
            toml.len() == texts.len() && toml.iter().zip(texts).all(|(toml, text)| is_same_text(toml, text))
        }
        (toml, Value::One(text)) => is_same_text(toml, text),
        _ => false,
    }
}

fn is_same_text(toml: &toml::Value, text: &str) -> bool {
    match toml {
        toml::Value::String(toml) => toml == text,
        toml::Value::Integer(toml) => text.parse() == Ok(*toml),
        toml::Value::Float(toml) => {
            text.parse().is_ok_and(|read: f64| read == *toml || read.is_nan() && toml.is_nan())
        }
        _ => false,
    }
}

/// Tables of texts, numbers and truths, and of lists of texts and numbers.
fn is_settings(tables: &toml::Table) -> bool {
    let is_scalar = |value: &toml::Value| value.is_str() || value.is_integer() || value.is_float();
    let is_list = |value: &toml::Value| value.as_array().is_some_and(|values| values.iter().all(is_scalar));
    let is_setting = |value: &toml::Value| is_scalar(value) || value.is_bool() || is_list(value);
    tables.values().all(|table| table.as_table().is_some_and(|table| table.values().all(is_setting)))
}

fn written(settings: &[Setting]) -> String {
    let mut tables = toml::Table::new();
    for Setting { command, key, value } in settings {
        let value = match value.clone() {
            Value::Truth(truth) => toml::Value::from(truth),
            Value::One(text) => toml::Value::from(text),
            Value::Many(texts) => toml::Value::from(texts),
        };
        let table = tables.entry(command).or_insert_with(|| toml::Table::new().into());
        let replaced = table.as_table_mut().expect("just put in").insert(key.clone(), value);
        assert!(replaced.is_none(), "{command} has {key} twice");
    }
    tables.to_string()
}

/// It names a command or key of the text, and then says in one line what is wrong. A key may hold a line
/// feed: whoever prints the message escapes it.
fn check_refusal(tables: &toml::Table, why: &str) {
    assert!(!is_settings(tables), "refused, though settings: {why}");
    let keys = tables.values().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
    let mut reasons = tables.keys().chain(keys).filter_map(|key| why.strip_prefix(key)?.strip_prefix(": "));
    assert!(reasons.any(|reason| !reason.is_empty() && !reason.contains('\n')), "{why:?}");
}

/// It says in one line which line is no TOML, and why.
fn check_line(text: &str, why: &str) {
    assert!(!why.contains(['\n', '\r']), "{why:?}");
    let (line, reason) =
        why.strip_prefix("line ").and_then(|rest| rest.split_once(": ")).expect("it names a line");
    let line: usize = line.parse().expect("a number");
    assert!((1..=text.split('\n').count()).contains(&line) && !reason.is_empty(), "{why:?}");
}
