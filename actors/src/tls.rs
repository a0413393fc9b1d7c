//! TLS 1.3 on the connections between servers: both sides show a certificate of the herd's own CA.
//!
//! A directory holds `ca.pem`, the certificates that are trusted; `<name>.pem`, a server's certificate and those
//! between it and the CA; and `<name>.key`, its private key. A certificate is for the server whose name is among its
//! DNS names, in capitals or not. Nothing is resumed: each connection is a whole handshake, so that a certificate that
//! ran out or a CA that is trusted no more is noticed.

use crate::net::Socket;
use crate::reason::reason;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, Error, InvalidMessage, RootCertStore, ServerConfig};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The first byte of a connection that begins a TLS handshake (RFC 8446, 5.1). No line of ours begins with it.
pub const FIRST_BYTE: u8 = 22;

/// How much is kept of what was written while the socket does not take it: as much as one record holds (RFC 8446, 5.1).
/// Whoever waits for that to go out does not see how it is taken little by little.
const UNSENT_MAX: usize = 16 * 1024;

/// What one server has to show in TLS, and whom it trusts.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    validity: Validity,
}

/// From when until when others take the certificates that somebody shows, in POSIX seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    from_s: u64,
    until_s: u64,
}

/// How long before its end certificates are to be renewed at the latest, in seconds; those of a shorter life when a third of
/// that is left, as Let's Encrypt recommends.
const RENEWAL_S: u64 = 30 * DAY_S;

const DAY_S: u64 = 24 * 60 * 60;

/// Nobody looks further ahead, in seconds.
const HORIZON_S: u64 = 100 * 365 * DAY_S;

impl Validity {
    /// What is good now is good until it is not, and so is found by halving what is in doubt.
    fn around(now_s: u64, is_good: impl Fn(u64) -> bool) -> Self {
        let mut validity = Self { from_s: now_s, until_s: now_s };
        let (mut before, mut after) = (0, now_s.saturating_add(HORIZON_S));
        while validity.from_s - before > 1 {
            let middle = before.midpoint(validity.from_s);
            if is_good(middle) { validity.from_s = middle } else { before = middle }
        }
        while after - validity.until_s > 1 {
            let middle = after.midpoint(validity.until_s);
            if is_good(middle) { validity.until_s = middle } else { after = middle }
        }
        validity
    }

    fn length_s(&self) -> u64 {
        self.until_s - self.from_s
    }

    /// How long it lasts from a time on.
    pub fn left(&self, now_s: u64) -> Duration {
        Duration::from_secs(self.until_s.saturating_sub(now_s))
    }

    /// The same in whole days.
    pub fn days_left(&self, now_s: u64) -> u64 {
        self.left(now_s).as_secs() / DAY_S
    }

    /// Whether it is time to renew what is shown.
    pub fn ends_soon(&self, now_s: u64) -> bool {
        self.left(now_s).as_secs() < RENEWAL_S.min(self.length_s() / 3)
    }

    /// How often to remind somebody of that: each day, or more often where it does not last for many.
    pub fn reminder(&self) -> Duration {
        Duration::from_secs((self.length_s() / 10).clamp(60, DAY_S))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// A file that TLS cannot do with, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable {
    path: PathBuf,
    why: String,
}

impl Unusable {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.why)
    }
}

impl std::error::Error for Unusable {}

