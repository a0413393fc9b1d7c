//! `herd-bench run`: measures the rows, prints the table, writes the files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::herd::Program;
use crate::load::Failure;
use crate::options::Run;
use crate::plot;
use crate::process::{self, Cores};
use crate::report::{self, Finding, Machine};
use crate::rows::ROWS;
use crate::system::{Bench, NO_REDIS};

/// The number by which `--rows` names the plot.
const PLOT: u8 = 0;

/// Measures what was asked for.
pub fn run(options: &Run) -> Result<(), Failure> {
    let scratch = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let scratch = scratch.join(format!("herd-bench-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let written = scratch.clone();
    ctrlc::set_handler(move || {
        let _nobody_begins = process::end_all();
        let _ = fs::remove_dir_all(&written); // What cannot be removed stays.
        std::process::exit(130);
    })
    .map_err(io::Error::other)?;
    let measured = measure(options, &scratch);
    fs::remove_dir_all(&scratch)?;
    measured
}

fn measure(options: &Run, scratch: &Path) -> Result<(), Failure> {
    let bench = bench(options, scratch)?;
    let machine = machine(&bench);
    bench.cores.pin_load()?;
    eprintln!("{}", machine.line());
    if bench.redis.is_none() {
        eprintln!("{NO_REDIS}; its columns are left out");
    }
    if bench.cores.server.is_none() {
        eprintln!("only one core: server and generator share it, and latencies say little");
    }
    let findings = findings(&bench, &options.rows);
    let waited = waited();
    println!("\n{}\n{}", machine.line(), report::table(&findings));
    println!(
        "The generator waited for its core during {:.0} % of the time that it could have run.",
        waited * 100.0
    );
    if waited > QUIET {
        println!("This machine is not quiet: do not quote these figures.");
    }
    let points = points(options, &bench, &machine)?;
    if let Some(path) = &options.json {
        let results = json!({
            "machine": machine, "waited": waited, "runs": bench.runs, "seconds": bench.lasting.as_secs_f64(),
            "findings": findings, "plot": points,
        });
        write(path, &format!("{}\n", serde_json::to_string_pretty(&results).map_err(io::Error::from)?))?;
    }
    let failed = findings.iter().filter(|finding| finding.failed).count();
    if failed > 0 { Err(io::Error::other(format!("{failed} rows failed")).into()) } else { Ok(()) }
}

/// On a quiet machine the generator waits less than this.
const QUIET: f64 = 0.05;

/// The part of its time during which the generator could have run and had to wait for others on its core.
fn waited() -> f64 {
    let (ran, waited) = process::own_ran_and_waited();
    waited.as_secs_f64() / (ran + waited).as_secs_f64().max(f64::MIN_POSITIVE)
}

fn bench(options: &Run, scratch: &Path) -> io::Result<Bench> {
    let (runs, seconds, million) = if options.quick { (3, 0.4, 200_000) } else { (5, 2.0, 1_000_000) };
    let args = options.herd_args.split_whitespace().map(str::to_owned).collect();
    Ok(Bench {
        herd: Program::new(&options.herd, args)?,
        redis: on_path("redis-server"),
        own: std::env::current_exe()?,
        cores: Cores::choose()?,
        scratch: scratch.to_owned(),
        file_system: file_system(scratch),
        runs: options.runs.unwrap_or(runs).max(1),
        lasting: Duration::from_secs_f64(options.seconds.unwrap_or(seconds)),
        million,
    })
}

fn findings(bench: &Bench, rows: &[u8]) -> Vec<Finding> {
    let wanted = ROWS.iter().filter(|row| rows.is_empty() || rows.contains(&row.number));
    let mut findings = Vec::new();
    for row in wanted {
        eprintln!("row {}: {}", row.number, row.title);
        let found = (row.measure)(bench)
            .unwrap_or_else(|failure| vec![Finding::failed(row.number, row.title, failure.to_string())]);
        eprint!(
            "{}",
            report::table(&found).lines().skip(2).fold(String::new(), |all, line| all + line + "\n")
        );
        findings.extend(found);
    }
    findings
}

fn points(options: &Run, bench: &Bench, machine: &Machine) -> Result<Vec<plot::Point>, Failure> {
    let (Some(path), true) = (&options.svg, options.rows.is_empty() || options.rows.contains(&PLOT)) else {
        return Ok(Vec::new());
    };
    eprintln!("plot: cost by pipelining and connections");
    let points = plot::sweep(bench)?;
    write(path, &plot::draw(&points, machine))?;
    Ok(points)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn machine(bench: &Bench) -> Machine {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name"));
    let processor = name.map_or("unknown processor", |name| name.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut versions = vec![first_line(Command::new(&bench.herd.path).arg("--version"))];
    if let Some(redis) = &bench.redis {
        let version = first_line(Command::new(redis).arg("--version"));
        versions.extend(version.split(" sha=").next().map(str::to_owned));
    }
    Machine {
        processor: processor.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        kernel: kernel.trim().to_owned(),
        file_system: bench.file_system.clone(),
        date: first_line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        versions,
    }
}

/// The kind of file system that a directory is on.
fn file_system(directory: &Path) -> String {
    let output = Command::new("df").arg("--output=fstype").arg(directory).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // Before it stands the head of the column.
    said.lines().nth(1).unwrap_or("unknown").to_owned()
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    output.unwrap_or_default().lines().next().unwrap_or("unknown").to_owned()
}
