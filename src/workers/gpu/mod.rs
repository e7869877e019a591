//! Workers on GPUs.

pub(crate) mod adapters;
pub(crate) mod device;
