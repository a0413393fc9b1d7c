//! Rows 5, 6, 7 and 13: how long a client waits.

use std::io;
use std::time::Instant;

use super::{Comparison, cost, in_turns, people};
use crate::ask::{self, Asker};
use crate::herd::{CHAIN, FIVE, free_addresses};
use crate::load::{Failure, Until};
use crate::process::Process;
use crate::redis::Verb;
use crate::report::{Bound, Finding, median};
use crate::system::{Bench, CLIENTS, System};

/// Row 5.
pub fn unloaded(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.echo()?];
    cost::fill(&mut systems, CLIENTS)?;
    let mut loads = systems.iter().map(|system| system.load(1)).collect::<Result<Vec<_>, Failure>>()?;
    let medians = in_turns(bench.runs, systems.len(), |system| {
        loads[system].spin = true;
        Ok(loads[system].closed(1, Until::Time(bench.lasting))?.latency_us(50.0))
    })?;
    let latencies = Comparison::new("µs", &systems, medians);
    let what = "unloaded round trip, p50 against tokio echo";
    Ok(vec![latencies.ratio(5, what, "herd", "echo", Bound::AtMost(1.10))])
}

/// Row 6.
pub fn open_loop(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.echo()?];
    cost::fill(&mut systems, CLIENTS)?;
    let mut loads = systems.iter().map(|system| system.load(64)).collect::<Result<Vec<_>, Failure>>()?;
    let tallies = in_turns(bench.runs, systems.len(), |system| loads[system].open(40_000.0, bench.lasting))?;
    // The tails are those of the machine: of two runs, their ratio is 8 in one and an eighth in the other.
    let medians =
        tallies.iter().map(|runs| runs.iter().map(|tally| tally.latency_us(50.0)).collect()).collect();
    let latencies = Comparison::new("µs", &systems, medians);
    let what = "open loop, 40 thousand/s over 64 connections, p50 against tokio echo";
    Ok(vec![latencies.ratio(6, what, "herd", "echo", Bound::AtMost(1.15))])
}

/// Where updates are told and where they are looked for.
struct Chain {
    near: Asker,
    far: Asker,
    /// Whether the first server answers an update.
    answers: bool,
}

/// Row 7: in the default herd, where each update takes work of five servers on the one core that they have, and in three in
/// a row, who do what relays do.
pub fn two_hops(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let (five, three) = (bench.herd_with("herd", FIVE, &[])?, bench.herd_with("chain", CHAIN, &[])?);
    let (relays, first, last) = relays(bench)?;
    let chain = |near: &str, far: &str, answers| -> io::Result<Chain> {
        Ok(Chain { near: Asker::connect(near)?, far: Asker::connect(far)?, answers })
    };
    let (five_at, three_at) = (five.addresses(), three.addresses());
    // Welsh is the fourth of the default herd and the third of the row, two hops from Goloman.
    let mut chains = [
        chain(five_at[0], five_at[3], true)?,
        chain(three_at[0], three_at[2], true)?,
        chain(&first, &last, false)?,
    ];
    let updates = if bench.lasting.as_millis() < 1000 { 200 } else { 1000 };
    let medians = in_turns(bench.runs, chains.len(), |system| Ok(chains[system].median_us(updates)?))?;
    drop(relays);
    let systems = ["herd", "chain of three", "relays"].into_iter().zip(medians).collect();
    let latencies = Comparison { unit: "µs", systems };
    let what = "two flood hops, told to Goloman until seen at Welsh, p50 against raw relays";
    Ok(vec![
        latencies.ratio(7, what, "herd", "relays", Bound::AtMost(1.4)),
        latencies.ratio(
            7,
            "the same in a herd of three in a row, as the relays are",
            "chain of three",
            "relays",
            Bound::AtMost(1.4),
        ),
    ])
}

/// Three relays in a row, and the addresses of the first and the last.
fn relays(bench: &Bench) -> io::Result<(Vec<Process>, String, String)> {
    let addresses = free_addresses(3)?;
    let mut processes = Vec::new();
    for at in (0..3).rev() {
        let mut args = vec!["relay", &addresses[at]];
        args.extend(addresses.get(at + 1).map(String::as_str));
        processes.push(bench.own_server(&format!("relay {at}"), &args, &addresses[at])?);
    }
    Ok((processes, addresses[0].clone(), addresses[2].clone()))
}

impl Chain {
    /// The median time in microseconds until an update told at one end is seen at the other.
    fn median_us(&mut self, updates: usize) -> io::Result<f64> {
        self.once()?;
        let times = (0..updates).map(|_| self.once()).collect::<io::Result<Vec<f64>>>()?;
        Ok(median(&times).unwrap_or_default())
    }

    fn once(&mut self) -> io::Result<f64> {
        let time = ask::now();
        let start = Instant::now();
        self.near.say(format!("IAMAT hopper +34.068930-118.445127 {time}\n").as_bytes())?;
        let deadline = start + std::time::Duration::from_secs(10);
        while !self.seen(&time)? {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("an update was not seen two hops away: {time}")));
            }
        }
        let took = start.elapsed().as_secs_f64() * 1e6;
        if self.answers {
            let answer = self.near.line()?;
            if !answer.contains(&time) {
                return Err(io::Error::other(format!("wrong answer {answer:?} to the update of {time}")));
            }
        }
        Ok(took)
    }

    /// Asks the far end once.
    fn seen(&mut self, time: &str) -> io::Result<bool> {
        Ok(self.far.seek("hopper")?.is_some_and(|line| line.contains(time)))
    }
}

/// Row 13.
pub fn filling(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let rivals = if bench.redis.is_some() { 2 } else { 1 };
    let waits = in_turns(bench.runs, rivals, |system| {
        let mut fresh: System =
            if system == 0 { bench.herd_alone()? } else { bench.redis(Verb::Set, &[])? };
        let filling = fresh.fill(bench.million, 16)?;
        let again = Until::Commands(u64::from(bench.million) * ROUNDS);
        let going_on = fresh.load(16)?.closed(16, again)?;
        Ok([filling, going_on].map(|tally| tally.latency.max() as f64 / 1e6))
    })?;
    let longest = |phase: usize| {
        let waits = waits.iter().map(|runs| runs.iter().map(|phases| phases[phase]).collect());
        Comparison { unit: "ms", systems: ["herd", "SET"].into_iter().zip(waits).collect() }
    };
    let what = format!("longest wait while filling to {} clients, against SET", people(bench.million));
    let meanwhile = "the same while they report on, and herd writes a snapshot";
    Ok(vec![
        longest(0).ratio(13, &what, "herd", "SET", Bound::AtMost(1.0)),
        longest(1).ratio(13, meanwhile, "herd", "SET", Bound::None),
    ])
}

/// How many times each client reports on the average once all are known: more than herd takes for a snapshot.
const ROUNDS: u64 = 6;
