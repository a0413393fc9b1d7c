//! The bench of herd: one load generator that verifies every reply, the servers it compares, and the table of targets.

mod ask;
mod crowd;
#[cfg(test)]
mod fake;
mod herd;
mod load;
mod options;
mod plot;
mod process;
mod redis;
mod report;
mod rivals;
mod rows;
mod run;
mod scratch;
mod speech;
mod system;
mod tap;
mod towns;

use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use structopt::StructOpt;

use crate::crowd::{Crowd, Order};
use crate::load::{Failure, Load, Until};
use crate::options::{Drive, Options};
use crate::process::Cores;
use crate::redis::{AddTowns, Redis, SearchTowns, Verb};
use crate::rivals::{bare, echo, naive, relay};
use crate::speech::{Echo, Iamat, Speech, UUID_PREFIX};
use crate::towns::{Settle, Towns, Whatsat};

fn main() -> ExitCode {
    let done = match Options::from_args() {
        Options::Run(run) => run::run(&run),
        Options::Drive(how) => drive(&how),
        Options::Echo { address } => echo::serve(&address).map_err(Failure::from),
        Options::Bare { name, address, directory } => {
            bare::serve(&name, &address, &directory).map_err(Failure::from)
        }
        Options::Relay { address, next } => relay::serve(&address, next.as_deref()).map_err(Failure::from),
        Options::Naive { name, clients, peers, links, dials } => {
            naive::serve(naive::Settings { name, clients, peers, links, dials }).map_err(Failure::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("herd-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Tells a server all that it will be asked about.
fn tell(how: &Drive, speech: impl Speech + 'static, commands: usize) -> Result<(), Failure> {
    let mut load = Load::connect(&how.to, 16, Box::new(speech))?;
    load.closed(64, Until::Commands(commands as u64)).map(drop)
}

/// Loads one running server.
fn drive(how: &Drive) -> Result<(), Failure> {
    let crowd = Crowd::new(how.clients, Order::AtRandom);
    let towns = || Towns::new(how.clients as usize);
    let speech: Box<dyn Speech> = match how.speech.as_str() {
        "iamat" => {
            let prefix = if how.uuids { UUID_PREFIX } else { b"" };
            Box::new(Iamat::new(&how.name, crowd).with_prefix(prefix))
        }
        "echo" => Box::new(Echo::new(crowd)),
        "set" => Box::new(Redis::new(Verb::Set, crowd)),
        "geoadd" => Box::new(Redis::new(Verb::GeoAdd, crowd)),
        "whatsat" => {
            let towns = towns()?;
            tell(how, Settle::new(&how.name, Rc::clone(&towns)), towns.people())?;
            Box::new(Whatsat::new(&how.name, towns))
        }
        "geosearch" => {
            let towns = towns()?;
            tell(how, AddTowns::new(Rc::clone(&towns)), towns.len())?;
            Box::new(SearchTowns::new(towns))
        }
        other => {
            let hint = format!("no speech {other:?}: say iamat, whatsat, echo, set, geoadd or geosearch");
            return Err(io::Error::other(hint).into());
        }
    };
    Cores::choose()?.pin_load()?;
    let mut load = Load::connect(&how.to, how.connections, speech)?;
    load.spin = how.spin;
    let lasting = Duration::from_secs_f64(how.seconds);
    let own = process::cpu(std::process::id())?;
    let before = how.pid.map(process::cpu).transpose()?;
    let tally = match how.rate {
        Some(rate) => load.open(rate, lasting)?,
        None => load.closed(how.depth, Until::Time(lasting))?,
    };
    let commands = tally.commands as f64;
    println!("{} commands answered, all rightly; {:.0}/s", tally.commands, tally.rate());
    let latency = |percentile| tally.latency_us(percentile);
    let (half, most, nearly, all) = (latency(50.0), latency(99.0), latency(99.9), latency(100.0));
    println!("latency µs: p50 {half:.1}, p99 {most:.1}, p99.9 {nearly:.1}, longest {all:.1}");
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / commands;
    println!(
        "generator: {:.3} µs CPU per command",
        each(process::cpu(std::process::id())?.saturating_sub(own))
    );
    if let (Some(pid), Some(before)) = (how.pid, before) {
        println!("server: {:.3} µs CPU per command", each(process::cpu(pid)?.saturating_sub(before)));
    }
    Ok(())
}
