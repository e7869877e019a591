//! Plans which names of a group join which kept file. A dry run prints the plan, and `--apply` carries it out.
//!
//! All that cannot join the first kept file is joined among itself: the first one that is refused becomes a kept file as well,
//! and so on.

use std::collections::{HashMap, HashSet};

use super::Search;
use super::apply::{Applier, Class, Facts, LINKS_FULL, Refusal, can_be_kept, can_be_replaced, decide};
use crate::groups::{Catalog, FileGroup, FileId, Name, is_leftover};
use crate::record::{Acted, Action};

/// The plan for one name.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) file: FileId,
    /// Its copy, by the number in the group.
    copy: u32,
    /// The file that it joins, or cannot join.
    pub(super) keep: FileId,
    pub(super) size: u64,
    /// Bytes that its copy frees once all of its names are replaced.
    pub(super) reclaimable_bytes: u64,
    /// Planned, already so, or refused.
    pub(super) acted: Acted,
    /// Names of the file outside of the search.
    pub(super) names_outside: u64,
    /// Whether it is the first name of its copy, and the last.
    pub(super) is_first: bool,
    pub(super) is_last: bool,
}

/// Plans for all names of a group but those of copies that stay.
pub(super) fn plan(
    search: &Search,
    catalog: &Catalog,
    action: Action,
    applier: &mut Applier<'_>,
    group: &FileGroup,
) -> Vec<Join> {
    let Some(first) = first_kept(catalog, Some(action), group) else { return Vec::new() };
    let stays = copies_beside(search, catalog, group, &first);
    let others = group.names.chunk_by(|a, b| a.copy == b.copy).map(|names| names[0]);
    let others = others.filter(|name| stays.contains(&name.copy) && name.copy != first.copy);
    let mut keepers = Keepers::new(applier, action, first.file, others.map(|name| name.file).collect());
    let mut joins = Vec::new();
    for names in in_order_of_keeping(catalog, action, group) {
        if !stays.contains(&names[0].copy) {
            keepers.join(catalog, names, group, &mut joins);
        }
    }
    joins.sort_by_key(|join: &Join| join.copy);
    joins
}

/// The copies of a group: of those that could be kept the ones come first that hard links would not free.
fn in_order_of_keeping<'g>(catalog: &Catalog, action: Action, group: &'g FileGroup) -> Vec<&'g [Name]> {
    let mut copies: Vec<&[Name]> = group.names.chunk_by(|a, b| a.copy == b.copy).collect();
    if action == Action::Hardlink {
        copies.sort_by_key(|names| (rank(catalog, &names[0]), !has_names_outside(catalog, names)));
    }
    copies
}

/// The name of the copy that is kept first: the first of the group. Among copies that are equal to it by references and by the
/// order of the paths given, hard links keep one that has names outside of the search, as its space would not be freed.
fn first_kept(catalog: &Catalog, action: Option<Action>, group: &FileGroup) -> Option<Name> {
    let first = *group.names.first()?;
    if action != Some(Action::Hardlink) {
        return Some(first);
    }
    let first_rank = rank(catalog, &first);
    let mut equal =
        group.names.chunk_by(|a, b| a.copy == b.copy).filter(|names| rank(catalog, &names[0]) == first_rank);
    Some(equal.find(|names| has_names_outside(catalog, names)).map_or(first, |names| names[0]))
}

/// The order in which files are kept: those of a reference, then by the paths given. Temporary links come last.
fn rank(catalog: &Catalog, name: &Name) -> (bool, bool, usize) {
    (is_leftover(catalog.entry(name.file).name), !name.is_reference, catalog.rank_of(name.file))
}

/// Whether a copy with these names in the search had others when it was met.
fn has_names_outside(catalog: &Catalog, names: &[Name]) -> bool {
    u64::from(catalog.entry(names[0].file).identity.links) > names.len() as u64
}

/// The copies of a group that are to stay as they are.
#[cfg(target_os = "linux")]
pub(super) fn copies_that_stay(search: &Search, catalog: &Catalog, group: &FileGroup) -> HashSet<u32> {
    let first = first_kept(catalog, search.action, group);
    first.map_or_else(HashSet::new, |first| copies_beside(search, catalog, group, &first))
}

