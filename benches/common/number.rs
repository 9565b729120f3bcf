//! Medians, percentiles, ratios, and how they are printed.

/// Returns `number` for arithmetic.
#[expect(clippy::cast_precision_loss, reason = "counts of things that were measured")]
pub(crate) fn float(number: usize) -> f64 {
    number as f64
}

/// Returns the median; not a number of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Returns the distance between the largest and the smallest value in percent of the median.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    100.0 * (largest - smallest) / median(values)
}

/// Returns the value that `per_mille` of a thousand values do not exceed (nearest rank); not a number of none.
pub(crate) fn percentile(values: &[f64], per_mille: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Returns a number with three digits or so, or a dash for what is not one.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size > 0.0 && size < 0.01 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

/// Returns `value` with its ratio to `base`: `4.31 (0.52)`.
pub(crate) fn with_ratio(value: f64, base: f64) -> String {
    format!("{} ({})", short(value), short(value / base))
}
