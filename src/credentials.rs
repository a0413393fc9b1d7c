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

/// What `herd status` and `herd up` show, which are no servers: a certificate of their own if the directory holds one that
/// can be used, or the first such of the servers.
pub fn of_asker(servers: &[Server], peer_tls: Option<&Path>) -> Result<Credentials, Failure> {
    let tls = directory(peer_tls)?.map(|dir| of_any(dir, servers)).transpose();
    Ok(Credentials { secret: secrets::of_the_herd()?, tls: tls.map_err(unusable)? })
}

/// Takes the first certificate of an asker that can be used. Where none can, the first says why.
fn of_any(dir: &Path, servers: &[Server]) -> Result<Tls, Unusable> {
    let names = std::iter::once(ASKER).chain(servers.iter().map(|server| server.name.as_str()));
    let mut why = None;
    for name in names.filter(|name| dir.join(format!("{name}.pem")).exists()) {
        match Tls::of_caller(dir, name) {
            Ok(tls) => return Ok(tls),
            Err(unusable) => why = why.or(Some(unusable)),
        }
    }
    why.map_or_else(|| Tls::of_caller(dir, ASKER), Err)
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use std::fs;

    fn server(name: &str) -> Server {
        Server { name: name.to_owned(), clients: "h:1".to_owned(), peers: "h:2".to_owned(), speaks: None }
    }

    /// When the certificate of the first server had expired, no server was started, though all others were well.
    #[test]
    fn an_asker_shows_the_next_certificate_where_the_first_cannot_be_used() {
        let dir = std::env::temp_dir().join(format!("herd-credentials-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
        let issue = |name: &str, until: i32| {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(until, 3, 2);
            let key = KeyPair::generate().unwrap();
            fs::write(dir.join(format!("{name}.pem")), params.signed_by(&key, &authority).unwrap().pem())
                .unwrap();
            fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        };
        let servers = ["a", "b", "c"].map(server);
        issue("a", 2018);
        let refused = |servers: &[Server]| of_any(&dir, servers).unwrap_err().to_string();
        assert!(refused(&servers).contains("a.pem is no certificate under"), "{}", refused(&servers));
        issue("c", 2999);
        assert!(of_any(&dir, &servers).is_ok());
        assert!(refused(&servers[1..2]).contains("status.pem cannot be read"));
        // What is left behind lies in the directory for such things.
        let _ = fs::remove_dir_all(&dir);
    }
}
