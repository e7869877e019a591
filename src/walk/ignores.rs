//! What git would leave out: the patterns of .gitignore files, of .git/info/exclude and of the user.
//!
//! Whether git tracks a file all the same is not asked. Where there is no repository, the .gitignore files of the tree
//! count, and nothing above it.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use gix_glob::Pattern;
use gix_glob::pattern::{Case, Mode};
use gix_glob::wildmatch;
use ignore::gitignore::gitconfig_excludes_path;

use crate::plan::Root;
use crate::record::join_path;

/// A file larger than this holds no patterns. Git has a limit as well, of 100 MiB.
const PATTERNS_BYTES_MAX: u64 = 16 << 20;

/// The patterns that hold in a directory: one file of them, and those above it, which decide where it is silent.
pub(crate) struct Ignores {
    patterns: Arc<[Pattern]>,
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

/// A directory that may have patterns of its own.
pub(super) enum Place<'a> {
    #[cfg(target_os = "linux")]
    Handle(&'a std::os::fd::OwnedFd),
    Path(&'a Path),
}

/// The patterns of the user, and the way to those of a tree.
pub(super) struct GitPatterns {
    of_user: Arc<[Pattern]>,
}

impl GitPatterns {
    pub(super) fn new() -> GitPatterns {
        let file = gitconfig_excludes_path();
        let text =
            file.and_then(|file| Place::Path(Path::new("")).read(&file.to_string_lossy(), Links::Follow));
        GitPatterns { of_user: parse(&text.unwrap_or_default()) }
    }

    /// What holds in a directory whose own patterns come after those above it. The top of a repository begins anew.
    pub(super) fn within(
        &self,
        place: &Place<'_>,
        shown: &[u8],
        above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        let mut way = Vec::new();
        join_path(shown, b"x", &mut way);
        self.below(place, &Start { shown_bytes: way.len() - 1, way_to_root: Vec::new() }, above)
    }

    /// What holds in the directory that a root lies in, from the top of its repository down.
    pub(super) fn above(&self, root: &Root) -> Option<Arc<Ignores>> {
        let real = std::fs::canonicalize(root.path()).ok()?;
        if is_top(&Place::Path(&real)) {
            return None;
        }
        let top = real.ancestors().skip(1).find(|directory| is_top(&Place::Path(directory)))?;
        let mut directories: Vec<_> =
            real.ancestors().skip(1).take_while(|directory| directory.starts_with(top)).collect();
        directories.reverse();
        let shown_bytes = if root.shown().is_empty() || root.shown().ends_with(b"/") {
            root.shown().len()
        } else {
            root.shown().len() + 1
        };
        directories.into_iter().fold(None, |above, directory| {
            let way = real.strip_prefix(directory).expect("it is one of its ancestors");
            let way_to_root = [way.as_os_str().as_encoded_bytes(), b"/"].concat();
            self.below(&Place::Path(directory), &Start { shown_bytes, way_to_root }, above)
        })
    }

    fn below(
        &self,
        place: &Place<'_>,
        start: &Start,
        mut above: Option<Arc<Ignores>>,
    ) -> Option<Arc<Ignores>> {
        if is_top(place) {
            let of_repository = place.read(&exclude_file(place), Links::Follow);
            above = start.with(self.of_user.clone(), None);
            above = start.with(parse(&of_repository.unwrap_or_default()), above);
        }
        match place.read(".gitignore", Links::Refuse) {
            Some(text) => start.with(parse(&text), above),
            None => above,
        }
    }
}

/// Where the paths begin that patterns are about.
struct Start {
    shown_bytes: usize,
    way_to_root: Vec<u8>,
}

impl Start {
    fn with(&self, patterns: Arc<[Pattern]>, above: Option<Arc<Ignores>>) -> Option<Arc<Ignores>> {
        if patterns.is_empty() {
            return above;
        }
        let (shown_bytes, way_to_root) = (self.shown_bytes, self.way_to_root.clone());
        Some(Arc::new(Ignores { patterns, shown_bytes, way_to_root, above }))
    }
}

fn is_top(place: &Place<'_>) -> bool {
    match place {
        #[cfg(target_os = "linux")]
        Place::Handle(directory) => {
            rustix::fs::statat(directory, ".git", rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
        }
        Place::Path(directory) => directory.join(".git").symlink_metadata().is_ok(),
    }
}

/// The repository's own patterns, seen from its top. In a linked worktree `.git` is a file that leads to them.
fn exclude_file(top: &Place<'_>) -> String {
    let line = |name: &str, prefix: &str| {
        let text = String::from_utf8(top.read(name, Links::Refuse)?).ok()?;
        Some(text.lines().next()?.strip_prefix(prefix)?.trim_end().to_owned())
    };
    let Some(git) = line(".git", "gitdir: ") else { return ".git/info/exclude".to_owned() };
    let common = line(&format!("{git}/commondir"), "").unwrap_or_default();
    let common = if common.starts_with('/') { common } else { format!("{git}/{common}") };
    format!("{common}/info/exclude")
}

/// Whether a file of patterns may be a link: git follows none in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

impl Place<'_> {
    /// What a file holds, where it is one.
    fn read(&self, name: &str, links: Links) -> Option<Vec<u8>> {
        let file = match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                use rustix::fs::{Mode, OFlags, openat};
                let links = if links == Links::Follow { OFlags::empty() } else { OFlags::NOFOLLOW };
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
                std::fs::File::from(openat(directory, name, flags, Mode::empty()).ok()?)
            }
            Place::Path(directory) => {
                let path = directory.join(name);
                // No pipe, which would keep us waiting.
                let found = if links == Links::Follow { path.metadata() } else { path.symlink_metadata() };
                found.ok().filter(std::fs::Metadata::is_file)?;
                std::fs::File::open(path).ok()?
            }
        };
        if !file.metadata().is_ok_and(|found| found.is_file() && found.len() <= PATTERNS_BYTES_MAX) {
            return None;
        }
        let mut text = Vec::new();
        file.take(PATTERNS_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(text)
    }
}

fn parse(text: &[u8]) -> Arc<[Pattern]> {
    gix_ignore::parse(text, false).map(|(pattern, ..)| pattern).collect()
}

impl Ignores {
    /// Whether git would leave out an entry of the directory that these patterns hold in, or of one below it.
    pub(super) fn leave_out(&self, path: &[u8], is_directory: bool) -> bool {
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
                ignores.patterns.iter().rev().find(|it| matches(it, relative, is_directory))
            {
                return !pattern.mode.contains(Mode::NEGATIVE);
            }
            here = ignores.above.as_deref();
        }
        false
    }
}

fn matches(pattern: &Pattern, path: &[u8], is_directory: bool) -> bool {
    let name = memchr::memrchr(b'/', path).map(|slash| slash + 1);
    let mode = wildmatch::Mode::NO_MATCH_SLASH_LITERAL;
    pattern.matches_repo_relative_path(path.into(), name, Some(is_directory), Case::Sensitive, mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_patterns_takes_no_stack_to_drop() {
        let start = Start { shown_bytes: 0, way_to_root: Vec::new() };
        let patterns = parse(b"*.o");
        let mut innermost = None;
        for _ in 0..300_000 {
            innermost = start.with(patterns.clone(), innermost);
        }
        drop(innermost);
    }
}
