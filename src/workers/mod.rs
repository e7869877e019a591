//! Who answers: a worker takes a batch, has each file staged, and runs the analyses over its blocks.

pub(crate) mod cpu;
pub(crate) mod large;
pub(crate) mod pool;
