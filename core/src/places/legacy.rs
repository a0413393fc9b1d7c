//! Google's legacy Nearby Search, `GET /maps/api/place/nearbysearch/json`, which the prototypes spoke to.
//!
//! Its bytes are passed on: the list is cut to the bound, runs of newlines are collapsed, the attribution and
//! `source` are put in, and nothing else is touched. It answers 200 to nearly everything and puts the trouble in `status`.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::envelope::collapse_newlines;
use super::exchange::{Access, Blame, Failure, Reply, Request, shortened};
use super::key::Key;
use super::provider::Provider;
use super::{Query, Status};

/// Where the legacy Nearby Search is.
pub const BASE_URL: &str = "https://maps.googleapis.com";

pub(super) fn request(access: &Access, key: &Key, query: &Query) -> Request {
    let Query { latitude, longitude, .. } = query;
    let (base, radius, key) = (&access.base_url, query.radius_for_google_m(), key.expose());
    let path = "/maps/api/place/nearbysearch/json";
    let url = format!("{base}{path}?location={latitude},{longitude}&radius={radius}&key={key}");
    Request { url, headers: Vec::new(), body: None }
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    html_attributions: Option<&'a RawValue>,
    #[serde(borrow, default)]
    results: Vec<&'a RawValue>,
    #[serde(borrow)]
    status: &'a RawValue,
    #[serde(borrow)]
    error_message: Option<Cow<'a, str>>,
}

pub(super) fn answer(query: &Query, reply: &Reply<'_>) -> Result<Vec<u8>, Failure> {
    if reply.code != 200 {
        return Err(Failure::http(reply, None));
    }
    let text = std::str::from_utf8(reply.body).map_err(|_| Failure::broken("the answer is not UTF-8"))?;
    let answer: Answer<'_> = reply.object()?;
    let word: Cow<'_, str> = serde_json::from_str(answer.status.get()).unwrap_or_default();
    match word.as_ref() {
        "OK" | "ZERO_RESULTS" => Ok(passed_on(text, &answer, query.bound)),
        word => Err(failure(word, answer.error_message.as_deref())),
    }
}

fn failure(word: &str, said: Option<&str>) -> Failure {
    let (status, blame) = match word {
        "INVALID_REQUEST" => (Status::InvalidRequest, Blame::Question),
        "OVER_QUERY_LIMIT" => (Status::OverQueryLimit, Blame::Refusal(None)),
        "REQUEST_DENIED" => (Status::RequestDenied, Blame::Refusal(None)),
        _ => (Status::UnknownError, Blame::Provider),
    };
    let message = match said {
        Some(said) => format!("{} {}", shortened(word), shortened(said)),
        None => shortened(word),
    };
    Failure { status, message, blame }
}

