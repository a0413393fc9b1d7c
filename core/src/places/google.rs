//! Google's Places API (New), `POST /v1/places:searchNearby`.
//!
//! An answer is `{"places":[…]}`, or `{}` where there is nothing; an error is `{"error":{…}}`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::envelope::{self, Entry};
use super::exchange::{Access, Blame, Failure, Reply, Request};
use super::key::Key;
use super::provider::Provider;
use super::{Query, Status};

/// Where the Places API (New) is.
pub const BASE_URL: &str = "https://places.googleapis.com";

/// The most results one request can bring.
const BOUND_MAX: usize = 20;

pub(super) fn request(access: &Access, key: &Key, query: &Query) -> Request {
    let center = json!({"latitude": query.latitude, "longitude": query.longitude});
    let body = json!({
        "maxResultCount": query.bound.clamp(1, BOUND_MAX),
        "locationRestriction": {"circle": {"center": center, "radius": query.radius_for_google_m()}},
    });
    Request {
        url: format!("{}/v1/places:searchNearby", access.base_url),
        headers: vec![
            ("X-Goog-Api-Key", key.expose().to_owned()),
            ("X-Goog-FieldMask", access.field_mask.to_string()),
            ("Content-Type", "application/json".to_owned()),
        ],
        body: Some(body.to_string()),
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    places: Vec<Place>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    id: Option<String>,
    display_name: Option<DisplayName>,
    location: Option<Location>,
    primary_type: Option<String>,
    #[serde(default)]
    types: Vec<String>,
    formatted_address: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct DisplayName {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Location {
    // A coordinate of nought is left out by some of Google's servers, as proto3 does.
    #[serde(default)]
    latitude: f64,
    #[serde(default)]
    longitude: f64,
}

#[derive(Deserialize)]
struct Refusal {
    error: GoogleError,
}

#[derive(Deserialize)]
struct GoogleError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
}

pub(super) fn answer(query: &Query, reply: &Reply<'_>) -> Result<Vec<u8>, Failure> {
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(reply.body) {
        return Err(failure(reply, &refusal.error));
    }
    if reply.code != 200 {
        return Err(Failure::http(reply, None));
    }
    let answer: Answer = reply.object()?;
    let entries: Vec<Entry<'_>> = answer.places.iter().filter_map(entry).take(query.bound).collect();
    Ok(envelope::answer(Provider::Google, "Google Maps", &entries))
}

fn failure(reply: &Reply<'_>, error: &GoogleError) -> Failure {
    let failure = Failure::http(reply, Some(&format!("{} {}", error.status, error.message)));
    match error.status.as_str() {
        // A key that is none is answered 400, and will be none the next time too.
        "INVALID_ARGUMENT" if error.message.contains("API key") => {
            Failure { status: Status::RequestDenied, blame: Blame::Refusal(None), ..failure }
        }
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => {
            Failure { status: Status::RequestDenied, blame: Blame::Refusal(reply.retry_after), ..failure }
        }
        "RESOURCE_EXHAUSTED" => {
            Failure { status: Status::OverQueryLimit, blame: Blame::Refusal(reply.retry_after), ..failure }
        }
        _ => failure,
    }
}

fn entry(place: &Place) -> Option<Entry<'_>> {
    let name = place.display_name.as_ref().map_or("", |name| name.text.as_str());
    let location = place.location.as_ref()?;
    let mut types: Vec<&str> = place.primary_type.as_deref().into_iter().collect();
    types.extend(
        place.types.iter().map(String::as_str).filter(|&kind| Some(kind) != place.primary_type.as_deref()),
    );
    let entry = Entry::new(name, location.latitude, location.longitude).id(place.id.clone()).types(types);
    Some(entry.vicinity(place.formatted_address.clone().unwrap_or_default()).rest(place.rest.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::field_mask::FieldMask;
    use super::*;

    const QUERY: Query = Query { latitude: 34.06893, longitude: -118.445_127, radius_m: 10_000.0, bound: 2 };

    fn reply(code: u16, body: &str) -> Result<Value, Failure> {
        answer(&QUERY, &Reply { code, retry_after: None, body: body.as_bytes() })
            .map(|json| serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn a_request_carries_the_key_and_the_mask_in_headers_and_the_circle_in_its_body() {
        let key = Key::new("k3y").unwrap();
        let access = Access { base_url: "https://x".into(), key: None, field_mask: FieldMask::default() };
        let request = request(&access, &key, &Query { radius_m: 90_000.0, bound: 99, ..QUERY });
        assert_eq!(request.url, "https://x/v1/places:searchNearby");
        assert!(request.headers.contains(&("X-Goog-Api-Key", "k3y".to_owned())));
        let mask = "places.id,places.displayName,places.location,places.primaryType,places.types,places.formattedAddress";
        assert!(request.headers.contains(&("X-Goog-FieldMask", mask.to_owned())));
        let body: Value = serde_json::from_str(&request.body.unwrap()).unwrap();
        assert_eq!(body["maxResultCount"], 20);
        assert_eq!(body["locationRestriction"]["circle"]["radius"], 50_000.0);
        assert_eq!(body["locationRestriction"]["circle"]["center"]["longitude"], -118.445_127);
    }

    #[test]
    fn places_are_put_into_the_legacy_form() {
        let body = r#"{"places":[{"id":"ChIJ1","types":["cafe","store"],"primaryType":"cafe","rating":4.5,"name":"places/ChIJ1",
            "formattedAddress":"1 Main St, LA","location":{"latitude":34.5,"longitude":-118.5},
            "displayName":{"text":"Café","languageCode":"en"}},{"location":{"latitude":1,"longitude":2}},
            {"location":{"latitude":3,"longitude":4}}]}"#;
        let json = reply(200, body).unwrap();
        let first = &json["results"][0];
        assert_eq!((&first["name"], &first["place_id"]), (&"Café".into(), &"ChIJ1".into()));
        assert_eq!(first["types"], json!(["cafe", "store"]));
        assert_eq!((&first["vicinity"], &first["rating"]), (&"1 Main St, LA".into(), &4.5.into()));
        assert_eq!(json["results"].as_array().unwrap().len(), 2);
        assert_eq!(json["html_attributions"], json!(["Google Maps"]));
        assert_eq!(json["source"], "google");
    }

    #[test]
    fn an_empty_object_means_no_results() {
        assert_eq!(reply(200, "{}").unwrap()["status"], "ZERO_RESULTS");
    }

    #[test]
    fn an_error_keeps_googles_words_and_says_whose_fault_it_is() {
        let error = |code: u16, status: &str, message: &str| {
            let body = json!({"error": {"code": code, "message": message, "status": status}}).to_string();
            let failure = reply(code, &body).unwrap_err();
            (failure.status, failure.blame)
        };
        let refusal = Blame::Refusal(None);
        assert_eq!(error(403, "PERMISSION_DENIED", "not enabled"), (Status::RequestDenied, refusal));
        assert_eq!(error(429, "RESOURCE_EXHAUSTED", "quota"), (Status::OverQueryLimit, refusal));
        assert_eq!(error(400, "INVALID_ARGUMENT", "radius"), (Status::InvalidRequest, Blame::Question));
        assert_eq!(error(400, "INVALID_ARGUMENT", "API key not valid."), (Status::RequestDenied, refusal));
        assert_eq!(error(503, "UNAVAILABLE", "later"), (Status::UnknownError, Blame::Provider));
    }

    #[test]
    fn an_answer_that_is_no_json_or_no_success_is_a_failure() {
        for (code, body) in
            [(200, "{\"places\":["), (200, "<html>"), (200, " []"), (200, "[[]]"), (502, "<html>"), (302, "")]
        {
            assert_eq!(reply(code, body).unwrap_err().blame, Blame::Provider, "{code} {body}");
        }
    }
}
