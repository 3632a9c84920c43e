//! What every policy is: a pure pair of fit and targets, found by its name in a recipe.
//!
//! A policy says what a row is worth, never which rows are drawn: that is sampling's matter. A new policy is one file
//! beside this one and one line in [`POLICIES`].

use super::{
    classes::Classes,
    denoise::Denoise,
    infobatch::InfoBatch,
    mixing::{AdaptiveDataOptimization, DoReMi, Fixed, OnlineDataMixing},
    parameters::Parameters,
    recent::Recent,
    references::References,
    rivals::Rival,
    selectors::{Selecting, Selection},
    table::Table,
    trajectory::Trajectory,
    uniform::Uniform,
    weighted::Weighted,
};
use crate::{
    Domain, Error, Position, Report, Result, Target,
    spelling::{advice, cut},
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

    /// What `targets` needs to know of the whole table, once at the start of data epoch `epoch` (from 0). Nothing, unless
    /// said otherwise.
    fn fit(&self, _table: &Table, _classes: &Classes, _epoch: u32) -> Parameters {
        Parameters::default()
    }

    /// Appends (v, π) of each row of a window, in the window's order, as it is at the window's opening.
    ///
    /// `parameters` are those that this policy's [`fit`](Self::fit) gave for the same data epoch. Unless said otherwise
    /// each row counts and is drawn once: for policies that only observe, move a mixture, or pick inside the step.
    fn targets(&self, _parameters: &Parameters, rows: &WindowRows<'_>, out: &mut Vec<Target>) {
        out.extend(std::iter::repeat_n(Target::PLAIN, rows.len()));
    }

    /// What it asks to be kept of each row beside the trajectory, which it reads as [`Table::recent`] and
    /// [`WindowRows::recent`].
    fn recent(&self) -> Option<Recent> {
        None
    }

    /// A score of cleaning that its targets depend on, which they read as [`WindowRows::score`].
    fn score(&self) -> Option<&str> {
        None
    }

    /// How the rows that are drawn are thinned out inside a training step, where they are: batches are then
    /// super-batches of candidates.
    fn selection(&self) -> Option<&Selection> {
        None
    }

    /// Whether it needs what a reference model says of rows.
    fn needs_reference(&self) -> bool {
        self.selection().is_some_and(|selection| selection.selector.needs().reference)
    }

    /// A column of the data that its targets depend on, which they read as [`WindowRows::column`].
    fn column(&self) -> Option<&str> {
        None
    }

    /// New shares for the domains of a mixture when a window opens, before its rows are chosen; `None` leaves those in
    /// force, which is what a policy does that says nothing else.
    ///
    /// A function of its argument alone. What it gives stays in force, through data epochs and resumes, until it gives
    /// something else. A policy that follows signals here says so in [`reads_signals`](Self::reads_signals).
    fn reshare(&self, opening: &MixtureOpening<'_>) -> Option<Reshare> {
        let _ = opening;
        None
    }
}

/// What a policy that moves the shares of a mixture sees when a window opens.
#[derive(Clone, Copy, Debug)]
pub struct MixtureOpening<'a> {
    /// The domains: a row's domain is the one whose blocks hold its block.
    pub domains: &'a [Domain],
    /// The recipe's shares; they add up to 1.
    pub of_recipe: &'a [f64],
    /// The shares in force; they add up to 1.
    pub in_force: &'a [f64],
    /// What the policy asked to be remembered when it gave shares last; empty before.
    pub memory: &'a [f64],
    /// The reports that have entered the values since the window before, in batch order.
    pub reports: &'a [Report],
    /// What a reference model says of rows, where the stream was given it.
    pub references: Option<&'a References>,
}

/// What a policy that moves the shares of a mixture asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reshare {
    /// A share for each domain, above 0; they count beside their sum.
    pub shares: Vec<f64>,
    /// What it wants to see again at the next opening. Saved with the stream's state, so a few numbers a domain.
    pub memory: Vec<f64>,
}

/// The rows of a window, with what is known of each at its opening.
#[derive(Clone, Copy, Debug)]
pub struct WindowRows<'a> {
    positions: &'a [Position],
    table: &'a Table,
    classes: &'a Classes,
    scores: &'a [(String, Vec<f32>)],
    column: &'a [f32],
    domains: &'a [Domain],
}

impl<'a> WindowRows<'a> {
    /// The rows at `positions`, in the window's order.
    #[must_use]
    pub const fn new(positions: &'a [Position], table: &'a Table, classes: &'a Classes) -> Self {
        Self { positions, table, classes, scores: &[], column: &[], domains: &[] }
    }

    /// With what cleaning found out about them: named scores, each with a number a row in the window's order.
    #[must_use]
    pub const fn with_scores(self, scores: &'a [(String, Vec<f32>)]) -> Self {
        Self { scores, ..self }
    }

