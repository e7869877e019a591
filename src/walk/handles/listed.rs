//! Meets entries of a list: each folder is opened once while its entries follow each other, and they beside it.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, statat};
use rustix::io::retry_on_intr;

use super::Walker;
use super::reach::strike;
use crate::faults::Operation;
use crate::plan::{Met as Listed, PathList};
use crate::record::{Directory, Found};
use crate::walk::{Met, units};

/// Folders that were opened last, the latest at the end. A list in the order of a tree comes back to those above.
struct Recent {
    folders: Vec<(u32, Directory)>,
    most: usize,
}

impl Walker<'_, '_, '_> {
    /// Entries of the list, by their places in its order.
    pub(super) fn walk_entries(&mut self, entries: Range<usize>) -> ControlFlow<()> {
        let plan = self.walk.plan;
        let list = &plan.listed;
        let explored = units::share(plan) * entries.len() as u64;
        let nowhere = Directory::from_path(b"");
        let mut recent = Recent { folders: Vec::new(), most: self.walk.stack_handles };
        let order = &list.order()[entries];
        for (at, &met) in order.iter().enumerate() {
            if self.walk.control.should_stop() {
                return ControlFlow::Break(());
            }
            if !met.is_file() {
                self.look_again(&nowhere, list.path(met.entry()))?;
                continue;
            }
            let directory = self.folder_of(list, met, order.get(at + 1), &mut recent);
            self.meet_listed(directory.as_ref().unwrap_or(&nowhere), list, met)?;
        }
        self.walk.control.add_explored(explored);
        ControlFlow::Continue(())
    }

    /// The open folder of an entry; `None` if its whole path is as good, or the folder cannot be opened: then the worker
    /// that opens the file reports why.
    fn folder_of(
        &mut self,
        list: &PathList,
        met: Listed,
        next: Option<&Listed>,
        recent: &mut Recent,
    ) -> Option<Directory> {
        let folder = list.folder_of(met.entry());
        if let Some(at) = recent.folders.iter().rposition(|(known, _)| *known == folder) {
            let found = recent.folders.remove(at);
            recent.folders.push(found);
        } else {
            let text = list.folder(folder);
            let is_next = next.is_some_and(|next| list.folder_of(next.entry()) == folder);
            if text.is_empty() || !is_next {
                return None;
            }
            strike(&self.walk.plan.faults, Operation::OpenDirectory).ok()?;
            // It is not listed: to search it must be allowed, to read it need not.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = retry_on_intr(|| openat(CWD, text, flags, Mode::empty())).ok()?;
            let handle = Some(Arc::new(handle));
            if recent.folders.len() >= recent.most {
                recent.folders.remove(0);
            }
            let directory = Directory { handle, name_start: text.len(), ..Directory::from_path(b"") };
            recent.folders.push((folder, directory));
        }
        recent.folders.last().map(|(_, directory)| directory.clone())
    }

    /// An entry that was a regular file.
    fn meet_listed(&mut self, directory: &Directory, list: &PathList, met: Listed) -> ControlFlow<()> {
        let path = list.path(met.entry());
        let mut bytes = 0;
        if self.walk.plan.batch_bytes_max.is_some() {
            // Where this fails, so does opening, which then says why.
            let stat = match &directory.handle {
                Some(handle) => statat(handle, &path[directory.name_start..], AtFlags::SYMLINK_NOFOLLOW),
                None => statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW),
            };
            bytes = stat.ok().and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or(0);
        }
        (self.emit)(Met::Entry { directory, name: path, found: Found::File, bytes })
    }

    /// An entry that was no file, or not there.
    fn look_again(&mut self, nowhere: &Directory, path: &[u8]) -> ControlFlow<()> {
        match statat(CWD, path, AtFlags::empty()) {
            Ok(stat) => {
                let size = u64::try_from(stat.st_size).unwrap_or(0);
                let file_type = FileType::from_raw_mode(stat.st_mode);
                self.emit_file(nowhere, path, file_type, Found::FileThroughLinks, size)
            }
            Err(errno) => self.fail_listed(nowhere, path, errno),
        }
    }
}
