//! The signals that ask a command to stop: SIGINT (Ctrl-C) and SIGTERM.

use crate::failure::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Catches both signals from the moment it exists.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to catch; fails where the operating system refuses.
    pub fn new() -> Result<Signals, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::Undone(format!("cannot catch signals: {error}")));
        Ok(Signals { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    /// Waits for the next signal and tells its name. Nothing is lost when it is cancelled.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
