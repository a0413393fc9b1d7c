//! Where log lines go: to the server's file, and to standard error when somebody watches it.

use crate::failure::{Failure, reason};
use crate::terminal::{self, Watcher};
use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::{LevelFilter, Record};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Begins to log: appends to `<name>.log` in `dir`, which is made if need be, and with `also_stderr` there too.
///
/// `RUST_LOG` chooses what is logged; without it everything from info up. Of one that cannot be read nothing would be
/// logged, or not all that was meant.
pub fn start(dir: &Path, name: &str, also_stderr: bool) -> Result<(), Failure> {
    let filters = filters(std::env::var("RUST_LOG").ok());
    check(&filters)?;
    let path = path(dir, name);
    let file = open(dir, &path).map_err(|error| {
        let (path, why) = (path.display(), reason(&error));
        Failure::Undone(format!("cannot write the log {path}: {why}; choose another --log-dir"))
    })?;
    let watcher = also_stderr.then(terminal::watch).transpose()?;
    Builder::new()
        .parse_filters(&filters)
        .format(line)
        .target(Target::Pipe(Box::new(Tee { file, watcher })))
        .try_init()
        .map_err(|error| Failure::Undone(format!("cannot log: {error}")))
}

/// Warns of a `RUST_LOG` of which nothing may come: a word that is no level is taken for the beginning of a module's name.
pub fn warning() -> Option<String> {
    strange(&filters(std::env::var("RUST_LOG").ok())).map(|word| {
        format!(
            "RUST_LOG has {word:?}, which is no level and no module of this program; write info, or debug"
        )
    })
}

/// The first word alone that is neither a level nor begins as the modules of this program do, or the other way round.
fn strange(filters: &str) -> Option<&str> {
    // Behind a slash is what must be in the text of an event.
    let (words, _) = filters.split_once('/').unwrap_or((filters, ""));
    let is_ours = |word: &str| word.starts_with(MODULES) || MODULES.starts_with(word);
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    words.split(',').map(str::trim).find(|word| !word.contains('=') && !is_level(word) && !is_ours(word))
}

/// How the names of all modules begin that log.
const MODULES: &str = "herd";

/// Says why in the log and on standard error, and ends the process with 1, without anything that is usually done last.
pub fn abort(reason: &str) {
    log::error!("{reason}");
    terminal::complain(reason);
    terminal::settle();
    std::process::exit(1);
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

fn check(filters: &str) -> Result<(), Failure> {
    let refused =
        || Failure::Usage(format!("RUST_LOG={filters:?} does not say what to log; write info, or debug"));
    env_filter::Builder::new().try_parse(filters).map(drop).map_err(|_| refused())
}

/// Writes one event as one line, whatever it says.
fn line(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let said = harmless(record.args().to_string());
    writeln!(out, "{} {:5} {} {said}", out.timestamp_millis(), record.level(), record.target())
}

/// Escapes all that is not seen, or does something to a terminal: a name or a reason may come from anybody, and a
/// library may log what it likes.
fn harmless(said: String) -> String {
    let is_seen = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if said.bytes().all(is_seen) {
        return said;
    }
    let mut escaped = String::with_capacity(said.len() + 16);
    for letter in said.chars() {
        if letter == ' ' || letter.is_ascii_graphic() {
            escaped.push(letter);
        } else {
            escaped.extend(letter.escape_debug());
        }
    }
    escaped
}

/// Writes to the file, and to standard error if wanted. Each event comes as one write, so that appending
/// processes do not tear each other's lines.
struct Tee {
    file: File,
    watcher: Option<&'static Watcher>,
}

impl Write for Tee {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let kept = self.file.write_all(event);
        if let Some(watcher) = self.watcher {
            watcher.say(event);
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
    fn a_choice_that_cannot_be_read_is_refused() {
        for choice in ["info", "warn,herd::wire=trace", "herd_actors::peer", "off", "info/places"] {
            assert_eq!(check(choice), Ok(()), "{choice}");
        }
        for choice in ["garbage=[", "herd=nolevel", "info,herd=debug=trace"] {
            let refused = check(choice).expect_err("refused").to_string();
            assert!(refused.starts_with(&format!("RUST_LOG={choice:?} does not")), "{refused}");
        }
    }

    /// `RUST_LOG=loud` logged nothing at all.
    #[test]
    fn a_word_that_is_no_level_and_no_module_of_ours_is_found() {
        for choice in [
            "info",
            "OFF",
            "warn,herd::wire=trace",
            "herd_actors::peer",
            "info/places",
            "h",
            "debug, rustls=warn,",
        ] {
            assert_eq!(strange(choice), None, "{choice}");
        }
        assert_eq!(strange("loud"), Some("loud"));
        assert_eq!(strange("info,verbose/text"), Some("verbose"));
    }

    #[test]
    fn what_is_logged_is_one_line_that_does_nothing_to_a_terminal() {
        let said = "a \"b\\c\" Łódź\nd\r\t\x1b[31m\u{9b}e\u{202e}f\u{2028}\0";
        let written = "a \"b\\c\" Łódź\\nd\\r\\t\\u{1b}[31m\\u{9b}e\\u{202e}f\\u{2028}\\0";
        assert_eq!(harmless(said.to_owned()), written);
    }

    #[test]
    fn the_log_is_named_for_the_server() {
        assert_eq!(path(Path::new("logs"), "Goloman"), Path::new("logs/Goloman.log"));
    }
}
