//! The actors of herd: mailboxes, sockets, timers and HTTP around the rules of `herd_core`.
