//! Hard links in batches: files are compared under their leases, the kept ones are brought to the disk together, and then
//! the names are replaced.
//!
//! A sync waits for the disk, and one for each name would take most of the time. The order within a batch keeps the promise
//! that no name leads to a file whose content is in memory alone: no link is made before the sync of its kept file.

use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{FlockOperation, fdatasync, flock, syncfs};
use rustix::io::Errno;

use super::act::Refusal;
use super::compare::{DIFFERS, check_same_content};
use super::decide::decide;
use super::facts::Facts;
use super::hardlink::{Replaced, check_lease, link};
use super::kernel::wait_for_pages;
use super::open::{Opened, Role, number};
use super::step::{Step, Steps};
use super::{Pair, Place};
use crate::record::{Acted, Action};

/// Up to this many kept files of a file system are synced one by one: others may have much more to write to it. A guess.
const SYNCED_ALONE_MAX: usize = 4;

/// What is kept from one batch to the next.
#[derive(Default)]
pub(super) struct Batches {
    /// The kept file of the last pair, with its lease: the next pair has the same one in a large group.
    last: Option<Kept>,
    /// Kept files that could not be brought to the disk: a second attempt would not show it.
    not_on_disk: HashSet<(u64, u64)>,
}

/// A kept file.
struct Kept {
    file: Opened,
    facts: Facts,
    is_on_disk: bool,
    /// Whether the next pair may have it.
    is_usable: bool,
}

impl Kept {
    fn open(steps: &Steps<'_>, place: &Place<'_>) -> Result<Kept, Refusal> {
        let file = Opened::open(steps, place, Role::Kept)?;
        let facts = Facts::gather(steps, Action::Hardlink, &file, place.directory)?;
        Ok(Kept { file, facts, is_on_disk: false, is_usable: true })
    }

    fn is_at(&self, place: &Place<'_>) -> bool {
        self.is_usable && self.facts.inode == (place.identity.device, place.identity.inode)
    }

    /// Whether the file is as it was opened, and no program waits to write to it.
    fn holds(&self, steps: &Steps<'_>) -> bool {
        check_lease(steps, &self.file).is_ok() && self.file.check_unchanged(steps).is_ok()
    }
}

/// A name that is ready to be replaced.
struct Ready<'p> {
    /// Its place among the pairs.
    at: usize,
    /// The place of its kept file among those of the batch.
    kept: usize,
    replaced: Replaced<'p>,
}

impl Batches {
    /// Makes each replaced name one of its kept file.
    pub(super) fn hardlink(&mut self, steps: &Steps<'_>, pairs: &[Pair<'_>]) -> Vec<Acted> {
        let mut acted: Vec<Acted> = pairs.iter().map(|_| Acted::Planned).collect();
        let mut kept: Vec<Kept> = self.last.take().filter(|last| last.holds(steps)).into_iter().collect();
        let mut ready: Vec<Ready<'_>> = Vec::with_capacity(pairs.len());
        for (at, pair) in pairs.iter().enumerate() {
            match prepare(steps, pair, &mut kept) {
                Ok(Some(replaced)) => ready.push(Ready { at, kept: kept.len() - 1, replaced }),
                Ok(None) => acted[at] = Acted::Already,
                Err(refusal) => acted[at] = Acted::Refused(refusal),
            }
        }
        let failed = self.sync(steps, &mut kept, &ready);
        let locked = Locked::new(&ready);
        for at in 0..ready.len() {
            let Ready { at: pair, kept: number, .. } = ready[at];
            acted[pair] = match &failed[number] {
                Some(refusal) => Acted::Refused(refusal.clone()),
                None => {
                    let done = link(steps, &kept[number].file, &ready[at].replaced);
                    kept[number].file.adopt_status();
                    adopt_status_of_links(&mut ready[at..]);
                    done.map_or_else(Acted::Refused, |()| Acted::Done)
                }
            };
        }
        drop(locked);
        self.last = kept.pop().filter(|last| last.is_usable && last.is_on_disk);
        acted
    }

    /// Brings the kept files of all names that are ready to the disk. Returns for each kept file why that failed.
    fn sync(&mut self, steps: &Steps<'_>, kept: &mut [Kept], ready: &[Ready<'_>]) -> Vec<Option<Refusal>> {
        let mut failed: Vec<Option<Refusal>> = kept.iter().map(|_| None).collect();
        let needed: HashSet<usize> = ready.iter().map(|ready| ready.kept).collect();
        let mut left: Vec<usize> = (0..kept.len()).filter(|at| needed.contains(at)).collect();
        for &at in &left {
            if self.not_on_disk.contains(&kept[at].facts.inode) {
                failed[at] = Some(Step::Sync.failed(Role::Kept.name(), Errno::IO));
            }
        }
        left.retain(|&at| failed[at].is_none() && !kept[at].is_on_disk);
        let device = |at: &usize| kept[*at].facts.inode.0;
        left.sort_by_key(device);
        for of_device in
            left.chunk_by(|a, b| device(a) == device(b)).map(<[usize]>::to_vec).collect::<Vec<_>>()
        {
            // An error of the whole file system may be that of any file on it: each is asked for its own then.
            let is_together = of_device.len() > SYNCED_ALONE_MAX
                && steps.take(Step::Sync, || syncfs(&kept[of_device[0]].file.handle)).is_ok();
            for at in of_device {
                let handle = &kept[at].file.handle;
                let synced =
                    match is_together.then(|| steps.take(Step::Sync, || wait_for_pages(handle.as_fd()))) {
                        Some(Ok(())) => Ok(()),
                        Some(Err(errno @ (Errno::IO | Errno::NOSPC | Errno::DQUOT))) => Err(errno),
                        None | Some(Err(_)) => steps.take(Step::Sync, || fdatasync(handle)),
                    };
                match synced {
                    Ok(()) => kept[at].is_on_disk = true,
                    Err(errno) => {
                        failed[at] = Some(Step::Sync.failed(Role::Kept.name(), errno));
                        self.not_on_disk.insert(kept[at].facts.inode);
                    }
                }
            }
        }
        failed
    }
}

