//! A directory of its own for one test, herds on free ports in it, and the built program run there.

use super::canary::{self, Canaries};
use super::program::{PROGRAM, furnish};
use super::room::{Room, reserve};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

/// A directory that goes when the test ends.
pub struct Scratch {
    room: Room,
}

impl Scratch {
    /// Makes a directory that no other test has.
    pub fn new() -> Scratch {
        Scratch { room: Room::new() }
    }

    /// Tells where a file of this test is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
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
        self.herd_at(Path::new(PROGRAM), arguments)
    }

    /// The same for the program at another place.
    pub fn herd_at(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.room.path());
        furnish(&mut command);
        command.env("HERD_SECRET", canary::SECRET);
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
        let addresses = reserve(self.room.host(), names.len() * 2);
        let server = |(place, name): (usize, &&str)| {
            let (clients, peers) = (&addresses[place * 2], &addresses[place * 2 + 1]);
            let before = if place == 0 { String::new() } else { format!("\"{}\"", names[place - 1]) };
            format!(
                "\"{name}\": {{\"clients\": \"{clients}\", \"peers\": \"{peers}\", \"neighbours\": [{before}]}}"
            )
        };
        let servers: Vec<String> = names.iter().enumerate().map(server).collect();
        self.write("topology.json", &format!("{{\"servers\": {{{}}}}}", servers.join(",\n")));
        addresses.into_iter().step_by(2).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let found = Canaries::new().found_below(self.room.path());
        assert!(thread::panicking() || found.is_empty(), "secrets are shown: {found:#?}");
    }
}

/// What the program said on standard output.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the program said on standard error.
pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
