//! Values on command lines: as text that is read, and as `herd up` writes them for the servers that it starts.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Reads a value that must be text. Left to itself, clap panics where a value is none.
pub fn text(value: &OsStr) -> Result<String, OsString> {
    value.to_str().map(str::to_owned).ok_or_else(|| "it is not UTF-8".into())
}

/// Reads the name of a directory. None at all is refused: it looks as if something was set, and nothing is.
pub fn directory(value: &OsStr) -> Result<PathBuf, OsString> {
    if value.is_empty() { Err("it is set to nothing; name a directory".into()) } else { Ok(value.into()) }
}

/// Reads a whole number, and says which it may be where it is none of them.
pub fn whole<T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(text: &str) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("write a whole number from {LEAST} to {MOST}"))
}

/// Adds a flag with its value: as two words if the value begins with `=`, which clap would take off, otherwise as
/// one, so that a value that begins with a dash is still a value.
pub fn give(arguments: &mut Vec<OsString>, name: &str, value: Option<&impl AsRef<OsStr>>) {
    let Some(value) = value.map(AsRef::as_ref) else { return };
    let mut flag = OsString::from(format!("--{}", name.replace('_', "-")));
    if value.as_encoded_bytes().starts_with(b"=") {
        arguments.extend([flag, value.to_owned()]);
    } else {
        flag.push("=");
        flag.push(value);
        arguments.push(flag);
    }
}
