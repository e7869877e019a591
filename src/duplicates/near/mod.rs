//! Files that are nearly the same: every file is read once, for its digest and its sketch; sketches are compared, all of them or
//! those that share a band; what is connected by pairs that are similar enough is a group.
//!
//! The answer does not depend on threads, order or memory: components do not depend on the order of their edges, and which
//! pairs are compared depends on the sketches alone.

mod exact;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::rounds::{Rounds, blake3};
use super::{Search, threads};
use crate::analyses::{Analysis, Kind, MinHash};
use crate::error::Error;
use crate::groups::{
    Banded, Banding, Candidates, Components, FileId, NearGroup, NearNaming, Row, Sketches, banded_components,
    compare_tile, components_of_all, matches,
};
use crate::plan::{self, Plan, Reads};
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
    /// Where sketches are kept that do not fit the memory, in a file without a name.
    pub spill_directory: PathBuf,
}

/// Which sketches are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compares {
    /// Those that are equal in a band: nearly all pairs that are similar enough, in nearly linear time.
    Banded,
    /// All: none is missed, and the time grows with the square of the number of files.
    All,
}

/// How much less similar than asked for sketches may be of files that are read once more. With 128 permutations that is 2.8
/// standard errors of the estimate at a similarity of 0.8, and 2.3 at 0.5, where it is largest; with fewer it is less, and more
/// is missed: the report tells.
pub const EXACT_MARGIN: f64 = 0.1;

/// What is kept of each file beside its sketch, in bytes: a candidate, its digest and row in a table that is up to half
/// empty, its place in a component and in the table of a band. An upper bound of what was measured.
const FILE_BYTES: u64 = 192;
/// What of that the table of a band takes.
const TABLE_BYTES: u64 = 16;

impl Near {
    /// Files with this similarity at least, sketched and compared in the ways that are the default; what does not fit the memory
    /// goes to the system's directory for temporary files.
    pub fn new(threshold: f64) -> Near {
        Near {
            threshold,
            sketches: MinHash::default(),
            compares: Compares::Banded,
            is_exact: false,
            text_only: false,
            spill_directory: std::env::temp_dir(),
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
            let least = self.memory_bytes_least(&search.plan);
            if limit < least {
                return Err(too_small(limit, least, "files that are nearly the same"));
            }
        }
        Ok(())
    }

    /// What a search takes at least, beside its files.
    fn memory_bytes_least(&self, plan: &Plan) -> u64 {
        // Rows of a tile on either side, and as many bytes of each again; what is read ahead, and a table in pieces.
        const ROWS: u64 = 1024;
        let threads = plan.workers_first().min(plan::cores()) as u64;
        let compares = threads * (ROWS * self.sketches.k() as u64 * 5 + (1 << 20));
        self.plan_of_sketches(plan).memory_bytes_least() + compares
    }

