//! What is measured of a herd under stress: a little of it in every run, `make soak` for figures worth quoting.
//!
//! `HERD_SOAK` is how many records there are. What must hold is asserted whatever the number; the times are printed.

mod harness;

use harness::{Client, HERE, Herd, amount, eventually_within};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a step of a million records may take before a test gives up, on a busy machine and without optimisation.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many records there are.
fn records() -> usize {
    amount("HERD_SOAK", 100).unwrap_or(3000)
}

/// How many clients connect that are slow: as many as files may be open, and never more than ten thousand.
fn slow_clients() -> usize {
    (records() / 100).min(10_000)
}

fn two() -> Herd {
    Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")])
}

/// Tells a server of clients, many at a time, each with an ID of 23 bytes.
fn fill(herd: &Herd, name: &str, prefix: char, count: usize, time: u32) {
    let mut connection = herd.connect(name);
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(1000) {
        let command = |number| format!("IAMAT {prefix}{number:08}.cs.ucla.edu.us {HERE} {time}.918963997\n");
        let commands: Vec<String> = numbers.iter().map(command).collect();
        connection.say(commands.concat()).expect("a server that listens");
        for _ in numbers {
            assert!(connection.line().starts_with("AT "));
        }
    }
}

/// Returns when a server says that it knows so many clients.
fn wait_for_clients(herd: &Herd, name: &str, count: usize) {
    eventually_within(PATIENCE, &format!("{name} knows {count}"), || {
        (herd.report(name)?["clients_known"] == count).then_some(())
    });
}

fn say(what: &str, began: Instant) {
    println!("{what}: {:.2} s", began.elapsed().as_secs_f64());
}

/// The files in which a server that is down keeps what it knows.
fn files(herd: &Herd, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(herd.data(name)).expect("data");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.metadata().is_ok_and(|metadata| metadata.len() > 0)).collect()
}

/// Flips a bit in each of so many bytes, evenly over all files, and tells how many they were.
fn flip(herd: &Herd, name: &str, count: usize) -> usize {
    let files = files(herd, name);
    let mut flipped = 0;
    for path in &files {
        let mut bytes = fs::read(path).expect("a file");
        let step = (bytes.len() * files.len() / count).max(1);
        // A step that no line's length divides comes by every place in a line.
        for at in (step / 2..bytes.len()).step_by(step | 1) {
            bytes[at] ^= 1 << (flipped % 8);
            flipped += 1;
        }
        fs::write(path, bytes).expect("a file that can be written");
    }
    flipped
}

#[test]
fn flipped_bytes_on_disk_cost_a_record_each_at_most_and_a_neighbour_has_them() {
    let (count, mut herd) = (records() / 10, two());
    herd.start_all();
    fill(&herd, "Goloman", 'a', count, 1);
    wait_for_clients(&herd, "Hands", count);
    herd.kill("Goloman");
    let flipped = flip(&herd, "Goloman", count / 10);
    // First without the neighbour, who would make up for it at once.
    herd.end("Hands", "TERM");
    herd.start("Goloman");
    let known = herd.report("Goloman").expect("a report")["clients_known"].as_u64().expect("a number");
    let lost = count - usize::try_from(known).expect("a number of records");
    println!("bytes flipped: {flipped} of {count} records on disk, records lost: {lost}");
    assert!(lost <= flipped, "{lost} records are lost to {flipped} bytes");
    let began = Instant::now();
    herd.start("Hands");
    wait_for_clients(&herd, "Goloman", count);
    say("until the neighbour had made up for it", began);
}

#[test]
fn a_partition_with_changes_on_both_sides_heals() {
    let (count, mut herd) = (records() / 10, Herd::five());
    for other in ["Goloman", "Hands", "Holiday"] {
        herd.make_cuttable("Wilkes", other);
    }
    herd.make_cuttable("Goloman", "Holiday");
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"]);
    // Goloman and Hands on the one side, Holiday, Welsh and Wilkes on the other.
    let across = [("Wilkes", "Goloman"), ("Wilkes", "Hands"), ("Goloman", "Holiday")];
    for (one, other) in across {
        herd.cut(one, other);
    }
    fill(&herd, "Hands", 'a', count / 2, 1);
    fill(&herd, "Welsh", 'b', count - count / 2, 1);
    wait_for_clients(&herd, "Goloman", count / 2 + 5);
    wait_for_clients(&herd, "Wilkes", count - count / 2 + 5);
    let began = Instant::now();
    for (one, other) in across {
        herd.heal(one, other);
    }
    for name in herd.names() {
        wait_for_clients(&herd, &name, count + 5);
    }
    say(&format!("healed after a partition with {count} changes"), began);
}

