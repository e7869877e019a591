//! What is done about files of the same content: they share their blocks, or become names of one file.
//!
//! Both ways hold to the same promises. Nothing is taken from when the files were first read: both are opened anew, must
//! still be the files that were read, and their content is compared byte by byte at the moment it is acted on (by the
//! kernel where blocks are shared). Whatever goes wrong, at any step, a name leads to the content that it led to before.
//!
//! The one way in is [`Actor`]. It may not delete, overwrite or write to a file, and it prints nothing.

mod act;
mod attributes;
mod batch;
mod compare;
mod decide;
mod extents;
mod facts;
mod hardlink;
mod kernel;
mod leftover;
mod open;
mod reflink;
#[cfg(test)]
pub(crate) mod scene;
mod step;

use std::os::fd::BorrowedFd;

use crate::record::Identity;

pub(crate) use self::act::{Actor, Refusal};
pub(crate) use self::decide::{LINKS_FULL, can_be_kept, can_be_replaced, decide};
pub(crate) use self::extents::{Blocks, lists_blocks};
pub(crate) use self::facts::{Class, Facts};
pub(crate) use self::leftover::remove_leftover;

/// A name that is to lead to the content of another file, and the name of that file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'p> {
    /// The one that stays.
    pub(crate) keep: Place<'p>,
    /// The one that is replaced, or whose blocks are.
    pub(crate) replace: Place<'p>,
}

/// A name that is acted on, and what is known of the file behind it from when it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'p> {
    /// The open directory it lies in.
    pub(crate) directory: BorrowedFd<'p>,
    /// Its name there: one component, no NUL.
    pub(crate) name: &'p [u8],
    /// Size in bytes.
    pub(crate) size: u64,
    /// Time of last modification, in nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// Which file it was, and in which state.
    pub(crate) identity: Identity,
}
