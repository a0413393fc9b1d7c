//! Where files are kept: a directory of the operating system, or whatever a test puts in its place.

use crate::reason::reason;
use crate::waiting::Step;
use herd_core::journal::END;
#[cfg(target_os = "linux")]
use log::debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that belongs to one server.
///
/// A sync that fails leaves a file of the name [`UNSYNCED`] behind, for the next life of the server: what the disk did not
/// get then, the operating system may show as long as it remembers it, and takes for written.
pub trait Disk: Send + Sync {
    /// The names of the files in it.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file to read it from its beginning.
    fn read(&self, name: &str) -> io::Result<Box<dyn Read>>;

    /// Makes an empty file to append to, in the place of any that has the name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>>;

    /// Opens a file to append to, cut to a length first.
    fn reopen(&self, name: &str, length: u64) -> io::Result<Box<dyn Appendable>>;

    /// Gives a file another name and no more than a length, to be written over, which takes its time where it is long.
    fn spare(&self, from: &str, to: &str, length_max: u64) -> Step<'static, ()>;

    /// Gives a spare file the name of one to append to, as good as empty, that is written over it: where a log is long,
    /// half of what an append takes is to have new pages and room for it, and to give them back.
    fn reuse(&self, spare: &str, name: &str) -> io::Result<Box<dyn Appendable>>;

    /// Gives a file another name, in the place of any that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes files, which takes its time where they are long.
    fn remove(&self, names: Vec<String>) -> Step<'static, ()>;

    /// Makes names last that were created, changed or removed: they survive a loss of power from then on.
    fn sync_names(&self) -> Step<'static, ()>;
}

/// A file that grows at its end.
pub trait Appendable {
    /// Hands bytes to the operating system: they survive the end of the process from then on.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended so far last: it survives a loss of power from then on. What was there before it was
    /// opened may be missing, where [`UNSYNCED`] is there.
    fn sync(&self) -> Step<'static, ()>;

    /// The same for a file that is whole: what it may have behind that is cut first.
    fn finish(&self) -> Step<'static, ()> {
        self.sync()
    }
}

/// A directory of the operating system, held by one process at a time.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Directory {
    /// Makes the directory if need be, and takes it for this process. While another has it, that is
    /// [`io::ErrorKind::ResourceBusy`].
    pub fn open(path: &Path) -> io::Result<Self> {
        make(path)?;
        let lock =
            at(path, LOCK, |path| OpenOptions::new().create(true).truncate(false).write(true).open(path))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it")
            }
            fs::TryLockError::Error(error) => error,
        })?;
        check_that_files_can_be_made(path)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn log(&self, file: File, name: &str, length: u64) -> Log {
        Log {
            file: Arc::new(file),
            name: name.into(),
            length,
            filled: length,
            old: 0,
            room: length,
            unsynced: self.path.join(UNSYNCED),
        }
    }
}

/// Does something where a regular file is, or nothing; an error names it, which the system does not. To open a pipe would
/// wait, for ever, until somebody opens its other end.
fn at<T>(directory: &Path, name: &str, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = directory.join(name);
    if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::Error::other(format!("{name} is no regular file")));
    }
    work(&path).map_err(|error| of(name, &error))
}

/// An error of a file that names it.
fn of(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {}", reason(error)))
}

