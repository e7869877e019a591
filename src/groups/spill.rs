//! Files that do not fit the memory: kept in a file without a name, in parts by size, and taken back in batches that fit. All
//! files of one size are in one batch, so that each batch can be searched for duplicates by itself.

use std::collections::HashMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::blocks::{BlockReader, Blocks, put, put_bytes, put_signed};
use super::catalog::{Catalog, DirectoryId, RawFile};

/// Parts that files are divided into by their size.
const PARTS: usize = 256;

/// Bytes of a directory of a catalog beside its path.
const DIRECTORY_BYTES: u64 = 32;

/// The files of a walk, beyond what the memory holds.
#[derive(Debug)]
pub struct Spill {
    /// [`PARTS`] streams of files, and one of the paths of directories.
    blocks: Blocks,
    /// Roots, and what files have in common; without a file.
    catalog: Catalog,
    files: u64,
    directories: u32,
    directories_bytes: u64,
    record: Vec<u8>,
}

/// Files that are searched together.
#[derive(Debug, Default)]
pub struct Batch {
    slices: Vec<(usize, RangeInclusive<u64>)>,
    files: u64,
    bytes: u64,
    directories_bytes: u64,
}

/// Files of one size that do not fit the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// How many.
    pub files: u64,
    /// The size of each.
    pub size: u64,
    /// Bytes of memory that they take.
    pub bytes: u64,
}

/// The files of one size in a part.
#[derive(Default)]
struct Class {
    files: u64,
    bytes: u64,
    directories_bytes: u64,
    last_directory: Option<u32>,
}

impl Spill {
    /// None yet. Its buffers take at most `memory_bytes_max`, but at least 256 KiB.
    pub fn new(directory: PathBuf, memory_bytes_max: u64) -> Spill {
        let block_bytes = (memory_bytes_max / PARTS as u64).clamp(1 << 10, 16 << 10);
        let block_bytes = usize::try_from(block_bytes).expect("at most 16 KiB");
        Spill {
            blocks: Blocks::new(directory, PARTS + 1, block_bytes),
            catalog: Catalog::default(),
            files: 0,
            directories: 0,
            directories_bytes: 0,
            record: Vec::new(),
        }
    }

    /// How many files it has.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Bytes that lie in the file.
    pub fn file_bytes(&self) -> u64 {
        self.blocks.file_bytes()
    }

    /// Takes the files and directories out of a catalog, which keeps its roots.
    pub fn take(&mut self, catalog: &mut Catalog) -> io::Result<()> {
        let first = self.directories;
        for directory in catalog.directory_ids() {
            let path = catalog.directory_path(directory);
            self.record.clear();
            put_bytes(&mut self.record, path);
            self.blocks.push(PARTS, &self.record)?;
            self.directories_bytes += path.len() as u64 + DIRECTORY_BYTES;
        }
        let directories = u32::try_from(catalog.directories()).ok();
        self.directories = directories
            .and_then(|directories| first.checked_add(directories))
            .ok_or_else(|| io::Error::other("more than 4,294,967,295 directories"))?;
        for file in catalog.files() {
            let (raw, name) = catalog.raw(file);
            let path_bytes = catalog.directory_path(raw.directory).len();
            self.write(
                &RawFile { directory: DirectoryId(first + raw.directory.0), ..raw },
                name,
                path_bytes,
            )?;
        }
        self.files += catalog.len() as u64;
        catalog.clear();
        Ok(())
    }

    fn write(&mut self, file: &RawFile, name: &[u8], path_bytes: usize) -> io::Result<()> {
        let record = &mut self.record;
        record.clear();
        put(record, file.directory.0.into());
        put(record, path_bytes as u64);
        put_file(record, file, name);
        self.blocks.push(part_of(file.size), record)
    }

    /// Takes the rest of a catalog, and its roots. Call it once, before the files are read back.
    pub fn finish(&mut self, mut catalog: Catalog) -> io::Result<()> {
        self.take(&mut catalog)?;
        self.blocks.flush_all()?;
        self.catalog = catalog;
        Ok(())
    }

    /// Batches of all files that have the size of another, in which each file takes `file_bytes` beside its name, and a batch at
    /// most `memory_bytes_max`.
    pub fn batches(
        &self,
        sizes: &RangeInclusive<u64>,
        file_bytes: u64,
        memory_bytes_max: u64,
    ) -> io::Result<Result<Vec<Batch>, TooMany>> {
        let (mut batches, mut batch) = (Vec::new(), Batch::default());
        for part in 0..PARTS {
            let mut classes: Vec<(u64, Class)> = self.classes(part, sizes, file_bytes)?.into_iter().collect();
            classes.retain(|(_, class)| class.files > 1);
            classes.sort_unstable_by_key(|(size, _)| *size);
            for (size, class) in classes {
                if self.bytes_with(&batch, &class) > memory_bytes_max && batch.files > 0 {
                    batches.push(std::mem::take(&mut batch));
                }
                let bytes = self.bytes_with(&batch, &class);
                if bytes > memory_bytes_max {
                    return Ok(Err(TooMany { files: class.files, size, bytes }));
                }
                batch.add(part, size, &class);
            }
        }
        batches.extend(Some(batch).filter(|batch| batch.files > 0));
        Ok(Ok(batches))
    }

