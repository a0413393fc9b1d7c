//! The clerk: executes lines and takes records, several at a time, so that the store finds them side by side.

use super::Counts;
use super::scrutiny::Scrutiny;
use crate::admission::Admission;
use crate::batch::{Answers, GROUP, Line, Progress};
use crate::decimal::Nanos;
use crate::journal::print_entry;
use crate::line::{Command, Opening, print_invalid};
use crate::places::Query;
use crate::record::{self, Record};
use crate::store::{Hint, Learned, Store};
use memchr::memchr;
use std::net::IpAddr;

/// Whoever works on the store for a while.
pub(super) struct Clerk<'a> {
    /// The name of this server.
    pub server: &'a [u8],
    pub store: &'a mut Store,
    pub admission: &'a mut Admission,
    pub scrutiny: &'a mut Scrutiny,
    pub counts: &'a mut Counts,
    /// Where record lines go that are news, if anybody wants to know.
    pub news: Option<&'a mut Vec<u8>>,
    /// Where the journal's entries of those go, if there is a journal.
    pub applied: Option<&'a mut Vec<u8>>,
}

/// When lines of a client were heard, and where they come from.
#[derive(Clone, Copy)]
pub(super) struct Heard<'a> {
    /// By the clock of this server.
    pub received: Nanos,
    /// By a monotonic clock.
    pub now_ms: u64,
    /// If that is known.
    pub from: Option<IpAddr>,
    /// How answers begin.
    pub voice: &'a [u8],
    /// How record lines end.
    pub receipt: &'a [u8],
}

