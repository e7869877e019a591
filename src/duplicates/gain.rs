//! What there is to gain by files of the same content: a redundant copy frees those of its blocks that no other copy has.
//!
//! The entry point is [`measure`]. Groups come with the sizes of their files. A file with holes has fewer blocks than its
//! size says, and where files can share blocks, some may be those of another copy. So each redundant copy is looked at again,
//! and on such a file system all copies of its group are asked for their blocks.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rustix::fs::{AtFlags, CWD, FsWord, Mode, OFlags, Stat, fstat, fstatfs, openat, statat};
use rustix::io::retry_on_intr;

use super::action::{Blocks, lists_blocks};
use super::{Found, Search, acts};
use crate::control::Control;
use crate::groups::{Catalog, FileGroup, FileId, Links, sort_by_gain};
use crate::plan::Plan;
use crate::record::{Action, bytes_to_path};
use crate::walk::again::{Known, Reach};

/// What statfs(2) says of a file system in user space. Some of them say that no file has a block.
const FUSE: FsWord = 0x6573_5546;

/// A copy that is redundant.
#[derive(Clone, Copy)]
struct Redundant {
    /// Its group, by the place in the list of groups.
    group: usize,
    copy: u32,
    /// Its first name.
    file: FileId,
}

/// A copy that frees less than its size.
type Less = (usize, u32, u64);

/// Puts into every group what its redundant copies free, and sorts the groups by that. `plan` has the roots that the catalog
/// speaks of.
pub(super) fn measure(search: &Search, plan: &Plan, found: &mut Found, links: &Links, control: &Control) {
    let Found { catalog, groups, .. } = found;
    let looker = Looker { search, plan, catalog, devices: devices(plan, catalog, groups) };
    let redundant = redundant(search, catalog, groups);
    let linked = names_in_search(catalog, links, &redundant, groups);
    let mut less: Vec<Less> = redundant
        .par_iter()
        .map_init(Vec::new, |path, one| looker.of_copy(one, &groups[one.group], &linked, path))
        .flatten()
        .collect();
    let sharing: Vec<usize> = (0..groups.len()).filter(|&group| looker.may_share(&groups[group])).collect();
    less.extend(
        sharing
            .into_par_iter()
            .filter(|_| !control.is_cancelled())
            .map_init(|| Reach::new(plan), |reach, group| looker.of_group(group, &groups[group], reach))
            .flatten()
            .collect::<Vec<Less>>(),
    );
    if less.is_empty() {
        return;
    }
    // The least of a copy comes first, and counts.
    less.sort_unstable();
    less.dedup_by_key(|&mut (group, copy, _)| (group, copy));
    for (group, copy, bytes) in less {
        groups[group].free_less(copy, bytes);
    }
    sort_by_gain(catalog, groups);
}

/// The redundant copies of all groups, directory by directory.
fn redundant(search: &Search, catalog: &Catalog, groups: &[FileGroup]) -> Vec<Redundant> {
    let mut redundant = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let stays = acts::copies_that_stay(search, catalog, group);
        for names in group.names.chunk_by(|a, b| a.copy == b.copy) {
            if !stays.contains(&names[0].copy) {
                redundant.push(Redundant { group: number, copy: names[0].copy, file: names[0].file });
            }
        }
    }
    redundant.sort_unstable_by_key(|one| (catalog.directory_of(one.file), one.file));
    redundant
}

/// How many names each file has in the search, if some redundant copy has more than its group shows.
fn names_in_search(
    catalog: &Catalog,
    links: &Links,
    redundant: &[Redundant],
    groups: &[FileGroup],
) -> HashMap<(u32, u64), u32> {
    let has_more = |one: &Redundant| {
        let links = catalog.entry(one.file).identity.links;
        links > 1 && names(&groups[one.group], one.copy) < u64::from(links)
    };
    let mut names = HashMap::new();
    if redundant.iter().any(has_more) {
        links.all().for_each(|(_, name)| *names.entry(catalog.inode(name)).or_default() += 1);
    }
    names
}

/// How many names of a copy its group has.
fn names(group: &FileGroup, copy: u32) -> u64 {
    let start = group.names.partition_point(|name| name.copy < copy);
    group.names[start..].iter().take_while(|name| name.copy == copy).count() as u64
}

/// What is known of the file system on a device.
#[derive(Clone, Copy)]
struct Device {
    lists_blocks: bool,
    is_fuse: bool,
}

/// What is known of each device that has a file of a group: one call for each.
fn devices(plan: &Plan, catalog: &Catalog, groups: &[FileGroup]) -> HashMap<u64, Device> {
    let mut devices = HashMap::new();
    let mut reach = Reach::new(plan);
    for name in groups.iter().flat_map(|group| &group.names) {
        let device = catalog.entry(name.file).identity.device;
        if devices.contains_key(&device) {
            continue;
        }
        if let Some((file, _)) = open(plan, catalog, &mut reach, name.file, OFlags::PATH) {
            let is_fuse = fstatfs(&file).is_ok_and(|system| system.f_type == FUSE);
            devices.insert(device, Device { lists_blocks: lists_blocks(file.as_fd()), is_fuse });
        }
    }
    devices
}

