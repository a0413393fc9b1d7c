//! `herd serve`: one server in this process, until it is told to stop.

use crate::credentials;
use crate::failure::{Failure, reason};
use crate::flags::Flags;
use crate::logging;
use crate::options::Serve;
use crate::panics;
use crate::places;
use crate::signals::Signals;
use crate::terminal;
use crate::topology::File;
use actix::Actor;
use herd_actors::disk::Directory;
use herd_actors::journal::Keep;
use herd_actors::messages::Stop;
use herd_actors::net::{Seams, bound};
use herd_actors::node::{Neighbour, Node, Settings, StartError};
use herd_actors::places::PlacesActor;
use herd_actors::{descriptors, dialect};
use herd_core::limits::Limits;
use herd_core::record::FUTURE_MAX_S;
use herd_core::topology::{Server, Topology};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// Runs the server until a signal, or under the launcher until standard input ends.
pub async fn run(file: File, serve: Serve) -> Result<(), Failure> {
    let Serve { name, until_stdin_ends, flags } = serve;
    let flags = flags.or(file.settings.clone());
    let mut signals = Signals::new()?;
    let mut told_to_stop = Box::pin(async {
        tokio::select! {
            signal = signals.next() => signal,
            () = end_of_stdin(), if until_stdin_ends => "end of the launcher",
        }
    });
    let places = flags.places.settings()?;
    let settings = tokio::select! {
        biased; // What is wrong is said first.
        settings = settings(&file, &name, &flags) => settings?,
        // Another process still has the data; nothing was begun.
        _ = &mut told_to_stop => return Ok(()),
    };
    logging::start(flags.log_dir(), &name, !until_stdin_ends)?;
    log::info!("server {name} {}", description(&file, &settings, &flags));
    if let Some(warning) = short_life(&settings.limits) {
        log::warn!("{warning}");
    }
    if let Some(warning) = places::warning(&places) {
        log::warn!("{warning}");
    }
    if let Some(tls) = &settings.credentials.tls {
        actix_rt::spawn(credentials::remind(name.clone(), tls.validity()));
    }
    if let Some(warning) = file.warning() {
        log::warn!("{warning}");
    }
    if let Some(files) = descriptors::raise_limit() {
        check_files(files, &settings.limits)?;
    }
    let places = PlacesActor::new(places).start();
    let seams = Seams { panics: panics::count(), abort: Arc::new(logging::abort), ..Seams::real() };
    let node = tokio::select! {
        node = Node::start(settings, places.clone().recipient(), seams) => {
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
    places.do_send(Stop); // Sessions may wait for them.
    tokio::select! {
        () = node.stop() => Ok(()),
        signal = signals.next() => Err(Failure::Undone(format!("{name} stopped at once, by a second {signal}"))),
    }
}

/// Sees that the system allows as many open files as a server needs to start; it should allow some for each client.
fn check_files(files: u64, limits: &Limits) -> Result<(), Failure> {
    let Limits { workers, sessions_max, .. } = *limits;
    let of_workers = if workers > 1 { descriptors::OF_WORKER.saturating_mul(workers as u64) } else { 0 };
    let own = descriptors::BESIDE_CLIENTS.saturating_add(of_workers);
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
            "see that all in it are files that this server may read and write, or name another place with --data-dir, \
             where it begins with nothing",
        ),
        StartError::Address { error: cause, .. } => (reason(error), no_address_advice(cause.kind())),
        StartError::Workers => (reason(error), "see ulimit -u, or let it have fewer with --workers"),
    };
    log::error!("server {name} cannot start: {why}");
    Failure::Undone(format!("{name} cannot start: {why}; {advice}"))
}

/// What to do where an address cannot be taken.
fn no_address_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "see that nothing else uses it, or change the topology",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: name those servers that are to run here"
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 takes root, or the capability CAP_NET_BIND_SERVICE"
        }
        _ => "see that the host is a name or an address of this machine",
    }
}

/// Says how a server runs, for whoever wonders later.
fn description(file: &File, settings: &Settings, flags: &Flags) -> String {
    let keeps = settings.keep.as_ref().map_or_else(
        || "nothing".to_owned(),
        |keep| format!("{:?} durability={}", absolute(&data(&settings.name, flags)), keep.durability),
    );
    let lifetime =
        lifetime(&settings.limits).map_or_else(|| "forever".to_owned(), |life| format!("{life:?}"));
    let secret = if settings.credentials.secret.is_some() { "on" } else { "off" };
    let (open, topology) = (settings.open, absolute(&file.path));
    format!("keeps={keeps} lifetime={lifetime} secret={secret} open={open} topology={topology:?}")
}

/// A path that says the same wherever whoever reads it is.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// How long records live, if not for ever.
fn lifetime(limits: &Limits) -> Option<Duration> {
    limits.record_ttl_ms.map(Duration::from_millis)
}

/// What is to be said of a lifetime that is so short that it may be meant in another unit.
fn short_life(limits: &Limits) -> Option<String> {
    let life = lifetime(limits).filter(|life| life.as_secs() <= FUTURE_MAX_S)?;
    Some(format!(
        "clients are forgotten {life:?} after their check-in, for good and by the neighbours, too: \
         record_ttl_ms is in milliseconds and should be over {FUTURE_MAX_S} s"
    ))
}

