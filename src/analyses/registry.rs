//! The analyses that have a name on the command line, the presets, and the list that selects them.

use std::sync::Arc;

use super::{Analysis, Blake3, Entropy, Kind, Lines, Sha256, Words, Xxh3};

/// An analysis by name.
pub struct Registered {
    /// The word that selects it.
    pub name: &'static str,
    /// What it answers, in a few words.
    pub about: &'static str,
    /// Whether the preset `full` contains it.
    pub in_full: bool,
    /// Whether the preset `light`, the default, contains it.
    pub in_light: bool,
    make: fn() -> Arc<dyn Analysis>,
}

/// Every analysis, in the order of the columns.
pub const REGISTRY: &[Registered] = &[
    Registered {
        name: "kind",
        about: "type by magic numbers, whether it is text, its encoding (first 16 KiB)",
        in_full: true,
        in_light: true,
        make: || Arc::new(Kind),
    },
    Registered {
        name: "lines",
        about: "number of line feeds",
        in_full: true,
        in_light: true,
        make: || Arc::new(Lines),
    },
    Registered {
        name: "words",
        about: "number of runs of bytes that are not white space",
        in_full: true,
        in_light: true,
        make: || Arc::new(Words::new()),
    },
    Registered {
        name: "entropy",
        about: "Shannon entropy of the bytes, in bits per byte",
        in_full: true,
        in_light: false,
        make: || Arc::new(Entropy::new()),
    },
    Registered {
        name: "xxh3",
        about: "XXH3 digest, 128 bit",
        in_full: true,
        in_light: false,
        make: || Arc::new(Xxh3),
    },
    Registered {
        name: "sha256",
        about: "SHA-256 digest",
        in_full: true,
        in_light: false,
        make: || Arc::new(Sha256),
    },
    Registered {
        name: "blake3",
        about: "BLAKE3 digest, 256 bit",
        in_full: true,
        in_light: false,
        make: || Arc::new(Blake3),
    },
];

/// A list of analyses that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No analysis or preset has this name.
    #[error("unknown analysis {name:?}{}", suggestion(.nearest))]
    Unknown {
        /// The word as it was typed.
        name: String,
        /// The known word nearest to it, where one is near.
        nearest: Option<&'static str>,
    },
    /// The analysis takes no such parameter.
    #[error("analysis {name:?} takes no parameters, but {parameter:?} was given")]
    Parameter {
        /// The analysis.
        name: String,
        /// The parameter as it was typed.
        parameter: String,
    },
    /// `none` stands beside others.
    #[error("\"none\" cannot be combined with other analyses")]
    NoneWithOthers,
    /// A word of the list is empty.
    #[error("an empty name in the list of analyses")]
    Empty,
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!(": did you mean {name:?}?"),
        None => {
            let names: Vec<_> = words().collect();
            format!(": known are {}", names.join(", "))
        }
    }
}

fn words() -> impl Iterator<Item = &'static str> {
    REGISTRY.iter().map(|registered| registered.name).chain(["none", "light", "full"])
}

/// Makes the analyses of a comma-separated list of names and presets; repeated names count once and the order is
/// the registry's, so that a list has one meaning however it is typed.
///
/// # Errors
/// When a name is unknown or empty, when a parameter is given to an analysis that takes none, or when `none` is
/// not alone.
pub fn parse(list: &str) -> Result<Vec<Arc<dyn Analysis>>, ParseError> {
    if list.trim() == "none" {
        return Ok(Vec::new());
    }
    let mut chosen = [false; REGISTRY.len()];
    for word in list.split(',').map(str::trim) {
        let (name, parameter) = word.split_once(':').map_or((word, None), |(name, rest)| (name, Some(rest)));
        let selects: fn(&Registered, &str) -> bool = match name {
            "" => return Err(ParseError::Empty),
            "none" => return Err(ParseError::NoneWithOthers),
            "light" => |registered, _| registered.in_light,
            "full" => |registered, _| registered.in_full,
            _ => |registered, name| registered.name == name,
        };
        let mut known = false;
        for (chosen, registered) in chosen.iter_mut().zip(REGISTRY) {
            let selected = selects(registered, name);
            *chosen |= selected;
            known |= selected;
        }
        if !known {
            return Err(ParseError::Unknown { name: name.to_owned(), nearest: nearest(name, words()) });
        }
        if let Some(parameter) = parameter {
            return Err(ParseError::Parameter { name: name.to_owned(), parameter: parameter.to_owned() });
        }
    }
    Ok(chosen
        .iter()
        .zip(REGISTRY)
        .filter(|(chosen, _)| **chosen)
        .map(|(_, registered)| (registered.make)())
        .collect())
}

/// The word that takes the fewest edits to reach from what was typed, where a person would see the likeness.
pub fn nearest<'w>(typed: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .map(|word| (edits(typed, word), word))
        .filter(|&(edits, word)| edits <= word.len().div_ceil(3))
        .min()
        .map(|(_, word)| word)
}

/// Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Result<Vec<&'static str>, String> {
        parse(list)
            .map(|all| all.iter().map(|analysis| analysis.name()).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn lists_and_presets() {
        #[track_caller]
        fn check(list: &str, expected: &[&str]) {
            assert_eq!(names(list).as_deref(), Ok(expected));
        }
        check("none", &[]);
        check("light", &["kind", "lines", "words"]);
        let full: Vec<_> =
            REGISTRY.iter().filter(|registered| registered.in_full).map(|it| it.name).collect();
        check("full", &full);
        check("blake3,lines", &["lines", "blake3"]);
        check("lines, lines", &["lines"]);
        check("light,blake3", &["kind", "lines", "words", "blake3"]);
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        #[track_caller]
        fn check(list: &str, expected: &str) {
            assert_eq!(names(list), Err(expected.to_owned()));
        }
        check("", "an empty name in the list of analyses");
        check("lines,,words", "an empty name in the list of analyses");
        check("none,lines", "\"none\" cannot be combined with other analyses");
        check("blake", "unknown analysis \"blake\": did you mean \"blake3\"?");
        let known: Vec<_> = words().collect();
        check("md5", &format!("unknown analysis \"md5\": known are {}", known.join(", ")));
        check("lines:k=3", "analysis \"lines\" takes no parameters, but \"k=3\" was given");
    }

    #[test]
    fn the_registry_and_the_analyses_agree_on_names() {
        let all = parse("full").expect("a preset");
        for analysis in &all {
            assert!(REGISTRY.iter().any(|registered| registered.name == analysis.name()));
            assert!(!analysis.columns().is_empty());
        }
        let mut columns: Vec<_> = super::super::columns(&all).iter().map(|column| column.name).collect();
        columns.extend(["type", "path", "size", "mtime_ns"]);
        let count = columns.len();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns.len(), count, "two columns share a name");
    }
}
