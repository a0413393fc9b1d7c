//! One HTTP request and its whole reply, within a deadline and a length.

use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::Version;
use awc::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, HttpDate, RETRY_AFTER, TRANSFER_ENCODING,
    USER_AGENT,
};
use awc::{Client, ClientRequest, ClientResponse, Connector, SendClientRequest};
use herd_core::places::{Failure, Key, Limits, Reply, Request};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::num::IntErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How servers of providers see us; Overpass wants to know whom it serves.
const OUR_NAME: &str =
    concat!("herd/", env!("CARGO_PKG_VERSION"), " (places near a client; ask its operator)");

/// Sends requests. Redirects are not followed: they would carry a key to another host.
pub(super) struct Web {
    /// The client, with the connections that it keeps.
    client: RefCell<Client>,
    /// The authorities to believe, if these are not the public ones.
    believed: Option<Arc<ClientConfig>>,
    deadline: Duration,
    body_max: usize,
}

/// A reply that came within the limits.
pub(super) struct Fetched {
    code: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Fetched {
    /// Removes the key from the body, should the provider have repeated it.
    pub(super) fn scrubbed(mut self, key: Option<&Key>) -> Self {
        if let Some(key) = key {
            self.body = key.scrub_bytes(self.body);
        }
        self
    }

    /// Returns the reply as the core takes it.
    pub(super) fn reply(&self) -> Reply<'_> {
        Reply { code: self.code, retry_after: self.retry_after, body: &self.body }
    }
}

impl Web {
    pub(super) fn new(limits: &Limits, authorities: &[CertificateDer<'static>]) -> Self {
        // awc panics where no provider is installed; one that is installed already is what is wanted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let believed = (!authorities.is_empty()).then(|| Arc::new(believing(authorities)));
        let client = RefCell::new(fresh(limits.deadline, believed.as_ref()));
        Self { client, believed, deadline: limits.deadline, body_max: limits.body_max }
    }

    /// Sends a request and reads the reply to its end. `may_repeat` tells whether it may be sent again if it has gone to a
    /// connection of an earlier request that is closed.
    pub(super) async fn fetch(
        &self,
        request: &Request,
        may_repeat: impl FnOnce() -> bool,
    ) -> Result<Fetched, Failure> {
        let late = |_| Failure::broken(format!("no whole answer within {} ms", self.deadline.as_millis()));
        timeout(self.deadline, self.exchange(request, may_repeat)).await.map_err(late)?
    }

    /// Asks a second time where the first may have gone to a connection that the provider was just closing.
    async fn exchange(
        &self,
        request: &Request,
        may_repeat: impl FnOnce() -> bool,
    ) -> Result<Fetched, Failure> {
        let sent = match self.send(request)?.await {
            Err(error) if is_hanging_up(&error) && may_repeat() => {
                self.forget_connections(); // Of those there are, the others may be closed as well.
                self.send(request)?.await
            }
            sent => sent,
        };
        self.read(sent.map_err(|error| unsent(&error))?).await
    }

    /// Has later requests go to connections that there are not yet.
    fn forget_connections(&self) {
        self.client.replace(fresh(self.deadline, self.believed.as_ref()));
    }

    fn send(&self, request: &Request) -> Result<SendClientRequest, Failure> {
        Ok(match &request.body {
            Some(body) => self.prepare(request, true)?.send_body(body.clone()),
            None => self.prepare(request, false)?.send(),
        })
    }

    async fn read(&self, mut response: ClientResponse) -> Result<Fetched, Failure> {
        let (code, retry_after) = (response.status().as_u16(), retry_after(&response));
        if code != 200 {
            // What comes behind, as an answer does behind 103, would be taken for the answer to another request: the
            // connections that there are get no more of them.
            self.forget_connections();
            let body = timeout(REASON_WAIT, response.body().limit(self.body_max)).await;
            let body = body.ok().and_then(Result::ok).map(|body| body.to_vec()).unwrap_or_default();
            return Ok(Fetched { code, retry_after, body });
        }
        check_readable(&response)?;
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let body = response.body().limit(self.body_max).await.map_err(|error| match error {
            PayloadError::Overflow => {
                Failure::broken(format!("the answer is over {} bytes long", self.body_max))
            }
            _ => broken_off(&error),
        })?;
        if length.is_some_and(|length: usize| body.len() < length) {
            return Err(broken_off(&"it is not whole"));
        }
        Ok(Fetched { code, retry_after, body: body.to_vec() })
    }

    fn prepare(&self, request: &Request, is_post: bool) -> Result<ClientRequest, Failure> {
        let client = self.client.borrow();
        let mut prepared = if is_post { client.post(&request.url) } else { client.get(&request.url) };
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value)) else {
                return Err(Failure::broken("a header of the request is malformed"));
            };
            // Whoever logs headers then does not log this one.
            value.set_sensitive(true);
            prepared = prepared.insert_header((name, value));
        }
        Ok(prepared)
    }
}

