//! Resolves the roots of a plan: each must exist, and none may lie inside another.

use std::path::PathBuf;

use crate::error::Error;
use crate::plan::{Plan, Root};

/// Drops every root that lies inside another one or equals an earlier one, so that no file is met twice. Says so
/// in `notes`.
///
/// # Errors
/// [`Error::Root`] when one cannot be resolved.
pub(crate) fn resolve(plan: &Plan, notes: &mut Vec<String>) -> Result<Vec<Root>, Error> {
    let real: Vec<PathBuf> = plan
        .roots
        .iter()
        .map(|root| {
            std::fs::canonicalize(&root.path)
                .map_err(|source| Error::Root { path: root.path.display().to_string(), source })
        })
        .collect::<Result<_, _>>()?;
    // In the order of components a path comes right after the paths it lies in.
    let mut order: Vec<usize> = (0..real.len()).collect();
    order.sort_by(|&a, &b| real[a].cmp(&real[b]).then(a.cmp(&b)));
    let mut container: Vec<Option<usize>> = vec![None; real.len()];
    let mut outer: Option<usize> = None;
    for &root in &order {
        match outer {
            Some(outer) if real[root].starts_with(&real[outer]) => container[root] = Some(outer),
            _ => outer = Some(root),
        }
    }
    let mut kept = Vec::new();
    for (root, container) in plan.roots.iter().zip(container) {
        match container {
            None => kept.push(root.clone()),
            Some(container) => notes.push(format!(
                "{}: left out, it lies inside {}",
                root.path.display(),
                plan.roots[container].path.display()
            )),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let kept: Vec<_> = kept.into_iter().map(|root| root.path).collect();
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
    fn a_root_that_is_not_there_is_an_error_that_names_it() {
        let error = resolve(&Plan::new(["/nonexistent/root"]), &mut Vec::new()).expect_err("it is not there");
        assert!(error.to_string().starts_with("/nonexistent/root: "), "{error}");
    }
}
