//! Whose turn it is: an order of domains in which each has its share of every beginning, within one row.
//!
//! Shares are whole numbers of 2⁻³², so that nothing is rounded however long a run is. It knows nothing of rows.

/// The sum of all parts: a share is its part of this.
pub const WHOLE: u64 = 1 << 32;

/// `shares` as parts of [`WHOLE`], which they add up to whatever they added up to before: by largest remainder
/// (Hamilton's method), the first of equal ones before the later ones, and at least one part each.
///
/// `None` where there is no share, one is not above 0 and finite, or one is too small beside the others to have a part.
#[must_use]
pub fn parts(shares: &[f64]) -> Option<Vec<u64>> {
    let sum: f64 = shares.iter().sum();
    if shares.is_empty() || !sum.is_finite() || shares.iter().any(|share| share.is_nan() || *share <= 0.0) {
        return None;
    }
    let ideal: Vec<f64> = shares.iter().map(|share| share / sum * WHOLE as f64).collect();
    let mut parts: Vec<u64> = ideal.iter().map(|ideal| libm::floor(*ideal) as u64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| (ideal[b] - libm::floor(ideal[b])).total_cmp(&(ideal[a] - libm::floor(ideal[a]))));
    // Rounding of `ideal` itself can make the floors add up to a little too much or too little.
    let given: u64 = parts.iter().sum();
    let (missing, excess) = (WHOLE.saturating_sub(given), given.saturating_sub(WHOLE));
    order.iter().cycle().take(usize::try_from(missing).ok()?).for_each(|&index| parts[index] += 1);
    let largest = parts.iter().enumerate().max_by_key(|(_, part)| **part)?.0;
    parts[largest] = parts[largest].checked_sub(excess)?;
    parts.iter().all(|part| *part > 0).then_some(parts)
}

/// Deals turns to domains.
///
/// The turns of a domain with share s are those of a periodic task of rate s on one processor: its n-th turn comes when
/// it is owed at all and before it is owed a whole row more than it got; among those that are owed one, the one whose
/// time is up first has it (earliest deadline first, which is optimal: Baruah, Cohen, Plaxton and Varvel 1996,
/// "Proportionate progress"). So after any number of turns each domain has had its share of them within one row. Where
/// shares are changed on the way, what a domain is owed until then is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    domains: Vec<Owed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owed {
    /// Its share, in parts of [`WHOLE`].
    part: u64,
    /// What it is owed, in parts of a row; what it got in advance is below 0.
    lag: i64,
}

impl Owed {
    /// After how many more turns it is owed a whole row: then its own has to have come.
    const fn deadline(&self) -> u64 {
        let missing = (WHOLE as i64).saturating_sub(self.lag);
        (if missing < 0 { 0 } else { missing as u64 }).div_ceil(self.part)
    }
}

impl Turns {
    /// From the `parts` of each domain (of [`parts`]) and what it is owed by now, in parts of a row: 0 each at the start.
    #[must_use]
    pub fn new(domains: impl IntoIterator<Item = (u64, i64)>) -> Self {
        let owed = |(part, lag): (u64, i64)| Owed { part: part.clamp(1, WHOLE), lag };
        Self { domains: domains.into_iter().map(owed).collect() }
    }

