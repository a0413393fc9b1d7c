//! Rows of a GeoNames dump, as <https://download.geonames.org/export/dump/> describes them.

use super::{Importer, Place, Reject, area, spot};

/// What GeoNames wants to be said of its data.
pub(super) const ATTRIBUTION: &str = "Places from <a href=\"https://www.geonames.org/\">GeoNames</a>, \
     <a href=\"https://creativecommons.org/licenses/by/4.0/\">CC BY 4.0</a>";

const COLUMNS: usize = 19;

impl Importer {
    pub(super) fn geonames(&mut self, line: &str) -> Result<usize, Reject> {
        if line.is_empty() {
            return Ok(0);
        }
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, name, ascii, _, latitude, longitude, class, code, country, _, region, ..] = columns[..]
        else {
            return Err(too_few(columns.len()));
        };
        if columns.len() != COLUMNS {
            return Err(too_few(columns.len()));
        }
        let spot = spot(latitude, longitude)?;
        if !self.wants(class, code) {
            return Err(Reject::LeftOut);
        }
        self.list.attribute(ATTRIBUTION);
        let name = if name.is_empty() { ascii } else { name };
        let (id, area) = (format!("geonames:{id}"), self.region(country, region));
        let own = code.to_ascii_lowercase();
        self.add(&Place { spot, name, area: &area, kinds: &kinds(class, code, &own), id: &id })
    }

    fn wants(&self, class: &str, code: &str) -> bool {
        let wanted = &self.wishes.features;
        wanted.is_empty() || wanted.iter().any(|feature| feature == class || feature == code)
    }

    /// Names the region where its name is known; a code that is a number says nothing to anybody.
    fn region(&self, country: &str, code: &str) -> String {
        let name = self.regions.get(&format!("{country}.{code}")).map(String::as_str);
        let code = Some(code).filter(|code| code.bytes().all(|byte| byte.is_ascii_alphabetic()));
        area(&[name.or(code).unwrap_or_default(), country])
    }
}

fn too_few(found: usize) -> Reject {
    Reject::bad(format!("there are {found} columns between tabs and not {COLUMNS}"))
}

/// Returns the types of a feature: Google's word where it has one, and the feature code in small letters.
fn kinds<'a>(class: &str, code: &str, own: &'a str) -> Vec<&'a str> {
    let word = match code {
        "HTL" | "GHSE" | "RSRT" | "HUT" => "lodging",
        "SCH" => "school",
        "UNIV" | "SCHC" => "university",
        "RSTN" | "RSTP" => "train_station",
        "MTRO" => "subway_station",
        "BUSTN" => "bus_station",
        "BUSTP" => "bus_stop",
        "AIRP" | "AIRF" => "airport",
        "PRK" | "PRKGT" => "park",
        "HSP" | "HSPC" => "hospital",
        "CH" | "CTRR" => "church",
        "MSQE" => "mosque",
        "TMPL" => "place_of_worship",
        "MUS" => "museum",
        "LIBR" => "library",
        "STDM" => "stadium",
        "REST" => "restaurant",
        "MALL" => "shopping_mall",
        "PO" => "post_office",
        "THTR" => "movie_theater",
        "ZOO" => "zoo",
        "GRVE" | "CMTY" => "cemetery",
        _ => match class {
            "P" => return vec!["locality", "political"],
            "A" => return vec!["political"],
            "H" | "T" | "V" | "U" => return vec!["natural_feature", own],
            _ => return vec![own],
        },
    };
    vec![word, own]
}
