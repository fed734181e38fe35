//! Stored bytes back to rows: SHA-256, age, zstd, format, digest, on a blocking thread.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::digest::{LineDigester, LineError, TableDigest};
use super::encode::Flow;
use super::encryption::Decryption;
use super::format::{FormatError, RowDecoder};
use super::manifest::PartEntry;

/// How many bytes of rows are handed on at a time.
const BATCH_BYTES: usize = 256 * 1024;

/// Why an object is not what the manifest promises, or could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The object is damaged, for this reason.
    #[error("{0}")]
    Damaged(String),
    /// The bytes stopped coming, or nobody takes the rows any more; the neighbour stage knows why.
    #[error("the stream was cut off")]
    CutOff,
}

/// Reads one part from `stored`, proves it equal to `expected` in every respect, and hands its rows to
/// `take_rows` as lines of COPY text. Blocks its thread.
///
/// Rows are handed on as they are decoded, so the last of them may have been given away before the end
/// shows that the object is damaged: whoever takes them commits only after `Ok`. Within a stream age
/// authenticates each 64 KiB before it lets go of them.
///
/// # Errors
/// [`DecodeError`]; after a damage the object is still read to its end, so that the reason can tell a
/// changed object from one that was written wrongly.
pub fn decode_rows(
    stored: mpsc::Receiver<Flow<Bytes>>,
    expected: &PartEntry,
    rows: RowDecoder,
    decryption: &Decryption,
    mut take_rows: impl FnMut(Vec<u8>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut source = Source::new(stored);
    let decoded = decode(&mut source, rows, decryption, &mut take_rows);
    source.drain()?;
    source.prove(expected.bytes_stored, &expected.sha256)?;
    let (digest, bytes_raw) = decoded?;
    if bytes_raw != expected.bytes_raw {
        let reason =
            format!("it holds {bytes_raw} bytes of rows where the manifest says {}", expected.bytes_raw);
        return Err(DecodeError::Damaged(reason));
    }
    if digest.rows != expected.rows {
        let reason = format!("it holds {} rows where the manifest says {}", digest.rows, expected.rows);
        return Err(DecodeError::Damaged(reason));
    }
    if digest != expected.table_digest() {
        return Err(DecodeError::Damaged("the digest of its rows differs from the manifest's".to_owned()));
    }
    Ok(())
}

fn decode(
    source: &mut Source,
    mut rows: RowDecoder,
    decryption: &Decryption,
    take_rows: &mut impl FnMut(Vec<u8>) -> Result<(), DecodeError>,
) -> Result<(TableDigest, u64), DecodeError> {
    let opened = open(source, decryption).map_err(|error| unreadable(&error))?;
    let mut decoder = zstd::Decoder::new(opened).map_err(|error| unreadable(&error))?;
    let mut lines = LineDigester::new(rows.columns());
    let mut bytes_raw = 0;
    loop {
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        decoder
            .by_ref()
            .take(BATCH_BYTES as u64)
            .read_to_end(&mut batch)
            .map_err(|error| unreadable(&error))?;
        if batch.is_empty() {
            rows.finish()?;
            return Ok((lines.finish()?, bytes_raw));
        }
        bytes_raw += batch.len() as u64;
        let batch = rows.decode(batch)?;
        lines.update(&batch)?;
        take_rows(batch)?;
    }
}

/// Opens a document that [`super::encode::encrypt_document`] wrote.
///
/// # Errors
/// [`DecodeError::Damaged`].
pub fn decrypt_document(stored: &[u8], decryption: &Decryption) -> Result<Vec<u8>, DecodeError> {
    let mut text = Vec::new();
    open(stored, decryption)
        .and_then(|mut opened| opened.read_to_end(&mut text))
        .map_err(|error| unreadable(&error))?;
    Ok(text)
}

fn open<'a>(source: impl Read + 'a, decryption: &Decryption) -> io::Result<Box<dyn Read + 'a>> {
    let Decryption::Age(identity) = decryption else { return Ok(Box::new(source)) };
    let refused = |error: age::DecryptError| match error {
        age::DecryptError::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    };
    let identity: &dyn age::Identity = identity;
    let decryptor = age::Decryptor::new(source).map_err(refused)?;
    Ok(Box::new(decryptor.decrypt(std::iter::once(identity)).map_err(refused)?))
}

