//! The command line as a real process.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
