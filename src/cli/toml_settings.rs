//! Takes a filemill.toml apart: a table a command, in it a key a flag. Knows no command and no flag.

/// One line of a filemill.toml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The command it is for: the name of its table.
    pub(crate) command: String,
    /// The long flag, without its dashes.
    pub(crate) key: String,
    /// What it is set to.
    pub(crate) value: Value,
}

/// What a flag is set to, as it would be typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Whether a flag without a value is given.
    Truth(bool),
    /// A text or number.
    One(String),
    /// Several texts or numbers.
    Many(Vec<String>),
}

/// The settings of `text`, by command and key.
///
/// # Errors
/// What is wrong, and in which line where it is no TOML.
pub(crate) fn parse(text: &str) -> Result<Vec<Setting>, String> {
    let tables: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        format!("{line}{}", error.message())
    })?;
    let mut settings = Vec::new();
    for (command, table) in tables {
        let toml::Value::Table(table) = table else {
            return Err(format!("{command}: settings stand in the table of their command, as in [scan]"));
        };
        for (key, value) in table {
            let value = match &value {
                toml::Value::Boolean(truth) => Value::Truth(*truth),
                toml::Value::Array(values) => {
                    let values: Option<Vec<String>> = values.iter().map(scalar).collect();
                    Value::Many(values.ok_or_else(|| format!("{key}: a list of something else than texts"))?)
                }
                _ => Value::One(scalar(&value).ok_or_else(|| format!("{key}: neither a text nor a number"))?),
            };
            settings.push(Setting { command: command.clone(), key, value });
        }
    }
    Ok(settings)
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str, Value)], &str>) {
        let settings = parse(text);
        let settings = settings.as_ref().map(|settings| {
            let parts = |it: &Setting| (it.command.clone(), it.key.clone(), it.value.clone());
            settings.iter().map(parts).collect::<Vec<_>>()
        });
        let owned = |(command, key, value): &(&str, &str, Value)| {
            ((*command).to_owned(), (*key).to_owned(), value.clone())
        };
        let expected = expected.map(|expected| expected.iter().map(owned).collect());
        assert_eq!(settings.map_err(String::as_str), expected);
    }

    #[test]
    fn a_table_a_command_a_key_a_flag() {
        check("", Ok(&[]));
        check("# nothing\n[scan]\n", Ok(&[]));
        let one = |text: &str| Value::One(text.to_owned());
        let many = |texts: &[&str]| Value::Many(texts.iter().map(|&text| text.to_owned()).collect());
        check(
            "[scan]\nworkers = 4\nanalyses = 'full'\nfollow = true\nglob = ['a', 'b']\n[other]\nx = 1.5",
            Ok(&[
                ("other", "x", one("1.5")),
                ("scan", "analyses", one("full")),
                ("scan", "follow", Value::Truth(true)),
                ("scan", "glob", many(&["a", "b"])),
                ("scan", "workers", one("4")),
            ]),
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        check("workers = 4", Err("workers: settings stand in the table of their command, as in [scan]"));
        check("[scan]\nx = [[1]]", Err("x: a list of something else than texts"));
        check("[scan]\nx = 1979-05-27", Err("x: neither a text nor a number"));
        check("[scan]\n\nx = 'a", Err("line 3: invalid literal string, expected `'`"));
        check("[scan]\nx = 1\nx = 2", Err("line 3: duplicate key"));
    }
}