/// Makes a directory, with those above it, if it is not there, and their names last.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|directory| !directory.exists()).collect();
    fs::create_dir_all(path)?;
    let above = missing.into_iter().filter_map(Path::parent);
    let mut above = above.map(|above| if above == Path::new("") { Path::new(".") } else { above });
    above.try_for_each(|above| match sync_names_in(above) {
        // One may be such as can be written to and not read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    })
}

/// Makes the names in a directory last.
fn sync_names_in(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The file that says that a sync has failed. It is of use only as long as the operating system remembers what the disk did
/// not get, and so nobody makes sure that it lasts.
pub const UNSYNCED: &str = "unsynced";

/// Leaves that file behind if a sync has failed.
fn noted(synced: io::Result<()>, unsynced: &Path) -> io::Result<()> {
    synced.inspect_err(|_| {
        let _ = File::create(unsynced); // A disk that fails may well fail here, too.
    })
}

/// The file that says whose the directory is. It is empty, and stays when nobody holds it.
const LOCK: &str = "lock";

impl Disk for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let file = at(&self.path, name, |path| File::open(path))?;
        Ok(Box::new(Reader { file, name: name.to_owned() }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        Ok(Box::new(self.log(at(&self.path, name, |path| File::create(path))?, name, 0)))
    }

    fn reopen(&self, name: &str, length: u64) -> io::Result<Box<dyn Appendable>> {
        let file = at(&self.path, name, |path| {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.set_len(length)?;
            file.seek(SeekFrom::Start(length))?;
            Ok(file)
        })?;
        Ok(Box::new(self.log(file, name, length)))
    }

    fn spare(&self, from: &str, to: &str, length_max: u64) -> Step<'static, ()> {
        let (directory, from, to) = (self.path.clone(), from.to_owned(), self.path.join(to));
        elsewhere(move || {
            at(&directory, &from, |path| {
                fs::rename(path, &to)?;
                let file = OpenOptions::new().write(true).open(&to)?;
                file.set_len(file.metadata()?.len().min(length_max))
            })
        })
    }

    fn reuse(&self, spare: &str, name: &str) -> io::Result<Box<dyn Appendable>> {
        at(&self.path, spare, |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            let old = file.metadata()?.len();
            let mut log = Log { old, room: old, ..self.log(file, name, 0) };
            log.fill(0)?;
            fs::rename(path, self.path.join(name))?;
            Ok(Box::new(log) as Box<dyn Appendable>)
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        at(&self.path, from, |path| fs::rename(path, self.path.join(to)))
    }

    fn remove(&self, names: Vec<String>) -> Step<'static, ()> {
        let path = self.path.clone();
        elsewhere(move || names.iter().try_for_each(|name| at(&path, name, |path| fs::remove_file(path))))
    }

    fn sync_names(&self) -> Step<'static, ()> {
        let path = self.path.clone();
        elsewhere(move || noted(sync_names_in(&path), &path.join(UNSYNCED)))
    }
}

/// A file of the operating system that is read.
struct Reader {
    file: File,
    name: String,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|error| of(&self.name, &error))
    }
}

/// A file of the operating system that is appended to.
struct Log {
    /// Shared, because a sync goes on in another thread.
    file: Arc<File>,
    name: Arc<str>,
    /// How many bytes were appended.
    length: u64,
    /// How many bytes it has, with those that it is filled with behind the end.
    filled: u64,
    /// How many bytes it had that are written over.
    old: u64,
    /// For how many bytes the disk was asked for room.
    room: u64,
    /// The name of what says that a sync has failed.
    unsynced: PathBuf,
}

/// So much of a file is filled ahead of what is appended, from one multiple of this to the next.
const FILLING_SIZE: usize = 32 * 1024;

/// What a file is filled with behind its end until something is appended there: empty lines, which mean nothing to whoever
/// reads the file, and the mark that nothing behind it belongs to the file.
///
/// Most of a small write is the making of the pages that it goes to, and an operating system makes pages as large as a
/// write is. So they are made by one large write, and small ones find them there. A disk has less to note, too, when what
/// it syncs makes no file longer. Of pages that are this large Linux keeps some at hand. For larger ones it goes to memory
/// that was not used for long: where that must first be had from the host of a virtual machine, a server that was told a
/// million records with 128 KiB of filling took half as long again.
///
/// It is longer than what is filled by as much as the last mark, in the place of which it goes, too.
static FILLING: [u8; FILLING_SIZE + END.len()] = {
    let mut filling = [b'\n'; FILLING_SIZE + END.len()];
    let (_, end) = filling.split_at_mut(FILLING_SIZE);
    end.copy_from_slice(END);
    filling
};

/// How much room is asked for beyond the end of a file at least: as much as it has, if that is more.
const ROOM_MIN: u64 = 64 * 1024;

/// The same at most.
const ROOM_MAX: u64 = 16 * 1024 * 1024;