    /// What each domain is owed, in parts of a row.
    pub fn lags(&self) -> impl Iterator<Item = i64> + '_ {
        self.domains.iter().map(|owed| owed.lag)
    }

    /// Deals turns as long as the domain whose turn it is has something left of `rests`: how many each had, and who came
    /// to find nothing. `None` in its place where there is no domain.
    pub fn deal(&mut self, rests: &[u64]) -> (Vec<u64>, Option<usize>) {
        if let ([Owed { part: WHOLE, lag: 0.. }], [rest, ..]) = (&self.domains[..], rests) {
            // Whoever is alone has every turn, and is owed afterwards what it was before.
            return (vec![*rest], Some(0));
        }
        let mut counts = vec![0; self.domains.len()];
        // Counted from here on, so that the deadline of a domain that has no turn stays as it is.
        let mut turns: u64 = 0;
        let mut deadlines: Vec<u64> = self.domains.iter().map(Owed::deadline).collect();
        loop {
            let owed = self.domains.iter().zip(&deadlines).enumerate();
            let due = owed.filter(|(_, (owed, _))| owed.lag + owed.part as i64 > 0);
            let Some((next, _)) = due.min_by_key(|(_, (_, deadline))| **deadline) else { return (counts, None) };
            if rests.get(next).is_none_or(|rest| counts[next] >= *rest) {
                return (counts, Some(next));
            }
            turns += 1;
            counts[next] += 1;
            self.domains.iter_mut().for_each(|owed| owed.lag += owed.part as i64);
            self.domains[next].lag -= WHOLE as i64;
            deadlines[next] = turns + self.domains[next].deadline();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares() -> impl Strategy<Value = Vec<f64>> {
        let share = prop_oneof![4 => 0.01_f64..10.0, 1 => 1e-4_f64..1e-2, 1 => Just(1.0)];
        prop::collection::vec(share, 2..9)
    }

    fn fresh(parts: &[u64]) -> Turns {
        Turns::new(parts.iter().map(|part| (*part, 0)))
    }

    proptest! {
        #[test]
        fn parts_add_up_and_are_the_shares(shares in shares()) {
            let parts = parts(&shares).unwrap();
            let sum: f64 = shares.iter().sum();
            prop_assert_eq!(parts.iter().sum::<u64>(), WHOLE);
            for (part, share) in parts.iter().zip(&shares) {
                prop_assert!((*part as f64 - share / sum * WHOLE as f64).abs() <= 1.0);
            }
            let doubled: Vec<f64> = shares.iter().map(|share| share * 2.0).collect();
            prop_assert_eq!(super::parts(&doubled).unwrap(), parts);
        }

        #[test]
        fn every_beginning_has_each_share_within_one_row(shares in shares(), rows in prop::collection::vec(0_u64..400, 9)) {
            let parts = parts(&shares).unwrap();
            let mut turns = fresh(&parts);
            let mut had = vec![0_u64; parts.len()];
            // Windows of several sizes, each ended by whoever comes to find nothing.
            for rest in rows {
                let rests = vec![rest; parts.len()];
                let (counts, stopped) = turns.deal(&rests);
                prop_assert_eq!(counts[stopped.unwrap()], rest);
                prop_assert!(counts.iter().all(|count| *count <= rest));
                had.iter_mut().zip(&counts).for_each(|(had, count)| *had += count);
                let total: u64 = had.iter().sum();
                for (had, part) in had.iter().zip(&parts) {
                    let ideal = total as f64 * *part as f64 / WHOLE as f64;
                    prop_assert!((*had as f64 - ideal).abs() < 1.0 + 1e-6, "{} of {}, {}", had, total, ideal);
                }
                prop_assert_eq!(turns.lags().sum::<i64>(), 0);
            }
        }

        #[test]
        fn where_a_stop_is_changes_no_turn(shares in shares(), rests in prop::collection::vec(0_u64..60, 9)) {
            let parts = parts(&shares).unwrap();
            let rests = &rests[..parts.len()];
            let (whole, stopped) = fresh(&parts).deal(rests);
            // The same rows in two helpings.
            let mut turns = fresh(&parts);
            let half: Vec<u64> = rests.iter().map(|rest| rest / 2).collect();
            let (first, _) = turns.deal(&half);
            let left: Vec<u64> = rests.iter().zip(&first).map(|(rest, had)| rest - had).collect();
            let lags: Vec<i64> = turns.lags().collect();
            let mut turns = Turns::new(parts.iter().copied().zip(lags));
            let (second, stopped_again) = turns.deal(&left);
            let both: Vec<u64> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
            prop_assert_eq!(both, whole);
            prop_assert_eq!(stopped_again, stopped);
        }

        #[test]
        fn shares_that_change_on_the_way_are_made_up(steps in prop::collection::vec(prop::collection::vec(0.01_f64..5.0, 4), 1..20)) {
            let mut lags = vec![0_i64; 4];
            let mut ideal = [0.0_f64; 4];
            let mut had = [0_u64; 4];
            for shares in steps {
                let parts = parts(&shares).unwrap();
                let mut turns = Turns::new(parts.iter().copied().zip(lags.iter().copied()));
                let (counts, _) = turns.deal(&[50; 4]);
                lags = turns.lags().collect();
                let total: u64 = counts.iter().sum();
                for domain in 0..4 {
                    ideal[domain] += total as f64 * parts[domain] as f64 / WHOLE as f64;
                    had[domain] += counts[domain];
                    prop_assert!((had[domain] as f64 - ideal[domain]).abs() < 2.0);
                }
            }
        }
    }

    #[test]
    fn one_domain_has_every_turn() {
        let parts = parts(&[0.3]).unwrap();
        assert_eq!(fresh(&parts).deal(&[7]), (vec![7], Some(0)));
        assert_eq!(fresh(&parts).deal(&[0]), (vec![0], Some(0)));
        assert_eq!(fresh(&[]).deal(&[]), (vec![], None));
    }

    #[test]
    fn a_quarter_is_every_fourth_row() {
        let mut turns = fresh(&parts(&[3.0, 1.0]).unwrap());
        assert_eq!(turns.deal(&[75, 1000]), (vec![75, 25], Some(0)));
        assert!(turns.lags().all(|lag| lag == 0));
    }

    #[test]
    fn what_is_no_share_has_no_part() {
        for shares in [&[][..], &[0.0, 1.0], &[-1.0, 2.0], &[f64::NAN], &[f64::INFINITY, 1.0], &[1e-12, 1.0]] {
            assert_eq!(parts(shares), None, "{shares:?}");
        }
    }
}
