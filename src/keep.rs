//! Decides whether an answer about a file may be kept, and used later without reading the file again.
//!
//! It may only if every later change of the file gives it a new ctime. Three things break that: a change within the same
//! tick of the clock; a page that was dirty in a shared writable mapping before the read, since the kernel stamps the file
//! when the page becomes dirty and not again until it is written back; and a file system that keeps no ctime of its own.
//! The entry points are `verdict`, the rule, and `Keeper`, which gathers the facts for one worker. A run that uses a kept
//! answer later compares path, inode, size, mtime, ctime and the identity of the file system.

#[cfg_attr(not(target_os = "linux"), path = "keep/file_system_none.rs")]
mod file_system;
#[cfg(target_os = "linux")]
mod kernel;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

#[cfg(target_os = "linux")]
pub(crate) use self::file_system::{is_mapped_safely, may_end_early};
#[cfg(target_os = "linux")]
pub(crate) use self::kernel::{has_lease, take_lease};

/// Whether an answer may be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The run did not ask: it makes no answers that are kept.
    #[default]
    Unasked,
    /// Every later change of the file gives it a new ctime.
    Yes,
    /// The file may change without a new ctime.
    No,
}

/// How a file system stamps its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By the clock of this machine, on every change, and dirty pages are written back.
    Local,
    /// By the clock of a server.
    Network,
    /// In a way that proves nothing. On tmpfs a process that maps a file and reads a page can then write to it, and ctime
    /// stays: the kernel write-protects no page that it never writes back. FAT and many FUSE servers show mtime as ctime.
    /// The upper layer of an overlay may lie on tmpfs.
    Unproven,
}

/// What the rule needs to know of a file when it is read. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: Kind,
    pub(crate) ctime_ns: i128,
    /// Files that changed before this have settled: all that was dirty then is written back. Network files are measured by
    /// the server's clock. `None`: nothing has settled.
    pub(crate) settled_ns: Option<i128>,
    /// A time after the file's ctime was asked for, and before its content is read.
    pub(crate) now_ns: i128,
}

/// What the facts say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    /// The answer may be kept if a read lease is granted before the read.
    KeepWithLease,
    Discard,
}

/// The rule. A lease is granted only if no process has the file open for writing or mapped writable. A process that opens it later
/// and writes gives it a new ctime, unless that falls into the same tick.
pub(crate) fn verdict(facts: &Facts) -> Verdict {
    let has_settled = facts.settled_ns.is_some_and(|settled_ns| facts.ctime_ns <= settled_ns);
    match facts.kind {
        Kind::Local | Kind::Network if has_settled => Verdict::Keep,
        Kind::Local if facts.ctime_ns < facts.now_ns - TICK_NS => Verdict::KeepWithLease,
        _ => Verdict::Discard,
    }
}

/// The clock that stamps files may be this coarse: old file systems count whole seconds, FAT pairs of them.
pub(crate) const TICK_NS: i128 = 2_000_000_000;

/// A file settles for this long at least.
const SETTLE_MIN: Duration = Duration::from_secs(60);

/// A time in nanoseconds since 1970.
pub(crate) fn nanoseconds(time: SystemTime) -> i128 {
    let whole = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => whole(after),
        Err(before) => -whole(before.duration()),
    }
}

/// The file systems that a run meets, and the time before which their files have settled. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct FileSystems {
    /// Without a run, nothing has settled.
    settled_ns: Option<i128>,
    settle_ns: i128,
    met: Arc<Mutex<Vec<Arc<FileSystem>>>>,
}

/// A file system.
#[derive(Debug)]
pub(crate) struct FileSystem {
    /// The device number that stat returns for its files.
    device: u64,
    pub(crate) kind: Kind,
    /// Identifies it among all file systems, also after a remount; `None` if nothing does.
    identity: Option<String>,
    /// The newest ctime seen on it, in seconds since 1970: its clock has come this far. `i64::MIN`: none yet.
    newest_ctime: AtomicI64,
}

