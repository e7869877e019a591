//! What a walker keeps of the directories above the one it is in.

use std::ffi::CStr;
use std::sync::Arc;

use rustix::fs::{FileType, Stat, fstat};

use crate::record::Directory;
use crate::walk::globs::Spelling;
use crate::walk::ignores::Ignores;

/// An entry that is left for later, by name.
pub(super) struct Child {
    /// Ends in one NUL.
    pub(super) name_and_nul: Vec<u8>,
    pub(super) is: Is,
}

/// What is known of an entry that is left for later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    /// A directory to visit, told apart and filtered.
    Directory,
    /// The same, reached through a link.
    LinkedDirectory,
    /// As it was listed; in a sorted walk its turn comes later.
    Listed(FileType),
}

/// Each with the letter that stands for it.
const LETTERS: [(Is, u8); 10] = [
    (Is::Directory, b'D'),
    (Is::LinkedDirectory, b'L'),
    (Is::Listed(FileType::RegularFile), b'f'),
    (Is::Listed(FileType::Directory), b'd'),
    (Is::Listed(FileType::Symlink), b'l'),
    (Is::Listed(FileType::Fifo), b'p'),
    (Is::Listed(FileType::Socket), b's'),
    (Is::Listed(FileType::CharacterDevice), b'c'),
    (Is::Listed(FileType::BlockDevice), b'b'),
    (Is::Listed(FileType::Unknown), b'?'),
];

impl Is {
    fn letter(self) -> u8 {
        LETTERS.iter().find(|(is, _)| *is == self).map_or(b'?', |(_, letter)| *letter)
    }

    fn from_letter(letter: u8) -> Is {
        LETTERS.iter().find(|(_, of)| *of == letter).map_or(Is::Listed(FileType::Unknown), |(is, _)| *is)
    }
}

impl Child {
    pub(super) fn name(&self) -> &[u8] {
        &self.name_and_nul[..self.name_and_nul.len() - 1]
    }

    pub(super) fn name_c(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.name_and_nul).expect("names end in their only NUL")
    }
}

/// What a directory inherits from the ones above it.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) depth: usize,
    /// Device of its root, where the walk stays on it.
    pub(super) device: Option<u64>,
    /// The directories above it, where links are followed and could lead in a circle.
    pub(super) ancestors: Option<Arc<Ancestor>>,
    /// What git would leave out of it, where that was asked for.
    pub(super) ignores: Option<Arc<Ignores>>,
    /// How globs are to read the paths below its root.
    pub(super) spelling: Option<Arc<Spelling>>,
    /// Its share of the tree, for the progress display.
    pub(super) share: u64,
}

/// The directories on the way from a root, by identity.
pub(super) struct Ancestor {
    pub(super) identity: Identity,
    pub(super) above: Option<Arc<Ancestor>>,
}

/// Link by link: dropped by recursion, a chain of a hundred thousand directories would take the whole stack.
impl Drop for Ancestor {
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(mut ancestor) = above.and_then(Arc::into_inner) {
            above = ancestor.above.take();
        }
    }
}

impl Context {
    /// Whether a directory is one of those it lies in. Where it is not, it becomes the innermost of them.
    pub(super) fn leads_in_a_circle(&mut self, directory: Identity) -> bool {
        let Some(above) = self.ancestors.take() else { return false };
        let mut ancestor = Some(&above);
        while let Some(here) = ancestor {
            if here.identity == directory {
                return true;
            }
            ancestor = here.above.as_ref();
        }
        self.ancestors = Some(Arc::new(Ancestor { identity: directory, above: Some(above) }));
        false
    }
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

/// A directory with entries that are left for later: subdirectories, or in a sorted walk all.
pub(super) struct Frame {
    pub(super) place: Place,
    /// For each entry left: a letter, its name, NUL. The next is the last.
    pub(super) left: Vec<u8>,
    pub(super) context: Context,
    /// Its listing broke off, which it has an error record for.
    pub(super) has_failed: bool,
}

pub(super) enum Place {
    Open(Directory),
    /// Its handle was given back. Its path is the start, this many bytes, of the path of whatever lies below it.
    Closed {
        path_bytes: usize,
        identity: Identity,
    },
}

impl Frame {
    /// Takes the entry that was added last.
    pub(super) fn pop(&mut self) -> Option<Child> {
        let end = self.left.len().checked_sub(1)?;
        let start = memchr::memrchr(0, &self.left[..end]).map_or(0, |nul| nul + 1);
        let is = Is::from_letter(self.left[start]);
        let name_and_nul = self.left[start + 1..].to_vec();
        self.left.truncate(start);
        Some(Child { name_and_nul, is })
    }

