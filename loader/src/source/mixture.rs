//! Several sources as one: their plans one after another, each a domain of the mixture.
//!
//! Rows keep the order that they have in their domain; in which order and how often domains are read is not known here.

use super::{CacheCounts, Decoded, Ready, Request, Source, StoredBytes, conform::conform, schema};
use crate::{Domain, Error, Place, Plan, Result};
use arrow::datatypes::{Schema, SchemaRef};
use std::{ops::Range, sync::Arc};

/// Several sources as one.
#[derive(Debug)]
pub(super) struct Mixture {
    plan: Plan,
    sources: Vec<Arc<dyn Source>>,
}

/// The sources of `domains`, each with its name, as one source, whose plan has the blocks of the first domain, then those
/// of the second, and so on.
///
/// # Errors
/// [`Error::Data`] where the columns of two domains do not agree, with the domain and the column; [`Error::Recipe`]
/// where all domains together have more than 2³² − 1 blocks or shards.
pub fn mixture(domains: Vec<(String, Arc<dyn Source>)>) -> Result<Arc<dyn Source>> {
    let names: Vec<&str> = domains.iter().map(|(name, _)| name.as_str()).collect();
    let schemas: Vec<SchemaRef> = domains.iter().map(|(_, source)| Arc::clone(&source.plan().schema)).collect();
    // The shards of a dataset and the domains of a mixture agree by the same rules.
    let fields = schema::agree(&names, &schemas, None).map_err(of_domain)?;
    let mut plan = Plan {
        url: names.join(" + "),
        schema: Arc::new(Schema::new(fields)),
        shards: Vec::new(),
        blocks: Vec::new(),
        domains: Vec::new(),
    };
    let mut sources = Vec::with_capacity(domains.len());
    for (name, source) in domains {
        let of = source.plan();
        let (first_shard, first) = (plan.shards.len(), plan.blocks.len());
        plan.shards.extend(of.shards.iter().cloned());
        plan.blocks.extend(of.blocks.iter().cloned());
        let too_many = |_| Error::recipe("all domains together have more than 4,294,967,295 blocks or shards");
        let blocks: Range<u32> =
            u32::try_from(first).map_err(too_many)?..u32::try_from(plan.blocks.len()).map_err(too_many)?;
        u32::try_from(plan.shards.len()).map_err(too_many)?;
        plan.blocks[first..].iter_mut().for_each(|block| block.shard += first_shard as u32);
        plan.domains.push(Domain { name, blocks });
        sources.push(source);
    }
    Ok(Arc::new(Mixture { plan, sources }))
}

/// What was said of a shard is meant of a domain.
fn of_domain(fault: Error) -> Error {
    match fault {
        Error::Data { place: Place { shard, column, .. }, what } => {
            let what = what.replace("shards of a dataset", "domains of a mixture").replace("the shard", "the domain");
            Error::Data { place: Place { dataset: shard, column, ..Place::default() }, what }
        }
        other => other,
    }
}

impl Mixture {
    /// Whether views of its domain are those of the plan: of another type they would have to be written out.
    fn has_views(&self, block: u32) -> bool {
        let source = self.sources.get(self.plan.domain_of(block));
        source.is_some_and(|source| source.plan().schema.fields() == self.plan.schema.fields())
    }
}

impl Source for Mixture {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn read(&self, request: Request<'_>) -> Result<Decoded> {
        let decoded = self.of_domain(request, |source, request| source.read(request))?;
        if decoded.data.schema_ref() == &self.plan.schema {
            return Ok(decoded);
        }
        // Nothing is written out anew beyond what the block may take at all: its domain has decoded it.
        let data = conform(&decoded.data, &self.plan.schema, u64::MAX)
            .map_err(|failure| failure.at(self.plan.place(request.block)))?;
        Ok(Decoded { data, ..decoded })
    }

    fn read_views(&self, request: Request<'_>) -> Result<Decoded> {
        if self.has_views(request.block) {
            return self.of_domain(request, |source, request| source.read_views(request));
        }
        self.read(request)
    }

    fn working_bytes_of_views(&self, block: u32) -> u64 {
        match self.source_of(block) {
            Some((source, own)) if self.has_views(block) => source.working_bytes_of_views(own),
            _ => self.plan.working_bytes(block),
        }
    }

    fn may_keep(&self, bytes: u64) {
        // Each keeps memory of its own.
        let each = bytes / self.sources.len().max(1) as u64;
        self.sources.iter().for_each(|source| source.may_keep(each));
    }

    fn held_bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.held_bytes()).fold(0, u64::saturating_add)
    }

    fn fetch(&self, block: u32, ready: Ready) {
        if let Some((source, block)) = self.source_of(block) {
            source.fetch(block, ready);
        }
    }

    fn fetched_bytes(&self, block: u32) -> u64 {
        self.source_of(block).map_or(0, |(source, block)| source.fetched_bytes(block))
    }

    fn expect(&self, blocks: &mut dyn Iterator<Item = u32>) {
        let mut of_domain = vec![Vec::new(); self.sources.len()];
        for block in blocks {
            let index = self.plan.domain_of(block);
            if let (Some(domain), Some(expected)) = (self.plan.domains.get(index), of_domain.get_mut(index)) {
                expected.push(block - domain.blocks.start);
            }
        }
        for (source, expected) in self.sources.iter().zip(of_domain) {
            if !expected.is_empty() {
                source.expect(&mut expected.into_iter());
            }
        }
    }

    fn in_order(&self) -> Vec<Range<u32>> {
        let domains = self.plan.domains.iter().zip(&self.sources);
        let ranges = domains.flat_map(|(domain, source)| {
            let first = domain.blocks.start;
            source.in_order().into_iter().map(move |range| range.start + first..range.end + first)
        });
        ranges.collect()
    }

    fn cache_counts(&self) -> Option<CacheCounts> {
        // Domains share a cache, which counts for all of them.
        self.sources.iter().find_map(|source| source.cache_counts())
    }

    fn stored_rows(&self, block: u32, rows: &[u32], most: usize) -> Vec<Option<StoredBytes>> {
        let index = self.plan.domain_of(block);
        match (self.plan.domains.get(index), self.sources.get(index)) {
            (Some(domain), Some(source)) => source.stored_rows(block - domain.blocks.start, rows, most),
            _ => vec![None; rows.len()],
        }
    }
}

