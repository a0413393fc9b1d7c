//! A server for the generator's own tests: it answers IAMAT as a script says, also wrongly.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Listens on a free port, and answers the n-th line of every connection with what `script` makes of it; `None`
/// ends the connection.
pub fn serve(script: impl Fn(usize, &str) -> Option<String> + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let script = script.clone();
            thread::spawn(move || answer(&socket, script));
        }
    });
    address
}

fn answer(socket: &TcpStream, script: impl Fn(usize, &str) -> Option<String>) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    let lines = BufReader::new(socket).lines();
    let mut socket = socket;
    for (number, line) in lines.enumerate() {
        let Some(answer) = script(number, &line?) else { return Ok(()) };
        socket.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// The right answer of Goloman.
pub fn right(line: &str) -> String {
    format!("AT Goloman +0.000123456 {}\n", line.trim_start_matches("IAMAT "))
}
