//! Round trips to Postgres, counted on the wire: each Sync or simple Query of the client ends one
//! (PostgreSQL documentation, "Message Flow").

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;

/// A port in front of a server that counts.
pub struct Counter {
    /// Where to connect.
    pub address: String,
    trips: Arc<AtomicU64>,
}

impl Counter {
    /// In front of `server` (host:port).
    pub async fn start(server: String) -> Result<Counter> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let trips = Arc::new(AtomicU64::new(0));
        let counted = trips.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { return };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (client_reads, mut client_writes) = client.into_split();
                let (mut server_reads, server_writes) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut server_reads, &mut client_writes).await });
                tokio::spawn(pass_on(client_reads, server_writes, counted.clone()));
            }
        });
        Ok(Counter { address, trips })
    }

    /// So far.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }
}

/// Copies the client's messages: first the one without a type (startup, or a wish for TLS, which a private server
/// refuses and which is followed by the startup), then type, length, content.
async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    trips: Arc<AtomicU64>,
) -> std::io::Result<()> {
    const TLS_WISH: [u8; 4] = 80_877_103_u32.to_be_bytes();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length).await?;
        let mut rest = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4)];
        from.read_exact(&mut rest).await?;
        to.write_all(&[&length[..], &rest].concat()).await?;
        if rest != TLS_WISH {
            break;
        }
    }
    loop {
        let mut head = [0; 5];
        from.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let mut message = head.to_vec();
        message.resize(1 + length, 0);
        from.read_exact(&mut message[5..]).await?;
        if matches!(head[0], b'S' | b'Q') {
            trips.fetch_add(1, Ordering::Relaxed);
        }
        to.write_all(&message).await?;
    }
}
