//! A link that can be cut: a listener that passes bytes on to a server, as long as it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

/// What becomes of bytes and connections.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// All goes through.
    Open,
    /// Connections are closed at once.
    Cut,
    /// Connections stay open and nothing comes out of them, as behind a firewall that drops packets.
    Silent,
    /// The test is over.
    Over,
}

struct State {
    mood: Mood,
    streams: Vec<TcpStream>,
    /// The first bytes that went through, in both directions.
    overheard: Vec<u8>,
}

/// How much is kept of what goes through.
const OVERHEARD_MAX: usize = 1024 * 1024;

/// One direction of dialling: who is pointed at `address` is connected to the server behind it.
pub struct Cut {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Cut {
    pub fn new(address: String, target: &str) -> Self {
        let listener = TcpListener::bind(&address).expect("an address that was reserved");
        let state =
            Arc::new(Mutex::new(State { mood: Mood::Open, streams: Vec::new(), overheard: Vec::new() }));
        let (shared, target) = (Arc::clone(&state), target.to_owned());
        thread::spawn(move || accept(&listener, &target, &shared));
        Cut { address, state }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Breaks all connections and refuses new ones.
    pub fn cut(&self) {
        self.change(Mood::Cut);
    }

    /// Swallows all bytes from now on, and leaves the connections open.
    pub fn silence(&self) {
        lock(&self.state).mood = Mood::Silent;
    }

    /// Lets new connections through. The old ones have lost bytes, so they end.
    pub fn heal(&self) {
        self.change(Mood::Open);
    }

    /// What anybody between the two servers has seen so far.
    pub fn overheard(&self) -> Vec<u8> {
        lock(&self.state).overheard.clone()
    }

    fn change(&self, mood: Mood) {
        let mut state = lock(&self.state);
        state.mood = mood;
        for stream in state.streams.drain(..) {
            close(&stream);
        }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.change(Mood::Over);
        // Wakes the thread that accepts, so that it sees that it is over. If it is gone already, all the better.
        let _ = TcpStream::connect(&self.address);
    }
}

fn accept(listener: &TcpListener, target: &str, state: &Arc<Mutex<State>>) {
    for dialler in listener.incoming().map_while(Result::ok) {
        match lock(state).mood {
            Mood::Over => return,
            Mood::Cut => continue,
            Mood::Open | Mood::Silent => {}
        }
        if let Ok(server) = TcpStream::connect(target) {
            join(&dialler, &server, state);
        }
    }
}

/// Passes bytes both ways, unless the link was cut while the server was dialled.
fn join(dialler: &TcpStream, server: &TcpStream, state: &Arc<Mutex<State>>) {
    let mut guard = lock(state);
    if matches!(guard.mood, Mood::Cut | Mood::Over) {
        return;
    }
    for (from, to) in [(dialler, server), (server, dialler)] {
        guard.streams.push(copy_of(from));
        let (from, to, shared) = (copy_of(from), copy_of(to), Arc::clone(state));
        thread::spawn(move || pump(from, to, &shared));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, state: &Mutex<State>) {
    let mut room = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut room) {
        let silent = {
            let mut state = lock(state);
            let kept = count.min(OVERHEARD_MAX.saturating_sub(state.overheard.len()));
            state.overheard.extend_from_slice(&room[..kept]);
            state.mood == Mood::Silent
        };
        if !silent && to.write_all(&room[..count]).is_err() {
            break;
        }
    }
    close(&from);
    close(&to);
}

fn copy_of(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a second handle of a socket")
}

fn close(stream: &TcpStream) {
    // A socket that is closed already is what was wanted.
    let _ = stream.shutdown(Shutdown::Both);
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics with the lock")
}
