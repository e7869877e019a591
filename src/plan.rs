//! Every choice and every limit of a run, in one plain struct.

mod device;
mod list;
mod memory;

use std::path::Path;
use std::sync::Arc;

pub use self::device::{Adapter, Device, GpuVerify};
pub(crate) use self::list::Met;
pub use self::list::PathList;
use crate::analyses::{self, Analysis};
use crate::error::Error;
use crate::faults::Faults;
use crate::keep::FileSystems;
use crate::record::Column;

/// What to do, decided once before the run begins. [`Plan::new`] has the measured defaults; change fields at will:
/// [`crate::run`] checks the whole.
#[derive(Clone)]
pub struct Plan {
    /// Where to begin. Each is resolved once, through links.
    pub roots: Vec<Root>,
    /// Where to begin besides, from lists of paths: cheaper by far than as many [`Plan::roots`].
    pub listed: PathList,
    /// The questions, in the order of the columns.
    pub analyses: Vec<Arc<dyn Analysis>>,
    /// Which entries of the tree count.
    pub filter: Filter,
    /// How the tree is listed.
    pub walker: Walker,
    /// Threads that list directories. Two keep up with any number of workers on a warm cache; the portable
    /// walker uses one.
    pub walkers: usize,
    /// Threads that open, read and analyse. Fewer run where the handle budget does not allow them all.
    pub workers: Workers,
    /// Never more workers than this, whatever is asked for or would pay.
    pub workers_max: usize,
    /// A batch is cut at this many files.
    pub batch_files_max: usize,
    /// A batch is cut at this many bytes of file content (one larger file is a batch of its own). It costs a stat a
    /// file in the walk.
    pub batch_bytes_max: Option<u64>,
    /// A worker that has read this many bytes of a batch reports what it has, and shares the rest with whoever is
    /// idle: a batch is cut by count, and its files may be large. A file of this size is put off until the files beside it
    /// are done, and then divided among the workers as far as its analyses allow
    /// ([`crate::analyses::Analysis::parts`]).
    pub share_bytes: u64,
    /// How much of each file is read.
    pub reads: Reads,
    /// Whether the sink is told of directories too ([`crate::record::Outcome::Listed`]).
    pub tells_directories: bool,
    /// How the bytes of files are reached.
    pub staging: Staging,
    /// Smaller files are read even where files are mapped, in bytes.
    pub map_bytes_min: u64,
    /// What a worker has mapped at a time, in bytes; rounded up to whole pages.
    pub map_window_bytes: usize,
    /// Where a RAM disk lies: a directory of a tmpfs; without one, memory that has no place in the file system.
    pub ram_disk_directory: Option<Arc<Path>>,
    /// What may lie on RAM disks at a time, over all workers, in bytes.
    pub ram_disk_bytes_max: u64,
    /// Which devices answer.
    pub device: Device,
    /// What is taken of the memory of each GPU, in bytes; of the system's as much again at most, for what is on its way there and
    /// back, and what drivers take.
    pub gpu_memory_bytes_max: u64,
    /// How many answers of a GPU are made once more, and compared.
    pub gpu_verify: GpuVerify,
    /// What becomes of the pages that the system keeps of what was read.
    pub cache: Cache,
    /// Batches that wait for a worker, and results that wait for the sink.
    pub queue_batches_max: usize,
    /// Bytes read at once: large enough to spend few system calls, small enough that all analyses find them in
    /// the core's cache.
    pub block_bytes: usize,
    /// File handles that the run may hold open, over walk, batches and workers.
    pub handles_max: usize,
    /// What the run may take of memory, in bytes, the program itself included: fewer workers run where it is small. Without
    /// it, a run takes some 10 MiB, less than 1 MiB a worker, and [`Plan::map_window_bytes`] a worker that has a mapping.
    pub memory_bytes_max: Option<u64>,
    /// In which order records reach the sink.
    pub sort: Sort,
    /// With [`Sort::Path`], files that may be done before their turn has come: beyond this, by a batch or two, the walk
    /// waits. Batches are cut so that eight of them fit.
    pub sort_window_files_max: usize,
    /// How far a file is read that says its size is 0, as those of /proc do.
    pub unbounded_bytes_max: u64,
    /// Files not to read because this run writes them, by device and inode.
    pub own_outputs: Vec<(u64, u64)>,
    /// File systems that the run has met. Each run begins with none.
    pub file_systems: FileSystems,
    /// What is to go wrong, in tests.
    pub faults: Faults,
}

