//! Where sockets come from: real TCP, or whatever a test puts in its place. And the other seams: the clock, the dice, and
//! the end of the server.

use crate::waiting::{Step, in_time};
use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// A connection, real or simulated.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + Any {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + Any> Duplex for T {}

/// A connection of any kind.
pub type Socket = Box<dyn Duplex>;

/// Reads some bytes behind those that a buffer holds, at most `size`; 0 is the end of the input.
#[inline]
pub async fn read(socket: &mut Socket, buffer: &mut Vec<u8>, size: usize) -> io::Result<usize> {
    buffer.reserve(size);
    socket.take(size as u64).read_buf(buffer).await
}

/// The connection as it was before some bytes were read from it.
pub fn unread(bytes: Vec<u8>, socket: Socket) -> Socket {
    let (from, to) = tokio::io::split(socket);
    Box::new(tokio::io::join(io::Cursor::new(bytes).chain(from), to))
}

/// A connection on its way from one thread to another.
pub struct Transit(io::Result<std::net::TcpStream>);

impl Transit {
    /// Takes a connection out of the event loop of this thread. What is not plain TCP stays, and comes back.
    pub fn begin(socket: Socket) -> Result<Self, Socket> {
        let is_tcp = (&*socket as &dyn Any).is::<TcpStream>();
        if !is_tcp {
            return Err(socket);
        }
        let stream = (socket as Box<dyn Any>).downcast::<TcpStream>();
        Ok(Self(stream.map_err(|_| io::ErrorKind::Unsupported.into()).and_then(|stream| stream.into_std())))
    }

    /// Puts the connection into the event loop of this thread.
    pub fn end(self) -> io::Result<Socket> {
        Ok(Box::new(TcpStream::from_std(self.0?)?))
    }
}

/// A way to connect and to be connected to.
pub trait Network: Send + Sync {
    /// Takes an address, `host:port`, for connections to come in.
    fn bind<'a>(&'a self, address: &'a str) -> Step<'a, Box<dyn Incoming>>;

    /// Connects to an address, `host:port`. If the host has several, none is waited for so long that the others have no part
    /// of the limit. [`reach`] ends it at the limit.
    fn connect<'a>(&'a self, address: &'a str, limit: Duration) -> Step<'a, Socket>;

    /// The IP addresses of a host. A network that a test has made knows none, unless it says so.
    fn resolve<'a>(&'a self, _host: &'a str) -> Step<'a, Vec<IpAddr>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

/// Connects over a network to an address, `host:port`, within so many milliseconds.
pub async fn reach(network: &dyn Network, address: &str, limit_ms: u64) -> io::Result<Socket> {
    in_time(limit_ms, network.connect(address, Duration::from_millis(limit_ms))).await
}

/// Connections that come in at one address.
pub trait Incoming {
    /// The next connection and where it comes from.
    fn accept(&mut self) -> Step<'_, (Socket, SocketAddr)>;

