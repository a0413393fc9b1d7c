//! What was answered, how fast, and what was wrong.

use hdrhistogram::Histogram;
use herd_core::handshake::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// The longest latency that is told from longer ones, in nanoseconds: a minute.
const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// How much of a wrong answer is shown, in bytes.
const SHOWN_MAX: usize = 200;

/// Counts answers and judges them.
pub struct Tally {
    /// The name that answers must bear: of the topology, or of the first answer.
    name: Option<Vec<u8>>,
    all: Histogram<u64>,
    /// Since the progress was shown last.
    recent: Histogram<u64>,
    wrong: u64,
    /// The first wrong answer, with what it answered.
    first_wrong: Option<String>,
    /// True if a wrong answer was a refusal, as only servers hear it.
    pub is_refused: bool,
    /// How many connections were lost, and why the first was.
    lost: (u64, Option<String>),
    in_flight: u64,
    /// How many commands are due by the end, where a rate says so.
    due: u64,
    /// Commands that were due and for which there was no room, by the end.
    pub unsent: u64,
    /// Commands that no answer came to, by the end.
    pub unanswered: u64,
    /// When the last answer came.
    pub last: Instant,
}

impl Tally {
    /// Begins with nothing.
    pub fn new(name: Option<String>) -> Self {
        // Three digits, from a nanosecond to a minute: within the bounds that the histogram takes.
        let histogram = || Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("these bounds are valid");
        Self {
            name: name.map(String::into_bytes),
            all: histogram(),
            recent: histogram(),
            wrong: 0,
            first_wrong: None,
            is_refused: false,
            lost: (0, None),
            in_flight: 0,
            due: 0,
            unsent: 0,
            unanswered: 0,
            last: Instant::now(),
        }
    }

    /// Notes how many commands are to be sent.
    pub fn expect(&mut self, due: u64) {
        self.due = due;
    }

    /// Notes that a command was sent.
    pub fn send(&mut self) {
        self.in_flight += 1;
    }

    /// Notes what came back for a command, whose `fields` a right answer copies, since it was due.
    pub fn hear(&mut self, answer: &[u8], fields: &[u8], due: Instant, now: Instant) {
        let latency = now.saturating_duration_since(due);
        self.recent.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX_NS));
        self.in_flight -= 1;
        self.last = now;
        if !self.is_right(answer, fields) {
            self.wrong += 1;
            self.is_refused |= Refusal::is_told_by(answer);
            self.first_wrong.get_or_insert_with(|| {
                format!("\"{}\" to \"IAMAT {}\"", shortened(answer), shortened(fields))
            });
        }
    }

    /// Tells whether an answer is `AT`, the server's name, a skew of nine decimals, and the fields.
    fn is_right(&mut self, answer: &[u8], fields: &[u8]) -> bool {
        let opening = answer.strip_suffix(fields).and_then(|opening| opening.strip_prefix(b"AT "));
        let mut words = opening.unwrap_or_default().split(|&byte| byte == b' ');
        let (Some(name), Some(skew), Some(b""), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let is_known = self.name.get_or_insert_with(|| name.to_vec()) == name;
        is_known && !name.is_empty() && is_skew(skew)
    }

    /// Notes that the server ended a connection, or that it broke.
    pub fn lose(&mut self, why: &str) {
        self.lost.0 += 1;
        self.lost.1.get_or_insert_with(|| why.to_owned());
    }

    /// Notes that nobody waits any longer for what is in flight, or for room for more.
    pub fn give_up(&mut self) {
        self.unanswered = self.in_flight;
        self.unsent = self.due.saturating_sub(self.answered() + self.in_flight);
    }

    /// What the server calls itself, or is called.
    pub fn name(&self) -> Option<String> {
        self.name.as_ref().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// Commands answered, wrongly too.
    pub fn answered(&self) -> u64 {
        self.all.len() + self.recent.len()
    }

    /// Wrong answers.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }

    /// A percentile of the latency in microseconds.
    pub fn latency_us(&self, percentile: f64) -> f64 {
        let mut all = self.all.clone();
        // Both have the same bounds, so that nothing of the one is out of those of the other.
        let _ = all.add(&self.recent);
        figure(all.value_at_percentile(percentile)) / 1000.0
    }

    /// A line about what has happened since the last one, `since` ago.
    pub fn progress(&mut self, so_far: Duration, since: Duration) -> String {
        let rate = figure(self.recent.len()) / since.as_secs_f64().max(1e-9);
        let at = |percentile| shown(figure(self.recent.value_at_percentile(percentile)) / 1000.0);
        let (half, most, wrong) = (at(50.0), at(99.0), self.wrong);
        let line =
            format!("{:4.0} s  {rate:9.0}/s  p50 {half}  p99 {most}  wrong {wrong}", so_far.as_secs_f64());
        // As above.
        let _ = self.all.add(&self.recent);
        self.recent.reset();
        line
    }

    /// What went wrong, if anything did.
    pub fn verdict(&self) -> Option<String> {
        let wrong = self.first_wrong.as_ref().map(|first| {
            format!(
                "wrong answers: {} of {}, the first is {first}; see the server's log",
                self.wrong,
                self.answered()
            )
        });
        let lost = || {
            self.lost.1.as_ref().map(|why| {
                format!("connections lost: {}, the first: {why}; see the server's log", self.lost.0)
            })
        };
        let unanswered = || {
            (self.unanswered > 0)
                .then(|| format!("commands without an answer: {}; see the server's log", self.unanswered))
        };
        let unsent = || {
            (self.unsent > 0).then(|| {
                format!(
                    "commands due that were never sent: {}, beside those without an answer: {}; give a lower --rate",
                    self.unsent, self.unanswered
                )
            })
        };
        wrong.or_else(lost).or_else(unsent).or_else(unanswered)
    }
}

fn is_skew(skew: &[u8]) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let Some((b'+' | b'-', number)) = skew.split_first() else { return false };
    let point = number.iter().position(|&byte| byte == b'.').unwrap_or(number.len());
    let (whole, decimals) = number.split_at(point);
    digits(whole) && decimals.len() == 10 && digits(&decimals[1..])
}

