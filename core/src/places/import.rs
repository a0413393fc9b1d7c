//! Making a list of places out of files that people have: GeoNames dumps, CSV and GeoJSON.
//!
//! A bad row is counted and the first few are named; it never ends an import.

mod csv;
mod geojson;
mod geonames;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use super::gazetteer::{Gazetteer, Place, Unfit};
use super::spot::Spot;

/// How many bad rows are named; more would scroll the first ones away.
const NAMED_MAX: usize = 10;

/// The longest row read, in bytes: the outline of a large country is a few of these mebibytes.
pub const ROW_MAX: usize = 1 << 24;

/// A form in which files of places come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A dump of GeoNames: 19 columns between tabs.
    GeoNames,
    /// Columns between commas, semicolons or tabs, named in the first row.
    Csv,
    /// One GeoJSON document with a collection of features.
    GeoJson,
    /// One GeoJSON feature a line, as `osmium export -f geojsonseq` writes them.
    GeoJsonLines,
}

impl Format {
    /// Guesses the format from a file's name.
    pub fn of(file: &str) -> Option<Format> {
        let (_, ending) = file.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "txt" => Some(Format::GeoNames),
            "csv" | "tsv" => Some(Format::Csv),
            "geojson" | "json" => Some(Format::GeoJson),
            "geojsonl" | "geojsons" | "geojsonseq" | "ndjson" | "jsonl" => Some(Format::GeoJsonLines),
            _ => None,
        }
    }
}

/// The text given names no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no format of places: write geonames, csv, geojson or geojsonl", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Format, UnknownFormat> {
        match word {
            "geonames" => Ok(Format::GeoNames),
            "csv" => Ok(Format::Csv),
            "geojson" => Ok(Format::GeoJson),
            "geojsonl" => Ok(Format::GeoJsonLines),
            _ => Err(UnknownFormat(word.to_owned())),
        }
    }
}

/// What an import is told besides the files.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The feature classes (`P`) and codes (`HTL`) of GeoNames that are wanted; none means all.
    pub features: Vec<String>,
    /// What a place is where its row does not say.
    pub types: Vec<String>,
}

/// What became of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows that became places.
    pub kept: usize,
    /// Rows left out for a good reason: no name, or a feature that was not wanted.
    pub left_out: usize,
    /// Rows that make no sense.
    pub bad: usize,
    /// The first of them, each with its file, its place in it and what is wrong.
    pub named: Vec<String>,
}

/// Why a row did not become a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reject {
    /// It is not wanted.
    LeftOut,
    /// It makes no sense, for the reason given.
    Bad(String),
}

impl Reject {
    fn bad(why: impl Into<String>) -> Reject {
        Reject::Bad(why.into())
    }
}

/// Collects places from one file after the other.
#[derive(Debug, Default)]
pub struct Importer {
    list: Gazetteer,
    wishes: Wishes,
    regions: HashMap<String, String>,
    summary: Summary,
    file: String,
    row: usize,
    csv: csv::Reader,
}

impl Importer {
    /// Starts with nothing.
    pub fn new(wishes: Wishes) -> Importer {
        Importer { wishes, ..Importer::default() }
    }

    /// Takes names of first-level regions from the text of GeoNames' `admin1CodesASCII.txt`.
    pub fn name_regions(&mut self, text: &str) {
        let columns = text.lines().filter_map(|line| line.split_once('\t'));
        for (code, rest) in columns {
            let name = rest.split('\t').next().unwrap_or_default();
            self.regions.insert(code.to_owned(), name.to_owned());
        }
    }

    /// Adds a line that must be shown with the places.
    pub fn attribute(&mut self, attribution: &str) {
        self.list.attribute(attribution);
    }

    /// Starts another file, named in what is said about its rows.
    pub fn begin(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        self.row = 0;
        self.csv = csv::Reader::default();
    }

    /// Takes the next line of a file of rows, with or without its line end.
    pub fn line(&mut self, format: Format, line: &[u8]) {
        self.take("line", format, line);
    }

    /// Takes the next text of a sequence of GeoJSON texts, as RFC 8142 parts them: it may go over several lines.
    pub fn record(&mut self, record: &[u8]) {
        self.take("record", Format::GeoJsonLines, record);
    }

