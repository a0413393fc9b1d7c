//! The topology file: the only place that knows its JSON.
//!
//! ```json
//! { "servers": { "Goloman": { "clients": "127.0.0.1:11645", "peers": "127.0.0.1:12645",
//!                             "neighbours": ["Hands", "Wilkes"] }, … },
//!   "settings": { "log_dir": "logs", … } }
//! ```
//!
//! A server of another make has `"speaks"`, one of `changeloc`, `trail`, `clientat`, `update` and `at`, and no `"peers"`.
//! A link may be declared on either side or on both. Settings are the long flags of `herd serve`, written with
//! underscores. Whatever is wrong is refused with the file, the place, and what to write instead.

use crate::failure::{Failure, reason};
use crate::flags::Flags;
use crate::object::Object;
use herd_core::dialect::Dialect;
use herd_core::topology::{Place, Problem, Server, Topology};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a topology file says: the herd, and the settings of its servers.
#[derive(Debug, PartialEq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// The herd.
    pub topology: Topology,
    /// The file's values of flags, for those who give none on the command line or in the environment.
    pub settings: Flags,
}

/// Reads a topology file.
pub fn read(path: &Path) -> Result<File, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| {
        let why = reason(&error);
        Failure::Undone(format!("cannot read the topology {name}: {why}; name another with --topology FILE"))
    })?;
    let (topology, settings) =
        parse(&bytes).map_err(|refusal| Failure::Undone(format!("{name}:{refusal}")))?;
    Ok(File { path: path.to_owned(), topology, settings })
}

impl File {
    /// Finds a server by name; a name that is not in the herd is answered with those that are.
    pub fn server(&self, name: &str) -> Result<&Server, Failure> {
        self.topology.server(name).ok_or_else(|| {
            let known: Vec<&str> =
                self.topology.servers().iter().map(|server| server.name.as_str()).collect();
            let (path, known) = (self.path.display(), known.join(", "));
            Failure::Usage(format!("there is no server {name:?} in {path}; it has {known}"))
        })
    }

    /// Finds a server that this program can be.
    pub fn ours(&self, name: &str) -> Result<&Server, Failure> {
        let server = self.server(name)?;
        server.speaks.map_or(Ok(server), |speaks| {
            let path = self.path.display();
            let why = "it is of another make, with a program of its own; name one of ours";
            Err(Failure::Usage(format!("{name} speaks {speaks} in {path}: {why}")))
        })
    }

    /// Picks servers that this program can be, in the order of the file; all where none is named.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<Server>, Failure> {
        for name in names {
            self.ours(name)?;
        }
        let is_wanted = |server: &Server| names.is_empty() || names.contains(&server.name);
        let wanted = |server: &&Server| server.speaks.is_none() && is_wanted(server);
        let servers: Vec<Server> = self.topology.servers().iter().filter(wanted).cloned().collect();
        if servers.is_empty() {
            let path = self.path.display();
            let why = "are of another make, with programs of their own";
            return Err(Failure::Usage(format!(
                "all servers in {path} {why}; name another with --topology FILE"
            )));
        }
        Ok(servers)
    }

    /// Refuses settings that cannot be, where they are those of this file and neither flag nor variable is given instead.
    /// What is wrong without the file as well, such as a key in the environment, is said where it is used.
    pub fn check(&self, flags: &Flags) -> Result<(), Failure> {
        // What reads files comes last.
        let wrong = |flags: &Flags| {
            let limits = flags.limits().err().or_else(|| flags.durability().err());
            limits.or_else(|| flags.places.settings().err())
        };
        let Some(failure) = wrong(&flags.clone().or(self.settings.clone())) else { return Ok(()) };
        let is_of_the_file = wrong(&self.settings).as_ref() == Some(&failure);
        if is_of_the_file && wrong(flags).as_ref() != Some(&failure) {
            Err(self.blamed(&failure))
        } else {
            Ok(())
        }
    }

    /// The directory with the certificates that links need, as it is given, or else as the file has it.
    pub fn peer_tls<'a>(&'a self, given: Option<&'a Path>) -> Option<&'a Path> {
        given.or(self.settings.peer_tls.as_deref())
    }

    fn blamed(&self, what: &Failure) -> Failure {
        Failure::Undone(format!("{}: settings: {what}", self.path.display()))
    }

    /// Says which servers cannot reach each other, if any.
    pub fn warning(&self) -> Option<String> {
        let islands: Vec<String> = self.topology.islands().iter().map(|island| island.join(", ")).collect();
        (islands.len() > 1).then(|| {
            let (path, number, parts) = (self.path.display(), islands.len(), islands.join(" | "));
            format!("{path}: the herd is not connected, it has {number} parts: {parts}; link them")
        })
    }
}

