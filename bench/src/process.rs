//! Child processes, each registered by its pid from start to end, so that none outlives the
//! harness.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Time after which a process that does not stop is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Time between two checks of a condition.
const POLL: Duration = Duration::from_millis(10);

/// Pids of the children that run now.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn running<T>(change: impl FnOnce(&mut Vec<Pid>) -> T) -> T {
    change(&mut RUNNING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Installs a handler for SIGINT, SIGHUP and SIGTERM. It ends every child, removes `dir`, and
/// exits.
pub fn end_all_on_signal(dir: &Path) -> anyhow::Result<()> {
    let dir = dir.to_path_buf();
    ctrlc::set_handler(move || {
        // The lock is kept until the exit, so no other child can start.
        running(|pids| {
            for pid in pids.iter() {
                let _ = kill_process(*pid, Signal::KILL);
            }
            for pid in pids.iter() {
                let _ = waitpid(Some(*pid), WaitOptions::empty());
            }
            let _ = std::fs::remove_dir_all(&dir);
            eprintln!("\nbench: interrupted; everything it started is ended");
            std::process::exit(130);
        });
    })
    .context("waiting for signals")
}

/// A child process. A drop ends it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    /// File of its output. `None` if the output is piped to the harness.
    log: Option<PathBuf>,
    has_ended: bool,
}

impl Process {
    /// Starts a process with its output in a file.
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> anyhow::Result<Process> {
        let out = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("a second handle of a log file")?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Process::spawn(name, command, Some(log))
    }

    /// Runs a process until it ends, for at most `wait`, and returns its output.
    pub fn output(name: &str, mut command: Command, wait: Duration) -> anyhow::Result<String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Process::spawn(name, command, None)?.read_to_end(wait)
    }

    fn spawn(name: &str, mut command: Command, log: Option<PathBuf>) -> anyhow::Result<Process> {
        // Each child has a process group of its own. Ctrl-C at the terminal then reaches only the
        // harness, which ends the children itself.
        command.process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        // The lock is held, so no child is ever alive and unregistered.
        let child = running(|pids| {
            let child = command.spawn()?;
            pids.extend(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
            Ok::<Child, std::io::Error>(child)
        })
        .with_context(|| {
            format!("starting {name}: can {program} be run? bench/run installs what is missing")
        })?;
        Ok(Process { name: name.to_string(), child, log, has_ended: false })
    }

    fn read_to_end(mut self, wait: Duration) -> anyhow::Result<String> {
        let out = self.child.stdout.take().context("a child without output")?;
        let reader = std::thread::spawn(move || std::io::read_to_string(out));
        let until = Instant::now() + wait;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for a child")? {
                self.note_ended();
                let Ok(text) = reader.join() else { bail!("reading {}'s output", self.name) };
                let text = text.with_context(|| format!("reading {}'s output", self.name))?;
                if !status.success() {
                    bail!("{} ended with {status}: {text}", self.name);
                }
                return Ok(text);
            }
            if Instant::now() > until {
                bail!("{} did not end within {} s", self.name, wait.as_secs());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready` holds. The error otherwise names the log file.
    pub fn wait_until(
        &mut self,
        wait: Duration,
        is_ready: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + wait;
        while !is_ready() {
            let log = self
                .log
                .as_deref()
                .map_or_else(String::new, |log| format!("; see {}", log.display()));
            if let Some(status) = self.child.try_wait().context("waiting for a child")? {
                self.note_ended();
                bail!("{} ended with {status} before it was ready{log}", self.name);
            }
            if Instant::now() > until {
                bail!("{} was not ready within {} s{log}", self.name, wait.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn note_ended(&mut self) {
        self.has_ended = true;
        let pid = self.child.id();
        running(|pids| pids.retain(|p| u32::try_from(p.as_raw_nonzero().get()) != Ok(pid)));
    }

    fn end(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let until = Instant::now() + STOP_WAIT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            std::thread::sleep(POLL);
        }
        self.note_ended();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end();
        }
    }
}
