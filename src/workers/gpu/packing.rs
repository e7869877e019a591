//! How pieces of files lie in a slot: pure.

use crate::analyses::Kernel;

/// What is given to a kernel at once.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Pieces of files, each at a multiple of [`ALIGNMENT`].
    bytes: Vec<u8>,
    segments: Vec<Segment>,
    pieces: Vec<Piece>,
}

/// As in `shaders/shared/segments.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Segment {
    pub(super) first_byte: u32,
    pub(super) positions: u32,
}

/// A run of bytes of one file, and which segments were cut of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    first_byte: usize,
    bytes: usize,
    first_segment: usize,
    segments: usize,
}

/// Where a piece may begin, in bytes.
pub(super) const ALIGNMENT: usize = 16;

/// Smaller segments than this on average, and a slot is full before its bytes are: room for the answers is made beforehand.
const SEGMENT_BYTES_ON_AVERAGE: usize = 4 << 10;
/// More is not gained by more at once: a guess for want of a card, of a third of a millisecond at 50 GB/s.
const SLOT_BYTES_MAX: usize = 16 << 20;
/// One that is packed, one that runs, one that is read back.
pub(super) const SLOTS_MIN: usize = 3;

/// How large slots are, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) slots: usize,
    /// Bytes of files in one.
    pub(super) bytes: usize,
    /// Segments in one.
    pub(super) segments: usize,
}

impl Sizes {
    /// What fits into so much memory of a device: [`SLOTS_MIN`] slots as large as may be, and then as many as are wanted.
    ///
    /// # Errors
    /// When it is too small for one segment a slot.
    pub(super) fn fit(kernel: &Kernel, memory_bytes: u64, slots_wanted: usize) -> Result<Sizes, String> {
        let of_bytes = |bytes: usize| {
            let least = bytes.div_ceil(kernel.segment_positions);
            (bytes, least.max(bytes / SEGMENT_BYTES_ON_AVERAGE))
        };
        let device_bytes =
            |(bytes, segments): (usize, usize)| Sizes { slots: 1, bytes, segments }.device_bytes(kernel);
        let smallest =
            of_bytes((kernel.segment_positions + kernel.overlap_bytes).next_multiple_of(ALIGNMENT));
        let own = (kernel.parameters.len() * size_of::<u32>()) as u64;
        let least = own + SLOTS_MIN as u64 * device_bytes(smallest);
        if memory_bytes < least {
            return Err(format!("{memory_bytes} bytes of its memory are too few: a segment takes {least}"));
        }
        let mut chosen = smallest;
        while chosen.0 < SLOT_BYTES_MAX {
            let next = of_bytes((chosen.0 * 5 / 4).min(SLOT_BYTES_MAX).next_multiple_of(ALIGNMENT));
            if own + SLOTS_MIN as u64 * device_bytes(next) > memory_bytes
                || answer_bytes(kernel, next.1) > BINDING_BYTES_MAX
            {
                break;
            }
            chosen = next;
        }
        let slots = usize::try_from((memory_bytes - own) / device_bytes(chosen)).unwrap_or(usize::MAX);
        Ok(Sizes { slots: slots.min(slots_wanted.max(SLOTS_MIN)), bytes: chosen.0, segments: chosen.1 })
    }

    /// What the slots take of the memory of a device: bytes on their way and in place, tables, answers in place and on their way.
    pub(super) fn device_bytes(&self, kernel: &Kernel) -> u64 {
        let table = self.segments * size_of::<Segment>();
        let slot = 2 * (self.bytes + table + answer_bytes(kernel, self.segments)) + 64;
        self.slots as u64 * slot as u64
    }
}

/// What every device can bind.
const BINDING_BYTES_MAX: usize = 128 << 20;

/// A ticket and the words of each row.
pub(super) fn answer_bytes(kernel: &Kernel, segments: usize) -> usize {
    segments * kernel.rows * (1 + kernel.words) * size_of::<u32>()
}

