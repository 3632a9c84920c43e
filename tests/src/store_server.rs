//! Servers of other people's that speak the protocols of object stores, as processes: found by an environment variable or
//! on the path, started on a free port, and ended with the test.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct StoreServer {
    child: Child,
    /// Where it listens, `http://127.0.0.1:port`.
    pub address: String,
}

impl StoreServer {
    /// Starts `program`, or what the environment variable `variable` names instead; `None`, said on standard error, where
    /// there is none. `arguments` are made from the port, and it is up once it has written `ready`.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    pub fn start(
        program: &str,
        variable: &str,
        folder: &Path,
        arguments: impl Fn(u16) -> Vec<OsString>,
        ready: &str,
    ) -> Option<Self> {
        let Some(program) = env::var_os(variable).map(PathBuf::from).or_else(|| on_path(program)) else {
            eprintln!("SKIPPED: no `{program}` on the path, and {variable} is not set: this store was not tested");
            return None;
        };
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut child = Command::new(program)
            .args(arguments(port))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pass_on = |stream: Box<dyn std::io::Read + Send>| {
            let sender = sender.clone();
            // Reads on after the test has heard enough, so that the server never waits.
            thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
            });
        };
        pass_on(Box::new(out));
        pass_on(Box::new(err));
        drop(sender);
        assert!(lines.iter().any(|line| line.contains(ready)), "the server ended before it was up");
        Some(Self { child, address: format!("http://127.0.0.1:{port}") })
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
