//! Which blocks of the disk hold a file, and which of them were counted before as those of another.
//!
//! The entry points are [`has_no_block_of_its_own`] for a pair, and [`Blocks::add`] for many files; [`lists_blocks`] says
//! whether the latter is worth calling.
//!
//! Blocks say how much can be gained, and never that files are equal. The list of a file may be older than its content: a page
//! that was written and is in memory alone has no blocks yet. Listing writes such pages to the disk first, so a page
//! that anyone changes later has a later time of last modification as well, which callers compare.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FsWord, Stat, fstat, fstatfs};
use rustix::io::{Errno, retry_on_intr};

use super::act::Refusal;
use super::facts::{Facts, OfAction};
use super::kernel::{Extent, btrfs_uuid, list_extents};
use super::open::Role;
use super::step::{Step, Steps};

/// Extents that are remembered at most, some 24 bytes each. Beyond them blocks count as if no other file had them.
const REMEMBERED_MAX: usize = 1 << 20;

/// `FIEMAP_EXTENT_...` of linux/fiemap.h.
const UNKNOWN: u32 = 0x2;
const DELAYED: u32 = 0x4;
const ENCODED: u32 = 0x8;
const INLINE: u32 = 0x200;
const SHARED: u32 = 0x2000;

/// What statfs(2) says of the file systems on which files can share blocks. An overlay may lie over one.
const BTRFS: FsWord = 0x9123_683E;
const SHARING: [FsWord; 5] = [BTRFS, 0x5846_5342, 0xCA45_1A4E, 0x7461_636F, 0x794C_7630];

/// Whether files that lie beside this one may share blocks: on Btrfs, XFS, bcachefs, OCFS2 and overlays.
pub(crate) fn lists_blocks(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|system| SHARING.contains(&system.f_type))
}

/// A file system: a place on the disk is a place on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum FileSystem {
    Device(u64),
    Btrfs([u8; 16]),
}

impl FileSystem {
    fn of(file: BorrowedFd<'_>, stat: &Stat) -> FileSystem {
        let is_btrfs = || fstatfs(file).is_ok_and(|system| system.f_type == BTRFS);
        #[expect(clippy::useless_conversion, reason = "on some processors it is a smaller number")]
        let device = FileSystem::Device(stat.st_dev.into());
        if is_btrfs() { btrfs_uuid(file).map_or(device, FileSystem::Btrfs) } else { device }
    }
}

/// Whether all blocks of `copy` are blocks of `keep` as well, or it has none: its content is a hole, or lies in the metadata.
pub(super) fn has_no_block_of_its_own(
    steps: &Steps<'_>,
    keep: &Facts,
    copy: &Facts,
) -> Result<bool, Refusal> {
    let (OfAction::Reflink(kept), OfAction::Reflink(sharing)) = (&keep.of_action, &copy.of_action) else {
        return Ok(false);
    };
    let files = [(kept.handle.as_fd(), Role::Kept), (sharing.handle.as_fd(), Role::Replaced)];
    if keep.size != copy.size || !lists_blocks(files[0].0) {
        return Ok(false);
    }
    let stamps = || -> Result<_, Refusal> {
        let of = |(file, role): (BorrowedFd<'_>, Role)| {
            let stat = steps.take(Step::Status, || fstat(file));
            stat.map(|stat| stamp(&stat)).map_err(|errno| Step::Status.failed(role.name(), errno))
        };
        Ok([of(files[0])?, of(files[1])?])
    };
    let before = stamps()?;
    let (mut blocks, mut own) = (Blocks::default(), 0);
    for (file, role) in files {
        own = match steps.take(Step::Blocks, || blocks.add(file)) {
            Ok(added) => added,
            // An overlay over a file system that does not list blocks, say.
            Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS | Errno::BADR) => {
                return Ok(false);
            }
            Err(errno) => return Err(Step::Blocks.failed(role.name(), errno)),
        };
    }
    // A page that was written after its list was made may have a block of its own.
    Ok(own == 0 && stamps()? == before)
}

