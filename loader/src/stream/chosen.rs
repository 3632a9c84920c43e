//! What a recipe's `[policy]` asks of the stream beside the policy's own options: a reference, picks inside the step,
//! columns and scores that have to be there.

use super::{
    picking::{Known, Picking},
    values::{Pass, read_references},
};
use crate::{
    Error, Plan, Recipe, Result,
    source::Source,
    value::{Policy, PolicySpec, References},
};
use std::{path::PathBuf, sync::Arc};

/// The recipe's policy, without the options that the stream itself reads.
pub(super) fn spec(recipe: &Recipe) -> PolicySpec {
    let mut options = recipe.policy.options.clone();
    OWN_OPTIONS.iter().for_each(|option| drop(options.remove(*option)));
    PolicySpec { name: recipe.policy.name.clone(), options }
}

/// Options of `[policy]` that are the stream's, whatever the policy.
const OWN_OPTIONS: [&str; 4] = ["reference", "reference_column", "trusted", "values"];

/// Policies that have nothing to do without several domains.
const MIXING: [&str; 4] = ["fixed", "odm", "ado", "doremi"];

pub(super) fn text_option(recipe: &Recipe, option: &str) -> Result<Option<String>> {
    match recipe.policy.options.get(option) {
        None => Ok(None),
        Some(toml::Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(other) => {
            Err(Error::recipe(format!("in [policy]: `{option}` = {other}: must be a text that is not empty")))
        }
    }
}

pub(super) fn path_option(recipe: &Recipe, option: &str) -> Result<Option<PathBuf>> {
    Ok(text_option(recipe, option)?.map(PathBuf::from))
}

/// Where what a reference model says comes from, where the policy asks for it.
pub(super) fn known(
    recipe: &Recipe,
    policy: &dyn Policy,
    given: Option<Arc<References>>,
    source: &dyn Source,
    pass: Pass,
) -> Result<Known> {
    let (path, column) = (path_option(recipe, "reference")?, text_option(recipe, "reference_column")?);
    let name = policy.name();
    if !policy.needs_reference() {
        return match (path, column) {
            (None, None) => Ok(Known::Nothing),
            _ => Err(Error::recipe(format!("policy `{name}` reads no reference: leave `reference` out"))),
        };
    }
    match (given, path, column) {
        (Some(references), ..) => Ok(Known::Table(references)),
        (None, Some(_), Some(_)) => Err(Error::recipe(format!(
            "policy `{name}`: `reference` and `reference_column` are both given: the losses come from a file or from a \
             column of the data"
        ))),
        (None, Some(path), None) => Ok(Known::Table(Arc::new(read_references(source, &path, pass)?))),
        (None, None, Some(_)) if policy.selection().is_none() => Err(Error::recipe(format!(
            "policy `{name}` looks losses up by row: give `reference`, a file, in place of `reference_column`"
        ))),
        (None, None, Some(column)) => Ok(Known::Column(column)),
        (None, None, None) => Err(Error::recipe(format!(
            "policy `{name}` compares with a reference model: give its losses as `reference` (a Parquet file with `loss` by \
             `content_id` or by `block` and `row`) or as `reference_column` (a column of the data)"
        ))),
    }
}

/// How rows are picked inside a training step, where the policy does so.
pub(super) fn picking(
    recipe: &Recipe,
    policy: &dyn Policy,
    known: &Known,
    plan_order: bool,
) -> Result<Option<Picking>> {
    let Some(selection) = policy.selection().filter(|_| !plan_order) else { return Ok(None) };
    let (size, candidates) = (recipe.batch.size, selection.candidates);
    if candidates < size {
        return Err(Error::recipe(format!(
            "policy `{}`: `candidates` = {candidates} is less than [batch] size = {size}: as many rows are scored as are \
             trained, or more",
            policy.name()
        )));
    }
    Ok(Some(Picking {
        policy: policy.name().to_owned(),
        selection: selection.clone(),
        size: size as usize,
        seed: recipe.seed,
        known: known.clone(),
    }))
}

/// Refuses a policy that asks for what is not there: `scores` are those that cleaning gives, and `packed` is
/// whether it picks rows of slots that hold several.
pub(super) fn check(
    policy: &dyn Policy,
    plan: &Plan,
    scores: &[String],
    (packed, plan_order): (bool, bool),
) -> Result<()> {
    if packed {
        return Err(Error::recipe(format!(
            "policy `{}` picks rows, and packed slots hold several: pack without it, or select without packing",
            policy.name()
        )));
    }
    if let Some(name) = policy.column()
        && plan.schema.index_of(name).is_err()
    {
        let columns: Vec<_> = plan.schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        let what =
            format!("policy `{}`: no column `{name}` is carried; there are {}", policy.name(), columns.join(", "));
        return Err(Error::recipe(what));
    }
    if let Some(score) = policy.score()
        && !scores.iter().any(|known| known == score)
    {
        return Err(Error::recipe(format!(
            "policy `{}`: no [[clean]] operator gives a score `{score}`; those given are {:?}",
            policy.name(),
            scores
        )));
    }
    if MIXING.contains(&policy.name()) && plan.domains.len() < 2 && !plan_order {
        let what =
            format!("policy `{}` mixes domains, and there is one dataset: give [[domain]] tables", policy.name());
        return Err(Error::recipe(what));
    }
    Ok(())
}
