//! The threads on which the stack's own servers run.
//!
//! They are not the test's: a test may block its thread (waiting for the AWS CLI, say) while the servers must answer.

use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// A runtime of its own; everything on it ends when this is dropped.
#[derive(Debug)]
pub struct Engine {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Engine {
    /// Starts the threads.
    pub fn start() -> Result<Engine> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("stack")
            .enable_all()
            .build()
            .map_err(Error::io("start the stack's runtime"))?;
        let handle = runtime.handle().clone();
        Ok(Engine { runtime: Some(runtime), handle })
    }

    /// What spawns onto these threads.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs a future on these threads, so that whatever it spawns stays on them, and waits for it.
    pub async fn run<F>(&self, future: F) -> Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future).await.map_err(|error| Error::failed("run on the stack's threads", &error))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A plain drop waits, which is forbidden inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Serves `router` on a free loopback port of `handle`'s runtime until `until` completes (or the runtime ends).
pub(crate) fn serve(
    handle: &Handle,
    router: Router,
    until: impl Future<Output = ()> + Send + 'static,
) -> Result<SocketAddr> {
    let listener =
        std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("listen on a free loopback port"))?;
    let address = listener.local_addr().map_err(Error::io("read a listener's address"))?;
    listener.set_nonblocking(true).map_err(Error::io("prepare a listener"))?;
    let listener = {
        let _inside = handle.enter();
        TcpListener::from_std(listener).map_err(Error::io("hand a listener to the runtime"))?
    };
    // Without it Nagle's algorithm and delayed acknowledgements add 40 ms to a request now and then.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    handle.spawn(async move {
        tokio::select! {
            _ = axum::serve(listener, router) => {}
            () = until => {}
        }
    });
    Ok(address)
}