impl FileSystems {
    /// Those of a run that begins now, before it opens any file.
    pub(crate) fn of_run() -> FileSystems {
        let settle = file_system::write_back_time().map(|time| time.max(SETTLE_MIN));
        // Before that the machine was not up, so that its clock may have been set since.
        let settle = settle.filter(|settle| file_system::uptime().is_none_or(|uptime| uptime > *settle));
        let settle_ns = settle.and_then(|settle| i128::try_from(settle.as_nanos()).ok());
        FileSystems {
            settled_ns: settle_ns.map(|settle_ns| nanoseconds(SystemTime::now()) - settle_ns),
            settle_ns: settle_ns.unwrap_or(i128::MAX / 2),
            met: Arc::default(),
        }
    }

    /// The file system with this device number, if the run has met it.
    pub(crate) fn by_device(&self, device: u64) -> Option<Arc<FileSystem>> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.iter().find(|file_system| file_system.device == device).cloned()
    }

    /// The identity of the file system with this device number.
    pub(crate) fn identity(&self, device: u64) -> Option<String> {
        self.by_device(device).and_then(|file_system| file_system.identity.clone())
    }

    /// Adds the file system that a path lies on. Returns its device number, if the path can be opened.
    pub(crate) fn meet_path(&self, path: &std::path::Path) -> Option<u64> {
        file_system::of_path(path).map(|file_system| self.meet(file_system).device)
    }

    /// Whether a server stamps the files of this device number.
    pub(crate) fn is_remote(&self, device: u64) -> bool {
        self.by_device(device).is_some_and(|file_system| file_system.kind == Kind::Network)
    }

    fn meet(&self, file_system: FileSystem) -> Arc<FileSystem> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = met.iter().find(|known| known.device == file_system.device) {
            return known.clone();
        }
        let file_system = Arc::new(file_system);
        met.push(file_system.clone());
        file_system
    }
}

/// Gathers the facts for one worker.
#[derive(Debug)]
pub(crate) struct Keeper<'p> {
    file_systems: &'p FileSystems,
    /// The file system of the file before, which most likely is that of the next.
    last: Option<Arc<FileSystem>>,
}

