//! Which vector instructions this processor has. Functions that come in several forms, one a level, choose by it.

/// What a form is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// What the target has at least, SSE2 on x86-64: loops in lanes, which the compiler makes vectors of.
    Lanes,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512, with its instructions for bytes and for shorter vectors.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A level that this processor was found to have. There is no other way to make one, so that whoever is given it may call
/// what is compiled for that level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Simd(Level);

impl Simd {
    /// The levels that this processor has, slowest first.
    pub(crate) fn available() -> impl DoubleEndedIterator<Item = Simd> {
        let levels = [
            (Level::Lanes, true),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, is_x86_feature_detected!("avx2")),
            #[cfg(target_arch = "x86_64")]
            (
                Level::Avx512,
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl"),
            ),
        ];
        levels.into_iter().filter(|(_, has)| *has).map(|(level, _)| Simd(level))
    }

    /// The fastest of them.
    pub(crate) fn best() -> Simd {
        Simd::available().next_back().expect("lanes run everywhere")
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}
