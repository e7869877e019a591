//! What a walker keeps of the directories above the one it is in.

use std::sync::Arc;

use rustix::fs::{Stat, fstat};

use crate::record::Directory;

/// A subdirectory by name.
pub(super) struct Child {
    /// Ends in one NUL.
    pub(super) name_and_nul: Vec<u8>,
    pub(super) through_links: bool,
}

impl Child {
    pub(super) fn name(&self) -> &[u8] {
        &self.name_and_nul[..self.name_and_nul.len() - 1]
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

/// A directory with subdirectories to visit.
pub(super) struct Frame {
    pub(super) place: Place,
    /// For each subdirectory left: `L` where it is reached through a link, else `D`; its name; NUL.
    pub(super) subdirectories: Vec<u8>,
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
    /// Takes the subdirectory that was added last.
    pub(super) fn pop(&mut self) -> Option<Child> {
        let end = self.subdirectories.len().checked_sub(1)?;
        let start = memchr::memrchr(0, &self.subdirectories[..end]).map_or(0, |nul| nul + 1);
        let through_links = self.subdirectories[start] == b'L';
        let name_and_nul = self.subdirectories[start + 1..].to_vec();
        self.subdirectories.truncate(start);
        Some(Child { name_and_nul, through_links })
    }

    /// Whether more than one subdirectory is left.
    pub(super) fn has_several(&self) -> bool {
        memchr::memchr_iter(0, &self.subdirectories).nth(1).is_some()
    }

    /// Puts a subdirectory back.
    pub(super) fn push_back(&mut self, child: &Child) {
        push_child(&mut self.subdirectories, child.name(), child.through_links);
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

pub(super) fn push_child(subdirectories: &mut Vec<u8>, name: &[u8], through_links: bool) {
    subdirectories.push(if through_links { b'L' } else { b'D' });
    subdirectories.extend_from_slice(name);
    subdirectories.push(0);
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
    fn subdirectories_come_back_as_they_were_put_in() {
        let directory = Directory::from_path(b"");
        let context = Context { depth: 0, device: None, ancestors: None, share: 0 };
        let mut frame =
            Frame { place: Place::Open(directory), subdirectories: Vec::new(), context, has_failed: false };
        push_child(&mut frame.subdirectories, b"one", false);
        assert!(!frame.has_several());
        push_child(&mut frame.subdirectories, b"L", true);
        assert!(frame.has_several());
        let child = frame.pop().expect("two are left");
        assert_eq!((child.name(), child.through_links), (&b"L"[..], true));
        frame.push_back(&child);
        assert_eq!(frame.pop().map(|child| child.name_and_nul), Some(b"L\0".to_vec()));
        assert_eq!(frame.pop().map(|child| child.name_and_nul), Some(b"one\0".to_vec()));
        assert!(frame.pop().is_none());
    }
}
