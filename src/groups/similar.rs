//! Directories that have much of their content in common, whatever the names in them.
//!
//! How much is said exactly: bytes of the common content over bytes of what either has, where content that lies in both
//! several times counts as often as in the one that has fewer. All pairs cannot be tried, so pairs come from content that
//! lies in few places, and bounds drop those that cannot reach the threshold.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::spread::{Set, Spread, holds_all, shared};
use super::tree::{NONE, Tree};
use super::{Catalog, Contents, DirectoryId, Identical};

/// What keeps the search short.
#[derive(Clone, Copy)]
struct Limits {
    /// Content that lies in more directories than this makes no pairs: a licence says little of what it lies in.
    spread_max: usize,
    /// Pairs that are counted for, some 40 bytes each.
    pairs_max: usize,
    /// Times that something is added to a pair: seconds.
    steps_max: u64,
    /// Contents looked at for the exact share of pairs, beyond those that make pairs: a second.
    looks_max: u64,
}

const LIMITS: Limits = Limits { spread_max: 64, pairs_max: 1 << 20, steps_max: 1 << 26, looks_max: 1 << 28 };

/// Directories that have much in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Similar {
    /// The most common bytes first.
    pub pairs: Vec<SimilarPair>,
    /// Whether no limit was reached: beyond them pairs may be missing. Those there are hold exactly.
    pub is_complete: bool,
}

/// Two directories that have much of their content in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimilarPair {
    /// The first, by root as given and by path.
    pub a: DirectoryId,
    /// The other one.
    pub b: DirectoryId,
    /// Bytes of all files in each.
    pub bytes: [u64; 2],
    /// Bytes of the content that both have.
    pub common_bytes: u64,
}

impl SimilarPair {
    /// Bytes of what they have in common over bytes of what either has, from 0 to 1 (Jaccard 1912, weighted by bytes).
    pub fn share(&self) -> f64 {
        share(self.bytes, self.common_bytes)
    }
}

/// Finds pairs of directories that share at least `threshold` (above 0, up to 1) of their bytes.
///
/// Of directories that are the same the first stands for all. No pair where one, or what is the same as it, lies in the
/// other. Of two pairs whose directories lie in each other, both the ones and the others, one alone: the outer pair if one
/// lies in the other; else the more similar, as if both have a directory in common, or if they cross.
pub fn similar(catalog: &Catalog, contents: &Contents, identical: &Identical, threshold: f64) -> Similar {
    let tree = &identical.tree;
    let (mut pairs, is_complete) = reaching(catalog, contents, identical, threshold, LIMITS);
    pairs.retain(|pair| !holds_copy(identical, pair.a, pair.b) && !holds_copy(identical, pair.b, pair.a));
    let mut pairs = topmost(tree, nearest(tree, pairs));
    pairs.sort_unstable_by_key(|pair| (Reverse(pair.common), pair.a, pair.b));
    let directory = |place: u32| tree.order[place as usize];
    let pairs = pairs.iter().map(|pair| SimilarPair {
        a: directory(pair.a),
        b: directory(pair.b),
        bytes: [tree.bytes[pair.a as usize], tree.bytes[pair.b as usize]],
        common_bytes: pair.common,
    });
    Similar { pairs: pairs.collect(), is_complete }
}

/// All pairs that reach the threshold and do not lie in each other, and whether no limit was reached.
fn reaching(
    catalog: &Catalog,
    contents: &Contents,
    identical: &Identical,
    threshold: f64,
    limits: Limits,
) -> (Vec<Pair>, bool) {
    let spread = Spread::new(catalog, contents, identical);
    let field = Field::new(&identical.tree, identical, &spread, threshold, limits);
    let counted = field.count(&spread);
    let rest = Rest::new(&identical.tree, &spread, &counted.uncounted);
    let (pairs, is_exact) = exact(&field, &rest, counted.common);
    (pairs, counted.is_complete && is_exact)
}

fn share(bytes: [u64; 2], common: u64) -> f64 {
    let either = bytes[0] + bytes[1] - common;
    if either == 0 { 0.0 } else { common as f64 / either as f64 }
}

