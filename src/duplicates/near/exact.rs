//! Similarity by the shingles themselves: the files of clusters are read once more, and the Jaccard indices of their sets of
//! shingles decide which of them belong together. Where the sets of a cluster do not fit the memory, files are read again for
//! each that they are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::iter::{
    IndexedParallelIterator, IntoParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator,
    ParallelIterator,
};

use super::super::rounds::Rounds;
use super::super::source::{self, Source};
use super::{Near, by_component, place};
use crate::analyses::{MinHash, ShingleSet, SketchKind};
use crate::control::Control;
use crate::error::{Cause, FileError, Step, caught};
use crate::groups::{Catalog, Components, FileId, NearGroup, NearNaming, Row, Sketches, matches};
use crate::plan::Plan;
use crate::stage::Budget;

/// Blocks that files are read in.
const BLOCK_BYTES: usize = 128 << 10;
/// A hash of a set, and an eighth of room for shares that are larger than others.
const HASH_BYTES: u64 = 9;

/// What it takes to measure.
pub(super) struct Exact<'e> {
    near: &'e Near,
    plan: Plan,
    catalog: &'e Catalog,
    control: &'e Control,
    budget: Budget,
    sketches: &'e Sketches,
    naming: &'e NearNaming<'e>,
    /// What sets may take that are compared with each other, in bytes, on each thread.
    sets_bytes_max: u64,
    bytes: AtomicU64,
    read: AtomicU64,
    /// Taken where a file fails, and once for each look at a cluster.
    failed: Mutex<BTreeMap<FileId, FileError>>,
}

/// What was read.
pub(super) struct Read {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Files that could not be read, or are not what was sketched, in ascending order.
    pub(super) failed: BTreeMap<FileId, FileError>,
}

/// A set of shingles, or a share of it; none where the content cannot be read any more.
type Set = Option<Vec<u64>>;

/// The contents of a cluster: rows in ascending order, each with its files, any of which will do.
struct Contents {
    rows: Vec<u32>,
    files: Vec<Vec<FileId>>,
    /// What the set of each is likely to take at most, in bytes.
    bytes: Vec<u64>,
}

