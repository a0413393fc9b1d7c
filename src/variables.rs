//! The variables of the environment, and those that look as if they were some and change nothing.

use crate::catalogue::{self, Flag};

/// What all variables of this program begin with, but for those that others have given names to.
const PREFIX: &str = "HERD_";

/// The variables that stand for no flag: secrets, which a list of processes would show as flags.
const SECRETS: [&str; 1] = ["HERD_SECRET"];

/// So many letters may be wrong, missing or too many in the name of a variable that was meant.
const SLIP: usize = 2;

/// Names the variables of the environment that change nothing, if there are any, and what may have been meant. What they
/// hold is not shown: it may be a secret whose variable was misspelt.
pub fn warning(environment: impl IntoIterator<Item = String>) -> Option<String> {
    let flags = catalogue::flags();
    let mut unknown: Vec<String> = environment
        .into_iter()
        .filter(|name| name.starts_with(PREFIX) && !known(&flags).any(|known| known == name))
        .collect();
    unknown.sort();
    let said: Vec<String> = unknown.iter().map(|name| said(name, &flags)).collect();
    (!said.is_empty()).then(|| format!("the environment has what changes nothing: {}", said.join(", ")))
}

fn known(flags: &[Flag]) -> impl Iterator<Item = &'static str> {
    SECRETS.into_iter().chain(flags.iter().filter_map(|flag| flag.variable))
}

fn said(name: &str, flags: &[Flag]) -> String {
    let shown = name.escape_debug();
    // A variable for a flag is named like the flag, and some flags have none or another.
    let flag = flags.iter().find(|flag| variable(flag.name) == name);
    let near = known(flags).map(|known| (slips(name, known), known)).min();
    match (flag, near) {
        (Some(Flag { variable: Some(variable), .. }), _) => format!("{shown} (write {variable})"),
        (Some(Flag { name, .. }), _) => format!("{shown} (give the flag --{name})"),
        (None, Some((slips, known))) if slips <= SLIP => format!("{shown} (is it {known}?)"),
        _ => shown.to_string(),
    }
}

fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// Counts the letters to change, add or take away that make one name of another.
fn slips(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.bytes().enumerate() {
        let mut corner = above;
        row[0] = above + 1;
        for (left, its) in other.bytes().enumerate() {
            let changed = corner + usize::from(letter != its);
            corner = row[left + 1];
            row[left + 1] = changed.min(corner + 1).min(row[left] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(names: &[&str]) -> Option<String> {
        warning(names.iter().map(|&name| name.to_owned()))
    }

    #[test]
    fn variables_that_there_are_and_those_of_others_get_no_warning() {
        let known =
            ["HERD_SECRET", "HERD_TOPOLOGY", "HERD_LINE_MAX", "HERD_PLACES_KEY_FILE", "HERD_RECORD_TTL_MS"];
        assert_eq!(warned(&known), None);
        assert_eq!(warned(&["PATH", "GOOGLE_PLACES_URL", "SHEPHERD_SECRET", "HERDER"]), None);
    }

    /// A misspelt secret left a herd open to everybody, and nothing said so.
    #[test]
    fn a_variable_that_is_misspelt_is_named_with_the_one_that_was_meant() {
        let expected = "the environment has what changes nothing: HERD_LINEMAX (is it HERD_LINE_MAX?), \
                        HERD_SECERT (is it HERD_SECRET?), HERD_WHATEVER";
        assert_eq!(warned(&["HERD_SECERT", "HERD_WHATEVER", "HERD_LINEMAX"]).as_deref(), Some(expected));
    }

    #[test]
    fn a_flag_without_a_variable_of_its_name_is_named() {
        let expected = "the environment has what changes nothing: HERD_MEMORY_ONLY (give the flag --memory-only), \
                        HERD_OPEN (give the flag --open), HERD_PLACES_URL (write GOOGLE_PLACES_URL)";
        assert_eq!(warned(&["HERD_OPEN", "HERD_PLACES_URL", "HERD_MEMORY_ONLY"]).as_deref(), Some(expected));
    }

    #[test]
    fn slips_are_counted_in_letters() {
        for (one, other, count) in
            [("", "", 0), ("ab", "", 2), ("ab", "ba", 2), ("abc", "axc", 1), ("abc", "bc", 1)]
        {
            assert_eq!((slips(one, other), slips(other, one)), (count, count), "{one} {other}");
        }
    }
}
