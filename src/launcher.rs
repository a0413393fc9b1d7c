//! The servers as child processes: started, watched, stopped, and none left behind.
//!
//! Each child holds the reading end of a pipe whose writing end only this process has, and stops when it
//! closes: that works however this process ends. Children have process groups of their own, so that Ctrl-C
//! in a terminal reaches this process alone, which then stops them.

use crate::failure::Failure;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How a server is started, but for its name.
pub struct Recipe {
    /// The program, which is this one.
    pub program: PathBuf,
    /// What follows the name.
    pub arguments: Vec<OsString>,
}

/// The process numbers of the servers that run, by name.
pub type Running = Rc<RefCell<BTreeMap<String, u32>>>;

/// The servers that this process started.
pub struct Launcher {
    recipe: Recipe,
    running: Running,
    children: JoinSet<Ending>,
    /// How long a server may take to stop before it is killed.
    stop_limit: Duration,
    order: watch::Sender<Order>,
}

/// What the children are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Run,
    Stop,
    StopNow,
}

/// How a server ended.
#[derive(Debug)]
pub struct Ending {
    /// Its name.
    pub name: String,
    /// What the operating system says.
    pub status: io::Result<ExitStatus>,
    /// Whether it was killed because it did not stop in time.
    pub killed: bool,
}

impl Launcher {
    /// Makes a launcher without servers, which kills those that take longer to stop than `stop_limit`.
    pub fn new(recipe: Recipe, stop_limit: Duration) -> Launcher {
        Launcher {
            recipe,
            stop_limit,
            running: Running::default(),
            children: JoinSet::new(),
            order: watch::Sender::new(Order::Run),
        }
    }

    /// Starts a server.
    pub fn start(&mut self, name: &str) -> Result<(), Failure> {
        let child = self.recipe.command(name).spawn().map_err(|error| {
            Failure::Undone(format!("cannot start {name} with {}: {error}", self.recipe.program.display()))
        })?;
        self.running.borrow_mut().insert(name.to_owned(), child.id().unwrap_or(0));
        self.children.spawn_local(tend(name.to_owned(), child, self.order.subscribe(), self.stop_limit));
        Ok(())
    }

    /// Shares the list of those that run, which changes as they come and go.
    pub fn running(&self) -> Running {
        Rc::clone(&self.running)
    }

    /// Waits for the next server to end; `None` when none is left. Nothing is lost when it is cancelled.
    pub async fn next_ending(&mut self) -> Option<Ending> {
        loop {
            // A task that panicked is no ending of a server; its child was killed as it was dropped.
            if let Ok(ending) = self.children.join_next().await? {
                self.running.borrow_mut().remove(&ending.name);
                return Some(ending);
            }
        }
    }

    /// Tells all servers to finish what they began and stop; those that do not are killed in the end.
    pub fn stop(&self) {
        self.order.send_replace(Order::Stop);
    }

    /// Kills all servers.
    pub fn stop_now(&self) {
        self.order.send_replace(Order::StopNow);
    }
}

impl Recipe {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--until-stdin-ends"])
            .args(&self.arguments)
            .args(["--", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Watches over one child until it has ended, and ends it when that is the order.
async fn tend(
    name: String,
    mut child: Child,
    mut order: watch::Receiver<Order>,
    stop_limit: Duration,
) -> Ending {
    let pipe = child.stdin.take();
    tokio::select! {
        status = child.wait() => return Ending { name, status, killed: false },
        // Nobody left to give orders means stop as well.
        _ = order.wait_for(|order| *order != Order::Run) => drop(pipe),
    }
    tokio::select! {
        status = child.wait() => return Ending { name, status, killed: false },
        () = tokio::time::sleep(stop_limit) => {}
        _ = order.wait_for(|order| *order == Order::StopNow) => {}
    }
    // It may have ended this very moment, which is as well.
    let _ = child.start_kill();
    Ending { name, status: child.wait().await, killed: true }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            Ok(status) => write!(f, "{} ended with {}", self.name, Status(*status)),
            Err(error) => write!(f, "{} cannot be watched: {error}", self.name),
        }
    }
}

/// An exit status in words.
struct Status(ExitStatus);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(number)) => match signal_name(number) {
                Some(name) => write!(f, "signal {number} ({name})"),
                None => write!(f, "signal {number}"),
            },
            (None, None) => write!(f, "{}", self.0),
        }
    }
}

/// Names the signals whose numbers are the same on every Unix.
fn signal_name(number: i32) -> Option<&'static str> {
    Some(match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(wait_status: i32) -> String {
        let status = Ok(ExitStatus::from_raw(wait_status));
        Ending { name: "Hands".to_owned(), status, killed: false }.to_string()
    }

    #[test]
    fn an_ending_names_the_server_and_its_status_or_signal() {
        assert_eq!(ending(3 << 8), "Hands ended with exit status 3");
        assert_eq!(ending(9), "Hands ended with signal 9 (SIGKILL)");
        assert_eq!(ending(64), "Hands ended with signal 64");
    }

    #[test]
    fn a_server_is_started_with_what_the_launcher_was_given() {
        let arguments = vec!["--topology=x.json".into(), "--open".into()];
        let recipe = Recipe { program: "/bin/herd".into(), arguments };
        let command = recipe.command("Hands");
        let words: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(words, ["serve", "--until-stdin-ends", "--topology=x.json", "--open", "--", "Hands"]);
    }
}
