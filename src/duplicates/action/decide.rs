//! Decides from facts alone whether a file can join another one. A dry run and `--apply` ask the same functions.

use std::os::fd::AsFd;

use rustix::fs::IFlags;
use rustix::io::Errno;

use super::act::Refusal;
use super::facts::{Class, Facts, Linking, OfAction, can_share};
use super::open::Role;
use super::reflink;

/// Said where st_dev shows it, and where only the mount does.
pub(super) const OTHER_FILE_SYSTEM: &str = "it lies on another file system than the kept file";

/// Said of a kept file that can have no more names. The file that is refused for it can be kept instead.
pub(crate) const LINKS_FULL: &str = "the kept file has as many links as its file system allows";

/// Whether `copy` can join `keep`, which then has `links` names.
pub(crate) fn decide(keep: &Facts, links: u64, copy: &Facts) -> Result<(), Refusal> {
    check_size(copy)?;
    can_be_kept(keep)?;
    can_be_replaced(copy)?;
    match (&keep.of_action, &copy.of_action) {
        (OfAction::Hardlink(kept), OfAction::Hardlink(linking)) => {
            check_same_class(&keep.class, &copy.class)?;
            if linking.project_asked.is_some_and(|project| project != keep.class.project) {
                return Err("its directory belongs to another project than the kept file".into());
            }
            if links_max(kept.system).is_some_and(|max| links >= max) {
                return Err(LINKS_FULL.into());
            }
            Ok(())
        }
        (OfAction::Reflink(kept), OfAction::Reflink(sharing)) => {
            let nocow = IFlags::NOCOW.bits();
            match (keep.class.flags & nocow != 0, copy.class.flags & nocow != 0) {
                (false, true) => return Err(no_copy_on_write(Role::Replaced)),
                (true, false) => return Err(no_copy_on_write(Role::Kept)),
                _ => {}
            }
            can_share(kept.handle.as_fd(), sharing.handle.as_fd()).map_err(reflink::refused)
        }
        _ => Err("the facts are of two actions".into()),
    }
}

/// Whether others can join this file.
pub(crate) fn can_be_kept(keep: &Facts) -> Result<(), Refusal> {
    match &keep.of_action {
        OfAction::Hardlink(linking) => {
            check_lease(linking.lease, Role::Kept)?;
            check_flags(&keep.class, Role::Kept)?;
            if !linking.is_in_proc {
                return Err("no open file can be linked: /proc is not mounted".into());
            }
            Ok(())
        }
        OfAction::Reflink(sharing) => match sharing.probe {
            Err(errno @ (Errno::OPNOTSUPP | Errno::NOTTY | Errno::INVAL | Errno::NOSYS)) => {
                Err(reflink::refused(errno))
            }
            // Blocks of a file can be shared even if it may not be written to.
            _ => Ok(()),
        },
    }
}

fn check_size(copy: &Facts) -> Result<(), Refusal> {
    if copy.size == 0 {
        return Err("it is empty: there is nothing to share".into());
    }
    Ok(())
}

/// Whether this file can join others.
pub(crate) fn can_be_replaced(copy: &Facts) -> Result<(), Refusal> {
    check_size(copy)?;
    match &copy.of_action {
        OfAction::Hardlink(linking) => {
            check_lease(linking.lease, Role::Replaced)?;
            check_flags(&copy.class, Role::Replaced)?;
            check_directory(linking)
        }
        OfAction::Reflink(sharing) => {
            if copy.class.flags & IFlags::IMMUTABLE.bits() != 0 {
                return Err("it is immutable (chattr +i)".into());
            }
            sharing.probe.map_err(reflink::refused)
        }
    }
}

/// Btrfs overwrites the blocks of such a file in place. It shares them with other such files alone.
fn no_copy_on_write(role: Role) -> Refusal {
    format!("{} has the attribute NoCOW (chattr +C), so its blocks cannot be shared", role.name()).into()
}

