//! The simulated network as the actors see it, with an ear on what servers say to each other.

use crate::invariants::Invariant;
use crate::trace::Trace;
use herd_actors::net::{Incoming, Network, Socket};
use herd_actors::waiting::Step;
use herd_core::frame::{Frame, Inbox};
use herd_core::record;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};
use uuid::Uuid;

/// The network of one server.
pub struct Simulated {
    pub here: String,
    /// The port for peers; connections to it and from it are listened to.
    pub peers_port: u16,
    /// How many bytes one direction of a connection between servers holds before a write waits.
    pub window: usize,
    /// The same for a connection with a client.
    pub client_window: usize,
    pub trace: Trace,
}

impl Network for Simulated {
    fn bind<'a>(&'a self, address: &'a str) -> Step<'a, Box<dyn Incoming>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            let is_for_peers = listener.local_addr()?.port() == self.peers_port;
            let ear = is_for_peers.then(|| self.ear());
            let window = if is_for_peers { self.window } else { self.client_window };
            Ok(Box::new(Door { listener, ear, window, trace: self.trace.clone() }) as Box<dyn Incoming>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str, _: Duration) -> Step<'a, Socket> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(Wire::new(stream, Some(self.ear()), self.window, &self.trace)?) as Socket)
        })
    }
}

impl Simulated {
    fn ear(&self) -> Ear {
        Ear { here: self.here.clone(), trace: self.trace.clone(), ..Ear::default() }
    }
}

struct Door {
    listener: TcpListener,
    /// What each connection is given, if any.
    ear: Option<Ear>,
    window: usize,
    trace: Trace,
}

