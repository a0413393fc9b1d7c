//! `herd status`: asks every server how it is, and prints a table for people or JSON for programs.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::options::Status;
use crate::table::Table;
use crate::terminal;
use crate::topology::File;
use herd_actors::door::{self, Credentials, NoLink};
use herd_actors::net::Seams;
use herd_core::limits::Limits;
use herd_core::status::Report;
use herd_core::topology::Server;
use serde_json::json;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// How long a server may take to say how it is. A busy one answers late; one that is stuck never does.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// How long to wait before a server that hung up is asked again.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// What became of the question to one server of ours: its report, or why there is none.
pub struct Answer {
    /// Who was asked.
    pub server: Server,
    /// What it said.
    pub report: Result<Report, String>,
}

/// Asks all servers and prints what they say; a failure when any is down, or has no link to a neighbour that is up.
pub async fn run(file: &File, status: &Status) -> Result<(), Failure> {
    let (ours, strangers): (Vec<_>, Vec<_>) =
        file.topology.servers().iter().cloned().partition(|server| server.speaks.is_none());
    let peer_tls = status.peer_tls.as_ref().or(file.settings.peer_tls.as_ref());
    let credentials = credentials::of_asker(&ours, peer_tls.map(PathBuf::as_path))?;
    let answers = ask_all(&ours, &credentials, ASK_LIMIT).await;
    let strangers = sightings(strangers, &answers);
    terminal::show(&if status.json { json(&answers, &strangers) } else { table(&answers, &strangers) })?;
    let trouble = trouble(&answers, &strangers);
    if trouble.is_empty() { Ok(()) } else { Err(Failure::Undone(trouble)) }
}

/// What its neighbours of ours say of a server of another make.
struct Sighting {
    server: Server,
    /// Whether it answers any of them; `None` if none of them could be asked.
    answers: Option<bool>,
}

fn sightings(strangers: Vec<Server>, answers: &[Answer]) -> Vec<Sighting> {
    let sight = |server: Server| {
        let reports = answers.iter().filter_map(|answer| answer.report.as_ref().ok());
        let links = reports.flat_map(|report| &report.links).filter(|link| link.name == server.name);
        let answers = links.map(|link| link.up).reduce(|here, there| here || there);
        Sighting { server, answers }
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
        let report = answer.await.unwrap_or_else(|error| Err(error.to_string()));
        answers.push(Answer { server: server.clone(), report });
    }
    answers
}

