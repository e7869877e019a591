//! Tells a sink of what was found.

use super::{Found, leftovers};
use crate::error::Error;
use crate::groups::{Catalog, DirectoryGroup, DirectoryId, FileGroup, Name, NearGroup, Runs, SimilarPair};
use crate::record::{Alike, Group, Member};
use crate::report::{Duplicates, Report};
use crate::sink::Sink;

/// Tells of every group, directories first, and counts them.
pub(super) fn found(found: &mut Found, sink: &mut dyn Sink) -> Result<(), Error> {
    let catalog = &found.catalog;
    let counts = found.report.duplicates.get_or_insert_default();
    let mut members = Vec::new();
    let mut tell = |group: Told<'_>| group.tell(catalog, &mut members, sink);
    for group in &found.directories {
        tell(Told::Directories(group))?;
        counts.directory_groups += 1;
        counts.redundant_files += (group.directories.len() as u64 - 1) * group.files;
        counts.reclaimable_bytes += group.reclaimable_bytes();
    }
    for pair in &found.similar {
        tell(Told::Similar(pair))?;
        counts.similar_pairs += 1;
    }
    for group in &found.groups {
        tell(Told::Files(group))?;
        count(counts, group);
    }
    if let Some(near) = &mut counts.near {
        for group in &found.near {
            tell(Told::Near(group, near.threshold, !near.is_exact))?;
            near.groups += 1;
            near.files += group.members.last().map_or(0, |last| u64::from(last.name.copy) + 1);
        }
    }
    Ok(())
}

/// Passes on the groups of files that do not fit the memory, and counts them.
pub(super) fn merged(runs: &Runs, report: &mut Report, sink: &mut dyn Sink) -> Result<(), Error> {
    let counts = report.duplicates.get_or_insert_default();
    let mut left = 0;
    let mut merged = runs.merged().map_err(Error::Spill)?;
    while let Some((catalog, group)) = merged.next_group().map_err(Error::Spill)? {
        Told::Files(&group).tell(catalog, &mut Vec::new(), sink)?;
        left += leftovers::in_group(catalog, &group);
        count(counts, &group);
    }
    report.notes.extend(leftovers::note(left));
    Ok(())
}

fn count(counts: &mut Duplicates, group: &FileGroup) {
    counts.groups += 1;
    counts.redundant_files += group.redundant;
    counts.reclaimable_bytes += group.reclaimable_bytes;
}

/// What is told as one group.
enum Told<'g> {
    Files(&'g FileGroup),
    Directories(&'g DirectoryGroup),
    Similar(&'g SimilarPair),
    /// With the threshold, and whether the similarities are estimates.
    Near(&'g NearGroup, f64, bool),
}

impl Told<'_> {
    fn tell<'c>(
        &self,
        catalog: &'c Catalog,
        members: &mut Vec<Member<'c>>,
        sink: &mut dyn Sink,
    ) -> Result<(), Error> {
        members.clear();
        let (alike, size, digest, reclaimable_bytes) = self.head(catalog);
        self.members_to(catalog, members);
        sink.group(&Group { alike, size, digest, reclaimable_bytes, members }).map_err(Error::Sink)
    }

    fn head(&self, catalog: &Catalog) -> (Alike, u64, Option<crate::record::Digest>, u64) {
        match self {
            Told::Files(group) => (Alike::Files, group.size, Some(group.digest), group.reclaimable_bytes),
            Told::Directories(group) => {
                let alike = Alike::Directories { files: group.files };
                (alike, group.bytes, None, group.reclaimable_bytes())
            }
            // What only one of them has is not known to be of no use.
            Told::Similar(pair) => (Alike::Similar { share: pair.share() }, pair.common_bytes, None, 0),
            Told::Near(group, threshold, is_estimated) => {
                let alike = Alike::Near { threshold: *threshold, is_estimated: *is_estimated };
                (alike, catalog.size(group.members[0].name.file), None, 0)
            }
        }
    }

    fn members_to<'c>(&self, catalog: &'c Catalog, members: &mut Vec<Member<'c>>) {
        let directory = |copy: u32, directory: DirectoryId, size: u64| Member {
            directory: catalog.directory_path(directory),
            name: b"",
            copy,
            size,
            mtime_ns: None,
            inode: None,
            is_reference: false,
            similarity: None,
            is_identical: false,
        };
        let file = |name: &Name| {
            let entry = catalog.entry(name.file);
            Member {
                directory: catalog.directory_path(entry.directory),
                name: entry.name,
                copy: name.copy,
                size: entry.size,
                mtime_ns: Some(entry.mtime_ns),
                inode: Some(entry.identity.inode),
                is_reference: name.is_reference,
                similarity: None,
                is_identical: false,
            }
        };
        match self {
            Told::Files(group) => members.extend(group.names.iter().map(file)),
            Told::Near(group, ..) => members.extend(group.members.iter().map(|member| Member {
                similarity: Some(member.similarity),
                // One row is one content.
                is_identical: member.row == group.members[0].row,
                ..file(&member.name)
            })),
            Told::Directories(group) => {
                let directories = (0..).zip(&group.directories);
                members.extend(directories.map(|(copy, &of)| directory(copy, of, group.bytes)));
            }
            Told::Similar(pair) => {
                members.extend([directory(0, pair.a, pair.bytes[0]), directory(1, pair.b, pair.bytes[1])]);
            }
        }
    }
}
