//! The digest of the first round that reads: XXH3 of the start of a file, which is quick and shows what differs. Where a
//! file is read to its end and is likely the same as others, it is BLAKE3 at once, which shows what is the same.
//!
//! Likely the same are files of the same size and name: copies of trees, versions of packages. XXH3 first costs another
//! opening and reading of all that is the same in the end, BLAKE3 at once some two thirds more for each file.

use std::collections::HashMap;
use std::sync::Arc;

use crate::analyses::{Analysis, Blake3, Pass, Xxh3};
use crate::groups::{Candidates, Catalog};
use crate::record::{Column, FileRecord, Row, ValueKind};

/// Takes the one digest or the other, by size.
pub(super) struct Heads {
    /// Sizes of which the whole is hashed at once, in order.
    likely: Arc<[u64]>,
}

impl Heads {
    /// Chooses for each class whose files are read whole, up to `head_bytes`: at least `percent` of a hundred must have the
    /// name of another.
    pub(super) fn new(catalog: &Catalog, candidates: &Candidates, head_bytes: u64, percent: u32) -> Heads {
        let mut names: HashMap<&[u8], u32> = HashMap::new();
        let mut likely: Vec<u64> = Vec::new();
        for class in candidates.classes() {
            let size = catalog.size(class[0].file);
            if size > head_bytes {
                continue;
            }
            names.clear();
            for candidate in class {
                *names.entry(catalog.entry(candidate.file).name).or_default() += 1;
            }
            let shared: u64 = names.values().filter(|&&count| count > 1).map(|&count| u64::from(count)).sum();
            if shared * 100 >= class.len() as u64 * u64::from(percent) {
                likely.push(size);
            }
        }
        likely.sort_unstable();
        Heads { likely: likely.into() }
    }

    /// Whether the digest of files of this size is BLAKE3 of all of it.
    pub(super) fn is_content(&self, size: u64) -> bool {
        self.likely.binary_search(&size).is_ok()
    }
}

const COLUMNS: &[Column] = &[Column { name: "head", kind: ValueKind::Digest, unit: "" }];

impl Analysis for Heads {
    fn name(&self) -> &'static str {
        "head"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn pass(&self) -> Box<dyn Pass> {
        let heads = Heads { likely: self.likely.clone() };
        Box::new(HeadsPass { heads, is_content: false, xxh3: Xxh3.pass(), blake3: Blake3.pass() })
    }
}

struct HeadsPass {
    heads: Heads,
    is_content: bool,
    xxh3: Box<dyn Pass>,
    blake3: Box<dyn Pass>,
}

impl HeadsPass {
    fn chosen(&mut self) -> &mut dyn Pass {
        if self.is_content { &mut *self.blake3 } else { &mut *self.xxh3 }
    }
}

impl Pass for HeadsPass {
    fn begin(&mut self, file: &FileRecord<'_>, offset: u64) {
        self.is_content = self.heads.is_content(file.size);
        self.chosen().begin(file, offset);
    }

    fn block(&mut self, bytes: &[u8]) {
        self.chosen().block(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        self.chosen().finish(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Wanted;
    use crate::record::Identity;

    #[test]
    fn sizes_whose_files_have_names_in_common_are_hashed_at_once() {
        #[track_caller]
        fn check(names: &[&str], size: u64, expected: bool) {
            let mut catalog = Catalog::new([&b"r"[..]]);
            for (inode, name) in (1..).zip(names) {
                let directory = format!("r/{inode}");
                let identity = Identity { inode, ..Identity::default() };
                catalog.add_file(directory.as_bytes(), name.as_bytes(), size, 0, identity);
            }
            let (candidates, _) = Candidates::by_size(&catalog, &Wanted::default());
            assert_eq!(Heads::new(&catalog, &candidates, 100, 40).is_content(size), expected, "{names:?}");
        }
        check(&["a", "a"], 100, true);
        check(&["a", "a"], 101, false);
        check(&["a", "b"], 100, false);
        check(&["a", "a", "b", "c"], 7, true);
        check(&["a", "a", "b", "c", "d", "e"], 7, false);
    }
}
