//! The signals that ask a command to stop: SIGINT (Ctrl-C), SIGTERM, and SIGHUP, which a terminal sends that closes.

use crate::failure::{Failure, reason};
use std::fs;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Catches the signals from the moment it exists.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where a terminal that closes is to stop nothing.
    hangup: Option<Signal>,
    /// The first signal that came, and when. A hangup is none from then on: shell and system may both send one, and that
    /// nobody watches any more is no reason to hurry.
    first: Option<(&'static str, Instant)>,
}

/// A signal that comes once more within this time is the first again: `timeout` sends its own to the process and, at once, to
/// the group that it is in. Nobody who has become impatient is so quick.
const ECHO: Duration = Duration::from_millis(100);

impl Signals {
    /// Begins to catch; fails where the operating system refuses.
    pub fn new() -> Result<Signals, Failure> {
        let refused = |error| Failure::Undone(format!("cannot catch signals: {}", reason(&error)));
        let catch = |kind| signal(kind).map_err(refused);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let hangup = minds_hangups(&status).then(|| catch(SignalKind::hangup())).transpose()?;
        let (interrupt, terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
        // Caught and never looked at: a file that may not be longer is a write that fails, as on a full disk.
        drop(catch(SignalKind::from_raw(FILE_SIZE))?);
        // So is the end of a child: where whoever started this process ignores it, the system waits for children itself, and
        // nobody hears how they ended.
        drop(catch(SignalKind::child())?);
        Ok(Signals { interrupt, terminate, hangup, first: None })
    }

    /// Waits for the next signal and tells its name. Nothing is lost when it is cancelled.
    pub async fn next(&mut self) -> &'static str {
        loop {
            let hangup = async { self.hangup.as_mut()?.recv().await };
            let name = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
                Some(()) = hangup, if self.first.is_none() => "SIGHUP",
            };
            let now = Instant::now();
            if !self.first.is_some_and(|first| is_echo(first, name, now)) {
                self.first.get_or_insert((name, now));
                return name;
            }
        }
    }
}

/// Whether a signal that comes now is the first once more.
fn is_echo((first, came): (&str, Instant), name: &str, now: Instant) -> bool {
    name == first && now.duration_since(came) < ECHO
}

/// SIGXFSZ, by which the system ends whoever writes more to a file than `ulimit -f` allows; its number on Linux and macOS.
const FILE_SIZE: i32 = 25;

/// True if hangups were not ignored when the program began, as `nohup` and `trap '' HUP` have it: to catch one would undo
/// that. Tells by what Linux says of the process; where the system says nothing, hangups stay what they are.
fn minds_hangups(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u128::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP == 0)
}

/// The bit of SIGHUP, which is signal 1, in a set of signals.
const HANGUP: u128 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// `timeout 1 herd serve A` ended a server at once, by the second of two signals, and clients in the middle of a word.
    #[test]
    fn a_signal_that_comes_twice_at_once_is_one() {
        let came = Instant::now();
        let after = |ms| came + Duration::from_millis(ms);
        assert!(is_echo(("SIGTERM", came), "SIGTERM", after(0)));
        assert!(is_echo(("SIGTERM", came), "SIGTERM", after(99)));
        assert!(!is_echo(("SIGTERM", came), "SIGTERM", after(100)));
        assert!(!is_echo(("SIGTERM", came), "SIGINT", after(1)));
    }

    #[test]
    fn hangups_that_were_ignored_before_stay_so() {
        assert!(minds_hangups(
            "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n"
        ));
        assert!(!minds_hangups("SigIgn:\t0000000000001001\n"));
        assert!(!minds_hangups(""));
    }
}
