//! What git's configuration says about patterns, and whether a repository may say it.

use std::path::Path;

use super::config::Variable;
use super::include::{Protected, Reader, assigned, expand, is_on, strip_optional};
use super::place::Place;
use super::repository::Repository;
use crate::record::bytes_to_path;

/// The settings of a repository that concern patterns.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The user's file of patterns, relative to the top of the repository.
    pub(super) excludes_file: Option<Vec<u8>>,
    pub(super) ignore_case: bool,
}

impl Settings {
    /// Reads the settings of a repository, and adds each error to `troubles`.
    pub(super) fn read(
        protected: &Protected,
        repository: &Repository<'_>,
        is_trusted: bool,
        troubles: &mut Vec<String>,
    ) -> Settings {
        let mut settings = Settings::default();
        let mut reader = Reader::new(protected, Some(repository), is_trusted);
        reader.read(&mut |variable| settings.take(variable, repository));
        troubles.append(&mut reader.troubles);
        settings
    }

    fn take(&mut self, variable: &Variable, repository: &Repository<'_>) -> Result<(), String> {
        match variable.key() {
            ("core", false, "excludesfile") => {
                let (path, is_optional) = strip_optional(assigned(variable)?);
                let path = expand(path)?;
                if !is_optional || exists(repository.place, &path) {
                    self.excludes_file = Some(path);
                }
            }
            ("core", false, "ignorecase") => self.ignore_case = is_on(variable)?,
            _ => {}
        }
        Ok(())
    }
}

fn exists(place: Place<'_>, path: &[u8]) -> bool {
    place.real(&Path::new("").join(bytes_to_path(path))).is_some()
}

/// Whether the configuration of a repository counts: it belongs to the user or to root, or the user allows it in
/// safe.directory. Git refuses repositories of root as well, which could do everything anyway.
pub(super) fn is_trusted(protected: &Protected, repository: &Repository<'_>) -> bool {
    if repository.belongs_to_caller() {
        return true;
    }
    let Some(top) = repository.place.real(Path::new("")) else { return false };
    let mut is_safe = false;
    let mut reader = Reader::new(protected, None, false);
    reader.read(&mut |variable| {
        if variable.key() == ("safe", false, "directory") {
            match variable.value.as_deref().unwrap_or_default() {
                b"" => is_safe = false,
                b"*" => is_safe = true,
                directory => is_safe |= names(directory, &top)?,
            }
        }
        Ok(())
    });
    is_safe
}

/// Whether a value of safe.directory is about a repository.
fn names(value: &[u8], top: &Path) -> Result<bool, String> {
    let path = expand(strip_optional(value).0)?;
    let (path, with_all_below) = match path.strip_suffix(b"/*") {
        Some(b"") => (&b"/"[..], true),
        Some(path) => (path, true),
        None => (&path[..], false),
    };
    let path = bytes_to_path(path);
    let path: &Path = path.as_ref();
    if !path.is_absolute() && path != Path::new(".") {
        return Ok(false);
    }
    let Ok(real) = std::fs::canonicalize(path) else { return Ok(false) };
    Ok(if with_all_below { top != real && top.starts_with(real) } else { top == real })
}
