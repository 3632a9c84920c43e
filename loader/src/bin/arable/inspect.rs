//! `arable inspect`: a look at a dataset before anything is made of it.

use super::{
    Output,
    look::{self, Look},
};
use arable_loader::{
    Error, Place, Result,
    report::{
        Align, ColumnProfile, Table,
        numbers::{bytes, count},
        one_line, sample_rows,
    },
    source,
};
use clap::Args;

#[derive(Args)]
pub(crate) struct Inspect {
    /// Path, folder, glob or URL; several name several datasets.
    #[arg(required = true)]
    url: Vec<String>,
    /// The files' format, where their ending does not say it: parquet, arrow, jsonl, csv or tsv.
    #[arg(long)]
    format: Option<String>,
    /// Rows to show.
    #[arg(long, default_value_t = 5)]
    rows: usize,
    /// Rows to profile, from blocks spread over the dataset.
    #[arg(long, default_value_t = 100_000)]
    profile: u64,
    /// The folder that keeps unpacked text and what is read of remote objects, or "off"; as `[stream] cache`.
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
    /// Read everything and write `_arable_manifest.json` with the content hash of every block beside the data.
    #[arg(long)]
    write_manifest: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<()> {
        let mut texts = Vec::new();
        let mut results = Vec::new();
        // What was found is worth seeing, and the exit status has to say that the data are at fault.
        let mut fault = None;
        for url in &self.url {
            let (text, json, bad_blocks) = self.look(url)?;
            texts.push(text);
            results.push(json);
            if let Some(what) = bad_blocks {
                let place = Place { dataset: Some(url.clone()), ..Place::default() };
                fault = Some(Error::data(place, what));
            }
        }
        let json = if results.len() == 1 { results.remove(0) } else { serde_json::Value::Array(results) };
        let json = if json.is_array() { serde_json::json!({ "datasets": json }) } else { json };
        self.output.print(&texts.join("\n"), &json)?;
        match fault {
            Some(fault) => Err(fault),
            None => Ok(()),
        }
    }

    fn look(&self, url: &str) -> Result<(String, serde_json::Value, Option<String>)> {
        let options = look::options(url, self.format.as_deref(), self.cache.as_deref())?;
        let manifest = if self.write_manifest { Some(source::write_manifest(&options)?) } else { None };
        let Look { source, profile, rows: profiled, bad_rows, bad, faults, first: shown } =
            Look::at(&options, self.profile, self.output.progress())?;
        let plan = source.plan();
        let columns = profile.columns();
        let decoded: u64 = plan.blocks.iter().map(|block| block.decoded_bytes).sum();
        let in_order: u32 = source.in_order().iter().map(|range| range.end - range.start).sum();
        let json = serde_json::json!({
            "url": url,
            "plan": plan.hash(),
            "shards": plan.shards.len(),
            "blocks": plan.blocks.len(),
            "rows": plan.rows(),
            "bytes": plan.bytes(),
            "decoded_bytes": decoded,
            "schema": plan.schema.fields().iter().map(|field| serde_json::json!({
                "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable(),
            })).collect::<Vec<_>>(),
            "profiled_rows": profiled,
            "bad_rows": bad_rows,
            "first_bad_rows": bad,
            "bad_blocks": faults,
            "columns": columns,
            "in_order_blocks": in_order,
            "cache": source.cache_counts().map(|cache| serde_json::json!({
                "hits": cache.hits, "misses": cache.misses, "hit_bytes": cache.hit_bytes,
            })),
            "manifest": manifest.as_ref().map(|manifest| manifest.path.clone()),
        });
        let mut text = format!(
            "{url}\n{} rows in {} blocks of {} shards, {} as stored, about {} decoded\nplan {}\n\n",
            count(plan.rows()),
            count(plan.blocks.len() as u64),
            count(plan.shards.len() as u64),
            bytes(plan.bytes()),
            bytes(decoded),
            plan.hash()
        );
        let mut table = Table::new([
            ("shard", Align::Left),
            ("rows", Align::Right),
            ("blocks", Align::Right),
            ("size", Align::Right),
        ]);
        const SHOWN: usize = 10;
        for (index, shard) in plan.shards.iter().enumerate().take(SHOWN) {
            let blocks = plan.blocks.iter().filter(|block| block.shard as usize == index);
            let (blocks, rows) =
                blocks.fold((0, 0), |(blocks, rows), block| (blocks + 1, rows + u64::from(block.rows)));
            table.row([shard.name.clone(), count(rows), count(blocks), bytes(shard.bytes)]);
        }
        text += &table.to_string();
        if plan.shards.len() > SHOWN {
            text += &format!("… and {} more\n", count((plan.shards.len() - SHOWN) as u64));
        }
        text += &format!("\nprofile of {} rows\n{}", count(profiled), ColumnProfile::table(&columns));
        if in_order > 0 {
            text += &format!(
                "{} blocks are of compressed text without a cache: each shard is read in order, and a run that goes on \
                 within one unpacks the way to its place again\n",
                count(in_order.into())
            );
        }
        if let Some(cache) = source.cache_counts() {
            let (hits, misses) = (count(cache.hits), count(cache.misses));
            text += &format!("cache: {hits} hits ({}), {misses} misses\n", bytes(cache.hit_bytes));
        }
        if bad_rows > 0 {
            text += &format!("{} rows could not be read\n", count(bad_rows));
        }
        for row in &bad {
            text += &format!("bad row: {}\n", one_line(row, 300));
        }
        for fault in &faults {
            text += &format!("bad block: {fault}\n");
        }
        if let Some(data) = shown {
            text += &format!("\n{}", sample_rows(&data, self.rows, 40));
        }
        if let Some(manifest) = manifest {
            text += &format!("\nwrote {}\n", manifest.path.display());
        }
        let bad_blocks =
            (!faults.is_empty()).then(|| format!("{} of {} blocks could not be read", faults.len(), plan.blocks.len()));
        Ok((text, json, bad_blocks))
    }
}
