//! What git would leave out: the patterns of .gitignore files, of .git/info/exclude and of the user.
//!
//! Whether git tracks a file all the same is not asked, and a line that is no pattern is passed over, as git does.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::filter::bytes_to_path;
use crate::plan::Root;
use crate::record::join_path;

/// A file of patterns is read this far.
const PATTERNS_BYTES_MAX: u64 = 1 << 20;

/// The patterns that hold in a directory: one file of them, and those above it, which decide where it is silent.
pub(crate) struct Ignores {
    matcher: Gitignore,
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
    of_user: Gitignore,
}

impl GitPatterns {
    pub(super) fn new() -> GitPatterns {
        GitPatterns { of_user: GitignoreBuilder::new("").build_global().0 }
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
            let of_repository = place.read(".git/info/exclude").map(|text| patterns(&text));
            above = start.with(self.of_user.clone(), None);
            above = start.with(of_repository.unwrap_or_else(Gitignore::empty), above);
        }
        match place.read(".gitignore") {
            Some(text) => start.with(patterns(&text), above),
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
    fn with(&self, matcher: Gitignore, above: Option<Arc<Ignores>>) -> Option<Arc<Ignores>> {
        if matcher.is_empty() {
            return above;
        }
        let (shown_bytes, way_to_root) = (self.shown_bytes, self.way_to_root.clone());
        Some(Arc::new(Ignores { matcher, shown_bytes, way_to_root, above }))
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

impl Place<'_> {
    /// What a file holds, where it is one.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = match self {
            #[cfg(target_os = "linux")]
            Place::Handle(directory) => {
                use rustix::fs::{Mode, OFlags, openat};
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
                std::fs::File::from(openat(directory, name, flags, Mode::empty()).ok()?)
            }
            Place::Path(directory) => {
                let path = directory.join(name);
                // Neither a link, which git does not follow here, nor a pipe, which would keep us waiting.
                path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
                std::fs::File::open(path).ok()?
            }
        };
        if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        let mut text = Vec::new();
        file.take(PATTERNS_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(text)
    }
}

fn patterns(text: &[u8]) -> Gitignore {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut builder = GitignoreBuilder::new("");
    for line in text.split(|&byte| byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if builder.add_line(None, line).is_err() {
            continue;
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
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
            match ignores.matcher.matched(bytes_to_path(relative), is_directory) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => here = ignores.above.as_deref(),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_patterns_takes_no_stack_to_drop() {
        let start = Start { shown_bytes: 0, way_to_root: Vec::new() };
        let matcher = patterns(b"*.o");
        let mut innermost = None;
        for _ in 0..300_000 {
            innermost = start.with(matcher.clone(), innermost);
        }
        drop(innermost);
    }

    #[test]
    fn what_is_no_pattern_is_passed_over() {
        let matcher = patterns(b"\xef\xbb\xbf*.o\n# *.c\n\xff\n{a\n\n!keep.o\r\n");
        assert_eq!((matcher.num_ignores(), matcher.num_whitelists()), (1, 1));
    }
}
