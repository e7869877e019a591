//! The twin of an analysis on a device: plain data, which names nothing of any device.

use std::sync::Arc;

/// A shader that does the larger part of an analysis. It is given segments of files, and tells a few numbers of each, which the
/// analysis takes in beside the bytes ([`super::Pass::block_by_kernel`]).
///
/// Segments are cut of a piece of a file, a run of bytes that lie together. A segment has some positions, at each of which
/// something begins that is no longer than `overlap_bytes + 1`: so many positions less has a piece than it has bytes.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The analysis's name.
    pub name: &'static str,
    /// The shader in WGSL, whose entry is `main`. Its bindings are those of `shaders/shared/segments.wgsl`.
    pub wgsl: String,
    /// Numbers that it reads: what the analysis was asked for.
    pub parameters: Arc<[u32]>,
    /// Numbers that come of a row.
    pub words: usize,
    /// Rows of a segment: each is a workgroup of its own.
    pub rows: usize,
    /// Positions of a segment at most.
    pub segment_positions: usize,
    /// Bytes that follow the last position of a segment, and belong to what begins there.
    pub overlap_bytes: usize,
    /// The same on the processor, as plain as can be: given the parameters and the bytes of a segment it writes the words of all its
    /// rows. What a device answers is held against it before the device is used.
    pub twin: fn(&[u32], &[u8], &mut [u32]),
}

impl Kernel {
    /// Segments of a piece of so many bytes.
    pub fn segments(&self, piece_bytes: usize) -> usize {
        piece_bytes.saturating_sub(self.overlap_bytes).div_ceil(self.segment_positions)
    }

    /// Numbers that come of a segment.
    pub fn segment_words(&self) -> usize {
        self.rows * self.words
    }
}
