//! No patterns of git: built without the feature `gitignore`, and a plan that asks for them is refused.

use std::path::Path;
use std::sync::Arc;

use crate::plan::{Filter, Root};

/// Nothing of this kind is ever there.
pub(crate) enum Ignores {}

pub(super) enum GitPatterns {}

/// A directory that may have patterns of its own.
#[expect(dead_code, reason = "nothing is read beside it")]
pub(super) enum Place<'a> {
    #[cfg(target_os = "linux")]
    Handle(&'a std::os::fd::OwnedFd),
    Path(&'a Path),
}

impl GitPatterns {
    pub(super) fn of(_: &Filter) -> Option<GitPatterns> {
        None
    }

    pub(super) fn notes(&self) -> Vec<String> {
        match *self {}
    }

    pub(super) fn within(&self, _: &Place<'_>, _: &[u8], _: Option<Arc<Ignores>>) -> Option<Arc<Ignores>> {
        match *self {}
    }

    pub(super) fn above(&self, _: &Root) -> Option<Arc<Ignores>> {
        match *self {}
    }
}

impl Ignores {
    pub(super) fn leave_out(&self, _: &[u8], _: bool) -> bool {
        match *self {}
    }
}
