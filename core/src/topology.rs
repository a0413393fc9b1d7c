//! Who is in the herd and who talks to whom: the graph, its validation, and what can be read off it.
//!
//! How a topology is written in a file is not known here; the program reads the file and builds the
//! [`Topology`] from [`Server`]s and pairs of names.

use crate::dialect::Dialect;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};

mod problem;

pub use problem::{AddressFault, NameFault, Place, Problem, Side};

/// Longest name of a server in bytes: it is part of every answer, of log file names and of tables.
pub const NAME_MAX: usize = 64;

/// One server of the herd: its name and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Unique in the herd; a word of the protocol and the name of the log file.
    pub name: String,
    /// Where clients reach it, as `host:port`.
    pub clients: String,
    /// Where its neighbours reach it, as `host:port`; empty for a server of another make, which has no such address.
    pub peers: String,
    /// What it speaks with its neighbours, if it is a server of another make.
    pub speaks: Option<Dialect>,
}

impl Server {
    /// The addresses it listens on.
    fn addresses(&self) -> impl Iterator<Item = (Side, &String)> {
        let peers = self.speaks.is_none().then_some((Side::Peers, &self.peers));
        std::iter::once((Side::Clients, &self.clients)).chain(peers)
    }
}

/// A valid herd: servers in the order they were given, and links without direction.
///
/// It need not be connected; [`Topology::islands`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    servers: Vec<Server>,
    /// For each server, by place in `servers`, the places of its neighbours.
    links: Vec<BTreeSet<usize>>,
}

impl Topology {
    /// Builds the herd of `servers` in which each pair of names in `links` talk to each other.
    ///
    /// A link may be given once or more, from either end.
    pub fn new(servers: Vec<Server>, links: &[(String, String)]) -> Result<Topology, Problem> {
        if servers.is_empty() {
            return Err(Problem::NoServers);
        }
        let places = places_of_names(&servers)?;
        check_dialects(&servers)?;
        check_addresses(&servers)?;
        let mut joined = vec![BTreeSet::new(); servers.len()];
        for (server, neighbour) in links {
            let (here, there) = ends(&places, &servers, server, neighbour)?;
            joined[here].insert(there);
            joined[there].insert(here);
        }
        Ok(Topology { servers, links: joined })
    }

