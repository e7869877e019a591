//! `xxh3`: the 128-bit XXH3 digest of the whole content with seed 0, as `xxh128sum` prints it (big-endian).

use twox_hash::XxHash3_128;

use super::{Analysis, Pass};
use crate::record::{Column, Digest, FileRecord, Row, Value, ValueKind};

/// XXH3, 128 bit. Fast, and no protection against content made to collide.
#[derive(Debug, Clone, Copy)]
pub struct Xxh3;

const COLUMNS: &[Column] = &[Column { name: "xxh3", kind: ValueKind::Digest, unit: "" }];

impl Analysis for Xxh3 {
    fn name(&self) -> &'static str {
        "xxh3"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Hash(XxHash3_128::new()))
    }
}

struct Hash(XxHash3_128);

impl Pass for Hash {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.0 = XxHash3_128::new();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Digest(Digest::new(&self.0.finish_128().to_be_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

    /// What `xxh128sum` 0.8.1 prints.
    #[test]
    fn digests_of_the_reference_program() {
        #[track_caller]
        fn check(input: &[u8], expected: &str) {
            let mut pass = Xxh3.pass();
            let [Value::Digest(digest)] = answer(&mut *pass, [input])[..] else { panic!("one digest") };
            assert_eq!(digest.hex(&mut [0; 64]), expected);
        }
        check(b"", "99aa06d3014798d86001c324468d497f");
        check(b"abc", "06b05ab6733a618578af5f94892f3950");
        let counting: Vec<u8> = (0..251).cycle().take(102_400).collect();
        check(&counting, "ecd387d36185351b1428e17f1cac2837");
    }
}