impl Clerk<'_> {
    /// Executes lines of a client until all are done, the answers are full, or the herd is to be searched first. For the first
    /// `searched` of them the herd was searched.
    pub fn execute(
        &mut self,
        heard: Heard<'_>,
        lines: &[Line<'_>],
        searched: usize,
        answers: &mut Answers,
    ) -> Progress {
        // For a line alone, room for a group would take longer to prepare than the line takes.
        match lines {
            [_] => self.execute_some::<1>(heard, lines, searched, answers),
            _ => self.execute_some::<GROUP>(heard, lines, searched, answers),
        }
    }

    fn execute_some<const N: usize>(
        &mut self,
        heard: Heard<'_>,
        lines: &[Line<'_>],
        searched: usize,
        answers: &mut Answers,
    ) -> Progress {
        let mut openings = [Opening::default(); N];
        let count = lines.len().min(N);
        for (opening, line) in openings.iter_mut().zip(lines) {
            *opening = if line.is_whole { Opening::read(line.text) } else { Opening::invalid() };
        }
        let hints = self.store.hints(openings.each_ref().map(|opening| opening.client), count);
        for (at, opening) in openings[..count].iter().enumerate() {
            match opening.command() {
                Command::Iamat(said) => {
                    let record = Record { said, received: heard.received, server: self.server };
                    if self.take(hints[at], &record, heard) {
                        answers.text.extend_from_slice(heard.voice);
                        record.print_at_end(&mut answers.text);
                    } else {
                        print_invalid(lines[at].text, &mut answers.text);
                    }
                }
                Command::Whatsat { client, radius_km, bound } => {
                    let is_told = self.tell(client, radius_km, bound, answers);
                    if !is_told && at < searched {
                        print_invalid(lines[at].text, &mut answers.text);
                    } else if !is_told {
                        // With this line as the first of some, more can be searched for with it.
                        let search = (at == 0).then(|| self.unknown(&openings[..count]));
                        return Progress { done: at, search };
                    }
                }
                Command::Blank => {}
                Command::Invalid => print_invalid(lines[at].text, &mut answers.text),
            }
            if answers.is_full() {
                return Progress { done: at + 1, search: None };
            }
        }
        Progress { done: count, search: None }
    }

    /// Takes a client's own record; false if there is no room for it.
    fn take(&mut self, hint: Hint, record: &Record<'_>, heard: Heard<'_>) -> bool {
        let Heard { from, now_ms, .. } = heard;
        let learned = self
            .store
            .learn_at(hint, record, |store, growth| self.admission.admits(from, store, growth, now_ms));
        self.counts.note(learned);
        if learned == Learned::News {
            self.note_news(|news| {
                record.said.print(news);
                news.extend_from_slice(heard.receipt);
            });
        }
        learned != Learned::Refused
    }

    /// Writes a record line down that is news, which `print` appends.
    #[inline]
    fn note_news(&mut self, print: impl FnOnce(&mut Vec<u8>)) {
        match (&mut self.applied, &mut self.news) {
            (None, None) => {}
            (None, Some(news)) => print(news),
            (Some(applied), None) => _ = print_entry(applied, print),
            (Some(applied), Some(news)) => news.extend_from_slice(print_entry(applied, print)),
        }
    }

    /// Tells where a client is, and leaves a gap for what is near; false if it is unknown.
    fn tell(&self, client: &[u8], radius_km: f64, bound: usize, answers: &mut Answers) -> bool {
        let Some(known) = self.store.find(client) else { return false };
        known.print_at(&mut answers.text);
        let (latitude, longitude) = known.degrees();
        answers.leave_gap(Query { latitude, longitude, radius_m: radius_km * 1000.0, bound });
        true
    }

    /// The clients that some lines ask about and that are unknown.
    fn unknown(&self, openings: &[Opening<'_>]) -> Vec<Vec<u8>> {
        let asked_about = openings.iter().filter_map(|opening| match opening.command() {
            Command::Whatsat { client, .. } => Some(client),
            _ => None,
        });
        asked_about.filter(|client| self.store.find(client).is_none()).map(<[u8]>::to_vec).collect()
    }

    /// Takes what is new of a neighbour's record lines; true if all of it is.
    pub fn hear(&mut self, lines: &[u8]) -> bool {
        let mut is_all_news = true;
        self.read(lines, |clerk, hint, line, record| {
            let record = record.filter(|record| clerk.scrutiny.passes(line, record));
            clerk.counts.malformed += u64::from(record.is_none());
            is_all_news &= record.is_some_and(|record| clerk.learn(hint, line, record));
        });
        is_all_news
    }

    /// Takes record lines that were kept, whatever the limits are today; tells how many are none.
    pub fn restore(&mut self, lines: &[u8]) -> u64 {
        let mut foreign = 0;
        self.read(lines, |clerk, hint, _, record| match record {
            Some(record) => clerk.counts.note(clerk.store.learn_at(hint, record, |_, _| true)),
            None => foreign += 1,
        });
        foreign
    }

    /// Reads lines, and has each taken with the record in it, if there is one.
    fn read<'l>(
        &mut self,
        lines: &'l [u8],
        take: impl FnMut(&mut Self, Hint, &'l [u8], Option<&Record<'l>>),
    ) {
        // As with a client's lines, one alone should not wait for room for a group.
        if memchr(b'\n', lines).is_none_or(|end| end + 1 == lines.len()) {
            self.read_by::<1>(lines, take);
        } else {
            self.read_by::<GROUP>(lines, take);
        }
    }

    /// The same, so many at a time.
    fn read_by<'l, const N: usize>(
        &mut self,
        lines: &'l [u8],
        mut take: impl FnMut(&mut Self, Hint, &'l [u8], Option<&Record<'l>>),
    ) {
        let mut lines = record::lines(lines);
        loop {
            let mut told: [(&[u8], Option<Record<'_>>); N] = [(&[], None); N];
            let mut count = 0;
            for (told, line) in told.iter_mut().zip(&mut lines) {
                *told = (line, Record::parse(line));
                count += 1;
            }
            let clients =
                told.each_ref().map(|(_, record)| record.map_or(&[][..], |record| record.said.client));
            let hints = self.store.hints(clients, count);
            for ((line, record), hint) in told[..count].iter().zip(hints) {
                take(self, hint, line, record.as_ref());
            }
            if count < N {
                return;
            }
        }
    }

    /// Takes a record that a neighbour told in a line; true if it is news.
    fn learn(&mut self, hint: Hint, line: &[u8], record: &Record<'_>) -> bool {
        let learned =
            self.store.learn_at(hint, record, |store, growth| self.admission.has_room(store, growth));
        self.counts.note(learned);
        if learned == Learned::News {
            self.note_news(|news| record.print_again(line, news));
        }
        learned == Learned::News
    }
}
