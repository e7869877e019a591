//! The gain by files of the same content: a redundant copy frees those of its blocks that no other copy has.
//!
//! The entry point is [`measure`]. Groups come with the sizes of their files. A file with holes has fewer blocks than its
//! size says, and where files can share blocks, some may be those of another copy. So a redundant copy that was met with fewer
//! blocks is looked at again, and where files can share blocks all copies of its group are asked for theirs.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use rayon::iter::{IntoParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rustix::fs::{AtFlags, CWD, FsWord, Mode, OFlags, Stat, fstat, fstatfs, openat, statat};
use rustix::io::retry_on_intr;

use super::action::{Blocks, lists_blocks};
use super::{Search, joins};
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
pub(super) fn measure(
    search: &Search,
    plan: &Plan,
    catalog: &Catalog,
    groups: &mut [FileGroup],
    links: &Links,
    control: &Control,
) {
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

/// The redundant copies that may free less than their size: they are sparse, or have several names. Directory by directory.
fn redundant(search: &Search, catalog: &Catalog, groups: &[FileGroup]) -> Vec<Redundant> {
    let mut redundant = Vec::new();
    let may_free_less = |file: FileId| catalog.is_sparse(file) || catalog.links(file) > 1;
    for (number, group) in groups.iter().enumerate() {
        if !group.names.iter().any(|name| may_free_less(name.file)) {
            continue;
        }
        let stays = joins::copies_that_stay(search, catalog, group);
        for names in group.names.chunk_by(|a, b| a.copy == b.copy) {
            if may_free_less(names[0].file) && !stays.contains(&names[0].copy) {
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
        let links = catalog.links(one.file);
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

/// The file system on a device.
#[derive(Clone, Copy)]
struct Device {
    lists_blocks: bool,
    is_fuse: bool,
}

/// The file system of each device that has a file of a group, by the catalog's number of the device: one call for each.
fn devices(plan: &Plan, catalog: &Catalog, groups: &[FileGroup]) -> Vec<Option<Device>> {
    let mut devices = Vec::new();
    let mut reach = Reach::new(plan);
    for name in groups.iter().flat_map(|group| &group.names) {
        let device = catalog.inode(name.file).0 as usize;
        if devices.len() <= device {
            devices.resize(device + 1, None);
        }
        if devices[device].is_some() {
            continue;
        }
        if let Some((file, _)) = open(plan, catalog, &mut reach, name.file, OFlags::PATH) {
            let is_fuse = fstatfs(&file).is_ok_and(|system| system.f_type == FUSE);
            devices[device] = Some(Device { lists_blocks: lists_blocks(file.as_fd()), is_fuse });
        }
    }
    devices
}

/// Looks at copies again.
struct Looker<'s> {
    search: &'s Search,
    plan: &'s Plan,
    catalog: &'s Catalog,
    devices: Vec<Option<Device>>,
}

impl Looker<'_> {
    fn device(&self, file: FileId) -> Option<&Device> {
        self.devices[self.catalog.inode(file).0 as usize].as_ref()
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
        let (device, links) = (self.device(one.file)?, u64::from(self.catalog.links(one.file)));
        // A file goes with its last name. Blocks are shared whatever its names are.
        let is_unlinked = self.search.action == Some(Action::Hardlink) || !device.lists_blocks;
        if is_unlinked && links > 1 {
            let inside = linked.get(&self.catalog.inode(one.file)).copied().unwrap_or(1);
            let inside = names(group, one.copy).max(inside.into());
            if inside < links {
                return Some((one.group, one.copy, 0));
            }
        }
        if !self.catalog.is_sparse(one.file) {
            return None;
        }
        path.clear();
        self.catalog.path_to(one.file, path);
        let directory = self.catalog.directory_of(one.file);
        let follows = self.plan.filter.follow || self.catalog.directory_path(directory).is_empty();
        let flags = if follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let stat = statat(CWD, bytes_to_path(path), flags).ok()?;
        let allocated = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let is_known = is_same(&stat, self.catalog, one.file) && !(device.is_fuse && allocated == 0);
        (is_known && allocated < group.size).then_some((one.group, one.copy, allocated))
    }

    /// What the redundant copies of a group free, if that is less than their size, by the blocks that the copies before them
    /// have. Those that stay come before.
    fn of_group(&self, number: usize, group: &FileGroup, reach: &mut Reach<'_>) -> Vec<Less> {
        let stays = joins::copies_that_stay(self.search, self.catalog, group);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::super::action::scene::Mounted;
    use super::super::find;
    use super::*;
    use crate::record::{Acted, ActionRecord, Group, Record};
    use crate::report::Actions;
    use crate::sink::Sink;

    const PAGE: usize = 4096;

    /// Keeps what groups and actions would free.
    #[derive(Default)]
    struct Gains(Vec<u64>, Vec<(Acted, u64)>);

    impl Sink for Gains {
        fn record(&mut self, _: &Record<'_>) -> std::io::Result<()> {
            Ok(())
        }

        fn group(&mut self, group: &Group<'_>) -> std::io::Result<()> {
            self.0.push(group.reclaimable_bytes);
            Ok(())
        }

        fn action(&mut self, action: &ActionRecord<'_>) -> std::io::Result<()> {
            self.1.push((action.acted.clone(), action.reclaimable_bytes));
            Ok(())
        }
    }

    /// Runs a search, and checks that the totals are the sums of the records.
    #[track_caller]
    fn run(path: &Path, change: impl FnOnce(&mut Search)) -> (Gains, Actions) {
        let mut search = Search::new(Plan::new([path]));
        change(&mut search);
        let mut gains = Gains::default();
        let found = find(&search, &mut gains, &Control::new()).unwrap();
        let report = found.report.duplicates.unwrap();
        assert_eq!(report.reclaimable_bytes, gains.0.iter().sum::<u64>());
        assert_eq!(report.actions.bytes, gains.1.iter().map(|(_, bytes)| bytes).sum::<u64>());
        assert!(gains.0.is_sorted_by(|a, b| a >= b), "{:?}", gains.0);
        (gains, report.actions)
    }

    fn acting(action: Action, applies: bool) -> impl FnOnce(&mut Search) {
        move |search| (search.action, search.applies) = (Some(action), applies)
    }

    fn content(bytes: usize) -> Vec<u8> {
        let mut content = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut content);
        content
    }

    fn clone(directory: &Path, from: &str, to: &str) {
        let to = File::create(directory.join(to)).unwrap();
        rustix::fs::ioctl_ficlone(to, File::open(directory.join(from)).unwrap()).unwrap();
    }

    fn each(check: impl Fn(&str, &Path)) {
        for kind in ["btrfs", "xfs"] {
            let Some(mounted) = Mounted::new(kind) else { continue };
            let directory = tempfile::tempdir_in(mounted.path()).unwrap();
            check(kind, directory.path());
        }
    }

    #[test]
    fn a_file_and_nine_clones_are_already_shared() {
        each(|kind, path| {
            let size = 256 * PAGE as u64;
            fs::write(path.join("0"), content(256 * PAGE)).unwrap();
            (1..10).for_each(|i| clone(path, "0", &i.to_string()));
            assert_eq!(run(path, |_| {}).0.0, [0], "{kind}");
            for applies in [false, true] {
                let (_, actions) = run(path, acting(Action::Reflink, applies));
                assert_eq!(actions, Actions { already: 9, ..Actions::default() }, "{kind}");
            }
            // One has blocks of its own, which are not on the disk yet.
            fs::write(path.join("5"), content(256 * PAGE)).unwrap();
            assert_eq!(run(path, |_| {}).0.0, [size], "{kind}");
            let (_, planned) = run(path, acting(Action::Reflink, false));
            let expected = Actions { planned: 1, already: 8, bytes: size, ..Actions::default() };
            assert_eq!(planned, expected, "{kind}");
            let (_, done) = run(path, acting(Action::Reflink, true));
            assert_eq!(done, Actions { planned: 0, done: 1, ..expected }, "{kind}");
            let (_, again) = run(path, acting(Action::Reflink, true));
            assert_eq!(again, Actions { already: 9, ..Actions::default() }, "{kind}");
        });
    }

    /// Blocks that two redundant copies share are free only once.
    #[test]
    fn redundant_copies_that_share_count_once() {
        each(|kind, path| {
            let size = 64 * PAGE as u64;
            for name in ["a", "b"] {
                fs::write(path.join(name), content(64 * PAGE)).unwrap();
            }
            ["c", "d"].iter().for_each(|name| clone(path, "b", name));
            assert_eq!(run(path, |_| {}).0.0, [size], "{kind}");
            let (gains, actions) = run(path, acting(Action::Reflink, true));
            assert_eq!((actions.done, actions.bytes), (3, size), "{kind}");
            assert_eq!(gains.1[0], (Acted::Done, size), "{kind}");
        });
    }

    #[test]
    fn a_page_of_its_own_is_what_a_clone_frees() {
        each(|kind, path| {
            fs::write(path.join("a"), content(64 * PAGE)).unwrap();
            clone(path, "a", "b");
            let file = File::options().write(true).open(path.join("b")).unwrap();
            file.write_all_at(&content(64 * PAGE)[9 * PAGE..][..PAGE], 9 * PAGE as u64).unwrap();
            assert_eq!(run(path, |_| {}).0.0, [PAGE as u64], "{kind}");
        });
    }

    #[test]
    fn files_in_the_metadata_of_btrfs_gain_nothing() {
        let Some(mounted) = Mounted::new("btrfs") else { return };
        let directory = tempfile::tempdir_in(mounted.path()).unwrap();
        ["a", "b"].iter().for_each(|name| fs::write(directory.path().join(name), "content").unwrap());
        for applies in [false, true] {
            let (gains, actions) = run(directory.path(), acting(Action::Reflink, applies));
            assert_eq!((gains.0, actions), (vec![0], Actions { already: 1, ..Actions::default() }));
        }
    }

    /// Another name of a file shares whatever the first shares: the plan says so, as the action does.
    #[test]
    fn two_names_of_a_copy_are_one_action() {
        each(|kind, path| {
            let size = 8 * PAGE as u64;
            for name in ["a", "b"] {
                fs::write(path.join(name), content(8 * PAGE)).unwrap();
            }
            fs::hard_link(path.join("b"), path.join("c")).unwrap();
            let expected = Actions { planned: 1, already: 1, bytes: size, ..Actions::default() };
            assert_eq!(run(path, acting(Action::Reflink, false)).1, expected, "{kind}");
            let done = run(path, acting(Action::Reflink, true)).1;
            assert_eq!(done, Actions { planned: 0, done: 1, ..expected }, "{kind}");
        });
    }

    /// On any file system. Those for tests may count blocks of more than a page.
    #[test]
    fn holes_free_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for name in ["a", "b", "c"] {
            let file = File::create(path.join(name)).unwrap();
            file.set_len(64 << 20).unwrap();
            if name != "c" {
                file.write_all_at(b"end", (64 << 20) - 3).unwrap();
            }
        }
        let file = File::options().write(true).open(path.join("c")).unwrap();
        file.write_all_at(&content(PAGE), 0).unwrap();
        fs::copy(path.join("c"), path.join("d")).unwrap();
        let (gains, _) = run(path, |_| {});
        assert_eq!(gains.0.len(), 2);
        assert!(gains.0[1] > 0 && gains.0[1] <= 1 << 20, "{:?}", gains.0);
    }

    #[test]
    fn names_outside_of_the_search_keep_the_space() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = directory.path();
        ["a", "b", "c"].iter().for_each(|name| fs::write(path.join(name), "content").unwrap());
        fs::hard_link(path.join("b"), path.join("d")).unwrap();
        assert_eq!(run(path, |_| {}).0.0, [14]);
        fs::hard_link(path.join("b"), outside.path().join("b")).unwrap();
        assert_eq!(run(path, |_| {}).0.0, [7]);
    }
}