    fn take(&mut self, unit: &str, format: Format, line: &[u8]) {
        self.row += 1;
        let line = if self.row == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let outcome = match std::str::from_utf8(line) {
            _ if line.len() > ROW_MAX => Err(Reject::bad("the row is too long")),
            Err(_) => Err(Reject::bad("the row is not UTF-8")),
            Ok(line) => self.text(format, line.trim_end_matches(['\r', '\n'])),
        };
        self.note(unit, outcome);
    }

    fn text(&mut self, format: Format, line: &str) -> Result<usize, Reject> {
        match format {
            Format::GeoNames => self.geonames(line),
            Format::Csv => self.csv_line(line),
            Format::GeoJson | Format::GeoJsonLines => self.feature_line(line),
        }
    }

    /// Ends a file of rows: what it still owes is a bad row.
    pub fn end(&mut self) {
        if let Some(begun_at) = self.csv.open_since() {
            self.row = begun_at;
            self.note("line", Err(Reject::bad("a quote is opened and never closed")));
        }
    }

    /// Takes a whole file of GeoJSON. After each feature of a collection `progress` hears of its length in bytes, and
    /// what became of all so far.
    pub fn document(&mut self, text: &[u8], mut progress: impl FnMut(usize, &Summary)) {
        geojson::document(self, text, &mut progress);
    }

    /// Ends the import.
    pub fn finish(self) -> (Gazetteer, Summary) {
        (self.list, self.summary)
    }

    /// Returns what became of the rows so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    fn add(&mut self, place: &Place<'_>) -> Result<usize, Reject> {
        let default: Vec<&str> = self.wishes.types.iter().map(String::as_str).collect();
        let kinds = if place.kinds.is_empty() { &default } else { place.kinds };
        match self.list.add(&Place { kinds, ..*place }) {
            Ok(()) => Ok(1),
            Err(Unfit::Nameless) => Err(Reject::LeftOut),
            Err(unfit) => Err(Reject::Bad(unfit.to_string())),
        }
    }

    fn note(&mut self, unit: &str, outcome: Result<usize, Reject>) {
        match outcome {
            Ok(kept) => self.summary.kept += kept,
            Err(Reject::LeftOut) => self.summary.left_out += 1,
            Err(Reject::Bad(why)) => {
                self.summary.bad += 1;
                if self.summary.named.len() < NAMED_MAX {
                    self.summary.named.push(format!("{}, {unit} {}: {why}", self.file, self.row));
                }
            }
        }
    }
}

/// Reads a latitude and a longitude.
fn spot(latitude: &str, longitude: &str) -> Result<Spot, Reject> {
    let degrees = |text: &str, what: &str| {
        text.trim().parse::<f64>().map_err(|_| Reject::bad(format!("the {what} {text:?} is no number")))
    };
    let (north, east) = (degrees(latitude, "latitude")?, degrees(longitude, "longitude")?);
    Spot::new(north, east).ok_or_else(|| Reject::bad(format!("{latitude}, {longitude} is not on the earth")))
}

