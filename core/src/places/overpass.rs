//! OpenStreetMap, asked through an Overpass server.
//!
//! Overpass cannot order by distance, so everything in reach comes and is ordered here. That is why only
//! towns are asked for farther out: all named things within 50 km of a city would be tens of megabytes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::envelope::{self, Entry};
use super::exchange::{Access, Blame, Failure, Reply, Request, shortened};
use super::provider::Provider;
use super::spot::{self, Spot, on_sphere};
use super::{Query, Status};

/// What OpenStreetMap wants to be said of its data.
pub const ATTRIBUTION: &str =
    "Data © <a href=\"https://www.openstreetmap.org/copyright\">OpenStreetMap</a> contributors, ODbL";

/// How far out more is asked for than towns, in metres.
const DETAIL_MAX_M: f64 = 1_000.0;

/// The tags that make a thing a place, the telling ones first.
pub(super) const KINDS: [&str; 8] =
    ["amenity", "shop", "tourism", "leisure", "historic", "railway", "place", "natural"];

pub(super) fn request(access: &Access, query: &Query) -> Request {
    let Query { latitude, longitude, .. } = query;
    let (far, near) = (query.radius_m, query.radius_m.min(DETAIL_MAX_M));
    let things = "\"^(amenity|shop|tourism|leisure|historic|railway)$\"";
    let towns = "\"^(city|town|village|hamlet|suburb|quarter|neighbourhood)$\"";
    let question = format!(
        "[out:json][timeout:10];(nwr(around:{near},{latitude},{longitude})[name][~{things}~\".\"];\
         node(around:{far},{latitude},{longitude})[name][place~{towns}];);out center;"
    );
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("data", &question).finish();
    Request {
        url: access.base_url.clone(),
        headers: vec![("Content-Type", "application/x-www-form-urlencoded".to_owned())],
        body: Some(body),
    }
}

#[derive(Deserialize)]
struct Answer {
    elements: Vec<Element>,
    /// What went wrong on the way, although the status of HTTP is 200.
    remark: Option<String>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    kind: String,
    id: u64,
    #[serde(flatten)]
    own: Option<Position>,
    center: Option<Position>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Position {
    lat: f64,
    lon: f64,
}

pub(super) fn answer(query: &Query, reply: &Reply<'_>) -> Result<Vec<u8>, Failure> {
    if reply.code != 200 {
        return Err(failure(reply));
    }
    let answer: Answer = reply.object()?;
    match answer.remark {
        Some(remark) if remark.contains("error") => Err(Failure::broken(shortened(&remark))),
        _ => Ok(envelope::answer(Provider::Overpass, ATTRIBUTION, &nearest(query, &answer.elements))),
    }
}

/// A 504 is how Overpass says that it has no slot free: it wants patience as after 429.
fn failure(reply: &Reply<'_>) -> Failure {
    let failure = Failure::http(reply, None);
    match reply.code {
        504 => {
            Failure { status: Status::OverQueryLimit, blame: Blame::Refusal(reply.retry_after), ..failure }
        }
        _ => failure,
    }
}

fn nearest<'a>(query: &Query, elements: &'a [Element]) -> Vec<Entry<'a>> {
    let middle = on_sphere(query.latitude, query.longitude);
    // A long thing comes if any of it is in reach; it is where its centre is.
    let reach = spot::chord_2(query.radius_m);
    let mut found: Vec<(f64, Position, &Element)> = elements
        .iter()
        .filter(|element| element.tags.get("name").is_some_and(|name| !name.is_empty()))
        .filter_map(|element| element.own.or(element.center).map(|position| (position, element)))
        .filter(|(position, _)| Spot::new(position.lat, position.lon).is_some())
        .map(|(position, element)| (chord_2_between(middle, position), position, element))
        .filter(|(chord_2, ..)| *chord_2 <= reach)
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.id.cmp(&b.2.id)));
    found.truncate(query.bound);
    found.into_iter().map(|(_, position, element)| entry(position, element)).collect()
}

fn chord_2_between(middle: [f64; 3], position: Position) -> f64 {
    let point = on_sphere(position.lat, position.lon);
    middle.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn entry(position: Position, element: &Element) -> Entry<'_> {
    let tag = |name: &str| element.tags.get(name).map(String::as_str);
    let types = KINDS.iter().filter_map(|kind| tag(kind)).filter(|&kind| kind != "yes").collect();
    Entry::new(tag("name").unwrap_or_default(), position.lat, position.lon)
        .id(Some(format!("osm:{}/{}", element.kind, element.id)))
        .types(types)
        .vicinity(address(tag))
}

