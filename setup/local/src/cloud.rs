//! The local cloud for its user: start, send, watch, stop.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use crate::{
    Address, Counts, Error, Failure, Faults, Options, Status, Token, api, dynamodb::Tables,
    invocation::Outcome, invoke, queue::Queue,
};

/// The time that a process has to save its work when it is told to end, as on Lambda.
const GRACE: Duration = Duration::from_secs(2);

/// A running local cloud; dropping it ends every process that it started.
#[derive(Debug)]
pub struct LocalCloud {
    address: Address,
    queue: Arc<Queue>,
    server: JoinHandle<()>,
}

impl LocalCloud {
    /// Starts to listen; processes are started when events come.
    ///
    /// # Errors
    /// A setting that Lambda would not accept, an address that is not the loopback or is in use, or a binary
    /// that cannot be run.
    pub async fn start(options: Options) -> Result<Self, Error> {
        options.check()?;
        let address = options.listen;
        let cannot = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot)?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(cannot)?);
        let address = Address { endpoint, token: Token::fresh().map_err(Error::Token)? };
        let tables = Tables::with(&options.tables);
        let door = api::door(&options, &address);
        let queue = Queue::new(options, address.clone());
        let server = tokio::spawn(door.serve(listener, api::router(queue.clone(), tables)));
        Ok(Self { address, queue, server })
    }

    /// Its address and token.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends an event from outside, as Invoke with `X-Amz-Invocation-Type: Event` does, and returns its
    /// request id.
    ///
    /// # Errors
    /// The payload is not JSON or larger than 1 MB, or the local cloud is shut down.
    pub fn invoke_event(&self, payload: impl Into<Vec<u8>>) -> Result<String, Error> {
        let payload = payload.into();
        invoke::check_event(&payload).map_err(Error::Event)?;
        self.queue.event(payload.into(), None)
    }

    /// Sends a request and waits for its answer. It runs beside all others, whatever the concurrency is,
    /// so that who owns the local cloud can always start and tick.
    ///
    /// # Errors
    /// The payload is not JSON or larger than 1 MB, the local cloud is shut down, or the function failed:
    /// [`Error::Failed`] with Lambda's error object.
    pub async fn ask(&self, payload: impl Into<Vec<u8>>) -> Result<String, Error> {
        let payload = payload.into();
        invoke::check_event(&payload).map_err(Error::Event)?;
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        match self.queue.ask(payload.into())?.await {
            Ok(Outcome::Answered(answer)) => Ok(text(answer)),
            Ok(Outcome::Failed(failed)) => Err(Error::Failed(text(failed.payload))),
            Err(_) => Err(Error::Closed),
        }
    }

    /// The events that were given up, oldest first.
    pub fn failures(&self) -> Vec<Failure> {
        self.queue.status().failures
    }

    /// The counts since the start.
    pub fn counts(&self) -> Counts {
        self.queue.status().counts
    }

    /// The content of `GET /_baton/status`.
    pub fn status(&self) -> Status {
        self.queue.status()
    }

    /// Changes the faults from now on; the draws begin again from the seed.
    ///
    /// # Errors
    /// A chance outside of 0 to 1.
    pub fn set_faults(&self, faults: Faults) -> Result<(), Error> {
        faults.check()?;
        self.queue.set_faults(faults);
        Ok(())
    }

    /// Waits until no event is queued, running, or waiting for a retry.
    pub async fn idle(&self) {
        self.queue.idle().await;
    }

    /// Tells every process to end, and after two seconds ends it; waits until they are gone.
    pub async fn shutdown(self) {
        self.queue.leave();
        let _ = timeout(GRACE, self.queue.rested()).await;
        self.queue.close();
        self.queue.ended().await;
    }
}

impl Drop for LocalCloud {
    fn drop(&mut self) {
        self.queue.close();
        self.server.abort();
    }
}
