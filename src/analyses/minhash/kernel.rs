//! What `shaders/minhash.wgsl` is given, and what comes of it.

use super::permutations::Permutations;
use super::shingle_hash;
use super::shingles::{Number, SHINGLE_BYTES_MAX};
use crate::analyses::Kernel;

/// Multipliers of a row.
const ROW_MULTIPLIERS: usize = 64;

/// Positions of a segment. Its words are half a KiB at 128 numbers a sketch, and are read back: 1.6 % of its bytes. A few MiB of
/// files are segments for hundreds of workgroups.
const SEGMENT_POSITIONS: usize = 32 << 10;

/// Steps of loops that an invocation of the shader takes at most: where there are more than 65,535, some drivers stop them
/// without a word.
const _: () = {
    let tiles = SEGMENT_POSITIONS / 1024;
    assert!(tiles * (1 + SHINGLE_BYTES_MAX + 3 + 1024 / 4 / 4) + 4 < 65_535);
};

pub(super) fn of(shingle_bytes: usize, multipliers: &[u32]) -> Kernel {
    let rows = multipliers.len().div_ceil(ROW_MULTIPLIERS);
    let mut parameters = Vec::with_capacity(2 + rows * ROW_MULTIPLIERS);
    parameters.push(u32::try_from(shingle_bytes).expect("64 at most"));
    parameters.push(u32::power(shingle_bytes - 1));
    parameters.extend_from_slice(multipliers);
    parameters.resize(2 + rows * ROW_MULTIPLIERS, 1);
    Kernel {
        name: "minhash",
        wgsl: [
            include_str!("../../../shaders/shared/segments.wgsl"),
            include_str!("../../../shaders/minhash.wgsl"),
        ]
        .concat(),
        parameters: parameters.into(),
        words: 2 * ROW_MULTIPLIERS,
        rows,
        segment_positions: SEGMENT_POSITIONS,
        overlap_bytes: shingle_bytes - 1,
        twin,
    }
}

/// What the shader does.
fn twin(parameters: &[u32], bytes: &[u8], words: &mut [u32]) {
    let shingle_bytes = parameters[0] as usize;
    let rows = parameters[2..].chunks_exact(ROW_MULTIPLIERS).zip(words.chunks_exact_mut(2 * ROW_MULTIPLIERS));
    for (multipliers, words) in rows {
        let (least, greatest) = words.split_at_mut(ROW_MULTIPLIERS);
        least.fill(u32::MAX);
        greatest.fill(0);
        for shingle in bytes.windows(shingle_bytes) {
            let hash = shingle_hash(shingle.iter().fold(0, |p: u32, &byte| p.step(u32::from(byte))));
            for (i, multiplier) in multipliers.iter().enumerate() {
                let product = hash.wrapping_mul(*multiplier);
                least[i] = least[i].min(product);
                greatest[i] = greatest[i].max(product);
            }
        }
    }
}

/// Puts the words of segments into a sketch.
pub(super) fn take_in(words: &[u32], sketch: &mut Permutations) {
    let rows = sketch.multipliers().div_ceil(ROW_MULTIPLIERS);
    for (i, row) in words.chunks_exact(2 * ROW_MULTIPLIERS).enumerate() {
        let (least, greatest) = row.split_at(ROW_MULTIPLIERS);
        sketch.add_extremes(i % rows * ROW_MULTIPLIERS, least, greatest);
    }
}
