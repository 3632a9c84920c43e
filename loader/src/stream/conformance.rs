//! Whether a policy or a selector keeps to what a stream relies on: for tests of those that users write.
//!
//! Each is tried on rows of every kind: never presented, learnt, wrong, forgotten, with losses that are no numbers. What
//! is wrong is said in words; nothing panics unless the function itself does.

use crate::{
    ClassPair, ClassSignal, Error, Pick, Position, Purpose, Randomness, Report, Result, Signal, Target, sample,
    value::{Beside, Candidate, Classes, Gram, Parameters, Policy, Reference, Selector, SuperBatch, Table, WindowRows},
};

const BLOCKS: [u32; 3] = [40, 1, 59];
const EPOCHS: u32 = 4;
/// Draws that an unbiased sum is estimated from, and by how many standard errors it may be off.
const DRAWS: u32 = 400;
const MOST_ERRORS: f64 = 5.0;

/// Checks a policy: targets are as many as rows, sound, and a function of what was reported; signals matter only where it
/// says so; it bears tables without a signal and losses that are no numbers; parameters go through a state and come back;
/// and where it is unbiased, the weighted sum over its draws estimates the v-weighted sum (I5).
///
/// Scores of cleaning and columns are not given: a policy that reads some is tried with none.
///
/// # Errors
///
/// [`Error::Recipe`] with the policy's name and what it does wrong.
pub fn policy(policy: &dyn Policy) -> Result<()> {
    let fault = |what: String| Err(Error::recipe(format!("policy `{}`: {what}", policy.name())));
    if policy.name().is_empty() || policy.fingerprint().is_empty() {
        return fault("it needs a name and a fingerprint".into());
    }
    let positions = positions();
    let mut classes = Classes::new(&BLOCKS);
    for (block, rows) in (0..).zip(BLOCKS) {
        classes.set(block, (0..rows).map(|row| row % 3).collect())?;
    }
    let blank = Table::new(&BLOCKS).keeping(Beside { recent: policy.recent(), rivals: true });
    let mut table = blank.clone();
    for epoch in 0..EPOCHS {
        for known in [&table, &blank] {
            let targets = targets_of(policy, known, &classes, &positions, epoch);
            if targets != targets_of(policy, &known.clone(), &classes, &positions, epoch) {
                return fault(
                    "it gives other targets when it is asked again: let them depend on the arguments alone".into(),
                );
            }
            if targets.len() != positions.len() {
                return fault(format!("it gives {} targets for {} rows", targets.len(), positions.len()));
            }
            sample::draw(policy.name(), &positions, &targets, 1, epoch, 0)?;
            if policy.unbiased() {
                unbiased(policy.name(), &positions, &targets, epoch)?;
            }
        }
        let seen = targets_of(policy, &table, &classes, &positions, epoch);
        if !policy.reads_signals() && seen != targets_of(policy, &blank, &classes, &positions, epoch) {
            return fault(
                "it says that it reads no signals, and its targets follow them: draws would depend on timing".into(),
            );
        }
        if !targets_of(policy, &table, &classes, &[], epoch).is_empty() {
            return fault("it gives targets for a window without rows".into());
        }
        for batch in 0..5 {
            table.apply(&report(u64::from(epoch) * 5 + batch, &positions))?;
        }
    }
    Ok(())
}

