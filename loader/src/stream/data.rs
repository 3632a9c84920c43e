//! From the tables of a recipe that say where samples come from to one source, and how its domains share what is open.

use super::schedule::Schedule;
use crate::{
    Error, Plan, Recipe, Result,
    recipe::{Dataset, Exhausted, StreamSettings},
    sample,
    source::{self, Source},
};
use arrow::datatypes::Schema;
use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

/// The source of the recipe's `[dataset]`, or of all its `[[domain]]` tables as one.
pub(super) fn source(recipe: &Recipe, block_limit: u64) -> Result<Arc<dyn Source>> {
    if let Some(dataset) = &recipe.dataset {
        return source::open(&options(dataset, &recipe.stream, block_limit)?);
    }
    let mut domains = Vec::with_capacity(recipe.domain.len());
    for domain in &recipe.domain {
        let source = options(&domain.dataset, &recipe.stream, block_limit).and_then(|options| source::open(&options));
        // Which of the domains it is can only be told here.
        let source = source.map_err(|fault| match fault {
            Error::Recipe(what) => Error::recipe(format!("[[domain]] `{}`: {what}", domain.name)),
            Error::Data { mut place, what } => {
                place.dataset = Some(domain.name.clone());
                Error::Data { place, what }
            }
            other => other,
        })?;
        if source.plan().rows() == 0 {
            let what =
                format!("[[domain]] `{}`: `{}` has no row: leave the domain out", domain.name, domain.dataset.url);
            return Err(Error::recipe(what));
        }
        domains.push((domain.name.clone(), source));
    }
    source::mixture(domains)
}

/// How a dataset is opened.
pub(super) fn options(dataset: &Dataset, stream: &StreamSettings, block_limit: u64) -> Result<source::Options> {
    Ok(source::Options {
        url: dataset.url.clone(),
        format: dataset.format.as_deref().map(str::parse).transpose()?,
        columns: dataset.columns.clone(),
        manifest: dataset.manifest.as_ref().map(PathBuf::from),
        block_limit,
        access: source::Access {
            retries: stream.retries,
            timeout: stream.timeout.map(|seconds| Duration::from_secs(seconds.into())),
            cache: stream.cache.as_deref().map_or(source::Cache::Unpacked, source::Cache::named),
            cache_limit: stream.cache_limit.0,
            window: stream.memory.0 / 4,
        },
    })
}

/// Holds the columns that the recipe names against those of a source that was given in place of its dataset.
pub(super) fn check_columns(recipe: &Recipe, schema: &Schema) -> Result<()> {
    let Some(columns) = recipe.dataset.as_ref().and_then(|dataset| dataset.columns.as_ref()) else { return Ok(()) };
    let carried: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    if carried.iter().copied().eq(columns) {
        return Ok(());
    }
    Err(Error::recipe(format!(
        "[dataset] columns are {columns:?}, and the source that was given carries {carried:?}: leave `columns` out, or give a \
         source of these alone"
    )))
}

/// The index of the label's column, where the recipe names one.
pub(super) fn label(recipe: &Recipe, plan: &Plan) -> Result<Option<usize>> {
    let mut label: Option<(&str, String)> = None;
    let datasets = recipe.dataset.iter().map(|dataset| ("[dataset]".to_owned(), dataset));
    let domains = recipe.domain.iter().map(|domain| (format!("[[domain]] `{}`", domain.name), &domain.dataset));
    for (place, dataset) in datasets.chain(domains) {
        let Some(name) = dataset.label.as_deref() else { continue };
        match &label {
            Some((other, first)) if *other != name => {
                return Err(Error::recipe(format!(
                    "{place}: its label is `{name}`, that of {first} is `{other}`: a mixture has one label"
                )));
            }
            Some(_) => {}
            None => label = Some((name, place)),
        }
    }
    let Some((name, place)) = label else { return Ok(None) };
    plan.schema.index_of(name).map(Some).map_err(|_| {
        let columns: Vec<_> = plan.schema.fields().iter().map(|field| format!("`{}`", field.name())).collect();
        Error::recipe(format!("{place} label: no column `{name}` is carried; there are {}", columns.join(", ")))
    })
}

/// How the rows of a run's domains are shared out. A dataset that is no mixture is one domain.
#[derive(Clone, Debug)]
pub(super) struct Sharing {
    /// The blocks of each domain.
    pub(super) ranges: Vec<Range<u32>>,
    /// Each domain's share, in parts of [`sample::WHOLE`].
    pub(super) parts: Vec<u64>,
    pub(super) exhausted: Exhausted,
    /// Blocks that can be read in order only: each range stays together.
    pub(super) in_order: Arc<[Range<u32>]>,
}

impl Sharing {
    /// As the recipe says; in `plan_order` there is nothing to mix, and all blocks are one domain's.
    pub(super) fn of(recipe: &Recipe, source: &dyn Source, plan_order: bool) -> Result<Self> {
        let plan = source.plan();
        let in_order = source.in_order().into();
        let exhausted = recipe.mixture.exhausted;
        let all =
            u32::try_from(plan.blocks.len()).map_err(|_| Error::recipe("a plan of more than 4,294,967,295 blocks"))?;
        if plan_order || plan.domains.is_empty() {
            return Ok(Self {
                ranges: std::iter::once(0..all).collect(),
                parts: vec![sample::WHOLE],
                exhausted,
                in_order,
            });
        }
        let shares: Vec<f64> = recipe.domain.iter().map(|domain| domain.share).collect();
        // A source that brings its own domains, beside a recipe without any, mixes them as they come.
        let shares = if shares.len() == plan.domains.len() {
            shares
        } else {
            plan.domains.iter().map(|domain| plan.rows_of(&domain.blocks) as f64).collect()
        };
        let parts = sample::parts(&shares).ok_or_else(|| {
            Error::recipe(format!("the shares of the domains are {shares:?}: each must be above 0, and none tiny"))
        })?;
        Ok(Self { ranges: plan.ranges(), parts, exhausted, in_order })
    }

