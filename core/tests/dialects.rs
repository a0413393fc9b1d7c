//! Herds of all makes in memory: that nothing said between two makes goes round for ever.
//!
//! Servers of ours are replicas with a mailbag for each neighbour of another make; the others are models of what the
//! table says that they do. Whoever's turn it is is drawn, so messages overtake each other as connections may. Every
//! mix of makes in every shape of up to four servers lives, and many of five.
//!
//! Two `update` servers with a link of their own can throw two updates at each other for ever, without any of ours;
//! where updates are told at once, that need not end. What ours say about it is bounded there as everywhere: by what they
//! were told, not by how often ([`check_bounded`]).

use herd_core::batch::{Batch, Pause};
use herd_core::dialect::Dialect;
use herd_core::dialect::gate::consequence;
use herd_core::dialect::mailbag::Mailbag;
use herd_core::dialect::speech::{Speech, parse};
use herd_core::frame::{Frame, Inbox, Update, Vocabulary};
use herd_core::limits::Limits;
use herd_core::replica::Replica;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use uuid::Uuid;

const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];

/// The one client: nothing here depends on another.
const CLIENT: &str = "kiwi";

/// Dice with a seed (splitmix64, by Sebastiano Vigna).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.throw() % end as u64).unwrap()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.throw(), self.throw())
    }
}

/// Who is in the herd, and who talks to whom.
#[derive(Clone, Debug)]
struct Shape {
    /// `None` is one of ours.
    makes: Vec<Option<Dialect>>,
    links: Vec<(usize, usize)>,
    /// Whether the others pass numbers on as doubles.
    rounds: bool,
    /// Whether all others are at one host.
    is_shared: bool,
}

impl Shape {
    fn neighbours(&self, server: usize) -> Vec<usize> {
        let other = |&(a, b): &(usize, usize)| if a == server { Some(b) } else { (b == server).then_some(a) };
        self.links.iter().filter_map(other).collect()
    }

    /// The servers that can be reached from one.
    fn reach(&self, from: usize) -> BTreeSet<usize> {
        let (mut reached, mut queue) = (BTreeSet::from([from]), vec![from]);
        while let Some(here) = queue.pop() {
            for there in self.neighbours(here) {
                if reached.insert(there) {
                    queue.push(there);
                }
            }
        }
        reached
    }

    /// Whether two servers of theirs can throw updates at each other for ever.
    fn can_storm_alone(&self) -> bool {
        let update = Some(Dialect::Update);
        self.links.iter().any(|&(a, b)| self.makes[a] == update && self.makes[b] == update)
    }
}

/// What one of theirs knows: server, skew, location, time, and for `changeloc` the time of receipt.
type Entry = [String; 5];

/// A server of another make, as the table has it.
struct Theirs {
    dialect: Dialect,
    entry: Option<Entry>,
    seen: BTreeSet<String>,
}

/// A server of ours.
struct Ours {
    replica: Replica,
    bags: BTreeMap<usize, Mailbag>,
}

impl Ours {
    fn new(shape: &Shape, here: usize, limits: &Limits) -> Self {
        let mut replica = Replica::new(NAMES[here], limits);
        let mut bags = BTreeMap::new();
        for there in shape.neighbours(here) {
            let is_ours = shape.makes[there].is_none();
            replica.link_up(NAMES[there], if is_ours { Vocabulary::Trees } else { Vocabulary::Foreign });
            if let Some(dialect) = shape.makes[there] {
                let kin = shape.makes.iter().zip(NAMES).filter(|(make, _)| **make == Some(dialect));
                let kin: Vec<String> = kin.map(|(_, name)| name.to_owned()).collect();
                bags.insert(there, Mailbag::new(dialect, &kin, limits));
            }
        }
        Self { replica, bags }
    }
}

impl Server {
    fn ours(&mut self) -> Option<&mut Ours> {
        match self {
            Self::Ours(ours) => Some(ours),
            Self::Theirs(_) => None,
        }
    }
}

enum Server {
    Ours(Box<Ours>),
    Theirs(Theirs),
}

/// A message on its way.
struct Message {
    from: usize,
    to: usize,
    text: Vec<u8>,
}

