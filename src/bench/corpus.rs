//! Corpora: trees that are the same to the byte on every machine, made from recipes, with the answers known beforehand.
//!
//! A corpus is a directory. The file `corpus.toml` in it, the marker, says what it is made from and is itself one of its
//! files; while a corpus is being made the marker has another name, so half a corpus is never taken for one. Nothing here
//! removes a file or writes into a directory that holds something else.

mod check;
mod content;
mod files;
mod recipe;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;

pub use self::recipe::{Class, Recipe, recipe, recipes};

use self::check::verify;
use self::files::{Files, MARKER};
use self::recipe::name_in_marker;
use crate::bench::{Answers, BenchError, Watch};

/// What the marker is called until all other files are there.
const PARTIAL: &str = "corpus.toml.partial";

/// What [`make`] came to: either way the corpus is complete, and a scan of it answered as the recipe says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// It was made, or finished.
    New(Answers),
    /// It was there already, and is as it should be.
    Checked(Answers),
}

impl Made {
    /// What a scan of the corpus answered, with the preset `full`.
    pub fn answers(&self) -> &Answers {
        match self {
            Made::New(answers) | Made::Checked(answers) => answers,
        }
    }
}

/// Makes the corpus of a recipe in `directory`, which is made as well where it is not there; or checks it, where it is
/// there already. What was left half made is made again from the start.
///
/// # Errors
/// When the directory holds something else or the disk is too small, when a file cannot be written, when a file of a corpus
/// that was there is not what it should be (which, and in what), or when it is cancelled: then a half-made corpus stays.
pub fn make(directory: &Path, recipe: &Recipe, watch: &Watch<'_>) -> Result<Made, BenchError> {
    let files = Files::new(recipe);
    match found(directory)? {
        Found::Corpus(marker) => {
            expect_recipe(directory, &marker, recipe)?;
            return verify(directory, &files, watch).map(Made::Checked);
        }
        Found::Half(marker) => {
            expect_half(directory, &marker, recipe)?;
            check::expect_own(directory, &files, watch)?;
        }
        Found::Nothing => {
            fs::create_dir_all(directory).map_err(BenchError::file(directory))?;
            expect_space(directory, &files)?;
        }
        Found::Else => {
            let shown = directory.display();
            return refuse(format!("{shown} is not empty, and no corpus: name a new directory"));
        }
    }
    let lock = File::open(directory).map_err(BenchError::file(directory))?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        let shown = directory.display();
        return refuse(format!("{shown}: another process makes a corpus there"));
    }
    write(directory, &files, watch)?;
    verify(directory, &files, watch).map(Made::New)
}

/// The recipe of the corpus in `directory`; `None` where there is no corpus.
///
/// # Errors
/// When the corpus is only half made, or its recipe is not that of this program; when the directory cannot be read.
pub fn recognise(directory: &Path) -> Result<Option<Recipe>, BenchError> {
    let shown = directory.display();
    let marker = match read_marker(directory, MARKER)? {
        Some(marker) => marker,
        None if read_marker(directory, PARTIAL)?.is_some() => {
            return refuse(format!(
                "{shown}: a corpus that is only half made: finish it with `filemill bench corpus`"
            ));
        }
        None => return Ok(None),
    };
    let Some(name) = name_in_marker(&marker) else { return Ok(None) };
    let Some(recipe) = recipes().into_iter().find(|recipe| recipe.name == name) else {
        return refuse(format!(
            "{shown}: a corpus of the recipe {name:?}, which this filemill does not know"
        ));
    };
    expect_recipe(directory, &marker, &recipe)?;
    Ok(Some(recipe))
}

/// The same, checked: what is to be measured is what it was made as.
///
/// # Errors
/// As [`recognise`]; when a file is not what it should be (which, and in what); when it is cancelled.
pub fn open(directory: &Path, watch: &Watch<'_>) -> Result<Option<Recipe>, BenchError> {
    let Some(recipe) = recognise(directory)? else { return Ok(None) };
    verify(directory, &Files::new(&recipe), watch)?;
    Ok(Some(recipe))
}

/// What a directory holds.
enum Found {
    /// Nothing, or there is no such directory.
    Nothing,
    /// A corpus, with this marker.
    Corpus(String),
    /// One that is not complete, with as much of the marker as was written.
    Half(String),
    Else,
}

