//! The rules of herd, and nothing else: no IO, no clock, no dice, no logging.
//!
//! What time it is, what the dice said and what a socket brought are arguments here; what follows from
//! them is a return value. That is what lets every rule be tested in microseconds. Tables hash with seeds of their own, on
//! which no result depends.

mod admission;
pub mod batch;
pub mod checkin;
pub mod decimal;
pub mod dialect;
pub mod digest;
pub mod faults;
pub mod fields;
mod flood;
pub mod frame;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod handshake;
mod healing;
pub mod journal;
mod lifetime;
pub mod limits;
pub mod line;
pub mod listing;
pub mod location;
mod missing;
pub mod pace;
pub mod places;
pub mod rate;
pub mod record;
pub mod redial;
pub mod replica;
mod search;
pub mod seen;
pub mod session;
pub mod status;
pub mod store;
pub mod topology;
mod tree;
mod word;