impl Incoming for Door {
    fn accept(&mut self) -> Step<'_, (Socket, SocketAddr)> {
        Box::pin(async {
            let (stream, from) = self.listener.accept().await?;
            let wire = Wire::new(stream, self.ear.clone(), self.window, &self.trace)?;
            Ok((Box::new(wire) as Socket, from))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Listens to one end of a connection between servers.
#[derive(Clone, Default)]
struct Ear {
    here: String,
    trace: Trace,
    /// The other server, once a hello has named it.
    there: String,
    /// What was said so far of the handshake, and of a frame that is not complete.
    said: Talk,
    heard: Talk,
    /// True if it is to be a link.
    is_link: bool,
    /// True once it counts as one.
    is_counted: bool,
    /// The searches in which it was asked something.
    asked: BTreeSet<Uuid>,
}

#[derive(Clone, Default)]
struct Talk {
    bytes: Vec<u8>,
    /// Handshake lines that are complete.
    lines: usize,
}

impl Talk {
    /// The next line of the handshake; there are two from each side.
    fn line(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|&byte| byte == b'\n').filter(|_| self.lines < 2)?;
        self.lines += 1;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}

impl Ear {
    fn hear(&mut self, bytes: &[u8]) {
        if self.heard.lines < 2 {
            self.heard.bytes.extend_from_slice(bytes);
            while let Some(line) = self.heard.line() {
                self.shake(&line, false);
            }
            self.count_link();
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        let Self { here, there, .. } = self;
        self.trace.happened(&format!("{here} to {there}: {}", bytes.escape_ascii()));
        self.said.bytes.extend_from_slice(bytes);
        while let Some(line) = self.said.line() {
            self.shake(&line, true);
        }
        self.count_link();
        if self.said.lines == 2 && self.is_link {
            self.count_frames();
        }
    }

    /// Counts the connection as a link from the end of the handshake until it is dropped.
    fn count_link(&mut self) {
        if self.is_link && !self.is_counted && self.said.lines == 2 && self.heard.lines == 2 {
            self.is_counted = true;
            self.trace.linked(&self.here, &self.there, 1);
        }
    }

    /// Reads a line of the handshake.
    fn shake(&mut self, line: &str, is_mine: bool) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["HERD", "1", "link", from, to, _] => {
                self.trace.notes().calls += 1;
                if is_mine { to } else { from }.clone_into(&mut self.there);
                self.is_link = true;
                self.trace.hit(if is_mine { "a server dialled" } else { "a server was dialled" });
            }
            ["REFUSED", ..] => self.trace.hit("a handshake was refused"),
            ["WELCOME"] if self.is_link => self.trace.hit("a link began"),
            _ => {}
        }
    }

    fn count_frames(&mut self) {
        let mut inbox = Inbox::new(std::mem::take(&mut self.said.bytes));
        loop {
            match inbox.next(usize::MAX) {
                Ok(Some(frame)) => self.count(&frame),
                Ok(None) => break,
                Err(malformed) => {
                    let what = format!("{} said {malformed}", self.here);
                    return self.trace.broke(Invariant::NoPanic, what);
                }
            }
        }
        self.said.bytes = std::mem::take(inbox.buffer());
    }

    fn count(&mut self, frame: &Frame) {
        let probe = match frame {
            Frame::Ping => return self.trace.hit("a heartbeat was sent"),
            Frame::Update(update) => {
                self.trace.notes().updates.said += 1;
                update.lines().for_each(|line| self.trace.told(&self.here, line));
                let is_one = update.lines().count() == 1;
                if is_one { "an update was sent" } else { "many records went in one frame" }
            }
            Frame::Have { .. } => "updates were announced",
            Frame::Want { .. } => {
                self.trace.notes().updates.wanted += 1;
                "an update was pulled"
            }
            Frame::Prune { .. } => "a link was pruned",
            Frame::Graft { .. } => "a link was grafted",
            Frame::Which { uuid, .. } => {
                let is_first = self.asked.insert(*uuid);
                self.trace.ensure(Invariant::SearchesEnd, is_first, || {
                    format!("{} asked {} twice in search {uuid}", self.here, self.there)
                });
                "a search was passed on"
            }
            Frame::Found { line, .. } => {
                self.trace.told(&self.here, line);
                "a search found its client"
            }
            Frame::NotFound { .. } => "a search found nothing",
            Frame::Digest { root } => {
                self.trace.notes().roots.insert(self.here.clone(), *root);
                return self.trace.hit("what is known was compared");
            }
            Frame::AskSums { .. } => "sums were asked for",
            Frame::Sums { .. } => "sums were told",
            Frame::AskRecords { .. } => "records were asked for",
            Frame::Records { lines, .. } => {
                record::lines(lines).for_each(|line| self.trace.told(&self.here, line));
                "records were told"
            }
            Frame::Bye { .. } => "a server said goodbye",
        };
        self.trace.hit(probe);
        self.trace.notes().frames += 1;
    }
}

/// Connects a client to a server.
pub async fn dial(server: &str, port: u16, window: usize, trace: &Trace) -> io::Result<Wire> {
    Wire::new(TcpStream::connect((server, port)).await?, None, window, trace)
}

/// One end of a connection.
pub struct Wire {
    stream: TcpStream,
    ear: Option<Ear>,
    /// From here to there.
    ends: (SocketAddr, SocketAddr),
    window: usize,
    trace: Trace,
}

impl Wire {
    fn new(stream: TcpStream, ear: Option<Ear>, window: usize, trace: &Trace) -> io::Result<Self> {
        let ends = (stream.local_addr()?, stream.peer_addr()?);
        Ok(Self { stream, ear, ends, window, trace: trace.clone() })
    }

    /// Waits while more is on its way than the connection holds; tells for how much there is room.
    fn poll_window(&self, ctx: &Context<'_>) -> Poll<usize> {
        let mut notes = self.trace.notes();
        let flight = notes.flights.entry(self.ends).or_default();
        let room = if flight.is_gone { usize::MAX } else { self.window.saturating_sub(flight.bytes) };
        if room > 0 {
            return Poll::Ready(room);
        }
        flight.writer = Some(ctx.waker().clone());
        notes.probes.insert(if self.ear.is_some() {
            "a write waited for a neighbour"
        } else {
            "a write waited for a client"
        });
        Poll::Pending
    }

    /// Notes that some bytes arrived, which makes room for others.
    fn arrived(&self, length: usize) {
        let (here, there) = self.ends;
        if let Some(flight) = self.trace.notes().flights.get_mut(&(there, here)) {
            flight.bytes = flight.bytes.saturating_sub(length);
            flight.writer.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let (here, there) = self.ends;
        let mut notes = self.trace.notes();
        notes.flights.remove(&(here, there));
        let Some(ear) = &self.ear else {
            // Who writes to a client that is gone, or for one to a server that is, finds out by writing.
            if let Some(flight) = notes.flights.get_mut(&(there, here)) {
                flight.is_gone = true;
                flight.writer.take().into_iter().for_each(Waker::wake);
            }
            return;
        };
        drop(notes);
        if ear.is_counted {
            ear.trace.linked(&ear.here, &ear.there, -1);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(ctx, buffer);
        self.arrived(buffer.filled().len() - before);
        if let Some(ear) = &mut self.ear {
            ear.hear(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, ctx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_window(ctx));
        let bytes = &bytes[..bytes.len().min(room)];
        let polled = Pin::new(&mut self.stream).poll_write(ctx, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.trace.notes().flights.entry(self.ends).or_default().bytes += written;
            if let Some(ear) = &mut self.ear {
                ear.say(&bytes[..*written]);
            }
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(ctx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(ctx)
    }
}
