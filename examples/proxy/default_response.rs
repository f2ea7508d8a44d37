//! `--default-response`: what is answered when nobody else does.

use std::fs;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};
use serde::Deserialize;
use serde_json::{Map, Value};

const TAKES: &str = "takes a JSON file such as {\"status\": 200, \"headers\": {\"x-own\": \"1\"}, \"body\": \"sorry\"}";

/// What is about the connection rather than the answer, and is the proxy's to say.
const OF_THE_CONNECTION: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// An answer that is always the same.
#[derive(Clone, Debug)]
pub(crate) struct DefaultResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What the file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: Map<String, Value>,
    body: Option<Value>,
}

fn ok() -> u16 {
    200
}

impl DefaultResponse {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what it takes.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text = fs::read(path).map_err(|error| format!("{TAKES}; {error}"))?;
        Self::parse(&text).map_err(|error| format!("{TAKES}; {error}"))
    }

    pub(crate) fn response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        // An array would do for the members in their order.
        let members: Map<String, Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let file: File = serde_json::from_value(members.into()).map_err(|error| error.to_string())?;
        let status = StatusCode::from_u16(file.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let status = status.ok_or_else(|| format!("status {} is none from 200 to 599", file.status))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &file.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("{name:?} can't be the name of a field"))?;
            if OF_THE_CONNECTION.contains(&name) {
                return Err(format!("{name} is the proxy's to set"));
            }
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            headers.insert(name.clone(), value.ok_or_else(|| format!("{name} takes a string that can be a field's"))?);
        }
        let body = match file.body {
            None => Bytes::new(),
            Some(Value::String(text)) => text.into(),
            Some(json) => {
                headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
                json.to_string().into()
            }
        };
        if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
            return Err(format!("a response with status {} has no body", status.as_u16()));
        }
        Ok(Self { status, headers, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Response<Bytes> {
        DefaultResponse::parse(text.as_bytes()).expect("a response").response()
    }

    #[test]
    fn a_string_is_sent_as_it_is_and_other_json_as_json() {
        let plain = parsed(r#"{"body": "sorry"}"#);
        assert_eq!((plain.status().as_u16(), plain.headers().len(), &plain.body()[..]), (200, 0, &b"sorry"[..]));
        let json = parsed(r#"{"status": 503, "body": {"b": [1], "a": null}}"#);
        assert_eq!(json.headers()[CONTENT_TYPE], "application/json");
        assert_eq!((json.status().as_u16(), json.body().len()), (503, r#"{"b":[1],"a":null}"#.len()));
        let named = parsed(r#"{"headers": {"Content-Type": "text/plain"}, "body": 7}"#);
        assert_eq!(
            (&named.headers()[CONTENT_TYPE], &named.body()[..]),
            (&"text/plain".parse().expect("a value"), &b"7"[..])
        );
        assert!(parsed(r#"{"status": 204}"#).body().is_empty());
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        for (text, named) in [
            ("", "EOF"),
            ("[]", "map"),
            (r#"{"code": 200}"#, "code"),
            (r#"{"status": 100}"#, "200 to 599"),
            (r#"{"status": 999}"#, "200 to 599"),
            (r#"{"status": "200"}"#, "u16"),
            (r#"{"headers": {"a b": "1"}}"#, "a b"),
            (r#"{"headers": {"a": 1}}"#, "a takes"),
            (r#"{"headers": {"a": "1\n2"}}"#, "a takes"),
            (r#"{"headers": {"Content-Length": "3"}}"#, "content-length"),
            (r#"{"status": 204, "body": "x"}"#, "204"),
        ] {
            let error = DefaultResponse::parse(text.as_bytes()).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