/// Where pairs are looked for.
struct Field<'t> {
    tree: &'t Tree,
    threshold: f64,
    limits: Limits,
    /// By place, bytes of the content that lies elsewhere as well.
    shared: Vec<u64>,
    /// By place, whether the directory may have its like.
    may_pair: Vec<bool>,
    /// By place, the next one above that may have its like, or [`NONE`].
    above: Vec<u32>,
}

/// What the sets of contents add up to.
struct Counted {
    /// Pairs of places, the first one first, and the bytes that both have of the sets that were counted.
    common: Vec<((u32, u32), u64)>,
    /// Sets that were not.
    uncounted: Vec<Set>,
    is_complete: bool,
}

/// What was added up so far.
struct Count {
    common: HashMap<(u32, u32), u64>,
    /// By place, bytes of the shared content of the sets to come and of those that are not counted.
    ahead: Vec<u64>,
    steps: u64,
    is_complete: bool,
}

impl<'t> Field<'t> {
    fn new(
        tree: &'t Tree,
        identical: &Identical,
        spread: &Spread,
        threshold: f64,
        limits: Limits,
    ) -> Field<'t> {
        let threshold = threshold.clamp(f64::MIN_POSITIVE, 1.0);
        let shared = shared(tree, spread);
        let mut field = Field { tree, threshold, limits, shared, may_pair: Vec::new(), above: Vec::new() };
        for place in 0..tree.len() {
            let may_pair = !identical.covered[place]
                && field.shared[place] > 0
                && field.reaches(field.shared[place], tree.bytes[place]);
            let above = tree.parent(place).map_or(NONE, |parent| match field.may_pair[parent] {
                true => tree.parents[place],
                false => field.above[parent],
            });
            field.may_pair.push(may_pair);
            field.above.push(above);
        }
        field
    }

    /// Whether `part` of `whole` may be enough. Rounding must not drop what lies on the threshold.
    fn reaches(&self, part: u64, whole: u64) -> bool {
        part as f64 >= self.threshold * whole as f64 * (1.0 - 1e-9)
    }

    /// Whether so many common bytes may be enough.
    fn suffices(&self, a: u32, b: u32, common: u64) -> bool {
        let bytes = [a, b].map(|place| self.tree.bytes[place as usize]);
        let common = common.min(bytes[0]).min(bytes[1]);
        self.reaches(common, bytes[0] + bytes[1] - common)
    }

    /// Adds up what pairs have in common, the sets with the most bytes first: if not all can be counted, those that matter are.
    fn count(&self, spread: &Spread) -> Counted {
        let mut count =
            Count { common: HashMap::new(), ahead: self.shared.clone(), steps: 0, is_complete: true };
        let (mut uncounted, mut holders) = (Vec::new(), Vec::new());
        for set in &spread.sets {
            let is_wide = spread.counts(set).nth(self.limits.spread_max).is_some();
            if is_wide || count.steps >= self.limits.steps_max {
                count.is_complete &= is_wide;
                uncounted.push(*set);
                continue;
            }
            self.holders(spread, set, &mut holders);
            let length = holders.len() as u64;
            count.steps += length;
            if count.steps + length * length.saturating_sub(1) / 2 > self.limits.steps_max {
                count.is_complete = false;
                uncounted.push(*set);
                continue;
            }
            self.add(set.bytes, &holders, &mut count);
        }
        let common = count.common.into_iter().collect();
        Counted { common, uncounted, is_complete: count.is_complete }
    }

    /// Adds a set to what the pairs of its holders have in common. A pair that is not known has none of the sets before: where
    /// those ahead are not enough, it need not be known. That leaves few pairs that only look alike.
    fn add(&self, set_bytes: u64, holders: &[(u32, u32)], count: &mut Count) {
        for (i, &(a, count_a)) in holders.iter().enumerate() {
            let bytes_a = self.tree.bytes[a as usize];
            let near = holders[i + 1..].iter();
            for &(b, count_b) in
                near.take_while(|holder| self.reaches(bytes_a, self.tree.bytes[holder.0 as usize]))
            {
                count.steps += 1;
                let most = self.shared[a as usize].min(self.shared[b as usize]);
                if !self.suffices(a, b, most) {
                    continue;
                }
                let pair = (a.min(b), a.max(b));
                let bytes = set_bytes * u64::from(count_a.min(count_b));
                let ahead = count.ahead[a as usize].min(count.ahead[b as usize]);
                if let Some(known) = count.common.get_mut(&pair) {
                    *known += bytes;
                } else if self.tree.is_within(pair.1, pair.0) || !self.suffices(a, b, ahead) {
                    continue;
                } else if count.common.len() < self.limits.pairs_max {
                    count.common.insert(pair, bytes);
                } else {
                    count.is_complete = false;
                }
            }
        }
        for &(place, times) in holders {
            count.ahead[place as usize] -= set_bytes * u64::from(times);
        }
    }

    /// The directories that a set lies in, other than those that hold all of its copies, and how often; the smallest first.
    fn holders(&self, spread: &Spread, set: &Set, holders: &mut Vec<(u32, u32)>) {
        holders.clear();
        let all = holds_all(self.tree, &spread.places[set.range()]);
        for (place, count) in spread.counts(set) {
            let mut at = if self.may_pair[place as usize] { place } else { self.above[place as usize] };
            while at != NONE && all.is_none_or(|all| !self.tree.is_within(all, at)) {
                holders.push((at, count));
                at = self.above[at as usize];
            }
        }
        holders.sort_unstable();
        holders.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        holders.sort_unstable_by_key(|&(place, _)| (self.tree.bytes[place as usize], place));
    }
}