impl Log {
    fn append_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.length + bytes.len() as u64;
        if self.is_to_be_filled(end) {
            self.fill(end)?;
        }
        self.file.as_ref().write_all(bytes)?;
        self.length = end;
        self.filled = self.filled.max(end);
        self.see_to_room();
        Ok(())
    }

    /// Fills the file behind its next end: as far as a multiple of what it is filled with, as pages are that large only if
    /// they begin at such a place, and so far that there is room for the mark.
    fn fill(&mut self, end: u64) -> io::Result<()> {
        const SIZE: u64 = FILLING_SIZE as u64;
        let mut file = self.file.as_ref();
        let mut from = self.filled.max(end - end % SIZE);
        while from < end + END.len() as u64 {
            let to = from - from % SIZE + SIZE;
            let start = from.saturating_sub(END.len() as u64).max(self.length);
            let filling =
                usize::try_from(to - start).map_or(&FILLING[..], |length| &FILLING[FILLING.len() - length..]);
            file.seek(SeekFrom::Start(start))?;
            // A disk without room for this may have enough for what is to be appended, which finds that out.
            let Ok(()) = file.write_all(filling) else { break };
            self.filled = to;
            from = to;
        }
        file.seek(SeekFrom::Start(self.length)).map(drop)
    }

    /// True if a file with this end is to be filled first: small appends find their pages then, and what is left of what
    /// they are written over, be it a mark or another file, is behind a mark.
    fn is_to_be_filled(&self, end: u64) -> bool {
        let is_small = end - self.length < FILLING_SIZE as u64;
        end + END.len() as u64 > self.filled && (is_small || end < self.old.max(self.filled))
    }

    /// Has the disk set room aside before it is needed. A file system that looks for room only when it writes pages out
    /// holds up whoever appends meanwhile, for milliseconds.
    fn see_to_room(&mut self) {
        if self.filled > self.room {
            self.room = self.filled + self.filled.clamp(ROOM_MIN, ROOM_MAX);
            set_aside(&self.file, self.filled, self.room - self.filled);
        }
    }
}

impl Appendable for Log {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append_all(bytes).map_err(|error| of(&self.name, &error))
    }

    fn sync(&self) -> Step<'static, ()> {
        let (file, name, unsynced) = (Arc::clone(&self.file), Arc::clone(&self.name), self.unsynced.clone());
        elsewhere(move || noted(file.sync_data(), &unsynced).map_err(|error| of(&name, &error)))
    }

    fn finish(&self) -> Step<'static, ()> {
        // Cut at once and not in the other thread: if anything is appended meanwhile after all, it stays.
        let cut = self.file.set_len(self.length).map_err(|error| of(&self.name, &error));
        let synced = self.sync();
        Box::pin(async {
            cut?;
            synced.await
        })
    }
}

/// Finds out whether files can be made in a directory: the first that has to be may be days away.
#[cfg(target_os = "linux")]
fn check_that_files_can_be_made(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(())
}

