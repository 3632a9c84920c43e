//! The command line as a real process.

use std::{
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a process came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// The last line of standard output, as JSON.
    ///
    /// # Panics
    ///
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.out.lines().last().unwrap_or_default())
            .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The command, ready to be given arguments.
#[must_use]
pub fn arable_command(program: &str) -> Command {
    let mut command = Command::new(PathBuf::from(program));
    command.stdin(Stdio::null());
    command
}

/// Runs the program with `arguments` to its end.
///
/// # Panics
///
/// Where it cannot be started.
pub fn arable<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Ran {
    let output = arable_command(program).args(arguments).current_dir(Path::new("/")).output().unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with `arguments` to its end, within `most_kib` KiB of address space where the system limits it, and for a minute at most: both are
/// far beyond what any run here needs, so that only one that is out of hand meets them.
///
/// # Panics
///
/// Where it cannot be started.
pub fn bounded(program: &str, arguments: &[&str], most_kib: u64) -> Ran {
    const MOST: Duration = Duration::from_secs(60);
    let limited = format!("ulimit -v {most_kib} 2>/dev/null; exec \"$0\" \"$@\"");
    let mut command = arable_command("sh");
    command.args(["-c", &limited, program]).args(arguments).current_dir("/");
    // The allocator of Linux sets space aside for each thread of a machine with many cores.
    command.env("MALLOC_ARENA_MAX", "2");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Both are read while it runs, so that it never waits for a full pipe.
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let start = Instant::now();
    let (status, out, err) = thread::scope(|scope| {
        let read = |from: &mut dyn Read| {
            let mut text = Vec::new();
            from.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        };
        let out = scope.spawn(move || read(&mut out));
        let err = scope.spawn(move || read(&mut err));
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status.code().unwrap_or(-1),
                None if start.elapsed() > MOST => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break -2;
                }
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        (status, out.join().unwrap(), err.join().unwrap())
    });
    Ran { status, out, err }
}
