//! Stand-in for systems on which the floor is not measured.

use std::path::Path;

use super::{Bare, Floor};
use crate::bench::BenchError;
use crate::control::Control;

/// # Errors
/// Always.
pub fn floor(_: &Path, _: usize, _: &Bare, _: &Control) -> Result<Floor, BenchError> {
    Err(BenchError::Refused("the machine's floor is measured on Linux only".to_owned()))
}
