//! The configuration of git as a list of variables: from the text of a file, and from the environment.

use std::ffi::OsString;

use gix_config::parse::{EventRef, Events};
use gix_config::value::normalize;

/// A variable, under the names that git compares: those of section and variable in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) section: String,
    pub(super) subsection: Option<Vec<u8>>,
    pub(super) name: String,
    /// `None`: it stands there without `=`, which for a switch means on.
    pub(super) value: Option<Vec<u8>>,
}

impl Variable {
    fn new(section: &[u8], subsection: Option<&[u8]>, name: &[u8], value: Option<Vec<u8>>) -> Variable {
        let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
        let subsection = subsection.map(<[u8]>::to_vec);
        Variable { section: lower(section), subsection, name: lower(name), value }
    }

    /// A variable named as on git's command line: `section.subsection.name`.
    fn of_key(key: &[u8], value: Option<Vec<u8>>) -> Option<Variable> {
        let (first, last) = (memchr::memchr(b'.', key)?, memchr::memrchr(b'.', key)?);
        let subsection = (first < last).then(|| &key[first + 1..last]);
        Some(Variable::new(&key[..first], subsection, &key[last + 1..], value))
    }

    /// Section, whether there is a subsection, and name.
    pub(super) fn key(&self) -> (&str, bool, &str) {
        (&self.section, self.subsection.is_some(), &self.name)
    }

    /// Whether anything here depends on it. The rest is not kept: a repository may have thousands of branches.
    fn matters(&self) -> bool {
        matches!(
            self.key(),
            ("core", false, "excludesfile" | "ignorecase")
                | ("include", false, "path")
                | ("includeif", true, "path")
                | ("remote", true, "url")
                | ("safe", false, "directory")
                | ("extensions", false, "worktreeconfig")
        )
    }

    /// How messages name it.
    pub(super) fn shown(&self) -> String {
        let subsection = self.subsection.as_deref().map(String::from_utf8_lossy);
        let middle = subsection.map_or_else(String::new, |subsection| format!(".{subsection}"));
        format!("{}{middle}.{}", self.section, self.name)
    }
}

/// Parses the text of a configuration file, and keeps the variables that matter here.
///
/// # Errors
/// The number of the first line that git would not understand.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Variable>, usize> {
    let events = Events::from_bytes(text, Some(carries_values)).map_err(|error| error.line_number())?;
    let mut variables = Vec::new();
    for section in events.sections() {
        let EventRef::SectionHeader { name: section_name, subsection_name, .. } = section.header() else {
            continue;
        };
        let (mut name, mut is_assigned, mut value) = (&b""[..], false, Vec::new());
        for event in section.body() {
            match event {
                EventRef::SectionValueName(next) => {
                    (name, is_assigned) = (next, false);
                    value.clear();
                }
                EventRef::KeyValueSeparator => is_assigned = true,
                EventRef::ValueNotDone(part) => value.extend_from_slice(part),
                EventRef::Value(part) | EventRef::ValueDone(part) => {
                    value.extend_from_slice(part);
                    let value = is_assigned.then(|| normalize(&value).to_vec());
                    let subsection = subsection_name.map(|name| &**name);
                    variables.push(Variable::new(section_name, subsection, name, value));
                }
                _ => {}
            }
        }
        variables.retain(Variable::matters);
    }
    Ok(variables)
}

fn carries_values(event: EventRef<'_>) -> bool {
    !matches!(event, EventRef::Whitespace(_) | EventRef::Comment { .. } | EventRef::Newline(_))
}

/// Reads the variables of `GIT_CONFIG_COUNT` and its like, then those that `git -c` hands down in
/// `GIT_CONFIG_PARAMETERS`.
///
/// # Errors
/// What git would refuse.
pub(super) fn from_environment(get: &dyn Fn(&str) -> Option<OsString>) -> Result<Vec<Variable>, String> {
    let mut variables = Vec::new();
    let get = |name: &str| get(name).map(OsString::into_encoded_bytes);
    let count = get("GIT_CONFIG_COUNT").filter(|count| !count.is_empty());
    if let Some(count) = count {
        let count = std::str::from_utf8(&count).ok().and_then(|count| count.parse::<u32>().ok());
        let count = count.ok_or("GIT_CONFIG_COUNT is no number of variables")?;
        for i in 0..count {
            let of = |name: &str| get(name).ok_or_else(|| format!("{name} is not set"));
            let key = of(&format!("GIT_CONFIG_KEY_{i}"))?;
            let value = of(&format!("GIT_CONFIG_VALUE_{i}"))?;
            let variable = Variable::of_key(&key, Some(value));
            variables.push(variable.ok_or_else(|| format!("GIT_CONFIG_KEY_{i} names no variable"))?);
        }
    }
    if let Some(parameters) = get("GIT_CONFIG_PARAMETERS") {
        variables.extend(parse_parameters(&parameters).ok_or("GIT_CONFIG_PARAMETERS is malformed")?);
    }
    variables.retain(Variable::matters);
    Ok(variables)
}

