//! The mutations: for each law of `docs/protocol.md`, what turns it off.

/// One safeguard turned off.
#[derive(Clone, Copy, Debug)]
pub struct Mutation {
    /// The law of `docs/protocol.md` that it breaks.
    pub law: u32,
    /// Its name, in a few words.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// What stands there, once.
    pub original: &'static str,
    /// What stands there instead; `MUTATED` says whether the mutation is on.
    pub mutant: &'static str,
}

/// All mutations.
pub const MUTATIONS: &[Mutation] = &[Mutation {
    law: 4,
    name: "a tick does nothing",
    file: "trainer/protocol/src/decide.rs",
    original: "Event::Tick { .. } => Ok(self.tick(moment)),",
    mutant: "Event::Tick { .. } if MUTATED => Ok(Decision::Ignore(String::new())),\n            Event::Tick { .. } => Ok(self.tick(moment)),",
}];
