//! Reads the files of git's configuration one after the other, with those that they include.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use gix_config::path::interpolate::home_for_user;
use gix_config::{Boolean, Source};
use gix_glob::wildmatch;

use super::config::{self, Variable};
use super::place::{Links, Place};
use super::repository::Repository;
use crate::record::bytes_to_path;

/// A larger file is not read. It would take 60 times as much memory.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Files that include each other: no more on top of each other than git allows.
const DEPTH_MAX: usize = 10;

/// Files that are included for one repository. Ten levels of ten files each would be 10 billion.
const INCLUDED_MAX: usize = 1000;

/// What holds for every repository: the files of the system and of the user, and the environment.
pub(super) struct Protected {
    files: Vec<(PathBuf, Vec<Variable>)>,
    environment: Vec<Variable>,
    pub(super) troubles: Vec<String>,
}

impl Protected {
    /// Reads them. Later ones have precedence over earlier ones.
    pub(super) fn read() -> Protected {
        let mut protected = Protected { files: Vec::new(), environment: Vec::new(), troubles: Vec::new() };
        match config::from_environment(&environment) {
            Ok(variables) => protected.environment = variables,
            Err(why) => protected.troubles.push(format!("git's configuration in the environment: {why}")),
        }
        for source in [Source::System, Source::Git, Source::User] {
            let Some(path) = source.storage_location(&mut environment) else { continue };
            let path = std::path::absolute(&path).unwrap_or(path);
            // GIT_CONFIG_GLOBAL stands for both of the user's files.
            if protected.files.last().is_some_and(|(last, _)| *last == path) {
                continue;
            }
            let variables = read_file(Place::Path(Path::new("")), &path, &mut protected.troubles);
            protected.files.push((path, variables.unwrap_or_default()));
        }
        protected
    }
}

/// A variable of the environment. An empty XDG_CONFIG_HOME is none.
pub(super) fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| name != "XDG_CONFIG_HOME" || !value.is_empty())
}

/// Returns the relevant variables of a file, or `None` if git would ignore the file or it cannot be read.
fn read_file(place: Place<'_>, path: &Path, troubles: &mut Vec<String>) -> Option<Vec<Variable>> {
    // The usual way to have none.
    if path == Path::new("/dev/null") {
        return None;
    }
    let why = match place.read(path, Links::Follow, CONFIG_BYTES_MAX) {
        Ok(text) => match config::parse(&text?) {
            Ok(variables) => return Some(variables),
            Err(line) => format!("git would not understand line {line}"),
        },
        Err(why) => why,
    };
    troubles.push(format!("{}: this configuration of git is not read: {why}", place.name(path)));
    None
}

/// Takes each variable in order. The error says why a value is refused.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&Variable) -> Result<(), String>;

