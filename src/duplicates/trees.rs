//! Directories that are the same, or similar: what is known of their files, and what of it is told.

use std::collections::{HashMap, HashSet};

use super::{Directories, Found, Search};
use crate::groups::{
    Candidates, Catalog, Contents, DirectoryGroup, DirectoryId, FileId, Identical, Links, Wanted, identical,
    similar,
};
use crate::record::bytes_to_path;

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
    subtract_links(catalog, links, &mut found.directories);
    if found.report.filtered > 0 && !found.directories.is_empty() {
        let note = "what was left out by name was not compared: directories that are told to be the same may differ in it";
        found.report.notes.push(note.to_owned());
    }
    Some(trees)
}

/// Files that several of the directories have under names of one inode are not there twice: there is nothing to gain by them.
fn subtract_links(catalog: &Catalog, links: &Links, groups: &mut [DirectoryGroup]) {
    let members: HashMap<DirectoryId, (usize, bool)> = (0..)
        .zip(groups.iter())
        .flat_map(|(group, of)| {
            (0..).zip(&of.directories).map(move |(at, &directory)| (directory, (group, at == 0)))
        })
        .collect();
    // Of each group and inode: names in all of its directories, and in the first.
    let mut names: HashMap<(usize, FileId), (u64, u64)> = HashMap::new();
    for (first, name) in links.all() {
        let mut above = Some(catalog.directory_of(name));
        while let Some(directory) = above {
            if let Some(&(group, is_first)) = members.get(&directory) {
                let (all, in_first) = names.entry((group, first)).or_default();
                *all += 1;
                *in_first += u64::from(is_first);
            }
            above = catalog.parent(directory);
        }
    }
    for ((group, file), (all, in_first)) in names {
        // Both were counted once a name: all of them, less those of the first.
        let (counted, real) = (all - in_first, u64::from(in_first == 0));
        groups[group].shared_bytes += (counted - real.min(counted)) * catalog.size(file);
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.reclaimable_bytes()));
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
fn link_target(path: &[u8]) -> Option<Vec<u8>> {
    let target = std::fs::read_link(bytes_to_path(path)).ok()?;
    Some(target.into_os_string().into_encoded_bytes())
}
