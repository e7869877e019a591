//! The integration tests, one binary.
//!
//! - `command`: the binary from outside: exit codes, messages, full disks, few handles.
//! - `faults`: every operation goes wrong in turn.
//! - `goldens`: every analysis over every fixture, against files that are read when they change.
//! - `hostile`: trees that nobody would make on purpose.
//! - `layers`: who may know whom.
//! - `mid_run`: what happens while a run goes on: files and directories change, sinks fail, somebody cancels.
//! - `rows`: a run as an iterator.
//! - `same_answers`: any number of workers, any batch, any cut of the bytes: the same rows.
//! - `support`: trees to test on, and a sink that keeps what it is given.

//!
//! With FILEMILL_TEST_SMALL set, every run takes the smallest steps: one worker, one file a batch, a queue of one.
//! That finds deadlocks.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]

#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "faults")]
mod faults;
mod goldens;
#[cfg(target_os = "linux")]
mod hostile;
mod layers;
#[cfg(target_os = "linux")]
mod mid_run;
mod rows;
mod same_answers;
mod support;
