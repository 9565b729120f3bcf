//! Numbers with units, as people read them.

/// Returns `1,234,567`.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// Returns `1 row` or `2 rows`.
pub(crate) fn plural(count: i64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// Returns as many of a noun as there are, see [`plural`].
pub(crate) fn count(count: usize, noun: &str) -> String {
    plural(i64::try_from(count).unwrap_or(i64::MAX), noun)
}

/// Returns `0.2 s`, `12 s`, `3 min 5 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "an unknown time".to_owned();
    }
    if seconds < 0.1 && seconds > 0.0 {
        return format!("{:.0} ms", (seconds * 1000.0).max(1.0));
    }
    if seconds < 19.95 {
        return format!("{seconds:.1} s");
    }
    let whole = whole(seconds);
    let (value, unit, rest, small) = match whole {
        0..60 => return format!("{whole} s"),
        60..3600 => (whole / 60, "min", whole % 60, "s"),
        3600..86_400 => (whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => (whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    };
    if rest == 0 { format!("{} {unit}", number(value)) } else { format!("{} {unit} {rest} {small}", number(value)) }
}

/// Returns `40,312 rows/s`.
#[cfg(feature = "cli")]
pub(crate) fn rate(per_second: f64) -> String {
    if per_second.is_finite() && per_second > 0.0 && per_second < 10.0 {
        format!("{per_second:.1} rows/s")
    } else {
        format!("{} rows/s", number(whole(per_second)))
    }
}

/// Returns `512 bytes`, `3.4 MB`, `12 GB`, in powers of 1024 as PostgreSQL counts.
#[cfg(feature = "cli")]
pub(crate) fn bytes(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mut value = bytes as f64;
    if value.abs() < 1024.0 {
        return plural(bytes, "byte");
    }
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB"] {
        if value.abs() < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value.abs() < 10.0 { format!("{value:.1} {unit}") } else { format!("{} {unit}", number(whole(value))) }
}

/// Rounds; what does not fit is as large as can be.
#[expect(clippy::cast_possible_truncation, reason = "a float that does not fit saturates")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!([number(0), number(999), number(-1_234_567)], ["0", "999", "-1,234,567"]);
        assert_eq!([plural(1, "row"), plural(1000, "row")], ["1 row", "1,000 rows"]);
        let durations = [0.0, 0.004, 0.25, 19.9, 20.2, 60.0, 185.4, 7500.0, 90_000.0, f64::NAN];
        assert_eq!(
            durations.map(duration),
            [
                "0.0 s",
                "4 ms",
                "0.2 s",
                "19.9 s",
                "20 s",
                "1 min",
                "3 min 5 s",
                "2 h 5 min",
                "1 d 1 h",
                "an unknown time"
            ]
        );
        assert_eq!([rate(1.25), rate(40_312.4)], ["1.2 rows/s", "40,312 rows/s"]);
        assert_eq!([bytes(1), bytes(3_565_158), bytes(1 << 40)], ["1 byte", "3.4 MB", "1.0 TB"]);
    }
}
