//! `sha256`: the SHA-256 digest of the whole content (FIPS 180-4), as `sha256sum` prints it.

use sha2::Digest as _;

use super::{Analysis, Pass};
use crate::record::{Column, Digest, FileRecord, Row, Value, ValueKind};

/// SHA-256.
#[derive(Debug, Clone, Copy)]
pub struct Sha256;

const COLUMNS: &[Column] = &[Column { name: "sha256", kind: ValueKind::Digest, unit: "" }];

impl Analysis for Sha256 {
    fn name(&self) -> &'static str {
        "sha256"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Hash(sha2::Sha256::new()))
    }
}

struct Hash(sha2::Sha256);

impl Pass for Hash {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.0.reset();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Digest(Digest::new(&self.0.finalize_reset())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

    /// The examples that NIST publishes for FIPS 180-4.
    #[test]
    fn published_vectors() {
        #[track_caller]
        fn check(input: &[u8], expected: &str) {
            let mut pass = Sha256.pass();
            let [Value::Digest(digest)] = answer(&mut *pass, [input])[..] else { panic!("one digest") };
            assert_eq!(digest.hex(&mut [0; 64]), expected);
        }
        check(b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        check(b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check(&[b'a'; 1_000_000], "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}
