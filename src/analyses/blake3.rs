//! `blake3`: the BLAKE3 digest of the whole content, as `b3sum` prints it.
//!
//! BLAKE3 is a tree (J. O'Connor and others, BLAKE3: one function, fast everywhere, 2021, section 2.1): each part of a
//! large file is a subtree, hashed by itself to a chaining value, and joining parts is merging these pairwise.

use ::blake3::hazmat::{self, ChainingValue, HasherExt, Mode};
use ::blake3::{Hash, Hasher};

use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, Digest, FileRecord, Row, Value, ValueKind};

/// BLAKE3, 256 bit.
#[derive(Debug, Clone, Copy)]
pub struct Blake3;

const COLUMNS: &[Column] = &[Column { name: "blake3", kind: ValueKind::Digest, unit: "" }];

impl Analysis for Blake3 {
    fn name(&self) -> &'static str {
        "blake3"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Tree {
            hasher: Box::new(Hasher::new()),
            offset: 0,
            before: Vec::new(),
            parts: 0,
            last: None,
        })
    }
}

struct Tree {
    /// The bytes of this part.
    hasher: Box<Hasher>,
    /// Where it began.
    offset: u64,
    /// The chaining values of the subtrees to the left of the last part, largest first: one for each bit of `parts`.
    before: Vec<ChainingValue>,
    /// Parts to the left of the last one.
    parts: u64,
    /// The last part, where it is not the hasher's own.
    last: Option<ChainingValue>,
}

impl Tree {
    /// Moves the last part to those before it: it is known now that it is not the last, so none of these merges is the
    /// root. Whenever the number of parts becomes even, two subtrees are complete and of one size, and so on upwards.
    fn close_last(&mut self) {
        let mut subtree = self.last.take().unwrap_or_else(|| self.hasher.finalize_non_root());
        self.parts += 1;
        for _ in 0..self.parts.trailing_zeros() {
            let left = self.before.pop().expect("a subtree for each bit of the number of parts");
            subtree = hazmat::merge_subtrees_non_root(&left, &subtree, Mode::Hash);
        }
        self.before.push(subtree);
    }

    /// The subtrees that are left, from the right to the left; the last merge makes the root.
    fn root(&mut self) -> Hash {
        let Some((leftmost, others)) = self.before.split_first() else { return self.hasher.finalize() };
        let last = self.last.take().expect("parts were joined");
        let merge = |right, left| hazmat::merge_subtrees_non_root(left, &right, Mode::Hash);
        let right = others.iter().rev().fold(last, merge);
        hazmat::merge_subtrees_root(leftmost, &right, Mode::Hash)
    }
}

impl Pass for Tree {
    fn begin(&mut self, _: &FileRecord<'_>, offset: u64) {
        if self.offset > 0 {
            // Its offset outlives a reset.
            *self.hasher = Hasher::new();
        } else {
            self.hasher.reset();
        }
        self.offset = offset;
        if offset > 0 {
            self.hasher.set_input_offset(offset);
        }
        self.before.clear();
        self.parts = 0;
        self.last = None;
    }

    fn block(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    fn join(&mut self, next: &mut dyn Pass) {
        self.close_last();
        self.last = Some(same::<Self>(next).hasher.finalize_non_root());
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Digest(Digest::new(self.root().as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::{answer, answer_in_parts};

    /// The vectors of the BLAKE3 specification's test file: input bytes count up modulo 251.
    #[test]
    fn published_vectors() {
        #[track_caller]
        fn check(length: usize, expected: &str) {
            let input: Vec<u8> = (0..251).cycle().take(length).collect();
            let mut pass = Blake3.pass();
            let [Value::Digest(digest)] = answer(&mut *pass, [&input[..]])[..] else { panic!("one digest") };
            assert_eq!(digest.hex(&mut [0; 64]), expected);
        }
        check(0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        check(1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213");
        check(1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7");
        check(102_400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085");
    }

    #[test]
    fn parts_make_the_same_tree() {
        // Parts this small are valid subtrees too, and make trees of every shape in little time.
        const PART: usize = 2048;
        let input: Vec<u8> = (0..251).cycle().take(40 * PART).collect();
        for parts in 1..40 {
            for length in [parts * PART - PART + 1, parts * PART - 1000, parts * PART - 1, parts * PART] {
                let whole = Value::Digest(Digest::new(::blake3::hash(&input[..length]).as_bytes()));
                assert_eq!(answer_in_parts(&Blake3, &input[..length], PART), [whole], "{length} bytes");
            }
        }
    }
}
