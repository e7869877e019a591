//! The integration tests, one binary.
//!
//! - `bench`: the harness from outside: what it prints and records, its exit codes.
//! - `binary`: runs the binary, and reads what it says.
//! - `command`: the binary from outside: what it prints, exit codes, messages, few handles.
//! - `corpus`: corpora for benchmarks: made, checked, finished, refused.
//! - `duplicates`: searches for duplicates: what is found, told and done.
//! - `faults`: every operation goes wrong in turn.
//! - `gates`: runs that are held against a rate or a latency.
//! - `git_config`: the configuration of git, by git's own word.
//! - `gitignore`: what git would leave out, by git's own word.
//! - `goldens`: every analysis over every fixture, against files that are read when they change.
//! - `gpu`: GPU workers: the same rows as without them, whatever happens to the device.
//! - `hostile`: trees that nobody would make on purpose.
//! - `inputs`: lists of paths, roots within roots, filters of the binary.
//! - `latencies`: how long batches took, as the report tells it.
//! - `large_files`: put off until what lies beside them is done, and shared out among the workers.
//! - `layers`: who may know whom.
//! - `limits`: full disks, file size limits, small address spaces, few handles.
//! - `mid_run`: what happens while a run goes on: files and directories change, sinks fail, somebody cancels.
//! - `outside`: what the world does to the binary: signals, files that change, a read that hangs.
//! - `probe`: an analysis that tells tests what happens.
//! - `reports`: formats, report files, the JSON Schema, one order for all settings.
//! - `rows`: a run as an iterator.
//! - `same_answers`: any number of workers, any batch, any cut of the bytes: the same rows.
//! - `settings`: variables, filemill.toml, completions and manual pages.
//! - `short_files`: files of a server that states sizes beyond their content.
//! - `sizes`: hostile sizes, in full with FILEMILL_TEST_FULL.
//! - `staging`: mappings and what happens to them, RAM disks, the cache, limits of memory, the pool that sizes itself.
//! - `support`: trees to test on, and a sink that keeps what it is given.
//!
//! With FILEMILL_TEST_SMALL set, every run takes the smallest steps: one worker, one file a batch, a queue of one.
//! That finds deadlocks.

#![allow(clippy::unwrap_used, reason = "a test that cannot set its scene has failed")]
#![allow(clippy::print_stdout, reason = "what could not be tried is told, and what was measured")]

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cli")]
mod binary;
#[cfg(feature = "cli")]
mod command;
#[cfg(feature = "bench")]
mod corpus;
mod duplicates;
#[cfg(all(feature = "cli", feature = "faults"))]
mod faults;
#[cfg(feature = "cli")]
mod gates;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod git_config;
#[cfg(all(feature = "gitignore", target_os = "linux"))]
mod gitignore;
mod goldens;
mod gpu;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(feature = "cli")]
mod inputs;
#[cfg(target_os = "linux")]
mod large_files;
mod latencies;
mod layers;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod limits;
mod lists;
#[cfg(target_os = "linux")]
mod mid_run;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod outside;
#[cfg(target_os = "linux")]
mod probe;
#[cfg(feature = "cli")]
mod reports;
mod rows;
mod same_answers;
#[cfg(feature = "cli")]
mod settings;
#[cfg(target_os = "linux")]
mod short_files;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod sizes;
#[cfg(target_os = "linux")]
mod staging;
mod support;
