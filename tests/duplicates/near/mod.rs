//! Which files are nearly the same.

mod changes;
mod device;
mod exact;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use filemill::analyses::{Analysis, MinHash, SHINGLES_MAX, Shingle, SketchKind};
use filemill::control::Control;
use filemill::duplicates::{Compares, Found, Near, Search, find};
use filemill::error::Error;
use filemill::plan::{Plan, Workers};
use filemill::record::{Outcome, Value};
use proptest::prelude::*;

use super::{Keep, run, search, search_in};
use crate::support::{Tree, scan};

/// A text of its own for each seed.
fn text(seed: u64, words: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("w{:x} ", state % 100_000)
    };
    (0..words).map(|_| word()).collect()
}

/// A text with every so-manieth of its words replaced.
fn edited(text: &str, every: usize) -> String {
    let word =
        |(i, word): (usize, &str)| if i % every == every / 2 { format!("X{i} ") } else { format!("{word} ") };
    text.split_ascii_whitespace().enumerate().map(word).collect()
}

fn near(search: Search, near: Near) -> Search {
    Search { near: Some(near), ..search }
}

/// Of each group: its paths with their similarities.
fn told(found: &Found) -> Vec<Vec<(String, f64)>> {
    let path = |file| String::from_utf8(found.catalog.path(file)).unwrap();
    let member = |path: &str, similarity| {
        (path.rsplit_once(".tmp").unwrap().1.split_once('/').unwrap().1.to_owned(), similarity)
    };
    let members = |group: &filemill::groups::NearGroup| {
        group.members.iter().map(|of| member(&path(of.name.file), of.similarity)).collect()
    };
    found.near.iter().map(members).collect()
}

fn names(found: &Found) -> Vec<Vec<String>> {
    told(found).into_iter().map(|group| group.into_iter().map(|(name, _)| name).collect()).collect()
}

