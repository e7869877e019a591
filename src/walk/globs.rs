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

/// How shown paths below a root become the paths that globs match. Without one, globs match the shown paths.
pub(super) enum Spelling {
    /// The root's shown path has this many bytes. The root lies at this path in the current directory.
    Inside(usize, Box<[u8]>),
    /// The current directory lies in the root and is shown as this path.
    Above(Box<[u8]>),
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

    /// Returns the spelling of paths below a root, or `None` if they are relative to the current directory or lie outside it.
    pub(super) fn spelling(&self, root: &Root) -> Option<Arc<Spelling>> {
        let current = self.current.as_deref()?;
        let (path, shown) = (root.path(), root.shown());
        let has_parents = path.components().any(|component| component == Component::ParentDir);
        if path.is_relative() && !has_parents {
            return None;
        }
        let inside = |path: &Path| Some(Arc::new(Spelling::Inside(shown.len(), bytes(path))));
        if let Ok(path) = path.strip_prefix(current)
            && !has_parents
        {
            return inside(path);
        }
        let real = std::fs::canonicalize(path).ok()?;
        if let Ok(path) = real.strip_prefix(current) {
            return inside(path);
        }
        let below = current.strip_prefix(&real).ok()?;
        let mut here = Vec::new();
        join_path(shown, below.as_os_str().as_encoded_bytes(), &mut here);
        Some(Arc::new(Spelling::Above(here.into())))
    }

    /// Whether a path, as it is shown, is left out.
    pub(super) fn leave_out(&self, shown: &[u8], is_directory: bool, spelling: Option<&Spelling>) -> bool {
        let relative;
        let path = match spelling {
            None => shown,
            Some(Spelling::Inside(root_bytes, inside)) => {
                let below = shown.get(*root_bytes..).unwrap_or_default();
                let below = below.strip_prefix(b"/").unwrap_or(below);
                let mut path = Vec::with_capacity(inside.len() + 1 + below.len());
                join_path(inside, below, &mut path);
                relative = path;
                &relative
            }
            Some(Spelling::Above(here)) => match shown.strip_prefix(&**here) {
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

/// A glob that begins with the path of the current directory matches entries there as well.
fn relative_glob(glob: &str, current: Option<&Path>) -> String {
    let (not, pattern) = glob.strip_prefix('!').map_or(("", glob), |pattern| ("!", pattern));
    let current = current.and_then(Path::to_str).filter(|current| current.len() > 1);
    let inside = current.and_then(|current| pattern.strip_prefix(current));
    match inside.filter(|inside| inside.starts_with('/')) {
        Some(inside) => format!("{not}{inside}"),
        None => glob.to_owned(),
    }
}

fn bytes(path: &Path) -> Box<[u8]> {
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
