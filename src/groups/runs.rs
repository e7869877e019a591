//! Groups that do not fit the memory: one sorted run after the other in a file without a name, merged in the end.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io;
use std::path::PathBuf;

use super::blocks::{BlockReader, Blocks, put, put_bytes};
use super::catalog::{Catalog, DirectoryId, FileId};
use super::copies::Name;
use super::files::FileGroup;
use super::order;
use super::spill::{file, put_file};
use crate::record::Digest;

/// Bytes of a block: one of each run is read at a time.
const BLOCK_BYTES: usize = 16 << 10;

/// Runs of groups, each with the largest gain first.
#[derive(Debug)]
pub struct Runs {
    blocks: Blocks,
    /// Roots, and what files have in common; without a file.
    catalog: Catalog,
}

impl Runs {
    /// None yet, in a file in `directory`.
    pub fn new(directory: PathBuf) -> Runs {
        Runs { blocks: Blocks::new(directory, 0, BLOCK_BYTES), catalog: Catalog::default() }
    }

    /// Adds a run of groups in the order of [`super::groups`].
    ///
    /// All catalogs must be those of one [`super::Spill`].
    pub fn add(&mut self, catalog: &Catalog, groups: &[FileGroup]) -> io::Result<()> {
        self.catalog = catalog.without_files();
        let run = self.blocks.add_stream();
        let mut record = Vec::new();
        for group in groups {
            let FileGroup { size, digest, reclaimable_bytes, redundant, names, less } = group;
            let (first, name) = catalog.raw(names[0].file);
            record.clear();
            put(&mut record, *reclaimable_bytes);
            put(&mut record, catalog.rank_of(names[0].file) as u64);
            put_bytes(&mut record, catalog.directory_path(first.directory));
            put_bytes(&mut record, name);
            put(&mut record, *size);
            put_bytes(&mut record, digest.as_bytes());
            put(&mut record, *redundant);
            put(&mut record, less.len() as u64);
            for &(copy, bytes) in less {
                put(&mut record, copy.into());
                put(&mut record, bytes);
            }
            put(&mut record, names.len() as u64);
            self.blocks.push(run, &record)?;
            let mut before = None;
            for name in names {
                let (raw, text) = catalog.raw(name.file);
                record.clear();
                let path = catalog.directory_path(raw.directory);
                // Names of one directory follow each other.
                let is_new = before.replace(raw.directory) != Some(raw.directory);
                put(&mut record, is_new.into());
                if is_new {
                    put_bytes(&mut record, path);
                }
                put_file(&mut record, &raw, text);
                put(&mut record, name.copy.into());
                put(&mut record, name.is_reference.into());
                self.blocks.push(run, &record)?;
            }
        }
        self.blocks.flush_all()
    }

    /// Bytes that lie in the file.
    pub fn file_bytes(&self) -> u64 {
        self.blocks.file_bytes()
    }

    /// All groups, the largest gain first.
    pub fn merged(&self) -> io::Result<Merged<'_>> {
        let mut runs = BinaryHeap::new();
        for run in 0..self.blocks.streams() {
            runs.extend(Head::next(self.blocks.reader(run))?);
        }
        Ok(Merged { runs, catalog: self.catalog.without_files() })
    }
}

/// Gives the groups of several runs in their order.
#[derive(Debug)]
pub struct Merged<'r> {
    runs: BinaryHeap<Head<'r>>,
    /// The files of the last group.
    catalog: Catalog,
}

impl Merged<'_> {
    /// The next group, and a catalog of its files alone.
    pub fn next_group(&mut self) -> io::Result<Option<(&Catalog, FileGroup)>> {
        let Some(mut head) = self.runs.pop() else { return Ok(None) };
        self.catalog.clear();
        let mut names = Vec::with_capacity(head.names);
        let (mut directory, mut text) = (DirectoryId(0), Vec::new());
        for number in 0..head.names {
            // The records of one group follow each other.
            head.reader.has_more()?;
            if head.reader.number() == 1 {
                directory = self.catalog.add_directory(head.reader.bytes());
            }
            let raw = file(&mut head.reader, directory, &mut text);
            self.catalog.add_raw(&raw, &text);
            let (copy, is_reference) = (head.reader.small(), head.reader.number() == 1);
            let number = u32::try_from(number).expect("as many as files");
            names.push(Name { file: FileId(number), copy, is_reference });
        }
        let Head { reclaimable_bytes, size, digest, redundant, less, reader, .. } = head;
        self.runs.extend(Head::next(reader)?);
        Ok(Some((&self.catalog, FileGroup { size, digest, reclaimable_bytes, redundant, names, less })))
    }
}

/// The next group of a run, without its names.
#[derive(Debug)]
struct Head<'r> {
    reclaimable_bytes: u64,
    /// Of the first name.
    root: u64,
    directory: Vec<u8>,
    name: Vec<u8>,
    size: u64,
    digest: Digest,
    redundant: u64,
    less: Vec<(u32, u64)>,
    names: usize,
    /// At the names.
    reader: BlockReader<'r>,
}

impl<'r> Head<'r> {
    fn next(mut reader: BlockReader<'r>) -> io::Result<Option<Head<'r>>> {
        if !reader.has_more()? {
            return Ok(None);
        }
        Ok(Some(Head {
            reclaimable_bytes: reader.number(),
            root: reader.number(),
            directory: reader.bytes().to_vec(),
            name: reader.bytes().to_vec(),
            size: reader.number(),
            digest: Digest::new(reader.bytes()),
            redundant: reader.number(),
            less: (0..reader.number()).map(|_| (reader.small(), reader.number())).collect(),
            names: reader.small() as usize,
            reader,
        }))
    }

    fn path(&self) -> impl Iterator<Item = &[u8]> {
        order::components_of(&self.directory, &self.name)
    }
}

/// The greatest is the one that comes first.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let gain = self.reclaimable_bytes.cmp(&other.reclaimable_bytes);
        gain.then_with(|| other.root.cmp(&self.root)).then_with(|| other.path().cmp(self.path()))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}
