//! The gate: it takes the words of neighbours of another make, on the address for clients.
//!
//! Connections from the IP address of such a neighbour come here first. One whose first word belongs to a dialect of a
//! neighbour at that address carries one message; any other is a client's and goes on to a session, with the bytes that
//! were read. What was read together with the end of a message begins anew, as another message or as a client's lines. One
//! that says no first word for as long as a client may take for its first line is hung up on. Nothing but the IP address
//! says that a message is a neighbour's: this trusts the network.

use super::Stranger;
use crate::complaints::{Complaints, LastReason};
use crate::messages::{Ask, Hear, Overhear, Recall};
use crate::net::{Dice, Seams, Socket, fresh, read, unread};
use crate::panics::OnPanic;
use crate::waiting::{Bell, in_time, ms_since};
use actix::Recipient;
use herd_core::dialect::gate::consequence;
use herd_core::dialect::speech::{Speech, Told, Unreadable, acknowledgement, parse};
use herd_core::dialect::{Dialect, Opening, gps, opening};
use herd_core::frame::{Frame, Update};
use herd_core::limits::Limits;
use herd_core::line::print_invalid;
use herd_core::record::Record;
use herd_core::seen::Seen;
use herd_core::topology::host_and_port;
use log::{debug, trace, warn};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// Takes the words of neighbours of another make.
pub struct Gate {
    neighbours: Vec<Known>,
    desk: Desk,
    dice: Dice,
    limits: Limits,
    /// The UUIDs of updates that came in this way.
    seen: RefCell<Seen>,
    began: Instant,
    /// Rung once, when nothing more is to be taken.
    stop: Arc<Bell>,
}

/// Whom the gate asks and tells: the store, for each of these.
#[derive(Clone)]
pub struct Desk {
    /// What is known of a client.
    pub recall: Recipient<Recall>,
    /// What a neighbour said that is news.
    pub hear: Recipient<Hear>,
}

/// A neighbour whose words are taken.
pub struct Known {
    name: String,
    speaks: Dialect,
    host: String,
    /// Where it is, as far as that is known.
    addresses: RefCell<Vec<IpAddr>>,
    overhear: Recipient<Overhear>,
    ask: Recipient<Ask>,
    /// Messages from there that could not be read exactly.
    refused: Cell<u64>,
    complaints: Complaints,
}

impl Known {
    /// A neighbour, and the actor that speaks to it.
    pub fn new(stranger: &Stranger, overhear: Recipient<Overhear>, ask: Recipient<Ask>) -> Self {
        let (host, _) = host_and_port(&stranger.clients);
        Self {
            name: stranger.name.clone(),
            speaks: stranger.speaks,
            addresses: RefCell::new(host.parse().into_iter().collect()),
            host: host.to_owned(),
            overhear,
            ask,
            refused: Cell::new(0),
            complaints: Complaints::default(),
        }
    }

    /// True if it is at a host with a name, which may be elsewhere tomorrow.
    fn has_name(&self) -> bool {
        self.host.parse::<IpAddr>().is_err()
    }

    fn is_at(&self, address: IpAddr) -> bool {
        self.addresses.borrow().iter().any(|known| known.to_canonical() == address.to_canonical())
    }
}

/// How much is read at a time: what is behind a message is seen only if it was read with it.
const READ_SIZE: usize = 2 * 1024;

impl Gate {
    /// A gate for some neighbours, until `stop` rings.
    pub fn new(
        neighbours: Vec<Known>,
        desk: Desk,
        limits: &Limits,
        seams: &Seams,
        stop: Arc<Bell>,
    ) -> Rc<Self> {
        let gate = Rc::new(Self {
            neighbours,
            desk,
            dice: seams.dice.clone(),
            limits: limits.clone(),
            seen: RefCell::new(Seen::new(limits.seen_max, limits.seen_ms)),
            began: Instant::now(),
            stop,
        });
        let (looking, seams) = (Rc::clone(&gate), seams.clone());
        if gate.neighbours.iter().any(Known::has_name) {
            let on_panic = OnPanic::abort(&seams.abort, "whoever looks up neighbours");
            actix_rt::spawn(async move {
                let _on_panic = on_panic;
                looking.look_up(&seams).await;
            });
        }
        gate
    }

