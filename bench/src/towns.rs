//! What is near: the populated places that herd carries, people who live around them, and who asks about it.
//!
//! Redis is asked for the very places that herd knows. What herd must answer is computed beforehand, byte for byte; of
//! Redis's answer it is known how far each member must be, by looking at every place around.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use herd_core::places::spot::{Point, distance_m, on_sphere};
use herd_core::places::{Index, Query, file};

use crate::ask;
use crate::speech::{IAMAT, Speech, Wrong, follows};

/// The places within the program that is measured.
static CITIES: &[u8] = include_bytes!("../../places/cities.index");

/// How far is looked, in metres: the 10 km of [`QUESTION`].
const RADIUS_M: f64 = 10_000.0;

/// How many places are wanted: the 5 of [`QUESTION`].
const BOUND: usize = 5;

/// What follows the client's ID in a WHATSAT.
const QUESTION: &[u8] = b" 10 5\n";

/// How far from a town its people live at most, in degrees each way.
const OUTSKIRTS: f64 = 0.05;

/// Redis takes no place nearer to a pole, in degrees.
const LATITUDE_MAX: f64 = 85.0;

/// Redis rounds positions to half a metre, and its earth is 1.8 km larger: so far may its distances be from the true
/// ones, in metres, on the way and at the edge.
const ROUNDING_M: f64 = 2.0;
const EDGE_M: f64 = 10.0;

/// Towns, and people around them.
pub struct Towns {
    /// Where the towns are, in degrees and on the unit sphere; the number of a town is its place here.
    spots: Vec<((f64, f64), Point)>,
    people: Vec<Person>,
    /// Who lives where, by latitude and longitude as they are said.
    homes: HashMap<Home, usize>,
    /// What is known of all answers to WHATSAT, one after the other.
    answers: Vec<u8>,
}

/// A latitude and a longitude as they are said.
pub type Home = ([u8; 10], [u8; 11]);

struct Person {
    /// Where the answer begins: the fields of the report, the places, and the empty line.
    answer: usize,
    at: Point,
    /// How far the nearest towns are within the radius and a little more, in metres.
    nearest: Vec<f64>,
}

/// The bytes of the fields of a report and its line end.
const FIELDS: usize = 16 + 1 + 10 + 11 + 1 + 20 + 1;

impl Towns {
    /// Reads the towns and settles so many people around them.
    pub fn new(people: usize) -> io::Result<Rc<Self>> {
        let list = file::decode(CITIES).map_err(io::Error::other)?;
        let spots: Vec<((f64, f64), Point)> = list
            .spots()
            .filter(|spot| spot.latitude().abs() < LATITUDE_MAX)
            .map(|spot| ((spot.latitude(), spot.longitude()), spot.point()))
            .collect();
        let mut all = Self { spots, people: Vec::new(), homes: HashMap::new(), answers: Vec::new() };
        all.settle(people, &Index::new(vec![list]));
        Ok(Rc::new(all))
    }

    fn settle(&mut self, people: usize, index: &Index) {
        let mut by_latitude: Vec<(f64, Point)> =
            self.spots.iter().map(|((north, _), at)| (*north, *at)).collect();
        by_latitude.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (time, mut dice) = (ask::now(), Dice(0x9e37_79b9_7f4a_7c15));
        for number in 0..people {
            let (north, east) = self.spots[dice.below(self.spots.len())].0;
            let (north, east) =
                (north + dice.around(OUTSKIRTS), (east + dice.around(OUTSKIRTS)).clamp(-180.0, 180.0));
            let (latitude, longitude) = (format!("{north:+010.6}"), format!("{east:+011.6}"));
            // What is on the wire counts, and not what was rounded to it.
            let (north, east) = (degrees(&latitude), degrees(&longitude));
            let query = Query { latitude: north, longitude: east, radius_m: RADIUS_M, bound: BOUND };
            let answer = self.answers.len();
            self.answers.extend_from_slice(&client(number));
            self.answers.extend_from_slice(format!(" {latitude}{longitude} {time}\n").as_bytes());
            self.answers.extend_from_slice(&index.answer(&query));
            self.answers.extend_from_slice(b"\n\n");
            let at = on_sphere(north, east);
            self.homes.insert((fixed(&latitude), fixed(&longitude)), number);
            self.people.push(Person { answer, at, nearest: nearest(&by_latitude, north, at) });
        }
    }

