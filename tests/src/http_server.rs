//! A web server on loopback that serves a folder, with ranges and ETags, and fails as it is told to. Asked as Google's or
//! Azure's store is, it lists a bucket as they do: the folders right below its own are the buckets.

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The path below the folder.
    pub path: String,
    /// What stands behind a `?`.
    pub query: String,
    /// The bytes, where a range was asked for.
    pub range: Option<Range<u64>>,
    /// How often the same was asked for before.
    pub before: usize,
    if_match: Option<String>,
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As it should be.
    Right,
    /// With this status and no object.
    Status(u16),
    /// With the first half of what was announced; then the connection is closed.
    Half,
    /// Not at all: the connection is reset.
    Reset,
    /// With bytes one further than those asked for, and a header that says so.
    WrongRange,
    /// With the whole object, as a server does that knows no ranges.
    Whole,
    /// With the head of an answer, and nothing more until the client gives up.
    Stall,
}

/// Method, path and range of a request.
type What = (String, String, Option<(u64, u64)>);
type Plan = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

struct State {
    folder: PathBuf,
    plan: Mutex<Plan>,
    asked: Mutex<Vec<Asked>>,
    times: Mutex<BTreeMap<What, usize>>,
    tags: AtomicBool,
    ended: AtomicBool,
}

/// The server. Dropped, it stops to listen.
pub struct HttpServer {
    address: SocketAddr,
    state: Arc<State>,
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HttpServer {
    /// Serves `folder` on a free port.
    ///
    /// # Panics
    ///
    /// Where no port is to be had.
    #[must_use]
    pub fn serve(folder: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            folder: folder.to_owned(),
            plan: Mutex::new(Box::new(|_| Answer::Right)),
            asked: Mutex::default(),
            times: Mutex::default(),
            tags: AtomicBool::new(true),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let state = Arc::clone(&shared);
                // A client that goes away ends its connection; that is no fault of the server's.
                thread::spawn(move || stream.and_then(|stream| state.converse(stream)));
            }
        });
        Self { address, state }
    }

    /// The URL of `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// From now on, answers as `plan` says.
    pub fn answer(&self, plan: impl Fn(&Asked) -> Answer + Send + Sync + 'static) {
        *self.state.plan.lock().unwrap() = Box::new(plan);
    }

    /// Whether answers name an ETag; a date is always there.
    pub fn tags(&self, tags: bool) {
        self.state.tags.store(tags, Ordering::Relaxed);
    }

    /// What was asked for since the last call of this.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state.asked.lock().unwrap())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    /// Answers one request after the other.
    fn converse(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            // A request is looked at before it is taken: a connection that is closed on unread bytes is reset.
            let Some(head) = peek_head(&stream)? else { return Ok(()) };
            let asked = self.note(&head);
            let answer = self.plan.lock().unwrap()(&asked);
            if answer == Answer::Reset {
                return Ok(());
            }
            stream.read_exact(&mut vec![0; head.len()])?;
            if !self.respond(&mut stream, &asked, answer)? {
                return Ok(());
            }
        }
    }

    fn note(&self, head: &str) -> Asked {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().trim_start_matches('/');
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path);
        let headers: BTreeMap<String, &str> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let range = headers.get("range").and_then(|range| {
            let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some(start.parse::<u64>().ok()?..end.parse::<u64>().ok()? + 1)
        });
        let if_match = headers.get("if-match").map(|tag| (*tag).to_owned());
        let what = (method.clone(), path.clone(), range.as_ref().map(|range| (range.start, range.end)));
        let mut times = self.times.lock().unwrap();
        let before = *times.entry(what).and_modify(|times| *times += 1).or_insert(0);
        let asked = Asked { method, path, query: query.to_owned(), range, before, if_match };
        self.asked.lock().unwrap().push(asked.clone());
        asked
    }

    /// Whether the connection goes on.
    fn respond(&self, stream: &mut TcpStream, asked: &Asked, answer: Answer) -> std::io::Result<bool> {
        let status = |stream: &mut TcpStream, status: u16| {
            write!(stream, "HTTP/1.1 {status} so\r\ncontent-length: 0\r\n\r\n").map(|()| true)
        };
        if let Answer::Status(code) = answer {
            return status(stream, code);
        }
        if !["GET", "HEAD"].contains(&asked.method.as_str()) {
            return status(stream, 405);
        }
        if let Some(list) = self.list(asked) {
            write!(stream, "HTTP/1.1 200 so\r\ncontent-length: {}\r\n\r\n{list}", list.len())?;
            return Ok(true);
        }
        let Ok(object) = std::fs::read(self.folder.join(&asked.path)) else { return status(stream, 404) };
        let (tag, hour) = version(&object);
        let tags = self.tags.load(Ordering::Relaxed);
        if tags && asked.if_match.as_ref().is_some_and(|wanted| *wanted != tag) {
            return status(stream, 412);
        }
        let mut head = format!("last-modified: Tue, 24 Nov 2026 {hour} GMT\r\n");
        if tags {
            head += &format!("etag: {tag}\r\n");
        }
        let size = object.len() as u64;
        let range = asked.range.clone().filter(|_| answer != Answer::Whole);
        let (code, body) = match range {
            None => (200, &object[..]),
            Some(range) if range.start >= size => return status(stream, 416),
            Some(range) => {
                let further = u64::from(answer == Answer::WrongRange);
                let (start, end) = ((range.start + further).min(size - 1), (range.end + further).min(size));
                head += &format!("content-range: bytes {start}-{}/{size}\r\n", end - 1);
                (206, &object[start as usize..end as usize])
            }
        };
        write!(stream, "HTTP/1.1 {code} so\r\ncontent-length: {}\r\n{head}\r\n", body.len())?;
        match answer {
            _ if asked.method == "HEAD" => return Ok(true),
            Answer::Half => {
                stream.write_all(&body[..body.len() / 2])?;
                return Ok(false);
            }
            Answer::Stall => {
                // Ends when the client closes its side.
                let _closed = stream.read(&mut [0])?;
                return Ok(false);
            }
            _ => stream.write_all(body)?,
        }
        Ok(true)
    }
}

