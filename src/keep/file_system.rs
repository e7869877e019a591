//! Properties of a file system on Linux: how it stamps its files, and its identity.

use std::fmt::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use rustix::fs::{CWD, FileType, FsWord, Mode, OFlags, fstat, fstatfs, fstatvfs, major, minor, openat, stat};

use super::{FileSystem, Kind, kernel};

const EXT: FsWord = 0xef53;
const XFS: FsWord = 0x5846_5342;
const BTRFS: FsWord = 0x9123_683e;
const F2FS: FsWord = 0xf2f5_2010;
const ZFS: FsWord = 0x2fc1_2fc1;
const BCACHEFS: FsWord = 0xca45_1a4e;
const NFS: FsWord = 0x6969;
const FUSE: FsWord = 0x6573_5546;
const PLAN_9: FsWord = 0x0102_1997;
const TMPFS: FsWord = 0x0102_1994;
const HUGETLBFS: FsWord = 0x9584_58f6;

/// By what statfs(2) says. Everything unknown is unproven. So are files on SMB: a Windows server may stamp a file that was
/// written to as late as when its writer closes it. Clients of Ceph stamp files by their own clocks.
fn kind(system: FsWord) -> Kind {
    match system {
        EXT | XFS | BTRFS | F2FS | ZFS | BCACHEFS => Kind::Local,
        NFS => Kind::Network,
        _ => Kind::Unproven,
    }
}

/// Whether a mapping shows the bytes that a read would return. A FUSE server may have less content than it states, and the
/// kernel fills the rest of a page with zeros. Pages of hugetlbfs are larger than others.
pub(crate) fn is_mapped_safely(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| ![FUSE, PLAN_9, HUGETLBFS].contains(&system.f_type))
}

/// Whether the size that a file states may be more than its content. On a disk and in memory the file system itself counts
/// the bytes; a server or a driver may state what it likes.
pub(crate) fn may_end_early(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| kind(system.f_type) != Kind::Local && system.f_type != TMPFS)
}

/// The file system that an open file lies on.
pub(super) fn of_file(file: BorrowedFd<'_>, device: u64) -> Option<FileSystem> {
    let system = fstatfs(file).ok()?.f_type;
    let kind = kind(system);
    let identity = match kind {
        Kind::Local => identity(file, system, device),
        Kind::Network => identity(file, system, device).or_else(|| source(device)),
        Kind::Unproven => None,
    };
    Some(FileSystem { device, kind, identity, newest_ctime: AtomicI64::new(i64::MIN) })
}

/// The file system that a path leads to.
pub(super) fn of_path(path: &Path) -> Option<FileSystem> {
    let file = open(path)?;
    let device = fstat(&file).ok()?.st_dev;
    of_file(file.as_fd(), device)
}

/// Opens a directory or a regular file, and nothing that waits.
fn open(path: &Path) -> Option<OwnedFd> {
    let is_file = FileType::from_raw_mode(stat(path).ok()?.st_mode) == FileType::RegularFile;
    let kind = if is_file { OFlags::NOCTTY } else { OFlags::DIRECTORY };
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | kind, Mode::empty()).ok()
}

/// The number that statfs(2) returns for it, which most file systems make from their UUID (btrfs from that of a subvolume),
/// or the UUID. Zeros are none. XFS, F2FS and others return the device number, which another disk has as well.
fn identity(file: BorrowedFd<'_>, system: FsWord, device: u64) -> Option<String> {
    let number = fstatvfs(file).ok()?.f_fsid;
    let of_device = u64::from(encoded(device));
    if number != 0 && number != of_device && number.rotate_left(32) != of_device {
        return Some(format!("fsid:{number:016x}"));
    }
    let uuid = kernel::uuid(file, system == XFS).filter(|uuid| *uuid != [0; 16])?;
    let mut identity = "uuid:".to_owned();
    for byte in uuid {
        let _ = write!(identity, "{byte:02x}");
    }
    Some(identity)
}

/// A device number as the kernel encodes it for statfs(2).
fn encoded(device: u64) -> u32 {
    let (major, minor) = (major(device), minor(device));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The server and its directory, of the mounted file system with this device number.
fn source(device: u64) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    source_in(&mounts, &format!("{}:{}", major(device), minor(device)))
}

/// The first in order of several that share a device number, so that each run comes to the same.
fn source_in(mounts: &str, device: &str) -> Option<String> {
    let of_line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let is_it = before.split(' ').nth(2) == Some(device);
        let mut after = after.split(' ');
        let (kind, source) = (after.next()?, after.next()?);
        is_it.then(|| format!("{kind}:{source}"))
    };
    mounts.lines().filter_map(of_line).min()
}

/// How long a dirty page stays unwritten at most, with some seconds to spare. `None`: until something else asks for it.
pub(super) fn write_back_time() -> Option<Duration> {
    let centiseconds = |name: &str| {
        let text = std::fs::read_to_string(format!("/proc/sys/vm/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    write_back(centiseconds("dirty_expire_centisecs")?, centiseconds("dirty_writeback_centisecs")?)
}

fn write_back(expire_centiseconds: u64, interval_centiseconds: u64) -> Option<Duration> {
    // With an interval of 0 the kernel looks for old pages never.
    let sum = expire_centiseconds.checked_add(interval_centiseconds).filter(|_| interval_centiseconds > 0)?;
    Some(Duration::from_millis(sum.checked_mul(10)?) + Duration::from_secs(5))
}

/// How long the machine is up, with the time that it slept.
pub(super) fn uptime() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    text.split(' ').next()?.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_by_the_first_of_its_mounts() {
        let mounts = "30 1 0:42 / /mnt/b rw shared:1 - nfs4 host:/b rw\n31 1 0:42 /x /mnt/a rw - nfs4 host:/a rw\n\
                      32 1 8:1 / / rw - ext4 /dev/sda1 rw\nbroken\n";
        assert_eq!(source_in(mounts, "0:42").as_deref(), Some("nfs4:host:/a"));
        assert_eq!(source_in(mounts, "0:43"), None);
    }

    #[test]
    fn pages_are_written_back_in_a_known_time_or_never() {
        assert_eq!(write_back(3000, 500), Some(Duration::from_secs(40)));
        assert_eq!(write_back(60_000, 60_000), Some(Duration::from_secs(1205)));
        assert_eq!(write_back(3000, 0), None);
        assert_eq!(write_back(u64::MAX, 1), None);
    }

    #[test]
    fn a_device_number_is_no_identity() {
        // 8:1 and 259:300, as new_encode_dev of the kernel has them.
        assert_eq!(encoded(rustix::fs::makedev(8, 1)), 0x0801);
        assert_eq!(encoded(rustix::fs::makedev(259, 300)), 0x0011_032c);
    }

    #[test]
    fn nothing_is_proven_by_a_file_system_in_memory() {
        let found = of_path(Path::new("/proc")).expect("every Linux has it");
        assert_eq!((found.kind, found.identity), (Kind::Unproven, None));
        assert_eq!(kind(0x0102_1994), Kind::Unproven);
        assert_eq!((kind(EXT), kind(NFS)), (Kind::Local, Kind::Network));
    }
}