#[test]
fn an_empty_server_receives_all_and_a_full_one_starts_again() {
    let (count, mut herd) = (records(), two());
    herd.start("Goloman");
    fill(&herd, "Goloman", 'a', count, 1);
    let began = Instant::now();
    herd.start("Hands");
    wait_for_clients(&herd, "Hands", count);
    say(&format!("an empty server received {count} records"), began);
    herd.kill("Hands");
    herd.kill("Goloman");
    let began = Instant::now();
    herd.start("Goloman");
    let mut connection = herd.connect("Goloman");
    assert!(connection.find(&format!("a{:08}.cs.ucla.edu.us", count - 1)).is_some());
    say(&format!("a server with {count} records on disk answered after its restart"), began);
    wait_for_clients(&herd, "Goloman", count);
}

/// Latencies of a client that says something every millisecond, and what the server holds in memory.
struct Calm {
    median: Duration,
    p99: Duration,
    worst: Duration,
    resident_kb: Option<u64>,
}

fn measure(herd: &Herd, name: &str, rounds: usize) -> Calm {
    let mut connection = herd.connect(name);
    let mut took: Vec<Duration> = (0..rounds)
        .map(|round| {
            // The pause is the load: another round begins whether or not anything happens.
            thread::sleep(Duration::from_millis(1));
            let began = Instant::now();
            connection.tell("calm", HERE, &format!("2.{round:06}"));
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    let (median, p99) = (took[rounds / 2], took[rounds * 99 / 100]);
    Calm { median, p99, worst: took[rounds - 1], resident_kb: herd.resident_kb(name) }
}

impl Calm {
    fn print(&self, what: &str) {
        let Calm { median, p99, worst, resident_kb } = self;
        let resident = resident_kb.map_or_else(|| "not told".to_owned(), |kb| format!("{kb} kB"));
        println!("{what}: median {median:?}, p99 {p99:?}, worst {worst:?}, resident {resident}");
    }
}

/// How long all but one of a hundred answers may take at most while others behave badly: far more than they do on a
/// busy machine, and less than a server waits for any of those others.
const P99_MAX: Duration = Duration::from_secs(1);

/// How much more memory a server may take while others behave badly: the ring and the buffers of its limits, and more.
const MORE_KB: u64 = 64 * 1024;

/// How much one more connection may take, of which nothing is known yet.
const CONNECTION_KB: u64 = 16;

#[test]
fn a_stopped_neighbour_a_deaf_client_and_many_slow_ones_cost_others_little() {
    let (rounds, mut herd) = ((records() / 30).min(5000), two());
    let options =
        ["--sessions-max", "20000", "--sessions-per-address-max", "20000", "--write-stall-ms", "600000"];
    herd.server_mut("Goloman").set_options(&options);
    herd.server_mut("Goloman").prelude = Some("ulimit -n $(ulimit -Hn)".to_owned());
    herd.start_all();
    herd.wait_until_linked(&["Goloman", "Hands"]);
    fill(&herd, "Goloman", 'a', records() / 10, 1);
    let before = measure(&herd, "Goloman", rounds);
    before.print("before");

    herd.signal("Hands", "STOP");
    let stopped = measure(&herd, "Goloman", rounds);
    fill(&herd, "Goloman", 'a', records() / 10, 2);
    stopped.print("a neighbour stopped");

    let mut deaf = herd.connect("Goloman");
    let commands = format!("IAMAT deaf {HERE} 3\n").repeat(1000);
    let taken = deaf.say_until_refused(commands.as_bytes(), Duration::from_secs(1), 256 * 1024 * 1024);
    let with_deaf = measure(&herd, "Goloman", rounds);
    with_deaf.print(&format!("and a client that never reads, of which {taken} bytes were taken"));

    let mut slow: Vec<Client> = (0..slow_clients()).map(|_| herd.connect("Goloman")).collect();
    let is_over = AtomicBool::new(false);
    let with_slow = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for client in &mut slow {
                    client.say("I").expect("a server that listens");
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let measured = measure(&herd, "Goloman", rounds);
        is_over.store(true, Ordering::Relaxed);
        measured
    });
    with_slow.print(&format!("and {} clients that send a byte now and then", slow.len()));
    for (calm, connections) in [(&stopped, 0), (&with_deaf, 1), (&with_slow, slow.len() as u64)] {
        assert!(calm.p99 < P99_MAX, "{:?}", calm.p99);
        // A system without /proc says nothing of the memory, and the test neither.
        let more_kb =
            calm.resident_kb.zip(before.resident_kb).map(|(now, before)| now.saturating_sub(before));
        assert!(more_kb < Some(MORE_KB + connections * CONNECTION_KB), "{more_kb:?} kB more");
    }
    herd.signal("Hands", "CONT");
    let known = |name| herd.report(name).map(|report| report["clients_known"].clone());
    eventually_within(PATIENCE, "both know the same", || {
        (known("Goloman")? == known("Hands")?).then_some(())
    });
}
