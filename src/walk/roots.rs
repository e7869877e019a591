//! Resolves the roots of a plan: each must exist, unless it comes from a list, and no path may be met twice.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::device_of;
use super::filter::NameFilter;
use super::ignores::Place;
use crate::error::Error;
use crate::plan::{Plan, Root};
use crate::record::join_path;

/// What is to be walked.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The roots, less those that another one leads to.
    pub(crate) roots: Vec<Root>,
    /// Paths as they are shown that a walk comes to and leaves to the root that they are: a link, which only as a root
    /// is followed, or a directory from which a root descends deeper.
    pub(crate) apart: HashSet<Vec<u8>>,
}

/// Drops every root that another one leads to, and all but the first of equal ones. Says so in `notes`. A root that
/// lies inside another but behind something that keeps the walk from it stays.
///
/// # Errors
/// [`Error::Root`] when one cannot be resolved, [`Error::Plan`] when a pattern of the filter does not parse.
pub(crate) fn resolve(plan: &Plan, notes: &mut Vec<String>) -> Result<Resolved, Error> {
    let (names, real) = (NameFilter::new(&plan.filter)?, real_paths(&plan.roots)?);
    let nesting = Nesting { plan, names, real: &real, listable: RefCell::default() };
    let mut order: Vec<usize> = (0..real.len()).collect();
    // Those that others may lie in come before them.
    order.sort_by_cached_key(|&root| (real[root].path.components().count(), root));
    let mut resolved = Resolved { roots: Vec::new(), apart: HashSet::new() };
    let mut kept: HashMap<&Path, usize> = HashMap::with_capacity(order.len());
    let mut left_out: Vec<Option<usize>> = vec![None; order.len()];
    for &root in &order {
        let path = &real[root].path;
        left_out[root] = kept.get(path.as_path()).copied();
        if left_out[root].is_none() {
            left_out[root] =
                nesting.leads_to(path, nesting.descends_deeper(root), &kept, &mut resolved.apart);
        }
        if left_out[root].is_none() {
            kept.insert(path, root);
        }
    }
    // Links lie elsewhere than where they lead to: now that all are known that they may lie in.
    for (root, link) in real.iter().enumerate().filter_map(|(i, real)| Some((i, real.link.as_ref()?))) {
        if left_out[root].is_none() {
            let stays = !plan.filter.follow || nesting.descends_deeper(root);
            left_out[root] = nesting.leads_to(link, stays, &kept, &mut resolved.apart);
        }
    }
    let roots = plan.roots.iter().zip(&left_out).filter(|(_, outer)| outer.is_none());
    resolved.roots = roots.map(|(root, _)| root.clone()).collect();
    tell(plan, &real, &left_out, notes);
    Ok(resolved)
}

/// Says what was left out. Of a list there may be very many: the first stands for all.
fn tell(plan: &Plan, real: &[Real], left_out: &[Option<usize>], notes: &mut Vec<String>) {
    let mut listed = 0_u64;
    for (i, root) in plan.roots.iter().enumerate() {
        let Some(outer) = left_out[i] else { continue };
        listed += u64::from(root.is_listed());
        if !root.is_listed() || listed == 1 {
            let how = if real[i].path == real[outer].path { "it is the same as" } else { "it lies inside" };
            let outer = plan.roots[outer].path().display();
            notes.push(format!("{}: left out, {how} {outer}", root.path().display()));
        }
    }
    if listed > 1 {
        notes.push(format!("{listed} entries of the list left out, others lead to them"));
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

impl Nesting<'_> {
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
        let filter = &self.plan.filter;
        let (given, real) = (&self.plan.roots[root], &self.real[root].path);
        let device = filter.one_file_system.then(|| device_of(real));
        let mut shown = given.shown().to_vec();
        let mut here = real.clone();
        let mut ignores = self.names.ignores_above(given);
        for (depth, component) in inner.strip_prefix(real).ok()?.components().enumerate() {
            let name: &OsStr = component.as_os_str();
            if !self.is_listable(&here) {
                return None;
            }
            ignores = self.names.ignores_within(&Place::Path(&here), &shown, ignores);
            here.push(name);
            let found = if filter.follow { here.metadata() } else { here.symlink_metadata() };
            let is_directory = found.is_ok_and(|found| found.is_dir());
            // A file is met at the last level, a directory there is not entered.
            let is_kept_out = filter.depth_max.is_some_and(|max| depth + usize::from(is_directory) >= max)
                || self.names.excludes(&shown, name.as_encoded_bytes(), is_directory, ignores.as_deref())
                || (is_directory && device.is_some_and(|root_device| device_of(&here) != root_device));
            if is_kept_out {
                return None;
            }
            let parent = std::mem::take(&mut shown);
            join_path(&parent, name.as_encoded_bytes(), &mut shown);
        }
        Some(shown)
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
