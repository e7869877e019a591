//! Corpora: made, checked, finished, refused; and with FILEMILL_TEST_FULL every recipe, which takes some minutes.

use std::cell::Cell;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use filemill::bench::corpus::{self, Made, Recipe};
use filemill::bench::{Answers, BenchError, Collect, Watch};
use filemill::control::Control;
use filemill::plan::Plan;

use crate::support::{Tree, analyses, in_full};

fn smoke() -> Recipe {
    corpus::recipe("smoke").unwrap()
}

fn make(directory: &Path, recipe: &Recipe) -> Result<Made, BenchError> {
    corpus::make(directory, recipe, &Watch { control: &Control::new(), tell: &|_, _, _| {} })
}

#[track_caller]
fn refused(directory: &Path, recipe: &Recipe, expected: &str) {
    let message = make(directory, recipe).unwrap_err().to_string();
    let shown = directory.display().to_string();
    assert_eq!(message.replace(&shown, "DIR"), expected);
}

fn files(directory: &Path) -> usize {
    let entries = walkdir::WalkDir::new(directory).into_iter();
    entries.filter(|entry| entry.as_ref().unwrap().file_type().is_file()).count()
}

#[test]
fn a_corpus_is_made_once_and_then_checked() {
    let tree = Tree::new();
    let (directory, smoke) = (tree.at("a/new/place"), smoke());
    assert_eq!(make(&directory, &smoke).unwrap(), Made::New(smoke.answers().clone()));
    assert_eq!(files(&directory) as u64, smoke.files);
    assert_eq!(corpus::recognise(&directory).unwrap().as_ref(), Some(&smoke));
    let written = |name: &str| fs::metadata(directory.join(name)).unwrap().modified().unwrap();
    let before = written("corpus.toml");
    assert_eq!(make(&directory, &smoke).unwrap(), Made::Checked(smoke.answers().clone()));
    assert_eq!(written("corpus.toml"), before);
    refused(
        &directory,
        &corpus::recipe("10k").unwrap(),
        "DIR: a corpus of the recipe \"smoke\", not of \"10k\": name a new directory",
    );
    let mut other = smoke.clone();
    other.seed = 77;
    refused(
        &directory,
        &other,
        "DIR: made from other parameters than the recipe \"smoke\" of this filemill has: name a new directory",
    );
}

#[test]
fn what_is_wrong_with_a_corpus_is_told_by_the_first_path() {
    let tree = Tree::new();
    let (directory, smoke) = (tree.path(), smoke());
    let made = make(directory, &smoke).unwrap();
    let paths: Vec<_> = walkdir::WalkDir::new(directory)
        .min_depth(2)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().is_file() && entry.metadata().unwrap().len() > 100)
        .map(|entry| entry.path().strip_prefix(directory).unwrap().to_str().unwrap().to_owned())
        .collect();
    let (first, last) = (&paths[0], &paths[paths.len() - 1]);

    let kept = fs::read(directory.join(last)).unwrap();
    let mut changed = kept.clone();
    changed[70] ^= 1;
    tree.file(last, &changed);
    refused(directory, &smoke, &format!("DIR/{last}: its content is not that of the recipe \"smoke\""));
    let first_kept = fs::read(directory.join(first)).unwrap();
    fs::remove_file(directory.join(first)).unwrap();
    refused(directory, &smoke, &format!("DIR/{first} is missing"));
    tree.file(first, first_kept);
    tree.file(last, kept);
    tree.file("d00/added", "");
    refused(directory, &smoke, "DIR/d00/added does not belong to the corpus");
    fs::remove_file(tree.at("d00/added")).unwrap();
    assert_eq!(make(directory, &smoke).unwrap().answers(), made.answers());
}

#[test]
fn a_corpus_that_was_left_half_made_is_finished() {
    let tree = Tree::new();
    let (directory, smoke) = (tree.path(), smoke());
    let control = Control::new();
    let steps = Cell::new(0);
    let tell = |what: &str, done: u64, of: u64| {
        assert!(what == "making smoke" && done <= of, "{what}: {done} of {of}");
        steps.set(steps.get() + 1);
        control.cancel();
    };
    let cancelled = corpus::make(directory, &smoke, &Watch { control: &control, tell: &tell });
    assert!(matches!(cancelled, Err(BenchError::Cancelled)), "{cancelled:?}");
    assert_eq!(steps.get(), 1);
    assert!(tree.at("corpus.toml.partial").exists() && !tree.at("corpus.toml").exists());

    let message = corpus::recognise(directory).unwrap_err().to_string();
    assert!(
        message.ends_with(": a corpus that is only half made: finish it with `filemill bench corpus`"),
        "{message}"
    );
    let mut other = smoke.clone();
    other.seed = 77;
    refused(directory, &other, "DIR: half of another corpus than \"smoke\": name a new directory");
    // As far as a crash let it be written.
    tree.file("corpus.toml.partial", "# filemill corp");
    tree.file("d00/f000012.c", "half a fi");
    // That is of somebody else, and so is a link.
    refused(directory, &smoke, "DIR/d00/f000012.c is no part of the half-made corpus \"smoke\"");
    let whole = Tree::new();
    make(whole.path(), &smoke).unwrap();
    let content = std::fs::read(whole.at("d00/f000012.c")).unwrap();
    tree.file("d00/f000012.c", &content[..content.len() / 2]);
    #[cfg(unix)]
    {
        let mine = whole.file("mine", "precious");
        let link = tree.link("f000001.txt", &mine);
        refused(directory, &smoke, "DIR/f000001.txt is no part of the half-made corpus \"smoke\"");
        std::fs::remove_file(link).unwrap();
        assert_eq!(std::fs::read_to_string(mine).unwrap(), "precious");
    }
    assert_eq!(make(directory, &smoke).unwrap(), Made::New(smoke.answers().clone()));
    assert_eq!(corpus::recognise(directory).unwrap(), Some(smoke));
}

