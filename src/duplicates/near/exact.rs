//! Similarity by the shingles themselves: the files of clusters are read once more, and the Jaccard indices of their sets of
//! shingles decide which of them belong together.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator,
    ParallelIterator,
};

use super::super::rounds::Rounds;
use super::super::source::{self, Source};
use super::{Near, Row};
use crate::analyses::ShingleSet;
use crate::control::Control;
use crate::error::{Cause, FileError, Step, caught};
use crate::groups::{Catalog, Components, FileId, NearGroup, Sketches, matches};
use crate::plan::Plan;
use crate::stage::Budget;

/// Blocks that files are read in.
const BLOCK_BYTES: usize = 128 << 10;
/// A hash of a set.
const HASH_BYTES: u64 = 8;

/// What it takes to measure.
pub(super) struct Exact<'e> {
    near: &'e Near,
    plan: Plan,
    catalog: &'e Catalog,
    control: &'e Control,
    budget: Budget,
    sketches: &'e Sketches,
    /// The files of each content, any of which will do.
    files: HashMap<u32, Vec<FileId>>,
    /// What sets may take that are compared with each other, in bytes, on each thread.
    sets_bytes_max: u64,
    bytes: AtomicU64,
    read: AtomicU64,
    /// Taken where a file fails, and once for each cluster.
    failed: Mutex<HashMap<FileId, FileError>>,
}

/// What was read.
pub(super) struct Read {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that could not be read, or are not what was sketched.
    pub(super) failed: Vec<(FileId, FileError)>,
}

/// A set of shingles, or a share of it; none where the content cannot be read any more.
type Set = Option<Vec<u64>>;

