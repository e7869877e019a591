//! A name becomes one of another file, which has the same content.
//!
//! Nothing is overwritten: a new link to the kept file and the old name are exchanged in one step, and the old file loses
//! its name only after another look at it. Until then all can be taken back, and is where anything is not as it should be.
//!
//! Nobody may write to either file meanwhile, or what they write would be lost with the old name. Leases see to that: they
//! are refused where somebody has a file open for writing, and whoever wants to open one later waits, which shows and ends
//! the attempt. They know of this machine alone: what others write to a network file system at the same time they do not
//! show.
//!
//! One race remains. A program that has looked up the old name before the exchange, but comes to the point where opening
//! waits for the lease only after the last look at it, gets the old file after that has lost its name. What it writes is
//! gone when it closes the file. The program must have been held up inside of its own open(2) while all the system calls
//! between the exchange and the last look were made; but it is not impossible, and the kernel offers no way to close the
//! gap.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, RenameFlags, Stat, linkat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::act::Refusal;
use super::decide::{LINKS_FULL, OTHER_FILE_SYSTEM};
use super::kernel::has_lease;
use super::open::{Opened, content_stamp};
use super::step::{Step, Steps};
use crate::groups::name_beside;

/// A name that is to lead to another file, with the file that it leads to now.
pub(super) struct Replaced<'p> {
    pub(super) file: Opened,
    pub(super) directory: BorrowedFd<'p>,
    pub(super) name: &'p [u8],
}

/// Makes the name of `replace` one of `keep`. Both files hold leases, their content was compared under them, and that of
/// `keep` is on the disk.
pub(super) fn link(steps: &Steps<'_>, keep: &Opened, replace: &Replaced<'_>) -> Result<(), Refusal> {
    // Attributes too are as they were compared: to set one changes the time of last change.
    keep.check_unchanged(steps)?;
    replace.file.check_unchanged(steps)?;
    let swap = Swap { steps, keep, replace, beside: link_beside(steps, keep, replace)? };
    swap.run().map_err(|refusal| swap.undo(refusal))
    // The directory is not synced. A file system with a journal brings the exchange to the disk before the removal, or
    // neither, and so leaves the name with one file or the other, both of which have their content on the disk.
}

/// Checks that the lease of a file still stands, and that no program waits for its end.
pub(super) fn check_lease(steps: &Steps<'_>, file: &Opened) -> Result<(), Refusal> {
    match steps.take(Step::CheckLeases, || has_lease(file.handle.as_fd())) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{} was opened for writing meanwhile", file.name()).into()),
        Err(errno) => Err(Step::CheckLeases.failed(file.name(), errno)),
    }
}

/// Links the kept file to a new name beside the one that it is to get, and returns the new name.
///
/// The link is made from the open handle, by way of /proc, and so to the very file that was compared; by name it could be
/// one that has taken its place since. (`AT_EMPTY_PATH` does the same without /proc, but not for every user.)
fn link_beside(steps: &Steps<'_>, keep: &Opened, replace: &Replaced<'_>) -> Result<String, Refusal> {
    let handle = format!("/proc/self/fd/{}", keep.handle.as_raw_fd());
    let directory = replace.directory;
    let mut attempts_left = 4;
    loop {
        let name = unguessable_name();
        let link = || linkat(CWD, &handle, directory, &name, AtFlags::SYMLINK_FOLLOW);
        match steps.take(Step::Link, link) {
            Ok(()) => return Ok(name),
            Err(Errno::EXIST) if attempts_left > 0 => attempts_left -= 1,
            Err(Errno::MLINK) => return Err(LINKS_FULL.into()),
            Err(Errno::XDEV) => return Err(OTHER_FILE_SYSTEM.into()),
            Err(errno) => return Err(Step::Link.failed(keep.name(), errno)),
        }
    }
}

/// The standard library seeds its hash tables with random numbers of the system, and no two alike.
pub(super) fn unguessable_name() -> String {
    let random = || u128::from(RandomState::new().build_hasher().finish());
    name_beside(random() << 64 | random())
}