#[cfg(target_os = "linux")]
impl<'p> Keeper<'p> {
    pub(crate) fn new(file_systems: &'p FileSystems) -> Keeper<'p> {
        Keeper { file_systems, last: None }
    }

    /// Enters the file system of an open file. Returns how it stamps its files, if that is known.
    pub(crate) fn enter(&mut self, file: std::os::fd::BorrowedFd<'_>, device: u64) -> Option<Kind> {
        if self.last.as_ref().is_none_or(|last| last.device != device) {
            let known = self.file_systems.by_device(device);
            let met = || file_system::of_file(file, device).map(|found| self.file_systems.meet(found));
            self.last = known.or_else(met);
        }
        self.last.as_ref().map(|last| last.kind)
    }

    /// Whether the answers about a file may be kept that lies on the file system entered last. Its status was just asked
    /// for, and its content is not read yet. After the read a second status must be the same.
    pub(crate) fn judge(&mut self, file: std::os::fd::BorrowedFd<'_>, ctime_ns: i128) -> Keep {
        let Some(file_system) = &self.last else { return Keep::No };
        let kind = file_system.kind;
        let settled_ns = match kind {
            // A ctime of the future says nothing about the clock of the server.
            Kind::Network => file_system
                .settled_ns(ctime_ns, self.file_systems.settle_ns)
                .map(|settled_ns| settled_ns.min(self.file_systems.settled_ns.unwrap_or(i128::MIN))),
            _ => self.file_systems.settled_ns,
        };
        let mut facts = Facts { kind, ctime_ns, settled_ns, now_ns: i128::MIN / 2 };
        let mut verdict = verdict(&facts);
        if verdict == Verdict::Discard && kind == Kind::Local {
            facts.now_ns = nanoseconds(SystemTime::now());
            verdict = self::verdict(&facts);
        }
        let is_kept = match verdict {
            Verdict::Keep => true,
            Verdict::KeepWithLease => kernel::grants_lease(file),
            Verdict::Discard => false,
        };
        if is_kept { Keep::Yes } else { Keep::No }
    }
}

#[cfg(target_os = "linux")]
impl FileSystem {
    /// The time before which files have settled, by the newest ctime of files that were opened before this one.
    fn settled_ns(&self, ctime_ns: i128, settle_ns: i128) -> Option<i128> {
        let seconds = i64::try_from(ctime_ns.div_euclid(1_000_000_000)).unwrap_or(i64::MIN);
        let newest = self.newest_ctime.fetch_max(seconds, Ordering::Relaxed);
        (newest != i64::MIN).then(|| i128::from(newest) * 1_000_000_000 - settle_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_NS: i128 = 1_000_000_000_000;

    fn facts(kind: Kind, ctime_ns: i128, settled_ns: Option<i128>) -> Facts {
        Facts { kind, ctime_ns, settled_ns, now_ns: NOW_NS }
    }

    #[test]
    fn a_file_that_settled_is_kept_and_another_one_with_a_lease() {
        let settled_ns = NOW_NS - 60_000_000_000;
        let of = |kind, ctime_ns| verdict(&facts(kind, ctime_ns, Some(settled_ns)));
        for (ctime_ns, local, network) in [
            (0, Verdict::Keep, Verdict::Keep),
            (settled_ns, Verdict::Keep, Verdict::Keep),
            (settled_ns + 1, Verdict::KeepWithLease, Verdict::Discard),
            (NOW_NS - TICK_NS - 1, Verdict::KeepWithLease, Verdict::Discard),
            (NOW_NS - TICK_NS, Verdict::Discard, Verdict::Discard),
            (NOW_NS + 1, Verdict::Discard, Verdict::Discard),
        ] {
            assert_eq!(of(Kind::Local, ctime_ns), local, "{ctime_ns}");
            assert_eq!(of(Kind::Network, ctime_ns), network, "{ctime_ns}");
            assert_eq!(of(Kind::Unproven, ctime_ns), Verdict::Discard, "{ctime_ns}");
        }
        let unsettled = |kind| verdict(&facts(kind, 0, None));
        assert_eq!(unsettled(Kind::Local), Verdict::KeepWithLease);
        assert_eq!(unsettled(Kind::Network), Verdict::Discard);
    }

    proptest! {
        /// An older ctime is never trusted less, and nothing is kept that changed after the clock was read.
        #[test]
        fn the_older_the_change_the_safer_the_answer(
            kind in prop_oneof![Just(Kind::Local), Just(Kind::Network), Just(Kind::Unproven)],
            ctime_ns in NOW_NS - 200_000_000_000..NOW_NS + 200_000_000_000,
            earlier_ns in 0..400_000_000_000_i128,
            margin_ns in proptest::option::of(TICK_NS..100_000_000_000),
        ) {
            let rank = |verdict| match verdict {
                Verdict::Keep => 2,
                Verdict::KeepWithLease => 1,
                Verdict::Discard => 0,
            };
            let of = |ctime_ns| verdict(&facts(kind, ctime_ns, margin_ns.map(|margin_ns| NOW_NS - margin_ns)));
            prop_assert!(rank(of(ctime_ns - earlier_ns)) >= rank(of(ctime_ns)));
            prop_assert!(ctime_ns < NOW_NS - TICK_NS + 1 || of(ctime_ns) == Verdict::Discard);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_server_has_the_clock_of_its_newest_file() {
        let server = FileSystem {
            device: 1,
            kind: Kind::Network,
            identity: None,
            newest_ctime: AtomicI64::new(i64::MIN),
        };
        let settled_s = |ctime_s: i128| server.settled_ns(ctime_s * 1_000_000_000 + 5, 60_000_000_000);
        let second = |seconds: i128| Some(seconds * 1_000_000_000);
        assert_eq!([settled_s(100), settled_s(50), settled_s(200)], [None, second(40), second(40)]);
        assert_eq!([settled_s(-7), settled_s(0)], [second(140); 2]);
    }

    #[test]
    fn times_before_1970_are_negative() {
        let second = Duration::from_secs(1);
        assert_eq!(nanoseconds(SystemTime::UNIX_EPOCH + second), 1_000_000_000);
        assert_eq!(nanoseconds(SystemTime::UNIX_EPOCH - second), -1_000_000_000);
    }

    #[test]
    fn nothing_has_settled_without_a_run() {
        assert_eq!(FileSystems::default().settled_ns, None);
        let now_ns = nanoseconds(SystemTime::now());
        let settled_ns = FileSystems::of_run().settled_ns;
        assert!(settled_ns.is_none_or(|settled_ns| settled_ns <= now_ns - 60_000_000_000 + TICK_NS));
    }
}
