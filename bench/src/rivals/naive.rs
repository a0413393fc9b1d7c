//! A herd as one would write it first: one message and one write per update and neighbour.
//!
//! Towards clients it is as good as it can be (one message and one write per read); only the flooding is naive.
//! Every update gets a UUID, every server forwards what it had not seen to all neighbours but the sender.

use std::collections::{HashMap, HashSet};
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use super::next_line;

/// Where a server listens and whom it dials.
pub struct Settings {
    /// The server's name, for its replies.
    pub name: String,
    /// Where its clients reach it.
    pub clients: String,
    /// Where its neighbours reach it.
    pub peers: String,
    /// How many links it has. It lets no clients in before it has them all: what it floods over a link that is not there
    /// yet is lost for ever.
    pub links: usize,
    /// The neighbours that this server dials: each link is dialled from one end.
    pub dials: Vec<String>,
}

/// What the store is told.
enum Said {
    /// All whole lines of one read, answered by all replies.
    Batch { lines: Vec<u8>, reply: oneshot::Sender<Vec<u8>> },
    /// A link is up; what is flooded goes to `outbox`.
    LinkUp { outbox: mpsc::UnboundedSender<Vec<u8>> },
    /// One `CLIENTAT <uuid> …` line of a neighbour.
    Update { link: usize, line: Vec<u8> },
}

type Store = mpsc::UnboundedSender<Said>;

/// Serves until the process is ended.
pub fn serve(settings: Settings) -> io::Result<()> {
    super::run(async move {
        let peers = TcpListener::bind(&settings.peers).await?;
        let (store, heard) = mpsc::unbounded_channel();
        tokio::task::spawn_local(keep(settings.name, heard));
        for neighbour in settings.dials {
            tokio::task::spawn_local(dial(neighbour, store.clone()));
        }
        while NEXT_LINK.get() < settings.links {
            tokio::select! {
                accepted = peers.accept() => link(accepted?.0, &store)?,
                // Dialling goes on meanwhile, and may make the last link.
                () = tokio::task::yield_now() => {}
            }
        }
        let clients = TcpListener::bind(&settings.clients).await?;
        loop {
            // How a connection ends is its own affair: the bench reports what it misses.
            tokio::task::spawn_local(session(clients.accept().await?.0, store.clone()));
        }
    })
}

/// Owns the records: the store's loop.
async fn keep(name: String, mut heard: mpsc::UnboundedReceiver<Said>) {
    let mut records: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut seen: HashSet<u128> = HashSet::new();
    let mut links: Vec<mpsc::UnboundedSender<Vec<u8>>> = Vec::new();
    // Distinct per server and update, which is all that is asked of it here.
    let mut identifier = u128::from(std::process::id()) << 64;
    while let Some(said) = heard.recv().await {
        match said {
            Said::LinkUp { outbox } => links.push(outbox),
            Said::Update { link, line } => {
                let Some((uuid, fields)) = parse(&line) else { continue };
                if seen.insert(uuid) {
                    apply(&mut records, fields);
                    flood(&links, Some(link), &line);
                }
            }
            Said::Batch { lines, reply } => {
                let mut out = Vec::with_capacity(lines.len() * 2);
                let mut at = 0;
                while let Some(line) = next_line(&lines, &mut at) {
                    if let Some(fields) = line.strip_prefix(b"IAMAT ") {
                        identifier += 1;
                        seen.insert(identifier);
                        apply(&mut records, fields);
                        let update = [format!("CLIENTAT {identifier:032x} ").as_bytes(), fields].concat();
                        flood(&links, None, &update);
                    }
                    answer(&name, &records, line, &mut out);
                }
                // A session that ended does not wait for its replies.
                let _ = reply.send(out);
            }
        }
    }
}

fn parse(line: &[u8]) -> Option<(u128, &[u8])> {
    let rest = line.strip_prefix(b"CLIENTAT ")?;
    let uuid = std::str::from_utf8(rest.get(..32)?).ok()?;
    Some((u128::from_str_radix(uuid, 16).ok()?, &rest[33..]))
}

fn apply(records: &mut HashMap<Vec<u8>, Vec<u8>>, fields: &[u8]) {
    let client = fields.split(|byte| *byte == b' ').next().unwrap_or_default();
    match records.get_mut(client) {
        Some(record) => fields.clone_into(record),
        None => {
            records.insert(client.to_vec(), fields.to_vec());
        }
    }
}

fn flood(links: &[mpsc::UnboundedSender<Vec<u8>>], from: Option<usize>, line: &[u8]) {
    for (_, outbox) in links.iter().enumerate().filter(|(link, _)| Some(*link) != from) {
        // A neighbour that went away misses updates.
        let _ = outbox.send(line.to_vec());
    }
}

fn answer(name: &str, records: &HashMap<Vec<u8>, Vec<u8>>, line: &[u8], out: &mut Vec<u8>) {
    let mut words = line.split(|byte| *byte == b' ');
    let (verb, client) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reported = if verb == b"IAMAT" { line.get(6..) } else { records.get(client).map(Vec::as_slice) };
    match reported {
        Some(fields) => {
            out.extend_from_slice(format!("AT {name} +0.000000000 ").as_bytes());
            out.extend_from_slice(fields);
        }
        None => out.extend_from_slice(&[b"? ", line].concat()),
    }
    if verb == b"WHATSAT" && reported.is_some() {
        out.push(b'\n');
    }
}

async fn session(mut socket: TcpStream, store: Store) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut input = Vec::with_capacity(16 * 1024);
    while socket.read_buf(&mut input).await? > 0 {
        let Some(end) = input.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = input.split_off(end + 1);
        let (reply, replied) = oneshot::channel();
        let lines = std::mem::replace(&mut input, rest);
        let gone = |_| io::Error::other("the store ended");
        store.send(Said::Batch { lines, reply }).map_err(|_| io::Error::other("the store ended"))?;
        socket.write_all(&replied.await.map_err(gone)?).await?;
    }
    Ok(())
}

async fn dial(neighbour: String, store: Store) -> io::Result<()> {
    loop {
        match TcpStream::connect(&neighbour).await {
            Ok(socket) => return link(socket, &store),
            // The neighbour is being started: this is over in milliseconds.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn link(socket: TcpStream, store: &Store) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (outbox, updates) = mpsc::unbounded_channel();
    let (reader, writer) = socket.into_split();
    let number = NEXT_LINK.with(|next| next.replace(next.get() + 1));
    store.send(Said::LinkUp { outbox }).map_err(|_| io::Error::other("the store ended"))?;
    tokio::task::spawn_local(pass_on(writer, updates));
    tokio::task::spawn_local(hear(reader, number, store.clone()));
    Ok(())
}

thread_local! {
    /// The number of the next link: links are told to the store in the order of their numbers.
    static NEXT_LINK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One write per update.
async fn pass_on(
    mut writer: OwnedWriteHalf,
    mut updates: mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(update) = updates.recv().await {
        writer.write_all(&update).await?;
    }
    Ok(())
}

/// One message per update.
async fn hear(mut reader: OwnedReadHalf, link: usize, store: Store) -> io::Result<()> {
    let mut input = Vec::with_capacity(16 * 1024);
    while reader.read_buf(&mut input).await? > 0 {
        let mut at = 0;
        while let Some(line) = next_line(&input, &mut at) {
            let update = Said::Update { link, line: line.to_vec() };
            store.send(update).map_err(|_| io::Error::other("the store ended"))?;
        }
        input.drain(..at);
    }
    Ok(())
}
