//! Which files are likely the same before anything was read of them: those of the same size and name, as in copies of trees
//! and versions of packages.
//!
//! To read a little of them first costs another opening and reading of all that is the same in the end; to read them whole
//! at once costs more only where they are not the same after all.

use std::collections::HashMap;

use crate::groups::{Candidates, Catalog};

/// Takes out the classes of which at least `percent` of a hundred files have the name of another, up to a size in bytes.
pub(super) fn take(
    catalog: &Catalog,
    candidates: &mut Candidates,
    size_max: u64,
    percent: u32,
) -> Candidates {
    let mut names: HashMap<&[u8], u64> = HashMap::new();
    candidates.take(|class| {
        if catalog.size(class[0].file) > size_max {
            return false;
        }
        // What a large class has left behind would be gone through for every small one.
        if names.capacity() > 1024.max(8 * class.len()) {
            names = HashMap::new();
        }
        names.clear();
        for candidate in class {
            *names.entry(catalog.entry(candidate.file).name).or_default() += 1;
        }
        let shared: u64 = names.values().filter(|&&count| count > 1).sum();
        shared * 100 >= class.len() as u64 * u64::from(percent)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Wanted;
    use crate::record::Identity;

    #[test]
    fn small_files_that_have_names_in_common_are_likely_the_same() {
        #[track_caller]
        fn check(names: &[&str], size: u64, expected: bool) {
            let mut catalog = Catalog::new([&b"r"[..]]);
            for (inode, name) in (1..).zip(names) {
                let directory = format!("r/{inode}");
                let identity = Identity { inode, ..Identity::default() };
                catalog.add_file(directory.as_bytes(), name.as_bytes(), size, 0, identity);
            }
            let (mut candidates, _) = Candidates::by_size(&catalog, &Wanted::default());
            let likely = take(&catalog, &mut candidates, 100, 40);
            let taken = if expected { names.len() } else { 0 };
            assert_eq!(
                (likely.all().len(), candidates.all().len()),
                (taken, names.len() - taken),
                "{names:?}"
            );
        }
        check(&["a", "a"], 100, true);
        check(&["a", "a"], 101, false);
        check(&["a", "b"], 100, false);
        check(&["a", "a", "b", "c"], 7, true);
        check(&["a", "a", "b", "c", "d", "e"], 7, false);
    }
}
