//! A list of places in compact form: what an index file holds and an import collects.

use std::collections::HashMap;
use std::fmt;

use super::spot::Spot;

/// The longest name, identifier or area kept, in bytes.
pub const TEXT_MAX: usize = 1000;

/// A place on its way into a [`Gazetteer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Where it is.
    pub spot: Spot,
    /// What it is called.
    pub name: &'a str,
    /// Where people say it is: a street, a town, a region; may be empty.
    pub area: &'a str,
    /// What it is, the narrowest word first (`lodging`, `locality`).
    pub kinds: &'a [&'a str],
    /// Its identifier where it came from; may be empty.
    pub id: &'a str,
}

/// A place in the list: its text lies in the list's one string, its area and kinds in tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) spot: Spot,
    pub(super) start: u32,
    pub(super) name_len: u16,
    pub(super) id_len: u16,
    pub(super) area: u32,
    pub(super) kinds: u32,
}

/// A list of places, each in about 30 bytes.
#[derive(Debug, Default)]
pub struct Gazetteer {
    pub(super) entries: Vec<Entry>,
    pub(super) text: String,
    pub(super) areas: Table,
    /// The words of a set of kinds, joined by line feeds.
    pub(super) kinds: Table,
    attributions: Vec<String>,
}

/// Strings that many places share, each kept once.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Table {
    fn number(&mut self, word: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(word) {
            return Some(number);
        }
        let number = u32::try_from(self.words.len()).ok()?;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        Some(number)
    }
}

/// Why a place does not go into a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has no name.
    Nameless,
    /// What is named here of it is over [`TEXT_MAX`] bytes.
    Long(&'static str),
    /// The list holds as many bytes as its numbers can count: four gigabytes.
    Full,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Nameless => write!(f, "the place has no name"),
            Unfit::Long(what) => write!(f, "the {what} is over {TEXT_MAX} bytes long"),
            Unfit::Full => write!(f, "the index is full: leave some places out"),
        }
    }
}

impl Gazetteer {
    /// Returns how many places there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether there is no place at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns where the places are, in the order in which they were added.
    pub fn spots(&self) -> impl Iterator<Item = Spot> {
        self.entries.iter().map(|entry| entry.spot)
    }

    /// Adds a place.
    pub fn add(&mut self, place: &Place<'_>) -> Result<(), Unfit> {
        if place.name.is_empty() {
            return Err(Unfit::Nameless);
        }
        let texts =
            [("name", place.name), ("identifier", place.id), ("address with region and country", place.area)];
        if let Some((what, _)) = texts.iter().find(|(_, text)| text.len() > TEXT_MAX) {
            return Err(Unfit::Long(what));
        }
        let entry = self.entry(place).ok_or(Unfit::Full)?;
        self.text.push_str(place.name);
        self.text.push_str(place.id);
        self.entries.push(entry);
        Ok(())
    }

    fn entry(&mut self, place: &Place<'_>) -> Option<Entry> {
        Some(Entry {
            spot: place.spot,
            start: u32::try_from(self.text.len()).ok()?,
            name_len: u16::try_from(place.name.len()).ok()?,
            id_len: u16::try_from(place.id.len()).ok()?,
            area: self.areas.number(place.area)?,
            kinds: self.kinds.number(&place.kinds.join("\n"))?,
        })
    }

    /// Adds a line that must be shown with the places, once.
    pub fn attribute(&mut self, attribution: &str) {
        if !attribution.is_empty() && !self.attributions.iter().any(|known| known == attribution) {
            self.attributions.push(attribution.to_owned());
        }
    }

    /// Returns the lines that must be shown with the places.
    pub fn attributions(&self) -> &[String] {
        &self.attributions
    }

    pub(super) fn name(&self, entry: &Entry) -> &str {
        let start = entry.start as usize;
        self.text.get(start..start + usize::from(entry.name_len)).unwrap_or_default()
    }

    pub(super) fn id(&self, entry: &Entry) -> &str {
        let start = entry.start as usize + usize::from(entry.name_len);
        self.text.get(start..start + usize::from(entry.id_len)).unwrap_or_default()
    }

    pub(super) fn area(&self, entry: &Entry) -> &str {
        self.areas.words.get(entry.area as usize).map_or("", String::as_str)
    }

    /// Sorts the places by area, then from south to north: neighbours in a file share most of their bytes.
    pub(super) fn sorted(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.sort_by(|a, b| {
            let order = self.area(a).cmp(self.area(b)).then(a.spot.cmp(&b.spot));
            order.then_with(|| self.name(a).cmp(self.name(b)))
        });
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Place<'_> {
        let spot = Spot::new(34.0, -118.0).unwrap();
        Place { spot, name, area: "California, US", kinds: &["locality"], id: "" }
    }

    #[test]
    fn an_area_that_places_share_is_kept_once() {
        let mut list = Gazetteer::default();
        for name in ["Culver City", "Santa Monica"] {
            list.add(&place(name)).unwrap();
        }
        assert_eq!((list.len(), list.areas.words.len()), (2, 1));
        assert_eq!(list.name(&list.entries[1]), "Santa Monica");
        assert!(list.spots().eq([place("").spot; 2]));
    }

    #[test]
    fn a_place_without_a_name_or_with_a_text_too_long_is_refused() {
        let mut list = Gazetteer::default();
        assert_eq!(list.add(&place("")), Err(Unfit::Nameless));
        let long = "x".repeat(TEXT_MAX + 1);
        assert_eq!(list.add(&place(&long)), Err(Unfit::Long("name")));
        assert_eq!(list.add(&Place { id: &long, ..place("A") }), Err(Unfit::Long("identifier")));
        let refused = list.add(&Place { area: &long, ..place("A") }).map_err(|unfit| unfit.to_string());
        assert_eq!(refused, Err("the address with region and country is over 1000 bytes long".to_owned()));
        assert!(list.is_empty());
    }

    #[test]
    fn an_attribution_is_said_once() {
        let mut list = Gazetteer::default();
        list.attribute("GeoNames");
        list.attribute("GeoNames");
        list.attribute("");
        assert_eq!(list.attributions(), ["GeoNames"]);
    }
}
