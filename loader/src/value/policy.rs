//! What every policy is: a pure pair of fit and targets, found by its name in a recipe.
//!
//! A policy says what a row is worth, never which rows are drawn: that is sampling's matter. A new policy is one file
//! beside this one and one line in [`POLICIES`].

use super::{
    classes::Classes, denoise::Denoise, infobatch::InfoBatch, parameters::Parameters, table::Table,
    trajectory::Trajectory, uniform::Uniform,
};
use crate::{
    Error, Position, Result, Target,
    spelling::{advice, cut, quoted},
};
use std::{fmt::Debug, ops::RangeInclusive, sync::Arc};

/// How rows are valued: from the statistics of a data epoch's start to targets at each window's opening.
///
/// Both pieces are functions of their arguments alone, with sums in position order, so that any machine finds the
/// same targets.
pub trait Policy: Send + Sync + Debug {
    /// The name by which a recipe asks for it.
    fn name(&self) -> &str;

    /// Whether w = v/π for the v that it declares: then a draw's weighted sum estimates the v-weighted sum over the
    /// kept rows without bias.
    fn unbiased(&self) -> bool;

    /// Name, version of the algorithm and all options, canonically: a part of the stream's identity.
    fn fingerprint(&self) -> String;

    /// Whether targets depend on signals. Where they do not, draws never wait for feedback.
    fn reads_signals(&self) -> bool;

    /// What `targets` needs to know of the whole table, once at the start of data epoch `epoch` (from 0).
    fn fit(&self, table: &Table, classes: &Classes, epoch: u32) -> Parameters;

    /// Appends (v, π) of each row of a window, in the window's order, as it is at the window's opening.
    ///
    /// `parameters` are those that this policy's [`fit`](Self::fit) gave for the same data epoch.
    fn targets(&self, parameters: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>);
}

/// The rows of a window, with what is known of each at its opening.
#[derive(Clone, Copy, Debug)]
pub struct WindowRows<'a> {
    positions: &'a [Position],
    table: &'a Table,
    classes: &'a Classes,
}

impl<'a> WindowRows<'a> {
    /// The rows at `positions`, in the window's order.
    #[must_use]
    pub const fn new(positions: &'a [Position], table: &'a Table, classes: &'a Classes) -> Self {
        Self { positions, table, classes }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// Where each row stands, in the window's order: for policies that know rows by their position.
    #[must_use]
    pub const fn positions(&self) -> &'a [Position] {
        self.positions
    }

    /// Each row's trajectory (blank where it was never presented) and class ([`UNKNOWN_CLASS`](super::UNKNOWN_CLASS)
    /// where none is known), in the window's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a Trajectory, u32)> {
        let (table, classes) = (self.table, self.classes);
        self.positions
            .iter()
            .map(move |position| (table.get(*position).unwrap_or(&Trajectory::NEW), classes.get(*position)))
    }
}

/// A policy as a recipe writes it: its name and the options beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySpec {
    /// The name.
    pub name: String,
    /// The options, without the name.
    pub options: toml::Table,
}

/// How a policy is made from its options; the place opens every message.
type Build = fn(place: &str, options: &toml::Table) -> Result<Arc<dyn Policy>>;

/// Every policy that this version has.
const POLICIES: &[(&str, Build)] = &[
    (Uniform::NAME, |place, options| Ok(Arc::new(Uniform::from_options(place, options)?))),
    (Denoise::NAME, |place, options| Ok(Arc::new(Denoise::from_options(place, options)?))),
    (InfoBatch::NAME, |place, options| Ok(Arc::new(InfoBatch::from_options(place, options)?))),
];

/// Refuses an option that is out of its range, ends included.
pub(super) fn within(place: &str, option: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(Error::recipe(format!("{place}: `{option}` = {value}: must be at least {least} and at most {most}")))
}

/// Names of the recipe's contract whose policies this version does not have.
const NOT_BUILT: &[&str] = &["weighted", "rho_loss", "jest", "importance"];