/// Handles kept free for whatever else the process opens.
pub const HANDLES_RESERVED: usize = 16;

impl Plan {
    /// A plan over `roots` with no analyses and the default limits: one worker per core, and as many handles as
    /// the soft RLIMIT_NOFILE allows less [`HANDLES_RESERVED`], or less those that are open where they are more.
    pub fn new<R: Into<Root>>(roots: impl IntoIterator<Item = R>) -> Plan {
        let cores = cores();
        Plan {
            roots: roots.into_iter().map(Into::into).collect(),
            listed: PathList::default(),
            analyses: Vec::new(),
            filter: Filter::default(),
            walker: Walker::default(),
            walkers: cores.min(2),
            workers: Workers::Auto,
            workers_max: usize::MAX,
            // ops/engine.md, "Batch size": smaller ones cost up to 5 % on the Linux source.
            batch_files_max: 256,
            batch_bytes_max: None,
            // Several batches of a source tree, a few milliseconds: a guess, far from mattering either way.
            share_bytes: 16 << 20,
            reads: Reads::Whole,
            tells_directories: false,
            staging: Staging::Auto,
            // ops/staging.md, "Mapping": from there on it is faster, in windows of this size or more.
            map_bytes_min: 4 << 20,
            map_window_bytes: 4 << 20,
            ram_disk_directory: None,
            ram_disk_bytes_max: 1 << 30,
            device: Device::Cpu,
            gpu_memory_bytes_max: 500_000_000,
            gpu_verify: GpuVerify::Sample,
            cache: Cache::Keep,
            queue_batches_max: 2 * cores,
            // ops/engine.md, "Block size".
            block_bytes: 128 * 1024,
            handles_max: handles_allowed(),
            memory_bytes_max: None,
            sort: Sort::None,
            // Seconds of work for the others while one worker reads a large file, in some 15 MiB.
            sort_window_files_max: 1 << 16,
            unbounded_bytes_max: 1024 * 1024,
            own_outputs: Vec::new(),
            file_systems: FileSystems::default(),
            faults: Faults::default(),
        }
    }

    /// The columns of its analyses, in order.
    pub fn columns(&self) -> Vec<Column> {
        analyses::columns(&self.analyses)
    }

    /// Workers in the beginning.
    pub(crate) fn workers_first(&self) -> usize {
        let first = match self.workers {
            Workers::Auto => cores(),
            Workers::Number(workers) => workers,
        };
        first.min(self.workers_max)
    }

    /// Workers that there may be at most.
    pub(crate) fn workers_most(&self) -> usize {
        let most = match self.workers {
            Workers::Auto => WORKERS_PER_CORE_MAX * cores(),
            Workers::Number(workers) => workers,
        };
        most.min(self.workers_max)
    }

    /// Whether the answers of the run may be used later, without reading the files again: its digests are.
    pub(crate) fn keeps_answers(&self) -> bool {
        self.reads == Reads::Whole && self.analyses.iter().any(|analysis| analysis.name() == "blake3")
    }

    /// Files at which a batch is cut: with an order, so that several batches fit the window.
    pub(crate) fn batch_files_in_order(&self) -> usize {
        match self.sort {
            Sort::None => self.batch_files_max,
            Sort::Path => self.batch_files_max.min(self.sort_window_files_max.div_ceil(8)),
        }
    }

