//! A stream's identity: what decides emission, as one hash, and in words for whoever goes on with another recipe.

use super::{contents::Finish, picking::Known, state::State};
use crate::{Error, Hash, Plan, Recipe, Result, clean::Cleaner, recipe::Part, value::Policy};
use std::ops::Range;

/// What decides which rows are emitted, in which order and with which weights.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Identity {
    pub(super) hash: Hash,
    /// The parts of it, each with what it says, shortened; only to be shown.
    parts: Vec<(String, String)>,
}

/// What it is made of: the recipe, with what that leaves to versions of operators and policies, and to the program.
pub(super) struct Decisive<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) window: u32,
    pub(super) cleaner: &'a Cleaner,
    pub(super) policy: &'a dyn Policy,
    pub(super) finish: &'a Finish,
    pub(super) evaluation: Option<Part>,
    pub(super) part: Part,
    pub(super) known: &'a Known,
    /// What the trusted set holds, where a URL names one.
    pub(super) trusted: Option<Hash>,
    pub(super) in_order: &'a [Range<u32>],
}

/// More of a value is not kept: a list of words may be long.
const MOST_SHOWN: usize = 200;

impl Identity {
    pub(super) fn of(it: &Decisive<'_>) -> Self {
        let hashed = |name, hash: Hash| (name, hash.to_string(), hash);
        let said = |name, text: String| {
            let hash = Hash::of(text.as_bytes());
            (name, text, hash)
        };
        let mut beside = vec![
            hashed("operators, what they name and their versions", it.cleaner.fingerprint()),
            said("the policy's version", it.policy.fingerprint()),
        ];
        beside.extend(it.finish.fingerprints().into_iter().map(|text| said("transforms and layout", text)));
        beside.extend(it.evaluation.map(|part| said("what is read", format!("evaluation of {}", part.name()))));
        if it.part != Part::Train {
            beside.push(said("what is read", format!("training on {}", it.part.name())));
        }
        if let Known::Table(references) = it.known {
            beside.push(hashed("what the reference says", references.hash()));
        }
        beside.extend(it.trusted.map(|trusted| hashed("what the trusted set holds", trusted)));
        if !it.in_order.is_empty() {
            beside.push(said("how compressed text is read", format!("in order: {:?}", it.in_order)));
        }
        let mut parts = it.recipe.decisive(it.window);
        let mut hashes = vec![it.recipe.identity(it.window)];
        for (name, shown, hash) in beside {
            parts.push((name.to_owned(), shown));
            hashes.push(hash);
        }
        for (_, shown) in &mut parts {
            if let Some((end, _)) = shown.char_indices().nth(MOST_SHOWN) {
                // What was cut off may be all that differs.
                let hash = Hash::of(shown.as_bytes());
                shown.truncate(end);
                shown.push_str(&format!("… ({hash})"));
            }
        }
        Self { hash: Hash::of_hashes(&hashes), parts }
    }

    /// In what it differs from that of now, in words.
    fn against(&self, now: &Self) -> String {
        let said = |identity: &Self, name: &str| -> Vec<String> {
            identity.parts.iter().filter(|(part, _)| part == name).map(|(_, shown)| shown.clone()).collect()
        };
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in now.parts.iter().chain(&self.parts) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let shown = |said: Vec<String>| if said.is_empty() { "nothing".to_owned() } else { said.join("; ") };
        let differing = names.into_iter().filter_map(|name| {
            let (then, now) = (said(self, name), said(now, name));
            (then != now).then(|| format!("{name} was {}, is {}", shown(then), shown(now)))
        });
        differing.collect::<Vec<_>>().join("\n  ")
    }
}

/// Refuses a state of other data or another recipe, and says what differs.
pub(super) fn check_state(state: &State, now: &State, plan: &Plan) -> Result<()> {
    if state.plan != now.plan {
        return Err(Error::State(format!(
            "the state was taken over other data: its plan is {}, that of `{}` is now {} ({} rows in {} shards); files \
             were added, removed or changed since, or other columns are carried",
            state.plan,
            plan.url,
            now.plan,
            plan.rows(),
            plan.shards.len()
        )));
    }
    if state.identity.hash != now.identity.hash {
        return Err(Error::State(format!(
            "the state was taken with another recipe:\n  {}\nGo on with what it was taken with, or begin anew; URLs, \
             epochs, threads, memory, prefetch, cache and rank may differ",
            state.identity.against(&now.identity)
        )));
    }
    Ok(())
}
