//! Two files to act on, for the tests of this module, and file systems to have them on.

#![allow(clippy::print_stdout, reason = "what could not be tried is told")]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::step::{Step, Steps};
use super::{Actor, Pair, Place};
use crate::faults::Faults;
use crate::record::{Acted, Action, Identity};

/// Acts on one pair.
pub(super) fn act(action: Action, keep: &Place<'_>, replace: &Place<'_>, faults: &Faults) -> Acted {
    Actor::new(action, faults).act(&[Pair { keep: *keep, replace: *replace }]).remove(0)
}

/// A directory with the files `keep` and `replace` in it, and it alone.
pub(super) struct Scene {
    path: PathBuf,
    directory: File,
    /// Removes it in the end, where it was made here.
    root: Option<tempfile::TempDir>,
}

impl Scene {
    /// Both files have this content.
    pub(super) fn new(content: impl AsRef<[u8]>) -> Scene {
        Scene::below(&std::env::temp_dir(), content)
    }

    pub(super) fn below(parent: &Path, content: impl AsRef<[u8]>) -> Scene {
        let root = tempfile::tempdir_in(parent).expect("a directory for tests");
        let mut scene = Scene::at_path(root.path());
        scene.root = Some(root);
        scene.file("keep", &content);
        scene.file("replace", &content);
        scene
    }

    /// That of another process.
    pub(super) fn at_path(path: &Path) -> Scene {
        let directory = File::open(path).expect("a directory that is there");
        Scene { path: path.to_path_buf(), directory, root: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.at(name), content).expect("a file for tests");
        self.settle(name);
    }

    /// Waits until nobody has the file open for writing. A test beside this one that starts a process has it inherit all
    /// handles, until it becomes another program.
    pub(super) fn settle(&self, name: &str) {
        let file = File::open(self.at(name)).expect("a file that is there");
        let since = Instant::now();
        while super::kernel::take_lease(file.as_fd()) == Err(rustix::io::Errno::AGAIN) {
            assert!(since.elapsed() < Duration::from_secs(10), "{name} stays open for writing");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).expect("a file that is there")
    }

    pub(super) fn inode(&self, name: &str) -> u64 {
        self.at(name).symlink_metadata().expect("a file that is there").ino()
    }

    /// A name, and what is known of it now.
    pub(super) fn place<'s>(&'s self, name: &'s str) -> Place<'s> {
        let of = self.at(name).symlink_metadata().expect("a file that is there");
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Place {
            directory: self.directory.as_fd(),
            name: name.as_bytes(),
            size: of.size(),
            mtime_ns: nanoseconds(of.mtime(), of.mtime_nsec()),
            identity: Identity {
                device: of.dev(),
                inode: of.ino(),
                links: u32::try_from(of.nlink()).expect("few names"),
                ctime_seconds: of.ctime(),
                ctime_nanoseconds: u32::try_from(of.ctime_nsec()).expect("less than a second"),
            },
        }
    }

    pub(super) fn act(&self, action: Action) -> Acted {
        self.act_with(action, &Faults::default())
    }

    pub(super) fn act_with(&self, action: Action, faults: &Faults) -> Acted {
        act(action, &self.place("keep"), &self.place("replace"), faults)
    }

    /// Calls `before` before each step.
    pub(super) fn act_watched(&self, action: Action, before: &dyn Fn(Step)) -> Acted {
        let faults = Faults::default();
        let pair = Pair { keep: self.place("keep"), replace: self.place("replace") };
        Actor::with(action, Steps::watched(&faults, before)).act(&[pair]).remove(0)
    }

    /// What lies in the directory beside the files with these names.
    pub(super) fn others(&self, names: &[&str]) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("a directory that is there");
        entries
            .map(|entry| entry.expect("an entry that can be read").file_name().into_string())
            .map(|name| name.expect("a name of letters"))
            .filter(|name| !names.contains(&name.as_str()))
            .collect()
    }

    /// That it was refused, for a reason that says `why`, and nothing is left behind.
    #[track_caller]
    pub(super) fn check_refused(&self, acted: &Acted, why: &str) {
        let Acted::Refused(reason) = acted else { panic!("{acted:?}, where it should be refused: {why}") };
        assert!(reason.contains(why), "{reason:?} does not say {why:?}");
        assert_eq!(self.others(&["keep", "replace", "third"]), [""; 0], "{reason}");
    }

    /// Whether leases can be had on this file system. Says so where they cannot.
    pub(super) fn has_leases(&self) -> bool {
        let file = File::open(self.at("keep")).expect("a file that is there");
        let taken = super::kernel::take_lease(file.as_fd());
        if let Err(errno) = &taken {
            println!("skipped: no leases in {}: {errno}", self.path().display());
        }
        taken.is_ok()
    }
}

/// A file system of its own in a file, mounted; unmounted in the end.
pub(crate) struct Mounted {
    at: tempfile::TempDir,
}

impl Mounted {
    /// Makes one, which takes root, its mkfs, and a kernel that knows it. If that fails, `FILEMILL_MOUNTS=require` fails the
    /// test; otherwise it says so.
    pub(crate) fn new(kind: &str) -> Option<Mounted> {
        let image = tempfile::NamedTempFile::new().expect("a file for tests");
        // No less is enough for either.
        image.as_file().set_len(400 << 20).expect("a hole costs nothing");
        let at = tempfile::tempdir().expect("a directory for tests");
        let mount = ["mount", "-o", "loop", "-t", kind].map(AsRef::as_ref);
        let made = run([format!("mkfs.{kind}").as_ref(), "-q".as_ref(), image.path().as_os_str()]);
        let mounted = made
            .and_then(|()| run(mount.into_iter().chain([image.path().as_os_str(), at.path().as_os_str()])));
        match mounted {
            Ok(()) => Some(Mounted { at }),
            Err(why) => {
                let wanted = std::env::var("FILEMILL_MOUNTS").unwrap_or_default();
                assert!(
                    wanted != "require",
                    "FILEMILL_MOUNTS requires {kind} (auto skips these tests): {why}"
                );
                println!("skipped: no {kind}: {why}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // The loop device holds the image, which has no name any more, and goes with it. As with files open for writing, a
        // process that is just being started may hold it for a moment; what holds it longer is not waited for.
        let unmount = |how: &'static str| {
            run(["umount", how].map(AsRef::as_ref).into_iter().chain([self.at.path().as_os_str()]))
        };
        for _ in 0..100 {
            if unmount("--").is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Err(why) = unmount("--lazy") {
            println!("{} stays mounted: {why}", self.at.path().display());
        }
    }
}

fn run<'w>(words: impl IntoIterator<Item = &'w std::ffi::OsStr>) -> Result<(), String> {
    let mut words = words.into_iter();
    let program = words.next().expect("a command has a first word");
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{}: {}", program.display(), said.trim())) }
}
