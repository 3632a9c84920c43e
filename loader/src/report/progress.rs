//! How far something is: bars on a terminal, now and then a line elsewhere, nothing where quiet was asked for.
//!
//! Everything goes to standard error. One style of bar for the whole project stands here and nowhere else.

use super::{
    numbers::{byte_rate, bytes, count, duration, percent, rate},
    text::one_line,
};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle};
use std::{
    env, fmt,
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long there is silence between two lines, where there are no bars.
const SILENCE: Duration = Duration::from_secs(2);

/// The longest message beside a bar, in characters.
const LONGEST_MESSAGE: usize = 240;

/// Whether progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// As bars where standard error is a terminal, as lines elsewhere.
    #[default]
    Auto,
    /// Not at all.
    Quiet,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things of this name, in the plural: "rows".
    Things(&'static str),
    /// Bytes, shown in powers of 1024.
    Bytes,
}

impl From<&'static str> for Unit {
    fn from(name: &'static str) -> Self {
        Self::Things(name)
    }
}

impl Unit {
    /// "12,345 of 60,000 rows (20.6 %)", or "12,345 rows" where the total is unknown.
    fn amount(self, done: u64, total: Option<u64>) -> String {
        match (self, total) {
            (Self::Things(name), Some(total)) => {
                format!("{} of {} {name} ({})", count(done), count(total), percent(done, total))
            }
            (Self::Things(name), None) => format!("{} {name}", count(done)),
            (Self::Bytes, Some(total)) => format!("{} of {} ({})", bytes(done), bytes(total), percent(done, total)),
            (Self::Bytes, None) => bytes(done),
        }
    }

    fn rate(self, per_second: f64) -> String {
        match self {
            Self::Things(name) => rate(per_second, name),
            Self::Bytes => byte_rate(per_second),
        }
    }
}

/// Where bars stand: several of them, one below the other.
///
/// Clones stand in the same place.
#[derive(Clone, Debug)]
pub struct Bars(Place);

#[derive(Clone)]
enum Place {
    Nowhere,
    Terminal(MultiProgress),
    Lines(Arc<Mutex<Lines>>),
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Terminal(_) => "Terminal",
            Self::Lines(_) => "Lines",
        })
    }
}

/// Lines for a log. All bars of a place share its silence.
struct Lines {
    out: Box<dyn Write + Send>,
    last: Instant,
}

impl Lines {
    fn write(&mut self, line: &str, now: Instant) {
        self.last = now;
        // Progress that cannot be shown is no reason to stop.
        let _ = writeln!(self.out, "{line}");
    }
}

impl Bars {
    /// A place for bars on standard error.
    #[must_use]
    pub fn new(mode: ProgressMode) -> Self {
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        match mode {
            ProgressMode::Quiet => Self(Place::Nowhere),
            ProgressMode::Auto if io::stderr().is_terminal() && !is_dumb => Self::on(ProgressDrawTarget::stderr()),
            ProgressMode::Auto => Self::to(io::stderr()),
        }
    }

    /// A place for bars on a terminal of one's own.
    #[must_use]
    pub fn on(target: ProgressDrawTarget) -> Self {
        Self(Place::Terminal(MultiProgress::with_draw_target(target)))
    }

    /// A place for lines, such as a log: as where standard error is no terminal.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self::into_lines(Box::new(out), Instant::now())
    }

    fn into_lines(out: Box<dyn Write + Send>, now: Instant) -> Self {
        Self(Place::Lines(Arc::new(Mutex::new(Lines { out, last: now }))))
    }

    /// One more bar, below the others: what is done, how many there will be where that is known, and what is counted.
    pub fn add(&self, label: impl Into<String>, total: Option<u64>, unit: impl Into<Unit>) -> Progress {
        let (label, unit) = (label.into(), unit.into());
        let bar = match &self.0 {
            Place::Terminal(bars) => {
                let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
                    .with_style(style(total, unit))
                    .with_prefix(one_line(&label, LONGEST_MESSAGE))
                    .with_finish(ProgressFinish::Abandon);
                Some(bars.add(bar))
            }
            Place::Nowhere | Place::Lines(_) => None,
        };
        Progress {
            place: self.clone(),
            bar,
            label,
            total,
            unit,
            started: Instant::now(),
            done: AtomicU64::new(0),
            message: Mutex::new(String::new()),
            is_finished: AtomicBool::new(false),
        }
    }

    /// A line of its own, above the bars: a warning that is not to be lost among them. Shown even where progress is
    /// not.
    pub fn note(&self, line: &str) {
        match &self.0 {
            Place::Nowhere => {
                let _ = writeln!(io::stderr(), "{line}");
            }
            Place::Terminal(bars) if bars.is_hidden() => {
                let _ = writeln!(io::stderr(), "{line}");
            }
            Place::Terminal(bars) => {
                let _ = bars.println(line);
            }
            Place::Lines(lines) => {
                let mut lines = lock(lines);
                let last = lines.last;
                lines.write(line, last);
            }
        }
    }
}

