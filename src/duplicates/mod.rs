//! Looking for duplicates, and what is done about them.
#![allow(dead_code, unused_imports, reason = "the command that acts is still to come")]

pub(crate) mod action;
