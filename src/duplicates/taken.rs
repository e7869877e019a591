//! The digests that a search takes from an earlier report instead of reading files again.

use std::sync::Arc;

use super::earlier::{Kept, Now};
use super::rounds::{Rounds, record};
use super::source::{self, Source};
use crate::analyses::Blake3;
use crate::error::Error;
use crate::groups::{Candidates, Entry, FileId};
use crate::keep::{FileSystems, Keep};
use crate::plan::Reads;
use crate::record::{Outcome, Value};
use crate::stage::Budget;

/// The identities of the file systems that files lie on, each asked for once.
struct Identities<'f> {
    file_systems: &'f FileSystems,
    asked: Vec<(u64, Option<String>)>,
}

impl Identities<'_> {
    /// That of the file system with this device number, on which `file` lies.
    fn of(&mut self, device: u64, file: FileId, source: &mut Source<'_>) -> Option<&str> {
        let known = self.asked.iter().position(|(asked, _)| *asked == device);
        if known.is_none() && self.file_systems.by_device(device).is_none() {
            // The stage meets the file system of what it opens. A file that cannot be opened cannot be compared either.
            drop(source.open(file));
            self.file_systems.by_device(device)?;
        }
        let at = known.unwrap_or_else(|| {
            self.asked.push((device, self.file_systems.identity(device)));
            self.asked.len() - 1
        });
        self.asked[at].1.as_deref()
    }
}

impl Rounds<'_> {
    /// Takes out the classes with a digest in the earlier report, and divides them by content: a class with a known digest needs
    /// no earlier round.
    pub(super) fn known(&mut self, candidates: &mut Candidates) -> Result<Candidates, Error> {
        let Some(earlier) = &self.search.earlier else { return Ok(Candidates::default()) };
        let plan = source::plan(self.plan);
        let budget = Budget::new(&plan);
        let mut source = Source::new(&plan, self.catalog, self.control, &budget);
        let mut identities = Identities { file_systems: &plan.file_systems, asked: Vec::new() };
        let mut path = Vec::new();
        let mut take = |file: FileId| -> Option<Kept> {
            if earlier.files() == 0 {
                return None;
            }
            // Any name will do: which one was read is not for this run to say.
            let others = self.links.names(file).filter(|&name| name != file);
            std::iter::once(file).chain(others).find_map(|name| {
                path.clear();
                self.catalog.path_to(name, &mut path);
                let Entry { size, mtime_ns, identity, .. } = self.catalog.entry(name);
                let file_system = identities.of(identity.device, name, &mut source)?;
                let (inode, ctime_ns) = (identity.inode, identity.ctime_ns());
                let kept = earlier.digest(&path, &Now { inode, size, mtime_ns, ctime_ns, file_system })?;
                // The cached status of a file on a server may be seconds old.
                let is_remote = plan.file_systems.is_remote(identity.device);
                let mut is_fresh = |name| source.open(name).and_then(|open| open.is_fresh()).unwrap_or(false);
                (!is_remote || is_fresh(name)).then_some(kept)
            })
        };
        let mut modes = Vec::new();
        candidates.know(|candidate| {
            let kept = take(candidate.file)?;
            modes.push(kept.mode);
            Some(kept.digest)
        });
        // A later search can take the digest from this report, even one that was cut short.
        let known = candidates.all().iter().filter_map(|candidate| Some((candidate.file, candidate.digest?)));
        for ((file, digest), &mode) in known.zip(&modes) {
            let Entry { size, mtime_ns, identity, .. } = self.catalog.entry(file);
            let is_sparse = self.catalog.is_sparse(file);
            let outcome = Outcome::Done { size, mtime_ns, identity, mode, is_sparse, keep: Keep::Yes };
            let told = self.sink.record(&record(self.catalog, file, outcome, &[Value::Digest(digest)]));
            told.map_err(Error::Sink)?;
        }
        let mut partly = candidates.take(|class| class.iter().any(|candidate| candidate.digest.is_some()));
        let count = modes.len() as u64;
        self.report.duplicates.get_or_insert_default().known_files += count;
        self.read("content", Reads::Whole, Arc::new(Blake3), &mut partly)?;
        self.divide_by_digest(&mut partly);
        Ok(partly)
    }
}