    /// The address that was taken, with the port that port 0 became.
    fn address(&self) -> io::Result<SocketAddr>;
}

/// The operating system's TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn bind<'a>(&'a self, address: &'a str) -> Step<'a, Box<dyn Incoming>> {
        Box::pin(async move {
            let addresses = lookup_host(address).await?;
            let listen = |address| bound(address)?.listen(BACKLOG);
            let listener: Box<dyn Incoming> = Box::new(first_here(addresses, listen)?);
            Ok(listener)
        })
    }

    fn connect<'a>(&'a self, address: &'a str, limit: Duration) -> Step<'a, Socket> {
        Box::pin(async move { Ok(at_once(connect(address, limit).await?)) })
    }

    fn resolve<'a>(&'a self, host: &'a str) -> Step<'a, Vec<IpAddr>> {
        Box::pin(async move { Ok(lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

impl Incoming for TcpListener {
    fn accept(&mut self) -> Step<'_, (Socket, SocketAddr)> {
        Box::pin(async move {
            let (stream, from) = TcpListener::accept(self).await?;
            Ok((at_once(stream), from))
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

/// How many clients may come at once and wait until they are accepted: as many as Linux allows, if nobody told it
/// otherwise (`net.core.somaxconn`). One that finds no place tries again a second later.
const BACKLOG: u32 = 4096;

/// Takes the first address of a host that this machine has. One that is in use is not passed over, as [`TcpListener::bind`]
/// does: some would reach the one who uses it, and some this server.
fn first_here<T>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    take: impl Fn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failed = no_address();
    for address in addresses {
        match take(address) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => failed = error,
            taken => return taken,
        }
    }
    Err(failed)
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the host has no address")
}

/// Takes an address, and does not listen there yet.
pub fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?; // A server that is started again need not wait for its old connections.
    socket.bind(address)?;
    Ok(socket)
}

/// Connects to an address, `host:port`, as [`Network::connect`] does.
pub async fn connect(address: &str, limit: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + limit;
    let addresses: Vec<_> = lookup_host(address).await?.collect();
    first_of(&addresses, deadline, TcpStream::connect).await
}

/// Connects to the first address that answers. Each has an equal part of the time that those before it have left over.
async fn first_of<T>(
    addresses: &[SocketAddr],
    deadline: Instant,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failed = no_address();
    for (before, &address) in addresses.iter().enumerate() {
        let parts = u32::try_from(addresses.len() - before).unwrap_or(u32::MAX);
        let part = deadline.saturating_duration_since(Instant::now()) / parts;
        match timeout(part, connect(address)).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(connected) => return Ok(connected),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Answers go out when they are written: every write here is a whole batch, so nothing is gained by waiting for more.
fn at_once(stream: TcpStream) -> Socket {
    // Some systems refuse it where the other side has hung up already, which is no reason to accept nobody for a while.
    let _ = stream.set_nodelay(true);
    Box::new(stream)
}

/// What an actor cannot do or know by itself: network, time, dice, the end of the server. A simulation brings its own.
#[derive(Clone)]
pub struct Seams {
    /// Where sockets come from.
    pub network: Arc<dyn Network>,
    /// The time of day, in nanoseconds since 1970 began, UTC.
    pub clock: Clock,
    /// A random number whenever one is needed; nobody outside can foretell it.
    pub dice: Dice,
    /// The end of the whole server, because it cannot go on without lying. It is given the reason.
    pub abort: Abort,
    /// How many panics there were. Whoever runs the server counts them.
    pub panics: Arc<AtomicU64>,
}

/// Ends the whole server.
pub type Abort = Arc<dyn Fn(&str) + Send + Sync>;

/// Tells the time of day, in nanoseconds since 1970 began, UTC.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Throws 122 random bits or more.
pub type Dice = Arc<dyn Fn() -> u128 + Send + Sync>;

/// A UUID that nobody has used.
pub fn fresh(dice: &Dice) -> Uuid {
    uuid::Builder::from_random_bytes(dice().to_be_bytes()).into_uuid()
}

/// Any number, for what is to happen at no set time.
pub fn roll(dice: &Dice) -> u64 {
    u64::try_from(dice() & u128::from(u64::MAX)).unwrap_or_default()
}

impl Seams {
    /// The operating system's network, clock and dice. The end is that of the process, and says no reason: how that is
    /// said is for whoever runs the server to know.
    pub fn real() -> Self {
        Self {
            network: Arc::new(Tcp),
            clock: Arc::new(time_of_day),
            dice: Arc::new(|| Uuid::new_v4().as_u128()),
            abort: Arc::new(|_| std::process::exit(1)),
            panics: Arc::default(),
        }
    }
}

/// A clock before 1970 or after 2554 counts as the nearest of those.
fn time_of_day() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    /// Connects to addresses at which nobody says anything (port 1), nobody is (port 2), or somebody answers.
    async fn connect(ports: &[u16]) -> (io::Result<u16>, Duration) {
        let addresses: Vec<_> = ports.iter().map(|&port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let began = Instant::now();
        let answering = async |address: SocketAddr| match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        };
        (first_of(&addresses, began + LIMIT, answering).await, began.elapsed())
    }

    /// A second server of a name listened at the other address of its host, and each had other clients.
    #[test]
    fn an_address_that_is_in_use_is_not_passed_over_and_one_that_is_of_another_machine_is() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let take = |address: SocketAddr| match address.port() {
            1 => Err(io::ErrorKind::AddrInUse.into()),
            2 => Err(io::ErrorKind::AddrNotAvailable.into()),
            port => Ok(port),
        };
        let taken = |ports: &[u16]| {
            first_here(ports.iter().copied().map(address), take).map_err(|error| error.kind())
        };
        assert_eq!(taken(&[2, 3, 4]), Ok(3));
        assert_eq!(taken(&[2, 1, 3]), Err(io::ErrorKind::AddrInUse));
        assert_eq!(taken(&[2]), Err(io::ErrorKind::AddrNotAvailable));
        assert_eq!(taken(&[]), Err(io::ErrorKind::NotFound));
    }

    /// Each call took the whole time for the first address, and the next began there again.
    #[actix::test]
    async fn an_address_that_says_nothing_leaves_time_for_the_others_of_its_host() {
        tokio::time::pause();
        for ports in [&[3, 1][..], &[1, 3], &[2, 1, 3], &[1, 1, 2, 1, 3]] {
            let (connected, elapsed) = connect(ports).await;
            assert!(connected.is_ok_and(|port| port == 3) && elapsed < LIMIT, "{ports:?}: {elapsed:?}");
        }
    }

    #[actix::test]
    async fn one_that_says_nothing_has_all_the_time_that_the_others_leave() {
        tokio::time::pause();
        for ports in [&[1][..], &[2, 1], &[2, 2, 2, 1]] {
            let (connected, elapsed) = connect(ports).await;
            assert!(connected.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut));
            assert!(elapsed >= LIMIT, "{ports:?}: {elapsed:?}");
        }
    }

    #[actix::test]
    async fn a_host_without_an_address_cannot_be_reached() {
        assert!(connect(&[]).await.0.is_err_and(|error| error.kind() == io::ErrorKind::NotFound));
    }
}
