//! Who answers: a worker takes a batch, has each file staged, and runs the analyses over its blocks.

pub(crate) mod cpu;
#[cfg_attr(not(feature = "gpu"), path = "gpu_none.rs")]
pub(crate) mod gpu;
pub(crate) mod large;
pub(crate) mod pool;
