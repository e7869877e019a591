//! A repository as it is found: where its own files lie, and which branch it is on.

use std::path::{Path, PathBuf};

use super::place::{Links, Place};
use crate::record::bytes_to_path;

/// A file that names a directory or a branch is a line; git reads no more of it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Git follows a chain of at most this many symbolic refs.
const BRANCH_NAMES_MAX: usize = 5;

/// A repository whose top is a directory of the walk, or lies above a root.
pub(super) struct Repository<'a> {
    pub(super) place: Place<'a>,
    /// `.git`. If that is a file, the real path that it names.
    pub(super) git_directory: PathBuf,
    /// What all worktrees of the repository have in common.
    pub(super) common_directory: PathBuf,
    /// The top as the report shows it, if the report shows it.
    pub(super) shown: Option<&'a [u8]>,
}

impl<'a> Repository<'a> {
    /// The repository whose top is `place`. As for git, a `.git` that is no directory of git makes none.
    pub(super) fn at(place: Place<'a>, shown: Option<&'a [u8]>) -> Option<Repository<'a>> {
        if !place.has(".git") {
            return None;
        }
        let git = Path::new(".git");
        let git_directory = if place.has_directory(git) {
            git.to_path_buf()
        } else {
            let text = place.read(git, Links::Follow, LINE_BYTES_MAX).ok()??;
            place.real(&path_of(text.strip_prefix(b"gitdir: ")?)?)?
        };
        let common = place.read(&git_directory.join("commondir"), Links::Follow, LINE_BYTES_MAX);
        let common_directory = match common.ok().flatten().and_then(|text| path_of(&text)) {
            Some(common) => git_directory.join(common),
            None => git_directory.clone(),
        };
        let repository = Repository { place, git_directory, common_directory, shown };
        repository.is_complete().then_some(repository)
    }

    /// Whether it has what makes a directory of git one.
    fn is_complete(&self) -> bool {
        let is_head = |target: &[u8]| {
            target.starts_with(b"refs/")
                || (matches!(target.len(), 40 | 64) && target.iter().all(u8::is_ascii_hexdigit))
        };
        self.target(Path::new("HEAD")).is_some_and(|target| is_head(&target))
            && ["objects", "refs"]
                .iter()
                .all(|name| self.place.has_directory(&self.common_directory.join(name)))
    }

    /// What a name stands for: another name, or a commit. HEAD may be a link.
    fn target(&self, name: &Path) -> Option<Vec<u8>> {
        let own = name.starts_with("HEAD")
            || ["refs/bisect", "refs/worktree", "refs/rewritten"].iter().any(|kind| name.starts_with(kind));
        let path = if own { &self.git_directory } else { &self.common_directory }.join(name);
        let link = self.place.read_link(&path).map(|target| target.into_os_string().into_encoded_bytes());
        if let Some(target) = link.filter(|target| target.starts_with(b"refs/")) {
            return Some(target);
        }
        let text = self.place.read(&path, Links::Follow, LINE_BYTES_MAX).ok()??;
        Some(text.strip_prefix(b"ref:").unwrap_or(&text).trim_ascii().to_vec())
    }

    /// The branch that is checked out, be it without commits.
    ///
    /// # Errors
    /// Why it cannot be found out.
    pub(super) fn branch(&self) -> Result<Option<Vec<u8>>, String> {
        let mut name = b"HEAD".to_vec();
        for _ in 0..=BRANCH_NAMES_MAX {
            match self.target(&bytes_to_path(&name)) {
                Some(target) if target.starts_with(b"refs/") => name = target,
                _ => break,
            }
        }
        if name == b"refs/heads/.invalid" {
            return Err("onbranch: the branch is kept in a reftable, which filemill does not read".to_owned());
        }
        Ok(name.strip_prefix(b"refs/heads/").map(<[u8]>::to_vec))
    }

    /// The paths by which conditions may name the directory of git: the real one, and the one as it was given.
    pub(super) fn names(&self) -> impl Iterator<Item = Vec<u8>> {
        let given = self.shown.filter(|_| self.git_directory.is_relative()).map(|shown| {
            let shown = bytes_to_path(shown);
            let path: &Path = shown.as_ref();
            logical_current_directory().join(path).components().collect::<PathBuf>().join(".git")
        });
        let real = self.place.real(&self.git_directory);
        real.into_iter().chain(given).map(|path| path.into_os_string().into_encoded_bytes())
    }

    /// Whether the user or root owns all that git asks the owner of.
    pub(super) fn belongs_to_caller(&self) -> bool {
        self.place.belongs_to_caller(&[Path::new(".git"), &self.git_directory])
    }
}

/// Returns the current directory as the shell names it, links included, if `PWD` leads there.
fn logical_current_directory() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|named| named.is_absolute());
    let is_here = |named: &PathBuf| std::fs::canonicalize(named).is_ok_and(|real| real == here);
    named.filter(is_here).unwrap_or(here)
}

/// A path on a line of its own.
fn path_of(text: &[u8]) -> Option<PathBuf> {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r'))?;
    let path = bytes_to_path(&text[..=end]);
    Some(AsRef::<Path>::as_ref(&path).to_path_buf())
}
