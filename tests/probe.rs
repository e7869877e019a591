//! An analysis that tells tests what happens.

use std::any::Any;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use filemill::analyses::{Analysis, Parts, Pass};
use filemill::record::{Column, FileRecord, Row, Value, ValueKind};

/// An analysis that tells what happens: the path of a file and 0 when it begins, 1 with its first block.
struct Probe<F>(Arc<F>);

struct Probing<F> {
    tell: Arc<F>,
    path: PathBuf,
    blocks: u64,
}

impl<F: Fn(&Path, u64) + Send + Sync + 'static> Analysis for Probe<F> {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn columns(&self) -> &[Column] {
        &[Column { name: "blocks", kind: ValueKind::U64, unit: "blocks" }]
    }

    fn parts(&self) -> Parts {
        Parts::Aligned
    }

    fn pass(&self) -> Box<dyn Pass> {
        Box::new(Probing { tell: self.0.clone(), path: PathBuf::new(), blocks: 0 })
    }
}

impl<F: Fn(&Path, u64) + Send + Sync + 'static> Pass for Probing<F> {
    fn begin(&mut self, file: &FileRecord<'_>, _: u64) {
        self.path = PathBuf::from(OsStr::from_bytes(&file.path()));
        self.blocks = 0;
        (self.tell)(&self.path, 0);
    }

    fn block(&mut self, _: &[u8]) {
        self.blocks += 1;
        if self.blocks == 1 {
            (self.tell)(&self.path, 1);
        }
    }

    fn join(&mut self, next: &mut dyn Pass) {
        let next: &mut dyn Any = next;
        self.blocks += next.downcast_ref::<Self>().unwrap().blocks;
    }

    fn finish(&mut self, row: &mut Row) {
        row.push(Value::U64(self.blocks));
    }
}

pub(crate) fn probe(tell: impl Fn(&Path, u64) + Send + Sync + 'static) -> Arc<dyn Analysis> {
    Arc::new(Probe(Arc::new(tell)))
}