    /// Refuses what contradicts itself or cannot work.
    ///
    /// # Errors
    /// [`Error::Plan`], which says what and why.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::Plan(why));
        for (name, value) in [
            ("workers", self.workers_first()),
            ("walkers", self.walkers),
            ("batch_files_max", self.batch_files_max),
            ("queue_batches_max", self.queue_batches_max),
            ("sort_window_files_max", self.sort_window_files_max),
            ("block_bytes", self.block_bytes),
            ("map_window_bytes", self.map_window_bytes),
            ("share_bytes", usize::try_from(self.share_bytes).unwrap_or(usize::MAX)),
        ] {
            if value == 0 {
                return refuse(format!("{name} must be at least 1"));
            }
        }
        if self.batch_bytes_max == Some(0) {
            return refuse("batch_bytes_max must be at least 1".to_owned());
        }
        if let (Some(min), Some(max)) = (self.filter.size_min, self.filter.size_max)
            && min > max
        {
            return refuse(format!("no file can have a size of at least {min} and at most {max} bytes"));
        }
        if self.filter.gitignore && !cfg!(feature = "gitignore") {
            return refuse("gitignore needs a build of filemill with the feature `gitignore`".to_owned());
        }
        let mut names: Vec<_> = self.columns().iter().map(|column| column.name).collect();
        names.extend(RECORD_KEYS);
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("two columns are named {:?}", twice[0]));
        }
        self.handles().map(drop)
    }

    /// How the handle budget is divided: a fixed part each, so that nobody ever waits for a handle. Workers that it
    /// cannot feed are left out.
    ///
    /// # Errors
    /// [`Error::Plan`] when it does not suffice for one worker and one walker.
    pub(crate) fn handles(&self) -> Result<Handles, Error> {
        // One walker meets the paths in one order.
        let mut walkers = if self.sort == Sort::Path { 1 } else { self.walkers };
        let mut workers = self.workers_most();
        loop {
            let queue = self.queue_batches_max.min(2 * workers);
            // A walker holds the root of its part, the directory it listed last, a directory and its parent while
            // it steps down, one on offer to another walker, and those on its stack; a worker the file it reads, and its RAM disk.
            let of_worker = 1 + usize::from(self.staging == Staging::RamDisk);
            let fixed = walkers * (WALKER_HANDLES + WALK_STACK_MIN) + workers * of_worker;
            // A batch is being filled, waits, or is being worked off.
            let batches = walkers + queue + workers;
            let free = self.handles_max.saturating_sub(fixed);
            if free >= batches {
                let extra_stack = ((free - batches) / 4 / walkers).min(WALK_STACK_MAX - WALK_STACK_MIN);
                return Ok(Handles {
                    walkers,
                    workers,
                    queue,
                    walk_stack: WALK_STACK_MIN + extra_stack,
                    batch_directories: (free - extra_stack * walkers) / batches,
                });
            }
            match (workers, walkers) {
                (1, 1) => {
                    let needed = fixed + batches;
                    return Err(Error::Plan(format!(
                        "{} file handles are too few: one worker needs {needed} (raise `ulimit -n` by {} at least)",
                        self.handles_max,
                        needed - self.handles_max
                    )));
                }
                (1, _) => walkers -= 1,
                _ => workers -= 1,
            }
        }
    }
}

/// Keys that every record has, so that no column may be named so.
const RECORD_KEYS: [&str; 9] =
    ["type", "path", "size", "mtime_ns", "inode", "ctime_ns", "mode", "settled", "file_system"];

const WALKER_HANDLES: usize = 5;
const WALK_STACK_MIN: usize = 2;
const WALK_STACK_MAX: usize = 64;

/// How many threads open, read and analyse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One a core in the beginning; up to [`WORKERS_PER_CORE_MAX`] times as many while cores are idle and it pays. Measured
    /// while the run goes on: cold storage wants many, a warm cache one a core.
    Auto,
    /// So many.
    Number(usize),
}

/// A pool that sizes itself grows no further than to this many workers a core: cold storage was as fast with half as many
/// (ops/staging.md, "Workers").
pub const WORKERS_PER_CORE_MAX: usize = 32;

/// Cores that the process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The handle budget, divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handles {
    /// Threads that walk.
    pub(crate) walkers: usize,
    /// Workers that the budget feeds, at most.
    pub(crate) workers: usize,
    /// Batches that wait.
    pub(crate) queue: usize,
    /// Directories that a walker keeps open on its stack.
    pub(crate) walk_stack: usize,
    /// Directories that a batch may refer to.
    pub(crate) batch_directories: usize,
}

