//! Directories for what servers write: a server of the herd writes gigabytes within a row.

use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A directory that is removed, with all that is in it, when nobody needs it any more.
#[derive(Clone, Debug)]
pub struct Directory(Rc<Owned>);

#[derive(Debug)]
struct Owned(PathBuf);

impl Directory {
    /// A new one in `scratch`.
    pub fn new(scratch: &Path, label: &str) -> io::Result<Self> {
        for number in 0_u32.. {
            let path = scratch.join(format!("{}-{number}", label.replace(' ', "-")));
            if !path.exists() {
                fs::create_dir_all(&path)?;
                return Ok(Self(Rc::new(Owned(path))));
            }
        }
        Err(io::Error::other("no free directory name"))
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // Whoever runs the bench removes what is left.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_there_as_long_as_anybody_needs_it() {
        let first =
            Directory::new(&std::env::temp_dir(), &format!("scratch {}", std::process::id())).unwrap();
        let (path, second) = (first.to_path_buf(), first.clone());
        fs::write(first.join("log"), "written").unwrap();

        drop(first);
        assert!(path.join("log").exists());

        drop(second);
        assert!(!path.exists());
    }
}