fn check_lease(lease: Result<(), Errno>, role: Role) -> Result<(), Refusal> {
    let name = role.name();
    lease.map_err(|errno| match errno {
        Errno::AGAIN => format!("{name} is open for writing").into(),
        Errno::ACCESS => {
            format!("only the owner can make sure that no program writes to {name}: it is another user's")
                .into()
        }
        Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOLCK => {
            format!("the file system cannot say whether {name} is open for writing").into()
        }
        _ => super::step::Step::Lease.failed(name, errno),
    })
}

fn check_flags(class: &Class, role: Role) -> Result<(), Refusal> {
    let is_set = |flag: IFlags| class.flags & flag.bits() != 0;
    if is_set(IFlags::IMMUTABLE) {
        return Err(format!("{} is immutable (chattr +i)", role.name()).into());
    }
    if is_set(IFlags::APPEND) {
        return Err(format!("{} is append-only (chattr +a)", role.name()).into());
    }
    Ok(())
}

fn check_directory(linking: &Linking) -> Result<(), Refusal> {
    match linking.access {
        Ok(()) => {}
        Err(Errno::ROFS) => return Err("its file system is mounted read-only".into()),
        Err(Errno::PERM) => return Err("its directory is immutable (chattr +i)".into()),
        Err(Errno::ACCESS) => return Err("its directory may not be written to".into()),
        Err(errno) => return Err(super::step::Step::Access.failed("its directory", errno)),
    }
    if linking.is_append_only {
        return Err("its directory is append-only (chattr +a)".into());
    }
    if linking.is_sticky {
        return Err("its directory is sticky: only the owner of a name may replace it".into());
    }
    if linking.is_mount_point {
        return Err("it is a mount point".into());
    }
    if WITHOUT_EXCHANGE.contains(&linking.system) {
        return Err("the file system cannot exchange names".into());
    }
    Ok(())
}

fn check_same_class(keep: &Class, copy: &Class) -> Result<(), Refusal> {
    if keep.device != copy.device {
        return Err(OTHER_FILE_SYSTEM.into());
    }
    if keep.mount != copy.mount {
        return Err("it lies below another mount point than the kept file".into());
    }
    let differs = |what: &str| Err(format!("it has another {what} than the kept file").into());
    if keep.owner != copy.owner {
        return differs("owner");
    }
    if keep.group != copy.group {
        return differs("group");
    }
    if keep.mode != copy.mode {
        return differs("mode");
    }
    if keep.flags != copy.flags {
        return differs("set of flags (lsattr)");
    }
    if keep.project != copy.project {
        return differs("project (lsattr -p)");
    }
    let only_one_has = copy
        .attributes
        .iter()
        .find(|attribute| !keep.attributes.contains(attribute))
        .or_else(|| keep.attributes.iter().find(|attribute| !copy.attributes.contains(attribute)));
    match only_one_has {
        Some((name, _)) => differs(&format!("extended attribute {}", name.escape_ascii())),
        None => Ok(()),
    }
}

/// File systems that cannot exchange two names in one step, by their type as statfs(2) has it: NFS, SMB (three of them), 9P,
/// Minix (five), UFS, JFS, HFS+, FAT, exFAT, OCFS2, ReiserFS, NILFS2, Ceph and UDF. Of the others most can, and the attempt
/// shows it.
const WITHOUT_EXCHANGE: &[u64] = &[
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x0102_1997,
    0x137F,
    0x138F,
    0x2468,
    0x2478,
    0x4D5A,
    0x0001_1954,
    0x3153_464A,
    0x482B,
    0x4D44,
    0x2011_BAB0,
    0x7461_636F,
    0x5265_4973,
    0x3434,
    0x00C3_6400,
    0x1501_3346,
];

/// The number of names that a file can have, where the type of the file system shows it: ext4, Btrfs, XFS.
fn links_max(system: u64) -> Option<u64> {
    match system {
        0xEF53 => Some(65_000),
        0x9123_683E => Some(65_535),
        0x5846_5342 => Some(0x7FFF_FFFF),
        _ => None,
    }
}