fn broken_off(why: &dyn fmt::Display) -> Failure {
    Failure::broken(format!("the answer broke off: {why}"))
}

/// How long the words are waited for that come with a status other than 200, which says the most.
const REASON_WAIT: Duration = Duration::from_secs(1);

/// Makes a client that has no connections yet.
fn fresh(deadline: Duration, believed: Option<&Arc<ClientConfig>>) -> Client {
    // The connection is within the one deadline, and HTTP/2 is not spoken because awc logs its heads, key and all.
    // How many connections there are is bounded by the requests that are under way, and not once more by 100.
    let mut connector = Connector::new()
        .timeout(deadline)
        .handshake_timeout(deadline)
        .max_http_version(Version::HTTP_11)
        .limit(0);
    if let Some(believed) = believed {
        connector = connector.rustls_0_23(Arc::clone(believed));
    }
    Client::builder()
        .connector(connector)
        .disable_redirects()
        .disable_timeout()
        .add_default_header((USER_AGENT, OUR_NAME))
        .finish()
}

/// Returns a configuration that believes these authorities and no others.
fn believing(authorities: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    // Those that are no certificates are left out; nothing is believed that should not be.
    roots.add_parsable_certificates(authorities.iter().cloned());
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

fn unsent(error: &SendRequestError) -> Failure {
    match error {
        SendRequestError::Url(_) => {
            Failure::broken("its address is malformed; look at the --places-…-url options")
        }
        SendRequestError::Connect(ConnectError::Resolver(_) | ConnectError::NoRecords) => {
            Failure::broken("the name of its host is unknown")
        }
        SendRequestError::Connect(error) => Failure::broken(format!("it cannot be connected to: {error}")),
        error => Failure::broken(format!("the request failed: {error}")),
    }
}

/// Tells whether the other side ended the connection before it said anything.
fn is_hanging_up(error: &SendRequestError) -> bool {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) | SendRequestError::Send(_) => true,
        SendRequestError::Response(error) => error.source().is_some_and(<dyn Error>::is::<io::Error>),
        _ => false,
    }
}

/// Refuses what would come as nonsense or as nothing, and says why: a body packed unasked, and one without a length
/// on HTTP/1.1, which awc takes for none.
fn check_readable<S>(response: &ClientResponse<S>) -> Result<(), Failure> {
    let headers = response.headers();
    let packed = headers.get(CONTENT_ENCODING).filter(|encoding| encoding.as_bytes() != b"identity");
    if let Some(encoding) = packed {
        return Err(Failure::broken(format!("the answer is packed, which nobody asked for: {encoding:?}")));
    }
    let is_measured = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if response.version() == Version::HTTP_11 && !is_measured {
        return Err(Failure::broken("the answer has neither Content-Length nor Transfer-Encoding"));
    }
    Ok(())
}

/// Reads how long to wait, which is said in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after<S>(response: &ClientResponse<S>) -> Option<Duration> {
    let said = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let until = |date: HttpDate| SystemTime::from(date).duration_since(SystemTime::now()).ok();
    match said.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(Duration::MAX),
        Err(_) => said.parse().ok().and_then(until),
    }
}