    /// Lists the servers in the order of the file.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Finds a server by its name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name == name)
    }

    /// Lists the neighbours of a server in the order of the file; none for a name that is not in the herd.
    pub fn neighbours(&self, name: &str) -> Vec<&Server> {
        let place = self.servers.iter().position(|server| server.name == name);
        place.map_or_else(Vec::new, |place| self.links[place].iter().map(|&n| &self.servers[n]).collect())
    }

    /// Lists the servers that speak a dialect, in the order of the file.
    pub fn speakers(&self, dialect: Dialect) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(move |server| server.speaks == Some(dialect))
    }

    /// Lists the links, each once, by the names of its ends in the order of the file.
    pub fn links(&self) -> Vec<(&str, &str)> {
        self.pairs().map(|(a, b)| (self.name(a), self.name(b))).collect()
    }

    /// Groups the names into those that can reach each other: one group when the herd is connected.
    pub fn islands(&self) -> Vec<Vec<&str>> {
        let mut left: BTreeSet<usize> = (0..self.servers.len()).collect();
        let mut islands = Vec::new();
        while let Some(&first) = left.first() {
            let hops = self.hops_from(first);
            let (near, far) = left.iter().partition(|&&place| hops[place].is_some());
            left = far;
            islands.push(BTreeSet::into_iter(near).map(|place| self.name(place)).collect());
        }
        islands
    }

    /// Counts the hops between the two servers that are farthest apart, on the shortest way between them.
    ///
    /// That is how many links a location crosses until the last server has it. Servers that cannot reach
    /// each other do not count.
    pub fn longest_route(&self) -> usize {
        (0..self.servers.len()).flat_map(|place| self.hops_from(place)).flatten().max().unwrap_or(0)
    }

    /// Draws who talks to whom: a row for each server, a column for each link, its ends marked by dots.
    ///
    /// When the links are too many for a terminal, only the names of the neighbours are listed.
    #[must_use]
    pub fn drawing(&self) -> String {
        let pairs: Vec<_> = self.pairs().collect();
        let width = self.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0);
        let mut drawing = String::new();
        for place in 0..self.servers.len() {
            let rails = if pairs.len() > DRAWN_LINKS_MAX { String::new() } else { rails(place, &pairs) };
            let neighbours: Vec<&str> = self.links[place].iter().map(|&n| self.name(n)).collect();
            let row = format!("{:width$}  {rails}  {}", self.name(place), neighbours.join(", "));
            drawing.push_str(row.trim_end());
            drawing.push('\n');
        }
        drawing
    }

    fn name(&self, place: usize) -> &str {
        &self.servers[place].name
    }

    /// Walks the links once each, from the end that comes first in the file.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let ends = |(here, there): (usize, &BTreeSet<usize>)| {
            there.range(here..).map(|&there| (here, there)).collect::<Vec<_>>()
        };
        self.links.iter().enumerate().flat_map(ends)
    }

    /// Counts the hops from one server to each, breadth first; `None` where there is no way.
    fn hops_from(&self, place: usize) -> Vec<Option<usize>> {
        let mut hops = vec![None; self.servers.len()];
        hops[place] = Some(0);
        let mut queue = VecDeque::from([(place, 0)]);
        while let Some((here, far)) = queue.pop_front() {
            for &next in &self.links[here] {
                if hops[next].is_none() {
                    hops[next] = Some(far + 1);
                    queue.push_back((next, far + 1));
                }
            }
        }
        hops
    }
}

/// More links than this do not fit beside the names on a terminal of 100 columns.
const DRAWN_LINKS_MAX: usize = 30;

/// Draws one server's row: a dot on each of its links, a rail where a link of others passes.
fn rails(place: usize, pairs: &[(usize, usize)]) -> String {
    let mark = |&(first, last): &(usize, usize)| match place {
        _ if place == first || place == last => '●',
        _ if first < place && place < last => '│',
        _ => ' ',
    };
    pairs.iter().map(mark).flat_map(|mark| [mark, ' ']).collect()
}

fn places_of_names(servers: &[Server]) -> Result<HashMap<&str, usize>, Problem> {
    let mut places = HashMap::new();
    for (place, server) in servers.iter().enumerate() {
        check_name(&server.name).map_err(|fault| Problem::Name { name: server.name.clone(), fault })?;
        if places.insert(server.name.as_str(), place).is_some() {
            return Err(Problem::NameTwice { name: server.name.clone() });
        }
    }
    Ok(places)
}

fn ends(
    places: &HashMap<&str, usize>,
    servers: &[Server],
    server: &str,
    neighbour: &str,
) -> Result<(usize, usize), Problem> {
    match (places.get(server), places.get(neighbour)) {
        (Some(here), Some(there)) if here == there => {
            Err(Problem::LinkToOneself { server: server.to_owned() })
        }
        (Some(&here), Some(&there)) => Ok((here, there)),
        _ => Err(Problem::UnknownNeighbour {
            server: server.to_owned(),
            neighbour: neighbour.to_owned(),
            known: servers.iter().map(|server| server.name.clone()).collect(),
        }),
    }
}

/// A server of another make has one address, whatever it was meant to have.
fn check_dialects(servers: &[Server]) -> Result<(), Problem> {
    let odd =
        servers.iter().find_map(|server| Some((server, server.speaks?)).filter(|_| !server.peers.is_empty()));
    odd.map_or(Ok(()), |(server, speaks)| {
        Err(Problem::PeersOfStranger { server: server.name.clone(), speaks })
    })
}

