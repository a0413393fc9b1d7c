//! Rows 11 and 12: what a client takes in memory, and how fast a server that was away learns of all.

use std::time::{Duration, Instant};

use super::cost::UUIDS;
use super::{Comparison, in_turns, people};
use crate::crowd::{Crowd, Order};
use crate::herd::{Herd, PAIR};
use crate::load::{Failure, Load, Until};
use crate::process::Process;
use crate::redis::Verb;
use crate::report::{Bound, Finding, figure};
use crate::speech::{Iamat, UUID_PREFIX};
use crate::system::{Bench, System};

/// How long a server may take to learn of a million clients.
const LEARN_MAX: Duration = Duration::from_secs(120);

/// Row 11.
pub fn resident(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let systems = if bench.redis.is_some() { 3 } else { 2 };
    let bytes = in_turns(bench.runs, systems, |system| {
        let mut fresh: System =
            if system == 2 { bench.redis(Verb::Set, &[])? } else { bench.herd_alone()? };
        fresh.prefix = if system == 1 { UUID_PREFIX } else { b"" };
        let before = fresh.resident()?;
        fresh.fill(bench.million, 64)?;
        fresh.settle()?;
        Ok(fresh.resident()?.saturating_sub(before) as f64 / f64::from(bench.million))
    })?;
    let systems = ["herd", UUIDS, "SET"].into_iter().zip(bytes).collect();
    let sizes = Comparison { unit: "B", systems };
    let of = |label| sizes.of(label).unwrap_or_default().to_vec();
    let what = format!("resident bytes per client at {}", people(bench.million));
    Ok(vec![
        Finding::new(11, &what, of("herd"), "B", Bound::AtMost(96.0)),
        sizes.ratio(11, "the same against Redis SET", "herd", "SET", Bound::AtMost(0.65)),
        Finding::new(11, "the same with client IDs of 36 bytes", of(UUIDS), "B", Bound::None),
    ])
}

/// Row 12.
pub fn receiving(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let learned = (0..bench.runs).map(|_| learn(bench)).collect::<Result<Vec<_>, Failure>>()?;
    let (rates, walls): (Vec<f64>, Vec<f64>) = learned.into_iter().unzip();
    let what =
        format!("{} records into an empty server, per CPU second of that server", people(bench.million));
    let slowest = walls.into_iter().fold(0.0, f64::max);
    let note = format!("the slowest of the runs took {}", figure(slowest, "s"));
    let finding = Finding::new(12, what, rates, "million/s", Bound::AtLeast(2.0)).noted(note);
    Ok(vec![finding])
}

/// Millions of records learned per CPU second, and the seconds from the start of the server to the last record.
fn learn(bench: &Bench) -> Result<(f64, f64), Failure> {
    let mut herd = Herd::plan(&bench.herd, PAIR, bench.directory("pair")?, None)?;
    // The one that knows shares the generator's core: the generator is done by the time it tells.
    herd.start_server(0, bench.cores.load, bench.cores)?;
    let (address, name) = (herd.address().to_owned(), herd.name());
    crate::herd::await_address(&address, &mut herd.processes, Instant::now() + LEARN_MAX)?;
    let speech = Box::new(Iamat::new(name, Crowd::new(bench.million, Order::InTurn)));
    let clients = u64::from(bench.million);
    Load::connect(&address, 16, speech)?.closed(64, Until::Commands(clients))?;
    let start = Instant::now();
    herd.start_server(1, bench.cores.server, bench.cores)?;
    while herd.clients_known(1)? < clients {
        if start.elapsed() > LEARN_MAX {
            return Err(
                std::io::Error::other(format!("not all clients were learned in {LEARN_MAX:?}")).into()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let wall = start.elapsed().as_secs_f64();
    let cpu = herd.processes.last().map(Process::cpu).transpose()?.unwrap_or_default();
    Ok((clients as f64 / 1e6 / cpu.as_secs_f64(), wall))
}
