//! Every analysis over every file in fixtures/inputs. `FILEMILL_BLESS=1` writes the answers anew: read the diff.

use std::fmt::Write;
use std::path::Path;

use filemill::analyses::REGISTRY;
use filemill::plan::Plan;
use filemill::record::{Outcome, Value};

use crate::support::{analyses, scan};

#[test]
fn every_analysis_gives_the_golden_answers() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let bless = std::env::var_os("FILEMILL_BLESS").is_some();
    let mut differing = Vec::new();
    for registered in REGISTRY {
        let plan = Plan { analyses: analyses(registered.name), ..Plan::new([fixtures.join("inputs")]) };
        let (records, _) = scan(&plan);
        let mut lines = String::new();
        for (path, (outcome, values)) in &records {
            let Outcome::Done { size, .. } = outcome else { panic!("{path}: {outcome:?}") };
            write!(lines, "{path}\t{size}").unwrap();
            for (column, value) in plan.columns().iter().zip(values) {
                write!(lines, "\t{}={}", column.name, text(value)).unwrap();
            }
            lines.push('\n');
        }
        let golden = fixtures.join("golden").join(format!("{}.tsv", registered.name));
        if bless {
            std::fs::write(&golden, &lines).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != lines {
            differing.push(registered.name);
        }
    }
    assert!(
        differing.is_empty(),
        "not as in fixtures/golden: {differing:?} (FILEMILL_BLESS=1 writes them anew)"
    );
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::U64(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Digest(digest) => digest.hex(&mut [0; 64]).to_owned(),
        Value::Sketch(sketch) => sketch.iter().map(|number| format!("{number:08x}")).collect(),
    }
}
