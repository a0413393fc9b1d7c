//! The built program, run without the settings of the person who runs the tests.

use super::canary;
use std::env;
use std::fs;
use std::process::Command;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_herd");

/// Prepares to run the program with nothing in its environment that means something to it.
pub fn herd(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    clean(&mut command);
    command
}

/// Takes from the environment of a command all that means something to herd.
pub fn clean(command: &mut Command) {
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("HERD_") || name.starts_with("GOOGLE_PLACES_") || name == "RUST_LOG" {
            command.env_remove(&variable);
        }
    }
}

/// Cleans the environment of a command, and gives it a key to look for in what it writes, and no places. How much is
/// logged can be chosen for all tests.
pub fn furnish(command: &mut Command) {
    clean(command);
    command.env("GOOGLE_PLACES_API_KEY", canary::KEY).env("HERD_PLACES", "none");
    command.env("RUST_LOG", env::var_os("HERD_TEST_LOG").unwrap_or_default());
}

/// Sends a signal to a process, named as `kill` names it, and tells whether there was one to take it.
fn kill(pid: u32, signal: &str) -> bool {
    let line = format!("kill -{signal} {pid} 2> /dev/null");
    Command::new("sh").args(["-c", &line]).status().expect("a shell").success()
}

/// Tells whether a process runs. One that has ended is there until somebody asks how, which nobody does for orphans in
/// a container without an init.
pub fn is_alive(pid: u32) -> bool {
    kill(pid, "0") && !state(pid).starts_with(['Z', 'X'])
}

/// What a process does, as a letter; nothing where the system does not say it.
fn state(pid: u32) -> String {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // Before it is the name of the program, in parentheses.
        return stat.rsplit(") ").next().unwrap_or_default().to_owned();
    }
    let said = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned()).unwrap_or_default()
}

/// Sends a signal to a process that must be there.
pub fn signal(pid: u32, name: &str) {
    assert!(kill(pid, name), "process {pid} takes {name}");
}