impl Packed {
    pub(super) fn with_sizes(sizes: &Sizes) -> Packed {
        Packed {
            bytes: Vec::with_capacity(sizes.bytes),
            segments: Vec::with_capacity(sizes.segments),
            pieces: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.segments.clear();
        self.pieces.clear();
    }

    /// Room for a piece that begins now, in bytes.
    pub(super) fn room(&self, kernel: &Kernel, sizes: &Sizes) -> usize {
        let bytes = sizes.bytes.saturating_sub(self.bytes.len().next_multiple_of(ALIGNMENT));
        let segments = sizes.segments - self.segments.len();
        match segments {
            0 => 0,
            _ => bytes.min(segments * kernel.segment_positions + kernel.overlap_bytes),
        }
    }

    /// Room for more of the piece that was begun last, in bytes.
    pub(super) fn room_for_more(&self, kernel: &Kernel, sizes: &Sizes) -> usize {
        let piece = self.pieces.last().expect("one was begun");
        let segments = sizes.segments - piece.first_segment;
        let piece_max = segments * kernel.segment_positions + kernel.overlap_bytes;
        (sizes.bytes - self.bytes.len()).min(piece_max.saturating_sub(self.bytes.len() - piece.first_byte))
    }

    /// Begins a piece of a file. Its bytes follow.
    pub(super) fn begin(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        let (first_byte, first_segment) = (self.bytes.len(), self.segments.len());
        self.pieces.push(Piece { first_byte, bytes: 0, first_segment, segments: 0 });
    }

    /// Bytes of the piece that was begun last.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The piece has no more bytes in this slot. Cuts its segments.
    pub(super) fn end(&mut self, kernel: &Kernel) {
        let at = self.bytes.len();
        let piece = self.pieces.last_mut().expect("one was begun");
        piece.bytes = at - piece.first_byte;
        piece.segments = kernel.segments(piece.bytes);
        let positions = piece.bytes.saturating_sub(kernel.overlap_bytes);
        let number = |number: usize| u32::try_from(number).expect("a slot has 16 MiB at most");
        for first in (0..positions).step_by(kernel.segment_positions) {
            self.segments.push(Segment {
                first_byte: number(piece.first_byte + first),
                positions: number(kernel.segment_positions.min(positions - first)),
            });
        }
    }

    /// Forgets the piece that was begun last.
    pub(super) fn undo(&mut self) {
        let piece = self.pieces.pop().expect("one was begun");
        self.bytes.truncate(piece.first_byte);
        self.segments.truncate(piece.first_segment);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Pieces so far.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The bytes of a piece, and its words among those of all segments.
    pub(super) fn piece<'a>(&'a self, i: usize, kernel: &Kernel, words: &'a [u32]) -> (&'a [u8], &'a [u32]) {
        let Piece { first_segment, segments, .. } = self.pieces[i];
        let of_segment = kernel.segment_words();
        let words = &words[first_segment * of_segment..(first_segment + segments) * of_segment];
        (self.piece_bytes(i), words)
    }

    pub(super) fn piece_bytes(&self, i: usize) -> &[u8] {
        let Piece { first_byte, bytes, .. } = self.pieces[i];
        &self.bytes[first_byte..first_byte + bytes]
    }

    /// Segments of a piece.
    pub(super) fn piece_segments(&self, i: usize) -> usize {
        self.pieces[i].segments
    }
}

/// What the kernel's twin on the processor says of a slot.
pub(super) fn words_by_twin(packed: &Packed, kernel: &Kernel) -> Vec<u32> {
    (0..packed.segments.len()).flat_map(|segment| segment_by_twin(packed, segment, kernel)).collect()
}

/// What it says of one segment.
pub(super) fn segment_by_twin(packed: &Packed, segment: usize, kernel: &Kernel) -> Vec<u32> {
    let mut words = vec![0; kernel.segment_words()];
    let Segment { first_byte, positions } = packed.segments[segment];
    let end = (first_byte + positions) as usize + kernel.overlap_bytes;
    (kernel.twin)(&kernel.parameters, &packed.bytes[first_byte as usize..end], &mut words);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyses::{Analysis, MinHash};

    fn kernel() -> Kernel {
        MinHash::default().kernel().expect("it has one")
    }

    #[test]
    fn slots_fit_the_memory_that_is_given() {
        let kernel = kernel();
        for megabytes in [1, 10, 125, 250, 500, 4000] {
            for wanted in [1, 4, 18, 130] {
                let memory = megabytes * 1_000_000;
                let sizes = Sizes::fit(&kernel, memory, wanted).expect("a megabyte suffices");
                assert!(sizes.device_bytes(&kernel) <= memory, "{sizes:?}");
                assert!(sizes.slots >= SLOTS_MIN && sizes.slots <= wanted.max(SLOTS_MIN), "{sizes:?}");
                assert!(sizes.bytes <= SLOT_BYTES_MAX && sizes.bytes > kernel.segment_positions, "{sizes:?}");
                assert!(answer_bytes(&kernel, sizes.segments) <= BINDING_BYTES_MAX, "{sizes:?}");
            }
        }
        assert_eq!(Sizes::fit(&kernel, 500_000_000, 3).expect("enough").bytes, SLOT_BYTES_MAX);
        let refused = Sizes::fit(&kernel, 1000, 3).expect_err("too small");
        assert!(refused.starts_with("1000 bytes of its memory are too few"), "{refused}");
    }

    #[test]
    fn pieces_are_aligned_and_their_segments_cover_every_position_once() {
        let kernel = Kernel { segment_positions: 100, overlap_bytes: 15, ..kernel() };
        let sizes = Sizes { slots: 3, bytes: 4096, segments: 40 };
        let mut packed = Packed::with_sizes(&sizes);
        let lengths = [1, 15, 16, 17, 115, 116, 215, 216, 1000];
        for length in lengths {
            assert!(packed.room(&kernel, &sizes) >= length);
            packed.begin();
            packed.push(&vec![1; length / 2]);
            packed.push(&vec![1; length - length / 2]);
            packed.end(&kernel);
        }
        for (i, length) in lengths.into_iter().enumerate() {
            let piece = packed.pieces[i];
            assert_eq!((piece.first_byte % ALIGNMENT, packed.piece_bytes(i).len()), (0, length));
            let segments = &packed.segments[piece.first_segment..piece.first_segment + piece.segments];
            let mut next = piece.first_byte;
            for segment in segments {
                assert_eq!(segment.first_byte as usize, next);
                next += segment.positions as usize;
            }
            assert_eq!(next - piece.first_byte, length.saturating_sub(15));
        }
        packed.begin();
        packed.push(&[1; 300]);
        packed.end(&kernel);
        packed.undo();
        assert_eq!((packed.len(), packed.piece_bytes(8).len()), (9, 1000));
    }
}
