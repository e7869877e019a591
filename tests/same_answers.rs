//! The same answer always: for any number of workers and walkers, any batch, any block, any cut of the bytes, any
//! walker; and the answer is that of other programs.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use filemill::analyses::{Analysis, REGISTRY};
use filemill::plan::{Filter, Plan, Root, Sort, Staging, Walker, Workers};
use filemill::record::{Digest, Directory, FileRecord, Outcome, Row, Value};
use proptest::prelude::*;

use crate::support::{InOrder, Records, Rows, Tree, analyses, outcomes, scan};

/// Bytes that look random and are the same every time.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32).to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

/// Text with words and lines of many lengths.
fn prose(seed: u64, bytes: usize) -> Vec<u8> {
    const LETTERS: &[u8] = b"etaoin shrdlu\n\t.,EHx ";
    noise(seed, bytes).iter().map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]).collect()
}

/// Deep and wide places, empty files and directories, files about as long as a block and much longer.
fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        let tree = Tree::new();
        tree.directory("empty/directory");
        for i in 0..120_usize {
            let directory = format!("d{}/{}e{}", i % 7, "sub/".repeat(i % 5), i % 3);
            let content = if i % 3 == 0 { noise(i as u64, i * 97) } else { prose(i as u64, i * 61) };
            tree.file(format!("{directory}/file-{i}.txt"), content);
        }
        for (i, length) in [0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 300_000].into_iter().enumerate() {
            tree.file(format!("sizes/{length}"), prose(i as u64, length));
        }
        let mut deep = String::from("deep");
        for level in 0..40 {
            tree.file(format!("{deep}/a/file"), level.to_string());
            tree.file(format!("{deep}/z/file"), level.to_string());
            deep.push_str("/m");
        }
        #[cfg(unix)]
        {
            tree.link("links/file", "../sizes/4096");
            tree.link("links/directory", "../deep");
            tree.link("links/nowhere", "nowhere at all");
            std::fs::hard_link(tree.at("sizes/8193"), tree.at("sizes/8193-again")).unwrap();
        }
        tree
    })
}

fn full(tree: &Tree) -> Plan {
    Plan { analyses: analyses("full,minhash:k=16"), ..Plan::new([tree.path()]) }
}

/// What other code says of the same files: the oracle.
fn expected() -> &'static Records {
    static EXPECTED: OnceLock<Records> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let (records, _) =
            scan(&Plan { walker: Walker::Portable, workers: Workers::Number(1), ..full(tree()) });
        let columns: Vec<_> = full(tree()).columns().iter().map(|column| column.name).collect();
        for (path, (outcome, values)) in &records {
            let Outcome::Done { size, .. } = outcome else { continue };
            let bytes = std::fs::read(tree().at(path)).unwrap();
            assert_eq!(*size, bytes.len() as u64);
            let values: BTreeMap<_, _> = columns.iter().copied().zip(values).collect();
            let text = String::from_utf8_lossy(&bytes);
            let digest = |bytes: &[u8]| Value::Digest(Digest::new(bytes));
            assert_eq!(
                values["lines"],
                &Value::U64(bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
            );
            if bytes.is_ascii() {
                assert_eq!(
                    values["words"],
                    &Value::U64(text.split_ascii_whitespace().count() as u64),
                    "{path}"
                );
            }
            assert_eq!(values["blake3"], &digest(blake3::hash(&bytes).as_bytes()));
            assert_eq!(values["sha256"], &digest(&<sha2::Sha256 as sha2::Digest>::digest(&bytes)));
            assert_eq!(values["xxh3"], &digest(&xxhash_rust::xxh3::xxh3_128(&bytes).to_be_bytes()));
        }
        records
    })
}

#[test]
fn the_answers_are_those_of_other_code() {
    assert!(expected().len() > 200);
    let (records, report) = scan(&full(tree()));
    assert_eq!(&records, expected());
    assert_eq!(report.directories, walkdir_directories());
}

fn walkdir_directories() -> u64 {
    let entries = walkdir::WalkDir::new(tree().path()).into_iter().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.file_type().is_dir()).count() as u64
}