/// Whoever a certificate says that a caller is.
#[derive(Debug)]
pub struct Guest(CertificateDer<'static>);

impl Guest {
    /// Whether the certificate is for a server of this name.
    pub fn is(&self, name: &str) -> bool {
        let Ok(name) = ServerName::try_from(name) else { return false };
        ParsedCertificate::try_from(&self.0).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}

impl Tls {
    /// Reads what a server of this name shows, and makes sure that others will take it.
    pub fn of_server(dir: &Path, name: &str) -> Result<Self, Unusable> {
        let papers = Papers::read(dir, name)?;
        papers.check_server(name)?;
        papers.into_tls()
    }

    /// Reads what somebody shows who only asks servers how they are: any certificate that they trust, under any name.
    pub fn of_caller(dir: &Path, name: &str) -> Result<Self, Unusable> {
        Papers::read(dir, name)?.into_tls()
    }

    /// From when until when others take what is shown.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Makes sure that the other side is the server of this name, and hides what is said from all others.
    pub async fn connect(&self, socket: Socket, name: &str) -> io::Result<Socket> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut stream = self.connector.connect(name, socket).await.map_err(explain)?;
        stream.get_mut().1.set_buffer_limit(Some(UNSENT_MAX));
        Ok(Box::new(Private(stream)))
    }

    /// Makes sure that the other side has a certificate, and hides what is said from all others. If that fails, the
    /// bare connection is returned: the other side has yet to read why.
    pub async fn accept(&self, socket: Socket) -> Result<(Socket, Guest), (io::Error, Socket)> {
        let mut stream = self.acceptor.accept(socket).into_fallible().await?;
        stream.get_mut().1.set_buffer_limit(Some(UNSENT_MAX));
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        let socket = Box::new(Private(stream));
        match shown {
            Some(certificate) => Ok((socket, Guest(certificate.into_owned()))),
            None => Err((io::Error::other("no certificate was shown"), socket)),
        }
    }
}

/// A connection under TLS that ends as others do. That the other side hung up without a goodbye of TLS's own is an error
/// to rustls, as somebody on the way may have cut off what was said. All that servers say to each other tells its length
/// or its end, so nothing that was cut off is taken for whole.
struct Private<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for Private<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            read => read,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Private<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Says it in our words where rustls knows only that bytes are wrong.
fn explain(error: io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            io::Error::other("no TLS is spoken there: give --peer-tls to both or to neither")
        }
        _ => error,
    }
}

/// The files of one server.
struct Papers {
    provider: Arc<CryptoProvider>,
    ca: PathBuf,
    roots: Arc<RootCertStore>,
    chain_path: PathBuf,
    /// Its certificate first; never empty.
    chain: Vec<CertificateDer<'static>>,
    key_path: PathBuf,
    key: PrivateKeyDer<'static>,
}

impl Papers {
    fn read(dir: &Path, name: &str) -> Result<Self, Unusable> {
        let file = |name: &str, ending: &str| dir.join(format!("{name}.{ending}"));
        let (ca, chain_path, key_path) = (file("ca", "pem"), file(name, "pem"), file(name, "key"));
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&ca)? {
            roots.add(certificate).map_err(|error| Unusable::new(&ca, format!("is of no use: {error}")))?;
        }
        let (chain, key) = (certificates(&chain_path)?, private_key(&key_path)?);
        let provider = Arc::new(ring::default_provider());
        Ok(Self { provider, ca, roots: Arc::new(roots), chain_path, chain, key_path, key })
    }

    /// Checks what a dialler will check, and finds out at the start.
    fn check_server(&self, name: &str) -> Result<(), Unusable> {
        let refused = |error: &dyn fmt::Display| {
            let (ca, why) = (self.ca.display(), format!("{error}"));
            Unusable::new(&self.chain_path, format!("is no certificate for {name} under {ca}: {why}"))
        };
        let dns = ServerName::try_from(name).map_err(|error| refused(&error))?;
        let builder =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&self.provider));
        let verifier = builder.build().map_err(|error| Unusable::new(&self.ca, error))?;
        let (own, between) = self.chain.split_first().ok_or_else(|| refused(&"it is empty"))?;
        verifier
            .verify_server_cert(own, between, &dns, &[], UnixTime::now())
            .map_err(|error| refused(&error))?;
        Ok(())
    }

    fn into_tls(self) -> Result<Tls, Unusable> {
        let Self { provider, ca, roots, chain_path, chain, key_path, key } = self;
        let of_ca = |error: &dyn fmt::Display| Unusable::new(&ca, format!("is of no use: {error}"));
        let of_key = |error: Error| {
            Unusable::new(&key_path, format!("does not go with {}: {error}", chain_path.display()))
        };
        let guard =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let guard = guard.map_err(|error| of_ca(&error))?;
        let now = UnixTime::now();
        check_caller(&*guard, &chain, now).map_err(|error| {
            Unusable::new(&chain_path, format!("is no certificate under {}: {error}", ca.display()))
        })?;
        let validity = Validity::around(now.as_secs(), |s| {
            check_caller(&*guard, &chain, UnixTime::since_unix_epoch(Duration::from_secs(s))).is_ok()
        });
        let dialling = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let dialling = dialling.with_protocol_versions(&[&TLS13]).map_err(|error| of_ca(&error))?;
        let dialling = dialling.with_root_certificates(roots);
        let mut dialling = dialling.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(of_key)?;
        dialling.resumption = Resumption::disabled();
        // The name of the server would be all that is readable on the wire.
        dialling.enable_sni = false;
        let accepting = ServerConfig::builder_with_provider(provider);
        let accepting = accepting.with_protocol_versions(&[&TLS13]).map_err(|error| of_ca(&error))?;
        let accepting = accepting.with_client_cert_verifier(guard);
        let mut accepting = accepting.with_single_cert(chain, key).map_err(of_key)?;
        accepting.send_tls13_tickets = 0;
        Ok(Tls { connector: Arc::new(dialling).into(), acceptor: Arc::new(accepting).into(), validity })
    }
}