/// Checks a selector: what it remembers is a function of the reports, and no more than it says; picks are candidates in
/// ascending order, at least one and at most as many as wanted, with sound weights; a function of the candidates, of what it
/// remembers and of the random numbers; it bears losses that are no numbers and candidates of which nothing else is known;
/// and where it is unbiased, the weighted mean over its picks estimates that over the candidates, whatever it remembers
/// (I5).
///
/// # Errors
///
/// [`Error::Recipe`] with what it does wrong.
pub fn selector(selector: &dyn Selector) -> Result<()> {
    let fault = |what: String| Err(Error::recipe(format!("{selector:?}: {what}")));
    let memories = [Vec::new(), remembered(selector, 1), remembered(selector, 12)];
    for (memory, reports) in memories.iter().zip([0, 1, 12]) {
        if *memory != remembered(selector, reports) {
            return fault("it remembers something else of the same reports".into());
        }
        if memory.len() > selector.remembers() {
            let (found, most) = (memory.len(), selector.remembers());
            return fault(format!("it remembers {found} numbers, and says that these are {most} at most"));
        }
        for (count, poor) in [(1, false), (7, false), (60, false), (60, true)] {
            let candidates = candidates(count, poor);
            let products = products(count);
            let gram = Some(Gram::new(&products, count)?).filter(|_| selector.needs().gram && !poor);
            let batch = SuperBatch { candidates: &candidates, gram, memory };
            let statistic = selector.statistic(&candidates);
            if statistic.map(f64::to_bits) != selector.statistic(&candidates).map(f64::to_bits) {
                return fault("it says another number of the same candidates when it is asked again".into());
            }
            for size in [1, count.div_ceil(4), count] {
                if selector.pays(memory, count, size) != selector.pays(memory, count, size) {
                    return fault("it says something else of whether scores pay when it is asked again".into());
                }
                let pick = |seed| selector.select(&batch, size, &mut Randomness::new(seed, 0, 0, Purpose::Selection));
                let picks = pick(1);
                if picks != pick(1) {
                    return fault("it picks others when it is asked again with the same random numbers".into());
                }
                if picks.is_empty() || picks.len() > size {
                    return fault(format!("it picks {} of {count} where {size} are wanted", picks.len()));
                }
                let sound =
                    |pick: &Pick| (pick.index as usize) < count && pick.weight.is_finite() && pick.weight >= 0.0;
                if !picks.iter().all(sound) || !picks.is_sorted_by_key(|pick| pick.index) {
                    return fault("its picks are no candidates in ascending order, or weigh less than nothing".into());
                }
            }
        }
        if selector.unbiased()
            && let Some((mean, wanted, error)) = biased(selector, memory)?
        {
            return fault(format!("it says that it is unbiased: a mean of {wanted} is estimated as {mean} ± {error}"));
        }
    }
    Ok(())
}

/// What a selector remembers of so many reports.
fn remembered(selector: &dyn Selector, reports: u64) -> Vec<f64> {
    let (positions, candidates) = (positions(), candidates(60, false));
    let mut memory = Vec::new();
    for batch in 0..reports {
        // Every third as of a super-batch that was not scored: of fifteen rows, with nothing beside their own scores.
        let candidates = if batch % 3 == 2 { &candidates[..15] } else { &candidates[..] };
        let statistic = selector.statistic(candidates).filter(|statistic| statistic.is_finite());
        selector.fold(&mut memory, &Report { statistic, ..report(batch, &positions) });
    }
    memory
}

/// What the mean over its picks comes to, what it should be, and the standard error, where it is far off.
fn biased(selector: &dyn Selector, memory: &[f64]) -> Result<Option<(f64, f64, f64)>> {
    const COUNT: usize = 60;
    const SIZE: usize = 15;
    let (candidates, products) = (candidates(COUNT, false), products(COUNT));
    let gram = Some(Gram::new(&products, COUNT)?).filter(|_| selector.needs().gram);
    let batch = SuperBatch { candidates: &candidates, gram, memory };
    let value = |index: usize| 1.0 + (index % 7) as f64;
    let wanted = (0..COUNT).map(value).sum::<f64>() / COUNT as f64;
    let means = (0..DRAWS).map(|seed| {
        let mut randomness = Randomness::new(u64::from(seed), 0, 0, Purpose::Selection);
        let picks = selector.select(&batch, SIZE, &mut randomness);
        picks.iter().map(|pick| f64::from(pick.weight) * value(pick.index as usize)).sum::<f64>() / SIZE as f64
    });
    Ok(off(means.collect(), wanted).map(|(mean, error)| (mean, wanted, error)))
}