/// The sets that made no pairs, by place.
struct Rest {
    entries: Vec<Held>,
    /// By place, where the entries of the directory begin; and the end.
    starts: Vec<usize>,
    /// By place, bytes of the entries before it; and all.
    before: Vec<u64>,
    /// Bytes of one copy, by set.
    bytes: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Held {
    place: u32,
    set: u32,
    count: u32,
}

impl Rest {
    fn new(tree: &Tree, spread: &Spread, uncounted: &[Set]) -> Rest {
        let mut entries = Vec::new();
        for (number, set) in (0..).zip(uncounted) {
            entries.extend(spread.counts(set).map(|(place, count)| Held { place, set: number, count }));
        }
        entries.sort_unstable_by_key(|held| (held.place, held.set));
        let bytes: Vec<_> = uncounted.iter().map(|set| set.bytes).collect();
        let (mut starts, mut before) =
            (Vec::with_capacity(tree.len() + 1), Vec::with_capacity(tree.len() + 1));
        let (mut next, mut sum) = (0, 0);
        for place in 0..=tree.len() {
            starts.push(next);
            before.push(sum);
            while let Some(held) = entries.get(next).filter(|held| held.place as usize == place) {
                sum += bytes[held.set as usize] * u64::from(held.count);
                next += 1;
            }
        }
        Rest { entries, starts, before, bytes }
    }

    /// What lies in a directory.
    fn within(&self, tree: &Tree, place: u32) -> &[Held] {
        &self.entries[self.starts[place as usize]..self.starts[tree.ends[place as usize] as usize]]
    }

