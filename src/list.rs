//! `herd list`: asks a server for all clients, and prints where each was last seen, as a server answers or as a map.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::options::List;
use crate::status::{ASK_LIMIT, Absence, absences};
use crate::terminal;
use crate::topology::File;
use herd_actors::listing::Listing;
use herd_actors::net::Seams;
use herd_core::decimal::seconds_of;
use herd_core::handshake::hex;
use herd_core::limits::Limits;
use herd_core::record::Record;
use herd_core::topology::Server;
use serde_json::json;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, SendError};
use std::thread;
use tokio::time::timeout;

/// Asks a server, or one after the other until one answers, and prints all that it tells.
pub async fn run(file: &File, list: &List) -> Result<(), Failure> {
    let servers = file.chosen(list.name.as_slice())?;
    let peer_tls = file.peer_tls(list.peer_tls.as_deref());
    // It shows the same certificate whomever it asks.
    let (credentials, from) = credentials::of_member(file.topology.servers(), peer_tls)?;
    let (seams, limits) = (Seams::real(), Limits::default());
    let mut absent = Vec::new();
    for server in &servers {
        let ends = (from.as_str(), server.name.as_str());
        let asking = Listing::ask(&seams, &server.peers, ends, &credentials, &limits);
        match timeout(ASK_LIMIT, asking).await {
            Ok(Ok(listing)) => return print(listing, server, list.geojson).await,
            Ok(Err(error)) => absent.push((server, Absence::from(&error))),
            Err(_) => absent.push((server, Absence::late())),
        }
    }
    Err(Failure::Undone(absences(absent.iter().map(|(server, absence)| (*server, absence))).join("; ")))
}

/// Prints a listing as it comes. It is printed by a thread of its own, and waits there in memory for whoever reads it: a server
/// does not wait for somebody who turns pages.
async fn print(mut listing: Listing, server: &Server, is_map: bool) -> Result<(), Failure> {
    let (pieces, to_print) = mpsc::channel();
    let printing =
        thread::spawn(move || to_print.iter().try_for_each(|piece: Vec<u8>| terminal::write(&piece)));
    let is_seen = io::stdout().is_terminal();
    let mut sheet = Sheet { pieces, piece: Vec::new(), is_map, is_seen, count: 0 };
    let heard = loop {
        match listing.next().await {
            Ok(Some(record)) => {
                if sheet.add(&record).is_err() {
                    break Ok(()); // Who printed knows why.
                }
            }
            Ok(None) => break sheet.end().or(Ok(())),
            Err(error) => {
                let _ = sheet.hand_over(); // As above.
                break Err(error);
            }
        }
    };
    let count = sheet.count;
    drop(sheet);
    let printed = printing.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    terminal::outcome(printed)?;
    heard.map_err(|error| {
        let (name, peers, why) = (&server.name, &server.peers, reason(&error));
        Failure::Undone(format!("{name} at {peers} broke off after {count} clients: {why}; try again"))
    })
}

/// What is printed: lines, or a map. An error is that nobody prints any more.
struct Sheet {
    pieces: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
    is_map: bool,
    /// True if a terminal shows it.
    is_seen: bool,
    count: u64,
}

/// So much is printed at once, in bytes.
const PIECE_SIZE: usize = 64 * 1024;

impl Sheet {
    fn add(&mut self, record: &Record<'_>) -> Result<(), SendError<Vec<u8>>> {
        if self.is_map {
            self.piece.extend_from_slice(if self.count == 0 { MAP_START } else { b",\n" });
            self.piece.extend_from_slice(feature(record).as_bytes());
        } else {
            let start = self.piece.len();
            record.print_at(&mut self.piece);
            if self.is_seen {
                let shown = shown(&self.piece[start..]);
                self.piece.truncate(start);
                self.piece.extend_from_slice(shown.as_bytes());
            }
        }
        self.count += 1;
        if self.piece.len() < PIECE_SIZE { Ok(()) } else { self.hand_over() }
    }

