//! Tables with a row of names at the top: columns between commas, semicolons or tabs, quoted as RFC 4180 says.

use std::mem;
use std::str::{Utf8Error, from_utf8};

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::{Importer, Place, Reject, area, spot};

/// The longest row over several lines, in bytes: a quote that is never closed costs no more.
const LINES_MAX: usize = 1 << 20;

/// What may stand between columns.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// What has been read of a table so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Parts rows into fields. There is none before the first row, which shows the separator.
    parser: Option<csv_core::Reader>,
    head: Head,
    /// The row under way, which goes on in the next line within quotes.
    begun: Row,
    /// The line in which that row begins.
    begun_at: usize,
}

/// The first row.
#[derive(Clone, Copy, Debug, Default)]
enum Head {
    #[default]
    Awaited,
    /// It does not name what a place must have, so that no row is one.
    Unusable,
    Names(Columns),
}

/// Where in a row the things are that make a place.
#[derive(Clone, Copy, Debug)]
struct Columns {
    name: usize,
    latitude: usize,
    longitude: usize,
    types: Option<usize>,
    address: Option<usize>,
    region: Option<usize>,
    country: Option<usize>,
    id: Option<usize>,
}

/// A row, unquoted.
#[derive(Debug, Default)]
struct Row {
    /// All fields, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Reader {
    /// Returns the line in which a row begins that has not ended.
    pub(super) fn open_since(&self) -> Option<usize> {
        self.begun.is_begun().then_some(self.begun_at)
    }

    /// Returns the row that a line, which is the `number`th, ends, if it ends one.
    fn row(&mut self, line: &str, number: usize) -> Result<Option<Row>, Reject> {
        if !self.begun.is_begun() {
            if line.trim().is_empty() {
                return Ok(None);
            }
            self.begun_at = number;
        }
        let parser = self.parser.get_or_insert_with(|| parser(separator(line)));
        if self.begun.is_begun() && self.begun.bytes.len() + line.len() > LINES_MAX {
            parser.reset();
            self.begun = Row::default();
            return Err(Reject::bad("the row is too long; a quote may be opened and never closed"));
        }
        Ok(self.begun.goes_on(parser, line).then(|| mem::take(&mut self.begun)))
    }
}

impl Row {
    /// Tells whether a line was read of it: the line end within the quotes is one of its bytes.
    fn is_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Adds a line; tells whether the row ends with it.
    fn goes_on(&mut self, parser: &mut csv_core::Reader, line: &str) -> bool {
        let line = [line, "\n"].concat();
        let (bytes, ends) = (self.bytes.len(), self.ends.len());
        // There is room for all: no byte becomes two, and each end but the last is that of a separator.
        self.bytes.resize(bytes + line.len(), 0);
        self.ends.resize(ends + line.matches(SEPARATORS).count() + 1, 0);
        let (read, _, written, ended) =
            parser.read_record(line.as_bytes(), &mut self.bytes[bytes..], &mut self.ends[ends..]);
        self.bytes.truncate(bytes + written);
        self.ends.truncate(ends + ended);
        matches!(read, ReadRecordResult::Record)
    }

    fn fields(&self) -> Result<Vec<&str>, Utf8Error> {
        let starts = [0].iter().chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| from_utf8(&self.bytes[start..end])).collect()
    }
}

/// Guesses what stands between columns: what the first row has most of.
fn separator(head: &str) -> char {
    SEPARATORS.into_iter().max_by_key(|separator| head.matches(*separator).count()).unwrap_or(',')
}

fn parser(separator: char) -> csv_core::Reader {
    // All separators are ASCII. A carriage return that ends no line is a sign like any other.
    ReaderBuilder::new().delimiter(separator as u8).terminator(Terminator::Any(b'\n')).build()
}

impl Importer {
    pub(super) fn csv_line(&mut self, line: &str) -> Result<usize, Reject> {
        let Some(row) = self.csv.row(line, self.row)? else { return Ok(0) };
        let fields = row.fields().map_err(|_| Reject::bad("the row is not UTF-8"))?;
        match self.csv.head {
            Head::Names(columns) => self.csv_row(&columns, &fields),
            Head::Unusable => Err(Reject::LeftOut),
            Head::Awaited => {
                let columns = columns(&fields);
                self.csv.head = columns.map_or(Head::Unusable, Head::Names);
                let said = "the first row must name the columns name, lat and lon at least";
                columns.map(|_| 0).ok_or_else(|| Reject::bad(said))
            }
        }
    }

    fn csv_row(&mut self, columns: &Columns, fields: &[&str]) -> Result<usize, Reject> {
        let must = |at: usize| fields.get(at).ok_or_else(|| Reject::bad("the row has too few columns"));
        let may = |at: Option<usize>| at.and_then(|at| fields.get(at)).copied().unwrap_or_default();
        let spot = spot(must(columns.latitude)?, must(columns.longitude)?)?;
        let kinds: Vec<&str> = may(columns.types).split(['|', ';']).map(str::trim).collect();
        let kinds: Vec<&str> = kinds.into_iter().filter(|kind| !kind.is_empty()).collect();
        let area = area(&[may(columns.address), may(columns.region), may(columns.country)]);
        let (name, id) = (must(columns.name)?.trim(), may(columns.id));
        self.add(&Place { spot, name, area: &area, kinds: &kinds, id })
    }
}

/// Finds the columns by their names, if those are there that a place must have.
fn columns(head: &[&str]) -> Option<Columns> {
    let names: Vec<String> = head.iter().map(|name| name.trim().to_lowercase()).collect();
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    Some(Columns {
        name: find(&["name"])?,
        latitude: find(&["lat", "latitude", "y"])?,
        longitude: find(&["lon", "lng", "long", "longitude", "x"])?,
        types: find(&["types", "type", "kind", "category"]),
        address: find(&["address", "vicinity", "area"]),
        region: find(&["admin1", "region", "state"]),
        country: find(&["cc", "country"]),
        id: find(&["place_id", "id"]),
    })
}
