//! What the command line, the environment and the topology file say about places, and what follows from it.

pub mod import;

use crate::arguments::{Whole, give, text};
use crate::failure::{Failure, reason};
use crate::secrets;
use herd_actors::places::Settings;
use herd_core::places::{Chain, Key, Limits, Provider, file};
use serde::Deserialize;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use structopt::StructOpt;

// How places are found, from a command line and its environment, or from the settings of a file. (Documentation here
// would replace what the help says of the command.)
#[derive(Debug, Clone, Default, PartialEq, Deserialize, StructOpt)]
#[serde(default, deny_unknown_fields)]
pub struct Flags {
    /// Who is asked for places, one after the other: none, offline, google, google-legacy, overpass
    /// [default: google,offline with a key, else offline]
    #[structopt(long = "places", value_name = "LIST", env = "HERD_PLACES", hide_env_values = true, parse(try_from_os_str = text))]
    pub chain: Option<String>,
    /// An index of places made by herd places import, searched too; may be given again for another
    #[structopt(
        long = "places-file",
        value_name = "INDEX",
        env = "HERD_PLACES_FILE",
        hide_env_values = true,
        parse(from_os_str),
        number_of_values = 1
    )]
    pub files: Vec<PathBuf>,
    /// Search these indexes only, and not the one within the program
    #[structopt(long = "places-file-only", hidden_short_help = true)]
    pub file_only: bool,
    /// A file with the key for Google, where the environment has none
    #[structopt(
        long = "places-key-file",
        value_name = "FILE",
        env = "HERD_PLACES_KEY_FILE",
        hide_env_values = true,
        parse(from_os_str),
        hidden_short_help = true
    )]
    pub key_file: Option<PathBuf>,
    /// The fields asked of google; each may cost more [default: id, name, location, types and address]
    #[structopt(
        long = "places-field-mask",
        value_name = "FIELDS",
        env = "HERD_PLACES_FIELD_MASK",
        hide_env_values = true,
        parse(try_from_os_str = text),
        hidden_short_help = true
    )]
    pub field_mask: Option<String>,
    /// For how long and how many answers of overpass are kept, or none [default: 10m,1000]
    #[structopt(
        long = "places-cache",
        value_name = "TIME,N",
        env = "HERD_PLACES_CACHE",
        hide_env_values = true,
        parse(try_from_os_str = text),
        hidden_short_help = true
    )]
    pub cache: Option<String>,
    /// Where google and google-legacy are asked instead of at Google
    #[structopt(
        long = "places-url",
        value_name = "URL",
        env = "GOOGLE_PLACES_URL",
        hide_env_values = true,
        parse(try_from_os_str = text),
        hidden_short_help = true
    )]
    pub url: Option<String>,
    /// Where overpass is asked, up to and with /api/interpreter
    #[structopt(
        long = "places-overpass-url",
        value_name = "URL",
        env = "HERD_PLACES_OVERPASS_URL",
        hide_env_values = true,
        parse(try_from_os_str = text),
        hidden_short_help = true
    )]
    pub overpass_url: Option<String>,
    /// How long a provider may take to answer [default: 5000]
    #[structopt(
        long = "places-deadline-ms",
        value_name = "MS",
        env = "HERD_PLACES_DEADLINE_MS",
        hide_env_values = true,
        hidden_short_help = true
    )]
    pub deadline_ms: Option<Whole<u64, 1, { u64::MAX }>>,
    /// Requests to one provider under way at once [default: 8]
    #[structopt(
        long = "places-in-flight-max",
        value_name = "N",
        env = "HERD_PLACES_IN_FLIGHT_MAX",
        hide_env_values = true,
        hidden_short_help = true
    )]
    pub in_flight_max: Option<Whole<usize, 1, { usize::MAX as u64 }>>,
    /// Requests to one provider in 24 hours [default: 10000]
    #[structopt(
        long = "places-per-day",
        value_name = "N",
        env = "HERD_PLACES_PER_DAY",
        hide_env_values = true,
        hidden_short_help = true
    )]
    pub per_day: Option<Whole<u32, 0, { u32::MAX as u64 }>>,
}

impl Flags {
    /// Fills what is not given from `file`.
    #[must_use]
    pub fn or(self, file: Flags) -> Flags {
        Flags {
            chain: self.chain.or(file.chain),
            files: if self.files.is_empty() { file.files } else { self.files },
            file_only: self.file_only || file.file_only,
            key_file: self.key_file.or(file.key_file),
            field_mask: self.field_mask.or(file.field_mask),
            cache: self.cache.or(file.cache),
            url: self.url.or(file.url),
            overpass_url: self.overpass_url.or(file.overpass_url),
            deadline_ms: self.deadline_ms.or(file.deadline_ms),
            in_flight_max: self.in_flight_max.or(file.in_flight_max),
            per_day: self.per_day.or(file.per_day),
        }
    }

