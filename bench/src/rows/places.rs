//! Rows 17 and 18: what is near, from the index that herd carries.

use std::rc::Rc;

use super::{Comparison, in_turns};
use crate::load::{Failure, Load, Until};
use crate::redis::{AddTowns, SearchTowns, Verb};
use crate::report::{Bound, Finding};
use crate::system::{Bench, CLIENTS, System};
use crate::towns::{Settle, Towns, Whatsat};

/// The server that is asked.
const NAME: &str = "Goloman";

/// Row 17.
pub fn round_trip(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let (mut herd, towns) = (bench.herd_alone()?, Towns::new(CLIENTS as usize)?);
    herd.fill(CLIENTS, 64)?;
    settle(&herd, &towns)?;
    let mut loads = [whatsat(&herd, 1, &towns)?, herd.load(1)?];
    let medians = in_turns(bench.runs, loads.len(), |at| {
        loads[at].spin = true;
        Ok(loads[at].closed(1, Until::Time(bench.lasting))?.latency_us(50.0))
    })?;
    let latencies =
        Comparison { unit: "µs", systems: ["WHATSAT", "IAMAT"].into_iter().zip(medians).collect() };
    let what = "unloaded round trip of WHATSAT, offline, 5 within 10 km, p50 against IAMAT";
    Ok(vec![latencies.ratio(17, what, "WHATSAT", "IAMAT", Bound::AtMost(1.25))])
}

/// Row 18.
pub fn pipelined_16(bench: &Bench) -> Result<Vec<Finding>, Failure> {
    let towns = Towns::new(CLIENTS as usize)?;
    let herd = bench.herd_alone()?;
    settle(&herd, &towns)?;
    let mut asked = vec![("WHATSAT", whatsat(&herd, 16, &towns)?, herd)];
    if bench.redis.is_some() {
        let redis = bench.redis(Verb::GeoAdd, &[])?;
        let mut load = redis.speak(16, Box::new(AddTowns::new(Rc::clone(&towns))))?;
        load.closed(64, Until::Commands(towns.len() as u64))?;
        asked.push(("GEOSEARCH", redis.speak(16, Box::new(SearchTowns::new(Rc::clone(&towns))))?, redis));
    }
    for (_, load, _) in &mut asked {
        load.closed(16, Until::Time(bench.lasting / 4))?;
    }
    let costs = in_turns(bench.runs, asked.len(), |at| {
        let (_, load, system) = &mut asked[at];
        system.measure(|| load.closed(16, Until::Time(bench.lasting))).map(|measure| measure.cost_us())
    })?;
    let costs =
        Comparison { unit: "µs", systems: asked.iter().map(|(label, ..)| *label).zip(costs).collect() };
    let what = "WHATSAT 16×16, offline, 5 within 10 km, commands per CPU second against GEOSEARCH";
    Ok(vec![costs.ratio(18, what, "GEOSEARCH", "WHATSAT", Bound::AtLeast(1.0))])
}

/// Has everybody report.
fn settle(herd: &System, towns: &Rc<Towns>) -> Result<(), Failure> {
    let everybody = Until::Commands(towns.people() as u64);
    herd.speak(16, Box::new(Settle::new(NAME, Rc::clone(towns))))?.closed(64, everybody).map(drop)
}

fn whatsat(herd: &System, connections: usize, towns: &Rc<Towns>) -> Result<Load, Failure> {
    herd.speak(connections, Box::new(Whatsat::new(NAME, Rc::clone(towns))))
}