fn positions() -> Vec<Position> {
    (0..).zip(BLOCKS).flat_map(|(block, rows)| (0..rows).map(move |row| Position::new(block, row))).collect()
}

fn targets_of(
    policy: &dyn Policy,
    table: &Table,
    classes: &Classes,
    positions: &[Position],
    epoch: u32,
) -> Vec<Target> {
    // Through the bytes of a state, as a run that goes on has them.
    let fitted = policy.fit(table, classes, epoch);
    let parameters = Parameters::from_bytes(&fitted.to_bytes()).unwrap_or(fitted);
    let mut targets = Vec::new();
    policy.targets(&parameters, &WindowRows::new(positions, table, classes), &mut targets);
    targets
}

fn unbiased(name: &str, positions: &[Position], targets: &[Target], epoch: u32) -> Result<()> {
    let value = |position: Position| 1.0 + f64::from(position.row % 7);
    let wanted = positions.iter().zip(targets).map(|(row, target)| f64::from(target.weight) * value(*row)).sum();
    let mut sums = Vec::new();
    for seed in 0..DRAWS {
        let draw = sample::draw(name, positions, targets, u64::from(seed), epoch, 0)?;
        sums.push(draw.iter().map(|drawn| f64::from(drawn.weight) * value(drawn.position)).sum::<f64>());
    }
    match off(sums, wanted) {
        None => Ok(()),
        Some((mean, error)) => Err(Error::recipe(format!(
            "policy `{name}`: it says that it is unbiased: a sum of {wanted} is estimated as {mean} ± {error}"
        ))),
    }
}

/// The mean and its standard error, where `wanted` is far from it.
fn off(values: Vec<f64>, wanted: f64) -> Option<(f64, f64)> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0);
    let error = libm::sqrt(variance / count);
    // Weights are of 32 bits.
    let rounding = 1e-5 * wanted.abs().max(1.0);
    ((mean - wanted).abs() > MOST_ERRORS * error + rounding).then_some((mean, error))
}

fn signal(batch: u64, number: u32) -> Signal {
    let wobble = ((u64::from(number) * 31 + batch * 7) % 11) as f32 / 50.0;
    let margin = if number.is_multiple_of(5) { -0.8 + wobble } else { 0.7 + wobble };
    let probability = (1.0 + margin) / 2.0;
    let loss = match number % 29 {
        28 => f32::NAN,
        27 => f32::INFINITY,
        _ => -libm::logf(probability),
    };
    let pair = Some(ClassPair { label: number % 3, rival: (number + 1) % 3 });
    let class = ClassSignal { logit_margin: 4.0 * margin, probability_margin: margin, probability, pair };
    Signal { loss, class: Some(class) }
}

/// A report of two rows in three.
fn report(batch: u64, positions: &[Position]) -> Report {
    let rows = (0..).zip(positions).filter(|(number, _)| !(u64::from(*number) + batch).is_multiple_of(3));
    Report::new(batch, rows.map(|(number, position)| (*position, signal(batch, number))).collect())
}

fn candidates(count: usize, poor: bool) -> Vec<Candidate> {
    let candidate = |number: u32| {
        let signal = signal(3, number);
        let probability = signal.class.map(|class| class.probability);
        let known = !poor;
        Candidate {
            position: Position::new(0, number),
            signal: if known { signal } else { Signal { class: None, ..signal } },
            el2n: probability.filter(|_| known).map(|p| (1.0 - p) * std::f32::consts::SQRT_2),
            alignment: known.then_some((number % 9) as f32 - 4.0),
            reference: known.then_some(Reference { loss: (number % 4) as f32, probability }),
        }
    };
    (0..count as u32).map(candidate).collect()
}

