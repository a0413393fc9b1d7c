//! Rows 15 and 16: what it costs to forget nothing, and what more cores bring.

use super::{Comparison, closed, closed_costs, cost};
use crate::herd::ALONE;
use crate::load::Failure;
use crate::redis::Verb;
use crate::report::{Bound, Finding};
use crate::system::{Bench, CLIENTS};

/// Row 15.
pub fn durability(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    if !bench.herd.knows("--durability") {
        return Ok(vec![Finding::skipped(15, "durability", "this herd has no --durability")]);
    }
    Ok(vec![written(bench)?, synced(bench)?])
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

fn synced(bench: &Bench) -> Result<Finding, Failure> {
    let mut systems = vec![bench.herd_with("sync", ALONE, &["--durability", "sync"])?];
    if bench.redis.is_some() {
        systems.push(bench.redis(Verb::Set, &["--appendonly", "yes", "--appendfsync", "always"])?);
    }
    let measures = closed(bench, &systems, 1000, 1)?;
    let rates = measures.iter().map(|runs| runs.iter().map(|run| run.tally.rate()).collect()).collect();
    let what = "durability `sync`, 1,000 connections, acknowledged per second against `appendfsync always`";
    let rates = Comparison::new("/s", &systems, rates);
    Ok(rates.ratio(15, what, "sync", "SET", Bound::AtLeast(2.0)))
}

/// Row 16.
#[expect(clippy::unnecessary_wraps, reason = "all rows have one signature")]
pub fn more_cores(_: &Bench) -> Result<Vec<Finding>, Failure> {
    let why = "a generator and several workers need more than two cores: not measured here";
    Ok(vec![Finding::skipped(16, "more cores", why)])
}
