//! Standard output and standard error: nothing written here can panic, whoever reads or has stopped reading.

use crate::failure::{Failure, reason};
use std::io::{self, ErrorKind, Write};

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
    // There is nowhere left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "herd: {line}");
}

/// Writes text to standard error as it is.
pub fn warn(text: &str) {
    // As above.
    let _ = io::stderr().write_all(text.as_bytes());
}
