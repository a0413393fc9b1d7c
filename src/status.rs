//! `herd status`: asks every server how it is, and prints a table for people or JSON for programs.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::options::Status;
use crate::table::Table;
use crate::terminal;
use crate::topology::File;
use herd_actors::door::{self, Credentials, NoLink};
use herd_actors::net::Seams;
use herd_core::handshake::{Mismatch, Refusal};
use herd_core::limits::Limits;
use herd_core::status::Report;
use herd_core::topology::Server;
use serde_json::json;
use std::io::ErrorKind;
use std::time::Duration;

/// How long a server may take to say how it is. A busy one answers late; one that is stuck never does.
pub const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How long to wait before a server that hung up is asked again.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// What became of the question to one server of ours: its report, or why there is none.
pub struct Answer {
    /// Who was asked.
    pub server: Server,
    /// What it said.
    pub report: Result<Report, Absence>,
}

/// Why a server did not say how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absence {
    /// What that makes of it.
    pub state: State,
    /// The reason, in words.
    pub why: String,
}

/// How a server is that did not say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process has its address.
    Vacant,
    /// It cannot be reached, or whoever was there broke off.
    Down,
    /// It is there, and would not say, or is not the one that was to be asked.
    Refuses,
    /// Somebody is there and does not answer in time: a server that is busy, or stuck.
    Silent,
}

/// Asks all servers and prints what they say; a failure when any is down, or has no link to a neighbour that is up.
pub async fn run(file: &File, status: &Status) -> Result<(), Failure> {
    let servers = file.topology.servers();
    let (ours, strangers): (Vec<_>, Vec<_>) =
        servers.iter().cloned().partition(|server| server.speaks.is_none());
    let credentials = credentials::of_asker(servers, file.peer_tls(status.peer_tls.as_deref()))?;
    let answers = ask_all(&ours, &credentials, ASK_LIMIT).await;
    let strangers = stranger_statuses(strangers, &answers);
    terminal::show(&if status.json { json(&answers, &strangers) } else { table(&answers, &strangers) })?;
    let trouble = trouble(&file.topology.links(), &answers, &strangers);
    if trouble.is_empty() { Ok(()) } else { Err(Failure::Undone(trouble)) }
}

/// What its neighbours of ours say of a server of another make.
struct StrangerStatus {
    server: Server,
    /// Whether it answers any of them; `None` if none of them could be asked.
    answers: Option<bool>,
}

impl StrangerStatus {
    /// The word for how it is.
    fn state(&self) -> &'static str {
        match self.answers {
            Some(true) => "answers",
            Some(false) => "silent",
            None => "not asked",
        }
    }
}

fn stranger_statuses(strangers: Vec<Server>, answers: &[Answer]) -> Vec<StrangerStatus> {
    let sight = |server: Server| {
        let reports = answers.iter().filter_map(|answer| answer.report.as_ref().ok());
        let links = reports.flat_map(|report| &report.links).filter(|link| link.name == server.name);
        let answers = links.map(|link| link.up).reduce(|here, there| here || there);
        StrangerStatus { server, answers }
    };
    strangers.into_iter().map(sight).collect()
}

/// Asks each of the servers, all at once; the answers are in their order.
pub async fn ask_all(servers: &[Server], credentials: &Credentials, limit: Duration) -> Vec<Answer> {
    let asked: Vec<_> = servers
        .iter()
        .map(|server| (server, actix_rt::spawn(ask(server.clone(), credentials.clone(), limit))))
        .collect();
    let mut answers = Vec::new();
    for (server, answer) in asked {
        let report = answer.await.unwrap_or_else(|error| Err(Absence::new(State::Down, error.to_string())));
        answers.push(Answer { server: server.clone(), report });
    }
    answers
}

/// Asks a server, and asks again as long as there is time if it hangs up: where many call, a caller may have to leave
/// before it was heard.
async fn ask(server: Server, credentials: Credentials, limit: Duration) -> Result<Report, Absence> {
    let (seams, limits) = (Seams::real(), Limits::default());
    let mut last = Absence::late();
    let asking = async {
        loop {
            match door::ask_status(&seams, &server.peers, &server.name, &credentials, &limits).await {
                Err(error) if is_hung_up(&error) => last = Absence::from(&error),
                answer => return answer.map_err(|error| Absence::from(&error)),
            }
            tokio::time::sleep(ASK_PAUSE).await;
        }
    };
    let answer = tokio::time::timeout(limit, asking).await;
    answer.unwrap_or(Err(last))
}

/// Whether a server ended a conversation that it had begun.
fn is_hung_up(error: &NoLink) -> bool {
    let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    matches!(error, NoLink::Broken(error) if ends.contains(&error.kind()))
}

