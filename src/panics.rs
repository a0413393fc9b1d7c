//! Panics of a server: counted, and told in its log like everything else that happens.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the panics of this process from now on, and has the log say where and why each was.
pub fn count() -> Arc<AtomicU64> {
    let counted: Arc<AtomicU64> = Arc::default();
    let count = Arc::clone(&counted);
    set_hook(Box::new(move |panic| {
        count.fetch_add(1, Ordering::Relaxed);
        log::error!("{}", told(panic));
    }));
    counted
}

/// Says where and why; the why may quote what came from outside.
fn told(panic: &PanicHookInfo) -> String {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let payload = panic.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let why = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason");
    format!("panic at {place}: {why:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::take_hook;

    #[test]
    fn every_panic_is_counted_in_whichever_thread_it_is() {
        let usual = take_hook();
        let counted = count();
        for number in 1..=3 {
            let panicking = std::thread::spawn(|| panic!("as the test wants"));
            assert!(panicking.join().is_err());
            assert_eq!(counted.load(Ordering::Relaxed), number);
        }
        set_hook(usual);
    }
}
