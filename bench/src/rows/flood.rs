//! Rows 8 to 10: what it takes until all servers know an update.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Comparison, cost, in_turns};
use crate::ask;
use crate::herd::{self, FIVE, Herd, Layout, free_addresses};
use crate::load::{Failure, Tally, Until};
use crate::process::Process;
use crate::report::{Bound, Finding};
use crate::system::{Bench, CLIENTS, Measure, System};
use crate::tap::Crossed;

/// Clients that are compared on all servers after a run.
const SAMPLE: usize = 20;

/// Commands of one run against the naive herd, whose queues have no bounds.
const NAIVE_COMMANDS: u64 = 20_000;

/// Row 8.
pub fn payloads(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let crossed = Arc::new(Crossed::default());
    let mut herd = Herd::plan(&bench.herd, FIVE, bench.directory("tapped")?, Some(&crossed))?;
    herd.start_all(bench.cores)?;
    let system = System::of_herd("herd", herd);
    let mut load = system.load(64)?;
    let mut run = || -> Result<[f64; 2], Failure> {
        system.settle()?;
        let before = crossed.read();
        let commands = load.open(5000.0, bench.lasting)?.commands + 1;
        all_know(&system)?;
        system.settle()?;
        let after = crossed.read();
        let each = |after: u64, before: u64| (after - before) as f64 / commands as f64;
        Ok([each(after.2, before.2), each(after.0, before.0)])
    };
    run()?;
    let runs = (0..bench.runs).map(|_| run()).collect::<Result<Vec<_>, Failure>>()?;
    let payloads: Vec<f64> = runs.iter().map(|run| run[0]).collect();
    let most = payloads.iter().copied().fold(0.0, f64::max);
    let bytes = runs.iter().map(|run| run[1]).collect();
    let what = "update payloads on the wire per client update, five servers";
    Ok(vec![
        Finding::new(8, what, payloads, "", Bound::AtMost(4.0)),
        Finding::new(8, "the most of any run", vec![most], "", Bound::AtMost(8.0)),
        Finding::new(8, "bytes of all kinds on all links per client update", bytes, "B", Bound::None),
    ])
}

/// Row 9.
pub fn whole_herd(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_with("herd of five", FIVE, &[])?, bench.herd_alone()?, naive(bench)?];
    cost::fill(&mut systems[..2], CLIENTS)?;
    let mut loads = systems.iter().map(|system| system.load(16)).collect::<Result<Vec<_>, Failure>>()?;
    let measures = in_turns(bench.runs, systems.len(), |at| {
        let until = if at == 2 { Until::Commands(NAIVE_COMMANDS) } else { Until::Time(bench.lasting) };
        until_all_know(&systems[at], || loads[at].closed(16, until))
    })?;
    samples(&systems[0])?;
    let costs = Comparison::new("µs", &systems, costs(&measures));
    Ok(vec![
        costs.ratio(
            9,
            "cost of the whole herd, 16×16 into one server, against that server alone",
            "herd of five",
            "herd",
            Bound::AtMost(5.0),
        ),
        costs.ratio(
            9,
            "one message and one write per update and neighbour, against the whole herd",
            "naive herd",
            "herd of five",
            Bound::AtLeast(12.0),
        ),
    ])
}

/// Row 10.
pub fn paced(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_with("herd of five", FIVE, &[])?, bench.herd_alone()?];
    cost::fill(&mut systems, CLIENTS)?;
    let mut loads = systems.iter().map(|system| system.load(64)).collect::<Result<Vec<_>, Failure>>()?;
    let measures = in_turns(bench.runs, systems.len(), |at| {
        until_all_know(&systems[at], || loads[at].open(20_000.0, bench.lasting))
    })?;
    samples(&systems[0])?;
    let costs = Comparison::new("µs", &systems, costs(&measures));
    let what = "cost of the whole herd at 20 thousand updates/s, against the same without replication";
    Ok(vec![costs.ratio(10, what, "herd of five", "herd", Bound::AtMost(2.0))])
}

fn costs(measures: &[Vec<Measure>]) -> Vec<Vec<f64>> {
    measures.iter().map(|runs| runs.iter().map(Measure::cost_us).collect()).collect()
}

/// Measures a run up to the moment when every server knows all of it and has nothing left to do.
fn until_all_know(system: &System, run: impl FnOnce() -> Result<Tally, Failure>) -> Result<Measure, Failure> {
    system.measure(|| {
        let tally = run()?;
        all_know(system)?;
        system.settle()?;
        Ok(tally)
    })
}

/// Waits until every server of a herd knows what was told last.
fn all_know(system: &System) -> io::Result<()> {
    match system.herd() {
        Some(herd) => ask::mark(&herd.addresses()),
        None => Ok(()),
    }
}

/// Checks that the servers agree on some of the clients.
fn samples(system: &System) -> io::Result<()> {
    let Some(herd) = system.herd() else { return Ok(()) };
    let clients = (0..SAMPLE).map(|number| format!("k{:06}.ucla.edu", number * 4999));
    ask::agree(&herd.addresses(), clients)
}

/// Five servers of the naive herd, linked as the default herd is.
fn naive(bench: &Bench) -> io::Result<System> {
    let Layout { servers, links } = FIVE;
    let addresses = free_addresses(servers.len() * 2)?;
    let peers_of = |name: &str| {
        let at = servers.iter().position(|server| *server == name).unwrap_or_default();
        addresses[at * 2 + 1].as_str()
    };
    let mut processes: Vec<Process> = Vec::new();
    for (at, name) in servers.iter().enumerate() {
        let mut command = Command::new(&bench.own);
        let own = links.iter().filter(|(from, to)| from == name || to == name).count().to_string();
        command.args(["naive", name, &addresses[at * 2], &addresses[at * 2 + 1], &own]);
        command.args(links.iter().filter(|(from, _)| from == name).map(|(_, to)| peers_of(to)));
        let directory = bench.directory("naive")?;
        processes.push(Process::start(name, &mut command, bench.cores, &directory)?);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let clients: Vec<&str> = addresses.iter().step_by(2).map(String::as_str).collect();
    for address in &clients {
        herd::await_address(address, &mut processes, deadline)?;
    }
    ask::mark(&clients)?;
    Ok(System::of_processes("naive herd", "Goloman", addresses[0].clone(), processes))
}