/// Inner products of gradients that are alike the nearer the candidates stand, one of them no number.
fn products(count: usize) -> Vec<f32> {
    let product =
        |i: usize, j: usize| if (i, j) == (0, count / 2) { f32::NAN } else { 1.0 / (1 + i.abs_diff(j)) as f32 };
    (0..count).flat_map(|i| (0..count).map(move |j| product(i, j))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{self, Needs, OwnPolicy, OwnSelector, PolicySpec};

    #[test]
    fn every_policy_and_selector_of_this_version_conforms() {
        for (name, options) in [
            ("uniform", ""),
            ("denoise", "warmup = 1\nwarmup_batches = 0"),
            ("infobatch", "epochs = 4"),
            ("infobatch", "delta = 1.0\nclass_quota = 0.6\nmax_staleness = 4"),
            ("weighted", "column = 'x'"),
            ("fixed", ""),
            ("odm", ""),
            ("doremi", ""),
            ("ado", ""),
            ("importance", "candidates = 60\nthreshold = 0"),
            ("importance", "candidates = 60"),
            ("importance", "candidates = 60\nmemory = 0"),
            ("alignment", "candidates = 60"),
            ("alignment", "candidates = 60\nmethod = 'greats'"),
            ("alignment", "candidates = 60\nmethod = 'greats'\npositive = false\nrate = 0.1"),
            ("jest", "candidates = 60"),
            ("progressive_dropout", "candidates = 60"),
            ("rho_loss", "candidates = 60"),
            ("rho_loss", "candidates = 60\nscore = 'probability'"),
            ("selective_backprop", "candidates = 60"),
            ("selective_backprop", "candidates = 60\nmemory = 7"),
            ("selective_backprop", "candidates = 60\nmemory = 0"),
        ] {
            let spec = PolicySpec { name: name.into(), options: options.parse().unwrap() };
            let found = value::policy(&spec).unwrap();
            policy(found.as_ref()).unwrap();
            if let Some(selection) = found.selection() {
                selector(selection.selector.as_ref()).unwrap();
            }
        }
    }

    #[test]
    fn what_does_not_conform_is_named() {
        let wrong = |unbiased, target: fn(&value::Trajectory, u32) -> Target| {
            policy(&OwnPolicy::new("own/1", unbiased, target)).unwrap_err().to_string()
        };
        assert!(wrong(true, |_, _| Target { weight: 1.0, inclusion: 0.0 }).contains("inclusion 0"));
        assert!(wrong(true, |row, _| Target { weight: row.mean_loss() - 9.0, inclusion: 1.0 }).contains("no weight"));
        use std::sync::atomic::{AtomicU32, Ordering};
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let counts = |_: &value::Trajectory, _: u32| Target {
            weight: 1.0 + CALLS.fetch_add(1, Ordering::Relaxed) as f32,
            inclusion: 1.0,
        };
        assert!(wrong(false, counts).contains("asked again"));

        let select = |unbiased, picks: fn(&[Candidate], usize) -> Vec<Pick>| {
            let own = OwnSelector::new("own/1", Needs::default(), unbiased, move |rows, size, _| picks(rows, size));
            selector(&own).unwrap_err().to_string()
        };
        assert!(select(false, |_, _| Vec::new()).contains("picks 0"));
        assert!(select(false, |rows, _| vec![Pick::plain(rows.len())]).contains("no candidates"));
        let first = |_: &[Candidate], size: usize| (0..size).map(Pick::plain).collect();
        assert!(select(true, first).contains("unbiased"));
    }

    /// Remembers a number a report, and says that there are fewer.
    #[derive(Debug)]
    struct Forgetful;

    impl Selector for Forgetful {
        fn needs(&self) -> Needs {
            Needs::default()
        }

        fn unbiased(&self) -> bool {
            false
        }

        fn remembers(&self) -> usize {
            3
        }

        fn fold(&self, memory: &mut Vec<f64>, report: &Report) {
            memory.push(report.batch as f64);
        }

        fn select(&self, batch: &SuperBatch<'_>, _: usize, _: &mut Randomness) -> Vec<Pick> {
            vec![Pick::plain(batch.memory.len() % batch.candidates.len())]
        }
    }

    #[test]
    fn what_remembers_more_than_it_says_is_named() {
        assert!(selector(&Forgetful).unwrap_err().to_string().contains("remembers 12 numbers"));
    }
}