impl<'e> Exact<'e> {
    pub(super) fn new<'r: 'e>(
        near: &'e Near,
        rounds: &Rounds<'r>,
        sketches: &'e Sketches,
        naming: &'e NearNaming<'e>,
        sets_bytes_max: u64,
    ) -> Exact<'e> {
        let plan = source::plan(rounds.plan);
        let threads = rounds.pool.map_or(1, rayon::ThreadPool::current_num_threads) as u64;
        Exact {
            near,
            catalog: rounds.catalog,
            control: rounds.control,
            budget: Budget::new(&plan),
            plan,
            sketches,
            naming,
            sets_bytes_max: sets_bytes_max / threads,
            bytes: AtomicU64::new(0),
            read: AtomicU64::new(0),
            failed: Mutex::default(),
        }
    }

    /// The groups of clusters: of files that are connected by pairs that are similar enough.
    pub(super) fn groups(&self, clusters: Vec<Vec<Row>>) -> io::Result<Vec<NearGroup>> {
        let groups: Vec<Vec<NearGroup>> =
            clusters.into_par_iter().map(|cluster| self.groups_of(cluster)).collect::<io::Result<_>>()?;
        Ok(groups.into_iter().flatten().collect())
    }

    /// Those of one. Where a file turns out not to be what was sketched, it begins anew without it.
    fn groups_of(&self, mut cluster: Vec<Row>) -> io::Result<Vec<NearGroup>> {
        loop {
            let contents = self.contents(&cluster)?;
            if contents.rows.len() < 2 || self.control.is_cancelled() {
                return Ok(Vec::new());
            }
            let sets = self.sets_that_fit(&contents);
            let connected = self.connect(&contents, sets.as_deref())?;
            let files = cluster.iter().map(|&file| (file, place(contents.at(file.1))));
            let divided = by_component(&connected, files).into_iter();
            let mut groups: Vec<NearGroup> = divided.filter_map(|files| self.naming.group(files)).collect();
            groups.iter_mut().for_each(|group| self.measure(group, &contents, sets.as_deref()));
            let failed = self.failed.lock().expect("no thread panics with it");
            let before = cluster.len();
            cluster.retain(|(file, _)| !failed.contains_key(file));
            if cluster.len() == before {
                return Ok(groups);
            }
        }
    }

    fn contents(&self, cluster: &[Row]) -> io::Result<Contents> {
        let mut files: BTreeMap<u32, Vec<FileId>> = BTreeMap::new();
        for &(file, row) in cluster {
            files.entry(row).or_default().push(file);
        }
        let (rows, files): (Vec<u32>, Vec<Vec<FileId>>) = files.into_iter().unzip();
        let mut reader = self.sketches.reader();
        let mut bytes = Vec::with_capacity(rows.len());
        for (&row, files) in rows.iter().zip(&files) {
            let size = self.catalog.size(files[0]);
            // What says it has none may have as much as is read of such a file.
            let most = if size == 0 { self.plan.unbounded_bytes_max } else { size };
            // A file may be large, and its shingles few: twice what the sketch says, as it may be wrong.
            let likely = 2 * different_shingles(&self.near.sketches, reader.row(row)?).unwrap_or(most) + 1024;
            bytes.push(most.min(likely) * HASH_BYTES);
        }
        Ok(Contents { rows, files, bytes })
    }

    /// Connects the contents that are similar enough, by their places. Where their sets do not fit the memory together, as many as
    /// do are compared with each other and with all that follow, each of which is read once for all of them.
    fn connect(&self, contents: &Contents, sets: Option<&[Set]>) -> io::Result<Components> {
        let number = contents.rows.len();
        let components = Components::new(place(number));
        if let Some(sets) = sets {
            self.connect_block(contents, &components, 0..number, sets)?;
            return Ok(components);
        }
        let mut start = 0;
        while start < number && !self.control.is_cancelled() {
            let block = start..start + self.block(&contents.bytes[start..]);
            if block.is_empty() {
                // Too large even alone.
                let rights = self.open_and_alike(contents, &components, start, start + 1..number)?;
                let similarities = self.similarities_by_shares(contents, start, &rights);
                self.join(&components, start, &rights, similarities);
                start += 1;
            } else {
                start = block.end;
                let sets = self.load(contents, block.clone());
                self.connect_block(contents, &components, block, &sets)?;
            }
        }
        Ok(components)
    }

    /// Connects contents whose sets are there with each other, and with all that follow.
    fn connect_block(
        &self,
        contents: &Contents,
        components: &Components,
        block: Range<usize>,
        sets: &[Set],
    ) -> io::Result<()> {
        let set_of = |at: usize| &sets[at - block.start];
        for left in block.clone() {
            if self.control.is_cancelled() {
                return Ok(());
            }
            let rights = self.open_and_alike(contents, components, left, left + 1..block.end)?;
            let similar = |&right: &usize| jaccard(set_of(left), set_of(right));
            self.join(components, left, &rights, rights.par_iter().map(similar).collect());
        }
        for right in block.end..contents.rows.len() {
            if self.control.is_cancelled() {
                return Ok(());
            }
            let lefts = self.open_and_alike(contents, components, right, block.clone())?;
            if lefts.is_empty() {
                continue;
            }
            let similarities = if self.block(&contents.bytes[right..=right]) == 0 {
                self.similarities_by_shares(contents, right, &lefts)
            } else {
                let set = self.set(&mut self.reader(), contents, right, (0, 1));
                lefts.par_iter().map(|&left| jaccard(set_of(left), &set)).collect()
            };
            self.join(components, right, &lefts, similarities);
        }
        Ok(())
    }

    /// How many of these sets, from the first on, fit half of the memory: the other half is for what they are compared with.
    fn block(&self, bytes: &[u64]) -> usize {
        let mut left = self.sets_bytes_max / 2;
        let fits = |bytes: &&u64| {
            let fits = **bytes <= left;
            left = left.saturating_sub(**bytes);
            fits
        };
        bytes.iter().take_while(fits).count()
    }

    /// Those of some places that are not connected with one, and whose sketches are similar enough to be looked at.
    fn open_and_alike(
        &self,
        contents: &Contents,
        components: &Components,
        one: usize,
        others: Range<usize>,
    ) -> io::Result<Vec<usize>> {
        let matches_min = self.near.matches_min(self.near.similarity_looked_at());
        let mut reader = self.sketches.reader();
        let first = reader.row(contents.rows[one])?.to_vec();
        let mut alike = Vec::new();
        for other in others {
            // What is connected already need not be compared.
            if !components.are_joined(place(one), place(other))
                && matches(&first, reader.row(contents.rows[other])?) >= matches_min
            {
                alike.push(other);
            }
        }
        Ok(alike)
    }

    fn join(&self, components: &Components, one: usize, others: &[usize], similarities: Vec<Option<f64>>) {
        for (&other, similarity) in others.iter().zip(similarities) {
            if similarity.is_some_and(|similarity| similarity >= self.near.threshold) {
                components.join(place(one), place(other));
            }
        }
    }

    /// Sets the similarities to the first of a group.
    fn measure(&self, group: &mut NearGroup, contents: &Contents, sets: Option<&[Set]>) {
        let left = contents.at(group.members[0].row);
        let rights: BTreeSet<usize> = group.members.iter().map(|member| contents.at(member.row)).collect();
        let rights: Vec<usize> = rights.into_iter().filter(|&right| right != left).collect();
        let similarities = match sets {
            Some(sets) => rights.par_iter().map(|&right| jaccard(&sets[left], &sets[right])).collect(),
            None => self.similarities_by_shares(contents, left, &rights),
        };
        for member in &mut group.members {
            if let Ok(at) = rights.binary_search(&contents.at(member.row)) {
                // One that cannot be read any more is left out in the next look.
                member.similarity = similarities[at].unwrap_or(0.0);
            }
        }
    }

    /// The sets of all contents, where they fit the memory together.
    fn sets_that_fit(&self, contents: &Contents) -> Option<Vec<Set>> {
        let fit = contents.bytes.iter().sum::<u64>() <= self.sets_bytes_max;
        fit.then(|| self.load(contents, 0..contents.rows.len()))
    }

    fn load(&self, contents: &Contents, places: Range<usize>) -> Vec<Set> {
        let set = |reader: &mut Reader<'_>, at| self.set(reader, contents, at, (0, 1));
        places.into_par_iter().map_init(|| self.reader(), set).collect()
    }

    /// The similarities of contents with one, whose sets do not fit the memory together: they are read anew for it, in as many
    /// shares as it takes for two of them.
    fn similarities_by_shares(&self, contents: &Contents, left: usize, rights: &[usize]) -> Vec<Option<f64>> {
        let largest = rights.iter().map(|&right| contents.bytes[right]).max().unwrap_or(0);
        let two = contents.bytes[left] + largest;
        let shares = two.div_ceil(self.sets_bytes_max.max(1)).max(1);
        let mut sums = vec![Some((0_u64, 0_u64)); rights.len()];
        for share in 0..if rights.is_empty() { 0 } else { shares } {
            let ours = self.set(&mut self.reader(), contents, left, (share, shares));
            let pairs = sums.par_iter_mut().zip(rights);
            pairs.for_each_init(
                || self.reader(),
                |reader, (sum, &right)| {
                    let theirs = self.set(reader, contents, right, (share, shares));
                    *sum = sum.and_then(|(common, all)| {
                        let (ours, theirs) = (ours.as_ref()?, theirs.as_ref()?);
                        let both = intersection(ours, theirs);
                        Some((common + both, all + (ours.len() + theirs.len()) as u64 - both))
                    });
                },
            );
        }
        let share = |(common, all): (u64, u64)| if all == 0 { 0.0 } else { common as f64 / all as f64 };
        sums.into_iter().map(|sum| sum.map(share)).collect()
    }

    fn reader(&self) -> Reader<'_> {
        let source = Source::new(&self.plan, self.catalog, self.control, &self.budget);
        Reader { source, block: vec![0; BLOCK_BYTES] }
    }

    /// The set of a content, or the share of this number of so many: of the first of its files that can be read.
    fn set(&self, reader: &mut Reader<'_>, contents: &Contents, at: usize, share: (u64, u64)) -> Set {
        let hashes = usize::try_from(contents.bytes[at] / HASH_BYTES / share.1).unwrap_or(0);
        contents.files[at].iter().find_map(|&file| self.set_of(reader, file, hashes, share))
    }

    fn set_of(&self, reader: &mut Reader<'_>, file: FileId, hashes: usize, share: (u64, u64)) -> Set {
        if self.control.is_cancelled() {
            return None;
        }
        let read = caught(|| self.read(reader, file, hashes, share)).and_then(|read| read);
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
        reader: &mut Reader<'_>,
        file: FileId,
        hashes: usize,
        share: (u64, u64),
    ) -> Result<Vec<u64>, FileError> {
        let Reader { source, block } = reader;
        let opened = source.open(file)?;
        let mut set = ShingleSet::of_share(self.near.sketches.shingle(), share.0, share.1);
        set.reserve(hashes + hashes / 8);
        let bytes_max = opened.size().max(self.plan.unbounded_bytes_max);
        let mut offset = 0;
        // What a search that is cancelled has read of a file does not count.
        while !self.control.is_cancelled() {
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
        let failed = self.failed.into_inner().expect("no thread panics with it");
        Read { files: self.read.into_inner(), bytes: self.bytes.into_inner(), failed }
    }
}

impl Contents {
    /// The place of a row.
    fn at(&self, row: u32) -> usize {
        self.rows.binary_search(&row).expect("the rows of the cluster")
    }
}

/// Reads on one thread.
struct Reader<'r> {
    source: Source<'r>,
    block: Vec<u8>,
}

/// How many different shingles a sketch says that a file has: so many numbers, drawn at random, have their least about there (K.
/// Beyer et al., On Synopses for Distinct-Value Estimation Under Multiset Operations, 2007). `None` where it cannot tell.
fn different_shingles(analysis: &MinHash, sketch: &[u32]) -> Option<u64> {
    /// With fewer it is too far off.
    const NUMBERS_MIN: usize = 16;
    if analysis.kind() != SketchKind::Permutations || sketch.len() < NUMBERS_MIN {
        return None;
    }
    let sum: f64 = sketch.iter().map(|&least| (f64::from(least) + 1.0) / 4_294_967_296.0).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^32")]
    let number = (sketch.len() as f64 / sum).ceil() as u64;
    Some(number)
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