/// The name that is replaced, and beside it the new name: of the kept file before the exchange, of the old one after it.
struct Swap<'s> {
    steps: &'s Steps<'s>,
    keep: &'s Opened,
    replace: &'s Replaced<'s>,
    beside: String,
}

impl Swap<'_> {
    /// Up to the end. Where it fails, all of it can still be taken back.
    fn run(&self) -> Result<(), Refusal> {
        match self.find(Step::CheckLink, self.keep) {
            Ok(Some(_)) => {}
            Ok(None) => return Err("a new link to the kept file leads elsewhere".into()),
            Err(errno) => return Err(Step::CheckLink.failed(self.keep.name(), errno)),
        }
        // Whoever writes to the kept file from here on writes to what both names lead to. After the exchange it would be wrong
        // to take it back for them: they may have come by the name that is replaced.
        check_lease(self.steps, self.keep)?;
        self.exchange(Step::Exchange).map_err(|errno| match errno {
            Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => "the file system cannot exchange names".into(),
            Errno::NOENT => "it is gone".into(),
            _ => Step::Exchange.failed("it", errno),
        })?;
        match self.find(Step::CheckOld, &self.replace.file) {
            Ok(Some(old)) if content_stamp(&old) == content_stamp(&self.replace.file.stat) => {}
            Ok(Some(_)) => return Err("it was changed meanwhile".into()),
            Ok(None) => return Err("another file took its name meanwhile".into()),
            Err(errno) => return Err(Step::CheckOld.failed("it", errno)),
        }
        // Last, so that as little time as can be lies between this and the end of the old name.
        check_lease(self.steps, &self.replace.file)?;
        self.unlink(Step::Unlink).map_err(|errno| Step::Unlink.failed("it", errno))
    }

    /// Brings back what was there before. It goes by what it finds, as a step that failed may have been taken all the same.
    fn undo(&self, refusal: Refusal) -> Refusal {
        let leftover = |why: &str| -> Refusal {
            format!("{refusal}; {why} is left beside it as {}", self.beside).into()
        };
        match self.find(Step::CheckUndo, self.keep) {
            Ok(Some(_)) => {}
            Err(Errno::NOENT) => return refusal,
            Err(_) => return leftover("what was linked"),
            Ok(None) => {
                if let Err(why) = self.exchange_back() {
                    return leftover(why);
                }
            }
        }
        match self.unlink(Step::UnlinkLink) {
            Ok(()) | Err(Errno::NOENT) => refusal,
            Err(_) => leftover("a link to the kept file"),
        }
    }

    /// Gives the old file its name again, unless that has been given to yet another one since.
    fn exchange_back(&self) -> Result<(), &'static str> {
        let Replaced { directory, name, .. } = *self.replace;
        let is_ours = || self.keep.under(directory, name).map(|found| found.is_some());
        match self.steps.take(Step::CheckUndo, is_ours) {
            Ok(true) => {}
            Ok(false) => return Err("the file that had its name"),
            Err(_) => return Err("the old file"),
        }
        if self.exchange(Step::ExchangeBack).is_err() {
            return Err("the old file");
        }
        match self.find(Step::CheckUndo, self.keep) {
            Ok(Some(_)) => Ok(()),
            Err(_) => Err("what was linked"),
            Ok(None) => {
                // Between the look and the exchange somebody gave the name to another file: that one is to have it.
                let is_back = self.exchange(Step::ExchangeBack).is_ok();
                Err(if is_back { "the file that had its name" } else { "the file that has its name" })
            }
        }
    }

    /// What is known of the file under the new name, where that is `file`.
    fn find(&self, step: Step, file: &Opened) -> Result<Option<Stat>, Errno> {
        self.steps.take(step, || file.under(self.replace.directory, self.beside.as_bytes()))
    }

    fn exchange(&self, step: Step) -> Result<(), Errno> {
        let Replaced { directory, name, .. } = *self.replace;
        self.steps.take(step, || {
            renameat_with(directory, self.beside.as_str(), directory, name, RenameFlags::EXCHANGE)
        })
    }

    fn unlink(&self, step: Step) -> Result<(), Errno> {
        let directory = self.replace.directory;
        self.steps.take(step, || unlinkat(directory, self.beside.as_str(), AtFlags::empty()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#[allow(clippy::print_stdout, reason = "what could not be tried is told")]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File, OpenOptions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::time::{Duration, Instant, SystemTime};

    use rustix::fs::XattrFlags;

    use super::super::scene::{Scene, act};
    use super::*;
    use crate::faults::Faults;
    use crate::record::{Acted, Action};

    /// None where the file system has no leases.
    fn scene() -> Option<Scene> {
        Some(Scene::new("content")).filter(Scene::has_leases)
    }

    /// Acts, and calls `change` before the first step of a kind.
    fn act_and(scene: &Scene, at: Step, change: impl Fn()) -> Acted {
        let is_due = Cell::new(true);
        let acted = scene.act_watched(Action::Hardlink, &|step| {
            if step == at && is_due.replace(false) {
                change();
            }
        });
        assert!(!is_due.get(), "it never came to {at:?}");
        acted
    }

    #[track_caller]
    fn check_as_before(scene: &Scene, acted: &Acted, why: &str) {
        scene.check_refused(acted, why);
        assert_eq!((scene.content("keep"), scene.content("replace")), (b"content".into(), b"content".into()));
        assert_ne!(scene.inode("keep"), scene.inode("replace"));
    }

    fn touch(file: &File) {
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn the_name_is_one_of_the_kept_file() {
        let Some(scene) = scene() else { return };
        let before = scene.inode("keep");
        assert_eq!(scene.act(Action::Hardlink), Acted::Done);
        assert_eq!((scene.inode("keep"), scene.inode("replace")), (before, before));
        assert_eq!(scene.content("replace"), b"content");
        assert_eq!(scene.others(&["keep", "replace"]), [""; 0]);
        assert_eq!(scene.at("keep").metadata().unwrap().nlink(), 2);
        assert_eq!(scene.act(Action::Hardlink), Acted::Already);
        // And nothing is held any more: the kernel would let a lease stand for 45 seconds.
        let since = Instant::now();
        OpenOptions::new().write(true).open(scene.at("keep")).unwrap();
        assert!(since.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn the_two_may_lie_in_different_directories() {
        let (Some(here), Some(there)) = (scene(), scene()) else { return };
        let acted = act(Action::Hardlink, &here.place("keep"), &there.place("replace"), &Faults::default());
        assert_eq!(acted, Acted::Done);
        assert_eq!(there.inode("replace"), here.inode("keep"));
        assert!(
            here.others(&["keep", "replace"]).is_empty() && there.others(&["keep", "replace"]).is_empty()
        );
    }

    #[test]
    fn one_kept_file_serves_many() {
        let Some(scene) = scene() else { return };
        scene.file("third", "content");
        let (keep, second, third) = (scene.place("keep"), scene.place("replace"), scene.place("third"));
        for place in [&second, &third] {
            assert_eq!(act(Action::Hardlink, &keep, place, &Faults::default()), Acted::Done);
        }
        assert_eq!(scene.at("keep").metadata().unwrap().nlink(), 3);
    }

    #[test]
    fn whoever_may_do_more_or_less_is_not_made_the_same() {
        let Some(scene) = scene() else { return };
        fs::set_permissions(scene.at("replace"), fs::Permissions::from_mode(0o604)).unwrap();
        check_as_before(&scene, &scene.act(Action::Hardlink), "another mode");
        fs::set_permissions(scene.at("keep"), fs::Permissions::from_mode(0o604)).unwrap();
        for (owner, group, what) in [(None, Some(12345), "group"), (Some(12345), None, "owner")] {
            if let Err(error) = std::os::unix::fs::chown(scene.at("replace"), owner, group) {
                return println!("skipped: cannot give a file away: {error}");
            }
            check_as_before(&scene, &scene.act(Action::Hardlink), &format!("another {what}"));
        }
    }

    #[test]
    fn what_is_noted_on_a_file_is_not_lost() {
        let Some(scene) = scene() else { return };
        let set = |name, key: &str, value: &str| {
            rustix::fs::setxattr(scene.at(name), key, value.as_bytes(), XattrFlags::empty())
        };
        if let Err(error) = set("replace", "user.note", "1") {
            return println!("skipped: no extended attributes: {error}");
        }
        check_as_before(&scene, &scene.act(Action::Hardlink), "another extended attribute user.note");
        set("keep", "user.note", "2").unwrap();
        check_as_before(&scene, &scene.act(Action::Hardlink), "another extended attribute user.note");
        set("keep", "user.note", "1").unwrap();
        // More of them than fit the first buffer.
        let long = "x".repeat(2000);
        set("keep", "user.more", &long).unwrap();
        check_as_before(&scene, &scene.act(Action::Hardlink), "another extended attribute user.more");
        set("replace", "user.more", &long).unwrap();
        assert_eq!(scene.act(Action::Hardlink), Acted::Done);
    }

    #[test]
    fn links_do_not_cross_file_systems() {
        let (here, shm) = (Scene::new("content"), std::path::Path::new("/dev/shm"));
        let there = if shm.is_dir() { Scene::below(shm, "content") } else { Scene::new("content") };
        if here.place("keep").identity.device == there.place("keep").identity.device {
            return println!("skipped: there is one file system alone");
        }
        let acted = act(Action::Hardlink, &here.place("keep"), &there.place("replace"), &Faults::default());
        there.check_refused(&acted, "another file system");
    }

    #[test]
    fn a_file_with_all_the_links_it_can_have_gets_no_more() {
        let Some(scene) = scene() else { return };
        let names = scene.at("third");
        fs::create_dir(&names).unwrap();
        // ext4 allows 65,000; others have no such limit.
        let full = (0..66_000).find_map(|i| fs::hard_link(scene.at("keep"), names.join(i.to_string())).err());
        match full.and_then(|error| error.raw_os_error()) {
            Some(nix::libc::EMLINK) => {
                check_as_before(&scene, &scene.act(Action::Hardlink), "as many links as its file system");
            }
            other => println!("skipped: no limit of links was met: {other:?}"),
        }
    }

    #[test]
    fn who_has_a_file_open_for_writing_goes_on_writing_to_it() {
        let Some(scene) = scene() else { return };
        for (name, whom) in [("keep", "the kept file"), ("replace", "it")] {
            let writer = OpenOptions::new().append(true).open(scene.at(name)).unwrap();
            check_as_before(&scene, &scene.act(Action::Hardlink), &format!("{whom} is open for writing"));
            drop(writer);
            scene.settle(name);
        }
        assert_eq!(scene.act(Action::Hardlink), Acted::Done);
    }

    #[test]
    fn who_wants_to_write_meanwhile_gets_the_file_that_had_the_name() {
        for at in [Step::Read, Step::Sync, Step::Link, Step::Exchange, Step::CheckOld] {
            for (name, whom) in [("keep", "the kept file"), ("replace", "it")] {
                let Some(scene) = scene() else { return };
                // By its name, and after the exchange by an older look at that name.
                let held = File::open(scene.at(name)).unwrap();
                let acted = act_and(&scene, at, || {
                    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
                    let mut options = OpenOptions::new();
                    let opened = options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
                    assert_eq!(opened.unwrap_err().raw_os_error(), Some(nix::libc::EWOULDBLOCK));
                });
                if name == "keep" && matches!(at, Step::Exchange | Step::CheckOld) {
                    // Whoever came by either name is to write to the file that both lead to.
                    assert_eq!((acted, scene.inode("replace")), (Acted::Done, scene.inode("keep")));
                    continue;
                }
                check_as_before(&scene, &acted, &format!("{whom} was opened for writing meanwhile"));
                assert_eq!(scene.inode(name), held.metadata().unwrap().ino());
            }
        }
    }

    #[test]
    fn what_changes_while_it_is_compared_is_refused() {
        for (name, whom) in [("keep", "the kept file"), ("replace", "it")] {
            let Some(scene) = scene() else { return };
            let acted = act_and(&scene, Step::Sync, || {
                fs::set_permissions(scene.at(name), fs::Permissions::from_mode(0o600)).unwrap();
            });
            check_as_before(&scene, &acted, &format!("{whom} changed since it was read"));
        }
    }

    #[test]
    fn a_file_that_takes_the_name_just_before_keeps_it() {
        let Some(scene) = scene() else { return };
        scene.file("third", "other content");
        let acted = act_and(&scene, Step::Exchange, || {
            fs::rename(scene.at("third"), scene.at("replace")).unwrap();
        });
        scene.check_refused(&acted, "another file took its name");
        assert_eq!(scene.content("replace"), b"other content");
        assert_eq!(scene.content("keep"), b"content");
    }

    #[test]
    fn a_file_that_is_deleted_just_before_stays_so() {
        let Some(scene) = scene() else { return };
        let acted = act_and(&scene, Step::Exchange, || fs::remove_file(scene.at("replace")).unwrap());
        scene.check_refused(&acted, "it is gone");
        assert_eq!(scene.others(&["keep"]), [""; 0]);
    }

    #[test]
    fn the_file_that_was_compared_is_linked_whatever_has_its_name() {
        let Some(scene) = scene() else { return };
        let compared = scene.inode("keep");
        scene.file("third", "other content");
        let acted = act_and(&scene, Step::Link, || {
            fs::rename(scene.at("keep"), scene.at("elsewhere")).unwrap();
            fs::rename(scene.at("third"), scene.at("keep")).unwrap();
        });
        assert_eq!(acted, Acted::Done);
        assert_eq!((scene.inode("replace"), scene.content("replace")), (compared, b"content".to_vec()));
        assert_eq!(scene.content("keep"), b"other content");
    }

    #[test]
    fn an_old_file_that_changed_after_all_is_brought_back() {
        let Some(scene) = scene() else { return };
        let held = OpenOptions::new().read(true).open(scene.at("replace")).unwrap();
        let acted = act_and(&scene, Step::CheckOld, || touch(&held));
        check_as_before(&scene, &acted, "it was changed meanwhile");
        assert_eq!(scene.inode("replace"), held.metadata().unwrap().ino());
    }

    /// The name is given away while all is taken back: whoever has it now keeps it, and the old file is not lost.
    #[test]
    fn a_name_that_is_given_away_while_all_is_taken_back_stays_so() {
        for at in [Step::CheckUndo, Step::ExchangeBack] {
            let Some(scene) = scene() else { return };
            scene.file("third", "other content");
            let held = File::open(scene.at("replace")).unwrap();
            let (has_touched, has_taken) = (Cell::new(false), Cell::new(false));
            let acted = scene.act_watched(Action::Hardlink, &|step| {
                if step == Step::CheckOld && !has_touched.replace(true) {
                    touch(&held);
                }
                if step == at && !has_taken.replace(true) {
                    fs::rename(scene.at("third"), scene.at("replace")).unwrap();
                }
            });
            let Acted::Refused(reason) = acted else { panic!("{acted:?}") };
            let left = scene.others(&["keep", "replace"]);
            let [left] = left.as_slice() else { panic!("{left:?}") };
            assert!(reason.contains(left), "{reason}");
            assert_eq!(scene.inode(left), held.metadata().unwrap().ino());
            assert_eq!(scene.content("replace"), b"other content");
            assert_eq!(scene.content("keep"), b"content");
        }
    }
}
