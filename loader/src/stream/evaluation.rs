//! Another reading of the data: one part of it, in plan order, once each, with weight 1 and no way back.

use super::{Stream, StreamBuilder, data};
use crate::{Plan, Recipe, Result, recipe::Part, source::Source};
use std::sync::Arc;

/// One part of a recipe's data, for validation: every [`pass`](Self::pass) gives the same batches.
///
/// Rows come in plan order, domain after domain, once each and with weight 1, whatever the policy and the shares say. They
/// are checked against the schema only, unless the recipe says `clean = true` under `[split]`. What is reported of a
/// batch goes nowhere.
#[derive(Clone, Debug)]
pub struct Evaluation {
    recipe: Recipe,
    part: Part,
    source: Arc<dyn Source>,
}

impl Recipe {
    /// Another reading of the data, for validation: the rows of `part`. Of a recipe that keeps nothing out,
    /// [`Part::Train`] is all of its rows.
    ///
    /// # Errors
    ///
    /// As [`Recipe::open`]; [`Error::Recipe`](crate::Error::Recipe) where the recipe's `[split]` has no such part.
    pub fn evaluation(self, part: Part) -> Result<Evaluation> {
        self.validate()?;
        let source = data::source(&self, self.stream.memory.0 / 4)?;
        let evaluation = Evaluation { recipe: self, part, source };
        // What is wrong is said now rather than at the first pass.
        evaluation.pass()?;
        Ok(evaluation)
    }
}

impl Stream {
    /// As [`Recipe::evaluation`], over the plan of this stream.
    ///
    /// # Errors
    ///
    /// As [`Recipe::evaluation`].
    pub fn evaluation(&self, part: Part) -> Result<Evaluation> {
        let source = Arc::clone(&self.shared.work.source);
        let evaluation = Evaluation { recipe: self.recipe.clone(), part, source };
        evaluation.pass()?;
        Ok(evaluation)
    }
}

impl Evaluation {
    /// One full pass. A stream like any other, at its start.
    ///
    /// # Errors
    ///
    /// As [`Recipe::open`].
    pub fn pass(&self) -> Result<Stream> {
        self.builder().open()
    }

    /// A pass to which more is to be set, such as a transform.
    pub fn builder(&self) -> StreamBuilder {
        Stream::builder(self.recipe.clone()).source(Arc::clone(&self.source)).evaluation(self.part)
    }

    /// Its ordered list of blocks.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        self.source.plan()
    }

    pub(super) fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// The part that is read.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.part
    }
}
