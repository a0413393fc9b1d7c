//! What a test's own thread has logged, on which a server runs that it starts.

use std::cell::RefCell;

/// Keeps all lines but those of traces, which show what went over the wire.
struct Diary;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl log::Log for Diary {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // Of a thread that is ending nobody reads the diary.
        let _ = LINES.try_with(|lines| lines.borrow_mut().push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// Begins a diary of this thread.
pub fn begin() {
    let _ = log::set_logger(&Diary); // Another test may have come first.
    log::set_max_level(log::LevelFilter::Debug);
    read();
}

/// What was logged since it was last read.
pub fn read() -> Vec<String> {
    LINES.take()
}