/// Sizes around where files are divided, which is at multiples of 8 MiB.
#[test]
fn large_files_are_answered_in_parts_as_they_are_in_one() {
    let tree = Tree::new();
    const PART: usize = 8 << 20;
    for (i, bytes) in [PART - 1, PART, PART + 1, 3 * PART - 5, 4 * PART + 12_345].into_iter().enumerate() {
        tree.file(format!("prose {i}"), prose(i as u64, bytes));
        tree.file(format!("noise {i}"), noise(i as u64, bytes));
        // Words and lines that a cut falls into, and beside.
        tree.file(format!("{i}/pairs"), b"ab \n".repeat(bytes / 4));
        tree.file(format!("{i}/word"), vec![b'x'; bytes]);
    }
    // The second list has analyses that are not divided among those that are.
    for list in ["kind,lines,words,entropy,blake3", "full"] {
        let plan = |workers: usize| Plan {
            workers: Workers::Number(workers),
            analyses: analyses(list),
            share_bytes: 1 << 20,
            ..Plan::new([tree.path()])
        };
        let (expected, _) = scan(&plan(1));
        assert_eq!(expected.len(), 20);
        let digest = |path: &str| blake3::hash(&std::fs::read(tree.at(path)).unwrap());
        for (path, (_, values)) in &expected {
            assert_eq!(values.last(), Some(&Value::Digest(Digest::new(digest(path).as_bytes()))));
        }
        for workers in [2, 3, 8] {
            assert_eq!(scan(&plan(workers)).0, expected, "{list}, {workers} workers");
        }
    }

    // Sketches take long in a build for tests: of two files.
    for list in ["minhash:k=8", "minhash:k=8:kind=one-permutation", "minhash:k=8:shingle=words:3"] {
        let plan = |workers: usize| Plan {
            workers: Workers::Number(workers),
            analyses: analyses(list),
            share_bytes: 1 << 20,
            ..Plan::new([tree.at("prose 2"), tree.at("prose 3")])
        };
        assert_eq!(scan(&plan(3)).0, scan(&plan(1)).0, "{list}");
    }
}

#[test]
fn one_worker_one_file_a_batch_a_queue_of_one() {
    for workers in [1, 2].map(Workers::Number) {
        let plan = Plan { workers, walkers: 1, batch_files_max: 1, queue_batches_max: 1, ..full(tree()) };
        assert_eq!(&scan(&plan).0, expected());
    }
}

/// Every way to the bytes, and its limits.
fn staging() -> impl Strategy<Value = (Staging, u64, usize, u64)> {
    filemill::guard_mappings().unwrap();
    let ways = [Staging::Auto, Staging::Read, Staging::Mmap, Staging::RamDisk];
    (proptest::sample::select(ways.to_vec()), 0_u64..30_000, 1_usize..50_000, 0_u64..2_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_setting_changes_a_row(
        workers in (1_usize..9).prop_map(Workers::Number),
        walkers in 1_usize..5,
        batch_files_max in 1_usize..70,
        batch_bytes_max in proptest::option::of(1_u64..100_000),
        queue_batches_max in 1_usize..9,
        share_bytes in 1_u64..50_000,
        block_bytes in 1_usize..20_000,
        // A RAM disk takes one more than the twelve.
        handles_max in 13_usize..200,
        portable in any::<bool>(),
        (staging, map_bytes_min, map_window_bytes, ram_disk_bytes_max) in staging(),
    ) {
        let walker = if portable { Walker::Portable } else { Walker::default() };
        let plan = Plan {
            staging, map_bytes_min, map_window_bytes, ram_disk_bytes_max,
            workers, walkers, batch_files_max, batch_bytes_max, queue_batches_max, share_bytes, handles_max, walker,
            // Reading 300 KB by single bytes shows nothing that 100 do not.
            block_bytes: block_bytes.max(100),
            ..full(tree())
        };
        let (records, report) = scan(&plan);
        prop_assert_eq!(&records, expected());
        prop_assert_eq!(report.directories, walkdir_directories());
    }

    #[test]
    fn no_setting_changes_a_row_of_files_that_are_divided(
        workers in (2_usize..9).prop_map(Workers::Number),
        batch_files_max in 1_usize..70,
        share_bytes in 1_u64..50_000,
        block_bytes in 100_usize..20_000,
        is_full in any::<bool>(),
    ) {
        let analyses = analyses(if is_full { "full" } else { "kind,lines,words,entropy,blake3,minhash:kind=one-permutation" });
        let plan = Plan { workers, batch_files_max, share_bytes, block_bytes, analyses, ..full(tree()) };
        let alone = Plan { workers: Workers::Number(1), ..plan.clone() };
        prop_assert_eq!(scan(&plan).0, scan(&alone).0);
    }

    #[test]
    fn sorted_rows_come_in_one_order(
        workers in (1_usize..9).prop_map(Workers::Number),
        batch_files_max in 1_usize..70,
        queue_batches_max in 1_usize..9,
        share_bytes in 1_u64..50_000,
        sort_window_files_max in 1_usize..300,
        handles_max in 12_usize..200,
        portable in any::<bool>(),
    ) {
        let walker = if portable { Walker::Portable } else { Walker::default() };
        let plan = Plan {
            workers, batch_files_max, queue_batches_max, share_bytes, sort_window_files_max, handles_max, walker,
            ..full(tree())
        };
        prop_assert_eq!(&in_order(&plan), expected_order());
    }

    #[test]
    fn no_cut_of_the_bytes_changes_an_answer(
        seed in any::<u64>(),
        length in 0_usize..40_000,
        is_prose in any::<bool>(),
        cuts in proptest::collection::vec(0_usize..40_000, 0..12),
    ) {
        let bytes = if is_prose { prose(seed, length) } else { noise(seed, length) };
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < length).collect();
        cuts.extend([0, length]);
        cuts.sort_unstable();
        let blocks: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        for analysis in analyses("full,minhash") {
            prop_assert_eq!(answer(&*analysis, &[&bytes]), answer(&*analysis, &blocks), "{}", analysis.name());
        }
    }

    #[test]
    fn both_walkers_filter_alike(
        glob in proptest::option::of(proptest::sample::select(vec!["*.txt", "!*.txt", "!e1", "file", "d*/**", "!/nothing"])),
        skip_hidden in any::<bool>(),
        depth_max in proptest::option::of(0_usize..8),
        follow in any::<bool>(),
        one_file_system in any::<bool>(),
        size_min in proptest::option::of(0_u64..6000),
    ) {
        let filter = Filter {
            globs: glob.into_iter().map(str::to_owned).collect(),
            gitignore: false, skip_hidden, depth_max, follow, one_file_system, size_min, size_max: None,
        };
        let run = |walker| scan(&Plan { walker, filter: filter.clone(), analyses: analyses("lines"), ..Plan::new([tree().path()]) });
        let ((records, report), (oracle, oracle_report)) = (run(Walker::default()), run(Walker::Portable));
        prop_assert_eq!(outcomes(&records), outcomes(&oracle));
        prop_assert_eq!(report.filtered, oracle_report.filtered);
    }
}

