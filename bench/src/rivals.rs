//! The servers that herd is measured against and that are part of the bench, each a subcommand of its program.
//!
//! All run on one thread, as a server of the herd does by default.

use std::future::Future;
use std::io;

pub mod bare;
pub mod echo;
pub mod naive;
pub mod relay;

/// Runs a server's main task on one thread until the process is ended.
fn run(server: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, server)
}

/// Takes the first whole line, with its newline, out of what was read from `at` on.
fn next_line<'a>(input: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let end = input[*at..].iter().position(|byte| *byte == b'\n')? + *at + 1;
    let line = &input[*at..end];
    *at = end;
    Some(line)
}
