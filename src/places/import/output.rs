//! The file that an index is written to: which may be, and that nobody ever sees half of it.

use super::cannot;
use crate::failure::Failure;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A place for an index: a regular file, or nothing yet.
#[derive(Debug)]
pub struct Output {
    /// What is replaced: the file itself where a link was named.
    path: PathBuf,
    /// Where the index grows until it is whole.
    beside: PathBuf,
}

impl Output {
    /// Takes the place at `path`, unless that would destroy something else than an index: one of the files that are
    /// read, a device, a pipe, a directory.
    pub fn of(path: &Path, inputs: &[&Path]) -> Result<Output, Failure> {
        let path = followed(path).map_err(|error| cannot("write", path, &error))?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let output = Output { path, beside: beside.into() };
        for place in [&output.path, &output.beside] {
            only_over_a_file(place)?;
            not_over(inputs, place)?;
        }
        can_be_made(&output.beside).map_err(|error| cannot("write", &output.path, &error))?;
        Ok(output)
    }

    /// Writes the index beside its name first, so that whoever reads that never sees half of it.
    pub fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let written = fs::write(&self.beside, bytes).map_err(|error| cannot("write", &self.beside, &error));
        let named = written.and_then(|()| {
            fs::rename(&self.beside, &self.path).map_err(|error| cannot("write", &self.path, &error))
        });
        if named.is_err() {
            // It may never have been there, and why nothing was written is said already.
            let _ = fs::remove_file(&self.beside);
        }
        named
    }
}

/// Follows links to the file that they mean. One that leads nowhere is an error: the index would be where nobody said.
fn followed(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => Ok(path.to_owned()),
        followed => followed,
    }
}

fn only_over_a_file(place: &Path) -> Result<(), Failure> {
    // What cannot be looked at cannot be written either, which then says why.
    match fs::symlink_metadata(place) {
        Ok(found) if !found.is_file() => {
            let place = place.display();
            Err(Failure::Undone(format!("cannot write {place}: it is no regular file; name another with -o")))
        }
        _ => Ok(()),
    }
}

/// Tries to make a file, or to write to the one that is left from an import that was cut short, and leaves all as it was.
fn can_be_made(beside: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).open(beside) {
        Ok(_) => fs::remove_file(beside),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            OpenOptions::new().append(true).open(beside).map(drop)
        }
        Err(error) => Err(error),
    }
}

fn not_over(inputs: &[&Path], place: &Path) -> Result<(), Failure> {
    let Ok(place) = fs::canonicalize(place) else { return Ok(()) };
    match inputs.iter().find(|input| fs::canonicalize(input).is_ok_and(|input| input == place)) {
        None => Ok(()),
        Some(input) => {
            let input = input.display();
            Err(Failure::Usage(format!(
                "{input} would be written over while it is read; name another with -o"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    /// A directory of its own for each test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let dir = std::env::temp_dir().join(format!("herd-output-{}-{name}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Scratch(fs::canonicalize(dir).unwrap())
        }

        fn file(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, name).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            // What is left behind lies in the directory for such things.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn refused(path: &Path, inputs: &[&Path]) -> String {
        Output::of(path, inputs).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_new_one_made() {
        let scratch = Scratch::new("replaced");
        let old = scratch.file("old");
        for path in [&old, &scratch.0.join("new")] {
            Output::of(path, &[]).unwrap().write(b"index").unwrap();
            assert_eq!(fs::read(path).unwrap(), b"index");
        }
        assert_eq!(scratch.names(), ["new", "old"]);
    }

    /// A link used to be replaced by the index, and the file that it meant stayed as it was.
    #[test]
    fn a_link_stays_and_the_file_that_it_means_is_replaced() {
        let scratch = Scratch::new("link");
        let file = scratch.file("file");
        let link = scratch.0.join("link");
        symlink("file", &link).unwrap();
        Output::of(&link, &[]).unwrap().write(b"index").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(file).unwrap(), b"index");
    }

    /// A device file was replaced by an index, and all who used the device wrote into that.
    #[test]
    fn what_is_no_regular_file_is_left_alone() {
        let scratch = Scratch::new("special");
        let pipe = scratch.0.join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let link = scratch.0.join("link");
        symlink("pipe", &link).unwrap();
        let expected = |path: &Path| {
            format!("cannot write {}: it is no regular file; name another with -o", path.display())
        };
        for (path, named) in [(&pipe, &pipe), (&link, &pipe), (&scratch.0, &scratch.0)] {
            assert_eq!(refused(path, &[]), expected(named));
        }
        symlink("pipe", scratch.0.join("x.part")).unwrap();
        assert_eq!(refused(&scratch.0.join("x"), &[]), expected(&scratch.0.join("x.part")));
        assert_eq!(scratch.names(), ["link", "pipe", "x.part"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_no_place_for_an_index() {
        let scratch = Scratch::new("dangling");
        let link = scratch.0.join("link");
        symlink("nothing", &link).unwrap();
        assert_eq!(
            refused(&link, &[]),
            format!("cannot write {}: no such file or directory", link.display())
        );
    }

    /// An import into its own input left an index where somebody's table had been.
    #[test]
    fn what_is_read_is_not_written_over_under_whatever_name() {
        let scratch = Scratch::new("input");
        let (table, part) = (scratch.file("table"), scratch.file("x.part"));
        let link = scratch.0.join("link");
        symlink("table", &link).unwrap();
        let detour = scratch.0.join(".").join("table");
        let inputs = [part.as_path(), detour.as_path()];
        let expected = |input: &Path| {
            format!("{} would be written over while it is read; name another with -o", input.display())
        };
        for (path, input) in [(&table, &detour), (&link, &detour), (&scratch.0.join("x"), &part)] {
            assert_eq!(refused(path, &inputs), expected(input));
        }
        assert_eq!(Output::of(&table, &inputs).unwrap_err().exit_code(), 2);
    }

    /// All files were read first, which takes minutes.
    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_is_read() {
        let scratch = Scratch::new("nowhere");
        let path = scratch.0.join("nowhere/index");
        assert_eq!(
            refused(&path, &[]),
            format!("cannot write {}: no such file or directory", path.display())
        );
        scratch.file("x.part");
        assert!(Output::of(&scratch.0.join("x"), &[]).is_ok());
        assert!(Output::of(&scratch.0.join("y"), &[]).is_ok());
        assert_eq!(scratch.names(), ["x.part"]);
    }

    #[test]
    fn an_index_that_cannot_be_named_leaves_nothing_behind() {
        let scratch = Scratch::new("leftover");
        let place = scratch.0.join("place");
        let output = Output::of(&place, &[]).unwrap();
        fs::create_dir(&place).unwrap();
        assert!(output.write(b"index").is_err());
        assert_eq!(scratch.names(), ["place"]);
    }
}
