//! What a corpus is made from, and what is known of it: the recipes of fixtures/corpora.toml.

use std::fmt::Write;

use serde::Deserialize;

use crate::analyses::nearest;
use crate::bench::{Answers, BenchError};

/// The form of corpora. It is the first line of the marker and part of all randomness: a change that makes other bytes of
/// the same parameters takes another number.
pub(super) const FORM: &str = "filemill corpus 1";

/// What decides every byte and every name of a corpus.
///
/// Shares are of 1000 files. Whatever is drawn, is drawn with integers and BLAKE3 alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The word that selects it.
    pub name: String,
    /// What it is for, in a few words.
    pub about: String,
    /// What the randomness begins with.
    pub seed: u64,
    /// How many files there are, the marker among them.
    pub files: u64,
    /// How many files lie in each directory.
    pub directory_files: u64,
    /// How many directories lie in each directory, as long as there are files for them.
    pub directory_fan: u64,
    /// Files with the content of an earlier one.
    pub duplicates_per_mille: u64,
    /// Files that differ from an earlier one in a few bytes of a hundred.
    pub near_duplicates_per_mille: u64,
    /// Of the files that are no copies, those that are no text.
    pub binaries_per_mille: u64,
    /// Of the files that are no copies, those whose text is not ASCII alone.
    pub unicode_per_mille: u64,
    /// How large the files are.
    pub classes: Vec<Class>,
    /// What a scan with the preset `full` answers.
    answers: Answers,
}

/// Some of the files: as many as its weight says, among the weights of all. Their sizes are spread evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its share in the sum of all weights.
    pub weight: u64,
    /// The smallest size.
    pub bytes_min: u64,
    /// The largest.
    pub bytes_max: u64,
}

#[derive(Deserialize)]
struct Recipes {
    recipe: Vec<Recipe>,
}

/// Every recipe, the smallest first.
pub fn recipes() -> Vec<Recipe> {
    let text = include_str!("../../../fixtures/corpora.toml");
    toml::from_str::<Recipes>(text).expect("a part of the program, and read in its tests").recipe
}

/// The recipe of this name.
///
/// # Errors
/// When there is none.
pub fn recipe(name: &str) -> Result<Recipe, BenchError> {
    let recipes = recipes();
    if let Some(found) = recipes.iter().find(|recipe| recipe.name == name) {
        return Ok(found.clone());
    }
    let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
    let help = match nearest(name, names.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => format!("known are {}", names.join(", ")),
    };
    Err(BenchError::Refused(format!("no recipe is named {name:?}: {help}")))
}

impl Recipe {
    /// What a scan of the corpus with the preset `full` answers, on every machine.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What stands in the marker: all that decides the bytes of the corpus, and nothing else.
    pub(super) fn marker(&self) -> String {
        let mut text = format!(
            "# {FORM}\n\
             # Made by `filemill bench corpus`. What stands here decides every byte of the other files.\n\
             name = {:?}\n",
            self.name
        );
        for (key, value) in [
            ("seed", self.seed),
            ("files", self.files),
            ("directory_files", self.directory_files),
            ("directory_fan", self.directory_fan),
            ("duplicates_per_mille", self.duplicates_per_mille),
            ("near_duplicates_per_mille", self.near_duplicates_per_mille),
            ("binaries_per_mille", self.binaries_per_mille),
            ("unicode_per_mille", self.unicode_per_mille),
        ] {
            writeln!(text, "{key} = {value}").expect("memory takes it");
        }
        text.push_str("classes = [\n");
        for Class { weight, bytes_min, bytes_max } in &self.classes {
            writeln!(text, "    {{ weight = {weight}, bytes_min = {bytes_min}, bytes_max = {bytes_max} }},")
                .expect("memory takes it");
        }
        text.push_str("]\n");
        text
    }
}

/// The name of the recipe whose marker this is; `None` where it is no marker.
pub(super) fn name_in_marker(text: &str) -> Option<String> {
    let parameters = text.strip_prefix("# ")?.strip_prefix(FORM)?;
    let parameters: toml::Table = toml::from_str(parameters).ok()?;
    parameters.get("name")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_make_sense() {
        let recipes = recipes();
        for recipe in &recipes {
            let name = &recipe.name;
            assert!(recipe.files > 1 && recipe.directory_files > 0 && recipe.directory_fan > 0, "{name}");
            assert!(recipe.duplicates_per_mille + recipe.near_duplicates_per_mille < 1000, "{name}");
            assert!(recipe.binaries_per_mille + recipe.unicode_per_mille <= 1000, "{name}");
            assert!(recipe.classes.iter().any(|class| class.weight > 0), "{name}");
            assert!(recipe.classes.iter().all(|class| class.bytes_min <= class.bytes_max), "{name}");
            assert_eq!(recipe.answers.files, recipe.files, "{name}");
            assert_eq!(recipe.answers.others, 0, "{name}");
            let full = crate::analyses::parse("full").expect("a preset");
            for column in crate::analyses::columns(&full) {
                assert!(recipe.answers.checksums.contains_key(column.name), "{name}: {}", column.name);
            }
        }
        let names: Vec<_> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        assert_eq!(names, ["smoke", "10k", "20k", "50k", "tiny", "skewed", "million"]);
    }

    #[test]
    fn a_name_that_is_not_known_is_told_the_nearest() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            assert_eq!(recipe(name).map_err(|error| error.to_string()), Err(expected.to_owned()));
        }
        assert_eq!(recipe("10k").map(|recipe| recipe.name).ok().as_deref(), Some("10k"));
        check("10kk", "no recipe is named \"10kk\": did you mean \"10k\"?");
        check("linux", "no recipe is named \"linux\": known are smoke, 10k, 20k, 50k, tiny, skewed, million");
    }

    #[test]
    fn a_marker_tells_its_recipe_and_nothing_of_this_program() {
        let smoke = recipe("smoke").expect("it is there");
        let marker = smoke.marker();
        assert_eq!(name_in_marker(&marker).as_deref(), Some("smoke"));
        assert_eq!(name_in_marker("name = \"smoke\"\n"), None);
        assert!(!marker.contains(env!("CARGO_PKG_VERSION")), "{marker}");
        let parameters: toml::Table = toml::from_str(&marker).expect("it is TOML");
        assert_eq!(parameters["classes"].as_array().map(Vec::len), Some(smoke.classes.len()));
    }
}
