//! What this program shows at the doors of servers: the secret of the herd, and a certificate where TLS is wanted.

use crate::failure::Failure;
use crate::secrets;
use herd_actors::door::Credentials;
use herd_actors::tls::{Tls, Unusable, Validity};
use herd_core::handshake::{ASKER, NOBODY};
use herd_core::topology::Server;
use rustls::pki_types::UnixTime;
use std::path::Path;
use tokio::time::sleep;

/// What a server of this name shows.
pub fn of_server(name: &str, peer_tls: Option<&Path>) -> Result<Credentials, Failure> {
    let tls = peer_tls.map(|dir| Tls::of_server(dir, name)).transpose();
    Ok(Credentials { secret: secrets::of_the_herd()?, tls: tls.map_err(unusable)? })
}

/// What `herd status` and `herd up` show, which are no servers: a certificate of their own if the directory holds one that
/// can be used, or the first such of the servers.
pub fn of_asker(servers: &[Server], peer_tls: Option<&Path>) -> Result<Credentials, Failure> {
    let names = std::iter::once(ASKER).chain(members(servers));
    Ok(of_first(peer_tls, names)?.0)
}

/// Reminds somebody to renew the certificate of a server in time: links that are up outlive it, so that its end may be noticed
/// much later.
pub async fn remind(name: String, validity: Validity) {
    loop {
        if let Some(warning) = renewal(&name, validity, UnixTime::now().as_secs()) {
            log::warn!("{warning}");
        }
        sleep(validity.reminder()).await;
    }
}

/// What is to be said of a certificate that is to be renewed.
fn renewal(name: &str, validity: Validity, now_s: u64) -> Option<String> {
    let ends = match validity.days_left(now_s) {
        _ if !validity.ends_soon(now_s) => return None,
        _ if validity.left(now_s).is_zero() => "has run out".to_owned(),
        0 => "runs out within a day".to_owned(),
        days => format!("runs out in {days} days"),
    };
    Some(format!(
        "the certificate of {name} {ends}, and no link comes up after that: renew it and start {name} anew"
    ))
}

/// What `herd list` shows, which is told what only servers are told: the certificate of the first of these that the directory
/// has a usable one for. Told, too, is the name that it may go by.
pub fn of_member(servers: &[Server], peer_tls: Option<&Path>) -> Result<(Credentials, String), Failure> {
    if let Some(dir) = peer_tls.filter(|dir| has_certificate(dir, ASKER))
        && !members(servers).any(|name| has_certificate(dir, name))
    {
        let dir = dir.display();
        return Err(Failure::Undone(format!(
            "{dir} has no certificate of a server, which is what herd list shows: {ASKER}.pem is for less; \
             see docs/security.md"
        )));
    }
    let (credentials, name) = of_first(peer_tls, members(servers))?;
    Ok((credentials, name.unwrap_or(NOBODY).to_owned()))
}

/// The names of those servers that may have certificates: one of another make knows none.
fn members(servers: &[Server]) -> impl Iterator<Item = &str> {
    servers.iter().filter(|server| server.speaks.is_none()).map(|server| server.name.as_str())
}

/// The secret, and where TLS is wanted the first certificate that can be used, with its name.
fn of_first<'a>(
    peer_tls: Option<&Path>,
    names: impl Iterator<Item = &'a str>,
) -> Result<(Credentials, Option<&'a str>), Failure> {
    let first = peer_tls.map(|dir| of_any(dir, names)).transpose().map_err(unusable)?;
    let (tls, name) = first.unzip();
    Ok((Credentials { secret: secrets::of_the_herd()?, tls }, name))
}

/// Takes the first of some certificates that can be used. Where none can, the first that is there says why.
fn of_any<'a>(dir: &Path, names: impl Iterator<Item = &'a str>) -> Result<(Tls, &'a str), Unusable> {
    let names: Vec<&str> = names.collect();
    let mut why = None;
    for &name in names.iter().filter(|name| has_certificate(dir, name)) {
        match Tls::of_caller(dir, name) {
            Ok(tls) => return Ok((tls, name)),
            Err(unusable) => why = why.or(Some(unusable)),
        }
    }
    let first = names.first().copied().unwrap_or(ASKER);
    why.map_or_else(|| Ok((Tls::of_caller(dir, first)?, first)), Err)
}

fn has_certificate(dir: &Path, name: &str) -> bool {
    dir.join(format!("{name}.pem")).exists()
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn unusable(file: Unusable) -> Failure {
    Failure::Undone(format!("{file}; see docs/security.md for what --peer-tls wants"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use std::fs;
    use std::path::PathBuf;

    /// A directory with what an authority has issued.
    struct Papers {
        dir: PathBuf,
        authority: CertifiedIssuer<'static, KeyPair>,
    }

    impl Papers {
        fn new(test: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("herd-credentials-{test}-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
            Self { dir, authority }
        }

        /// Issues a certificate that is good until the beginning of a year; told is when that is, in POSIX seconds.
        fn issue(&self, name: &str, until: i32) -> u64 {
            let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            params.not_after = date_time_ymd(until, 1, 1);
            let (end, key) = (params.not_after, KeyPair::generate().unwrap());
            let certificate = params.signed_by(&key, &self.authority).unwrap();
            fs::write(self.dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
            end.unix_timestamp().try_into().unwrap()
        }
    }

    impl Drop for Papers {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.dir); // What is left behind lies in the directory for such things.
        }
    }

    fn server(name: &str) -> Server {
        Server { name: name.to_owned(), clients: "h:1".to_owned(), peers: "h:2".to_owned(), speaks: None }
    }

    /// When the certificate of the first server had expired, no server was started, though all others were well.
    #[test]
    fn an_asker_shows_the_next_certificate_where_the_first_cannot_be_used() {
        let papers = Papers::new("next");
        let servers = ["a", "b", "c"].map(server);
        papers.issue("a", 2018);
        let asked = |servers: &[Server]| of_asker(servers, Some(&papers.dir));
        let refused = |servers: &[Server]| asked(servers).unwrap_err().to_string();
        assert!(refused(&servers).contains("a.pem is no certificate under"), "{}", refused(&servers));
        papers.issue("c", 2999);
        assert!(asked(&servers).is_ok());
        assert!(refused(&servers[1..2]).contains("status.pem cannot be read"));
    }

    #[test]
    fn it_is_said_in_time_that_a_certificate_runs_out() {
        let papers = Papers::new("renewal");
        let end = papers.issue("a", 2097);
        let validity = Tls::of_server(&papers.dir, "a").unwrap().validity();
        let said = |hours_left: u64| renewal("a", validity, end - 60 * 60 * hours_left).unwrap_or_default();
        assert_eq!(said(30 * 24), "");
        assert!(
            said(30 * 24 - 1).starts_with("the certificate of a runs out in 29 days"),
            "{}",
            said(30 * 24 - 1)
        );
        assert!(said(23).starts_with("the certificate of a runs out within a day"), "{}", said(23));
        assert!(said(0).starts_with("the certificate of a has run out"), "{}", said(0));
    }
}
