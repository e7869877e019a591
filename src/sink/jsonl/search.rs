//! What the last record says of a search for duplicates.

use serde::Serialize;

use crate::report::{Actions, Duplicates, Round};

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
    rounds: Vec<Reading>,
    actions: Acted,
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
            rounds: found.rounds.iter().map(reading).collect(),
            actions: Acted { planned, done, already, refused, bytes },
        }
    }
}
