//! What a search for duplicates tells a sink: what is alike, and what is done about it.

use std::borrow::Cow;

use super::{Digest, join_path};

/// Files or directories that are alike.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// What they are, and how much alike.
    pub alike: Alike,
    /// Bytes of each: of a file, or of all files of a directory; of similar directories what they have in common, of files
    /// that are nearly the same those of the first.
    pub size: u64,
    /// BLAKE3 of the content; directories have none.
    pub digest: Option<Digest>,
    /// Bytes that would be free if there were one copy alone.
    pub reclaimable_bytes: u64,
    /// Names, copy by copy: those of a reference first, then root by root as given, and by path.
    pub members: &'a [Member<'a>],
}

impl Group<'_> {
    /// How many copies there are: hard links to one file are one.
    pub fn copies(&self) -> usize {
        self.members.last().map_or(0, |last| last.copy as usize + 1)
    }
}

/// What is alike, and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alike {
    /// Files of the same content.
    Files,
    /// Directories with the same names, types and contents in them, all the way down.
    Directories {
        /// Files in each.
        files: u64,
    },
    /// Two directories that have much of their content in common.
    Similar {
        /// Bytes of what they have in common over bytes of what either has, from 0 to 1.
        share: f64,
    },
    /// Files that are nearly the same: each has at least this similarity to some other of them.
    Near {
        /// What was asked for, above 0 and at most 1.
        threshold: f64,
        /// Whether similarities are estimates by sketches, not measured by the shingles themselves.
        is_estimated: bool,
    },
}

impl Alike {
    /// The word that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Alike::Files => "files",
            Alike::Directories { .. } => "directories",
            Alike::Similar { .. } => "similar-directories",
            Alike::Near { .. } => "near",
        }
    }
}

/// A name in a group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Member<'a> {
    /// Path of the directory it lies in, as shown; for a directory its own.
    pub directory: &'a [u8],
    /// Its name there; empty for a directory.
    pub name: &'a [u8],
    /// Which copy it is a name of, counted from 0: hard links to one file have one number.
    pub copy: u32,
    /// Its own size: of a file, or of all files of a directory.
    pub size: u64,
    /// Time of last modification, in nanoseconds since 1970; none for directories.
    pub mtime_ns: Option<i128>,
    /// Its number on its device, as [`super::Identity::inode`]; none for directories.
    pub inode: Option<u64>,
    /// Whether it lies in a reference, which is to stay as it is.
    pub is_reference: bool,
    /// Of files that are nearly the same: its similarity to the first, from 0 to 1. It may be below the threshold, where
    /// others lie between them.
    pub similarity: Option<f64>,
    /// Of files that are nearly the same: whether its content is that of the first.
    pub is_identical: bool,
}

impl Member<'_> {
    /// Whether its similarity to the first is below the threshold of its group.
    pub fn is_below(&self, alike: Alike) -> bool {
        matches!((alike, self.similarity), (Alike::Near { threshold, .. }, Some(similarity)) if similarity < threshold)
    }

    /// Appends the whole path to `out`.
    pub fn path_to(&self, out: &mut Vec<u8>) {
        join_path(self.directory, self.name, out);
    }
}

/// What can be done about files of the same content. Nothing deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// They share their blocks on the disk, and stay files of their own: owner, mode and times stay.
    Reflink,
    /// They become names of one file.
    Hardlink,
}

impl Action {
    /// The word that flags and reports use.
    pub fn name(self) -> &'static str {
        match self {
            Action::Reflink => "reflink",
            Action::Hardlink => "hardlink",
        }
    }
}

/// What is, or would be, done about one name.
#[derive(Clone, Debug)]
pub struct ActionRecord<'a> {
    /// What.
    pub action: Action,
    /// The file that stays, by path.
    pub keep: &'a [u8],
    /// The one that is to share its content.
    pub path: &'a [u8],
    /// Size of each in bytes.
    pub size: u64,
    /// Bytes that it frees, or would.
    pub reclaimable_bytes: u64,
    /// What became of it.
    pub acted: Acted,
    /// Names of the file at `path` outside of the search: while they are there, hard links free no space.
    pub names_outside: u64,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It was asked what would be done.
    Planned,
    /// Done.
    Done,
    /// It was so already.
    Already,
    /// Nothing was changed, for the reason given.
    Refused(Cow<'static, str>),
}

impl Acted {
    /// The word that reports use.
    pub fn name(&self) -> &'static str {
        match self {
            Acted::Planned => "planned",
            Acted::Done => "done",
            Acted::Already => "already",
            Acted::Refused(_) => "refused",
        }
    }
}