    /// The plan of the round that makes sketches.
    fn plan_of_sketches(&self, plan: &Plan) -> Plan {
        Plan { analyses: self.analyses(), ..plan.clone() }
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

    /// The probability that a pair of this similarity is found: of sketches, or of the sets of shingles where they decide.
    fn found(&self, similarity: f64, banding: Option<Banding>) -> f64 {
        let in_a_band = |similarity: f64| banding.map_or(1.0, |banding| banding.probability(similarity));
        if !self.is_exact {
            return in_a_band(similarity);
        }
        // Sketches of such a pair have any number of equal places, by the binomial distribution.
        let k = self.sketches.k();
        let log = |factor: f64, times: usize| if times == 0 { 0.0 } else { factor.ln() * times as f64 };
        let (mut found, mut log_choices) = (0.0, 0.0);
        for equal in 0..=k {
            if equal > 0 {
                log_choices += ((k + 1 - equal) as f64 / equal as f64).ln();
            }
            if equal >= self.matches_min(self.similarity_looked_at()) as usize {
                let probability =
                    (log_choices + log(similarity, equal) + log(1.0 - similarity, k - equal)).exp();
                found += probability * in_a_band(equal as f64 / k as f64);
            }
        }
        found.min(1.0)
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

    let memory = Memory::divide(near, rounds, candidates.all().len() as u64)?;
    rounds.memory_bytes_max = memory.reading_bytes_max;
    let mut sketched = Sketched::new(near, &memory);
    sketched.told.unsketched = unsketched;
    let read = rounds.read("sketch", Reads::Whole, near.analyses(), &mut candidates, &mut |digest, more| {
        sketched.keep(digest, more)
    });
    read.map_err(|error| sketched.spilled.take().map_or(error, Error::Spill))?;
    let mut clusters = Vec::new();
    if !rounds.control.is_cancelled() {
        let components = sketched.compare(rounds, &memory)?;
        clusters = sketched.clusters(&components, &candidates);
    }
    rounds.divide_by_digest(&mut candidates);
    if rounds.search.verifies {
        rounds.verify(&mut candidates)?;
    }
    let groups = sketched.groups(rounds, clusters, &mut candidates, &memory)?;
    rounds.report.duplicates.get_or_insert_default().near = Some(sketched.told);
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

    fn divide(near: &Near, rounds: &Rounds<'_>, files: u64) -> Result<Memory, Error> {
        let plan = &rounds.search.plan;
        let Some(limit) = plan.memory_bytes_max else {
            return Ok(Memory {
                reading_bytes_max: None,
                sketches_bytes_max: u64::MAX,
                table_bytes_max: u64::MAX,
                sets_bytes_max: Memory::SETS_BYTES_MAX,
            });
        };
        let taken = rounds.catalog.memory_bytes() + files * FILE_BYTES;
        let least = near.memory_bytes_least(plan);
        if taken + least > limit {
            return Err(too_small(limit, taken + least, &format!("{files} files to be sketched")));
        }
        let left = limit - taken - least;
        Ok(Memory {
            reading_bytes_max: Some(near.plan_of_sketches(plan).memory_bytes_least() + left / 4),
            sketches_bytes_max: left / 2,
            // Who reads is done when sketches are compared.
            table_bytes_max: files * TABLE_BYTES + left / 4,
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

impl Sketched<'_> {
    fn new<'n>(near: &'n Near, memory: &Memory) -> Sketched<'n> {
        let directory = near.spill_directory.clone();
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

    /// Compares sketches.
    fn compare(&mut self, rounds: &mut Rounds<'_>, memory: &Memory) -> Result<Components, Error> {
        let since = Instant::now();
        let looked_at = self.near.similarity_looked_at();
        let matches_min = self.near.matches_min(looked_at);
        let (sketches, control) = (&self.sketches, rounds.control);
        let banding = match self.near.compares {
            Compares::Banded => Some(Banding::choose(looked_at, sketches.k())),
            Compares::All => None,
        };
        let compared = threads::with(rounds.pool, || match banding {
            Some(banding) => {
                banded_components(sketches, banding, matches_min, memory.table_bytes_max, control)
            }
            None => components_of_all(sketches, matches_min, &compare_tile, control)
                .map(|components| Banded { components, passes: 1 }),
        });
        let Banded { components, passes } = compared.map_err(Error::Spill)?;
        let threshold = self.near.threshold;
        self.told.banding = banding.map(|Banding { bands, rows }| (bands, rows));
        self.told.found_at_threshold = self.near.found(threshold, banding);
        self.told.found_below = self.near.found((threshold - 0.1).max(0.0), banding);
        self.told.contents = self.sketches.len() as u64;
        self.told.passes = passes;
        self.told.spilled_bytes = self.sketches.spilled_bytes();
        let files = self.told.contents;
        rounds.count(Round { name: "compare", files, bytes: 0, elapsed: since.elapsed() });
        Ok(components)
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

    /// The groups of clusters, with their similarities. What fails in this is taken out of what is the same as well.
    fn groups(
        &self,
        rounds: &mut Rounds<'_>,
        mut clusters: Vec<Vec<Row>>,
        same: &mut Candidates,
        memory: &Memory,
    ) -> Result<Vec<NearGroup>, Error> {
        // What was verified may have turned out not to be what was sketched.
        let failed: HashSet<FileId> = rounds.failed.iter().copied().collect();
        let (catalog, wanted, links) = (rounds.catalog, rounds.wanted, rounds.links);
        let naming = NearNaming::new(catalog, wanted, links, clusters.iter().map(Vec::len).sum());
        let mut groups = Vec::new();
        if self.near.is_exact {
            clusters.iter_mut().for_each(|cluster| cluster.retain(|(file, _)| !failed.contains(file)));
            let since = Instant::now();
            let exact = exact::Exact::new(self.near, rounds, &self.sketches, &naming, memory.sets_bytes_max);
            groups = threads::with(rounds.pool, || exact.groups(clusters)).map_err(Error::Spill)?;
            let exact::Read { files, bytes, failed } = exact.into_read();
            same.know(|candidate| candidate.digest.filter(|_| !failed.contains_key(&candidate.file)));
            rounds.divide_by_digest(same);
            rounds.fail(failed.into_iter().collect())?;
            rounds.count(Round { name: "exact", files, bytes, elapsed: since.elapsed() });
        } else {
            for cluster in clusters {
                for cluster in self.without(cluster, &failed).map_err(Error::Spill)? {
                    groups.extend(naming.group(cluster));
                }
            }
            self.estimate(&mut groups).map_err(Error::Spill)?;
        }
        naming.sort(&mut groups);
        Ok(groups)
    }

    /// What is left of a cluster without these files. Where a content is gone, what is left is connected anew.
    fn without(&self, cluster: Vec<Row>, failed: &HashSet<FileId>) -> io::Result<Vec<Vec<Row>>> {
        let rows_of = |cluster: &[Row]| cluster.iter().map(|&(_, row)| row).collect::<BTreeSet<u32>>();
        let left: Vec<Row> = cluster.iter().filter(|(file, _)| !failed.contains(file)).copied().collect();
        let rows: Vec<u32> = rows_of(&left).into_iter().collect();
        if rows.len() == rows_of(&cluster).len() {
            return Ok(vec![left]);
        }
        let place = |at: usize| u32::try_from(at).expect("rows are counted with 32 bits");
        let components = Components::new(place(rows.len()));
        let mut reader = self.sketches.reader();
        for (a, &row) in rows.iter().enumerate() {
            let first = reader.row(row)?.to_vec();
            for (b, &other) in rows.iter().enumerate().skip(a + 1) {
                if matches(&first, reader.row(other)?) >= self.near.matches_min(self.near.threshold) {
                    components.join(place(a), place(b));
                }
            }
        }
        let groups = components.groups();
        let of = |group: &[u32]| {
            let rows: HashSet<u32> = group.iter().map(|&at| rows[at as usize]).collect();
            left.iter().filter(|(_, row)| rows.contains(row)).copied().collect()
        };
        Ok(groups.iter().map(of).collect())
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
}

fn key(digest: &Digest) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&digest.as_array()[..16]);
    key
}