/// Elsewhere the first file that has to be made finds it out.
#[cfg(not(target_os = "linux"))]
fn check_that_files_can_be_made(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Sets room aside behind the end of a file, which stays where it is. Where that is refused, because there is none or the
/// file system knows no such thing, nothing is lost: an append that finds no room says so.
#[cfg(target_os = "linux")]
fn set_aside(file: &File, end: u64, bytes: u64) {
    use rustix::fs::{FallocateFlags, fallocate};
    if let Err(error) = fallocate(file, FallocateFlags::KEEP_SIZE, end, bytes) {
        debug!("no room set aside for a log bytes={bytes} reason={error}");
    }
}

/// Elsewhere the file system does as it does.
#[cfg(not(target_os = "linux"))]
fn set_aside(_: &File, _: u64, _: u64) {}

/// Does what waits for the disk in a thread where nobody else waits.
fn elsewhere(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Step<'static, ()> {
    let working = tokio::task::spawn_blocking(work);
    Box::pin(async { working.await.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    fn content(disk: &Directory, name: &str) -> String {
        let mut text = String::new();
        disk.read(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[actix::test]
    async fn what_is_appended_is_there_after_the_file_is_opened_again() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        let mut log = disk.create("log").unwrap();
        log.append(b"first").unwrap();
        log.append(b"second").unwrap();
        log.sync().await.unwrap();
        disk.sync_names().await.unwrap();
        disk.reopen("log", 5).unwrap().append(b"!").unwrap();
        assert_eq!(content(&disk, "log").split('\n').next(), Some("first!"));
    }

    /// What is appended to a file, to compare it with what is in it.
    struct Appended<'a> {
        disk: &'a Directory,
        bytes: Vec<u8>,
    }

    impl Appended<'_> {
        /// Appends so many bytes; told is how much filling there is behind them, with its mark.
        fn append(&mut self, log: &mut dyn Appendable, length: usize) -> usize {
            let bytes = vec![b'a' + self.bytes.len().to_le_bytes()[0] % 26; length];
            log.append(&bytes).unwrap();
            self.bytes.extend_from_slice(&bytes);
            let content = content(self.disk, "log");
            let (appended, rest) = content.as_bytes().split_at(self.bytes.len());
            assert!(appended == self.bytes);
            let Some(end) = rest.windows(END.len()).position(|bytes| bytes == END) else {
                assert_eq!(rest, b"");
                return 0;
            };
            assert!(rest[..end].iter().all(|&byte| byte == b'\n'), "{length}");
            end + END.len()
        }
    }

    /// Neither the room that was set aside nor what it is filled with is part of the file for good.
    #[actix::test]
    async fn a_file_is_filled_with_empty_lines_until_it_is_finished() {
        const SIZE: usize = FILLING_SIZE;
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        let mut appended = Appended { disk: &disk, bytes: Vec::new() };
        let mut log = disk.create("log").unwrap();
        assert_eq!(appended.append(&mut *log, 1), SIZE - 1);
        assert_eq!(appended.append(&mut *log, SIZE - 1 - END.len()), END.len(), "what is filled is used up");
        assert_eq!(
            appended.append(&mut *log, 5),
            SIZE + END.len() - 5,
            "the next is begun as soon as it is needed"
        );
        assert_eq!(appended.append(&mut *log, 2 * SIZE), 0, "what is long needs no filling");
        assert_eq!(appended.append(&mut *log, 1), END.len() + SIZE - 6, "it ends at the same places again");
        let length = appended.bytes.len() as u64;
        assert_eq!(appended.append(&mut *disk.reopen("log", length).unwrap(), 1), END.len() + SIZE - 7);
        let mut log = disk.reopen("log", length + 1).unwrap();
        assert_eq!(appended.append(&mut *log, 1), END.len() + SIZE - 8);
        assert_eq!(appended.append(&mut *log, SIZE), END.len() + SIZE - 8, "no mark is left half over");
        let finished = log.finish();
        assert_eq!(appended.append(&mut *log, 1), 0);
        finished.await.unwrap();
        assert_eq!(content(&disk, "log").as_bytes(), appended.bytes);
    }

    #[actix::test]
    async fn what_is_left_of_a_file_that_is_written_over_is_behind_a_mark() {
        const SIZE: usize = FILLING_SIZE;
        for lengths in
            [[1, 5 * SIZE + 1], [SIZE - END.len() - 1, 2], [2 * SIZE, SIZE - 5], [4 * SIZE, 3 * SIZE]]
        {
            let scratch = Scratch::new();
            let disk = Directory::open(scratch.path()).unwrap();
            disk.create("old").unwrap().append(&vec![b'z'; 8 * SIZE + 100]).unwrap();
            disk.spare("old", "spare", 6 * SIZE as u64 + 1).await.unwrap();
            let mut appended = Appended { disk: &disk, bytes: Vec::new() };
            let mut log = disk.reuse("spare", "log").unwrap();
            assert_eq!(appended.append(&mut *log, 0), SIZE, "it is as good as empty");
            assert_eq!(disk.names().unwrap().len(), 2, "the lock and the log");
            for length in lengths {
                let is_marked = appended.append(&mut *log, length) >= END.len();
                assert!(is_marked || appended.bytes.len() > 6 * SIZE, "{lengths:?}");
            }
            log.finish().await.unwrap();
            assert_eq!(content(&disk, "log").as_bytes(), appended.bytes);
        }
    }

    #[test]
    fn room_is_asked_for_when_it_is_used_up_and_as_much_again_as_there_is() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        let mut log = disk.log(File::create(scratch.path().join("log")).unwrap(), "log", 0);
        let mut rooms = Vec::new();
        for length in [1, ROOM_MIN, ROOM_MIN + 2, 3 * ROOM_MIN, ROOM_MAX * 3, ROOM_MAX * 4, ROOM_MAX * 4 + 1]
        {
            log.filled = length;
            log.see_to_room();
            rooms.push(log.room);
        }
        let small = ROOM_MIN + 1;
        let doubled = 2 * (ROOM_MIN + 2);
        let large = ROOM_MAX * 4;
        assert_eq!(rooms, [small, small, doubled, 6 * ROOM_MIN, large, large, large + 1 + ROOM_MAX]);
    }

    #[actix::test]
    async fn a_file_takes_the_place_of_another() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        for name in ["old", "new"] {
            let mut file = disk.create(name).unwrap();
            file.append(name.as_bytes()).unwrap();
            file.finish().await.unwrap();
        }
        disk.rename("new", "old").unwrap();
        assert_eq!(content(&disk, "old"), "new");
        disk.remove(vec!["old".to_owned()]).await.unwrap();
        assert_eq!(disk.names().unwrap(), ["lock"]);
    }

    #[actix::test]
    async fn a_sync_that_fails_is_noted_for_the_next_life_of_the_server() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        let log = disk.log(File::open("/dev/null").unwrap(), "log", 0);
        assert!(log.sync().await.is_err(), "it knows no such thing");
        let mut names = disk.names().unwrap();
        names.sort();
        assert_eq!(names, [LOCK, UNSYNCED]);
    }

    #[test]
    fn a_sync_that_fails_leaves_the_mark_and_no_other_does() {
        let scratch = Scratch::new();
        let mark = scratch.path().join(UNSYNCED);
        assert!(noted(Ok(()), &mark).is_ok() && !mark.exists());
        assert!(noted(Err(io::Error::other("as the test wants")), &mark).is_err() && mark.exists());
    }

    #[actix::test]
    async fn a_panic_beside_the_disk_is_a_failure_of_the_disk() {
        let failed = elsewhere(|| panic!("as the test wants")).await;
        assert!(failed.is_err_and(|error| error.to_string().contains("panic")));
    }

    /// A server that opened a pipe waited for ever, and said nothing.
    #[actix::test]
    async fn what_is_no_regular_file_is_refused_by_its_name() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        let pipe = scratch.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = UnixListener::bind(scratch.path().join("socket")).unwrap();
        fs::create_dir(scratch.path().join("directory")).unwrap();
        for name in ["pipe", "socket", "directory"] {
            let expected = Some(format!("{name} is no regular file"));
            let said = |error: Option<io::Error>| error.map(|error| error.to_string());
            assert_eq!(said(disk.read(name).err()), expected);
            assert_eq!(said(disk.create(name).err()), expected);
            assert_eq!(said(disk.reopen(name, 0).err()), expected);
            assert_eq!(said(disk.reuse(name, "log").err()), expected);
            assert_eq!(said(disk.remove(vec![name.to_owned()]).await.err()), expected);
        }
        drop((disk, socket));
        fs::rename(pipe, scratch.path().join(LOCK)).unwrap();
        assert_eq!(Directory::open(scratch.path()).unwrap_err().to_string(), "lock is no regular file");
    }

    /// A start ended with "no such file or directory", and all that it had looked for was there.
    #[actix::test]
    async fn a_file_that_cannot_be_used_is_named() {
        let scratch = Scratch::new();
        let disk = Directory::open(scratch.path()).unwrap();
        for (name, to) in [("nowhere", "nothing/there"), ("loop", "loop"), ("mem", "/proc/self/mem")] {
            symlink(to, scratch.path().join(name)).unwrap();
        }
        let said = |error: Option<io::Error>| error.map(|error| error.to_string());
        let missing = Some("nowhere: no such file or directory".to_owned());
        assert_eq!(said(disk.read("nowhere").err()), missing);
        assert_eq!(said(disk.create("nowhere").err()), missing);
        assert_eq!(said(disk.reopen("nowhere", 0).err()), missing);
        assert_eq!(said(disk.reuse("nowhere", "log").err()), missing);
        assert_eq!(disk.reuse("nowhere", "log").err().unwrap().kind(), io::ErrorKind::NotFound);
        let gone = Some("gone: no such file or directory".to_owned());
        assert_eq!(said(disk.rename("gone", "log").err()), gone);
        assert_eq!(said(disk.spare("gone", "spare", 0).await.err()), gone);
        assert_eq!(said(disk.remove(vec!["gone".to_owned()]).await.err()), gone);
        assert!(said(disk.read("loop").err()).unwrap().starts_with("loop: "));
        if cfg!(target_os = "linux") {
            let read = disk.read("mem").unwrap().read(&mut [0]);
            assert_eq!(said(read.err()), Some("mem: input/output error".to_owned()));
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut log = disk.log(full, "log", 0);
            assert_eq!(said(log.append(b"1").err()), Some("log: no space left on device".to_owned()));
            assert_eq!(said(log.sync().await.err()), Some("log: invalid argument".to_owned()));
        }
    }

    /// A server of which only the files were given back after a restore served until its first log was full, and ended.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_directory_in_which_no_file_can_be_made_is_refused_at_once() {
        use std::os::unix::fs::PermissionsExt;
        if rustix::process::geteuid().is_root() {
            return eprintln!("not tested: root may write everywhere");
        }
        let scratch = Scratch::new();
        drop(Directory::open(scratch.path()).unwrap());
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o555)).unwrap();
        assert_eq!(Directory::open(scratch.path()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_directory_belongs_to_one_process_at_a_time() {
        let scratch = Scratch::new();
        let first = Directory::open(scratch.path()).unwrap();
        assert_eq!(Directory::open(scratch.path()).unwrap_err().to_string(), "another process uses it");
        drop(first);
        assert!(Directory::open(scratch.path()).is_ok());
    }
}