fn in_order(plan: &Plan) -> Rows {
    let mut sink = InOrder::default();
    filemill::run(&Plan { sort: Sort::Path, ..plan.clone() }, &mut sink).unwrap();
    sink.0
}

/// The rows of [`expected`], by the components of their paths.
fn expected_order() -> &'static Rows {
    static EXPECTED: OnceLock<Rows> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let root = tree().path().to_str().unwrap();
        let rows = expected().iter().map(|(path, (outcome, values))| {
            (format!("{root}/{path}").into_bytes(), *outcome, values.clone())
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| a.0.split(|&byte| byte == b'/').cmp(b.0.split(|&byte| byte == b'/')));
        rows
    })
}

#[test]
fn roots_are_sorted_as_given_and_links_as_names() {
    let tree = Tree::new();
    for name in ["b/2", "b/1/x", "b/1-x", "a", "c/z"] {
        tree.file(name, "x");
    }
    #[cfg(unix)]
    tree.link("b/1a", "../c");
    for walker in [Walker::default(), Walker::Portable] {
        let roots = ["c", "b", "a"].map(|name| Root::from(tree.at(name)));
        let filter = Filter { follow: cfg!(unix), ..Filter::default() };
        let rows = in_order(&Plan { walker, filter, ..Plan::new(roots) });
        let prefix = tree.path().to_str().unwrap().len() + 1;
        let paths: Vec<_> = rows.iter().map(|(path, ..)| String::from_utf8_lossy(&path[prefix..])).collect();
        let linked: &[&str] = if cfg!(unix) { &["b/1a/z"] } else { &[] };
        assert_eq!(paths, [&["c/z", "b/1/x", "b/1-x"], linked, &["b/2", "a"]].concat());
    }
}

fn answer(analysis: &dyn Analysis, blocks: &[&[u8]]) -> Vec<Value> {
    let directory = Directory::from_path(b"");
    let size = blocks.iter().map(|block| block.len() as u64).sum();
    let mut pass = analysis.pass();
    let mut row = Row::default();
    // Twice: a pass must leave nothing of the file before.
    for _ in 0..2 {
        row.truncate(0);
        pass.begin(
            &FileRecord {
                directory: &directory,
                name: b"file",
                size,
                mtime_ns: 0,
                identity: Default::default(),
            },
            0,
        );
        blocks.iter().filter(|block| !block.is_empty()).for_each(|block| pass.block(block));
        pass.finish(&mut row);
    }
    row.values().to_vec()
}

#[test]
fn every_analysis_is_in_a_preset() {
    assert_eq!(analyses("full").len(), REGISTRY.iter().filter(|registered| registered.in_full).count());
}