/// Opens both files of a pair, takes leases on them and compares them. The kept file is the last of `kept` afterwards. Returns
/// `None` if both names lead to one file already.
fn prepare<'p>(
    steps: &Steps<'_>,
    pair: &Pair<'p>,
    kept: &mut Vec<Kept>,
) -> Result<Option<Replaced<'p>>, Refusal> {
    if !kept.last().is_some_and(|last| last.is_at(&pair.keep)) {
        kept.push(Kept::open(steps, &pair.keep)?);
    }
    let Some(keep) = kept.last_mut() else { return Ok(None) };
    let compared = compare(steps, keep, pair);
    if compared.is_err() {
        keep.is_usable = keep.holds(steps);
    }
    compared
}

fn compare<'p>(steps: &Steps<'_>, keep: &Kept, pair: &Pair<'p>) -> Result<Option<Replaced<'p>>, Refusal> {
    let replace = Opened::open(steps, &pair.replace, Role::Replaced)?;
    if keep.file.is_same_file(&replace) {
        return Ok(None);
    }
    let facts = Facts::gather(steps, Action::Hardlink, &replace, pair.replace.directory)?;
    decide(&keep.facts, number(keep.file.stat.st_nlink), &facts)?;
    if keep.file.size() != replace.size() {
        return Err(DIFFERS.into());
    }
    // A program that waits to write is not kept waiting until all of a large file has been read.
    check_same_content(steps, &keep.file, &replace, || {
        check_lease(steps, &keep.file)?;
        check_lease(steps, &replace)
    })?;
    let Place { directory, name, .. } = pair.replace;
    Ok(Some(Replaced { file: replace, directory, name }))
}

/// Takes over the new status of a file that has just lost a name, for its other names in the batch.
fn adopt_status_of_links(ready: &mut [Ready<'_>]) {
    let Some((done, others)) = ready.split_first_mut() else { return };
    let links = others.iter_mut().take_while(|other| other.replaced.file.is_same_file(&done.replaced.file));
    links.for_each(|other| other.replaced.file.adopt_status());
}

/// Shared locks on the directories in which temporary links are made: another run removes none there meanwhile.
struct Locked<'p>(Vec<BorrowedFd<'p>>);

impl<'p> Locked<'p> {
    /// A file system without locks, or a run that is removing links just now, is no reason to wait: see [`super::leftover`].
    fn new(ready: &[Ready<'p>]) -> Locked<'p> {
        let mut directories: Vec<BorrowedFd<'p>> =
            ready.iter().map(|ready| ready.replaced.directory).collect();
        directories.sort_by_key(AsRawFd::as_raw_fd);
        directories.dedup_by_key(|directory| directory.as_raw_fd());
        directories.retain(|directory| flock(directory, FlockOperation::NonBlockingLockShared).is_ok());
        Locked(directories)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        for directory in &self.0 {
            // The lock ends with the handle at the latest.
            let _ = flock(directory, FlockOperation::Unlock);
        }
    }
}