    /// How many towns there are.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// The latitude and longitude of a town, in degrees.
    pub fn town(&self, number: usize) -> (f64, f64) {
        self.spots[number].0
    }

    /// Draws somebody, and tells where they live.
    pub fn anybody(&self, dice: &mut Dice) -> Home {
        let answer = self.answer(dice.below(self.people.len()));
        let mut home = ([0; 10], [0; 11]);
        home.0.copy_from_slice(&answer[17..27]);
        home.1.copy_from_slice(&answer[27..38]);
        home
    }

    fn answer(&self, number: usize) -> &[u8] {
        let end = self.people.get(number + 1).map_or(self.answers.len(), |next| next.answer);
        &self.answers[self.people[number].answer..end]
    }

    /// Whether Redis's list of towns is right for who lives there: as many as there are, each as far as it must be.
    pub fn are_near(&self, home: &Home, members: &[usize]) -> bool {
        let Some(Person { at, nearest, .. }) = self.homes.get(home).map(|number| &self.people[*number])
        else {
            return false;
        };
        let is_right = |(member, wanted): (&usize, &f64)| {
            self.spots.get(*member).is_some_and(|(_, town)| (between(at, town) - wanted).abs() < ROUNDING_M)
        };
        let missing = nearest.get(members.len());
        members.len() <= nearest.len()
            && members.iter().zip(nearest).all(is_right)
            && missing.is_none_or(|distance| *distance > RADIUS_M - EDGE_M)
    }
}

/// How far the nearest places are, up to the bound, by looking at all that are as far north.
fn nearest(by_latitude: &[(f64, Point)], north: f64, middle: Point) -> Vec<f64> {
    let band = RADIUS_M / 100_000.0;
    let from = by_latitude.partition_point(|(latitude, _)| *latitude < north - band);
    let around = by_latitude[from..].iter().take_while(|(latitude, _)| *latitude <= north + band);
    let mut distances: Vec<f64> = around.map(|(_, at)| between(&middle, at)).collect();
    distances.retain(|distance| *distance < RADIUS_M + EDGE_M);
    distances.sort_by(f64::total_cmp);
    distances.truncate(BOUND);
    distances
}

fn between(a: &Point, b: &Point) -> f64 {
    distance_m(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum())
}

/// The ID of somebody: as long as those of a crowd, and none of theirs.
fn client(number: usize) -> [u8; 16] {
    fixed(&format!("w{number:06}.ucla.edu"))
}

fn fixed<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [b' '; N];
    bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    bytes
}

fn degrees(text: &str) -> f64 {
    text.parse().unwrap_or_default()
}

/// Numbers as good as drawn, the same in every run.
pub struct Dice(pub u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 32
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from((self.draw() * bound as u64) >> 32).unwrap_or_default()
    }

    fn around(&mut self, most: f64) -> f64 {
        (self.draw() as f64 / f64::from(u32::MAX) * 2.0 - 1.0) * most
    }
}

/// Everybody's first report, one after the other.
pub struct Settle {
    towns: Rc<Towns>,
    opening: Vec<u8>,
    next: usize,
}

impl Settle {
    /// Reports to the server of this name.
    pub fn new(server: &str, towns: Rc<Towns>) -> Self {
        Self { towns, opening: opening(server), next: 0 }
    }
}

impl Speech for Settle {
    fn say(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(IAMAT);
        out.extend_from_slice(&self.towns.answer(self.next)[..FIELDS]);
        self.next = (self.next + 1) % self.towns.people();
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let fields = command.get(IAMAT.len()..).unwrap_or_default();
        follows(&self.opening, fields, input).map_err(|()| Wrong::new(command, input, "an AT line"))
    }
}