/// Pairs of words in single quotes, `'key'='value'`, or `'key=value'` as older versions of git write them.
fn parse_parameters(text: &[u8]) -> Option<Vec<Variable>> {
    let mut variables = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        let (key, after) = unquote(rest)?;
        rest = after;
        let variable = if let Some(after) = rest.strip_prefix(b"=") {
            let value;
            (value, rest) = match unquote(after) {
                Some((value, after)) => (Some(value), after),
                None => (None, after),
            };
            Variable::of_key(&key, value)
        } else {
            let (key, value) = match memchr::memchr(b'=', &key) {
                Some(sign) => (&key[..sign], Some(key[sign + 1..].to_vec())),
                None => (&key[..], None),
            };
            Variable::of_key(key.trim_ascii(), value)
        };
        variables.push(variable?);
        if !rest.first().is_none_or(u8::is_ascii_whitespace) {
            return None;
        }
        rest = rest.trim_ascii_start();
    }
    Some(variables)
}

/// The word in single quotes that a text begins with, and what follows. Between the quotes, `'\''` is a quote.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut rest = text.strip_prefix(b"'")?;
    loop {
        let end = memchr::memchr(b'\'', rest)?;
        word.extend_from_slice(&rest[..end]);
        rest = &rest[end + 1..];
        match rest {
            [b'\\', escaped @ (b'\'' | b'!'), b'\'', after @ ..] => {
                word.push(*escaped);
                rest = after;
            }
            _ => return Some((word, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(variables: &[Variable]) -> Vec<String> {
        let value = |variable: &Variable| match &variable.value {
            Some(value) => format!("={}", value.escape_ascii()),
            None => String::new(),
        };
        variables.iter().map(|variable| variable.shown() + &value(variable)).collect()
    }

    #[test]
    fn a_text_is_read_as_git_reads_it() {
        #[track_caller]
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(shown(&parse(text.as_bytes()).expect(text)), expected, "{text:?}");
        }
        check("[core]\n\texcludesFile = ~/x\n", &["core.excludesfile=~/x"]);
        check("[CORE] EXCLUDESFILE=\"a b\" ; why\n", &["core.excludesfile=a b"]);
        check("[core]\nexcludesfile = a \\\n  b # c\n", &["core.excludesfile=a   b"]);
        check("[core]\nignorecase\n[core] ignorecase =", &["core.ignorecase", "core.ignorecase="]);
        check("[core \"x\"]\nexcludesfile = a\n[other]\nexcludesfile = b\n", &[]);
        check("\u{feff}[include]\r\npath = a\r\n", &["include.path=a"]);
        check(
            "[includeIf \"gitdir:C:\\\\x\\\"\"]path=\"a\\tb\\\"\"",
            &["includeif.gitdir:C:\\x\".path=a\\tb\\\""],
        );
        for (text, line) in [("[core]\nx = \"a\n", 2), ("[core\n", 1), ("[core]\n\n= a\n", 3), ("a = \\q", 1)]
        {
            assert_eq!(parse(text.as_bytes()), Err(line), "{text:?}");
        }
    }

    #[test]
    fn the_environment_is_read_as_git_reads_it() {
        #[track_caller]
        fn check(set: &[(&str, &str)], expected: Result<&[&str], &str>) {
            let get = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(*value))
            };
            let variables = from_environment(&get).map(|variables| shown(&variables));
            let expected = expected.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect());
            assert_eq!(variables, expected.map_err(str::to_owned), "{set:?}");
        }
        let first = ("GIT_CONFIG_KEY_0", "Core.ExcludesFile");
        let value = ("GIT_CONFIG_VALUE_0", "a b");
        check(&[], Ok(&[]));
        check(&[("GIT_CONFIG_COUNT", "1"), first, value], Ok(&["core.excludesfile=a b"]));
        check(&[("GIT_CONFIG_COUNT", "0"), first, value], Ok(&[]));
        check(&[("GIT_CONFIG_COUNT", "2"), first, value], Err("GIT_CONFIG_KEY_1 is not set"));
        check(&[("GIT_CONFIG_COUNT", "1"), first], Err("GIT_CONFIG_VALUE_0 is not set"));
        check(&[("GIT_CONFIG_COUNT", "x")], Err("GIT_CONFIG_COUNT is no number of variables"));
        let parameters = |text| ("GIT_CONFIG_PARAMETERS", text);
        check(&[parameters("'core.excludesfile=a=b'")], Ok(&["core.excludesfile=a=b"]));
        check(
            &[parameters("'core.ignorecase' 'core.excludesFile'='it'\\''s'  'core.ignorecase'=")],
            Ok(&["core.ignorecase", "core.excludesfile=it\\'s", "core.ignorecase"]),
        );
        for malformed in ["core.ignorecase", "'core.ignorecase", "'core.ignorecase'x", "'core'", "'a.b'='c'd"]
        {
            check(&[parameters(malformed)], Err("GIT_CONFIG_PARAMETERS is malformed"));
        }
    }
}