/// Changes whenever a file is written to.
fn stamp(stat: &Stat) -> impl PartialEq + use<> {
    (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec)
}

/// Blocks that files have, those of several files once.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    /// Runs of blocks that do not overlap: the end of each, by its start.
    plain: BTreeMap<(FileSystem, u64), u64>,
    /// Where blocks begin whose content is compressed: they take less of the disk than of a file.
    encoded: BTreeSet<(FileSystem, u64)>,
}

impl Blocks {
    /// Adds the blocks of a file. Returns the bytes of it whose blocks were not there before; 0 if it has none, as its content
    /// is a hole or lies beside what the file system knows of it. Pages that are in memory alone are written to the disk.
    ///
    /// # Errors
    /// `EOPNOTSUPP` and the like if the file system does not list blocks.
    pub(crate) fn add(&mut self, file: BorrowedFd<'_>) -> Result<u64, Errno> {
        let stat = fstat(file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let system = FileSystem::of(file, &stat);
        let (mut at, mut added, mut extents) = (0, 0, Vec::new());
        while at < size {
            extents.clear();
            retry_on_intr(|| list_extents(file, at, &mut extents))?;
            let Some(last) = extents.last() else { break };
            at = last.logical.saturating_add(last.bytes).max(at + 1);
            added += extents.iter().map(|extent| self.extent(system, extent, size)).sum::<u64>();
        }
        Ok(added.min(size))
    }

    /// Adds an extent of a file of this size. Returns the bytes of the file that were not there before.
    fn extent(&mut self, system: FileSystem, extent: &Extent, size: u64) -> u64 {
        let bytes = extent.bytes.min(size.saturating_sub(extent.logical));
        let has = |flags: u32| extent.flags & flags != 0;
        if has(INLINE) || bytes == 0 {
            return 0;
        }
        // What the file system knows to be shared by nothing cannot be that of a file before.
        if has(UNKNOWN | DELAYED) || !has(SHARED) {
            return bytes;
        }
        let is_full = self.plain.len() + self.encoded.len() >= REMEMBERED_MAX;
        if has(ENCODED) {
            let key = (system, extent.physical);
            let is_new = !self.encoded.contains(&key);
            if is_new && !is_full {
                self.encoded.insert(key);
            }
            return if is_new { bytes } else { 0 };
        }
        let Some(end) = extent.physical.checked_add(bytes) else { return bytes };
        let missing = self.missing(system, extent.physical, end);
        let added = missing.iter().map(|(start, end)| end - start).sum();
        if !is_full {
            // The last block of a file is listed whole, and may be that of a longer file.
            self.plain.extend(missing.into_iter().map(|(start, end)| ((system, start), end)));
        }
        added
    }

    /// The parts of the disk from `start` to `end`, which comes later, that were not added.
    fn missing(&self, system: FileSystem, start: u64, end: u64) -> Vec<(u64, u64)> {
        let mut missing = Vec::new();
        let mut at = start;
        let before = self.plain.range((system, 0)..=(system, start)).next_back();
        let within = self.plain.range((system, start + 1)..(system, end));
        for (&(_, from), &to) in before.into_iter().chain(within) {
            if from > at {
                missing.push((at, from));
            }
            at = at.max(to);
        }
        if at < end {
            missing.push((at, end));
        }
        missing
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;
    use rustix::fs::{FallocateFlags, IFlags, fallocate, ioctl_ficlone, ioctl_setflags};

    use super::super::scene::{Mounted, Scene};
    use super::*;

    const PAGE: usize = 4096;

    /// Content without two pages that are equal, which no file system compresses.
    fn content(bytes: usize) -> Vec<u8> {
        let mut content = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        content
    }

    /// A scene on each file system that can share blocks.
    fn each(check: impl Fn(&str, &Scene)) {
        for kind in ["btrfs", "xfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            check(kind, &Scene::below(mounted.path(), ""));
        }
    }

    fn writable(scene: &Scene, name: &str) -> File {
        File::options().read(true).write(true).open(scene.at(name)).unwrap()
    }

    /// Makes `replace` a clone of `keep`.
    fn clone(scene: &Scene) {
        ioctl_ficlone(writable(scene, "replace"), writable(scene, "keep")).unwrap();
    }

    /// Bytes of `replace` in blocks that `keep` does not have.
    fn own(scene: &Scene) -> u64 {
        let mut blocks = Blocks::default();
        blocks.add(writable(scene, "keep").as_fd()).unwrap();
        blocks.add(writable(scene, "replace").as_fd()).unwrap()
    }

    /// Without writing the page to the disk first, both files show the same extents here.
    #[test]
    fn a_page_that_was_overwritten_and_not_written_back_is_not_shared() {
        each(|kind, scene| {
            scene.file("keep", content(256 * PAGE));
            clone(scene);
            assert_eq!(own(scene), 0, "{kind}");
            writable(scene, "replace").write_all_at(&[7; PAGE], 9 * PAGE as u64).unwrap();
            assert_ne!(scene.content("keep"), scene.content("replace"));
            assert_eq!(own(scene), PAGE as u64, "{kind}");
            // The kept file as well.
            clone(scene);
            writable(scene, "keep").write_all_at(&[8; 2 * PAGE], 9 * PAGE as u64).unwrap();
            assert_eq!(own(scene), 2 * PAGE as u64, "{kind}");
            // Equal content in blocks of its own.
            writable(scene, "replace").write_all_at(&[8; 2 * PAGE], 9 * PAGE as u64).unwrap();
            assert_eq!(own(scene), 2 * PAGE as u64, "{kind}");
        });
    }

    #[test]
    fn holes_have_no_blocks_and_zeros_have() {
        each(|kind, scene| {
            let size = 64 * PAGE as u64;
            for name in ["keep", "replace"] {
                writable(scene, name).set_len(size).unwrap();
            }
            assert_eq!(own(scene), 0, "{kind}: two holes");
            writable(scene, "keep").write_all_at(&vec![0; 64 * PAGE], 0).unwrap();
            assert_eq!(own(scene), 0, "{kind}: a hole against zeros");
            writable(scene, "replace").write_all_at(&vec![0; 64 * PAGE], 0).unwrap();
            writable(scene, "keep").set_len(0).unwrap();
            writable(scene, "keep").set_len(size).unwrap();
            assert_eq!(own(scene), size, "{kind}: zeros against a hole");
            writable(scene, "replace").set_len(0).unwrap();
            writable(scene, "replace").set_len(size).unwrap();
            writable(scene, "replace").write_all_at(b"x", size - 1).unwrap();
            assert_eq!(own(scene), PAGE as u64, "{kind}: one block behind a hole");
        });
    }

    #[test]
    fn blocks_that_are_allocated_and_not_written_count() {
        each(|kind, scene| {
            let size = 64 * PAGE as u64;
            writable(scene, "keep").set_len(size).unwrap();
            fallocate(writable(scene, "replace"), FallocateFlags::empty(), 0, size).unwrap();
            assert_eq!(own(scene), size, "{kind}");
            // Those after its end are not of the file that is read.
            writable(scene, "replace").set_len(0).unwrap();
            writable(scene, "replace").set_len(10).unwrap();
            fallocate(writable(scene, "replace"), FallocateFlags::KEEP_SIZE, 0, size).unwrap();
            writable(scene, "keep").set_len(10).unwrap();
            assert_eq!(own(scene), 10, "{kind}");
        });
    }

    #[test]
    fn a_start_that_is_shared_does_not_count() {
        each(|kind, scene| {
            let (shared, all) = (20 * PAGE, 50 * PAGE + 77);
            scene.file("keep", &content(all)[..shared]);
            clone(scene);
            for name in ["keep", "replace"] {
                writable(scene, name).write_all_at(&content(all)[shared..], shared as u64).unwrap();
            }
            assert_eq!(own(scene), (all - shared) as u64, "{kind}");
            clone(scene);
            assert_eq!(own(scene), 0, "{kind}");
        });
    }

    #[test]
    fn a_list_may_be_longer_than_one_reply() {
        each(|kind, scene| {
            let extents = 3 * super::super::kernel::EXTENTS_MAX + 5;
            let size = (2 * extents * PAGE) as u64;
            for i in 0..extents {
                let at = (2 * i * PAGE) as u64;
                writable(scene, "keep").write_all_at(&content(PAGE + i)[i..], at).unwrap();
            }
            writable(scene, "keep").set_len(size).unwrap();
            clone(scene);
            assert_eq!(own(scene), 0, "{kind}");
            // The last extent alone, and one in between.
            writable(scene, "replace").write_all_at(&[1; PAGE], size - 2 * PAGE as u64).unwrap();
            writable(scene, "replace").write_all_at(&[1; PAGE], 400 * PAGE as u64).unwrap();
            assert_eq!(own(scene), 2 * PAGE as u64, "{kind}");
        });
    }

    #[test]
    fn what_lies_in_the_metadata_has_no_blocks() {
        let Some(mounted) = Mounted::new("btrfs") else { return };
        let scene = Scene::below(mounted.path(), "content");
        assert_eq!(own(&scene), 0);
        let Some(mounted) = Mounted::new("xfs") else { return };
        let scene = Scene::below(mounted.path(), "content");
        assert_eq!(own(&scene), 7);
    }

    #[test]
    fn compressed_blocks_are_known_by_where_they_begin() {
        let Some(mounted) = Mounted::new("btrfs") else { return };
        let scene = Scene::below(mounted.path(), "");
        for name in ["keep", "replace"] {
            ioctl_setflags(writable(&scene, name), IFlags::COMPRESSED).unwrap();
            writable(&scene, name).write_all_at(&[b'x'; 64 * PAGE], 0).unwrap();
        }
        let (file, mut extents) = (writable(&scene, "keep"), Vec::new());
        list_extents(file.as_fd(), 0, &mut extents).unwrap();
        assert!(extents.iter().all(|extent| extent.flags & ENCODED != 0), "{extents:?}");
        assert_eq!(own(&scene), 64 * PAGE as u64);
        clone(&scene);
        assert_eq!(own(&scene), 0);
    }

    /// Two file systems that were made alike have other content in blocks of the same number.
    #[test]
    fn blocks_of_another_file_system_are_others() {
        for kind in ["btrfs", "xfs"] {
            let mut blocks = Blocks::default();
            // Both at once: a device number is free again when its file system is unmounted.
            let (Some(one), Some(other)) = (Mounted::new(kind), Mounted::new(kind)) else { continue };
            for mounted in [one, other].iter() {
                let scene = Scene::below(mounted.path(), content(16 * PAGE));
                clone(&scene);
                let file = |name| writable(&scene, name);
                assert_eq!(blocks.add(file("keep").as_fd()).unwrap(), 16 * PAGE as u64, "{kind}");
                assert_eq!(blocks.add(file("replace").as_fd()).unwrap(), 0, "{kind}");
            }
        }
    }

    proptest! {
        /// Block by block.
        #[test]
        fn blocks_count_once(files in prop::collection::vec(
            prop::collection::vec((0_u64..40, 1_u64..12, any::<bool>()), 0..6), 0..6,
        )) {
            let mut blocks = Blocks::default();
            let mut known = std::collections::HashSet::new();
            let system = FileSystem::Device(1);
            for file in files {
                let mut at = 0;
                for (physical, bytes, is_shared) in file {
                    let flags = if is_shared { SHARED } else { 0 };
                    let extent = Extent::new(at, physical, bytes, flags);
                    let new = (physical..physical + bytes).filter(|&block| !is_shared || known.insert(block));
                    let expected = new.count() as u64;
                    prop_assert_eq!(blocks.extent(system, &extent, u64::MAX), expected);
                    at += bytes;
                }
            }
        }
    }
}
