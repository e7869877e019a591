//! Directories that are the same, or similar: what is known of their files, and what of it is told.

use std::collections::HashSet;

use super::{Directories, Found, Search};
use crate::groups::{Candidates, Catalog, Contents, FileId, Identical, Links, Wanted, identical, similar};

/// Puts into `found` which directories are alike. Returns what that means for their files; `None` where nobody asked.
pub(super) fn compare(
    search: &Search,
    wanted: &Wanted,
    found: &mut Found,
    links: &Links,
    same: &Candidates,
    failed: &[FileId],
) -> Option<Identical> {
    let directories = search.directories?;
    let catalog = &found.catalog;
    let contents = contents(catalog, links, same, failed);
    let mut trees = identical(catalog, &contents, &mut link_target);
    if let Directories::Similar(share) = directories {
        let similar = similar(catalog, &contents, &trees, share);
        let is_told = |bytes: u64| bytes >= wanted.size_min;
        found.similar = similar.pairs.into_iter().filter(|pair| is_told(pair.common_bytes)).collect();
        if !similar.is_complete {
            let note = "so many directories may be similar that not all of them were compared";
            found.report.notes.push(note.to_owned());
        }
    }
    // What lies in directories too small to be told is smaller than them, and not told either.
    found.directories = std::mem::take(&mut trees.groups);
    found.directories.retain(|group| group.bytes >= wanted.size_min);
    Some(trees)
}

/// One token for the files of a class, and one of its own for each that is like no other.
fn contents(catalog: &Catalog, links: &Links, same: &Candidates, failed: &[FileId]) -> Contents {
    let mut contents = Contents::new(catalog.len());
    let failed: HashSet<FileId> = failed.iter().copied().collect();
    for file in catalog.files().filter(|file| !failed.contains(file)) {
        contents.set(file, file.0.into());
    }
    for (first, name) in links.all().filter(|(_, name)| !failed.contains(name)) {
        contents.set(name, first.0.into());
    }
    for class in same.classes() {
        let token = class[0].file.0.into();
        for candidate in class {
            contents.set(candidate.file, token);
            links.names(candidate.file).for_each(|name| contents.set(name, token));
        }
    }
    contents
}

/// What a symbolic link holds.
#[cfg(unix)]
fn link_target(path: &[u8]) -> Option<Vec<u8>> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let target = std::fs::read_link(std::ffi::OsStr::from_bytes(path)).ok()?;
    Some(target.into_os_string().into_vec())
}

#[cfg(not(unix))]
fn link_target(_: &[u8]) -> Option<Vec<u8>> {
    None
}
