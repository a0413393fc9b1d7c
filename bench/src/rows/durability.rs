//! Rows 15 and 16: what it costs to forget nothing, and what more cores bring.

use super::{Comparison, closed, closed_costs, cost};
use crate::herd::ALONE;
use crate::load::Failure;
use crate::redis::Verb;
use crate::report::{Bound, Finding};
use crate::system::{Bench, CLIENTS, Measure};

/// Row 15.
pub fn durability(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    Ok([vec![written(bench)?], synced(bench)?].concat())
}

fn written(bench: &Bench) -> Result<Finding, Failure> {
    let mut systems = vec![
        bench.herd_with("write", ALONE, &["--durability", "write"])?,
        bench.herd_with("none", ALONE, &["--durability", "none"])?,
    ];
    cost::fill(&mut systems, CLIENTS)?;
    let costs = closed_costs(bench, &systems, 16, 128)?;
    let what = "durability `write` against `none`, 16×128, cost";
    Ok(costs.ratio(15, what, "write", "none", Bound::AtMost(1.4)))
}

fn synced(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let what = "durability `sync`, 1,000 connections, acknowledged per second against `appendfsync always`";
    if ["tmpfs", "ramfs"].contains(&bench.file_system.as_str()) {
        let why = format!(
            "a sync to {} does nothing: name a directory on a disk with --scratch",
            bench.file_system
        );
        return Ok(vec![Finding::skipped(15, what, why)]);
    }
    let mut systems = vec![bench.herd_with("sync", ALONE, &["--durability", "sync"])?];
    if bench.redis.is_some() {
        systems.push(bench.redis(Verb::Set, &["--appendonly", "yes", "--appendfsync", "always"])?);
    }
    let rated = |what, depth, bound| -> Result<Finding, Failure> {
        let measures = closed(bench, &systems, 1000, depth)?;
        let rates = measures.iter().map(|runs| runs.iter().map(|run| run.tally.rate()).collect()).collect();
        Ok(Comparison::new("/s", &systems, rates).ratio(15, what, "sync", "SET", bound))
    };
    Ok(vec![
        rated(what, 1, Bound::AtLeast(2.0))?,
        rated("the same with 16 commands in flight on each", 16, Bound::None)?,
    ])
}

/// Row 16: with a core for the generator and one for the server no thread more brings anything. How much stays on the thread
/// that all others need says what more cores would bring.
pub fn more_cores(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.herd_with("workers", ALONE, &["--workers", "2"])?];
    cost::fill(&mut systems, CLIENTS)?;
    let measures = closed(bench, &systems, 1000, 1)?;
    let of = |system: usize, figure: fn(&Measure) -> f64| measures[system].iter().map(figure).collect();
    let costs = vec![
        ("one thread", of(0, Measure::cost_us)),
        ("all threads", of(1, Measure::cost_us)),
        ("store's thread", of(1, Measure::first_threads_us)),
    ];
    let costs = Comparison { unit: "µs", systems: costs };
    let load = "one command at a time, 1,000 connections";
    let most = format!("{load}: how many times as much `--workers` could do with cores enough");
    let dearer = format!("{load}, `--workers 2`: cost of all threads on one core, against one thread");
    Ok(vec![
        costs.ratio(16, &most, "one thread", "store's thread", Bound::AtLeast(1.0)),
        costs.ratio(16, &dearer, "all threads", "one thread", Bound::None),
    ])
}
