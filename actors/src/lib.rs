//! The actors of herd: mailboxes, sockets, timers and HTTP around the rules of `herd_core`.

pub mod attendance;
mod complaints;
pub mod descriptors;
pub mod dialect;
pub mod disk;
pub mod door;
mod doorstep;
pub mod journal;
pub mod listener;
pub mod messages;
pub mod net;
pub mod node;
pub mod panics;
pub mod peer;
pub mod places;
pub mod session;
pub mod store;
pub mod tls;
mod waiting;
mod workers;

#[cfg(test)]
mod testing;
