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
use super::compare::check_same_content;
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

/// State that lasts from one batch to the next.
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
                Ok(Some((kept, replaced))) => ready.push(Ready { at, kept, replaced }),
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
                && kept[of_device[0]].facts.syncs_together()
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

/// Opens both files of a pair, takes leases on them and compares them. Returns the place of the kept file in `kept`, and the
/// name that is ready; `None` if both names lead to one file already.
fn prepare<'p>(
    steps: &Steps<'_>,
    pair: &Pair<'p>,
    kept: &mut Vec<Kept>,
) -> Result<Option<(usize, Replaced<'p>)>, Refusal> {
    // The pairs of a group may have several kept files in turn. Each link changes the status of a kept file, so it has one
    // handle in a batch.
    let at = match kept.iter().rposition(|kept| kept.is_at(&pair.keep)) {
        Some(at) => at,
        None => {
            kept.push(Kept::open(steps, &pair.keep)?);
            kept.len() - 1
        }
    };
    let keep = &mut kept[at];
    let compared = compare(steps, keep, pair);
    if compared.is_err() {
        keep.is_usable = keep.holds(steps);
    }
    compared.map(|replaced| replaced.map(|replaced| (at, replaced)))
}

fn compare<'p>(steps: &Steps<'_>, keep: &Kept, pair: &Pair<'p>) -> Result<Option<Replaced<'p>>, Refusal> {
    let replace = Opened::open(steps, &pair.replace, Role::Replaced)?;
    if keep.file.is_same_file(&replace) {
        return Ok(None);
    }
    let facts = Facts::gather(steps, Action::Hardlink, &replace, pair.replace.directory)?;
    decide(&keep.facts, number(keep.file.stat.st_nlink), &facts)?;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use std::cell::RefCell;

    use super::super::Actor;
    use super::super::scene::Scene;
    use super::*;
    use crate::faults::Faults;

    /// More kept files than are synced one by one.
    const PAIRS: usize = SYNCED_ALONE_MAX + 3;

    /// Pairs of equal files, each of another content; none if there are no leases.
    struct Pairs {
        scene: Scene,
        names: Vec<[String; 2]>,
    }

    impl Pairs {
        fn new(number: usize) -> Option<Pairs> {
            let scene = Scene::new("content");
            let names: Vec<[String; 2]> =
                (0..number).map(|i| [format!("keep{i}"), format!("replace{i}")]).collect();
            for (i, pair) in names.iter().enumerate() {
                pair.iter().for_each(|name| scene.file(name, format!("content {i}").repeat(100)));
            }
            scene.has_leases().then_some(Pairs { scene, names })
        }

        fn pairs(&self) -> Vec<Pair<'_>> {
            let names = self.names.iter();
            names
                .map(|[keep, replace]| Pair {
                    keep: self.scene.place(keep),
                    replace: self.scene.place(replace),
                })
                .collect()
        }

        /// Acts on all pairs in one batch. Returns the outcomes and all steps.
        fn act(&self, faults: &Faults) -> (Vec<Acted>, Vec<Step>) {
            let steps = RefCell::new(Vec::new());
            let watch = |step| steps.borrow_mut().push(step);
            let acted = Actor::with(Action::Hardlink, Steps::watched(faults, &watch)).act(&self.pairs());
            (acted, steps.take())
        }

        #[cfg(feature = "faults")]
        fn is_linked(&self, pair: usize) -> bool {
            let [keep, replace] = &self.names[pair];
            self.scene.inode(keep) == self.scene.inode(replace)
        }

        #[track_caller]
        fn check_content(&self) {
            for (i, pair) in self.names.iter().enumerate() {
                for name in pair {
                    assert_eq!(self.scene.content(name), format!("content {i}").repeat(100).as_bytes());
                }
            }
        }
    }

    #[test]
    fn no_name_is_linked_before_all_kept_files_are_on_the_disk() {
        for number in [1, SYNCED_ALONE_MAX, PAIRS] {
            let Some(pairs) = Pairs::new(number) else { return };
            let (acted, steps) = pairs.act(&Faults::default());
            assert_eq!(acted, vec![Acted::Done; number]);
            let syncs: Vec<usize> = (0..steps.len()).filter(|&at| steps[at] == Step::Sync).collect();
            let first_link = steps.iter().position(|&step| step == Step::Link).unwrap();
            // One for the whole file system, and a look at each file.
            assert_eq!(syncs.len(), if number > SYNCED_ALONE_MAX { number + 1 } else { number });
            assert!(syncs.iter().all(|&at| at < first_link), "{steps:?}");
            pairs.check_content();
        }
    }

    #[test]
    fn a_kept_file_of_many_pairs_is_brought_to_the_disk_once() {
        let Some(pairs) = Pairs::new(1) else { return };
        let others: Vec<String> = (0..20).map(|i| format!("other{i}")).collect();
        others.iter().for_each(|name| pairs.scene.file(name, "content 0".repeat(100)));
        let keep = pairs.scene.place("keep0");
        let all: Vec<Pair<'_>> =
            others.iter().map(|name| Pair { keep, replace: pairs.scene.place(name) }).collect();
        let (syncs, faults) = (RefCell::new(0), Faults::default());
        let count = |step| *syncs.borrow_mut() += usize::from(step == Step::Sync);
        let mut actor = Actor::with(Action::Hardlink, Steps::watched(&faults, &count));
        // In two batches.
        assert_eq!(actor.act(&all[..10]), vec![Acted::Done; 10]);
        let mut rest = all[10..].to_vec();
        // A number of links that no file has: the time of last change is not compared.
        rest.iter_mut().for_each(|pair| pair.keep.identity.links = 0);
        assert_eq!(actor.act(&rest), vec![Acted::Done; 10]);
        assert_eq!(syncs.take(), 1);
    }

    #[cfg(feature = "faults")]
    #[test]
    fn a_kept_file_that_cannot_be_brought_to_the_disk_gets_no_name() {
        use crate::faults::{Effect, Operation};
        for number in [1, SYNCED_ALONE_MAX, PAIRS] {
            let Some(pairs) = Pairs::new(number) else { return };
            let (_, steps) = pairs.act(&Faults::default());
            for (sync, at) in (0..steps.len()).filter(|&at| steps[at] == Step::Sync).enumerate() {
                for effect in [Effect::FailsOnce, Effect::FailsFromThenOn] {
                    let Some(pairs) = Pairs::new(number) else { return };
                    let faults = Faults::new(Operation::Act, at as u64 + 1, effect);
                    let (acted, steps) = pairs.act(&faults);
                    pairs.check_content();
                    let is_of_all = number > SYNCED_ALONE_MAX && sync == 0;
                    let failed: Vec<usize> = (0..number).filter(|&pair| acted[pair] != Acted::Done).collect();
                    match effect {
                        // After an error of the whole file system each file is asked for its own.
                        Effect::FailsOnce if is_of_all => assert_eq!(failed, [0; 0]),
                        Effect::FailsOnce => assert_eq!(failed.len(), 1, "{acted:?}"),
                        _ => {
                            assert!(!failed.is_empty());
                            let is_link = |step: &Step| matches!(step, Step::Exchange | Step::Unlink);
                            assert!(failed.len() < number || !steps.iter().any(is_link), "{steps:?}");
                        }
                    }
                    for &pair in &failed {
                        assert!(!pairs.is_linked(pair));
                        let Acted::Refused(why) = &acted[pair] else { panic!("{acted:?}") };
                        let is_sync = why == "cannot sync the kept file: EIO";
                        assert!(is_sync || effect == Effect::FailsFromThenOn, "{why}");
                    }
                    assert_eq!(pairs.scene.others(&[]).len(), 2 * number + 2);
                }
            }
        }
    }

    /// The kernel says once only that a page could not be written.
    #[cfg(feature = "faults")]
    #[test]
    fn a_second_attempt_does_not_make_up_for_a_sync_that_failed() {
        use crate::faults::{Effect, Operation};
        let Some(pairs) = Pairs::new(2) else { return };
        let (_, steps) = pairs.act(&Faults::default());
        let at = steps.iter().position(|&step| step == Step::Sync).unwrap();
        let Some(pairs) = Pairs::new(2) else { return };
        let faults = Faults::new(Operation::Act, at as u64 + 1, Effect::FailsOnce);
        let mut actor = Actor::new(Action::Hardlink, &faults);
        let refused = Acted::Refused("cannot sync the kept file: EIO".into());
        let all = pairs.pairs();
        assert_eq!(actor.act(&all), [refused.clone(), Acted::Done]);
        assert_eq!(actor.act(&all[..1]), [refused]);
        assert!(!pairs.is_linked(0) && pairs.is_linked(1));
        pairs.check_content();
    }
}
