//! Globs, which match paths relative to the current directory however a root is spelled: as ripgrep does where the spelling
//! shows that a path lies there, and also where only its real path does.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ignore::overrides::{Override, OverrideBuilder};

use crate::error::Error;
use crate::plan::Root;
use crate::record::{bytes_to_path, join_path};

/// The globs of a plan, ready to be asked.
pub(super) struct Globs {
    patterns: Override,
    /// The current directory, if it has a path.
    current: Option<PathBuf>,
}

/// How paths below a root, as they are shown, become those that globs match.
#[derive(Clone)]
pub(super) enum Spelling {
    /// They are relative to the current directory, or lie outside it.
    AsShown,
    /// The root, of which the shown path has this many bytes, lies at this path in the current directory.
    Inside(usize, Arc<[u8]>),
    /// The root leads to the current directory, which it shows as this path.
    Above(Arc<[u8]>),
}

impl Globs {
    /// # Errors
    /// [`Error::Plan`] when a glob does not parse.
    pub(super) fn new(globs: &[String]) -> Result<Globs, Error> {
        let current = std::env::current_dir().ok();
        let refuse = |error: ignore::Error| Error::Plan(format!("{error}"));
        let mut builder = OverrideBuilder::new("");
        for glob in globs {
            builder.add(&relative_glob(glob, current.as_deref())).map_err(refuse)?;
        }
        Ok(Globs { patterns: builder.build().map_err(refuse)?, current })
    }

    /// The spelling of paths below a root.
    pub(super) fn spelling(&self, root: &Root) -> Spelling {
        let Some(current) = &self.current else { return Spelling::AsShown };
        let (path, shown) = (root.path(), root.shown());
        let has_parents = path.components().any(|component| component == Component::ParentDir);
        if path.is_relative() && !has_parents {
            return Spelling::AsShown;
        }
        if let Ok(inside) = path.strip_prefix(current)
            && !has_parents
        {
            return Spelling::Inside(shown.len(), bytes(inside));
        }
        let Ok(real) = std::fs::canonicalize(path) else { return Spelling::AsShown };
        if let Ok(inside) = real.strip_prefix(current) {
            return Spelling::Inside(shown.len(), bytes(inside));
        }
        match current.strip_prefix(&real) {
            Ok(way) => {
                let mut here = Vec::new();
                join_path(shown, way.as_os_str().as_encoded_bytes(), &mut here);
                Spelling::Above(here.into())
            }
            Err(_) => Spelling::AsShown,
        }
    }

    /// Whether a path, as it is shown, is left out.
    pub(super) fn leave_out(&self, shown: &[u8], is_directory: bool, spelling: &Spelling) -> bool {
        let relative;
        let path = match spelling {
            Spelling::AsShown => shown,
            Spelling::Inside(root_bytes, inside) => {
                let below = shown.get(*root_bytes..).unwrap_or_default();
                let below = below.strip_prefix(b"/").unwrap_or(below);
                let mut path = Vec::with_capacity(inside.len() + 1 + below.len());
                join_path(inside, below, &mut path);
                relative = path;
                &relative
            }
            Spelling::Above(here) => match shown.strip_prefix(&**here) {
                // The current directory itself: no path in it matches.
                Some(b"") => return false,
                Some(below) => below.strip_prefix(b"/").unwrap_or(shown),
                None => shown,
            },
        };
        // A leading "./" is how a root was typed, not part of the name that a pattern is about.
        let path = path.strip_prefix(b"./").unwrap_or(path);
        self.patterns.matched(bytes_to_path(path), is_directory).is_ignore()
    }
}

/// A glob that names the current directory by its whole path matches what lies there as well.
fn relative_glob(glob: &str, current: Option<&Path>) -> String {
    let (not, pattern) = glob.strip_prefix('!').map_or(("", glob), |pattern| ("!", pattern));
    let current = current.and_then(Path::to_str).filter(|current| current.len() > 1);
    let inside = current.and_then(|current| pattern.strip_prefix(current));
    match inside.filter(|inside| inside.starts_with('/')) {
        Some(inside) => format!("{not}{inside}"),
        None => glob.to_owned(),
    }
}

fn bytes(path: &Path) -> Arc<[u8]> {
    let path: &OsStr = path.as_os_str();
    path.as_encoded_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_with_the_path_of_the_current_directory_matches_there() {
        #[track_caller]
        fn check(glob: &str, current: &str, expected: &str) {
            assert_eq!(relative_glob(glob, Some(Path::new(current))), expected);
        }
        check("/a/b/*.rs", "/a/b", "/*.rs");
        check("!/a/b/c", "/a/b", "!/c");
        check("/a/bc", "/a/b", "/a/bc");
        check("/a", "/", "/a");
        check("a/b", "/a", "a/b");
    }
}
