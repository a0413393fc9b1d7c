//! Standard output and standard error: nothing written here can panic, whoever reads or has stopped reading.

mod watcher;

use crate::failure::{Failure, reason};
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, OnceLock};
pub use watcher::Watcher;

/// Whoever watches standard error, where a command goes on for long that is not to wait for him.
static WATCHER: OnceLock<Arc<Watcher>> = OnceLock::new();

/// Has nobody wait any more for what is said on standard error: it comes out in its order, as soon as somebody reads it.
pub fn watch() -> Result<&'static Watcher, Failure> {
    if let Some(watcher) = WATCHER.get() {
        return Ok(watcher);
    }
    let watcher = Watcher::start(io::stderr()).map_err(|error| {
        Failure::Undone(format!("cannot start a thread for standard error: {}", reason(&error)))
    })?;
    Ok(WATCHER.get_or_init(|| watcher))
}

/// Waits a short time for all that was said on standard error to come out: the end of the process would lose it.
pub fn settle() {
    if let Some(watcher) = WATCHER.get() {
        watcher.settle();
    }
}

/// Writes to standard output at once.
pub fn show(text: &str) -> Result<(), Failure> {
    outcome(write(text.as_bytes()))
}

/// Judges what became of writing to standard output. A reader who left (`herd status | head -1`) is no failure.
pub fn outcome(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Undone(format!("cannot write to standard output: {}", reason(&error))))
        }
        _ => Ok(()),
    }
}

/// Writes bytes to standard output at once.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Says one line on standard error, in the name of the program.
pub fn complain(line: &str) {
    let line = format!("herd: {line}\n");
    match WATCHER.get() {
        Some(watcher) => watcher.say(line.as_bytes()),
        None => warn(&line),
    }
}

/// Writes text to standard error as it is.
pub fn warn(text: &str) {
    // There is nowhere left to tell that standard error is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}
