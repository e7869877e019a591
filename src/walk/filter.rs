//! Leaves entries out by name.

use std::path::Path;

use ignore::overrides::{Override, OverrideBuilder};

use crate::error::Error;
use crate::plan::Filter;
use crate::record::join_path;

/// The filter of a plan, ready to be asked.
pub(super) struct NameFilter {
    skip_hidden: bool,
    globs: Option<Override>,
}

impl NameFilter {
    pub(super) fn new(filter: &Filter) -> Result<NameFilter, Error> {
        let globs = if filter.globs.is_empty() {
            None
        } else {
            // Patterns are relative to the current directory, as paths below relative roots are.
            let mut builder = OverrideBuilder::new("");
            for glob in &filter.globs {
                builder.add(glob).map_err(|error| Error::Plan(format!("{error}")))?;
            }
            Some(builder.build().map_err(|error| Error::Plan(format!("{error}")))?)
        };
        Ok(NameFilter { skip_hidden: filter.skip_hidden, globs })
    }

    /// Whether the entry `name` of `directory` does not count.
    pub(super) fn excludes(&self, directory: &[u8], name: &[u8], is_directory: bool) -> bool {
        if self.skip_hidden && name.starts_with(b".") {
            return true;
        }
        let Some(globs) = &self.globs else { return false };
        let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
        join_path(directory, name, &mut path);
        // A leading "./" is how a root was typed, not part of the name that a pattern is about.
        let path = path.strip_prefix(b"./").unwrap_or(&path);
        globs.matched(bytes_to_path(path).as_ref(), is_directory).is_ignore()
    }
}

#[cfg(unix)]
fn bytes_to_path(path: &[u8]) -> std::borrow::Cow<'_, Path> {
    use std::os::unix::ffi::OsStrExt;
    std::borrow::Cow::Borrowed(Path::new(std::ffi::OsStr::from_bytes(path)))
}

#[cfg(not(unix))]
fn bytes_to_path(path: &[u8]) -> std::borrow::Cow<'_, Path> {
    match String::from_utf8_lossy(path) {
        std::borrow::Cow::Borrowed(path) => std::borrow::Cow::Borrowed(Path::new(path)),
        std::borrow::Cow::Owned(path) => std::borrow::Cow::Owned(path.into()),
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
            assert_eq!(filter.excludes(directory.as_bytes(), name.as_bytes(), is_directory), expected);
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