/// Puts together what the server is to be, from the topology, the flags and the environment.
async fn settings(file: &File, name: &str, flags: &Flags) -> Result<Settings, Failure> {
    let server = file.ours(name)?;
    let neighbours = file.topology.neighbours(name);
    let limits = flags.limits()?;
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
        keep: keep(server, flags, &limits).await?,
        limits,
    })
}

/// Takes the directory in which a server keeps what it knows, unless it keeps everything in memory alone.
async fn keep(server: &Server, flags: &Flags, limits: &Limits) -> Result<Option<Keep>, Failure> {
    let Some(durability) = flags.durability()? else { return Ok(None) };
    let name = &server.name;
    let path = data(name, flags);
    let disk = take(server, &path, limits).await.map_err(|error| {
        let (path, why) = (path.display(), reason(&error));
        let advice = no_keep_advice(error.kind());
        Failure::Undone(format!("{name} cannot keep its data in {path}: {why}; {advice}"))
    })?;
    Ok(Some(Keep { disk: Arc::new(disk), durability }))
}

/// What to do where a directory cannot be taken.
fn no_keep_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ResourceBusy => "see that the server does not run twice",
        io::ErrorKind::PermissionDenied => {
            "it belongs to another user: give it, with all that is in it, to the one that the server runs as, or where \
             there is nothing yet name another place with --data-dir"
        }
        _ => "name another place with --data-dir",
    }
}

/// Takes a directory. If another process has it, that may be this server, which was told to stop and will: for so long it is
/// waited for. One that still takes clients was told nothing, unless that was just now.
async fn take(server: &Server, path: &Path, limits: &Limits) -> io::Result<Directory> {
    let (began, mut has_said) = (Instant::now(), false);
    loop {
        let busy = match Directory::open(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => error,
            taken => return taken,
        };
        let stops_in = if is_served(&server.clients).await { 0 } else { limits.stop_ms };
        if began.elapsed() >= Duration::from_millis(stops_in).saturating_add(TAKE_MARGIN) {
            return Err(busy);
        }
        if !std::mem::replace(&mut has_said, true) {
            let (name, path) = (&server.name, path.display());
            terminal::complain(&format!("{name} waits for another process that uses {path}"));
        }
        sleep(TAKE_PAUSE).await;
    }
}

/// Whether a process takes clients at an address, or at any that its host has.
///
/// Each is taken for a moment, and not listened at: the system would let clients in, who are then cut off. To connect
/// instead would be one more session for a server that is there, and one more in line at a server that hangs.
///
/// With `SO_REUSEADDR` old connections are not in the way and whoever listens is. On Linux others are not that have the
/// address in the same way and do not listen, so that several may wait at once, and a server that starts meanwhile gets it.
async fn is_served(address: &str) -> bool {
    let Ok(mut addresses) = lookup_host(address).await else { return false };
    addresses.any(|address| bound(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse))
}

/// How much longer than a server may take to stop its directory is waited for.
const TAKE_MARGIN: Duration = Duration::from_secs(1);

/// How often a directory is tried that another process has.
const TAKE_PAUSE: Duration = Duration::from_millis(50);

/// Tells where a server keeps what it knows.
fn data(name: &str, flags: &Flags) -> PathBuf {
    flags.data_dir().join(name)
}

/// A neighbour as one of another make, if it is.
fn stranger(topology: &Topology, server: &Server) -> Option<dialect::Stranger> {
    let speaks = server.speaks?;
    Some(dialect::Stranger {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    /// All were told to see that nothing else uses the address, and to keep elsewhere what they could not read.
    #[test]
    fn who_cannot_start_is_told_what_to_do_of_what_is_wrong() {
        let said = |error| {
            let error = StartError::Address { purpose: "clients", address: "h:1".to_owned(), error };
            cannot_start("A", &Flags::default(), &error).to_string()
        };
        let named = |kind: io::ErrorKind| said(kind.into());
        assert!(
            named(io::ErrorKind::AddrInUse)
                .ends_with("; see that nothing else uses it, or change the topology")
        );
        assert!(named(io::ErrorKind::PermissionDenied).contains("; a port below 1024 takes root"));
        let unknown =
            said(io::Error::other("failed to lookup address information: Name or service not known"));
        assert!(
            unknown.ends_with("not known; see that the host is a name or an address of this machine"),
            "{unknown}"
        );
        assert!(!said(io::Error::from_raw_os_error(13)).contains("os error"));
        assert!(no_keep_advice(io::ErrorKind::PermissionDenied).starts_with("it belongs to another user: "));
    }

    #[tokio::test]
    async fn an_address_is_served_as_long_as_somebody_listens_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_served(&address.to_string()).await);
        let caller = TcpStream::connect(address).await.unwrap();
        let (session, _) = listener.accept().await.unwrap();
        drop(listener);
        assert!(!is_served(&address.to_string()).await, "a connection is left");
        drop(session);
        drop(caller);
        assert!(!is_served(&address.to_string()).await, "what was a connection is left");
    }

    /// Two that waited for the same data took each other for a server that runs, and gave up.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn who_only_looks_serves_nobody_and_is_in_nobodys_way() {
        let looks = bound(([127, 0, 0, 1], 0).into()).unwrap();
        let address = looks.local_addr().unwrap().to_string();
        assert!(!is_served(&address).await);
        assert!(TcpListener::bind(&address).await.is_ok());
    }
}
