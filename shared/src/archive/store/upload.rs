//! From a stream of unknown length to one object: in a single request where it is small, in pieces where
//! it is not. Memory: the piece that fills and the piece that is under way.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{ObjectStore, Piece, StoreError};
use crate::archive::encode::Flow;

/// Size of a piece, and the largest object that goes up in one request. S3 takes 10,000 pieces, so an
/// object may have 80 GB.
pub const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// The multipart uploads that are not complete, so that whoever ends the work early can give them up.
#[derive(Default)]
pub struct OpenUploads {
    by_key: Mutex<BTreeMap<String, String>>,
}

impl OpenUploads {
    fn add(&self, key: &str, upload_id: &str) {
        self.lock().insert(key.to_owned(), upload_id.to_owned());
    }

    fn remove(&self, key: &str) {
        self.lock().remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.by_key.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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

/// Stores what comes from `chunks` as `key`. `None` where the stream was cut off: then nothing is stored,
/// and the stage before knows why.
///
/// # Errors
/// [`StoreError`]. Pieces that went up are left to [`OpenUploads::abort_all`].
pub async fn upload_stream(
    store: &impl ObjectStore,
    open: &OpenUploads,
    key: &str,
    mut chunks: mpsc::Receiver<Flow<Bytes>>,
) -> Result<Option<()>, StoreError> {
    let Some((first, ended)) = next_piece(&mut chunks).await else { return Ok(None) };
    if ended {
        let sha256 = Sha256::digest(&first).into();
        return store.put_new(key, first, sha256).await.map(Some);
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
        let travels = store.put_piece(key, &upload_id, number, body);
        if ended {
            if !is_empty {
                pieces.push(travels.await?);
            }
            break;
        }
        let (stored, next) = tokio::join!(travels, next_piece(&mut chunks));
        pieces.push(stored?);
        let Some(next) = next else { return Ok(None) };
        ready = next;
    }
    store.complete_upload(key, &upload_id, &pieces).await?;
    open.remove(key);
    Ok(Some(()))
}

/// Collects up to [`PIECE_BYTES`], and says whether the stream ended with them. A chunk is never split:
/// a piece may be larger by one chunk.
async fn next_piece(chunks: &mut mpsc::Receiver<Flow<Bytes>>) -> Option<(Bytes, bool)> {
    let mut piece = Vec::new();
    loop {
        match chunks.recv().await? {
            Flow::Chunk(chunk) => {
                piece.extend_from_slice(&chunk);
                if piece.len() >= PIECE_BYTES {
                    return Some((piece.into(), false));
                }
            }
            Flow::End => return Some((piece.into(), true)),
        }
    }
}
