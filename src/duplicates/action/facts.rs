//! Facts about a file and its directory that decide what can be done, gathered without reading content.
//!
//! The dry run and `--apply` gather the same facts with [`Facts::gather`], and [`super::decide()`] decides from them alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, IFlags, StatxFlags, accessat, fstat, fstatfs, ioctl_getflags, statx};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::Place;
use super::act::Refusal;
use super::attributes::{Attribute, attributes};
use super::kernel::{self, Shared, share_blocks, take_lease};
use super::open::{Opened, Role, number};
use super::step::{Step, Steps};
use crate::record::Action;

/// A file as it is before an action.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Size in bytes.
    pub(super) size: u64,
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    /// Names that the file has, in the search and outside of it.
    pub(crate) links: u64,
    /// Device and inode of the directory it lies in.
    pub(crate) directory: (u64, u64),
    /// What hard links have in common.
    pub(crate) class: Class,
    /// Facts that only one of the actions asks for.
    pub(super) of_action: OfAction,
}

/// What hard links to one file have in common beside the content, and where links are possible at all. For shared blocks only
/// the device and some flags count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(super) device: u64,
    /// The mount that the name was reached by: links do not lead from one to another, even on one file system.
    pub(super) mount: u64,
    pub(super) owner: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
    /// As `chattr` sets them.
    pub(super) flags: u32,
    /// The project that quotas count the file for.
    pub(super) project: u32,
    pub(super) attributes: Vec<Attribute>,
}

#[derive(Debug)]
pub(super) enum OfAction {
    Hardlink(Linking),
    Reflink(Sharing),
}

/// Facts for hard links.
#[derive(Debug)]
pub(super) struct Linking {
    /// Whether no program has the file open for writing, and the kernel can say so.
    pub(super) lease: Result<(), Errno>,
    /// Whether the open file can be linked by way of /proc.
    pub(super) is_in_proc: bool,
    /// The type of the file system, as statfs(2) has it.
    pub(super) system: u64,
    /// Whether names may be added to the directory and taken from it.
    pub(super) access: Result<(), Errno>,
    /// Whether the directory only takes new names (`chattr +a`).
    pub(super) is_append_only: bool,
    /// Whether a sticky directory keeps the caller from replacing the name.
    pub(super) is_sticky: bool,
    /// Whether the name is a mount point.
    pub(super) is_mount_point: bool,
    /// The project that links in the directory must belong to.
    pub(super) project_asked: Option<u32>,
}

/// Facts for shared blocks.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) handle: OwnedFd,
    /// Whether the kernel would let the file share its own blocks. It has not done so.
    pub(super) probe: Result<(), Errno>,
}

/// The flags that people set, and that a file keeps. The others say how a file system stores the file.
const FLAGS: IFlags = IFlags::APPEND
    .union(IFlags::COMPRESSED)
    .union(IFlags::IMMUTABLE)
    .union(IFlags::JOURNALING)
    .union(IFlags::NOATIME)
    .union(IFlags::NOCOW)
    .union(IFlags::NODUMP)
    .union(IFlags::NOTAIL)
    .union(IFlags::SECURE_REMOVAL)
    .union(IFlags::SYNC)
    .union(IFlags::UNRM);

const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683E;

/// File systems whose syncfs(2) has the content of every file on the disk: ext4, XFS, Btrfs, F2FS, bcachefs, tmpfs. Of a file
/// system in user space the kernel only waits until the program behind it has taken the content.
const SYNCED_TOGETHER: &[u64] = &[0xEF53, XFS, BTRFS, 0xF2F5_2010, 0xCA45_1A4E, 0x0102_1994];

impl Facts {
    /// Whether one call brings the content of all files of the file system to the disk.
    pub(super) fn syncs_together(&self) -> bool {
        matches!(&self.of_action, OfAction::Hardlink(linking) if SYNCED_TOGETHER.contains(&linking.system))
    }

    /// Opens a file, which must be as it was when it was read, and gathers its facts. It is closed again.
    pub(super) fn look(
        steps: &Steps<'_>,
        action: Action,
        place: &Place<'_>,
        role: Role,
    ) -> Result<Facts, Refusal> {
        let opened = Opened::open(steps, place, role)?;
        Facts::gather(steps, action, &opened, place.directory)
    }

    /// Gathers the facts of an open file. A lease that is taken lasts until the file is closed.
    pub(super) fn gather(
        steps: &Steps<'_>,
        action: Action,
        file: &Opened,
        directory: BorrowedFd<'_>,
    ) -> Result<Facts, Refusal> {
        let failed = |step: Step| move |errno| step.failed(file.name(), errno);
        let stat = &file.stat;
        let above = steps.take(Step::Status, || fstat(directory)).map_err(failed(Step::Status))?;
        let device = number(stat.st_dev);
        let flags = flags(file.handle.as_fd()).intersection(FLAGS);
        let class = match action {
            // Whatever else differs stays different.
            Action::Reflink => Class {
                device,
                flags: flags.intersection(IFlags::IMMUTABLE | IFlags::NOCOW).bits(),
                ..Class::default()
            },
            Action::Hardlink => Class {
                device,
                mount: mount(file.handle.as_fd()),
                owner: stat.st_uid,
                group: stat.st_gid,
                mode: stat.st_mode,
                flags: flags.bits(),
                project: kernel::project(file.handle.as_fd()),
                attributes: steps
                    .take(Step::Attributes, || attributes(&file.handle))
                    .map_err(failed(Step::Attributes))?,
            },
        };
        let of_action = match action {
            Action::Hardlink => OfAction::Hardlink(Linking::gather(steps, file, directory, &above, &class)?),
            Action::Reflink => OfAction::Reflink(Sharing::gather(steps, file)?),
        };
        Ok(Facts {
            size: file.size(),
            inode: (device, number(stat.st_ino)),
            links: number(stat.st_nlink),
            directory: (number(above.st_dev), number(above.st_ino)),
            class,
            of_action,
        })
    }
}

