//! Rows to stored bytes: digest, format, zstd, age, SHA-256, on a blocking thread.

use std::io::{self, Write};

use age::stream::StreamWriter;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::digest::{LineDigester, TableDigest};
use super::encryption::Encryption;
use super::error::ArchiveError;
use super::format::RowEncoder;

/// How hard zstd tries: from [`ZSTD_LEVEL_MIN`], the fastest, up to [`ZSTD_LEVEL_MAX`].
///
/// On payments data 1 stores as little as 3 at two thirds of its time.
pub const ZSTD_LEVEL: i32 = 1;

/// Below this zstd hardly compresses any more.
pub const ZSTD_LEVEL_MIN: i32 = -7;

/// Above this one connection takes tens of megabytes more.
pub const ZSTD_LEVEL_MAX: i32 = 9;

/// How much is handed on at a time, at most.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// What flows between the stages of a pipeline. A channel that closes without an `End` was cut off, and
/// whoever reads it must not take what it has for the whole.
#[derive(Debug)]
pub enum Flow<T> {
    /// Some bytes.
    Chunk(T),
    /// All of it came.
    End,
}

/// What came out of encoding one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Rows and their sum.
    pub digest: TableDigest,
    /// Bytes of rows in their format, before compression.
    pub bytes_raw: u64,
    /// Bytes that came out.
    pub bytes_stored: u64,
    /// SHA-256 of the bytes that came out.
    pub sha256: [u8; 32],
}

/// Encodes rows of `columns` columns from `batches` to `stored`. Blocks its thread.
///
/// # Errors
/// [`ArchiveError::Interrupted`] where a neighbour stage ended before its time (its own error says why);
/// [`ArchiveError::Encryption`].
pub fn encode_rows(
    mut batches: mpsc::Receiver<Flow<Vec<u8>>>,
    stored: mpsc::Sender<Flow<Bytes>>,
    columns: usize,
    mut rows: RowEncoder,
    zstd_level: i32,
    encryption: &Encryption,
) -> Result<Encoded, ArchiveError> {
    let interrupted = || ArchiveError::Interrupted { operation: "encode a part".to_owned() };
    let sink = Sink::new(stored);
    let mut encoder =
        zstd::Encoder::new(Envelope::new(encryption, sink)?, zstd_level).map_err(|error| failed(&error))?;
    let mut lines = LineDigester::new(columns);
    encoder.write_all(rows.header()).map_err(|_| interrupted())?;
    let mut bytes_raw = rows.header().len() as u64;
    loop {
        match batches.blocking_recv() {
            Some(Flow::Chunk(batch)) => {
                lines.update(&batch).map_err(|error| failed(&error))?;
                let text = rows.encode(&batch).map_err(|error| failed(&error))?;
                bytes_raw += text.len() as u64;
                encoder.write_all(text).map_err(|_| interrupted())?;
            }
            Some(Flow::End) => break,
            None => return Err(interrupted()),
        }
    }
    let digest = lines.finish().map_err(|error| failed(&error))?;
    let sink = encoder.finish().and_then(Envelope::finish).map_err(|_| interrupted())?;
    let (bytes_stored, sha256) = sink.end().map_err(|_| interrupted())?;
    Ok(Encoded { digest, bytes_raw, bytes_stored, sha256 })
}

/// Encrypts a small document in memory, uncompressed: a person reads it with `age` alone.
///
/// # Errors
/// [`ArchiveError::Encryption`].
pub fn encrypt_document(text: &[u8], encryption: &Encryption) -> Result<Vec<u8>, ArchiveError> {
    let mut envelope = Envelope::new(encryption, Vec::new())?;
    envelope.write_all(text).and_then(|()| envelope.finish()).map_err(|error| failed(&error))
}

fn failed(error: &impl std::fmt::Display) -> ArchiveError {
    ArchiveError::Encryption { operation: "encode a part".to_owned(), reason: error.to_string() }
}

/// The outermost layer: age, or nothing.
enum Envelope<W: Write> {
    Age(StreamWriter<W>),
    Plain(W),
}

impl<W: Write> Envelope<W> {
    fn new(encryption: &Encryption, inner: W) -> Result<Self, ArchiveError> {
        match encryption.encryptor()? {
            Some(encryptor) => encryptor.wrap_output(inner).map(Self::Age).map_err(|error| failed(&error)),
            None => Ok(Self::Plain(inner)),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Age(writer) => writer.finish(),
            Self::Plain(inner) => Ok(inner),
        }
    }
}

impl<W: Write> Write for Envelope<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(writer) => writer.write(bytes),
            Self::Plain(inner) => inner.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(writer) => writer.flush(),
            Self::Plain(inner) => inner.flush(),
        }
    }
}

/// Hashes what it is given and hands it on in chunks.
struct Sink {
    stored: mpsc::Sender<Flow<Bytes>>,
    chunk: BytesMut,
    hasher: Sha256,
    bytes: u64,
}

impl Sink {
    fn new(stored: mpsc::Sender<Flow<Bytes>>) -> Self {
        Self { stored, chunk: BytesMut::with_capacity(CHUNK_BYTES), hasher: Sha256::new(), bytes: 0 }
    }

    fn send_chunk(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, BytesMut::with_capacity(CHUNK_BYTES));
        self.send(Flow::Chunk(chunk.freeze()))
    }

    fn send(&self, flow: Flow<Bytes>) -> io::Result<()> {
        self.stored.blocking_send(flow).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn end(mut self) -> io::Result<(u64, [u8; 32])> {
        if !self.chunk.is_empty() {
            self.send_chunk()?;
        }
        self.send(Flow::End)?;
        Ok((self.bytes, self.hasher.finalize().into()))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        self.hasher.update(&bytes[..taken]);
        self.bytes += taken as u64;
        if self.chunk.len() == CHUNK_BYTES {
            self.send_chunk()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
