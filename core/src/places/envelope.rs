//! The JSON that a `WHATSAT` ends in: the envelope of Google's legacy Nearby Search, plus `source`.
//!
//! ```text
//! {"html_attributions":["…"],
//! "results":[
//! {"geometry":{"location":{"lat":34.05612,"lng":-118.43063}},"name":"…","types":["…"],"vicinity":"…"}],
//! "status":"OK",
//! "source":"offline"}
//! ```

use serde::Serialize;
use serde_json::{Map, Value};

use super::exchange::Failure;
use super::provider::Provider;
use super::status::Status;

/// One result, as providers that are translated fill it in.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    geometry: Geometry,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place_id: Option<String>,
    types: Vec<&'a str>,
    vicinity: String,
    /// What else the provider was asked for, under the provider's own names.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Serialize)]
struct Geometry {
    location: Location,
}

#[derive(Debug, Serialize)]
struct Location {
    lat: f64,
    lng: f64,
}

impl<'a> Entry<'a> {
    /// Starts a result with what every place has.
    pub fn new(name: &'a str, latitude: f64, longitude: f64) -> Entry<'a> {
        let geometry = Geometry { location: Location { lat: latitude, lng: longitude } };
        Entry { geometry, name, place_id: None, types: Vec::new(), vicinity: String::new(), rest: Map::new() }
    }

    /// Adds the provider's identifier.
    #[must_use]
    pub fn id(self, id: Option<String>) -> Entry<'a> {
        Entry { place_id: id, ..self }
    }

    /// Adds what the place is.
    #[must_use]
    pub fn types(self, types: Vec<&'a str>) -> Entry<'a> {
        Entry { types, ..self }
    }

    /// Adds where people say it is.
    #[must_use]
    pub fn vicinity(self, vicinity: String) -> Entry<'a> {
        Entry { vicinity, ..self }
    }

    /// Adds what else is known, under the provider's own names but for those that mean something else here.
    #[must_use]
    pub fn rest(self, mut rest: Map<String, Value>) -> Entry<'a> {
        for own in ["geometry", "name", "place_id", "types", "vicinity"] {
            rest.remove(own);
        }
        Entry { rest, ..self }
    }
}

/// Writes an answer with results, or with `ZERO_RESULTS` where there are none.
pub fn answer(source: Provider, attribution: &str, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 * (entries.len() + 1));
    open(&mut out, json(&[attribution]).as_bytes());
    for (number, entry) in entries.iter().enumerate() {
        separate(&mut out, number);
        out.extend_from_slice(json(entry).as_bytes());
    }
    let status = if entries.is_empty() { Status::ZeroResults } else { Status::Ok };
    close(&mut out, status, None, source);
    out
}

/// Writes an answer without results: nobody was asked, or all who were asked failed.
pub fn empty(source: Provider, status: Status, message: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    open(&mut out, b"[]");
    close(&mut out, status, message, source);
    out
}

/// Writes the answer of a chain in which every provider failed: the first one's status, and all that went wrong.
pub fn failed(failures: &[(Provider, Failure)]) -> Vec<u8> {
    let Some((first, failure)) = failures.first() else {
        return empty(Provider::None, Status::RequestDenied, Some("no provider of places was asked"));
    };
    let said: Vec<String> = failures.iter().map(|(who, what)| format!("{who}: {}", what.message)).collect();
    empty(*first, failure.status, Some(&said.join("; ")))
}

/// Collapses every run of newlines into one and leaves none at the beginning and at the end.
pub fn collapse_newlines(text: &mut Vec<u8>) {
    let mut before = b'\n';
    text.retain_mut(|byte| {
        let is_newline = matches!(*byte, b'\r' | b'\n');
        if is_newline {
            *byte = b'\n';
        }
        let is_kept = !is_newline || before != b'\n';
        before = *byte;
        is_kept
    });
    if text.last() == Some(&b'\n') {
        text.pop();
    }
}

pub(super) fn open(out: &mut Vec<u8>, attributions: &[u8]) {
    out.extend_from_slice(b"{\"html_attributions\":");
    out.extend_from_slice(attributions);
    out.extend_from_slice(b",\n\"results\":[");
}

pub(super) fn separate(out: &mut Vec<u8>, before: usize) {
    out.extend_from_slice(if before == 0 { b"\n" } else { b",\n" });
}

pub(super) fn close(out: &mut Vec<u8>, status: Status, message: Option<&str>, source: Provider) {
    out.extend_from_slice(b"],\n\"status\":\"");
    out.extend_from_slice(status.word().as_bytes());
    out.push(b'"');
    if let Some(message) = message {
        out.extend_from_slice(b",\n\"error_message\":");
        out.extend_from_slice(json(message).as_bytes());
    }
    out.extend_from_slice(b",\n\"source\":\"");
    out.extend_from_slice(source.word().as_bytes());
    out.extend_from_slice(b"\"}");
}

fn json<T: Serialize + ?Sized>(value: &T) -> String {
    // Strings, numbers and maps with string keys are all that comes here, and those cannot fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collapsed(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        collapse_newlines(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn runs_of_newlines_become_one_and_the_first_and_the_last_go() {
        assert_eq!(collapsed("\n\r\n{\n}"), "{\n}");
        assert_eq!(collapsed("{\r\n\r\n  \"a\" : 1\n\n\n}\n\n"), "{\n  \"a\" : 1\n}");
        assert_eq!(collapsed("\n\r\r"), "");
        assert_eq!(collapsed("plain"), "plain");
        assert_eq!(collapsed("a\r\rb"), "a\nb");
    }

    #[test]
    fn an_answer_is_json_with_the_legacy_fields() {
        let entry = Entry::new("O\"Neill\n", 34.5, -118.25).types(vec!["bar"]).vicinity("Main St".into());
        let answer = answer(Provider::Overpass, "© somebody", &[entry]);
        let value: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(value["results"][0]["name"], "O\"Neill\n");
        assert_eq!(value["results"][0]["geometry"]["location"]["lng"], -118.25);
        assert_eq!(value["results"][0].get("place_id"), None);
        assert_eq!((&value["status"], &value["source"]), (&"OK".into(), &"overpass".into()));
        assert!(!answer.windows(2).any(|pair| pair == b"\n\n"));
    }

    #[test]
    fn an_answer_without_results_says_so() {
        let value: Value = serde_json::from_slice(&answer(Provider::Google, "Google Maps", &[])).unwrap();
        assert_eq!((&value["status"], &value["results"]), (&"ZERO_RESULTS".into(), &Value::Array(vec![])));
    }

    #[test]
    fn an_answer_nobody_could_give_names_everyone_asked() {
        let failures = [
            (Provider::Google, Failure::broken("no answer within 5 s")),
            (Provider::Overpass, Failure::broken("it said \"busy\"")),
        ];
        let value: Value = serde_json::from_slice(&failed(&failures)).unwrap();
        assert_eq!(value["status"], "UNKNOWN_ERROR");
        assert_eq!(value["error_message"], "google: no answer within 5 s; overpass: it said \"busy\"");
    }
}