/// Checks what an acceptor will check at some time.
fn check_caller(
    guard: &dyn ClientCertVerifier,
    chain: &[CertificateDer<'static>],
    at: UnixTime,
) -> Result<(), Error> {
    let (own, between) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    guard.verify_client_cert(own, between, at).map(|_| ())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match all {
        Ok(all) if all.is_empty() => Err(Unusable::new(path, "holds no certificate")),
        Ok(all) => Ok(all),
        Err(error) => Err(Unusable::new(path, format!("is malformed: {error}"))),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Unusable> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            Unusable::new(path, "holds no private key, or only one with a password on it")
        }
        error => Unusable::new(path, format!("is malformed: {error}")),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    fs::read(path).map_err(|error| Unusable::new(path, format!("cannot be read: {}", reason(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use crate::waiting::write_out;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use tokio::io::AsyncReadExt;

    /// What a server of this name shows, where there is an authority for it alone.
    fn tls_of(name: &str) -> Tls {
        tls_between(name, 2000, 2999)
    }

    /// The same, good from the beginning of one year to that of another.
    fn tls_between(name: &str, from: i32, until: i32) -> Tls {
        let scratch = Scratch::new();
        let write = |file: &str, text: String| fs::write(scratch.path().join(file), text).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        write("ca.pem", issuer.pem());
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
        Tls::of_server(scratch.path(), name).unwrap()
    }

    #[test]
    fn it_is_known_when_a_certificate_will_not_be_taken_any_more() {
        let validity = tls_between("Goloman", 2000, 2097).validity();
        let (start_of_2000, start_of_2097) = (946_684_800, 4_007_836_800);
        assert_eq!(validity, Validity { from_s: start_of_2000, until_s: start_of_2097 });
    }

    #[test]
    fn certificates_are_to_be_renewed_a_month_before_their_end_and_short_lived_ones_in_their_last_third() {
        let year = Validity { from_s: 0, until_s: 365 * DAY_S };
        let days = |validity: &Validity, day: u64| {
            (validity.ends_soon(day * DAY_S), validity.days_left(day * DAY_S))
        };
        assert_eq!(
            [334, 335, 336, 364, 366].map(|day| days(&year, day)),
            [(false, 31), (false, 30), (true, 29), (true, 1), (true, 0)]
        );
        let week = Validity { from_s: 0, until_s: 6 * DAY_S };
        assert_eq!([3, 4, 5].map(|day| days(&week, day)), [(false, 3), (false, 2), (true, 1)]);
        assert_eq!([year, week].map(|validity| validity.reminder().as_secs()), [DAY_S, 6 * DAY_S / 10]);
    }

    /// Both ends of a connection.
    async fn connection() -> (Socket, Socket) {
        let tls = tls_of("Goloman");
        let (near, far) = tokio::io::duplex(1000);
        let (near, far) = tokio::join!(tls.connect(Box::new(near), "Goloman"), tls.accept(Box::new(far)));
        let (far, _) = far.map_err(|(error, _)| error).unwrap();
        (near.unwrap(), far)
    }

    #[actix::test]
    async fn an_end_without_a_goodbye_is_an_end_to_either_side() {
        let ((mut near, far), (near_too, mut far_too)) = (connection().await, connection().await);
        drop((far, near_too));
        for socket in [&mut near, &mut far_too] {
            assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
        }
    }

    #[actix::test]
    async fn one_that_takes_a_record_at_a_time_takes_something_all_the_time() {
        tokio::time::pause();
        let (mut near, mut far) = connection().await;
        let limit = Duration::from_secs(10);
        let bytes = vec![b'x'; 64 * 1024];
        let written = actix_rt::spawn(async move { write_out(&mut near, &bytes, limit).await });
        for _ in 0..8 {
            tokio::time::sleep(limit / 3).await;
            far.read_exact(&mut [0; 8 * 1024]).await.unwrap();
        }
        written.await.unwrap().unwrap().unwrap();
    }
}
