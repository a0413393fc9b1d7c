//! `herd up`: starts the servers of a topology, says when they are ready and which of them end, stops them.

use crate::arguments::give;
use crate::credentials;
use crate::failure::{Failure, reason};
use crate::launcher::{Ending, Event, Launcher, Recipe, Running};
use crate::options::Up;
use crate::places;
use crate::signals::Signals;
use crate::status::{Absence, Answer, State, ask_all, links_up};
use crate::table::Table;
use crate::terminal;
use crate::topology::File;
use herd_actors::descriptors;
use herd_actors::door::Credentials;
use herd_core::topology::{Server, Topology, host_and_port};
use std::ffi::OsString;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long the links may take to come up before the table is printed without them.
const READY_LIMIT: Duration = Duration::from_secs(3);

/// How long one server may take to answer while it is waited for: one that hangs is not to hide the others.
const LOOK_LIMIT: Duration = Duration::from_millis(500);

/// How much longer than its own limit a server may take to stop: it should be the one to say what it gave up.
const STOP_MARGIN: Duration = Duration::from_secs(1);

/// How often servers are asked while they are waited for.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// The same at most of those without which the herd was said to be ready. It may be for ever.
const ASK_LATE_EVERY: Duration = Duration::from_secs(5);

/// Runs the servers until a signal, or until the last of them has ended.
pub async fn run(file: File, up: Up) -> Result<(), Failure> {
    let Up { names, flags } = up;
    let settings = flags.clone().or(file.settings.clone());
    let limits = settings.limits()?;
    // What is wrong with these is said once here, and not by every server.
    settings.durability()?;
    if let Some(warning) = places::warning(&settings.places.settings()?) {
        terminal::complain(&format!("warning: {warning}"));
    }
    let herd = Herd {
        servers: file.chosen(&names)?,
        credentials: credentials::of_asker(file.topology.servers(), settings.peer_tls.as_deref())?,
        topology: file.topology,
        stop_limit: Duration::from_millis(limits.stop_ms).saturating_add(STOP_MARGIN),
    };
    let mut signals = Signals::new()?;
    descriptors::raise_limit(); // Each server takes some. Where they are still too few, the start that fails tells so.
    let mut launcher = Launcher::new(recipe(&file.path, flags.arguments())?, herd.stop_limit);
    let outcome = match herd.servers.iter().try_for_each(|server| launcher.start(&server.name)) {
        Ok(()) => watch(&herd, &mut launcher, &mut signals).await,
        Err(failure) => Err(failure),
    };
    // Without a failure it was a signal that ended it.
    stop(&mut launcher, &mut signals, outcome.is_ok()).await.and(outcome)
}

/// The servers that are started together.
struct Herd {
    servers: Vec<Server>,
    topology: Topology,
    credentials: Credentials,
    /// How long a server may take to stop, and the next one to wait for it.
    stop_limit: Duration,
}

fn recipe(path: &Path, flags: Vec<OsString>) -> Result<Recipe, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::Undone(format!("cannot find the program that is running: {}", reason(&error)))
    })?;
    let mut arguments = Vec::new();
    give(&mut arguments, "topology", Some(&path));
    arguments.extend(flags);
    Ok(Recipe { program, arguments })
}

/// Says when the herd is ready and which servers end, until a signal; a failure when none is left.
async fn watch(herd: &Herd, launcher: &mut Launcher, signals: &mut Signals) -> Result<(), Failure> {
    let mut announcement = pin!(herd.announce(launcher.running()));
    let mut is_announced = false;
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            event = launcher.next() => match event {
                Event::Ended(ending) => report_end(&ending, launcher)?,
                Event::RestartDue(name) => restart(&name, launcher),
            },
            () = &mut announcement, if !is_announced => is_announced = true,
        }
    }
}

/// Says which server ended and what follows; a failure when none is left.
fn report_end(ending: &Ending, launcher: &mut Launcher) -> Result<(), Failure> {
    let what_follows = match launcher.schedule_restart(ending) {
        Ok(delay) => format!("it is started again in {} ms", delay.as_millis()),
        Err(why) if launcher.is_idle() => {
            return Err(Failure::Undone(format!("{ending}: {why}; no server is left")));
        }
        Err(why) => format!("it is not started again: {why}"),
    };
    terminal::complain(&format!("{ending}; the others go on, and {what_follows}"));
    Ok(())
}

/// Starts a server again. Where that cannot be done now, such as while the program is replaced, it is tried later.
fn restart(name: &str, launcher: &mut Launcher) {
    if let Err(failure) = launcher.start(name) {
        let delay = launcher.schedule_retry(name);
        terminal::complain(&format!("{failure}; it is tried again in {} ms", delay.as_millis()));
    }
}

