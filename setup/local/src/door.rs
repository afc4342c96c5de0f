//! The door of a listener: who may connect, how many at a time, and how long a connection may stay without
//! showing the token.
//!
//! Any program and any user of this machine can connect to the loopback, and any web page can through a
//! browser. So a request must show a token, which a page cannot know and another user cannot read.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::pending,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderValue, Request, StatusCode, Uri, Version, header, uri::PathAndQuery},
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::Token;

/// How long a connection may take to show the token.
const STRANGER: Duration = Duration::from_secs(10);
/// The wait after a connection that cannot be accepted: the process may have no free file descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// The largest head of a request: a trace, a signature and a token are a few hundred bytes.
const LARGEST_HEAD: usize = 64 << 10;
/// The header in which an AWS SDK sends its session token.
const SESSION: &str = "x-amz-security-token";

/// Where a request shows the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As the session token of its AWS credentials.
    Session,
    /// As the first part of its path.
    Path,
}

/// The door of one listener.
#[derive(Debug)]
pub struct Door {
    /// The token that opens it.
    pub token: Token,
    /// The place of the token in a request.
    pub shown: Shown,
    /// How many connections there may be at a time. One more replaces the oldest that has not shown the
    /// token, and waits if all have.
    pub most: usize,
    /// The service's words for a refusal: its status, kind and message.
    pub refuse: fn(StatusCode, &str, &str) -> Response,
}

/// The connections that have not shown the token, the oldest first, each with the signal that ends it.
type Strangers = Mutex<BTreeMap<u64, Arc<Notify>>>;

/// One connection among others.
#[derive(Debug, Clone)]
struct Guest {
    number: u64,
    go: Arc<Notify>,
    strangers: Arc<Strangers>,
}

impl Guest {
    fn new(number: u64, strangers: &Arc<Strangers>) -> Self {
        let go = Arc::new(Notify::new());
        lock(strangers).insert(number, go.clone());
        Self { number, go, strangers: strangers.clone() }
    }

    /// It has shown the token, or has ended.
    fn is_no_stranger(&self) {
        lock(&self.strangers).remove(&self.number);
    }

    /// Waits until it has to go: it has not shown the token in time, or its place is needed. A known
    /// connection may be silent for as long as an invocation lasts.
    async fn has_to_go(&self) {
        let needed = timeout(STRANGER, self.go.notified()).await.is_ok();
        if !needed && !lock(&self.strangers).contains_key(&self.number) {
            pending::<()>().await;
        }
    }
}

