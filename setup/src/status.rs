//! `baton status`: a live page of runs, on this machine alone, with the user's own credentials.

mod lanes;
mod looking;
mod page;
pub(crate) mod plot;
mod samples;
mod tables;
mod words;

use crate::Failure;
use crate::output::write_whole;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use local_cloud::{Door, Shown, Token};
use looking::Looking;
use page::{Form, SCRIPT, STYLE};
use protocol::RunId;
use serde::Deserialize;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use terminal::say;
use tokio::net::TcpListener;

/// Shows runs on a web page, live, on this machine only.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    baton status                     runs on AWS, with your own credentials\n  \
    baton status --root efs          runs of the local cloud on this folder, also those that have ended\n  \
    baton status --root efs --run my-run --export run.html   one file to hand in or share\n\
    The page reads the table (dynamodb:Query) and nothing else. It listens on the loopback only, and the\n\
    address that it prints is a secret: who does not have it is refused.")]
pub struct Status {
    /// The folder of a local cloud; without it AWS is asked, with the SDK's own credentials.
    #[arg(long)]
    pub root: Option<PathBuf>,
    /// The DynamoDB table.
    #[arg(long, default_value = crate::cloud::TABLE)]
    pub table: String,
    /// The port; without it any that is free.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// The run to write into a file.
    #[arg(long, requires = "export")]
    pub run: Option<String>,
    /// Write a run's page into this file, and end.
    #[arg(long, requires = "run")]
    pub export: Option<PathBuf>,
}

/// How many connections there may be: a browser has six for a tab.
const CONNECTIONS: usize = 64;

/// The page may show what this server sends, ask it again, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

impl Status {
    /// Serves until Ctrl-C, or writes the file.
    ///
    /// # Errors
    /// A port that is in use, a run that is missing, a file that cannot be written.
    pub async fn run(&self) -> Result<(), Failure> {
        let looking = Looking::new(self.root.clone(), self.table.clone());
        if let (Some(run), Some(file)) = (&self.run, &self.export) {
            return export(&looking, &RunId::new(run.as_str()).map_err(Failure::input)?, file).await;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{address}: {error}; leave --port out, or give another"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let door = door()?;
        say!("http://{address}/{}/   (Ctrl-C ends it)", door.token.text());
        let looking = Arc::new(looking);
        // The first look loads certificates and credentials: this is done before the first page is requested.
        let first = looking.clone();
        tokio::spawn(async move { first.runs().await });
        tokio::select! {
            () = door.serve(listener, router(looking, address.port())) => {}
            () = crate::local::interrupted() => {}
        }
        Ok(())
    }
}

/// The door of the page: whoever has its whole address may enter.
fn door() -> Result<Door, Failure> {
    let token = Token::fresh().map_err(|error| format!("/dev/urandom: {error}"))?;
    let refuse =
        |status: StatusCode, _: &str, message: &str| (status, format!("{message}\n")).into_response();
    Ok(Door { token, shown: Shown::Path, most: CONNECTIONS, refuse })
}

async fn export(looking: &Looking, run: &RunId, file: &std::path::Path) -> Result<(), Failure> {
    let looked = looking.run(run).await;
    if let Some((_, why)) = looked.failing {
        return Err(why.into());
    }
    if looked.last.is_none() {
        let table = &looking.table;
        return Err(Failure::input(format!(
            "run: found {run}, expected a run in table {table:?} or in --root"
        )));
    }
    write_whole(
        file,
        page::run(run.as_str(), &looked, None, Form::File { at_ms: crate::now_ms() }).as_bytes(),
    )?;
    say!("{}", file.display());
    Ok(())
}

fn router(looking: Arc<Looking>, port: u16) -> Router {
    let of = |kind: &'static str, text: &'static str| {
        get(move |headers: HeaderMap| async move { answer(&headers, kind, text.to_owned()) })
    };
    Router::new()
        .route("/", get(list))
        .route("/run/{run}", get(one))
        .route("/style.css", of("text/css; charset=utf-8", STYLE))
        .route("/live.js", of("text/javascript; charset=utf-8", SCRIPT))
        .with_state(looking)
        .layer(from_fn_with_state(port, guard))
}

/// Answers only requests that name this machine: a foreign page could make its name resolve to it. It also
/// adds the policy of the page.
async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut response = if !is_own(host, port) {
        (StatusCode::MISDIRECTED_REQUEST, "ask for localhost\n").into_response()
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a Host header names the loopback and this port.
fn is_own(host: &str, port: u16) -> bool {
    let Some((name, asked)) = host.rsplit_once(':') else { return false };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    asked.parse() == Ok(port) && (name == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

async fn list(State(looking): State<Arc<Looking>>, headers: HeaderMap) -> Response {
    answer(&headers, HTML, page::list(&looking.runs().await, &looking.table))
}

/// The query of a run's page.
#[derive(Deserialize)]
struct Asked {
    /// The last stage of the time line.
    until: Option<u32>,
}

async fn one(
    State(looking): State<Arc<Looking>>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let run = match RunId::new(name) {
        Ok(run) => run,
        Err(error) => return (StatusCode::NOT_FOUND, error.to_string()).into_response(),
    };
    let looked = looking.run(&run).await;
    answer(&headers, HTML, page::run(run.as_str(), &looked, asked.until, Form::Live))
}

const HTML: &str = "text/html; charset=utf-8";

/// Sends a text, unless the client has it already.
fn answer(asked: &HeaderMap, kind: &'static str, text: String) -> Response {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    ([(header::ETAG, tag), (header::CONTENT_TYPE, kind.to_owned())], text).into_response()
}

#[cfg(test)]
mod tests;
