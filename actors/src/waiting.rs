//! Waiting that has an end, where it nearly always ends before: timers are made and moved as little as can be.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Longer than any connection lasts, and short enough for the clock to count.
pub const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// A step that may have to wait, on the thread where it began.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>;

/// Whole milliseconds since a moment.
pub fn ms_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Waits for what is nearly always there at once, and only then makes a timer. What is not there in time is an error.
pub async fn within<T>(limit: Duration, event: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut event = pin!(event);
    match poll_fn(|context| Poll::Ready(event.as_mut().poll(context))).await {
        Poll::Ready(event) => Ok(event),
        Poll::Pending => timeout(limit, event).await,
    }
}

/// Takes a step that may fail, within so many milliseconds: what takes longer has failed.
pub async fn in_time<T, E: From<Elapsed>>(
    limit_ms: u64,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(Duration::from_millis(limit_ms), step).await?
}

/// Writes all of some bytes, and has them go out. Whoever takes some of them has as long again for the others; one that
/// takes none within the limit is an error.
pub async fn write_out(
    to: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
    limit: Duration,
) -> Result<io::Result<()>, Elapsed> {
    while !bytes.is_empty() {
        match within(limit, to.write(bytes)).await? {
            Ok(0) => return Ok(Err(io::ErrorKind::WriteZero.into())),
            Ok(taken) => bytes = &bytes[taken..],
            Err(error) => return Ok(Err(error)),
        }
    }
    // TLS keeps what the socket has not taken until it is told to flush.
    within(limit, to.flush()).await
}

/// How much of what nobody wants is read at a time.
const DRAIN_SIZE: usize = 2 * 1024;

/// Takes what the other side still says, and drops it, until it has hung up, says nothing for a while, or has had time
/// enough. A connection that is closed over bytes which nobody has read is reset, and the reset may overtake what was said
/// last.
pub async fn drain(from: &mut (impl AsyncRead + Unpin), silence: Duration, limit: Duration) {
    let mut unwanted = Vec::with_capacity(DRAIN_SIZE);
    let draining = async {
        while let Ok(Ok(1..)) = timeout(silence, from.read_buf(&mut unwanted)).await {
            unwanted.clear();
        }
    };
    let _ = timeout(limit, draining).await; // Whoever has not hung up by then is hung up on.
}

/// Wakes whoever waits for it, on whatever thread, and tells all at its last ring to finish and end.
#[derive(Default)]
pub struct Bell {
    rung: Notify,
    is_last: AtomicBool,
}

impl Bell {
    /// Wakes one that waits, or will wait next.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// Rings for the last time, for all who wait: whoever hears it is to end.
    pub fn ring_last(&self) {
        self.is_last.store(true, Ordering::Release);
        self.rung.notify_waiters();
    }

    /// True once it rang for the last time. Whoever waits for a bell that another thread rings asks this when the waiting has
    /// begun, or nothing may wake it.
    pub fn rang_last(&self) -> bool {
        self.is_last.load(Ordering::Acquire)
    }

    /// Begins to wait until it rings.
    pub fn rung(&self) -> Notified<'_> {
        self.rung.notified()
    }

    /// Waits for the last ring of a bell that never rings before.
    pub async fn rung_last(&self) {
        let rung = self.rung();
        if !self.rang_last() {
            rung.await;
        }
    }
}

/// How long the next event may still take. Turning it touches no timer, since it is turned for every event.
pub struct Hourglass {
    turned: Instant,
    due: Instant,
    /// Rings when it is due, or before: then it is set anew.
    alarm: Pin<Box<Sleep>>,
}

impl Hourglass {
    /// Begins to run.
    pub fn new(limit: Duration) -> Self {
        let alarm = Box::pin(sleep(limit));
        Self { turned: Instant::now(), due: alarm.deadline(), alarm }
    }

    /// Begins anew.
    pub fn turn(&mut self, limit: Duration) {
        self.turned = Instant::now();
        self.due = self.turned.checked_add(limit).unwrap_or(self.turned + FOREVER);
        if self.due < self.alarm.deadline() {
            self.alarm.as_mut().reset(self.due);
        }
    }

    /// How long ago it was turned, or began.
    pub fn elapsed(&self) -> Duration {
        self.turned.elapsed()
    }

    /// True once the alarm has rung and was not set anew.
    pub fn has_rung(&self) -> bool {
        self.alarm.is_elapsed()
    }

    /// Ready when it has run out.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= self.due {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(self.due);
        }
    }

    /// Waits for an event; `None` if the glass runs out before.
    pub async fn watch<T>(&mut self, event: impl Future<Output = T>) -> Option<T> {
        let mut event = pin!(event);
        poll_fn(|context| match event.as_mut().poll(context) {
            Poll::Ready(event) => Poll::Ready(Some(event)),
            Poll::Pending => self.poll(context).map(|()| None),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn one_that_takes_a_little_at_a_time_gets_all_and_one_that_takes_no_more_is_given_up() {
        tokio::time::pause();
        let (limit, began) = (Duration::from_secs(10), Instant::now());
        let (mut near, mut far) = tokio::io::duplex(10);
        let reading = actix_rt::spawn(async move {
            let mut piece = [0; 10];
            for _ in 0..9 {
                tokio::time::sleep(limit * 9 / 10).await;
                far.read_exact(&mut piece).await.unwrap();
            }
            far
        });
        write_out(&mut near, &[b'x'; 100], limit).await.unwrap().unwrap();
        assert!(began.elapsed() > 8 * limit, "{:?}", began.elapsed());
        let _far = reading.await.unwrap();
        let began = Instant::now();
        assert!(write_out(&mut near, b"x", limit).await.is_err());
        assert!(began.elapsed() < limit + Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[actix::test]
    async fn a_later_line_may_have_less_time_than_the_first() {
        tokio::time::pause();
        let began = Instant::now();
        let mut hourglass = Hourglass::new(Duration::from_secs(100));
        hourglass.turn(Duration::from_secs(1));
        poll_fn(|context| hourglass.poll(context)).await;
        assert!(began.elapsed() < Duration::from_secs(2));
        hourglass.turn(Duration::MAX);
        assert!(
            timeout(Duration::from_secs(1_000_000), poll_fn(|context| hourglass.poll(context)))
                .await
                .is_err()
        );
    }
}
