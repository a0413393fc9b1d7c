//! The servers' processes: started on a core of their own, asked for their CPU time and memory, stopped.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::scratch::Directory;

/// How long a server may take to end after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Which core does what; `None` where the machine has only one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cores {
    /// The servers' core.
    pub server: Option<usize>,
    /// The generator's core.
    pub load: Option<usize>,
}

impl Cores {
    /// Takes the last two cores that this process may use: interrupts tend to go to the first.
    pub fn choose() -> io::Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0))?;
        let mut usable = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).rev();
        let (load, server) = (usable.next(), usable.next());
        Ok(if server.is_some() { Self { server, load } } else { Self::default() })
    }

    /// Keeps the calling thread on the generator's core.
    pub fn pin_load(self) -> io::Result<()> {
        pin(self.load)
    }
}

/// Moves the calling thread to a core; what it starts from then on is born there.
fn pin(core: Option<usize>) -> io::Result<()> {
    let Some(core) = core else { return Ok(()) };
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// One running server.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    errors: PathBuf,
    /// Where it writes, which is there as long as the process.
    _directory: Directory,
}

/// The processes that run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Ends all processes at once, for whoever is to end in the middle of it all. As long as what is returned is kept, no other
/// begins.
pub fn end_all() -> MutexGuard<'static, Vec<u32>> {
    let running = running();
    for &id in running.iter() {
        let _ = kill(pid(id), Signal::SIGKILL); // One that has ended needs no ending.
    }
    running
}

/// A thread that panicked has left no list half written.
fn running() -> MutexGuard<'static, Vec<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a server on the servers' core; what it prints goes to a file in `directory`.
    pub fn start(name: &str, command: &mut Command, cores: Cores, directory: &Directory) -> io::Result<Self> {
        Self::start_on(name, command, cores.server, cores, directory)
    }

    /// Starts a server on a given core.
    pub fn start_on(
        name: &str,
        command: &mut Command,
        core: Option<usize>,
        cores: Cores,
        directory: &Directory,
    ) -> io::Result<Self> {
        let errors = directory.join(format!("{name}.out"));
        let out = File::create(&errors)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // The child inherits the core at birth: no thread of it ever runs elsewhere.
        let mut running = running();
        pin(core)?;
        let child = command.spawn();
        cores.pin_load()?;
        let child = child.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display()))
        })?;
        running.push(child.id());
        Ok(Self { name: name.to_owned(), child, errors, _directory: directory.clone() })
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system CPU time of all its threads, also of those that ended.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu(self.id())
    }

    /// CPU time of its first thread alone.
    pub fn first_thread(&self) -> io::Result<Duration> {
        let id = self.id();
        Ok(ran_and_waited(&fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat"))?).0)
    }

    /// Resident bytes.
    pub fn resident(&self) -> io::Result<u64> {
        resident(self.id())
    }

    /// An error that names the server and what it printed, where it has ended.
    pub fn check(&mut self) -> io::Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let printed = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" / ");
        Err(io::Error::other(format!("{} ended with {status}; it printed: {last}", self.name)))
    }

    /// Asks it to end, waits, and ends it by force where it does not.
    pub fn stop(&mut self) {
        let pid = pid(self.id());
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // An error means that it has ended by itself, which is what is wanted.
        let _ = kill(pid, Signal::SIGTERM);
        let deadline = Instant::now() + STOP_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("{} did not end {} s after SIGTERM and was killed", self.name, STOP_MAX.as_secs());
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        let id = self.id();
        running().retain(|running| *running != id);
    }
}

/// User and system CPU time of a process, in nanoseconds where `/proc/PID/stat` has ticks of 10 ms.
pub fn cpu(id: u32) -> io::Result<Duration> {
    Ok(Duration::from(clock_getcpuclockid(pid(id))?.now()?))
}

/// Resident bytes of a process, after `/proc/PID/status`.
pub fn resident(id: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| {
        let digits = rest.trim().trim_end_matches(" kB");
        digits.parse::<u64>().ok()
    });
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("no VmRSS in /proc/{id}/status")))
}

/// How long this process ran, and how long it waited for a core though it could have run.
pub fn own_ran_and_waited() -> (Duration, Duration) {
    ran_and_waited(&fs::read_to_string("/proc/self/schedstat").unwrap_or_default())
}

/// The same for whatever a `schedstat` of `/proc` is about.
fn ran_and_waited(schedstat: &str) -> (Duration, Duration) {
    let mut times =
        schedstat.split_whitespace().map(|digits| Duration::from_nanos(digits.parse().unwrap_or(0)));
    (times.next().unwrap_or_default(), times.next().unwrap_or_default())
}

fn pid(id: u32) -> Pid {
    // Linux's process IDs end at 2^22.
    Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_in_the_cpu_time_and_memory_in_the_resident_bytes() {
        let own = std::process::id();
        let before = cpu(own).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);

        while cpu(own).unwrap() < before + Duration::from_millis(5) {
            assert!(Instant::now() < deadline, "spinning does not show");
        }

        assert!(resident(own).unwrap() > 100_000);
    }

    #[test]
    fn a_server_that_ended_is_named_with_what_it_printed() {
        let name = format!("brief-{}", std::process::id());
        let directory = Directory::new(&std::env::temp_dir(), &name).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo no such topology >&2; exit 3"]);
        let mut process = Process::start(&name, &mut shell, Cores::default(), &directory).unwrap();

        process.child.wait().unwrap();
        let error = process.check().unwrap_err().to_string();

        assert!(error.contains(&name) && error.contains("no such topology"), "{error}");
    }
}
