//! `blake3`: the BLAKE3 digest of the whole content, as `b3sum` prints it.

use super::{Analysis, Pass};
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

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Hash(Box::new(::blake3::Hasher::new())))
    }
}

struct Hash(Box<::blake3::Hasher>);

impl Pass for Hash {
    fn begin(&mut self, _: &FileRecord<'_>) {
        self.0.reset();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Digest(Digest::new(self.0.finalize().as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

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
}
