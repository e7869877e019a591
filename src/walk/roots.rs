//! Resolves the roots of a plan, and the entries of its list: each must exist, unless it comes from a list, and no path may
//! be met twice.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::device_of;
use super::filter::NameFilter;
use super::globs::Spelling;
use super::ignores::{Ignores, Place};
use super::lists::Looked;
use crate::error::Error;
use crate::plan::{PathList, Plan, Root, Sort};
use crate::record::{bytes_to_path, join_path};

/// What is to be walked.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The roots, less those that another one leads to; those of the list that are links or directories follow the others.
    pub(crate) roots: Vec<Root>,
    /// The other entries of the list, less those that something else leads to.
    pub(crate) listed: PathList,
    /// Paths as they are shown that a walk comes to and leaves to the root that they are: a link, which only as a root
    /// is followed, or a directory from which a root descends deeper.
    pub(crate) apart: HashSet<Vec<u8>>,
}

/// Drops every root and every entry of the list that another one leads to, and all but the first of equal ones. Says so in
/// `notes`. Paths inside a root that its walk does not reach stay.
///
/// # Errors
/// [`Error::Root`] when one cannot be resolved, [`Error::Plan`] when a pattern of the filter does not parse.
pub(crate) fn resolve(plan: &Plan, notes: &mut Vec<String>) -> Result<Resolved, Error> {
    let list = &plan.listed;
    let mut looked = (!list.is_empty()).then(|| Looked::new(list, plan.walkers));
    let mut left = LeftOut::default();
    if let Some(looked) = &mut looked {
        looked.leave_out_equal(|entry, first| {
            left.add_entry(list, entry, "it is the same as", list.path(first))
        });
    }
    let mut roots = plan.roots.clone();
    roots.extend(looked.iter().flat_map(Looked::roots));
    let plan = &Plan { roots, listed: PathList::default(), ..plan.clone() };

    let (names, real) = (NameFilter::new(&plan.filter)?, real_paths(&plan.roots)?);
    let nesting = Nesting { plan, names, real: &real, listable: RefCell::default() };
    let mut resolved = Resolved { roots: Vec::new(), listed: list.clone(), apart: HashSet::new() };
    let mut kept: HashMap<&Path, usize> = HashMap::with_capacity(real.len());
    let mut left_out = nesting.leave_out(&mut kept, &mut resolved.apart);
    if let Some(mut looked) = looked {
        leave_out_same_files(list, &mut looked, plan, &kept, &mut left_out, &mut left);
        leave_out_inside(list, &mut looked, &nesting, &kept, &mut left);
        let mut met = looked.into_met();
        if plan.sort == Sort::Path {
            met.sort_unstable_by_key(|met| met.entry());
        }
        resolved.listed = list.in_order(met);
    }
    let roots = plan.roots.iter().zip(&left_out).filter(|(_, outer)| outer.is_none());
    resolved.roots = roots.map(|(root, _)| root.clone()).collect();
    tell(plan, list, &real, &left_out, left, notes);
    Ok(resolved)
}

/// What leads to a root that is left out.
#[derive(Clone, Copy)]
enum Outer {
    Root(usize),
    /// An equal entry of the list.
    Entry(u32),
}

/// Entries of the list that are left out: there may be very many, and the first stands for all.
#[derive(Default)]
struct LeftOut {
    entries: u64,
    first: Option<(u64, String)>,
}

impl LeftOut {
    /// `place` orders them; `how` something `outer` leads to the one that is shown as `path`.
    fn add(&mut self, place: u64, path: &[u8], how: &str, outer: &[u8]) {
        self.entries += 1;
        if self.first.as_ref().is_none_or(|(first, _)| place < *first) {
            let shown = |path| String::from_utf8_lossy(path).into_owned();
            self.first = Some((place, format!("{}: left out, {how} {}", shown(path), shown(outer))));
        }
    }

    fn add_entry(&mut self, list: &PathList, entry: u32, how: &str, outer: &[u8]) {
        // Roots come before them.
        self.add((1 << 32) + u64::from(entry), list.path(entry), how, outer);
    }
}

/// Leaves out files that are both an entry of the list and a root: the first of both stays.
fn leave_out_same_files(
    list: &PathList,
    looked: &mut Looked<'_>,
    plan: &Plan,
    kept: &HashMap<&Path, usize>,
    left_out: &mut [Option<Outer>],
    left: &mut LeftOut,
) {
    for (&real, &root) in kept {
        let Some((at, entry)) = looked.find(real) else { continue };
        if plan.roots[root].place().is_some_and(|place| entry < place) {
            left_out[root] = Some(Outer::Entry(entry));
        } else {
            looked.leave_out(at);
            left.add_entry(list, entry, "it is the same as", plan.roots[root].shown());
        }
    }
}

