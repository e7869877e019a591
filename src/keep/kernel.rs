//! The system calls of keeping that no library wraps: leases on files, and the UUIDs of file systems. All `unsafe` code of
//! keeping is here.

use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// Whether a read lease on the file is granted: no process has it open for writing or mapped writable. The lease is given back
/// at once. Only its owner, or a process with `CAP_LEASE`, is granted one.
pub(super) fn grants_lease(file: BorrowedFd<'_>) -> bool {
    if take_lease(file).is_err() {
        return false;
    }
    // A writer that waits goes on. If this failed, the lease would end when the file is closed.
    control(file, libc::F_SETLEASE, libc::F_UNLCK).is_ok()
}

/// Takes a lease that lasts until the file is closed. Meanwhile a process that opens the file for writing waits, and
/// [`has_lease`] returns false. It is refused (`EAGAIN`) if the file is open for writing already.
///
/// The kernel reports a waiting process by a signal. The default is SIGIO, which ends a process without a handler. So
/// the signal is set to SIGURG first, which is ignored without a handler.
pub(crate) fn take_lease(file: BorrowedFd<'_>) -> Result<(), Errno> {
    control(file, F_SETSIG, libc::SIGURG)?;
    control(file, libc::F_SETLEASE, libc::F_RDLCK).map(drop)
}

/// Whether the lease still stands, and no process waits for its end.
pub(crate) fn has_lease(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    // While a process waits, the kernel returns the kind that the lease must become: none, for a read lease.
    control(file, libc::F_GETLEASE, 0).map(|kind| kind == libc::F_RDLCK)
}

/// The UUID of the file system that a file lies on, if it has one and the kernel returns it.
#[expect(unsafe_code, reason = "an ioctl takes a pointer")]
pub(super) fn uuid(file: BorrowedFd<'_>, is_xfs: bool) -> Option<[u8; 16]> {
    if is_xfs {
        let mut geometry = Geometry { before: [0; 64], uuid: [0; 16], after: [0; 32] };
        // SAFETY: The opcode is XFS_IOC_FSGEOMETRY_V1 (see below). The kernel writes `size_of::<Geometry>()` bytes, as the
        // opcode says, to `geometry`, which outlives the call. The file lies on XFS, where this number means nothing else.
        return unsafe { ioctl(file, Updater::<'_, XFS_GEOMETRY, Geometry>::new(&mut geometry)) }
            .is_ok()
            .then_some(geometry.uuid);
    }
    let mut found = Uuid { length: 0, uuid: [0; 16] };
    // SAFETY: The opcode is FS_IOC_GETFSUUID (see below), generic to all file systems since Linux 6.9 and refused (ENOTTY)
    // before. The kernel writes `size_of::<Uuid>()` bytes to `found`, which outlives the call.
    unsafe { ioctl(file, Updater::<'_, GET_UUID, Uuid>::new(&mut found)) }.ok()?;
    (found.length == 16).then_some(found.uuid)
}

/// `F_SETSIG` of fcntl(2), which libc lacks; the same number on every processor that Rust is built for under Linux.
const F_SETSIG: libc::c_int = 10;

/// `FS_IOC_GETFSUUID` of linux/fs.h.
const GET_UUID: Opcode = opcode::read::<Uuid>(0x15, 0);

/// `XFS_IOC_FSGEOMETRY_V1` of xfs/xfs_fs.h.
const XFS_GEOMETRY: Opcode = opcode::read::<Geometry>(b'X', 100);

/// `struct fsuuid2` of linux/fs.h.
#[repr(C)]
struct Uuid {
    length: u8,
    uuid: [u8; 16],
}

/// `struct xfs_fsop_geom_v1` of xfs/xfs_fs.h: the UUID comes after eight numbers of 32 bits and four of 64.
#[repr(C, align(8))]
struct Geometry {
    before: [u8; 64],
    uuid: [u8; 16],
    after: [u8; 32],
}

const _: () = assert!(size_of::<Uuid>() == 17 && size_of::<Geometry>() == 112);

/// fcntl(2) with a number as its argument.
#[expect(unsafe_code, reason = "fcntl is a function of C")]
fn control(file: BorrowedFd<'_>, command: libc::c_int, argument: libc::c_int) -> Result<libc::c_int, Errno> {
    // SAFETY: The commands above take a number or nothing, and no pointer: the kernel touches no memory of ours. The handle
    // is borrowed, and so open. At worst a wrong number is refused, or sets another property of this one handle.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if answer == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(answer)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot set its scene has failed")]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_lease_is_granted_only_while_no_one_can_write() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("f");
        std::fs::write(&path, [0; 4096]).unwrap();
        let file = File::open(&path).unwrap();
        if !grants_lease(file.as_fd()) {
            println!("not tried: this file system has no leases");
            return;
        }
        let writer = File::options().read(true).write(true).open(&path).unwrap();
        assert!(!grants_lease(file.as_fd()));
        drop(writer);
        let reader = File::open(&path).unwrap();
        assert!(grants_lease(file.as_fd()) && grants_lease(reader.as_fd()));
        // It was given back: a writer that opens the file does not wait.
        let since = std::time::Instant::now();
        drop(File::options().write(true).open(&path).unwrap());
        assert!(since.elapsed() < std::time::Duration::from_secs(5));
    }
}
