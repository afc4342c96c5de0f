//! Which mutation is on, in this thread.

use std::cell::Cell;

thread_local! {
    static ON: Cell<&'static str> = const { Cell::new("") };
}

/// Whether the mutation of this name is on.
pub fn on(name: &str) -> bool {
    ON.get() == name
}

/// Does `f` with a mutation on.
pub fn with<R>(name: &'static str, f: impl FnOnce() -> R) -> R {
    ON.set(name);
    let result = f();
    ON.set("");
    result
}
