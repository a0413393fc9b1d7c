//! Why servers and links make no herd, in words that say what to write instead.

use super::NAME_MAX;
use crate::dialect::Dialect;
use std::fmt;

/// Which of a server's two addresses is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The address for clients.
    Clients,
    /// The address for its neighbours.
    Peers,
}

/// One address of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server's name.
    pub server: String,
    /// Which of its addresses.
    pub side: Side,
}

/// Why servers and links make no herd. Its text says what is wrong and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// There is no server at all.
    NoServers,
    /// A name that cannot be a server's.
    Name {
        /// The name as it was given.
        name: String,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// Two servers have one name.
    NameTwice {
        /// The name of both.
        name: String,
    },
    /// An address that is no `host:port`.
    Address {
        /// Whose address it is.
        at: Place,
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// Two listeners on one address.
    AddressTwice {
        /// The second that wants it.
        at: Place,
        /// The address as the second gives it.
        address: String,
        /// The first that has it.
        first: Place,
    },
    /// A server of another make with an address for peers.
    PeersOfStranger {
        /// The server.
        server: String,
        /// What it speaks.
        speaks: Dialect,
    },
    /// A link from or to a server that is not in the herd.
    UnknownNeighbour {
        /// The server that names the neighbour.
        server: String,
        /// The name that nobody has.
        neighbour: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A server that names itself as a neighbour.
    LinkToOneself {
        /// The server.
        server: String,
    },
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// It has no character.
    Empty,
    /// It has more than [`NAME_MAX`] bytes.
    TooLong,
    /// White space ends a field in the protocol.
    WhiteSpace,
    /// Control characters would garble logs and terminals.
    Control,
    /// The name becomes the name of a file.
    Separator,
    /// A leading dot hides a file, a leading dash looks like an option.
    Start,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFault {
    /// Nothing follows a colon.
    NoPort,
    /// Nothing comes before the colon.
    NoHost,
    /// The host has a character that no host name has.
    Host,
    /// The host looks like an IPv4 address and is none.
    Ipv4,
    /// The host looks like an IPv6 address and is none, or has no brackets.
    Ipv6,
    /// The port is no number from 1 to 65535.
    Port,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Clients => "clients",
            Side::Peers => "peers",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoServers => f.write_str("there is no server; name at least one"),
            Problem::Name { name, fault } => write!(f, "{name:?} is no name for a server: {fault}"),
            Problem::NameTwice { name } => {
                write!(f, "two servers are named {name:?}; give each a name of its own")
            }
            Problem::Address { address, fault, .. } => {
                write!(f, "{address:?} is no address: {fault}, as in \"127.0.0.1:11645\"")
            }
            Problem::AddressTwice { address, first: Place { server, side }, .. } => write!(
                f,
                "address {address:?} is taken by the {side} of {server:?}; give each listener a port of its own"
            ),
            Problem::PeersOfStranger { server, speaks } => {
                write!(f, "{server:?} speaks {speaks} and has no address for peers; leave \"peers\" out")
            }
            Problem::UnknownNeighbour { neighbour, known, .. } => {
                write!(f, "there is no server {neighbour:?}; write one of {}", known.join(", "))
            }
            Problem::LinkToOneself { server } => {
                write!(f, "{server:?} names itself; a link needs another server, or leave it out")
            }
        }
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameFault::Empty => f.write_str("write at least one character"),
            NameFault::TooLong => write!(f, "write at most {NAME_MAX} bytes"),
            NameFault::WhiteSpace => f.write_str("write it without white space"),
            NameFault::Control => f.write_str("write it without control characters"),
            NameFault::Separator => f.write_str("write it without / and \\"),
            NameFault::Start => f.write_str("begin with a letter or digit, not with a dot or dash"),
        }
    }
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressFault::NoPort => "write the port after a colon",
            AddressFault::NoHost => "write a host before the colon",
            AddressFault::Host => "write the host as a name or a number",
            AddressFault::Ipv4 => "write four numbers up to 255 with dots between them",
            AddressFault::Ipv6 => {
                "write an IPv6 host in brackets (\"[::1]:11645\"), any other without colons"
            }
            AddressFault::Port => "write a port from 1 to 65535",
        })
    }
}

impl std::error::Error for Problem {}
