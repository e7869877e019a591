//! The analyses that have a name on the command line, the presets, and the list that selects them.

use std::sync::Arc;

use super::{Analysis, Blake3, Entropy, Kind, Lines, MinHash, Sha256, Words, Xxh3};

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
    /// Its parameters for people; empty: it has none.
    pub parameters: &'static str,
    make: Make,
}

/// Makes an analysis.
enum Make {
    Plain(fn() -> Arc<dyn Analysis>),
    /// Of its parameters as typed, which may be none.
    Of(fn(&str) -> Result<Arc<dyn Analysis>, String>),
}

/// Every analysis, in the order of the columns.
pub const REGISTRY: &[Registered] = &[
    Registered {
        name: "kind",
        about: "type by magic numbers, whether it is text, its encoding (first 16 KiB)",
        in_full: true,
        in_light: true,
        parameters: "",
        make: Make::Plain(|| Arc::new(Kind::new())),
    },
    Registered {
        name: "lines",
        about: "number of line feeds",
        in_full: true,
        in_light: true,
        parameters: "",
        make: Make::Plain(|| Arc::new(Lines)),
    },
    Registered {
        name: "words",
        about: "number of runs of bytes that are not white space",
        in_full: true,
        in_light: true,
        parameters: "",
        make: Make::Plain(|| Arc::new(Words::new())),
    },
    Registered {
        name: "entropy",
        about: "Shannon entropy of the bytes, in bits per byte",
        in_full: true,
        in_light: false,
        parameters: "",
        make: Make::Plain(|| Arc::new(Entropy::new())),
    },
    Registered {
        name: "xxh3",
        about: "XXH3 digest, 128 bit",
        in_full: true,
        in_light: false,
        parameters: "",
        make: Make::Plain(|| Arc::new(Xxh3)),
    },
    Registered {
        name: "sha256",
        about: "SHA-256 digest",
        in_full: true,
        in_light: false,
        parameters: "",
        make: Make::Plain(|| Arc::new(Sha256)),
    },
    Registered {
        name: "blake3",
        about: "BLAKE3 digest, 256 bit",
        in_full: true,
        in_light: false,
        parameters: "",
        make: Make::Plain(|| Arc::new(Blake3)),
    },
    Registered {
        name: "minhash",
        about: "sketch of its shingles, for near duplicates",
        in_full: false,
        in_light: false,
        parameters: "k=128:shingle=bytes:16|words:5:kind=permutations|one-permutation",
        make: Make::Of(|typed| Ok(Arc::new(MinHash::from_parameters(typed)?))),
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
    /// A parameter is wrong.
    #[error("analysis {name:?} does not take {parameter:?}: {why}")]
    WrongParameter {
        /// The analysis.
        name: String,
        /// The parameters as they were typed.
        parameter: String,
        /// What would be right.
        why: String,
    },
    /// An analysis is named twice, with different parameters.
    #[error("analysis {name:?} is named twice, with different parameters")]
    Twice {
        /// The analysis.
        name: String,
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
/// the registry's, so that a list has one meaning however it is typed. Parameters follow a name after a colon.
///
/// # Errors
/// When a name is unknown or empty, when parameters are wrong, given to an analysis that takes none or given twice in
/// different ways, or when `none` is not alone.
pub fn parse(list: &str) -> Result<Vec<Arc<dyn Analysis>>, ParseError> {
    if list.trim() == "none" {
        return Ok(Vec::new());
    }
    let mut chosen: [Option<&str>; REGISTRY.len()] = [None; REGISTRY.len()];
    for word in list.split(',').map(str::trim) {
        let (name, parameters) = word.split_once(':').map_or((word, None), |(name, rest)| (name, Some(rest)));
        let selects: fn(&Registered, &str) -> bool = match name {
            "" => return Err(ParseError::Empty),
            "none" => return Err(ParseError::NoneWithOthers),
            "light" => |registered, _| registered.in_light,
            "full" => |registered, _| registered.in_full,
            _ => |registered, name| registered.name == name,
        };
        let mut takes_parameters = false;
        let mut is_known = false;
        for (chosen, registered) in chosen.iter_mut().zip(REGISTRY) {
            if !selects(registered, name) {
                continue;
            }
            is_known = true;
            takes_parameters |= matches!(registered.make, Make::Of(_));
            let before = chosen.replace(parameters.unwrap_or_default());
            if before.is_some_and(|before| before != parameters.unwrap_or_default()) {
                return Err(ParseError::Twice { name: name.to_owned() });
            }
        }
        if !is_known {
            return Err(ParseError::Unknown { name: name.to_owned(), nearest: nearest(name, words()) });
        }
        if let Some(parameter) = parameters.filter(|_| !takes_parameters) {
            return Err(ParseError::Parameter { name: name.to_owned(), parameter: parameter.to_owned() });
        }
    }
    let chosen = chosen.into_iter().zip(REGISTRY);
    chosen.filter_map(|(typed, registered)| Some(registered.make(typed?))).collect()
}

impl Registered {
    fn make(&self, typed: &str) -> Result<Arc<dyn Analysis>, ParseError> {
        match self.make {
            Make::Plain(make) => Ok(make()),
            Make::Of(make) => make(typed).map_err(|why| ParseError::WrongParameter {
                name: self.name.to_owned(),
                parameter: typed.to_owned(),
                why,
            }),
        }
    }
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
        check("minhash:k=3,lines,minhash:k=3", &["lines", "minhash"]);
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
        check("minhash:k=0", "analysis \"minhash\" does not take \"k=0\": k must be from 1 to 1024");
        check("minhash:k=3,minhash", "analysis \"minhash\" is named twice, with different parameters");
        check("full:k=3", "analysis \"full\" takes no parameters, but \"k=3\" was given");
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