/// Stops what still runs, as a signal told it to or for another reason; a second signal kills it at once.
async fn stop(launcher: &mut Launcher, signals: &mut Signals, mut is_told: bool) -> Result<(), Failure> {
    launcher.stop();
    loop {
        tokio::select! {
            ended = launcher.next_ending() => match ended {
                Some(ending) if ending.killed => terminal::complain(&format!("{ending}: it did not stop in time")),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = signals.next() => {
                if !std::mem::replace(&mut is_told, true) {
                    continue;
                }
                launcher.stop_now();
                while launcher.next_ending().await.is_some() {}
                return Err(Failure::Undone("stopped at once, by a second signal".to_owned()));
            }
        }
    }
}

impl Herd {
    /// Says how the servers are once they are ready or time is up, and, where none has answered by then, once more when
    /// one does: a long log on a slow disk takes as long as it takes. Those that answer after that are named when they do.
    async fn announce(&self, running: Running) {
        let mut answers = self.ready(&running).await;
        show(self.announcement(&answers)).await;
        while answers.iter().all(|answer| answer.report.is_err()) {
            tokio::time::sleep(ASK_EVERY).await;
            answers = self.ready(&running).await;
            if let Some(invitation) = invitation(&answers) {
                show(invitation).await;
            }
        }
        let late = answers.into_iter().filter(|answer| answer.report.is_err());
        self.announce_late(late.map(|answer| answer.server).collect(), &running).await;
    }

    /// Says of each of these servers when it answers. One that does not run may be started again.
    async fn announce_late(&self, mut late: Vec<Server>, running: &Running) {
        let mut delay = ASK_EVERY;
        while !late.is_empty() {
            tokio::time::sleep(delay).await;
            delay = (2 * delay).min(ASK_LATE_EVERY);
            let runs = |server: &&Server| running.borrow().contains_key(&server.name);
            let asked: Vec<Server> = late.iter().filter(runs).cloned().collect();
            for mut answer in ask_all(&asked, &self.credentials, LOOK_LIMIT).await {
                note_answer(&mut answer, running);
                let name = answer.server.name;
                if answer.report.is_ok() {
                    show(format!("{name} is ready now\n")).await;
                    late.retain(|server| server.name != name);
                }
            }
        }
    }

    /// Asks until every server that runs is linked with all its neighbours that run, or time is up.
    async fn ready(&self, running: &Running) -> Vec<Answer> {
        let deadline = Instant::now() + READY_LIMIT;
        let runs = |server: &Server| running.borrow().contains_key(&server.name);
        loop {
            let mut answers = ask_all(&self.servers, &self.credentials, LOOK_LIMIT).await;
            for answer in &mut answers {
                note_answer(answer, running);
            }
            // One that does not answer may wait for its data, as long as another that has them may take to stop.
            let waits = answers.iter().any(|answer| answer.report.is_err() && runs(&answer.server));
            let patience = if waits { self.stop_limit } else { Duration::ZERO };
            let over = Instant::now().checked_duration_since(deadline);
            if self.is_linked(&answers, running) || over.is_some_and(|over| over >= patience) {
                return answers;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn is_linked(&self, answers: &[Answer], running: &Running) -> bool {
        let runs = |server: &Server| running.borrow().contains_key(&server.name);
        answers.iter().filter(|answer| runs(&answer.server)).all(|Answer { server, report }| {
            let mut wanted =
                self.topology.neighbours(&server.name).into_iter().filter(|&server| runs(server));
            report.as_ref().is_ok_and(|report| wanted.all(|neighbour| report.is_linked_to(&neighbour.name)))
        })
    }

    /// Prints the table of servers and how to talk to one of them.
    fn announcement(&self, answers: &[Answer]) -> String {
        let mut table = Table::new(&["SERVER", "ADDRESS", "NEIGHBOURS", "LINKS UP"]);
        for Answer { server, report } in answers {
            let neighbours: Vec<&str> = self
                .topology
                .neighbours(&server.name)
                .iter()
                .map(|neighbour| neighbour.name.as_str())
                .collect();
            let links = report.as_ref().map_or_else(|absence| absence.state.word().to_owned(), links_up);
            table.row(vec![server.name.clone(), server.clients.clone(), neighbours.join(", "), links]);
        }
        table.print()
            + &invitation(answers).unwrap_or_else(|| "no server answers yet; see their logs\n".to_owned())
    }
}

/// Prints, and has nobody else wait for whoever reads it: a terminal may have been told to wait. Where nobody can be
/// told, the herd is none the worse.
async fn show(text: String) {
    let shown = tokio::task::spawn_blocking(move || terminal::show(&text)).await;
    let shown = shown.unwrap_or_else(|failed| Err(Failure::Undone(format!("cannot print: {failed}"))));
    if let Err(failure) = shown {
        terminal::complain(&format!("{failure}; the herd goes on"));
    }
}

/// Notes that a server has answered. An answer of another process than the one started here is none.
fn note_answer(answer: &mut Answer, running: &Running) {
    let Ok(report) = &answer.report else { return };
    match running.borrow_mut().get_mut(&answer.server.name) {
        Some(process) if process.number == report.pid => process.has_answered = true,
        _ => answer.report = Err(Absence::new(State::Down, "another process answers at its address")),
    }
}

/// Says in one line that the herd is ready, and what to type in another terminal; none while no server answers.
fn invitation(answers: &[Answer]) -> Option<String> {
    let first = answers.iter().find(|answer| answer.report.is_ok())?;
    let down: Vec<&str> =
        answers.iter().filter(|a| a.report.is_err()).map(|a| a.server.name.as_str()).collect();
    let without = if down.is_empty() { String::new() } else { format!(" without {}", down.join(", ")) };
    let (host, port) = host_and_port(&first.server.clients);
    Some(format!(
        "The herd is ready{without}; Ctrl-C stops it. Try: \
         printf 'IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\\n' | nc {host} {port}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::Process;
    use herd_core::status::{LinkReport, Report};

    fn herd() -> Herd {
        let server = |(name, port): (&str, u16)| Server {
            name: name.to_owned(),
            clients: format!("[::1]:{port}"),
            peers: format!("[::1]:{}", port + 1000),
            speaks: None,
        };
        let servers: Vec<Server> = [("A", 1), ("B", 2), ("C", 3)].map(server).to_vec();
        let links = [("A", "B"), ("B", "C")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let topology = Topology::new(servers.clone(), &links).expect("a valid topology");
        let credentials = Credentials::default();
        Herd { servers, topology, credentials, stop_limit: Duration::ZERO }
    }

    fn answer(herd: &Herd, name: &str, links: &[(&str, bool)]) -> Answer {
        let links = links
            .iter()
            .map(|&(name, up)| LinkReport { name: name.to_owned(), up, ..LinkReport::default() })
            .collect();
        let report = Report { name: name.to_owned(), pid: 7, links, ..Report::default() };
        Answer { server: herd.topology.server(name).expect("a server").clone(), report: Ok(report) }
    }

    fn silent(herd: &Herd, name: &str) -> Answer {
        Answer { report: Err(Absence::new(State::Vacant, "connection refused")), ..answer(herd, name, &[]) }
    }

    fn running(names: &[&str]) -> Running {
        let running = Running::default();
        let process = |&name: &&str| (name.to_owned(), Process { number: 7, has_answered: false });
        running.borrow_mut().extend(names.iter().map(process));
        running
    }

    #[test]
    fn a_herd_is_linked_when_all_that_run_are_linked_with_all_that_run() {
        let herd = herd();
        let a = || answer(&herd, "A", &[("B", true)]);
        let b = |up| answer(&herd, "B", &[("A", true), ("C", up)]);
        let c = || answer(&herd, "C", &[("B", true)]);
        let all = running(&["A", "B", "C"]);
        assert!(herd.is_linked(&[a(), b(true), c()], &all));
        assert!(!herd.is_linked(&[a(), b(false), c()], &all));
        assert!(!herd.is_linked(&[a(), b(true), silent(&herd, "C")], &all));
        assert!(herd.is_linked(&[a(), b(false), silent(&herd, "C")], &running(&["A", "B"])));
    }

    #[test]
    fn an_answer_of_another_process_is_none_of_ours() {
        let herd = herd();
        let ours = running(&["A", "B"]);
        ours.borrow_mut().get_mut("B").expect("B").number = 8;
        let mut answers = ["A", "B", "C"].map(|name| answer(&herd, name, &[]));
        for answer in &mut answers {
            note_answer(answer, &ours);
        }
        assert_eq!(answers.map(|answer| answer.report.is_ok()), [true, false, false]);
        assert!(ours.borrow()["A"].has_answered && !ours.borrow()["B"].has_answered);
    }

    #[test]
    fn the_announcement_is_a_table_and_a_line_to_copy() {
        let herd = herd();
        let answers = [
            answer(&herd, "A", &[("B", true)]),
            answer(&herd, "B", &[("A", true), ("C", false)]),
            silent(&herd, "C"),
        ];
        let expected = "\
SERVER  ADDRESS  NEIGHBOURS  LINKS UP
A       [::1]:1  B           1 of 1
B       [::1]:2  A, C        1 of 2
C       [::1]:3  B           down
The herd is ready without C; Ctrl-C stops it. Try: \
printf 'IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\\n' | nc ::1 1
";
        assert_eq!(herd.announcement(&answers), expected);
    }
}