/// The copies of a group that are to stay as they are: the one that is kept first; all that have a name in a reference; across
/// paths all that have one in the path of the first. Of empty files there is nothing to share.
fn copies_beside(search: &Search, catalog: &Catalog, group: &FileGroup, first: &Name) -> HashSet<u32> {
    let root = |name: &Name| catalog.root_of(name.file);
    let stays = |name: &Name| {
        group.size == 0
            || name.copy == first.copy
            || name.is_reference
            || (search.is_across && root(name) == root(first))
    };
    group.names.iter().filter(|name| stays(name)).map(|name| name.copy).collect()
}

/// A file that others can join.
struct Keeper {
    file: FileId,
    facts: Result<Facts, Refusal>,
    /// Names that it has once all is done.
    links: u64,
}

/// The files of a group that others can join.
struct Keepers<'a, 's> {
    applier: &'a mut Applier<'s>,
    action: Action,
    /// The one that is kept first, and those that were added.
    all: Vec<Keeper>,
    /// For hard links the one that takes files of a class.
    by_class: HashMap<Class, usize>,
    /// Copies that stay, and that were not looked at yet: last first.
    unseen: Vec<FileId>,
}

impl<'a, 's> Keepers<'a, 's> {
    fn new(applier: &'a mut Applier<'s>, action: Action, first: FileId, mut others: Vec<FileId>) -> Self {
        others.reverse();
        let facts = applier.look_at_kept(first);
        let mut keepers =
            Keepers { applier, action, all: Vec::new(), by_class: HashMap::new(), unseen: others };
        keepers.add(first, facts);
        keepers
    }

