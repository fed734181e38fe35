//! Work that is to end early ends where nothing of it is under way at the store.
//!
//! A request whose sender is gone may still be carried out. A piece that arrives after its upload was given up stays
//! behind, and is paid for (Amazon S3 API Reference, "AbortMultipartUpload"), and an upload whose begin was not waited for
//! has an id that nobody knows. So whoever ends the work asks it to stop, and waits a moment for what is on its way.

use tokio::sync::watch;

/// Asked once, and then for good.
#[derive(Debug, Default)]
pub struct Stop {
    asked: watch::Sender<bool>,
}

impl Stop {
    /// Asks all that work to begin nothing more.
    pub fn ask(&self) {
        self.asked.send_replace(true);
    }

    /// Returns when it was asked.
    pub async fn asked(&self) {
        // The sender cannot end first: it is borrowed.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }
}
