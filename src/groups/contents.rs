//! What is known of the content of files, as far as comparing them needs it: which are equal.

use super::FileId;

/// Stands for content that could not be read.
const UNKNOWN: u64 = u64::MAX;

/// What is known of the content of each file of a catalog, one token a file: equal tokens stand for equal content.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    tokens: Vec<u64>,
}

impl Contents {
    /// Nothing is known yet of any of so many files.
    pub fn new(files: usize) -> Contents {
        Contents { tokens: vec![UNKNOWN; files] }
    }

    /// Tells the content of a file: any number but [`u64::MAX`], the same for files of the same content alone.
    ///
    /// # Panics
    /// Where the token is [`u64::MAX`], or there are fewer files.
    pub fn set(&mut self, file: FileId, token: u64) {
        assert_ne!(token, UNKNOWN, "this number stands for what is not known");
        self.tokens[file.index()] = token;
    }

    /// The token of a file; `None` where its content could not be read.
    pub fn token(&self, file: FileId) -> Option<u64> {
        self.tokens.get(file.index()).copied().filter(|&token| token != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_not_known() {
        let mut contents = Contents::new(2);
        contents.set(FileId(1), 7);
        assert_eq!([0, 1, 2].map(|file| contents.token(FileId(file))), [None, Some(7), None]);
    }
}