/// Looks at copies again.
struct Looker<'s> {
    search: &'s Search,
    plan: &'s Plan,
    catalog: &'s Catalog,
    devices: HashMap<u64, Device>,
}

impl Looker<'_> {
    fn device(&self, file: FileId) -> Option<&Device> {
        self.devices.get(&self.catalog.entry(file).identity.device)
    }

    fn lists_blocks(&self, file: FileId) -> bool {
        self.device(file).is_some_and(|device| device.lists_blocks)
    }

    /// Whether several copies of a group lie where files can share blocks.
    fn may_share(&self, group: &FileGroup) -> bool {
        let copies = group.names.chunk_by(|a, b| a.copy == b.copy);
        copies.filter(|names| self.lists_blocks(names[0].file)).nth(1).is_some()
    }

    /// What a copy frees by its number of blocks and by its names, if that is less than its size.
    fn of_copy(
        &self,
        one: &Redundant,
        group: &FileGroup,
        linked: &HashMap<(u32, u64), u32>,
        path: &mut Vec<u8>,
    ) -> Option<Less> {
        let entry = self.catalog.entry(one.file);
        let device = self.device(one.file)?;
        // A file goes with its last name. Blocks are shared whatever its names are.
        let is_unlinked = self.search.action == Some(Action::Hardlink) || !device.lists_blocks;
        if is_unlinked && entry.identity.links > 1 {
            let inside = linked.get(&self.catalog.inode(one.file)).copied().unwrap_or(1);
            let inside = names(group, one.copy).max(inside.into());
            if inside < u64::from(entry.identity.links) {
                return Some((one.group, one.copy, 0));
            }
        }
        path.clear();
        self.catalog.path_to(one.file, path);
        let follows = self.plan.filter.follow || self.catalog.directory_path(entry.directory).is_empty();
        let flags = if follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let stat = statat(CWD, bytes_to_path(path), flags).ok()?;
        let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let is_known = is_same(&stat, self.catalog, one.file) && !(device.is_fuse && allocated == 0);
        (is_known && allocated < group.size).then_some((one.group, one.copy, allocated))
    }

    /// What the redundant copies of a group free, if that is less than their size, by the blocks that the copies before them
    /// have. Those that stay come before.
    fn of_group(&self, number: usize, group: &FileGroup, reach: &mut Reach<'_>) -> Vec<Less> {
        let stays = acts::copies_that_stay(self.search, self.catalog, group);
        let (mut blocks, mut less) = (Blocks::default(), Vec::new());
        for staying in [true, false] {
            let copies = group.names.chunk_by(|a, b| a.copy == b.copy);
            for names in copies.filter(|names| stays.contains(&names[0].copy) == staying) {
                if !self.lists_blocks(names[0].file) {
                    continue;
                }
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
                let opened = open(self.plan, self.catalog, reach, names[0].file, flags);
                let Some((file, stat)) = opened else { continue };
                let is_same = is_same(&stat, self.catalog, names[0].file);
                let added = blocks.add(file.as_fd()).unwrap_or(group.size);
                if is_same && !staying && added < group.size {
                    less.push((number, names[0].copy, added));
                }
            }
        }
        less
    }
}

/// Whether this is the file that was met.
fn is_same(stat: &Stat, catalog: &Catalog, file: FileId) -> bool {
    let entry = catalog.entry(file);
    #[expect(clippy::useless_conversion, reason = "on some processors these are smaller numbers")]
    let found: (u64, u64) = (stat.st_dev.into(), stat.st_ino.into());
    found == (entry.identity.device, entry.identity.inode) && u64::try_from(stat.st_size) == Ok(entry.size)
}

/// Opens a file below its root.
fn open(
    plan: &Plan,
    catalog: &Catalog,
    reach: &mut Reach<'_>,
    file: FileId,
    flags: OFlags,
) -> Option<(OwnedFd, Stat)> {
    let entry = catalog.entry(file);
    let path = catalog.directory_path(entry.directory);
    let known = Known { directory: path, root: catalog.root_of(file), name: entry.name };
    let follows = plan.filter.follow || path.is_empty();
    let nofollow = if follows { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = flags | nofollow | OFlags::CLOEXEC;
    let directory = reach.directory(path, known.root).ok()?;
    let beside = directory.handle.as_ref().map_or(CWD, |handle| handle.as_fd());
    let opened = retry_on_intr(|| openat(beside, bytes_to_path(entry.name), flags, Mode::empty())).ok()?;
    let stat = fstat(&opened).ok()?;
    Some((opened, stat))
}
