//! A page's bytes as text: in the charset of its byte order mark, or that it names in its head, or UTF-8 where it is
//! that, or Windows-1252. What does not fit becomes U+FFFD.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use regex::bytes::Regex;
use std::{borrow::Cow, sync::LazyLock};

/// How far into a page its charset may be named; HTML says 1024 bytes, writers are later.
const HEAD: usize = 4096;

static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i-u)<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([a-z0-9_:-]+)"#).ok()
});

/// The text of `page`.
pub(super) fn decode(page: &[u8]) -> Cow<'_, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(page) {
        return encoding.decode_without_bom_handling(&page[mark..]).0;
    }
    // Most pages are UTF-8, whatever they say.
    if let Ok(text) = std::str::from_utf8(page) {
        return Cow::Borrowed(text);
    }
    let head = &page[..page.len().min(HEAD)];
    let named = NAMED.as_ref().and_then(|named| named.captures(head)).and_then(|found| found.get(1));
    match named.and_then(|name| Encoding::for_label(name.as_bytes())) {
        // It is nearly UTF-8, or says so wrongly: a few wrong bytes among right ones, or all of them.
        Some(encoding) if encoding != UTF_8 => encoding.decode_without_bom_handling(page).0,
        Some(_) => UTF_8.decode_without_bom_handling(page).0,
        None => WINDOWS_1252.decode_without_bom_handling(page).0,
    }
}
