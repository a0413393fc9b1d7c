//! All clients that a server knows, told to whoever asks for them at its door: `herd list`.
//!
//! A page of the store at a time, and the next when the other side has taken that: what a slow reader makes a server hold
//! is one page.

use crate::door::{Credentials, NoLink, Shaken, call};
use crate::messages::{Browse, Page};
use crate::net::{Seams, Socket, unread};
use crate::waiting::{within, write_out};
use actix::Recipient;
use herd_core::handshake::{Hello, Purpose};
use herd_core::limits::Limits;
use herd_core::listing::{END, LINE_MAX, Line};
use herd_core::record::Record;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Tells a caller all records, and that these were all, and hangs up. A caller that takes nothing for as long as a client
/// may is hung up on.
pub async fn tell(shaken: Shaken, store: &Recipient<Browse>, limits: &Limits) -> io::Result<()> {
    let (mut socket, limit) = (shaken.socket, Duration::from_millis(limits.write_stall_ms));
    let mut from = Some(0);
    while let Some(slot) = from {
        let Page { mut lines, next } = store.send(Browse { from: slot }).await.map_err(io::Error::other)?;
        if next.is_none() {
            lines.extend_from_slice(END);
        }
        write_out(&mut socket, &lines, limit).await??;
        from = next;
    }
    within(limit, socket.shutdown()).await?
}

/// What a server tells, as it comes.
pub struct Listing {
    from: BufReader<Socket>,
    line: Vec<u8>,
    limit: Duration,
}

impl Listing {
    /// Asks the server at a peer address for all clients. With TLS a caller names itself, and shows the certificate of that
    /// name.
    pub async fn ask(
        seams: &Seams,
        address: &str,
        (from, to): (&str, &str),
        credentials: &Credentials,
        limits: &Limits,
    ) -> Result<Self, NoLink> {
        let hello = Hello { purpose: Purpose::List, from: from.to_owned(), to: to.to_owned() };
        let Shaken { socket, rest, .. } =
            call(&*seams.network, address, &hello, credentials, &seams.dice, limits).await?;
        Ok(Self {
            from: BufReader::new(unread(rest, socket)),
            line: Vec::new(),
            limit: Duration::from_millis(limits.write_stall_ms),
        })
    }

    /// The next record; nothing once all were told.
    pub async fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        self.line.clear();
        let mut line = (&mut self.from).take(LINE_MAX as u64);
        within(self.limit, line.read_until(b'\n', &mut self.line)).await??;
        match Line::parse(&self.line) {
            Some(Line::Record(record)) => Ok(Some(record)),
            Some(Line::End) => Ok(None),
            None if !self.line.ends_with(b"\n") && self.line.len() < LINE_MAX => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "what it says makes no sense")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::greet;
    use crate::testing::{Switchboard, answering, seams};
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::io::DuplexStream;
    use tokio::sync::mpsc::UnboundedReceiver;

    /// A store with so many pages of two clients each, and how many of them were asked for.
    fn store(pages: u32) -> (Recipient<Browse>, Rc<Cell<usize>>) {
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let store = answering(move |Browse { from }| {
            count.set(count.get() + 1);
            let lines = format!("a{from} +1-2 3 4 A\nb{from} +1-2 3 4 A\n").into_bytes();
            Page { lines, next: (from + 1 < pages).then_some(from + 1) }
        });
        (store, asked)
    }

    /// Opens the door to the next caller.
    async fn open(calls: &mut UnboundedReceiver<DuplexStream>) -> Shaken {
        let (credentials, limits) = (Credentials::default(), Limits::default());
        let (network, _) = Switchboard::new(true, 1);
        let socket = Box::new(calls.recv().await.unwrap());
        let dice = seams(network).dice;
        let greeted = greet(socket, &credentials, &dice, &limits, |_| Ok(()), |_| Ok(())).await;
        let (hello, shaken) = greeted.unwrap();
        assert_eq!(hello.purpose, Purpose::List);
        shaken
    }

    /// Asks, and has the other side do something then.
    async fn ask<T>(then: impl AsyncFnOnce(Shaken) -> T) -> (Listing, T) {
        let (network, mut calls) = Switchboard::new(true, 100);
        let (seams, credentials, limits) = (seams(network), Credentials::default(), Limits::default());
        let asking = Listing::ask(&seams, "there:1", ("-", "A"), &credentials, &limits);
        let (listing, then) = tokio::join!(asking, async { then(open(&mut calls).await).await });
        (listing.unwrap(), then)
    }

    #[actix::test]
    async fn all_records_are_told_a_page_at_a_time_and_a_page_ahead_of_who_reads() {
        let (store, asked) = store(1000);
        let (told, telling) = tokio::sync::oneshot::channel();
        let begin = async move |shaken| {
            actix_rt::spawn(async move { told.send(tell(shaken, &store, &Limits::default()).await) });
        };
        let (mut listing, ()) = ask(begin).await;
        let (mut count, mut last) = (0, Vec::new());
        while let Some(record) = listing.next().await.unwrap() {
            count += 1;
            last = record.said.client.to_vec();
            assert!(asked.get() * 2 < count + 20, "{} pages", asked.get());
        }
        assert_eq!((count, &last[..]), (2000, &b"b999"[..]));
        telling.await.unwrap().unwrap();
    }

    #[actix::test]
    async fn a_listing_that_was_broken_off_or_makes_no_sense_is_an_error() {
        let outcomes = [
            ("", io::ErrorKind::UnexpectedEof),
            ("a +1-2 3 4 A\n", io::ErrorKind::UnexpectedEof),
            ("a +1-2 3 4 A\nEND", io::ErrorKind::UnexpectedEof),
            ("a +1-2 3\n", io::ErrorKind::InvalidData),
        ];
        for (said, expected) in outcomes {
            let telling = async |mut shaken: Shaken| shaken.socket.write_all(said.as_bytes()).await.unwrap();
            let (mut listing, ()) = ask(telling).await;
            let error = loop {
                match listing.next().await {
                    Ok(record) => assert!(record.is_some(), "{said:?}"),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), expected, "{said:?}");
        }
    }

    #[actix::test]
    async fn a_caller_that_takes_nothing_is_hung_up_on() {
        tokio::time::pause();
        let (store, _) = store(1000);
        let telling = async move |shaken| tell(shaken, &store, &Limits::default()).await;
        let (listing, told) = ask(telling).await;
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(listing);
    }
}
