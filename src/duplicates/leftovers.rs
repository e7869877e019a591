//! Temporary links that an earlier run left because it was killed: they are reported, and removed if their content has
//! another name.

use std::collections::HashMap;

use super::apply::Applier;
use crate::groups::{Catalog, FileGroup, FileId, is_leftover};

/// Returns a note if there are any.
pub(super) fn found(catalog: &Catalog) -> Option<String> {
    note(all(catalog).len())
}

/// Returns a note about a number of temporary links, if it is not 0.
pub(super) fn note(number: usize) -> Option<String> {
    let what = links(number);
    (number > 0).then(|| {
        format!(
            "found {what} .filemill-... of an earlier run that was killed: --action hardlink --apply removes each whose content has another name"
        )
    })
}

/// Removes each link whose file has another name: one that was met, or the kept file that it has `joined`. Returns notes about
/// those that are gone and those that stay.
pub(super) fn remove(
    catalog: &Catalog,
    joined: &HashMap<FileId, FileId>,
    applier: &mut Applier<'_>,
) -> Vec<String> {
    let all = all(catalog);
    if all.is_empty() {
        return Vec::new();
    }
    let inodes: HashMap<(u32, u64), Vec<FileId>> = other_names(catalog, &all);
    let (mut removed, mut kept) = (0, Vec::new());
    for &link in &all {
        let names = inodes.get(&catalog.inode(link)).into_iter().flatten().copied();
        let names = joined.get(&link).copied().into_iter().chain(names);
        let mut why = "it is the only name of its content".into();
        let is_removed = names.into_iter().any(|name| match applier.remove_leftover(link, name) {
            Ok(()) => true,
            Err(refusal) => {
                why = refusal;
                false
            }
        });
        if is_removed { removed += 1 } else { kept.push((link, why)) }
    }
    let mut notes = Vec::new();
    if removed > 0 {
        notes.push(format!("removed {} .filemill-... of an earlier run that was killed", links(removed)));
    }
    if let Some((link, why)) = kept.first() {
        let path = catalog.path(*link).escape_ascii().to_string();
        notes.push(format!("kept {} .filemill-..., the first of them {path}: {why}", links(kept.len())));
    }
    notes
}

/// How many names of a group are temporary links.
pub(super) fn in_group(catalog: &Catalog, group: &FileGroup) -> usize {
    group.names.iter().filter(|name| is_leftover(catalog.entry(name.file).name)).count()
}

fn all(catalog: &Catalog) -> Vec<FileId> {
    catalog.files().filter(|&file| is_leftover(catalog.entry(file).name)).collect()
}

/// For the file of each link its other names, but for other temporary links.
fn other_names(catalog: &Catalog, all: &[FileId]) -> HashMap<(u32, u64), Vec<FileId>> {
    let mut names: HashMap<(u32, u64), Vec<FileId>> =
        all.iter().map(|&link| (catalog.inode(link), Vec::new())).collect();
    for file in catalog.files() {
        if let Some(names) = names.get_mut(&catalog.inode(file))
            && !is_leftover(catalog.entry(file).name)
        {
            names.push(file);
        }
    }
    names
}

fn links(number: usize) -> String {
    if number == 1 { "1 temporary link".to_owned() } else { format!("{number} temporary links") }
}
