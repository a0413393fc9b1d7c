//! A server that stands in for a provider: it says what it is told to, and remembers what it was asked.
//!
//! It lives in threads of its own and blocks there, so that tests of the actors with a paused clock and tests of the
//! whole program can both use it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier, Mutex};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The authority that signed the certificate of the stand-in, which is for `localhost` only.
pub const AUTHORITY: &[u8] = include_bytes!("authority.der");
const CERTIFICATE: &[u8] = include_bytes!("server.der");
const KEY: &[u8] = include_bytes!("server.key.der");

/// What the stand-in does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Says this and closes the connection.
    Say(Vec<u8>),
    /// Says this when the test comes to the barrier too.
    SayAt(Arc<Barrier>, Vec<u8>),
    /// Says this as if it would take more requests, and hangs up at the next one.
    SayAndHangUp(Vec<u8>),
    /// Says the first, and the second at the next request over the same connection.
    SayLate(Vec<u8>, Vec<u8>),
    /// Says this, and nothing more until the asker gives up.
    SayAndHang(Vec<u8>),
    /// Says this, and then the same letter as long as somebody listens.
    SayWithoutEnd(Vec<u8>),
}

/// A reply of HTTP with a body.
pub fn http(code: u16, body: &str) -> Answer {
    http_with(code, "", body)
}

/// A reply of HTTP with lines of its own in the head.
pub fn http_with(code: u16, lines: &str, body: &str) -> Answer {
    Answer::Say(head(code, lines, body.len()).into_iter().chain(body.bytes()).collect())
}

/// The head of a reply, up to the empty line.
pub fn head(code: u16, lines: &str, length: usize) -> Vec<u8> {
    let type_ = "Content-Type: application/json";
    format!("HTTP/1.1 {code} X\r\n{type_}\r\nConnection: close\r\n{lines}Content-Length: {length}\r\n\r\n")
        .into()
}

/// A running stand-in.
pub struct StandIn {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<String>>,
    tls: Option<Arc<ServerConfig>>,
}

impl StandIn {
    /// Starts one that gives these answers in turn, the last one for ever.
    pub fn start(answers: impl IntoIterator<Item = Answer>) -> StandIn {
        StandIn::listen(answers, None)
    }

    /// Starts one that speaks TLS.
    pub fn start_tls(answers: impl IntoIterator<Item = Answer>) -> StandIn {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = PrivateKeyDer::try_from(KEY.to_vec()).unwrap();
        let chain = vec![CertificateDer::from(CERTIFICATE.to_vec())];
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        StandIn::listen(answers, Some(Arc::new(config)))
    }

    fn listen(answers: impl IntoIterator<Item = Answer>, tls: Option<Arc<ServerConfig>>) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Mutex::new(answers.into_iter().collect());
        let state = Arc::new(State { answers, requests: Mutex::default(), tls });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || state.welcome(stream));
            }
        });
        StandIn { address, state }
    }

    /// Where it is, for somebody who speaks HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it is, for somebody who speaks TLS and calls it by this name.
    pub fn tls_url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }

    /// The requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl State {
    fn welcome(&self, stream: TcpStream) {
        match &self.tls {
            None => self.converse(stream),
            Some(config) => {
                let connection = ServerConnection::new(Arc::clone(config)).unwrap();
                self.converse(StreamOwned::new(connection, stream));
            }
        }
    }

    fn converse(&self, mut stream: impl Read + Write) {
        let Some(request) = read_request(&mut stream) else { return };
        self.requests.lock().unwrap().push(request);
        // Whoever asked may be gone before all is said, which is for them to say.
        let _ = self.answer(&mut stream);
    }

    fn answer(&self, stream: &mut (impl Read + Write)) -> std::io::Result<()> {
        match self.next() {
            Answer::Say(bytes) => stream.write_all(&bytes)?,
            Answer::SayAt(barrier, bytes) => {
                barrier.wait();
                stream.write_all(&bytes)?;
            }
            Answer::SayAndHangUp(bytes) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
                read_request(stream);
            }
            Answer::SayLate(first, second) => {
                stream.write_all(&first)?;
                stream.flush()?;
                if read_request(stream).is_some() {
                    stream.write_all(&second)?;
                }
            }
            Answer::SayAndHang(bytes) => {
                stream.write_all(&bytes)?;
                stream.flush()?;
                stream.read_exact(&mut [0])?;
            }
            Answer::SayWithoutEnd(bytes) => {
                stream.write_all(&bytes)?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                }
            }
        }
        stream.flush()
    }

    fn next(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap();
        match answers.len() {
            0 => http(500, "the stand-in was told nothing to say"),
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        }
    }
}

/// Reads a request to the end of its body; `None` if it breaks off.
fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= body_length(head)
        {
            return Some(text);
        }
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => request.extend_from_slice(&buffer[..length]),
            _ => return None,
        }
    }
}

fn body_length(head: &str) -> usize {
    let lower = head.to_ascii_lowercase();
    let line = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}
