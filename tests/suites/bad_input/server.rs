//! Just enough HTTP for a test: one wrong file served, one event sent.

use local_cloud::Address;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves the same body for every request, and returns its URL.
pub(crate) fn serve(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                .unwrap();
            stream.write_all(body).unwrap();
        }
    });
    url
}

/// Invokes the function of a local cloud and returns its answer.
pub(crate) fn invoke(cloud: &Address, event: &str) -> String {
    let address = cloud.endpoint.strip_prefix("http://").expect("a local endpoint");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /2015-03-31/functions/baton/invocations HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         x-amz-security-token: {}\r\nConnection: close\r\n\r\n{event}",
        event.len(),
        cloud.token.text()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a reply with a body")
}
