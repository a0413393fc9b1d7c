//! What the tests of the built program share: a herd of processes, a client, links that can be cut, and the program alone
//! in a directory of its own.
//!
//! Nothing here knows the crates of herd: the program is a file that is started, and all else goes through sockets.
#![allow(dead_code, unused_imports, reason = "each file of tests uses its part of the harness")]

pub mod canary;
mod client;
mod cut;
mod herd;
mod neighbour;
pub mod program;
mod room;
pub mod scratch;

use std::env;
use std::thread;
use std::time::{Duration, Instant};

pub use client::Client;
pub use herd::Herd;
pub use neighbour::Neighbour;
pub use program::signal;
pub use scratch::Scratch;

/// Where a client is, if it does not matter where.
pub const HERE: &str = "+34.068930-118.445127";

/// How long anything may take before a test gives up: far more than it needs on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How much of something a run is to have by a variable, if that is set: a whole number, and so much at least. With
/// anything else in it the run would hold nothing, and pass.
pub fn amount(variable: &str, least: usize) -> Option<usize> {
    let text = env::var_os(variable)?.into_string().unwrap_or_default();
    let amount = text.parse().ok().filter(|&amount| amount >= least);
    Some(amount.unwrap_or_else(|| panic!("{variable} is {text:?}: write a whole number, {least} or more")))
}

/// Tries until there is something to return, and panics with `what` was waited for when patience ends.
///
/// The pause between two tries only spares the processor: no test depends on its length.
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, attempt)
}

/// The same for what takes longer.
pub fn eventually_within<T>(patience: Duration, what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
