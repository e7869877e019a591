//! Resolves the roots of a plan: each must exist, unless it comes from a list, and none may be met again from another.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::device_of;
use super::filter::NameFilter;
use super::ignores::Place;
use crate::error::Error;
use crate::plan::{Plan, Root};
use crate::record::join_path;

/// Drops every root that another one leads to, and all but the first of equal ones, so that no file is met twice.
/// Says so in `notes`. A root that lies inside another but behind something that the filter keeps the walk from is
/// none of these.
///
/// # Errors
/// [`Error::Root`] when one cannot be resolved, [`Error::Plan`] when a pattern of the filter does not parse.
pub(crate) fn resolve(plan: &Plan, notes: &mut Vec<String>) -> Result<Vec<Root>, Error> {
    let names = NameFilter::new(&plan.filter)?;
    let real = real_paths(&plan.roots)?;
    // In the order of components a path comes right after the paths it lies in: those are the stack.
    let mut order: Vec<usize> = (0..real.len()).collect();
    order.sort_by(|&a, &b| real[a].cmp(&real[b]).then(a.cmp(&b)));
    let mut left_out: Vec<Option<usize>> = vec![None; real.len()];
    let mut outer: Vec<usize> = Vec::new();
    for &root in &order {
        while outer.last().is_some_and(|&last| !real[root].starts_with(&real[last])) {
            outer.pop();
        }
        let leads_here =
            |outer: &&usize| leads_to(plan, &names, &plan.roots[**outer], &real[**outer], &real[root]);
        left_out[root] = outer.iter().find(leads_here).copied();
        if left_out[root].is_none() {
            outer.push(root);
        }
    }
    let mut listed_left_out = 0_u64;
    let mut kept = Vec::with_capacity(plan.roots.len());
    for (root, container) in plan.roots.iter().zip(left_out) {
        let Some(container) = container else {
            kept.push(root.clone());
            continue;
        };
        let container = plan.roots[container].path().display();
        // Of a list there may be very many: the first stands for all.
        if !root.is_listed() || listed_left_out == 0 {
            notes.push(format!("{}: left out, it lies inside {container}", root.path().display()));
        }
        listed_left_out += u64::from(root.is_listed());
    }
    if listed_left_out > 1 {
        notes.push(format!("{listed_left_out} entries of the list left out, they lie inside others"));
    }
    Ok(kept)
}

/// The paths by which roots are compared.
fn real_paths(roots: &[Root]) -> Result<Vec<PathBuf>, Error> {
    let mut parent = Parent::default();
    let real = |root: &Root| match parent.real_path(root.path()) {
        Ok(real) => Ok(real),
        // Where it cannot be had but the root can be reached all the same (a pipe in /dev/fd, a place below a
        // directory that may not be searched, a path too long), the root stands for itself; in a list always.
        Err(_) if root.is_listed() || std::fs::metadata(root.path()).is_ok() => Ok(root.path().to_path_buf()),
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
    fn real_path(&mut self, path: &Path) -> io::Result<PathBuf> {
        let bytes = path.as_os_str().as_encoded_bytes();
        let name = path.file_name().filter(|name| bytes.ends_with(name.as_encoded_bytes()));
        let (Some(name), Some(parent)) = (name, path.parent()) else { return std::fs::canonicalize(path) };
        if self.real.as_os_str().is_empty() || self.given != parent {
            self.real = std::fs::canonicalize(if parent == Path::new("") { Path::new(".") } else { parent })?;
            self.given = parent.to_path_buf();
        }
        let real = self.real.join(name);
        if real.symlink_metadata()?.is_symlink() { std::fs::canonicalize(path) } else { Ok(real) }
    }
}

/// Whether the walk from a root comes to `inner`, which lies in it or is the same.
fn leads_to(plan: &Plan, names: &NameFilter, root: &Root, real: &Path, inner: &Path) -> bool {
    let below = inner.strip_prefix(real).unwrap_or(Path::new(""));
    let device = plan.filter.one_file_system.then(|| device_of(real));
    let mut shown = root.shown().to_vec();
    let mut here = real.to_path_buf();
    let mut ignores = names.ignores_above(root);
    for (depth, component) in below.components().enumerate() {
        let name: &OsStr = component.as_os_str();
        ignores = names.ignores_within(&Place::Path(&here), &shown, ignores);
        here.push(name);
        let is_directory = here.is_dir();
        // A file is met at the last level, a directory there is not entered.
        let is_kept_out = plan.filter.depth_max.is_some_and(|max| depth + usize::from(is_directory) >= max)
            || names.excludes(&shown, name.as_encoded_bytes(), is_directory, ignores.as_deref())
            || device.is_some_and(|root_device| device_of(&here) != root_device);
        if is_kept_out {
            return false;
        }
        let parent = std::mem::take(&mut shown);
        join_path(&parent, name.as_encoded_bytes(), &mut shown);
    }
    true
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
            let kept = resolve(&Plan::new(paths), &mut notes).expect("all exist");
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
            assert_eq!(resolve(&plan, &mut Vec::new()).expect("all exist").len(), expected);
        }
        let roots = || [top.path().join("a"), top.path().join("a/.hidden/b")];
        let globs = |glob: &str| vec![glob.to_owned()];
        check(Filter::default(), roots(), 1);
        check(Filter { skip_hidden: true, ..Filter::default() }, roots(), 2);
        check(Filter { depth_max: Some(2), ..Filter::default() }, roots(), 2);
        check(Filter { depth_max: Some(3), ..Filter::default() }, roots(), 1);
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