    /// Bytes of a batch with another class added. Each class counts its directories, but all directories count at most once.
    fn bytes_with(&self, batch: &Batch, class: &Class) -> u64 {
        let directories = batch.directories_bytes + class.directories_bytes;
        batch.bytes + class.bytes + directories.min(self.directories_bytes)
    }

    /// The files of a part by their size.
    fn classes(
        &self,
        part: usize,
        sizes: &RangeInclusive<u64>,
        file_bytes: u64,
    ) -> io::Result<HashMap<u64, Class>> {
        let mut classes: HashMap<u64, Class> = HashMap::new();
        let mut reader = self.blocks.reader(part);
        while reader.has_more()? {
            let (directory, path_bytes) = (reader.small(), reader.number());
            let (size, name_bytes) = pass_over_file(&mut reader);
            if !sizes.contains(&size) {
                continue;
            }
            let class = classes.entry(size).or_default();
            class.files += 1;
            class.bytes += file_bytes + name_bytes;
            if class.last_directory.replace(directory) != Some(directory) {
                class.directories_bytes += path_bytes + DIRECTORY_BYTES;
            }
        }
        Ok(classes)
    }

    /// A catalog of the files of a batch.
    pub fn load(&self, batch: &Batch) -> io::Result<Catalog> {
        let mut catalog = self.catalog.without_files();
        let mut needed = Bits::new(self.directories);
        for (part, sizes) in &batch.slices {
            self.load_slice(*part, sizes, &mut catalog, &mut needed)?;
        }
        // Files have the numbers of their directories among all until these are read.
        let mut known: Vec<(u32, DirectoryId)> = Vec::new();
        let mut reader = self.blocks.reader(PARTS);
        for number in 0..self.directories {
            if !reader.has_more()? {
                break;
            }
            let path = reader.bytes();
            if needed.has(number) {
                known.push((number, catalog.add_directory(path)));
            }
        }
        catalog.put_into_directories(|number| {
            let at = known.binary_search_by_key(&number.0, |(number, _)| *number);
            known[at.expect("it was asked for")].1
        });
        Ok(catalog)
    }

    /// Adds the files of these sizes that have the size of another.
    fn load_slice(
        &self,
        part: usize,
        sizes: &RangeInclusive<u64>,
        catalog: &mut Catalog,
        needed: &mut Bits,
    ) -> io::Result<()> {
        let mut is_shared: HashMap<u64, bool> = HashMap::new();
        let mut reader = self.blocks.reader(part);
        while reader.has_more()? {
            let _ = (reader.number(), reader.number());
            let (size, _) = pass_over_file(&mut reader);
            if sizes.contains(&size) {
                is_shared.entry(size).and_modify(|is_shared| *is_shared = true).or_insert(false);
            }
        }
        let mut name = Vec::new();
        let mut reader = self.blocks.reader(part);
        while reader.has_more()? {
            let (directory, _) = (reader.small(), reader.number());
            let file = file(&mut reader, DirectoryId(directory), &mut name);
            if is_shared.get(&file.size) == Some(&true) {
                needed.set(directory);
                catalog.add_raw(&file, &name);
            }
        }
        Ok(())
    }
}

impl Batch {
    /// How many files it has.
    pub fn files(&self) -> u64 {
        self.files
    }

    fn add(&mut self, part: usize, size: u64, class: &Class) {
        self.files += class.files;
        self.bytes += class.bytes;
        self.directories_bytes += class.directories_bytes;
        match self.slices.last_mut().filter(|(last, _)| *last == part) {
            Some((_, sizes)) => *sizes = *sizes.start()..=size,
            None => self.slices.push((part, size..=size)),
        }
    }
}

/// The part that files of this size are in.
fn part_of(size: u64) -> usize {
    // The golden ratio spreads sizes that follow each other.
    let mixed = size.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    usize::try_from(mixed).expect("a byte") % PARTS
}

/// Appends a file to a record; its directory is not written.
pub(super) fn put_file(record: &mut Vec<u8>, file: &RawFile, name: &[u8]) {
    put(record, file.size);
    put_bytes(record, name);
    put(record, file.inode);
    put_signed(record, file.mtime_seconds);
    put_signed(record, file.ctime_seconds);
    put(record, file.mtime_nanoseconds.into());
    put(record, file.ctime_nanoseconds.into());
    put(record, file.attributes.into());
}

