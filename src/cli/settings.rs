//! Settings from elsewhere than the command line: FILEMILL_* variables, ./filemill.toml, the user's filemill.toml.
//!
//! They become arguments that stand before those that were typed. A setting that was made further up (what is typed,
//! then in the order above) replaces one from further down.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Failure, one_line, toml_settings};
use toml_settings::{Setting, Value};

/// Flags that belong together are typed together. What a run reads, writes and changes is said on the command line alone: a filemill.toml that lies in a tree of somebody
/// else must not choose files of ours.
const TYPED_ALONE: [&str; 17] = [
    "out",
    "null",
    "files-from",
    "files0-from",
    "ram-disk",
    "no-config",
    "help",
    "version",
    "reference",
    "from",
    "action",
    "apply",
    "near",
    "near-all",
    "exact",
    "minhash",
    "text-only",
];
const PREFIX: &str = "FILEMILL_";
const FILE_NAME: &str = "filemill.toml";
/// A file longer than this holds no settings.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Arguments with the settings put in, and where settings came from.
pub(crate) struct Settled {
    pub(crate) arguments: Vec<OsString>,
    pub(crate) origins: Origins,
}

/// Where settings came from, and which variables are none.
#[derive(Default)]
pub(crate) struct Origins {
    pub(crate) sources: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Variables that tests and benchmarks set for themselves; the names that end in `_` stand for all that begin so.
const OF_TESTS: [&str; 5] =
    ["FILEMILL_TEST_", "FILEMILL_FAULT", "FILEMILL_GPU", "FILEMILL_MOUNTS", "FILEMILL_BLESS"];

/// Puts the settings for the subcommand that was typed into `arguments`, of which `matches` was made.
pub(crate) fn settle(
    command: &Command,
    matches: &ArgMatches,
    arguments: &[OsString],
) -> Result<Settled, Failure> {
    let mut settled = Settled { arguments: arguments.to_vec(), origins: Origins::default() };
    let Some((name, typed)) = matches.subcommand() else { return Ok(settled) };
    let Some(subcommand) = command.find_subcommand(name) else { return Ok(settled) };
    if !takes_settings(subcommand) {
        return Ok(settled);
    }
    // Standard output has a format already.
    let has_printed = |out: &OsString| out.as_encoded_bytes().ends_with(b"=-");
    let has_printed = typed.get_many("out").is_some_and(|mut outs| outs.any(has_printed));
    let mut taken: HashSet<String> = subcommand
        .get_arguments()
        .filter(|arg| typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .chain(has_printed.then(|| "format".to_owned()))
        .collect();
    let mut put_in: Vec<OsString> = Vec::new();
    let mut take = |source: &str, settings: Vec<(String, Vec<OsString>)>| {
        let parser = command.clone();
        for (key, pieces) in settings {
            let whole = arguments.iter().take(2).chain(&pieces);
            parser
                .clone()
                .try_get_matches_from(whole)
                .map_err(|error| Failure::Usage(format!("{source}: {}", one_line(&error, None))))?;
            if taken.insert(key) {
                if !pieces.is_empty() && settled.origins.sources.last().is_none_or(|last| last != source) {
                    settled.origins.sources.push(source.to_owned());
                }
                // The last one counts where two exclude each other, as quiet and verbose do.
                put_in.splice(0..0, pieces);
            }
        }
        Ok::<(), Failure>(())
    };
    for arg in subcommand.get_arguments() {
        if let Some((variable, setting)) = from_variable(arg)? {
            take(&variable, vec![setting])?;
        }
    }
    if !typed.get_flag("no_config") && !is_set_true("FILEMILL_NO_CONFIG")? {
        for path in files() {
            let Some(settings) = read(&path)? else { continue };
            let shown = path.display().to_string();
            let pieces = of_subcommand(command, subcommand, settings)
                .map_err(|why| Failure::Usage(format!("{shown}: {why}")))?;
            take(&shown, pieces)?;
        }
    }
    settled.arguments.splice(2..2, put_in);
    settled.origins.warnings = unknown_variables(command);
    Ok(settled)
}

/// A sentence for each variable that looks like a setting and is none, of any command.
fn unknown_variables(command: &Command) -> Vec<String> {
    let is_of_tests = |name: &str| {
        OF_TESTS.iter().any(|known| name == *known || (known.ends_with('_') && name.starts_with(known)))
    };
    let mut names: Vec<String> = std::env::vars_os()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with(PREFIX) && !is_of_tests(name))
        .collect();
    names.sort_unstable();
    let flags: Vec<&str> = command
        .get_subcommands()
        .filter(|subcommand| takes_settings(subcommand))
        .flat_map(Command::get_arguments)
        .filter_map(Arg::get_long)
        .collect();
    names.iter().filter_map(|name| why_no_setting(name, &flags)).collect()
}

/// Returns the warning for a variable that names no flag of `flags`, or a flag that only the command line sets.
fn why_no_setting(name: &str, flags: &[&str]) -> Option<String> {
    let is_settable = |long: &&str| *long == "no-config" || !TYPED_ALONE.contains(long);
    match flags.iter().find(|long| variable(long) == name) {
        Some(long) if is_settable(long) => return None,
        Some(long) => {
            return Some(format!("{name} is ignored: --{long} can be given on the command line alone"));
        }
        None => {}
    }
    let key = name[PREFIX.len()..].to_lowercase().replace('_', "-");
    let known = flags.iter().filter(|long| is_settable(long)).copied();
    Some(match filemill::analyses::nearest(&key, known) {
        Some(near) => format!("{name} is ignored, it is no setting: did you mean {}?", variable(near)),
        None => format!("{name} is ignored, it is no setting: they have the names of the long flags"),
    })
}

/// A benchmark, for one, measures what was typed.
fn takes_settings(subcommand: &Command) -> bool {
    subcommand.get_arguments().any(|arg| arg.get_long() == Some("no-config"))
}

/// The name of the variable that stands for a flag.
fn variable(long: &str) -> String {
    format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"))
}

type Pieces = (String, Vec<OsString>);

fn from_variable(arg: &Arg) -> Result<Option<(String, Pieces)>, Failure> {
    let Some(long) = arg.get_long().filter(|long| !TYPED_ALONE.contains(long)) else { return Ok(None) };
    let variable = variable(long);
    // As with NO_COLOR, empty is not set.
    let Some(value) = std::env::var_os(&variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    let pieces = if matches!(arg.get_action(), ArgAction::SetTrue) {
        if is_set_true(&variable)? { vec![format!("--{long}").into()] } else { Vec::new() }
    } else {
        let mut piece = OsString::from(format!("--{long}="));
        piece.push(value);
        vec![piece]
    };
    Ok(Some((variable, (long.to_owned(), pieces))))
}

fn is_set_true(variable: &str) -> Result<bool, Failure> {
    let value = std::env::var_os(variable).unwrap_or_default();
    match value.to_string_lossy().to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        other => Err(Failure::Usage(format!("{variable}: {other:?} is neither \"true\" nor \"false\""))),
    }
}

/// Where settings are looked for, those that go first first.
fn files() -> impl Iterator<Item = PathBuf> {
    let absolute =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_user = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let of_user = of_user.map(|directory| directory.join("filemill").join(FILE_NAME));
    [Some(PathBuf::from(FILE_NAME)), of_user].into_iter().flatten()
}

/// What a file says; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<Setting>>, Failure> {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    let refuse = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
    let found = match path.metadata() {
        // Not there, or where somebody else's files lie, as after `sudo -u`.
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | PermissionDenied) => return Ok(None),
        Err(error) => return Err(refuse(&error)),
        Ok(found) => found,
    };
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Err(refuse(&"it is no file of settings"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
    toml_settings::parse(&text).map(Some).map_err(|why| refuse(&why))
}

/// The settings of one subcommand as arguments.
fn of_subcommand(
    command: &Command,
    subcommand: &Command,
    settings: Vec<Setting>,
) -> Result<Vec<Pieces>, String> {
    let mut pieces = Vec::new();
    for setting in settings {
        let Some(of_setting) = command.find_subcommand(&setting.command) else {
            return Err(format!("[{}] is no command of filemill", setting.command));
        };
        if !takes_settings(of_setting) {
            return Err(format!("[{}] takes no settings", setting.command));
        }
        if setting.command != subcommand.get_name() {
            continue;
        }
        let key = setting.key;
        if TYPED_ALONE.contains(&key.as_str()) {
            return Err(format!("{key}: can be given on the command line alone"));
        }
        let Some(arg) = subcommand.get_arguments().find(|arg| arg.get_long() == Some(&key)) else {
            return Err(unknown(subcommand, &key));
        };
        let valued = |value: &String| OsString::from(format!("--{key}={value}"));
        let of_key = match (setting.value, arg.get_action()) {
            (Value::Truth(false), ArgAction::SetTrue) => Vec::new(),
            (Value::Truth(true), ArgAction::SetTrue) => vec![OsString::from(format!("--{key}"))],
            (_, ArgAction::SetTrue) => return Err(format!("{key}: neither true nor false")),
            (Value::Truth(_), _) => return Err(format!("{key}: takes a value, not true or false")),
            (Value::One(value), _) => vec![valued(&value)],
            (Value::Many(values), ArgAction::Append) => values.iter().map(valued).collect(),
            (Value::Many(values), _) => vec![valued(&values.join(","))],
        };
        pieces.push((key, of_key));
    }
    Ok(pieces)
}

/// A key that is no flag. It becomes no argument: `out=x` would be one that is.
fn unknown(subcommand: &Command, key: &str) -> String {
    let known =
        subcommand.get_arguments().filter_map(Arg::get_long).filter(|long| !TYPED_ALONE.contains(long));
    match filemill::analyses::nearest(key, known) {
        Some(near) => format!("{key:?} is no setting: did you mean {near:?}?"),
        None => format!(
            "{key:?} is no setting: they have the names of the long flags of {}",
            subcommand.get_name()
        ),
    }
}