/// Leaves out entries of the list that the walk from a root comes to.
fn leave_out_inside(
    list: &PathList,
    looked: &mut Looked<'_>,
    nesting: &Nesting<'_>,
    kept: &HashMap<&Path, usize>,
    left: &mut LeftOut,
) {
    if kept.is_empty() {
        return;
    }
    let ways = |folder: &Path| {
        let outer = folder.ancestors().filter_map(|above| kept.get(above));
        let ways: Vec<_> =
            outer.filter_map(|&outer| Some((outer, nesting.way_into(outer, folder)?))).collect();
        Some(ways).filter(|ways| !ways.is_empty())
    };
    looked.leave_out_where(ways, |ways, entry, name| {
        let outer = ways.iter().find(|(_, way)| !nesting.keeps_out(way, name, false));
        if let Some(&(outer, _)) = outer {
            left.add_entry(list, entry, "it lies inside", nesting.plan.roots[outer].shown());
        }
        outer.is_some()
    });
}

/// Adds notes about the paths left out.
fn tell(
    plan: &Plan,
    list: &PathList,
    real: &[Real],
    left_out: &[Option<Outer>],
    mut left: LeftOut,
    notes: &mut Vec<String>,
) {
    for (i, root) in plan.roots.iter().enumerate() {
        let Some(outer) = left_out[i] else { continue };
        let is_same = match outer {
            Outer::Root(outer) => real[i].path == real[outer].path,
            Outer::Entry(_) => true,
        };
        let how = if is_same { "it is the same as" } else { "it lies inside" };
        let outer = match outer {
            Outer::Root(outer) => plan.roots[outer].path().display().to_string(),
            Outer::Entry(entry) => String::from_utf8_lossy(list.path(entry)).into_owned(),
        };
        match root.place() {
            Some(entry) => left.add_entry(list, entry, how, outer.as_bytes()),
            None if root.is_listed() => left.add(i as u64, root.shown(), how, outer.as_bytes()),
            None => notes.push(format!("{}: left out, {how} {outer}", root.path().display())),
        }
    }
    let entries = left.entries;
    notes.extend(left.first.map(|(_, note)| note));
    if entries > 1 {
        notes.push(format!("{entries} entries of the list left out, others lead to them"));
    }
}

/// Where a root lies.
struct Real {
    /// Through all links.
    path: PathBuf,
    /// Where the root is a link: the link itself.
    link: Option<PathBuf>,
}

/// The places by which roots are compared.
fn real_paths(roots: &[Root]) -> Result<Vec<Real>, Error> {
    let mut parent = Parent::default();
    let real = |root: &Root| match parent.real_path(root.path()) {
        Ok(real) => Ok(real),
        // Where it cannot be had but the root can be reached all the same (a pipe in /dev/fd, a place below a
        // directory that may not be searched, a path too long), the root stands for itself; in a list always.
        Err(_) if root.is_listed() || std::fs::metadata(root.path()).is_ok() => {
            Ok(Real { path: root.path().to_path_buf(), link: None })
        }
        Err(source) => Err(Error::Root { path: root.path().display().to_string(), source }),
    };
    roots.iter().map(real).collect()
}

/// The real path of the parent of the last path: the paths of a list often lie beside each other.
#[derive(Default)]
struct Parent {
    given: PathBuf,
    real: PathBuf,
}

impl Parent {
    fn real_path(&mut self, path: &Path) -> io::Result<Real> {
        let whole = |path: &Path| Ok(Real { path: std::fs::canonicalize(path)?, link: None });
        let bytes = path.as_os_str().as_encoded_bytes();
        let name = path.file_name().filter(|name| bytes.ends_with(name.as_encoded_bytes()));
        let (Some(name), Some(parent)) = (name, path.parent()) else { return whole(path) };
        if self.real.as_os_str().is_empty() || self.given != parent {
            self.real = std::fs::canonicalize(if parent == Path::new("") { Path::new(".") } else { parent })?;
            self.given = parent.to_path_buf();
        }
        let place = self.real.join(name);
        if place.symlink_metadata()?.is_symlink() {
            Ok(Real { path: std::fs::canonicalize(path)?, link: Some(place) })
        } else {
            Ok(Real { path: place, link: None })
        }
    }
}

