//! One link of a chain of raw relays: passes lines on as they are, and shows the last one when asked.
//!
//! A chain of three does with no rules at all what Goloman, Holiday and Welsh do with an update.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

/// The line that came last, for whoever asks by a line that begins with WHATSAT.
type Last = Rc<RefCell<Vec<u8>>>;

/// Serves until the process is ended; lines go on to `next`, where there is one.
pub fn serve(address: &str, next: Option<&str>) -> io::Result<()> {
    super::run(async {
        let listener = TcpListener::bind(address).await?;
        let last = Last::default();
        loop {
            let (socket, _) = listener.accept().await?;
            let onward = dial(next).await?;
            // How a connection ends is its own affair: the bench reports what it misses.
            tokio::task::spawn_local(relay(socket, onward, Rc::clone(&last)));
        }
    })
}

async fn dial(next: Option<&str>) -> io::Result<Option<OwnedWriteHalf>> {
    let Some(next) = next else { return Ok(None) };
    let socket = TcpStream::connect(next).await?;
    socket.set_nodelay(true)?;
    Ok(Some(socket.into_split().1))
}

async fn relay(mut socket: TcpStream, mut onward: Option<OwnedWriteHalf>, last: Last) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let bytes = socket.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        if buffer.starts_with(b"WHATSAT") {
            let answer = shown(&last.borrow());
            socket.write_all(&answer).await?;
            continue;
        }
        // An update is one line and far smaller than a segment: it comes in one read.
        last.replace(buffer[..bytes].to_vec());
        if let Some(onward) = &mut onward {
            onward.write_all(&buffer[..bytes]).await?;
        }
    }
}

/// The last line and the blank line that ends an answer to WHATSAT, or what says that there is none.
fn shown(last: &[u8]) -> Vec<u8> {
    if last.is_empty() { b"? WHATSAT\n".to_vec() } else { [last, b"\n"].concat() }
}
