//! Answers that need all files: which are the same, which directories are, which have much in common. Pure: it is given
//! what the walk met and what was read, and opens nothing.

mod catalog;
mod contents;
mod copies;
mod directories;
mod exact;
mod files;
mod near;
mod order;
#[cfg(test)]
mod sample;
mod similar;
mod spread;
mod tree;

pub use self::catalog::{Catalog, DirectoryId, Entry, FileId, Other};
pub use self::contents::Contents;
pub use self::copies::Name;
pub use self::directories::{DirectoryGroup, Identical, identical};
pub use self::exact::{Candidate, Candidates, Links, Wanted};
pub(crate) use self::files::is_leftover;
#[cfg(target_os = "linux")]
pub(crate) use self::files::name_beside;
pub use self::files::{FileGroup, groups};
pub use self::near::{NearGroup, NearName, near_groups};
pub use self::similar::{Similar, SimilarPair, similar};