    /// The bytes of that.
    fn bytes_within(&self, tree: &Tree, place: u32) -> u64 {
        self.before[tree.ends[place as usize] as usize] - self.before[place as usize]
    }
}

/// Two places, the first one first, and the bytes that they have in common.
#[derive(Clone, Copy)]
struct Pair {
    a: u32,
    b: u32,
    common: u64,
    share: f64,
}

/// Adds what made no pairs to what pairs have in common, and keeps those that reach the threshold; whether all
/// could be looked at.
fn exact(field: &Field<'_>, rest: &Rest, counted: Vec<((u32, u32), u64)>) -> (Vec<Pair>, bool) {
    let tree = field.tree;
    let mut open = Vec::new();
    for ((a, b), common) in counted {
        let most = rest.bytes_within(tree, a).min(rest.bytes_within(tree, b));
        if field.suffices(a, b, common + most) {
            // The one with less of the rest is gone through once a pair, the other one once for all of its pairs.
            let is_first = rest.within(tree, a).len() >= rest.within(tree, b).len();
            open.push(if is_first { (a, b, common) } else { (b, a, common) });
        }
    }
    open.sort_unstable();
    let (mut pairs, mut looks, mut is_complete) = (Vec::new(), 0_u64, true);
    let mut tallies = vec![Tally::default(); rest.bytes.len()];
    for of_one in open.chunk_by(|x, y| x.0 == y.0) {
        let one = of_one[0].0;
        for held in rest.within(tree, one) {
            let tally = &mut tallies[held.set as usize];
            tally.held += held.count;
            tally.left = tally.held;
        }
        for &(_, other, common) in of_one {
            let others = rest.within(tree, other);
            if looks > field.limits.looks_max && !others.is_empty() {
                is_complete = false;
                continue;
            }
            looks += others.len() as u64;
            let common = common + common_bytes(rest, others, &mut tallies);
            let (a, b) = (one.min(other), one.max(other));
            let share = share([tree.bytes[a as usize], tree.bytes[b as usize]], common);
            if share >= field.threshold {
                pairs.push(Pair { a, b, common, share });
            }
        }
        for held in rest.within(tree, one) {
            tallies[held.set as usize] = Tally::default();
        }
    }
    (pairs, is_complete)
}

/// Counts of the sets in one directory, and what is left of them while they are compared.
#[derive(Clone, Copy, Default)]
struct Tally {
    held: u32,
    left: u32,
}

/// Bytes of what there is both in `others` and in the tallies, which are left as they were.
fn common_bytes(rest: &Rest, others: &[Held], tallies: &mut [Tally]) -> u64 {
    let mut bytes = 0;
    for held in others {
        let tally = &mut tallies[held.set as usize];
        let taken = held.count.min(tally.left);
        tally.left -= taken;
        bytes += u64::from(taken) * rest.bytes[held.set as usize];
    }
    for held in others {
        let tally = &mut tallies[held.set as usize];
        tally.left = tally.held;
    }
    bytes
}

/// Whether the directory at `outer` holds the one at `inner` or one that is the same.
fn holds_copy(identical: &Identical, outer: u32, inner: u32) -> bool {
    let tree = &identical.tree;
    let same = identical.classes.of(inner as usize);
    let next = same.partition_point(|&place| place < outer);
    same.get(next).is_some_and(|&place| tree.is_within(place, outer)) || tree.is_within(inner, outer)
}

/// Pairs by their places, both ways round.
#[derive(Default)]
struct Partners(BTreeSet<(u32, u32)>);

impl Partners {
    fn add(&mut self, pair: &Pair) {
        self.0.extend([(pair.a, pair.b), (pair.b, pair.a)]);
    }

    /// The last partner of `one` whose place is in this range.
    fn last(&self, one: u32, places: Range<u32>) -> Option<u32> {
        self.0.range((one, places.start)..(one, places.end)).next_back().map(|&(_, partner)| partner)
    }
}

/// Leaves out the less similar of two pairs that have one directory in common and whose others lie in each other, or that
/// cross: the one directory of a pair lies in that of the other pair, whose second one lies in its own. Of pairs that are as
/// similar the first one stays. So no two partners of a directory lie in each other.
fn nearest(tree: &Tree, mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_unstable_by(|x, y| y.share.total_cmp(&x.share).then((x.a, x.b).cmp(&(y.a, y.b))));
    let mut partners = Partners::default();
    let is_free = |partners: &Partners, one: u32, other: u32| {
        let inner = partners.last(one, other..tree.ends[other as usize]);
        let outer = partners.last(one, 0..other);
        inner.is_none() && outer.is_none_or(|outer| !tree.is_within(other, outer))
    };
    // Whether a directory in `other` is a partner of one above `one`.
    let crosses = |partners: &Partners, one: u32, other: u32| {
        let mut above = std::iter::successors(tree.parent(one as usize), |&place| tree.parent(place));
        above.any(|above| partners.last(place(above), other + 1..tree.ends[other as usize]).is_some())
    };
    pairs.retain(|pair| {
        let both_ways = [(pair.a, pair.b), (pair.b, pair.a)];
        let is_kept = both_ways
            .iter()
            .all(|&(one, other)| is_free(&partners, one, other) && !crosses(&partners, one, other));
        if is_kept {
            partners.add(pair);
        }
        is_kept
    });
    pairs
}

/// As pairs hold it.
fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a catalog has fewer directories than 2^32")
}

