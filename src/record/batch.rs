//! Entries on their way to a worker.

use std::sync::Arc;

use super::{Directory, Found};

/// One entry of a batch, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// Where the entry lies.
    pub directory: &'a Directory,
    /// Its name there, followed by one NUL so that it can be handed to the system uncopied.
    name_and_nul: &'a [u8],
    /// What the walk says of it.
    pub found: Found,
}

impl<'a> EntryRef<'a> {
    /// The entry's name in its directory; for a root, the root as it was given.
    pub fn name(&self) -> &'a [u8] {
        &self.name_and_nul[..self.name_and_nul.len() - 1]
    }

    /// The same name, ending in one NUL.
    pub fn name_and_nul(&self) -> &'a [u8] {
        self.name_and_nul
    }

    /// The part of the name, with one NUL, to open beside the open directory.
    #[cfg(unix)]
    pub fn name_beside_handle(&self) -> &'a [u8] {
        &self.name_and_nul[self.directory.name_start..]
    }
}

#[derive(Debug)]
struct Entry {
    directory: u32,
    name_start: u32,
    name_end: u32,
    found: Found,
}

/// Entries on their way to a worker: directories by handle, names in one run of bytes.
#[derive(Debug, Default)]
pub struct Batch {
    directories: Vec<Directory>,
    names: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes of the paths of its directories.
    paths_bytes: usize,
    /// How many entries of the walk come before its first.
    pub first: u64,
    /// Sum of the sizes of its files, where the walk was asked to find them out; bytes.
    pub bytes: u64,
}

impl Batch {
    /// Adds an entry of `directory`.
    ///
    /// Names may hold any byte but NUL. The names of one batch are bounded by the cutting rule (4 GiB is out of
    /// its reach), so positions fit 32 bits.
    pub fn push(&mut self, directory: &Directory, name: &[u8], found: Found) {
        if !self.ends_in(directory) {
            self.directories.push(directory.clone());
            self.paths_bytes += directory.path.len();
        }
        let position = |at: usize| u32::try_from(at).expect("a batch is cut long before 4 GiB of names");
        let name_start = position(self.names.len());
        self.names.extend_from_slice(name);
        self.names.push(0);
        self.entries.push(Entry {
            directory: position(self.directories.len() - 1),
            name_start,
            name_end: position(self.names.len()),
            found,
        });
    }

    /// Whether its last entry lies in `directory`, so that another one there needs no further handle.
    pub fn ends_in(&self, directory: &Directory) -> bool {
        self.directories.last().is_some_and(|last| Arc::ptr_eq(&last.path, &directory.path))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of directories it refers to, each of which may hold one handle open.
    pub fn directories(&self) -> usize {
        self.directories.len()
    }

    /// Bytes taken by its names and by the paths of its directories.
    pub fn names_bytes(&self) -> usize {
        self.names.len() + self.paths_bytes
    }

    /// The entries in the order in which the walk met them.
    pub fn entries(&self) -> impl Iterator<Item = EntryRef<'_>> {
        self.entries.iter().map(|entry| EntryRef {
            directory: &self.directories[entry.directory as usize],
            name_and_nul: &self.names[entry.name_start as usize..entry.name_end as usize],
            found: entry.found,
        })
    }

    /// Takes the entries from the `at`-th on; their directories stay open for both.
    pub fn split_off(&mut self, at: usize) -> Batch {
        let mut rest = Batch { first: self.first + at as u64, ..Batch::default() };
        for entry in self.entries().skip(at) {
            rest.push(entry.directory, entry.name(), entry.found);
        }
        if let Some(first) = self.entries.get(at) {
            self.names.truncate(first.name_start as usize);
        }
        self.entries.truncate(at);
        rest
    }

    /// Closes the directory handles; paths and names stay.
    pub fn release_handles(&mut self) {
        #[cfg(unix)]
        for directory in &mut self.directories {
            directory.handle = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_splits_without_losing_an_entry() {
        let (a, b) = (Directory::from_path(b"a"), Directory::from_path(b"b"));
        let names = |batch: &Batch| -> Vec<_> {
            batch.entries().map(|entry| (entry.directory.path.to_vec(), entry.name().to_vec())).collect()
        };
        let mut whole = Batch::default();
        for (directory, name) in [(&a, "1"), (&a, "22"), (&b, "333"), (&a, "4")] {
            whole.push(directory, name.as_bytes(), Found::File);
        }
        let expected = names(&whole);
        for at in 0..=4 {
            let mut first = Batch::default();
            for entry in whole.entries() {
                first.push(entry.directory, entry.name(), entry.found);
            }
            let rest = first.split_off(at);
            assert_eq!((first.len(), rest.len()), (at, 4 - at));
            assert_eq!([names(&first), names(&rest)].concat(), expected);
        }
    }

    #[test]
    fn a_batch_keeps_each_directory_once_while_it_repeats() {
        let (a, b) = (Directory::from_path(b"a"), Directory::from_path(b"b"));
        let mut batch = Batch::default();
        for (directory, name) in [(&a, "1"), (&a, "2"), (&b, "3")] {
            batch.push(directory, name.as_bytes(), Found::File);
        }
        assert_eq!((batch.len(), batch.directories()), (3, 2));
        let names: Vec<_> =
            batch.entries().map(|entry| (entry.directory.path.to_vec(), entry.name())).collect();
        assert_eq!(
            names,
            [(b"a".to_vec(), &b"1"[..]), (b"a".to_vec(), &b"2"[..]), (b"b".to_vec(), &b"3"[..])]
        );
    }
}
