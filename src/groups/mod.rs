//! Answers that need all files: which are the same, which directories are. Pure: it is given what the walk met and what
//! was read, and opens nothing.

mod catalog;
mod exact;

pub use self::catalog::{Catalog, DirectoryId, Entry, FileId, Other};
pub use self::exact::{Candidate, Candidates, FileGroup, Links, Name, Wanted, groups};
