//! A connection pooler in transaction mode, as strict as PgBouncer is: it refuses startup parameters that it does
//! not track, and gives every transaction another server connection, the one that rested longest. So a setting or a
//! prepared statement of one transaction is not there in the next. It takes any password, as the stack's Postgres does.
//! (PgBouncer documentation, "SQL feature map for pooling modes" and `ignore_startup_parameters`.)

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use crate::error::{Error, Result};

/// What PgBouncer lets through (`track_extra_parameters` and its fixed list).
const TRACKED: [&str; 7] = [
    "user",
    "database",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "standard_conforming_strings",
    "application_name",
];

/// A running pooler; it ends with the runtime that started it.
#[derive(Debug)]
pub struct Pooler {
    url: String,
}

/// Server connections that rest, in the order in which they came back.
struct Pool {
    rests: mpsc::Sender<TcpStream>,
    next: Mutex<mpsc::Receiver<TcpStream>>,
}

impl Pooler {
    /// In front of a database (`postgres://user@host:port/name`), with so many connections to it.
    pub async fn start(database_url: &str, connections: usize) -> Result<Pooler> {
        let operation = "start a pooler";
        let unreadable = || Error::failed(operation, &format!("cannot read {database_url}"));
        let (scheme, rest) = database_url.split_once("://").ok_or_else(unreadable)?;
        let (user, rest) = rest.split_once('@').ok_or_else(unreadable)?;
        let (server, database) = rest.split_once('/').ok_or_else(unreadable)?;
        let login = user.split(':').next().unwrap_or(user);
        let (rests, next) = mpsc::channel(connections);
        for _ in 0..connections {
            let stream = connect(server, login, database).await.map_err(Error::io(operation))?;
            let _ = rests.send(stream).await;
        }
        let pool = Arc::new(Pool { rests, next: Mutex::new(next) });
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::io(operation))?;
        let address = listener.local_addr().map_err(Error::io(operation))?;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, pool.clone()));
            }
        });
        Ok(Pooler { url: format!("{scheme}://{user}@{address}/{database}") })
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }
}

async fn connect(server: &str, user: &str, database: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        startup.extend_from_slice(text.as_bytes());
        startup.push(0);
    }
    startup.push(0);
    stream.write_all(&[&(startup.len() as u32 + 4).to_be_bytes()[..], &startup].concat()).await?;
    while message(&mut stream).await?[0] != b'Z' {}
    Ok(stream)
}

/// One message: type, length, content.
async fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    stream.read_exact(&mut message).await?;
    let length = u32::from_be_bytes([message[1], message[2], message[3], message[4]]) as usize;
    message.resize(1 + length, 0);
    stream.read_exact(&mut message[5..]).await?;
    Ok(message)
}

/// Serves one client to its end. A server connection that it leaves inside a transaction goes with it.
async fn serve(mut client: TcpStream, pool: Arc<Pool>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    if !welcome(&mut client).await? {
        return Ok(());
    }
    let mut held: Option<TcpStream> = None;
    loop {
        let sent = message(&mut client).await?;
        if sent[0] == b'X' {
            return Ok(());
        }
        let mut server = match held.take() {
            Some(server) => server,
            None => match pool.next.lock().await.recv().await {
                Some(server) => server,
                None => return Ok(()),
            },
        };
        server.write_all(&sent).await?;
        if !matches!(sent[0], b'S' | b'Q') {
            held = Some(server);
            continue;
        }
        let in_transaction = loop {
            let answer = message(&mut server).await?;
            client.write_all(&answer).await?;
            if answer[0] == b'Z' {
                break answer[5] != b'I';
            }
        };
        if in_transaction {
            held = Some(server);
        } else {
            let _ = pool.rests.send(server).await;
        }
    }
}

/// The startup; `false` where it is refused.
async fn welcome(client: &mut TcpStream) -> std::io::Result<bool> {
    const TLS_WISH: u32 = 80_877_103;
    let startup = loop {
        let length = client.read_u32().await? as usize;
        let mut rest = vec![0; length.saturating_sub(4)];
        client.read_exact(&mut rest).await?;
        if rest != TLS_WISH.to_be_bytes() {
            break rest;
        }
        client.write_all(b"N").await?;
    };
    let mut texts = startup[4..].split(|byte| *byte == 0).map(String::from_utf8_lossy);
    while let (Some(name), Some(_)) = (texts.next().filter(|name| !name.is_empty()), texts.next()) {
        if !TRACKED.contains(&&*name) {
            let error = format!("SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {name}\0\0");
            client.write_all(&framed(b'E', error.as_bytes())).await?;
            return Ok(false);
        }
    }
    let mut answer = framed(b'R', &0_u32.to_be_bytes());
    answer.extend(framed(b'S', b"client_encoding\0UTF8\0"));
    answer.extend(framed(b'K', &[0; 8]));
    answer.extend(framed(b'Z', b"I"));
    client.write_all(&answer).await?;
    Ok(true)
}

fn framed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((content.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(content);
    message
}
