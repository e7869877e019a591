//! Leaves entries out by name.

use std::collections::HashSet;
use std::sync::Arc;

use super::globs::{Globs, Spelling};
use super::ignores::{GitPatterns, Ignores, Place};
use crate::error::Error;
use crate::plan::{Filter, Root};
use crate::record::join_path;

/// The filter of a plan, ready to be asked.
pub(super) struct NameFilter {
    skip_hidden: bool,
    globs: Option<Globs>,
    git: Option<GitPatterns>,
    /// Paths that are roots of their own.
    apart: HashSet<Vec<u8>>,
}

impl NameFilter {
    pub(super) fn new(filter: &Filter) -> Result<NameFilter, Error> {
        let globs = if filter.globs.is_empty() { None } else { Some(Globs::new(&filter.globs)?) };
        let git = GitPatterns::of(filter);
        Ok(NameFilter { skip_hidden: filter.skip_hidden, globs, git, apart: HashSet::new() })
    }

    /// The same, with paths that a walk leaves to the roots that they are.
    pub(super) fn with_apart(self, apart: HashSet<Vec<u8>>) -> NameFilter {
        NameFilter { apart, ..self }
    }

    /// Whether the entry `name` of `directory` is a root of its own, and not this walk's to tell of.
    pub(super) fn leaves_alone(&self, directory: &[u8], name: &[u8]) -> bool {
        if self.apart.is_empty() {
            return false;
        }
        let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
        join_path(directory, name, &mut path);
        self.apart.contains(&path)
    }

    /// What could not be read of git's patterns and configuration.
    pub(super) fn notes(&self) -> Vec<String> {
        self.git.as_ref().map_or_else(Vec::new, GitPatterns::notes)
    }

    /// How globs are to read the paths below a root.
    pub(super) fn spelling(&self, root: &Root) -> Option<Arc<Spelling>> {
        self.globs.as_ref()?.spelling(root)
    }

    /// The patterns of git that hold in the directory a root lies in, where they are asked for.
    pub(super) fn ignores_above(&self, root: &Root) -> Option<Arc<Ignores>> {
        self.git.as_ref()?.above(root)
    }

    /// The patterns of git that hold in a directory, where they are asked for.
    pub(super) fn ignores_within(
        &self,
        place: &Place<'_>,
        shown: &[u8],
        above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        self.git.as_ref()?.within(place, shown, above)
    }

    /// Whether the entry `name` of `directory`, where `ignores` holds, does not count. `spelling` is that of its root.
    pub(super) fn excludes(
        &self,
        directory: &[u8],
        name: &[u8],
        is_directory: bool,
        ignores: Option<&Ignores>,
        spelling: Option<&Spelling>,
    ) -> bool {
        if (self.skip_hidden && name.starts_with(b".")) || (self.git.is_some() && name == b".git") {
            return true;
        }
        if self.globs.is_none() && ignores.is_none() {
            return false;
        }
        let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
        join_path(directory, name, &mut path);
        if ignores.is_some_and(|ignores| ignores.leave_out(&path, is_directory)) {
            return true;
        }
        self.globs.as_ref().is_some_and(|globs| globs.leave_out(&path, is_directory, spelling))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_left_out_by_pattern_and_by_dot() {
        #[track_caller]
        fn check(globs: &[&str], skip_hidden: bool, entry: (&str, &str, bool), expected: bool) {
            let globs = globs.iter().map(|&glob| glob.to_owned()).collect();
            let filter =
                NameFilter::new(&Filter { globs, skip_hidden, ..Filter::default() }).expect("it parses");
            let (directory, name, is_directory) = entry;
            let (directory, name) = (directory.as_bytes(), name.as_bytes());
            assert_eq!(filter.excludes(directory, name, is_directory, None, None), expected);
        }
        check(&[], false, ("a", ".git", true), false);
        check(&[], true, ("a", ".git", true), true);
        check(&["*.rs"], false, ("src", "main.rs", false), false);
        check(&["*.rs"], false, ("src", "main.c", false), true);
        check(&["*.rs"], false, ("src", "cli", true), false);
        check(&["!target"], false, (".", "target", true), true);
        check(&["!/target"], false, (".", "target", true), true);
        check(&["!/target"], false, ("./a", "target", true), false);
        check(&["*.rs", "!main.rs"], false, ("src", "main.rs", false), true);
        check(&["/abs/*.txt"], false, ("/abs", "a.txt", false), false);
        check(&["src/*.rs"], false, ("", "src", true), false);
    }

    #[test]
    fn a_pattern_that_does_not_parse_is_an_error() {
        let filter = Filter { globs: vec!["a[".to_owned()], ..Filter::default() };
        let error = NameFilter::new(&filter).err().expect("it does not parse").to_string();
        assert!(error.contains("a["), "{error}");
    }
}