impl Absence {
    /// A state and the reason for it.
    pub fn new(state: State, why: impl Into<String>) -> Absence {
        Absence { state, why: why.into() }
    }

    /// No answer in time. Whose time is over first is chance, so it is not said.
    pub fn late() -> Absence {
        Absence::new(State::Silent, "no answer in time")
    }

    /// Says it of one server or of several.
    fn said(&self, are_many: bool) -> String {
        let verb = match (self.state, are_many) {
            (State::Refuses, false) => "refuses",
            (State::Refuses, true) => "refuse",
            (State::Vacant | State::Down, false) => "is down",
            (State::Vacant | State::Down, true) => "are down",
            (State::Silent, false) => "is silent",
            (State::Silent, true) => "are silent",
        };
        format!("{verb} ({})", self.why)
    }
}

impl From<&NoLink> for Absence {
    fn from(error: &NoLink) -> Absence {
        match error {
            NoLink::Unreachable(error) | NoLink::Broken(error) if error.kind() == ErrorKind::TimedOut => {
                Absence::late()
            }
            NoLink::Unreachable(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Absence::new(State::Vacant, reason(error))
            }
            NoLink::Unreachable(error) => Absence::new(State::Down, reason(error)),
            // What TLS does not like on either side, and no words of the operating system.
            NoLink::Broken(error) if error.get_ref().is_some() => Absence::new(State::Refuses, reason(error)),
            NoLink::Broken(error) => Absence::new(State::Down, format!("it broke off: {}", reason(error))),
            NoLink::Refused(refusal) => Absence::new(State::Refuses, seen_from_here(refusal)),
        }
    }
}

/// Says a refusal as it concerns whoever asks. The words of the handshake are for the logs of two servers, and this is none.
fn seen_from_here(refusal: &Refusal) -> String {
    let said = match refusal.mismatch {
        Some(Mismatch::MissingHere) => "HERD_SECRET is not set here: set it as it is there",
        Some(Mismatch::MissingThere) => "HERD_SECRET is set here and not there: unset it, or set it there",
        Some(Mismatch::Other) => "HERD_SECRET is another here: set it as it is there",
        None if refusal.is_of_older() => {
            "its program is older and does not know what it is asked: ask another, or replace it"
        }
        None => return refusal.to_string(),
    };
    said.to_owned()
}

impl State {
    /// The word for it in a table.
    pub fn word(self) -> &'static str {
        match self {
            State::Vacant | State::Down => "down",
            State::Refuses => "refuses",
            State::Silent => "silent",
        }
    }
}

/// The word for how a server is.
fn state(report: &Result<Report, Absence>) -> &'static str {
    report.as_ref().map_or_else(|absence| absence.state.word(), |_| "up")
}

fn table(answers: &[Answer], strangers: &[StrangerStatus]) -> String {
    let mut table = Table::new(&["SERVER", "STATE", "LINKS UP", "CLIENTS", "SECONDS UP", "VERSION"]);
    for Answer { server, report } in answers {
        let mut row = vec![server.name.clone(), state(report).to_owned()];
        if let Ok(report) = report {
            row.extend([
                links_up(report),
                report.clients_known.to_string(),
                report.uptime_s.to_string(),
                report.version.escape_debug().to_string(),
            ]);
        }
        table.row(row);
    }
    for status in strangers {
        let Server { name, speaks, .. } = &status.server;
        let speaks = speaks.map(|dialect| format!("speaks {dialect}")).unwrap_or_default();
        table.row(vec![name.clone(), status.state().to_owned(), speaks]);
    }
    table.print()
}

/// Tells how many of a server's links are up.
pub fn links_up(report: &Report) -> String {
    format!("{} of {}", report.links_up(), report.links.len())
}

/// Says which servers did not say how they are and why, and which of the others have no link, or know of none that the
/// topology has; nothing when all is well.
fn trouble(links: &[(&str, &str)], answers: &[Answer], strangers: &[StrangerStatus]) -> String {
    let silent = |StrangerStatus { server, answers }: &StrangerStatus| {
        (*answers == Some(false)).then(|| format!("{} at {} does not answer", server.name, server.clients))
    };
    let unlinked = unlinked(answers).into_iter().map(|(one, other)| format!("{one} has no link to {other}"));
    let beside: Vec<String> = unlinked.chain(strangers.iter().filter_map(silent)).collect();
    let unheard = links.iter().filter(|&&link| is_unheard_of(link, answers));
    let unheard = unheard
        .map(|(one, other)| format!("{one} and {other} know of no link between them: start them anew"));
    let absent = answers.iter().filter_map(|answer| Some((&answer.server, answer.report.as_ref().err()?)));
    let absent: Vec<(&Server, &Absence)> = absent.collect();
    let is_vacant =
        |answer: &Answer| answer.report.as_ref().is_err_and(|absence| absence.state == State::Vacant);
    let advice = if answers.iter().all(is_vacant) {
        "; start them with herd up"
    } else if beside.is_empty() && absent.iter().all(|(_, absence)| absence.state == State::Refuses) {
        // What is said says itself what to do, or nothing is wrong.
        ""
    } else {
        "; see their logs"
    };
    let trouble: Vec<String> = unheard.chain(absences(absent.into_iter())).chain(beside).collect();
    if trouble.is_empty() { String::new() } else { trouble.join("; ") + advice }
}