/// Returns the text with its surplus results cut out and the two additions put in.
fn passed_on(text: &str, answer: &Answer<'_>, bound: usize) -> Vec<u8> {
    let mut edits = vec![source(text, answer)];
    edits.extend(surplus(text, &answer.results, bound));
    edits.extend(answer.html_attributions.and_then(|list| attribution(text, list)));
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for (range, replacement) in edits {
        out.extend_from_slice(&text.as_bytes()[at..range.start]);
        out.extend_from_slice(replacement.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    collapse_newlines(&mut out);
    out
}

/// A range of the text and what stands there afterwards.
type Edit = (Range<usize>, String);

/// Puts `source` right behind the status, whose place in the object is Google's choice.
fn source(text: &str, answer: &Answer<'_>) -> Edit {
    let end = span(text, answer.status).end;
    (end..end, format!(", \"source\" : \"{}\"", Provider::GoogleLegacy))
}

/// Cuts what follows the last result that is wanted, its comma included.
fn surplus(text: &str, results: &[&RawValue], bound: usize) -> Option<Edit> {
    let (last_kept, last) = (results.get(bound.checked_sub(1)?)?, results.last()?);
    Some((span(text, last_kept).end..span(text, last).end, String::new()))
}

fn attribution(text: &str, list: &RawValue) -> Option<Edit> {
    let rest = list.get().strip_prefix('[')?.trim_start();
    let comma = if rest == "]" { "" } else { ", " };
    let at = span(text, list).start + 1;
    Some((at..at, format!("\"Google Maps\"{comma}")))
}

/// Returns where in the text a value borrowed from it stands.
fn span(text: &str, value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + value.get().len()
}

#[cfg(test)]
mod tests {
    use super::super::field_mask::FieldMask;
    use super::*;
    use serde_json::Value;

    const QUERY: Query = Query { latitude: 34.06893, longitude: -118.445_127, radius_m: 10_000.0, bound: 2 };

    const THREE: &str = "{\n   \"html_attributions\" : [],\n\n\n   \"next_page_token\" : \"Aap\",\n   \"results\" : [\n      {\n         \"name\" : \"caf\\u00e9\"\n      },\r\n      { \"n\" : 1.50 },\n      {}\n   ],\n   \"status\" : \"OK\"\n}\n\n";

    fn reply(body: &str, bound: usize) -> Result<String, Failure> {
        let reply = Reply { code: 200, retry_after: None, body: body.as_bytes() };
        answer(&Query { bound, ..QUERY }, &reply).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_request_has_everything_in_its_address() {
        let access = Access { base_url: "http://x".into(), key: None, field_mask: FieldMask::default() };
        let request = request(&access, &Key::new("k3y").unwrap(), &QUERY);
        let path = "/maps/api/place/nearbysearch/json?location=34.06893,-118.445127&radius=10000&key=k3y";
        assert_eq!(request.url, format!("http://x{path}"));
    }

    #[test]
    fn surplus_results_are_cut_and_every_other_byte_stays() {
        let passed = reply(THREE, 2).unwrap();
        let wanted = "{\n   \"html_attributions\" : [\"Google Maps\"],\n   \"next_page_token\" : \"Aap\",\n   \"results\" : [\n      {\n         \"name\" : \"caf\\u00e9\"\n      },\n      { \"n\" : 1.50 }\n   ],\n   \"status\" : \"OK\", \"source\" : \"google-legacy\"\n}";
        assert_eq!(passed, wanted);
    }

    #[test]
    fn a_list_within_the_bound_is_not_cut() {
        for bound in [3, 20] {
            assert!(reply(THREE, bound).unwrap().contains("{ \"n\" : 1.50 },\n      {}\n   ]"));
        }
    }

    #[test]
    fn every_bound_leaves_json_with_that_many_results() {
        for bound in 1..=4 {
            let value: Value = serde_json::from_str(&reply(THREE, bound).unwrap()).unwrap();
            assert_eq!(value["results"].as_array().unwrap().len(), bound.min(3));
        }
    }

    #[test]
    fn googles_own_attributions_stay_beside_ours() {
        let body = r#"{"html_attributions":["Listings by X"],"results":[],"status":"ZERO_RESULTS"}"#;
        let value: Value = serde_json::from_str(&reply(body, 5).unwrap()).unwrap();
        assert_eq!(value["html_attributions"], serde_json::json!(["Google Maps", "Listings by X"]));
        assert_eq!(value["source"], "google-legacy");
    }

    #[test]
    fn each_status_says_whose_fault_it_is() {
        let blame = |word: &str| {
            let body =
                format!("{{\"error_message\":\"You \\\"must\\\"\",\"results\":[],\"status\":\"{word}\"}}");
            let failure = reply(&body, 5).unwrap_err();
            assert_eq!(failure.message, format!("{word} You \"must\""));
            (failure.status, failure.blame)
        };
        assert_eq!(blame("INVALID_REQUEST"), (Status::InvalidRequest, Blame::Question));
        assert_eq!(blame("OVER_QUERY_LIMIT"), (Status::OverQueryLimit, Blame::Refusal(None)));
        assert_eq!(blame("REQUEST_DENIED"), (Status::RequestDenied, Blame::Refusal(None)));
        assert_eq!(blame("UNKNOWN_ERROR"), (Status::UnknownError, Blame::Provider));
        assert_eq!(blame("SOMETHING_NEW"), (Status::UnknownError, Blame::Provider));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_a_failure() {
        let twice = r#"{"status":"OK","status":"OK"}"#;
        for body in
            ["", "{", "[]", r#"[[],[],"OK",null]"#, "{}", "<html>", r#"{"results":{},"status":"OK"}"#, twice]
        {
            assert_eq!(reply(body, 5).unwrap_err().status, Status::UnknownError, "{body}");
        }
        let reply = Reply { code: 200, retry_after: None, body: b"{\"status\":\"\xff\"}" };
        assert!(answer(&QUERY, &reply).is_err());
    }
}
