//! `herd bench`: loads one running server, verifies every answer, and tells rate and latencies.
//!
//! The project's own bench, `make bench`, is another thing: it compares a herd with others, and starts what it measures.

mod load;
mod own;
mod tally;

use self::load::Load;
use self::own::{Own, Share};
use self::tally::Tally;
use crate::failure::Failure;
use crate::options::{Bench, IN_FLIGHT_MAX};
use crate::signals::Signals;
use crate::table::Table;
use crate::target::Target;
use crate::terminal;
use crate::topology::File;
use herd_actors::descriptors;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How long answers to what was sent in time are waited for at the end.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How often the progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// Loads the server until the time is up, or until a signal.
pub async fn run(file: impl Fn() -> Result<File, Failure>, bench: Bench) -> Result<(), Failure> {
    check(&bench)?;
    let target = Target::of(bench.server.as_deref(), file)?;
    let tally = Rc::new(RefCell::new(Tally::new(target.name.clone())));
    let mut load = Load::new(Rc::clone(&tally), bench.clients);
    descriptors::raise_limit(); // Where it is still too low, the connection that fails tells so.
    for _ in 0..bench.connections {
        load.add(connect(&target).await?);
    }
    let mut signals = Signals::new()?;
    let (began, own) = (Instant::now(), Own::now());
    let end = began + Duration::from_secs_f64(bench.seconds);
    let is_shown = std::io::stderr().is_terminal();
    tokio::select! {
        () = load.run(bench.depth, bench.rate, began, end) => tally.borrow_mut().give_up(),
        () = sleep_until(end + ANSWER_LIMIT) => tally.borrow_mut().give_up(),
        _ = signals.next() => {}
        () = show_progress(&tally, began), if is_shown => {}
    }
    let share = Own::now().zip(own).map(|(now, before)| now.share(before, began.elapsed()));
    if is_shown {
        terminal::warn("\n");
    }
    let tally = tally.borrow();
    let took = began
        .elapsed()
        .min(Duration::from_secs_f64(bench.seconds).max(tally.last.saturating_duration_since(began)));
    terminal::show(&if bench.json {
        as_json(&target, &bench, &tally, took, share)
    } else {
        as_table(&target, &tally, took)
            + &share.map_or_else(String::new, |share| share.said(bench.rate.is_some()))
    })?;
    verdict(&target, &tally).map_or(Ok(()), Err)
}

/// What went wrong, if anything did.
fn verdict(target: &Target, tally: &Tally) -> Option<Failure> {
    let refused = tally.is_refused.then(|| target.not_for_clients());
    refused.or_else(|| tally.verdict().map(Failure::Undone))
}

/// Refuses more in flight than there is memory for. Where a rate is kept to, what is beyond that waits.
fn check(bench: &Bench) -> Result<(), Failure> {
    if bench.connections.saturating_mul(bench.depth) > IN_FLIGHT_MAX {
        return Err(Failure::Usage(format!(
            "--depth: {IN_FLIGHT_MAX} commands may be in flight on all connections together"
        )));
    }
    Ok(())
}

/// Connects once more.
async fn connect(target: &Target) -> Result<TcpStream, Failure> {
    let socket = target.connect().await?;
    // A socket that cannot do without delays is a slower one, and no more.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

/// What the server is called: by itself, if nobody else did.
fn title(target: &Target, tally: &Tally) -> String {
    tally.name().unwrap_or_else(|| target.address.clone())
}

/// Writes a line every second, over the one before.
async fn show_progress(tally: &RefCell<Tally>, began: Instant) {
    let mut seconds = interval(PROGRESS);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    seconds.tick().await;
    loop {
        let since = Instant::now();
        seconds.tick().await;
        let line = tally.borrow_mut().progress(began.elapsed(), since.elapsed());
        terminal::warn(&format!("\r{line}\x1b[K"));
    }
}

/// Commands answered in each second.
fn per_second(tally: &Tally, took: Duration) -> f64 {
    tally::figure(tally.answered()) / took.as_secs_f64().max(1e-9)
}

fn as_table(target: &Target, tally: &Tally, took: Duration) -> String {
    let mut table = Table::new(&[
        "SERVER",
        "SECONDS",
        "COMMANDS",
        "PER SECOND",
        "P50",
        "P90",
        "P99",
        "P99.9",
        "MAX",
        "WRONG",
    ]);
    let mut row =
        vec![title(target, tally), format!("{:.1}", took.as_secs_f64()), tally.answered().to_string()];
    row.push(format!("{:.0}", per_second(tally, took)));
    row.extend(PERCENTILES.map(|(_, of)| tally::shown(tally.latency_us(of))));
    row.push(tally.wrong().to_string());
    table.row(row);
    table.print()
}

/// The percentiles that are told, by their names.
const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99_9", 99.9), ("max", 100.0)];

fn as_json(target: &Target, bench: &Bench, tally: &Tally, took: Duration, own: Option<Share>) -> String {
    let latency_us: serde_json::Map<String, Value> =
        PERCENTILES.iter().map(|(name, of)| ((*name).to_owned(), json!(tally.latency_us(*of)))).collect();
    let report = json!({
        "server": title(target, tally),
        "address": target.address,
        "connections": bench.connections,
        "depth": bench.rate.is_none().then_some(bench.depth),
        "rate": bench.rate,
        "seconds": took.as_secs_f64(),
        "commands": tally.answered(),
        "per_second": per_second(tally, took),
        "latency_us": latency_us,
        "wrong": tally.wrong(),
        "unanswered": tally.unanswered,
        "unsent": tally.unsent,
        "trouble": verdict(target, tally).map(|trouble| trouble.to_string()),
        "own": own.map(|Share { busy, waited }| json!({ "busy": busy, "waited": waited })),
    });
    format!("{report:#}\n")
}
