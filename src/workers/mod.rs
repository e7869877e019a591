//! Who answers: a worker takes a batch, has each file staged, and runs the analyses over its blocks.

pub(crate) mod cpu;
#[cfg(feature = "gpu")]
pub(crate) mod gpu;
pub(crate) mod large;
pub(crate) mod pool;
