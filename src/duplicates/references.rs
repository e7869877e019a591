//! References: directories inside the roots, found by where they really lie, known by how they are shown.

use std::path::Path;

use super::Search;
use crate::error::Error;
use crate::plan::Plan;
use crate::record::{bytes_to_path, join_path};

/// The paths under which the walk shows the references of a search.
///
/// # Errors
/// [`Error::Root`] when one is not there, [`Error::Plan`] when one is no directory or lies in no root, or when all roots lie in
/// references.
pub(super) fn resolve(search: &Search) -> Result<Vec<Vec<u8>>, Error> {
    if search.references.is_empty() {
        return Ok(Vec::new());
    }
    let Plan { roots, listed, .. } = &search.plan;
    let given =
        roots.iter().filter_map(|root| Some((root.shown(), std::fs::canonicalize(root.path()).ok()?)));
    // A reference is a directory, and lies in directories alone.
    let listed = (0..listed.listed()).filter_map(|entry| {
        let path = bytes_to_path(listed.path(entry));
        let is_directory = std::fs::metadata(Path::new(&path)).is_ok_and(|found| found.is_dir());
        is_directory.then(|| Some((listed.path(entry), std::fs::canonicalize(path).ok()?)))?
    });
    let roots: Vec<_> = given.chain(listed).collect();
    let mut real_references = Vec::with_capacity(search.references.len());
    for reference in &search.references {
        let real = std::fs::canonicalize(reference)
            .map_err(|source| Error::Root { path: reference.display().to_string(), source })?;
        if !real.is_dir() {
            return Err(refuse(reference, "a reference must be a directory"));
        }
        real_references.push(real);
    }
    let is_held = |root: &Path| real_references.iter().any(|reference| root.starts_with(reference));
    let are_roots = search.plan.listed.is_empty() && roots.len() == search.plan.roots.len();
    if are_roots && roots.iter().all(|(_, root)| is_held(root)) {
        let why =
            "every searched path lies in a reference, so nothing can be found: add a path outside of them";
        return Err(refuse(&search.references[0], why));
    }
    let mut shown = Vec::new();
    for (reference, real) in search.references.iter().zip(&real_references) {
        let before = shown.len();
        // Of roots inside each other one is left out: whichever it is, the others have the path that is shown.
        for (root, real_root) in &roots {
            let Ok(inside) = real.strip_prefix(real_root) else { continue };
            let mut path = Vec::new();
            join_path(root, inside.as_os_str().as_encoded_bytes(), &mut path);
            shown.push(path);
        }
        if shown.len() == before {
            return Err(refuse(reference, "the reference lies in none of the paths that are searched"));
        }
    }
    Ok(shown)
}

fn refuse(reference: &Path, why: &str) -> Error {
    Error::Plan(format!("{}: {why}", reference.display()))
}
