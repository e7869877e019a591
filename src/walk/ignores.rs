//! What git would leave out: the patterns of .gitignore files, of .git/info/exclude and of the user.
//!
//! Whether git tracks a file all the same is not asked. Where there is no repository, the .gitignore files of the tree
//! count, and nothing above it.

#![allow(
    clippy::useless_asref,
    clippy::needless_borrow,
    reason = "the conversion is needed only on systems without byte paths"
)]

mod config;
mod include;
mod place;
mod repository;
mod settings;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gix_config::Source;
use gix_glob::Pattern;
use gix_glob::pattern::{Case, Mode};
use gix_glob::wildmatch;

use self::include::{Protected, environment};
use self::place::Links;
pub(super) use self::place::Place;
use self::repository::Repository;
use self::settings::{Settings, is_trusted};
use crate::plan::{Filter, Root};
use crate::record::{bytes_to_path, join_path};

/// A file larger than this holds no patterns. Git has a limit as well, of 100 MiB.
const PATTERNS_BYTES_MAX: u64 = 16 << 20;

/// The patterns that hold in a directory: one file of them, and those above it, which decide where it is silent.
pub(crate) struct Ignores {
    patterns: Arc<[Pattern]>,
    /// Whether letters of either case are the same, as the repository has it.
    case: Case,
    /// This many bytes of a path as shown lead to the directory that the patterns are relative to.
    shown_bytes: usize,
    /// For a directory above a root: the way from there to the root, with a slash at its end.
    way_to_root: Vec<u8>,
    above: Option<Arc<Ignores>>,
}

/// Link by link: a deep tree may have patterns in every directory, and recursion would take the whole stack.
impl Drop for Ignores {
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(mut ignores) = above.and_then(Arc::into_inner) {
            above = ignores.above.take();
        }
    }
}

/// The patterns of the user, and the way to those of a tree.
pub(super) struct GitPatterns {
    protected: LazyLock<Protected>,
    known: Mutex<Known>,
}

/// Cached answers.
#[derive(Default)]
struct Known {
    /// By the real path of the top: a list may have many roots in one repository.
    rules: HashMap<PathBuf, Arc<Rules>>,
    /// The user's pattern files. Many repositories share one.
    of_user: HashMap<PathBuf, Arc<[Pattern]>>,
    troubles: Troubles,
}

/// What holds in a whole repository, from its top on.
struct Rules {
    of_user: Arc<[Pattern]>,
    of_repository: Arc<[Pattern]>,
    case: Case,
}

/// Beyond this the cache is emptied, and a repository is read again when the walk meets it.
const RULES_KNOWN_MAX: usize = 256;

/// What could not be read of patterns and configurations.
#[derive(Default)]
struct Troubles {
    notes: Vec<String>,
    more: u64,
    /// Repositories of other users, and the first of them.
    foreign: u64,
    first_foreign: String,
}

/// A hostile tree may have a fault in every directory.
const TROUBLES_TOLD_MAX: usize = 10;

impl Troubles {
    fn add(&mut self, trouble: String) {
        if self.notes.contains(&trouble) {
        } else if self.notes.len() < TROUBLES_TOLD_MAX {
            self.notes.push(trouble);
        } else {
            self.more += 1;
        }
    }

    fn add_foreign(&mut self, top: impl FnOnce() -> String) {
        if self.foreign == 0 {
            self.first_foreign = top();
        }
        self.foreign += 1;
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.more > 0 {
            notes.push(format!("{} more faults in patterns and configurations of git", self.more));
        }
        let why = "another user owns it, and safe.directory of git does not list it";
        match self.foreign {
            0 => {}
            1 => notes.push(format!("{}: its configuration of git is not read: {why}", self.first_foreign)),
            more => notes.push(format!(
                "{} and {} more repositories: their configuration of git is not read: other users own them, and \
                 safe.directory of git does not list them",
                self.first_foreign,
                more - 1
            )),
        }
        notes
    }
}

