//! A herd on a network of its own: each server in a network namespace, joined by bridges that the test rebuilds.
//!
//! `make netns` runs it in a namespace in which it may do as it likes. Elsewhere it says that it is skipped: it takes
//! root, and would meddle with the machine's own network.

mod harness;

use harness::{HERE, Herd, eventually};
use std::process::Command;

/// The servers, by the last number of their addresses. Kea joins late.
const NAMES: [&str; 6] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes", "Kea"];

const LINKS: [(&str, &str); 7] = [
    ("Goloman", "Hands"),
    ("Goloman", "Holiday"),
    ("Goloman", "Wilkes"),
    ("Hands", "Wilkes"),
    ("Holiday", "Welsh"),
    ("Holiday", "Wilkes"),
    ("Kea", "Wilkes"),
];

/// The namespaces of the servers; gone when dropped.
struct Network;

impl Network {
    /// Connects everybody, the test too, by one bridge; there is another for those who are to be apart.
    fn new() -> Self {
        let network = Network;
        ip("link set lo up");
        for (bridge, address) in [("br0", "10.77.0.254"), ("br1", "10.77.0.253")] {
            ip(&format!("link add {bridge} type bridge"));
            ip(&format!("addr add {address}/24 dev {bridge}"));
        }
        for bridge in ["br0", "br1"] {
            ip(&format!("link set {bridge} up"));
        }
        // What is on the other bridge is reached only by the addresses of those who were moved there.
        ip("route del 10.77.0.0/24 dev br1");
        for at in 0..NAMES.len() {
            ip(&format!("netns add {}", namespace(at)));
            ip(&format!("link add v{at} type veth peer name e{at} netns {}", namespace(at)));
            ip(&format!("link set v{at} master br0 up"));
            for order in [
                format!("addr add {}/24 dev e{at}", host(at)),
                format!("link set e{at} up"),
                "link set lo up".into(),
            ] {
                ip(&format!("-n {} {order}", namespace(at)));
            }
        }
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for at in 0..NAMES.len() {
            // One that was not made yet need not go; the bridges go with the namespace of the test.
            let _ = Command::new("ip").args(["netns", "del", &namespace(at)]).output();
        }
    }
}

/// Takes some servers to the other bridge, where they hear each other and their clients, and nobody else.
fn part(servers: &[usize]) {
    for at in servers {
        ip(&format!("link set v{at} master br1"));
        ip(&format!("route add {}/32 dev br1 src 10.77.0.253", host(*at)));
    }
    ip("neigh flush all");
}

/// Brings them back.
fn heal(servers: &[usize]) {
    for at in servers {
        ip(&format!("link set v{at} master br0"));
        ip(&format!("route del {}/32 dev br1", host(*at)));
    }
    ip("neigh flush all");
}

/// Loses all that one server sends to another from now on, and nothing on the way back.
fn deafen(from: usize, to: usize) {
    let nobody = "lladdr 02:00:00:00:00:01 nud permanent";
    ip(&format!("-n {} neigh replace {} dev e{from} {nobody}", namespace(from), host(to)));
}

/// Loses nothing of it any more.
fn undeafen(from: usize, to: usize) {
    ip(&format!("-n {} neigh del {} dev e{from}", namespace(from), host(to)));
}

fn namespace(at: usize) -> String {
    format!("herd-{}-{at}", std::process::id())
}

fn host(at: usize) -> String {
    format!("10.77.0.{}", at + 1)
}

/// Has the network changed.
fn ip(order: &str) {
    let output = Command::new("ip").args(order.split(' ')).output().expect("ip of iproute2");
    let is_done =
        output.status.success() || order.contains("flush") || order.starts_with("route del 10.77.0.0");
    assert!(is_done, "ip {order}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The herd, with each server in its namespace; nothing runs. Those who are there first do not know of Kea.
fn herd() -> Herd {
    let mut herd = Herd::new(&NAMES, &LINKS);
    for (at, name) in NAMES.into_iter().enumerate() {
        let server = herd.server_mut(name);
        server.clients = format!("{}:11645", host(at));
        server.peers = format!("{}:12645", host(at));
        server.prelude = Some(format!("exec ip netns exec {} \"$0\" \"$@\"", namespace(at)));
        server.set_options(&["--open"]);
        if name != "Kea" {
            server.knows.retain(|known| known != "Kea");
        }
    }
    herd
}

/// Tells a server of some clients; what it answered is kept.
fn tell(herd: &Herd, name: &str, what: &str, told: &mut Vec<(String, String)>) {
    let mut connection = herd.connect(name);
    for number in 0..20 {
        let client = format!("{what}-{number}-at-{name}");
        let line = connection.tell(&client, HERE, "1520023934.918963997");
        told.push((client, line));
    }
}

/// Returns when a server says that its link to another is up, or down.
fn wait_for_link(herd: &Herd, name: &str, other: &str, is_up: bool) {
    eventually(&format!("{name} is linked to {other}: {is_up}"), || {
        let report = herd.report(name)?;
        let link = report["links"].as_array()?.iter().find(|link| link["name"] == other)?.clone();
        (link["up"] == is_up).then_some(())
    });
}

/// Returns when some servers know all that was told, besides the clients that showed that the first five are linked.
fn wait_until_all_know(herd: &Herd, names: &[&str], told: &[(String, String)]) {
    herd.wait_until_counted(names, told.len() + 5);
    for (client, line) in told {
        herd.wait_until_known(names, client, line);
    }
}

#[test]
fn servers_that_are_parted_go_on_and_know_the_same_when_they_are_together_again() {
    if std::env::var_os("HERD_NETNS").is_none() {
        return eprintln!(
            "skipped: it changes the network; `make netns` gives it one of its own, which takes root"
        );
    }
    let _network = Network::new();
    let mut herd = herd();
    let (first, mut told) = (&NAMES[..5], Vec::new());
    for name in first {
        herd.start(name);
    }
    herd.wait_until_linked(first);

    // Holiday and Welsh on their own; both sides go on.
    part(&[2, 3]);
    wait_for_link(&herd, "Goloman", "Holiday", false);
    wait_for_link(&herd, "Holiday", "Wilkes", false);
    for name in first {
        tell(&herd, name, "parted", &mut told);
    }
    assert_eq!(herd.connect("Hands").find("parted-0-at-Welsh"), None);
    assert_eq!(herd.connect("Welsh").find("parted-0-at-Hands"), None);
    herd.wait_until_known(&["Holiday"], &told[60].0, &told[60].1);
    heal(&[2, 3]);
    wait_until_all_know(&herd, first, &told);

    // Nothing that Goloman says arrives at Hands: both give the link up, and news goes round by Wilkes.
    deafen(0, 1);
    wait_for_link(&herd, "Goloman", "Hands", false);
    wait_for_link(&herd, "Hands", "Goloman", false);
    for name in ["Goloman", "Hands"] {
        tell(&herd, name, "deafened", &mut told);
    }
    wait_until_all_know(&herd, first, &told);
    undeafen(0, 1);
    wait_for_link(&herd, "Goloman", "Hands", true);

    // One that nobody knew comes, and learns all; what it is told goes to all.
    herd.start("Kea");
    tell(&herd, "Kea", "joined", &mut told);
    wait_until_all_know(&herd, &NAMES, &told);
}