/// Leaves out the pairs that lie in others.
fn topmost(tree: &Tree, mut pairs: Vec<Pair>) -> Vec<Pair> {
    let mut partners = Partners::default();
    pairs.iter().for_each(|pair| partners.add(pair));
    pairs.retain(|pair| {
        let mut above = tree.parents[pair.a as usize];
        while above != NONE {
            let outer = partners.last(above, 0..pair.b);
            if outer.is_some_and(|outer| tree.is_within(pair.b, outer)) {
                return false;
            }
            above = tree.parents[above as usize];
        }
        true
    });
    pairs
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;

    use super::super::sample::{Sample, lines, sample};
    use super::*;

    fn told(sample: &Sample, threshold: f64) -> Vec<(String, String, u64, [u64; 2])> {
        let found = similar(&sample.catalog, &sample.contents, &sample.identical(), threshold);
        assert!(found.is_complete);
        let pairs = found.pairs.iter();
        pairs.map(|pair| (sample.path(pair.a), sample.path(pair.b), pair.common_bytes, pair.bytes)).collect()
    }

    #[track_caller]
    fn check(threshold: f64, lines: &[&str], expected: &[(&str, &str, u64, [u64; 2])]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|&(a, b, common, bytes)| (a.to_owned(), b.to_owned(), common, bytes))
            .collect();
        assert_eq!(told(&sample(&["r"], lines), threshold), expected, "{lines:?}");
        let reversed: Vec<_> = lines.iter().rev().collect();
        assert_eq!(told(&sample(&["r"], &reversed), threshold), expected, "reversed {lines:?}");
    }

    #[test]
    fn content_counts_and_names_do_not() {
        let lines = ["r/a/f=xxxx", "r/a/g=y", "r/b/e=xxxx", "r/b/d/h=z"];
        check(0.6, &lines, &[("r/a", "r/b", 4, [5, 5])]);
        check(4.0 / 6.0, &lines, &[("r/a", "r/b", 4, [5, 5])]);
        check(0.67, &lines, &[]);
        // The same content under another name, down to the last byte.
        check(1.0, &["r/a/f=xxxx", "r/b/g=xxxx"], &[("r/a", "r/b", 4, [4, 4])]);
        // What could not be read is in common with nothing.
        check(0.6, &["r/a/f=xxx", "r/a/g=?", "r/b/e=xxx", "r/b/g=?"], &[("r/a", "r/b", 3, [4, 4])]);
        check(0.7, &["r/a/f=xxx", "r/a/g=?", "r/b/e=xxx", "r/b/g=?"], &[]);
    }

    #[test]
    fn copies_count_as_often_as_they_are_there() {
        let lines = ["r/a/f=xx", "r/a/g=xx", "r/a/h=xx", "r/b/e=xx", "r/b/i=xx"];
        check(0.66, &lines, &[("r/a", "r/b", 4, [6, 4])]);
        check(0.67, &lines, &[]);
    }

    #[test]
    fn what_is_the_same_is_no_pair_and_stands_for_one() {
        check(0.5, &["r/a/f=xx", "r/b/f=xx"], &[]);
        // What lies in directories that are the same.
        check(
            0.5,
            &["r/a/c/f=xx", "r/a/d/g=xx", "r/b/c/f=xx", "r/b/d/g=xx"],
            &[("r/a/c", "r/a/d", 2, [2, 2])],
        );
        check(
            0.5,
            &["r/a/f=xxx", "r/a/g=y", "r/b/f=xxx", "r/b/g=y", "r/c/f=xxx", "r/c/z=z"],
            &[("r/a", "r/c", 3, [4, 4])],
        );
        // A copy of the one lies in the other: that is told already.
        check(0.5, &["r/a/f=xxx", "r/b/a/f=xxx", "r/b/g=y"], &[]);
        check(0.5, &["r/c/f=xxx", "r/b/a/f=xxx", "r/b/g=y"], &[]);
        // Trees that are the same count as content all the same.
        check(0.5, &["r/a/d/f=xxx", "r/a/g=y", "r/b/d/f=xxx", "r/b/g=z"], &[("r/a", "r/b", 3, [4, 4])]);
    }

    #[test]
    fn pairs_in_pairs_are_left_out() {
        check(0.5, &["r/a/f=xxx", "r/a/d/g=y"], &[]);
        let both = ["r/a/d/f=xxxxx", "r/a/d/g=y", "r/a/h=u", "r/b/d/f=xxxxx", "r/b/d/g=z", "r/b/h=v"];
        check(0.5, &both, &[("r/a", "r/b", 5, [7, 7])]);
        // Too little is in common above.
        check(0.6, &both, &[("r/a/d", "r/b/d", 5, [6, 6])]);
        // One is like another, and less so like what that one lies in.
        let nested = ["r/a/f=xxxxxxxx", "r/a/g=y", "r/b/d/f=xxxxxxxx", "r/b/d/g=z", "r/b/h=vv"];
        check(0.5, &nested, &[("r/a", "r/b/d", 8, [9, 9])]);
        // The more so like what it lies in.
        let outer = ["r/a/f=xxxxxxxx", "r/a/g=yy", "r/b/d/f=xxxxxxxx", "r/b/h=yy", "r/b/i=v"];
        check(0.5, &outer, &[("r/a", "r/b", 10, [10, 11])]);
    }

    #[test]
    fn pairs_do_not_cross() {
        let content = |letter: &str| letter.repeat(20);
        let (one, two) = (content("1"), content("2"));
        let lines = [
            format!("r/A/P/1={one}"),
            format!("r/A/P/2={two}"),
            "r/A/z=z".to_owned(),
            format!("r/B/E/1={one}"),
            format!("r/B/E/2={two}"),
            "r/B/E/3=3".to_owned(),
        ];
        let expected = ("r/A/P".to_owned(), "r/B".to_owned(), 40, [40, 41]);
        assert_eq!(told(&sample(&["r"], &lines), 0.5), [expected]);
    }

    #[test]
    fn what_is_everywhere_counts_and_makes_no_pairs() {
        let mut lines: Vec<String> = (0..80).map(|i| format!("r/{i:02}/licence=xxxx")).collect();
        lines.extend((0..80).map(|i| format!("r/{i:02}/own={i:02}")));
        assert_eq!(told(&sample(&["r"], &lines), 0.5), []);
        lines.extend(["r/03/f=u".to_owned(), "r/07/g=u".to_owned()]);
        let expected = ("r/03".to_owned(), "r/07".to_owned(), 5, [7, 7]);
        assert_eq!(told(&sample(&["r"], &lines), 0.5), [expected]);
    }

    #[test]
    fn limits_are_told_and_what_is_found_holds() {
        // Half of them have more in common.
        let lines: Vec<String> = (0..20)
            .flat_map(|i| [format!("r/{i}/{i}=xxxxxxxxx"), format!("r/{}/g{i}=yyyyy", i / 2 * 2)])
            .collect();
        let sample = sample(&["r"], &lines);
        let same = sample.identical();
        let all = reaching(&sample.catalog, &sample.contents, &same, 0.9, LIMITS);
        assert_eq!((all.0.len(), all.1), (90, true));
        let check = |limits: Limits, pairs_expected: usize| {
            let (pairs, is_complete) = reaching(&sample.catalog, &sample.contents, &same, 0.9, limits);
            assert!(!is_complete);
            assert_eq!(pairs.len(), pairs_expected);
            assert!(pairs.iter().all(|pair| [9, 19].contains(&pair.common)));
        };
        check(Limits { pairs_max: 7, ..LIMITS }, 7);
        check(Limits { steps_max: 20, ..LIMITS }, 0);
        // What all have is looked up for the first pair alone.
        check(Limits { looks_max: 0, spread_max: 15, ..LIMITS }, 1);
    }

    /// Bytes of each content in a directory and how often it is there.
    type Held = BTreeMap<String, u64>;

    fn held(lines: &[String], directory: &str) -> (Held, u64) {
        let (mut held, mut bytes) = (Held::new(), 0);
        for rest in lines.iter().filter_map(|line| line.strip_prefix(directory)?.strip_prefix('/')) {
            if let Some((_, content)) = rest.split_once('=') {
                bytes += content.len() as u64;
                *held.entry(content.to_owned()).or_default() += u64::from(content != "?");
            }
        }
        (held, bytes)
    }

    fn common(a: &Held, b: &Held) -> u64 {
        a.iter()
            .map(|(content, count)| {
                content.len() as u64 * b.get(content).map_or(0, |other| *count.min(other))
            })
            .sum()
    }

    fn lies_in(inner: &str, outer: &str) -> bool {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// All pairs that reach the threshold, each compared with each.
    fn all_pairs(sample: &Sample, lines: &[String], threshold: f64) -> Vec<(String, String, u64, f64)> {
        let found = sample.identical();
        let mut directories = sample.directories();
        directories.retain(|path| {
            let id = sample.catalog.find_directory(path.as_bytes()).expect("it is there");
            !found.covered[found.tree.place(id)]
        });
        let held: HashMap<_, _> = directories.iter().map(|path| (path, held(lines, path))).collect();
        let mut pairs = Vec::new();
        for (i, a) in directories.iter().enumerate() {
            for b in directories[i + 1..].iter().filter(|b| !lies_in(b, a)) {
                let ((held_a, bytes_a), (held_b, bytes_b)) = (&held[a], &held[b]);
                let common = common(held_a, held_b);
                let share = share([*bytes_a, *bytes_b], common);
                if common > 0 && share >= threshold {
                    pairs.push((a.clone(), b.clone(), common, share));
                }
            }
        }
        pairs
    }

    fn reached(sample: &Sample, threshold: f64, limits: Limits) -> Vec<(String, String, u64, f64)> {
        let found = sample.identical();
        let (mut pairs, _) = reaching(&sample.catalog, &sample.contents, &found, threshold, limits);
        pairs.sort_by_key(|pair| (pair.a, pair.b));
        let path = |place: u32| sample.path(found.tree.order[place as usize]);
        pairs.iter().map(|pair| (path(pair.a), path(pair.b), pair.common, pair.share)).collect()
    }

    /// The rules by which pairs are left out, word for word.
    fn folded(sample: &Sample, mut pairs: Vec<(String, String, u64, f64)>) -> Vec<(String, String, u64)> {
        let found = sample.identical();
        let copies = |path: &str| -> Vec<String> {
            let id = sample.catalog.find_directory(path.as_bytes()).expect("it is there");
            let same = found.classes.of(found.tree.place(id)).iter();
            same.map(|&place| sample.path(found.tree.order[place as usize])).collect()
        };
        let holds_copy = |outer: &str, inner: &str| copies(inner).iter().any(|copy| lies_in(copy, outer));
        pairs.retain(|(a, b, ..)| !holds_copy(a, b) && !holds_copy(b, a));
        let nested = |x: &str, y: &str| lies_in(x, y) || lies_in(y, x);
        // Stable: pairs that are as similar stay in the order of their paths.
        pairs.sort_by(|x, y| y.3.total_cmp(&x.3));
        let mut near: Vec<(String, String, u64, f64)> = Vec::new();
        for (a, b, common, share) in pairs {
            let is_beside =
                |(x, y): (&String, &String)| (*x == a && nested(y, &b)) || (*x == b && nested(y, &a));
            let crosses = |(x, y): (&String, &String)| {
                x != &a
                    && y != &b
                    && ((lies_in(x, &a) && lies_in(&b, y)) || (lies_in(&a, x) && lies_in(y, &b)))
            };
            let is_related = |pair| is_beside(pair) || crosses(pair);
            if !near.iter().any(|(x, y, ..)| is_related((x, y)) || is_related((y, x))) {
                near.push((a, b, common, share));
            }
        }
        let inside = |x: &str, y: &str| x != y && lies_in(x, y);
        let is_told = |(a, b, ..): &&(String, String, u64, f64)| {
            near.iter().any(|(x, y, ..)| (inside(a, x) && inside(b, y)) || (inside(a, y) && inside(b, x)))
        };
        let mut top: Vec<_> = near.iter().filter(|pair| !is_told(pair)).cloned().collect();
        top.sort_by(|x, y| {
            let paths = |pair: &(String, String, u64, f64)| {
                [&pair.0, &pair.1].map(|path| path.split('/').map(str::to_owned).collect::<Vec<_>>())
            };
            y.2.cmp(&x.2).then_with(|| paths(x).cmp(&paths(y)))
        });
        top.into_iter().map(|(a, b, common, _)| (a, b, common)).collect()
    }

    proptest! {
        #[test]
        fn pairs_are_those_of_comparing_each_with_each(lines in lines(), threshold in 0.05_f64..1.0) {
            let sample = sample(&["r"], &lines);
            let expected = all_pairs(&sample, &lines, threshold);
            prop_assert_eq!(&reached(&sample, threshold, LIMITS), &expected);
            let told: Vec<_> =
                told(&sample, threshold).into_iter().map(|(a, b, common, _)| (a, b, common)).collect();
            prop_assert_eq!(told, folded(&sample, expected));
        }

        /// Two pairs are related if their directories lie in each other, both the ones and the others.
        #[test]
        fn of_related_pairs_one_is_reported(lines in lines(), threshold in 0.05_f64..1.0) {
            let sample = sample(&["r"], &lines);
            let told = told(&sample, threshold);
            let nested = |x: &str, y: &str| lies_in(x, y) || lies_in(y, x);
            let are_related = |(a, b): (&str, &str), (x, y): (&str, &str)| {
                (nested(a, x) && nested(b, y)) || (nested(a, y) && nested(b, x))
            };
            for (i, (a, b, ..)) in told.iter().enumerate() {
                for (x, y, ..) in &told[i + 1..] {
                    prop_assert!(!are_related((a, b), (x, y)), "{} {}, {} {}", a, b, x, y);
                }
            }
            // Nothing is lost.
            let found = sample.identical();
            let place = |path: &str| {
                let id = sample.catalog.find_directory(path.as_bytes()).expect("it is there");
                super::place(found.tree.place(id))
            };
            for (a, b, ..) in all_pairs(&sample, &lines, threshold) {
                let (one, other) = (place(&a), place(&b));
                if !holds_copy(&found, one, other) && !holds_copy(&found, other, one) {
                    let is_told = told.iter().any(|(x, y, ..)| are_related((&a, &b), (x, y)));
                    prop_assert!(is_told, "{} {}", a, b);
                }
            }
        }

        #[test]
        fn what_limits_leave_is_exact(
            lines in lines(), threshold in 0.05_f64..1.0, spread_max in 1_usize..5, steps_max in 0_u64..40,
        ) {
            let sample = sample(&["r"], &lines);
            let expected = all_pairs(&sample, &lines, threshold);
            for pair in reached(&sample, threshold, Limits { spread_max, steps_max, ..LIMITS }) {
                prop_assert!(expected.contains(&pair), "{:?}", pair);
            }
        }

        #[test]
        fn order_does_not_matter(mut lines in lines()) {
            let expected = told(&sample(&["r"], &lines), 0.3);
            lines.sort();
            prop_assert_eq!(&told(&sample(&["r"], &lines), 0.3), &expected);
            lines.reverse();
            prop_assert_eq!(&told(&sample(&["r"], &lines), 0.3), &expected);
        }
    }
}