    /// Adds a file that others can join, unless it cannot be kept, or another one takes the files of its class. The first one
    /// is added in any case: it says why others are refused.
    fn add(&mut self, file: FileId, facts: Result<Facts, Refusal>) {
        let number = self.all.len();
        let links = facts.as_ref().map_or(0, |facts| facts.links);
        let is_new = match (&facts, self.action) {
            (Ok(facts), _) if can_be_kept(facts).is_err() => false,
            (Ok(facts), Action::Hardlink) => match self.by_class.entry(facts.class.clone()) {
                std::collections::hash_map::Entry::Occupied(_) => false,
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(number);
                    true
                }
            },
            (Ok(facts), Action::Reflink) => !self
                .all
                .iter()
                .filter_map(|known| known.facts.as_ref().ok())
                .any(|known| known.class == facts.class && can_be_kept(known).is_ok()),
            (Err(_), _) => false,
        };
        if is_new || number == 0 {
            self.all.push(Keeper { file, facts, links });
        }
    }

    /// Plans for all names of one copy.
    fn join(&mut self, catalog: &Catalog, names: &[Name], group: &FileGroup, joins: &mut Vec<Join>) {
        // Facts for shared blocks hold a handle. Once the first name shares its blocks, the others need none.
        let at_once = if self.action == Action::Reflink { 1 } else { names.len() };
        let mut looked: Vec<Result<Facts, Refusal>> =
            names[..at_once].iter().map(|name| self.applier.look(name.file)).collect();
        let (entries, is_repeat) = entries(catalog, names, &looked);
        let names_outside = match self.action {
            Action::Hardlink => links(catalog, names, &looked).saturating_sub(entries),
            Action::Reflink => 0,
        };
        let start = joins.len();
        for (at, name) in names.iter().enumerate() {
            let (keep, acted) = if names_outside > 0 {
                (0, Acted::Refused(outside(names_outside)))
            } else if is_repeat.get(at).is_some_and(|&is| is) || (at > 0 && self.is_shared(joins.get(start)))
            {
                (0, Acted::Already)
            } else if let Some(facts) = looked.get(at) {
                self.choose(facts)
            } else {
                let facts = self.applier.look(name.file);
                self.choose(&facts)
            };
            joins.push(Join {
                file: name.file,
                copy: name.copy,
                keep: self.all[keep].file,
                size: group.size,
                reclaimable_bytes: group.reclaimable_bytes_of(name.copy),
                acted,
                names_outside,
                is_first: at == 0,
                is_last: at + 1 == names.len(),
            });
        }
        let joins = &mut joins[start..];
        let is_refused = joins.iter().any(|join| matches!(join.acted, Acted::Refused(_)));
        if is_refused && self.action == Action::Hardlink {
            for join in joins.iter_mut().filter(|join| join.acted == Acted::Planned) {
                join.acted = Acted::Refused(
                    "another name of it cannot be replaced: its space would not be freed".into(),
                );
            }
        }
        if is_refused {
            self.add(names[0].file, looked.swap_remove(0));
        } else if self.action == Action::Hardlink {
            for join in joins.iter().filter(|join| join.acted == Acted::Planned) {
                let keeper = self.all.iter_mut().rev().find(|keeper| keeper.file == join.keep);
                keeper.into_iter().for_each(|keeper| keeper.links += 1);
            }
        }
    }

    /// Whether the blocks of a copy are shared by way of its first name.
    fn is_shared(&self, first: Option<&Join>) -> bool {
        let is_done = first.is_some_and(|join| !matches!(join.acted, Acted::Refused(_)));
        self.action == Action::Reflink && is_done
    }

    /// The place of the file that a name joins and the plan for it, or why it can join none.
    fn choose(&mut self, facts: &Result<Facts, Refusal>) -> (usize, Acted) {
        let facts = match facts {
            Ok(facts) => facts,
            Err(refusal) => return (0, Acted::Refused(refusal.clone())),
        };
        let sharing = if self.action == Action::Reflink { self.all.as_slice() } else { &[] };
        for (at, keeper) in sharing.iter().enumerate() {
            let Ok(kept) = &keeper.facts else { continue };
            match self.applier.has_no_block_of_its_own(kept, facts) {
                Ok(true) => return (at, Acted::Already),
                Ok(false) => {}
                Err(refusal) => return (at, Acted::Refused(refusal)),
            }
        }
        if let Err(refusal) = can_be_replaced(facts) {
            return (0, Acted::Refused(refusal));
        }
        loop {
            match self.find(facts) {
                (keep, Ok(())) => return (keep, Acted::Planned),
                (keep, Err(refusal)) => match self.unseen.pop() {
                    Some(next) => {
                        let looked = self.applier.look_at_kept(next);
                        self.add(next, looked);
                    }
                    None => return (keep, Acted::Refused(refusal)),
                },
            }
        }
    }

    /// The place of the file that a name can join, or of the one that it is refused by.
    fn find(&mut self, facts: &Facts) -> (usize, Result<(), Refusal>) {
        let decided = |keeper: &Keeper| match &keeper.facts {
            Ok(kept) => decide(kept, keeper.links, facts),
            Err(refusal) => Err(refusal.clone()),
        };
        if self.action == Action::Reflink {
            let found = self.all.iter().position(|keeper| decided(keeper).is_ok());
            return found.map_or_else(|| (0, decided(&self.all[0])), |at| (at, Ok(())));
        }
        let Some(&at) = self.by_class.get(&facts.class) else { return (0, decided(&self.all[0])) };
        let decided = decided(&self.all[at]);
        if decided.as_ref().is_err_and(|refusal| refusal == LINKS_FULL) {
            // The one that is refused takes the others of its class.
            self.by_class.remove(&facts.class);
        }
        (at, decided)
    }
}

/// Counts the different names of a copy, and says which are the same as an earlier one: a directory may have been reached by
/// two mounts.
fn entries(catalog: &Catalog, names: &[Name], looked: &[Result<Facts, Refusal>]) -> (u64, Vec<bool>) {
    let mut seen = HashSet::new();
    let is_repeat = names.iter().zip(looked).map(|(name, facts)| {
        let path = catalog.entry(name.file).name;
        let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        facts.as_ref().is_ok_and(|facts| !seen.insert((facts.directory, base)))
    });
    let is_repeat: Vec<bool> = is_repeat.collect();
    (is_repeat.iter().filter(|&&is_repeat| !is_repeat).count() as u64, is_repeat)
}

