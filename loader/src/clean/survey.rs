//! What an operator learns from the whole data before it judges: a look at each block by any worker, taken in on one
//! thread in plan order, and boiled down to bytes.
//!
//! It sees rows as the operators before it leave them, as far as those need no survey and no memory themselves.

use super::Rows;
use crate::{Error, Result};
use std::{any::Any, fmt};

/// How an operator learns.
///
/// What it comes to must not depend on who looks, or when: parts are made in any order, and added in plan order.
pub trait Sketch: Send + Sync + 'static {
    /// What one block adds.
    type Part: Send + 'static;

    /// Looks at one block, on any thread. The memory that a part takes is the sketch's to bound.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where a column is not what the operator was made for.
    fn look(&self, rows: &Rows<'_>) -> Result<Self::Part>;

    /// Takes in what a block adds, block by block in plan order.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Recipe`] where too much would have to be remembered.
    fn add(&mut self, part: Self::Part) -> Result<()>;

    /// What was learnt, as bytes for [`Operator::fit`](super::Operator::fit): equal data give equal bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Recipe`] where the data do not teach what the operator needs.
    fn fit(self) -> Result<Vec<u8>>;
}

/// A [`Sketch`] of any kind.
pub struct Survey(Box<dyn Erased>);

/// What one block adds to a [`Survey`].
pub(super) type Part = Box<dyn Any + Send>;

impl Survey {
    /// The survey that `sketch` makes.
    #[must_use]
    pub fn new<S: Sketch>(sketch: S) -> Self {
        Self(Box::new(sketch))
    }

    pub(super) fn look(&self, rows: &Rows<'_>) -> Result<Part> {
        self.0.look(rows)
    }

    pub(super) fn add(&mut self, part: Part) -> Result<()> {
        self.0.add(part)
    }

    pub(super) fn fit(self) -> Result<Vec<u8>> {
        self.0.fit()
    }
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Survey")
    }
}

trait Erased: Send + Sync {
    fn look(&self, rows: &Rows<'_>) -> Result<Part>;
    fn add(&mut self, part: Part) -> Result<()>;
    fn fit(self: Box<Self>) -> Result<Vec<u8>>;
}

impl<S: Sketch> Erased for S {
    fn look(&self, rows: &Rows<'_>) -> Result<Part> {
        Ok(Box::new(Sketch::look(self, rows)?))
    }

    fn add(&mut self, part: Part) -> Result<()> {
        let part = part.downcast().map_err(|_| Error::State("a survey was given another survey's part".to_owned()))?;
        Sketch::add(self, *part)
    }

    fn fit(self: Box<Self>) -> Result<Vec<u8>> {
        Sketch::fit(*self)
    }
}
