//! Tells a sink of what was found.

use crate::error::Error;
use crate::groups::{Catalog, FileGroup};
use crate::record::{Alike, Group, Member};
use crate::report::Report;
use crate::sink::Sink;

/// Tells of every group, and counts them.
pub(super) fn groups(
    catalog: &Catalog,
    groups: &[FileGroup],
    sink: &mut dyn Sink,
    report: &mut Report,
) -> Result<(), Error> {
    let counts = report.duplicates.get_or_insert_default();
    let mut members = Vec::new();
    for group in groups {
        members.clear();
        members.extend(group.names.iter().map(|name| {
            let entry = catalog.entry(name.file);
            Member {
                directory: catalog.directory_path(entry.directory),
                name: entry.name,
                copy: name.copy,
                size: group.size,
                mtime_ns: Some(entry.mtime_ns),
                is_reference: name.is_reference,
            }
        }));
        let told = Group {
            alike: Alike::Files,
            size: group.size,
            digest: Some(group.digest),
            reclaimable_bytes: group.reclaimable_bytes,
            members: &members,
        };
        sink.group(&told).map_err(Error::Sink)?;
        counts.groups += 1;
        counts.redundant_files += group.redundant;
        counts.reclaimable_bytes += group.reclaimable_bytes;
    }
    Ok(())
}