impl GitPatterns {
    /// The patterns that a filter asks for.
    pub(super) fn of(filter: &Filter) -> Option<GitPatterns> {
        let new = || GitPatterns { protected: LazyLock::new(Protected::read), known: Mutex::default() };
        filter.gitignore.then(new)
    }

    /// What could not be read.
    pub(super) fn notes(&self) -> Vec<String> {
        self.known().troubles.notes()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds in a directory whose own patterns come after those above it. The top of a repository begins anew.
    pub(super) fn within(
        &self,
        place: &Place<'_>,
        shown: &[u8],
        above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        let start = || {
            let mut way = Vec::new();
            join_path(shown, b"x", &mut way);
            Start { shown_bytes: way.len() - 1, way_to_root: Vec::new() }
        };
        self.below(*place, Repository::at(*place, Some(shown)), start, above)
    }

    /// What holds in the directory that a root lies in, from the top of its repository down.
    pub(super) fn above(&self, root: &Root) -> Option<Arc<Ignores>> {
        let real = std::fs::canonicalize(root.path()).ok()?;
        if Repository::at(Place::Path(&real), None).is_some() {
            return None;
        }
        let mut directories = Vec::new();
        let mut repository = None;
        for directory in real.ancestors().skip(1) {
            directories.push(directory);
            repository = Repository::at(Place::Path(directory), None);
            if repository.is_some() {
                break;
            }
        }
        repository.as_ref()?;
        let shown_bytes = if root.shown().is_empty() || root.shown().ends_with(b"/") {
            root.shown().len()
        } else {
            root.shown().len() + 1
        };
        directories.into_iter().rev().fold(None, |above, directory| {
            let way = real.strip_prefix(directory).expect("it is one of its ancestors");
            let start = || {
                let way_to_root = [way.as_os_str().as_encoded_bytes(), b"/"].concat();
                Start { shown_bytes, way_to_root }
            };
            self.below(Place::Path(directory), repository.take(), start, above)
        })
    }

    fn below(
        &self,
        place: Place<'_>,
        top_of: Option<Repository<'_>>,
        start: impl Fn() -> Start,
        mut above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        let mut case = above.as_ref().map_or(Case::Sensitive, |above| above.case);
        if let Some(repository) = top_of {
            let rules = self.rules(&repository);
            case = rules.case;
            above = start().with(rules.of_user.clone(), case, None);
            above = start().with(rules.of_repository.clone(), case, above);
        }
        match place.read(Path::new(".gitignore"), Links::Refuse, PATTERNS_BYTES_MAX) {
            Ok(Some(text)) => start().with(parse(&text), case, above),
            Ok(None) => above,
            Err(why) => {
                let name = place.name(Path::new(".gitignore"));
                self.known().troubles.add(format!("{name}: its patterns are not read: {why}"));
                above
            }
        }
    }

    /// What holds in a whole repository. Its configuration is read once.
    fn rules(&self, repository: &Repository<'_>) -> Arc<Rules> {
        let top = repository.place.real(Path::new(""));
        // One repository at a time: what looks users up by name is not made for several threads.
        let mut known = self.known();
        if let Some(rules) = top.as_ref().and_then(|top| known.rules.get(top)) {
            return rules.clone();
        }
        let rules = Arc::new(known.read_rules(&self.protected, repository));
        if known.rules.len() >= RULES_KNOWN_MAX {
            known.rules.clear();
        }
        if let Some(top) = top {
            known.rules.insert(top, rules.clone());
        }
        rules
    }
}

impl Known {
    fn read_rules(&mut self, protected: &Protected, repository: &Repository<'_>) -> Rules {
        let mut troubles = protected.troubles.clone();
        let is_trusted = is_trusted(protected, repository);
        if !is_trusted {
            self.troubles.add_foreign(|| repository.place.name(Path::new("")));
        }
        let settings = Settings::read(protected, repository, is_trusted, &mut troubles);
        troubles.into_iter().for_each(|trouble| self.troubles.add(trouble));
        let excludes_file = match settings.excludes_file {
            Some(path) => Some(Path::new("").join(bytes_to_path(&path))),
            None => Source::Git
                .storage_location(&mut |name| match name {
                    // It names the configuration, beside which the default file of patterns lies.
                    "GIT_CONFIG_GLOBAL" => None,
                    name => environment(name),
                })
                .map(|config| config.with_file_name("ignore")),
        };
        let of_user = excludes_file.map_or_else(Arc::default, |path| self.of_user(repository.place, path));
        let exclude = repository.common_directory.join("info/exclude");
        let of_repository = self.read_patterns(repository.place, &exclude);
        let case = if settings.ignore_case { Case::Fold } else { Case::Sensitive };
        Rules { of_user, of_repository, case }
    }