    /// Writes the flags as the command line that gives them.
    pub fn arguments(&self, arguments: &mut Vec<OsString>) {
        give(arguments, "places", self.chain.as_ref());
        self.files.iter().for_each(|file| give(arguments, "places_file", Some(file)));
        if self.file_only {
            arguments.push("--places-file-only".into());
        }
        give(arguments, "places_key_file", self.key_file.as_ref());
        give(arguments, "places_field_mask", self.field_mask.as_ref());
        give(arguments, "places_cache", self.cache.as_ref());
        give(arguments, "places_url", self.url.as_ref());
        give(arguments, "places_overpass_url", self.overpass_url.as_ref());
        give(arguments, "places_deadline_ms", self.deadline_ms.map(|limit| limit.to_string()).as_ref());
        give(arguments, "places_in_flight_max", self.in_flight_max.map(|limit| limit.to_string()).as_ref());
        give(arguments, "places_per_day", self.per_day.map(|limit| limit.to_string()).as_ref());
    }

    /// Makes the settings, the key out of the environment or its file among them.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let usual = Settings::default();
        let url = base("--places-url", self.url.as_deref())?;
        let settings = Settings {
            chain: parsed("--places", self.chain.as_ref())?,
            key: self.key()?,
            google_url: url.clone().unwrap_or(usual.google_url),
            google_legacy_url: url.unwrap_or(usual.google_legacy_url),
            overpass_url: base("--places-overpass-url", self.overpass_url.as_deref())?,
            field_mask: parsed("--places-field-mask", self.field_mask.as_ref())?.unwrap_or(usual.field_mask),
            limits: self.limits(),
            cache: parsed("--places-cache", self.cache.as_ref())?.unwrap_or(usual.cache),
            files: self.files.clone(),
            embedded: !self.file_only,
            authorities: usual.authorities,
        };
        self.check(settings.chain.as_ref())?;
        Ok(settings)
    }

    fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            deadline: self.deadline_ms.map_or(usual.deadline, |Whole(ms)| Duration::from_millis(ms)),
            in_flight_max: self.in_flight_max.map_or(usual.in_flight_max, |Whole(number)| number),
            per_day: self.per_day.map_or(usual.per_day, |Whole(number)| number),
            ..usual
        }
    }

    fn key(&self) -> Result<Option<Key>, Failure> {
        if let Some(key) = secrets::places_key()? {
            return key_of("GOOGLE_PLACES_API_KEY", &key).map(Some);
        }
        let Some(path) = &self.key_file else { return Ok(None) };
        let text =
            std::fs::read_to_string(path).map_err(|error| unreadable("--places-key-file", path, &error))?;
        key_of(&path.display().to_string(), &text).map(Some)
    }

    /// Finds what would only show at the first question, or never.
    fn check(&self, chain: Option<&Chain>) -> Result<(), Failure> {
        for path in &self.files {
            let head = head(path).map_err(|error| unreadable("--places-file", path, &error))?;
            file::opened(&head)
                .map_err(|damage| Failure::Undone(format!("--places-file {}: {damage}", path.display())))?;
        }
        if self.file_only && self.files.is_empty() {
            return Err(Failure::Usage(
                "--places-file-only is given without --places-file; name an index".to_owned(),
            ));
        }
        let wants_overpass = chain.is_some_and(|chain| chain.providers().contains(&Provider::Overpass));
        if wants_overpass && self.overpass_url.is_none() {
            let said = "--places names overpass, and nothing says where it is; give --places-overpass-url";
            return Err(Failure::Usage(said.to_owned()));
        }
        Ok(())
    }
}

/// What is to be said where Google is to be asked and never will be.
pub fn warning(settings: &Settings) -> Option<&'static str> {
    let is_google = |provider: &Provider| matches!(provider, Provider::Google | Provider::GoogleLegacy);
    let asks_google = settings.chain.as_ref().is_some_and(|chain| chain.providers().iter().any(is_google));
    (asks_google && settings.key.is_none()).then_some(
        "Google is to be asked for places, and there is no key: set GOOGLE_PLACES_API_KEY or give --places-key-file",
    )
}

/// The beginning of an index file, by which it is known.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    std::fs::File::open(path)?.take(file::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn parsed<T: FromStr<Err: Display>>(flag: &str, text: Option<&String>) -> Result<Option<T>, Failure> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|error: T::Err| Failure::Usage(format!("{flag}: {error}")))
}

/// Takes the slashes off the end of an address that a path is put behind.
fn base(flag: &str, url: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(url) = url else { return Ok(None) };
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err(Failure::Usage(format!(
            "{flag}: {url:?} is no address: write http:// or https:// and a host"
        )));
    }
    Ok(Some(url.trim_end_matches('/').to_owned()))
}

