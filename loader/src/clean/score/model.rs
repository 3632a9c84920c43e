//! A linear model over hashed n-grams of words that tells good texts from bad ones.
//!
//! It is fastText's text classifier (Joulin et al. 2017, "Bag of tricks for efficient text classification") with two
//! classes and no hidden layer: logistic regression. A text's features are its different words and pairs of words, each
//! of weight 1/√n for n of them. It is trained by AdaGrad (Duchi et al. 2011), one example after the other in an order
//! that follows from the examples alone, so that equal examples give an equal model, bit for bit.

use super::ngrams::each_ngram;
use crate::{Error, Hash, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const MAGIC: &[u8; 8] = b"ARBLQLT1";

/// The fewest and the most buckets, as powers of two.
pub(super) const BITS: std::ops::RangeInclusive<u32> = 8..=24;

const RATE: f64 = 0.5;

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityModel {
    bias: f32,
    /// By bucket; a power of two of them.
    weights: Vec<f32>,
}

/// An example as it is trained on: its buckets, each once, and its class.
#[derive(Clone, Debug)]
pub(super) struct Example {
    buckets: Vec<u32>,
    good: bool,
    key: u64,
}

impl Example {
    /// The longest text that is looked at, in n-grams: what a training set takes in memory is four bytes for each.
    const LONGEST: usize = 1 << 14;

    pub(super) fn new(text: &str, good: bool, bits: u32) -> Self {
        let mut buckets = Vec::new();
        each_ngram(text, &mut String::new(), |hash| {
            if buckets.len() < Self::LONGEST {
                buckets.push(bucket(hash, bits));
            }
        });
        buckets.sort_unstable();
        buckets.dedup();
        Self { buckets, good, key: xxh3_64_with_seed(text.as_bytes(), u64::from(good)) }
    }
}

/// The upper bits, which another use of the hash's lower ones leaves alone.
const fn bucket(hash: u64, bits: u32) -> u32 {
    (hash >> (64 - bits)) as u32
}

impl QualityModel {
    /// The model that tells `good` texts from `bad` ones after `epochs` passes, with 2^`bits` buckets (8 to 24).
    ///
    /// Both classes count alike, however many examples each has.
    ///
    /// # Errors
    ///
    /// [`Error::Recipe`] where a class has no example, or `bits` lies outside.
    pub fn train<'a>(
        good: impl IntoIterator<Item = &'a str>,
        bad: impl IntoIterator<Item = &'a str>,
        bits: u32,
        epochs: u32,
    ) -> Result<Self> {
        if !BITS.contains(&bits) {
            return Err(Error::recipe(format!("2^{bits} buckets: must be from 2^8 to 2^24")));
        }
        let good = good.into_iter().map(|text| Example::new(text, true, bits));
        let bad = bad.into_iter().map(|text| Example::new(text, false, bits));
        Self::fit(good.chain(bad).collect(), bits, epochs)
    }

    pub(super) fn fit(mut examples: Vec<Example>, bits: u32, epochs: u32) -> Result<Self> {
        let good = examples.iter().filter(|example| example.good).count() as f64;
        let bad = examples.len() as f64 - good;
        if good == 0.0 || bad == 0.0 {
            return Err(Error::recipe("a model of quality needs examples of good and of bad texts"));
        }
        let share = |class: f64| (good + bad) / (2.0 * class);
        let (of_good, of_bad) = (share(good), share(bad));
        let buckets = 1_usize << bits;
        let mut weights = vec![0.0_f64; buckets];
        let mut squares = vec![0.0_f64; buckets];
        let (mut bias, mut bias_square) = (0.0_f64, 0.0_f64);
        for epoch in 0..epochs {
            examples.sort_by_key(|example| xxh3_64_with_seed(&example.key.to_le_bytes(), u64::from(epoch)));
            for Example { buckets, good, .. } in &examples {
                let scale = 1.0 / (buckets.len().max(1) as f64).sqrt();
                let sum: f64 = buckets.iter().map(|&bucket| weights[bucket as usize]).sum();
                let (label, weight) = if *good { (1.0, of_good) } else { (0.0, of_bad) };
                let gradient = weight * (logistic(bias + scale * sum) - label);
                let of_feature = gradient * scale;
                for &bucket in buckets {
                    let bucket = bucket as usize;
                    squares[bucket] += of_feature * of_feature;
                    weights[bucket] -= RATE * of_feature / squares[bucket].sqrt().max(1e-12);
                }
                bias_square += gradient * gradient;
                bias -= RATE * gradient / bias_square.sqrt().max(1e-12);
            }
        }
        Ok(Self { bias: bias as f32, weights: weights.into_iter().map(|weight| weight as f32).collect() })
    }

    /// How likely `text` is good, from 0 to 1.
    #[must_use]
    pub fn score(&self, text: &str) -> f64 {
        self.score_with(text, &mut Vec::new(), &mut String::new())
    }

    /// The same, with room that is kept between texts.
    pub(super) fn score_with(&self, text: &str, buckets: &mut Vec<u32>, word: &mut String) -> f64 {
        let bits = self.weights.len().trailing_zeros();
        buckets.clear();
        each_ngram(text, word, |hash| buckets.push(bucket(hash, bits)));
        buckets.sort_unstable();
        buckets.dedup();
        let scale = 1.0 / (buckets.len().max(1) as f64).sqrt();
        let sum: f64 = buckets.iter().map(|&bucket| f64::from(self.weights[bucket as usize])).sum();
        logistic(f64::from(self.bias) + scale * sum)
    }

    /// The model as bytes: the magic `ARBLQLT1`, the bits of a bucket (u8), the bias (f32) and a weight for each bucket
    /// (f32), little-endian, and the BLAKE3 of all that.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + 1 + 4 * (1 + self.weights.len()) + 32);
        bytes.extend_from_slice(MAGIC);
        bytes.push(self.weights.len().trailing_zeros() as u8);
        bytes.extend_from_slice(&self.bias.to_le_bytes());
        for weight in &self.weights {
            bytes.extend_from_slice(&weight.to_le_bytes());
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    /// The model that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::State`] where `bytes` are not exactly that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::parse(bytes).ok_or_else(|| Error::State("not a model of quality, or a damaged one".to_owned()))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_last_chunk::<32>()?;
        let rest = content.strip_prefix(MAGIC)?;
        let (&bits, rest) = rest.split_first()?;
        let (numbers, rest) = rest.as_chunks::<4>();
        let fits = BITS.contains(&u32::from(bits)) && numbers.len() == 1 + (1 << bits) && rest.is_empty();
        if !fits || blake3::hash(content).as_bytes() != hash {
            return None;
        }
        let mut numbers = numbers.iter().map(|&number| f32::from_le_bytes(number));
        let model = Self { bias: numbers.next()?, weights: numbers.collect() };
        (model.bias.is_finite() && model.weights.iter().all(|weight| weight.is_finite())).then_some(model)
    }

    /// The hash of the model's bytes.
    pub(super) fn hash(&self) -> Hash {
        Hash::of(&self.to_bytes())
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}
