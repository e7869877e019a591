//! The way into both actions: open, recognise, decide, then act.

use std::borrow::Cow;

use super::batch::Batches;
use super::compare::DIFFERS;
use super::decide::decide;
use super::extents::has_no_block_of_its_own;
use super::facts::Facts;
use super::open::{Opened, Role};
use super::step::Steps;
use super::{Pair, Place, reflink};
use crate::faults::Faults;
use crate::record::{Acted, Action};

/// Why nothing was changed.
pub(crate) type Refusal = Cow<'static, str>;

/// Acts on files, and looks at them for decisions.
pub(crate) struct Actor<'f> {
    steps: Steps<'f>,
    action: Action,
    batches: Batches,
}

impl<'f> Actor<'f> {
    pub(crate) fn new(action: Action, faults: &'f Faults) -> Actor<'f> {
        Actor::with(action, Steps::new(faults))
    }

    /// The same, with steps that tests watch.
    pub(super) fn with(action: Action, steps: Steps<'f>) -> Actor<'f> {
        Actor { steps, action, batches: Batches::default() }
    }

    /// Gathers the facts of a file that may be kept.
    pub(crate) fn look_at_kept(&self, place: &Place<'_>) -> Result<Facts, Refusal> {
        Facts::look(&self.steps, self.action, place, Role::Kept)
    }

    /// Gathers the facts of a file that may be replaced.
    pub(crate) fn look(&self, place: &Place<'_>) -> Result<Facts, Refusal> {
        Facts::look(&self.steps, self.action, place, Role::Replaced)
    }

    /// Whether all blocks of `copy` are blocks of `keep` as well, or it has none. Only for shared blocks.
    pub(crate) fn has_no_block_of_its_own(&self, keep: &Facts, copy: &Facts) -> Result<bool, Refusal> {
        has_no_block_of_its_own(&self.steps, keep, copy)
    }

    /// Makes each replaced name share the content of its kept file, and returns what was done to each. Whatever goes wrong,
    /// all names have their content afterwards.
    pub(crate) fn act(&mut self, pairs: &[Pair<'_>]) -> Vec<Acted> {
        match self.action {
            Action::Hardlink => self.batches.hardlink(&self.steps, pairs),
            Action::Reflink => {
                pairs.iter().map(|pair| share(&self.steps, pair).unwrap_or_else(Acted::Refused)).collect()
            }
        }
    }
}

/// Shares the blocks of one pair.
fn share(steps: &Steps<'_>, pair: &Pair<'_>) -> Result<Acted, Refusal> {
    let keep = Opened::open(steps, &pair.keep, Role::Kept)?;
    let replace = Opened::open(steps, &pair.replace, Role::Replaced)?;
    if keep.is_same_file(&replace) {
        return Ok(Acted::Already);
    }
    let gather =
        |file: &Opened, place: &Place<'_>| Facts::gather(steps, Action::Reflink, file, place.directory);
    let facts = (gather(&keep, &pair.keep)?, gather(&replace, &pair.replace)?);
    if keep.size() != replace.size() {
        return Err(DIFFERS.into());
    }
    if has_no_block_of_its_own(steps, &facts.0, &facts.1)? {
        return Ok(Acted::Already);
    }
    decide(&facts.0, 0, &facts.1)?;
    reflink::reflink(steps, &keep, &replace)?;
    Ok(Acted::Done)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#[allow(clippy::print_stdout, reason = "what could not be tried is told, and a child tells its parent")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::super::scene::{Mounted, Scene, act};
    use super::*;

    const ACTIONS: [Action; 2] = [Action::Hardlink, Action::Reflink];

    /// That both refuse, after `change` has changed `name` since it was read.
    #[track_caller]
    fn check_changed(name: &str, why: &str, change: impl Fn(&Scene)) {
        for action in ACTIONS {
            let scene = Scene::new("content");
            let (keep, replace) = (scene.place("keep"), scene.place("replace"));
            change(&scene);
            let acted = act(action, &keep, &replace, &Faults::default());
            let whom = if name == "keep" { "the kept file" } else { "it" };
            scene.check_refused(&acted, &format!("{whom} changed since it was read: {why}"));
        }
    }

    #[test]
    fn what_changed_since_it_was_read_is_refused() {
        for name in ["keep", "replace"] {
            check_changed(name, "it has another size", |scene| scene.file(name, "longer content"));
            check_changed(name, "it has another time of last modification", |scene| {
                let file = fs::File::options().write(true).open(scene.at(name)).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(1)).unwrap();
            });
            check_changed(name, "it has another time of last change", |scene| {
                // The clock of a file system may be a coarse one.
                std::thread::sleep(Duration::from_millis(20));
                fs::set_permissions(scene.at(name), fs::Permissions::from_mode(0o600)).unwrap();
            });
            check_changed(name, "its name leads to another file", |scene| {
                scene.file("third", "content");
                fs::rename(scene.at("third"), scene.at(name)).unwrap();
            });
            check_changed(name, "it is gone", |scene| fs::remove_file(scene.at(name)).unwrap());
            check_changed(name, "it is no regular file", |scene| {
                fs::rename(scene.at(name), scene.at("third")).unwrap();
                symlink("third", scene.at(name)).unwrap();
            });
            check_changed(name, "it is no regular file", |scene| {
                fs::remove_file(scene.at(name)).unwrap();
                fs::create_dir(scene.at(name)).unwrap();
            });
            check_changed(name, "it is no regular file", |scene| {
                use rustix::fs::{CWD, FileType, Mode, mknodat};
                fs::remove_file(scene.at(name)).unwrap();
                mknodat(CWD, scene.at(name), FileType::Fifo, Mode::RWXU, 0).unwrap();
            });
        }
    }

    #[test]
    fn names_that_come_and_go_are_no_change_of_the_file() {
        let scene = Scene::new("content");
        if !scene.has_leases() {
            return;
        }
        let (keep, replace) = (scene.place("keep"), scene.place("replace"));
        std::thread::sleep(Duration::from_millis(20));
        fs::hard_link(scene.at("keep"), scene.at("third")).unwrap();
        let acted = act(Action::Hardlink, &keep, &replace, &Faults::default());
        assert_eq!(acted, Acted::Done);
    }

    #[test]
    fn one_file_is_already_one() {
        for action in ACTIONS {
            let scene = Scene::new("content");
            fs::remove_file(scene.at("replace")).unwrap();
            fs::hard_link(scene.at("keep"), scene.at("replace")).unwrap();
            assert_eq!(scene.act(action), Acted::Already);
        }
    }

    #[test]
    fn nothing_is_shared_of_nothing() {
        for action in ACTIONS {
            let scene = Scene::new("");
            scene.check_refused(&scene.act(action), "it is empty");
        }
    }

    #[test]
    fn other_content_is_refused() {
        let scene = Scene::new("content");
        scene.file("replace", "longer content");
        for action in ACTIONS {
            scene.check_refused(&scene.act(action), DIFFERS);
        }
        scene.file("replace", "CONTENT");
        if scene.has_leases() {
            scene.check_refused(&scene.act(Action::Hardlink), DIFFERS);
        }
    }

    /// That one who may read the files alone is told so.
    fn check_as_nobody(scene: &Scene, action: Action, why: &str) {
        use std::os::unix::process::CommandExt;
        const NOBODY: u32 = 65534;
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root can become another user");
        }
        fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o777)).unwrap();
        match child(scene, action).uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => {
                let said = String::from_utf8(output.stdout).unwrap();
                assert!(said.contains(why), "{said}");
                assert_ne!(scene.inode("keep"), scene.inode("replace"));
            }
            // The tests may lie where nobody else may look.
            Err(error) => println!("skipped: cannot start as another user: {error}"),
        }
    }

    #[test]
    fn files_of_others_are_refused() {
        check_as_nobody(&Scene::new("content"), Action::Hardlink, "only the owner can make sure");
        let Some(mounted) = Mounted::new("btrfs").or_else(|| Mounted::new("xfs")) else { return };
        fs::set_permissions(mounted.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let scene = Scene::below(mounted.path(), [b'x'; 5000]);
        check_as_nobody(&scene, Action::Reflink, "takes permission to write to it");
    }

    /// This very binary again, to act on the scene in a process of its own.
    fn child(scene: &Scene, action: Action) -> std::process::Command {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "duplicates::action::act::tests::acts_where_it_is_told_to", "--nocapture"]);
        child.env("FILEMILL_TEST_ACT", scene.path()).env("FILEMILL_TEST_ACTION", action.name());
        child
    }

    /// The child's part. On its own it does nothing.
    #[test]
    fn acts_where_it_is_told_to() {
        let Some(path) = std::env::var_os("FILEMILL_TEST_ACT") else { return };
        let is_meant = |action: &Action| std::env::var("FILEMILL_TEST_ACTION").unwrap() == action.name();
        let action = ACTIONS.into_iter().find(is_meant).unwrap();
        #[cfg(feature = "faults")]
        let faults = std::env::var("FILEMILL_FAULT").map(|fault| Faults::parse(&fault).unwrap());
        #[cfg(feature = "faults")]
        let faults = faults.unwrap_or_default();
        #[cfg(not(feature = "faults"))]
        let faults = Faults::default();
        println!("acted: {:?}", Scene::at_path(path.as_ref()).act_with(action, &faults));
    }

    #[cfg(feature = "faults")]
    mod faults {
        use super::*;
        use crate::faults::{Effect, Operation};

        /// Enough for a block: Btrfs keeps less in its metadata.
        const CONTENT: &[u8] = &[b'x'; 5000];

        /// For each action a place where it can be done, as far as there is one.
        fn each(mut check: impl FnMut(Action, &dyn Fn() -> Scene)) {
            if Scene::new(CONTENT).has_leases() {
                check(Action::Hardlink, &|| Scene::new(CONTENT));
            }
            if let Some(mounted) = Mounted::new("btrfs").or_else(|| Mounted::new("xfs")) {
                check(Action::Reflink, &|| Scene::below(mounted.path(), CONTENT));
            }
        }

        #[track_caller]
        fn check_content(scene: &Scene, what: &str) {
            assert_eq!(scene.content("keep"), CONTENT, "{what}");
            assert_eq!(scene.content("replace"), CONTENT, "{what}");
            for other in scene.others(&["keep", "replace"]) {
                assert!(other.starts_with(".filemill-"), "{what}: {other}");
                assert_eq!(scene.content(&other), CONTENT, "{what}");
            }
        }

        #[test]
        fn every_step_may_be_the_last_of_the_process() {
            each(|action, scene| {
                let mut at = 1;
                loop {
                    let what = format!("{} {at}", action.name());
                    let scene = scene();
                    let fault = format!("act:{at}:kill");
                    let output = child(&scene, action).env("FILEMILL_FAULT", fault).output().unwrap();
                    check_content(&scene, &what);
                    if output.status.success() {
                        let said = String::from_utf8(output.stdout).unwrap();
                        assert!(said.contains("acted: Done"), "{said}");
                        assert_eq!(scene.others(&["keep", "replace"]), [""; 0]);
                        break;
                    }
                    use std::os::unix::process::ExitStatusExt;
                    assert_eq!(output.status.signal(), Some(9), "{what}: {output:?}");
                    // The next attempt finds two files, or one that is done.
                    let again = scene.act(action);
                    assert!(matches!(again, Acted::Done | Acted::Already), "{what}: {again:?}");
                    check_content(&scene, &what);
                    at += 1;
                }
                assert!(at > if action == Action::Hardlink { 18 } else { 5 }, "only {at} steps");
            });
        }

        #[test]
        fn every_step_may_fail() {
            for effect in [Effect::FailsOnce, Effect::FailsFromThenOn] {
                each(|action, scene| {
                    for at in 1.. {
                        let what = format!("{} {at} {effect:?}", action.name());
                        let scene = scene();
                        let (inode, faults) =
                            (scene.inode("replace"), Faults::new(Operation::Act, at, effect));
                        let acted = scene.act_with(action, &faults);
                        check_content(&scene, &what);
                        let left = scene.others(&["keep", "replace"]);
                        if !faults.has_struck() {
                            assert_eq!((acted, left.len()), (Acted::Done, 0), "{what}");
                            break;
                        }
                        let Acted::Refused(reason) = &acted else { panic!("{what}: {acted:?}") };
                        if effect == Effect::FailsOnce {
                            assert!(left.is_empty(), "{what}: {left:?}, {reason}");
                            assert_eq!(scene.inode("replace"), inode, "{what}: {reason}");
                        }
                        assert_eq!(
                            reason.contains("is left beside it"),
                            !left.is_empty(),
                            "{what}: {reason}"
                        );
                    }
                });
            }
        }
    }
}
