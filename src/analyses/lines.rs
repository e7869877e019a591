//! `lines`: the number of 0x0A bytes, as `wc -l` counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
        Box::new(Count { line_feeds: 0, shared: None })
    }
}

pub(super) struct Count {
    line_feeds: u64,
    /// The line feeds of the file, if the pass of `words` counts them.
    shared: Option<Arc<AtomicU64>>,
}

impl Count {
    /// Takes what another pass counts, from the next file on.
    pub(super) fn take_from(&mut self, shared: Arc<AtomicU64>) {
        self.shared = Some(shared);
    }
}

impl Pass for Count {
    fn begin(&mut self, _: &FileRecord<'_>, _: u64) {
        self.line_feeds = 0;
    }

    fn block(&mut self, bytes: &[u8]) {
        if self.shared.is_none() {
            self.line_feeds += memchr::memchr_iter(b'\n', bytes).count() as u64;
        }
    }

    fn join(&mut self, next: &mut dyn Pass) {
        self.line_feeds += same::<Self>(next).line_feeds;
    }

    fn finish(&mut self, row: &mut Row) {
        let shared = self.shared.as_ref().map(|shared| shared.load(Ordering::Relaxed));
        row.push(Value::U64(shared.unwrap_or(self.line_feeds)));
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
