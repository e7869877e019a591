//! Which files a corpus has: what is called how and holds what, by the index of the file alone, so that they can be made
//! in any order and by any number of threads.

use blake3::{Hasher, OutputReader};

use super::content::{Format, Words, alter, fill};
use super::recipe::{FORM, Recipe};

/// The name of the marker, and of the file with index 0.
pub(super) const MARKER: &str = "corpus.toml";

/// The files of a recipe.
pub(super) struct Files<'r> {
    pub(super) recipe: &'r Recipe,
    marker: String,
    /// What the randomness of each file goes on from.
    seeded: Hasher,
    weights: u64,
    words: Words,
}

/// What a file is among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Original,
    Duplicate,
    NearDuplicate,
}

/// What is decided about a file before its bytes are made.
#[derive(Debug, Clone, Copy)]
struct Dice {
    role: Role,
    origin: u64,
    size: u64,
    content: u64,
    format: u64,
}

/// The dice of a file take the start of its randomness; its content takes what follows.
const DICE_BYTES: usize = 64;

impl<'r> Files<'r> {
    pub(super) fn new(recipe: &'r Recipe) -> Files<'r> {
        let mut seeded = Hasher::new_derive_key(FORM);
        seeded.update(&recipe.seed.to_le_bytes());
        Files {
            recipe,
            marker: recipe.marker(),
            seeded,
            weights: recipe.classes.iter().map(|class| class.weight).sum(),
            words: Words::new(),
        }
    }

    /// Directories, each after the one it lies in; the first one is that of the corpus itself, and has no name.
    pub(super) fn directories(&self) -> impl Iterator<Item = String> {
        (0..=self.directory_of(self.recipe.files - 1)).map(|directory| self.directory_path(directory))
    }

    /// The path of a file, below the directory of the corpus.
    pub(super) fn path(&self, index: u64) -> String {
        if index == 0 {
            return MARKER.to_owned();
        }
        let directory = self.directory_path(self.directory_of(index));
        let extension = self.format(self.origin(index).0).extension();
        format!("{directory}f{index:06}.{extension}")
    }

    /// The size of a file, in bytes.
    pub(super) fn size(&self, index: u64) -> u64 {
        if index == 0 { self.marker.len() as u64 } else { self.own_size(self.origin(index).0) }
    }

    /// Puts the bytes of a file into `out`, in place of what is there.
    pub(super) fn content(&self, index: u64, out: &mut Vec<u8>) {
        out.clear();
        if index == 0 {
            out.extend_from_slice(self.marker.as_bytes());
            return;
        }
        let (origin, role) = self.origin(index);
        let size = usize::try_from(self.own_size(origin)).expect("recipes are made for every machine");
        let format = self.format(origin);
        fill(format, &self.words, &mut self.randomness(origin), size, out);
        if role == Role::NearDuplicate {
            alter(format, &mut self.randomness(index), out);
        }
    }

    /// What a file is, and the original that its content comes from.
    pub(super) fn origin(&self, index: u64) -> (u64, Role) {
        let dice = self.dice(index);
        if dice.role == Role::Original {
            return (index, Role::Original);
        }
        // From an arbitrary earlier file down to an original; the first file is one.
        let mut origin = 1 + dice.origin % (index - 1);
        while self.dice(origin).role != Role::Original {
            origin -= 1;
        }
        (origin, dice.role)
    }

    /// The class of an original. Spread by steps that meet every place, so that each class has its share to a file: of
    /// few files that are most of the bytes, chance would make many or none.
    fn own_size(&self, index: u64) -> u64 {
        // A prime far larger than any sum of weights: it has no factor in common with them.
        const STEP: u64 = 2_654_435_761;
        let mut place = (self.recipe.seed + index * STEP) % self.weights;
        for class in &self.recipe.classes {
            if place < class.weight {
                return class.bytes_min + self.dice(index).size % (class.bytes_max - class.bytes_min + 1);
            }
            place -= class.weight;
        }
        unreachable!("the weights add up to their sum")
    }

    fn format(&self, index: u64) -> Format {
        let Dice { content, format, .. } = self.dice(index);
        let Recipe { binaries_per_mille: binaries, unicode_per_mille: unicode, .. } = *self.recipe;
        let among = match content % 1000 {
            place if place < binaries => Format::BINARIES,
            place if place < binaries + unicode => Format::UNICODE,
            _ => Format::ASCII,
        };
        let place = usize::try_from(format % among.len() as u64).expect("there are few formats");
        among[place]
    }

    fn directory_of(&self, index: u64) -> u64 {
        index / self.recipe.directory_files
    }

    /// Directories are numbered level by level. Ends with a slash, unless it is that of the corpus.
    fn directory_path(&self, mut directory: u64) -> String {
        let fan = self.recipe.directory_fan;
        let mut parts = Vec::new();
        while directory > 0 {
            parts.push(format!("d{:02}/", (directory - 1) % fan));
            directory = (directory - 1) / fan;
        }
        parts.into_iter().rev().collect()
    }

    fn reader(&self, index: u64) -> OutputReader {
        self.seeded.clone().update(&index.to_le_bytes()).finalize_xof()
    }

    fn randomness(&self, index: u64) -> OutputReader {
        let mut reader = self.reader(index);
        reader.set_position(DICE_BYTES as u64);
        reader
    }

    fn dice(&self, index: u64) -> Dice {
        let mut bytes = [0; DICE_BYTES];
        self.reader(index).fill(&mut bytes);
        let (eights, _) = bytes.as_chunks::<8>();
        let [role, origin, size, content, format, ..] = eights else {
            unreachable!("there are eight of them")
        };
        let near = self.recipe.duplicates_per_mille + self.recipe.near_duplicates_per_mille;
        let role = match u64::from_le_bytes(*role) % 1000 {
            _ if index == 1 => Role::Original,
            place if place < self.recipe.duplicates_per_mille => Role::Duplicate,
            place if place < near => Role::NearDuplicate,
            _ => Role::Original,
        };
        let [origin, size, content, format] =
            [origin, size, content, format].map(|die| u64::from_le_bytes(*die));
        Dice { role, origin, size, content, format }
    }
}
