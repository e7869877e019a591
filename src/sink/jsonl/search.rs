//! What the last record says of a search for duplicates.

use serde::Serialize;

use crate::report::{Actions, Duplicates, Near, Round};

/// What was found, and what that took.
#[derive(Serialize)]
pub(super) struct Search {
    groups: u64,
    directory_groups: u64,
    similar_pairs: u64,
    redundant_files: u64,
    reclaimable_bytes: u64,
    searched_bytes: u64,
    read_bytes: u64,
    known_files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<Nearly>,
    rounds: Vec<Reading>,
    actions: Acted,
}

#[derive(Serialize)]
struct Nearly {
    threshold: f64,
    sketch: String,
    bands: Option<usize>,
    rows: Option<usize>,
    found_at_threshold: f64,
    found_below: f64,
    exact: bool,
    contents: u64,
    unsketched: u64,
    not_text: u64,
    passes: u64,
    spilled_bytes: u64,
    groups: u64,
    files: u64,
}

impl From<&Near> for Nearly {
    fn from(near: &Near) -> Nearly {
        Nearly {
            threshold: near.threshold,
            sketch: near.sketch.clone(),
            bands: near.banding.map(|(bands, _)| bands),
            rows: near.banding.map(|(_, rows)| rows),
            found_at_threshold: near.found_at_threshold,
            found_below: near.found_below,
            exact: near.is_exact,
            contents: near.contents,
            unsketched: near.unsketched,
            not_text: near.not_text,
            passes: near.passes,
            spilled_bytes: near.spilled_bytes,
            groups: near.groups,
            files: near.files,
        }
    }
}

#[derive(Serialize)]
struct Reading {
    name: &'static str,
    files: u64,
    bytes: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Acted {
    planned: u64,
    done: u64,
    already: u64,
    refused: u64,
    bytes: u64,
}

impl From<&Duplicates> for Search {
    fn from(found: &Duplicates) -> Search {
        let reading = |round: &Round| Reading {
            name: round.name,
            files: round.files,
            bytes: round.bytes,
            seconds: round.elapsed.as_secs_f64(),
        };
        let Actions { planned, done, already, refused, bytes } = found.actions;
        Search {
            groups: found.groups,
            directory_groups: found.directory_groups,
            similar_pairs: found.similar_pairs,
            redundant_files: found.redundant_files,
            reclaimable_bytes: found.reclaimable_bytes,
            searched_bytes: found.searched_bytes,
            read_bytes: found.read_bytes,
            known_files: found.known_files,
            near: found.near.as_ref().map(Nearly::from),
            rounds: found.rounds.iter().map(reading).collect(),
            actions: Acted { planned, done, already, refused, bytes },
        }
    }
}
