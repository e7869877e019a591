//! How a sketch is written: base64 of its numbers, least byte first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Numbers whose bytes come to whole groups of base64 and fit a buffer on the stack.
const PIECE: usize = 96;

/// Appends a sketch to `out`.
pub(super) fn base64_to(sketch: &[u32], out: &mut Vec<u8>) {
    for piece in sketch.chunks(PIECE) {
        let mut bytes = [0; 4 * PIECE];
        for (bytes, number) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(piece) {
            *bytes = number.to_le_bytes();
        }
        let bytes = &bytes[..4 * piece.len()];
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(bytes, &mut out[start..]).expect("the room that base64 takes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_to_the_whole() {
        for length in [0, 1, 2, 3, 95, 96, 97, 128, 192, 1000] {
            let sketch: Vec<u32> = (0..length).map(|i| u32::wrapping_mul(i, 0x0123_4567)).collect();
            let bytes: Vec<u8> = sketch.iter().flat_map(|number| number.to_le_bytes()).collect();
            let mut written = b"before".to_vec();
            base64_to(&sketch, &mut written);
            assert_eq!(String::from_utf8_lossy(&written), format!("before{}", STANDARD.encode(&bytes)));
        }
    }
}