    fn end(&mut self) -> Result<(), SendError<Vec<u8>>> {
        if self.is_map {
            self.piece.extend_from_slice(if self.count == 0 { MAP_START } else { b"\n" });
            self.piece.extend_from_slice(MAP_END);
        }
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<(), SendError<Vec<u8>>> {
        self.pieces.send(std::mem::take(&mut self.piece))
    }
}

/// A line as it may go to a terminal. Clients are called as they like, and a terminal would do what a control character says.
fn shown(line: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(line).chars() {
        if character.is_control() && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// GeoJSON as RFC 7946 has it: a feature collection, a feature a line.
const MAP_START: &[u8] = b"{\"type\":\"FeatureCollection\",\"features\":[\n";
const MAP_END: &[u8] = b"]}\n";

/// A client as a point of a map, longitude first (RFC 7946, 3.1.1). All but the coordinates is text, and exact where it is
/// UTF-8, as JSON has to be. The bytes of an ID that is not have a place of their own: two may look alike in text.
fn feature(record: &Record<'_>) -> String {
    let Record { said, received, server } = record;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (latitude, longitude) = said.location.degrees();
    let mut properties = json!({
        "client": text(said.client), "location": text(said.location.text()), "time": text(said.time.text()),
        "received": text(&seconds_of(*received)), "server": text(server),
    });
    if str::from_utf8(said.client).is_err() {
        properties["client_hex"] = hex(said.client).into();
    }
    let geometry = json!({"type": "Point", "coordinates": [longitude, latitude]});
    let feature = json!({"type": "Feature", "geometry": geometry, "properties": properties}).to_string();
    escaped(&feature)
}

/// JSON whose text has no control characters: it need not escape all that a terminal would do.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() {
            let code = format!("\\u{:04x}", u32::from(character));
            escaped.push_str(&code);
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_a_client() {
        let line = "AT A +1 \u{1b}]0;owned\u{7}\u{9b}1mz\u{fc}rich +1-2 3\n".as_bytes();
        assert_eq!(shown(line), "AT A +1 \\u{1b}]0;owned\\u{7}\\u{9b}1mz\u{fc}rich +1-2 3\n");
    }

    fn feature_of(line: &[u8]) -> serde_json::Value {
        serde_json::from_str(&feature(&Record::parse(line).unwrap())).expect("JSON")
    }

    #[test]
    fn a_client_is_a_point_with_the_longitude_first_and_times_are_exact() {
        let line = b"kiwi +34.068930-118.445127 1520023934.9189639970 1520023935000000001 Goloman";
        let properties = json!({"client": "kiwi", "location": "+34.068930-118.445127",
            "time": "1520023934.9189639970", "received": "1520023935.000000001", "server": "Goloman"});
        let geometry = json!({"type": "Point", "coordinates": [-118.445_127, 34.06893]});
        assert_eq!(
            feature_of(line),
            json!({"type": "Feature", "geometry": geometry, "properties": properties})
        );
    }

    /// All that a terminal might mind became one sign, and so did all that is not UTF-8.
    #[test]
    fn clients_can_be_told_apart_on_a_map_whatever_bytes_their_names_are() {
        let named = |client: &[u8]| {
            let properties = &feature_of(&[client, b" +1-2 3 4 A"].concat())["properties"];
            ["client", "client_hex"].map(|name| properties[name].as_str().map(str::to_owned))
        };
        for exact in ["z\u{fc}rich", "\u{1b}]0;owned\u{7}", "\u{7f}", "\u{9b}1m", "\\\u{9b}"] {
            assert_eq!(named(exact.as_bytes()), [Some(exact.to_owned()), None]);
        }
        for (bytes, hex) in [(b"a\xff\x01", "61ff01"), (b"a\xfe\x01", "61fe01")] {
            assert_eq!(named(bytes), [Some("a\u{fffd}\u{1}".to_owned()), Some(hex.to_owned())]);
        }
        assert!(!feature(&Record::parse(b"\xc2\x9b\x7f +1-2 3 4 A").unwrap()).contains(char::is_control));
    }
}
