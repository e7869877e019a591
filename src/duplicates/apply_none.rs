//! Stands in for `apply.rs` where the system has neither leases nor an exchange of names: nothing is done, and searches that
//! are to act are refused before they begin.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::groups::{Catalog, FileId};
use crate::plan::Plan;
use crate::record::{Acted, Action};

/// Why nothing is changed.
pub(super) type Refusal = Cow<'static, str>;

/// Facts of a file: there are none.
#[allow(dead_code, reason = "there are none")]
pub(super) struct Facts {
    never: std::convert::Infallible,
    pub(super) inode: (u64, u64),
    pub(super) links: u64,
    pub(super) directory: (u64, u64),
    pub(super) class: Class,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Class;

pub(super) const LINKS_FULL: &str = "the kept file has as many links as its file system allows";

pub(super) fn decide(keep: &Facts, _: u64, _: &Facts) -> Result<(), Refusal> {
    match keep.never {}
}

pub(super) fn can_be_kept(keep: &Facts) -> Result<(), Refusal> {
    match keep.never {}
}

pub(super) fn can_be_replaced(copy: &Facts) -> Result<(), Refusal> {
    match copy.never {}
}

/// Acts on nothing.
pub(super) struct Applier<'s>(PhantomData<&'s ()>);

impl<'s> Applier<'s> {
    pub(super) fn new(_: &'s Plan, _: &'s Catalog, _: Action) -> Self {
        Applier(PhantomData)
    }

    pub(super) fn pairs_max(&self) -> usize {
        1
    }

    pub(super) fn look_at_kept(&mut self, _: FileId) -> Result<Facts, Refusal> {
        Err(UNABLE.into())
    }

    pub(super) fn look(&mut self, _: FileId) -> Result<Facts, Refusal> {
        Err(UNABLE.into())
    }

    pub(super) fn has_no_block_of_its_own(&self, keep: &Facts, _: &Facts) -> Result<bool, Refusal> {
        match keep.never {}
    }

    pub(super) fn apply(&mut self, pairs: &[(FileId, FileId)]) -> Vec<Acted> {
        pairs.iter().map(|_| Acted::Refused(UNABLE.into())).collect()
    }

    pub(super) fn remove_leftover(&mut self, _: FileId, _: FileId) -> Result<(), Refusal> {
        Err(UNABLE.into())
    }
}

const UNABLE: &str = "this system has no safe way to do it";
