//! Command lines as `herd up` writes them for the servers that it starts.

use std::ffi::{OsStr, OsString};

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
