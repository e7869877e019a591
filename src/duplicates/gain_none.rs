//! Stands in for `gain.rs` where the system does not list the blocks of a file: a copy frees as much as its size says.

use super::Search;
use crate::control::Control;
use crate::groups::{Catalog, FileGroup, Links};
use crate::plan::Plan;

/// Leaves the groups as they are.
pub(super) fn measure(_: &Search, _: &Plan, _: &Catalog, _: &mut [FileGroup], _: &Links, _: &Control) {}