fn found(directory: &Path) -> Result<Found, BenchError> {
    let mut entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(BenchError::file(directory)(error)),
    };
    if entries.next().is_none() {
        return Ok(Found::Nothing);
    }
    if let Some(marker) = read_marker(directory, MARKER)? {
        return Ok(if name_in_marker(&marker).is_some() { Found::Corpus(marker) } else { Found::Else });
    }
    Ok(read_marker(directory, PARTIAL)?.map_or(Found::Else, Found::Half))
}

/// The marker of this name, where there is one. No marker is long, and whatever is, is none.
fn read_marker(directory: &Path, name: &str) -> Result<Option<String>, BenchError> {
    const MARKER_BYTES_MAX: u64 = 64 * 1024;
    let path = directory.join(name);
    let is_marker = |data: &fs::Metadata| data.is_file() && data.len() <= MARKER_BYTES_MAX;
    match fs::symlink_metadata(&path).and_then(|data| is_marker(&data).then(|| fs::read(&path)).transpose()) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(BenchError::file(&path)(error)),
    }
}

fn refuse<T>(why: String) -> Result<T, BenchError> {
    Err(BenchError::Refused(why))
}

/// Refuses a corpus of another recipe, or of other parameters under the same name.
fn expect_recipe(directory: &Path, marker: &str, recipe: &Recipe) -> Result<(), BenchError> {
    let (shown, wanted) = (directory.display(), &recipe.name);
    match name_in_marker(marker) {
        _ if marker == recipe.marker() => Ok(()),
        Some(name) if name != *wanted => refuse(format!(
            "{shown}: a corpus of the recipe {name:?}, not of {wanted:?}: name a new directory"
        )),
        _ => refuse(format!(
            "{shown}: made from other parameters than the recipe {wanted:?} of this filemill has: name a new directory"
        )),
    }
}

/// The same of a half-made corpus, whose marker may be half written too.
fn expect_half(directory: &Path, marker: &str, recipe: &Recipe) -> Result<(), BenchError> {
    if recipe.marker().starts_with(marker) {
        return Ok(());
    }
    let shown = directory.display();
    refuse(format!("{shown}: half of another corpus than {:?}: name a new directory", recipe.name))
}

/// Refuses a disk that is too small, as far as the system tells. Files take whole blocks, and one entry of the file
/// system each.
fn expect_space(directory: &Path, files: &Files<'_>) -> Result<(), BenchError> {
    #[cfg(unix)]
    {
        let disk = rustix::fs::statvfs(directory);
        let disk = disk.map_err(|errno| BenchError::file(directory)(errno.into()))?;
        let block = disk.f_frsize.max(512);
        let sizes = (0..files.recipe.files).into_par_iter().map(|index| files.size(index));
        let needed: u64 = sizes.map(|size| size.next_multiple_of(block)).sum();
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let (shown, name) = (directory.display(), &files.recipe.name);
        if free < needed {
            return refuse(format!(
                "{shown}: the corpus {name:?} needs {needed} bytes, and only {free} are free"
            ));
        }
        // Some file systems have no limit, and say 0.
        let entries = files.recipe.files + files.directories().count() as u64;
        if disk.f_files > 0 && disk.f_favail < entries {
            return refuse(format!(
                "{shown}: the corpus {name:?} needs {entries} inodes, and only {} are free",
                disk.f_favail
            ));
        }
    }
    #[cfg(not(unix))]
    let _: (&Path, u64) = (directory, files.size(0));
    Ok(())
}

