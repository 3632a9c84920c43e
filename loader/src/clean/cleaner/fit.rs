//! Surveys of a recipe's operators: looked at block by block by any worker, taken in in plan order, frozen as fits.

use super::Cleaner;
use crate::{
    Error, Hash, Purpose, Randomness, Result,
    clean::{
        Rows,
        rows::Shared,
        spec::Built,
        survey::{Part, Survey},
    },
};
use arrow::record_batch::RecordBatch;

/// The surveys of a recipe's operators, in order.
#[derive(Debug)]
pub struct Surveys {
    /// By operator; `None` where it needs none.
    surveys: Vec<Option<(Survey, f64)>>,
    seed: u64,
}

/// What one block adds to the surveys.
pub struct Parts(Vec<Option<Part>>);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.0.len())
    }
}

impl Surveys {
    /// Whether any operator looks at block `block`: all of them look at all blocks, but where the recipe's `survey` asks
    /// for a share of them. Which blocks these are is a function of the seed and the block.
    #[must_use]
    pub fn look_at(&self, block: u32) -> bool {
        let place = self.place(block);
        self.surveys.iter().flatten().any(|(_, share)| place < *share)
    }

    /// Where the block stands among those that are picked: one number for all operators, so that their samples are
    /// nested and a block is read for as many of them as may be.
    fn place(&self, block: u32) -> f64 {
        Randomness::new(self.seed, 0, u64::from(block), Purpose::Survey).unit()
    }

    /// Takes in what a block adds, block by block in plan order.
    ///
    /// # Errors
    ///
    /// Those of [`Sketch::add`](crate::clean::Sketch::add).
    pub fn add(&mut self, parts: Parts) -> Result<()> {
        for (survey, part) in self.surveys.iter_mut().zip(parts.0) {
            if let (Some((survey, _)), Some(part)) = (survey, part) {
                survey.add(part)?;
            }
        }
        Ok(())
    }

    /// What was learnt, operator by operator; empty where an operator needs no survey.
    ///
    /// # Errors
    ///
    /// Those of [`Sketch::fit`](crate::clean::Sketch::fit).
    pub fn fits(self) -> Result<Vec<Vec<u8>>> {
        self.surveys.into_iter().map(|survey| survey.map_or(Ok(Vec::new()), |(survey, _)| survey.fit())).collect()
    }
}

impl Cleaner {
    /// The surveys that have to be made before the first judgement; `None` where no operator needs one that it has not
    /// been fitted by.
    #[must_use]
    pub fn surveys(&self, seed: u64) -> Option<Surveys> {
        if self.fits.is_some() {
            return None;
        }
        let survey = |stands: &super::Stands| match &stands.built {
            Built::Pure(operator) => operator.survey().map(|survey| (survey, stands.survey)),
            Built::Matching(_) => None,
        };
        let surveys: Vec<_> = self.operators.iter().map(survey).collect();
        surveys.iter().any(Option::is_some).then_some(Surveys { surveys, seed })
    }

    /// What a block adds to `surveys`. Operators see the rows as those before them leave them, as far as these need
    /// neither a survey nor a memory.
    ///
    /// # Errors
    ///
    /// As [`judge`](Self::judge), and those of [`Sketch::look`](crate::clean::Sketch::look).
    pub fn look(&self, surveys: &Surveys, block: u32, data: &RecordBatch, bad: &[u32]) -> Result<Parts> {
        self.check_columns(data)?;
        let place = surveys.place(block);
        let mut alive = super::readable(data.num_rows(), bad)?;
        let (mut data, shared) = (data.clone(), Shared::default());
        let mut parts = Vec::with_capacity(self.operators.len());
        // Behind the last operator that looks nothing needs to be judged.
        let last = surveys.surveys.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        for ((stands, label), survey) in self.operators.iter().zip(self.labels.iter()).zip(&surveys.surveys).take(last)
        {
            let part = match (survey, &stands.built) {
                (Some((survey, share)), _) => {
                    let rows = Rows::new(&data, &alive, &shared);
                    (place < *share).then(|| survey.look(&rows)).transpose()?
                }
                (None, Built::Pure(operator)) => {
                    let (found, after) = super::run(operator.as_ref(), label.rules.len(), data, &alive, &shared)?;
                    for flag in found.flags.iter().filter(|flag| label.drops(flag.rule)) {
                        alive[flag.row as usize] = false;
                    }
                    data = after;
                    None
                }
                (None, Built::Matching(_)) => None,
            };
            parts.push(part);
        }
        Ok(Parts(parts))
    }

    /// Freezes the operators by what their surveys came to, in this process or in an earlier one.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where `fits` are not those of these operators.
    pub fn fit(&mut self, fits: Vec<Vec<u8>>) -> Result<()> {
        if fits.len() != self.operators.len() {
            let what = format!("{} fits for {} cleaning operators", fits.len(), self.operators.len());
            return Err(Error::State(what));
        }
        for (stands, fit) in self.operators.iter_mut().zip(&fits) {
            if let Built::Pure(operator) = &mut stands.built
                && operator.survey().is_some()
            {
                operator.fit(fit)?;
            }
        }
        self.fits = Some(fits);
        Ok(())
    }

    /// What the operators were fitted by; empty where none needs a survey, or none has been made yet.
    #[must_use]
    pub fn fits(&self) -> &[Vec<u8>] {
        self.fits.as_deref().unwrap_or_default()
    }

    /// The hash of the fits.
    pub(super) fn fits_hash(&self) -> Hash {
        Hash::of_hashes(&self.fits().iter().map(|fit| Hash::of(fit)).collect::<Vec<_>>())
    }
}