/// Which root leads to which.
struct Nesting<'p> {
    plan: &'p Plan,
    names: NameFilter,
    real: &'p [Real],
    /// Directories that can be listed, and those that cannot.
    listable: RefCell<HashMap<PathBuf, bool>>,
}

/// A way down from a root, as far as its walk has come.
struct Way {
    here: PathBuf,
    shown: Vec<u8>,
    depth: usize,
    device: Option<Option<u64>>,
    ignores: Option<Arc<Ignores>>,
    spelling: Option<Arc<Spelling>>,
}

impl Nesting<'_> {
    /// What leads to each root that is left out. The others are `kept`, by their real paths.
    fn leave_out<'r>(
        &'r self,
        kept: &mut HashMap<&'r Path, usize>,
        apart: &mut HashSet<Vec<u8>>,
    ) -> Vec<Option<Outer>> {
        let real = self.real;
        let mut order: Vec<usize> = (0..real.len()).collect();
        // Those that others may lie in come before them.
        order.sort_by_cached_key(|&root| (real[root].path.components().count(), root));
        let mut left_out: Vec<Option<Outer>> = vec![None; order.len()];
        for &root in &order {
            let path = &real[root].path;
            let outer = kept.get(path.as_path()).copied();
            let outer = outer.or_else(|| self.leads_to(path, self.descends_deeper(root), kept, apart));
            left_out[root] = outer.map(Outer::Root);
            if outer.is_none() {
                kept.insert(path, root);
            }
        }
        // A link lies in its own directory, not in that of its target. By now all roots that may contain a link are known.
        for (root, link) in real.iter().enumerate().filter_map(|(i, real)| Some((i, real.link.as_ref()?))) {
            if left_out[root].is_none() {
                let stays = !self.plan.filter.follow || self.descends_deeper(root);
                left_out[root] = self.leads_to(link, stays, kept, apart).map(Outer::Root);
            }
        }
        left_out
    }

    /// With a limit on the depth a root inside another descends deeper than the other.
    fn descends_deeper(&self, root: usize) -> bool {
        self.plan.filter.depth_max.is_some() && self.real[root].path.is_dir()
    }

    /// The root whose walk comes to `place`. Where the root there `stays` all the same, those walks must leave it alone:
    /// it is added to `apart`.
    fn leads_to(
        &self,
        place: &Path,
        stays: bool,
        kept: &HashMap<&Path, usize>,
        apart: &mut HashSet<Vec<u8>>,
    ) -> Option<usize> {
        for &outer in place.ancestors().skip(1).filter_map(|above| kept.get(above)) {
            match self.shown_from(outer, place) {
                Some(shown) if stays => drop(apart.insert(shown)),
                Some(_) => return Some(outer),
                None => {}
            }
        }
        None
    }

    /// How the walk from a root shows `inner`, which lies in it; `None` where it does not come there.
    fn shown_from(&self, root: usize, inner: &Path) -> Option<Vec<u8>> {
        let mut way = self.way_into(root, inner.parent()?)?;
        let name = inner.file_name()?;
        let place = inner.to_path_buf();
        let found = if self.plan.filter.follow { place.metadata() } else { place.symlink_metadata() };
        let is_directory = found.is_ok_and(|found| found.is_dir());
        if self.keeps_out(&way, name.as_encoded_bytes(), is_directory) {
            return None;
        }
        way.step(name);
        Some(way.shown)
    }

    /// The way from a root into a directory in it; `None` where its walk does not come there.
    fn way_into(&self, root: usize, directory: &Path) -> Option<Way> {
        let filter = &self.plan.filter;
        let (given, real) = (&self.plan.roots[root], &self.real[root].path);
        let mut way = Way {
            here: real.clone(),
            shown: given.shown().to_vec(),
            depth: 0,
            device: filter.one_file_system.then(|| device_of(real)),
            ignores: self.names.ignores_above(given),
            spelling: self.names.spelling(given),
        };
        self.enter(&mut way)?;
        for component in directory.strip_prefix(real).ok()?.components() {
            let name: &OsStr = component.as_os_str();
            if self.keeps_out(&way, name.as_encoded_bytes(), true) {
                return None;
            }
            way.step(name);
            self.enter(&mut way)?;
        }
        Some(way)
    }

    /// Lists the directory that a way has come to; `None` if that fails.
    fn enter(&self, way: &mut Way) -> Option<()> {
        if !self.is_listable(&way.here) {
            return None;
        }
        way.ignores = self.names.ignores_within(&Place::Path(&way.here), &way.shown, way.ignores.take());
        Some(())
    }

    /// Whether the walk does not meet an entry of the directory it has come to.
    fn keeps_out(&self, way: &Way, name: &[u8], is_directory: bool) -> bool {
        // A file is met at the last level, a directory there is not entered.
        let is_too_deep = |max| way.depth + usize::from(is_directory) >= max;
        let is_elsewhere = |device| {
            let name = bytes_to_path(name);
            let name = Path::new(&name);
            is_directory && device_of(&way.here.join(name)) != device
        };
        self.plan.filter.depth_max.is_some_and(is_too_deep)
            || self.names.excludes(
                &way.shown,
                name,
                is_directory,
                way.ignores.as_deref(),
                way.spelling.as_deref(),
            )
            || way.device.is_some_and(is_elsewhere)
    }

    fn is_listable(&self, directory: &Path) -> bool {
        let mut listable = self.listable.borrow_mut();
        if let Some(known) = listable.get(directory) {
            return *known;
        }
        let is_listable = std::fs::read_dir(directory).is_ok();
        listable.insert(directory.to_path_buf(), is_listable);
        is_listable
    }
}

