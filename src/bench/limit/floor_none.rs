//! Stand-in for systems on which the floor is not measured.

use std::path::Path;
use std::time::Duration;

use super::Bare;
use crate::bench::BenchError;
use crate::control::Control;

/// What one run of the floor did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// Regular files met, and read where they were to be.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// What could not be listed or read.
    pub errors: u64,
    /// From the first call to the last.
    pub elapsed: Duration,
}

/// # Errors
/// Always.
pub fn floor(_: &Path, _: usize, _: &Bare, _: &Control) -> Result<Floor, BenchError> {
    Err(BenchError::Refused("the machine's floor is measured on Linux only".to_owned()))
}
