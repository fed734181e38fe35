//! Nothing of a stack outlives its process, however that ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use stack::engine::Engine;
use stack::lambda::{FunctionConfig, Lambda};
use stack::leash::{EndSignal, Leash, Process};
use stack::place;

/// Set for the copy of this test binary that is to be killed.
const HOLDER: &str = "STACK_ENDS_HOLDER";

fn until(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: did not come true in {patience:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this id exists and is not a zombie.
fn lives(pid: u32) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Ids of all processes whose command line has `words` in it, but for `ps`.
fn processes_with(words: &str) -> Vec<u32> {
    let output = Command::new("ps").args(["-ww", "-A", "-o", "pid=,stat=,args="]).output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains(words))
        .filter(|line| !line.split_whitespace().nth(1).is_some_and(|state| state.starts_with('Z')))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

#[test]
fn a_leashed_child_ends_on_drop_and_its_watcher_too() {
    let marker = tempfile::tempdir().unwrap();
    let directory = marker.path().join("of-the-child");
    std::fs::create_dir(&directory).unwrap();
    let (mut command, leash) = Leash::command("/bin/sleep", EndSignal::Term, Some(&directory)).unwrap();
    command.arg("1000");
    let process = Process::spawn(command, leash).unwrap();
    let pid = process.id();
    until("sleep runs", Duration::from_secs(10), || {
        let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("sleep 1000")
    });

    drop(process);

    assert!(!lives(pid));
    until("the child's directory is removed", Duration::from_secs(10), || !directory.exists());
}

#[test]
fn the_directory_of_a_child_that_ended_by_itself_stays() {
    let marker = tempfile::tempdir().unwrap();
    let (mut command, leash) = Leash::command("/bin/sh", EndSignal::Kill, Some(marker.path())).unwrap();
    command.args(["-c", "exit 7"]);
    let mut process = Process::spawn(command, leash).unwrap();

    until("the child ends", Duration::from_secs(10), || process.try_wait().unwrap().is_some());

    assert_eq!(process.try_wait().unwrap().and_then(|status| status.code()), Some(7));
    let path = marker.path().to_str().unwrap().to_owned();
    until("the watcher leaves", Duration::from_secs(10), || processes_with(&path).is_empty());
    assert!(marker.path().exists());
}

/// Not a test of its own: what `kill_9_of_the_holder_ends_its_children` starts as another process. It holds a
/// sleeping program and an instance of a function.
#[tokio::test]
async fn holder() {
    let Some(file) = std::env::var_os(HOLDER) else { return };
    let (mut command, leash) = Leash::command("/bin/sleep", EndSignal::Term, None).unwrap();
    command.arg("1000");
    let process = Process::spawn(command, leash).unwrap();
    let engine = Engine::start().unwrap();
    let config = FunctionConfig::new("echo", place::built_binary("echo_function").unwrap());
    let lambda = Lambda::start(engine.handle(), [config]).unwrap();
    lambda.invoke("echo", &json!({})).await.unwrap();
    let pids = [process.id(), lambda.pids("echo").unwrap()[0]];
    std::fs::write(file, serde_json::to_string(&pids).unwrap()).unwrap();
    std::thread::sleep(Duration::from_secs(1000));
}

#[test]
fn kill_9_of_the_holder_ends_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stack_ends::holder"])
        .env(HOLDER, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut pids: Option<[u32; 2]> = None;
    until("the holder has children", Duration::from_secs(20), || {
        pids = std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
        pids.is_some()
    });
    let pids = pids.unwrap();
    assert!(pids.into_iter().all(lives));

    holder.kill().unwrap();
    holder.wait().unwrap();

    until("the children are gone", Duration::from_secs(10), || !pids.into_iter().any(lives));
}

/// `up` in a directory for temporary files of its own, by which its children are told from others.
struct Up {
    child: Child,
    temporary: tempfile::TempDir,
    log: PathBuf,
}

impl Up {
    fn start() -> Up {
        // As open as /tmp: run as root, Postgres is the user nobody's.
        let temporary = tempfile::Builder::new().prefix("recoup-up-").tempdir().unwrap();
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        let log = temporary.path().join("up.log");
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(place::built_binary("up").unwrap())
            .arg(environment_file(temporary.path()))
            .env("TMPDIR", temporary.path())
            .env_remove("DATABASE_URL")
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut up = Up { child, temporary, log };
        let log = up.log.clone();
        until("up is ready", Duration::from_secs(90), || {
            let text = std::fs::read_to_string(&log).unwrap();
            assert!(up.child.try_wait().unwrap().is_none(), "up ended:\n{text}");
            text.contains("Ctrl-C ends it all")
        });
        up
    }

    /// Processes of the stack: children of `up`, which have their own groups, and what these have started.
    fn processes(&self) -> Vec<u32> {
        let parent = self.child.id();
        let output = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
        let pairs: Vec<(u32, u32)> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace();
                Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
            })
            .collect();
        let mut found = vec![parent];
        let mut next = 0;
        while next < found.len() {
            let parent = found[next];
            found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        found
    }

    fn environment(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(environment_file(self.temporary.path())).unwrap();
        text.lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn assert_nothing_is_left(&self, processes: &[u32]) {
        until("all processes are gone", Duration::from_secs(20), || !processes.iter().any(|pid| lives(*pid)));
        let mut left = Vec::new();
        until("all files are gone", Duration::from_secs(20), || {
            left = std::fs::read_dir(self.temporary.path())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| *path != self.log)
                .collect();
            left.is_empty()
        });
        let temporary = self.temporary.path().to_str().unwrap();
        until("all watchers are gone", Duration::from_secs(20), || processes_with(temporary).is_empty());
    }
}

impl Drop for Up {
    /// A test that failed half way leaves nothing either.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not `target/stack/env`: somebody may have the stack up while the tests run.
fn environment_file(temporary: &Path) -> PathBuf {
    temporary.join("env")
}

#[test]
fn up_says_where_things_are_and_leaves_nothing_after_ctrl_c() {
    let mut up = Up::start();
    let processes = up.processes();
    assert!(processes.len() >= 5, "up, Postgres with its workers, moto, a watcher: {processes:?}");

    let mode = std::fs::metadata(environment_file(up.temporary.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let environment = up.environment();
    let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "DATABASE_URL",
            "WEBHOOK_URL",
            "HEALTH_URL",
            "LAMBDA_ENDPOINT",
            "S3_ENDPOINT",
            "BACKUP_BUCKET",
            "SECRETS_ENDPOINT",
            "STRIPE_API_BASE",
            "STRIPE_API_KEY",
            "STRIPE_WEBHOOK_SECRET",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_REGION",
            "BACKUP_AGE_IDENTITY",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL_LAMBDA",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_MAX_ATTEMPTS",
        ]
    );
    // With nothing but the file's own variables, as a new user has them.
    let bucket = Command::new(place::venv_program("aws").unwrap())
        .args(["s3", "ls"])
        .env_clear()
        .envs(environment.iter().cloned())
        .env("AWS_CONFIG_FILE", "/dev/null")
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&bucket.stdout).into_owned();
    assert!(listed.contains(value(&environment, "BACKUP_BUCKET")), "{bucket:?}");

    let interrupted = Command::new("kill").args(["-s", "INT", &up.child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert!(up.child.wait().unwrap().success());
    up.assert_nothing_is_left(&processes);
}

#[test]
fn kill_9_of_up_leaves_nothing() {
    let mut up = Up::start();
    // With an instance of a function running.
    get(value(&up.environment(), "HEALTH_URL"));
    let processes = up.processes();

    up.child.kill().unwrap();
    up.child.wait().unwrap();

    up.assert_nothing_is_left(&processes);
}

fn value<'a>(environment: &'a [(String, String)], name: &str) -> &'a str {
    environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).unwrap()
}

fn get(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_missing_function_binary_names_the_remedy() {
    let error = place::built_binary("no-such-function").unwrap_err().to_string();
    assert!(error.contains("no-such-function") && error.contains("make build"), "{error}");
}
