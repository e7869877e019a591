//! The sketches of a search: kept as files are read, compared, and turned into groups.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::time::Instant;

use super::super::rounds::Rounds;
use super::super::threads;
use super::memory::Memory;
use super::{Compares, Near, by_component, device, exact, place};
use crate::analyses::Analysis;
use crate::error::Error;
use crate::groups::{
    Banded, Banding, Candidates, Components, FileId, NearGroup, NearNaming, Row, Sketches, banded_components,
    matches,
};
use crate::record::{Digest, Value};
use crate::report::{self, Round};
use crate::workers::gpu::pairs::Pairs;

/// The sketches of a search, one a content.
pub(super) struct Sketched<'n> {
    near: &'n Near,
    sketches: Sketches,
    /// The rows of contents, by the first half of their digests.
    rows: HashMap<[u8; 16], u32>,
    pub(super) told: report::Near,
    /// Why a sketch could not be kept.
    pub(super) spilled: Option<io::Error>,
}

impl Sketched<'_> {
    pub(super) fn new<'n>(near: &'n Near, memory: &Memory) -> Sketched<'n> {
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

    pub(super) fn keep(&mut self, digest: &Digest, more: &[Value]) -> io::Result<()> {
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
    pub(super) fn compare(
        &mut self,
        rounds: &mut Rounds<'_>,
        memory: &Memory,
        device: Option<Pairs>,
    ) -> Result<Components, Error> {
        let since = Instant::now();
        rounds.control.begin_round("compare");
        let looked_at = self.near.similarity_looked_at();
        let matches_min = self.near.matches_min(looked_at);
        let (sketches, control, verify) = (&self.sketches, rounds.control, rounds.plan.gpu_verify);
        let banding = match self.near.compares {
            Compares::Banded => Some(Banding::choose(looked_at, sketches.k())),
            Compares::All => None,
        };
        let compared = threads::with(rounds.pool, || match banding {
            Some(banding) => {
                banded_components(sketches, banding, matches_min, memory.table_bytes_max, control)
            }
            None => device::components(sketches, matches_min, device.as_ref(), verify, control)
                .map(|components| Banded { components, passes: 1 }),
        });
        if let Some(device) = device {
            device::tell(device, rounds);
        }
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
    pub(super) fn clusters(&self, components: &Components, candidates: &Candidates) -> Vec<Vec<Row>> {
        let row = |digest: &Digest| self.rows.get(&key(digest)).copied();
        let files = candidates.all().iter().filter_map(|candidate| {
            let row = row(candidate.digest.as_ref()?)?;
            Some(((candidate.file, row), row))
        });
        by_component(components, files)
    }

    /// The groups of clusters, with their similarities. What fails in this is taken out of what is the same as well.
    pub(super) fn groups(
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
            rounds.control.begin_round("exact");
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
        let components = Components::new(place(rows.len()));
        let matches_min = self.near.matches_min(self.near.threshold);
        let mut reader = self.sketches.reader();
        for (a, &row) in rows.iter().enumerate() {
            let first = reader.row(row)?.to_vec();
            for (b, &other) in rows.iter().enumerate().skip(a + 1) {
                if matches(&first, reader.row(other)?) >= matches_min {
                    components.join(place(a), place(b));
                }
            }
        }
        let at = |row: u32| place(rows.binary_search(&row).expect("the rows of what is left"));
        Ok(by_component(&components, left.iter().map(|&file| (file, at(file.1)))))
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
