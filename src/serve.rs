//! `herd serve`: one server in this process, until it is told to stop.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::flags::Flags;
use crate::logging;
use crate::options::Serve;
use crate::panics;
use crate::signals::Signals;
use crate::topology::File;
use actix::Actor;
use herd_actors::disk::Directory;
use herd_actors::journal::Keep;
use herd_actors::net::Seams;
use herd_actors::node::{Neighbour, Node, Settings, StartError};
use herd_actors::places::PlacesActor;
use herd_actors::{descriptors, dialect};
use herd_core::limits::Limits;
use herd_core::topology::{Server, Topology};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Runs the server until a signal, or under the launcher until standard input ends.
pub async fn run(file: File, serve: Serve) -> Result<(), Failure> {
    let Serve { name, until_stdin_ends, flags } = serve;
    let flags = flags.or(file.settings.clone());
    let settings = settings(&file, &name, &flags)?;
    let places = flags.places.settings()?;
    logging::start(flags.log_dir(), &name, !until_stdin_ends)?;
    if let Some(warning) = file.warning() {
        log::warn!("{warning}");
    }
    if let Some(files) = descriptors::raise_limit() {
        check_files(files, &settings.limits)?;
    }
    let mut signals = Signals::new()?;
    let near = PlacesActor::new(places).start().recipient();
    let seams = Seams { panics: panics::count(), abort: Arc::new(logging::abort), ..Seams::real() };
    let mut told_to_stop = Box::pin(async {
        tokio::select! {
            signal = signals.next() => signal,
            () = end_of_stdin(), if until_stdin_ends => "end of the launcher",
        }
    });
    let node = tokio::select! {
        node = Node::start(settings, near, seams) => {
            node.map_err(|error| cannot_start(&name, &flags, &error))?
        }
        reason = &mut told_to_stop => {
            // A long log may still be read; nothing else was begun.
            log::info!("server {name} stops before it has started reason={reason:?}");
            return Ok(());
        }
    };
    let reason = told_to_stop.await;
    log::info!("server {name} stops reason={reason:?}");
    tokio::select! {
        () = node.stop() => Ok(()),
        signal = signals.next() => Err(Failure::Undone(format!("{name} stopped at once, by a second {signal}"))),
    }
}

/// How many files a server has open beside its clients and workers, at most, unless it has hundreds of neighbours.
const FILES_BESIDE: u64 = 100;

/// How many files each of several workers has open, beside its clients.
const FILES_OF_WORKER: u64 = 4;

/// Sees that the system allows as many open files as a server needs to start; it should allow some for each client.
fn check_files(files: u64, limits: &Limits) -> Result<(), Failure> {
    let Limits { workers, sessions_max, .. } = *limits;
    let of_workers = if workers > 1 { FILES_OF_WORKER.saturating_mul(workers as u64) } else { 0 };
    let own = FILES_BESIDE.saturating_add(of_workers);
    if workers > 1 && files < own {
        let why = format!("too few for {workers} workers, which take {of_workers}: see ulimit -Hn");
        return Err(Failure::Undone(format!("the system allows {files} open files, {why}")));
    }
    if files < own.saturating_add(sessions_max as u64) {
        log::warn!(
            "the system allows {files} open files, too few for {sessions_max} clients: see ulimit -Hn"
        );
    }
    Ok(())
}

fn cannot_start(name: &str, flags: &Flags, error: &StartError) -> Failure {
    let (why, advice) = match error {
        StartError::Disk(error) => (
            format!(
                "its data in {} cannot be read or written: {}",
                data(name, flags).display(),
                reason(error)
            ),
            "see that all in it are files that this server may read and write, or name another place with --data-dir",
        ),
        StartError::Address { .. } => {
            (error.to_string(), "see that nothing else uses it, or change the topology")
        }
    };
    log::error!("server {name} cannot start: {why}");
    Failure::Undone(format!("{name} cannot start: {why}; {advice}"))
}

/// Puts together what the server is to be, from the topology, the flags and the environment.
fn settings(file: &File, name: &str, flags: &Flags) -> Result<Settings, Failure> {
    let server = ours(file, name)?;
    let neighbours = file.topology.neighbours(name);
    Ok(Settings {
        name: server.name.clone(),
        clients: server.clients.clone(),
        peers: server.peers.clone(),
        strangers: neighbours.iter().filter_map(|server| stranger(&file.topology, server)).collect(),
        neighbours: neighbours
            .into_iter()
            .filter(|neighbour| neighbour.speaks.is_none())
            .map(|neighbour| Neighbour { name: neighbour.name.clone(), peers: neighbour.peers.clone() })
            .collect(),
        open: flags.open,
        credentials: credentials::of_server(name, flags.peer_tls.as_deref())?,
        limits: flags.limits()?,
        keep: keep(name, flags)?,
    })
}

/// Takes the directory in which a server keeps what it knows, unless it keeps everything in memory alone.
fn keep(name: &str, flags: &Flags) -> Result<Option<Keep>, Failure> {
    if flags.memory_only {
        return Ok(None);
    }
    let path = data(name, flags);
    let disk = Directory::open(&path).map_err(|error| {
        let (path, why) = (path.display(), reason(&error));
        Failure::Undone(format!(
            "{name} cannot keep its data in {path}: {why}; name another place with --data-dir"
        ))
    })?;
    Ok(Some(Keep { disk: Arc::new(disk), durability: flags.durability.unwrap_or_default() }))
}

/// Tells where a server keeps what it knows.
fn data(name: &str, flags: &Flags) -> PathBuf {
    flags.data_dir().join(name)
}

/// Finds a server that this program can be.
pub fn ours<'a>(file: &'a File, name: &str) -> Result<&'a Server, Failure> {
    let server = file.server(name)?;
    server.speaks.map_or(Ok(server), |speaks| {
        let path = file.path.display();
        Err(Failure::Usage(format!(
            "{name} speaks {speaks} in {path}: it is of another make, start its own program"
        )))
    })
}

/// A neighbour as one of another make, if it is.
fn stranger(topology: &Topology, server: &Server) -> Option<dialect::Neighbour> {
    let speaks = server.speaks?;
    Some(dialect::Neighbour {
        name: server.name.clone(),
        clients: server.clients.clone(),
        speaks,
        kin: topology.speakers(speaks).map(|server| server.name.clone()).collect(),
    })
}

/// Waits for the end of standard input, in a thread of its own: reading it cannot be cancelled.
async fn end_of_stdin() {
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut ignored = [0; 512];
        while input.read(&mut ignored).is_ok_and(|length| length > 0) {}
        drop(ended);
    });
    // The sender is only ever dropped, which is what is waited for.
    let _ = end.await;
}
