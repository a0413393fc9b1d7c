//! A directory and addresses that no other test uses.

use herd_actors::net::bound;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the rooms of this process, so that each has a directory and a host of its own.
static ROOMS: AtomicU32 = AtomicU32::new(0);

/// A directory for one test, removed when the test is over.
pub struct Room {
    path: PathBuf,
    host: String,
}

impl Room {
    /// Makes an empty directory and picks a loopback host.
    pub fn new() -> Self {
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("herd-{}-{number}", process::id()));
        fs::create_dir_all(&path).expect("a directory for the test");
        Room { path, host: host_of_its_own(process::id(), number) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn host(&self) -> &str {
        &self.host
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // A directory that cannot be removed is litter under the target directory, and no reason to fail.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Finds `count` free addresses on a host. They are held together, so that they differ, and then let go.
///
/// By sockets that do not listen: a program that another test starts at this moment has a copy of each until it is the
/// program that it is to be, and a port that is listened on is taken for as long.
pub fn reserve(host: &str, count: usize) -> Vec<String> {
    let address = format!("{host}:0").parse().expect("a loopback host");
    let held: Vec<_> = (0..count).map(|_| bound(address).expect("a free port")).collect();
    held.iter().map(|socket| socket.local_addr().expect("an address").to_string()).collect()
}

/// Picks a loopback host that nobody else binds or dials from, so that a port stays free while its server is
/// down. Systems that have only the one loopback host give that.
fn host_of_its_own(process: u32, number: u32) -> String {
    let (high, middle, low) = (1 + process / 250 % 250, 1 + process % 250, 1 + number % 250);
    let host = format!("127.{high}.{middle}.{low}");
    if TcpListener::bind((host.as_str(), 0)).is_ok() { host } else { "127.0.0.1".to_owned() }
}
