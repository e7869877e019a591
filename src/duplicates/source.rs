//! Opens files of the catalog once more, which must be those that were met.

use crate::control::Control;
use crate::error::{Cause, FileError, Step};
use crate::groups::{Catalog, FileId};
use crate::plan::{Plan, Reads, Staging};
use crate::record::{Batch, Outcome};
use crate::stage::{Budget, OpenFile, Stage};
use crate::walk::again::{Known, Reach};

/// Where one thread reads files from.
pub(super) struct Source<'v> {
    reach: Reach<'v>,
    stage: Stage<'v>,
    catalog: &'v Catalog,
}

/// The plan of a source: files are read as they lie.
pub(super) fn plan(plan: &Plan) -> Plan {
    Plan { staging: Staging::Read, reads: Reads::Whole, ..plan.clone() }
}

impl<'v> Source<'v> {
    /// A source with a plan that [`plan`] made.
    pub(super) fn new(
        plan: &'v Plan,
        catalog: &'v Catalog,
        control: &'v Control,
        budget: &'v Budget,
    ) -> Source<'v> {
        Source { reach: Reach::new(plan), stage: Stage::new(plan, control, budget), catalog }
    }

    /// Looks at the file a second time: what was read counts where nothing has changed.
    pub(super) fn check_unchanged(&self, file: &OpenFile) -> Result<(), FileError> {
        match self.stage.close_part(file) {
            Outcome::Done { .. } => Ok(()),
            Outcome::Failed(error) => Err(error),
            _ => Err(FileError::new(Step::Stage, Cause::Changed)),
        }
    }

    /// Opens a file, which must be the one that was met.
    pub(super) fn open(&mut self, file: FileId) -> Result<OpenFile, FileError> {
        let entry = self.catalog.entry(file);
        let path = self.catalog.directory_path(entry.directory);
        let known = Known { directory: path, root: self.catalog.root_of(file), name: entry.name };
        let changed = || FileError::new(Step::Stage, Cause::Changed);
        let found = self.reach.found(&known);
        let directory =
            self.reach.directory(path, known.root).map_err(|error| FileError::from_io(Step::Walk, &error))?;
        let mut batch = Batch::default();
        batch.push(&directory, entry.name, found);
        let entry_of_batch = batch.entries().next().ok_or_else(changed)?;
        let opened = self.stage.open(&entry_of_batch).map_err(|outcome| match outcome {
            Outcome::Failed(error) => error,
            _ => changed(),
        })?;
        let is_same = (opened.mtime_ns(), opened.identity()) == (entry.mtime_ns, entry.identity);
        if is_same && opened.size() == entry.size { Ok(opened) } else { Err(changed()) }
    }
}