/// Asks a server, and asks again as long as there is time if it hangs up: where many call, a caller may have to leave
/// before it was heard.
async fn ask(server: Server, credentials: Credentials, limit: Duration) -> Result<Report, String> {
    let (seams, limits) = (Seams::real(), Limits::default());
    let mut last = format!("no answer within {} ms", limit.as_millis());
    let asking = async {
        loop {
            match door::ask_status(&seams, &server.peers, &server.name, &credentials, &limits).await {
                Err(error) if is_hung_up(&error) => last = why(&error),
                answer => return answer.map_err(|error| why(&error)),
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

fn why(error: &NoLink) -> String {
    match error {
        NoLink::Unreachable(error) => reason(error),
        NoLink::Broken(error) => format!("it broke off: {}", reason(error)),
        NoLink::Refused(refusal) => refusal.to_string(),
    }
}

fn table(answers: &[Answer], strangers: &[Sighting]) -> String {
    let mut table = Table::new(&["SERVER", "STATE", "LINKS UP", "CLIENTS", "SECONDS UP", "VERSION"]);
    for Answer { server, report } in answers {
        let mut row = vec![server.name.clone()];
        match report {
            Ok(report) => row.extend([
                "up".to_owned(),
                links_up(report),
                report.clients_known.to_string(),
                report.uptime_s.to_string(),
                report.version.escape_debug().to_string(),
            ]),
            Err(_) => row.push("down".to_owned()),
        }
        table.row(row);
    }
    for Sighting { server, answers } in strangers {
        let state = match answers {
            Some(true) => "answers",
            Some(false) => "silent",
            None => "not asked",
        };
        let speaks = server.speaks.map(|dialect| format!("speaks {dialect}")).unwrap_or_default();
        table.row(vec![server.name.clone(), state.to_owned(), speaks]);
    }
    table.print()
}

/// Tells how many of a server's links are up.
pub fn links_up(report: &Report) -> String {
    format!("{} of {}", report.links_up(), report.links.len())
}

/// Says which servers are down and why, and which of the others have no link; nothing when all is well.
fn trouble(answers: &[Answer], strangers: &[Sighting]) -> String {
    let why = |Answer { server, report }: &Answer| {
        let error = report.as_ref().err()?;
        Some(format!("{} at {} is down ({error})", server.name, server.peers))
    };
    let silent = |Sighting { server, answers }: &Sighting| {
        (*answers == Some(false)).then(|| format!("{} at {} does not answer", server.name, server.clients))
    };
    let unlinked = unlinked(answers).into_iter().map(|(one, other)| format!("{one} has no link to {other}"));
    let trouble: Vec<String> =
        answers.iter().filter_map(why).chain(unlinked).chain(strangers.iter().filter_map(silent)).collect();
    let nobody_is_there = |answer: &Answer| answer.report.as_ref().is_err_and(|error| error == REFUSED);
    match trouble.join(", ") {
        none if none.is_empty() => none,
        all if answers.iter().all(nobody_is_there) => format!("{all}; start them with herd up"),
        some => format!("{some}; see their logs"),
    }
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

/// What the operating system says when no process has the address.
const REFUSED: &str = "connection refused";

fn json(answers: &[Answer], strangers: &[Sighting]) -> String {
    let server = |Answer { server, report }: &Answer| {
        let Server { name, clients, peers, .. } = server;
        match report {
            Ok(report) => {
                json!({"name": name, "up": true, "clients": clients, "peers": peers, "report": report})
            }
            Err(error) => {
                json!({"name": name, "up": false, "clients": clients, "peers": peers, "error": error})
            }
        }
    };
    let stranger = |Sighting { server, answers }: &Sighting| {
        let Server { name, clients, speaks, .. } = server;
        json!({"name": name, "up": answers, "clients": clients, "speaks": speaks})
    };
    let servers: Vec<_> = answers.iter().map(server).chain(strangers.iter().map(stranger)).collect();
    format!("{}\n", json!({"servers": servers}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use herd_core::dialect::Dialect;
    use herd_core::status::LinkReport;

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
            links,
        };
        Answer { server: server(name, port), report: Ok(report) }
    }

    fn dead(name: &str, port: u16) -> Answer {
        Answer { server: server(name, port), report: Err("connection refused".to_owned()) }
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
        assert_eq!(trouble(&[up("A", 1)], &[]), "");
        let one = "B at h:1002 is down (connection refused); see their logs";
        assert_eq!(trouble(&[up("A", 1), dead("B", 2)], &[]), one);
        let all = "A at h:1001 is down (connection refused), B at h:1002 is down (connection refused); \
                   start them with herd up";
        assert_eq!(trouble(&[dead("A", 1), dead("B", 2)], &[]), all);
        let unwilling = Answer { report: Err("refused here: \"why\"".to_owned()), ..dead("A", 1) };
        assert_eq!(trouble(&[unwilling], &[]), "A at h:1001 is down (refused here: \"why\"); see their logs");
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
        assert_eq!(trouble(&[a(), b, c], &[]), "A has no link to B; see their logs");
        // B was started with a file that does not name A, and D is down.
        let answers = [linked("B", &[]), a(), dead("D", 4)];
        let expected = "D at h:1004 is down (connection refused), B has no link to A; see their logs";
        assert_eq!(trouble(&answers, &[]), expected);
    }

    #[test]
    fn json_says_the_same_to_programs() {
        let said: serde_json::Value =
            serde_json::from_str(&json(&[up("A", 1), dead("B", 2)], &[])).expect("JSON");
        let links = json!([{"name": "Hands", "up": true}, {"name": "Wilkes", "up": false}]);
        let report = json!({"name": "A", "version": "0.1.0", "pid": 7, "clients_known": 12, "records_expired": 5,
            "records_late": 3, "uptime_s": 3600, "panics": 2, "links": links});
        let expected = json!({"servers": [
            {"name": "A", "up": true, "clients": "h:1", "peers": "h:1001", "report": report},
            {"name": "B", "up": false, "clients": "h:2", "peers": "h:1002", "error": "connection refused"},
        ]});
        assert_eq!(said, expected);
    }

    #[test]
    fn servers_of_another_make_are_shown_as_their_neighbours_see_them() {
        let stranger =
            |name: &str| Server { speaks: Some(Dialect::Trail), peers: String::new(), ..server(name, 9) };
        let strangers = ["Hands", "Wilkes", "Welsh"].map(stranger).to_vec();
        let answers = [up("Goloman", 1)];
        let sightings = sightings(strangers, &answers);
        let expected = "\
SERVER   STATE      LINKS UP      CLIENTS  SECONDS UP  VERSION
Goloman  up         1 of 2        12       3600        0.1.0
Hands    answers    speaks trail
Wilkes   silent     speaks trail
Welsh    not asked  speaks trail
";
        assert_eq!(table(&answers, &sightings), expected);
        assert_eq!(trouble(&answers, &sightings), "Wilkes at h:9 does not answer; see their logs");
        let said: serde_json::Value = serde_json::from_str(&json(&[], &sightings[..1])).expect("JSON");
        let hands = json!({"name": "Hands", "up": true, "clients": "h:9", "speaks": "trail"});
        assert_eq!(said, json!({"servers": [hands]}));
    }
}