fn handles_allowed() -> usize {
    #[cfg(unix)]
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX));
    #[cfg(not(unix))]
    let soft: usize = 512;
    // Those that are open already, in a program that embeds the library or under a shell that leaks them.
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    soft.saturating_sub(HANDLES_RESERVED.max(open + HANDLES_RESERVED / 2))
}

/// A place to begin, a file or directory: where it is, and how it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    path: Arc<Path>,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Given,
    Here,
    /// Its place in a [`PathList`], if it has one.
    Listed(Option<u32>),
}

impl Root {
    /// The current directory, with paths shown as they would be typed there: `src/main.rs`, not `./src/main.rs`.
    pub fn here() -> Root {
        Root { path: Path::new(".").into(), origin: Origin::Here }
    }

    /// An entry of a list, of which there may be many: one that is not there is an error record, where a root that
    /// was given by itself ends the run.
    pub fn listed(path: impl AsRef<Path>) -> Root {
        Root { path: path.as_ref().into(), origin: Origin::Listed(None) }
    }

    /// The entry of a list at this place.
    pub(crate) fn listed_at(path: impl AsRef<Path>, place: u32) -> Root {
        Root { path: path.as_ref().into(), origin: Origin::Listed(Some(place)) }
    }

    /// Whether it comes from a list.
    pub fn is_listed(&self) -> bool {
        matches!(self.origin, Origin::Listed(_))
    }

    /// Its place in the list of the plan.
    pub(crate) fn place(&self) -> Option<u32> {
        if let Origin::Listed(place) = self.origin { place } else { None }
    }

    /// The path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The start of every path below it in the report; empty: none.
    pub fn shown(&self) -> &[u8] {
        if self.origin == Origin::Here { b"" } else { self.path.as_os_str().as_encoded_bytes() }
    }
}

impl<P: AsRef<Path>> From<P> for Root {
    /// A root that is shown as it was given.
    fn from(path: P) -> Root {
        Root { path: path.as_ref().into(), origin: Origin::Given }
    }
}

/// How much of each file is read: analyses see so much, and answer for that alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reads {
    /// Everything.
    #[default]
    Whole,
    /// Nothing: files are looked at and not opened.
    Nothing,
    /// The first so many bytes.
    Head(u64),
    /// The last so many bytes.
    Tail(u64),
}

impl Reads {
    /// Where the part begins that is read of a file of this size, and how long it is, in bytes; `None`: all of it is read.
    pub(crate) fn part_of(self, size: u64) -> Option<(u64, u64)> {
        match self {
            Reads::Head(bytes) if bytes < size => Some((0, bytes)),
            Reads::Tail(bytes) if bytes < size => Some((size - bytes, bytes)),
            _ => None,
        }
    }
}

/// How the bytes of files are reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Staging {
    /// Whichever was measured to be faster: files from [`Plan::map_bytes_min`] on are mapped where the process guards
    /// mappings ([`crate::guard_mappings`]), everything else is read.
    #[default]
    Auto,
    /// Read into a buffer.
    Read,
    /// Mapped, from [`Plan::map_bytes_min`] on. Needs [`crate::guard_mappings`].
    Mmap,
    /// Copied to a RAM disk batch by batch, and read from there. What does not fit, and what is divided among the workers
    /// ([`Plan::share_bytes`]), is read as it lies.
    RamDisk,
}

/// What becomes of the pages that the system keeps of the files that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cache {
    /// The system keeps what it likes.
    #[default]
    Keep,
    /// It is told to forget what was read: a scan of a large tree then does not push out what others use.
    Drop,
}

/// In which order records reach the sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// As they are done.
    #[default]
    None,
    /// Root by root as given, and below a root by the components of the path, compared as bytes. Costs a walk by one
    /// thread, and a window of records that wait for their turn.
    Path,
}

