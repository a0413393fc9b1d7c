//! Rows 1 to 4 and 14: what a command costs, in CPU time of the server.

use super::{Comparison, closed_costs, people};
use crate::herd::ALONE;
use crate::load::Failure;
use crate::redis::Verb;
use crate::report::{Bound, Finding};
use crate::speech::UUID_PREFIX;
use crate::system::{Bench, CLIENTS, System};

/// How deep the larger pipeline is.
const DEEP: usize = 128;

/// Row 1.
pub fn at_100_thousand(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?];
    systems.extend(redises(bench)?);
    fill(&mut systems, CLIENTS)?;
    let costs = closed_costs(bench, &systems, 16, DEEP)?;
    let load = format!("IAMAT 16×128, {} clients", people(CLIENTS));
    Ok(vec![
        faster(1, &format!("{load}, commands per CPU second against SET"), &costs, "SET", 3.0),
        faster(1, &format!("{load}, against GEOADD"), &costs, "GEOADD", 12.0),
    ])
}

/// Row 2.
pub fn at_a_million(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?];
    systems.extend(redises(bench)?);
    fill(&mut systems, bench.million)?;
    let mut small = bench.herd_with(SMALL, ALONE, &[])?;
    small.fill(CLIENTS, 64)?;
    systems.push(small);
    let mut uuids = bench.herd_with(UUIDS, ALONE, &[])?;
    uuids.prefix = UUID_PREFIX;
    uuids.fill(bench.million, 64)?;
    systems.push(uuids);
    let costs = closed_costs(bench, &systems, 16, DEEP)?;
    let load = format!("IAMAT 16×128, {} clients", people(bench.million));
    Ok(vec![
        faster(2, &format!("{load}, commands per CPU second against SET"), &costs, "SET", 3.5),
        faster(2, &format!("{load}, against GEOADD"), &costs, "GEOADD", 25.0),
        dearer(2, &format!("{load}, its cost against 100 thousand"), &costs, SMALL, 1.25),
        costs.ratio(
            2,
            "the same with client IDs of 36 bytes against those of 16",
            UUIDS,
            "herd",
            Bound::None,
        ),
    ])
}

/// The herd that knows fewer clients.
const SMALL: &str = "herd of 100 thousand";

/// The herd whose clients have longer IDs.
pub const UUIDS: &str = "IDs of 36 bytes";

/// Row 3.
pub fn pipelined_16(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.echo()?];
    systems.extend(redises(bench)?);
    fill(&mut systems, CLIENTS)?;
    let costs = closed_costs(bench, &systems, 16, 16)?;
    Ok(vec![
        faster(3, "IAMAT 16×16, commands per CPU second against SET", &costs, "SET", 2.0),
        faster(3, "IAMAT 16×16, against GEOADD", &costs, "GEOADD", 5.0),
        dearer(3, "IAMAT 16×16, its cost against a tokio echo of the same bytes", &costs, "echo", 1.6),
    ])
}

/// Row 4.
pub fn one_at_a_time(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.echo()?];
    if bench.redis.is_some() {
        systems.push(bench.redis(Verb::Set, &[])?);
    }
    fill(&mut systems, CLIENTS)?;
    let mut findings = Vec::new();
    for connections in [16, 256, 1000] {
        let costs = closed_costs(bench, &systems, connections, 1)?;
        let load = format!("one command at a time, {connections} connections");
        findings.push(dearer(4, &format!("{load}: cost against SET"), &costs, "SET", 1.0));
        findings.push(dearer(4, &format!("{load}: against tokio echo"), &costs, "echo", 1.3));
    }
    Ok(findings)
}

/// Row 14.
pub fn actor_tax(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let mut systems = vec![bench.herd_alone()?, bench.bare()?];
    fill(&mut systems, CLIENTS)?;
    let mut findings = Vec::new();
    for depth in [16, DEEP] {
        let costs = closed_costs(bench, &systems, 16, depth)?;
        let what =
            format!("actor tax: 16×{depth}, cost against a bare epoll loop over the same store and log");
        findings.push(dearer(14, &what, &costs, "bare loop", 1.15));
    }
    Ok(findings)
}

/// A Redis for SET and one for GEOADD, where there is any.
pub fn redises(bench: &Bench) -> Result<Vec<System>, Failure> {
    if bench.redis.is_none() {
        return Ok(Vec::new());
    }
    Ok(vec![bench.redis(Verb::Set, &[])?, bench.redis(Verb::GeoAdd, &[])?])
}

/// Makes so many clients known to each system.
pub fn fill(systems: &mut [System], clients: u32) -> Result<(), Failure> {
    systems.iter_mut().try_for_each(|system| system.fill(clients, 64).map(drop))
}

/// Herd does so many times as many commands per CPU second.
fn faster(row: u8, what: &str, costs: &Comparison, rival: &str, target: f64) -> Finding {
    costs.ratio(row, what, rival, "herd", Bound::AtLeast(target))
}

/// A command costs herd so many times as much.
fn dearer(row: u8, what: &str, costs: &Comparison, rival: &str, target: f64) -> Finding {
    costs.ratio(row, what, "herd", rival, Bound::AtMost(target))
}
