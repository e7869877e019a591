//! How often each byte value occurs: the count behind `entropy`, and the dearest part of a pass without digests.

#[cfg(target_arch = "x86_64")]
mod bit_planes;

#[cfg(target_arch = "x86_64")]
use self::bit_planes::BitPlanes;

/// Counts of byte values, in whatever form is fastest here.
pub(super) enum Histogram {
    Tables(Box<Tables>),
    #[cfg(target_arch = "x86_64")]
    BitPlanes(Box<BitPlanes>),
}

/// The forms of one function: the same counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Tables,
    /// With AVX-512, and POPCNT on its vectors.
    #[cfg(target_arch = "x86_64")]
    BitPlanes,
}

impl Form {
    /// The forms that this processor can run, slowest first.
    fn available() -> impl DoubleEndedIterator<Item = Form> {
        let forms = [
            (Form::Tables, true),
            #[cfg(target_arch = "x86_64")]
            (Form::BitPlanes, BitPlanes::runs_here()),
        ];
        forms.into_iter().filter(|(_, runs)| *runs).map(|(form, _)| form)
    }

    pub(super) fn fastest() -> Form {
        Form::available().next_back().expect("tables run everywhere")
    }
}

impl Histogram {
    /// An empty histogram. The form must be one that runs here, as those of [`Form::fastest`] do.
    pub(super) fn new(form: Form) -> Histogram {
        match form {
            Form::Tables => Histogram::Tables(Box::default()),
            #[cfg(target_arch = "x86_64")]
            Form::BitPlanes => Histogram::BitPlanes(BitPlanes::new()),
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        match self {
            Histogram::Tables(tables) => tables.clear(),
            #[cfg(target_arch = "x86_64")]
            Histogram::BitPlanes(planes) => planes.clear(),
        }
    }

    /// Counts `bytes`.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Histogram::Tables(tables) => tables.add(bytes),
            #[cfg(target_arch = "x86_64")]
            Histogram::BitPlanes(planes) => planes.add(bytes),
        }
    }

    /// Adds the counts of other bytes. Out of the way of what is done for every file.
    #[cold]
    pub(super) fn join(&mut self, others: &mut Histogram) {
        let others = others.counts();
        let counts = match self {
            Histogram::Tables(tables) => &mut tables.counts,
            #[cfg(target_arch = "x86_64")]
            Histogram::BitPlanes(planes) => planes.counts_mut(),
        };
        for (count, more) in counts.iter_mut().zip(others) {
            // A form may keep a count below zero while it owes the rest.
            *count = count.wrapping_add(*more);
        }
    }

    /// The counts so far, by byte value.
    pub(super) fn counts(&mut self) -> &[u64; 256] {
        match self {
            Histogram::Tables(tables) => tables.counts(),
            #[cfg(target_arch = "x86_64")]
            Histogram::BitPlanes(planes) => planes.counts(),
        }
    }
}

/// Eight tables take turns, one a byte of each 64-bit word: with a single one, equal neighbours wait for each
/// other's store. Over source text one table counts 2.1 GB/s, four 3.4, eight 3.6, which is one store a
/// cycle (ops/engine.md, "Histogram").
pub(super) struct Tables {
    tables: [[u32; 256]; TABLES],
    /// Bytes counted in the tables.
    pending_bytes: usize,
    counts: [u64; 256],
}

const TABLES: usize = 8;

/// Far below where a 32-bit counter overflows, also summed over the tables.
const PENDING_BYTES_MAX: usize = 1 << 30;

impl Default for Tables {
    fn default() -> Tables {
        Tables { tables: [[0; 256]; TABLES], pending_bytes: 0, counts: [0; 256] }
    }
}

impl Tables {
    fn clear(&mut self) {
        if self.pending_bytes > 0 {
            self.tables.as_flattened_mut().fill(0);
            self.pending_bytes = 0;
        }
        self.counts.fill(0);
    }

    fn add(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(PENDING_BYTES_MAX) {
            if self.pending_bytes + bytes.len() > PENDING_BYTES_MAX {
                self.counts();
            }
            self.pending_bytes += bytes.len();
            let (words, rest) = bytes.as_chunks::<8>();
            for word in words {
                let word = u64::from_le_bytes(*word).to_le_bytes();
                for (table, byte) in self.tables.iter_mut().zip(word) {
                    table[usize::from(byte)] += 1;
                }
            }
            for &byte in rest {
                self.tables[0][usize::from(byte)] += 1;
            }
        }
    }

    fn counts(&mut self) -> &[u64; 256] {
        if self.pending_bytes > 0 {
            let [mut pending, others @ ..] = self.tables;
            for table in &others {
                for (count, more) in pending.iter_mut().zip(table) {
                    *count += more;
                }
            }
            for (count, more) in self.counts.iter_mut().zip(pending) {
                *count += u64::from(more);
            }
            self.tables.as_flattened_mut().fill(0);
            self.pending_bytes = 0;
        }
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition.
    fn counts_plain(bytes: &[u8]) -> [u64; 256] {
        let mut counts = [0; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        counts
    }

    /// Every form over the same blocks, twice, with a look in between.
    #[track_caller]
    fn check(blocks: &[&[u8]]) {
        for form in Form::available() {
            let mut histogram = Histogram::new(form);
            for _ in 0..2 {
                histogram.clear();
                let mut sofar = Vec::new();
                for block in blocks {
                    histogram.add(block);
                    sofar.extend_from_slice(block);
                    assert_eq!(histogram.counts(), &counts_plain(&sofar), "{form:?}, {} bytes", sofar.len());
                }
            }
        }
    }

    #[test]
    fn lengths_around_the_steps_of_each_form() {
        let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for length in
            [0, 1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 1023, 1024, 1025, 1535, 1536, 2047, 2048, 2049, 5000]
        {
            check(&[&bytes[..length]]);
            check(&[&bytes[..length], b"", &bytes[..length / 3]]);
            check(&[&vec![0; length], &vec![0xff; length]]);
            check(&[&vec![b'\n'; length]]);
        }
    }

    #[test]
    fn every_byte_value_alone() {
        for byte in 0..=255 {
            check(&[&[byte; 600], &[byte]]);
        }
    }

    #[test]
    fn tables_are_emptied_before_they_overflow() {
        let mut tables = Tables::default();
        tables.add(b"abc");
        tables.pending_bytes = PENDING_BYTES_MAX;
        tables.add(b"a");
        assert_eq!(tables.pending_bytes, 1);
        assert_eq!(tables.counts(), &counts_plain(b"abca"));
    }

    proptest! {
        #[test]
        fn every_form_agrees_with_plain_counting(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2500), 0..5)
        ) {
            check(&blocks.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