/// Which entries of the tree count. An engine that hashes and counts skips nothing unless told to. Roots
/// themselves are never filtered by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Patterns of paths, relative to the current directory, to include; with a leading `!`, to exclude. The last
    /// that matches decides, in the syntax of .gitignore.
    pub globs: Vec<String>,
    /// Leave out what git would by its patterns: those of .gitignore files, in the tree and above it up to the top of
    /// the repository, of its info/exclude and of core.excludesFile; and `.git` itself. Outside a repository the
    /// .gitignore files of the tree count. Needs the feature `gitignore`, without which a plan is refused.
    pub gitignore: bool,
    /// Leave out names that begin with a dot.
    pub skip_hidden: bool,
    /// Smallest size to read, in bytes.
    pub size_min: Option<u64>,
    /// Largest size to read, in bytes.
    pub size_max: Option<u64>,
    /// How many levels to descend: 0 is the roots alone, 1 what lies directly in them.
    pub depth_max: Option<usize>,
    /// Stay on the file system of each root.
    pub one_file_system: bool,
    /// Follow symbolic links.
    pub follow: bool,
}

/// How the tree is listed. Of a tree at rest both find the same entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walker {
    /// Over directory handles (Linux): in parallel, never led out of a root, no limit on the length of a path.
    #[cfg(target_os = "linux")]
    Handles,
    /// By whole paths (everywhere).
    Portable,
}

impl Default for Walker {
    fn default() -> Walker {
        #[cfg(target_os = "linux")]
        return Walker::Handles;
        #[cfg(not(target_os = "linux"))]
        return Walker::Portable;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { walkers: 1, workers: Workers::Number(2), queue_batches_max: 4, ..Plan::new(["."]) }
    }

    #[test]
    fn contradictions_are_refused_with_a_reason() {
        #[track_caller]
        fn check(change: impl FnOnce(&mut Plan), expected: &str) {
            let mut plan = plan();
            change(&mut plan);
            assert_eq!(plan.check().map_err(|error| error.to_string()), Err(expected.to_owned()));
        }
        check(|plan| plan.workers = Workers::Number(0), "workers must be at least 1");
        check(|plan| plan.batch_files_max = 0, "batch_files_max must be at least 1");
        check(|plan| plan.batch_bytes_max = Some(0), "batch_bytes_max must be at least 1");
        check(
            |plan| (plan.filter.size_min, plan.filter.size_max) = (Some(2), Some(1)),
            "no file can have a size of at least 2 and at most 1 bytes",
        );
        check(
            |plan| plan.analyses = vec![Arc::new(analyses::Lines), Arc::new(analyses::Lines)],
            "two columns are named \"lines\"",
        );
        check(
            |plan| plan.handles_max = 10,
            "10 file handles are too few: one worker needs 12 (raise `ulimit -n` by 2 at least)",
        );
    }

    #[cfg(not(feature = "gitignore"))]
    #[test]
    fn patterns_of_git_need_their_feature() {
        let plan = Plan { filter: Filter { gitignore: true, ..Filter::default() }, ..plan() };
        let error = plan.check().expect_err("this build has none").to_string();
        assert_eq!(error, "gitignore needs a build of filemill with the feature `gitignore`");
    }

    #[test]
    fn the_handle_budget_is_never_overdrawn() {
        for handles_max in 12..300 {
            for (walkers, workers) in [(1, 1), (1, 2), (2, 2), (2, 32), (8, 8)] {
                let numbered = Workers::Number(workers);
                let plan = Plan {
                    handles_max,
                    walkers,
                    workers: numbered,
                    queue_batches_max: 2 * workers,
                    ..plan()
                };
                let handles = plan.handles().expect("12 suffice");
                let used = handles.walkers * (WALKER_HANDLES + handles.walk_stack)
                    + handles.workers
                    + (handles.walkers + handles.queue + handles.workers) * handles.batch_directories;
                assert!(used <= handles_max, "{used} of {handles_max}: {handles:?}");
                assert!(handles.batch_directories >= 1 && handles.workers >= 1);
            }
        }
    }

    #[test]
    fn sixty_four_handles_feed_the_default_pool_of_two_cores() {
        let handles =
            Plan { handles_max: 64 - HANDLES_RESERVED, walkers: 2, ..plan() }.handles().expect("enough");
        assert_eq!((handles.walkers, handles.workers), (2, 2));
    }
}
