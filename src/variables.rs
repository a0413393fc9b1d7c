//! The variables of the environment, and those that look as if they were some and change nothing.

use crate::catalogue::{self, Flag};
use strsim::levenshtein;

/// What all variables of this program begin with, but for those that others have given names to.
const PREFIX: &str = "HERD_";

/// The variables that stand for no flag: secrets, which a list of processes would show as flags.
const SECRETS: [&str; 1] = ["HERD_SECRET"];

/// So many letters may be wrong, missing or too many in the name of a variable that was meant.
const SLIP: usize = 2;

/// Names the variables of the environment that change nothing and look as if somebody meant them to, with what may have been
/// meant. What they hold is not shown: it may be a secret whose variable was misspelt.
///
/// Others of our beginning are somebody else's, such as those that Kubernetes sets for a service of the name `herd`.
pub fn warning(environment: impl IntoIterator<Item = String>) -> Option<String> {
    let flags = catalogue::flags();
    let mut unknown: Vec<String> = environment
        .into_iter()
        .filter(|name| name.starts_with(PREFIX) && !known(&flags).any(|known| known == name))
        .collect();
    unknown.sort();
    let meant: Vec<String> = unknown
        .iter()
        .filter_map(|name| Some(format!("{} ({})", name.escape_debug(), meant(name, &flags)?)))
        .collect();
    (!meant.is_empty()).then(|| format!("the environment has what changes nothing: {}", meant.join(", ")))
}

fn known(flags: &[Flag]) -> impl Iterator<Item = &'static str> {
    SECRETS.into_iter().chain(flags.iter().filter_map(|flag| flag.variable))
}

/// What somebody may have meant by a variable that there is not.
fn meant(name: &str, flags: &[Flag]) -> Option<String> {
    // A variable for a flag is named like the flag, and some flags have none or another.
    match flags.iter().find(|flag| variable(flag.name) == name) {
        Some(Flag { variable: Some(variable), .. }) => Some(format!("write {variable}")),
        Some(Flag { name, .. }) => Some(format!("give the flag --{name}")),
        None => {
            let is_near = |known: &&str| {
                levenshtein(name, known) <= SLIP || SECRETS.contains(known) && name.starts_with(known)
            };
            known(flags)
                .filter(is_near)
                .min_by_key(|known| levenshtein(name, known))
                .map(|near| format!("is it {near}?"))
        }
    }
}

fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_ascii_uppercase())
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
        assert_eq!(warned(&["HERD_PORT", "HERD_SERVICE_HOST", "HERD_TEST_LOG", "HERD_KILLS"]), None);
    }

    /// A misspelt secret left a herd open to everybody, and nothing said so.
    #[test]
    fn a_variable_that_is_misspelt_is_named_with_the_one_that_was_meant() {
        let expected = "the environment has what changes nothing: HERD_LINEMAX (is it HERD_LINE_MAX?), \
                        HERD_SECERT (is it HERD_SECRET?), HERD_SECRET_FILE (is it HERD_SECRET?)";
        let misspelt = ["HERD_SECRET_FILE", "HERD_SECERT", "HERD_LINEMAX"];
        assert_eq!(warned(&misspelt).as_deref(), Some(expected));
    }

    #[test]
    fn a_flag_without_a_variable_of_its_name_is_named() {
        let expected = "the environment has what changes nothing: HERD_MEMORY_ONLY (give the flag --memory-only), \
                        HERD_OPEN (give the flag --open), HERD_PLACES_URL (write GOOGLE_PLACES_URL)";
        assert_eq!(warned(&["HERD_OPEN", "HERD_PLACES_URL", "HERD_MEMORY_ONLY"]).as_deref(), Some(expected));
    }
}
