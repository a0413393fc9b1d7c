//! `herd list`: asks a server for all clients, and prints where each was last seen, as a server answers or as a map.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::options::List;
use crate::serve::ours;
use crate::status::{ASK_LIMIT, Absence, absences};
use crate::terminal;
use crate::topology::File;
use herd_actors::listing::Listing;
use herd_actors::net::Seams;
use herd_core::decimal::NANOS_PER_SECOND;
use herd_core::limits::Limits;
use herd_core::record::Record;
use herd_core::topology::Server;
use serde_json::json;
use std::io::{self, BufWriter, Stdout, Write};
use tokio::time::timeout;

/// Asks a server, or one after the other until one answers, and prints all that it tells.
pub async fn run(file: &File, list: &List) -> Result<(), Failure> {
    let servers: Vec<&Server> = match &list.name {
        Some(name) => vec![ours(file, name)?],
        None => file.topology.servers().iter().filter(|server| server.speaks.is_none()).collect(),
    };
    let (credentials, from) = credentials::of_member(&servers, file.peer_tls(list.peer_tls.as_deref())?)?;
    let (seams, limits) = (Seams::real(), Limits::default());
    let mut absent = Vec::new();
    for server in servers {
        let ends = (from.as_str(), server.name.as_str());
        let asking = Listing::ask(&seams, &server.peers, ends, &credentials, &limits);
        match timeout(ASK_LIMIT, asking).await {
            Ok(Ok(listing)) => return print(listing, server, list.geojson).await,
            Ok(Err(error)) => absent.push((server, Absence::from(&error))),
            Err(_) => absent.push((server, Absence::late(ASK_LIMIT))),
        }
    }
    Err(Failure::Undone(absences(absent.iter().map(|(server, absence)| (*server, absence))).join("; ")))
}

/// Prints a listing as it comes.
async fn print(mut listing: Listing, server: &Server, is_map: bool) -> Result<(), Failure> {
    let mut sheet = Sheet { out: BufWriter::new(io::stdout()), is_map, count: 0, line: Vec::new() };
    let written = loop {
        let record = listing.next().await.map_err(|error| {
            let (name, peers, count) = (&server.name, &server.peers, sheet.count);
            let why = reason(&error);
            Failure::Undone(format!("{name} at {peers} broke off after {count} clients: {why}; try again"))
        });
        match record? {
            Some(record) => {
                if let Err(error) = sheet.add(&record) {
                    break Err(error);
                }
            }
            None => break sheet.end(),
        }
    };
    terminal::outcome(written)
}

/// What is printed: lines, or a map.
struct Sheet {
    out: BufWriter<Stdout>,
    is_map: bool,
    count: u64,
    line: Vec<u8>,
}

impl Sheet {
    fn add(&mut self, record: &Record<'_>) -> io::Result<()> {
        if self.is_map {
            self.out.write_all(if self.count == 0 { MAP_START } else { b",\n" })?;
            self.out.write_all(feature(record).as_bytes())?;
        } else {
            self.line.clear();
            record.print_at(&mut self.line);
            self.out.write_all(&self.line)?;
        }
        self.count += 1;
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        if self.is_map {
            self.out.write_all(if self.count == 0 { MAP_START } else { b"\n" })?;
            self.out.write_all(MAP_END)?;
        }
        self.out.flush()
    }
}

/// GeoJSON as RFC 7946 has it: a feature collection, a feature a line.
const MAP_START: &[u8] = b"{\"type\":\"FeatureCollection\",\"features\":[\n";
const MAP_END: &[u8] = b"]}\n";

/// A client as a point of a map, longitude first (RFC 7946, 3.1.1). All but the coordinates is text, and exact where it is
/// UTF-8, as JSON has to be.
fn feature(record: &Record<'_>) -> String {
    let Record { said, received, server } = record;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (latitude, longitude) = said.location.degrees();
    let received = format!("{}.{:09}", received / NANOS_PER_SECOND, received % NANOS_PER_SECOND);
    let properties = json!({
        "client": text(said.client), "location": text(said.location.text()), "time": text(said.time.text()),
        "received": received, "server": text(server),
    });
    let geometry = json!({"type": "Point", "coordinates": [longitude, latitude]});
    json!({"type": "Feature", "geometry": geometry, "properties": properties}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_a_point_with_the_longitude_first_and_times_are_exact() {
        let line = b"kiwi\xff +34.068930-118.445127 1520023934.9189639970 1520023935000000001 Goloman";
        let feature: serde_json::Value =
            serde_json::from_str(&feature(&Record::parse(line).unwrap())).expect("JSON");
        let properties = json!({"client": "kiwi\u{fffd}", "location": "+34.068930-118.445127",
            "time": "1520023934.9189639970", "received": "1520023935.000000001", "server": "Goloman"});
        let geometry = json!({"type": "Point", "coordinates": [-118.445_127, 34.06893]});
        assert_eq!(feature, json!({"type": "Feature", "geometry": geometry, "properties": properties}));
    }
}