impl Linking {
    fn gather(
        steps: &Steps<'_>,
        file: &Opened,
        directory: BorrowedFd<'_>,
        above: &rustix::fs::Stat,
        class: &Class,
    ) -> Result<Linking, Refusal> {
        let failed = |step: Step| move |errno| step.failed(file.name(), errno);
        let lease = match steps.take(Step::Lease, || Ok(take_lease(file.handle.as_fd()))) {
            Ok(lease) => lease,
            Err(errno) => return Err(Step::Lease.failed(file.name(), errno)),
        };
        let system = steps.take(Step::Status, || fstatfs(&file.handle)).map_err(failed(Step::Status))?;
        let access = steps.take(Step::Access, || Ok(access(directory))).map_err(failed(Step::Access))?;
        let directory_flags = flags(directory);
        let (own, user) = (geteuid(), geteuid().as_raw());
        let is_restricted = above.st_mode & nix::libc::S_ISVTX != 0;
        let asks_project = directory_flags.contains(IFlags::PROJECT_INHERIT);
        Ok(Linking {
            lease,
            is_in_proc: is_in_proc(file),
            system: type_of(&system),
            access,
            is_append_only: directory_flags.contains(IFlags::APPEND),
            is_sticky: is_restricted && !own.is_root() && user != above.st_uid && user != class.owner,
            is_mount_point: mount(directory) != class.mount,
            project_asked: asks_project.then(|| kernel::project(directory)),
        })
    }
}

impl Sharing {
    fn gather(steps: &Steps<'_>, file: &Opened) -> Result<Sharing, Refusal> {
        let failed = |step: Step| move |errno| step.failed(file.name(), errno);
        let handle = file.handle.try_clone().map_err(|error| {
            Step::Open.failed(file.name(), Errno::from_io_error(&error).unwrap_or(Errno::IO))
        })?;
        let probe = steps.take(Step::Probe, || Ok(probe(file))).map_err(failed(Step::Probe))?;
        Ok(Sharing { handle, probe })
    }
}

/// Asks the kernel whether a file may share blocks, by sharing nothing: all checks but those of the content are made.
fn probe(file: &Opened) -> Result<(), Errno> {
    let handle = file.handle.as_fd();
    can_share(handle, handle)?;
    // XFS may be made without shared blocks, and a file may be swap space: both are said only when some bytes are asked for. A
    // file and itself overlap, which is refused as invalid.
    let asks_further = fstatfs(handle).is_ok_and(|system| matches!(type_of(&system), XFS | BTRFS));
    let asked =
        if asks_further { share_blocks(handle, handle, 0, file.size().min(4096)).map(drop) } else { Ok(()) };
    match asked {
        Err(errno @ (Errno::OPNOTSUPP | Errno::TXTBSY)) => Err(errno),
        _ => Ok(()),
    }
}

/// Whether the kernel would let `into` share the blocks of `from`, whatever their content.
pub(super) fn can_share(from: BorrowedFd<'_>, into: BorrowedFd<'_>) -> Result<(), Errno> {
    share_blocks(from, into, 0, 0).map(|_: Shared| ())
}

/// The type of a file system as a number without a sign.
#[allow(clippy::useless_conversion, reason = "on some processors it is a smaller number")]
fn type_of(system: &rustix::fs::StatFs) -> u64 {
    u64::from_ne_bytes(i64::from(system.f_type).to_ne_bytes())
}

fn access(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    match accessat(directory, c".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
        // Before Linux 5.8 the kernel answers for the real user only: the attempt has to show it.
        Err(Errno::NOSYS | Errno::INVAL) => Ok(()),
        answered => answered,
    }
}

fn flags(file: BorrowedFd<'_>) -> IFlags {
    // Many file systems have none.
    ioctl_getflags(file).unwrap_or(IFlags::empty())
}

/// The number of the mount that a handle was opened by, or 0 before Linux 5.8.
fn mount(file: BorrowedFd<'_>) -> u64 {
    let found = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
    found
        .ok()
        .filter(|found| found.stx_mask & StatxFlags::MNT_ID.bits() != 0)
        .map_or(0, |found| found.stx_mnt_id)
}

fn is_in_proc(file: &Opened) -> bool {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.handle.as_raw_fd());
    rustix::fs::stat(path).is_ok_and(|found| super::open::is_same_file(&found, &file.stat))
}
