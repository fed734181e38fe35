//! A gate on the wire between a function and Postgres. It counts the messages of both directions as they come by, and
//! stops the traffic in front of the one that it is told: exactly there the function can be killed, the server be
//! restarted, or the connection be cut. (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".)

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Length and code of a wish for TLS, which has no type byte, as the startup message has none.
const TLS_WISH: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// What happens to a connection in front of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Both ends lose it.
    Cut,
    /// Nothing passes any more. It ends when the client does, or with [`Gate::cut`]: the client does not hear of
    /// the server's end before.
    Hold,
}

/// Which messages count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// All.
    FromConnecting,
    /// Those after the server's first `ReadyForQuery` on a connection.
    FromStatements,
    /// Not messages, but the bytes of all of them.
    Bytes,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// The client.
    Function,
    /// The server.
    Postgres,
}

/// A message that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// Who sent it.
    pub sender: Sender,
    /// Its type byte; 0 where it has none: wish for TLS and its answer, startup.
    pub kind: u8,
}

impl fmt::Display for Message {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == 0 { '-' } else { char::from(self.kind) };
        write!(text, "{:?}'s {kind}", self.sender)
    }
}

/// A running gate; it ends with the runtime that started it.
#[derive(Debug)]
pub struct Gate {
    url: String,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Messages, or bytes of them, that have come since it was armed.
    seen: u64,
    stop: Option<(Count, u64, Stop)>,
    /// What a statement has in it at which connections are stopped.
    statement: Option<(String, Stop)>,
    stopped: Option<Message>,
    /// Connections that have not ended on the server's side.
    open: usize,
    /// How often all connections were told to end.
    cuts: u64,
}

impl Gate {
    /// In front of a database (`postgres://user@host:port/name`).
    pub async fn start(database_url: &str) -> Result<Gate> {
        let operation = "start a gate";
        let unreadable = || Error::failed(operation, &format!("cannot read {database_url}"));
        let (before, rest) = database_url.split_once('@').ok_or_else(unreadable)?;
        let (server, database) = rest.split_once('/').ok_or_else(unreadable)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::io(operation))?;
        let address = listener.local_addr().map_err(Error::io(operation))?;
        let state = watch::Sender::new(State::default());
        let (shared, server) = (state.clone(), server.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, state) = (server.clone(), shared.clone());
                state.send_modify(|state| state.open += 1);
                tokio::spawn(async move {
                    // An end that is gone is how a connection here usually ends.
                    let _ = serve(client, &server, &state).await;
                    state.send_modify(|state| state.open -= 1);
                });
            }
        });
        Ok(Gate { url: format!("{before}@{address}/{database}"), state })
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Counts anew, and stops the connection that brings message `at` (the first is 1), once. Where it is a byte that
    /// is meant, what comes before it in its message still passes.
    pub fn arm(&self, count: Count, at: u64, stop: Stop) {
        self.state.send_modify(|state| {
            (state.seen, state.stop, state.stopped) = (0, Some((count, at, stop)), None);
        });
    }

    /// Stops every connection on which the function sends a statement with this text in it. Where it is held, the
    /// statement is the last that passes: the server is at it, or has done it, and the function does not hear of that.
    /// Where it is cut, the server does not get to see it.
    pub fn arm_at(&self, statement: &str, stop: Stop) {
        self.state.send_modify(|state| {
            (state.statement, state.stopped) = (Some((statement.to_owned(), stop)), None);
        });
    }

    /// Stops nothing any more.
    pub fn disarm(&self) {
        self.state.send_modify(|state| (state.stop, state.statement) = (None, None));
    }

    /// What was counted since the gate was armed, as far as it came.
    pub fn seen(&self) -> u64 {
        self.state.borrow().seen
    }

    /// Ends every connection.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Returns when the message has come that was waited for, and says which it was.
    ///
    /// # Panics
    /// If the gate itself is gone.
    pub async fn stopped(&self) -> Message {
        let mut changes = self.state.subscribe();
        let state = changes.wait_for(|state| state.stopped.is_some()).await.expect("the gate stands");
        state.stopped.expect("it was waited for")
    }

    /// The message that was stopped since the gate was armed, if it has come.
    pub fn caught(&self) -> Option<Message> {
        self.state.borrow().stopped
    }

    /// Returns when no connection is left: each server process has ended, and what it had not committed is undone.
    ///
    /// # Panics
    /// If the gate itself is gone.
    pub async fn empty(&self) {
        let mut changes = self.state.subscribe();
        changes.wait_for(|state| state.open == 0).await.expect("the gate stands");
    }
}