/// How far one thing is. Shared by reference between threads.
#[derive(Debug)]
pub struct Progress {
    place: Bars,
    bar: Option<ProgressBar>,
    label: String,
    total: Option<u64>,
    unit: Unit,
    started: Instant,
    done: AtomicU64,
    message: Mutex<String>,
    is_finished: AtomicBool,
}

impl Progress {
    /// A bar that stands alone.
    #[must_use]
    pub fn new(mode: ProgressMode, label: impl Into<String>, total: Option<u64>, unit: impl Into<Unit>) -> Self {
        Bars::new(mode).add(label, total, unit)
    }

    /// `more` are done.
    pub fn advance(&self, more: u64) {
        self.done.fetch_add(more, Relaxed);
        match &self.place.0 {
            Place::Nowhere => {}
            Place::Terminal(_) => self.bar.iter().for_each(|bar| bar.inc(more)),
            Place::Lines(lines) => self.line_if_due(lines, Instant::now()),
        }
    }

    /// What stands beside the bar from now on, in place of what stood there.
    pub fn message(&self, message: impl AsRef<str>) {
        if matches!(self.place.0, Place::Nowhere) {
            return;
        }
        let message = one_line(message.as_ref(), LONGEST_MESSAGE);
        if let Some(bar) = &self.bar {
            bar.set_message(if message.is_empty() { message } else { format!("· {message}") });
        } else {
            *lock(&self.message) = message;
        }
    }

    /// All is done. The bar stays, with what it took; lines end with one that says so. Said again, it says nothing.
    pub fn finish(&self) {
        if self.is_finished.swap(true, Relaxed) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
        if let Place::Lines(lines) = &self.place.0 {
            let now = Instant::now();
            lock(lines).write(&self.last_line(now), now);
        }
    }

    fn line_if_due(&self, lines: &Mutex<Lines>, now: Instant) {
        let mut lines = lock(lines);
        if now.saturating_duration_since(lines.last) >= SILENCE {
            lines.write(&self.line(now), now);
        }
    }

    fn line(&self, now: Instant) -> String {
        let done = self.done.load(Relaxed);
        let per_second = done as f64 / now.saturating_duration_since(self.started).as_secs_f64();
        let message = lock(&self.message);
        let separator = if message.is_empty() { "" } else { ", " };
        let amount = self.unit.amount(done, self.total);
        format!("{}: {amount}, {}{separator}{message}", self.label, self.unit.rate(per_second))
    }

    fn last_line(&self, now: Instant) -> String {
        let done = self.done.load(Relaxed);
        let time = now.saturating_duration_since(self.started);
        let message = lock(&self.message);
        let separator = if message.is_empty() { "" } else { ", " };
        // The total says something only where it was not reached.
        let amount = self.unit.amount(done, self.total.filter(|&total| total != done));
        let rate = self.unit.rate(done as f64 / time.as_secs_f64());
        format!("{}: {amount} in {}, {rate}{separator}{message}", self.label, duration(time))
    }
}

