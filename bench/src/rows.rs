//! The rows of the table of targets: what each measures, and how its systems take turns.

use crate::load::{Failure, Until};
use crate::report::{Bound, Finding, figure, median};
use crate::system::{Bench, Measure, NO_REDIS, System};

pub mod cost;
pub mod durability;
pub mod flood;
pub mod latency;
pub mod memory;
pub mod places;

/// One row of the table.
pub struct Row {
    /// Its number.
    pub number: u8,
    /// What it is about.
    pub title: &'static str,
    /// Measures it.
    pub measure: fn(&Bench) -> Result<Vec<Finding>, Failure>,
}

/// All rows, in their order.
pub const ROWS: &[Row] = &[
    Row { number: 1, title: "IAMAT 16×128 at 100 thousand clients", measure: cost::at_100_thousand },
    Row { number: 2, title: "IAMAT 16×128 at a million clients", measure: cost::at_a_million },
    Row { number: 3, title: "IAMAT 16×16", measure: cost::pipelined_16 },
    Row { number: 4, title: "one command at a time", measure: cost::one_at_a_time },
    Row { number: 5, title: "unloaded round trip", measure: latency::unloaded },
    Row { number: 6, title: "open loop, 40 thousand/s", measure: latency::open_loop },
    Row { number: 7, title: "two flood hops", measure: latency::two_hops },
    Row { number: 8, title: "payloads on the wire", measure: flood::payloads },
    Row { number: 9, title: "cost of the whole herd, 16×16", measure: flood::whole_herd },
    Row { number: 10, title: "cost of the whole herd, 20 thousand/s", measure: flood::paced },
    Row { number: 11, title: "resident bytes per client", measure: memory::resident },
    Row { number: 12, title: "receiving a million records", measure: memory::receiving },
    Row { number: 13, title: "longest wait while filling", measure: latency::filling },
    Row { number: 14, title: "actor tax", measure: cost::actor_tax },
    Row { number: 15, title: "durability", measure: durability::durability },
    Row { number: 16, title: "more cores", measure: durability::more_cores },
    Row { number: 17, title: "round trip of WHATSAT", measure: places::round_trip },
    Row { number: 18, title: "WHATSAT 16×16", measure: places::pipelined_16 },
];

/// Lets the systems take turns: in every run each is measured once, and each run begins with another.
fn in_turns<T>(
    runs: usize,
    systems: usize,
    mut measure: impl FnMut(usize) -> Result<T, Failure>,
) -> Result<Vec<Vec<T>>, Failure> {
    let mut measured: Vec<Vec<T>> = (0..systems).map(|_| Vec::with_capacity(runs)).collect();
    for run in 0..runs {
        for turn in 0..systems {
            let system = (run + turn) % systems;
            measured[system].push(measure(system)?);
        }
    }
    Ok(measured)
}

/// Figures of several systems, from the same runs.
struct Comparison {
    unit: &'static str,
    systems: Vec<(&'static str, Vec<f64>)>,
}

impl Comparison {
    fn new(unit: &'static str, systems: &[System], figures: Vec<Vec<f64>>) -> Self {
        Self { unit, systems: systems.iter().map(|system| system.label).zip(figures).collect() }
    }

    fn of(&self, label: &str) -> Option<&[f64]> {
        self.systems.iter().find(|(name, _)| *name == label).map(|(_, figures)| figures.as_slice())
    }

    /// The ratio of two systems, run by run, against a target.
    fn ratio(&self, row: u8, what: &str, over: &str, under: &str, bound: Bound) -> Finding {
        let (Some(above), Some(below)) = (self.of(over), self.of(under)) else {
            return Finding::skipped(row, what, NO_REDIS);
        };
        let ratios = above.iter().zip(below).map(|(above, below)| above / below).collect();
        let shown = |figures| figure(median(figures).unwrap_or_default(), self.unit);
        let note = format!("{over} {}, {under} {}", shown(above), shown(below));
        Finding::new(row, what, ratios, "×", bound).noted(note)
    }
}

/// Measures what a command costs each system under a closed loop.
fn closed_costs(
    bench: &Bench,
    systems: &[System],
    connections: usize,
    depth: usize,
) -> Result<Comparison, Failure> {
    let measures = closed(bench, systems, connections, depth)?;
    let costs = measures.iter().map(|runs| runs.iter().map(Measure::cost_us).collect()).collect();
    Ok(Comparison::new("µs", systems, costs))
}

/// Measures each system under a closed loop, after a warm-up.
pub fn closed(
    bench: &Bench,
    systems: &[System],
    connections: usize,
    depth: usize,
) -> Result<Vec<Vec<Measure>>, Failure> {
    let mut loads = Vec::new();
    for system in systems {
        let mut load = system.load(connections)?;
        load.closed(depth, Until::Time(bench.lasting / 4))?;
        loads.push(load);
    }
    in_turns(bench.runs, systems.len(), |system| {
        let load = &mut loads[system];
        systems[system].measure(|| load.closed(depth, Until::Time(bench.lasting)))
    })
}

/// Writes 100,000 as `100 thousand` and 1,000,000 as `1 million`.
fn people(clients: u32) -> String {
    match clients {
        millions if millions % 1_000_000 == 0 => format!("{} million", millions / 1_000_000),
        thousands if thousands % 1000 == 0 => format!("{} thousand", thousands / 1000),
        few => few.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_is_measured_in_every_run_and_each_run_begins_with_another() {
        let mut order = Vec::new();
        let measured = in_turns(3, 2, |system| {
            order.push(system);
            Ok(order.len())
        });
        assert_eq!(measured.unwrap(), [[1, 4, 5], [2, 3, 6]]);
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
    }

    #[test]
    fn a_ratio_is_taken_run_by_run_so_that_a_slow_minute_hurts_both() {
        let systems = vec![("SET", vec![2.0, 8.0, 2.0]), ("herd", vec![1.0, 4.0, 1.0])];
        let comparison = Comparison { unit: "µs", systems };
        let finding = comparison.ratio(1, "x", "SET", "herd", Bound::AtLeast(2.0));
        assert_eq!(finding.runs, [2.0, 2.0, 2.0]);
        assert_eq!(finding.verdict(), "pass");
        assert_eq!(comparison.ratio(1, "x", "GEOADD", "herd", Bound::None).verdict(), "skipped");
    }

    #[test]
    fn the_rows_are_numbered_in_their_order() {
        assert!(ROWS.iter().zip(1..).all(|(row, number)| row.number == number));
    }
}
