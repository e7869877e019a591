//! The integration tests, one binary.
//!
//! - `command`: the binary from outside: exit codes, messages, full disks, few handles.
//! - `goldens`: every analysis over every fixture, against files that are read when they change.
//! - `hostile`: trees that nobody would make on purpose, and files that change while they are read.
//! - `layers`: who may know whom.
//! - `same_answers`: any number of workers, any batch, any cut of the bytes: the same rows.
//! - `support`: trees to test on, and a sink that keeps what it is given.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

mod command;
mod goldens;
#[cfg(target_os = "linux")]
mod hostile;
mod layers;
mod same_answers;
mod support;
