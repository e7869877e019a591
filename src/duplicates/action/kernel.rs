//! The system calls that no library wraps: leases on files (shared with [`crate::keep`]), sharing blocks, and listing them.
//! All `unsafe` code of acting is here.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::libc;
use rustix::io::Errno;
use rustix::ioctl::{Getter, Updater, ioctl, opcode};

pub(super) use crate::keep::{has_lease, take_lease};

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// So many bytes from its start are shared.
    Bytes(u64),
    /// Its content is not the same.
    Differs,
}

/// Has `into` share the blocks of `from`, over `bytes` from `offset` on in both. The kernel locks both files, compares the
/// content, and changes nothing unless it is the same.
#[expect(unsafe_code, reason = "an ioctl takes a pointer")]
pub(super) fn share_blocks(
    from: BorrowedFd<'_>,
    into: BorrowedFd<'_>,
    offset: u64,
    bytes: u64,
) -> Result<Shared, Errno> {
    let mut request = Request {
        head: Head { offset, bytes, count: 1, reserved: [0; 3] },
        destination: Destination {
            handle: i64::from(into.as_fd().as_raw_fd()),
            offset,
            bytes_shared: 0,
            status: 0,
            reserved: 0,
        },
    };
    // SAFETY: The opcode is FIDEDUPERANGE (see below). The kernel reads the head and as many destinations as `count`
    // says, here one, and writes to those destinations alone: all within `request`, which is laid out as C would and
    // outlives the call. The sizes are held against those of the header below. Were they wrong, the kernel would read or
    // write past the end of `request` on the stack. Both handles are borrowed, and so open.
    unsafe { ioctl(from, Updater::<'_, SHARE, Request>::new(&mut request)) }?;
    match request.destination.status {
        SAME => Ok(Shared::Bytes(request.destination.bytes_shared)),
        DIFFERS => Ok(Shared::Differs),
        errno => Err(Errno::from_raw_os_error(errno.checked_neg().unwrap_or(libc::EIO))),
    }
}

/// Returns the project that quotas count a file or directory for; 0 if there is none, or no such thing.
#[expect(unsafe_code, reason = "an ioctl takes a pointer")]
pub(super) fn project(file: BorrowedFd<'_>) -> u32 {
    // SAFETY: The opcode is FS_IOC_FSGETXATTR (see below). The kernel writes a `struct fsxattr` of 28 bytes, and `Layout` has
    // that size, which is checked at compile time. Were it smaller, the kernel would write past its end on the stack. All
    // bit patterns are valid for it. The handle is borrowed, and so open.
    let read = unsafe { ioctl(file, Getter::<GET_LAYOUT, Layout>::new()) };
    read.map_or(0, |layout| layout.project)
}

/// `FS_IOC_FSGETXATTR` of linux/fs.h.
const GET_LAYOUT: rustix::ioctl::Opcode = opcode::read::<Layout>(b'X', 31);

/// `struct fsxattr` of linux/fs.h: flags, two hints and a count come first and between.
#[repr(C)]
struct Layout {
    before: [u32; 3],
    project: u32,
    after: [u32; 3],
}

const _: () = assert!(size_of::<Layout>() == 28);

/// Waits for the pages of a file that are being written, and returns an error that occurred since the file was opened. It
/// starts nothing, and does not empty the cache of the disk.
#[expect(unsafe_code, reason = "sync_file_range is a function of C")]
pub(super) fn wait_for_pages(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: The call takes numbers and no pointer: the kernel touches no memory of ours. The handle is borrowed, and so
    // open.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WAIT_BEFORE) };
    if answer == -1 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}

/// `FIDEDUPERANGE` of ioctl_fideduperange(2): its number counts the head alone.
const SHARE: rustix::ioctl::Opcode = opcode::read_write::<Head>(0x94, 54);

/// `FILE_DEDUPE_RANGE_SAME` and `FILE_DEDUPE_RANGE_DIFFERS`; below 0 it is an error number.
const SAME: i32 = 0;
const DIFFERS: i32 = 1;

/// `struct file_dedupe_range` of linux/fs.h, with the one element that its array has here.
#[repr(C)]
struct Request {
    head: Head,
    destination: Destination,
}

#[repr(C)]
struct Head {
    offset: u64,
    bytes: u64,
    count: u16,
    /// 16 and 32 bits that have to be 0.
    reserved: [u16; 3],
}

/// `struct file_dedupe_range_info` of linux/fs.h.
#[repr(C)]
struct Destination {
    handle: i64,
    offset: u64,
    bytes_shared: u64,
    status: i32,
    reserved: u32,
}

const _: () =
    assert!(size_of::<Head>() == 24 && size_of::<Destination>() == 32 && size_of::<Request>() == 56);

/// A run of blocks that follow each other both in a file and on the disk: `struct fiemap_extent` of linux/fiemap.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its start in the file, in bytes.
    pub(super) logical: u64,
    /// Its start on the disk, in bytes.
    pub(super) physical: u64,
    pub(super) bytes: u64,
    reserved: [u64; 2],
    /// `FIEMAP_EXTENT_...` of linux/fiemap.h.
    pub(super) flags: u32,
    more_reserved: [u32; 3],
}

impl Extent {
    #[cfg(test)]
    pub(super) fn new(logical: u64, physical: u64, bytes: u64, flags: u32) -> Extent {
        Extent { logical, physical, bytes, flags, ..Extent::default() }
    }
}

/// Extents that one call lists at most: 7 KiB of the stack.
pub(super) const EXTENTS_MAX: usize = 128;

/// Appends the next extents of a file to `extents`: those that end after the byte `start`, [`EXTENTS_MAX`] at most. Adds none
/// if the rest of the file has no blocks. Pages that are in memory alone are written to the disk first: until then
/// it has no blocks, and the blocks that it is to replace are listed.
#[expect(unsafe_code, reason = "an ioctl takes a pointer")]
pub(super) fn list_extents(file: BorrowedFd<'_>, start: u64, extents: &mut Vec<Extent>) -> Result<(), Errno> {
    #[expect(clippy::cast_possible_truncation, reason = "a hundred")]
    let count = EXTENTS_MAX as u32;
    let head = MapHead { start, bytes: u64::MAX - start, flags: MAP_SYNC, mapped: 0, count, reserved: 0 };
    let mut map = Map { head, extents: [Extent::default(); EXTENTS_MAX] };
    // SAFETY: The opcode is FS_IOC_FIEMAP (see below). The kernel reads and writes the head, and writes as many extents behind
    // it as `count` says: all within `map`, which is laid out as C would and outlives the call. The sizes are held against
    // those of the header below. Were they wrong, the kernel would write past the end of `map` on the stack. Any bytes
    // are a valid `Extent`. The handle is borrowed, and so open.
    unsafe { ioctl(file, Updater::<'_, MAP, Map>::new(&mut map)) }?;
    extents.extend(map.extents.iter().take(map.head.mapped as usize));
    Ok(())
}

/// `FS_IOC_FIEMAP` of linux/fiemap.h: its number counts the head alone.
const MAP: rustix::ioctl::Opcode = opcode::read_write::<MapHead>(b'f', 11);

/// `FIEMAP_FLAG_SYNC`.
const MAP_SYNC: u32 = 1;

/// `struct fiemap` of linux/fiemap.h, with as many extents as its array has here.
#[repr(C)]
struct Map {
    head: MapHead,
    extents: [Extent; EXTENTS_MAX],
}

#[repr(C)]
struct MapHead {
    start: u64,
    bytes: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
}

const _: () = assert!(
    size_of::<Extent>() == 56 && size_of::<MapHead>() == 32 && size_of::<Map>() == 32 + 56 * EXTENTS_MAX
);

/// The UUID of the Btrfs that a file lies on: each of its subvolumes has a device number of its own.
#[expect(unsafe_code, reason = "an ioctl takes a pointer")]
pub(super) fn btrfs_uuid(file: BorrowedFd<'_>) -> Result<[u8; 16], Errno> {
    // SAFETY: The opcode is BTRFS_IOC_FS_INFO (see below), for which the kernel writes one `FileSystem`: its size is held
    // against that of the header below, and is part of the opcode, without which the kernel writes nothing. Any bytes
    // are a valid one. The handle is borrowed, and so open.
    unsafe { ioctl(file, Getter::<FILE_SYSTEM, FileSystem>::new()) }.map(|system| system.uuid)
}

/// `BTRFS_IOC_FS_INFO` of linux/btrfs.h.
const FILE_SYSTEM: rustix::ioctl::Opcode = opcode::read::<FileSystem>(0x94, 31);

/// `struct btrfs_ioctl_fs_info_args` of linux/btrfs.h.
#[repr(C)]
struct FileSystem {
    devices: [u64; 2],
    uuid: [u8; 16],
    others: [u64; 124],
}

const _: () = assert!(size_of::<FileSystem>() == 1024);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::time::{Duration, Instant};

    use super::super::scene::Scene;
    use super::*;

    #[test]
    fn a_writer_that_waits_shows_and_ends_nothing() {
        let scene = Scene::new("content");
        if !scene.has_leases() {
            return;
        }
        let file = File::open(scene.at("keep")).unwrap();
        take_lease(file.as_fd()).unwrap();
        assert!(has_lease(file.as_fd()).unwrap());
        // Readers do not mind.
        assert_eq!(scene.content("keep"), b"content");
        assert!(has_lease(file.as_fd()).unwrap());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| OpenOptions::new().write(true).open(scene.at("keep")));
            let since = Instant::now();
            while has_lease(file.as_fd()).unwrap() {
                assert!(since.elapsed() < Duration::from_secs(10), "nobody says that a writer waits");
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!writer.is_finished());
            drop(file);
            writer.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_is_open_for_writing_has_no_lease() {
        let scene = Scene::new("content");
        if !scene.has_leases() {
            return;
        }
        let writer = OpenOptions::new().append(true).open(scene.at("keep")).unwrap();
        let file = File::open(scene.at("keep")).unwrap();
        assert_eq!(take_lease(file.as_fd()), Err(Errno::AGAIN));
        drop(writer);
        scene.settle("keep");
        take_lease(file.as_fd()).unwrap();
    }
}