impl State {
    /// A bucket's objects, as Google's or Azure's store lists them; `None` where no list is asked for.
    fn list(&self, asked: &Asked) -> Option<String> {
        let parameters: BTreeMap<&str, String> = asked
            .query
            .split('&')
            .filter_map(|parameter| parameter.split_once('='))
            .map(|(key, value)| (key, decoded(value)))
            .collect();
        let is = |key: &str, value: &str| parameters.get(key).is_some_and(|found| found == value);
        let azure = is("comp", "list");
        if !azure && !is("list-type", "2") {
            return None;
        }
        let bucket = self.folder.join(asked.path.trim_end_matches('/'));
        let prefix = parameters.get("prefix").cloned().unwrap_or_default();
        let (mut folders, mut keys) = (vec![bucket.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).ok()? {
                let path = entry.ok()?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    keys.push(path.strip_prefix(&bucket).ok()?.to_str()?.to_owned());
                }
            }
        }
        keys.retain(|key| key.starts_with(&prefix));
        keys.sort();
        let mut list = String::new();
        for key in keys {
            let object = std::fs::read(bucket.join(&key)).ok()?;
            let ((tag, hour), size) = (version(&object), object.len());
            let tag = tag.replace('"', "&quot;");
            list += &if azure {
                format!(
                    "<Blob><Name>{key}</Name><Properties><Last-Modified>Tue, 24 Nov 2026 {hour} GMT</Last-Modified>\
                     <Etag>{tag}</Etag><Content-Length>{size}</Content-Length><Content-Type>a/b</Content-Type>\
                     </Properties></Blob>"
                )
            } else {
                format!(
                    "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-11-24T{hour}Z</LastModified>\
                     <ETag>{tag}</ETag></Contents>"
                )
            };
        }
        Some(if azure {
            format!("<EnumerationResults><Blobs>{list}</Blobs></EnumerationResults>")
        } else {
            format!("<ListBucketResult>{list}</ListBucketResult>")
        })
    }
}

/// `text` without percent-escapes.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, more @ ..] = rest {
        let escape = more.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match escape.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An object's ETag, and the hour of its date: a function of the content, so that a change shows whatever the clock's grain.
fn version(object: &[u8]) -> (String, String) {
    let hash = blake3::hash(object);
    let second = u32::from_le_bytes(*hash.as_bytes().first_chunk().unwrap()) % 86_400;
    let hour = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    (format!("\"{}\"", &hash.to_hex()[..16]), hour)
}

/// The head of the next request, still unread; `None` where the client has closed.
fn peek_head(stream: &TcpStream) -> std::io::Result<Option<String>> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = stream.peek(&mut buffer)?;
        if read == 0 {
            return Ok(None);
        }
        let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
        if let Some(end) = head.find("\r\n\r\n") {
            return Ok(Some(head[..end + 4].to_owned()));
        }
        thread::yield_now();
    }
}
