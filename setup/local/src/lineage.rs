//! The trace header that Lambda passes along a chain of invocations, and the count of hops in it.
//!
//! `Root=1-…;Parent=…;Sampled=0;Lineage=<function>:<hops>`: the SDK sends back the function's own header, and
//! each Invoke counts one more.

use crate::system::{epoch_ms, random};

/// How many invocations a chain may have before it is cut, unless recursion is allowed.
pub(crate) const LONGEST_CHAIN: u32 = 16;

/// The longest root that is passed on; Lambda's has 35 characters.
const LONGEST_ROOT: usize = 128;

/// The trace of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    root: String,
    parent: String,
    function: String,
    /// How many invocations of the function led to this one: 0 for an event from outside.
    pub(crate) hops: u32,
}

impl Trace {
    /// The trace of an event; `header` is that of its sender, none for an event from outside.
    pub(crate) fn of(header: Option<&str>, function: &str) -> Self {
        let function = format!("{:08x}", fnv(function));
        let part = |name: &str| {
            let header = header?;
            header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let hops = part("Lineage").and_then(|lineage| {
            let ours = lineage.split('|').find_map(|entry| entry.strip_prefix(&function)?.strip_prefix(':'));
            ours?.parse::<u32>().ok()
        });
        Self {
            root: part("Root")
                .filter(|root| root.len() <= LONGEST_ROOT)
                .map_or_else(fresh_root, str::to_owned),
            parent: format!("{:016x}", random()),
            function,
            hops: hops.map_or(0, |hops| hops.saturating_add(1)),
        }
    }

    /// Whether Lambda's loop detection stops this event.
    pub(crate) fn too_long(&self) -> bool {
        self.hops >= LONGEST_CHAIN
    }

    /// The header for the function.
    pub(crate) fn header(&self) -> String {
        let Self { root, parent, function, hops } = self;
        format!("Root={root};Parent={parent};Sampled=0;Lineage={function}:{hops}")
    }
}

fn fresh_root() -> String {
    let seconds = epoch_ms() / 1000;
    format!("1-{:08x}-{:016x}{:08x}", seconds as u32, random(), random() as u32)
}

/// FNV-1a: the lineage needs a short name of the function that is the same in every process.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_runs_then_the_chain_is_cut() {
        let mut trace = Trace::of(None, "baton");
        let root = trace.root.clone();
        let mut runs = 0;
        while !trace.too_long() {
            runs += 1;
            trace = Trace::of(Some(&trace.header()), "baton");
            assert_eq!(trace.root, root);
        }
        assert_eq!(runs, 16);
    }

    #[test]
    fn a_foreign_or_damaged_header_starts_a_new_count() {
        let other = Trace::of(None, "other").header();
        for header in [other.as_str(), "", "Root=1-2-3", "Lineage=", "Lineage=zzz", ";;=", "Lineage=1:2|3"] {
            assert_eq!(Trace::of(Some(header), "baton").hops, 0, "{header}");
        }
        let mine = Trace::of(None, "baton").header();
        let both = format!("{other}|{}", mine.rsplit_once('=').unwrap().1);
        assert_eq!(Trace::of(Some(&both), "baton").hops, 1);
    }
}