/// The number of names that a copy has anywhere.
fn links(catalog: &Catalog, names: &[Name], looked: &[Result<Facts, Refusal>]) -> u64 {
    let known = u64::from(catalog.entry(names[0].file).identity.links);
    looked.iter().flatten().map(|facts| facts.links).next().unwrap_or(known)
}

fn outside(names: u64) -> Refusal {
    if names == 1 {
        "it has 1 name outside of the search: its space would not be freed".into()
    } else {
        format!("it has {names} names outside of the search: its space would not be freed").into()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
#[allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use rustix::fs::{IFlags, XattrFlags, ioctl_ficlone, ioctl_getflags, ioctl_setflags};

    use super::super::action::Blocks;
    use super::super::action::scene::Mounted;
    use super::super::find;
    use super::*;
    use crate::control::Control;
    use crate::plan::Plan;
    use crate::record::{ActionRecord, Group, Record, bytes_to_path};
    use crate::report::Actions;
    use crate::sink::Sink;

    /// What became of one name: its path, the kept file, the outcome, the bytes that it frees, and its names outside.
    type Line = (PathBuf, PathBuf, Acted, u64, u64);

    #[derive(Default)]
    struct Lines(Vec<Line>);

    impl Sink for Lines {
        fn record(&mut self, record: &Record<'_>) -> std::io::Result<()> {
            assert!(!matches!(record.outcome, crate::record::Outcome::Failed(_)));
            Ok(())
        }

        fn group(&mut self, _: &Group<'_>) -> std::io::Result<()> {
            Ok(())
        }

        fn action(&mut self, action: &ActionRecord<'_>) -> std::io::Result<()> {
            let path = |bytes| bytes_to_path(bytes).to_path_buf();
            let ActionRecord { acted, reclaimable_bytes, names_outside, .. } = action;
            let outcome = (acted.clone(), *reclaimable_bytes, *names_outside);
            self.0.push((path(action.path), path(action.keep), outcome.0, outcome.1, outcome.2));
            Ok(())
        }
    }

    fn run_in(plan: Plan, action: Action, applies: bool) -> (Vec<Line>, Actions) {
        let mut search = Search::new(plan);
        (search.action, search.applies) = (Some(action), applies);
        let mut lines = Lines::default();
        let found = find(&search, &mut lines, &Control::new()).unwrap();
        (lines.0, found.report.duplicates.unwrap().actions)
    }

    fn run(path: &Path, action: Action, applies: bool) -> (Vec<Line>, Actions) {
        run_in(Plan::new([path]), action, applies)
    }

    /// A directory in which files can be linked; none if there are no leases.
    fn place() -> Option<tempfile::TempDir> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("leases");
        fs::write(&file, "x").unwrap();
        let has_leases = super::super::action::scene::has_lease(&File::open(&file).unwrap());
        fs::remove_file(file).unwrap();
        if !has_leases {
            println!("skipped: no leases here");
        }
        has_leases.then_some(directory)
    }

    fn file(path: &Path, mode: u32) {
        fs::write(path, "content").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn inode(path: &Path) -> u64 {
        path.symlink_metadata().unwrap().ino()
    }

    #[test]
    fn files_that_cannot_join_the_first_are_joined_among_themselves() {
        let Some(place) = place() else { return };
        let at = |name: &str| place.path().join(name);
        file(&at("a"), 0o644);
        ["b", "c", "d"].iter().for_each(|name| file(&at(name), 0o600));
        let (_, planned) = run(place.path(), Action::Hardlink, false);
        assert_eq!(planned, Actions { planned: 2, refused: 1, bytes: 14, ..Actions::default() });
        let (_, done) = run(place.path(), Action::Hardlink, true);
        assert_eq!(done, Actions { done: 2, refused: 1, bytes: 14, ..Actions::default() });
        assert_eq!((inode(&at("c")), inode(&at("d"))), (inode(&at("b")), inode(&at("b"))));
        assert_ne!(inode(&at("a")), inode(&at("b")));
        let (_, again) = run(place.path(), Action::Hardlink, true);
        assert_eq!(again, Actions { refused: 3, ..Actions::default() });
    }

    /// Each link changes the status of its kept file, which the next pair but one has as well.
    #[test]
    fn two_kept_files_take_turns_in_a_batch() {
        let Some(place) = place() else { return };
        for i in 0..60 {
            file(&place.path().join(format!("{i:02}")), if i % 2 == 0 { 0o644 } else { 0o600 });
        }
        // Coarse clocks hide what has changed.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let (_, done) = run(place.path(), Action::Hardlink, true);
        assert_eq!(done, Actions { done: 58, refused: 1, bytes: 58 * 7, ..Actions::default() });
    }

    #[test]
    fn a_file_beyond_the_limit_of_links_takes_the_others() {
        let Some(place) = place() else { return };
        let at = |name: &str| place.path().join(name);
        ["a", "x", "y", "z"].iter().for_each(|name| file(&at(name), 0o644));
        fs::create_dir(at("names")).unwrap();
        // ext4 allows 65,000.
        let full = (0..64_998).try_for_each(|i| fs::hard_link(at("a"), at("names").join(i.to_string())));
        if full.is_err() || rustix::fs::statfs(place.path()).unwrap().f_type != 0xEF53 {
            return println!("skipped: this is no ext4");
        }
        let (_, planned) = run(place.path(), Action::Hardlink, false);
        assert_eq!(planned, Actions { planned: 2, refused: 1, bytes: 14, ..Actions::default() });
        let (lines, done) = run(place.path(), Action::Hardlink, true);
        assert_eq!(done, Actions { planned: 0, done: 2, ..planned });
        assert_eq!((&lines[0].0, &lines[0].1), (&at("x"), &at("a")));
        assert_eq!((&lines[2].0, &lines[2].1), (&at("z"), &at("y")));
        assert_eq!(at("a").metadata().unwrap().nlink(), 65_000);
    }

    #[test]
    fn a_file_with_names_outside_stays_and_says_so() {
        let Some(place) = place() else { return };
        let outside = tempfile::tempdir_in(place.path().parent().unwrap()).unwrap();
        let at = |name: &str| place.path().join(name);
        for directory in ["1", "2"] {
            fs::create_dir(at(directory)).unwrap();
        }
        ["1/a", "2/b", "2/c"].iter().for_each(|name| file(&at(name), 0o644));
        fs::hard_link(at("2/b"), outside.path().join("b")).unwrap();
        let expected = Actions { done: 1, refused: 1, bytes: 7, ..Actions::default() };
        // The order of the paths given comes first.
        let plan = || Plan::new([at("1"), at("2")]);
        let (lines, planned) = run_in(plan(), Action::Hardlink, false);
        assert_eq!(planned, Actions { planned: 1, done: 0, ..expected });
        let refusal = "it has 1 name outside of the search: its space would not be freed";
        assert_eq!(lines[0], (at("2/b"), at("1/a"), Acted::Refused(refusal.into()), 0, 1));
        assert_eq!(run_in(plan(), Action::Hardlink, true).1, expected);
        assert_eq!(inode(&at("2/c")), inode(&at("1/a")));
        assert_eq!(inode(&at("2/b")), inode(&outside.path().join("b")));
    }

    /// Links outside of the search decide between files that are equal otherwise, also for the second kept file.
    #[test]
    fn a_file_with_names_outside_is_kept_among_equals() {
        let Some(place) = place() else { return };
        let outside = tempfile::tempdir_in(place.path().parent().unwrap()).unwrap();
        let at = |name: &str| place.path().join(name);
        for (name, mode) in [("a", 0o644), ("b", 0o644), ("c", 0o600), ("d", 0o600)] {
            file(&at(name), mode);
        }
        for name in ["b", "d"] {
            fs::hard_link(at(name), outside.path().join(name)).unwrap();
        }
        let (_, done) = run(place.path(), Action::Hardlink, true);
        assert_eq!(done, Actions { done: 2, refused: 1, bytes: 14, ..Actions::default() });
        assert_eq!((inode(&at("a")), inode(&at("c"))), (inode(&at("b")), inode(&at("d"))));
    }

    /// A file of the property below.
    #[derive(Clone, Debug)]
    struct Made {
        content: u8,
        owner: u32,
        mode: u32,
        note: u8,
        flags: IFlags,
        has_name_outside: bool,
    }

    fn made() -> impl Strategy<Value = Made> {
        let flags = prop_oneof![
            8 => Just(IFlags::empty()),
            1 => Just(IFlags::NODUMP),
            1 => Just(IFlags::APPEND),
            1 => Just(IFlags::IMMUTABLE),
        ];
        let owner = prop_oneof![3 => Just(0_u32), 1 => Just(65534)];
        let mode = prop_oneof![3 => Just(0o644_u32), 1 => Just(0o600), 1 => Just(0o4755)];
        let of = (0_u8..2, owner, mode, 0_u8..2, flags, prop::bool::weighted(0.15));
        of.prop_map(|(content, owner, mode, note, flags, has_name_outside)| Made {
            content,
            owner,
            mode,
            note,
            flags,
            has_name_outside,
        })
    }

    fn set_flags(path: &Path, flags: IFlags) {
        if !flags.is_empty() || !ioctl_getflags(File::open(path).unwrap()).unwrap().is_empty() {
            let file = File::open(path).unwrap();
            let other =
                ioctl_getflags(&file).unwrap() - (IFlags::NODUMP | IFlags::APPEND | IFlags::IMMUTABLE);
            ioctl_setflags(&file, other | flags).unwrap();
        }
    }

    /// Files as they were made, in directories with odd names; flags that hinder removal are taken back in the end.
    struct Scene {
        root: tempfile::TempDir,
        files: Vec<(PathBuf, Made)>,
    }

    impl Scene {
        fn new(below: &Path, all: &[Made]) -> Scene {
            let root = tempfile::tempdir_in(below).unwrap();
            let mut files = Vec::new();
            fs::create_dir(root.path().join("outside")).unwrap();
            for (i, made) in (0_u8..).zip(all) {
                let directory = OsString::from_vec(vec![b'd', b'\n', 0xFF, b'0' + i % 3]);
                let directory = root.path().join("search").join(directory);
                fs::create_dir_all(&directory).unwrap();
                let name = OsString::from_vec(vec![b'"', 0x80, b'a' + i, b'\\', b'\t']);
                let path = directory.join(name);
                fs::write(&path, vec![made.content; 9000]).unwrap();
                chown(&path, Some(made.owner), Some(made.owner)).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(made.mode)).unwrap();
                if made.note > 0 {
                    rustix::fs::setxattr(&path, "user.note", &[made.note], XattrFlags::empty()).unwrap();
                }
                if made.has_name_outside {
                    fs::hard_link(&path, root.path().join("outside").join(i.to_string())).unwrap();
                }
                set_flags(&path, made.flags);
                files.push((path, made.clone()));
            }
            Scene { root, files }
        }

        fn search(&self) -> PathBuf {
            self.root.path().join("search")
        }

        /// Every file has the content and all else that it was made with, and nothing lies beside.
        fn check_whole(&self) {
            for (path, made) in &self.files {
                assert_eq!(fs::read(path).unwrap(), vec![made.content; 9000]);
                let of = path.symlink_metadata().unwrap();
                assert_eq!((of.uid(), of.gid(), of.mode() & 0o7777), (made.owner, made.owner, made.mode));
                let mut note = [0; 8];
                let read = rustix::fs::getxattr(path, "user.note", &mut note[..]).unwrap_or(0);
                assert_eq!((read, note[0]), (usize::from(made.note > 0), made.note));
                let flags = ioctl_getflags(File::open(path).unwrap()).unwrap();
                assert!(flags.contains(made.flags));
            }
            let entries = walkdir::WalkDir::new(self.search()).into_iter();
            let files = entries.filter(|entry| entry.as_ref().unwrap().file_type().is_file());
            assert_eq!(files.count(), self.files.len());
        }

        /// Whether the file of this name has others outside, after all that was done.
        fn has_names_outside(&self, path: &Path) -> bool {
            let names = self.files.iter().filter(|(name, _)| inode(name) == inode(path));
            path.symlink_metadata().unwrap().nlink() > names.count() as u64
        }

        /// Pairs of files that have the same content and stay two files.
        fn pairs(&self) -> impl Iterator<Item = [&(PathBuf, Made); 2]> {
            let of_same_content = |[(a, one), (b, other)]: &[&(PathBuf, Made); 2]| {
                one.content == other.content && inode(a) != inode(b)
            };
            let pairs = self.files.iter().enumerate();
            pairs.flat_map(|(i, a)| self.files[i + 1..].iter().map(move |b| [a, b])).filter(of_same_content)
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            for (path, _) in &self.files {
                if path.symlink_metadata().is_ok() {
                    set_flags(path, IFlags::empty());
                }
            }
        }
    }

    /// A dry run plans the actions of `--apply`, nothing of a file changes, and other programs cannot join the files that stay apart.
    fn check_plan(below: &Path, action: Action, all: &[Made]) {
        let scene = Scene::new(below, all);
        let (planned, _) = run(&scene.search(), action, false);
        scene.check_whole();
        let (mut done, _) = run(&scene.search(), action, true);
        scene.check_whole();
        for line in &mut done {
            if line.2 == Acted::Done {
                line.2 = Acted::Planned;
            }
        }
        assert_eq!(planned, done);
        match action {
            Action::Hardlink => check_nothing_can_be_linked(&scene),
            Action::Reflink => check_nothing_can_be_cloned(&scene),
        }
        for applies in [false, true] {
            let (_, again) = run(&scene.search(), action, applies);
            assert_eq!((again.planned, again.done, again.bytes), (0, 0, 0));
        }
    }

    /// As `ln -f` would, one of the two for the other. Two files that both have names outside have no space to free.
    fn check_nothing_can_be_linked(scene: &Scene) {
        for [(a, one), (b, other)] in scene.pairs() {
            let all = |made: &Made| (made.owner, made.mode, made.note, made.flags.bits());
            if all(one) != all(other) || (scene.has_names_outside(a) && scene.has_names_outside(b)) {
                continue;
            }
            let beside = b.with_file_name("beside");
            let is_linked = fs::hard_link(a, &beside).and_then(|()| fs::rename(&beside, b)).is_ok();
            assert!(!is_linked, "{a:?} {one:?} {b:?} {other:?}");
            drop(fs::remove_file(beside));
        }
    }

    /// As `cp --reflink` would, into the file that there is.
    fn check_nothing_can_be_cloned(scene: &Scene) {
        for [(a, one), (b, other)] in scene.pairs() {
            // Others have joined the file that is first by path, and this one cannot be changed.
            let first = scene
                .files
                .iter()
                .filter(|(_, made)| made.content == one.content)
                .map(|(path, _)| path)
                .min();
            let is_alone =
                |path: &PathBuf, made: &Made| made.flags == IFlags::IMMUTABLE && Some(path) != first;
            if is_alone(a, one) || is_alone(b, other) {
                continue;
            }
            let mut blocks = Blocks::default();
            blocks.add(File::open(a).unwrap().as_fd()).unwrap();
            let own = blocks.add(File::open(b).unwrap().as_fd()).unwrap();
            let cloned =
                File::options().write(true).open(b).map(|b| ioctl_ficlone(b, File::open(a).unwrap()));
            assert!(own == 0 || !matches!(cloned, Ok(Ok(()))), "{a:?} {one:?} {b:?} {other:?}");
        }
    }

    /// Runs the property in each of some places.
    fn check_plans(action: Action, places: &[&Path]) {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root can give files away");
        }
        for place in places {
            let mut runner = TestRunner::new(ProptestConfig {
                failure_persistence: None,
                ..ProptestConfig::with_cases(12)
            });
            let all = prop::collection::vec(made(), 2..14);
            let checked = runner.run(&all, |all| {
                check_plan(place, action, &all);
                Ok(())
            });
            checked.unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        }
    }

    #[test]
    fn a_dry_run_plans_the_hard_links_that_are_made() {
        let Some(place) = place() else { return };
        let mounted: Vec<Mounted> = ["btrfs", "xfs"].into_iter().filter_map(Mounted::new).collect();
        let mounted = mounted.iter().map(Mounted::path);
        check_plans(Action::Hardlink, &mounted.chain([place.path()]).collect::<Vec<_>>());
    }

    #[test]
    fn a_dry_run_plans_the_blocks_that_are_shared() {
        let mounted: Vec<Mounted> = ["btrfs", "xfs"].into_iter().filter_map(Mounted::new).collect();
        check_plans(Action::Reflink, &mounted.iter().map(Mounted::path).collect::<Vec<_>>());
    }

    #[cfg(feature = "faults")]
    #[test]
    fn other_names_of_a_copy_that_is_refused_are_refused() {
        use crate::faults::{Effect, Faults, Operation};
        let Some(mounted) = Mounted::new("btrfs") else { return };
        let mut refused = 0;
        for step in 1.. {
            let place = tempfile::tempdir_in(mounted.path()).unwrap();
            ["a", "b"].iter().for_each(|name| fs::write(place.path().join(name), vec![1; 9000]).unwrap());
            fs::hard_link(place.path().join("b"), place.path().join("c")).unwrap();
            let faults = Faults::new(Operation::Act, step, Effect::FailsOnce);
            let plan = Plan { faults: faults.clone(), ..Plan::new([place.path()]) };
            let (lines, _) = run_in(plan, Action::Reflink, true);
            if !faults.has_struck() {
                break;
            }
            let outcome = |name: &str| {
                let line = lines.iter().find(|line| line.0.ends_with(name));
                line.map(|line| line.2.clone())
            };
            if let (Some(Acted::Refused(why)), c) = (outcome("b"), outcome("c")) {
                refused += 1;
                // By its other name the copy may be shared after all.
                assert_ne!(c, Some(Acted::Already), "step {step}: {why}");
            }
        }
        assert!(refused > 0);
    }

    /// Only when it is asked for some bytes does the kernel say that they are in use.
    #[test]
    fn swap_space_is_refused_before_it_is_promised() {
        let Some(mounted) = Mounted::new("btrfs") else { return };
        let directory = tempfile::tempdir_in(mounted.path()).unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("files")).unwrap();
        let made: BTreeMap<&str, File> = ["a", "b", "c"]
            .into_iter()
            .map(|name| (name, File::create(at("files").join(name)).unwrap()))
            .collect();
        for file in made.values() {
            ioctl_setflags(file, IFlags::NOCOW).unwrap();
        }
        fs::write(at("files/a"), vec![0; 4 << 20]).unwrap();
        fs::set_permissions(at("files/a"), fs::Permissions::from_mode(0o600)).unwrap();
        drop(made);
        let shell = |words: &[&str]| {
            std::process::Command::new(words[0]).args(&words[1..]).arg(at("files/a")).output().unwrap()
        };
        assert!(shell(&["mkswap"]).status.success());
        for name in ["b", "c"] {
            fs::write(at("files").join(name), fs::read(at("files/a")).unwrap()).unwrap();
        }
        let on = shell(&["swapon"]);
        if !on.status.success() {
            return println!("skipped: no swap space here: {}", String::from_utf8_lossy(&on.stderr));
        }
        let planned = run(directory.path(), Action::Reflink, false);
        let done = run(directory.path(), Action::Reflink, true);
        assert!(shell(&["swapoff"]).status.success());
        assert_eq!((planned.1.planned, planned.1.refused), (1, 1), "{:?}", planned.0);
        assert_eq!((done.1.done, done.1.refused), (1, 1), "{:?}", done.0);
    }
}