/// A thread that panicked while it held what is only shown has spoilt nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one style of bar.
fn style(total: Option<u64>, unit: Unit) -> ProgressStyle {
    let template = match total {
        Some(_) => "{prefix} {bar:24.green/dim} {amount} · {rate} · {left} {msg}",
        None => "{prefix} {spinner:.green} {amount} · {rate} · {time} {msg}",
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
        .with_key("amount", move |state: &ProgressState, w: &mut dyn fmt::Write| {
            let _ = w.write_str(&unit.amount(state.pos(), total));
        })
        .with_key("rate", move |state: &ProgressState, w: &mut dyn fmt::Write| {
            let _ = w.write_str(&unit.rate(state.per_sec()));
        })
        .with_key("left", |state: &ProgressState, w: &mut dyn fmt::Write| {
            let _ = match state.is_finished() {
                true => write!(w, "{}", duration(state.elapsed())),
                false if state.eta().is_zero() => Ok(()),
                false => write!(w, "{} left", duration(state.eta())),
            };
        })
        .with_key("time", |state: &ProgressState, w: &mut dyn fmt::Write| {
            let _ = w.write_str(&duration(state.elapsed()));
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;

    /// What was written, shared with the test.
    #[derive(Clone, Debug, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl TermLike for Page {
        fn width(&self) -> u16 {
            160
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, line: &str) -> io::Result<()> {
            writeln!(self.clone(), "{line}")
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            write!(self.clone(), "{text}")
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn in_lines() -> (Page, Bars) {
        let page = Page::default();
        (page.clone(), Bars::to(page))
    }

    /// As `advance`, at a moment of the test's choosing.
    fn advance_at(progress: &Progress, more: u64, now: Instant) {
        progress.done.fetch_add(more, Relaxed);
        if let Place::Lines(lines) = &progress.place.0 {
            progress.line_if_due(lines, now);
        }
    }

    #[test]
    fn lines_come_every_two_seconds_however_many_bars_there_are() {
        let (page, bars) = in_lines();
        let mut read = bars.add("reading", Some(60_000), "rows");
        let mut hash = bars.add("hashing", None, Unit::Bytes);
        let start = read.started;
        hash.started = start;
        read.started = start;
        for millisecond in 0..=5000 {
            let now = start + Duration::from_millis(millisecond);
            advance_at(&read, 6, now);
            advance_at(&hash, 1 << 20, now);
        }
        let text = page.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("reading: 12,006 of 60,000 rows (20.0 %), 6.00 k rows/s"), "{text}");
        assert!(lines[1].starts_with("reading: 24,0"), "{text}");
    }

    #[test]
    fn a_short_thing_says_only_that_it_is_done() {
        let (page, bars) = in_lines();
        let mut progress = bars.add("reading", Some(100), "rows");
        progress.advance(60);
        progress.message("two\nlines");
        assert_eq!(page.text(), "");
        progress.finish();
        progress.finish();
        assert!(page.text().starts_with("reading: 60 of 100 rows (60.0 %) in "), "{}", page.text());
        assert!(page.text().ends_with("rows/s, two\\nlines\n") && page.text().lines().count() == 1);

        progress.done = AtomicU64::new(100);
        let line = progress.last_line(progress.started + Duration::from_secs(4));
        assert_eq!(line, "reading: 100 rows in 4.00 s, 25.0 rows/s, two\\nlines");
        assert_eq!(Unit::Bytes.amount(3 << 20, Some(4 << 20)), "3.00 MiB of 4.00 MiB (75.0 %)");
    }

    #[test]
    fn a_note_stands_on_a_line_of_its_own() {
        let (page, bars) = in_lines();
        bars.note("warning: no feedback");
        assert_eq!(page.text(), "warning: no feedback\n");
    }

    #[test]
    fn quiet_is_quiet_and_still_counts() {
        let progress = Progress::new(ProgressMode::Quiet, "reading", Some(3), "rows");
        progress.advance(2);
        progress.message("x");
        progress.finish();
        assert!(matches!(progress.place.0, Place::Nowhere) && progress.bar.is_none());
        assert_eq!(progress.done.load(Relaxed), 2);
    }

    #[test]
    fn several_bars_stand_below_one_another() {
        let page = Page::default();
        let bars = Bars::on(ProgressDrawTarget::term_like(Box::new(page.clone())));
        let read = bars.add("reading", Some(10), "rows");
        let open = bars.add("hashing", None, Unit::Bytes);
        read.advance(4);
        open.advance(2048);
        open.message("a.csv");
        read.finish();
        open.finish();
        let text = page.text();
        for part in ["reading ", "4 of 10 rows (40.0 %)", "hashing ", "2.00 KiB", "· a.csv"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn threads_share_a_bar() {
        let (_, bars) = in_lines();
        let progress = bars.add("reading", None, "rows");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| progress.advance(1)));
            }
        });
        assert_eq!(progress.done.load(Relaxed), 4000);
    }
}
