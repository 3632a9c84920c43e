//! Every operator over what is made to break it: a verdict for each row, no panic, and no time beyond proportion.
//!
//! Times are those of a thread's processor, and only their growth is judged: eight times the input may take thrice as
//! much again as eight times the time, which a quadratic rule (64 times) cannot keep. What is below a tenth of a second
//! is noise and passes.

use super::{
    Cleaner,
    spec::{Datasets, specs},
};
use crate::Result;
use arrow::{
    array::{
        Array, ArrayRef, BinaryArray, Float32Array, Float64Array, Int8Array, Int64Array, LargeStringArray, ListArray,
        RecordBatch, StringArray, StringViewArray, UInt64Array,
    },
    datatypes::{DataType, Float64Type},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Every operator over texts, with what else it can look for.
const TEXT: &[&str] = &[
    "op = 'gopher_quality'",
    "op = 'gopher_repetition'",
    "op = 'gopher_quality'\nmode = 'nemo'",
    "op = 'gopher_repetition'\nmode = 'nemo'",
    "op = 'gopher_quality'\nmode = 'dolma'",
    "op = 'gopher_repetition'\nmode = 'dolma'",
    "op = 'gopher_quality'\nmode = 'datamap'",
    "op = 'gopher_repetition'\nmode = 'datamap'",
    "op = 'c4'",
    "op = 'c4'\nsplit_paragraph = false\nmin_paragraphs = 3",
    "op = 'fineweb'",
    "op = 'length'\nmin_chars = 3\nmax_words = 9\nmin_tokens = 2\nmax_bytes = 30",
    "op = 'regex'\npattern = '(a|b)+c$'",
    "op = 'regex'\npattern = '(?i)(x+x+)+y|(.*a){20}'",
    "op = 'bad_words'\nwords = ['bad', 'aaaaaaaaaaaaaaaaaaaab']",
    "op = 'url'\ndomains = ['example.com']\nbanned_words = ['casino']\nbanned_subwords = ['evil']",
    "op = 'lines'",
    "op = 'pii'\nphones = true\ncards = true\nibans = true\nsecrets = true",
    "op = 'language'\nlanguages = ['en']",
    "op = 'unicode'",
    "op = 'html'",
    "op = 'exact_duplicate'",
    "op = 'near_duplicate'",
    "op = 'near_duplicate'\ntokens = 'whitespace'",
    "op = 'near_duplicate'\ntokens = 'chars'",
    "op = 'paragraph_duplicate'",
    "op = 'decontaminate'\nsets = ['set']",
    "op = 'dsir'\ntarget = 'set'",
    "op = 'quality'\ngood = 'set'\nbad = 'set'",
    "op = 'schema'\ntype = 'integer'\ncoerce = true",
    "op = 'schema'",
    "op = 'schema'\nambiguous = true",
    "op = 'missing'",
    "op = 'missing'\nblank = true\ndisguised = true\noptional = 0.5",
    "op = 'category'",
    "op = 'outlier'",
    "op = 'outlier'\nmethod = 'iqr'",
    "op = 'unique'",
    "op = 'dependency'\ncolumns = ['text', 'key']\ndiscover = true",
];

/// Every operator over numbers.
const NUMBERS: &[&str] = &[
    "op = 'range'\nmin = -1",
    "op = 'range'\nmin = 0\nmax = 0",
    "op = 'outlier'",
    "op = 'outlier'\nmethod = 'iqr'\nthreshold = 1e-300",
    "op = 'outlier'\nmethod = 'adjusted'\nthreshold = 1e-300",
    "op = 'missing'\ntokens = ['nan', '0']\noptional = 0.3",
    "op = 'schema'",
    "op = 'category'\nrare = 0.5",
    "op = 'unique'",
    "op = 'exact_duplicate'",
];

/// Every operator over images.
const IMAGE: &[&str] = &["decodable", "image_size", "dark", "light", "blurry", "low_information", "image_duplicate"];

/// What a careless rule looks at again and again.
const PIECES: &[&str] = &[
    "a",
    " ",
    "\n",
    "a a ",
    "<",
    ">",
    "&",
    "&amp",
    "@",
    "a@a.",
    "1",
    "1.",
    ".",
    ",",
    "...",
    "'s",
    "-",
    "(",
    "[1",
    "{",
    "\"",
    "\t",
    "e\u{301}\u{302}",
    "\u{301}",
    "\u{200d}",
    "\u{a0}é",
    "漢",
    "😀",
    "Ã©",
    "â‚¬",
    "<b>",
    "<p>a",
    "<p id=related><a>a</a></p>",
    "<a href=",
    "<!--",
    "http://",
    "http://a.b/",
    "a.\n",
    "a\n\n",
    "4111 1111 ",
    "DE89 3704 ",
    "1:1:",
    "%2",
    "\u{0}",
    "\r",
    "\u{2028}",
    "--BEGIN ",
    "AKIA",
    "=?",
];

struct Set;

impl Datasets for Set {
    fn read(&self, _: &str, each: &mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        let texts =
            ["The quick brown fox jumps over the lazy dog, and then it runs back into the forest.", "aaa 1 1 1"];
        each(&texts_of(Arc::new(StringArray::from_iter_values(texts))))
    }
}

fn texts_of(column: ArrayRef) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..column.len()).map(|row| (row % 7).to_string())));
    RecordBatch::try_from_iter_with_nullable([("text", column, true), ("key", keys, false)]).expect("a batch")
}

