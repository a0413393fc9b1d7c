//! Values on command lines: as text that is read, and as `herd up` writes them for the servers that it starts. And such
//! as may stand in a file, too.

use serde::de::{Deserialize, Deserializer, Error as _, Unexpected, Visitor};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::str::FromStr;

/// Reads a value that must be text. Left to itself, clap panics where a value is none.
pub fn text(value: &OsStr) -> Result<String, OsString> {
    value.to_str().map(str::to_owned).ok_or_else(|| "it is not UTF-8".into())
}

/// Reads the name of a directory. None at all is refused: it looks as if something was set, and nothing is.
pub fn directory(value: &OsStr) -> Result<PathBuf, OsString> {
    if value.is_empty() { Err("it is set to nothing; name a directory".into()) } else { Ok(value.into()) }
}

/// Reads the name of a directory where a file has one, by the same rule.
pub fn written_directory<'de, D: Deserializer<'de>>(value: D) -> Result<Option<PathBuf>, D::Error> {
    let written: Option<PathBuf> = Option::deserialize(value)?;
    let named = written.map(|written| directory(written.as_os_str())).transpose();
    named.map_err(|nothing| D::Error::custom(nothing.display()))
}

/// Reads a whole number, and says which it may be where it is none of them.
pub fn whole<T: TryFrom<u64>, const LEAST: u64, const MOST: u64>(text: &str) -> Result<T, String> {
    text.parse().map(|Whole(number): Whole<T, LEAST, MOST>| number)
}

/// A whole number from `LEAST` to `MOST`, wherever it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Whole<T, const LEAST: u64, const MOST: u64>(pub T);

impl<T: TryFrom<u64>, const LEAST: u64, const MOST: u64> Whole<T, LEAST, MOST> {
    fn of(number: u64) -> Option<Self> {
        let number = (LEAST..=MOST).contains(&number).then_some(number)?;
        T::try_from(number).ok().map(Self)
    }
}

impl<T: TryFrom<u64>, const LEAST: u64, const MOST: u64> FromStr for Whole<T, LEAST, MOST> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .and_then(Self::of)
            .ok_or_else(|| format!("write a whole number from {LEAST} to {MOST}"))
    }
}

impl<T: fmt::Display, const LEAST: u64, const MOST: u64> fmt::Display for Whole<T, LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T: TryFrom<u64>, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<T, LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Number<W>(PhantomData<W>);
        impl<T: TryFrom<u64>, const LEAST: u64, const MOST: u64> Visitor<'_> for Number<Whole<T, LEAST, MOST>> {
            type Value = Whole<T, LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MOST}")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Whole::of(number).ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
            }
        }
        value.deserialize_u64(Number(PhantomData))
    }
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
