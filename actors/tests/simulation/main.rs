//! The real actors, unmodified, on a simulated network, disk, clock and dice.
//!
//! Hours pass in seconds here, and the same seed always brings the same hours: `scenarios` are stories that were
//! written down, `seeds` are stories that were drawn. A seed that fails prints the command that replays it. Set
//! `HERD_TRACE` to see what happened: every line on every wire, and what the servers logged.
//!
//! A handler that panics takes only its task with it, and the simulation would go on. Tokio can end it instead, but
//! only if everything is built with `--cfg tokio_unstable`, a second build of all dependencies. A panic hook counts
//! panics as well, in any build, so that a plain `cargo test` tests the same as CI does (see `trace`).

mod dice;
mod disk;
mod herd;
mod invariants;
mod network;
mod phones;
mod pledges;
mod records;
mod scenarios;
mod seeds;
mod server;
mod trace;
