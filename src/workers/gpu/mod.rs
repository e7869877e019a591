//! Workers on GPUs.

pub(crate) mod adapters;
pub(crate) mod device;
mod engine;
mod packing;
#[cfg(test)]
pub(crate) mod testing;