/// Names the servers that did not say how they are, those with the same reason together.
pub fn absences<'a>(absent: impl Iterator<Item = (&'a Server, &'a Absence)>) -> Vec<String> {
    let mut groups: Vec<(&Absence, Vec<String>)> = Vec::new();
    for (server, absence) in absent {
        let place = format!("{} at {}", server.name, server.peers);
        match groups.iter_mut().find(|(other, _)| *other == absence) {
            Some((_, names)) => names.push(place),
            None => groups.push((absence, vec![place])),
        }
    }
    let said = |(absence, names): (&Absence, Vec<String>)| {
        format!("{} {}", names.join(", "), absence.said(names.len() > 1))
    };
    groups.into_iter().map(said).collect()
}

/// The pairs of servers that are up and of which one says that its link to the other is not, each pair once. A link to a
/// server that is down is no trouble of its own.
fn unlinked(answers: &[Answer]) -> Vec<(&str, &str)> {
    let reports: Vec<(&str, &Report)> = answers
        .iter()
        .filter_map(|Answer { server, report }| Some((server.name.as_str(), report.as_ref().ok()?)))
        .collect();
    let misses = |report: &Report, name: &str| report.links.iter().any(|link| !link.up && link.name == name);
    let mut pairs = Vec::new();
    for (place, &(one, its)) in reports.iter().enumerate() {
        let later = reports[place + 1..].iter();
        let apart = later.filter(|&&(other, theirs)| misses(its, other) || misses(theirs, one));
        pairs.extend(apart.map(|&(other, _)| (one, other)));
    }
    pairs
}

/// Whether both ends of a link of the topology are up and neither knows of it: they were started with another file.
fn is_unheard_of((one, other): (&str, &str), answers: &[Answer]) -> bool {
    let misses = |name: &str, neighbour: &str| {
        let answer = answers.iter().find(|answer| answer.server.name == name);
        let report = answer.and_then(|answer| answer.report.as_ref().ok());
        report.is_some_and(|report| report.links.iter().all(|link| link.name != neighbour))
    };
    misses(one, other) && misses(other, one)
}