/// The policy that a recipe asks for.
///
/// # Errors
/// [`Error::Recipe`] for a name or an option that does not exist, naming the nearest that does; for a value out of its
/// range; and for a policy that this version does not have.
pub fn policy(spec: &PolicySpec) -> Result<Arc<dyn Policy>> {
    let Some((name, build)) = POLICIES.iter().find(|(name, _)| *name == spec.name) else {
        let built: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
        let asked = cut(&spec.name);
        return Err(Error::recipe(if NOT_BUILT.contains(&spec.name.as_str()) {
            format!("policy `{asked}` is not in this version, which has {}", quoted(&built))
        } else {
            format!("there is no policy `{asked}`{}", advice(&spec.name, &built, "this version has"))
        }));
    };
    build(&format!("policy `{name}`"), &spec.options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, options: &str) -> PolicySpec {
        PolicySpec { name: name.into(), options: options.parse().unwrap() }
    }

    fn refusal(name: &str, options: &str) -> String {
        match policy(&spec(name, options)) {
            Err(Error::Recipe(what)) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_policy_is_found_by_its_own_name() {
        for (name, _) in POLICIES {
            let options = if *name == InfoBatch::NAME { "epochs = 9" } else { "" };
            let policy = policy(&spec(name, options)).unwrap();
            assert_eq!(policy.name(), *name);
            assert!(policy.fingerprint().starts_with(name));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert!(refusal("denoize", "").contains("did you mean `denoise`?"));
        assert_eq!(
            refusal("zzzz", ""),
            "there is no policy `zzzz`; this version has `uniform`, `denoise`, `infobatch`"
        );
    }

    #[test]
    fn a_contract_name_that_is_not_built_is_refused_as_such() {
        for name in NOT_BUILT {
            assert!(refusal(name, "").contains("not in this version"));
        }
    }

    #[test]
    fn an_unknown_option_is_answered_with_the_nearest() {
        assert!(refusal("denoise", "flor = 0.1").contains("did you mean `floor`?"));
        assert_eq!(
            refusal("uniform", "floor = 0.1"),
            "policy `uniform`: unknown key `floor`; no key is known here, so leave it out"
        );
    }

    #[test]
    fn options_out_of_range_or_of_another_type_are_refused() {
        for options in [
            "floor = 0.0",
            "floor = 1.5",
            "floor = nan",
            "floor = \"high\"",
            "gate = 101",
            "warmup = -1",
            "warmup = 1.5",
            "min_per_class = 10001",
        ] {
            let (option, _) = options.split_once(' ').unwrap();
            assert!(refusal("denoise", options).starts_with(&format!("policy `denoise`: `{option}`")), "{options}");
        }
        assert_eq!(
            refusal("denoise", "floor = 1.5"),
            "policy `denoise`: `floor` = 1.5: must be at least 0.01 and at most 1"
        );
    }

    #[test]
    fn an_option_that_cannot_be_guessed_is_asked_for() {
        assert!(refusal("infobatch", "").contains("`epochs` is missing"));
        assert!(refusal("infobatch", "epochs = 0").contains("`epochs`"));
        let fingerprint = |options| policy(&spec("infobatch", options)).unwrap().fingerprint();
        // Without annealing the number of epochs decides nothing.
        assert_eq!(fingerprint("delta = 1"), fingerprint("delta = 1.0\nepochs = 8"));
        assert_ne!(fingerprint("epochs = 7"), fingerprint("epochs = 8"));
    }

    #[test]
    fn the_fingerprint_holds_the_options_and_only_what_they_say() {
        let fingerprint = |options| policy(&spec("denoise", options)).unwrap().fingerprint();
        assert_ne!(fingerprint("floor = 0.3"), fingerprint("floor = 0.4"));
        assert_ne!(fingerprint("warmup = 3"), fingerprint("warmup = 4"));
        assert_eq!(fingerprint("gate = 2"), fingerprint("gate = 2.0"));
        assert_eq!(fingerprint(""), Denoise::default().fingerprint());
    }
}