fn check_addresses(servers: &[Server]) -> Result<(), Problem> {
    let mut owners: HashMap<(String, u16), (&str, Side)> = HashMap::new();
    for server in servers {
        for (side, address) in server.addresses() {
            let at = || Place { server: server.name.clone(), side };
            let end = parse_address(address).map_err(|fault| Problem::Address {
                at: at(),
                address: address.clone(),
                fault,
            })?;
            if let Some((owner, side)) = owners.insert(end, (&server.name, side)) {
                let first = Place { server: owner.to_owned(), side };
                return Err(Problem::AddressTwice { at: at(), address: address.clone(), first });
            }
        }
    }
    Ok(())
}

/// Whether a server may have a name.
pub fn check_name(name: &str) -> Result<(), NameFault> {
    match name {
        "" => Err(NameFault::Empty),
        _ if name.len() > NAME_MAX => Err(NameFault::TooLong),
        _ if name.contains(char::is_whitespace) => Err(NameFault::WhiteSpace),
        _ if name.contains(char::is_control) => Err(NameFault::Control),
        _ if name.contains(['/', '\\']) => Err(NameFault::Separator),
        _ if name.starts_with(['.', '-']) => Err(NameFault::Start),
        _ => Ok(()),
    }
}

/// True for bytes that are a name that a server may have.
pub fn is_name(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|name| check_name(name).is_ok())
}

/// Takes the address of a server, `host:port`, apart; an IPv6 host loses its brackets.
pub fn host_and_port(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    (bare.unwrap_or(host), port)
}

/// Tells whether an address, `host:port`, may be one of a server.
pub fn check_address(address: &str) -> Result<(), AddressFault> {
    parse_address(address).map(drop)
}

/// Reads `host:port` into a form in which equal addresses are equal.
fn parse_address(address: &str) -> Result<(String, u16), AddressFault> {
    let (host, port) = address.rsplit_once(':').ok_or(AddressFault::NoPort)?;
    let host = canonical_host(host)?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok((host, number)),
        _ => Err(AddressFault::Port),
    }
}

