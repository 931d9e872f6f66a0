//! The server's thread: connections are taken in, answered, and ended in order.
//!
//! One thread turns all of them, at a lower priority than the sampler's, and some more
//! wait for disks. What is answered is the router's business.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use super::link::Link;
use super::live::Live;
use super::peers::{Counted, Peers};
use super::picture::Machine;
use super::{ANSWERS, QUESTIONS, Settings, Sources, priority, router};
use crate::feed::Feed;

/// Connections at a time that are no event streams, which have places of their own;
/// further ones wait to be taken in.
const CONNECTIONS: usize = 128;

/// Longest time a request may take to arrive, and the next one on the same connection
/// to begin.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Room for a request as it arrives, bytes: more than `limits` allows, so that most of
/// what is too long is told so in words.
const ROOM: usize = 32 * 1024;

/// Longest time in which a client takes nothing of what is sent to it, milliseconds.
const STALLED: u32 = 30_000;

/// Most bytes that the kernel holds of what is sent on a connection; it doubles them.
const UNSENT: usize = 256 * 1024;

/// Time for running answers at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Rest after the machine had no room for a further connection.
const REST: Duration = Duration::from_millis(200);

/// The running server; see the module's text.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Makes the pictures that it shows; ends by itself soon after it.
    painter: JoinHandle<()>,
}

/// Takes the address for itself, without answering yet.
///
/// # Errors
/// If somebody has it, or this process may not or cannot.
pub fn bind(address: SocketAddr) -> Result<TcpListener> {
    let mend = |error: &io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => "another server is there: end it, or choose with --listen",
        io::ErrorKind::PermissionDenied => {
            "choose a port from 1024 on with --listen, or give netmon CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "no interface here has it: choose with --listen",
        _ => "choose another with --listen",
    };
    TcpListener::bind(address)
        .map_err(|error| anyhow!("could not listen on {address}: {error}; {}", mend(&error)))
}

impl Server {
    /// Starts to answer on `listener` with what `feed` brings.
    ///
    /// # Errors
    /// If there can be no further thread, or the listener is none.
    pub fn start(listener: TcpListener, feed: Arc<Feed>, settings: Settings) -> Result<Server> {
        let address = listener.local_addr().context("no address to listen on")?;
        listener
            .set_nonblocking(true)
            .context("could not prepare to listen")?;
        let live = Arc::new(Live::default());
        let machine = Machine {
            host: settings.host.clone(),
            version: env!("CARGO_PKG_VERSION"),
            health: Arc::clone(&settings.health),
        };
        let asks_for_token = settings.guard.asks_for_token();
        let sources = Arc::new(Sources::new(settings, Arc::clone(&live)));
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(QUESTIONS + ANSWERS)
            .thread_name("http-work")
            .build()
            .context("could not start the server")?;
        let (stop, stopped) = oneshot::channel();
        let painter = live.follow(feed, machine)?;
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                let door = Door::new(router(sources), asks_for_token);
                serve(runtime, listener, door, &live, stopped);
            })
            .context("could not start a thread")?;
        tracing::info!("listening on http://{address}");
        Ok(Server {
            address,
            stop: Some(stop),
            thread: Some(thread),
            painter,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it or the thread that it depends on has ended by itself, which neither
    /// should.
    pub fn has_ended(&self) -> bool {
        self.painter.is_finished() || self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Takes nobody in any longer, ends the event streams, and waits for the running
    /// answers, but not for long.
    ///
    /// # Errors
    /// If it panicked.
    pub fn end(mut self) -> Result<()> {
        self.finish()
    }

    fn finish(&mut self) -> Result<()> {
        // Dropped, it says the same as sent.
        self.stop = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(anyhow!("the server panicked")),
            _ => Ok(()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What a panic said has been printed.
        let _ = self.finish();
    }
}

/// The thread.
fn serve(
    runtime: Runtime,
    listener: TcpListener,
    door: Door,
    live: &Live,
    stopped: oneshot::Receiver<()>,
) {
    priority::lower();
    runtime.block_on(async {
        let connections = GracefulShutdown::new();
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => door.take_in(listener, stopped, &connections).await,
            Err(error) => tracing::error!("could not listen: {error}"),
        }
        live.end();
        if timeout(GRACE, connections.shutdown()).await.is_err() {
            tracing::warn!("some requests were not answered before the end");
        }
    });
    // A question that still waits for a disk is not waited for.
    runtime.shutdown_background();
}

/// Where connections come in.
struct Door {
    router: Router,
    /// A connection must bring the token before long.
    asks_for_token: bool,
    places: Arc<Semaphore>,
    peers: Peers,
}

impl Door {
    fn new(router: Router, asks_for_token: bool) -> Door {
        Door {
            router,
            asks_for_token,
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            peers: Peers::default(),
        }
    }

    /// Takes in one connection after the other, until it shall stop.
    async fn take_in(
        &self,
        listener: tokio::net::TcpListener,
        mut stopped: oneshot::Receiver<()>,
        connections: &GracefulShutdown,
    ) {
        let mut full = false;
        loop {
            let next = async {
                // A place first: whom there is none for waits outside, at no cost.
                let place = Arc::clone(&self.places).acquire_owned().await;
                (place, listener.accept().await)
            };
            match until(next, &mut stopped).await {
                None | Some((Err(_), _)) => return,
                Some((Ok(place), Ok((stream, peer)))) => {
                    full = false;
                    // Whoever has too many is hung up on.
                    if let Some(counted) = self.peers.count(peer.ip()) {
                        let link = Arc::new(Link::new(place, self.asks_for_token));
                        let router = self.router.clone();
                        let watcher = connections.watcher();
                        tokio::spawn(converse(stream, router, watcher, link, counted));
                    }
                }
                Some((_, Err(error))) if is_of_the_other_end(&error) => {}
                Some((_, Err(error))) => {
                    if !full {
                        tracing::warn!("could not take in a connection: {error}");
                    }
                    full = true;
                    sleep(REST).await;
                }
            }
        }
    }
}

/// What `next` gives, or nothing if the end comes before.
async fn until<T>(next: impl Future<Output = T>, end: &mut (impl Future + Unpin)) -> Option<T> {
    let mut next = Box::pin(next);
    poll_fn(|context| {
        if Pin::new(&mut *end).poll(context).is_ready() {
            return Poll::Ready(None);
        }
        next.as_mut().poll(context).map(Some)
    })
    .await
}

/// An error of a connection that ended before it was taken in.
fn is_of_the_other_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Answers the requests of one connection.
async fn converse(
    stream: TcpStream,
    router: Router,
    watcher: Watcher,
    link: Arc<Link>,
    _counted: Counted,
) {
    // Without these it is slower or held for longer, no more.
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &STALLED);
    let _ = setsockopt(&stream, sockopt::SndBuf, &UNSENT);
    let router = TowerToHyperService::new(router);
    let known = Arc::clone(&link);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&known));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(ARRIVAL)
        .max_buf_size(ROOM)
        .serve_connection(TokioIo::new(stream), service);
    let mut overdue = Box::pin(link.overdue());
    match until(watcher.watch(connection), &mut overdue).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!("a connection ended: {error}"),
        None => tracing::debug!("a connection is cut: it takes nothing, or brought no token"),
    }
}
