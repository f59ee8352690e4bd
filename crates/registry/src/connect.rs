//! From a URI to a byte stream: name → address → (proxy) → TCP → TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::dns::{ResolveError, Resolver};
use crate::proxy::Proxies;

/// How long one address may take to answer a SYN.
const TCP_LIMIT: Duration = Duration::from_secs(10);
/// How long a handshake of TLS or with a proxy may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
/// The longest answer to CONNECT that is read.
const PROXY_ANSWER_LIMIT: usize = 16 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: ResolveError,
    },
    /// No address of the host takes connections.
    #[error("cannot connect to {address}")]
    Tcp {
        /// The last address tried.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The proxy refuses, or is no proxy.
    #[error("proxy {proxy}: {reason}")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// What it said.
        reason: String,
    },
    /// The handshake failed.
    #[error("no TLS with {host}")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The URL names no host.
    #[error("{0}: names no host")]
    NoHost(String),
}

impl ConnectError {
    /// True where the other side seems to speak something other than TLS, or where the proxy in between lets no
    /// TLS through to it.
    pub(crate) fn is_not_tls(&self) -> bool {
        let source = match self {
            ConnectError::Tls { source, .. } => source,
            ConnectError::Proxy { .. } => return true,
            _ => return false,
        };
        let inner = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidMessage(_)) => true,
            Some(_) => false,
            None => {
                matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
            }
        }
    }
}

/// Makes connections for one endpoint, whose certificates no other host gets to see.
#[derive(Clone)]
pub(crate) struct Connector {
    /// How names become addresses.
    pub resolver: Resolver,
    /// What stands in between.
    pub proxies: Proxies,
    /// The host that `tls` is for.
    pub host: String,
    /// TLS with that host.
    pub tls: Arc<ClientConfig>,
    /// TLS with everyone else: token servers, storage that a registry redirects to, proxies.
    pub tls_elsewhere: Arc<ClientConfig>,
}

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let host = uri.host().ok_or_else(|| ConnectError::NoHost(uri.to_string()))?;
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let mut stream = match self.proxies.select(https, host, port) {
            None => self.tcp(host, port).await?,
            Some(proxy) => self.through_proxy(proxy, https, host, port).await?,
        };
        if https {
            let config = if host == self.host { &self.tls } else { &self.tls_elsewhere };
            stream = handshake(config, host, stream).await?;
        }
        Ok(TokioIo::new(stream))
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<Stream, ConnectError> {
        let resolved = self.resolver.lookup(host).await;
        let addresses = resolved.map_err(|source| ConnectError::Resolve { host: host.to_owned(), source })?;
        let mut last = None;
        for address in addresses {
            match tcp_to(address, port).await {
                Ok(stream) => return Ok(Stream::tcp(stream)),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::NoHost(host.to_owned())))
    }

    async fn through_proxy(
        &self,
        proxy: &str,
        https: bool,
        host: &str,
        port: u16,
    ) -> Result<Stream, ConnectError> {
        let target = ProxyTarget::parse(proxy)?;
        let mut stream = self.tcp(&target.host, target.port).await?;
        if target.tls {
            stream = handshake(&self.tls_elsewhere, &target.host, stream).await?;
        }
        if !https {
            stream.proxied = true;
            return Ok(stream);
        }
        match timeout(HANDSHAKE_LIMIT, target.tunnel(&mut stream, host, port)).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(reason)) => Err(target.error(reason)),
            Err(_) => Err(target.error("no answer to CONNECT".to_owned())),
        }
    }
}

async fn tcp_to(address: IpAddr, port: u16) -> Result<TcpStream, ConnectError> {
    let address = SocketAddr::new(address, port);
    let connected = timeout(TCP_LIMIT, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|source| ConnectError::Tcp { address, source })?;
    // Requests are small and wait for their answer: Nagle would hold them back.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn handshake(config: &Arc<ClientConfig>, host: &str, stream: Stream) -> Result<Stream, ConnectError> {
    let failed = |source| ConnectError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let proxied = stream.proxied;
    let shaken = timeout(HANDSHAKE_LIMIT, TlsConnector::from(config.clone()).connect(name, stream)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    Ok(Stream { layer: Layer::Tls(Box::new(shaken.map_err(failed)?)), proxied })
}

struct ProxyTarget {
    tls: bool,
    host: String,
    port: u16,
    authorization: Option<String>,
}

impl ProxyTarget {
    fn parse(proxy: &str) -> Result<ProxyTarget, ConnectError> {
        let shown = proxy.rsplit_once('@').map_or(proxy, |(_, rest)| rest);
        let wrong = |reason: &str| ConnectError::Proxy { proxy: shown.to_owned(), reason: reason.to_owned() };
        let text = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("not a URL"))?;
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("only http:// and https:// proxies are spoken to")),
        };
        let uri: Uri = format!("{scheme}://{address}").parse().map_err(|_| wrong("not a URL"))?;
        Ok(ProxyTarget {
            tls,
            host: uri.host().ok_or_else(|| wrong("names no host"))?.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authorization: user.map(|user| format!("Basic {}", STANDARD.encode(crate::url::decode(user)))),
        })
    }

    fn error(&self, reason: String) -> ConnectError {
        ConnectError::Proxy { proxy: format!("{}:{}", self.host, self.port), reason }
    }

    async fn tunnel(&self, stream: &mut Stream, host: &str, port: u16) -> Result<(), String> {
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        if let Some(authorization) = &self.authorization {
            request += &format!("Proxy-Authorization: {authorization}\r\n");
        }
        request += "\r\n";
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        // Byte by byte, as what follows the empty line belongs to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == PROXY_ANSWER_LIMIT {
                return Err("the answer to CONNECT has no end".to_owned());
            }
            answer.push(stream.read_u8().await.map_err(|error| error.to_string())?);
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default();
        match line.split_whitespace().nth(1) {
            Some(code) if code.starts_with('2') => Ok(()),
            _ => Err(format!("refuses CONNECT {host}:{port}: {line}")),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Arc<ConnectError>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        // Shared, so that it can be taken out of hyper's error, which only lends it.
        Box::pin(async { connector.connect(uri).await.map_err(Arc::new) })
    }
}

/// A connection, with TLS around TCP or around another TLS as the way demands.
pub(crate) struct Stream {
    layer: Layer,
    /// True where an HTTP proxy reads the requests, which then carry whole URLs.
    proxied: bool,
}

enum Layer {
    Tcp(TcpStream),
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    fn tcp(stream: TcpStream) -> Stream {
        Stream { layer: Layer::Tcp(stream), proxied: false }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Layer::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().layer {
            Layer::Tcp(stream) => Pin::new(stream).poll_write(context, data),
            Layer::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Layer::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().layer {
            Layer::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Layer::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