    fn of_user(&mut self, place: Place<'_>, path: PathBuf) -> Arc<[Pattern]> {
        if path.as_os_str().is_empty() {
            return Arc::default();
        }
        if let Some(patterns) = self.of_user.get(&path) {
            return patterns.clone();
        }
        let patterns = self.read_patterns(place, &path);
        if path.is_absolute() && self.of_user.len() < RULES_KNOWN_MAX {
            self.of_user.insert(path, patterns.clone());
        }
        patterns
    }

    fn read_patterns(&mut self, place: Place<'_>, path: &Path) -> Arc<[Pattern]> {
        match place.read(path, Links::Follow, PATTERNS_BYTES_MAX) {
            Ok(text) => parse(&text.unwrap_or_default()),
            Err(why) => {
                self.troubles.add(format!("{}: its patterns are not read: {why}", place.name(path)));
                Arc::default()
            }
        }
    }
}

/// Where the paths begin that patterns are about.
struct Start {
    shown_bytes: usize,
    way_to_root: Vec<u8>,
}

impl Start {
    fn with(self, patterns: Arc<[Pattern]>, case: Case, above: Option<Arc<Ignores>>) -> Option<Arc<Ignores>> {
        if patterns.is_empty() && (case == Case::Sensitive || above.is_some()) {
            return above;
        }
        let Start { shown_bytes, way_to_root } = self;
        Some(Arc::new(Ignores { patterns, case, shown_bytes, way_to_root, above }))
    }
}

fn parse(text: &[u8]) -> Arc<[Pattern]> {
    gix_ignore::parse(text, false).map(|(pattern, ..)| pattern).collect()
}

impl Ignores {
    /// Whether git would leave out an entry of the directory that these patterns hold in, or of one below it.
    pub(super) fn leave_out(&self, path: &[u8], is_directory: bool) -> bool {
        // Then git takes this for its own directory as well.
        if self.case == Case::Fold && path.rsplit(|byte| *byte == b'/').next().is_some_and(is_dot_git) {
            return true;
        }
        let mut here = Some(self);
        while let Some(ignores) = here {
            let below = path.get(ignores.shown_bytes..).unwrap_or_default();
            let joined;
            let relative = if ignores.way_to_root.is_empty() {
                below
            } else {
                joined = [&ignores.way_to_root, below].concat();
                &joined
            };
            // The last pattern that matches decides.
            if let Some(pattern) =
                ignores.patterns.iter().rev().find(|it| matches(it, relative, is_directory, ignores.case))
            {
                return !pattern.mode.contains(Mode::NEGATIVE);
            }
            here = ignores.above.as_deref();
        }
        false
    }
}

fn is_dot_git(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
}

fn matches(pattern: &Pattern, path: &[u8], is_directory: bool, case: Case) -> bool {
    let name = memchr::memrchr(b'/', path).map(|slash| slash + 1);
    let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
    pattern.matches_repo_relative_path(path.into(), name, Some(is_directory), case, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_patterns_takes_no_stack_to_drop() {
        let patterns = parse(b"*.o");
        let mut innermost = None;
        for _ in 0..300_000 {
            let start = Start { shown_bytes: 0, way_to_root: Vec::new() };
            innermost = start.with(patterns.clone(), Case::Sensitive, innermost);
        }
        drop(innermost);
    }
}
