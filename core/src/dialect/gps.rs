//! The answers to the question of the `clientat` dialect:
//! `{"gps": [34.06893, -118.445127], "skew": "+0.263873386", "time": 1520023934.918964}` or `{"FOUND": false}`.

use super::figure::{Figure, receipt, skew};
use crate::record::{Record, line_of};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most of an answer that those servers read.
const READ_MAX: usize = 100;

/// The answer of those who do not know.
pub const NOT_FOUND: &[u8] = b"{\"FOUND\": false}";

/// Prints the answer to the question for a client.
///
/// The numbers are the doubles that the form has, in their shortest digits; nobody here reads them back. An answer
/// too long to be read as a whole would be read as nonsense, so it is that the client is not known.
pub fn print(record: Option<&Record<'_>>) -> Vec<u8> {
    let found = record.and_then(found).filter(|answer| answer.len() <= READ_MAX);
    found.unwrap_or_else(|| NOT_FOUND.to_vec())
}

fn found(record: &Record<'_>) -> Option<Vec<u8>> {
    let (latitude, longitude) = record.said.location.degrees();
    let (skew, time) =
        (String::from_utf8(record.skew()).ok()?, std::str::from_utf8(record.said.time.text()).ok()?);
    let time: f64 = time.parse().ok().filter(|time: &f64| time.is_finite())?;
    Some(
        format!("{{\"gps\": [{latitude:?}, {longitude:?}], \"skew\": \"{skew}\", \"time\": {time:?}}}")
            .into_bytes(),
    )
}

/// The fields of an answer, in the digits that came.
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    gps: [&'a RawValue; 2],
    skew: &'a str,
    #[serde(borrow)]
    time: &'a RawValue,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It is no whole answer, or cannot be read exactly.
    Unreadable,
    /// The client is not known there.
    NotFound,
    /// The record line.
    Found(Vec<u8>),
}

/// Reads the answer that `server` gave to the question for a client.
///
/// It does not say which server the client told, so the one that answered stands for it.
pub fn parse(answer: &[u8], client: &[u8], server: &str) -> Answer {
    if let Ok(found) = serde_json::from_slice::<Found<'_>>(answer) {
        return line(&found, client, server).map_or(Answer::Unreadable, Answer::Found);
    }
    match serde_json::from_slice::<serde_json::Value>(answer) {
        Ok(other) if other.get("FOUND") == Some(&serde_json::Value::Bool(false)) => Answer::NotFound,
        _ => Answer::Unreadable,
    }
}

fn line(found: &Found<'_>, client: &[u8], server: &str) -> Option<Vec<u8>> {
    let [latitude, longitude] = found.gps.map(|number| Figure::parse(number.get().as_bytes()));
    let time = Figure::parse(found.time.get().as_bytes()).filter(|time| !time.is_negative())?;
    let received = receipt(&time, &skew(found.skew.as_bytes())?)?;
    let mut location = Vec::new();
    for degrees in [latitude?, longitude?] {
        location.push(if degrees.is_negative() { b'-' } else { b'+' });
        location.extend_from_slice(&degrees.plain());
    }
    let line = line_of([client, &location, &time.plain()], received, server.as_bytes());
    Record::parse(&line)?;
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(line: &str) -> String {
        String::from_utf8(print(Record::parse(line.as_bytes()).as_ref())).unwrap()
    }

    fn read(text: &str) -> Answer {
        parse(text.as_bytes(), b"kiwi", "P")
    }

    #[test]
    fn the_answer_is_the_one_in_the_table() {
        let known = "kiwi +34.068930-118.445127 1520023934.918963997 1520023935182837383 Goloman";
        let expected =
            r#"{"gps": [34.06893, -118.445127], "skew": "+0.263873386", "time": 1520023934.918964}"#;
        assert_eq!(answer(known), expected);
        assert_eq!(
            answer("kiwi -0+7 5 6000000000 A"),
            r#"{"gps": [-0.0, 7.0], "skew": "+1.000000000", "time": 5.0}"#
        );
        assert_eq!(print(None), br#"{"FOUND": false}"#);
    }

    #[test]
    fn an_answer_that_would_not_be_read_as_a_whole_is_that_nobody_knows() {
        let long = "kiwi +34.06893012345678-118.4451271234567 1520023934.9189639 1 Goloman";
        assert_eq!(answer(long), r#"{"FOUND": false}"#);
        let huge = format!("kiwi +34-118 {} 1 Goloman", "9".repeat(400));
        assert_eq!(answer(&huge), r#"{"FOUND": false}"#);
    }

    #[test]
    fn an_answer_becomes_a_record_in_its_own_digits() {
        let text = r#"{"gps": [34.06893, -118.445127], "skew": "+0.263873386", "time": 1520023934.918964}"#;
        let expected = "kiwi +34.06893-118.445127 1520023934.918964 1520023935182837386 P";
        assert_eq!(read(text), Answer::Found(expected.into()));
        let text = r#"{"gps":[1e-05,-0.0],"skew":"--1E-05","time":5,"more":1}"#;
        assert_eq!(read(text), Answer::Found("kiwi +0.00001-0.0 5 4999990000 P".into()));
    }

    #[test]
    fn other_answers_are_no_records() {
        assert_eq!(read(r#"{"FOUND": false}"#), Answer::NotFound);
        for text in [
            "",
            "?",
            "{}",
            r#"{"FOUND": true}"#,
            r#"{"gps": [91.0, 0.0], "skew": "+0", "time": 5}"#,
            r#"{"gps": [1, 2], "skew": "soon", "time": 5}"#,
            r#"{"gps": [1, 2], "skew": "+0", "time": -5}"#,
            r#"{"gps": [1, 2], "skew": "+0", "time": "5"}"#,
            r#"{"gps": [1, 2, 3], "skew": "+0", "time": 5}"#,
            r#"{"gps": [1, 2], "skew": "+0", "time": 15200239"#,
        ] {
            assert_eq!(read(text), Answer::Unreadable, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(bytes: Vec<u8>, text in "\\{\"gps\": \\[.{0,9}, .{0,9}\\], \"skew\": \".{0,9}\", \"time\": .{0,9}\\}") {
            let _ = (parse(&bytes, b"kiwi", "P"), parse(text.as_bytes(), b"kiwi", "P"));
        }
    }
}
