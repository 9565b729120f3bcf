//! "Did you mean": the nearest of the words that would have been right.

/// Returns the word of `known` that `typed` most likely stands for, if one is near enough to be worth saying.
/// Case, and `-` for `_`, do not count.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', ' '], "_");
    let wanted = plain(typed);
    // A third of the letters may be wrong, so that short words do not all look alike.
    let allowed = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Returns `words` in backticks, with commas between.
pub(super) fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Returns a help text for `typed`: the nearest of `known` or, where none is near, all of them.
pub(crate) fn did_you_mean(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("expected {}{}", if known.len() == 1 { "" } else { "one of " }, listed(known.iter().copied())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["rename_column", "change_type", "on_conflict", "to"];
        assert_eq!(nearest("rename-column", keys), Some("rename_column"));
        assert_eq!(nearest("Chnage_Type", keys), Some("change_type"));
        assert_eq!(nearest("too", keys), Some("to"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("", keys), None);
    }
}
