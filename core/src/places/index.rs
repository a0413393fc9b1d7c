//! The offline index: a tree of points on the unit sphere, searched for the nearest and written as JSON.
//!
//! A result is mostly text that never changes, so that text is kept as JSON strings, made when the index
//! is loaded; answering is then a search and a copy.

use rstar::primitives::GeomWithData;
use rstar::{ParentNode, PointDistance, RTree, RTreeNode};

use super::Query;
use super::envelope;
use super::gazetteer::{Entry, Gazetteer};
use super::provider::Provider;
use super::spot::{Point, chord_2, on_sphere, write_degrees};
use super::status::Status;

type Leaf = GeomWithData<Point, Entry>;

/// Places that can be searched.
pub struct Index {
    tree: RTree<Leaf>,
    /// The names and identifiers of all places, escaped as JSON strings are but without quotes.
    text: Vec<u8>,
    areas: Vec<Box<[u8]>>,
    kinds: Vec<Kinds>,
    attributions: Vec<u8>,
}

struct Kinds {
    json: Box<[u8]>,
    /// People live in such a place, so it is in its own vicinity.
    is_settled: bool,
}

impl Index {
    /// Builds an index of all places of some lists.
    pub fn new(lists: Vec<Gazetteer>) -> Index {
        let mut index = Index {
            tree: RTree::new(),
            text: Vec::new(),
            areas: Vec::new(),
            kinds: Vec::new(),
            attributions: attributions(&lists),
        };
        let mut leaves = Vec::with_capacity(lists.iter().map(Gazetteer::len).sum());
        for list in lists {
            index.take(&list, &mut leaves);
        }
        index.text.shrink_to_fit();
        index.tree = RTree::bulk_load(leaves);
        index
    }

    fn take(&mut self, list: &Gazetteer, leaves: &mut Vec<Leaf>) {
        let (areas_before, kinds_before) = (self.areas.len(), self.kinds.len());
        self.areas.extend(list.areas.words.iter().map(|area| escaped(area).into()));
        self.kinds.extend(list.kinds.words.iter().map(|words| Kinds::new(words)));
        for entry in &list.entries {
            let (name, id) = (escaped(list.name(entry)), escaped(list.id(entry)));
            let text = (u32::try_from(self.text.len()), u16::try_from(name.len()), u16::try_from(id.len()));
            let shared = (u32::try_from(areas_before), u32::try_from(kinds_before));
            let ((Ok(start), Ok(name_len), Ok(id_len)), (Ok(areas), Ok(kinds))) = (text, shared) else {
                // Four gigabytes of names: whatever is over them is not found.
                return;
            };
            let (area, kinds) = (entry.area + areas, entry.kinds + kinds);
            let entry = Entry { start, name_len, id_len, area, kinds, ..*entry };
            self.text.extend_from_slice(&name);
            self.text.extend_from_slice(&id);
            leaves.push(Leaf::new(entry.spot.point(), entry));
        }
    }

    /// Returns how many places there are.
    pub fn len(&self) -> usize {
        self.tree.size()
    }

    /// Tells whether there is no place at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers a query with the envelope: the nearest places within the radius, by distance.
    pub fn answer(&self, query: &Query) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + 192 * query.bound.min(20));
        envelope::open(&mut out, &self.attributions);
        let mut found = 0;
        for (_, entry) in self.near(query) {
            envelope::separate(&mut out, found);
            self.render(&mut out, entry);
            found += 1;
        }
        let status = if found == 0 { Status::ZeroResults } else { Status::Ok };
        envelope::close(&mut out, status, None, Provider::Offline);
        out
    }

    fn near(&self, query: &Query) -> Vec<(f64, &Entry)> {
        let bound = if query.is_sane() { query.bound } else { 0 };
        let middle = on_sphere(query.latitude, query.longitude);
        let found = Vec::with_capacity(bound.min(20) + 1);
        let parts = Vec::with_capacity(64);
        let mut search = Search { middle, bound, farthest: chord_2(query.radius_m), parts, found };
        if bound > 0 {
            search.look_into(self.tree.root());
        }
        search.found
    }

    fn render(&self, out: &mut Vec<u8>, entry: &Entry) {
        let start = entry.start as usize;
        let (name, rest) = self.text[start..].split_at(entry.name_len.into());
        let id = &rest[..entry.id_len.into()];
        let kinds = &self.kinds[entry.kinds as usize];
        out.extend_from_slice(b"{\"geometry\":{\"location\":{\"lat\":");
        write_degrees(out, entry.spot.latitude_e7);
        out.extend_from_slice(b",\"lng\":");
        write_degrees(out, entry.spot.longitude_e7);
        out.extend_from_slice(b"}},\"name\":\"");
        out.extend_from_slice(name);
        if !id.is_empty() {
            out.extend_from_slice(b"\",\"place_id\":\"");
            out.extend_from_slice(id);
        }
        out.extend_from_slice(b"\",\"types\":");
        out.extend_from_slice(&kinds.json);
        out.extend_from_slice(b",\"vicinity\":\"");
        render_vicinity(out, name, &self.areas[entry.area as usize], kinds.is_settled);
        out.extend_from_slice(b"\"}");
    }
}

