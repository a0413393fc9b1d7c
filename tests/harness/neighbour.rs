//! A neighbour that is played by the test: it shakes hands as a server does, and says and hears frames.

use super::client::Client;
use super::herd::Herd;

/// A link to one server, in the name of another that does not run.
pub struct Neighbour {
    link: Client,
}

/// What came over a link: a line of words, and what its length says follows it.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub words: Vec<String>,
    pub payload: String,
}

impl Neighbour {
    /// Dials `to` in the name of `from`, without a secret.
    pub fn dial(herd: &Herd, from: &str, to: &str) -> Self {
        let link = Client::connect(&herd.server(to).peers).expect("a peer address");
        let mut neighbour = Neighbour { link };
        neighbour.say(&format!("HERD 1 link {from} {to} 0123456789abcdef0123456789abcdef\n"));
        let greeting = neighbour.link.line();
        assert!(greeting.starts_with("HERD 1 ") && greeting.ends_with(" -"), "{greeting:?}");
        neighbour.say("PROOF -\n");
        assert_eq!(neighbour.link.line(), "WELCOME");
        neighbour
    }

    pub fn say(&mut self, frames: &str) {
        self.link.say(frames).expect("a server that listens");
    }

    /// Says sums of a node: 0 for all its children but the last.
    pub fn say_sums(&mut self, node: &str, last: u64) {
        self.say(&format!("SUMS {node} 2048\n"));
        self.link.say([[0; 2040].as_slice(), &last.to_be_bytes()].concat()).expect("a server that listens");
    }

    /// Says something for which the server may close the link before it has read it all.
    pub fn say_what_may_be_cut_short(&mut self, frames: &str) {
        // That it was cut short shows when the end of the link is waited for.
        let _ = self.link.say(frames);
    }

    /// Tells record lines under an identifier.
    pub fn tell(&mut self, uuid: &str, records: &str) {
        self.say(&format!("CLIENTAT {uuid} {}\n{records}", records.len()));
    }

    /// Answers a search with a record line.
    pub fn found(&mut self, uuid: &str, record: &str) {
        self.say(&format!("FOUND {uuid} {}\n{record}", record.len()));
    }

    /// Hears the next frame, whatever it is.
    pub fn hear_any(&mut self) -> Frame {
        let words: Vec<String> = self.link.line().split(' ').map(str::to_owned).collect();
        let length = match words[0].as_str() {
            "CLIENTAT" | "FOUND" | "RECORDS" => words[2].parse().expect("a length"),
            _ => 0,
        };
        let payload = self.link.exactly(length).expect("as much as was announced");
        Frame { words, payload: String::from_utf8(payload).expect("records in UTF-8") }
    }

    /// Hears the next frame that is more than a sign of life or a digest, which only those answer who want to.
    pub fn hear(&mut self) -> Frame {
        loop {
            let frame = self.hear_any();
            if !["PING", "DIGEST"].contains(&frame.words[0].as_str()) {
                return frame;
            }
        }
    }

    /// Hears a search, and returns its identifier and whom it is for.
    pub fn hear_search(&mut self) -> (String, String) {
        let frame = self.hear();
        assert!(frame.words.len() == 3 && frame.words[0] == "WHICHCLIENT", "a search, not {frame:?}");
        (frame.words[1].clone(), frame.words[2].clone())
    }

    /// Hears an update, and returns its identifier and its record lines.
    pub fn hear_update(&mut self) -> (String, String) {
        let frame = self.hear();
        assert!(frame.words.len() == 3 && frame.words[0] == "CLIENTAT", "an update, not {frame:?}");
        (frame.words[1].clone(), frame.payload)
    }

    /// Returns when the server has closed the link.
    pub fn wait_for_the_end(mut self) {
        self.link.rest().expect("the end of the link");
    }

    /// Returns when the server has closed the link, even with bytes of ours unread, which arrives as a reset.
    pub fn wait_for_the_end_or_a_reset(mut self) {
        if let Err(problem) = self.link.rest() {
            assert!(problem.contains("reset"), "the link does not end: {problem}");
        }
    }
}
