//! Trees to test on, and a sink that keeps what it is given.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use filemill::plan::{Plan, Workers};
use filemill::record::{Outcome, Record, Value};
use filemill::report::Report;
use filemill::sink::Sink;

/// A directory that is removed in the end.
pub(crate) struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Tree {
        Tree { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, and the directories it lies in.
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn directory(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[cfg(unix)]
    pub(crate) fn link(&self, name: impl AsRef<Path>, target: impl AsRef<Path>) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, &path).unwrap();
        path
    }
}

/// What became of each path, by path relative to the first root.
pub(crate) type Records = BTreeMap<String, (Outcome, Vec<Value>)>;

/// Keeps everything. A path that comes twice fails the test.
#[derive(Default)]
pub(crate) struct Keep {
    root: PathBuf,
    pub(crate) records: Records,
}

impl Sink for Keep {
    fn begin(&mut self, plan: &Plan, _: SystemTime) -> io::Result<()> {
        self.root = plan.roots[0].path().to_path_buf();
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = Vec::new();
        record.path_to(&mut path);
        let root = self.root.as_os_str().as_encoded_bytes();
        let relative = path.strip_prefix(root).and_then(|path| path.strip_prefix(b"/")).unwrap_or(&path);
        let path: String = relative.escape_ascii().to_string();
        let before = self.records.insert(path.clone(), (timeless(record.outcome), record.values.to_vec()));
        assert!(before.is_none(), "{path} has two records");
        Ok(())
    }
}

/// Whether an answer may be kept depends on how long ago the file was written, and so may its blocks: neither is compared.
pub(crate) fn timeless(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Done { size, mtime_ns, identity, mode, .. } => {
            let keep = filemill::keep::Keep::default();
            Outcome::Done { size, mtime_ns, identity, mode, is_sparse: false, keep }
        }
        other => other,
    }
}

/// Paths and what became of them.
pub(crate) type Rows = Vec<(Vec<u8>, Outcome, Vec<Value>)>;

/// Keeps everything in the order in which it comes.
#[derive(Default)]
pub(crate) struct InOrder(pub(crate) Rows);

impl Sink for InOrder {
    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let mut path = Vec::new();
        record.path_to(&mut path);
        self.0.push((path, timeless(record.outcome), record.values.to_vec()));
        Ok(())
    }
}

/// Whether every run is to take the smallest steps.
pub(crate) fn takes_small_steps() -> bool {
    std::env::var_os("FILEMILL_TEST_SMALL").is_some()
}

/// Runs a plan and checks what holds for every run.
#[track_caller]
pub(crate) fn scan(plan: &Plan) -> (Records, Report) {
    let small = Plan {
        workers: Workers::Number(1),
        walkers: 1,
        batch_files_max: 1,
        queue_batches_max: 1,
        ..plan.clone()
    };
    let plan = if takes_small_steps() { &small } else { plan };
    let mut sink = Keep::default();
    let report = filemill::run(plan, &mut sink).unwrap();
    assert!(report.ledger.adds_up(), "{:?}", report.ledger);
    assert_eq!(report.ledger.met, sink.records.len() as u64, "a record a path");
    (sink.records, report)
}

/// The words of reports for what became of each path.
pub(crate) fn outcomes(records: &Records) -> BTreeMap<&str, &'static str> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Done { .. } => "file",
        Outcome::Skipped(reason) => reason.name(),
        Outcome::Failed(error) => error.cause.name(),
        Outcome::Unread => "unread",
        Outcome::Listed => "directory",
    };
    records.iter().map(|(path, (outcome, _))| (path.as_str(), word(outcome))).collect()
}

/// Whether hostile sizes are asked for in full.
#[cfg(feature = "bench")]
pub(crate) fn in_full() -> bool {
    std::env::var_os("FILEMILL_TEST_FULL").is_some()
}

/// Makes a named pipe.
#[cfg(target_os = "linux")]
pub(crate) fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode};
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

pub(crate) fn analyses(list: &str) -> Vec<std::sync::Arc<dyn filemill::analyses::Analysis>> {
    filemill::analyses::parse(list).unwrap()
}
