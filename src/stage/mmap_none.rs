//! Mappings where there are none: nothing is guarded, and so everything is read.

use std::io;

use super::{OpenFile, Stage, Stop, Take};

/// There is none.
pub(super) enum Mapper {}

impl Mapper {
    pub(super) fn new() -> Mapper {
        unreachable!("nothing is mapped that is not guarded")
    }
}

pub(crate) fn is_guarded() -> bool {
    false
}

/// Would allow mappings ([`crate::plan::Staging::Mmap`]), but not on this system.
///
/// # Errors
/// Always.
pub fn guard_mappings() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Stage<'_> {
    pub(super) fn map_range(
        &mut self,
        file: &OpenFile,
        offset: u64,
        bytes: u64,
        take: Take<'_>,
    ) -> Result<(), Stop> {
        self.read_range(file, offset, bytes, take)
    }
}