    /// How many blocks each domain has open where `window` are open in all: so many that their rows last about equally
    /// long, at least one each, by largest remainder. A mixture whose `window` is less than its domains has one each.
    pub(super) fn windows(&self, plan: &Plan, window: u32) -> Vec<u32> {
        if let [_] = self.ranges[..] {
            return vec![window];
        }
        let needs: Vec<f64> = self
            .ranges
            .iter()
            .zip(&self.parts)
            .map(|(range, part)| *part as f64 * range.len() as f64 / (plan.rows_of(range).max(1)) as f64)
            .collect();
        let total: f64 = needs.iter().sum();
        let spare = window.saturating_sub(u32::try_from(needs.len()).unwrap_or(u32::MAX));
        let ideal: Vec<f64> = needs.iter().map(|need| need / total * f64::from(spare)).collect();
        let mut windows: Vec<u32> = ideal.iter().map(|ideal| libm::floor(*ideal) as u32).collect();
        let mut order: Vec<usize> = (0..ideal.len()).collect();
        order.sort_by(|&a, &b| (ideal[b] - libm::floor(ideal[b])).total_cmp(&(ideal[a] - libm::floor(ideal[a]))));
        let rest = spare.saturating_sub(windows.iter().sum()) as usize;
        order.into_iter().take(rest).for_each(|index| windows[index] += 1);
        windows.into_iter().map(|blocks| blocks + 1).collect()
    }

    /// The order of each domain.
    pub(super) fn schedules(&self, seed: u64, windows: &[u32], plan_order: bool) -> Vec<Schedule> {
        let repeats = self.ranges.len() > 1 && self.exhausted == Exhausted::Repeat;
        let domains = (0..).zip(self.ranges.iter().zip(windows));
        let schedule = |(domain, (blocks, &window)): (u32, (&Range<u32>, &u32))| Schedule {
            seed,
            domain,
            blocks: blocks.clone(),
            window,
            plan_order,
            repeats,
            in_order: self.in_order.iter().filter(|range| blocks.contains(&range.start)).cloned().collect(),
        };
        domains.map(schedule).collect()
    }

    /// Decoded bytes of what is open together at most, where the domains have `windows` blocks open.
    pub(super) fn open_bytes(&self, plan: &Plan, windows: &[u32]) -> u64 {
        let open = self.ranges.iter().zip(windows).map(|(range, &window)| {
            let blocks = plan.blocks.get(range.start as usize..range.end as usize).unwrap_or_default();
            let largest = blocks.iter().map(|block| block.decoded_bytes).max().unwrap_or(0);
            largest.saturating_mul(u64::from(window).min(blocks.len() as u64))
        });
        open.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Domain, Span};
    use proptest::prelude::*;

    /// A plan of domains with so many blocks of so many rows.
    fn plan(domains: &[(u32, u32)]) -> Plan {
        let mut plan = Plan {
            url: String::new(),
            schema: Arc::new(Schema::empty()),
            shards: Vec::new(),
            blocks: Vec::new(),
            domains: Vec::new(),
        };
        for (index, &(blocks, rows)) in domains.iter().enumerate() {
            let first = plan.blocks.len() as u32;
            let span = Span::Bytes { offset: 0, length: 1 };
            let block = |index| Block {
                shard: 0,
                index,
                rows,
                bytes: 1,
                decoded_bytes: 10,
                working_bytes: 0,
                span,
                hashes: Vec::new(),
            };
            plan.blocks.extend((0..blocks).map(block));
            plan.domains.push(Domain { name: index.to_string(), blocks: first..first + blocks });
        }
        plan
    }

    fn sharing(plan: &Plan, shares: &[f64]) -> Sharing {
        let exhausted = Exhausted::Stop;
        Sharing { ranges: plan.ranges(), parts: sample::parts(shares).unwrap(), exhausted, in_order: Arc::new([]) }
    }

    proptest! {
        #[test]
        fn the_window_is_shared_out_whole_and_nobody_is_left_without(
            domains in prop::collection::vec((1_u32..50, 1_u32..900, 0.01_f64..9.0), 2..7),
            window in 1_u32..60,
        ) {
            let blocks: Vec<(u32, u32)> = domains.iter().map(|domain| (domain.0, domain.1)).collect();
            let shares: Vec<f64> = domains.iter().map(|domain| domain.2).collect();
            let plan = plan(&blocks);
            let windows = sharing(&plan, &shares).windows(&plan, window);
            prop_assert_eq!(windows.iter().sum::<u32>(), window.max(domains.len() as u32));
            prop_assert!(windows.iter().all(|window| *window > 0));
        }
    }

    #[test]
    fn a_domain_has_as_many_rows_open_as_its_share_is() {
        let plan = plan(&[(100, 10), (100, 10), (100, 40)]);
        assert_eq!(sharing(&plan, &[1.0, 3.0, 4.0]).windows(&plan, 13), [3, 7, 3]);
        assert_eq!(sharing(&plan, &[1.0, 3.0, 4.0]).windows(&plan, 2), [1, 1, 1]);
    }
}