fn lock(strangers: &Strangers) -> MutexGuard<'_, BTreeMap<u64, Arc<Notify>>> {
    strangers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Door {
    /// Serves all callers until it is dropped; then every connection ends with it.
    pub async fn serve(self, listener: TcpListener, routes: Router) {
        let (door, routes) = (Arc::new(self), TowerToHyperService::new(routes));
        let (slots, strangers) = (Arc::new(Semaphore::new(door.most)), Arc::new(Strangers::default()));
        let mut connections = JoinSet::new();
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            while connections.try_join_next().is_some() {}
            if slots.available_permits() == 0 {
                lock(&strangers).pop_first().into_iter().for_each(|(_, go)| go.notify_one());
            }
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let guest = Guest::new(number, &strangers);
            let (door, routes) = (door.clone(), routes.clone());
            connections.spawn(async move {
                door.talk(stream, routes, &guest).await;
                guest.is_no_stranger();
                drop(slot);
            });
        }
    }

    /// Answers the requests of one connection, in HTTP/1.1 only: in HTTP/2 a request has no Host.
    async fn talk(self: Arc<Self>, stream: TcpStream, routes: TowerToHyperService<Router>, guest: &Guest) {
        let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
            let refusal = self.refusal(&mut request);
            if refusal.is_none() {
                guest.is_no_stranger();
            }
            let routes = routes.clone();
            async move {
                match refusal {
                    None => routes.call(request).await,
                    Some(refusal) => Ok::<_, Infallible>(refusal),
                }
            }
        });
        let mut http = http1::Builder::new();
        let connection = http.max_header_size(LARGEST_HEAD).serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            // A broken connection is its client's business.
            _ = connection => {}
            () = guest.has_to_go() => {}
        }
    }

    /// Accepts a request and removes the token from its path, or returns the refusal, after which the
    /// connection ends.
    fn refusal<B>(&self, request: &mut Request<B>) -> Option<Response> {
        let known = match self.shown {
            Shown::Session => {
                request.headers().get(SESSION).is_some_and(|token| self.token.is(token.as_bytes()))
            }
            Shown::Path => self.take_from_path(request),
        };
        let (kind, message) = match (is_of_a_program(request), known) {
            (true, true) => return None,
            (true, false) => ("UnrecognizedClientException", "the token is missing or wrong"),
            (false, _) => {
                ("AccessDeniedException", "only programs on this machine are served, not web pages")
            }
        };
        let mut refusal = (self.refuse)(StatusCode::FORBIDDEN, kind, message);
        refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(refusal)
    }

    /// Removes the token from the path, if it is there.
    fn take_from_path<B>(&self, request: &mut Request<B>) -> bool {
        let whole = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
        let Some((token, rest)) = whole.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return false;
        };
        let Ok(rest) = format!("/{rest}").parse::<Uri>() else { return false };
        let known = self.token.is(token.as_bytes());
        if known {
            *request.uri_mut() = rest;
        }
        known
    }
}

/// Whether a request can be a program's: a web page's has an `Origin`, or another host's name that resolves
/// to this address.
fn is_of_a_program<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next());
    let loopback = host.is_some_and(|host| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    loopback
        && more.is_none()
        && request.version() <= Version::HTTP_11
        && !request.headers().contains_key(header::ORIGIN)
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    fn door(shown: Shown) -> Door {
        let refuse = |status: StatusCode, kind: &str, _: &str| (status, kind.to_owned()).into_response();
        Door { token: Token::fresh().unwrap(), shown, most: 1, refuse }
    }

    fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request = Request::builder().uri(path);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
    }

    #[test]
    fn only_who_shows_the_token_comes_in() {
        let door = door(Shown::Session);
        let token = door.token.text();
        let admitted = |headers: &[(&str, &str)]| door.refusal(&mut request("/", headers)).is_none();
        assert!(admitted(&[("host", "127.0.0.1:1"), (SESSION, token)]));
        assert!(!admitted(&[("host", "127.0.0.1:1")]));
        assert!(!admitted(&[("host", "127.0.0.1:1"), (SESSION, &token[1..])]));
        assert!(!admitted(&[(SESSION, token)]), "no Host");
        assert!(!admitted(&[("host", "localhost"), ("host", "example.com"), (SESSION, token)]), "two Hosts");
        assert!(!admitted(&[("host", "localhost"), ("origin", "null"), (SESSION, token)]), "a page");
        assert!(!admitted(&[("host", "127.0.0.1.example.com"), (SESSION, token)]), "another name");
        let mut old = request("/", &[("host", "localhost"), (SESSION, token)]);
        *old.version_mut() = Version::HTTP_2;
        assert!(door.refusal(&mut old).is_some(), "HTTP/2");
    }

    #[test]
    fn a_token_in_the_path_is_taken_off() {
        let door = door(Shown::Path);
        let host = [("host", "localhost")];
        let mut inside = request(&format!("/{}/run/a?until=3", door.token.text()), &host);
        assert!(door.refusal(&mut inside).is_none());
        assert_eq!(inside.uri().to_string(), "/run/a?until=3");
        for outside in ["/", "/run/a", "//", "/x/y", &format!("/{}", door.token.text())] {
            assert_eq!(door.refusal(&mut request(outside, &host)).unwrap().status(), 403, "{outside}");
        }
    }
}