/// WHATSAT of anybody, answered by what was reported, and every byte of the places.
pub struct Whatsat {
    towns: Rc<Towns>,
    opening: Vec<u8>,
    dice: Dice,
}

impl Whatsat {
    /// Asks the server of this name.
    pub fn new(server: &str, towns: Rc<Towns>) -> Self {
        Self { towns, opening: opening(server), dice: Dice(1) }
    }
}

const WHATSAT: &[u8] = b"WHATSAT ";

impl Speech for Whatsat {
    fn say(&mut self, out: &mut Vec<u8>) {
        let number = self.dice.below(self.towns.people());
        out.extend_from_slice(WHATSAT);
        out.extend_from_slice(&self.towns.answer(number)[..16]);
        out.extend_from_slice(QUESTION);
    }

    fn judge(&self, command: &[u8], input: &[u8]) -> Result<Option<usize>, Wrong> {
        let wanted = self.towns.answer(decimal(&command[WHATSAT.len() + 1..][..6]));
        let wrong = || {
            Wrong::new(command, input, "what was reported last, and the nearest five places of herd's index")
        };
        follows(&self.opening, wanted, input).map_err(|()| wrong())
    }
}

fn opening(server: &str) -> Vec<u8> {
    format!("AT {server} ").into_bytes()
}

fn decimal(digits: &[u8]) -> usize {
    digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit.wrapping_sub(b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What herd must answer somebody, as JSON.
    fn places(towns: &Towns, number: usize) -> Value {
        serde_json::from_slice(towns.answer(number)[FIELDS..].trim_ascii_end()).unwrap()
    }

    #[test]
    fn what_the_index_finds_is_what_looking_at_every_town_finds() {
        let towns = Towns::new(300).unwrap();

        let mut found = 0;
        for number in 0..300 {
            let Person { at, nearest, .. } = &towns.people[number];
            let json = places(&towns, number);
            let results = json["results"].as_array().unwrap();
            assert!(nearest.get(results.len()).is_none_or(|distance| *distance >= RADIUS_M));
            for (place, wanted) in results.iter().zip(nearest) {
                let degrees = |name: &str| place["geometry"]["location"][name].as_f64().unwrap();
                let distance = between(at, &on_sphere(degrees("lat"), degrees("lng")));
                assert!((distance - wanted).abs() < 0.1, "{distance} {wanted}");
            }
            found += results.len();
        }
        assert!(found > 300, "only {found} towns near 300 people");
    }

    #[test]
    fn a_town_left_out_added_or_changed_is_noticed() {
        let towns = Towns::new(50).unwrap();
        let home = towns.anybody(&mut Dice(7));
        let at = towns.people[towns.homes[&home]].at;
        let mut all: Vec<(f64, usize)> =
            towns.spots.iter().enumerate().map(|(number, (_, town))| (between(&at, town), number)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let near: Vec<usize> =
            all.iter().filter(|(far, _)| *far < RADIUS_M).map(|(_, number)| *number).take(BOUND).collect();

        assert!(!near.is_empty() && towns.are_near(&home, &near));
        assert!(!towns.are_near(&home, &near[1..]));
        assert!(!towns.are_near(&home, &[&near[..], &[all[10].1]].concat()));
        assert!(!towns.are_near(&home, &[&[all[20].1], &near[1..]].concat()));
    }

    #[test]
    fn a_right_answer_is_taken_once_it_is_whole_and_any_byte_changed_is_caught() {
        let towns = Towns::new(3).unwrap();
        let speech = Whatsat::new("Goloman", Rc::clone(&towns));
        let reply = [b"AT Goloman +0.000123456 ", towns.answer(1)].concat();
        let judged = |reply: &[u8]| speech.judge(b"WHATSAT w000001.ucla.edu 10 5\n", reply);

        assert_eq!(judged(&reply), Ok(Some(reply.len())));
        assert_eq!(judged(&reply[..reply.len() - 1]), Ok(None));
        for at in (25..reply.len()).chain(0..11) {
            let mut reply = reply.clone();
            reply[at] ^= 0x40;
            assert!(judged(&reply).is_err(), "a change of byte {at} went unseen");
        }
    }
}
