//! Answers that need all files: which are the same, which directories are. Pure: it is given what the walk met and what
//! was read, and opens nothing.

mod catalog;
mod contents;
mod directories;
#[cfg(test)]
mod sample;
mod similar;
mod spread;
mod tree;

pub use self::catalog::{Catalog, DirectoryId, Entry, FileId, Other};
pub use self::contents::Contents;
pub use self::directories::{DirectoryGroup, Identical, identical};
pub use self::similar::{Similar, SimilarPair, similar};
