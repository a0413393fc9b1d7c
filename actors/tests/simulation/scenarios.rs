//! Stories that were written down: each is something that happens to a herd.

use crate::dice::Dice;
use crate::herd::{Herd, NAMES, Plan, server};
use crate::phones::Conversation;
use crate::server::Server;
use herd_actors::journal::Durability;
use herd_core::limits::Limits;

/// A herd whose links are all up.
fn linked() -> Herd {
    let mut herd = Herd::new(Plan::default());
    assert!(herd.until(5_000, Herd::is_linked), "the herd never linked");
    herd
}

/// More than a lost neighbour takes to be noticed, dialled and told everything.
const HEALED_MS: u64 = 20_000;

#[test]
fn an_update_reaches_every_server_from_each() {
    let mut herd = linked();
    for (at, name) in NAMES.iter().enumerate() {
        herd.tell(at, name, "+34.068930-118.445127");
        assert!(herd.until(1_000, |herd| herd.all_know(name)), "{name} did not get round");
    }
    herd.assert_sound();
}

#[test]
fn every_server_gives_the_same_line() {
    let mut herd = linked();
    herd.set_clock(1, -70_000);
    herd.tell(1, "kiwi", "+34.068930-118.445127");
    herd.run_ms(1_000);
    let answers: Vec<String> = (0..5).map(|at| herd.ask(at, "WHATSAT kiwi 10 5\n")).collect();
    assert!(answers[0].starts_with("AT Hands -69."), "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    herd.assert_sound();
}

#[test]
fn a_server_that_was_killed_and_comes_back_learns_all_it_missed() {
    let mut herd = linked();
    herd.tell(1, "before", "+1+1");
    herd.run_ms(1_000);
    herd.crash(0);
    herd.tell(2, "meanwhile", "+2+2");
    herd.run_ms(3_000);
    herd.start(0);
    let has_healed = |herd: &Herd| herd.all_know("before") && herd.all_know("meanwhile") && herd.is_linked();
    assert!(herd.until(HEALED_MS, has_healed));
    herd.assert_sound();
}

#[test]
fn with_two_servers_killed_the_others_go_on() {
    let mut herd = linked();
    herd.crash(0);
    herd.crash(4);
    herd.tell(3, "welsh", "+3+3");
    assert!(herd.until(1_000, |herd| herd.knows(2, "welsh")));
    assert!(herd.ask(1, "WHATSAT welsh 10 5\n").starts_with("? "), "Hands is alone");
    herd.tell(1, "hands", "+1+1");
    herd.start(0);
    herd.start(4);
    assert!(herd.until(HEALED_MS, |herd| herd.all_know("welsh") && herd.all_know("hands")));
    herd.assert_sound();
}

#[test]
fn a_partition_that_is_healed_leaves_no_difference() {
    let mut herd = linked();
    let across = [(0, 2), (0, 3), (1, 2), (1, 3), (2, 4), (3, 4)];
    for (a, b) in across {
        herd.cut(a, b);
    }
    herd.tell(0, "kiwi", "+1+1");
    herd.run_ms(100);
    herd.tell(3, "kiwi", "+2+2");
    herd.tell(2, "plum", "+3+3");
    herd.run_ms(10_000);
    assert!(!herd.is_equal() && !herd.knows(4, "plum"));
    for (a, b) in across {
        herd.heal(a, b);
    }
    assert!(herd.until(HEALED_MS, |herd| herd.is_equal() && herd.all_know("plum")));
    assert!(herd.ask(0, "WHATSAT kiwi 10 5\n").contains(" kiwi +2+2 "));
    herd.assert_sound();
}

#[test]
fn a_partition_in_one_direction_is_noticed_and_healed() {
    let mut herd = linked();
    herd.cut_one_way(3, 2);
    herd.tell(3, "unheard", "+1+1");
    herd.run_ms(10_000);
    assert!(!herd.are_linked(2, 3) && !herd.knows(2, "unheard"));
    herd.heal(2, 3);
    assert!(herd.until(HEALED_MS, |herd| herd.all_know("unheard") && herd.is_linked()));
    herd.assert_sound();
}

#[test]
fn a_server_that_the_others_know_joins_while_they_run() {
    let mut herd = Herd::of(Plan::default(), (0..4).map(server).collect());
    herd.run_ms(3_000);
    herd.tell(3, "early", "+1+1");
    herd.add(server(4));
    assert!(herd.until(HEALED_MS, |herd| herd.all_know("early") && herd.is_linked()));
    herd.tell(4, "late", "+2+2");
    assert!(herd.until(1_000, |herd| herd.all_know("late")));
    herd.assert_sound();
}

#[test]
fn what_has_expired_is_raised_by_nobody_though_clocks_differ_and_servers_come_back() {
    let brisk = Limits { heartbeat_ms: 200, silent_ms: 1_500, redial_max_ms: 1_000, ..Limits::default() };
    let limits = Limits { record_ttl_ms: Some(64_000), digest_ms: 1_000, ..brisk };
    let mut herd = Herd::new(Plan { limits, ..Plan::default() });
    herd.set_clock(0, 45_000);
    assert!(herd.until(5_000, Herd::is_linked), "the herd never linked");
    herd.tell(1, "kiwi", "+1+1");
    assert!(herd.until(1_000, |herd| herd.all_know("kiwi")));
    // Goloman forgets it while the others know it for 40 more seconds, in which they compare and Goloman begins anew.
    assert!(herd.until(25_000, |herd| !herd.knows(0, "kiwi")));
    herd.run_ms(3_000);
    assert!(!herd.knows(0, "kiwi"));
    herd.crash(0);
    herd.run_ms(3_000);
    herd.start(0);
    assert!(herd.until(HEALED_MS, Herd::is_linked));
    herd.run_ms(2_000);
    assert!(!herd.knows(0, "kiwi") && (1..5).all(|at| herd.knows(at, "kiwi")));
    assert!(
        herd.ask(0, "WHATSAT kiwi 10 5\n").starts_with("? "),
        "it asks others, and refuses what they found"
    );
    let does_nobody = |herd: &Herd| (0..5).all(|at| !herd.knows(at, "kiwi"));
    assert!(herd.until(50_000, does_nobody));
    for _ in 0..50 {
        herd.run_ms(100);
        assert!(does_nobody(&herd));
    }
    herd.tell(2, "kiwi", "+2+2");
    assert!(herd.until(1_000, |herd| herd.all_know("kiwi")));
    herd.assert_sound();
}

fn stranger(neighbour: &'static str) -> Server {
    Server { name: "Campbell", neighbours: vec![neighbour], ..Server::default() }
}

#[test]
fn a_stranger_joins_only_a_server_that_is_open() {
    let open = |at| Server { open: at == 1, ..server(at) };
    for (neighbour, is_open) in [("Hands", true), ("Welsh", false)] {
        let mut herd = Herd::of(Plan::default(), (0..5).map(open).collect());
        herd.run_ms(3_000);
        herd.tell(0, "early", "+1+1");
        herd.add(stranger(neighbour));
        assert_eq!(herd.until(5_000, |herd| herd.all_know("early") && herd.is_linked()), is_open);
        herd.tell(5, "late", "+2+2");
        assert_eq!(herd.until(2_000, |herd| herd.all_know("late")), is_open);
        herd.assert_sound();
    }
}

#[test]
fn a_server_with_the_wrong_secret_or_none_never_links() {
    for secret in ["", "wrong"] {
        let mut servers: Vec<Server> = (0..5).map(|at| Server { secret: "cucumber", ..server(at) }).collect();
        servers[3].secret = secret;
        let mut herd = Herd::of(Plan::default(), servers);
        herd.run_ms(3_000);
        herd.tell(3, "welsh", "+1+1");
        herd.tell(0, "goloman", "+2+2");
        herd.run_ms(15_000);
        assert!(!herd.are_linked(2, 3) && !herd.knows(2, "welsh") && !herd.knows(3, "goloman"));
        assert!(herd.are_linked(0, 2) && herd.knows(4, "goloman"));
        assert!(herd.trace.notes().probes.contains("a handshake was refused"));
        herd.assert_sound();
    }
}

#[test]
fn a_neighbour_that_is_stuck_delays_nobody() {
    let mut herd = linked();
    let all_but = |herd: &Herd, client: &str| [0, 1, 2, 3].iter().all(|&at| herd.knows(at, client));
    for at in 0..4 {
        herd.hold(at, 4);
    }
    for number in 0..50 {
        let client = format!("client{number}");
        herd.tell(number % 4, &client, "+1+1");
        assert!(herd.until(500, |herd| all_but(herd, &client)), "{client} was held up");
    }
    for at in 0..4 {
        herd.heal(at, 4);
    }
    assert!(herd.until(HEALED_MS, |herd| herd.is_equal() && herd.is_linked()));
    herd.assert_sound();
}

/// Two servers that dial each other at once, at every distance: they must agree on one of the two connections. Each
/// of them once gave up its own for that of the other, so that they had none, and dialled again.
#[test]
fn servers_that_dial_each_other_at_once_end_with_one_link() {
    for seed in 0..60 {
        let limits = Limits { redial_min_ms: 1 + seed % 3, ..Limits::default() };
        let plan = Plan { seed, limits, latency_ms: 1 + seed * 3, ..Plan::default() };
        let pair = [("Hands", "Wilkes"), ("Wilkes", "Hands")];
        let servers = pair.map(|(name, other)| Server { name, neighbours: vec![other], ..Server::default() });
        let mut herd = Herd::of(plan, servers.to_vec());
        assert!(herd.until(10_000, |herd| herd.are_linked(0, 1)), "no link with seed {seed}");
        herd.run_ms(5_000);
        assert!(herd.are_linked(0, 1), "seed {seed}: {:?}", herd.trace.notes().links);
        let calls = herd.trace.notes().calls; // Each is counted at both ends.
        assert!(calls <= 4, "somebody dialled again with seed {seed}: {calls}");
        herd.assert_sound();
    }
}

#[test]
fn servers_that_stop_together_all_stop_in_time() {
    let mut herd = linked();
    herd.tell(0, "kiwi", "+1+1");
    (0..5).for_each(|at| herd.stop(at));
    assert!(herd.until(1_000, |herd| (0..5).all(|at| !herd.is_up(at))), "somebody did not stop");
    herd.assert_sound();
}

/// One that was told twice once stopped twice: its next life as soon as it had begun, and clients were cut off for no
/// reason that the simulation knew of.
#[test]
fn a_server_that_is_told_to_stop_twice_comes_back_and_stays() {
    let mut herd = linked();
    (0..2).for_each(|_| herd.stop(0));
    assert!(herd.until(1_000, |herd| !herd.is_up(0)), "it did not stop");
    herd.start(0);
    assert!(herd.until(1_000, |herd| herd.is_up(0)), "it did not come back");
    herd.run_ms(1_000);
    assert!(herd.is_up(0), "it stopped again");
    herd.assert_sound();
}

/// What its disk had no time for may be lost, and the simulation must not take it for promised.
#[test]
fn a_server_whose_disk_is_too_slow_stops_in_time_all_the_same() {
    for seed in 0..4 {
        let keeps = |at| Server { durability: Some(Durability::Write), ..server(at) };
        let plan = Plan { seed, ..Plan::default() };
        let stop_ms = plan.limits.stop_ms;
        let mut herd = Herd::of(plan, (0..NAMES.len()).map(keeps).collect());
        assert!(herd.until(5_000, Herd::is_linked), "the herd never linked");
        herd.set_disk_latency(0, Some(1_000_000));
        herd.tell(0, "kiwi", "+1+1");
        herd.run_ms(200); // Now it was looked at.
        herd.stop(0);
        assert!(herd.until(stop_ms + 100, |herd| !herd.is_up(0)), "seed {seed}: it did not stop");
        herd.cut_power(0);
        herd.set_disk_latency(0, None);
        herd.start(0);
        assert!(herd.until(1_000, |herd| herd.is_up(0)), "seed {seed}: it did not come back");
        herd.run_ms(1_000);
        herd.assert_sound();
    }
}

#[test]
fn clients_that_are_slow_or_split_or_pipeline_get_their_answers_in_order() {
    let mut herd = linked();
    let dice = Dice::new(7);
    for number in 0..200 {
        let server = number % 5;
        let talk = Conversation::draw(&dice, (server, NAMES[server]), herd.now_ms(), &herd.plan, &herd.trace);
        herd.send(Box::pin(talk.hold()));
        herd.run_ms(dice.below(50));
    }
    herd.run_ms(10_000);
    assert!(herd.is_equal());
    herd.assert_sound();
}
