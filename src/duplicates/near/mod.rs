//! Files that are nearly the same: every file is read once, for its digest and its sketch; sketches are compared, all of them or
//! those that share a band; what is connected by pairs that are similar enough is a group.
//!
//! The answer does not depend on threads, order or memory: components do not depend on the order of their edges, and which
//! pairs are compared depends on the sketches alone.

mod device;
mod exact;
mod memory;
mod sketched;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use self::memory::Memory;
use self::sketched::Sketched;
use super::Search;
use super::rounds::Rounds;
use crate::analyses::{Analysis, Blake3, Kind, MinHash};
use crate::error::Error;
use crate::groups::{Banding, Candidates, Components, NearGroup, Row};
use crate::plan::Reads;
use crate::record::{Digest, Value};

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
                "--near cannot use --from: a report has digests and no sketches, so every file is read; leave out --from",
            );
        }
        Memory::check(self, &search.plan)
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
        let mut analyses: Vec<Arc<dyn Analysis>> = vec![Arc::new(Blake3), Arc::new(self.sketches.clone())];
        if self.text_only {
            analyses.push(Arc::new(Kind::new()));
        }
        analyses
    }
}

/// Reads all candidates, and returns the classes of the same content and the groups of those that are nearly the same.
pub(super) fn search(
    near: &Near,
    rounds: &mut Rounds<'_>,
    mut candidates: Candidates,
) -> Result<(Candidates, Vec<NearGroup>), Error> {
    let device = device::start(near, rounds, candidates.all().len())?;
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
    let mut keep = |digest: &Digest, more: &[Value]| sketched.keep(digest, more);
    let read = rounds.read_more("sketch", Reads::Whole, near.analyses(), &mut candidates, &mut keep);
    read.map_err(|error| sketched.spilled.take().map_or(error, Error::Spill))?;
    let mut clusters = Vec::new();
    if !rounds.control.is_cancelled() {
        let components = sketched.compare(rounds, &memory, device)?;
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

/// Files by the component that their place belongs to; those that are connected with no other place are left out.
fn by_component(components: &Components, files: impl Iterator<Item = (Row, u32)>) -> Vec<Vec<Row>> {
    let groups = components.groups();
    let numbers: HashMap<u32, usize> = groups.iter().map(|group| group[0]).zip(0..).collect();
    let mut clusters = vec![Vec::new(); numbers.len()];
    for (file, place) in files {
        if let Some(&number) = numbers.get(&components.root(place)) {
            clusters[number].push(file);
        }
    }
    clusters
}

/// A place in a list of rows, as components count them.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("rows are counted with 32 bits")
}
