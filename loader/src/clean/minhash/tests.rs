use super::{MinHash, permutations::PRIME};
use crate::clean::shingles::{ShingleHash, Shingler, Tokens};
use proptest::prelude::*;

/// The signature of a text with datatrove's defaults.
fn signature(minhash: &MinHash, hash: ShingleHash, text: &str) -> (Vec<u64>, Vec<u64>) {
    let mut hashes = Vec::new();
    Shingler::new(Tokens::Words, 5, hash).for_each(text, |_, hash| hashes.push(hash));
    let mut signature = minhash.empty();
    minhash.add(&mut signature, &hashes);
    (hashes, signature)
}

#[test]
fn shingles_and_signature_are_datatroves() {
    let text = "The quick brown fox jumps over the lazy dog. It was 12.5 degrees on Monday in Z\u{fc}rich!";
    let (hashes, signature) = signature(&MinHash::new(1, 14, 8), ShingleHash::Xxh64, text);
    assert_eq!(hashes.len(), 13);
    assert_eq!(hashes[0], 7_797_000_677_988_824_208);
    assert_eq!(
        signature[..8],
        [
            85_330_943_174_081_874,
            175_021_855_724_751_277,
            302_227_827_184_868_053,
            34_440_879_854_629_237,
            117_354_482_006_515_297,
            43_550_438_846_664_003,
            228_810_239_478_729_124,
            204_404_170_303_891_102,
        ]
    );
}

/// What spaCy's English rules cut where no white space is: special cases of letters, units behind digits.
#[test]
fn tokens_are_words_and_not_runs() {
    let shingles = |tokens, text| {
        let mut all = Vec::new();
        Shingler::new(tokens, 2, ShingleHash::Xxh64).for_each(text, |shingle, _| all.push(shingle.to_owned()));
        all
    };
    assert_eq!(shingles(Tokens::Words, "I CANNOT run 12.5km"), ["i can", "can not", "not run", "run 0", "0 km"]);
    assert_eq!(shingles(Tokens::Words, "The id \u{20ac}5"), ["the i", "i d", "d \u{20ac}", "\u{20ac} 0"]);
    assert_eq!(shingles(Tokens::Whitespace, "I CANNOT run 12.5km"), ["i cannot", "cannot run", "run 0km"]);
}

proptest! {
    #[test]
    fn every_minimum_is_that_of_its_function_however_the_hashes_come(
        hashes in prop::collection::vec(any::<u64>(), 1..40),
        cut in any::<prop::sample::Index>(),
        bands in 1..20_usize,
    ) {
        let minhash = MinHash::new(7, bands, 3);
        let (mut whole, mut parts) = (minhash.empty(), minhash.empty());
        minhash.add(&mut whole, &hashes);
        let (one, other) = hashes.split_at(cut.index(hashes.len()));
        minhash.add(&mut parts, other);
        minhash.add(&mut parts, one);
        prop_assert_eq!(&whole, &parts);
        for (at, &minimum) in whole.iter().enumerate() {
            let (a, b) = (minhash.permutations.a[at], minhash.permutations.b[at]);
            let plain = hashes.iter().map(|hash| hash.wrapping_mul(a).wrapping_add(b) % PRIME).min();
            prop_assert_eq!(Some(minimum), plain);
        }
        prop_assert_eq!(minhash.bands(&whole).count(), bands);
    }
}
