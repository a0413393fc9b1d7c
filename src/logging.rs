//! Where log lines go: to the server's file, and to standard error when somebody watches it.

use crate::failure::{Failure, reason};
use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::Record;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Begins to log: appends to `<name>.log` in `dir`, which is made if need be, and with `also_stderr` there too.
///
/// `RUST_LOG` chooses what is logged; without it everything from info up.
pub fn start(dir: &Path, name: &str, also_stderr: bool) -> Result<(), Failure> {
    let path = path(dir, name);
    let file = open(dir, &path).map_err(|error| {
        let (path, why) = (path.display(), reason(&error));
        Failure::Undone(format!("cannot write the log {path}: {why}; choose another --log-dir"))
    })?;
    Builder::new()
        .parse_filters(&filters(std::env::var("RUST_LOG").ok()))
        .format(line)
        .target(Target::Pipe(Box::new(Tee { file, also_stderr })))
        .init();
    Ok(())
}

/// Tells where the log of a server is.
pub fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.log"))
}

fn open(dir: &Path, path: &Path) -> io::Result<File> {
    fs::create_dir_all(dir)?;
    OpenOptions::new().create(true).append(true).open(path)
}

fn filters(chosen: Option<String>) -> String {
    chosen.filter(|filters| !filters.trim().is_empty()).unwrap_or_else(|| "info".to_owned())
}

/// Writes one event as one line, whatever it says.
fn line(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let said = record.args().to_string().replace('\n', "\\n").replace('\r', "\\r");
    writeln!(out, "{} {:5} {} {said}", out.timestamp_millis(), record.level(), record.target())
}

/// Writes to the file, and to standard error if wanted. Each event comes as one write, so that appending
/// processes do not tear each other's lines.
struct Tee {
    file: File,
    also_stderr: bool,
}

impl Write for Tee {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let kept = self.file.write_all(event);
        if self.also_stderr {
            // Nobody may be watching any more; the file still is.
            let _ = io::stderr().write_all(event);
        }
        kept.map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_everything_from_info_up_is_logged() {
        assert_eq!(filters(None), "info");
        assert_eq!(filters(Some(String::new())), "info");
        assert_eq!(filters(Some("herd=trace".to_owned())), "herd=trace");
    }

    #[test]
    fn the_log_is_named_for_the_server() {
        assert_eq!(path(Path::new("logs"), "Goloman"), Path::new("logs/Goloman.log"));
    }
}
