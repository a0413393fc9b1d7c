//! What follows from what a neighbour of another make said: who is told what.

use super::speech::{Spelling, Told, Verdict};
use crate::record::Record;

/// What follows from one update.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Consequence {
    /// The name under which the store hears of it: whoever bears it is not told.
    pub link: String,
    /// The record line that the store is to hear, if it is news.
    pub news: Option<Vec<u8>>,
    /// What the mailbags of some neighbours of that make are to hear, before the store does.
    pub overheard: Vec<(String, Overheard)>,
}

/// What one neighbour's mailbag hears of an update that a neighbour said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard {
    /// The record line.
    pub line: Vec<u8>,
    /// How it was written, if that is how the record is to be written again.
    pub spelling: Option<Spelling>,
    /// Whether this neighbour has the record.
    pub is_held: bool,
    /// The newer record line that this neighbour is to be told, because it may hold the other.
    pub newer: Option<Vec<u8>>,
}

/// What follows from an update, given what is `known` of its client.
///
/// `candidates` are the neighbours of its dialect at the address that it came from: where there are several and the
/// message does not say which of them said it, all may have. `kin` are all neighbours of its dialect.
pub fn consequence(told: &Told, known: Option<&[u8]>, candidates: &[&str], kin: &[&str]) -> Consequence {
    let verdict = told.verdict(known.and_then(Record::parse).as_ref());
    let teller = told.teller(candidates);
    // Of a copy less exact than what is known, the neighbour is as good as if it held what is known.
    let held = known.filter(|_| verdict == Verdict::Known).unwrap_or(&told.line);
    let overheard = kin.iter().map(|&name| {
        let may_have_said = teller.map_or(candidates.contains(&name), |teller| teller == name);
        let newer = known.filter(|_| verdict == Verdict::Stale && may_have_said).map(<[u8]>::to_vec);
        let is_held = teller == Some(name) || told.holders.iter().any(|holder| holder == name.as_bytes());
        let spelling = (held == told.line).then(|| told.spelling.clone());
        (name.to_owned(), Overheard { line: held.to_vec(), spelling, is_held, newer })
    });
    Consequence {
        link: link(told, teller, candidates),
        news: (verdict == Verdict::News).then(|| told.line.clone()),
        overheard: overheard.collect(),
    }
}

/// The teller, or the server that the client told if it is one of those who may have said it, or else a name that
/// no server can have.
fn link(told: &Told, teller: Option<&str>, candidates: &[&str]) -> String {
    let first = told.holders.first();
    let first = candidates.iter().find(|name| first.is_some_and(|holder| holder == name.as_bytes()));
    teller.or(first.copied()).map_or_else(|| format!("one of {}", candidates.join(", ")), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;
    use crate::dialect::speech::{Speech, parse};

    fn told(message: &str, dialect: Dialect) -> Told {
        match parse(message.as_bytes(), &[dialect]) {
            Ok(Speech::Update(told)) => told,
            other => panic!("{other:?}"),
        }
    }

    fn of<'a>(consequence: &'a Consequence, name: &str) -> &'a Overheard {
        &consequence.overheard.iter().find(|(who, _)| who == name).unwrap().1
    }

    #[test]
    fn news_goes_to_the_store_and_not_back_to_those_who_have_it() {
        let told = told("AT P +1 k +1-2 5 P Q", Dialect::Trail);
        let all = consequence(&told, None, &["P", "Q", "R"], &["P", "Q", "R", "S"]);
        assert_eq!(all.link, "Q");
        assert_eq!(all.news.as_deref(), Some(&b"k +1-2 5 6000000000 P"[..]));
        let held = ["P", "Q", "R", "S"].map(|name| of(&all, name).is_held);
        assert_eq!(held, [true, true, false, false]);
        assert!(all.overheard.iter().all(|(_, overheard)| overheard.newer.is_none()));
    }

    #[test]
    fn where_it_cannot_be_known_who_spoke_all_may_have() {
        let told = told("UPDATE k AT P +1 k +1-2 5", Dialect::Update);
        let known = &b"k +1-2 7 8000000000 Ours"[..];
        let all = consequence(&told, Some(known), &["Q", "R"], &["P", "Q", "R"]);
        assert_eq!((all.link.as_str(), all.news.is_none()), ("one of Q, R", true));
        let newer = ["P", "Q", "R"].map(|name| of(&all, name).newer.as_deref());
        assert_eq!(newer, [None, Some(known), Some(known)]);
        assert_eq!(consequence(&told, None, &["P", "Q"], &["P", "Q"]).link, "P");
    }

    #[test]
    fn a_less_exact_copy_stands_for_what_is_known() {
        let told = told("AT Ours +1 k +1-2 5.1", Dialect::At);
        let known = &b"k +1-2 5.12 6120000000 Ours"[..];
        let all = consequence(&told, Some(known), &["P"], &["P"]);
        let expected = Overheard { line: known.to_vec(), spelling: None, is_held: true, newer: None };
        assert_eq!((all.news.as_deref(), of(&all, "P")), (None, &expected));
    }
}
