//! What a stream says of each domain of its mixture.

use super::{Batch, Stream, shared::lock};
use crate::{Position, ledger::Account, sample};

/// What became of the rows of one domain.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DomainAccount {
    /// Its name.
    pub name: String,
    /// The share that is in force, 0 to 1: the recipe's beside the sum of all, unless a policy has moved it.
    pub share: f64,
    /// Its rows, each counted once, at its first pass.
    #[serde(rename = "rows")]
    pub account: Account,
    /// Rows of it that this handle was given, presentations counted.
    pub trained: u64,
}

impl Stream {
    /// The same counts for each domain of a mixture, in the recipe's order; empty where there is but one dataset.
    #[must_use]
    pub fn domains(&self) -> Vec<DomainAccount> {
        let visits = lock(&self.shared.visits);
        let standings = self.mark.as_ref().map(|mark| &mark.opening.standings);
        let plan = self.plan();
        let mut accounts: Vec<DomainAccount> = plan
            .domains
            .iter()
            .enumerate()
            .map(|(index, domain)| {
                let in_force = standings.and_then(|standings| standings.get(index)).map(|standing| standing.part);
                let part = in_force.or_else(|| self.shared.settings.parts.get(index).copied()).unwrap_or_default();
                DomainAccount {
                    name: domain.name.clone(),
                    share: part as f64 / sample::WHOLE as f64,
                    account: Account::default(),
                    trained: self.by_domain.get(index).copied().unwrap_or_default(),
                }
            })
            .collect();
        for visit in visits.prefix(self.visited(&visits)) {
            if let Some(domain) = accounts.get_mut(plan.domain_of(visit.block)) {
                domain.account += &visit.account;
            }
        }
        for position in &self.spoilt {
            if let Some(domain) = accounts.get_mut(plan.domain_of(position.block)) {
                domain.account.set_aside(1);
            }
        }
        accounts
    }

    /// Counts the presentations of a batch by domain: those that begin in it, where rows are packed into several.
    pub(super) fn count_domains(&mut self, batch: &Batch) {
        let plan = self.shared.work.source.plan();
        if plan.domains.is_empty() {
            return;
        }
        self.by_domain.resize(plan.domains.len(), 0);
        let mut count = |position: &Position| {
            if let Some(sum) = self.by_domain.get_mut(plan.domain_of(position.block)) {
                *sum += 1;
            }
        };
        match &batch.spans {
            None => batch.positions.iter().for_each(count),
            Some(spans) => {
                let begun = batch.positions.iter().zip(spans.iter()).filter(|(_, span)| span.from == 0);
                begun.for_each(|(position, _)| count(position));
            }
        }
    }
}