    /// Whether more than one entry is left.
    pub(super) fn has_several(&self) -> bool {
        memchr::memchr_iter(0, &self.left).nth(1).is_some()
    }

    /// Puts an entry back.
    pub(super) fn push_back(&mut self, child: &Child) {
        push_child(&mut self.left, child.name(), child.is);
    }

    /// Gives its handle back, and keeps what it takes to know the directory again.
    pub(super) fn close(&mut self) {
        if let Place::Open(directory) = &self.place
            && let Some(handle) = &directory.handle
            && let Ok(stat) = fstat(handle)
        {
            self.place = Place::Closed { path_bytes: directory.path.len(), identity: identity(&stat) };
        }
    }
}

pub(super) fn push_child(left: &mut Vec<u8>, name: &[u8], is: Is) {
    left.push(is.letter());
    left.extend_from_slice(name);
    left.push(0);
}

/// The entries of one directory, to be sorted by name.
#[derive(Default)]
pub(super) struct Listing {
    names: Vec<u8>,
    entries: Vec<(usize, usize, FileType)>,
}

impl Listing {
    pub(super) fn push(&mut self, name: &[u8], file_type: FileType) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.entries.push((start, self.names.len(), file_type));
    }

    /// What is left for later, the first by name at the end.
    pub(super) fn into_left(mut self) -> Vec<u8> {
        let name = |&(start, end, _): &(usize, usize, FileType)| &self.names[start..end];
        self.entries.sort_unstable_by(|a, b| name(b).cmp(name(a)));
        let mut left = Vec::with_capacity(self.names.len() + 2 * self.entries.len());
        for entry in &self.entries {
            push_child(&mut left, name(entry), Is::Listed(entry.2));
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_of_ancestors_takes_no_stack_to_drop() {
        let mut innermost = None;
        for inode in 0..1_000_000 {
            innermost = Some(Arc::new(Ancestor { identity: (0, inode), above: innermost }));
        }
        drop(innermost);
    }

    #[test]
    fn entries_come_back_as_they_were_put_in() {
        let directory = Directory::from_path(b"");
        let context =
            Context { depth: 0, device: None, ancestors: None, ignores: None, spelling: None, share: 0 };
        let mut frame = Frame { place: Place::Open(directory), left: Vec::new(), context, has_failed: false };
        push_child(&mut frame.left, b"one", Is::Directory);
        assert!(!frame.has_several());
        push_child(&mut frame.left, b"L", Is::LinkedDirectory);
        assert!(frame.has_several());
        let child = frame.pop().expect("two are left");
        assert_eq!((child.name(), child.is), (&b"L"[..], Is::LinkedDirectory));
        frame.push_back(&child);
        assert_eq!(frame.pop().map(|child| child.name_and_nul), Some(b"L\0".to_vec()));
        assert_eq!(frame.pop().map(|child| child.name_and_nul), Some(b"one\0".to_vec()));
        assert!(frame.pop().is_none());
        assert!(LETTERS.iter().all(|(is, letter)| is.letter() == *letter && Is::from_letter(*letter) == *is));
    }

    #[test]
    fn a_listing_comes_back_in_the_order_of_its_bytes() {
        let mut listing = Listing::default();
        let names: [&[u8]; 5] = [b"b", b"a-b", b"\xff", b"a", b"B"];
        names.iter().for_each(|name| listing.push(name, FileType::RegularFile));
        let context =
            Context { depth: 0, device: None, ancestors: None, ignores: None, spelling: None, share: 0 };
        let place = Place::Open(Directory::from_path(b""));
        let mut frame = Frame { place, left: listing.into_left(), context, has_failed: false };
        let sorted: Vec<_> = std::iter::from_fn(|| frame.pop()).map(|child| child.name().to_vec()).collect();
        assert_eq!(sorted, [&b"B"[..], b"a", b"a-b", b"b", b"\xff"]);
    }
}