fn json(answers: &[Answer], strangers: &[StrangerStatus]) -> String {
    let server = |Answer { server, report }: &Answer| {
        let Server { name, clients, peers, .. } = server;
        let state = state(report);
        match report {
            Ok(report) => {
                json!({"name": name, "up": true, "state": state, "clients": clients, "peers": peers, "report": report})
            }
            Err(Absence { why, .. }) => {
                json!({"name": name, "up": false, "state": state, "clients": clients, "peers": peers, "error": why})
            }
        }
    };
    let stranger = |status: &StrangerStatus| {
        let Server { name, clients, speaks, .. } = &status.server;
        let (up, state) = (status.answers, status.state());
        json!({"name": name, "up": up, "state": state, "clients": clients, "speaks": speaks})
    };
    let servers: Vec<_> = answers.iter().map(server).chain(strangers.iter().map(stranger)).collect();
    format!("{}\n", json!({"servers": servers}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use herd_core::dialect::Dialect;
    use herd_core::handshake::{Acceptor, Dialler, Hello, Purpose, Secret};
    use herd_core::status::LinkReport;
    use std::io;

    fn server(name: &str, port: u16) -> Server {
        let (clients, peers) = (format!("h:{port}"), format!("h:{}", port + 1000));
        Server { name: name.to_owned(), clients, peers, speaks: None }
    }

    fn up(name: &str, port: u16) -> Answer {
        let links = [("Hands", true), ("Wilkes", false)];
        let links = links
            .map(|(name, up)| LinkReport { name: name.to_owned(), up, ..LinkReport::default() })
            .to_vec();
        let report = Report {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            pid: 7,
            clients_known: 12,
            records_expired: 5,
            records_late: 3,
            uptime_s: 3600,
            panics: 2,
            certificate_days: Some(80),
            links,
        };
        Answer { server: server(name, port), report: Ok(report) }
    }

    fn dead(name: &str, port: u16) -> Answer {
        absent(name, port, State::Vacant, "connection refused")
    }

    fn absent(name: &str, port: u16, state: State, why: &str) -> Answer {
        Answer { server: server(name, port), report: Err(Absence::new(state, why)) }
    }

    #[test]
    fn the_table_tells_who_is_up_and_how() {
        let expected = "\
SERVER   STATE  LINKS UP  CLIENTS  SECONDS UP  VERSION
Goloman  up     1 of 2    12       3600        0.1.0
Hands    down
";
        assert_eq!(table(&[up("Goloman", 1), dead("Hands", 2)], &[]), expected);
    }

    #[test]
    fn servers_that_are_down_are_named_in_one_line() {
        assert_eq!(trouble(&[], &[up("A", 1)], &[]), "");
        let one = "B at h:1002 is down (connection refused); see their logs";
        assert_eq!(trouble(&[], &[up("A", 1), dead("B", 2)], &[]), one);
        let all = "A at h:1001, B at h:1002 are down (connection refused); start them with herd up";
        assert_eq!(trouble(&[], &[dead("A", 1), dead("B", 2)], &[]), all);
    }

    /// All were called down that would not talk to a stranger, each with the same words, and those that were stuck.
    #[test]
    fn a_server_that_refuses_or_is_silent_is_not_called_down_and_each_reason_is_said_once() {
        let refuses = |name, port| absent(name, port, State::Refuses, "HERD_SECRET is not set here: set it");
        let answers = [refuses("A", 1), refuses("B", 2)];
        let expected = "A at h:1001, B at h:1002 refuse (HERD_SECRET is not set here: set it)";
        assert_eq!(trouble(&[], &answers, &[]), expected);
        let answers = [refuses("A", 1), absent("B", 2, State::Silent, "no answer in time"), refuses("C", 3)];
        let expected = "A at h:1001, C at h:1003 refuse (HERD_SECRET is not set here: set it); \
                        B at h:1002 is silent (no answer in time); see their logs";
        assert_eq!(trouble(&[], &answers, &[]), expected);
        let expected = "\
SERVER  STATE    LINKS UP  CLIENTS  SECONDS UP  VERSION
A       refuses
B       silent
C       refuses
";
        assert_eq!(table(&answers, &[]), expected);
    }

    /// What an asker with one secret is told who asks a server with another.
    fn refusal(here: &str, there: &str) -> Absence {
        let secret = |text: &str| Secret::new(text.as_bytes());
        let hello = Hello { purpose: Purpose::Status, from: "-".to_owned(), to: "A".to_owned() };
        let (dialler, line) = Dialler::new(&hello, secret(here), 1);
        let (_, answer) = Acceptor::greeted(line.trim_end(), secret(there), 2).expect("a challenge");
        Absence::from(&NoLink::Refused(
            dialler.challenged(answer.trim_end()).map(drop).expect_err("a refusal"),
        ))
    }

    #[test]
    fn what_is_wrong_with_a_secret_or_a_version_is_said_as_the_asker_sees_it() {
        for (here, there, why) in [
            ("", "b", "HERD_SECRET is not set here: set it as it is there"),
            ("a", "", "HERD_SECRET is set here and not there: unset it, or set it there"),
            ("a", "b", "HERD_SECRET is another here: set it as it is there"),
        ] {
            assert_eq!(refusal(here, there), Absence::new(State::Refuses, why));
        }
        let reason = "a connection is for link or status";
        let older = NoLink::Refused(Refusal { is_theirs: true, ..Refusal::new(reason) });
        assert!(Absence::from(&older).why.starts_with("its program is older"), "it knows no listings");
        let full = NoLink::Refused(Refusal { is_theirs: true, ..Refusal::new("we are full") });
        assert_eq!(Absence::from(&full), Absence::new(State::Refuses, "refused there: \"we are full\""));
    }

    #[test]
    fn what_went_wrong_on_the_way_tells_how_a_server_is() {
        let state = |failure: NoLink| Absence::from(&failure).state;
        let words = |kind: ErrorKind| io::Error::from(kind);
        assert_eq!(state(NoLink::Unreachable(words(ErrorKind::ConnectionRefused))), State::Vacant);
        assert_eq!(state(NoLink::Unreachable(words(ErrorKind::HostUnreachable))), State::Down);
        assert_eq!(state(NoLink::Unreachable(words(ErrorKind::TimedOut))), State::Silent);
        assert_eq!(state(NoLink::Broken(words(ErrorKind::UnexpectedEof))), State::Down);
        assert_eq!(state(NoLink::Broken(words(ErrorKind::TimedOut))), State::Silent);
        assert_eq!(state(NoLink::Broken(io::Error::other("no TLS is spoken there"))), State::Refuses);
    }

    /// All were up, none knew of the others, and the exit code was 0.
    #[test]
    fn servers_that_are_up_and_have_no_link_are_named_once_a_pair() {
        let linked = |name: &str, links: &[(&str, bool)]| {
            let links = links.iter().map(|&(name, up)| LinkReport {
                name: name.to_owned(),
                up,
                ..LinkReport::default()
            });
            let report = Report { name: name.to_owned(), links: links.collect(), ..Report::default() };
            Answer { server: server(name, 1), report: Ok(report) }
        };
        let a = || linked("A", &[("B", false), ("C", true), ("D", false), ("P", false)]);
        let b = linked("B", &[("A", false)]);
        let c = linked("C", &[("A", true)]);
        assert_eq!(trouble(&[], &[a(), b, c], &[]), "A has no link to B; see their logs");
        // B was started with a file that does not name A, and D is down.
        let answers = [linked("B", &[]), a(), dead("D", 4)];
        let expected = "D at h:1004 is down (connection refused); B has no link to A; see their logs";
        assert_eq!(trouble(&[], &answers, &[]), expected);
    }

    /// Two servers that were not started anew after a link of theirs was put into the file were well.
    #[test]
    fn a_link_of_the_topology_of_which_neither_end_knows_is_named() {
        let knows = |name: &str, neighbour: Option<&str>| {
            let link = |name: &str| LinkReport { name: name.to_owned(), up: true, ..LinkReport::default() };
            let links = neighbour.map(link).into_iter().collect();
            Answer { server: server(name, 1), report: Ok(Report { links, ..Report::default() }) }
        };
        // P is of another make, and D is down.
        let answers = [knows("A", None), knows("B", None), knows("C", Some("A")), dead("D", 4)];
        let said = |links: &[(&str, &str)]| trouble(links, &answers[..3], &[]);
        assert_eq!(said(&[("A", "C"), ("A", "D"), ("A", "P")]), "");
        let expected = "A and B know of no link between them: start them anew";
        assert_eq!(said(&[("A", "B"), ("A", "C")]), expected);
        let down = "D at h:1004 is down (connection refused); see their logs";
        assert_eq!(trouble(&[("A", "B"), ("A", "D")], &answers, &[]), format!("{expected}; {down}"));
    }

    #[test]
    fn json_says_the_same_to_programs() {
        let said: serde_json::Value =
            serde_json::from_str(&json(&[up("A", 1), dead("B", 2)], &[])).expect("JSON");
        let links = json!([{"name": "Hands", "up": true}, {"name": "Wilkes", "up": false}]);
        let report = json!({"name": "A", "version": "0.1.0", "pid": 7, "clients_known": 12, "records_expired": 5,
            "records_late": 3, "uptime_s": 3600, "panics": 2, "certificate_days": 80,
            "links": links});
        let expected = json!({"servers": [
            {"name": "A", "up": true, "state": "up", "clients": "h:1", "peers": "h:1001", "report": report},
            {"name": "B", "up": false, "state": "down", "clients": "h:2", "peers": "h:1002",
                "error": "connection refused"},
        ]});
        assert_eq!(said, expected);
    }

    #[test]
    fn servers_of_another_make_are_shown_as_their_neighbours_see_them() {
        let stranger =
            |name: &str| Server { speaks: Some(Dialect::Trail), peers: String::new(), ..server(name, 9) };
        let strangers = ["Hands", "Wilkes", "Welsh"].map(stranger).to_vec();
        let answers = [up("Goloman", 1)];
        let statuses = stranger_statuses(strangers, &answers);
        let expected = "\
SERVER   STATE      LINKS UP      CLIENTS  SECONDS UP  VERSION
Goloman  up         1 of 2        12       3600        0.1.0
Hands    answers    speaks trail
Wilkes   silent     speaks trail
Welsh    not asked  speaks trail
";
        assert_eq!(table(&answers, &statuses), expected);
        assert_eq!(trouble(&[], &answers, &statuses), "Wilkes at h:9 does not answer; see their logs");
        let said: serde_json::Value = serde_json::from_str(&json(&[], &statuses[..1])).expect("JSON");
        let hands =
            json!({"name": "Hands", "up": true, "state": "answers", "clients": "h:9", "speaks": "trail"});
        assert_eq!(said, json!({"servers": [hands]}));
    }
}