fn unreadable(error: &io::Error) -> DecodeError {
    if error.get_ref().is_some_and(|inner| inner.is::<CutOff>()) {
        DecodeError::CutOff
    } else {
        DecodeError::Damaged(format!("it cannot be decrypted or decompressed: {error}"))
    }
}

impl From<LineError> for DecodeError {
    fn from(error: LineError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<FormatError> for DecodeError {
    fn from(error: FormatError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Marks the end of a stream that was not the end of the object.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut off")]
struct CutOff;

/// The stored bytes as they come, counted and hashed.
struct Source {
    stored: mpsc::Receiver<Flow<Bytes>>,
    chunk: Bytes,
    ended: bool,
    hasher: Sha256,
    bytes: u64,
}

impl Source {
    fn new(stored: mpsc::Receiver<Flow<Bytes>>) -> Self {
        Self { stored, chunk: Bytes::new(), ended: false, hasher: Sha256::new(), bytes: 0 }
    }

    /// Makes sure that `chunk` has bytes, or that the object has ended.
    fn fill(&mut self) -> Result<(), CutOff> {
        while self.chunk.is_empty() && !self.ended {
            match self.stored.blocking_recv() {
                Some(Flow::Chunk(chunk)) => {
                    self.hasher.update(&chunk);
                    self.bytes += chunk.len() as u64;
                    self.chunk = chunk;
                }
                Some(Flow::End) => self.ended = true,
                None => return Err(CutOff),
            }
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), DecodeError> {
        while !self.ended {
            self.chunk.clear();
            self.fill().map_err(|CutOff| DecodeError::CutOff)?;
        }
        Ok(())
    }

    fn prove(self, bytes_stored: u64, sha256: &str) -> Result<(), DecodeError> {
        prove_stored(self.bytes, &hex::encode(self.hasher.finalize()), bytes_stored, sha256)
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill().map_err(io::Error::other)?;
        let taken = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}

/// Compares an object's size and SHA-256 with the manifest's.
///
/// # Errors
/// [`DecodeError::Damaged`].
pub fn prove_stored(
    bytes: u64,
    sha256: &str,
    bytes_expected: u64,
    sha256_expected: &str,
) -> Result<(), DecodeError> {
    if bytes != bytes_expected {
        Err(DecodeError::Damaged(format!("it has {bytes} bytes where the manifest says {bytes_expected}")))
    } else if sha256 != sha256_expected {
        Err(DecodeError::Damaged("its SHA-256 differs from the manifest's".to_owned()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::encode::{Encoded, ZSTD_LEVEL, encode_rows};
    use crate::archive::encryption::Encryption;
    use crate::archive::format::TableFormat;
    use crate::archive::manifest::Column;

    const FORMATS: [TableFormat; 3] = [TableFormat::Copy, TableFormat::Csv, TableFormat::Json];
    const ROWS: &[u8] = b"1\ta\n2\tb\n3\t\\N\n";

    struct Stored {
        format: TableFormat,
        bytes: Vec<u8>,
        entry: PartEntry,
        decryption: Decryption,
    }

    fn table(columns: usize) -> Vec<Column> {
        (0..columns)
            .map(|column| Column { name: format!("c{column}"), data_type: "text".to_owned() })
            .collect()
    }

    fn encode(format: TableFormat, encryption: &Encryption) -> (Vec<u8>, Encoded) {
        let (batches_in, batches_out) = mpsc::channel(4);
        let (stored_in, mut stored_out) = mpsc::channel(4);
        batches_in.try_send(Flow::Chunk(ROWS[..6].to_vec())).expect("room");
        batches_in.try_send(Flow::Chunk(ROWS[6..].to_vec())).expect("room");
        batches_in.try_send(Flow::End).expect("room");
        let encoded =
            encode_rows(batches_out, stored_in, 2, format.encoder(&table(2)), ZSTD_LEVEL, encryption)
                .expect("encoded");
        let mut bytes = Vec::new();
        while let Ok(Flow::Chunk(chunk)) = stored_out.try_recv() {
            bytes.extend_from_slice(&chunk);
        }
        (bytes, encoded)
    }

    fn stored(format: TableFormat, encrypted: bool) -> Stored {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string().parse().expect("its own recipient");
        let (encryption, decryption) = if encrypted {
            (Encryption::Age(vec![recipient]), Decryption::Age(identity))
        } else {
            (Encryption::None, Decryption::None)
        };
        let (bytes, encoded) = encode(format, &encryption);
        let entry = PartEntry {
            key: "part".to_owned(),
            rows: encoded.digest.rows,
            digest: encoded.digest.sum,
            bytes_raw: encoded.bytes_raw,
            bytes_stored: encoded.bytes_stored,
            sha256: hex::encode(encoded.sha256),
            composite_sha256: None,
        };
        Stored { format, bytes, entry, decryption }
    }

    fn decode(stored: &Stored, bytes: &[u8], columns: usize, whole: bool) -> Result<Vec<u8>, DecodeError> {
        let (stored_in, stored_out) = mpsc::channel(64);
        for chunk in bytes.chunks(50) {
            stored_in.try_send(Flow::Chunk(Bytes::copy_from_slice(chunk))).expect("room");
        }
        if whole {
            stored_in.try_send(Flow::End).expect("room");
        }
        drop(stored_in);
        let mut rows = Vec::new();
        let decoder = stored.format.decoder(&table(columns));
        decode_rows(stored_out, &stored.entry, decoder, &stored.decryption, |batch| {
            rows.extend_from_slice(&batch);
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn rows_come_back_to_the_byte() {
        for (format, encrypted) in FORMATS.into_iter().flat_map(|format| [(format, true), (format, false)]) {
            let stored = stored(format, encrypted);
            assert_eq!(stored.entry.rows, 3);
            assert_eq!(stored.entry.bytes_stored, stored.bytes.len() as u64);
            assert_eq!(decode(&stored, &stored.bytes, 2, true).expect("whole"), ROWS);
        }
    }

    #[test]
    fn any_changed_byte_is_damage_and_gives_no_ok() {
        for (format, encrypted) in FORMATS.into_iter().flat_map(|format| [(format, true), (format, false)]) {
            let stored = stored(format, encrypted);
            for position in 0..stored.bytes.len() {
                let mut damaged = stored.bytes.clone();
                damaged[position] ^= 1;
                let error = decode(&stored, &damaged, 2, true).expect_err("damaged");
                assert!(matches!(error, DecodeError::Damaged(_)), "byte {position}: {error}");
                let cut = decode(&stored, &stored.bytes[..position], 2, true).expect_err("cut");
                assert!(matches!(cut, DecodeError::Damaged(_)), "cut at {position}: {cut}");
            }
        }
    }

    #[test]
    fn a_stream_that_breaks_off_is_not_called_damage() {
        let stored = stored(TableFormat::Copy, true);
        for length in [0, 10, stored.bytes.len()] {
            let error = decode(&stored, &stored.bytes[..length], 2, false).expect_err("broken off");
            assert!(matches!(error, DecodeError::CutOff), "{length}: {error}");
        }
    }

    #[test]
    fn what_was_written_wrongly_is_found_though_its_bytes_are_unchanged() {
        let mut stored = stored(TableFormat::Copy, true);
        assert!(decode(&stored, &stored.bytes, 3, true).is_err(), "another shape");
        stored.entry.rows = 4;
        assert!(decode(&stored, &stored.bytes, 2, true).is_err(), "another count");
        stored.entry.rows = 3;
        stored.entry.digest = crate::archive::digest::RowSum::default();
        assert!(decode(&stored, &stored.bytes, 2, true).is_err(), "another digest");
        stored.decryption = Decryption::Age(age::x25519::Identity::generate());
        assert!(decode(&stored, &stored.bytes, 2, true).is_err(), "another key");
    }
}
