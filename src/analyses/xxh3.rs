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
    fn begin(&mut self, _: &FileRecord<'_>) {
        self.0 = XxHash3_128::new();
    }

    fn block(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::Digest(Digest::new(&self.0.finish_128().to_be_bytes())));
    }
}
