//! Compressed text, unpacked: into the cache, where it is read at random, or in order, where there is none.
//!
//! What is unpacked is bounded by the cache's limit and never held in memory, and a stream that wants a larger window than
//! there is memory for is refused before the window is made. Knows no format, and no store but by what it opens.

use super::files::Opened;
use crate::{Error, Place, Result};
use std::io::{self, BufReader, Read};

/// What is read of a compressed file at once.
const STEP: usize = 1 << 18;

/// How a shard is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    /// RFC 1952, of one or more members.
    Gzip,
    /// RFC 8878, of one or more frames.
    Zstd,
}

impl Compression {
    /// The compression of a file, from the ending of its name, and the name without it.
    pub(super) fn of_name(name: &str) -> Option<(&str, Self)> {
        let (stem, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "gz" => Some((stem, Self::Gzip)),
            "zst" => Some((stem, Self::Zstd)),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A compressed shard that is being unpacked.
pub(super) struct Unpacking {
    stream: Box<dyn Stream>,
    compression: Compression,
    path: String,
    /// How many bytes were unpacked.
    at: u64,
}

impl std::fmt::Debug for Unpacking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacking").field("path", &self.path).field("at", &self.at).finish_non_exhaustive()
    }
}

/// A decoder, and what became of the file under it.
trait Stream: Read + Send {
    fn failed(&mut self) -> Option<Error>;
}

impl Stream for flate2::bufread::MultiGzDecoder<BufReader<Compressed>> {
    fn failed(&mut self) -> Option<Error> {
        self.get_mut().get_mut().failed.take()
    }
}

impl Stream for zstd::Decoder<'static, BufReader<Compressed>> {
    fn failed(&mut self) -> Option<Error> {
        self.get_mut().get_mut().failed.take()
    }
}

/// The compressed file. Its errors are kept, since decoders know only those of `std::io`.
struct Compressed {
    file: Opened,
    failed: Option<Error>,
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_some(buffer).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            io::Error::other(text)
        })
    }
}

impl Unpacking {
    /// Begins to unpack `file`, which is at `path`. A window of a zstd stream may take `window` bytes.
    pub(super) fn begin(file: Opened, path: &str, compression: Compression, window: u64) -> Result<Self> {
        let compressed = BufReader::with_capacity(STEP, Compressed { file, failed: None });
        let stream: Box<dyn Stream> = match compression {
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(compressed).map_err(Error::io("read", path))?;
                decoder.window_log_max(window.max(1).ilog2().clamp(10, 27)).map_err(Error::io("read", path))?;
                Box::new(decoder)
            }
        };
        Ok(Self { stream, compression, path: path.to_owned(), at: 0 })
    }

    /// Reads on, as [`Read::read`].
    pub(super) fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.stream.read(buffer).map_err(|error| {
            let what = format!(
                "its {} stream is damaged, or wants more memory than there is, after {} bytes of text: {error}; restore \
                 it, or give the stream more memory",
                self.compression.name(),
                self.at
            );
            self.stream.failed().unwrap_or_else(|| Error::data(Place::shard(&self.path), what))
        })?;
        self.at += read as u64;
        Ok(read)
    }

    /// How many bytes were unpacked.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Unpacks up to byte `start`, and the `length` bytes after it. Nothing before [`at`](Self::at) can be had.
    pub(super) fn read(&mut self, start: u64, length: u64) -> Result<Vec<u8>> {
        let mut skipped = vec![0; STEP];
        while self.at < start {
            let step = skipped.len().min(usize::try_from(start - self.at).unwrap_or(usize::MAX));
            if self.read_some(&mut skipped[..step])? == 0 {
                return Err(self.short(start + length));
            }
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            // As much as comes, not as much as is claimed.
            let held = bytes.len();
            let left = usize::try_from(length - held as u64).unwrap_or(usize::MAX);
            bytes.resize(held + left.min(STEP), 0);
            let read = self.read_some(&mut bytes[held..])?;
            bytes.truncate(held + read);
            if read == 0 {
                return Err(self.short(start + length));
            }
        }
        Ok(bytes)
    }

    fn short(&self, wanted: u64) -> Error {
        let what = format!(
            "it unpacks to {} bytes, and the plan has {wanted}: it changed since; restore it, or open the dataset again",
            self.at
        );
        Error::data(Place::shard(&self.path), what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn unpack(name: &str, bytes: &[u8], window: u64) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, bytes).unwrap();
        let (_, compression) = Compression::of_name(name).unwrap();
        let mut unpacking = Unpacking::begin(Opened::open(&path)?, &path, compression, window)?;
        let (mut text, mut buffer) = (Vec::new(), vec![0; 1000]);
        loop {
            match unpacking.read_some(&mut buffer)? {
                0 => return Ok(text),
                read => text.extend_from_slice(&buffer[..read]),
            }
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> Vec<u8> {
        (0..20_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect()
    }

    #[test]
    fn several_members_and_frames_are_one_text() {
        let text = text();
        let (head, tail) = text.split_at(77_777);
        assert_eq!(unpack("a.gz", &[gzip(head), gzip(tail)].concat(), 1 << 20).unwrap(), text);
        let frames = [zstd::encode_all(head, 3).unwrap(), zstd::encode_all(tail, 19).unwrap()].concat();
        assert_eq!(unpack("a.ZST", &frames, 1 << 23).unwrap(), text);
    }

    #[test]
    fn every_cut_and_every_flip_is_an_error_with_its_place_or_the_same_text() {
        let text = text();
        for (name, whole) in [("a.gz", gzip(&text)), ("a.zst", zstd::encode_all(&text[..], 3).unwrap())] {
            for cut in [0, 1, 5, whole.len() / 2, whole.len() - 1] {
                match unpack(name, &whole[..cut], 1 << 23) {
                    Err(Error::Data { place, .. }) => assert!(place.shard.unwrap().ends_with(name)),
                    Ok(unpacked) => assert!(cut == 0 && unpacked.is_empty(), "{name} cut at {cut}"),
                    Err(other) => panic!("{other}"),
                }
            }
            let mut flipped = whole.clone();
            flipped[whole.len() / 2] ^= 8;
            // zstd's checksum is optional: what is not found here is found by the block's hash.
            if name == "a.gz" {
                assert!(matches!(unpack(name, &flipped, 1 << 23), Err(Error::Data { .. })));
            }
        }
    }

    #[test]
    fn a_window_beyond_the_memory_is_refused() {
        let text = text();
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(24).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&text).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(unpack("a.zst", &packed, 1 << 27).is_ok());
        let error = unpack("a.zst", &packed, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn a_block_is_read_on_the_way_and_what_lies_before_it_skipped() {
        let (folder, text) = (tempfile::tempdir().unwrap(), text());
        let path = folder.path().join("a.gz").display().to_string();
        std::fs::write(&path, gzip(&text)).unwrap();
        let mut unpacking = Unpacking::begin(Opened::open(&path).unwrap(), &path, Compression::Gzip, 0).unwrap();
        assert_eq!(unpacking.read(1000, 50).unwrap(), text[1000..1050]);
        assert_eq!(unpacking.at(), 1050);
        assert_eq!(unpacking.read(100_000, 7).unwrap(), text[100_000..100_007]);
        assert!(unpacking.read(text.len() as u64 - 1, 2).is_err());
    }
}
