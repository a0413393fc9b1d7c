//! What this program shows at the doors of servers: the secret of the herd, and a certificate where TLS is wanted.

use crate::failure::Failure;
use crate::secrets;
use herd_actors::door::Credentials;
use herd_actors::tls::{Tls, Unusable};
use herd_core::handshake::ASKER;
use herd_core::topology::Server;
use std::path::Path;

/// What a server of this name shows.
pub fn of_server(name: &str, peer_tls: Option<&Path>) -> Result<Credentials, Failure> {
    let tls = directory(peer_tls)?.map(|dir| Tls::of_server(dir, name)).transpose();
    Ok(Credentials { secret: secrets::of_the_herd()?, tls: tls.map_err(unusable)? })
}

/// What `herd status` and `herd up` show, which are no servers: a certificate of their own if the directory holds one,
/// or that of the first of the servers whose certificate it holds.
pub fn of_asker(servers: &[Server], peer_tls: Option<&Path>) -> Result<Credentials, Failure> {
    let tls = directory(peer_tls)?.map(|dir| Tls::of_caller(dir, asker(dir, servers))).transpose();
    Ok(Credentials { secret: secrets::of_the_herd()?, tls: tls.map_err(unusable)? })
}

fn asker<'a>(dir: &Path, servers: &'a [Server]) -> &'a str {
    let names = std::iter::once(ASKER).chain(servers.iter().map(|server| server.name.as_str()));
    names.into_iter().find(|name| dir.join(format!("{name}.pem")).exists()).unwrap_or(ASKER)
}

/// The directory; one without a name is refused, because it looks like TLS and is none.
fn directory(peer_tls: Option<&Path>) -> Result<Option<&Path>, Failure> {
    match peer_tls {
        Some(dir) if dir.as_os_str().is_empty() => {
            Err(Failure::Usage("--peer-tls (HERD_PEER_TLS) is set to nothing; name a directory".to_owned()))
        }
        dir => Ok(dir),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unusable(file: Unusable) -> Failure {
    Failure::Undone(format!("{file}; see docs/security.md for what --peer-tls wants"))
}
