//! Stands in for `apply.rs` where the system has neither leases nor an exchange of names: nothing is done, and searches that
//! are to act are refused before they begin.

use std::marker::PhantomData;

use crate::groups::{Catalog, FileId};
use crate::plan::Plan;
use crate::record::{Acted, Action, Directory};

/// Acts on nothing.
pub(super) struct Applier<'s>(PhantomData<&'s ()>);

impl<'s> Applier<'s> {
    pub(super) fn new(_: &'s Plan, _: &'s Catalog, _: Action) -> Self {
        Applier(PhantomData)
    }

    pub(super) fn apply(&mut self, _: &mut Option<Directory>, _: FileId, _: FileId) -> Acted {
        Acted::Refused("this system has no safe way to do it".into())
    }
}
