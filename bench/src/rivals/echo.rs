//! A plain tokio echo: what the kernel and the runtime cost, without any work.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Sends every byte back, on every connection, until the process is ended.
pub fn serve(address: &str) -> io::Result<()> {
    super::run(async {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            // How a connection ends is its own affair: the generator reports what it misses.
            tokio::task::spawn_local(echo(socket));
        }
    })
}

async fn echo(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let bytes = socket.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        socket.write_all(&buffer[..bytes]).await?;
    }
}
