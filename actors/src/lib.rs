//! The actors of herd: mailboxes, sockets, timers and HTTP around the rules of `herd_core`.
//!
//! Words that are used everywhere here:
//!
//! | word | what it is |
//! |---|---|
//! | the store | the actor that owns the server's memory ([`store`]): a `Replica`, in which there is a `herd_core` `Store` |
//! | peer | the actor that keeps the link to one neighbour ([`peer`]) |
//! | stranger, neighbour of another make | a server of a prototype; the actor that speaks to one is its [`dialect`] |
//! | desk | the mailboxes that somebody was handed to tell and to ask |
//! | seams | what a simulation brings its own of: network, clock, dice, the end of the server ([`net`]) |
//! | door | where a server is called at its address for peers, and shakes hands ([`door`]); `doorstep` has those who do |
//! | gate | what tells strangers from clients, at the address for clients ([`dialect::gate`]) |
//! | seat | the place of a session, a peer, a dialect or a listing among those that a limit counts ([`attendance`]) |
//! | complaint | a warning that outsiders may give cause for at will: it is logged now and then (`complaints`) |

pub mod attendance;
mod complaints;
pub mod descriptors;
pub mod dialect;
pub mod disk;
pub mod door;
mod doorstep;
pub mod journal;
pub mod listener;
pub mod listing;
pub mod messages;
pub mod net;
pub mod node;
pub mod panics;
pub mod peer;
pub mod places;
pub mod reason;
pub mod session;
pub mod store;
pub mod tls;
pub mod waiting;
mod workers;

#[cfg(test)]
mod testing;
