//! The front door of `herd`: reads the command line, runs the command, and turns its end into an exit code.

mod arguments;
mod bench;
mod catalogue;
mod check;
mod command_line;
mod credentials;
mod failure;
mod flags;
mod launcher;
mod list;
mod logging;
mod object;
mod options;
mod panics;
mod places;
mod secrets;
mod send;
mod serve;
mod signals;
mod status;
mod table;
mod target;
mod terminal;
mod topology;
mod up;
mod variables;

use command_line::Early;
use failure::Failure;
use flags::Flags;
use options::{Command, Options};
use std::panic::resume_unwind;
use topology::File;

fn main() {
    // An error says that a provider is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let outcome = match command_line::read(std::env::args_os()) {
        Ok(options) => {
            let system = actix_rt::System::new();
            let outcome = system.block_on(in_a_task(run(options)));
            // Dropping the system would wait for lookups of host names that nobody waits for any more.
            std::process::exit(conclude(outcome));
        }
        Err(early) => conclude_early(early),
    };
    std::process::exit(conclude(outcome));
}

/// Runs a command in a task of its own. What the system waits for itself would be polled whenever any other task was,
/// with every update that comes by.
async fn in_a_task(command: impl Future<Output = Result<(), Failure>> + 'static) -> Result<(), Failure> {
    actix_rt::spawn(command).await.unwrap_or_else(|failed| resume_unwind(failed.into_panic()))
}

async fn run(options: Options) -> Result<(), Failure> {
    let Options { topology: path, command } = options;
    let file = || topology::read(&path);
    if matches!(command, Command::Up(_) | Command::Serve(_)) {
        terminal::watch()?;
    }
    warn_of_variables(&command);
    match command {
        Command::Up(up) => up::run(warned(checked(file()?, &up.flags)?), up).await,
        Command::Serve(serve) => serve::run(checked(file()?, &serve.flags)?, serve).await,
        Command::Send(send) => send::run(file, send).await,
        Command::Bench(bench) => bench::run(file, bench).await,
        Command::Status(status) => status::run(&file()?, &status).await,
        Command::List(list) => list::run(&file()?, &list).await,
        Command::Check(check) => check::run(&warned(topology::read(check.file.as_ref().unwrap_or(&path))?)),
        Command::Places(places::Command::Import(import)) => places::import::run(import),
    }
}

/// Warns of what somebody may believe to have set in the environment, where servers are run or asked. A launcher has done
/// so for the servers that it starts.
fn warn_of_variables(command: &Command) {
    let is_warned_of = match command {
        Command::Serve(serve) => !serve.until_stdin_ends,
        Command::Up(_) | Command::Send(_) | Command::Bench(_) | Command::Status(_) | Command::List(_) => true,
        Command::Check(_) | Command::Places(_) => false,
    };
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let logs = matches!(command, Command::Serve(_) | Command::Up(_));
    let warnings = [variables::warning(names), logs.then(logging::warning).flatten()];
    for warning in warnings.into_iter().flatten().filter(|_| is_warned_of) {
        terminal::complain(&format!("warning: {warning}"));
    }
}

/// Blames a file for the settings that cannot be, before a flag or a variable is.
fn checked(file: File, flags: &Flags) -> Result<File, Failure> {
    file.check(flags).map(|()| file)
}

/// Warns of what is wrong with a file but no error.
fn warned(file: File) -> File {
    if let Some(warning) = file.warning() {
        terminal::complain(&format!("warning: {warning}"));
    }
    file
}

fn conclude_early(early: Early) -> Result<(), Failure> {
    match early {
        Early::Shown(text) => terminal::show(&text),
        Early::Lost(help) => {
            terminal::warn(&help);
            Err(Failure::Usage("a command is missing; choose one of those above".to_owned()))
        }
        Early::Refused(failure) => Err(failure),
    }
}

/// Says what went wrong, if anything, and tells the exit code.
fn conclude(outcome: Result<(), Failure>) -> i32 {
    let code = match outcome {
        Ok(()) => 0,
        Err(failure) => {
            terminal::complain(&failure.to_string());
            failure.exit_code()
        }
    };
    terminal::settle();
    code
}