    /// The score `name` that a cleaning operator gave, one number a row in the window's order, NaN where a row has none;
    /// `None` where no operator gives such a score.
    #[must_use]
    pub fn score(&self, name: &str) -> Option<&'a [f32]> {
        self.scores.iter().find(|(score, _)| score == name).map(|(_, values)| values.as_slice())
    }

    /// With the numbers of the column that the policy asked for, one a row in the window's order.
    #[must_use]
    pub const fn with_column(self, column: &'a [f32]) -> Self {
        Self { column, ..self }
    }

    /// The numbers of the column that the policy asked for ([`Policy::column`]), one a row in the window's order, NaN
    /// where it is null; empty where it asked for none.
    #[must_use]
    pub const fn column(&self) -> &'a [f32] {
        self.column
    }

    /// The same rows, of a plan with these domains.
    #[must_use]
    pub const fn with_domains(self, domains: &'a [Domain]) -> Self {
        Self { domains, ..self }
    }

    /// The number of the domain that each row belongs to, in the window's order; 0 where there is but one dataset.
    pub fn domains(&self) -> impl Iterator<Item = usize> {
        let domains = self.domains;
        self.positions.iter().map(move |position| domains.partition_point(|domain| domain.blocks.end <= position.block))
    }

    /// What the policy asked to be kept of each row ([`Table::recent`]), in the window's order.
    pub fn recent(&self) -> impl Iterator<Item = f32> {
        let table = self.table;
        self.positions.iter().map(move |position| table.recent(*position))
    }

    /// The class that each row's label is taken for ([`Table::rival`]), in the window's order.
    pub fn rivals(&self) -> impl Iterator<Item = Rival> {
        let table = self.table;
        self.positions.iter().map(move |position| table.rival(*position))
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
    (Weighted::NAME, |place, options| Ok(Arc::new(Weighted::from_options(place, options)?))),
    (Fixed::NAME, |place, options| Ok(Arc::new(Fixed::from_options(place, options)?))),
    (OnlineDataMixing::NAME, |place, options| Ok(Arc::new(OnlineDataMixing::from_options(place, options)?))),
    (AdaptiveDataOptimization::NAME, |place, options| {
        Ok(Arc::new(AdaptiveDataOptimization::from_options(place, options)?))
    }),
    (DoReMi::NAME, |place, options| Ok(Arc::new(DoReMi::from_options(place, options)?))),
];

/// Refuses an option that is out of its range, ends included.
pub(super) fn within(place: &str, option: &str, value: f64, range: RangeInclusive<f64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(Error::recipe(format!("{place}: `{option}` = {value}: must be at least {least} and at most {most}")))
}

/// The policy that a recipe asks for.
///
/// # Errors
/// [`Error::Recipe`] for a name or an option that does not exist, naming the nearest that does; and for a value out of its
/// range.
pub fn policy(spec: &PolicySpec) -> Result<Arc<dyn Policy>> {
    if let Some(selecting) = Selecting::from_options(&spec.name, &spec.options) {
        return Ok(Arc::new(selecting?));
    }
    let Some((name, build)) = POLICIES.iter().find(|(name, _)| *name == spec.name) else {
        let built: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).chain(Selecting::NAMES).collect();
        let asked = cut(&spec.name);
        let near = advice(&spec.name, &built, "this version has");
        return Err(Error::recipe(format!("there is no policy `{asked}`{near}")));
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
            let options = match *name {
                InfoBatch::NAME => "epochs = 9",
                Weighted::NAME => "column = 'x'",
                _ => "",
            };
            let policy = policy(&spec(name, options)).unwrap();
            assert_eq!(policy.name(), *name);
            assert!(policy.fingerprint().starts_with(name));
        }
    }

    #[test]
    fn selectors_are_policies_that_say_how_many_candidates_they_score() {
        for name in Selecting::NAMES {
            let policy = policy(&spec(name, "candidates = 320")).unwrap();
            assert_eq!(policy.selection().unwrap().candidates, 320);
            assert!(policy.fingerprint().starts_with(name) && policy.fingerprint().contains("320"));
            assert!(refusal(name, "").contains("`candidates` is missing"));
            assert!(refusal(name, "candidates = 0").contains("must be a number from 1"));
            assert!(
                refusal(name, "candidates = 9\nflor = 1").starts_with(&format!("policy `{name}`: unknown key `flor`"))
            );
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        assert!(refusal("denoize", "").contains("did you mean `denoise`?"));
        assert_eq!(
            refusal("zzzz", ""),
            "there is no policy `zzzz`; this version has `uniform`, `denoise`, `infobatch`, `weighted`, `fixed`, `odm`, \
             `ado`, `doremi`, `alignment`, `importance`, `jest`, `progressive_dropout` and 2 more"
        );
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
            "warmup_batches = -1",
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