impl<'e> Exact<'e> {
    pub(super) fn new<'r: 'e>(
        near: &'e Near,
        rounds: &Rounds<'r>,
        sketches: &'e Sketches,
        clusters: &[Vec<Row>],
        sets_bytes_max: u64,
    ) -> Exact<'e> {
        let plan = source::plan(rounds.plan);
        let mut files: HashMap<u32, Vec<FileId>> = HashMap::new();
        for &(file, row) in clusters.iter().flatten() {
            files.entry(row).or_default().push(file);
        }
        let threads = rounds.pool.map_or(1, rayon::ThreadPool::current_num_threads) as u64;
        Exact {
            near,
            catalog: rounds.catalog,
            control: rounds.control,
            budget: Budget::new(&plan),
            plan,
            sketches,
            files,
            sets_bytes_max: sets_bytes_max / threads,
            bytes: AtomicU64::new(0),
            read: AtomicU64::new(0),
            failed: Mutex::default(),
        }
    }

    /// Divides clusters into those of files that are connected by pairs that are similar enough.
    pub(super) fn divide(&self, clusters: Vec<Vec<Row>>) -> io::Result<Vec<Vec<Row>>> {
        let divided: Vec<Vec<Vec<Row>>> =
            clusters.into_par_iter().map(|cluster| self.divide_one(cluster)).collect::<io::Result<_>>()?;
        Ok(divided.into_iter().flatten().collect())
    }

    fn divide_one(&self, cluster: Vec<Row>) -> io::Result<Vec<Vec<Row>>> {
        let mut rows: Vec<u32> = cluster.iter().map(|&(_, row)| row).collect();
        rows.sort_unstable();
        rows.dedup();
        let components = Components::new(u32::try_from(rows.len()).expect("rows are counted with 32 bits"));
        let sets = self.sets_that_fit(&rows);
        let place = |at: usize| u32::try_from(at).expect("rows are counted with 32 bits");
        for left in 0..rows.len() {
            if self.control.is_cancelled() {
                return Ok(Vec::new());
            }
            // What is connected already need not be compared.
            let is_open = |right: &usize| !components.are_joined(place(left), place(*right));
            let rights: Vec<usize> = self.alike(&rows, left)?.into_iter().filter(is_open).collect();
            let similarities = match &sets {
                Some(sets) => rights.par_iter().map(|&right| jaccard(&sets[left], &sets[right])).collect(),
                None => self.similarities(rows[left], rights.iter().map(|&right| rows[right]).collect()),
            };
            for (&right, similarity) in rights.iter().zip(similarities) {
                if similarity.is_some_and(|similarity| similarity >= self.near.threshold) {
                    components.join(place(left), place(right));
                }
            }
        }
        let failed = self.failed.lock().expect("no thread panics with it");
        let numbers = components.groups();
        let clusters = numbers.iter().map(|group| {
            let rows: HashSet<u32> = group.iter().map(|&at| rows[at as usize]).collect();
            let of_group = |(file, row): &&Row| rows.contains(row) && !failed.contains_key(file);
            cluster.iter().filter(of_group).copied().collect()
        });
        // What is left of one whose other contents cannot be read any more is no group of its own.
        let has_several = |cluster: &Vec<Row>| cluster.iter().any(|&(_, row)| row != cluster[0].1);
        Ok(clusters.filter(has_several).collect())
    }

    /// The places after `left` whose sketches are similar enough to be looked at.
    fn alike(&self, rows: &[u32], left: usize) -> io::Result<Vec<usize>> {
        let matches_min = self.near.matches_min(self.near.similarity_looked_at());
        let mut reader = self.sketches.reader();
        let first = reader.row(rows[left])?.to_vec();
        let mut alike = Vec::new();
        for (at, &row) in rows.iter().enumerate().skip(left + 1) {
            if matches(&first, reader.row(row)?) >= matches_min {
                alike.push(at);
            }
        }
        Ok(alike)
    }

    /// Sets the similarities of groups. What cannot be read any more is taken out.
    pub(super) fn measure(&self, groups: &mut Vec<NearGroup>) {
        groups.par_iter_mut().for_each(|group| self.measure_one(group));
        groups.retain(|group| !group.members.is_empty());
    }

    fn measure_one(&self, group: &mut NearGroup) {
        loop {
            let Some(first) = group.members.first().copied() else { return };
            let mut rows: Vec<u32> = group.members.iter().map(|member| member.row).collect();
            rows.sort_unstable();
            rows.dedup();
            if rows.len() < 2 || self.control.is_cancelled() {
                return group.members.clear();
            }
            rows.retain(|&row| row != first.row);
            let sets = self.sets_that_fit(&[&[first.row], &rows[..]].concat());
            let similarities: Vec<Option<f64>> = match &sets {
                Some(sets) => sets[1..].iter().map(|set| jaccard(&sets[0], set)).collect(),
                None => self.similarities(first.row, rows.clone()),
            };
            for member in &mut group.members {
                let at = rows.binary_search(&member.row);
                member.similarity = at.map_or(1.0, |at| similarities[at].unwrap_or(0.0));
            }
            let failed = self.failed.lock().expect("no thread panics with it");
            let before = group.members.len();
            group.members.retain(|member| !failed.contains_key(&member.name.file));
            // Where the first is gone, another one stands for all; where a file is gone, a copy of it may be read.
            if group.members.len() == before {
                return;
            }
        }
    }

    /// The sets of these contents, where they fit the memory together.
    fn sets_that_fit(&self, rows: &[u32]) -> Option<Vec<Set>> {
        let bytes: u64 = rows.iter().map(|row| self.set_bytes(*row)).sum();
        (bytes <= self.sets_bytes_max).then(|| self.sets(rows, (0, 1)))
    }

    /// What a set takes at most.
    fn set_bytes(&self, row: u32) -> u64 {
        let size = self.files.get(&row).map_or(0, |files| self.catalog.size(files[0]));
        // What says it has none may have as much as is read of such a file.
        if size == 0 { self.plan.unbounded_bytes_max * HASH_BYTES } else { size * HASH_BYTES }
    }

    /// The similarities of contents with one, whose sets do not fit the memory together: they are read anew for it, in as many
    /// shares as it takes for two of them.
    fn similarities(&self, left: u32, rights: Vec<u32>) -> Vec<Option<f64>> {
        let largest = rights.iter().map(|&right| self.set_bytes(right)).max().unwrap_or(0);
        let two = self.set_bytes(left) + largest;
        let shares = two.div_ceil(self.sets_bytes_max.max(1)).max(1);
        let mut sums = vec![Some((0_u64, 0_u64)); rights.len()];
        for share in 0..shares {
            let ours = self.sets(&[left], (share, shares)).pop().flatten();
            sums.par_iter_mut().zip(&rights).for_each(|(sum, &right)| {
                let theirs = self.sets(&[right], (share, shares)).pop().flatten();
                *sum = sum.and_then(|(common, all)| {
                    let (ours, theirs) = (ours.as_ref()?, theirs.as_ref()?);
                    let both = intersection(ours, theirs);
                    Some((common + both, all + (ours.len() + theirs.len()) as u64 - both))
                });
            });
        }
        let share = |(common, all): (u64, u64)| if all == 0 { 0.0 } else { common as f64 / all as f64 };
        sums.into_iter().map(|sum| sum.map(share)).collect()
    }

    /// Reads the sets of these contents, or of each the share of this number of so many.
    fn sets(&self, rows: &[u32], share: (u64, u64)) -> Vec<Set> {
        let source =
            || (Source::new(&self.plan, self.catalog, self.control, &self.budget), vec![0; BLOCK_BYTES]);
        let read = |(source, block): &mut (Source<'_>, Vec<u8>), row: &u32| {
            let files = self.files.get(row).map_or(&[][..], Vec::as_slice);
            files.iter().find_map(|&file| self.set(source, block, file, share))
        };
        rows.par_iter().map_init(source, read).collect()
    }

    fn set(&self, source: &mut Source<'_>, block: &mut [u8], file: FileId, share: (u64, u64)) -> Set {
        if self.control.is_cancelled() {
            return None;
        }
        let read = caught(|| self.read(source, block, file, share)).and_then(|read| read);
        match read {
            Ok(set) => Some(set),
            Err(error) => {
                self.failed.lock().expect("no thread panics with it").insert(file, error);
                None
            }
        }
    }

    fn read(
        &self,
        source: &mut Source<'_>,
        block: &mut [u8],
        file: FileId,
        share: (u64, u64),
    ) -> Result<Vec<u64>, FileError> {
        let opened = source.open(file)?;
        let mut set = ShingleSet::of_share(self.near.sketches.shingle(), share.0, share.1);
        let bytes_max = opened.size().max(self.plan.unbounded_bytes_max);
        let mut offset = 0;
        loop {
            let read = opened.read_full_at(block, offset)?;
            set.block(&block[..read]);
            offset += read as u64;
            if read < block.len() {
                break;
            }
            if offset > bytes_max {
                return Err(FileError::new(Step::Stage, Cause::Changed));
            }
        }
        source.check_unchanged(&opened)?;
        self.bytes.fetch_add(offset, Ordering::Relaxed);
        self.read.fetch_add(1, Ordering::Relaxed);
        Ok(set.finish())
    }

    /// What was read in all.
    pub(super) fn into_read(self) -> Read {
        let mut failed: Vec<_> =
            self.failed.into_inner().expect("no thread panics with it").into_iter().collect();
        failed.sort_unstable_by_key(|(file, _)| *file);
        Read { files: self.read.into_inner(), bytes: self.bytes.into_inner(), failed }
    }
}

fn jaccard(a: &Set, b: &Set) -> Option<f64> {
    let (a, b) = (a.as_ref()?, b.as_ref()?);
    let both = intersection(a, b);
    let all = (a.len() + b.len()) as u64 - both;
    Some(if all == 0 { 0.0 } else { both as f64 / all as f64 })
}

/// How many numbers two ascending lists have in common.
fn intersection(mut a: &[u64], mut b: &[u64]) -> u64 {
    let mut common = 0;
    while let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) {
        common += u64::from(x == y);
        (a, b) = (if x <= y { a_rest } else { a }, if y <= x { b_rest } else { b });
    }
    common
}
