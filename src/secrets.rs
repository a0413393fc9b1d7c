//! What no output may show: it comes from the environment, where other users of the machine cannot read it.

use crate::failure::Failure;
use herd_core::handshake::Secret;
use std::ffi::OsString;

/// Reads what the servers of the herd share, from the environment.
pub fn of_the_herd() -> Result<Option<Secret>, Failure> {
    Ok(hidden("HERD_SECRET")?.and_then(|bytes| Secret::new(&bytes)))
}

/// Reads the key for places, from the environment.
pub fn places_key() -> Result<Option<String>, Failure> {
    hidden("GOOGLE_PLACES_API_KEY")?
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| Failure::Usage("GOOGLE_PLACES_API_KEY is no text; copy the key once more".to_owned()))
}

/// Reads a variable that no output may show. Set to nothing is refused: it looks safe and is not.
fn hidden(variable: &str) -> Result<Option<Vec<u8>>, Failure> {
    match std::env::var_os(variable).map(OsString::into_encoded_bytes) {
        Some(bytes) if bytes.is_empty() => {
            Err(Failure::Usage(format!("{variable} is set to nothing; give it a value or unset it")))
        }
        value => Ok(value),
    }
}
