//! The indexes on this server, loaded when they are first needed, in a thread where nobody waits for it.

use herd_core::places::{Failure, Gazetteer, Index, file};
use log::{error, info};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio::sync::OnceCell;

/// The populated places of the earth; `places/README.md` says whose they are and how they got here.
static CITIES: &[u8] = include_bytes!("../../../places/cities.index");

/// Indexes that are loaded once.
pub(super) struct Shelf {
    files: Vec<PathBuf>,
    embedded: bool,
    index: OnceCell<Result<Index, Failure>>,
}

impl Shelf {
    pub(super) fn new(files: Vec<PathBuf>, embedded: bool) -> Self {
        Self { files, embedded, index: OnceCell::new() }
    }

    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Returns the index if it is there already.
    pub(super) fn loaded(&self) -> Option<&Index> {
        self.index.get()?.as_ref().ok()
    }

    /// Returns the index when it is there.
    pub(super) async fn load(&self) -> &Result<Index, Failure> {
        self.index.get_or_init(|| self.read()).await
    }

    async fn read(&self) -> Result<Index, Failure> {
        let (files, embedded) = (self.files.clone(), self.embedded);
        let read = actix_rt::task::spawn_blocking(move || read(&files, embedded)).await;
        read.unwrap_or_else(|_| Err(Failure::broken("the index could not be loaded")))
    }
}

/// Reads what can be read. A file that cannot be is told of in the log, and the others do without it.
fn read(files: &[PathBuf], embedded: bool) -> Result<Index, Failure> {
    let began = Instant::now();
    let mut lists: Vec<Gazetteer> = files.iter().filter_map(|path| read_file(path)).collect();
    if embedded {
        match file::decode(CITIES) {
            Ok(list) => lists.push(list),
            Err(damage) => error!("places index=embedded: {damage}"),
        }
    }
    if lists.is_empty() {
        return Err(Failure::broken("this server has no index that can be read"));
    }
    let index = Index::new(lists);
    info!("places index loaded places={} ms={}", index.len(), began.elapsed().as_millis());
    Ok(index)
}

fn read_file(path: &Path) -> Option<Gazetteer> {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    match read.and_then(|bytes| file::decode(&bytes).map_err(|damage| damage.to_string())) {
        Ok(list) => Some(list),
        Err(problem) => {
            error!("places index={:?}: {problem}", path.display().to_string());
            None
        }
    }
}
