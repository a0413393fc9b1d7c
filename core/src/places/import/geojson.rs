//! GeoJSON: a document with a collection of features, or one feature a line.
//!
//! A document is read feature by feature, so that a bad feature is one bad feature, and what comes before
//! the damage in a file is kept.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::overpass::{ATTRIBUTION, KINDS as OSM_KINDS, address as osm_address};
use super::super::spot::on_sphere;
use super::{Importer, Place, Reject, Spot, Summary};

/// Besides the tags of OpenStreetMap, the usual words that say what a thing is.
const MORE_KINDS: [&str; 4] = ["types", "type", "category", "kind"];

/// Hears of each feature that was read how long it is, in bytes, and what became of all so far.
pub(super) type Progress<'a> = dyn FnMut(usize, &Summary) + 'a;

/// Takes a whole document: a collection, or a feature alone.
pub(super) fn document(importer: &mut Importer, text: &[u8], progress: &mut Progress<'_>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = Document(importer, progress).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Err(error) = read {
        // Whatever has no feature in a list may be one.
        let alone = if importer.row == 0 { serde_json::from_slice::<Value>(text).ok() } else { None };
        importer.row += 1;
        let outcome = match alone.filter(|value| value["type"] == "Feature") {
            Some(feature) => importer.feature(&feature),
            None => Err(Reject::bad(format!("the file is damaged or no collection: {error}"))),
        };
        importer.note("feature", outcome);
    }
}

struct Document<'a, 'b>(&'a mut Importer, &'a mut Progress<'b>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of features")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut has_features = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "features" {
                has_features = true;
                map.next_value_seed(Features(self.0, self.1))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if has_features { Ok(()) } else { Err(A::Error::missing_field("features")) }
    }
}

struct Features<'a, 'b>(&'a mut Importer, &'a mut Progress<'b>);

impl<'de> DeserializeSeed<'de> for Features<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut features: A) -> Result<(), A::Error> {
        while let Some(feature) = features.next_element::<&RawValue>()? {
            self.0.row += 1;
            let outcome = self.0.feature_line(feature.get());
            self.0.note("feature", outcome);
            (self.1)(feature.get().len(), &self.0.summary);
        }
        Ok(())
    }
}

impl Importer {
    /// Takes a feature on a line of its own, behind the separator of RFC 8142 where there is one.
    pub(super) fn feature_line(&mut self, line: &str) -> Result<usize, Reject> {
        let line = line.trim_matches(['\u{1e}', ' ', '\t', '\r', '\n']);
        if line.is_empty() {
            return Ok(0);
        }
        let feature: Value = serde_json::from_str(line).map_err(|error| Reject::bad(error.to_string()))?;
        self.feature(&feature)
    }

    fn feature(&mut self, feature: &Value) -> Result<usize, Reject> {
        if feature["type"] != "Feature" {
            return Err(Reject::bad("this is no feature of GeoJSON"));
        }
        let property = |name: &str| feature["properties"][name].as_str();
        let spot = middle(&feature["geometry"])?;
        let kinds: Vec<&str> = OSM_KINDS
            .iter()
            .chain(&MORE_KINDS)
            .filter_map(|kind| property(kind))
            .filter(|&kind| kind != "yes")
            .collect();
        let from_osm = osm_id(feature);
        if from_osm.is_some() {
            self.list.attribute(ATTRIBUTION);
        }
        let id = from_osm.unwrap_or_else(|| own_id(feature));
        let address = property("address")
            .or_else(|| property("vicinity"))
            .map_or_else(|| osm_address(property), str::to_owned);
        self.add(&Place {
            spot,
            name: property("name").unwrap_or_default(),
            area: &address,
            kinds: &kinds,
            id: &id,
        })
    }
}

fn own_id(feature: &Value) -> String {
    let id = if feature["id"].is_null() { &feature["properties"]["id"] } else { &feature["id"] };
    match id {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        _ => String::new(),
    }
}

/// Returns the identifier of an object of OpenStreetMap, as osmium (`n5`) or Overpass (`node/5`) writes it.
fn osm_id(feature: &Value) -> Option<String> {
    let id = feature["id"].as_str().or_else(|| feature["properties"]["@id"].as_str())?;
    if let Some((kind @ ("node" | "way" | "relation"), number)) = id.split_once('/') {
        return number.parse::<u64>().ok().map(|number| format!("osm:{kind}/{number}"));
    }
    let number = id.get(1..)?.parse::<u64>().ok()?;
    match id.as_bytes()[0] {
        b'n' => Some(format!("osm:node/{number}")),
        b'w' => Some(format!("osm:way/{number}")),
        b'r' => Some(format!("osm:relation/{number}")),
        // An area stands for a way (even) or a relation (odd).
        b'a' if number.is_multiple_of(2) => Some(format!("osm:way/{}", number / 2)),
        b'a' => Some(format!("osm:relation/{}", number / 2)),
        _ => None,
    }
}

/// Returns the middle of all corners of a geometry.
fn middle(geometry: &Value) -> Result<Spot, Reject> {
    let mut sum = [0.0; 3];
    let mut only = None;
    let corners = add_corners(&geometry["coordinates"], &mut sum, &mut only)
        .ok_or_else(|| Reject::bad("the geometry has coordinates that are no numbers or not on the earth"))?;
    match (corners, only) {
        (0, _) | (_, None) => Err(Reject::bad("the geometry has no coordinates")),
        (1, Some(spot)) => Ok(spot),
        _ => {
            let [x, y, z] = sum;
            let (latitude, longitude) = (z.atan2(x.hypot(y)).to_degrees(), y.atan2(x).to_degrees());
            Spot::new(latitude, longitude).ok_or_else(|| Reject::bad("the geometry has no middle"))
        }
    }
}

/// Adds up corners as points on the sphere, where no antimeridian can tear a shape apart; returns their number.
fn add_corners(coordinates: &Value, sum: &mut [f64; 3], only: &mut Option<Spot>) -> Option<usize> {
    let Some(list) = coordinates.as_array() else { return coordinates.is_null().then_some(0) };
    if list.first().is_some_and(Value::is_array) {
        // An outline ends in the corner that it begins with, which is one and not two.
        let parts = if list.len() > 1 && list.first() == list.last() { &list[1..] } else { &list[..] };
        return parts.iter().map(|part| add_corners(part, sum, only)).sum();
    }
    let [longitude, latitude, ..] = &list[..] else { return list.is_empty().then_some(0) };
    let (latitude, longitude) = (latitude.as_f64()?, longitude.as_f64()?);
    *only = Some(Spot::new(latitude, longitude)?);
    on_sphere(latitude, longitude).iter().zip(sum).for_each(|(part, sum)| *sum += part);
    Some(1)
}