/// Returns the address that tags of OpenStreetMap spell.
pub(super) fn address<'a>(tag: impl Fn(&str) -> Option<&'a str>) -> String {
    let door = [tag("addr:housenumber"), tag("addr:street")];
    let door = door.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let parts = [Some(door.as_str()).filter(|door| !door.is_empty()), tag("addr:city")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::field_mask::FieldMask;
    use super::*;
    use serde_json::{Value, json};

    const QUERY: Query = Query { latitude: 52.0, longitude: 13.0, radius_m: 5_000.0, bound: 2 };

    fn reply(code: u16, body: &str) -> Result<Value, Failure> {
        answer(&QUERY, &Reply { code, retry_after: None, body: body.as_bytes() })
            .map(|json| serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn a_request_asks_for_things_nearby_and_for_towns_farther_out() {
        let access = Access {
            base_url: "http://x/api/interpreter".into(),
            key: None,
            field_mask: FieldMask::default(),
        };
        let request = request(&access, &QUERY);
        let body = request.body.unwrap();
        assert!(
            body.contains("around%3A1000%2C52%2C13") && body.contains("around%3A5000%2C52%2C13"),
            "{body}"
        );
        assert!(body.starts_with("data=%5Bout%3Ajson%5D"));
    }

    #[test]
    fn elements_come_nearest_first_with_address_and_identifier() {
        let body = r#"{"version":0.6,"elements":[
            {"type":"node","id":1,"lat":52.002,"lon":13.0,"tags":{"name":"Far","shop":"bakery"}},
            {"type":"way","id":2,"center":{"lat":52.001,"lon":13.0},"nodes":[1,2],"tags":{"name":"Near",
             "amenity":"cafe","shop":"yes","addr:street":"Allee","addr:housenumber":"7","addr:city":"Stadt"}},
            {"type":"node","id":3,"lat":52.0,"lon":13.0},
            {"type":"relation","id":4,"tags":{"name":"Nowhere"}}]}"#;
        let json = reply(200, body).unwrap();
        let results = json["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!((&results[0]["name"], &results[0]["place_id"]), (&"Near".into(), &"osm:way/2".into()));
        assert_eq!(
            (&results[0]["types"], &results[0]["vicinity"]),
            (&json!(["cafe"]), &"7 Allee, Stadt".into())
        );
        assert_eq!(results[1]["name"], "Far");
        assert_eq!(json["html_attributions"], json!([ATTRIBUTION]));
    }

    #[test]
    fn an_overworked_server_is_left_alone() {
        for code in [429, 504] {
            assert_eq!(reply(code, "").unwrap_err().blame, Blame::Refusal(None));
        }
    }

    #[test]
    fn a_remark_of_an_error_or_a_page_of_html_is_a_failure() {
        let remark = r#"{"elements":[],"remark":"runtime error: Query timed out"}"#;
        for body in [remark, "<html>rate limited</html>", "{}", "{\"elements\":[{}]}"] {
            assert_eq!(reply(200, body).unwrap_err().blame, Blame::Provider, "{body}");
        }
    }

    #[test]
    fn what_is_out_of_reach_or_nowhere_or_has_no_name_is_left_out() {
        let element = |id: u32, latitude: f64, name: &str| {
            let (center, tags) = (json!({"lat": latitude, "lon": 13.0}), json!({"name": name}));
            json!({"type": "way", "id": id, "center": center, "tags": tags})
        };
        let elements = [
            element(1, 52.04, "in reach"),
            element(2, 52.05, "beyond"),
            element(3, 999.0, "nowhere"),
            element(4, 52.0, ""),
        ];
        let answer = reply(200, &json!({"elements": elements}).to_string()).unwrap();
        assert_eq!(answer["results"].as_array().unwrap().len(), 1);
        assert_eq!(answer["results"][0]["name"], "in reach");
    }

    #[test]
    fn nothing_near_is_no_failure() {
        assert_eq!(reply(200, r#"{"elements":[]}"#).unwrap()["status"], "ZERO_RESULTS");
    }
}
