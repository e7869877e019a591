//! Files that are nearly the same: every file is read once, for its digest and its sketch; sketches are compared, all of them or
//! those that share a band; what is connected by pairs that are similar enough is a group.
//!
//! The answer does not depend on threads, order or memory: components do not depend on the order of their edges, and which
//! pairs are compared depends on the sketches alone.

mod exact;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::rounds::{Rounds, blake3};
use super::{Search, threads};
use crate::analyses::{Analysis, Kind, MinHash};
use crate::error::Error;
use crate::groups::{
    Banding, Candidates, Catalog, Components, FileId, NearGroup, Sketches, banded_components, compare_tile,
    components_of_all, matches, near_groups,
};
use crate::plan::Reads;
use crate::record::{Digest, Value};
use crate::report::{self, Round};

/// Which files are nearly the same.
#[derive(Debug, Clone)]
pub struct Near {
    /// The similarity from which on two files are: above 0, at most 1.
    pub threshold: f64,
    /// How files are sketched.
    pub sketches: MinHash,
    /// Which sketches are compared.
    pub compares: Compares,
    /// Whether the Jaccard index of the shingles themselves decides. Pairs are found by sketches that are up to
    /// [`EXACT_MARGIN`] less similar, and read once more.
    pub is_exact: bool,
    /// Whether only text counts, as the analysis `kind` tells it.
    pub text_only: bool,
}

/// Which sketches are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compares {
    /// Those that are equal in a band: nearly all pairs that are similar enough, in nearly linear time.
    Banded,
    /// All: none is missed, and the time grows with the square of the number of files.
    All,
}

/// How much less similar than asked for sketches may be of files that are read once more: nearly three standard errors of
/// the estimate with 128 permutations.
pub const EXACT_MARGIN: f64 = 0.1;

/// What is kept of each file beside its sketch, in bytes: a candidate, its digest and row in a table that is up to half
/// empty, its place in a component and in the table of a band. An upper bound of what was measured.
const FILE_BYTES: u64 = 192;

impl Near {
    /// Files with this similarity at least, sketched and compared in the ways that are the default.
    pub fn new(threshold: f64) -> Near {
        Near {
            threshold,
            sketches: MinHash::default(),
            compares: Compares::Banded,
            is_exact: false,
            text_only: false,
        }
    }

    pub(super) fn check(&self, search: &Search) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Plan(why.to_owned()));
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return refuse("the similarity of files that are nearly the same must be above 0 and at most 1");
        }
        if search.directories.is_some() {
            return refuse(
                "files that are nearly the same and directories are searched for one after the other",
            );
        }
        if search.action.is_some() {
            return refuse(
                "nothing can be done about files that are nearly the same: leave out one of the two",
            );
        }
        if search.earlier.is_some() {
            return refuse(
                "an earlier report has no sketches: files that are nearly the same are searched for anew",
            );
        }
        if let Some(limit) = search.plan.memory_bytes_max {
            let least = self.memory_bytes_least(search, 0);
            if limit < least {
                return Err(too_small(limit, least, "files that are nearly the same"));
            }
        }
        Ok(())
    }

    /// What a search among so many files takes at least.
    fn memory_bytes_least(&self, search: &Search, files: u64) -> u64 {
        // Two rows of blocks that are read ahead for each thread, and what a band's table takes in pieces.
        const COMPARE_BYTES: u64 = 8 << 20;
        search.plan.memory_bytes_least() + COMPARE_BYTES + files * FILE_BYTES
    }

    /// Equal places from which on two sketches are similar enough to this.
    fn matches_min(&self, similarity: f64) -> u32 {
        // What a person types is not what a float holds: 0.8 of 10 is 8.
        let places = (similarity * self.sketches.k() as f64 - 1e-9).ceil().max(1.0);
        #[expect(clippy::cast_possible_truncation, reason = "from 1 to 1024")]
        let places = places as u32;
        places
    }

    /// The similarity of sketches from which on a pair is looked at.
    fn similarity_looked_at(&self) -> f64 {
        if self.is_exact {
            (self.threshold - EXACT_MARGIN).max(1.0 / self.sketches.k() as f64)
        } else {
            self.threshold
        }
    }

    /// Digest first, then the sketch, then whether it is text.
    fn analyses(&self) -> Vec<Arc<dyn Analysis>> {
        let mut analyses = blake3();
        analyses.push(Arc::new(self.sketches.clone()));
        if self.text_only {
            analyses.push(Arc::new(Kind));
        }
        analyses
    }
}

fn too_small(limit: u64, least: u64, for_what: &str) -> Error {
    Error::Plan(format!("a memory of {limit} bytes is too small: {for_what} take {least}"))
}

