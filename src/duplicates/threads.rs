//! Threads for loops that touch no channel: sorting what was found, comparing pairs of files.

use crate::plan::{self, Plan};

/// Handles that a thread holds which compares files: two files, a root, and directories on the way.
const HANDLES: usize = 6;

/// As many threads as the plan has workers, at most one a core, and as its handles allow. Where the system allows none, the
/// thread that asks does all.
pub(super) fn pool(plan: &Plan, notes: &mut Vec<String>) -> Option<rayon::ThreadPool> {
    let threads = plan.workers_first().min(plan::cores()).min(plan.handles_max / HANDLES).max(1);
    let name = |i| format!("filemill-sort-{i}");
    match rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build() {
        Ok(pool) => Some(pool),
        Err(error) => {
            notes.push(format!("one thread sorts and compares: no others can be started: {error}"));
            rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok()
        }
    }
}

/// Does something with these threads.
pub(super) fn with<T: Send>(pool: Option<&rayon::ThreadPool>, act: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(act),
        None => act(),
    }
}
