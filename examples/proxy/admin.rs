//! The admin port: `--admin` and `--admin-token`.

use std::{fmt, net::SocketAddr};

use crate::options::Options;

#[cfg(feature = "admin")]
pub(crate) use self::served::Admin;
#[cfg(not(feature = "admin"))]
pub(crate) use self::unserved::Admin;

/// What the cache is called on that port.
pub(crate) const SPACE: &str = "responses";

/// What `--admin-token` takes. It isn't shown.
#[derive(Clone)]
pub(crate) struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Whatever is wrong with it is said later, for clap would show it.
pub(crate) fn token(text: &str) -> Result<Token, std::convert::Infallible> {
    Ok(Token(text.to_owned()))
}

/// Whether only this machine reaches it.
fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Opens the port, if there is to be one. Nobody is answered yet.
pub(crate) fn open(options: &Options) -> anyhow::Result<Option<Admin>> {
    let Some(address) = options.admin else { return Ok(None) };
    if options.admin_token.is_none() && !is_loopback(address) {
        anyhow::bail!(
            "--admin {address} can be reached from other machines, who could see and purge what is kept; give it an \
             --admin-token, or take a loopback address such as 127.0.0.1:9090"
        );
    }
    Admin::open(address, options.admin_token.as_ref()).map(Some)
}

#[cfg(feature = "admin")]
mod served {
    use std::{net::SocketAddr, sync::Arc, time::Duration};

    use anyhow::Context as _;
    use axum::{
        Router,
        extract::Request,
        middleware::{Next, from_fn},
        response::{IntoResponse as _, Response},
    };
    use http::{
        StatusCode,
        header::HOST,
        uri::{Authority, Uri},
    };
    use hyper::server::conn::http1;
    use hyper_util::{
        rt::{TokioIo, TokioTimer},
        service::TowerToHyperService,
    };
    use larder::{
        admin::{self, Explain},
        cache,
        llm::{Ledger, embeddings},
        rate_limit,
        rate_limit::limiter::BoxLimiter,
        retry,
    };
    use tokio::{net::TcpListener, sync::Semaphore};

    use super::{SPACE, Token, is_loopback};
    use crate::{problem, server};

    /// How long a client may take to send a request's head.
    const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

    /// Connections at the same time: whoever opens more takes none from those who are served.
    const CONNECTIONS: usize = 256;

    /// The port, while nobody is answered.
    pub(crate) struct Admin {
        listener: TcpListener,
        address: SocketAddr,
        token: Option<Token>,
    }

    impl Admin {
        pub(super) fn open(address: SocketAddr, token: Option<&Token>) -> anyhow::Result<Self> {
            // Found before anything is served.
            drop(set_up(admin::Builder::new(), token).try_build().context("--admin-token")?);
            let listener = server::bind(address).with_context(|| {
                format!(
                    "--admin {address} can't be bound; take another address than --listen has, or port 0 for a free one"
                )
            })?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address, token: token.cloned() })
        }

        /// Answers from now on, as long as the runtime lives.
        pub(crate) fn serve(
            self,
            cache: cache::Handle,
            retry: retry::Handle,
            limits: Option<rate_limit::Handle<BoxLimiter>>,
            embeddings: Option<embeddings::Handle>,
            ledger: Option<Ledger>,
            explain: impl Explain,
        ) -> anyhow::Result<()> {
            let mut builder = admin::Builder::new().cache(SPACE, cache).retry("upstreams", retry).explain(explain);
            if let Some(limits) = limits {
                builder = builder.rate_limit("clients", limits);
            }
            if let Some(embeddings) = embeddings {
                builder = builder.embeddings("embeddings", embeddings);
            }
            if let Some(ledger) = ledger {
                builder = builder.ledger(ledger);
            }
            let mut router = set_up(builder, self.token.as_ref()).try_build()?;
            if self.token.is_none() && is_loopback(self.address) {
                router = router.layer(from_fn(local_name));
            }
            eprintln!("admin on http://{}/", self.address);
            tokio::spawn(accept(self.listener, router));
            Ok(())
        }
    }

    fn set_up(builder: admin::Builder, token: Option<&Token>) -> admin::Builder {
        match token {
            Some(Token(token)) => builder.token(token),
            None => builder.insecure(),
        }
    }

    async fn accept(listener: TcpListener, router: Router) {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(permit) = free.clone().acquire_owned().await {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection to the admin port could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the admin port broke");
                }
            });
        }
    }

    /// Without a token, whoever can have a browser on this machine go to a name of theirs that leads here could ask as well as its
    /// user. So the port answers to no name but its own.
    async fn local_name(request: Request, next: Next) -> Response {
        let named = request.uri().authority().cloned().or_else(|| {
            let host = request.headers().get(HOST)?;
            Authority::try_from(host.as_bytes()).ok()
        });
        let named = named.and_then(|authority| Uri::builder().authority(authority).build().ok());
        let is_local = named.as_ref().and_then(Uri::host).is_some_and(|host| {
            host.eq_ignore_ascii_case("localhost") || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        });
        if is_local {
            return next.run(request).await;
        }
        let detail =
            "without an --admin-token this port answers to its address and to localhost only; ask by one of those";
        problem::response(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
    }
}

#[cfg(not(feature = "admin"))]
mod unserved {
    use std::net::SocketAddr;

    use super::Token;

    /// There is none.
    pub(crate) enum Admin {}

    impl Admin {
        pub(super) fn open(_: SocketAddr, token: Option<&Token>) -> anyhow::Result<Self> {
            // Its text is for the other one.
            let _ = token.map(|Token(text)| text);
            anyhow::bail!("--admin: this proxy was built without it; build it with --features admin")
        }

        pub(crate) fn serve<C, R, L, K, M, E>(self, _: C, _: R, _: L, _: K, _: M, _: E) -> anyhow::Result<()> {
            match self {}
        }
    }
}