/// Reads the bytes of a topology file. The refusal begins with the place in the file.
fn parse(bytes: &[u8]) -> Result<(Topology, Flags), String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if is_utf_16(bytes) {
        return Err(" the file is not UTF-8 but UTF-16; save it as UTF-8".to_owned());
    }
    if bytes.trim_ascii().is_empty() {
        return Err(format!(" the file is empty; write at least {EXAMPLE}"));
    }
    let Object(Written { servers: Servers(entries), settings: Object(settings) }) =
        serde_json::from_slice(bytes).map_err(|error| refusal(&error))?;
    let topology = Topology::new(servers(&entries), &links(&entries))
        .map_err(|problem| format!(" {}: {problem}", place(&entries, &problem)))?;
    Ok((topology, settings))
}

/// What some editors write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether this looks like UTF-16, with a mark of its own or without: then one of its first two bytes is 0, which is none
/// in JSON.
fn is_utf_16(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
        || bytes.iter().take(2).any(|&byte| byte == 0)
}

/// The smallest topology, for those who have none.
const EXAMPLE: &str =
    r#"{"servers": {"Goloman": {"clients": "127.0.0.1:11645", "peers": "127.0.0.1:12645"}}}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    servers: Servers,
    #[serde(default)]
    settings: Object<Flags>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    clients: String,
    peers: Option<String>,
    #[serde(default)]
    speaks: Option<Dialect>,
    #[serde(default)]
    neighbours: Vec<String>,
}

impl Entry {
    /// A server of ours needs an address for peers, one of another make has none.
    fn complete(self) -> Result<Self, &'static str> {
        if self.peers.is_none() && self.speaks.is_none() { Err("missing field `peers`") } else { Ok(self) }
    }
}

/// The servers in the order of the file, which a map would lose, and a second of one name with it.
struct Servers(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Servers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object { … } with a server for each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Servers, A::Error> {
                let mut servers: Vec<(String, Entry)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if servers.iter().any(|(other, _)| *other == name) {
                        return Err(A::Error::custom(Problem::NameTwice { name }));
                    }
                    let Object(entry): Object<Entry> = map.next_value()?;
                    servers.push((name, entry.complete().map_err(A::Error::custom)?));
                }
                Ok(Servers(servers))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn servers(entries: &[(String, Entry)]) -> Vec<Server> {
    let server = |(name, entry): &(String, Entry)| Server {
        name: name.clone(),
        clients: entry.clients.clone(),
        peers: entry.peers.clone().unwrap_or_default(),
        speaks: entry.speaks,
    };
    entries.iter().map(server).collect()
}

fn links(entries: &[(String, Entry)]) -> Vec<(String, String)> {
    let links = |(name, entry): &(String, Entry)| {
        entry.neighbours.iter().map(|neighbour| (name.clone(), neighbour.clone())).collect::<Vec<_>>()
    };
    entries.iter().flat_map(links).collect()
}

/// Says what is wrong with the JSON, where, and what to write instead.
fn refusal(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let said = error.to_string();
    let what = said.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&said);
    let remedy = match error.classify() {
        Category::Eof => "; the file ends too early, close what is open",
        Category::Syntax => {
            "; write JSON: names in double quotes, commas between items and none after the last"
        }
        _ if what.starts_with("missing field `servers`") => "; write \"servers\": { … }",
        _ if what.starts_with("missing field `clients`") => "; write \"clients\": \"127.0.0.1:11645\"",
        _ if what.starts_with("missing field `peers`") => "; write \"peers\": \"127.0.0.1:12645\"",
        _ => "",
    };
    format!("{line}:{column}: {}{remedy}", plain(what))
}

/// Says in words of JSON what serde expects in words of Rust.
fn plain(what: &str) -> String {
    let Some((found, expected)) = what.rsplit_once(", expected ") else { return what.to_owned() };
    let expected = match expected {
        "path string" => "a path in double quotes",
        "a sequence" => "an array [ … ]",
        plain => plain,
    };
    format!("{found}, expected {expected}")
}