/// Searches with as little memory as it says that it takes, and tells how often it was refused before.
fn with_the_least(mut search: Search) -> (Found, usize) {
    let (mut limit, mut refused) = (1_u64 << 20, 0);
    loop {
        search.plan.memory_bytes_max = Some(limit);
        match find(&search, &mut Keep::default(), &Control::new()) {
            Ok(found) => return (found, refused),
            Err(Error::Plan(why)) => {
                let (told, least) = why.rsplit_once(' ').unwrap();
                assert!(told.starts_with(&format!("a memory of {limit} bytes is too small: ")), "{why}");
                (limit, refused) = (least.parse().unwrap(), refused + 1);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The Jaccard index of the shingles themselves.
fn jaccard(a: &[u8], b: &[u8], bytes: usize) -> f64 {
    let set = |text: &[u8]| text.windows(bytes).map(<[u8]>::to_vec).collect::<HashSet<_>>();
    let (a, b) = (set(a), set(b));
    a.intersection(&b).count() as f64 / a.union(&b).count() as f64
}

/// Trees of texts that are edited more and more.
fn gradual(texts: u64, edits: usize) -> (Tree, BTreeMap<String, Vec<u8>>) {
    let tree = Tree::new();
    let mut files = BTreeMap::new();
    for seed in 0..texts {
        let original = text(seed, 200 + 30 * usize::try_from(seed % 7).unwrap());
        for edit in 0..edits {
            let content = if edit == 0 { original.clone() } else { edited(&original, 400 / (edit * edit)) };
            let name = format!("{}/{seed}-{edit}", edit % 2);
            tree.file(&name, &content);
            files.insert(name, content.into_bytes());
        }
    }
    (tree, files)
}

/// What pairs of at least this similarity connect.
fn components(files: &[&str], is_pair: impl Fn(usize, usize) -> bool) -> HashSet<Vec<String>> {
    let mut of: Vec<usize> = (0..files.len()).collect();
    for a in 0..files.len() {
        for b in a + 1..files.len() {
            if of[a] != of[b] && is_pair(a, b) {
                let (from, to) = (of[b], of[a]);
                of.iter_mut().filter(|of| **of == from).for_each(|of| *of = to);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    files.iter().zip(of).for_each(|(file, of)| groups.entry(of).or_default().push((*file).to_owned()));
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn found_sets(found: &Found) -> HashSet<Vec<String>> {
    let mut sets = names(found);
    sets.iter_mut().for_each(|names| names.sort_unstable());
    sets.into_iter().collect()
}

#[test]
fn files_that_differ_in_little_are_a_group_beside_those_that_are_the_same() {
    let tree = Tree::new();
    let (one, other) = (text(1, 500), text(2, 500));
    tree.file("b/1", &one);
    tree.file("a/edited", edited(&one, 100));
    tree.file("c/same", &one);
    tree.file("other", &other);
    tree.file("short", "abc");
    tree.file("shorter", "abc");
    tree.file("empty", "");
    std::fs::hard_link(tree.at("b/1"), tree.at("b/link")).unwrap();
    let (keep, found) = run(&near(search(&tree), Near::new(0.6)));
    assert_eq!(names(&found), [["a/edited", "b/1", "b/link", "c/same"]]);
    assert_eq!(keep.groups.iter().map(|group| group.kind).collect::<Vec<_>>(), ["files", "files", "near"]);
    // Hard links to one file are one copy.
    assert_eq!(keep.copies()[2], [vec!["a/edited"], vec!["b/1", "b/link"], vec!["c/same"]]);
    let similarities: Vec<f64> = told(&found)[0].iter().map(|(_, similarity)| *similarity).collect();
    let real = jaccard(one.as_bytes(), edited(&one, 100).as_bytes(), 16);
    assert!(similarities[0] == 1.0 && (similarities[1] - real).abs() < 0.15, "{similarities:?} {real}");
    assert!(similarities[1..].iter().all(|similarity| *similarity == similarities[1]));
    let told = found.report.duplicates.unwrap();
    let near = told.near.unwrap();
    assert_eq!((near.groups, near.files, near.contents, near.unsketched), (1, 3, 3, 2));
    let rounds: Vec<_> = told.rounds.iter().map(|round| (round.name, round.files)).collect();
    // What is too short for a sketch goes through the rounds that it always goes through.
    assert_eq!(rounds, [("look", 8), ("head", 2), ("content", 2), ("sketch", 4), ("compare", 3)]);
    let by_links = one.len() as u64;
    assert_eq!(told.read_bytes, told.searched_bytes - by_links + 6, "every other byte is read once");
}

#[test]
fn what_is_shorter_than_a_shingle_or_no_text_matches_only_exactly() {
    let tree = Tree::new();
    let bytes = [text(1, 200).into_bytes(), b"\0\x01\x02".repeat(20)].concat();
    tree.file("binary/a", &bytes);
    tree.file("binary/b", [&bytes[..], b"more"].concat());
    tree.file("text/a", text(2, 200));
    tree.file("text/b", text(2, 200) + "more");
    tree.file("short/a", "fifteen  bytes.");
    tree.file("short/b", "fifteen  bytes!");
    let (_, found) = run(&near(search(&tree), Near::new(0.8)));
    assert_eq!(names(&found), [["binary/a", "binary/b"], ["text/a", "text/b"]]);
    let text_only = Near { text_only: true, ..Near::new(0.8) };
    let (_, found) = run(&near(search(&tree), text_only));
    assert_eq!(names(&found), [["text/a", "text/b"]]);
    let told = found.report.duplicates.unwrap().near.unwrap();
    assert_eq!((told.not_text, told.unsketched), (2, 2));
}

#[test]
fn what_is_too_long_for_a_sketch_is_read_as_little_as_ever() {
    let tree = Tree::new();
    for (name, bytes) in [("a", SHINGLES_MAX + 16), ("b", SHINGLES_MAX + 17)] {
        tree.file(name, "");
        std::fs::OpenOptions::new().write(true).open(tree.at(name)).unwrap().set_len(bytes).unwrap();
    }
    let (_, found) = run(&near(search(&tree), Near::new(0.8)));
    let told = found.report.duplicates.unwrap();
    assert_eq!((told.read_bytes, told.near.unwrap().unsketched), (0, 2));
}

#[test]
fn a_member_below_the_threshold_is_there_by_others() {
    let tree = Tree::new();
    // Each the one before with a fifth of it replaced: neighbours are alike, the ends are not.
    let words = text(3, 2000);
    let words: Vec<&str> = words.split_ascii_whitespace().collect();
    for i in 0..5 {
        tree.file(format!("{i}"), words[i * 150..i * 150 + 1000].join(" "));
    }
    let (_, found) = run(&near(search(&tree), Near { compares: Compares::All, ..Near::new(0.6) }));
    let [group] = &told(&found)[..] else { panic!("{:?}", found.near) };
    assert_eq!(group.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert!(group.is_sorted_by(|a, b| a.1 > b.1) && group[1].1 >= 0.6 && group[4].1 < 0.45, "{group:?}");
}

#[test]
fn references_and_paths_say_which_groups_are_wanted() {
    let tree = Tree::new();
    for (name, seed) in [("a/1", 1), ("a/2", 2), ("b/1", 1), ("b/3", 3), ("b/4", 3)] {
        tree.file(name, edited(&text(seed, 400), 90 + name.len() + usize::from(name.as_bytes()[0])));
        tree.file(format!("{name}x"), text(seed, 400) + name);
    }
    let threshold = Near::new(0.5);
    let whole = run(&near(search(&tree), threshold.clone())).1;
    assert_eq!(names(&whole).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    let mut reference = near(search(&tree), threshold.clone());
    reference.references = vec![tree.at("b")];
    let (_, found) = run(&reference);
    assert_eq!(names(&found), [["b/1", "b/1x", "a/1", "a/1x"]]);
    let mut across = near(search_in(Plan::new([tree.at("a"), tree.at("b")])), threshold);
    across.is_across = true;
    let (_, found) = run(&across);
    assert_eq!(names(&found), [["a/1", "a/1x", "b/1", "b/1x"]]);
}

#[test]
fn all_pairs_find_what_the_sketches_of_a_scan_say() {
    let (tree, files) = gradual(12, 6);
    for kind in [SketchKind::Permutations, SketchKind::OnePermutation] {
        let sketches = MinHash::new(64, Shingle::Words(3), kind).unwrap();
        let analysis: Arc<dyn Analysis> = Arc::new(sketches.clone());
        let (records, _) = scan(&Plan { analyses: vec![analysis], ..Plan::new([tree.path()]) });
        let sketch = |name: &&str| match &records[*name] {
            (Outcome::Done { .. }, values) => match &values[..] {
                [Value::Sketch(sketch)] => sketch.clone(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        let sketched: Vec<_> = names.iter().map(sketch).collect();
        let equal = |a: usize, b: usize| sketched[a].iter().zip(&sketched[b]).filter(|(a, b)| a == b).count();
        for threshold in [0.3, 0.5, 0.8, 1.0] {
            let mut expected = components(&names, |a, b| equal(a, b) as f64 >= threshold * 64.0);
            // What is the same is told as that.
            expected.retain(|group| group.iter().any(|name| files[name] != files[&group[0]]));
            let all = Near { sketches: sketches.clone(), compares: Compares::All, ..Near::new(threshold) };
            let (_, found) = run(&near(search(&tree), all.clone()));
            assert_eq!(found_sets(&found), expected, "{kind:?} {threshold}");
            // What bands miss is one in two hundred pairs at the threshold, and fewer above it.
            let (_, banded) = run(&near(search(&tree), Near { compares: Compares::Banded, ..all }));
            assert_eq!(found_sets(&banded), expected, "{kind:?} {threshold}");
        }
    }
}

#[test]
fn sketches_that_do_not_fit_the_memory_give_the_same_answer() {
    let (tree, _) = gradual(60, 4);
    let sketches = MinHash::new(1024, Shingle::default(), SketchKind::OnePermutation).unwrap();
    let near_of = |limit| {
        let mut search = near(search(&tree), Near { sketches: sketches.clone(), ..Near::new(0.7) });
        search.plan.memory_bytes_max = limit;
        run(&search).1
    };
    let roomy = near_of(None);
    // Nothing is left for sketches.
    let (tight, refused) =
        with_the_least(near(search(&tree), Near { sketches: sketches.clone(), ..Near::new(0.7) }));
    assert_eq!(refused, 2, "before anything is read, and when it is known how many files there are");
    assert_eq!(told(&tight), told(&roomy));
    let spilled = |found: Found| {
        let near = found.report.duplicates.unwrap().near.unwrap();
        (near.spilled_bytes, near.contents)
    };
    let (bytes, contents) = spilled(tight);
    assert!(bytes > contents * 4096 / 2, "{bytes} of {contents} sketches");
    assert_eq!(spilled(roomy), (0, contents));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let tree = Tree::new();
    tree.file("a", "a");
    #[track_caller]
    fn check(tree: &Tree, change: impl FnOnce(&mut Search), expected: &str) {
        let mut search = near(search(tree), Near::new(0.8));
        change(&mut search);
        match find(&search, &mut Keep::default(), &Control::new()) {
            Err(Error::Plan(why)) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
    }
    let outside = "the similarity of files that are nearly the same must be above 0 and at most 1";
    for threshold in [0.0, -1.0, 1.1, f64::NAN] {
        check(&tree, |search| search.near = Some(Near::new(threshold)), outside);
    }
    check(
        &tree,
        |search| search.directories = Some(filemill::duplicates::Directories::Identical),
        "files that are nearly the same and directories are searched for one after the other",
    );
    check(
        &tree,
        |search| search.action = Some(filemill::record::Action::Hardlink),
        "nothing can be done about files that are nearly the same: leave out one of the two",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_settings_find_the_same(
        texts in 1_u64..8,
        edits in 1_usize..5,
        workers in 1_usize..5,
        batch_files_max in 1_usize..9,
        is_exact: bool,
        compares_all: bool,
        memory_bytes_max in proptest::option::of(24_u64 << 20..64 << 20),
    ) {
        let (tree, _) = gradual(texts, edits);
        let compares = if compares_all { Compares::All } else { Compares::Banded };
        let nearly = Near { is_exact, compares, ..Near::new(0.6) };
        let one = run(&near(Search::new(Plan { workers: Workers::Number(1), ..Plan::new([tree.path()]) }), nearly.clone())).1;
        let workers = Workers::Number(workers);
        let plan = Plan { workers, batch_files_max, memory_bytes_max, ..Plan::new([tree.path()]) };
        let other = run(&near(Search::new(plan), nearly)).1;
        prop_assert_eq!(told(&one), told(&other));
    }
}
