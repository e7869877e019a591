//! Two files share their blocks on the disk, and stay files of their own.
//!
//! The kernel does it, piece by piece (`FIDEDUPERANGE`): it locks both files, compares the piece in them, and has one share
//! the blocks of the other only where it is the same. Neither content nor owner, mode, times or attributes change, so
//! there is nothing to take back: after any number of pieces both files read as before.

use std::os::fd::AsFd;

use rustix::io::{Errno, retry_on_intr};

use super::act::Refusal;
use super::compare::DIFFERS;
use super::kernel::{Shared, share_blocks};
use super::open::Opened;
use super::step::{Step, Steps};

/// Some file systems take no more at once, and others would have a signal wait for as long as it takes.
const PIECE_BYTES_MAX: u64 = 16 << 20;

/// Makes `replace` share the blocks of `keep`, which is as large.
pub(super) fn reflink(steps: &Steps<'_>, keep: &Opened, replace: &Opened) -> Result<(), Refusal> {
    let (from, into) = (keep.handle.as_fd(), replace.handle.as_fd());
    let mut offset = 0;
    while offset < replace.size() {
        // The last piece ends with both files, and only there may an end lie within a block.
        let bytes = (replace.size() - offset).min(PIECE_BYTES_MAX);
        let shared = steps
            .take(Step::Share, || retry_on_intr(|| share_blocks(from, into, offset, bytes)))
            .map_err(refused)?;
        match shared {
            Shared::Differs => return Err(DIFFERS.into()),
            // As after the end of a file that was truncated meanwhile; it would go on for ever.
            Shared::Bytes(0) => return Err("the file system shares no block of it".into()),
            Shared::Bytes(shared) => offset += shared.min(bytes),
        }
    }
    Ok(())
}

