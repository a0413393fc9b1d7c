//! The servers as child processes: started, watched, stopped, and none left behind.
//!
//! Each child holds the reading end of a pipe whose writing end only this process has, and stops when it
//! closes: that works however this process ends. Children have process groups of their own, so that Ctrl-C
//! in a terminal reaches this process alone, which then stops them.
//!
//! A server that dies is started again, after a delay that grows while it keeps dying, unless it never got up.

use crate::failure::{Failure, reason};
use herd_core::limits::Limits;
use herd_core::redial::Backoff;
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
use tokio::time::Instant;

/// How a server is started, but for its name.
pub struct Recipe {
    /// The program, which is this one.
    pub program: PathBuf,
    /// What follows the name.
    pub arguments: Vec<OsString>,
}

/// The servers that run, by name.
pub type Running = Rc<RefCell<BTreeMap<String, Process>>>;

/// A server that runs.
#[derive(Debug)]
pub struct Process {
    /// Its process number.
    pub number: u32,
    /// True once it has answered: it has got up, however soon it ends.
    pub has_answered: bool,
}

/// The servers that this process started.
pub struct Launcher {
    recipe: Recipe,
    running: Running,
    children: JoinSet<Ending>,
    /// The history of each server that was started.
    histories: BTreeMap<String, History>,
    /// The names of servers that are to be started again, each when its delay is over.
    restarts: JoinSet<String>,
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

/// What happens to a server.
#[derive(Debug)]
pub enum Event {
    /// It has ended.
    Ended(Ending),
    /// It is to be started again now.
    RestartDue(String),
}

/// What tells whether a server that ended is to be started again, and when.
struct History {
    began: Instant,
    /// True once it has got up: one that never did has something that only a person can mend.
    got_up: bool,
    backoff: Backoff,
}

/// Why a server is not started again that ended well.
const TOLD: &str = "it was told to stop";

/// Why a server is not started again that ended before it could answer: its next start would be no better.
const NEVER_UP: &str = "it never got up";

/// Why a server is not started again of which the operating system cannot say whether it ended.
const UNSEEN: &str = "it may run still";

/// A server that lives so long has got up, even if nobody asked it. Before that it may wait for as long as one may take to
/// stop, if that has its data.
const UP_AFTER: Duration = Duration::from_secs(3);

/// A server that lives so long dies of something new.
const WELL_AFTER: Duration = Duration::from_secs(60);

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
            histories: BTreeMap::new(),
            restarts: JoinSet::new(),
            order: watch::Sender::new(Order::Run),
        }
    }

    /// Starts a server.
    pub fn start(&mut self, name: &str) -> Result<(), Failure> {
        let child = self.recipe.command(name).spawn().map_err(|error| {
            let (program, why) = (self.recipe.program.display(), reason(&error));
            Failure::Undone(format!("cannot start {name} with {program}: {why}"))
        })?;
        let process = Process { number: child.id().unwrap_or(0), has_answered: false };
        self.running.borrow_mut().insert(name.to_owned(), process);
        self.history(name).began = Instant::now();
        let supervising = supervise(name.to_owned(), child, self.order.subscribe(), self.stop_limit);
        self.children.spawn_local(ending_of(name.to_owned(), supervising));
        Ok(())
    }

    /// Sees to it that a server that died is started again; after which delay, or why it is not.
    pub fn schedule_restart(&mut self, ending: &Ending) -> Result<Duration, &'static str> {
        let up_after = UP_AFTER.saturating_add(self.stop_limit);
        let status = *ending.status.as_ref().map_err(|_| UNSEEN)?;
        let delay = self.history(&ending.name).delay(status, up_after)?;
        self.restart_after(delay, &ending.name);
        Ok(delay)
    }

    /// Sees to it that a server that could not be started is tried again; after which delay.
    pub fn schedule_retry(&mut self, name: &str) -> Duration {
        let delay = self.history(name).next_delay();
        self.restart_after(delay, name);
        delay
    }

    /// What a server has gone through, which begins now if it is a new one.
    fn history(&mut self, name: &str) -> &mut History {
        self.histories.entry(name.to_owned()).or_insert_with(|| History {
            began: Instant::now(),
            got_up: false,
            backoff: Backoff::new(&Limits::default()),
        })
    }

    fn restart_after(&mut self, delay: Duration, name: &str) {
        let name = name.to_owned();
        self.restarts.spawn_local(async move {
            tokio::time::sleep(delay).await;
            name
        });
    }

    /// Waits until a server ends or one is to be started again; for ever if there is none of either.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            Some(ending) = next_of(&mut self.children) => {
                self.note_end(&ending.name);
                Event::Ended(ending)
            }
            Some(name) = next_of(&mut self.restarts) => Event::RestartDue(name),
            else => std::future::pending().await,
        }
    }

    /// True if no server runs and none is to be started again.
    pub fn is_idle(&self) -> bool {
        self.running.borrow().is_empty() && self.restarts.is_empty()
    }

    /// Shares the list of those that run, which changes as they come and go.
    pub fn running(&self) -> Running {
        Rc::clone(&self.running)
    }

    /// Waits for the next server to end; `None` when none is left. Nothing is lost when it is cancelled.
    pub async fn next_ending(&mut self) -> Option<Ending> {
        let ending = next_of(&mut self.children).await?;
        self.note_end(&ending.name);
        Some(ending)
    }

    /// Takes a server from those that run, and remembers of it whether it had got up.
    fn note_end(&mut self, name: &str) {
        let process = self.running.borrow_mut().remove(name);
        self.history(name).got_up |= process.is_some_and(|process| process.has_answered);
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

impl History {
    /// How long to wait before another start, or why there is none.
    fn delay(&mut self, status: ExitStatus, up_after: Duration) -> Result<Duration, &'static str> {
        let lived = self.began.elapsed();
        self.got_up |= lived >= up_after || status.signal().is_some();
        if status.success() {
            return Err(TOLD);
        }
        if !self.got_up {
            return Err(NEVER_UP);
        }
        if lived >= WELL_AFTER {
            self.backoff.reset();
        }
        Ok(self.next_delay())
    }

    fn next_delay(&mut self) -> Duration {
        Duration::from_millis(self.backoff.delay_ms(0))
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

/// Waits for what the next of these tasks tells, and passes over those that panicked; `None` when none is left. Nothing is
/// lost when it is cancelled.
async fn next_of<T: 'static>(tasks: &mut JoinSet<T>) -> Option<T> {
    loop {
        if let Ok(told) = tasks.join_next().await? {
            return Some(told);
        }
    }
}

/// Tells how a server ended over which another task watches. Where that panics, the child is killed as it is dropped, which
/// is an ending as well: a server that is never said to have ended would be waited for until a signal.
async fn ending_of(name: String, supervising: impl Future<Output = Ending> + 'static) -> Ending {
    tokio::task::spawn_local(supervising).await.unwrap_or_else(|panicked| Ending {
        name,
        status: Err(io::Error::other(panicked)),
        killed: false,
    })
}

/// Watches over one child until it has ended, and ends it when that is the order.
async fn supervise(
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
            Err(error) => write!(f, "{} cannot be watched: {}", self.name, reason(error)),
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

    /// A launcher that has nothing but what a test puts there.
    fn launcher() -> Launcher {
        Launcher::new(Recipe { program: PathBuf::new(), arguments: Vec::new() }, Duration::ZERO)
    }

    /// A task that panicked made the launcher deaf: it heard of nothing after that but signals.
    #[actix::test]
    async fn what_happens_after_a_task_has_panicked_is_heard() {
        let mut launcher = launcher();
        launcher.children.spawn_local(async { panic!("as the test wants") });
        launcher.restarts.spawn_local(async { panic!("as the test wants") });
        tokio::task::yield_now().await;
        launcher.restarts.spawn_local(async { "Hands".to_owned() });
        assert!(matches!(launcher.next().await, Event::RestartDue(name) if name == "Hands"));
        launcher.children.spawn_local(async {
            let status = Ok(ExitStatus::from_raw(0));
            Ending { name: "Wilkes".to_owned(), status, killed: false }
        });
        assert!(matches!(launcher.next().await, Event::Ended(ending) if ending.name == "Wilkes"));
        assert!(launcher.next_ending().await.is_none());
    }

    #[actix::test]
    async fn a_server_over_which_nobody_watches_any_more_has_ended() {
        let mut launcher = launcher();
        let process = Process { number: 7, has_answered: true };
        launcher.running.borrow_mut().insert("Hands".to_owned(), process);
        launcher.children.spawn_local(ending_of("Hands".to_owned(), async { panic!("as the test wants") }));
        let Event::Ended(ending) = launcher.next().await else { panic!("it has ended") };
        assert!(ending.to_string().starts_with("Hands cannot be watched: "), "{ending}");
        assert!(launcher.is_idle());
    }

    /// The delays, in milliseconds, of a server that lives for so many seconds and then ends.
    async fn delays(lives_s: &[u64], wait_status: i32) -> Vec<Result<u128, &'static str>> {
        let new = Instant::now();
        let mut history = History { began: new, got_up: false, backoff: Backoff::new(&Limits::default()) };
        let mut delays = Vec::new();
        for &life_s in lives_s {
            history.began = Instant::now();
            tokio::time::advance(Duration::from_secs(life_s)).await;
            let delay = history.delay(ExitStatus::from_raw(wait_status), UP_AFTER + Duration::from_secs(6));
            delays.push(delay.map(|delay| delay.as_millis()));
        }
        delays
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_keeps_dying_is_started_again_ever_later_until_it_lives_for_long() {
        let delays = delays(&[0, 0, 0, 0, 0, 0, 0, 0, 61], 9).await;
        let expected = [100, 200, 400, 800, 1600, 3200, 5000, 5000, 100];
        assert_eq!(delays, expected.map(Ok));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_got_up_or_was_told_to_stop_is_not_started_again() {
        // For 6 s one may wait for data that another process has.
        assert_eq!(delays(&[0, 1, 7], 1 << 8).await, [Err(NEVER_UP); 3]);
        assert_eq!(delays(&[10], 0).await, [Err(TOLD)]);
        assert_eq!(delays(&[10, 0], 1 << 8).await, [Ok(100), Ok(200)]);
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
