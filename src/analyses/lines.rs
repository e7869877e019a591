//! `lines`: the number of 0x0A bytes, as `wc -l` counts them.

use super::{Analysis, Parts, Pass, same};
use crate::record::{Column, FileRecord, Row, Value, ValueKind};

/// Counts line feeds. A last line without one is not counted.
#[derive(Debug, Clone, Copy)]
pub struct Lines;

const COLUMNS: &[Column] = &[Column { name: "lines", kind: ValueKind::U64, unit: "lines" }];

impl Analysis for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn columns(&self) -> &[Column] {
        COLUMNS
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Count(0))
    }
}

struct Count(u64);

impl Pass for Count {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.0 = 0;
    }

    fn block(&mut self, bytes: &[u8]) {
        self.0 += memchr::memchr_iter(b'\n', bytes).count() as u64;
    }

    fn join(&mut self, next: &mut dyn Pass) {
        self.0 += same::<Self>(next).0;
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::answer;

    #[test]
    fn line_feeds_are_counted_wherever_they_fall() {
        #[track_caller]
        fn check(blocks: &[&[u8]], expected: u64) {
            let mut pass = Lines.pass();
            assert_eq!(answer(&mut *pass, blocks.iter().copied()), [Value::U64(expected)]);
        }
        check(&[], 0);
        check(&[b"one line, no end"], 0);
        check(&[b"a\nb\n"], 2);
        check(&[b"a\n", b"\n", b"b"], 2);
        check(&[b"\r\n\r"], 1);
        check(&[&[b'\n'; 1000]], 1000);
    }
}
