//! An HTTP/1.1 server of a few lines whose answers a test makes up: token servers, registries that lie, break
//! off or stall.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long [`Ending::Stall`] holds a connection that its client does not close.
const STALL: Duration = Duration::from_secs(30);

/// What a client sent.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl HttpRequest {
    /// The value of the header `name`, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// What to send back.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Headers; `content-length` is added unless it is here.
    pub headers: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
    /// How much of the content is really sent, and what happens then.
    pub ending: Ending,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Whole,
    /// The connection is closed after that many bytes of content.
    CloseAfter(usize),
    /// Nothing more comes after that many bytes of content.
    Stall(usize),
}

impl HttpResponse {
    /// An answer with `status` and `body`.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), ending: Ending::Whole }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The same with another ending.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

type Handler = dyn Fn(&HttpRequest) -> HttpResponse + Send + Sync;

/// A running server; dropping it closes all its connections.
pub struct HttpServer {
    address: String,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    requests: Arc<Mutex<Vec<HttpRequest>>>,
    listener: Option<JoinHandle<()>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
}

impl HttpServer {
    /// A server that answers with `handler`.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub fn start(handler: impl Fn(&HttpRequest) -> HttpResponse + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
        let address = listener.local_addr().expect("the address of a listener").to_string();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let handler: Arc<Handler> = Arc::new(handler);
        let (open, log, stopping) = (connections.clone(), requests.clone(), stop.clone());
        let listener = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming().flatten() {
                if stopping.load(std::sync::atomic::Ordering::SeqCst) {
                    break;
                }
                locked(&open).extend(stream.try_clone());
                let (handler, log) = (handler.clone(), log.clone());
                threads.push(std::thread::spawn(move || serve(stream, &*handler, &log)));
            }
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        Self { address, connections, requests, listener: Some(listener), stop }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What was asked so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<HttpRequest> {
        locked(&self.requests).clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::SeqCst);
        // Wakes the listener, which then sees that it should stop.
        if let Ok(address) = self.address.parse() {
            let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        }
        for stream in locked(&self.connections).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<HttpRequest>>) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(request) = read_request(&mut reader) {
        let response = handler(&request);
        let is_head = request.method == "HEAD";
        locked(log).push(request);
        if write_response(&stream, &response, is_head).is_none() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<HttpRequest> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = HttpRequest { method, target, headers, body: Vec::new() };
    let len = request.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    request.body.resize(len, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// `None` where the connection is to be closed.
fn write_response(mut stream: &TcpStream, response: &HttpResponse, is_head: bool) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} Made Up\r\n", response.status);
    if !response.headers.iter().any(|(name, _)| name == "content-length") {
        head += &format!("content-length: {}\r\n", response.body.len());
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if is_head {
        return Some(());
    }
    let sent = match response.ending {
        Ending::Whole => response.body.len(),
        Ending::CloseAfter(len) | Ending::Stall(len) => len.min(response.body.len()),
    };
    stream.write_all(&response.body[..sent]).ok()?;
    match response.ending {
        Ending::Whole => Some(()),
        Ending::CloseAfter(_) => None,
        Ending::Stall(_) => {
            // Ends as soon as the client or the server's end closes the connection.
            stream.set_read_timeout(Some(STALL)).ok()?;
            let _ = stream.read(&mut [0]);
            None
        }
    }
}
