//! `quality`: how likely a text is one of the good ones, told by a [`QualityModel`] that is trained from examples or
//! loaded from a file.

use super::{
    super::{
        Findings, Operator, Rows, Rule,
        spec::{Built, Column, Settings},
    },
    each_text,
    model::{BITS, Example, QualityModel},
    score_name, text_column,
};
use crate::Result;
use serde::Deserialize;
use std::path::PathBuf;

pub(in crate::clean) const NAME: &str = "quality";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    good: Option<String>,
    bad: Option<String>,
    examples_column: Option<String>,
    model: Option<PathBuf>,
    save: Option<PathBuf>,
    bits: Option<u32>,
    epochs: Option<u32>,
    threshold: Option<f64>,
    score: Option<String>,
}

#[derive(Debug)]
struct Quality {
    column: Column,
    score: String,
    model: QualityModel,
    threshold: Option<f64>,
}

pub(in crate::clean) fn build(mut settings: Settings<'_>) -> Result<Built, String> {
    let mut options: Options = settings.read()?;
    let column = text_column(&mut settings)?;
    let score = score_name(options.score.take(), NAME)?;
    let threshold = options.threshold;
    if let Some(threshold) = threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
        return Err(format!("`threshold` = {threshold}: must be at least 0 and at most 1"));
    }
    let model = model(&settings, options, &column)?;
    Ok(Built::Pure(Box::new(Quality { column, score, model, threshold })))
}

fn model(settings: &Settings<'_>, options: Options, column: &Column) -> Result<QualityModel, String> {
    let (bits, epochs) = (options.bits.unwrap_or(18), options.epochs.unwrap_or(5));
    if !BITS.contains(&bits) {
        return Err(format!("`bits` = {bits}: must be at least {} and at most {}", BITS.start(), BITS.end()));
    }
    if !(1..=100).contains(&epochs) {
        return Err(format!("`epochs` = {epochs}: must be at least 1 and at most 100"));
    }
    let (good, bad) = match (options.model, options.good, options.bad) {
        (Some(path), None, None) => {
            let bytes = std::fs::read(&path).map_err(|error| format!("`model` = {}: {error}", path.display()))?;
            let model = QualityModel::from_bytes(&bytes);
            return model.map_err(|error| format!("`model` = {}: {error}", path.display()));
        }
        (None, Some(good), Some(bad)) => (good, bad),
        _ => return Err("say where examples are, `good` and `bad`, or name a `model` that was saved".to_owned()),
    };
    let name = options.examples_column.as_deref().unwrap_or(&column.name);
    let mut examples = Vec::new();
    each_text(settings, &good, name, &mut |text| examples.push(Example::new(text, true, bits)))?;
    each_text(settings, &bad, name, &mut |text| examples.push(Example::new(text, false, bits)))?;
    let model = QualityModel::fit(examples, bits, epochs).map_err(|error| error.to_string())?;
    if let Some(path) = options.save {
        std::fs::write(&path, model.to_bytes()).map_err(|error| format!("`save` = {}: {error}", path.display()))?;
    }
    Ok(model)
}

impl Operator for Quality {
    fn name(&self) -> &str {
        NAME
    }

    fn version(&self) -> u32 {
        1
    }

    fn options(&self) -> String {
        let Self { column, score, model, threshold } = self;
        format!("column = {:?}, score = {score:?}, threshold = {threshold:?}, model = {}", column.name, model.hash())
    }

    fn rules(&self) -> Vec<Rule> {
        vec![Rule::at_least(format!("low_quality:{}", self.column.name))]
    }

    fn scores(&self) -> Vec<String> {
        vec![self.score.clone()]
    }

    fn judge(&self, rows: &Rows<'_>, findings: &mut Findings) -> Result<()> {
        let texts = rows.texts(self.column.index)?;
        let (mut buckets, mut word) = (Vec::new(), String::new());
        for row in rows.iter() {
            let Some(text) = texts.get(row) else { continue };
            let score = self.model.score_with(text, &mut buckets, &mut word);
            findings.score(row, 0, score as f32);
            if let Some(threshold) = self.threshold {
                findings.hold(score < threshold, row, 0, score, threshold);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