struct World {
    shape: Shape,
    servers: Vec<Server>,
    /// Single messages, one connection each.
    flying: Vec<Message>,
    /// Bytes between servers of ours, in order.
    links: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    now_ms: u64,
    dice: Dice,
    /// How many messages one of ours said to one of theirs.
    said: BTreeMap<(usize, usize), u64>,
    /// The different records that one of ours was told in one dialect.
    heard: BTreeMap<(usize, Dialect), BTreeSet<Vec<u8>>>,
}

impl World {
    fn new(shape: Shape, seed: u64) -> Self {
        // Messages take as long here as is drawn, so any two may have crossed.
        let limits = Limits { dialect_crossing_ms: 1 << 40, ..Limits::default() };
        let server = |(place, make): (usize, &Option<Dialect>)| {
            let theirs = make.map(|dialect| Theirs { dialect, entry: None, seen: BTreeSet::new() });
            theirs.map_or_else(|| Server::Ours(Box::new(Ours::new(&shape, place, &limits))), Server::Theirs)
        };
        let servers = shape.makes.iter().enumerate().map(server).collect();
        Self {
            shape,
            servers,
            flying: Vec::new(),
            links: BTreeMap::new(),
            now_ms: 0,
            dice: Dice(seed),
            said: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    /// A client says something to a server.
    fn tell(&mut self, to: usize, location: &str, time: &str) {
        let received = 1_520_000_000_000_000_000 + self.now_ms * 1_000_000;
        let fresh = self.dice.uuid();
        match &mut self.servers[to] {
            Server::Ours(ours) => {
                let line = format!("IAMAT {CLIENT} {location} {time}\n");
                let mut batch = Batch::new(line.into_bytes(), 1000);
                assert_eq!(ours.replica.execute(&mut batch, received, self.now_ms, || fresh), Pause::Done);
            }
            Server::Theirs(theirs) => {
                let skew = format!("+{}.26387333869934082", self.now_ms);
                let received = "1520000000.5".to_owned();
                let entry = [NAMES[to].to_owned(), skew, location.to_owned(), time.to_owned(), received];
                theirs.seen.insert(fresh.to_string());
                self.store(to, entry, &fresh.to_string(), &[]);
            }
        }
    }

    /// One of theirs stores something and floods it.
    fn store(&mut self, here: usize, mut entry: Entry, uuid: &str, visited: &[&str]) {
        if self.shape.rounds {
            entry[1] = format!("{:+}", entry[1].parse::<f64>().unwrap());
            entry[3] = entry[3].parse::<f64>().unwrap().to_string();
        }
        let Server::Theirs(theirs) = &mut self.servers[here] else { return };
        theirs.entry = Some(entry.clone());
        let [server, skew, location, time, received] = &entry;
        let at = format!("AT {server} {skew} {CLIENT} {location} {time}");
        let text = match theirs.dialect {
            Dialect::Changeloc => format!("CHANGELOC {CLIENT} {location} {time} {received} {server}\n"),
            Dialect::Trail => [&[at.as_str()], visited, &[NAMES[here]]].concat().join(" "),
            Dialect::Clientat => format!("CLIENTAT {CLIENT} {location} {uuid} {skew} {time} {}", NAMES[here]),
            Dialect::Update => format!("UPDATE {CLIENT} {at}"),
            Dialect::At => at,
        };
        for to in self.shape.neighbours(here) {
            if !visited.contains(&NAMES[to]) {
                self.flying.push(Message { from: here, to, text: text.clone().into_bytes() });
            }
        }
    }

    /// One of theirs hears a message.
    fn hear_as_theirs(&mut self, here: usize, text: &[u8]) {
        let text = String::from_utf8(text.to_vec()).unwrap();
        let Server::Theirs(theirs) = &mut self.servers[here] else { return };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let entry = |words: [&str; 5]| words.map(str::to_owned);
        let known = theirs.entry.as_ref();
        let is_greater = |time: &str| known.is_none_or(|known| time > known[3].as_str());
        let differs = |entry: &Entry| known.is_none_or(|known| known[..4] != entry[..4]);
        match (theirs.dialect, &words[..]) {
            (Dialect::Changeloc, &["CHANGELOC", _, location, time, received, server]) => {
                if is_greater(time) {
                    self.store(here, entry([server, "+0", location, time, received]), "", &[]);
                }
            }
            (Dialect::At, &["AT", server, skew, _, location, time]) => {
                if is_greater(time) {
                    self.store(here, entry([server, skew, location, time, ""]), "", &[]);
                }
            }
            (Dialect::Trail, &["AT", server, skew, _, location, time, ref visited @ ..]) => {
                let entry = entry([server, skew, location, time, ""]);
                if differs(&entry) {
                    self.store(here, entry, "", visited);
                }
            }
            (Dialect::Update, &["UPDATE", _, "AT", server, skew, _, location, time]) => {
                let entry = entry([server, skew, location, time, ""]);
                if differs(&entry) {
                    self.store(here, entry, "", &[]);
                }
            }
            (Dialect::Clientat, &["CLIENTAT", _, location, uuid, skew, time, forwarder]) => {
                if theirs.seen.insert(uuid.to_owned()) {
                    self.store(here, entry([forwarder, skew, location, time, ""]), uuid, &[]);
                }
            }
            other => panic!("{other:?} is nothing that such a server understands"),
        }
    }

    /// One of ours hears a message, as the gate does.
    fn hear_as_ours(&mut self, here: usize, from: usize, text: &[u8]) {
        let (now_ms, fresh) = (self.now_ms, self.dice.uuid());
        let make = self.shape.makes[from].unwrap();
        let Server::Ours(ours) = &mut self.servers[here] else { return };
        let Ok(Speech::Update(told)) = parse(text, &[make]) else {
            panic!("{:?} cannot be read", String::from_utf8_lossy(text))
        };
        self.heard.entry((here, make)).or_default().insert(told.line.clone());
        let kin: Vec<usize> =
            ours.bags.keys().copied().filter(|&there| self.shape.makes[there] == Some(make)).collect();
        let names: Vec<&str> = kin.iter().map(|&there| NAMES[there]).collect();
        let candidates = if self.shape.is_shared { names.clone() } else { vec![NAMES[from]] };
        let known = line_of(&ours.replica);
        let follows = consequence(&told, known.as_deref(), &candidates, &names);
        for (name, overheard) in &follows.overheard {
            let there = NAMES.iter().position(|known| known == name).unwrap();
            ours.bags.get_mut(&there).unwrap().overhear(overheard, now_ms);
        }
        if let Some(line) = follows.news {
            let frame = Frame::Update(Update::of_line(fresh, &line));
            ours.replica.hear(&follows.link, frame, now_ms, fresh);
        }
    }

    /// One of ours takes what it has to say to a neighbour; false if that is nothing.
    fn take(&mut self, here: usize, there: usize) -> bool {
        let Server::Ours(ours) = &mut self.servers[here] else { return false };
        let mut chunk = Vec::new();
        ours.replica.take(NAMES[there], self.now_ms, &mut chunk);
        let Some(bag) = ours.bags.get_mut(&there) else {
            let is_something = !chunk.is_empty();
            if is_something {
                self.links.entry((here, there)).or_default().push_back(chunk);
            }
            return is_something;
        };
        let is_something = !chunk.is_empty();
        for frame in frames(chunk) {
            if let Frame::Update(update) = frame {
                update.lines().for_each(|line| bag.put(line, self.now_ms));
            }
        }
        let Some(letter) = bag.next(self.now_ms) else { return is_something };
        let dialect = self.shape.makes[there].unwrap();
        let text = letter.print(dialect, NAMES[here], NAMES[there]).unwrap();
        bag.carried(&letter.line, self.now_ms);
        *self.said.entry((here, there)).or_default() += 1;
        self.flying.push(Message { from: here, to: there, text });
        true
    }

    /// Something happens; false if nothing can.
    fn step(&mut self) -> bool {
        self.now_ms += self.dice.throw() % 20;
        let start = self.dice.below(3);
        (0..3).any(|turn| match (start + turn) % 3 {
            0 => self.deliver(),
            1 => self.pass_on(),
            _ => self.take_any(),
        }) || self.wait()
    }

    /// Of what one of ours sent to one of theirs, the first comes first: it has closed that connection before.
    fn deliver(&mut self) -> bool {
        if self.flying.is_empty() {
            return false;
        }
        let drawn = self.dice.below(self.flying.len());
        let (from, to) = (self.flying[drawn].from, self.flying[drawn].to);
        let is_ours = self.shape.makes[from].is_none();
        let first = self.flying.iter().position(|message| (message.from, message.to) == (from, to));
        let message = self.flying.remove(if is_ours { first.unwrap_or(drawn) } else { drawn });
        match self.shape.makes[to] {
            Some(_) => self.hear_as_theirs(to, &message.text),
            None => self.hear_as_ours(to, from, &message.text),
        }
        true
    }

    fn pass_on(&mut self) -> bool {
        let full: Vec<(usize, usize)> =
            self.links.iter().filter(|(_, queue)| !queue.is_empty()).map(|(&link, _)| link).collect();
        if full.is_empty() {
            return false;
        }
        let (from, to) = full[self.dice.below(full.len())];
        let chunk = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front).unwrap_or_default();
        for frame in frames(chunk) {
            let (now_ms, fresh) = (self.now_ms, self.dice.uuid());
            let Server::Ours(ours) = &mut self.servers[to] else { continue };
            ours.replica.hear(NAMES[from], frame, now_ms, fresh);
        }
        true
    }

    fn take_any(&mut self) -> bool {
        let ends = self.shape.links.iter().flat_map(|&(a, b)| [(a, b), (b, a)]);
        let mut ends: Vec<(usize, usize)> = ends.collect();
        let start = self.dice.below(ends.len().max(1));
        ends.rotate_left(start);
        ends.into_iter().any(|(here, there)| self.take(here, there))
    }

    /// Lets time pass until a letter is due, or something else that is to be done at a time.
    fn wait(&mut self) -> bool {
        let mut ours: Vec<&mut Ours> = self.servers.iter_mut().filter_map(Server::ours).collect();
        let due_ms = ours.iter().flat_map(|ours| {
            ours.bags.values().filter_map(Mailbag::due_ms).chain(ours.replica.deadline_ms())
        });
        let Some(due_ms) = due_ms.min() else { return false };
        self.now_ms = self.now_ms.max(due_ms);
        for ours in &mut ours {
            ours.replica.expire(self.now_ms);
        }
        true
    }

    /// What a server knows: server, location and time as a number.
    fn knows(&self, server: usize) -> Option<(String, f64)> {
        match &self.servers[server] {
            Server::Ours(ours) => {
                let line = String::from_utf8(line_of(&ours.replica)?).unwrap();
                let words: Vec<&str> = line.split(' ').collect();
                Some((words[1].to_owned(), words[2].parse().unwrap()))
            }
            Server::Theirs(theirs) => {
                theirs.entry.as_ref().map(|entry| (entry[2].clone(), entry[3].parse().unwrap()))
            }
        }
    }
}

fn line_of(replica: &Replica) -> Option<Vec<u8>> {
    let record = replica.store().find(CLIENT.as_bytes())?;
    let mut line = Vec::new();
    record.print(&mut line);
    line.pop();
    Some(line)
}

fn frames(chunk: Vec<u8>) -> Vec<Frame> {
    let mut inbox = Inbox::new(chunk);
    std::iter::from_fn(|| inbox.next(usize::MAX).unwrap()).collect()
}

/// No herd here needs nearly as many steps to fall silent.
const STEPS_MAX: usize = 20_000;

/// Whether two servers know the same check-in, perhaps not to the last digit.
fn agree(known: Option<&(String, f64)>, newest: &(String, f64)) -> bool {
    known.is_some_and(|known| known.0 == newest.0 && (known.1 - newest.1).abs() < 1e-5)
}

/// Lives through some check-ins, told at once or one after the other, and checks that the herd falls silent equal.
fn live(shape: &Shape, seed: u64, at_once: bool) {
    let mut world = World::new(shape.clone(), seed);
    let size = shape.makes.len();
    let mut times = ["1520000001.918963997", "1520000002.918963997", "1520000003.918963997"];
    if !at_once && world.dice.below(2) == 0 {
        // A client may say late what it could not say before. (Where two connections of a neighbour overtake each other, nobody
        // knows which of the two it holds.)
        times.swap(1, 2);
    }
    let mut told: Vec<(usize, (String, f64))> = Vec::new();
    for (number, time) in times.into_iter().enumerate() {
        let to = world.dice.below(size);
        let location = format!("+1-{}", number + 1);
        world.tell(to, &location, time);
        told.push((to, (location, time.parse().unwrap())));
        if !at_once {
            settle(&mut world, &told, seed);
        }
    }
    if at_once && shape.can_storm_alone() {
        (0..2_000).any(|_| !world.step());
    } else {
        settle(&mut world, &told, seed);
    }
    check_bounded(&world, told.len(), seed);
}

/// Runs until nothing can happen any more: then everybody who can knows the newest that was told where it is.
fn settle(world: &mut World, told: &[(usize, (String, f64))], seed: u64) {
    let is_silent = (0..STEPS_MAX).any(|_| !world.step());
    let shape = world.shape.clone();
    assert!(is_silent, "seed {seed}: {shape:?} is not silent after {STEPS_MAX} steps");
    check_equal(world, seed);
    for (server, name) in NAMES.into_iter().enumerate().take(shape.makes.len()) {
        let reach = shape.reach(server);
        let within_reach = told.iter().filter(|(to, _)| reach.contains(to)).map(|(_, what)| what);
        let newest = within_reach.max_by(|one, other| one.1.total_cmp(&other.1));
        let last = told.iter().filter(|(to, _)| *to == server).map(|(_, what)| what).next_back();
        let is_made_older = last.is_some() && last != newest;
        let Some(newest) = newest.filter(|_| must_agree(&shape, server, is_made_older)) else { continue };
        let known = world.knows(server);
        assert!(
            agree(known.as_ref(), newest),
            "seed {seed}: {name} knows {known:?}, not {newest:?}, in {shape:?}"
        );
    }
}

/// Whether a server's own rule lets it end with the newest, whatever was told at once: ours do, and those that keep
/// the greater time, unless a client of their own made that older and none of ours hears it, and those that overwrite if
/// they hear of ours only.
fn must_agree(shape: &Shape, server: usize, is_made_older: bool) -> bool {
    let Some(dialect) = shape.makes[server] else { return true };
    let neighbours = shape.neighbours(server);
    let is_ours = |server: &usize| shape.makes[*server].is_none();
    if dialect.overwrites() {
        !neighbours.is_empty() && neighbours.iter().all(is_ours)
    } else {
        !is_made_older || neighbours.iter().any(is_ours)
    }
}

/// Servers of ours that are linked know the same to the last byte.
fn check_equal(world: &World, seed: u64) {
    let line = |server: usize| match &world.servers[server] {
        Server::Ours(ours) => Some(line_of(&ours.replica)),
        Server::Theirs(_) => None,
    };
    for &(a, b) in &world.shape.links {
        if let (Some(a), Some(b)) = (line(a), line(b)) {
            assert_eq!(a, b, "seed {seed}: {:?}", world.shape);
        }
    }
}

/// What ours said to others is bounded, whatever goes on among those: by what became news here, and by what different
/// records were heard, of which there is an end.
fn check_bounded(world: &World, told: usize, seed: u64) {
    let shape = &world.shape;
    let again_max = u64::from(Limits::default().dialect_corrections_max);
    let records = |here, dialect| world.heard.get(&(here, dialect)).map_or(0, BTreeSet::len);
    for (&(here, there), &said) in &world.said {
        let Server::Ours(ours) = &world.servers[here] else { panic!("only what ours said is counted") };
        let heard = records(here, shape.makes[there].unwrap());
        let news = ours.replica.counts().applied;
        let (here, there) = (NAMES[here], NAMES[there]);
        assert!(
            said <= news + again_max * heard as u64,
            "seed {seed}: {here} said {said} to {there} upon {news} news and {heard} records in {shape:?}"
        );
        assert!(
            heard <= told * shape.makes.len() * SPELLINGS,
            "seed {seed}: {here} heard {heard} in {shape:?}"
        );
    }
}

/// The ways to write a check-in: its time and its skew as they came, or rounded.
const SPELLINGS: usize = 4;

const DIALECTS: [Option<Dialect>; 6] = [
    None,
    Some(Dialect::Changeloc),
    Some(Dialect::Trail),
    Some(Dialect::Clientat),
    Some(Dialect::Update),
    Some(Dialect::At),
];

/// Every mix of makes for so many servers, at least one of them ours and one not, whoever is where.
fn mixes(size: usize) -> Vec<Vec<Option<Dialect>>> {
    let mut mixes = vec![Vec::new()];
    for _ in 0..size {
        let longer = |mix: Vec<usize>| {
            let least = mix.last().copied().unwrap_or(0);
            (least..DIALECTS.len()).map(move |make| [&mix[..], &[make]].concat())
        };
        mixes = mixes.into_iter().flat_map(longer).collect();
    }
    let makes = mixes.iter().map(|mix| mix.iter().map(|&make| DIALECTS[make]).collect::<Vec<_>>());
    makes.filter(|makes| makes.contains(&None) && makes.iter().any(Option::is_some)).collect()
}

/// All links that servers of such makes can have: those of two other makes understand nothing of each other.
fn pairs(makes: &[Option<Dialect>]) -> Vec<(usize, usize)> {
    let pairs = (0..makes.len()).flat_map(|a| (a + 1..makes.len()).map(move |b| (a, b)));
    let understand =
        |&(a, b): &(usize, usize)| makes[a].is_none() || makes[b].is_none() || makes[a] == makes[b];
    pairs.filter(understand).collect()
}

/// Every herd of so many servers in which all are linked, directly or not: each mix in each shape, once of all that
/// differ in the names of the servers only.
fn herds(size: usize) -> Vec<Shape> {
    let mut herds = Vec::new();
    for makes in mixes(size) {
        let pairs = pairs(&makes);
        let is_same_mix = |order: &Vec<usize>| (0..size).all(|server| makes[order[server]] == makes[server]);
        let orders: Vec<Vec<usize>> = orders(size).into_iter().filter(is_same_mix).collect();
        let chosen = |number: usize| {
            let links = pairs.iter().enumerate().filter(|(at, _)| number >> at & 1 == 1);
            links.map(|(_, &link)| link).collect::<Vec<_>>()
        };
        for links in (0..1 << pairs.len()).map(chosen) {
            let is_first = orders.iter().all(|order| renamed(&links, order) >= links);
            let shape = Shape { makes: makes.clone(), links, rounds: false, is_shared: false };
            if is_first && shape.reach(0).len() == size {
                herds.push(shape);
            }
        }
    }
    herds
}

/// Links between other servers in the same shape.
fn renamed(links: &[(usize, usize)], order: &[usize]) -> Vec<(usize, usize)> {
    let link = |&(a, b): &(usize, usize)| (order[a].min(order[b]), order[a].max(order[b]));
    let mut links: Vec<(usize, usize)> = links.iter().map(link).collect();
    links.sort_unstable();
    links
}

fn orders(size: usize) -> Vec<Vec<usize>> {
    let Some(last) = size.checked_sub(1) else { return vec![Vec::new()] };
    let inserted = |order: Vec<usize>| {
        (0..=last).map(move |at| {
            let mut order = order.clone();
            order.insert(at, last);
            order
        })
    };
    orders(last).into_iter().flat_map(inserted).collect()
}

/// Lives a herd in every manner: told at once or one after the other, with and without rounding, at one host or not.
/// Names decide between equals, so who has which is drawn.
fn live_all(herd: &Shape, dice: &mut Dice) {
    let orders = orders(herd.makes.len());
    for manner in 0..8 {
        let order = &orders[dice.below(orders.len())];
        let mut shape = Shape { rounds: manner & 1 == 1, is_shared: manner & 2 == 2, ..herd.clone() };
        shape.links = renamed(&herd.links, order);
        (0..order.len()).for_each(|server| shape.makes[order[server]] = herd.makes[server]);
        live(&shape, dice.throw(), manner & 4 == 4);
    }
}

#[test]
fn every_herd_is_there_once() {
    let counts: Vec<usize> = (1..=4).map(|size| herds(size).len()).collect();
    assert_eq!(counts, [0, 5, 40, 340]);
}

#[test]
fn every_herd_of_up_to_four_servers_falls_silent() {
    let mut dice = Dice(1);
    for herd in (2..=4).flat_map(herds) {
        live_all(&herd, &mut dice);
    }
}

/// Some in every run; with `HERD_MIXES` so many times all of them (`make mixes`).
#[test]
fn herds_of_five_servers_fall_silent() {
    let mut dice = Dice(5);
    let all = herds(5);
    assert_eq!(all.len(), 3735);
    let times = std::env::var_os("HERD_MIXES").map(|times| {
        let times = times.into_string().unwrap_or_default();
        let number = times.parse().ok().filter(|&times: &u32| times > 0);
        number.unwrap_or_else(|| panic!("HERD_MIXES is {times:?}: write a whole number, 1 or more"))
    });
    match times {
        Some(times) => (0..times).for_each(|_| all.iter().for_each(|herd| live_all(herd, &mut dice))),
        None => (0..FIVES).for_each(|_| live_all(&all[dice.below(all.len())], &mut dice)),
    }
}

/// Herds of five that are drawn in every run.
const FIVES: usize = 400;