impl Mixture {
    /// The source that `block` is of, and its number there.
    fn source_of(&self, block: u32) -> Option<(&dyn Source, u32)> {
        let index = self.plan.domain_of(block);
        let (domain, source) = (self.plan.domains.get(index)?, self.sources.get(index)?);
        Some((source.as_ref(), block - domain.blocks.start))
    }

    /// What `read` gives of the block, asked of its domain's source; faults are placed in the whole plan.
    fn of_domain(
        &self,
        request: Request<'_>,
        read: impl FnOnce(&dyn Source, Request<'_>) -> Result<Decoded>,
    ) -> Result<Decoded> {
        let index = self.plan.domain_of(request.block);
        let (Some(domain), Some(source)) = (self.plan.domains.get(index), self.sources.get(index)) else {
            return Err(Error::recipe(format!(
                "the plan has {} blocks, and block {} is asked for",
                self.plan.blocks.len(),
                request.block
            )));
        };
        let place = |place: Place| Place {
            dataset: Some(domain.name.clone()),
            block: place.block.map(|block| block.saturating_add(domain.blocks.start)),
            ..place
        };
        let inner = Request { block: request.block - domain.blocks.start, ..request };
        read(source.as_ref(), inner).map_err(|fault| match fault {
            Error::Data { place: inner, what } => Error::Data { place: place(inner), what },
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Options, open};
    use std::path::Path;

    fn csv(folder: &Path, name: &str, text: &str) -> (String, Arc<dyn Source>) {
        let path = folder.join(format!("{name}.csv"));
        std::fs::write(&path, text).unwrap();
        (name.to_owned(), open(&Options::new(path.display().to_string())).unwrap())
    }

    #[test]
    fn domains_follow_one_another_and_their_columns_are_brought_into_one_order() {
        let folder = tempfile::tempdir().unwrap();
        let web = csv(folder.path(), "web", "id,text\n1,a\n2,b\n");
        let code = csv(folder.path(), "code", "text,id\nc,3\n");
        let both = mixture(vec![web, code]).unwrap();
        let plan = both.plan();
        assert_eq!((plan.rows(), plan.blocks.len(), plan.shards.len()), (3, 2, 2));
        assert_eq!((plan.domain_of(0), plan.domain_of(1)), (0, 1));
        for (block, ids) in [(0, vec![Some(1), Some(2)]), (1, vec![Some(3)])] {
            let data = both.read(super::super::sample::all(block)).unwrap().data;
            assert_eq!(data.schema_ref(), &plan.schema);
            assert_eq!(super::super::sample::integers(&data, "id"), ids);
        }
        assert!(both.read(super::super::sample::all(2)).unwrap_err().is_usage());
        assert_eq!(plan.place(1).dataset.as_deref(), Some("code"));
    }

    #[test]
    fn names_and_order_of_domains_are_part_of_the_identity() {
        let folder = tempfile::tempdir().unwrap();
        let web = csv(folder.path(), "web", "id\n1\n");
        let code = csv(folder.path(), "code", "id\n2\n");
        let hash = |domains: &[(&str, &Arc<dyn Source>)]| {
            let domains = domains.iter().map(|(name, source)| ((*name).to_owned(), Arc::clone(source))).collect();
            mixture(domains).unwrap().plan().hash()
        };
        let hashes = [
            hash(&[("web", &web.1), ("code", &code.1)]),
            hash(&[("code", &code.1), ("web", &web.1)]),
            hash(&[("web", &web.1), ("text", &code.1)]),
            hash(&[("web", &web.1)]),
            web.1.plan().hash(),
        ];
        assert_eq!(std::collections::BTreeSet::from(hashes).len(), hashes.len());
    }

    #[test]
    fn columns_that_do_not_agree_are_refused_with_domain_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let web = csv(folder.path(), "web", "id,text\n1,a\n");
        let code = csv(folder.path(), "code", "id,text\n1,a\n");
        let path = folder.path().join("odd.jsonl");
        std::fs::write(&path, "{\"id\":1,\"text\":[1]}\n").unwrap();
        let odd = ("odd".to_owned(), open(&Options::new(path.display().to_string())).unwrap());
        let error = mixture(vec![web, code, odd]).unwrap_err();
        let Error::Data { place, .. } = &error else { panic!("{error}") };
        assert_eq!((place.dataset.as_deref(), place.shard.as_deref()), (Some("odd"), None));
        assert_eq!(place.column.as_deref(), Some("text"));
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_domain_and_its_block_in_the_whole_plan() {
        let folder = tempfile::tempdir().unwrap();
        let web = csv(folder.path(), "web", "id\n1\n");
        let code = csv(folder.path(), "code", "id\n2\n");
        let both = mixture(vec![web, code]).unwrap();
        std::fs::write(folder.path().join("code.csv"), "id\n3\n").unwrap();
        let error = both.read(super::super::sample::all(1)).unwrap_err().to_string();
        assert!(error.contains("dataset `code`") && error.contains("block 1"), "{error}");
    }
}