/// Tells where in the JSON a problem of the herd stands.
fn place(entries: &[(String, Entry)], problem: &Problem) -> String {
    match problem {
        Problem::NoServers => "servers".to_owned(),
        Problem::Name { name, .. } | Problem::NameTwice { name } => format!("servers.{}", key(name)),
        Problem::Address { at: Place { server, side }, .. }
        | Problem::AddressTwice { at: Place { server, side }, .. } => {
            format!("servers.{}.{side}", key(server))
        }
        Problem::PeersOfStranger { server, .. } => format!("servers.{}.peers", key(server)),
        Problem::UnknownNeighbour { server, neighbour, .. } => neighbour_place(entries, server, neighbour),
        Problem::LinkToOneself { server } => neighbour_place(entries, server, server),
    }
}

fn neighbour_place(entries: &[(String, Entry)], server: &str, neighbour: &str) -> String {
    let neighbours = entries.iter().find(|(name, _)| name == server).map(|(_, entry)| &entry.neighbours);
    let index = neighbours.and_then(|names| names.iter().position(|name| name == neighbour)).unwrap_or(0);
    format!("servers.{}.neighbours[{index}]", key(server))
}

/// Writes a name as a step of a path: in quotes unless it is a plain word.
fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    if plain { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Whole;

    /// Puts two servers into a file, with what is to be tried added to the first.
    fn two(more: &str) -> String {
        format!(
            r#"{{"servers": {{"A": {{"clients": "h:1", "peers": "h:2"{more}}}, "B": {{"clients": "h:3", "peers": "h:4"}}}}}}"#
        )
    }

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).expect_err("a refusal")
    }

    #[test]
    fn the_default_topology_is_the_herd_of_the_assignment() {
        let (topology, settings) = parse(include_bytes!("../topology.json")).expect("a valid topology");
        let at = |server: &Server| format!("{} {} {}", server.name, server.clients, server.peers);
        assert_eq!(
            topology.servers().iter().map(at).collect::<Vec<_>>(),
            [
                "Goloman 127.0.0.1:11645 127.0.0.1:12645",
                "Hands 127.0.0.1:11646 127.0.0.1:12646",
                "Holiday 127.0.0.1:11647 127.0.0.1:12647",
                "Welsh 127.0.0.1:11648 127.0.0.1:12648",
                "Wilkes 127.0.0.1:11649 127.0.0.1:12649",
            ]
        );
        assert_eq!(
            topology.links(),
            [
                ("Goloman", "Hands"),
                ("Goloman", "Holiday"),
                ("Goloman", "Wilkes"),
                ("Hands", "Wilkes"),
                ("Holiday", "Welsh"),
                ("Holiday", "Wilkes"),
            ]
        );
        assert_eq!(settings, Flags::default());
    }

    #[test]
    fn the_herds_of_the_other_prototypes_are_theirs_and_share_no_port_and_no_data() {
        let files: [&[u8]; 3] = [
            include_bytes!("../topology.json"),
            include_bytes!("../topologies/hill.json"),
            include_bytes!("../topologies/alford.json"),
        ];
        let herds = files.map(|bytes| parse(bytes).expect("a valid topology"));
        // Servers of two herds have the same name: started in one directory they would share data, and tell them on.
        let places = herds.iter().map(|(_, settings)| (settings.data_dir(), settings.log_dir()));
        assert_eq!(places.collect::<std::collections::BTreeSet<_>>().len(), 3);
        let herds = herds.map(|(topology, _)| topology);
        assert_eq!(
            herds[1].links(),
            [
                ("Hill", "Jaquez"),
                ("Hill", "Smith"),
                ("Jaquez", "Singleton"),
                ("Smith", "Campbell"),
                ("Smith", "Singleton"),
                ("Campbell", "Singleton"),
            ]
        );
        assert_eq!(
            herds[2].links(),
            [
                ("Alford", "Hamilton"),
                ("Alford", "Welsh"),
                ("Ball", "Holiday"),
                ("Ball", "Welsh"),
                ("Hamilton", "Holiday"),
            ]
        );
        let addresses = herds.iter().flat_map(Topology::servers).flat_map(|s| [&s.clients, &s.peers]);
        assert_eq!(addresses.collect::<std::collections::BTreeSet<_>>().len(), 30);
    }

    #[test]
    fn a_link_may_be_declared_on_either_side_or_both() {
        let here = two(r#", "neighbours": ["B"]"#);
        let there =
            here.replace(r#", "neighbours": ["B"]"#, "").replace(r#""h:4""#, r#""h:4", "neighbours": ["A"]"#);
        let both = here.replace(r#""h:4""#, r#""h:4", "neighbours": ["A"]"#);
        for text in [here, there, both] {
            let links = parse(text.as_bytes()).expect("a valid topology").0;
            assert_eq!(links.links(), [("A", "B")], "{text}");
        }
    }

    #[test]
    fn servers_keep_the_order_of_the_file() {
        let text = r#"{"servers": {"Z": {"clients": "h:1", "peers": "h:2"}, "A": {"clients": "h:3", "peers": "h:4"}}}"#;
        let (topology, _) = parse(text.as_bytes()).expect("a valid topology");
        let names: Vec<&str> = topology.servers().iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["Z", "A"]);
    }

    #[test]
    fn settings_are_the_long_flags_with_underscores() {
        let text = two("").replacen(
            '{',
            r#"{"settings": {"log_dir": "elsewhere", "line_max": 100, "open": true}, "#,
            1,
        );
        let settings = parse(text.as_bytes()).expect("a valid topology").1;
        let expected = Flags {
            open: true,
            log_dir: Some("elsewhere".into()),
            line_max: Some(Whole(100)),
            ..Flags::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn an_empty_file_is_refused_with_an_example_that_works() {
        for text in ["", " \r\n\t"] {
            assert_eq!(refused(text), format!(" the file is empty; write at least {EXAMPLE}"));
        }
        assert!(parse(EXAMPLE.as_bytes()).is_ok());
    }

    /// `expected value` was all that somebody heard whose editor had put a mark there that it does not show.
    #[test]
    fn a_byte_order_mark_is_left_out_and_utf_16_is_named() {
        assert!(parse(format!("\u{feff}{EXAMPLE}").as_bytes()).is_ok());
        let little: Vec<u8> = EXAMPLE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = EXAMPLE.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = |mark: &[u8], text: &[u8]| [mark, text].concat();
        for bytes in [marked(b"\xff\xfe", &little), marked(b"\xfe\xff", &big), little, big] {
            let expected = " the file is not UTF-8 but UTF-16; save it as UTF-8";
            assert_eq!(parse(&bytes).expect_err("a refusal"), expected);
        }
    }

    #[test]
    fn a_malformed_file_is_refused_with_line_and_column() {
        let syntax = "; write JSON: names in double quotes, commas between items and none after the last";
        let cases = [
            ("{", "1:1: EOF while parsing an object; the file ends too early, close what is open".to_owned()),
            ("{\n  \"servers\": {},\n}", format!("3:1: trailing comma{syntax}")),
            ("{servers: {}}", format!("1:2: key must be a string{syntax}")),
            ("hello", format!("1:1: expected value{syntax}")),
            ("[]", "1:0: invalid type: sequence, expected an object { … }".to_owned()),
            ("{} {}", "1:2: missing field `servers`; write \"servers\": { … }".to_owned()),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text}");
        }
        assert!(refused("{\"servers\": \"\u{1}\"}").starts_with("1:14: control character"));
        assert!(parse(b"{\"servers\": {\"\xff\": 1}}").is_err());
    }

    /// `expected usize` and `expected struct Flags` said little to who writes no Rust, and places as an array were taken.
    #[test]
    fn a_setting_of_another_type_is_refused_in_words_of_json() {
        let said = |settings: &str| {
            let text = two("").replacen('{', &format!("{{\"settings\": {{{settings}}}, "), 1);
            refused(&text).split_once(": ").map(|(_, what)| what.to_owned()).expect("a place")
        };
        let cases = [
            (
                "\"line_max\": \"x\"",
                "invalid type: string \"x\", expected a whole number from 1 to 18446744073709551615",
            ),
            (
                "\"search_ms\": -1",
                "invalid type: integer `-1`, expected a whole number from 1 to 18446744073709551615",
            ),
            ("\"log_dir\": 3", "invalid type: integer `3`, expected a path in double quotes"),
            ("\"places\": \"none\"", "invalid type: string \"none\", expected an object { … }"),
            ("\"places\": [\"none\"]", "invalid type: sequence, expected an object { … }"),
            ("\"places\": {\"files\": \"x\"}", "invalid type: string \"x\", expected an array [ … ]"),
        ];
        for (settings, expected) in cases {
            assert_eq!(said(settings), expected);
        }
    }

    /// What was too small or too large was found only when it was to be used, and had no line and no column.
    #[test]
    fn a_setting_out_of_its_bounds_is_refused_where_it_stands_with_those_that_are_not() {
        let said = |settings: &str| {
            parse(two("").replacen('{', &format!("{{\"settings\": {{{settings}}}, "), 1).as_bytes()).map(drop)
        };
        let cases = [
            ("\"line_max\": 0", "1:27: invalid value: integer `0`", 1, u64::MAX),
            ("\"workers\": 1025", "1:29: invalid value: integer `1025`", 1, 1024),
            (
                "\"dialect_corrections_max\": 4294967296",
                "1:51: invalid value: integer `4294967296`",
                1,
                u32::MAX.into(),
            ),
            ("\"places\": {\"in_flight_max\": 0}", "1:43: invalid value: integer `0`", 1, u64::MAX),
            ("\"places\": {\"per_day\": -1}", "1:38: invalid type: integer `-1`", 0, u32::MAX.into()),
        ];
        for (settings, what, least, most) in cases {
            let expected = format!("{what}, expected a whole number from {least} to {most}");
            assert_eq!(said(settings), Err(expected));
        }
        assert_eq!(said("\"workers\": 1024, \"places\": {\"per_day\": 0}"), Ok(()));
    }

    #[test]
    fn text_after_the_end_is_refused() {
        assert!(refused(&(two("") + "\nx")).starts_with("2:1: trailing characters"));
    }

    #[test]
    fn an_unknown_field_is_refused_with_those_that_are_known() {
        let entry = two(r#", "neighbors": ["B"]"#);
        let expected =
            "1:64: unknown field `neighbors`, expected one of `clients`, `peers`, `speaks`, `neighbours`";
        assert_eq!(refused(&entry), expected);
        let top = two("").replacen('{', r#"{"sevrers": {}, "#, 1);
        assert_eq!(refused(&top), "1:10: unknown field `sevrers`, expected `servers` or `settings`");
        let settings = two("").replacen('{', r#"{"settings": {"log-dir": "x"}, "#, 1);
        let said = refused(&settings);
        assert!(
            said.starts_with("1:23: unknown field `log-dir`, expected one of `open`, `log_dir`"),
            "{said}"
        );
    }

    #[test]
    fn a_field_of_the_wrong_kind_is_refused() {
        let cases = [
            (
                r#"{"servers": []}"#,
                "1:12: invalid type: sequence, expected an object { … } with a server for each name",
            ),
            (r#"{"servers": {"A": 5}}"#, "1:19: invalid type: integer `5`, expected an object { … }"),
            (
                r#"{"servers": {"A": ["h:1", "h:2"]}}"#,
                "1:18: invalid type: sequence, expected an object { … }",
            ),
            (
                r#"{"servers": {"A": {"clients": 11645}}}"#,
                "1:35: invalid type: integer `11645`, expected a string",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected);
        }
        let settings = two("").replacen('{', r#"{"settings": {"workers": -1}, "#, 1);
        let expected = "1:27: invalid type: integer `-1`, expected a whole number from 1 to 1024";
        assert_eq!(refused(&settings), expected);
    }

    #[test]
    fn a_missing_address_is_refused_with_what_to_write() {
        let no_clients = r#"{"servers": {"A": {"peers": "h:1"}}}"#;
        let expected = "1:34: missing field `clients`; write \"clients\": \"127.0.0.1:11645\"";
        assert_eq!(refused(no_clients), expected);
        let no_peers = r#"{"servers": {"A": {"clients": "h:1"}}}"#;
        assert_eq!(refused(no_peers), "1:37: missing field `peers`; write \"peers\": \"127.0.0.1:12645\"");
    }

    #[test]
    fn a_server_of_another_make_says_what_it_speaks_and_has_one_address() {
        let text = r#"{"servers": {"A": {"clients": "h:1", "peers": "h:2", "neighbours": ["P"]}, "P": {"clients": "h:3", "speaks": "trail"}}}"#;
        let (herd, _) = parse(text.as_bytes()).expect("a valid topology");
        let speaks: Vec<_> = herd.servers().iter().map(|server| server.speaks).collect();
        assert_eq!(speaks, [None, Some(Dialect::Trail)]);
        let expected =
            " servers.P.peers: \"P\" speaks trail and has no address for peers; leave \"peers\" out";
        assert_eq!(refused(&text.replace(r#""h:3""#, r#""h:3", "peers": "h:4""#)), expected);
        let unknown = refused(&text.replace("trail", "latin"));
        let expected =
            "unknown variant `latin`, expected one of `changeloc`, `trail`, `clientat`, `update`, `at`";
        assert!(unknown.contains(expected), "{unknown}");
    }

    #[test]
    fn a_server_described_twice_is_refused_at_the_second() {
        let text = two("").replace("\"B\"", "\n\"A\"");
        assert_eq!(refused(&text), "2:3: two servers are named \"A\"; give each a name of its own");
    }

    #[test]
    fn a_herd_without_servers_is_refused() {
        assert_eq!(refused(r#"{"servers": {}}"#), " servers: there is no server; name at least one");
    }

    #[test]
    fn a_bad_name_is_refused_with_its_place() {
        let cases = [
            (
                "Go loman",
                r#"" servers."Go loman": "Go loman" is no name for a server: write it without white space""#,
            ),
            ("", r#"" servers."": "" is no name for a server: write at least one character""#),
        ];
        for (name, expected) in cases {
            let text = two("").replace("\"B\"", &format!("{name:?}"));
            assert_eq!(format!("\"{}\"", refused(&text)), expected);
        }
    }

    #[test]
    fn an_unknown_neighbour_is_refused_with_its_place_and_the_names_there_are() {
        let text = two(r#", "neighbours": ["B", "Hnads"]"#);
        let expected = " servers.A.neighbours[1]: there is no server \"Hnads\"; write one of A, B";
        assert_eq!(refused(&text), expected);
    }

    #[test]
    fn a_link_to_oneself_is_refused_with_its_place() {
        let text = two(r#", "neighbours": ["B", "A"]"#);
        let expected =
            " servers.A.neighbours[1]: \"A\" names itself; a link needs another server, or leave it out";
        assert_eq!(refused(&text), expected);
    }

    #[test]
    fn an_address_twice_is_refused_with_both_places() {
        let text = two("").replace("h:4", "h:1");
        let expected = " servers.B.peers: address \"h:1\" is taken by the clients of \"A\"; \
                        give each listener a port of its own";
        assert_eq!(refused(&text), expected);
    }

    #[test]
    fn a_malformed_address_is_refused_with_its_place() {
        let text = two("").replace("h:3", "11646");
        let expected = " servers.B.clients: \"11646\" is no address: write the port after a colon, \
                        as in \"127.0.0.1:11645\"";
        assert_eq!(refused(&text), expected);
    }

    fn file(text: &str) -> File {
        let (topology, settings) = parse(text.as_bytes()).expect("a valid topology");
        File { path: "mine.json".into(), topology, settings }
    }

    #[test]
    fn servers_are_chosen_in_the_order_of_the_file_whatever_was_typed_and_none_of_another_make() {
        let stranger = r#""servers": {"P": {"clients": "h:5", "speaks": "trail"}, "#;
        let file = file(&two("").replacen(r#""servers": {"#, stranger, 1));
        let chosen = |typed: &[&str]| {
            let typed: Vec<String> = typed.iter().map(|&name| name.to_owned()).collect();
            let servers = file.chosen(&typed);
            servers.map(|servers| servers.into_iter().map(|server| server.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).expect("servers"), ["A", "B"]);
        assert_eq!(chosen(&["B", "A", "B"]).expect("servers"), ["A", "B"]);
        assert_eq!(chosen(&["D"]).expect_err("a failure").exit_code(), 2);
        // `herd list P` was told to start it.
        let why = "it is of another make, with a program of its own; name one of ours";
        let expected = Failure::Usage(format!("P speaks trail in mine.json: {why}"));
        assert_eq!(chosen(&["A", "P"]), Err(expected));
    }

    #[test]
    fn a_herd_in_two_parts_gets_a_warning_that_names_them() {
        let expected = "mine.json: the herd is not connected, it has 2 parts: A | B; link them";
        assert_eq!(file(&two("")).warning().as_deref(), Some(expected));
        assert_eq!(file(&two(r#", "neighbours": ["B"]"#)).warning(), None);
    }

    #[test]
    fn a_name_nobody_has_is_answered_with_the_names_there_are() {
        let expected = Failure::Usage("there is no server \"C\" in mine.json; it has A, B".to_owned());
        assert_eq!(file(&two("")).server("C"), Err(expected));
    }
}