fn key_of(place: &str, text: &str) -> Result<Key, Failure> {
    Key::new(text).map_err(|error| Failure::Usage(format!("{place}: {error}")))
}

fn unreadable(flag: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Undone(format!("{flag} {}: {}; name a file that can be read", path.display(), reason(error)))
}

// What is done with files of places. (See above.)
#[derive(Debug, StructOpt)]
pub enum Command {
    /// Make an index out of GeoNames dumps, CSV or GeoJSON
    #[structopt(after_help = "\
EXAMPLES:
    herd places import US.txt --regions admin1CodesASCII.txt -o us.index
                                    a GeoNames dump (https://download.geonames.org/export/dump/), unpacked
    herd places import US.txt --features HTL,SCH,RSTN,PRK -o us.index
                                    its hotels, schools, stations and parks only
    herd places import stops.csv --types bus_stop -o stops.index
                                    a table with the columns name, lat and lon at least
    herd places import city.geojsonseq -o city.index
                                    OpenStreetMap, by way of osmium:
        osmium tags-filter city.osm.pbf nwr/amenity nwr/shop nwr/tourism -o places.osm.pbf
        osmium export places.osm.pbf -u type_id -f geojsonseq -o city.geojsonseq
    herd up --places-file city.index
                                    search it beside the places that every herd carries")]
    Import(import::Import),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(flags: &Flags) -> String {
        flags.settings().unwrap_err().to_string()
    }

    fn written<'a>(text: impl Into<Option<&'a str>>) -> Option<String> {
        text.into().map(str::to_owned)
    }

    #[test]
    fn what_is_not_given_is_as_usual() {
        let settings = Flags::default().settings().unwrap();
        assert_eq!((settings.chain, settings.embedded), (None, true));
        assert_eq!(settings.google_url, Settings::default().google_url);
    }

    /// A key that was forgotten showed nowhere where the next provider answered.
    #[test]
    fn google_without_a_key_is_warned_of_where_it_is_named() {
        let key = Key::new("k").ok();
        let warned = |chain: Option<&str>, key: Option<Key>| {
            let chain = chain.map(|chain| chain.parse().unwrap());
            warning(&Settings { chain, key, ..Settings::default() }).is_some()
        };
        assert!(warned(Some("google,offline"), None) && warned(Some("offline,google-legacy"), None));
        assert!(!warned(Some("google"), key) && !warned(Some("offline"), None) && !warned(None, None));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_flag_and_what_to_write() {
        let flags = Flags { chain: written("goggle"), ..Flags::default() };
        assert!(refused(&flags).starts_with("--places: \"goggle\" is no provider"));
        let flags = Flags { cache: written("soon"), ..Flags::default() };
        assert!(refused(&flags).starts_with("--places-cache: "));
        let flags = Flags { field_mask: written("*"), ..Flags::default() };
        assert!(refused(&flags).starts_with("--places-field-mask: "));
        let flags = Flags { chain: written("overpass"), ..Flags::default() };
        assert!(refused(&flags).contains("--places-overpass-url"));
        let flags = Flags { file_only: true, ..Flags::default() };
        assert!(refused(&flags).contains("name an index"));
        let flags = Flags { files: vec!["/nowhere/x".into()], ..Flags::default() };
        assert_eq!(
            refused(&flags),
            "--places-file /nowhere/x: no such file or directory; name a file that can be read"
        );
    }

    #[test]
    fn the_settings_of_a_file_are_named_where_places_are_described() {
        let described = include_str!("../places/README.md");
        let unknown = serde_json::from_str::<Flags>(r#"{"": 0}"#).unwrap_err().to_string();
        let names: Vec<&str> = unknown.split('`').skip(3).step_by(2).collect();
        assert_eq!(names.len(), 11, "{unknown}");
        for name in names {
            assert!(described.contains(&format!("`{name}`")), "{name}");
        }
        let example = described.lines().find(|line| line.starts_with("    { ")).unwrap();
        assert_eq!(serde_json::from_str::<Flags>(example).unwrap().per_day, Some(Whole(5000)));
    }

    #[test]
    fn flags_come_back_from_the_command_line_that_gives_them() {
        let flags = Flags {
            chain: written("google,offline"),
            files: vec!["a".into(), "b".into()],
            file_only: true,
            url: written("http://x/"),
            per_day: Some(Whole(7)),
            ..Flags::default()
        };
        let mut arguments = vec!["herd".into()];
        flags.arguments(&mut arguments);
        assert_eq!(Flags::from_iter_safe(arguments).unwrap(), flags);
        assert_eq!(flags.settings().unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = Flags { chain: written("none"), cache: written("1h,5"), ..Flags::default() };
        let merged = Flags { chain: written("offline"), ..Flags::default() }.or(file);
        assert_eq!((merged.chain, merged.cache), (written("offline"), written("1h,5")));
    }
}
