//! The search for duplicates.

#[cfg_attr(not(test), expect(dead_code, reason = "for the search that is to stand here"))]
mod earlier;