/// Counts a message of so many bytes; gives what is to be done, and how many of its bytes pass before.
fn pass(
    state: &watch::Sender<State>,
    message: Message,
    bytes: usize,
    connected: bool,
) -> Option<(Stop, usize)> {
    let mut due = None;
    state.send_if_modified(|state| {
        let Some((count, at, stop)) = state.stop else { return false };
        let before = state.seen;
        state.seen += match count {
            Count::Bytes => bytes as u64,
            Count::FromStatements if !connected => 0,
            Count::FromConnecting | Count::FromStatements => 1,
        };
        if (before + 1..=state.seen).contains(&at) {
            // Of a message itself none: it is the one that was waited for.
            due = Some((stop, (at - before - 1) as usize));
        }
        if due.is_some() {
            (state.stop, state.stopped) = (None, Some(message));
        }
        due.is_some()
    });
    due
}

/// Whether a message is a statement at which its connection is stopped.
fn at_statement(state: &watch::Sender<State>, message: Message, bytes: &[u8]) -> Option<Stop> {
    if message.sender != Sender::Function || !matches!(message.kind, b'Q' | b'P') {
        return None;
    }
    let state = state.borrow();
    let (text, stop) = state.statement.as_ref()?;
    bytes.windows(text.len()).any(|window| window == text.as_bytes()).then_some(*stop)
}

/// Serves one client to its end, and then the server's.
async fn serve(client: TcpStream, server: &str, state: &watch::Sender<State>) -> std::io::Result<()> {
    let (mut client, mut server) = (End::new(client)?, End::new(TcpStream::connect(server).await?)?);
    client.untyped = true;
    let mut cuts = state.subscribe();
    let cuts_before = cuts.borrow().cuts;
    let mut connected = false;
    let stop = loop {
        let (sender, message) = tokio::select! {
            message = client.message() => (Sender::Function, message),
            message = server.message() => (Sender::Postgres, message),
            _ = cuts.wait_for(|state| state.cuts > cuts_before) => break Stop::Cut,
        };
        let Ok(Some((kind, message))) = message else { break Stop::Cut };
        let to = if sender == Sender::Function { &mut server } else { &mut client };
        if let Some((stop, bytes)) = pass(state, Message { sender, kind }, message.len(), connected) {
            // Where its reader is gone it is cut off already.
            let _ = to.stream.write_all(&message[..bytes]).await;
            break stop;
        }
        let statement = at_statement(state, Message { sender, kind }, &message);
        if statement != Some(Stop::Cut) && to.stream.write_all(&message).await.is_err() {
            break Stop::Cut;
        }
        if let Some(stop) = statement {
            state.send_modify(|state| state.stopped = Some(Message { sender, kind }));
            break stop;
        }
        connected |= kind == b'Z' && sender == Sender::Postgres;
        if kind == 0 && sender == Sender::Function {
            (client.untyped, server.single) = (message[..] == TLS_WISH, message[..] == TLS_WISH);
        }
    };
    if stop == Stop::Hold {
        tokio::select! {
            () = client.ended() => {}
            _ = cuts.wait_for(|state| state.cuts > cuts_before) => {}
        }
    }
    drop(client);
    server.stream.shutdown().await?;
    server.ended().await;
    Ok(())
}

/// One end of a connection, read message by message.
struct End {
    stream: TcpStream,
    buffer: BytesMut,
    /// The next message has no type byte.
    untyped: bool,
    /// The next message is one byte.
    single: bool,
}

impl End {
    fn new(stream: TcpStream) -> std::io::Result<End> {
        stream.set_nodelay(true)?;
        Ok(End { stream, buffer: BytesMut::new(), untyped: false, single: false })
    }

    /// The next message and its type; `None` at the end. Nothing is lost where this is dropped half way.
    async fn message(&mut self) -> std::io::Result<Option<(u8, Bytes)>> {
        loop {
            if let Some(message) = self.cut_off() {
                return Ok(Some(message));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn cut_off(&mut self) -> Option<(u8, Bytes)> {
        let mut rest = &self.buffer[..];
        if self.single && !rest.is_empty() {
            self.single = false;
            return Some((0, self.buffer.split_to(1).freeze()));
        }
        let kind = if self.untyped { 0 } else { rest.try_get_u8().ok()? };
        let length = usize::from(!self.untyped) + rest.try_get_u32().ok()? as usize;
        (self.buffer.len() >= length).then(|| (kind, self.buffer.split_to(length).freeze()))
    }

    /// Reads to the end, and forgets what it reads.
    async fn ended(&mut self) {
        while self.stream.read_buf(&mut self.buffer).await.is_ok_and(|bytes| bytes > 0) {
            self.buffer.clear();
        }
    }
}