pub(super) fn refused(errno: Errno) -> Refusal {
    match errno {
        Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS => "the file system cannot share blocks".into(),
        Errno::INVAL => "the file system cannot share blocks of these two files".into(),
        Errno::TXTBSY => "one of the two files is swap space in use".into(),
        Errno::XDEV => "it lies on another file system than the kept file".into(),
        // The handle is for reading alone. That is enough for the owner, and for anyone with write permission.
        Errno::PERM | Errno::ACCESS => "sharing its blocks takes permission to write to it".into(),
        _ => Step::Share.failed("it", errno),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#[allow(clippy::print_stdout, reason = "what could not be tried is told")]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::scene::{Mounted, Scene};
    use super::*;
    use crate::record::{Acted, Action};

    /// Content of which no block is like another, and so none is shared before.
    fn content(bytes: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&bytes.to_le_bytes());
        let mut content = vec![0; bytes];
        hasher.finalize_xof().fill(&mut content);
        content
    }

    fn free_bytes(at: &Scene) -> u64 {
        rustix::fs::syncfs(File::open(at.path()).unwrap()).unwrap();
        let system = rustix::fs::statvfs(at.path()).unwrap();
        system.f_bfree * system.f_frsize
    }

    fn check(mounted: &Mounted, kind: &str, bytes: usize) {
        let content = content(bytes);
        let scene = Scene::below(mounted.path(), &content);
        // Btrfs keeps the content in its metadata: there is no block to share.
        if kind == "btrfs" && bytes <= 2048 {
            return assert_eq!(scene.act(Action::Reflink), Acted::Already, "{bytes} bytes");
        }
        // What they have of their own stays, the mode among it.
        fs::set_permissions(scene.at("replace"), fs::Permissions::from_mode(0o440)).unwrap();
        let stamp = || {
            let of = scene.at("replace").metadata().unwrap();
            (of.ino(), of.mode(), of.mtime(), of.mtime_nsec(), of.ctime(), of.ctime_nsec())
        };
        let (before, free) = (stamp(), free_bytes(&scene));
        assert_eq!(scene.act(Action::Reflink), Acted::Done, "{bytes} bytes");
        assert_eq!(stamp(), before, "{bytes} bytes");
        assert_eq!(scene.content("replace"), content, "{bytes} bytes");
        assert_eq!(scene.content("keep"), content, "{bytes} bytes");
        if bytes >= 1 << 20 {
            let freed = free_bytes(&scene).saturating_sub(free);
            assert!(freed >= bytes as u64 / 2, "{bytes} bytes, of which {freed} became free");
        }
        // The second time there is nothing left to do.
        assert_eq!(scene.act(Action::Reflink), Acted::Already, "{bytes} bytes");
        let mut other = content;
        other[bytes - 1] ^= 1;
        scene.file("keep", &other);
        scene.check_refused(&scene.act(Action::Reflink), DIFFERS);
    }

    #[test]
    fn blocks_are_shared_where_the_file_system_can() {
        for kind in ["btrfs", "xfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            let piece = usize::try_from(PIECE_BYTES_MAX).unwrap();
            for bytes in [1, 4095, 4096, 4097, 100_000, piece, piece + 1, 2 * piece + 5000] {
                check(&mounted, kind, bytes);
            }
        }
    }

    #[test]
    fn a_page_written_since_is_no_block_that_is_shared() {
        for kind in ["btrfs", "xfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            let content = content(1 << 20);
            let scene = Scene::below(mounted.path(), &content);
            assert_eq!(scene.act(Action::Reflink), Acted::Done, "{kind}");
            let writer = File::options().write(true).open(scene.at("replace")).unwrap();
            let write = |page: &[u8]| std::os::unix::fs::FileExt::write_all_at(&writer, page, 40960).unwrap();
            write(&[0; 4096]);
            scene.check_refused(&scene.act(Action::Reflink), DIFFERS);
            // Equal again, in a block of its own that is not on the disk yet.
            write(&content[40960..][..4096]);
            assert_eq!(scene.act(Action::Reflink), Acted::Done, "{kind}");
            assert_eq!(scene.act(Action::Reflink), Acted::Already, "{kind}");
        }
    }

    /// Btrfs overwrites the blocks of such files in place.
    #[test]
    fn a_file_without_copy_on_write_is_named() {
        use rustix::fs::{IFlags, ioctl_setflags};
        let Some(mounted) = Mounted::new("btrfs") else { return };
        for (keeps, replaces) in [(true, false), (false, true), (true, true)] {
            let scene = Scene::below(mounted.path(), "");
            for (name, is_nocow) in [("keep", keeps), ("replace", replaces)] {
                if is_nocow {
                    ioctl_setflags(File::open(scene.at(name)).unwrap(), IFlags::NOCOW).unwrap();
                }
                scene.file(name, content(10_000));
            }
            let acted = scene.act(Action::Reflink);
            match (keeps, replaces) {
                (true, true) => assert_eq!(acted, Acted::Done),
                _ => {
                    let whom = if keeps { "the kept file" } else { "it" };
                    let why = "has the attribute NoCOW (chattr +C), so its blocks cannot be shared";
                    scene.check_refused(&acted, &format!("{whom} {why}"));
                }
            }
        }
    }

    #[test]
    fn a_writer_meanwhile_is_the_kernels_affair() {
        let Some(mounted) = Mounted::new("btrfs").or_else(|| Mounted::new("xfs")) else { return };
        let piece = usize::try_from(PIECE_BYTES_MAX).unwrap();
        let content = content(2 * piece);
        let scene = Scene::below(mounted.path(), &content);
        let writer = File::options().write(true).open(scene.at("replace")).unwrap();
        let written = std::cell::Cell::new(0);
        let acted = scene.act_watched(Action::Reflink, &|step| {
            // Into the second piece, just before it is shared.
            if step == Step::Share && written.replace(written.get() + 1) == 1 {
                std::os::unix::fs::FileExt::write_all_at(&writer, b"new", PIECE_BYTES_MAX + 9).unwrap();
            }
        });
        scene.check_refused(&acted, DIFFERS);
        assert_eq!(scene.content("keep"), content);
        let at = piece + 9;
        assert_eq!(&scene.content("replace")[at..at + 3], b"new");
    }

    #[test]
    fn a_file_that_is_truncated_meanwhile_ends_it() {
        let Some(mounted) = Mounted::new("btrfs").or_else(|| Mounted::new("xfs")) else { return };
        let scene = Scene::below(mounted.path(), content(10_000));
        let writer = File::options().write(true).open(scene.at("replace")).unwrap();
        let acted = scene.act_watched(Action::Reflink, &|step| {
            if step == Step::Share {
                writer.set_len(0).unwrap();
            }
        });
        assert!(matches!(acted, Acted::Refused(_)), "{acted:?}");
    }

    #[test]
    fn other_file_systems_refuse() {
        let shm = std::path::Path::new("/dev/shm");
        if !shm.is_dir() {
            return println!("skipped: no /dev/shm");
        }
        let scene = Scene::below(shm, "content");
        scene.check_refused(&scene.act(Action::Reflink), "the file system cannot share blocks");
        let (here, none) = (Scene::new("content"), crate::faults::Faults::default());
        let acted =
            super::super::scene::act(Action::Reflink, &here.place("keep"), &scene.place("replace"), &none);
        assert!(matches!(acted, Acted::Refused(_)), "{acted:?}");
    }
}