impl Way {
    fn step(&mut self, name: &OsStr) {
        self.here.push(name);
        self.depth += 1;
        let parent = std::mem::take(&mut self.shown);
        join_path(&parent, name.as_encoded_bytes(), &mut self.shown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Filter;

    #[test]
    fn a_root_inside_another_is_left_out_whatever_the_order() {
        let top = tempfile::tempdir().expect("a place for tests");
        for name in ["a/b", "a-b", "c"] {
            std::fs::create_dir_all(top.path().join(name)).expect("it can be made");
        }
        let check = |roots: &[&str], expected: &[&str], notes_expected: usize| {
            let paths: Vec<_> = roots.iter().map(|root| top.path().join(root)).collect();
            let mut notes = Vec::new();
            let kept = resolve(&Plan::new(paths), &mut notes).expect("all exist").roots;
            let kept: Vec<_> = kept.into_iter().map(|root| root.path().to_path_buf()).collect();
            let expected: Vec<_> = expected.iter().map(|root| top.path().join(root)).collect();
            assert_eq!((kept, notes.len()), (expected, notes_expected), "{roots:?}");
        };
        check(&["a", "c"], &["a", "c"], 0);
        check(&["a", "a/b"], &["a"], 1);
        check(&["a/b", "a"], &["a"], 1);
        check(&["a", "a-b"], &["a", "a-b"], 0);
        check(&["c", "a", "c", "a/../c"], &["c", "a"], 2);
        check(&["a/b", "c", "a-b"], &["a/b", "c", "a-b"], 0);
    }

    #[test]
    fn a_root_that_the_filter_keeps_the_others_from_stays() {
        let top = tempfile::tempdir().expect("a place for tests");
        std::fs::create_dir_all(top.path().join("a/.hidden/b")).expect("it can be made");
        #[track_caller]
        fn check(filter: Filter, roots: [PathBuf; 2], expected: usize) {
            let plan = Plan { filter, ..Plan::new(roots) };
            assert_eq!(resolve(&plan, &mut Vec::new()).expect("all exist").roots.len(), expected);
        }
        let roots = || [top.path().join("a"), top.path().join("a/.hidden/b")];
        let globs = |glob: &str| vec![glob.to_owned()];
        check(Filter::default(), roots(), 1);
        check(Filter { skip_hidden: true, ..Filter::default() }, roots(), 2);
        check(Filter { depth_max: Some(2), ..Filter::default() }, roots(), 2);
        // Three levels below one are five below the other: both stay, and do not meet.
        check(Filter { depth_max: Some(3), ..Filter::default() }, roots(), 2);
        check(Filter { globs: globs("!b"), ..Filter::default() }, roots(), 2);
        check(Filter { globs: globs("!c"), ..Filter::default() }, roots(), 1);
        check(Filter { one_file_system: true, ..Filter::default() }, roots(), 1);
        #[cfg(target_os = "linux")]
        check(Filter { one_file_system: true, ..Filter::default() }, ["/".into(), "/proc/self".into()], 2);
    }

    #[test]
    fn a_root_that_is_not_there_is_an_error_that_names_it() {
        let error = resolve(&Plan::new(["/nonexistent/root"]), &mut Vec::new()).expect_err("it is not there");
        assert!(error.to_string().starts_with("/nonexistent/root: "), "{error}");
    }
}