/// Reads all candidates, and returns the classes of the same content and the groups of those that are nearly the same.
pub(super) fn search(
    near: &Near,
    rounds: &mut Rounds<'_>,
    mut candidates: Candidates,
) -> Result<(Candidates, Vec<NearGroup>), Error> {
    // What cannot have a sketch may be the same as others all the same, and is read as little as ever.
    let sizes = near.sketches.sizes();
    let has_sketch = |size: u64| size == 0 || sizes.contains(&size);
    let mut others = candidates.take(|class| !has_sketch(rounds.catalog.size(class[0].file)));
    let unsketched = others.all().len() as u64;
    others.prune(rounds.wanted);
    let same = rounds.divide(others)?;

    let memory = Memory::divide(near, rounds.search, rounds.catalog, candidates.all().len() as u64)?;
    rounds.memory_bytes_max = memory.reading_bytes_max;
    let mut sketched = Sketched::new(near, &memory);
    sketched.told.unsketched = unsketched;
    let read = rounds.read("sketch", Reads::Whole, near.analyses(), &mut candidates, &mut |digest, more| {
        sketched.keep(digest, more)
    });
    read.map_err(|error| sketched.spilled.take().map_or(error, Error::Spill))?;
    let groups = if rounds.control.is_cancelled() {
        Vec::new()
    } else {
        sketched.groups(rounds, &candidates, &memory)?
    };
    rounds.report.duplicates.get_or_insert_default().near = Some(sketched.told);
    rounds.divide_by_digest(&mut candidates);
    if rounds.search.verifies {
        rounds.verify(&mut candidates)?;
    }
    candidates.put(same);
    Ok((candidates, groups))
}

/// Who may take how much of the memory that the plan allows.
struct Memory {
    /// Walking again, reading and sketching.
    reading_bytes_max: Option<u64>,
    /// Sketches; more of them are kept on a disk.
    sketches_bytes_max: u64,
    /// The table of a band.
    table_bytes_max: u64,
    /// Sets of shingles.
    sets_bytes_max: u64,
}

impl Memory {
    /// Sets of shingles take no more where no limit is given: larger ones are compared share by share.
    const SETS_BYTES_MAX: u64 = 1 << 30;

    fn divide(near: &Near, search: &Search, catalog: &Catalog, files: u64) -> Result<Memory, Error> {
        let Some(limit) = search.plan.memory_bytes_max else {
            return Ok(Memory {
                reading_bytes_max: None,
                sketches_bytes_max: u64::MAX,
                table_bytes_max: u64::MAX,
                sets_bytes_max: Memory::SETS_BYTES_MAX,
            });
        };
        let taken = catalog.memory_bytes() + files * FILE_BYTES;
        let least = near.memory_bytes_least(search, 0);
        if taken + least > limit {
            return Err(too_small(limit, taken + least, &format!("{files} files to be sketched")));
        }
        let left = limit - taken - least;
        Ok(Memory {
            reading_bytes_max: Some(search.plan.memory_bytes_least() + left / 4),
            sketches_bytes_max: left / 2,
            table_bytes_max: limit / 8,
            sets_bytes_max: (left / 4).clamp(1 << 20, Memory::SETS_BYTES_MAX),
        })
    }
}

/// The sketches of a search, one a content.
struct Sketched<'n> {
    near: &'n Near,
    sketches: Sketches,
    /// The rows of contents, by the first half of their digests.
    rows: HashMap<[u8; 16], u32>,
    told: report::Near,
    /// Why a sketch could not be kept.
    spilled: Option<io::Error>,
}

/// A file, by the name that it is read by, and the row of its sketch.
type Row = (FileId, u32);

