//! Tables with a row of names at the top: columns between commas, semicolons or tabs, quoted as RFC 4180 says.

use std::slice;

use super::{Importer, Place, Reject, area, spot};

/// The longest row over several lines, in bytes: a quote that is never closed costs no more.
const ROW_MAX: usize = 1 << 20;

/// What may stand between columns.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// What has been read of a table so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    columns: Option<Columns>,
    /// The beginning of a row that goes on in the next line, within quotes.
    begun: String,
    /// The line in which that row begins.
    begun_at: usize,
}

/// Where in a row the things are that make a place.
#[derive(Clone, Debug)]
struct Columns {
    separator: char,
    name: usize,
    latitude: usize,
    longitude: usize,
    types: Option<usize>,
    address: Option<usize>,
    region: Option<usize>,
    country: Option<usize>,
    id: Option<usize>,
}

impl Reader {
    /// Returns the line in which a row begins that has not ended.
    pub(super) fn open_since(&self) -> Option<usize> {
        (!self.begun.is_empty()).then_some(self.begun_at)
    }

    /// Returns the row that a line, which is the `number`th, ends, if it ends one.
    fn row(&mut self, line: &str, number: usize) -> Option<String> {
        let mut row = std::mem::take(&mut self.begun);
        let separators =
            self.columns.as_ref().map_or(&SEPARATORS[..], |columns| slice::from_ref(&columns.separator));
        let is_open = is_open_after(line, separators, !row.is_empty());
        if row.is_empty() {
            self.begun_at = number;
        }
        row.push_str(line);
        if is_open && row.len() < ROW_MAX {
            row.push('\n');
            self.begun = row;
            return None;
        }
        Some(row)
    }
}

/// Tells whether a line ends within quotes. A quote opens a field only at its beginning: one in its middle, as of
/// inches, is a sign like any other.
fn is_open_after(line: &str, separators: &[char], mut is_open: bool) -> bool {
    let mut may_open = !is_open;
    for sign in line.chars() {
        if is_open {
            is_open = sign != '"';
            // Two quotes within quotes are one, and the field goes on.
            may_open = !is_open;
        } else {
            is_open = sign == '"' && may_open;
            may_open = separators.contains(&sign);
        }
    }
    is_open
}

impl Importer {
    pub(super) fn csv_line(&mut self, line: &str) -> Result<usize, Reject> {
        let Some(row) = self.csv.row(line, self.row) else { return Ok(0) };
        if row.trim().is_empty() {
            return Ok(0);
        }
        match self.csv.columns.clone() {
            Some(columns) => self.csv_row(&columns, &row),
            None if self.row > 1 => Err(Reject::LeftOut),
            None => {
                self.csv.columns = Some(columns(&row)?);
                Ok(0)
            }
        }
    }

    fn csv_row(&mut self, columns: &Columns, row: &str) -> Result<usize, Reject> {
        let fields = fields(row, columns.separator)?;
        let must = |at: usize| fields.get(at).ok_or_else(|| Reject::bad("the row has too few columns"));
        let may = |at: Option<usize>| at.and_then(|at| fields.get(at)).map_or("", String::as_str);
        let spot = spot(must(columns.latitude)?, must(columns.longitude)?)?;
        let kinds: Vec<&str> = may(columns.types).split(['|', ';']).map(str::trim).collect();
        let kinds: Vec<&str> = kinds.into_iter().filter(|kind| !kind.is_empty()).collect();
        let area = area(&[may(columns.address), may(columns.region), may(columns.country)]);
        let (name, id) = (must(columns.name)?.trim(), may(columns.id));
        self.add(&Place { spot, name, area: &area, kinds: &kinds, id })
    }
}

fn columns(head: &str) -> Result<Columns, Reject> {
    let count = |separator: &char| head.matches(*separator).count();
    let separator = SEPARATORS.into_iter().max_by_key(count).unwrap_or(',');
    let names: Vec<String> = fields(head, separator)?.iter().map(|name| name.trim().to_lowercase()).collect();
    let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
    let must = |wanted: &[&str]| {
        find(wanted)
            .ok_or_else(|| Reject::bad("the first row must name the columns name, lat and lon at least"))
    };
    Ok(Columns {
        separator,
        name: must(&["name"])?,
        latitude: must(&["lat", "latitude", "y"])?,
        longitude: must(&["lon", "lng", "long", "longitude", "x"])?,
        types: find(&["types", "type", "kind", "category"]),
        address: find(&["address", "vicinity", "area"]),
        region: find(&["admin1", "region", "state"]),
        country: find(&["cc", "country"]),
        id: find(&["place_id", "id"]),
    })
}

/// Splits a row into its fields.
fn fields(row: &str, separator: char) -> Result<Vec<String>, Reject> {
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => plain_field(rest, separator),
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err(Reject::bad("a quote is closed in the middle of a field")),
        }
    }
}

fn plain_field(text: &str, separator: char) -> (String, &str) {
    let (field, after) = text.split_at(text.find(separator).unwrap_or(text.len()));
    (field.to_owned(), after)
}

/// Reads a field up to its closing quote and returns it with what follows.
fn quoted_field(text: &str) -> Result<(String, &str), Reject> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"').ok_or_else(|| Reject::bad("a quote is never closed"))?;
        field.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, after)),
        }
    }
}