/// Joins the parts of an area that there are.
fn area(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::{Index, Query};
    use super::*;
    use serde_json::Value;

    fn lines(format: Format, text: &str) -> Importer {
        let mut importer = Importer::new(Wishes::default());
        importer.begin("some.file");
        text.split_inclusive('\n').for_each(|line| importer.line(format, line.as_bytes()));
        importer.end();
        importer
    }

    /// Returns all places of an import, in order of distance from nought.
    fn results(importer: Importer) -> Vec<Value> {
        let everything = Query { latitude: 0.0, longitude: 0.0, radius_m: 3e7, bound: 100 };
        let answer = Index::new(vec![importer.finish().0]).answer(&everything);
        let mut json: Value = serde_json::from_slice(&answer).unwrap();
        json["results"].as_array_mut().unwrap().drain(..).collect()
    }

    const HOTEL: &str = "11\tHotel Ü\tHotel U\t\t34.1\t-118.2\tS\tHTL\tUS\t\tCA\t037\t\t\t0\t\t93\tAmerica/Los_Angeles\t2020-01-01\n";
    const TOWN: &str = "12\tOuter Town\t\t\t35.0\t-119.0\tP\tPPL\tUS\t\tCA\t029\t\t\t9\t\t93\tAmerica/Los_Angeles\t2020-01-01\n";

    #[test]
    fn a_dump_of_geonames_becomes_places_with_types_and_identifiers() {
        let mut importer = lines(Format::GeoNames, &format!("{HOTEL}{TOWN}"));
        importer.begin("more.txt");
        importer.name_regions("US.CA\tCalifornia\tCalifornia\t5332921\n");
        importer.line(Format::GeoNames, TOWN.replace("12\tOuter Town", "13\tNew Town").as_bytes());
        let results = results(importer);
        let hotel = results.iter().find(|place| place["name"] == "Hotel Ü").unwrap();
        assert_eq!((&hotel["place_id"], &hotel["types"][0]), (&"geonames:11".into(), &"lodging".into()));
        assert_eq!(hotel["vicinity"], "CA, US");
        let vicinities: Vec<_> = results.iter().map(|place| place["vicinity"].as_str().unwrap()).collect();
        assert!(
            vicinities.contains(&"Outer Town, CA, US") && vicinities.contains(&"New Town, California, US")
        );
    }

    #[test]
    fn features_that_are_not_wanted_are_left_out() {
        let mut importer = Importer::new(Wishes { features: vec!["HTL".into()], types: vec![] });
        importer.line(Format::GeoNames, HOTEL.as_bytes());
        importer.line(Format::GeoNames, TOWN.as_bytes());
        assert_eq!((importer.summary.kept, importer.summary.left_out), (1, 1));
    }

    #[test]
    fn damaged_rows_are_counted_and_the_first_are_named() {
        let bad = "1\tX\t\t\tnorth\t0\tP\tPPL\tUS\t\t\t\t\t\t\t\t\t\t\n";
        let text =
            format!("{HOTEL}only three\tcolumns\there\n{bad}{}", bad.replace("north", "91").repeat(20));
        let summary = lines(Format::GeoNames, &text).finish().1;
        assert_eq!((summary.kept, summary.bad, summary.named.len()), (1, 22, NAMED_MAX));
        assert_eq!(summary.named[1], "some.file, line 3: the latitude \"north\" is no number");
        assert_eq!(summary.named[2], "some.file, line 4: 91, 0 is not on the earth");
    }

    #[test]
    fn bytes_that_are_no_text_are_a_bad_row_and_not_the_end() {
        let mut importer = Importer::new(Wishes::default());
        importer.line(Format::GeoNames, b"\xff\xfe\x00");
        importer.line(Format::GeoNames, HOTEL.as_bytes());
        assert_eq!((importer.summary.bad, importer.summary.kept), (1, 1));
    }

    #[test]
    fn a_table_is_read_by_the_names_of_its_columns() {
        let text = "\u{feff}Name;LAT;lng;type;address;id\r\n\"Caf\"\"é; now\";1.5;2.5;cafe|store;Main St;7\r\n\nB;1;1;;;\n";
        let results = results(lines(Format::Csv, text));
        assert_eq!(results.len(), 2);
        assert_eq!(
            (&results[1]["name"], &results[1]["vicinity"]),
            (&"Caf\"é; now".into(), &"Main St".into())
        );
        assert_eq!(results[1]["types"], serde_json::json!(["cafe", "store"]));
        assert_eq!((&results[1]["place_id"], results[0].get("place_id")), (&"7".into(), None));
    }

    #[test]
    fn a_row_may_go_on_over_a_line_end_within_quotes() {
        let importer = lines(Format::Csv, "name,lat,lon\n\"Two\nlines\",1,2\nOne,1,3\n");
        assert_eq!(importer.summary.kept, 2);
        assert_eq!(results(importer)[0]["name"], "Two\nlines");
    }

    #[test]
    fn a_damaged_table_says_what_is_wrong() {
        let named = |text: &str| lines(Format::Csv, text).finish().1.named;
        assert_eq!(named("a,b\n1,2\n").len(), 1);
        assert!(named("a,b\n")[0].contains("name, lat and lon"));
        assert!(named("name,lat,lon\nX,1\n")[0].contains("line 2"));
        assert!(named("name,lat,lon\n\"X,1,2\nY,1,2\n")[0].contains("never closed"));
        assert!(named("name,lat,lon\nX,1,2\n\"Y,1,2\nZ,1,2\n")[0].contains("line 3: a quote is opened"));
    }

    #[test]
    fn blank_lines_before_the_names_of_columns_are_no_row() {
        let importer = lines(Format::Csv, "\n  \nname,lat,lon\nX,1,2\n");
        assert_eq!((importer.summary.kept, importer.summary.bad), (1, 0));
    }

    #[test]
    fn a_row_that_is_too_long_is_one_bad_row() {
        let (half, whole) = ("x".repeat(1 << 19), "x".repeat(ROW_MAX));
        for (row, why) in [
            (
                format!("X,1,\"{half}\n{half}\n"),
                "the row is too long; a quote may be opened and never closed",
            ),
            (format!("X,1,{whole}\n"), "the row is too long"),
        ] {
            let importer = lines(Format::Csv, &format!("name,lat,lon\n{row}Y,1,2\n"));
            assert_eq!((importer.summary.kept, importer.summary.bad), (1, 1));
            let named = &importer.summary.named[0];
            assert!(named.ends_with(&format!(": {why}")), "{named}");
        }
    }

    /// A row of a table was bad at a sixteenth of that, and a quote was blamed that was not there.
    #[test]
    fn a_row_of_a_table_may_be_as_long_as_any() {
        let row = format!("X,1,2,{}\n", "x".repeat(ROW_MAX - 7));
        let importer = lines(Format::Csv, &format!("name,lat,lon,outline\n{row}"));
        assert_eq!((importer.summary.kept, importer.summary.bad), (1, 0), "{:?}", importer.summary.named);
    }

    #[test]
    fn a_quote_in_the_middle_of_a_field_opens_nothing() {
        // The row with inches once swallowed all rows up to the next quote.
        let text = "name;lat;lon\n12\" Pizza;1;2\nAfter;1;3\n\"\"\"In\nside\"\"\";1;4\n\"\";1;5\n";
        let importer = lines(Format::Csv, text);
        assert_eq!((importer.summary.kept, importer.summary.left_out, importer.summary.bad), (3, 1, 0));
        let names: Vec<_> = results(importer).iter().map(|place| place["name"].clone()).collect();
        assert_eq!(names, ["12\" Pizza", "After", "\"In\nside\""]);
    }

    #[test]
    fn features_of_openstreetmap_become_places_with_its_attribution() {
        let text = concat!(
            "\u{1e}{\"type\":\"Feature\",\"id\":\"n5\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\"properties\":{\"name\":\"A\",\"amenity\":\"pub\",\"addr:street\":\"Way\"}}\n",
            "{\"type\":\"Feature\",\"id\":\"a9\",\"geometry\":{\"type\":\"Polygon\",\"coordinates\":[[[3,3],[3,5],[5,5],[5,3],[3,3]]]},\"properties\":{\"name\":\"B\",\"leisure\":\"park\"}}\n",
            "{\"type\":\"Feature\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[1,2]},\"properties\":{}}\n",
            "{\"type\":\"Feature\",\"geometry\":null,\"properties\":{\"name\":\"Nowhere\"}}\n",
            "{\"type\":\"Feat\n",
        );
        let importer = lines(Format::GeoJsonLines, text);
        assert_eq!((importer.summary.kept, importer.summary.left_out, importer.summary.bad), (2, 1, 2));
        assert_eq!(importer.list.attributions().len(), 1);
        let results = results(importer);
        assert_eq!((&results[0]["place_id"], &results[0]["types"][0]), (&"osm:node/5".into(), &"pub".into()));
        assert_eq!((&results[1]["place_id"], &results[1]["name"]), (&"osm:relation/4".into(), &"B".into()));
        let latitude = results[1]["geometry"]["location"]["lat"].as_f64().unwrap();
        // The corner that closes the outline is there once: the middle is that of the four.
        assert!((latitude - 4.0).abs() < 0.01, "{latitude}");
    }

    const COLLECTION: &str = r#"{"type":"FeatureCollection","bbox":[0,0,1,1],"features":[
        {"type":"Feature","geometry":{"type":"Point","coordinates":[1,2,30]},"properties":{"name":"A","type":"bench"}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":["x"]},"properties":{"name":"B"}},
        {"type":"Feature","id":3,"geometry":{"type":"Point","coordinates":[3,4]},"properties":{"name":"C"}}]}"#;

    fn document(text: &str) -> Importer {
        let mut importer = Importer::new(Wishes { types: vec!["thing".into()], features: vec![] });
        importer.begin("a.geojson");
        importer.document(text.as_bytes(), |_, _| ());
        importer
    }

    #[test]
    fn a_collection_is_read_feature_by_feature() {
        let importer = document(COLLECTION);
        assert_eq!((importer.summary.kept, importer.summary.bad), (2, 1));
        assert!(
            importer.summary.named[0].starts_with("a.geojson, feature 2: "),
            "{:?}",
            importer.summary.named
        );
        let results = results(importer);
        assert_eq!((&results[0]["types"][0], &results[1]["types"][0]), (&"bench".into(), &"thing".into()));
        assert_eq!(results[1]["place_id"], "3");
    }

    #[test]
    fn a_collection_tells_its_progress_feature_by_feature() {
        let (mut bytes, mut seen) = (0, Vec::new());
        Importer::new(Wishes::default()).document(COLLECTION.as_bytes(), |length, summary| {
            bytes += length;
            seen.push((summary.kept, summary.bad));
        });
        assert_eq!(seen, [(1, 0), (1, 1), (2, 1)]);
        assert!(bytes > COLLECTION.len() / 2 && bytes < COLLECTION.len());
    }

    #[test]
    fn a_document_may_begin_with_a_mark_and_be_a_single_feature() {
        let marked = document(&format!("\u{feff}{COLLECTION}"));
        assert_eq!((marked.summary.kept, marked.summary.bad), (2, 1));
        let feature =
            r#"{"geometry":{"type":"Point","coordinates":[1,2]},"type":"Feature","properties":{"name":"A"}}"#;
        assert_eq!(document(feature).summary.kept, 1);
        let nowhere = document(r#"{"type":"Feature","geometry":null,"properties":{"name":"A"}}"#).summary;
        assert!(nowhere.named[0].contains("feature 1: the geometry has no coordinates"), "{nowhere:?}");
    }

    #[test]
    fn a_text_of_a_sequence_may_go_over_several_lines() {
        let mut importer = Importer::new(Wishes::default());
        importer.begin("a.geojsonseq");
        importer.record(
            b"{\"type\":\"Feature\",\n\"geometry\":{\"type\":\"Point\",\n\"coordinates\":[1,2]},\n\"properties\":{\"name\":\"A\"}}\n",
        );
        importer.record(b"{\"type\":\n");
        assert_eq!((importer.summary.kept, importer.summary.bad), (1, 1));
        assert!(importer.summary.named[0].starts_with("a.geojsonseq, record 2: "));
    }

    #[test]
    fn what_comes_before_the_damage_in_a_collection_is_kept() {
        let cut = COLLECTION.find("{\"type\":\"Feature\",\"id\":3").unwrap() + 30;
        let summary = document(&COLLECTION[..cut]).finish().1;
        assert_eq!((summary.kept, summary.bad), (1, 2));
        assert!(summary.named[1].contains("damaged"), "{:?}", summary.named);
    }

    #[test]
    fn a_document_that_is_no_collection_is_one_bad_row() {
        for text in ["", "[]", "{}", "{\"features\":7}", "nonsense", "{\"type\":\"Topology\"}"] {
            let summary = document(text).finish().1;
            assert_eq!((summary.kept, summary.bad), (0, 1), "{text}");
        }
    }

    #[test]
    fn no_input_panics() {
        let soup = [
            "\"", ",", "\t", "\n", "{", "[", "}", "1e999", "-91", "NaN", "null", "\"name\"", "\\u", "é",
            "\u{1e}",
        ];
        for seed in 0..2000_usize {
            let text: String =
                (0..12).map(|at| soup[(seed * 31 + at * at * (seed / 7 + 1)) % soup.len()]).collect();
            for format in [Format::GeoNames, Format::Csv, Format::GeoJsonLines] {
                lines(format, &text);
                lines(format, &format!("name,lat,lon\n{text}"));
            }
            document(&text);
        }
    }

    #[test]
    fn a_format_is_guessed_from_the_ending_or_named() {
        assert_eq!(Format::of("/x/US.txt"), Some(Format::GeoNames));
        assert_eq!(Format::of("a.CSV"), Some(Format::Csv));
        assert_eq!(Format::of("a.geojsonseq"), Some(Format::GeoJsonLines));
        assert_eq!(Format::of("a.zip"), None);
        assert_eq!("geojson".parse(), Ok(Format::GeoJson));
        assert!("zip".parse::<Format>().is_err());
    }
}
