//! The listener: it owns one address and hands every connection that comes in to whoever it was made for.
//!
//! It hears [`Stop`], and then takes no more. It never ends alone: a listener that panics ends the whole server.

use crate::complaints::Complaints;
use crate::descriptors::{Guests, leave_some};
use crate::messages::Stop;
use crate::net::{Abort, Incoming, Socket};
use crate::panics::OnPanic;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, WrapFuture};
use std::net::SocketAddr;
use std::time::Duration;

/// What is done with a connection and the address it comes from.
pub type Welcome = Box<dyn FnMut(Socket, SocketAddr)>;

/// Takes the connections that come in at one address.
pub struct ListenerActor {
    /// The address, who comes in there, and what to do with connections, until it starts.
    duty: Option<(Box<dyn Incoming>, Guests, Welcome)>,
    /// The end of the server: nobody would come in any more.
    _on_panic: OnPanic,
}

impl ListenerActor {
    /// A listener at an address that was taken already, so that a port in use is known before anything starts.
    pub fn new(incoming: Box<dyn Incoming>, guests: Guests, welcome: Welcome, abort: &Abort) -> Self {
        Self { duty: Some((incoming, guests, welcome)), _on_panic: OnPanic::abort(abort, "a listener") }
    }
}

impl Actor for ListenerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some((incoming, guests, welcome)) = self.duty.take() {
            ctx.spawn(accept(incoming, guests, welcome).into_actor(self));
        }
    }
}

impl Handler<Stop> for ListenerActor {
    type Result = ();

    fn handle(&mut self, Stop: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

/// How long to wait after a failed accept: too many open files, say, pass when somebody hangs up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept(mut incoming: Box<dyn Incoming>, guests: Guests, mut welcome: Welcome) {
    let complaints = Complaints::default();
    loop {
        let accepted = incoming.accept().await;
        match accepted.and_then(|(socket, from)| leave_some(&socket, guests).map(|()| (socket, from))) {
            Ok((socket, from)) => welcome(socket, from),
            Err(error) => {
                complaints.make(format_args!("no connection could be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::Step;
    use std::io;
    use std::sync::Arc;
    use tokio::sync::mpsc;

    /// Connections, or errors, as a test wants them.
    struct Queue(mpsc::UnboundedReceiver<io::Result<Socket>>);

    impl Incoming for Queue {
        fn accept(&mut self) -> Step<'_, (Socket, SocketAddr)> {
            Box::pin(async {
                match self.0.recv().await {
                    Some(next) => next.map(|socket| (socket, SocketAddr::from(([127, 0, 0, 1], 9)))),
                    None => std::future::pending().await,
                }
            })
        }

        fn address(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 8)))
        }
    }

    fn socket() -> Socket {
        Box::new(tokio::io::duplex(1).0)
    }

    /// A listener, where to put what it accepts, and the addresses of what it handed on.
    fn listener() -> (
        actix::Addr<ListenerActor>,
        mpsc::UnboundedSender<io::Result<Socket>>,
        mpsc::UnboundedReceiver<SocketAddr>,
    ) {
        let (connect, queue) = mpsc::unbounded_channel();
        let (handed, welcomed) = mpsc::unbounded_channel();
        let abort: Abort = Arc::new(|_| {});
        let welcome: Welcome = Box::new(move |_, from| {
            let _ = handed.send(from); // A test that is over looks at nothing any more.
        });
        let listener = ListenerActor::new(Box::new(Queue(queue)), Guests::Clients, welcome, &abort);
        (listener.start(), connect, welcomed)
    }

    #[actix::test]
    async fn every_connection_is_handed_on_with_its_address() {
        let (_listener, connect, mut welcomed) = listener();
        for _ in 0..3 {
            connect.send(Ok(socket())).unwrap();
            assert_eq!(welcomed.recv().await.unwrap().port(), 9);
        }
    }

    #[actix::test]
    async fn after_an_error_it_pauses_and_goes_on() {
        tokio::time::pause();
        let (_listener, connect, mut welcomed) = listener();
        let began = tokio::time::Instant::now();
        connect.send(Err(io::Error::other("too many open files"))).unwrap();
        connect.send(Ok(socket())).unwrap();
        assert!(welcomed.recv().await.is_some());
        assert!(began.elapsed() >= ACCEPT_PAUSE);
    }

    #[actix::test]
    async fn once_stopped_it_takes_no_more() {
        let (listener, connect, mut welcomed) = listener();
        listener.send(Stop).await.unwrap();
        assert_eq!(welcomed.recv().await, None);
        assert!(connect.send(Ok(socket())).is_err());
    }
}