/// Reads what [`put_file`] wrote.
pub(super) fn file(reader: &mut BlockReader<'_>, directory: DirectoryId, name: &mut Vec<u8>) -> RawFile {
    let size = reader.number();
    name.clear();
    name.extend_from_slice(reader.bytes());
    RawFile {
        size,
        inode: reader.number(),
        mtime_seconds: reader.signed(),
        ctime_seconds: reader.signed(),
        mtime_nanoseconds: reader.small(),
        ctime_nanoseconds: reader.small(),
        directory,
        attributes: reader.small(),
    }
}

/// Reads only the size of a file, and how long its name is.
fn pass_over_file(reader: &mut BlockReader<'_>) -> (u64, u64) {
    let size = reader.number();
    let name_bytes = reader.bytes().len() as u64;
    for _ in 0..6 {
        reader.number();
    }
    (size, name_bytes)
}

/// A set of small numbers.
struct Bits(Vec<u64>);

impl Bits {
    fn new(numbers: u32) -> Bits {
        Bits(vec![0; (numbers as usize).div_ceil(64)])
    }

    fn set(&mut self, number: u32) {
        self.0[number as usize / 64] |= 1 << (number % 64);
    }

    fn has(&self, number: u32) -> bool {
        self.0[number as usize / 64] & 1 << (number % 64) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::exact::{Candidates, Wanted};
    use super::*;
    use crate::record::Identity;

    const ALL: RangeInclusive<u64> = 1..=u64::MAX;

    /// 3,000 files in 40 directories; those with a number that seven divides have a size of their own.
    fn catalog(files: std::ops::Range<u64>) -> Catalog {
        let mut catalog = Catalog::new([&b"r"[..]]);
        for i in files {
            let size = if i % 7 == 0 { 100_000 + i } else { i * 31 % 97 };
            let identity =
                Identity { device: 3, inode: i + 1, links: 1, ctime_seconds: -5, ..Identity::default() };
            let directory = format!("r/{}", i * 40 / 3000);
            let file = catalog.add_file(directory.as_bytes(), format!("f{i}").as_bytes(), size, -1, identity);
            if i % 5 == 0 {
                catalog.mark_sparse(file);
            }
        }
        catalog
    }

    fn spilled() -> Spill {
        let mut spill = Spill::new(std::env::temp_dir(), 0);
        for start in [0, 1000] {
            let mut catalog = catalog(start..start + 1000);
            spill.take(&mut catalog).expect("room for it");
            assert_eq!((catalog.len(), catalog.directories(), catalog.roots()), (0, 0, 1));
        }
        spill.finish(catalog(2000..3000)).expect("room for it");
        spill
    }

    /// Every candidate: path; size, time and identity; device and whether it is sparse; how many there are of its size.
    type Known = (Vec<u8>, (u64, i128, Identity), (u32, bool), usize);

    fn candidates(catalog: &Catalog) -> Vec<Known> {
        let (candidates, _) = Candidates::by_size(catalog, &Wanted { size_min: 1, ..Wanted::default() });
        let classes = candidates.classes().flat_map(|class| class.iter().map(|of| (of.file, class.len())));
        let all = classes.map(|(file, number)| {
            let entry = catalog.entry(file);
            let place = (catalog.inode(file).0, catalog.is_sparse(file));
            (catalog.path(file), (entry.size, entry.mtime_ns, entry.identity), place, number)
        });
        all.collect()
    }

    #[test]
    fn batches_have_every_file_that_has_the_size_of_another() {
        let mut expected = candidates(&catalog(0..3000));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert!(expected.len() > 2000);
        let spill = spilled();
        assert_eq!(spill.files(), 3000);
        for (memory, batches_min) in [(u64::MAX, 1), (60_000, 4), (10_000, 30)] {
            let batches = spill.batches(&ALL, 100, memory).expect("readable").expect("each size fits");
            assert!(batches.len() >= batches_min, "{} batches", batches.len());
            let mut found = Vec::new();
            for batch in &batches {
                let catalog = spill.load(batch).expect("readable");
                assert_eq!(catalog.len() as u64, batch.files());
                found.extend(candidates(&catalog));
            }
            found.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(found, expected, "within {memory} bytes");
        }
    }

    #[test]
    fn files_of_one_size_that_do_not_fit_are_counted() {
        let too_many = spilled().batches(&(5..=5), 100, 1000).expect("readable").expect_err("too many");
        assert_eq!((too_many.size, too_many.files), (5, 27));
        assert!(too_many.bytes > 2700 && too_many.bytes < 5000, "{too_many:?}");
    }
}
