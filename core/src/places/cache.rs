//! Answers kept for a while, of providers whose terms allow it.

use hashlink::LinkedHashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Question;

/// For how long and how many answers are kept, written `10m,1000` or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// How long an answer is good for.
    pub time: Duration,
    /// How many are kept at most.
    pub number: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { time: Duration::from_secs(600), number: 1000 }
    }
}

/// The text given does not say how long and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLimitsError(String);

impl fmt::Display for CacheLimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} does not say how long and how many: write 10m,1000 (with s, m, h or d) or none",
            self.0
        )
    }
}

impl std::error::Error for CacheLimitsError {}

impl FromStr for CacheLimits {
    type Err = CacheLimitsError;

    fn from_str(text: &str) -> Result<CacheLimits, CacheLimitsError> {
        read(text.trim()).ok_or_else(|| CacheLimitsError(text.to_owned()))
    }
}

fn read(text: &str) -> Option<CacheLimits> {
    if text == "none" {
        return Some(CacheLimits { time: Duration::ZERO, number: 0 });
    }
    let (time, number) = text.split_once(',')?;
    let (count, unit) = time.trim().split_at_checked(time.trim().len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let time = Duration::from_secs(count.parse::<u32>().ok().map(u64::from)? * seconds);
    Some(CacheLimits { time, number: number.trim().parse().ok()? })
}

/// Keeps answers, the oldest going first. Times are counted from any fixed moment.
#[derive(Debug)]
pub struct Cache {
    limits: CacheLimits,
    /// The oldest first.
    answers: LinkedHashMap<Question, (Duration, Vec<u8>)>,
}

impl Cache {
    /// Starts with nothing.
    pub fn new(limits: CacheLimits) -> Cache {
        Cache { limits, answers: LinkedHashMap::new() }
    }

    /// Returns the answer kept for a question, if it is still good.
    pub fn find(&self, question: &Question, now: Duration) -> Option<&[u8]> {
        let (since, answer) = self.answers.get(question)?;
        self.is_good(*since, now).then_some(answer)
    }

    /// Keeps an answer, and lets go what is too old or too much.
    pub fn store(&mut self, question: Question, answer: Vec<u8>, now: Duration) {
        self.answers.insert(question, (now, answer)); // It is the last, even if it was there.
        while let Some((_, (since, _))) = self.answers.front()
            && (self.answers.len() > self.limits.number || !self.is_good(*since, now))
        {
            self.answers.pop_front();
        }
    }

    fn is_good(&self, since: Duration, now: Duration) -> bool {
        now < since + self.limits.time
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    fn question(bound: usize) -> Question {
        Query { latitude: 1.0, longitude: 2.0, radius_m: 3.0, bound }.question()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn cache() -> Cache {
        Cache::new(CacheLimits { time: secs(10), number: 2 })
    }

    #[test]
    fn an_answer_is_good_for_its_time_and_no_longer() {
        let mut cache = cache();
        cache.store(question(1), b"x".to_vec(), secs(0));
        assert_eq!(cache.find(&question(1), secs(9)), Some(&b"x"[..]));
        assert_eq!(cache.find(&question(1), secs(10)), None);
        assert_eq!(cache.find(&question(2), secs(0)), None);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut cache = cache();
        for bound in 1..=3 {
            cache.store(question(bound), vec![], secs(bound as u64));
        }
        let kept: Vec<bool> = (1..=3).map(|bound| cache.find(&question(bound), secs(3)).is_some()).collect();
        assert_eq!(kept, [false, true, true]);
        assert_eq!(cache.answers.len(), 2);
    }

    #[test]
    fn an_answer_kept_again_is_kept_once_and_from_then() {
        let mut cache = cache();
        cache.store(question(1), vec![1], secs(0));
        cache.store(question(2), vec![], secs(1));
        cache.store(question(1), vec![2], secs(8));
        assert_eq!(cache.find(&question(1), secs(15)), Some(&[2][..]));
        assert_eq!(cache.answers.len(), 2);
    }

    #[test]
    fn how_long_and_how_many_is_read_from_text() {
        assert_eq!("10m,1000".parse(), Ok(CacheLimits { time: secs(600), number: 1000 }));
        assert_eq!("1d, 5".parse(), Ok(CacheLimits { time: secs(86_400), number: 5 }));
        assert_eq!("none".parse::<CacheLimits>().unwrap().number, 0);
        for text in ["", "10m", "10,5", "m,5", "-1s,5", "10m,x", "1é,5"] {
            assert!(text.parse::<CacheLimits>().is_err(), "{text}");
        }
    }
}
