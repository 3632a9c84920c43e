//! The trusted set that a policy aligns with: another dataset of the same columns, named by `trusted` under `[policy]`.
//!
//! It is read in plan order, by whoever computes alignments. The stream holds it to its columns, sees that none of its
//! rows is trained on, and makes it a part of its own identity; what is made of it is the trainer's matter.

use super::{Evaluation, Stream, chosen::text_option, split::Parting, sweep::sweep, values::Pass};
use crate::{
    Error, Plan, Recipe, Result,
    clean::{Cleaner, content_keys},
    recipe::{Dataset, Part},
    source::{Decoded, Source},
    value::Policy,
};
use std::collections::HashSet;

/// The policies that have a use for one.
const ALIGNING: &str = "alignment";

/// The trusted set that `recipe` names, for the policy of a stream over `plan`.
pub(super) fn trusted(recipe: &Recipe, policy: &dyn Policy, plan: &Plan) -> Result<Option<Evaluation>> {
    let Some(url) = text_option(recipe, "trusted")? else { return Ok(None) };
    let needs = policy.selection().is_some_and(|selection| selection.selector.needs().alignment);
    if !needs {
        return Err(Error::recipe(format!(
            "policy `{}` reads no trusted set: leave `trusted` out, or use `{ALIGNING}`",
            policy.name()
        )));
    }
    let set = open(recipe, &url, plan)?;
    let fault = |what: String| Err(Error::recipe(format!("in [policy]: `trusted` = \"{url}\" {what}")));
    if set.plan().rows() == 0 {
        return fault("has no row".into());
    }
    if set.plan().hash() == plan.hash() {
        return fault("is what is trained on: what is trusted must not be among it".into());
    }
    for field in plan.schema.fields() {
        let found = set.plan().schema.field_with_name(field.name()).map(|found| found.data_type().clone());
        if found.as_ref().ok() != Some(field.data_type()) {
            let found = found.map_or("is missing".to_owned(), |found| format!("holds {found}"));
            return fault(format!(
                "is of other columns: `{}` holds {} and there {found}",
                field.name(),
                field.data_type()
            ));
        }
    }
    Ok(Some(set))
}

fn open(recipe: &Recipe, url: &str, plan: &Plan) -> Result<Evaluation> {
    let first = recipe.dataset.as_ref().or_else(|| recipe.domain.first().map(|domain| &domain.dataset));
    let set = Dataset {
        columns: Some(plan.schema.fields().iter().map(|field| field.name().clone()).collect()),
        label: first.and_then(|dataset| dataset.label.clone()),
        ..Dataset::new(url)
    };
    let plain = Recipe { dataset: Some(set), batch: recipe.batch, stream: recipe.stream.clone(), ..Recipe::new(url) };
    plain.evaluation(Part::Train)
}

/// Refuses a trusted set of which rows are trained on too, known by their content over all columns that are carried.
///
/// Every gradient points to a row that it comes from, so such a row would be picked for its own sake. What is looked
/// through are the rows of the stream's own part that no rule of a block alone drops, which takes a pass over the data.
pub(super) fn check_apart(
    set: &Evaluation,
    source: &dyn Source,
    cleaner: &Cleaner,
    parting: Option<&Parting>,
    pass: Pass,
) -> Result<()> {
    let plan = source.plan();
    let mut trusted: HashSet<u128> = HashSet::new();
    let keys = |_: u32, decoded: Decoded| {
        // In the order of the data's columns, whatever that of the set's files.
        let columns: Vec<usize> =
            plan.schema.fields().iter().filter_map(|field| decoded.data.schema().index_of(field.name()).ok()).collect();
        Ok((content_keys(&decoded.data, &columns)?, bad_rows(&decoded)))
    };
    let of_set = set.source();
    sweep(of_set, blocks(of_set.plan()), pass.threads, pass.budget, keys, |_, found| {
        let (keys, bad) = found?;
        trusted.extend((0..).zip(keys).filter(|(row, _)| bad.binary_search(row).is_err()).map(|(_, key)| key));
        Ok(())
    })?;

    let trusted = &trusted;
    let met = |_: u32, decoded: Decoded| {
        let columns: Vec<usize> = (0..decoded.data.num_columns()).collect();
        let keys = content_keys(&decoded.data, &columns)?;
        let mut met: Vec<(u32, u128)> = (0..).zip(keys).filter(|(_, key)| trusted.contains(key)).collect();
        if !met.is_empty() {
            let mut apart = bad_rows(&decoded);
            if let Some(parting) = parting {
                apart.extend(parting.others(&decoded.data, &apart)?);
            }
            let stands = cleaner.judge(&decoded.data, &apart)?.not_dropped_alone();
            met.retain(|(row, _)| stands.is_kept(*row));
        }
        Ok(met)
    };
    let (mut first, mut found) = (None, HashSet::new());
    sweep(source, blocks(plan), pass.threads, pass.budget, met, |block, met| {
        let met = match met {
            Err(fault) if pass.on_bad_block.sets_aside(&fault) => return Ok(()),
            met => met?,
        };
        first = first.take().or_else(|| met.first().map(|(row, _)| plan.place(block).row(*row)));
        found.extend(met.into_iter().map(|(_, key)| key));
        Ok(())
    })?;
    match first {
        None => Ok(()),
        Some(place) => Err(Error::data(
            place,
            format!(
                "this row is in the trusted set too, as {} of the {} contents of `{}` are in what is trained on: take \
                 them out of one of the two",
                found.len(),
                trusted.len(),
                set.plan().url
            ),
        )),
    }
}

fn blocks(plan: &Plan) -> impl Iterator<Item = u32> + use<> {
    0..plan.blocks.len() as u32
}

fn bad_rows(decoded: &Decoded) -> Vec<u32> {
    decoded.bad_rows.iter().map(|bad| bad.row).collect()
}

impl Stream {
    /// The rows that the recipe trusts (`trusted` under `[policy]`, of `alignment`), with the columns that this stream
    /// carries: a pass gives them in plan order, in batches of `[batch] size`. `None` where it names none.
    ///
    /// # Errors
    ///
    /// As [`Recipe::open`], where the files have gone or changed since this stream was opened.
    pub fn trusted(&self) -> Result<Option<Evaluation>> {
        trusted(&self.recipe, self.shared.policy.as_ref(), self.plan())
    }
}
