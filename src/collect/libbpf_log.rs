//! What libbpf and the verifier say, kept for the moment someone asks (`-v`).
//!
//! libbpf prints to stderr by default, which would tear the screen; here its
//! words are collected, and the last of them shown when a load failed.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::{PrintLevel, set_print};

static WORDS: Mutex<String> = Mutex::new(String::new());

/// More than the longest log worth reading; older words are dropped beyond it.
const KEPT_BYTES: usize = 1 << 20;

fn keep(_: PrintLevel, message: String) {
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if words.len() + message.len() > KEPT_BYTES {
        words.clear();
    }
    words.push_str(&message);
}

/// Collects libbpf's warnings from now on, in place of printing them.
pub fn collect() {
    set_print(Some((PrintLevel::Info, keep)));
}

/// Forgets what was collected.
pub fn clear() {
    WORDS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// True if libbpf found no `sock_send_length` in the kernel's type information.
pub fn lacks_tracepoints() -> bool {
    WORDS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .contains("type ID of 'sock_send_length'")
}

/// The last `count` lines that were collected.
pub fn last_lines(count: usize) -> Vec<String> {
    let words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let lines: Vec<&str> = words
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(ToString::to_string)
        .collect()
}
