//! Shares as people read them.

use crate::record::{Alike, Member};

/// A share from 0 to 1 in percent, rounded down. Less than all is never 100 %, and more than nothing never 0 %.
pub fn percent(share: f64, is_all: bool) -> String {
    // What a person typed is not what a float holds.
    let percent = (share * 100.0 + 1e-9).floor();
    if percent >= 100.0 && !is_all {
        ">99 %".to_owned()
    } else if percent < 1.0 && share > 0.0 {
        "<1 %".to_owned()
    } else {
        format!("{percent:.0} %")
    }
}

/// How similar a file is to the first of its group, with a `~` before an estimate; `None` in other groups.
pub fn similarity(alike: Alike, member: &Member<'_>) -> Option<String> {
    let similarity = member.similarity?;
    let is_estimated = matches!(alike, Alike::Near { is_estimated: true, .. }) && !member.is_identical;
    let estimated = if is_estimated { "~" } else { "" };
    let below = if member.is_below(alike) { ", below the threshold" } else { "" };
    Some(format!("{estimated}{}{below}", percent(similarity, member.is_identical)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_all_is_not_all() {
        #[track_caller]
        fn check(share: f64, is_all: bool, expected: &str) {
            assert_eq!(percent(share, is_all), expected, "{share}");
        }
        check(1.0, true, "100 %");
        check(1.0, false, ">99 %");
        check(1.0 - 1e-15, false, ">99 %");
        check(0.999, false, "99 %");
        check(0.29, false, "29 %");
        check(0.01, false, "1 %");
        check(0.0099, false, "<1 %");
        check(0.0, false, "0 %");
    }

    #[test]
    fn estimates_are_marked() {
        #[track_caller]
        fn check(similarity: Option<f64>, is_identical: bool, is_estimated: bool, expected: Option<&str>) {
            let member = Member { similarity, is_identical, ..Member::default() };
            let alike = Alike::Near { threshold: 0.5, is_estimated };
            assert_eq!(super::similarity(alike, &member).as_deref(), expected);
        }
        check(Some(0.93), false, true, Some("~93 %"));
        check(Some(0.93), false, false, Some("93 %"));
        check(Some(1.0), false, true, Some("~>99 %"));
        check(Some(1.0), false, false, Some(">99 %"));
        check(Some(1.0), true, true, Some("100 %"));
        check(Some(0.4), false, true, Some("~40 %, below the threshold"));
        check(None, false, true, None);
    }
}
