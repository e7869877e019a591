//! Sizes as people type them: `4096`, `64KiB`, `1.5 GB`.

/// Parses a size in bytes. Units count in steps of 1000 (KB, MB, GB, TB) or 1024 (KiB, MiB, GiB, TiB).
pub(crate) fn parse_size(typed: &str) -> Result<u64, String> {
    let typed = typed.trim();
    let split = typed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(typed.len());
    let (number, unit) = typed.split_at(split);
    let unit = unit.trim();
    let factor = if unit.is_empty() { Some(1) } else { unit_bytes(unit) };
    let Some(factor) = factor else {
        return Err(format!("unknown unit {unit:?}: use B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"));
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(|| "larger than any file can be".to_owned());
    }
    // Fractions are for people: a float is exact enough, whole numbers do not come here.
    let bytes = match number.parse::<f64>() {
        Ok(number) => number * factor as f64,
        Err(_) if number.is_empty() => return Err("a size begins with a number".to_owned()),
        Err(_) => return Err(format!("{number:?} is not a number")),
    };
    if bytes >= u64::MAX as f64 {
        return Err("larger than any file can be".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked above; the fraction of a byte goes"
    )]
    Ok(bytes as u64)
}

/// The same, for a limit that must leave room for something.
pub(crate) fn parse_size_above_zero(typed: &str) -> Result<u64, String> {
    match parse_size(typed)? {
        0 => Err("must be at least 1 byte".to_owned()),
        size => Ok(size),
    }
}

/// How many bytes a unit stands for; `None` where there is no such unit.
pub(crate) fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        #[track_caller]
        fn check(typed: &str, expected: Result<u64, &str>) {
            assert_eq!(parse_size(typed), expected.map_err(str::to_owned));
        }
        check("0", Ok(0));
        check("4096", Ok(4096));
        check("10B", Ok(10));
        check("64KiB", Ok(65_536));
        check("64 kib", Ok(65_536));
        check("1.5GB", Ok(1_500_000_000));
        check("0.5KiB", Ok(512));
        check("0.125GB", Ok(125_000_000));
        check("0.25GB", Ok(250_000_000));
        check("0.5GB", Ok(500_000_000));
        check("18446744073709551615", Ok(u64::MAX));
        check("", Err("a size begins with a number"));
        check("KiB", Err("a size begins with a number"));
        check("-1", Err("unknown unit \"-1\": use B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"));
        check("1.2.3", Err("\"1.2.3\" is not a number"));
        check("5 bananas", Err("unknown unit \"bananas\": use B, KB, MB, GB, TB, KiB, MiB, GiB or TiB"));
        check("99999999999999TiB", Err("larger than any file can be"));
        check("99999999.5TiB", Err("larger than any file can be"));
    }
}