/// Reads the configuration that holds for a repository, or what of it holds everywhere.
pub(super) struct Reader<'r> {
    protected: &'r Protected,
    /// Without one, no condition holds.
    repository: Option<&'r Repository<'r>>,
    /// Whether the repository's own files are read.
    is_trusted: bool,
    /// The addresses of its remotes, once they are asked for.
    urls: Option<Vec<Vec<u8>>>,
    included: usize,
    pub(super) troubles: Vec<String>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        protected: &'r Protected,
        repository: Option<&'r Repository<'r>>,
        is_trusted: bool,
    ) -> Self {
        Reader { protected, repository, is_trusted, urls: None, included: 0, troubles: Vec::new() }
    }

    /// Goes through all variables: of the system, the user, the repository, its worktree, the environment.
    pub(super) fn read(&mut self, visit: Visit<'_>) {
        let protected = self.protected;
        for (path, variables) in &protected.files {
            self.take(variables, Some(path), 0, visit);
        }
        if let Some(repository) = self.repository.filter(|_| self.is_trusted) {
            self.take_own(repository, visit);
        }
        self.take(&protected.environment, None, 0, visit);
    }

    fn take_own(&mut self, repository: &Repository<'_>, visit: Visit<'_>) {
        let config = repository.common_directory.join("config");
        let Some(variables) = read_file(repository.place, &config, &mut self.troubles) else { return };
        self.take(&variables, Some(&config), 0, visit);
        let mut of_worktrees = variables.iter().rev();
        let of_worktree = of_worktrees.find(|it| it.key() == ("extensions", false, "worktreeconfig"));
        if of_worktree.is_some_and(|it| is_on(it).unwrap_or(false)) {
            let config = repository.git_directory.join("config.worktree");
            let variables = read_file(repository.place, &config, &mut self.troubles);
            self.take(&variables.unwrap_or_default(), Some(&config), 0, visit);
        }
    }

    fn take(&mut self, variables: &[Variable], file: Option<&Path>, depth: usize, visit: Visit<'_>) {
        for variable in variables {
            let taken = visit(variable).and_then(|()| self.included_by(variable, file));
            let place = || file.map_or_else(|| "environment".to_owned(), |file| self.place().name(file));
            match taken {
                Ok(None) => {}
                Ok(Some(_)) if self.included > INCLUDED_MAX => {}
                Ok(Some(path)) if depth == DEPTH_MAX || self.included == INCLUDED_MAX => {
                    let why = format!("{}: too many files include each other", path.display());
                    let trouble = format!("{}: {}: {why}", place(), variable.shown());
                    // One is enough to say so.
                    self.included = INCLUDED_MAX + 1;
                    self.troubles.push(trouble);
                }
                Ok(Some(path)) => {
                    self.included += 1;
                    if let Some(variables) = read_file(self.place(), &path, &mut self.troubles) {
                        self.take(&variables, Some(&path), depth + 1, visit);
                    }
                }
                Err(why) => {
                    let trouble = format!("{}: {}: {why}", place(), variable.shown());
                    self.troubles.push(trouble);
                }
            }
        }
    }

    /// What the paths of files are relative to.
    fn place(&self) -> Place<'r> {
        self.repository.map_or(Place::Path(Path::new("")), |repository| repository.place)
    }

    /// The file that a variable includes.
    fn included_by(&mut self, variable: &Variable, file: Option<&Path>) -> Result<Option<PathBuf>, String> {
        let is_included = match (variable.key(), &variable.subsection) {
            (("include", _, "path"), None) => true,
            (("includeif", _, "path"), Some(condition)) => self.holds(condition, file)?,
            _ => false,
        };
        if !is_included {
            return Ok(None);
        }
        let path = expand(strip_optional(assigned(variable)?).0)?;
        let path = bytes_to_path(&path);
        let path: &Path = path.as_ref();
        match file.and_then(Path::parent) {
            Some(directory) => Ok(Some(directory.join(path))),
            None if path.is_absolute() => Ok(Some(path.to_path_buf())),
            None => Err("a relative path outside a file".to_owned()),
        }
    }

    fn holds(&mut self, condition: &[u8], file: Option<&Path>) -> Result<bool, String> {
        let Some(repository) = self.repository else { return Ok(false) };
        if let Some(pattern) = condition.strip_prefix(b"gitdir:") {
            return self.is_git_directory(repository, pattern, file, wildmatch::Mode::empty());
        }
        if let Some(pattern) = condition.strip_prefix(b"gitdir/i:") {
            return self.is_git_directory(repository, pattern, file, wildmatch::Mode::IGNORE_CASE);
        }
        if let Some(pattern) = condition.strip_prefix(b"onbranch:") {
            let branch = repository.branch()?;
            let pattern = with_all_below(pattern.to_vec());
            return Ok(branch.is_some_and(|branch| is_match(&pattern, &branch, wildmatch::Mode::empty())));
        }
        if let Some(pattern) = condition.strip_prefix(b"hasconfig:remote.*.url:") {
            let urls = self.urls();
            return Ok(urls.iter().any(|url| is_match(pattern, url, wildmatch::Mode::empty())));
        }
        Ok(false)
    }

    fn is_git_directory(
        &self,
        repository: &Repository<'_>,
        pattern: &[u8],
        file: Option<&Path>,
        case: wildmatch::Mode,
    ) -> Result<bool, String> {
        // If it cannot be expanded, the text stays as written.
        let mut pattern = expand_real(pattern).unwrap_or_else(|_| pattern.to_vec());
        let mut literal_bytes = 0;
        if pattern.starts_with(b"./") {
            let file = file.ok_or("a relative condition outside a file")?;
            let file = self.place().real(file).ok_or("the way to this file cannot be found")?;
            let directory = file.parent().unwrap_or(Path::new("/")).as_os_str().as_encoded_bytes();
            pattern.splice(..1, directory.iter().copied());
            literal_bytes = directory.len() + 1;
        } else if !AsRef::<Path>::as_ref(&bytes_to_path(&pattern)).is_absolute() {
            pattern.splice(..0, *b"**/");
        }
        let pattern = with_all_below(pattern);
        let (literal, pattern) = pattern.split_at(literal_bytes);
        let begins = |name: &[u8]| match case {
            wildmatch::Mode::IGNORE_CASE => name.eq_ignore_ascii_case(literal),
            _ => name == literal,
        };
        Ok(repository.names().any(|name| {
            let parts = name.split_at_checked(literal_bytes);
            parts.is_some_and(|(first, rest)| begins(first) && is_match(pattern, rest, case))
        }))
    }

    /// The addresses of the remotes. Files that are included on the condition of some have none.
    fn urls(&mut self) -> &[Vec<u8>] {
        if self.urls.is_none() {
            let mut urls = Vec::new();
            let mut reader = Reader::new(self.protected, self.repository, self.is_trusted);
            reader.urls = Some(Vec::new());
            reader.read(&mut |variable| {
                if variable.key() == ("remote", true, "url") {
                    urls.push(variable.value.clone().unwrap_or_default());
                }
                Ok(())
            });
            self.urls = Some(urls);
        }
        self.urls.as_deref().unwrap_or_default()
    }
}

