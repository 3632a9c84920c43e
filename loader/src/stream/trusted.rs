//! The trusted set that a policy aligns with: another dataset of the same columns, named by `trusted` under `[policy]`.
//!
//! It is read in plan order, by whoever computes alignments. The stream holds it to its columns, and makes it a part of
//! its own identity; what is made of it is the trainer's matter.

use super::{Evaluation, Stream, chosen::text_option};
use crate::{
    Error, Plan, Recipe, Result,
    recipe::{Dataset, Part},
    value::Policy,
};

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
