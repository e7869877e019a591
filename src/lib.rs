//! filemill answers many questions about a tree of files while reading every byte once.

pub mod analyses;
mod batch;
pub mod control;
pub mod error;
mod pipeline;
pub mod plan;
pub mod record;
pub mod report;
pub mod sink;
mod stage;
mod walk;
mod workers;

pub use pipeline::{run, run_with};
