//! From a stream of unknown length to one object: in a single request where it is small, in pieces where
//! it is not. Memory: the piece that fills and the piece that is under way.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{CompositeSha256, ObjectStore, Piece, StoreError};
use crate::archive::encode::{CHUNK_BYTES, Flow};

/// Size of a piece, and the largest object that goes up in one request: the least that S3 takes, since four
/// of them (two connections) are in memory at a time. An object may have 10,000 pieces, so 52 GB.
pub const PIECE_BYTES: usize = 5 * 1024 * 1024;

/// The multipart uploads that are not complete, so that whoever ends the work early can give them up;
/// and the buffers of pieces, which are used again: an allocator that gets megabytes back from many threads
/// keeps much of them.
#[derive(Default)]
pub struct OpenUploads {
    by_key: Mutex<BTreeMap<String, String>>,
    spare: Mutex<Vec<BytesMut>>,
}

impl OpenUploads {
    fn take_buffer(&self) -> BytesMut {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // Room for all of a piece at once: growing would hold it twice.
        spare.unwrap_or_else(|| BytesMut::with_capacity(PIECE_BYTES + CHUNK_BYTES))
    }

    /// Takes a piece's buffer back, unless the client still holds on to it.
    fn give_back(&self, piece: Bytes) {
        if let Ok(mut buffer) = piece.try_into_mut() {
            buffer.clear();
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }

    fn add(&self, key: &str, upload_id: &str) {
        self.lock().insert(key.to_owned(), upload_id.to_owned());
    }

    fn remove(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up every upload that is still open.
    ///
    /// # Errors
    /// The first failure, after all were tried. What stays is removed by the bucket's lifecycle rule.
    pub async fn abort_all(&self, store: &impl ObjectStore) -> Result<(), StoreError> {
        let open = std::mem::take(&mut *self.lock());
        let mut first_failure = Ok(());
        for (key, upload_id) in open {
            let aborted = store.abort_upload(&key, &upload_id).await;
            first_failure = first_failure.and(aborted);
        }
        first_failure
    }
}

/// What became of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uploaded {
    /// One request stored it.
    Whole,
    /// It went up in pieces, and the store keeps this of it.
    InPieces(CompositeSha256),
    /// The stream was cut off: nothing is stored, and the stage before knows why.
    CutOff,
}

/// Stores what comes from `chunks` as `key`.
///
/// # Errors
/// [`StoreError`]. Pieces that went up are left to [`OpenUploads::abort_all`].
pub async fn upload_stream(
    store: &impl ObjectStore,
    open: &OpenUploads,
    key: &str,
    mut chunks: mpsc::Receiver<Flow<Bytes>>,
) -> Result<Uploaded, StoreError> {
    let Some((first, ended)) = next_piece(open, &mut chunks).await else { return Ok(Uploaded::CutOff) };
    if ended {
        let sha256 = Sha256::digest(&first).into();
        let stored = store.put_new(key, first.clone(), sha256).await;
        open.give_back(first);
        return stored.map(|()| Uploaded::Whole);
    }

    let upload_id = store.begin_upload(key).await?;
    open.add(key, &upload_id);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut ready = (first, false);
    loop {
        let (body, ended) = ready;
        let is_empty = body.is_empty();
        let number = i32::try_from(pieces.len() + 1).unwrap_or(i32::MAX);
        // The next piece fills while this one travels.
        let travels = store.put_piece(key, &upload_id, number, body.clone());
        if ended {
            if !is_empty {
                pieces.push(travels.await?);
            }
            open.give_back(body);
            break;
        }
        let (stored, next) = tokio::join!(travels, next_piece(open, &mut chunks));
        pieces.push(stored?);
        open.give_back(body);
        let Some(next) = next else { return Ok(Uploaded::CutOff) };
        ready = next;
    }
    let composite = store.complete_upload(key, &upload_id, &pieces).await?;
    open.remove(key);
    Ok(Uploaded::InPieces(composite))
}

/// Collects up to [`PIECE_BYTES`], and says whether the stream ended with them. A chunk is never split:
/// a piece may be larger by one chunk.
async fn next_piece(open: &OpenUploads, chunks: &mut mpsc::Receiver<Flow<Bytes>>) -> Option<(Bytes, bool)> {
    let mut piece = open.take_buffer();
    loop {
        match chunks.recv().await? {
            Flow::Chunk(chunk) => {
                piece.extend_from_slice(&chunk);
                if piece.len() >= PIECE_BYTES {
                    return Some((piece.freeze(), false));
                }
            }
            Flow::End => return Some((piece.freeze(), true)),
        }
    }
}