#[test]
fn what_is_no_place_for_a_corpus_is_refused_and_left_alone() {
    let tree = Tree::new();
    tree.file("full/file", "x");
    refused(&tree.at("full"), &smoke(), "DIR is not empty, and no corpus: name a new directory");
    assert_eq!(files(&tree.at("full")), 1);
    assert_eq!(corpus::recognise(&tree.at("full")).unwrap(), None);
    // Somebody else's file of that name.
    tree.file("full/corpus.toml", "name = \"smoke\"\n");
    refused(&tree.at("full"), &smoke(), "DIR is not empty, and no corpus: name a new directory");
    assert_eq!(corpus::recognise(&tree.at("full")).unwrap(), None);
    assert_eq!(corpus::recognise(&tree.at("nowhere")).unwrap(), None);
    let file = make(&tree.at("full/file"), &smoke()).unwrap_err();
    assert!(matches!(file, BenchError::File { .. }), "{file}");
    assert_eq!(corpus::recognise(&tree.at("full/file")).unwrap(), None);
    tree.file("old/corpus.toml", "# filemill corpus 1\nname = \"older\"\n");
    let message = corpus::recognise(&tree.at("old")).unwrap_err().to_string();
    assert!(
        message.ends_with("a corpus of the recipe \"older\", which this filemill does not know"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_too_small_is_refused_before_anything_is_written() {
    let tree = Tree::new();
    let mut huge = smoke();
    huge.classes = vec![corpus::Class { weight: 1, bytes_min: 1 << 50, bytes_max: 1 << 50 }];
    let message = make(&tree.at("new"), &huge).unwrap_err().to_string();
    assert!(message.contains("the corpus \"smoke\" needs ") && message.ends_with(" are free"), "{message}");
    assert_eq!(files(&tree.at("new")), 0);
}

#[test]
fn a_check_can_be_cancelled() {
    let tree = Tree::new();
    make(tree.path(), &smoke()).unwrap();
    let control = Control::new();
    control.cancel();
    let checked = corpus::make(tree.path(), &smoke(), &Watch { control: &control, tell: &|_, _, _| {} });
    assert!(matches!(checked, Err(BenchError::Cancelled)), "{checked:?}");
    assert!(tree.at("corpus.toml").exists());
}

/// In full with FILEMILL_TEST_FULL, otherwise the smallest recipe. With FILEMILL_BLESS what the engine answers is written
/// into fixtures/corpora.toml.
#[test]
fn every_recipe_is_answered_as_it_says() {
    let is_blessed = std::env::var_os("FILEMILL_BLESS").is_some();
    for recipe in corpus::recipes() {
        if !in_full() && recipe.name != "smoke" {
            continue;
        }
        let tree = Tree::new();
        let since = std::time::Instant::now();
        let made = make(tree.path(), &recipe).map_err(|error| error.to_string());
        println!("{}: {:.1} s", recipe.name, since.elapsed().as_secs_f64());
        match made {
            // Only answers: where a file is not what was to be written, there is nothing to bless.
            Err(error) if is_blessed && error.contains("and yet the answers are not") => {
                bless(&recipe.name, &scan(tree.path()));
            }
            made => drop(made.unwrap()),
        }
    }
}

fn scan(directory: &Path) -> Answers {
    let mut sink = Collect::default();
    filemill::run(&Plan { analyses: analyses("full"), ..Plan::new([directory]) }, &mut sink).unwrap();
    sink.into_answers()
}

/// Puts answers in the place of those that a recipe has.
fn bless(name: &str, answers: &Answers) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpora.toml");
    let text = fs::read_to_string(&path).unwrap();
    let recipe = text.find(&format!("name = \"{name}\"\n")).unwrap();
    let start = recipe + text[recipe..].find("[recipe.answers]\n").unwrap();
    let end = text[start..].find("\n\n").map_or(text.len(), |end| start + end + 1);
    let mut block = format!(
        "[recipe.answers]\nfiles = {}\nbytes = {}\nothers = {}\n[recipe.answers.checksums]\n",
        answers.files, answers.bytes, answers.others
    );
    for (column, &sum) in &answers.checksums {
        writeln!(block, "{column} = \"{}\"", String::from(sum)).unwrap();
    }
    fs::write(&path, [&text[..start], &block, &text[end..]].concat()).unwrap();
}