fn canonical_host(host: &str) -> Result<String, AddressFault> {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| AddressFault::Ipv6);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // A dot at the end says that a name is whole, and makes it no other.
    let name = host.strip_suffix('.').unwrap_or(host);
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    match name {
        "" => Err(AddressFault::NoHost),
        _ if host.contains(':') => Err(AddressFault::Ipv6),
        _ if !host.bytes().all(plain) => Err(AddressFault::Host),
        _ if numeric => host.parse::<Ipv4Addr>().map(|ip| ip.to_string()).map_err(|_| AddressFault::Ipv4),
        _ => Ok(name.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn servers(names: &[&str]) -> Vec<Server> {
        let server = |(place, name): (usize, &&str)| Server {
            name: (*name).to_owned(),
            clients: format!("127.0.0.1:{}", 1000 + place),
            peers: format!("127.0.0.1:{}", 2000 + place),
            speaks: None,
        };
        names.iter().enumerate().map(server).collect()
    }

    fn links(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn topology(names: &[&str], pairs: &[(&str, &str)]) -> Topology {
        Topology::new(servers(names), &links(pairs)).expect("a valid topology")
    }

    fn refusal(servers: Vec<Server>, pairs: &[(&str, &str)]) -> String {
        Topology::new(servers, &links(pairs)).expect_err("a refusal").to_string()
    }

    fn default_herd() -> Topology {
        topology(
            &["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"],
            &[
                ("Goloman", "Hands"),
                ("Goloman", "Holiday"),
                ("Goloman", "Wilkes"),
                ("Hands", "Wilkes"),
                ("Holiday", "Welsh"),
                ("Holiday", "Wilkes"),
            ],
        )
    }

    #[test]
    fn neighbours_come_in_the_order_of_the_file() {
        let herd = default_herd();
        let names: Vec<&str> = herd.neighbours("Wilkes").iter().map(|server| server.name.as_str()).collect();
        assert_eq!(names, ["Goloman", "Hands", "Holiday"]);
        assert!(herd.neighbours("Nobody").is_empty());
    }

    #[test]
    fn a_host_of_ipv6_has_no_brackets_without_its_port() {
        assert_eq!(host_and_port("localhost:80"), ("localhost", "80"));
        assert_eq!(host_and_port("[::1]:80"), ("::1", "80"));
    }

    #[test]
    fn a_link_declared_on_both_sides_is_one_link() {
        let herd = topology(&["A", "B"], &[("A", "B"), ("B", "A"), ("A", "B")]);
        assert_eq!(herd.links(), [("A", "B")]);
    }

    #[test]
    fn the_default_herd_is_connected_and_three_hops_wide() {
        let herd = default_herd();
        assert_eq!(herd.islands(), [["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"]]);
        assert_eq!(herd.longest_route(), 3);
    }

    #[test]
    fn a_herd_in_two_parts_has_two_islands_and_the_longer_route_of_them() {
        let herd = topology(&["A", "B", "C", "D", "E"], &[("A", "C"), ("C", "E"), ("B", "D")]);
        assert_eq!(herd.islands(), [vec!["A", "C", "E"], vec!["B", "D"]]);
        assert_eq!(herd.longest_route(), 2);
    }

    #[test]
    fn one_server_alone_is_a_herd_without_hops() {
        let herd = topology(&["A"], &[]);
        assert_eq!(herd.longest_route(), 0);
        assert_eq!(herd.drawing(), "A\n");
    }

    #[test]
    fn the_drawing_marks_both_ends_of_each_link_in_its_column() {
        let drawn = default_herd().drawing();
        let expected = "\
Goloman  ● ● ●         Hands, Holiday, Wilkes
Hands    ● │ │ ●       Goloman, Wilkes
Holiday    ● │ │ ● ●   Goloman, Welsh, Wilkes
Welsh        │ │ ● │   Holiday
Wilkes       ● ●   ●   Goloman, Hands, Holiday
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_herd_with_too_many_links_to_draw_is_listed() {
        let names: Vec<String> = (0..10).map(|n| format!("S{n}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let pairs: Vec<(&str, &str)> =
            all.iter().flat_map(|a| all.iter().filter(move |b| a < *b).map(move |b| (*a, *b))).collect();
        let drawn = topology(&all, &pairs).drawing();
        assert!(!drawn.contains('●'));
        assert!(drawn.starts_with("S0    S1, S2,"), "{drawn}");
    }

    #[test]
    fn a_herd_without_servers_is_refused() {
        assert_eq!(refusal(vec![], &[]), "there is no server; name at least one");
    }

    #[test]
    fn names_that_cannot_be_names_are_refused_with_the_reason() {
        let cases = [
            ("", "\"\" is no name for a server: write at least one character"),
            ("Go loman", "\"Go loman\" is no name for a server: write it without white space"),
            ("Go\u{a0}loman", "\"Go\\u{a0}loman\" is no name for a server: write it without white space"),
            ("Go\u{7}", "\"Go\\u{7}\" is no name for a server: write it without control characters"),
            ("a/b", "\"a/b\" is no name for a server: write it without / and \\"),
            ("a\\b", "\"a\\\\b\" is no name for a server: write it without / and \\"),
            (".A", "\".A\" is no name for a server: begin with a letter or digit, not with a dot or dash"),
            ("-A", "\"-A\" is no name for a server: begin with a letter or digit, not with a dot or dash"),
        ];
        for (name, expected) in cases {
            assert_eq!(refusal(servers(&[name]), &[]), expected);
        }
    }

    #[test]
    fn a_name_may_be_as_long_as_the_limit_and_no_longer() {
        let longest = "x".repeat(NAME_MAX);
        assert!(Topology::new(servers(&[&longest]), &[]).is_ok());
        let refused = refusal(servers(&[&(longest + "x")]), &[]);
        assert!(refused.ends_with("write at most 64 bytes"), "{refused}");
    }

    #[test]
    fn two_servers_of_one_name_are_refused() {
        let expected = "two servers are named \"A\"; give each a name of its own";
        assert_eq!(refusal(servers(&["A", "B", "A"]), &[]), expected);
    }

    #[test]
    fn a_link_to_nobody_is_refused_with_the_names_there_are() {
        let expected = "there is no server \"C\"; write one of A, B";
        assert_eq!(refusal(servers(&["A", "B"]), &[("A", "C")]), expected);
    }

    #[test]
    fn a_link_to_oneself_is_refused() {
        let expected = "\"A\" names itself; a link needs another server, or leave it out";
        assert_eq!(refusal(servers(&["A", "B"]), &[("A", "A")]), expected);
    }

    #[test]
    fn addresses_that_are_none_are_refused_with_the_reason() {
        let cases = [
            ("", AddressFault::NoPort),
            ("localhost", AddressFault::NoPort),
            (":80", AddressFault::NoHost),
            ("localhost:", AddressFault::Port),
            ("localhost:0", AddressFault::Port),
            ("localhost:65536", AddressFault::Port),
            ("localhost:+80", AddressFault::Port),
            ("localhost:http", AddressFault::Port),
            ("local host:80", AddressFault::Host),
            ("http://localhost:80", AddressFault::Ipv6),
            ("127.0.0.256:80", AddressFault::Ipv4),
            ("127.0.1:80", AddressFault::Ipv4),
            ("127.0.0.1.:80", AddressFault::Ipv4),
            ("::1:80", AddressFault::Ipv6),
            ("[::1]", AddressFault::Ipv6),
            ("[localhost]:80", AddressFault::Ipv6),
        ];
        for (address, expected) in cases {
            assert_eq!(parse_address(address).expect_err(address), expected, "{address:?}");
        }
    }

    #[test]
    fn addresses_of_every_kind_are_taken() {
        for address in ["127.0.0.1:1", "0.0.0.0:65535", "[::1]:11645", "localhost:80", "a-b_c.example:80"] {
            assert!(parse_address(address).is_ok(), "{address:?}");
        }
    }

    /// It was refused as an IPv4 address that is none.
    #[test]
    fn a_host_whose_name_ends_with_a_dot_is_the_one_without() {
        assert_eq!(parse_address("goloman.example.:80"), parse_address("Goloman.example:80"));
        assert_eq!(parse_address(".:80"), Err(AddressFault::NoHost));
    }

    #[test]
    fn an_address_is_refused_by_whose_it_is() {
        let mut herd = servers(&["A"]);
        herd[0].peers = "here".to_owned();
        let expected = Problem::Address {
            at: Place { server: "A".to_owned(), side: Side::Peers },
            address: "here".to_owned(),
            fault: AddressFault::NoPort,
        };
        assert_eq!(
            expected.to_string(),
            "\"here\" is no address: write the port after a colon, as in \"127.0.0.1:11645\""
        );
        assert_eq!(Topology::new(herd, &[]), Err(expected));
    }

    #[test]
    fn one_address_twice_is_refused_however_it_is_written() {
        for (first, second) in
            [("127.0.0.1:80", "127.0.0.1:080"), ("[::1]:80", "[0:0::1]:80"), ("host:1", "HOST:1")]
        {
            let mut herd = servers(&["A", "B"]);
            herd[0].peers = first.to_owned();
            herd[1].clients = second.to_owned();
            let expected = format!(
                "address {second:?} is taken by the peers of \"A\"; give each listener a port of its own"
            );
            assert_eq!(refusal(herd, &[]), expected);
        }
    }

    #[test]
    fn one_server_cannot_use_one_address_for_both() {
        let mut herd = servers(&["A"]);
        herd[0].peers = herd[0].clients.clone();
        assert!(matches!(Topology::new(herd, &[]), Err(Problem::AddressTwice { .. })));
    }

    #[test]
    fn a_server_of_another_make_has_no_address_for_peers() {
        let mut herd = servers(&["A", "P"]);
        herd[1].speaks = Some(Dialect::Trail);
        let expected = "\"P\" speaks trail and has no address for peers; leave \"peers\" out";
        assert_eq!(refusal(herd.clone(), &[]), expected);
        herd[1].peers.clear();
        let herd = Topology::new(herd, &[("A".to_owned(), "P".to_owned())]).expect("a valid topology");
        let speakers =
            |dialect| herd.speakers(dialect).map(|server| server.name.as_str()).collect::<Vec<_>>();
        assert_eq!(speakers(Dialect::Trail), ["P"]);
        assert_eq!(speakers(Dialect::At), [""; 0]);
    }

    /// Any herd of up to eight servers, its links as pairs of places.
    fn any_herd() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (1..9_usize).prop_flat_map(|size| (Just(size), proptest::collection::vec((0..size, 0..size), 0..16)))
    }

    fn build(size: usize, pairs: &[(usize, usize)]) -> Topology {
        let names: Vec<String> = (0..size).map(|n| format!("S{n}")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let ends: Vec<(&str, &str)> =
            pairs.iter().filter(|(a, b)| a != b).map(|&(a, b)| (all[a], all[b])).collect();
        topology(&all, &ends)
    }

    proptest! {
        #[test]
        fn neighbours_are_mutual_and_never_oneself((size, pairs) in any_herd()) {
            let herd = build(size, &pairs);
            for server in herd.servers() {
                for neighbour in herd.neighbours(&server.name) {
                    prop_assert_ne!(&neighbour.name, &server.name);
                    prop_assert!(herd.neighbours(&neighbour.name).contains(&server));
                }
            }
        }

        #[test]
        fn every_server_is_on_one_island_with_its_neighbours((size, pairs) in any_herd()) {
            let herd = build(size, &pairs);
            let islands = herd.islands();
            prop_assert_eq!(islands.iter().map(Vec::len).sum::<usize>(), size);
            for (a, b) in herd.links() {
                let both = islands.iter().filter(|island| island.contains(&a) && island.contains(&b)).count();
                prop_assert_eq!(both, 1);
            }
        }

        #[test]
        fn who_declares_a_link_makes_no_difference((size, pairs) in any_herd()) {
            let turned: Vec<(usize, usize)> = pairs.iter().rev().map(|&(a, b)| (b, a)).collect();
            prop_assert_eq!(build(size, &pairs), build(size, &turned));
        }

        #[test]
        fn the_longest_route_is_shorter_than_the_largest_island((size, pairs) in any_herd()) {
            let herd = build(size, &pairs);
            let largest = herd.islands().iter().map(Vec::len).max().unwrap_or(0);
            prop_assert!(herd.longest_route() < largest);
            prop_assert_eq!(herd.longest_route() == 0, herd.links().is_empty());
        }

        #[test]
        fn a_ring_is_half_as_wide_as_it_is_long(size in 3..12_usize) {
            let pairs: Vec<(usize, usize)> = (0..size).map(|n| (n, (n + 1) % size)).collect();
            prop_assert_eq!(build(size, &pairs).longest_route(), size / 2);
        }

        #[test]
        fn no_name_and_no_address_panics(name in ".*", clients in ".*", peers in "[0-9a-z:.\\[\\]]*") {
            let refused = Topology::new(vec![Server { name, clients, peers, speaks: None }], &[]).err();
            prop_assert!(refused.is_none_or(|problem| !problem.to_string().is_empty()));
        }
    }
}
