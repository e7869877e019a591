//! How bytes are reached: opens one file at a time and hands its blocks to whoever asked, in order.

pub(crate) mod read;
#[cfg_attr(not(unix), path = "system_std.rs")]
mod system;
