//! Who can be asked for places, and in what order.

use std::fmt;
use std::str::FromStr;

/// Somebody who can be asked for places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Nobody: the answer has no results and says why.
    None,
    /// The index this server carries.
    Offline,
    /// Google's Places API (New).
    Google,
    /// Google's legacy Nearby Search.
    GoogleLegacy,
    /// An Overpass server of OpenStreetMap.
    Overpass,
}

impl Provider {
    const ALL: [Provider; 5] =
        [Provider::None, Provider::Offline, Provider::Google, Provider::GoogleLegacy, Provider::Overpass];

    /// Returns the word for it in options and answers.
    pub fn word(self) -> &'static str {
        match self {
            Provider::None => "none",
            Provider::Offline => "offline",
            Provider::Google => "google",
            Provider::GoogleLegacy => "google-legacy",
            Provider::Overpass => "overpass",
        }
    }

    /// Tells whether its terms let an answer be kept and given again. Google's do not.
    pub fn may_be_kept(self) -> bool {
        matches!(self, Provider::Offline | Provider::Overpass)
    }

    /// Tells whether asking it takes a connection.
    pub fn is_remote(self) -> bool {
        matches!(self, Provider::Google | Provider::GoogleLegacy | Provider::Overpass)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The providers to ask, one after the other until one answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain(Vec<Provider>);

impl Chain {
    /// Returns what is asked where nothing was said: Google where there is a key, and the offline index.
    pub fn usual(has_key: bool) -> Chain {
        Chain(if has_key { vec![Provider::Google, Provider::Offline] } else { vec![Provider::Offline] })
    }

    /// Returns the providers in the order in which they are asked.
    pub fn providers(&self) -> &[Provider] {
        &self.0
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|provider| provider.word()).collect();
        f.write_str(&words.join(","))
    }
}

/// Why a list of providers is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainError {
    /// A word in it is no provider.
    Unknown(String),
    /// A provider is in it twice.
    Twice(Provider),
    /// `none` is in it with others.
    NotAlone,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChainError::Unknown(word) => {
                let known: Vec<&str> = Provider::ALL.iter().map(|provider| provider.word()).collect();
                write!(f, "{word:?} is no provider of places: name some of {}", known.join(", "))
            }
            ChainError::Twice(provider) => write!(f, "{provider} is named twice: name each provider once"),
            ChainError::NotAlone => write!(f, "none is named with others: leave it or them out"),
        }
    }
}

impl std::error::Error for ChainError {}

impl FromStr for Chain {
    type Err = ChainError;

    fn from_str(list: &str) -> Result<Chain, ChainError> {
        let mut chain = Vec::new();
        for word in list.split(',').map(str::trim) {
            let known = Provider::ALL.into_iter().find(|provider| provider.word() == word);
            let provider = known.ok_or_else(|| ChainError::Unknown(word.to_owned()))?;
            if chain.contains(&provider) {
                return Err(ChainError::Twice(provider));
            }
            chain.push(provider);
        }
        if chain.len() > 1 && chain.contains(&Provider::None) {
            return Err(ChainError::NotAlone);
        }
        Ok(Chain(chain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_providers_is_read_in_its_order() {
        let chain: Chain = "google, overpass,offline".parse().unwrap();
        assert_eq!(chain.providers(), [Provider::Google, Provider::Overpass, Provider::Offline]);
        assert_eq!(chain.to_string(), "google,overpass,offline");
    }

    #[test]
    fn a_list_that_makes_no_sense_is_refused_with_what_to_write() {
        assert_eq!("goggle".parse::<Chain>(), Err(ChainError::Unknown("goggle".into())));
        assert_eq!("".parse::<Chain>(), Err(ChainError::Unknown(String::new())));
        assert_eq!("offline,offline".parse::<Chain>(), Err(ChainError::Twice(Provider::Offline)));
        assert_eq!("none,google".parse::<Chain>(), Err(ChainError::NotAlone));
        let said = "goggle".parse::<Chain>().unwrap_err().to_string();
        assert!(said.contains("none, offline, google, google-legacy, overpass"), "{said}");
    }

    #[test]
    fn google_comes_first_only_where_there_is_a_key() {
        assert_eq!(Chain::usual(true).to_string(), "google,offline");
        assert_eq!(Chain::usual(false).to_string(), "offline");
    }

    #[test]
    fn what_google_says_is_never_kept() {
        assert!(!Provider::Google.may_be_kept() && !Provider::GoogleLegacy.may_be_kept());
    }
}
