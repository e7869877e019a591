//! Answers that need all files: which are the same, which directories are, which have much in common. Pure: it gets
//! the results of the walk and of reading, and opens nothing, but for the files without a name that
//! [`Sketches`], [`Spill`] and [`Runs`] write to.

mod bands;
mod blocks;
mod catalog;
mod components;
mod contents;
mod copies;
mod directories;
mod exact;
mod files;
#[cfg(test)]
mod made_up;
mod near;
mod order;
mod pairs;
mod runs;
#[cfg(test)]
mod sample;
mod similar;
mod sketches;
mod spill;
mod spread;
mod store;
mod tree;

pub use self::bands::{Banded, Banding, components as banded_components};
pub use self::catalog::{Catalog, DirectoryId, Entry, FileId, Other};
pub use self::components::{Components, RowGroups};
pub use self::contents::Contents;
pub use self::copies::Name;
pub use self::directories::{DirectoryGroup, Identical, identical};
pub use self::exact::{Candidate, Candidates, Links, Wanted};
pub(crate) use self::files::is_leftover;
#[cfg(target_os = "linux")]
pub(crate) use self::files::name_beside;
#[cfg(target_os = "linux")]
pub(crate) use self::files::sort_by_gain;
pub use self::files::{FileGroup, groups};
pub use self::near::{NearGroup, NearName, NearNaming, Row};
pub use self::pairs::{CompareTile, Comparer, Hit, Tile, compare_tile, components_of_all, matches};
pub use self::runs::{Merged, Runs};
pub use self::similar::{Similar, SimilarPair, similar};
pub use self::sketches::{Reader, Sketches};
pub use self::spill::{Batch as SpilledBatch, Spill, TooMany};