/// A search for the nearest. rstar's own iterator knows no radius, and looks for the nearest place however far it is;
/// this one leaves out whatever is farther than the radius or than enough places that were found.
struct Search<'a> {
    middle: Point,
    bound: usize,
    /// How far a place may be to be of interest, as a squared chord.
    farthest: f64,
    /// The parts of the tree that are still to be looked into, each with its distance as a squared chord.
    parts: Vec<(f64, &'a ParentNode<Leaf>)>,
    /// The places found, by distance.
    found: Vec<(f64, &'a Entry)>,
}

impl<'a> Search<'a> {
    /// Looks into the nearer parts of the tree first, because what is found there makes the others uninteresting.
    fn look_into(&mut self, root: &'a ParentNode<Leaf>) {
        self.open(root);
        while let Some((distance_2, part)) = self.parts.pop() {
            // What was found meanwhile may be nearer than all that is in there.
            if distance_2 <= self.farthest {
                self.open(part);
            }
        }
    }

    /// Keeps the places of a part of the tree, and puts its own parts on the pile, the nearest on top.
    fn open(&mut self, part: &'a ParentNode<Leaf>) {
        let before = self.parts.len();
        for child in part.children() {
            match child {
                RTreeNode::Leaf(leaf) => self.keep(leaf.distance_2(&self.middle), &leaf.data),
                RTreeNode::Parent(part) => {
                    let distance_2 = part.envelope().distance_2(&self.middle);
                    if distance_2 <= self.farthest {
                        self.parts.push((distance_2, part));
                    }
                }
            }
        }
        self.parts[before..].sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    }

    fn keep(&mut self, distance_2: f64, entry: &'a Entry) {
        if distance_2 > self.farthest {
            return;
        }
        // Of places on one spot the one that was read first comes first, however the tree was walked.
        let is_before = |(before, other): &(f64, &Entry)| (*before, other.start) < (distance_2, entry.start);
        let at = self.found.partition_point(is_before);
        self.found.insert(at, (distance_2, entry));
        self.found.truncate(self.bound);
        if let (true, Some((last, _))) = (self.found.len() == self.bound, self.found.last()) {
            self.farthest = *last;
        }
    }
}

impl Kinds {
    fn new(words: &str) -> Kinds {
        let words: Vec<&str> = words.lines().collect();
        let is_settled = words.contains(&"locality");
        // A list of strings is always JSON.
        Kinds { json: serde_json::to_vec(&words).unwrap_or_else(|_| b"[]".to_vec()).into(), is_settled }
    }
}

fn render_vicinity(out: &mut Vec<u8>, name: &[u8], area: &[u8], is_settled: bool) {
    if is_settled {
        out.extend_from_slice(name);
    }
    if is_settled && !area.is_empty() {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(area);
}

fn attributions(lists: &[Gazetteer]) -> Vec<u8> {
    let mut all = Gazetteer::default();
    lists.iter().flat_map(Gazetteer::attributions).for_each(|attribution| all.attribute(attribution));
    serde_json::to_vec(all.attributions()).unwrap_or_else(|_| b"[]".to_vec())
}

/// Returns a string as JSON writes it between the quotes.
fn escaped(text: &str) -> Vec<u8> {
    let mut json = serde_json::to_vec(text).unwrap_or_else(|_| b"\"\"".to_vec());
    json.pop();
    json.remove(0);
    json
}

#[cfg(test)]
mod tests {
    use super::super::gazetteer::Place;
    use super::super::spot::{EARTH_RADIUS_M, Spot};
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn list(places: &[(f64, f64, &str, &str, &[&str])]) -> Gazetteer {
        let mut list = Gazetteer::default();
        for &(latitude, longitude, name, area, kinds) in places {
            let spot = Spot::new(latitude, longitude).unwrap();
            list.add(&Place { spot, name, area, kinds, id: "" }).unwrap();
        }
        list
    }

    fn answer(index: &Index, latitude: f64, longitude: f64, radius_m: f64, bound: usize) -> Value {
        serde_json::from_slice(&index.answer(&Query { latitude, longitude, radius_m, bound })).unwrap()
    }

    fn names(answer: &Value) -> Vec<&str> {
        answer["results"].as_array().unwrap().iter().map(|place| place["name"].as_str().unwrap()).collect()
    }

    const TOWN: &[&str] = &["locality", "political"];

    #[test]
    fn the_nearest_come_first_and_no_more_than_wanted() {
        let towns = [(1.0, 1.0, "C", "", TOWN), (0.1, 0.1, "A", "", TOWN), (0.2, 0.2, "B", "", TOWN)];
        let index = Index::new(vec![list(&towns)]);
        assert_eq!(names(&answer(&index, 0.0, 0.0, 50_000.0, 20)), ["A", "B"]);
        assert_eq!(names(&answer(&index, 0.0, 0.0, 50_000.0, 1)), ["A"]);
    }

    #[test]
    fn a_result_has_all_that_users_of_the_legacy_form_read() {
        let mut places = list(&[(34.01945, -118.49119, "Santa \"Mo\" Monica", "California, US", TOWN)]);
        places.attribute("<b>GeoNames</b>");
        let answer = answer(&Index::new(vec![places]), 34.0, -118.4, 50_000.0, 5);
        let wanted = json!({
            "html_attributions": ["<b>GeoNames</b>"],
            "results": [{
                "geometry": {"location": {"lat": 34.01945, "lng": -118.49119}},
                "name": "Santa \"Mo\" Monica",
                "types": ["locality", "political"],
                "vicinity": "Santa \"Mo\" Monica, California, US",
            }],
            "status": "OK",
            "source": "offline",
        });
        assert_eq!(answer, wanted);
    }

    /// Those of a list behind the others whose sets of kinds had numbers over 65,535 were left out, without a word.
    #[test]
    fn lists_may_have_any_number_of_kinds_together() {
        let crowd = |kind: char| {
            let kinds: Vec<String> = (0..40_000).map(|number| format!("{kind}{number}")).collect();
            let mut list = Gazetteer::default();
            for kind in &kinds {
                let spot = Spot::new(50.0, 50.0).unwrap();
                list.add(&Place { spot, name: "Far", area: "", kinds: &[kind], id: "" }).unwrap();
            }
            list
        };
        let near = list(&[(0.0, 0.1, "Near", "", &["last"])]);
        let index = Index::new(vec![crowd('a'), crowd('b'), near]);
        assert_eq!(answer(&index, 0.0, 0.0, 50_000.0, 5)["results"][0]["types"], json!(["last"]));
    }

    #[test]
    fn lists_are_searched_as_one_and_keep_their_own_areas_and_types() {
        let hotel = list(&[(0.0, 0.2, "Hotel", "Main St", &["lodging"])]);
        let index = Index::new(vec![list(&[(0.0, 0.1, "Town", "X, US", TOWN)]), hotel]);
        let answer = answer(&index, 0.0, 0.0, 50_000.0, 5);
        assert_eq!(answer["results"][0]["vicinity"], "Town, X, US");
        assert_eq!(answer["results"][1]["vicinity"], "Main St");
        assert_eq!(answer["results"][1]["types"], json!(["lodging"]));
    }

    #[test]
    fn a_radius_of_nothing_finds_what_is_on_the_very_spot() {
        let index = Index::new(vec![list(&[
            (34.01945, -118.49119, "Here", "", TOWN),
            (34.01946, -118.49119, "There", "", TOWN),
        ])]);
        assert_eq!(names(&answer(&index, 34.01945, -118.49119, 0.0, 20)), ["Here"]);
    }

    #[test]
    fn of_places_on_one_spot_the_first_of_the_list_come_first() {
        let names: Vec<String> = (0..100).map(|number| format!("N{number}")).collect();
        let places: Vec<_> = names.iter().map(|name| (1.0, 1.0, &name[..], "", TOWN)).collect();
        let index = Index::new(vec![list(&places)]);
        for bound in [1, 5, 20] {
            assert_eq!(self::names(&answer(&index, 1.0, 1.0, 0.0, bound)), names[..bound]);
        }
    }

    #[test]
    fn the_antimeridian_and_the_poles_are_no_borders() {
        let places = [
            (0.0, 180.0, "Line", "", TOWN),
            (0.0, -179.9, "East", "", TOWN),
            (89.9, 10.0, "North", "", TOWN),
        ];
        let index = Index::new(vec![list(&places)]);
        assert_eq!(names(&answer(&index, 0.0, 179.95, 20_000.0, 5)), ["Line", "East"]);
        assert_eq!(names(&answer(&index, 0.0, -180.0, 0.0, 5)), ["Line"]);
        assert_eq!(names(&answer(&index, 89.9, -170.0, 50_000.0, 5)), ["North"]);
    }

    #[test]
    fn over_the_sea_there_is_nothing_and_that_is_no_error() {
        let index = Index::new(vec![list(&[(0.0, 0.0, "Buoy", "", TOWN)])]);
        assert_eq!(answer(&index, 30.0, -40.0, 50_000.0, 20)["status"], "ZERO_RESULTS");
        assert_eq!(answer(&Index::new(vec![]), 0.0, 0.0, 50_000.0, 20)["status"], "ZERO_RESULTS");
    }

    #[test]
    fn numbers_that_are_no_position_find_nothing() {
        let index = Index::new(vec![list(&[(0.0, 0.0, "Null", "", TOWN)])]);
        for (latitude, radius_m) in [(f64::NAN, 1.0), (0.0, f64::NAN), (0.0, -1.0), (f64::INFINITY, 1.0)] {
            assert_eq!(answer(&index, latitude, 0.0, radius_m, 5)["status"], "ZERO_RESULTS");
        }
    }

    /// The distance by the haversine formula, which the index does not use.
    fn haversine_m(a: (f64, f64), b: (f64, f64)) -> f64 {
        let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
        let across = a.0.to_radians().cos() * b.0.to_radians().cos() * half(a.1, b.1);
        2.0 * EARTH_RADIUS_M * (half(a.0, b.0) + across).min(1.0).sqrt().asin()
    }

    fn position() -> impl Strategy<Value = (f64, f64)> {
        let anywhere = (-90_000..=90_000, -180_000..=180_000);
        let poles = (prop_oneof![-90_000..=-89_700, 89_700..=90_000], -180_000..=180_000);
        let antimeridian = (-500..=500, prop_oneof![-180_000..=-179_700, 179_700..=180_000]);
        let crowd = (34_000..=34_400, -118_500..=-118_100);
        prop_oneof![1 => anywhere, 2 => poles, 2 => antimeridian, 2 => crowd]
            .prop_map(|(latitude, longitude)| (f64::from(latitude) / 1e3, f64::from(longitude) / 1e3))
    }

    proptest! {
        #[test]
        fn the_index_finds_what_looking_at_every_place_finds(
            places in prop::collection::vec(position(), 0..200),
            middle in position(),
            radius_km in 0_u32..=50,
            bound in 0_usize..=20,
        ) {
            let rows: Vec<_> = places.iter().map(|&(latitude, longitude)| (latitude, longitude, "X", "", TOWN)).collect();
            let radius_m = f64::from(radius_km) * 1000.0;
            let answer = answer(&Index::new(vec![list(&rows)]), middle.0, middle.1, radius_m, bound);
            let found: Vec<f64> = answer["results"].as_array().unwrap().iter().map(|place| {
                let location = &place["geometry"]["location"];
                haversine_m(middle, (location["lat"].as_f64().unwrap(), location["lng"].as_f64().unwrap()))
            }).collect();
            let mut wanted: Vec<f64> = places.iter().map(|&place| haversine_m(middle, place)).collect();
            wanted.retain(|&distance| distance <= radius_m + 1e-3);
            wanted.sort_by(f64::total_cmp);
            wanted.truncate(bound);
            // A place on the very edge may fall to either side, which only the last ones found can be.
            let inside = wanted.iter().filter(|&&distance| distance < radius_m - 1e-3).count();
            prop_assert!(found.len() <= wanted.len() && found.len() >= inside.min(bound));
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((found - wanted).abs() < 2e-3, "{} {}", found, wanted);
            }
        }
    }
}