    /// Whether connections from an address come here first.
    pub fn is_for(&self, address: IpAddr) -> bool {
        self.neighbours.iter().any(|known| known.is_at(address))
    }

    /// How many messages from a neighbour could not be read exactly.
    pub fn refused(&self, name: &str) -> Option<u64> {
        self.neighbours.iter().find(|known| known.name == name).map(|known| known.refused.get())
    }

    /// Hears a connection; gives it back with what was read if it is a client's.
    ///
    /// A neighbour says one message on it. What came behind one begins anew, as another message or a client's line.
    pub async fn open(&self, mut socket: Socket, from: SocketAddr) -> Option<Socket> {
        let hearing = async {
            let mut bytes = Vec::new();
            let spoken = self.spoken(from.ip());
            loop {
                let opening = first_word(&mut socket, &mut bytes, &spoken);
                // A session would wait as long again.
                match in_time(self.limits.first_line_ms, opening).await {
                    Ok(Opening::Neighbour) => bytes = self.hear(&mut socket, bytes, from, &spoken).await?,
                    Ok(_) => return Some(unread(bytes, socket)),
                    Err(error) => {
                        debug!("connection from {from} broke: {error}");
                        return None;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stop.rung_last() => None,
            client = hearing => client,
        }
    }

    fn spoken(&self, from: IpAddr) -> Vec<Dialect> {
        self.neighbours.iter().filter(|known| known.is_at(from)).map(|known| known.speaks).collect()
    }

    /// Hears a neighbour's message to its end, and answers it; gives what came behind it, if that is something.
    async fn hear(
        &self,
        socket: &mut Socket,
        mut message: Vec<u8>,
        from: SocketAddr,
        spoken: &[Dialect],
    ) -> Option<Vec<u8>> {
        let heard = self.converse(socket, &mut message, from, spoken).await;
        trace!(target: "herd::wire", "neighbour {from} > {}", message.escape_ascii());
        heard.unwrap_or_else(|error| {
            debug!("message from {from} lost: {error}");
            None
        })
    }

    async fn converse(
        &self,
        socket: &mut Socket,
        message: &mut Vec<u8>,
        from: SocketAddr,
        spoken: &[Dialect],
    ) -> io::Result<Option<Vec<u8>>> {
        let is_whole = self.read_message(socket, message).await?;
        let rest = message.split_off(newline(message).map_or(message.len(), |at| at + 1));
        let answer = self.answer(message, is_whole, from, spoken).await;
        let rest = rest.trim_ascii_start();
        let goes_on = is_whole && !rest.is_empty();
        let saying = async {
            socket.write_all(&answer).await?;
            if !goes_on {
                socket.shutdown().await?;
            }
            io::Result::Ok(())
        };
        in_time(self.limits.dialect_message_ms, saying).await?;
        Ok(goes_on.then(|| rest.to_vec()))
    }

    /// Does what follows from a message, and gives the answer.
    async fn answer(&self, message: &[u8], is_whole: bool, from: SocketAddr, spoken: &[Dialect]) -> Vec<u8> {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let said = if is_whole { parse(line, spoken) } else { Err(Unreadable::Endless) };
        match said {
            Ok(Speech::Update(told)) => self.take(&told, from.ip()).await,
            Ok(Speech::Which { client, uuid }) => self.search(client, uuid, from.ip()).await,
            Err(why) => {
                self.refuse(from, message.len(), why);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let mut answer = Vec::new();
                print_invalid(&line[..line.len().min(self.limits.line_max)], &mut answer);
                answer
            }
        }
    }

    /// Reads until a newline, the end of the connection, or silence; false if the message became too long or took too
    /// long: what there is of it may be cut within a number.
    async fn read_message(&self, socket: &mut Socket, message: &mut Vec<u8>) -> io::Result<bool> {
        let deadline = Instant::now() + Duration::from_millis(self.limits.dialect_message_ms);
        let silence = Duration::from_millis(self.limits.dialect_silence_ms);
        while newline(message).is_none() && message.len() <= self.limits.line_max {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            match timeout(silence, read(socket, message, READ_SIZE)).await {
                Ok(Ok(0)) | Err(_) => return Ok(true),
                Ok(read) => read?,
            };
        }
        // Its end may have come with more than was missing.
        Ok(newline(message).is_some_and(|length| length <= self.limits.line_max))
    }

    /// Takes an update and returns the acknowledgement. Whoever speaks to a neighbour of that make hears of it before the
    /// store does, so that no neighbour is told what it said itself.
    async fn take(&self, told: &Told, from: IpAddr) -> Vec<u8> {
        let client = told.record().map(|record| record.said.client.to_vec()).unwrap_or_default();
        let record = self.desk.recall.send(Recall { client }).await.unwrap_or_default();
        let kin = || self.neighbours.iter().filter(|known| known.speaks == told.dialect);
        let candidates: Vec<&str> = kin().filter(|kin| kin.is_at(from)).map(|kin| &*kin.name).collect();
        let names: Vec<&str> = kin().map(|kin| &*kin.name).collect();
        let consequence = consequence(told, record.as_deref(), &candidates, &names);
        debug!("heard {}: a record of {} bytes", consequence.link, told.line.len());
        for (name, overheard) in consequence.overheard {
            if let Some(kin) = self.neighbours.iter().find(|known| known.name == name) {
                kin.overhear.do_send(Overhear(overheard)); // An actor that is gone says nothing more to anybody.
            }
        }
        if let Some(line) = consequence.news {
            let frames = vec![Frame::Update(Update::of_line(fresh(&self.dice), &line))];
            if self.desk.hear.send(Hear { link: consequence.link.into(), frames }).await.is_err() {
                warn!("an update was lost: the store is gone");
            }
        }
        let now_ms = ms_since(self.began);
        let is_new = told.spelling.uuid.is_none_or(|uuid| self.seen.borrow_mut().insert(uuid, (), now_ms));
        acknowledgement(told.dialect, is_new).unwrap_or_default().to_vec()
    }

    /// Answers a neighbour's question, if need be with the help of the herd.
    async fn search(&self, client: Vec<u8>, uuid: Uuid, from: IpAddr) -> Vec<u8> {
        let record = self.desk.recall.send(Recall { client: client.clone() }).await.unwrap_or_default();
        let asker = self.neighbours.iter().find(|known| known.speaks.searches() && known.is_at(from));
        let found = match (record, asker) {
            (None, Some(asker)) => asker.ask.send(Ask { uuid, client }).await.unwrap_or_default(),
            (record, _) => record,
        };
        gps::print(found.as_deref().and_then(Record::parse).as_ref())
    }

    /// Where several neighbours are at one address, nobody knows whose it was: the first stands for them.
    fn refuse(&self, from: SocketAddr, length: usize, why: Unreadable) {
        if let Some(known) = self.neighbours.iter().find(|known| known.is_at(from.ip())) {
            known.refused.set(known.refused.get() + 1);
            let name = &known.name;
            known.complaints.make(format_args!(
                "message of {length} bytes from {from}, where {name} is, was refused: {why}"
            ));
        }
    }

    /// Looks up where neighbours are, as often as it is looked whether they take connections: until it is known, what they
    /// say is taken for a client's.
    async fn look_up(&self, seams: &Seams) {
        let pause = Duration::from_millis(self.limits.dialect_look_ms);
        let named = self.neighbours.iter().filter(|known| known.has_name());
        let mut sought: Vec<_> = named.map(|known| (known, LastReason::default())).collect();
        while !self.stop.rang_last() {
            for (known, last_failure) in &mut sought {
                let Known { name, host, .. } = known;
                match seams.network.resolve(host).await {
                    Ok(addresses) => {
                        last_failure.clear();
                        *known.addresses.borrow_mut() = addresses;
                    }
                    Err(error) => {
                        let event = format_args!("nobody knows where {name} is: {host}");
                        last_failure.log(&error.to_string(), event);
                    }
                }
            }
            let _ = timeout(pause, self.stop.rung_last()).await; // Either way it is time to look again.
        }
    }
}

fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n')
}

/// Reads until the first word tells whose the connection is; a connection that ends before that is a client's.
async fn first_word(socket: &mut Socket, bytes: &mut Vec<u8>, spoken: &[Dialect]) -> io::Result<Opening> {
    loop {
        match opening(bytes, spoken) {
            Opening::Undecided if read(socket, bytes, READ_SIZE).await? == 0 => return Ok(Opening::Client),
            Opening::Undecided => {}
            decided => return Ok(decided),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Incoming, Network};
    use crate::testing::{Switchboard, answering, recording, seams};
    use crate::waiting::Step;
    use std::sync::Mutex;

    const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

    /// A gate for one neighbour, before a store that knows nobody.
    fn gate(speaks: Dialect, limits: &Limits) -> Rc<Gate> {
        gate_at("127.0.0.1:9", speaks, limits, Switchboard::new(true, 1).0)
    }

    fn gate_at(clients: &str, speaks: Dialect, limits: &Limits, network: impl Network + 'static) -> Rc<Gate> {
        let there = Stranger {
            name: "Theirs".to_owned(),
            clients: clients.to_owned(),
            speaks,
            kin: vec!["Theirs".to_owned()],
        };
        let known = Known::new(&there, recording().0, answering(|_: Ask| None));
        let desk = Desk { recall: answering(|_: Recall| None), hear: recording().0 };
        Gate::new(vec![known], desk, limits, &seams(network), Arc::default())
    }

    /// A network with one host, which is where the test says, if anywhere.
    struct Names(Arc<Mutex<Option<IpAddr>>>);

    impl Network for Names {
        fn bind<'a>(&'a self, _: &'a str) -> Step<'a, Box<dyn Incoming>> {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn connect<'a>(&'a self, _: &'a str, _: Duration) -> Step<'a, Socket> {
            Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
        }

        fn resolve<'a>(&'a self, _: &'a str) -> Step<'a, Vec<IpAddr>> {
            let address = *self.0.lock().unwrap();
            Box::pin(async move { Ok(vec![address.ok_or(io::ErrorKind::NotFound)?]) })
        }
    }

    /// For half a minute a neighbour whose name was not known at the start was answered as a client, and what it said was
    /// lost, while all that was said to it arrived.
    #[actix::test]
    async fn a_neighbour_is_known_at_its_new_address_as_soon_as_it_is_looked_for_again() {
        tokio::time::pause();
        let host = Arc::new(Mutex::new(None));
        let limits = Limits::default();
        let gate = gate_at("theirs:9", Dialect::At, &limits, Names(Arc::clone(&host)));
        for address in [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from) {
            assert!(!gate.is_for(address));
            *host.lock().unwrap() = Some(address);
            tokio::time::sleep(Duration::from_millis(limits.dialect_look_ms + 1)).await;
            assert!(gate.is_for(address));
        }
    }

    /// One that said nothing was closed after twice the time, since a session then waited as long again.
    #[actix::test]
    async fn who_says_no_first_word_in_time_is_hung_up_on() {
        tokio::time::pause();
        let limits = Limits::default();
        for beginning in ["", "A"] {
            let (mut theirs, ours) = tokio::io::duplex(64);
            theirs.write_all(beginning.as_bytes()).await.unwrap();
            let began = Instant::now();
            let client = gate(Dialect::At, &limits).open(Box::new(ours), FROM.into()).await;
            assert!(client.is_none());
            let first_line = Duration::from_millis(limits.first_line_ms);
            assert!(began.elapsed() >= first_line && began.elapsed() < first_line + Duration::from_secs(1));
        }
    }

    /// Whether it was depended on whether its end came with the read that went over the limit.
    #[actix::test]
    async fn a_message_longer_than_the_longest_line_is_refused_wherever_it_ends() {
        let limits = Limits { line_max: 100, ..Limits::default() };
        for (length, refused) in [(100, 0), (101, 1)] {
            let gate = gate(Dialect::At, &limits);
            let (mut theirs, ours) = tokio::io::duplex(4096);
            let message = format!("AT Theirs +1 kiwi +1-2 {:0>1$}\n", 5, length - 23);
            theirs.write_all(message.as_bytes()).await.unwrap();
            assert!(gate.open(Box::new(ours), FROM.into()).await.is_none());
            assert_eq!(gate.refused("Theirs"), Some(refused), "{length}");
        }
    }
}