fn shortened(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(SHOWN_MAX)].trim_ascii_end().escape_ascii().to_string()
}

/// A count to calculate with.
#[expect(clippy::cast_precision_loss, reason = "nobody sees more than a few digits of it")]
pub fn figure(count: u64) -> f64 {
    count as f64
}

/// Writes microseconds for people.
pub fn shown(us: f64) -> String {
    match us {
        us if us < 1000.0 => format!("{us:.0} µs"),
        us if us < 100_000.0 => format!("{:.1} ms", us / 1000.0),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[u8] = b"herd-bench-1 +34.068930-118.445127 1.5\n";

    fn heard(name: Option<&str>, opening: &str) -> Tally {
        let mut tally = Tally::new(name.map(str::to_owned));
        tally.send();
        tally.hear(&[opening.as_bytes(), FIELDS].concat(), FIELDS, Instant::now(), Instant::now());
        tally
    }

    #[test]
    fn a_right_answer_is_at_a_name_a_skew_and_a_copy() {
        for opening in ["AT Goloman +0.263873386 ", "AT Goloman -12.000000000 "] {
            assert_eq!(heard(Some("Goloman"), opening).verdict(), None);
            assert_eq!(heard(None, opening).name().as_deref(), Some("Goloman"));
        }
    }

    #[test]
    fn anything_else_is_wrong_and_the_first_is_shown() {
        let openings = [
            "",
            "? ",
            "AT Hands +0.263873386 ",
            "AT Goloman 0.263873386 ",
            "AT Goloman +0.26387338 ",
            "AT Goloman +.263873386 ",
            "AT Goloman +0.2638733861 ",
            "AT Goloman +0.263873386  ",
            "AT  +0.263873386 ",
            "AT Goloman +0.263873386",
        ];
        for opening in openings {
            let tally = heard(Some("Goloman"), opening);
            assert_eq!((tally.wrong(), tally.answered()), (1, 1), "{opening:?}");
            let said = tally.verdict().expect("a verdict");
            assert!(
                said.starts_with("wrong answers: 1 of 1,") && said.contains("IAMAT herd-bench-1"),
                "{said}"
            );
        }
        let mut tally = Tally::new(None);
        tally.send();
        tally.hear(b"AT Goloman +0.263873386 another\n", FIELDS, Instant::now(), Instant::now());
        assert_eq!(tally.wrong(), 1);
    }

    #[test]
    fn who_answered_first_must_go_on_answering() {
        let mut tally = heard(None, "AT Goloman +0.263873386 ");
        tally.send();
        tally.hear(&[b"AT Hands +0.263873386 ", FIELDS].concat(), FIELDS, Instant::now(), Instant::now());
        assert_eq!(tally.wrong(), 1);
    }

    #[test]
    fn progress_counts_anew_and_the_end_counts_all() {
        let mut tally = heard(None, "AT Goloman +0.263873386 ");
        let second = Duration::from_secs(1);
        assert!(tally.progress(second, second).contains(" 1/s "));
        assert!(tally.progress(second, second).contains(" 0/s "));
        assert_eq!(tally.answered(), 1);
    }

    #[test]
    fn what_is_lost_or_never_answered_is_told() {
        let mut tally = Tally::new(None);
        tally.send();
        tally.give_up();
        assert!(tally.verdict().is_some_and(|said| said.starts_with("commands without an answer: 1")));
        tally.expect(3);
        tally.give_up();
        let expected =
            "commands due that were never sent: 2, beside those without an answer: 1; give a lower --rate";
        assert_eq!(tally.verdict().as_deref(), Some(expected));
        tally.lose("the server closed it");
        tally.lose("connection reset");
        assert!(
            tally
                .verdict()
                .is_some_and(|said| said.starts_with("connections lost: 2, the first: the server closed it"))
        );
    }

    #[test]
    fn latencies_are_shown_with_a_unit_that_fits() {
        assert_eq!([12.4, 1234.0, 2_500_000.0].map(shown), ["12 µs", "1.2 ms", "2.50 s"]);
    }
}