/// Fits an operator to the rows, judges and settles them; how many rows were kept, and the evidence.
fn judged(recipe: &str, data: &RecordBatch) -> (u32, usize) {
    let column = if recipe.contains("columns =") { "" } else { "column = 'text'\n" };
    let recipe = format!("[[clean]]\n{column}{recipe}");
    let mut cleaner = Cleaner::with_datasets(&specs(&recipe), &data.schema(), &Set).expect(&recipe);
    if let Some(mut surveys) = cleaner.surveys(1) {
        let parts = cleaner.look(&surveys, 0, data, &[]).expect("a look");
        surveys.add(parts).expect("parts");
        cleaner.fit(surveys.fits().expect("fits")).expect("a fit");
    }
    let judged = cleaner.judge(data, &[]).expect("a judgement");
    let settled = cleaner.settle(0, &judged, &mut cleaner.memory());
    assert_eq!(settled.keep.rows() as usize, data.num_rows(), "every row has a fate");
    (settled.keep.count(), judged.verdicts(&settled).iter().map(|(_, evidence)| evidence.len()).sum())
}

/// What a thread has been on a processor; wall-clock time where the system does not tell.
fn now(start: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = text.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    let before = now(start);
    work();
    now(start).saturating_sub(before)
}

/// So many bytes of a text, where that is what grows.
const SMALL: usize = 24 << 10;

/// How long `op` takes over `of` a `small` number and eight times as many, if that is more than in proportion.
fn slow(op: &str, small: usize, of: impl Fn(usize) -> RecordBatch) -> Option<[Duration; 2]> {
    const TIMES: u32 = 8;
    let large_floor = Duration::from_millis(100);
    let (small, large) = (of(small), of(small * TIMES as usize));
    let cost = |data: &RecordBatch| time(|| _ = judged(op, data));
    // A neighbour on the machine may disturb one try, and not three.
    let grows = || {
        let large = cost(&large);
        large > large_floor && large > cost(&small) * TIMES * 3
    };
    (0..3).all(|_| grows()).then(|| [cost(&small), cost(&large)])
}

#[test]
fn repeats_of_anything_take_time_in_proportion() {
    let mut found = Vec::new();
    for op in TEXT {
        for piece in PIECES {
            let of =
                |bytes: usize| texts_of(Arc::new(StringArray::from_iter_values([piece.repeat(bytes / piece.len())])));
            found.extend(slow(op, SMALL, of).map(|times| format!("{op} over {piece:?}: {times:?}")));
        }
    }
    assert!(found.is_empty(), "more than linear:\n{}", found.join("\n"));
}

#[test]
fn what_pages_state_to_machines_takes_time_in_proportion() {
    let nested = |bytes: usize| {
        let body = "<div>".repeat(bytes / 5);
        format!("<body><script type='application/ld+json'>{{\"articleBody\":\"{body}\"}}</script><p>x")
    };
    let described = |bytes: usize| {
        let parts = bytes / 200;
        let descriptions: String = (0..parts)
            .map(|part| format!("<meta name=description content='description {part:05} of what nobody ever wrote'>"))
            .collect();
        let paragraphs: String = (0..parts)
            .map(|part| format!("<p>paragraph {part:05} of what somebody did write, at length</p>"))
            .collect();
        format!("<head>{descriptions}</head><body>{paragraphs}")
    };
    let shapes: [(&str, &dyn Fn(usize) -> String); 2] = [("nested", &nested), ("described", &described)];
    for (name, page) in shapes {
        let of = |bytes: usize| texts_of(Arc::new(StringArray::from_iter_values([page(bytes)])));
        let times = slow("op = 'html'", SMALL, of);
        assert!(times.is_none(), "{name}: {times:?}");
    }
}

#[test]
fn rows_of_repeats_take_time_in_proportion() {
    let mut found = Vec::new();
    for op in TEXT {
        for piece in PIECES.iter().step_by(3) {
            // Many small rows, all different and all alike at their beginnings.
            let of = |rows: usize| {
                let texts = (0..rows).map(|row| format!("{}{row}", piece.repeat(4)));
                texts_of(Arc::new(StringArray::from_iter_values(texts)))
            };
            found.extend(slow(op, 500, of).map(|times| format!("{op} over rows of {piece:?}: {times:?}")));
        }
    }
    assert!(found.is_empty(), "more than linear:\n{}", found.join("\n"));
}