/// A directory in a condition stands for everything below it.
fn with_all_below(mut pattern: Vec<u8>) -> Vec<u8> {
    if pattern.ends_with(b"/") {
        pattern.extend_from_slice(b"**");
    }
    pattern
}

fn is_match(pattern: &[u8], text: &[u8], case: wildmatch::Mode) -> bool {
    gix_glob::wildmatch(pattern.into(), text.into(), wildmatch::Mode::NO_MATCH_SLASH_LITERAL | case)
}

/// Whether a switch is on.
pub(super) fn is_on(variable: &Variable) -> Result<bool, String> {
    let Some(value) = &variable.value else { return Ok(true) };
    let text = std::str::from_utf8(value).unwrap_or("\u{fffd}");
    Boolean::try_from(text).map(bool::from).map_err(|_| format!("{:?} is neither true nor false", text))
}

/// The value of a variable that must have one.
pub(super) fn assigned(variable: &Variable) -> Result<&[u8], String> {
    variable.value.as_deref().ok_or_else(|| "it has no value".to_owned())
}

/// A path without the mark that its file may be missing, which newer versions of git know.
pub(super) fn strip_optional(path: &[u8]) -> (&[u8], bool) {
    match path.strip_prefix(b":(optional)") {
        Some(path) => (path, true),
        None => (path, false),
    }
}

/// A path with the directory of a user in the place of `~` or `~name`.
pub(super) fn expand(path: &[u8]) -> Result<Vec<u8>, String> {
    expand_with(path, |home| home)
}

/// The same, with the real path of one's own directory.
fn expand_real(path: &[u8]) -> Result<Vec<u8>, String> {
    expand_with(path, |home| std::fs::canonicalize(&home).unwrap_or(home))
}

fn expand_with(path: &[u8], own: impl Fn(PathBuf) -> PathBuf) -> Result<Vec<u8>, String> {
    if path.starts_with(b"%(prefix)/") {
        return Err("filemill does not know where git is installed".to_owned());
    }
    let Some(rest) = path.strip_prefix(b"~") else { return Ok(path.to_vec()) };
    let (user, below) = rest.split_at(memchr::memchr(b'/', rest).unwrap_or(rest.len()));
    let home = if user.is_empty() {
        environment("HOME").map(PathBuf::from).or_else(home_elsewhere).map(own).ok_or("HOME is not set")?
    } else {
        let name = String::from_utf8_lossy(user);
        home_for_user(&name).ok_or_else(|| format!("there is no user {name}"))?
    };
    Ok([home.as_os_str().as_encoded_bytes(), below].concat())
}

/// Where the user's files lie on systems that do not say so in HOME.
fn home_elsewhere() -> Option<PathBuf> {
    if cfg!(windows) { std::env::home_dir() } else { None }
}
