//! Files that are nearly the same by the shingles themselves.

#[cfg(target_os = "linux")]
use std::path::Path;

use filemill::analyses::{MinHash, SHINGLE_BYTES_MAX, Shingle, SketchKind};
use filemill::duplicates::{Compares, Found, Near};
#[cfg(target_os = "linux")]
use filemill::plan::{Plan, Root};

use super::{components, edited, found_sets, gradual, jaccard, near, text, told, with_the_least};
#[cfg(target_os = "linux")]
use crate::duplicates::search_in;
use crate::duplicates::{run, search};
use crate::support::Tree;

#[test]
fn exact_search_finds_what_the_shingles_themselves_say() {
    let (tree, files) = gradual(10, 5);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    for (bytes, threshold) in [(16, 0.7), (8, 0.5), (SHINGLE_BYTES_MAX, 0.6)] {
        let sketches = MinHash::new(128, Shingle::Bytes(bytes), SketchKind::Permutations).unwrap();
        let real = |a: usize, b: usize| jaccard(&files[names[a]], &files[names[b]], bytes);
        let expected = components(&names, |a, b| real(a, b) >= threshold);
        for (compares, limit) in
            [(Compares::Banded, None), (Compares::All, None), (Compares::Banded, Some(64 << 20))]
        {
            let exact = Near { sketches: sketches.clone(), compares, is_exact: true, ..Near::new(threshold) };
            let mut search = near(search(&tree), exact);
            search.plan.memory_bytes_max = limit;
            let (_, found) = run(&search);
            assert_eq!(found_sets(&found), expected, "{bytes} {threshold} {compares:?}");
            for group in told(&found) {
                let content = |name: &str| &files[name][..];
                for (name, similarity) in &group {
                    let real = jaccard(content(&group[0].0), content(name), bytes);
                    assert!((real - similarity).abs() < 1e-12, "{name}: {similarity} instead of {real}");
                }
            }
            let rounds = found.report.duplicates.unwrap().rounds;
            assert_eq!(rounds.last().unwrap().name, "exact");
        }
    }
}

#[test]
fn sets_that_do_not_fit_the_memory_are_compared_block_by_block_or_share_by_share() {
    // Each alone is too large, or two or three fit.
    for (words, files, threshold) in [(40_000, 4, 0.3), (1500, 14, 0.62)] {
        let tree = Tree::new();
        let one = text(1, words);
        for i in 0..files {
            tree.file(format!("{i:02}"), edited(&one, 40 + 7 * i));
        }
        let sketches = MinHash::new(16, Shingle::Bytes(24), SketchKind::Permutations).unwrap();
        let exact = Near { is_exact: true, sketches, ..Near::new(threshold) };
        let roomy = run(&near(search(&tree), exact.clone())).1;
        let (tight, _) = with_the_least(near(search(&tree), exact));
        assert!(!roomy.near.is_empty());
        assert_eq!(told(&tight), told(&roomy));
        let read = |found: Found| found.report.duplicates.unwrap().rounds.last().unwrap().files;
        let (tight, roomy) = (read(tight), read(roomy));
        assert_eq!(roomy, files as u64);
        assert!(tight > roomy * 3 / 2, "{tight} reads of {files} files");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_say_they_are_empty_and_are_not_are_compared_by_what_they_hold() {
    let tree = Tree::new();
    // The same bytes, once with a size and once without.
    let version = std::fs::read("/proc/version").unwrap();
    tree.file("version", [&version[..], b"more"].concat());
    for is_exact in [false, true] {
        let roots = [Path::new("/proc/version").into(), Root::from(tree.at("version"))];
        let mut plan = Plan { roots: roots.to_vec(), ..Plan::new(["."]) };
        plan.filter.size_min = Some(0);
        let (_, found) = run(&near(search_in(plan), Near { is_exact, ..Near::new(0.8) }));
        let [group] = &found.near[..] else { panic!("{:?}", found.near) };
        assert_eq!(group.members.len(), 2);
    }
}