impl Sketched<'_> {
    fn new<'n>(near: &'n Near, memory: &Memory) -> Sketched<'n> {
        let directory = std::env::temp_dir();
        let told = report::Near {
            threshold: near.threshold,
            sketch: near.sketches.word().into_owned(),
            is_exact: near.is_exact,
            ..report::Near::default()
        };
        Sketched {
            near,
            sketches: Sketches::new(near.sketches.k(), memory.sketches_bytes_max, directory),
            rows: HashMap::new(),
            told,
            spilled: None,
        }
    }

    fn keep(&mut self, digest: &Digest, more: &[Value]) -> io::Result<()> {
        if self.near.text_only && more.get(2) != Some(&Value::Bool(true)) {
            self.told.not_text += 1;
            return Ok(());
        }
        let Some(Value::Sketch(sketch)) = more.first() else {
            self.told.unsketched += 1;
            return Ok(());
        };
        let key = key(digest);
        if !self.rows.contains_key(&key) {
            let pushed = self.sketches.push(sketch);
            let row = pushed.map_err(|error| {
                let again = io::Error::from(error.kind());
                self.spilled = Some(error);
                again
            })?;
            self.rows.insert(key, row);
        }
        Ok(())
    }

    /// The groups, with their similarities.
    fn groups(
        &mut self,
        rounds: &mut Rounds<'_>,
        candidates: &Candidates,
        memory: &Memory,
    ) -> Result<Vec<NearGroup>, Error> {
        self.told.contents = self.sketches.len() as u64;
        let since = Instant::now();
        let components = self.components(rounds, memory).map_err(Error::Spill)?;
        self.told.spilled_bytes = self.sketches.spilled_bytes();
        rounds.count(Round {
            name: "compare",
            files: self.told.contents,
            bytes: 0,
            elapsed: since.elapsed(),
        });
        let clusters = self.clusters(&components, candidates);
        drop(components);
        if self.near.is_exact {
            return self.exact_groups(rounds, clusters, memory);
        }
        let mut groups = near_groups(rounds.catalog, rounds.wanted, rounds.links, clusters);
        self.estimate(&mut groups).map_err(Error::Spill)?;
        Ok(groups)
    }

    /// Compares sketches.
    fn components(&mut self, rounds: &Rounds<'_>, memory: &Memory) -> io::Result<Components> {
        let looked_at = self.near.similarity_looked_at();
        let matches_min = self.near.matches_min(looked_at);
        let control = rounds.control;
        let Near { threshold, compares, .. } = *self.near;
        match compares {
            Compares::Banded => {
                let banding = Banding::choose(looked_at, self.near.sketches.k());
                self.told.banding = Some((banding.bands, banding.rows));
                self.told.found_at_threshold = banding.probability(threshold);
                self.told.found_below = banding.probability((threshold - 0.1).max(0.0));
                let (sketches, table_bytes_max) = (&self.sketches, memory.table_bytes_max);
                threads::with(rounds.pool, || {
                    banded_components(sketches, banding, matches_min, table_bytes_max, control)
                        .map(|banded| banded.components)
                })
            }
            Compares::All => {
                (self.told.found_at_threshold, self.told.found_below) = (1.0, 1.0);
                let sketches = &self.sketches;
                threads::with(rounds.pool, || {
                    components_of_all(sketches, matches_min, &compare_tile, control)
                })
            }
        }
    }

    /// The files of each component that has several contents.
    fn clusters(&self, components: &Components, candidates: &Candidates) -> Vec<Vec<Row>> {
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        for group in components.groups().iter() {
            let number = numbers.len();
            numbers.insert(group[0], number);
        }
        let mut clusters = vec![Vec::new(); numbers.len()];
        for candidate in candidates.all() {
            let row = candidate.digest.as_ref().and_then(|digest| self.rows.get(&key(digest)));
            if let Some(&row) = row
                && let Some(&number) = numbers.get(&components.root(row))
            {
                clusters[number].push((candidate.file, row));
            }
        }
        clusters
    }

    /// Sets the similarities by the sketches.
    fn estimate(&self, groups: &mut [NearGroup]) -> io::Result<()> {
        let mut reader = self.sketches.reader();
        for group in groups {
            let first = reader.row(group.members[0].row)?.to_vec();
            for member in &mut group.members {
                let matches = matches(&first, reader.row(member.row)?);
                member.similarity = f64::from(matches) / first.len() as f64;
            }
        }
        Ok(())
    }

    /// Reads the files of each cluster once more, and lets the shingles themselves decide.
    fn exact_groups(
        &self,
        rounds: &mut Rounds<'_>,
        clusters: Vec<Vec<Row>>,
        memory: &Memory,
    ) -> Result<Vec<NearGroup>, Error> {
        let since = Instant::now();
        let exact = exact::Exact::new(self.near, rounds, &self.sketches, &clusters, memory.sets_bytes_max);
        let divided = threads::with(rounds.pool, || exact.divide(clusters)).map_err(Error::Spill)?;
        let mut groups = near_groups(rounds.catalog, rounds.wanted, rounds.links, divided);
        threads::with(rounds.pool, || exact.measure(&mut groups));
        let read = exact.into_read();
        rounds.fail(read.failed)?;
        rounds.count(Round { name: "exact", files: read.files, bytes: read.bytes, elapsed: since.elapsed() });
        Ok(groups)
    }
}

fn key(digest: &Digest) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&digest.as_array()[..16]);
    key
}
