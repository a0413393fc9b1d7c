//! A directory of its own for one test, herds on free ports in it, and the built program run there.

use canary::Canaries;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

#[path = "canary.rs"]
pub mod canary;

/// A directory that goes when the test ends.
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory that no other test has.
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("herd-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch { path }
    }

    /// Tells where a file of this test is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Reads a file; nothing when it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Prepares to run the program in the directory, with secrets and without settings of the person who runs the tests.
    pub fn herd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_herd"));
        command.args(arguments).current_dir(&self.path);
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("HERD_") || name.starts_with("GOOGLE_PLACES_") || name == "RUST_LOG" {
                command.env_remove(&variable);
            }
        }
        command.env("HERD_SECRET", canary::SECRET).env("GOOGLE_PLACES_API_KEY", canary::KEY);
        command.env("RUST_LOG", std::env::var_os("HERD_TEST_LOG").unwrap_or_default());
        command.env("HERD_PLACES", "none");
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let output = self.herd(arguments).output().expect("the program runs");
        Canaries::new().expect_none_in("standard output", &output.stdout);
        Canaries::new().expect_none_in("standard error", &output.stderr);
        output
    }

    /// Writes `topology.json` for a herd on free ports, each server linked with the one before it, and tells
    /// where its clients go.
    pub fn chain(&self, names: &[&str]) -> Vec<String> {
        let ports = free_ports(names.len() * 2);
        let server = |(place, name): (usize, &&str)| {
            let (clients, peers) = (ports[place * 2], ports[place * 2 + 1]);
            let before = if place == 0 { String::new() } else { format!("\"{}\"", names[place - 1]) };
            format!(
                "\"{name}\": {{\"clients\": \"127.0.0.1:{clients}\", \"peers\": \"127.0.0.1:{peers}\", \
                 \"neighbours\": [{before}]}}"
            )
        };
        let servers: Vec<String> = names.iter().enumerate().map(server).collect();
        self.write("topology.json", &format!("{{\"servers\": {{{}}}}}", servers.join(",\n")));
        ports.chunks(2).map(|pair| format!("127.0.0.1:{}", pair[0])).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let found = Canaries::new().found_below(&self.path);
        // What is left behind is in the target directory, and goes with it.
        let _ = fs::remove_dir_all(&self.path);
        assert!(thread::panicking() || found.is_empty(), "secrets are shown: {found:#?}");
    }
}

/// Finds ports that nobody listens on, all different.
fn free_ports(count: usize) -> Vec<u16> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}

/// What the program said on standard output.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the program said on standard error.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