#[test]
fn nulls_empties_and_no_rows_are_judged_in_every_layout() {
    let texts = [None, Some(""), Some(" "), Some("\n"), Some("\u{0}"), Some("a"), None];
    for op in TEXT {
        for column in [
            Arc::new(StringArray::from_iter(texts)) as ArrayRef,
            Arc::new(LargeStringArray::from_iter(texts)),
            Arc::new(StringViewArray::from_iter(texts)),
            Arc::new(StringArray::new_null(3)),
            Arc::new(StringArray::new_null(0)),
        ] {
            let sliced = column.slice(column.len().min(1), column.len().saturating_sub(1));
            let (whole, part) = (column.len(), sliced.len());
            assert!(judged(op, &texts_of(column)).0 as usize <= whole, "{op}");
            assert!(judged(op, &texts_of(sliced)).0 as usize <= part, "{op}");
        }
    }
}

#[test]
fn numbers_at_the_edges_of_their_types_are_judged() {
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -0.0, 0.0];
    let many = |value: f64| Float64Array::from_iter_values(std::iter::repeat_n(value, 300));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values(floats)),
        Arc::new(Float64Array::from_iter(floats.map(Some).into_iter().chain([None, None]))),
        Arc::new(Float32Array::from_iter_values([f32::NAN, f32::MAX, f32::MIN, f32::MIN_POSITIVE])),
        Arc::new(Int64Array::from_iter_values([i64::MIN, i64::MAX, 0, -1])),
        Arc::new(UInt64Array::from_iter_values([u64::MAX, 0, 1 << 63])),
        Arc::new(Int8Array::from_iter_values(i8::MIN..=i8::MAX)),
        Arc::new(Float64Array::from_iter_values((0..5_000).map(|row| if row % 2 == 0 { f64::MAX } else { f64::MIN }))),
        Arc::new(many(f64::NAN)),
        Arc::new(many(f64::MAX)),
        Arc::new(Float64Array::new_null(40)),
        Arc::new(Float64Array::new_null(0)),
    ];
    for column in columns {
        let rows = column.len();
        let data = texts_of(column);
        for op in NUMBERS {
            // No unsigned number can satisfy a range that another type can, which is refused with a word.
            if data.column(0).data_type() == &DataType::UInt64 && op.contains("-1") {
                continue;
            }
            assert!(judged(op, &data).0 as usize <= rows, "{op} over {}", data.column(0).data_type());
        }
    }
    let lists = ListArray::from_iter_primitive::<Float64Type, _, _>([
        Some(floats.map(Some).to_vec()),
        None,
        Some(Vec::new()),
        Some(vec![None; 3]),
        Some(vec![Some(f64::MAX); 100_000]),
    ]);
    let lists = texts_of(Arc::new(lists));
    assert_eq!(judged("op = 'range'\nmin = -1", &lists).0, 4, "the first element that is not a number speaks");
}

/// A PNG whose header claims `side` pixels square, of grey of one bit, and whose data are `data`, packed.
fn png(side: u32, data: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(data).expect("memory");
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
    for (kind, body) in [(b"IHDR", header), (b"IDAT", packed.finish().expect("memory")), (b"IEND", Vec::new())] {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(&body);
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(kind);
        bytes.extend(&body);
        bytes.extend(crc.sum().to_be_bytes());
    }
    bytes
}

#[test]
fn hostile_images_are_verdicts() {
    let whole = png(64, &[0x55; 64 * 9]);
    let images: Vec<Option<Vec<u8>>> = vec![
        None,
        Some(Vec::new()),
        Some(b"\x89PNG\r\n\x1a\n".to_vec()),
        Some(b"\xff\xd8\xff\xe0".to_vec()),
        Some(whole[..whole.len() / 2].to_vec()),
        Some([&whole[..40], &[0xff; 40], &whole[80..]].concat()),
        // The header is honest or not; a few bytes claim gigabytes of pixels.
        Some(png(u32::MAX, &[])),
        Some(png(2_000_000, &[0; 1 << 20])),
        Some(png(100_000, &[])),
        // Far more data than pixels: 64 MiB of zeros in 64 KiB.
        Some(png(1, &vec![0; 64 << 20])),
        Some(vec![0; 1 << 20]),
        Some("<svg>".repeat(1000).into_bytes()),
    ];
    let column: ArrayRef = Arc::new(BinaryArray::from_iter(images.iter().map(Option::as_deref)));
    let data = texts_of(column);
    assert_eq!(data.column(0).data_type(), &DataType::Binary);
    for op in IMAGE {
        let before = resident();
        let (kept, _) = judged(&format!("op = '{op}'"), &data);
        let took = resident().saturating_sub(before);
        assert!(took < 512 << 20, "{op}: {took} bytes more than before");
        if *op == "decodable" {
            assert!(kept <= 1, "at most the odd one is whole, {kept}");
        }
    }
    // Pages of bytes that are no text, however they are to be read.
    let pages: ArrayRef =
        Arc::new(BinaryArray::from_iter_values([&b"\xff\xfe\xfd"[..], b"\xff\xfe", b"\x00\xd8", &[0x80; 9999]]));
    judged("op = 'html'", &texts_of(pages));
}

/// The most memory that the process has had, in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) << 10
}