/// Writes every file, and gives the marker its name when all are there.
fn write(directory: &Path, files: &Files<'_>, watch: &Watch<'_>) -> Result<(), BenchError> {
    // Files between two looks at the watch: some milliseconds, of which the last core to finish wastes a part.
    const STEP_FILES: u64 = 512;
    let partial = directory.join(PARTIAL);
    let mut bytes = Vec::new();
    files.content(0, &mut bytes);
    write_file(&partial, &bytes)?;
    for path in files.directories().skip(1) {
        let path = directory.join(path);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(BenchError::file(&path)(error));
            }
            _ => {}
        }
    }
    let (control, of) = (watch.control, files.recipe.files);
    let what = format!("making {}", files.recipe.name);
    for first in (1..of).step_by(usize::try_from(STEP_FILES).expect("a small number")) {
        (watch.tell)(&what, first, of);
        let step = first..of.min(first + STEP_FILES);
        step.into_par_iter().try_for_each_init(Vec::new, |bytes, index| {
            if control.is_cancelled() {
                return Err(BenchError::Cancelled);
            }
            files.content(index, bytes);
            write_file(&directory.join(files.path(index)), bytes)
        })?;
    }
    if watch.is_cancelled() {
        return Err(BenchError::Cancelled);
    }
    let marker = directory.join(MARKER);
    fs::rename(&partial, &marker).map_err(BenchError::file(&marker))?;
    (watch.tell)(&what, of, of);
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BenchError> {
    let mut options = File::options();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // Never through a link, and no pipe is waited for.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
    }
    let file = options.write(true).create(true).truncate(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).map_err(BenchError::file(path))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::SystemTime;

    use sha2::{Digest as _, Sha256};

    use super::files::Role;
    use super::*;
    use crate::analyses::{Analysis, Kind, answer};
    use crate::bench::{Collect, differences};
    use crate::plan::Plan;
    use crate::record::{Digest, Outcome, Record, Value};
    use crate::sink::Sink;

    fn named(name: &str) -> Recipe {
        recipe(name).expect("it is there")
    }

    /// Every file of a recipe: its path and its content.
    fn all(files: &Files<'_>) -> Vec<(String, Vec<u8>)> {
        let file = |index| {
            let mut bytes = Vec::new();
            files.content(index, &mut bytes);
            (files.path(index), bytes)
        };
        (0..files.recipe.files).map(file).collect()
    }

    /// Not to be refreshed: another digest here is another corpus, and [`recipe::FORM`] then takes another number.
    #[test]
    fn the_bytes_of_a_recipe_are_what_they_were() {
        let smoke = named("smoke");
        let mut hasher = blake3::Hasher::new();
        for (path, bytes) in all(&Files::new(&smoke)) {
            hasher.update(path.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
        }
        assert_eq!(
            hasher.finalize().to_hex().as_str(),
            "f8795a7d6e297bc9033defe2df83ec1477da7e9b6035459714ab8a5fca81b63e"
        );
    }

    #[test]
    fn a_file_depends_on_its_index_alone() {
        let smoke = named("smoke");
        let in_order = all(&Files::new(&smoke));
        let files = Files::new(&smoke);
        let mut bytes = b"of another file".to_vec();
        for index in (0..smoke.files).rev() {
            files.content(index, &mut bytes);
            let (path, expected) = &in_order[usize::try_from(index).expect("a small number")];
            assert_eq!((&files.path(index), &bytes), (path, expected));
            assert_eq!(bytes.len() as u64, files.size(index), "{path}");
        }
    }

    #[test]
    fn sizes_lie_within_the_classes_and_have_their_mean() {
        for recipe in recipes() {
            let files = Files::new(&recipe);
            let mut of_class = vec![0_u64; recipe.classes.len()];
            let mut bytes = 0;
            for index in 1..recipe.files.min(50_000) {
                let size = files.size(index);
                bytes += size;
                let is_of = |class: &Class| (class.bytes_min..=class.bytes_max).contains(&size);
                of_class[recipe.classes.iter().position(is_of).expect("a class has it")] += 1;
            }
            assert!(of_class.iter().all(|&files| files > 0), "{}: {of_class:?}", recipe.name);
            if ["10k", "20k", "50k"].contains(&recipe.name.as_str()) {
                let mean = bytes / recipe.files;
                assert!((12_350..=13_650).contains(&mean), "{}: {mean}", recipe.name);
            }
        }
    }

    #[test]
    fn duplicates_are_as_many_as_asked_and_are_copies() {
        let tree = named("10k");
        let files = Files::new(&tree);
        let (mut duplicates, mut near) = (0_u64, 0_u64);
        let (mut bytes, mut of_origin) = (Vec::new(), Vec::new());
        for index in 1..tree.files {
            let (origin, role) = files.origin(index);
            if role == Role::Original {
                assert_eq!(origin, index);
                continue;
            }
            assert!(origin < index && files.origin(origin).1 == Role::Original);
            files.content(index, &mut bytes);
            files.content(origin, &mut of_origin);
            assert_eq!(bytes.len(), of_origin.len());
            let different = bytes.iter().zip(&of_origin).filter(|(a, b)| a != b).count();
            if role == Role::Duplicate {
                duplicates += 1;
                assert_eq!(different, 0);
            } else {
                near += 1;
                assert!(different <= 16 * (bytes.len() / 512 + 1), "{different} of {}", bytes.len());
                assert!(different > 0 || bytes.len() < 1024, "{}", files.path(index));
            }
        }
        // What was asked for, give or take four standard deviations.
        assert!((505..=695).contains(&duplicates), "{duplicates}");
        assert!((320..=480).contains(&near), "{near}");
    }

    #[test]
    fn paths_are_plain_and_each_is_there_once() {
        for recipe in recipes() {
            let files = Files::new(&recipe);
            let directories: HashSet<String> = files.directories().collect();
            let mut paths = HashSet::new();
            for index in 0..recipe.files.min(50_000) {
                let path = files.path(index);
                assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte)));
                let name = path.rfind('/').map_or(0, |slash| slash + 1);
                assert!(directories.contains(&path[..name]), "{path}");
                assert!(paths.insert(path), "{}: file {index}", recipe.name);
            }
        }
    }

    #[test]
    fn text_is_text_in_its_encoding_and_binaries_are_not() {
        let smoke = named("smoke");
        let (mut ascii, mut unicode, mut binaries) = (0, 0, 0);
        for (path, bytes) in all(&Files::new(&smoke)) {
            let kind = answer(&mut *Kind::new().pass(), [bytes.as_slice()]);
            match path.rsplit('.').next().expect("each has an extension") {
                "png" | "jpg" | "gz" | "so" | "sqlite" | "dat" | "bin" if bytes.len() > 64 => {
                    binaries += 1;
                    assert_eq!(kind[1], Value::Bool(false), "{path}");
                    // What follows the magic number of ELF is no list of program headers.
                    let is_known = ![".dat", ".bin", ".so"].iter().any(|end| path.ends_with(end));
                    assert_eq!(kind[0] != Value::Null, is_known, "{path}: {:?}", kind[0]);
                }
                "png" | "jpg" | "gz" | "so" | "sqlite" | "dat" | "bin" => {}
                _ => {
                    let text = String::from_utf8(bytes).expect("text is UTF-8");
                    if text.is_ascii() {
                        ascii += 1
                    } else {
                        unicode += 1
                    }
                    assert!(text.is_empty() || text.ends_with('\n'), "{path}");
                }
            }
        }
        assert!(ascii > 100 && unicode > 20 && binaries > 40, "{ascii}, {unicode}, {binaries}");
    }

    /// The answers by loops that anybody can read, and by other programs' code.
    fn answers_without_the_engine(bytes: &[u8]) -> Vec<Value> {
        let is_space = |byte: u8| matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ');
        let mut counts = [0_u64; 256];
        let (mut lines, mut words, mut before) = (0, 0, b' ');
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
            lines += u64::from(byte == b'\n');
            words += u64::from(is_space(before) && !is_space(byte));
            before = byte;
        }
        let shares =
            counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 / bytes.len() as f64);
        let entropy = -shares.map(|share| share * share.log2()).sum::<f64>();
        let mut values = answer(&mut *Kind::new().pass(), [bytes]);
        values.extend([
            Value::U64(lines),
            Value::U64(words),
            Value::F64(entropy),
            Value::Digest(Digest::new(&xxhash_rust::xxh3::xxh3_128(bytes).to_be_bytes())),
            Value::Digest(Digest::new(&Sha256::digest(bytes))),
            Value::Digest(Digest::new(blake3::hash(bytes).as_bytes())),
        ]);
        values
    }

    #[test]
    fn the_answers_of_smoke_are_right_without_the_engine() {
        let smoke = named("smoke");
        let mut plan = Plan::new(["corpus"]);
        plan.analyses = crate::analyses::parse("full").expect("a preset");
        let mut sink = Collect::default();
        sink.begin(&plan, SystemTime::now()).expect("it only counts");
        for (path, bytes) in all(&Files::new(&smoke)) {
            let values = answers_without_the_engine(&bytes);
            assert_eq!(values.len(), plan.columns().len(), "a column has no answer here");
            let outcome = Outcome::done(bytes.len() as u64, 0);
            let record =
                Record { number: 0, directory: b"corpus", name: path.as_bytes(), outcome, values: &values };
            sink.record(&record).expect("it only counts");
        }
        let answers = sink.into_answers();
        assert_eq!(differences(smoke.answers(), &answers), Vec::<String>::new());
        assert_eq!(smoke.answers(), &answers);
    }
}
