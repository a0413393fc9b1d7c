//! Links over TLS: who may have one, what both sides say of one who may not, and what is read on the way.
//!
//! The test is the certificate authority.

mod harness;

use harness::{HERE, Herd, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SAID: &str = "1520023934.918963997";

/// A certificate authority with a directory for what it issues.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    /// Begins in a directory of the herd, as the only one that is trusted there.
    fn new(herd: &Herd, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("a certificate");
        let dir = herd.directory().join(name);
        fs::create_dir(&dir).expect("a directory");
        fs::write(dir.join("ca.pem"), issuer.pem()).expect("a file");
        Authority { issuer, dir }
    }

    /// Issues a certificate for a DNS name, as `<file>.pem` with its key.
    fn issue(&self, file: &str, dns: &str) {
        let params = CertificateParams::new(vec![dns.to_owned()]).expect("parameters");
        self.issue_as(file, &params);
    }

    fn issue_as(&self, file: &str, params: &CertificateParams) {
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(self.dir.join(format!("{file}.pem")), certificate.pem()).expect("a file");
        fs::write(self.dir.join(format!("{file}.key")), key.serialize_pem()).expect("a file");
    }

    /// What is private of a key that was issued.
    fn private_key(&self, file: &str) -> Vec<u8> {
        let key = PrivateKeyDer::from_pem_file(self.dir.join(format!("{file}.key"))).expect("a key");
        // PKCS #8 of a key on the curve P-256: the number of 32 bytes is behind 36 that are the same for all keys.
        key.secret_der()[36..68].to_vec()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Goloman and Hands, who are neighbours; nothing runs.
fn two() -> Herd {
    Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")])
}

/// The same with certificates for both, and the authority that issued them.
fn two_with_certificates() -> (Herd, Authority) {
    let mut herd = two();
    let authority = Authority::new(&herd, "ca");
    equip(&mut herd, &authority, &["Goloman", "Hands"]);
    (herd, authority)
}

/// Gives servers certificates of an authority for their names, in lower case as most tools write them.
fn equip(herd: &mut Herd, authority: &Authority, names: &[&str]) {
    for name in names {
        authority.issue(name, &name.to_lowercase());
        herd.keep_secret(&format!("the private key of {name}"), &authority.private_key(name));
        herd.server_mut(name).peer_tls = Some(authority.dir.clone());
    }
}

fn wait_for_log(herd: &Herd, name: &str, text: &str) {
    eventually(&format!("{name} logs {text:?}"), || herd.log(name).contains(text).then_some(()));
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// What can be read between two servers that told each other of a client.
fn overheard_with(equip: impl Fn(&mut Herd)) -> Vec<u8> {
    let mut herd = two();
    equip(&mut herd);
    herd.make_cuttable("Goloman", "Hands");
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands"]);
    let line = herd.connect("Goloman").tell("kiwi.cs.ucla.edu", HERE, SAID);
    herd.wait_until_known(&["Hands"], "kiwi.cs.ucla.edu", &line);
    assert_eq!(herd.connect("Hands").find("nobody.cs.ucla.edu"), None);
    herd.overheard("Goloman", "Hands")
}

#[test]
fn servers_with_certificates_have_a_link_and_nobody_can_read_it() {
    let words = ["kiwi", "nobody", HERE, SAID, "HERD", "Goloman", "goloman", "CLIENTAT", "WHICHCLIENT"];
    let in_private = overheard_with(|herd| {
        let authority = Authority::new(herd, "ca");
        equip(herd, &authority, &["Goloman", "Hands"]);
    });
    assert!(!in_private.is_empty());
    assert_eq!(words.iter().find(|word| has(&in_private, word)), None);
    let in_the_open = overheard_with(|_| {});
    let unread: Vec<_> = words.iter().filter(|word| !has(&in_the_open, word)).collect();
    assert_eq!(unread, [&"goloman"], "the eavesdropper is no good");
}

#[test]
fn a_link_to_a_server_that_is_killed_ends_and_comes_back() {
    let (mut herd, _authority) = two_with_certificates();
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands"]);
    herd.kill("Hands");
    wait_for_ends(&herd, 1);
    herd.start("Hands");
    herd.wait_until_linked(&["Goloman", "Hands"]);
    assert!(herd.end("Hands", "TERM").success());
    wait_for_ends(&herd, 2);
}

/// Waits until Goloman's link to Hands has ended so often. The reason is not asked for: what Goloman was just saying
/// may be refused before it hears a goodbye.
fn wait_for_ends(herd: &Herd, count: usize) {
    harness::eventually(&format!("the link has ended {count} times"), || {
        let log = herd.log("Goloman");
        // The log shows each line twice, as it is in the file and on standard error.
        let ends: BTreeSet<&str> = log.lines().filter(|line| line.contains("link to Hands down")).collect();
        (ends.len() == count).then_some(())
    });
}

#[test]
fn a_certificate_of_another_authority_is_refused_and_both_sides_say_why() {
    let mut herd = two();
    let (ours, theirs) = (Authority::new(&herd, "ours"), Authority::new(&herd, "theirs"));
    equip(&mut herd, &ours, &["Goloman"]);
    equip(&mut herd, &theirs, &["Hands"]);
    herd.start_all();
    for name in ["Goloman", "Hands"] {
        wait_for_log(&herd, name, "UnknownIssuer");
        wait_for_log(&herd, name, "received fatal alert: UnknownCA");
    }
    assert!(!herd.log("Goloman").contains(" up made="));
}

#[test]
fn a_server_that_is_not_the_one_that_was_meant_is_refused_by_the_dialler() {
    let mut herd = Herd::new(&["Goloman", "Hands", "Wilkes"], &[("Goloman", "Hands")]);
    let authority = Authority::new(&herd, "ca");
    equip(&mut herd, &authority, &["Goloman", "Wilkes"]);
    herd.server_mut("Hands").peers = herd.server("Wilkes").peers.clone();
    herd.server_mut("Goloman").knows = vec!["Goloman".to_owned(), "Hands".to_owned()];
    herd.server_mut("Wilkes").knows = vec!["Wilkes".to_owned()];
    herd.start("Wilkes");
    herd.start("Goloman");
    wait_for_log(&herd, "Goloman", "not valid for name \"Hands\"");
    wait_for_log(&herd, "Wilkes", "received fatal alert: BadCertificate");
}

/// Dials Goloman over TLS with somebody's certificate, or with none, says hello, and hears the first line.
fn dial(herd: &Herd, shown: Option<(&Authority, &str)>, hello: &str) -> io::Result<String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let roots = read(&herd.server("Goloman").peer_tls.as_ref().expect("a directory").join("ca.pem"));
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_slice(&roots).expect("a certificate")).expect("a root");
    let config = config.expect("TLS").with_root_certificates(trusted);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some((authority, name)) => {
            let file = |ending| read(&authority.dir.join(format!("{name}.{ending}")));
            let chain = vec![CertificateDer::from_pem_slice(&file("pem")).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(&file("key")).expect("a key");
            config.with_client_auth_cert(chain, key).expect("a certificate with its key")
        }
    };
    let name = ServerName::try_from("goloman").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = StreamOwned::new(connection, TcpStream::connect(&herd.server("Goloman").peers)?);
    stream.write_all(hello.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("a file")
}

const HELLO: &str = "HERD 1 link Hands Goloman 00\n";

#[test]
fn a_caller_with_the_certificate_of_another_server_is_refused() {
    let (mut herd, authority) = two_with_certificates();
    authority.issue("Wilkes", "wilkes");
    herd.start("Goloman");
    let refusal = dial(&herd, Some((&authority, "Wilkes")), HELLO).expect("an answer");
    assert_eq!(refusal, "REFUSED the certificate is not that of Hands\n");
    wait_for_log(&herd, "Goloman", "the certificate is not that of Hands");
    let answer = dial(&herd, Some((&authority, "Hands")), HELLO).expect("an answer");
    assert!(answer.starts_with("HERD 1 "), "{answer:?}");
}

#[test]
fn a_caller_without_tls_and_one_who_wants_it_in_vain_are_told_so() {
    let mut herd = two();
    let authority = Authority::new(&herd, "ca");
    equip(&mut herd, &authority, &["Goloman"]);
    herd.start_all();
    // Hands calls without TLS.
    wait_for_log(&herd, "Goloman", "refused here: \"TLS is spoken here: give --peer-tls\"");
    wait_for_log(&herd, "Hands", "refused there: \"TLS is spoken here: give --peer-tls\"");
    // Goloman calls with TLS.
    wait_for_log(&herd, "Goloman", "no TLS is spoken there: give --peer-tls to both or to neither");
    wait_for_log(&herd, "Hands", "no TLS is spoken here: give --peer-tls to both or to neither");
}

#[test]
fn a_caller_without_a_certificate_or_with_that_of_a_stranger_hears_nothing() {
    let mut herd = two();
    let (authority, stranger) = (Authority::new(&herd, "ca"), Authority::new(&herd, "stranger"));
    equip(&mut herd, &authority, &["Goloman"]);
    herd.start("Goloman");
    stranger.issue("Hands", "hands");
    for (shown, alert, why) in [
        (None, "CertificateRequired", "peer sent no certificates"),
        (Some((&stranger, "Hands")), "UnknownCA", "invalid peer certificate"),
    ] {
        let error = dial(&herd, shown, HELLO).expect_err("no answer");
        assert!(error.to_string().contains(alert), "{error}");
        wait_for_log(&herd, "Goloman", &format!("has no link: broken off in the handshake ({why}"));
    }
}

#[test]
fn status_is_asked_with_a_certificate_of_its_own_or_that_of_a_server_and_clients_are_listed_with_the_latter()
{
    let mut herd = Herd::one();
    let authority = Authority::new(&herd, "ca");
    equip(&mut herd, &authority, &["Goloman"]);
    herd.start("Goloman");
    assert!(herd.report("Goloman").is_some());
    let only_for_asking = authority.dir.join("for-asking");
    fs::create_dir(&only_for_asking).expect("a directory");
    authority.issue("status", "status");
    for file in ["ca.pem", "status.pem", "status.key"] {
        fs::copy(authority.dir.join(file), only_for_asking.join(file)).expect("a copy");
    }
    assert!(herd.ask("Goloman", &["list"]).status.success());
    herd.server_mut("Goloman").peer_tls = Some(only_for_asking.clone());
    assert!(herd.report("Goloman").is_some());
    let refused = herd.ask("Goloman", &["list"]);
    assert_eq!((refused.status.code(), refused.stdout), (Some(1), Vec::new()));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("no certificate of a server") && said.contains("status.pem is for less"), "{said}");
    herd.server_mut("Goloman").peer_tls = Some(authority.dir.clone());
    for (name, refusal) in [
        ("status", "REFUSED status may ask how servers are, and is the name of none\n"),
        ("Goloman", "REFUSED the certificate is not that of Goloman\n"),
        ("-", "REFUSED the certificate is not that of -\n"),
    ] {
        let hello = format!("HERD 1 list {name} Goloman 00\n");
        assert_eq!(dial(&herd, Some((&authority, "status")), &hello).expect("an answer"), refusal);
    }
    herd.server_mut("Goloman").peer_tls = None;
    assert!(herd.report("Goloman").is_none());
}

/// `herd list Hands` wanted the certificate of Hands, which no other machine has.
#[test]
fn any_server_can_be_asked_for_its_clients_with_the_certificate_of_any() {
    let (mut herd, authority) = two_with_certificates();
    herd.start_all();
    for has in ["Goloman", "Hands"] {
        let machine = authority.dir.join(format!("machine-of-{has}"));
        fs::create_dir(&machine).expect("a directory");
        for file in ["ca.pem", &format!("{has}.pem"), &format!("{has}.key")] {
            fs::copy(authority.dir.join(file), machine.join(file)).expect("a copy");
        }
        for asked in [&[][..], &["Goloman"], &["Hands"]] {
            let mut list = harness::program::herd(&["list"]);
            list.args(asked).arg("--peer-tls").arg(&machine);
            // The file that Goloman was started with names both.
            list.arg("--topology").arg(herd.directory().join("Goloman.json"));
            list.envs(herd.server("Goloman").secret.as_ref().map(|secret| ("HERD_SECRET", secret)));
            let output = list.output().expect("the program starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "with that of {has}, {asked:?}: {said}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_at_the_start_with_its_name() {
    let mut herd = Herd::one();
    let authority = Authority::new(&herd, "ca");
    let other = Authority::new(&herd, "other");
    equip(&mut herd, &authority, &["Goloman"]);
    authority.issue("Wilkes", "wilkes");
    other.issue("Goloman", "goloman");
    let mut expired = CertificateParams::new(vec!["goloman".to_owned()]).expect("parameters");
    expired.not_after = rcgen::date_time_ymd(2018, 3, 2);
    authority.issue_as("expired", &expired);
    let dir = authority.dir.clone();
    let own = |file: &str| read(&dir.join(file));
    let cases: [(&str, Option<Vec<u8>>, &str); 10] = [
        ("ca.pem", None, "cannot be read: no such file or directory;"),
        ("Goloman.pem", None, "cannot be read: no such file or directory;"),
        ("Goloman.key", None, "cannot be read: no such file or directory;"),
        ("ca.pem", Some(Vec::new()), "holds no certificate"),
        ("Goloman.pem", Some(b"-----BEGIN CERTIFICATE-----\n%\n".to_vec()), "is malformed"),
        ("Goloman.key", Some(own("Goloman.pem")), "holds no private key, or only one with a password on it"),
        ("Goloman.key", Some(own("Wilkes.key")), "does not go with"),
        ("Goloman.pem", Some(own("Wilkes.pem")), "is no certificate for Goloman"),
        ("Goloman.pem", Some(own("expired.pem")), "expired"),
        ("ca.pem", Some(read(&other.dir.join("ca.pem"))), "UnknownIssuer"),
    ];
    for (file, content, why) in cases {
        let path = dir.join(file);
        let good = own(file);
        replace(&path, content.as_deref());
        let output = herd.run("Goloman");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.lines().count() == 1 && said.contains(file) && said.contains(why), "{why}: {said}");
        replace(&path, Some(&good));
    }
    herd.start("Goloman");
}

fn replace(path: &Path, content: Option<&[u8]>) {
    match content {
        Some(content) => fs::write(path, content).expect("a file"),
        None => fs::remove_file(path).expect("a file to remove"),
    }
}
